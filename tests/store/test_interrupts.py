"""Whatever interrupts a call of the journal, each row is there wholly or not at all, and later rows are right."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from palate.store import journal as journals
from palate.store import row as rows_of_journal
from palate.store.journal import Journal
from palate.store.reader import read_journal

OURS = {journals.__file__, rows_of_journal.__file__}


class Interrupt(BaseException):
    """What a signal handler raises."""


class Interrupter:
    """Raise at the nth bytecode inside of the journal's own code."""

    def __init__(self, at):
        self.left = at
        self.raised = False

    def trace(self, frame, event, _):
        if frame.f_code.co_filename not in OURS or frame.f_code.co_name == "__del__":
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.raised = True
                raise Interrupt
        return self.trace


def interrupted(call, at):
    """Make a call that is interrupted at its nth bytecode; return whether it was, and whether it returned."""
    interrupter = Interrupter(at)
    before = sys.gettrace()
    sys.settrace(interrupter.trace)
    try:
        call()
    except Interrupt:
        return True, False
    finally:
        sys.settrace(before)
    return interrupter.raised, True


BEFORE = [(0, {"a": 1 / 3}), (1, {"a": 1.5}), (2, {"a": 2.5, "b": 3.5})]
CALLS = {
    "a usual row": (2, {"a": 0.1}),
    "the first row of a shape": (2, {"b": 4.25}),
    "the first row of new names": (2, {"new": 4.25, "a": 0.1, "newer": 7.0}),
    "a step that no stride foretells": (17, {"a": 0.1}),
    "a row that is no longer float32": (3, {"a": 2.5, "b": 0.1}),
    "a row of a late shape": (5, {"late": 0.1}),
    "a row behind which a state is due": (2, {"a": 0.25}),
}
AFTER = [(3, {"a": 5.5}), (4, {"a": 6.5}), (3, {"a": 2.5, "b": 0.7}), (9, {"c": 1.0}), (6, {"late": 0.3})]


def begun(path, name):
    journal = Journal.open(path)
    rows = list(BEFORE)
    if name == "a row of a late shape":
        rows += [(step, {f"x{step}": 1.0}) for step in range(16)] + [(4, {"late": 0.7})]
    for row in rows:
        journal.log(*row)
    if name == "a row behind which a state is due":
        journal._at = journal._at._replace(state_due=0)
    return journal, rows


def points(rows):
    return [(name, step, value) for step, metrics in rows for name, value in metrics.items()]


def read_points(path):
    read = read_journal(path)
    assert read.integrity.status == "whole"
    return sorted(
        (name, step, value)
        for name, curve in read.curves.items()
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True)
    )


EVERY = pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.slow)])
"""How many bytecodes further the next interrupt comes."""


@EVERY
@pytest.mark.parametrize("name", CALLS)
def test_a_row_that_is_interrupted_at_any_bytecode_is_there_or_not_and_spoils_nothing(name, every, tmp_path):
    at = 0
    while True:
        at += 1 if name == "a usual row" else every
        path = tmp_path / f"journal {at}"
        journal, rows = begun(path, name)
        raised, returned = interrupted(lambda journal=journal: journal.log(*CALLS[name]), at)
        for row in AFTER:
            journal.log(*row)
        journal.close()
        without, with_it = (sorted(points(some)) for some in (rows + AFTER, [*rows, CALLS[name], *AFTER]))
        assert read_points(path) in ([with_it] if returned else [without, with_it]), at
        path.unlink()
        if not raised:
            break
    assert at > 100


SOON = [(3, {"a": 5.5}), (4, {"a": 0.1}), (5, {"a": 6.5}), (6, {"a": 2.5, "b": 0.7}), (9, {"a": 7.5})]


@EVERY
@pytest.mark.parametrize("call", ["write_late", "log", "event"])
def test_rows_that_are_written_together_are_there_however_their_writing_is_interrupted(call, every, tmp_path):
    at = 0
    while True:
        at += every
        path = tmp_path / f"journal {at}"
        journal, rows = begun(path, "")
        journal._late_s = time.monotonic()
        for row in SOON:
            journal.log_soon(*row, journal._late_s)
        assert len(journal._late) == len(SOON)
        call_it = {"write_late": journal.write_late, "event": lambda journal=journal: journal.event("told"),
                   "log": lambda journal=journal: journal.log(10, {"a": 8.5})}[call]  # fmt: skip
        raised, returned = interrupted(call_it, at)
        for row in AFTER:
            journal.log(*row)
        journal.close()
        own = [(10, {"a": 8.5})] if call == "log" else []
        either = [sorted(points([*rows, *SOON, *some, *AFTER])) for some in (own, [])]
        assert read_points(path) in (either[:1] if returned else either), at
        path.unlink()
        if not raised:
            break
    assert at > 100


