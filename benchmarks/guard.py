"""Nothing leaked, nothing lost unnoticed, nothing stuck: `./scripts/bench guard`.

Real processes are killed, interrupted and left without room, real files are spoilt, real secrets are planted, and what
is there afterwards is held against what was true. Costs are measured in projects of 1,000 to 100,000 runs.
"""

import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import mutants
from benchmarks.deaths import death_rows
from benchmarks.planted_secrets import secret_rows
from benchmarks.scale import scale_rows
from benchmarks.table import Row
from benchmarks.training import journal_rows, peer_rows, peer_secret_rows
from palate.errors import PalateError
from palate.store.chain import Chain
from palate.store.journal import Journal
from palate.store.reader import Content, read_journal

KILLS = 1_000
PAUSES_S = (0.0, 0.0001, 0.001, 0.005, 0.02, 0.05)
"""The six rates: between two calls of `log`."""

INTERRUPTS = 3_000
JOURNAL_MUTATIONS, CHAIN_MUTATIONS = 2_500, 1_000
MOMENTS = 30
LONG = 5_000_000
NAMES = (5_000, 50_000)


def rows() -> Iterator[Row]:
    """Measure all of it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        yield from kill_rows(place)
        yield from interrupt_rows(place)
        yield from mutation_rows(place)
        yield from full_rows(place)
        yield from long_rows(place)
        yield from journal_rows(place)
    yield from secret_rows()
    yield from death_rows()
    yield from scale_rows()
    yield from peer_rows()
    yield from peer_secret_rows()
    yield from mutants.rows()


def kill_rows(folder: Path) -> Iterator[Row]:
    """Kill logging processes at random moments, at six rates; count the points that are gone though `log` returned."""
    rng, lost, unread, wrong, total = random.Random(1), 0, 0, 0, 0
    for number in range(KILLS):
        pause_s = PAUSES_S[number % len(PAUSES_S)]
        path = folder / f"killed-{number}"
        returned = _logged_until_killed(path, pause_s, rng.uniform(0.004, 0.06) + 3 * pause_s)
        try:
            content = read_journal(path)
        except PalateError:
            unread += 1
            continue
        curve = content.curves.get("loss")
        values = [] if curve is None else curve.values.tolist()
        wrong += sum(value != step / 7 for step, value in enumerate(values)) + (not content.integrity.counts)
        lost += max(0, returned - len(values))
        total += len(values)
        path.unlink()
    name = f"{KILLS:,} kill -9 at {len(PAUSES_S)} rates, {total:,} points"
    yield Row(name=f"{name}: lost", measured=lost, target=0)
    yield Row(name=f"{name}: wrong, or said to be damaged", measured=wrong, target=0)
    yield Row(name=f"{name}: journals that cannot be read", measured=unread, target=0)


def _logged_until_killed(path: Path, pause_s: float, life_s: float) -> int:
    """Log in a forked process until it is killed; return of how many calls `log` had returned."""
    shared = mmap.mmap(-1, 8)
    child = os.fork()
    if child == 0:
        journal = Journal.open(path)
        for step in range(10**9):
            journal.log(step, {"loss": step / 7})
            struct.pack_into("<q", shared, 0, step + 1)
            if pause_s:
                time.sleep(pause_s)
    time.sleep(life_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    returned: int = struct.unpack_from("<q", shared)[0]
    shared.close()
    return returned


INTERRUPTED = """
import json, random, signal, sys
from palate.store.journal import Journal
from palate.store.reader import read_journal

class Stop(Exception):
    pass

def inside(frame):
    while frame is not None:
        if frame.f_code.co_filename.endswith("store/journal.py"):
            return True
        frame = frame.f_back
    return False

def stop(number, frame):
    if inside(frame):
        raise Stop

