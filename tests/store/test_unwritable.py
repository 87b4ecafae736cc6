"""Where nothing can be written, on a full disk or in a read-only folder, all that is there can be read."""

import json
import os
import subprocess
import sys

import pytest
from tests.store.transcript import environment, golden_copy

MOUNTED = {
    "read-only": "mount --bind {0} {0} && mount -o remount,ro,bind {0}",
    "full": "mount -t tmpfs -o size=3000k none {1} && cp -r {0}/. {1} && rm -f {1}/.palate/catalog*"
    " && dd if=/dev/zero of={1}/fill bs=1k 2>{1}/../dd; mount --bind {1} {0}",
    "full, its catalog kept": "mount -t tmpfs -o size=3000k none {1} && cp -r {0}/. {1}"
    " && dd if=/dev/zero of={1}/fill bs=1k 2>{1}/../dd; mount --bind {1} {0}",
}
CAN_MOUNT = os.getuid() == 0 and not subprocess.call(
    ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
)

SAYS = """
import contextlib, io, json, sys
from palate.cli import main
said = {}
for argv in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.argv = ["palate", *argv]
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
    said[" ".join(argv)] = [status, out.getvalue(), err.getvalue()]
print(json.dumps(said))
"""
READING = (["list"], ["list", "--runs"], ["verify", "--full"], ["show", "41a3ec68"], ["show"], ["skill"])
WRITING = (["doctor", "--rebuild"], ["run", "train.py", "-c", "gain=0.31", "--metric", "val_acc", "--no-forecast"])


def says(folder, mount=""):
    """Call palate in a folder, in one process; give status, output and errors by call."""
    calls = [*READING, *WRITING] if mount else [*READING]
    words = [sys.executable, "-c", SAYS, json.dumps(calls)]
    if mount:
        words = ["unshare", "-m", "sh", "-c", f'{mount}; cd / && cd {folder} && exec "$@"', "sh", *words]
    done = subprocess.run(words, cwd=folder, env=environment(folder, {}), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return says(golden_copy(tmp_path_factory.mktemp("usual")))


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MOUNT, reason="nothing can be mounted here")
@pytest.mark.parametrize("mount", MOUNTED.values(), ids=list(MOUNTED))
def test_reading_works_where_nothing_can_be_written(mount, usual, tmp_path):
    folder, other = tmp_path / "home", tmp_path / "other"
    other.mkdir()
    folder.mkdir()
    golden_copy(folder)
    said = says(folder, mount.format(folder, other))
    for argv in map(" ".join, READING):
        assert said[argv][:2] == usual[argv][:2], argv
    told = "".join(said[" ".join(argv)][2] for argv in READING)
    assert told.count("cannot be written (") == 1  # one line a process
    assert "the runs are read from their journals" in said["list"][2]
    for argv in map(" ".join, WRITING):
        status, _, err = said[argv]
        assert status == 1, argv
        assert "StoreError: " in err, argv
        assert "Traceback" not in err, argv
