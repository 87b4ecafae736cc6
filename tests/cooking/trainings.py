"""Trainings that tests start as processes of their own: bare, attached to palate, and gone on with from a capsule."""

import json
import os
import subprocess
import sys
from pathlib import Path

HEAD = """
import os, random, sys
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
torch.set_num_threads(1)
random.seed(1); np.random.seed(1); torch.manual_seed(1)
BARE = os.environ.get("BARE")
if not BARE:
    import palate
    from palate.cooking.stage import every

X = torch.randn(64, 6); Y = (X[:, 0] > 0).long()

class Noisy(Dataset):
    "Draws from every generator when an example is loaded."
    def __init__(self): self.own = np.random.default_rng(5)
    def __len__(self): return len(X)
    def __getitem__(self, i):
        noise = random.random() + np.random.rand() + torch.rand(1).item()
        return X[i] + .1 * noise, Y[i]

class Stream(IterableDataset):
    def __iter__(self):
        for i in torch.randperm(64).tolist():
            yield X[i] + .1 * random.random(), Y[i]

net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(.3), nn.Linear(16, 2))

def report(**parts):
    from palate.cooking.digest import digests_of
    import json
    with open(os.environ["DIGESTS"], "w") as file:
        json.dump(digests_of(parts), file)
"""


HOST = """
import json, os, sys, traceback
import numpy, torch, torch._dynamo, palate, palate.cooking.live, palate.cooking.digest
from torch.utils import data
import importlib, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for name in sys.argv[1:]: importlib.import_module(name)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        status = 0
        try:
            output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1); os.dup2(output, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            os.chdir(order["cwd"]); os.environ.clear(); os.environ.update(order["environment"])
            sys.argv = [order["script"]]
            with open(order["script"]) as file:
                source = file.read()
            exec(compile(source, order["script"], "exec"), {"__name__": "__main__", "__file__": order["script"]})
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc(); status = 1
        import atexit, threading
        threading._shutdown(); atexit._run_exitfuncs(); sys.stdout.flush(); sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""A process that has imported torch, and carries out each training in a fork of its own: the import takes seconds."""

_hosts: dict[tuple[str, ...], subprocess.Popen[str]] = {}


def _host(preload: tuple[str, ...]) -> subprocess.Popen[str]:
    if preload not in _hosts:
        command = [sys.executable, "-W", "error", "-c", HOST, *preload]
        _hosts[preload] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return _hosts[preload]


def run(
    folder: Path,
    body: str,
    *,
    bare: bool = False,
    environment: dict[str, str] | None = None,
    preload: tuple[str, ...] = (),
) -> str:
    """Run a training in a process of its own, and return what it printed; it has to end well."""
    status, printed = attempt(folder, body, bare=bare, environment=environment, preload=preload)
    assert status == 0, printed
    return printed


def attempt(
    folder: Path,
    body: str,
    *,
    bare: bool = False,
    environment: dict[str, str] | None = None,
    preload: tuple[str, ...] = (),
) -> tuple[int, str]:
    """Run a training in a process of its own; return its exit status and what it printed."""
    script = folder / "train.py"
    script.write_text(HEAD + body)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PALATE_")}
    order = {
        "script": str(script),
        "cwd": str(folder),
        "output": str(folder / "output.txt"),
        "environment": {
            **plain,
            "DIGESTS": str(folder / "digests.json"),
            "PALATE_HOME": str(folder / ".palate"),
            **({"BARE": "1"} if bare else {}),
            **(environment or {}),
        },
    }
    host = _host(preload)
    assert host.stdin is not None and host.stdout is not None
    host.stdin.write(json.dumps(order) + "\n")
    host.stdin.flush()
    status = int(host.stdout.readline())
    return status, (folder / "output.txt").read_text()