rng = random.Random(int(sys.argv[2]))
signal.signal(signal.SIGALRM, stop)
hits = lost = wrong = unread = 0
journal_number = 0
while hits < int(sys.argv[3]):
    path = f"{sys.argv[1]}/interrupted-{sys.argv[2]}-{journal_number}"
    journal_number += 1
    journal = Journal.open(path)
    returned, begun, step = {}, {}, 0
    for _ in range(20):
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(2e-5, 4e-4))
        try:
            for _ in range(400):
                step += 1 if rng.random() < 0.9 else 5
                names = ["loss"] if rng.random() < 0.8 else [f"m{rng.randrange(40)}", "loss"]
                row = {name: rng.random() for name in names}
                begun[step] = row
                journal.log(step, row)
                returned[step] = row
        except Stop:
            hits += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    journal.close()
    try:
        content = read_journal(path)
    except Exception:
        unread += 1
        continue
    there = {}
    for name, curve in content.curves.items():
        for at, value in zip(curve.steps.tolist(), curve.values.tolist()):
            there.setdefault(at, {})[name] = value
    wrong += sum(begun.get(at) != row for at, row in there.items())
    wrong += content.integrity.status != "whole"
    lost += sum(at not in there for at in returned)
print(json.dumps([hits, lost, wrong, unread]))
"""

LOGGED_IN_HANDLER = """
import os, signal, sys, threading, time
from palate.store.journal import Journal
from palate.store.reader import read_journal

journal = Journal.open(sys.argv[1])
from_handler = from_threads = 0

def also_log(number, frame):
    global from_handler
    journal.log(from_handler, {"handler": 1.0})
    from_handler += 1

def log_many(name):
    for step in range(20_000):
        journal.log(step, {name: float(step)})

signal.signal(signal.SIGALRM, also_log)
signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)
threads = [threading.Thread(target=log_many, args=(f"thread{k}",)) for k in range(3)]
for thread in threads:
    thread.start()
children = []
for step in range(20_000):
    journal.log(step, {"main": float(step)})
    if step % 1000 == 0:
        child = os.fork()
        if child == 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
            try:
                journal.log(0, {"child": 1.0})
            except Exception:
                os._exit(0)
            os._exit(1)
        children.append(child)
for thread in threads:
    thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
bad = sum(os.waitpid(child, 0)[1] != 0 for child in children)
journal.close()
curves = read_journal(sys.argv[1]).curves
for name in ("main", "thread0", "thread1", "thread2"):
    bad += curves[name].values.tolist() != [float(step) for step in range(20_000)]
