"""A disk that is full in the middle: training goes on, points wait, and those that are lost are counted and told."""

import os
import subprocess
import sys

import pytest

from palate.store.journal import Journal
from palate.store.reader import read_journal

CAN_MOUNT = os.getuid() == 0 and not subprocess.call(
    ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
)

BEGIN = """
import os, resource, signal, sys
from palate.store import journal as journals
from palate.store.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = sys.argv[1]
journal = Journal.open(path)
def fill():
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) + int(sys.argv[2]), resource.RLIM_INFINITY))
def free():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal._retry_at = 0.0
def log(first, last):
    for step in range(first, last):
        journal.log(step, {"loss": step / 7} if step % 10 else {"loss": step / 7, f"other {step % 50}": 1.0})
log(0, 50)
"""
ENDS = {
    "closed": "journal.close()",
    "its interpreter ends": "import atexit; atexit.register(journal.close)",
    "os._exit": "os._exit(0)",
    "kill -9": "os.kill(os.getpid(), 9)",
}


def played(path, text, room=37):
    return subprocess.run(
        [sys.executable, "-c", BEGIN + text, str(path), str(room)], capture_output=True, text=True, timeout=60
    )


def steps(path):
    return read_journal(path).curves["loss"].steps.tolist()


@pytest.mark.parametrize("room", [0, 1, 5, 37, 400])
def test_points_that_waited_are_written_in_their_order_once_there_is_room(room, tmp_path):
    path = tmp_path / "journal"
    ended = played(path, "fill(); log(50, 150); free(); log(150, 200); journal.close()", room)
    assert ended.returncode == 0
    assert ended.stderr.count("Training goes on") == 1
    assert steps(path) == list(range(200))
    assert read_journal(path).integrity.status == "whole"


@pytest.mark.parametrize("end", ENDS)
def test_points_that_never_found_room_are_counted_however_the_process_ended(end, tmp_path):
    path = tmp_path / "journal"
    ended = played(path, f"fill(); log(50, 150); {ENDS[end]}")
    read = read_journal(path)
    there = len(read.curves["loss"])
    assert 50 <= there < 60
    assert read.curves["loss"].steps.tolist() == list(range(there))
    assert (read.integrity.status, read.integrity.lost_points) == ("lost points", 150 - there)
    assert not read.integrity.counts
    if end in ("closed", "its interpreter ends"):
        assert f"{150 - there} points are lost" in ended.stderr
    journal = Journal.open(path)  # with room again
    journal.log(500, {"loss": 1.5})
    journal.close()
    read = read_journal(path)
    assert read.curves["loss"].steps.tolist() == [*range(there), 500]
    assert read.last_event("lost")["points"] == 150 - there
    assert (read.integrity.status, read.integrity.lost_points) == ("lost points", 150 - there)


def test_what_the_full_memory_does_not_hold_is_dropped_and_counted_and_later_points_are_right(tmp_path):
    path = tmp_path / "journal"
    text = "journals.PENDING_BYTES = 1000; fill(); log(50, 400); free(); log(400, 450); journal.close()"
    ended = played(path, text)
    assert (ended.returncode, ended.stderr.count("Training goes on")) == (0, 1)
    read = read_journal(path)
    dropped = read.last_event("lost")["points"]
    assert dropped > 200
    assert len(read.curves["loss"]) == 450 - dropped
    assert read.curves["loss"].steps.tolist()[-50:] == list(range(400, 450))
    assert set(zip(steps(path), read.curves["loss"].values.tolist(), strict=True)) <= {(n, n / 7) for n in range(450)}
    assert (read.integrity.status, read.integrity.lost_points) == ("lost points", dropped)
    assert "found no room" in read.integrity.why


def test_dropped_and_waiting_points_are_counted_where_there_is_never_room_again(tmp_path):
    path = tmp_path / "journal"
    ended = played(path, "journals.PENDING_BYTES = 1000; fill(); log(50, 400); journal.close()")
    there = len(read_journal(path).curves["loss"])
    assert read_journal(path).integrity.lost_points == 400 - there
    assert f"{400 - there} points are lost" in ended.stderr