@EVERY
@pytest.mark.parametrize("call", ["event", "close"])
def test_an_event_and_the_end_that_are_interrupted_spoil_nothing(call, every, tmp_path):
    at = 0
    while True:
        at += every
        path = tmp_path / f"journal {at}"
        journal, rows = begun(path, "")
        made = (lambda journal=journal: journal.event("told")) if call == "event" else journal.close
        raised, returned = interrupted(made, at)
        if call == "event":
            journal.log(*AFTER[0])
            rows.append(AFTER[0])
        journal.close()
        assert read_points(path) == sorted(points(rows)), at
        told = sum(event["kind"] == "told" for event in read_journal(path).events)
        assert told in ([1] if returned else [0, 1]) if call == "event" else told == 0
        Journal.open(path).close()  # nobody holds it any more
        path.unlink()
        if not raised:
            break
    assert at > 50


def test_another_thread_goes_on_where_an_interrupt_came_just_before_the_lock_was_let_go(tmp_path):
    for at in range(60, 200, 7):
        path = tmp_path / f"journal {at}"
        journal, rows = begun(path, "")
        interrupted(lambda journal=journal: journal.log(2, {"a": 0.1}), at)
        thread = threading.Thread(target=journal.log, args=(7, {"other": 1.0}))
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        journal.close()
        assert set(points(rows)) < set(read_points(path))


def test_two_threads_that_wait_for_a_lock_that_nobody_holds_both_go_on(tmp_path):
    journal, rows = begun(tmp_path / "journal", "")
    for begin in (10, 50, 90):
        journal._lock.acquire()  # as an exception leaves it that comes just before it is let go
        more = [(begin + place, {f"of {place}": 1.0}) for place in range(4)]
        threads = [threading.Thread(target=journal.log, args=row, daemon=True) for row in more]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        rows += more
    journal.close()
    assert read_points(tmp_path / "journal") == sorted(points(rows))


class Alarm:
    """Raises by a timer, while it is armed."""

    armed = False

    def ring(self, *_):
        if self.armed:
            self.armed = False
            raise Interrupt


@pytest.fixture
def alarm():
    one = Alarm()
    usual = signal.signal(signal.SIGALRM, one.ring)
    yield one
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, usual)


MOST_CALLS = 400
"""Calls an interrupt that are waited for: where timers are coarse, few of them ring within a call."""


def interrupts(path, count, rng, alarm):
    """Log while a timer interrupts at random moments; assert that each call that returned is there, once."""
    journal = Journal.open(path)
    returned, begun_rows, step, met = [], set(), 0, 0
    for _ in range(MOST_CALLS * count):
        if met == count:
            break
        step += rng.choice([1, 1, 1, 1, 3])
        metrics = {name: rng.random() for name in rng.choice([("a",), ("a",), ("a", "b"), (f"n{rng.randrange(40)}",)])}
        begun_rows.update(points([(step, metrics)]))
        after_s = rng.uniform(1e-6, 4e-5)
        try:
            alarm.armed = True
            signal.setitimer(signal.ITIMER_REAL, after_s)
            journal.log(step, metrics)
            alarm.armed = False
        except Interrupt:
            met += 1
            continue
        returned += points([(step, metrics)])
    journal.close()
    assert met > 0
    got = read_points(path)
    assert len(set(got)) == len(got)
    assert set(returned) <= set(got) <= begun_rows


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt inside of a finalizer
def test_interrupts_at_random_moments_lose_and_spoil_nothing(alarm, tmp_path):
    interrupts(tmp_path / "journal", 150, random.Random(0), alarm)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt inside of a finalizer
def test_thousands_of_interrupts(alarm, tmp_path):
    for seed in range(6):
        interrupts(tmp_path / f"journal {seed}", 600, random.Random(seed), alarm)


def handler_rows(path, count, *, every_s):
    """Log while a signal handler logs too; return what was logged by either.

    The next signal is set when the handler ends: on a slow machine the handler would otherwise have no end.
    """
    journal = Journal.open(path)
    logged = []

    def also_log(*_):
        step = 10**6 + len(logged)
        journal.log(step, {"from handler": 0.5, "a": step / 7})
        journal.event("handled", step=step)
        logged.append((step, {"from handler": 0.5, "a": step / 7}))
        signal.setitimer(signal.ITIMER_REAL, every_s)

    usual = signal.signal(signal.SIGALRM, also_log)
    try:
        signal.setitimer(signal.ITIMER_REAL, every_s)
        for step in range(count):
            metrics = {"a": step / 7} if step % 5 else {"b": step / 3}
            journal.log(step, metrics)
            logged.append((step, metrics))
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # from here on no handler sets another
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)
    journal.close()
    return logged


def test_a_signal_handler_that_logs_neither_hangs_nor_loses_a_row(tmp_path):
    logged = handler_rows(tmp_path / "journal", 20_000, every_s=3e-4)
    handled = sum(step >= 10**6 for step, _ in logged)
    assert handled > 10
    assert read_points(tmp_path / "journal") == sorted(points(logged))
    assert sum(event["kind"] == "handled" for event in read_journal(tmp_path / "journal").events) == handled