bad += len(curves["handler"]) != from_handler
print(bad)
"""


def interrupt_rows(folder: Path) -> Iterator[Row]:
    """Raise from signal handlers inside `log`; log from handlers, threads and forked children at once."""
    words = [sys.executable, "-c", INTERRUPTED, str(folder), "1", str(INTERRUPTS)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=900)
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    hits, lost, wrong, unread = json.loads(ended.stdout)
    yield Row(name=f"{hits:,} interrupts inside log(): rows lost", measured=lost, target=0)
    yield Row(name=f"{hits:,} interrupts inside log(): rows wrong", measured=wrong, target=0)
    yield Row(name=f"{hits:,} interrupts inside log(): journals that cannot be read", measured=unread, target=0)
    words = [sys.executable, "-W", "ignore", "-c", LOGGED_IN_HANDLER, str(folder / "handler")]
    try:
        bad = int(subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout)
    except subprocess.TimeoutExpired:
        bad = 1_000_000
    yield Row(
        name="handlers, threads and forked children that log at once: rows wrong, or stuck", measured=bad, target=0
    )


Rows = dict[tuple[str, int], float]
"""What was logged: by metric and step."""


def _written(path: Path, rng: random.Random) -> tuple[Rows, list[tuple[int, int, list[tuple[str, int]]]]]:
    """Write a journal of several kinds of rows; return what was logged, and where in the file each call wrote it."""
    journal, logged, places = Journal.open(path), {}, []
    step = 0
    for _ in range(600):
        step += 1 if rng.random() < 0.95 else rng.randrange(2, 9)
        kind = rng.random()
        names = ["loss"] if kind < 0.7 else ["loss", "acc"] if kind < 0.95 else [f"rare{rng.randrange(30)}"]
        row = {name: float(rng.randrange(1000)) if kind < 0.4 else rng.random() for name in names}
        before = path.stat().st_size
        journal.log(step, row)
        keys = [(name, step) for name in row]
        logged |= {(name, step): value for name, value in row.items()}
        places.append((before, path.stat().st_size, keys))
        if rng.random() < 0.02:
            journal.event("checkpoint", name=f"step{step}")
    journal.close()
    return logged, places


def _spoilt(content: bytes, rng: random.Random) -> tuple[bytes, int, int]:
    """Spoil a file in one of eight ways; return it, and between which of its bytes it was spoilt."""
    at = rng.randrange(8, len(content))
    size = rng.choice((1, 1, 1, 4, 30, 200))
    end = min(len(content), at + size)
    noise = rng.randbytes(size)
    match rng.randrange(8):
        case 0 | 1 | 2:
            return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :], at, at + 1
        case 3:
            return content[:at] + noise[: end - at] + content[end:], at, end
        case 4:
            return content[:at] + bytes(end - at) + content[end:], at, end
        case 5:
            return content[:at] + content[end:], at, end
        case 6:
            return content[:at] + noise + content[at:], at, at
        case _:
            return content[:at], at, len(content)


def mutation_rows(folder: Path) -> Iterator[Row]:
    """Spoil journals and chains; count what is read wrong, lost beyond the damage, unnoticed, or another error."""
    rng = random.Random(2)
    wrong = beyond = unsaid = faults = 0
    for number in range(JOURNAL_MUTATIONS):
        if number % 100 == 0:
            path = folder / f"spoilt-{number}"
            logged, places = _written(path, rng)
            whole = path.read_bytes()
        spoilt, start, end = _spoilt(whole, rng)
        path.write_bytes(spoilt)
        try:
            content = read_journal(path)
        except PalateError:
            beyond += len(places)
            continue
        except Exception as error:  # noqa: BLE001  what is counted
            print(f"    {type(error).__name__}: {error}", file=sys.stderr)
            faults += 1
            continue
        there = _there(content)
        wrong += sum(logged.get(key) != value for key, value in there.items())
        missing = [place for place in places if any(key not in there for key in place[2])]
        beyond += sum(not (low < end + 1 and start < high) for low, high, _ in missing)
        cut = whole.startswith(spoilt)  # at a record's end it is what a kill at an earlier moment leaves
        unsaid += bool(missing) and content.integrity.status == "whole" and not cut
    name = f"{JOURNAL_MUTATIONS:,} spoilt journals"
    yield Row(name=f"{name}: points read with another value or step", measured=wrong, target=0)
    yield Row(name=f"{name}: rows lost that the damage did not touch, of {600 * JOURNAL_MUTATIONS:,}", measured=beyond)
    yield Row(name=f"{name}: lost rows, and said to be whole", measured=unsaid, target=0)
    yield Row(name=f"{name}: errors that are not palate's own", measured=faults, target=0)
    yield from _chain_rows(folder, rng)


def _there(content: Content) -> Rows:
    return {
        (name, step): value
        for name, curve in content.curves.items()
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True)
    }


def _chain_rows(folder: Path, rng: random.Random) -> Iterator[Row]:
    path = folder / "sealed" / "chain.jsonl"
    chain, now = Chain(path), datetime.now(UTC)
    for number in range(60):
        body = {"experiment": f"{number // 3:08x}", "said": rng.random(), "why": "because " * rng.randrange(5)}
        chain.append("forecast", body, now=now + timedelta(seconds=number))
    whole = path.read_bytes()
    unnoticed = faults = 0
    for _ in range(CHAIN_MUTATIONS):
        spoilt, _, _ = _spoilt(whole, rng)
        path.write_bytes(spoilt)
        try:
            fresh = Chain(path)
            fresh.verify()
            same = [record.hash for record in fresh.records()] == [record.hash for record in chain.records()]
            cut = whole.startswith(spoilt)  # a cut end is noticed by the catalog and by heads that were noted
            unnoticed += spoilt != whole and not cut and not same
        except PalateError:
            continue
        except Exception as error:  # noqa: BLE001  what is counted
            print(f"    {type(error).__name__}: {error}", file=sys.stderr)
            faults += 1
    yield Row(
        name=f"{CHAIN_MUTATIONS:,} spoilt chains: changes that verify does not notice", measured=unnoticed, target=0
    )
    yield Row(name=f"{CHAIN_MUTATIONS:,} spoilt chains: errors that are not palate's own", measured=faults, target=0)


FULL = """
import json, os, random, sys
from palate.store.journal import Journal
from palate.store.reader import read_journal