def test_rows_that_are_given_together_and_dropped_are_counted_each(tmp_path):
    path = tmp_path / "journal"
    text = """
journals.PENDING_BYTES = 0
log(50, 51)
fill()
log(51, 53)
for step in range(53, 73):
    journal.log_soon(step, {"loss": step / 7}, journal._late_s if step > 53 else 1e9)
journal.write_late()
free()
log(80, 90)
journal.close()
"""
    assert played(path, text, 0).returncode == 0
    read = read_journal(path)
    [lost] = [event["points"] for event in read.events if event["kind"] == "lost"]
    assert len(steps(path)) + lost == 50 + 3 + 20 + 10
    assert steps(path)[-10:] == list(range(80, 90))


def test_a_row_of_a_signal_handler_that_is_dropped_is_dropped_once(tmp_path):
    path = tmp_path / "journal"
    text = """
journals.PENDING_BYTES = 1000
fill()
log(50, 400)
with journal._lock:
    before = journal._at.dropped
for end in ("log", "close"):
    journal._deferred.append(journals.partial(journal._row, 1000, {"loss": 1.0}))  # as a handler leaves it in a call
    journal.log(1001, {"loss": 1.0}) if end == "log" else journal.close()
print(journal._at.dropped - before, len(journal._deferred))
"""
    ended = played(path, text)
    assert ended.stdout.split() == ["3", "0"], ended.stderr
    read = read_journal(path)
    assert read.integrity.lost_points == 403 - len(read.curves["loss"])


def test_events_that_a_full_disk_meets_are_not_dropped(tmp_path):
    path = tmp_path / "journal"
    text = """
journals.PENDING_BYTES = 1000
fill()
log(50, 400)
journal.event("examples", n=3, right="07")
assert not journal.whole
free()
journal.event("ending", exit="ok", detail="")
journal.close()
"""
    ended = played(path, text)
    assert ended.returncode == 0, ended.stderr
    read = read_journal(path)
    assert [event["kind"] for event in read.events if event["kind"] != "lost"] == ["start", "examples", "ending"]
    assert read.integrity.lost_points == 400 - len(read.curves["loss"])


ON_A_FULL_DISK = """
mount -t tmpfs -o size=200k none {0} && cd {0} && {1} -c '
import sys
from palate.store.journal import Journal
from palate.store.reader import read_journal
journal = Journal.open("journal")
for step in range(100):
    journal.log(step, {{"loss": step / 7}})
with open("filler", "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError:
        pass
for step in range(100, 1000):
    journal.log(step, {{"loss": step / 7}})
if sys.argv[1] == "room":
    import os, time
    os.remove("filler")
    time.sleep(1.1)
    for step in range(1000, 1100):
        journal.log(step, {{"loss": step / 7}})
journal.close()
read = read_journal("journal")
print(len(read.curves["loss"]), read.integrity.status, read.integrity.lost_points)
Journal.open("journal").close()
print(read_journal("journal").integrity.lost_points)
' {2}
"""


@pytest.mark.skipif(not CAN_MOUNT, reason="nothing can be mounted here")
@pytest.mark.parametrize("then", ["room", "none"])
def test_a_disk_that_is_really_full(then, tmp_path):
    text = ON_A_FULL_DISK.format(tmp_path, sys.executable, then)
    ended = subprocess.run(["unshare", "-m", "sh", "-c", text], capture_output=True, text=True, timeout=60)
    assert ended.stderr.count("points are lost") == (then == "none"), ended.stderr
    first, second = ended.stdout.splitlines()
    if then == "room":
        assert (first, second) == ("1100 whole 0", "0")
    else:
        count, lost = int(first.split()[0]), int(first.split()[-1])
        assert (first.split()[1:3], count + lost, int(second)) == (["lost", "points"], 1000, lost)
        assert f"{lost} points are lost" in ended.stderr
