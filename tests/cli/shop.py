"""A folder to call palate in, and a small script to call it on."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, random, sys, time
import palate
gain = 0.5
noise = 0.01
mode = "train"
pause = 0.0
seed = 0
random.seed(seed)
level = 0.2
for step in range(5):
    level += gain * (0.9 - level) + random.gauss(0, noise)
    time.sleep(pause)
    if mode == "nan":
        level = float("nan")
    if mode == "crash" and step == 2:
        raise RuntimeError("out of luck")
    palate.log(step, val_acc=level, loss=1 - level)
"""


class Shop:
    """A folder to call palate in."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.environment = {**os.environ, "COLUMNS": "200", "PALATE_HOME": str(self.folder / ".palate")}

    def write(self, text, name="train.py"):
        (self.folder / name).write_text(text)
        return name

    def call(self, *words, **more):
        return subprocess.run(
            [sys.executable, "-m", "palate", *words], cwd=self.folder, env={**self.environment, **more},
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip

    def json(self, *words, status=0, **more):
        ended = self.call(*words, "--json", **more)
        assert ended.returncode == status, ended.stderr
        return json.loads(ended.stdout)


RUN = ("run", "train.py", "--metric", "val_acc")