class Handler(Interrupter):
    """Log at the nth bytecode inside of the journal's own code, as a signal handler does there."""

    def __init__(self, at, journal):
        super().__init__(at)
        self.journal = journal

    def trace(self, frame, event, _):
        if frame.f_code.co_filename not in OURS:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.raised = True
                sys.settrace(None)
                self.journal.log(100, {"a": 9.5, "handler": 0.5})
        return self.trace


@EVERY
@pytest.mark.parametrize("name", ["a usual row", "the first row of new names"])
def test_a_handler_that_logs_at_any_bytecode_of_a_call_is_kept(name, every, tmp_path):
    at, raised = 0, True
    while raised:
        at += every
        path = tmp_path / f"journal {at}"
        journal, rows = begun(path, name)
        handler, before = Handler(at, journal), sys.gettrace()
        sys.settrace(handler.trace)
        try:
            journal.log(*CALLS[name])
        finally:
            sys.settrace(before)
        raised = handler.raised
        for row in AFTER:
            journal.log(*row)
        journal.close()
        nested = [(100, {"a": 9.5, "handler": 0.5})] if raised else []
        assert read_points(path) == sorted(points([*rows, CALLS[name], *nested, *AFTER])), at
        path.unlink()


@EVERY
def test_a_handler_that_logs_while_rows_are_written_together_is_kept(every, tmp_path):
    at, raised = 0, True
    while raised:
        at += every
        path = tmp_path / f"journal {at}"
        journal, rows = begun(path, "")
        journal._late_s = time.monotonic()
        for row in SOON:
            journal.log_soon(*row, journal._late_s)
        handler, before = Handler(at, journal), sys.gettrace()
        sys.settrace(handler.trace)
        try:
            journal.write_late()
        finally:
            sys.settrace(before)
        raised = handler.raised
        journal.close()
        nested = [(100, {"a": 9.5, "handler": 0.5})] if raised else []
        assert read_points(path) == sorted(points([*rows, *SOON, *nested])), at
        path.unlink()


FORKS = """
import os, signal, sys, threading
from palate.errors import JournalTakenError
from palate.store.journal import Journal
journal, stop = Journal.open(sys.argv[1]), threading.Event()
def log_on():
    step = 0
    while not stop.is_set():
        journal.log(step, {"loss": step / 7})
        step += 1
thread = threading.Thread(target=log_on)
thread.start()
children = []
for _ in range(10):
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            journal.log(5, {"child": 1.0})
        except JournalTakenError:
            os._exit(7)
        os._exit(0)
    children.append(child)
stop.set()
thread.join()
print({os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children})
journal.close()
"""


def test_a_forked_child_neither_hangs_nor_writes_nor_keeps_the_lock(tmp_path):
    """In a process of its own: this one has threads of others, whose locks a forked child would find held."""
    words = [sys.executable, "-c", FORKS, str(tmp_path / "journal")]
    assert subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout == "{7}\n"
    assert list(read_journal(tmp_path / "journal").curves) == ["loss"]


OUTLIVED = """
import os, signal, sys, time
from palate.store.journal import Journal
journal = Journal.open(sys.argv[1])
journal.log(0, {"loss": 1.0})
if sys.argv[2] == "fork":
    if not os.fork():
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
else:
    import subprocess
    print(subprocess.Popen(["sleep", "60"], close_fds=False).pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_child_that_outlives_its_parent_does_not_hold_the_journal(how, tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", OUTLIVED, str(tmp_path / "journal"), how], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        journal = Journal.open(tmp_path / "journal")
        journal.log(1, {"loss": 2.0})
        journal.close()
    finally:
        os.kill(child, signal.SIGKILL)
    assert read_journal(tmp_path / "journal").curves["loss"].values.tolist() == [1.0, 2.0]


THREADS_COME_AND_GO = """
import gc, threading, time
from palate.store.journal import frames_of_others

gc.callbacks.append(lambda *_: time.sleep(0.0005))  # another thread goes on in the middle of a collection
gc.set_threshold(1)
ended = False

def start_many():
    while not ended:
        threading.Thread(target=time.sleep, args=(0.05,), daemon=True).start()
        time.sleep(0.0001)

starters = [threading.Thread(target=start_many, daemon=True) for _ in range(2)]
for starter in starters:
    starter.start()
for _ in range(200):
    time.sleep(0.001)
    assert starters[0].ident is not None and len(frames_of_others()) >= 2
ended = True
assert gc.isenabled()
"""


def test_threads_that_come_and_go_and_a_collection_do_not_wait_for_each_other():
    subprocess.run([sys.executable, "-c", THREADS_COME_AND_GO], check=True, timeout=60)
