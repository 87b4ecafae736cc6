"""A journal gives back exactly what was logged, survives what ends a process, and has one writer."""

import math
import signal
import struct
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.errors import InputError, StoreError
from palate.store import layout as lay
from palate.store.journal import Journal
from palate.store.reader import read_journal
from palate.store.row import Shape

NAMES = st.sampled_from(["loss", "val_acc", "lr", "größe"])
ROWS = st.lists(
    st.tuples(
        st.integers(-(2**40), 2**40),
        st.dictionaries(NAMES, st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=4),
    ),
    max_size=60,
)


def write(path, rows):
    journal = Journal.open(path)
    for step, metrics in rows:
        journal.log(step, metrics)
    journal.close()


def expected(rows):
    curves = {}
    for step, metrics in rows:
        for name, value in metrics.items():
            curves.setdefault(name, []).append((step, value))
    return curves


def assert_holds(path, rows):
    curves = read_journal(path).curves
    wanted = expected(rows)
    assert set(curves) == set(wanted)
    for name, points in wanted.items():
        assert curves[name].steps.tolist() == [step for step, _ in points]
        np.testing.assert_array_equal(curves[name].values, [value for _, value in points])


@given(rows=ROWS)
@settings(max_examples=70, deadline=None)
def test_what_is_logged_is_read_back_exactly(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal"
    write(path, rows)
    assert_holds(path, rows)


@given(rows=ROWS, cut=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_journal_taken_up_again_continues_where_it_stood(rows, cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal"
    write(path, rows[:cut])
    write(path, rows[cut:])
    assert_holds(path, rows)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_torn_tail_costs_the_torn_record_and_nothing_before_it(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal"
    rows = [(step, {"loss": step / 7}) for step in range(100)]
    journal = Journal.open(path)
    for row in rows:
        journal.log(*row)
    whole = path.read_bytes()  # as a process leaves it that is killed: nothing closes it
    journal.close()
    cut = data.draw(st.integers(0, 1100))
    path.write_bytes(whole[: len(whole) - cut])
    steps = read_journal(path).curves["loss"].steps.tolist()
    lost = 100 - len(steps)
    assert steps == list(range(len(steps)))
    assert lost == -(-cut // 12)
    write(path, [(1000, {"loss": 1.5})])
    assert read_journal(path).curves["loss"].steps.tolist() == [*steps, 1000]


def test_more_shapes_than_short_rows_have_room_for_are_kept_too(tmp_path):
    rows = [(step, {f"metric_{step % 40}": 1 / 3, "loss": step * 0.1}) for step in range(200)]
    write(tmp_path / "journal", rows)
    assert_holds(tmp_path / "journal", rows)


def test_values_that_are_float32_cost_four_bytes_and_stay_exact(tmp_path):
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    write(tmp_path / "journal", [(i, {"loss": float(v)}) for i, v in enumerate(values)])
    assert read_journal(tmp_path / "journal").curves["loss"].values.tolist() == values.tolist()
    assert (tmp_path / "journal").stat().st_size < 1000 * 8 + 500


def test_elapsed_time_is_kept_to_the_millisecond_over_pauses(tmp_path):
    journal = Journal.open(tmp_path / "journal")
    for step in range(3):
        journal.log(step, {"loss": 1.0})
        time.sleep(0.3)
    journal.close()
    assert np.diff(read_journal(tmp_path / "journal").curves["loss"].elapsed_s) == pytest.approx([0.3, 0.3], abs=0.1)


@pytest.mark.parametrize(
    ("step", "metrics"),
    [("one", {"loss": 1.0}), (1.5, {"loss": 1.0}), (0, {"loss": "low"}), (0, {}), (0, {"": 1.0}), (0, {"a": [1, 2]})],
)
def test_a_row_that_cannot_be_kept_is_refused_and_leaves_the_journal_whole(tmp_path, step, metrics):
    journal = Journal.open(tmp_path / "journal")
    journal.log(0, {"acc": 0.5})
    with pytest.raises(InputError, match="cannot be kept"):
        journal.log(step, metrics)
    journal.log(1, {"acc": 0.25, "loss": 2.0})
    journal.close()
    assert_holds(tmp_path / "journal", [(0, {"acc": 0.5}), (1, {"acc": 0.25, "loss": 2.0})])


def test_a_second_process_is_told_that_the_journal_is_taken(tmp_path):
    journal = Journal.open(tmp_path / "journal")
    code = f"from palate.store.journal import Journal; Journal.open({str(tmp_path / 'journal')!r})"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "JournalTakenError" in second.stderr
    assert "being written by another process" in second.stderr
    journal.close()


FORKED = """
import math, os, sys
from palate.errors import JournalTakenError
from palate.store.journal import Journal
journal = Journal.open(sys.argv[1])
child = os.fork()
if child == 0:
    try:
        journal.log(0, {"loss": 1.0})
    except JournalTakenError:
        os._exit(7)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
journal.log(0, {"loss": math.pi})
journal.close()
"""


def test_a_forked_child_may_not_write_its_parents_journal(tmp_path):
    words = [sys.executable, "-c", FORKED, str(tmp_path / "journal")]
    assert subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout == "7\n"
    assert_holds(tmp_path / "journal", [(0, {"loss": math.pi})])


def test_a_foreign_file_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "journal").write_text("my notes")
    with pytest.raises(StoreError, match="not a journal"):
        Journal.open(tmp_path / "journal")
    with pytest.raises(StoreError, match="not a journal"):
        read_journal(tmp_path / "journal")
    assert (tmp_path / "journal").read_text() == "my notes"


FULL_DISK = """
import resource, signal, sys
from palate.store.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))
for step in range(100):
    journal.log(step, {"loss": step / 7})
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for step in range(100, 200):
    journal.log(step, {"loss": step / 7})
journal.close()
"""


def test_a_full_disk_neither_ends_the_training_nor_loses_a_point_once_there_is_room(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "journal")], capture_output=True, text=True, check=True
    )
    assert ended.stderr.count("Training goes on") == 1
    assert_holds(tmp_path / "journal", [(step, {"loss": step / 7}) for step in range(200)])


KILLED = """
import sys, os
from palate.store.journal import Journal
journal = Journal.open(sys.argv[1])
for step in range(10**9):
    journal.log(step, {"loss": step / 7})
    os.write(1, b"%d\\n" % step) if step % 50 == 0 else None
"""


def test_kill_minus_nine_loses_no_point_that_log_returned_from(tmp_path):
    for attempt in range(3):
        path = tmp_path / f"journal{attempt}"
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
        first = process.stdout.readline()
        time.sleep(0.02 + 0.05 * attempt)
        process.send_signal(signal.SIGKILL)
        said = [first, *process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        read = read_journal(path)
        assert read.lost_bytes == 0
        assert len(read.curves["loss"]) > int(said[-1])


LATE = """
import os, sys, time
from palate.store.journal import Journal
journal = Journal.open(sys.argv[1])
for step in range(200):
    now_s = time.monotonic()
    journal.log_soon(step, {"loss": step / 7}, now_s)
    print(step, flush=True)
    if step >= 150:
        time.sleep(0.06)
    if step == 160:
        os.kill(os.getpid(), 9)
"""


def test_rows_that_come_fast_are_written_32_at_a_time_and_slow_ones_at_once(tmp_path):
    path = tmp_path / "journal"
    ended = subprocess.run([sys.executable, "-c", LATE, str(path)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split()[-1] == "160"
    assert read_journal(path).curves["loss"].steps.tolist() == list(range(161))


def test_a_process_that_is_killed_loses_fewer_than_32_rows_that_were_to_be_written_soon(tmp_path):
    path = tmp_path / "journal"
    killed = LATE.replace("step == 160", "step == 140")
    subprocess.run([sys.executable, "-c", killed, str(path)], capture_output=True, text=True, timeout=60)
    there = read_journal(path).curves["loss"].steps.tolist()
    assert there == list(range(len(there)))
    assert 141 - 32 < len(there) <= 141


def test_rows_that_are_written_together_stand_in_their_order_with_their_own_times(tmp_path):
    journal = Journal.open(tmp_path / "journal")
    journal.log(0, {"loss": 1.0})
    journal.log(1, {"loss": 0.9, "other": 2.0})
    begun_s = journal._late_s = time.monotonic()
    for step in range(2, 22):
        row = {"loss": step / 7, "other": 1.0} if step % 5 == 0 else {"loss": step / 7}
        journal.log_soon(step, row, begun_s + step / 1000)
    journal.event("told")
    journal.log(30, {"loss": 0.25})
    journal.close()
    loss = read_journal(tmp_path / "journal").curves["loss"]
    assert loss.steps.tolist() == [*range(22), 30]
    assert loss.values[2:22].tolist() == [step / 7 for step in range(2, 22)]
    late_ms = 1000 * np.diff(loss.elapsed_s[2:22])
    assert late_ms.round().tolist() == [1] * 19


def test_threads_that_log_beside_rows_that_are_written_soon_lose_nothing(tmp_path):
    journal = Journal.open(tmp_path / "journal")

    def log_on():
        for step in range(2_000):
            journal.log(step, {"of the thread": step / 7})

    thread = threading.Thread(target=log_on)
    thread.start()
    for step in range(20_000):
        journal.log_soon(step, {"loss": step / 7}, time.monotonic())
    thread.join()
    journal.close()
    curves = read_journal(tmp_path / "journal").curves
    assert curves["loss"].steps.tolist() == list(range(20_000))
    assert curves["loss"].values.tolist() == [step / 7 for step in range(20_000)]
    assert curves["of the thread"].steps.tolist() == list(range(2_000))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Journal.open(Path(blocker) / "runs" / "journal")


@pytest.mark.parametrize("one", [1.0, np.float32(1), np.int8(1), np.array(1), np.array(1.0), Fraction(1), True])
def test_a_whole_number_of_any_type_is_that_step(tmp_path, one):
    journal = Journal.open(tmp_path / "journal")
    for step in (0, one, 5, one + 5, 7.0):
        journal.log(step, {"loss": 1.0})
    journal.log(None, {"loss": 1.0})
    journal.close()
    assert read_journal(tmp_path / "journal").curves["loss"].steps.tolist() == [0, 1, 5, 6, 7, 8]


def test_steps_of_torch_are_steps(tmp_path, torch):
    journal = Journal.open(tmp_path / "journal")
    for step in (torch.tensor(0), torch.tensor(1.0), torch.tensor([2]), 3):
        journal.log(step, {"loss": 1.0})
    journal.close()
    assert read_journal(tmp_path / "journal").curves["loss"].steps.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("step", [0.5, math.nan, math.inf, "1", [1], 2**63, -(2**63) - 1, 1j, np.array([1, 2])])
@pytest.mark.parametrize("before", [[], [0], [0, 2]])
def test_what_is_no_step_is_refused_and_changes_nothing(tmp_path, before, step):
    journal = Journal.open(tmp_path / "journal")
    for known in before:
        journal.log(known, {"loss": 1.0})
    kept = (tmp_path / "journal").read_bytes()
    with pytest.raises(InputError, match="cannot be kept"):
        journal.log(step, {"loss": 2.0})
    with pytest.raises(InputError, match="cannot be kept"):
        journal.log(9, {"new": 2.0, "\ud800": 1.0})
    assert (tmp_path / "journal").read_bytes() == kept
    for later in (4, 6, 7):
        journal.log(later, {"loss": 3.0, "new": 1.0})
        journal.log(later, {"loss": 3.0})
    journal.close()
    curves = read_journal(tmp_path / "journal").curves
    assert curves["loss"].steps.tolist() == [*before, 4, 4, 6, 6, 7, 7]
    assert curves["new"].steps.tolist() == [4, 6, 7]


REFUSED = {
    "a step that is none": ("x", {"new": 1.0}),
    "a step that is too large": (2**70, {"new": 1.0}),
    "a step that is too large, for known metrics": (2**70, {"loss": 1.0}),
    "a value that is none": (1, {"new": "x"}),
    "a name that is none": (1, {1: 1.0, "new": 1.0}),
    "a name that cannot be written": (1, {"new": 1.0, "\udc80": 1.0}),
    "no metrics": (1, {}),
}


@pytest.mark.parametrize(("step", "metrics"), REFUSED.values(), ids=list(REFUSED))
def test_a_row_that_is_refused_leaves_nothing_behind(step, metrics, tmp_path):
    journal, usual = Journal.open(tmp_path / "one"), Journal.open(tmp_path / "other")
    for row in range(4):
        journal.log(row, {"loss": row / 7})
        usual.log(row, {"loss": row / 7})
        with pytest.raises(InputError, match="cannot be kept"):
            journal.log(step, metrics)
    journal.log(4, {"loss": 1.0, "new": 2.0})
    usual.log(4, {"loss": 1.0, "new": 2.0})
    journal.close()
    usual.close()
    one, other = read_journal(tmp_path / "one"), read_journal(tmp_path / "other")
    assert (one.lost_bytes, list(one.curves)) == (0, ["loss", "new"])
    assert [curve.values.tolist() for curve in one.curves.values()] == [
        c.values.tolist() for c in other.curves.values()
    ]


def test_thousands_of_metrics_are_read_each_as_it_was_logged(tmp_path):
    journal = Journal.open(tmp_path / "journal")
    names = [f"metric{number}" for number in range(3000)]
    for number, name in enumerate(names):
        journal.log(7, {name: number})
    journal.log(8, dict.fromkeys(names, 1.5))
    journal.close()
    read = read_journal(tmp_path / "journal")
    assert list(read.curves) == names
    curves = enumerate(read.curves.values())
    assert all((c.steps.tolist(), c.values.tolist()) == ([7, 8], [number, 1.5]) for number, c in curves)


@pytest.mark.parametrize("what", ["names", "combinations"])
def test_more_names_than_there_are_numbers_for_are_refused_in_words(what, tmp_path):
    journal = Journal.open(tmp_path / "journal")
    journal.log(0, {"loss": 1.0})
    if what == "names":
        journal._keys |= {f"m{number}": number for number in range(1, lay.MOST_DECLARED)}
    else:
        journal._shapes |= {(f"m{number}",): journal._shapes[("loss",)] for number in range(1, lay.MOST_DECLARED)}
    with pytest.raises(InputError, match=f"at most 65,536 {what}"):
        journal.log(1, {"new": 1.0})
    journal.log(2, {"loss": 1.0})
    journal.close()
    assert read_journal(tmp_path / "journal").curves["loss"].steps.tolist() == [0, 2]


def test_threads_that_log_at_once_lose_and_mix_up_nothing(tmp_path):
    journal = Journal.open(tmp_path / "journal")

    def log_own(number):
        for step in range(400):
            journal.log(step, {f"m{number}": step + number / 8})

    threads = [threading.Thread(target=log_own, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    for number in range(8):
        curve = read_journal(tmp_path / "journal").curves[f"m{number}"]
        assert curve.steps.tolist() == list(range(400))
        assert curve.values.tolist() == [step + number / 8 for step in range(400)]


@pytest.mark.parametrize("alternating", [False, True])
def test_a_long_journal_is_taken_up_from_its_end(alternating, tmp_path):
    rows = [(step, {"acc": step / 3} if alternating and step % 2 else {"loss": step / 7}) for step in range(30_000)]
    path = tmp_path / "journal"
    write(path, rows)
    content = path.read_bytes()
    assert content.count(lay.STATE_MARK) > 3
    path.write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])  # nobody looks there
    with path.open("r+b") as file:
        file.write(lay.FORM_2.header)
    write(path, [(30_000, {"loss": 1.5, "new": 2.5})])
    with path.open("r+b") as file:
        file.write(content[: len(content) // 2])
    assert_holds(path, [*rows, (30_000, {"loss": 1.5, "new": 2.5})])


def format_1(rows, *, events=()):
    """Write a journal as earlier versions of palate did."""
    form, crc, parts = lay.FORM_1, 0, [lay.FORM_1.header]
    keys, shapes = {}, {}

    def add(tag, payload):
        nonlocal crc
        record, crc = form.seal(tag, payload, crc)
        parts.append(record)

    add(lay.EVENT, b'{"format": 1, "kind": "start", "pid": 1, "unix_s": 1000.5}')
    for event in events:
        add(lay.EVENT, event)
    for step, metrics in rows:
        for name in metrics:
            if name not in keys:
                keys[name] = len(keys)
                add(lay.KEY, lay.KEY_HEAD.pack(keys[name]) + name.encode())
        shape = shapes.get(tuple(metrics))
        if shape is None:
            shape = shapes[tuple(metrics)] = Shape(len(shapes), len(metrics))
            add(lay.SHAPE, struct.pack(f"<{len(metrics)}H", *(keys[name] for name in metrics)))
            add(lay.STEP, form.step_body(shape.number, step, 1, 0))
        elif shape.next_step != step:
            shape.stride = step - (shape.next_step - shape.stride)
            add(lay.STEP, form.step_body(shape.number, step, shape.stride, 0))
        record, crc = shape.row(3, tuple(metrics.values()), crc, form)
        parts.append(record)
        shape.next_step = step + shape.stride
    return b"".join(parts)


@given(rows=ROWS, more=ROWS)
@settings(max_examples=40, deadline=None)
def test_a_journal_of_an_earlier_version_is_read_and_written_on(rows, more, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal"
    path.write_bytes(format_1(rows))
    assert_holds(path, rows)
    write(path, more)
    assert_holds(path, [*rows, *more])
    assert path.read_bytes().startswith(format_1(rows))
    assert read_journal(path).integrity.status == "whole"


@pytest.mark.parametrize("place", [200, 800, 1500])
def test_damage_in_a_journal_of_an_earlier_version_costs_no_more_than_it_must(place, tmp_path):
    path = tmp_path / "journal"
    rows = [(step, {"loss": step / 7}) for step in range(200)]
    content = format_1(rows)
    path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    assert_holds(path, rows)  # one bit is put right
    path.write_bytes(content[:place] + bytes(30) + content[place + 30 :])
    read = read_journal(path)
    assert (read.integrity.status, read.integrity.lost_points) == ("lost points", None)
    curve = read.curves["loss"]
    assert curve.values.tolist() == [step / 7 for step in curve.steps.tolist()]