place, moment, room_again = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "yes"
journal = Journal.open(f"{place}/run/journal")
fill = os.open(f"{place}/fill", os.O_WRONLY | os.O_CREAT)
raised = 0
for step in range(3000):
    if step == moment:
        block = bytes(4096)
        while block:
            try:
                if not os.write(fill, block):
                    block = block[: len(block) // 2]
            except OSError:
                block = block[: len(block) // 2]
    if room_again and step == moment + 1200:
        os.ftruncate(fill, 0)
    try:
        journal.log(step, {"loss": step / 7, "acc": 0.5})
    except BaseException as error:
        raised += 1
    if room_again and step == moment + 1201:
        import time
        time.sleep(1.1)
try:
    journal.close()
except BaseException:
    raised += 1
os.ftruncate(fill, 0)
content = read_journal(f"{place}/run/journal")
loss = content.curves.get("loss")
there = {} if loss is None else dict(zip(loss.steps.tolist(), loss.values.tolist()))
wrong = sum(value != step / 7 for step, value in there.items())
print(json.dumps([raised, 3000 - len(there), content.integrity.lost_points, content.integrity.status, wrong]))
"""


def full_rows(folder: Path) -> Iterator[Row]:
    """Fill the disk at 30 moments of a run, with and without room before its end."""
    if not _can_mount():
        print("    the disk cannot be filled here: nothing can be mounted", file=sys.stderr)
        return
    raised = lost = unsaid = wrong = 0
    rng = random.Random(3)
    for number in range(MOMENTS):
        room_again = number % 2 == 0
        place = folder / f"full-{number}"
        place.mkdir()
        mount = f'mount -t tmpfs -o size=256k none {place} && mkdir {place}/run && exec "$@"'
        script = [sys.executable, "-c", FULL, str(place), str(rng.randrange(1, 1700)), "yes" if room_again else "no"]
        ended = subprocess.run(["unshare", "-m", "sh", "-c", mount, "sh", *script], capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(ended.stderr[-2000:])
        interrupted, missing, said, status, different = json.loads(ended.stdout)
        raised += interrupted
        wrong += different
        lost += missing if room_again else 0
        unsaid += said != missing or (status == "whole") != (missing == 0)
    yield Row(name=f"disk full at {MOMENTS} moments: exceptions in the training", measured=raised, target=0)
    yield Row(name=f"disk full at {MOMENTS} moments: points lost where there was room again", measured=lost, target=0)
    yield Row(
        name=f"disk full at {MOMENTS} moments: runs whose lost points are not counted right", measured=unsaid, target=0
    )
    yield Row(name=f"disk full at {MOMENTS} moments: points with another value", measured=wrong, target=0)


def _can_mount() -> bool:
    words = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    return os.getuid() == 0 and subprocess.call(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def long_rows(folder: Path) -> Iterator[Row]:
    """Open a journal of five million rows again; read journals of many names."""
    path = folder / "long"
    journal = Journal.open(path)
    for step in range(LONG):
        journal.log(step, {"loss": step / 7})
    journal.close()
    yield Row(name=f"open a journal of {LONG:,} rows again", measured=_opened_s(path), unit="s", target=0.1)
    child = os.fork()
    if child == 0:  # one that is killed has written no end
        journal = Journal.open(path)
        for step in range(LONG, LONG + 15_000):
            journal.log(step, {"loss": step / 7})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    yield Row(name="open it again after a kill -9 in the middle", measured=_opened_s(path), unit="s", target=0.1)
    path.unlink()
    took = {count: _names_s(folder / f"{count} names", count) for count in NAMES}
    few, many = NAMES
    yield Row(name=f"read {many:,} names", measured=took[many], unit="s")
    yield Row(
        name=f"read {many:,} names, over {few:,}", measured=took[many] / took[few], unit="x", target=1.2 * many / few
    )


def _opened_s(path: Path) -> float:
    """Open a journal in a fresh process; return how long that took."""
    code = "import sys, time; from palate.store.journal import Journal; t = time.perf_counter()\n"
    code += "Journal.open(sys.argv[1]); print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True).stdout)


def _names_s(path: Path, count: int) -> float:
    journal = Journal.open(path)
    for number in range(count):
        journal.log(0, {f"metric{number}": 0.5})
    journal.close()
    started = time.process_time()
    read_journal(path)
    return time.process_time() - started
