"""A journal with several faults at once never says that nothing is lost where something is, and reads nothing wrong."""

import contextlib
import random
from copy import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.test_damage import DAMAGES, FROM_A_KILL, irregular, points, points_of, regular, spans_of_rows

from palate.errors import PalateError, StoreError
from palate.store import layout as lay
from palate.store.integrity import Found, Stretch, copies, judge
from palate.store.journal import Journal
from palate.store.reader import read_journal


@st.composite
def pieces_of_journals(draw):
    """Draw a journal as calls (0 for a row, else points that a full disk cost), and what was found of it.

    The pieces that were found may leave out anything, be there twice, and stand in any order; of each it may be unknown
    what its number is, what was lost before it, and which of its rows can be read.
    """
    calls = draw(st.lists(st.one_of(st.just(0), st.just(0), st.integers(1, 9)), max_size=25))
    places = st.integers(0, len(calls))
    spans = [(0, draw(places)), *draw(st.lists(st.tuples(places, places).map(sorted).map(tuple), max_size=4))]
    parts, read, told = [], [], set()
    for number, (start, end) in enumerate(spans):
        rows = calls[start:end].count(0)
        first = not number
        part = Stretch(
            rows=rows,
            number=calls[:start].count(0) if first or draw(st.booleans()) else None,
            lost=sum(calls[:end]) if first or draw(st.booleans()) else None,
        )
        parts.append(part)
        told |= {place for place in range(start, end) if calls[place]}
        read.append([True] * rows if first else draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    for part, again, rows in zip(parts, copies(parts), read, strict=True):
        part.kept = sum(rows[again:])
    end = max(end for _, end in spans)
    cut, logged = draw(st.booleans()), draw(st.sampled_from([0, 0, None, 1]))
    logged = calls.count(0) + sum(calls) if logged else logged
    found = Found(
        stretches=parts, told=sum(calls[place] for place in told), logged=logged, torn=draw(st.booleans()), cut=cut,
        nameless=draw(st.booleans()),
    )  # fmt: skip
    return calls, spans, found


@given(drawn=pieces_of_journals())
@settings(max_examples=300, deadline=None)
def test_what_nothing_proves_is_never_said_to_be_there(drawn):
    calls, spans, found = drawn
    integrity = judge(found)
    if integrity.lost_points is None:
        assert not integrity.counts
        return
    # a journal that is cut at the end of its last piece is what a kill may have left there, if nobody knows better
    there = calls if found.logged else calls[: spans[-1][1]]
    numbers = {number for start, end in spans for number in range(calls[:start].count(0), calls[:end].count(0))}
    assert numbers <= set(range(there.count(0))), "rows are known behind the last piece"
    kept = sum(one.kept for one in found.stretches)
    assert kept <= len(numbers)
    assert integrity.lost_points == there.count(0) - kept + sum(there)
    assert integrity.counts == (not integrity.lost_points)


def test_what_is_proven_is_counted():
    whole = Stretch(rows=42, number=0, lost=0, kept=42)
    assert judge(Found(stretches=[whole])).status == "whole"
    assert judge(Found(stretches=[whole], torn=True)).status == "torn"
    behind = Stretch(rows=45, number=55, lost=7, kept=43)
    assert judge(Found(stretches=[whole, behind])).lost_points == 13 + 2 + 7
    assert judge(Found(stretches=[whole, Stretch(), behind])).lost_points == 13 + 2 + 7
    assert judge(Found(stretches=[whole, Stretch(rows=8), behind])).lost_points is None
    assert judge(Found(stretches=[whole, behind, Stretch()])).lost_points is None
    assert judge(Found(stretches=[whole, behind], logged=110)).lost_points == 13 + 2 + 10
    assert judge(Found(stretches=[whole, Stretch(rows=5, number=90, lost=0, anew=True)])).lost_points is None


FAULTS = tuple(one for one in DAMAGES if one not in FROM_A_KILL)


class Truth:
    """What was logged into a journal: its rows, and how many points were dropped before which of them."""

    def __init__(self, path, rng, kind, *, closed, drops):
        self.path, self.rows, self.dropped = path, [], []
        journal = Journal.open(path)
        for step, metrics in kind(rng):
            if rng.random() < drops:
                self.dropped.append((len(self.rows), count := rng.randint(1, 30)))
                journal._at = journal._at._replace(dropped=count)  # as a disk leaves it that was full for a while
            journal.log(step, metrics)
            self.rows.append((step, metrics))
            if rng.random() < 0.02:
                journal.event("checkpoint", place=f"{rng.random()}")
            if rng.random() < 0.01:
                journal.close()
                journal = Journal.open(path)
        if closed:
            journal.close()
        content = path.read_bytes()
        journal.close()
        path.write_bytes(content)

    def holds(self, seed):
        """Read the journal, whatever was done to it; see that nothing is wrong, and that nothing is lost unsaid."""
        try:
            read = read_journal(self.path)
        except PalateError:
            return None
        got = points(read.curves)
        assert got <= points_of(self.rows), seed
        missing = [place for place, row in enumerate(self.rows) if not points_of([row]) <= got]
        if read.integrity.counts:  # then it is what a kill may have left: rows up to one of them, and nothing dropped
            kept = len(self.rows) - len(missing)
            assert missing == list(range(kept, len(self.rows))), (seed, read.integrity)
            assert not [place for place, _ in self.dropped if place < kept], (seed, read.integrity)
        return len(missing), read.integrity

    def is_told(self, seed):
        """Read a journal whose end is whole; see that it says what is lost, and how much where it says that."""
        read = self.holds(seed)
        if read is None:
            return
        missing, integrity = read
        if missing or self.dropped:
            assert integrity.status == "lost points", seed
        if integrity.lost_points is not None:
            assert integrity.lost_points == missing + sum(count for _, count in self.dropped), (seed, integrity)

    def written_on(self):
        """Go on with the journal, as far as it can be; return what is logged then."""
        later = copy(self)
        with contextlib.suppress(StoreError):
            journal = Journal.open(self.path)
            later.rows = self.rows + [(step, {"loss": step / 3}) for step in range(3)]
            for row in later.rows[-3:]:
                journal.log(*row)
            journal.close()
        return later


def changed(content, rng, faults, *, until):
    """Change the bytes before a place several times."""
    head = content[:until]
    for _ in range(faults):
        head = rng.choice(FAULTS)(head, rng)[0] if len(head) > 10 else head
    return head + content[until:]


def assert_several_faults_are_told(path, seed):
    rng = random.Random(seed)
    truth = Truth(
        path, rng, rng.choice([regular, regular, irregular]), closed=rng.random() < 0.6, drops=rng.choice([0, 0.01])
    )
    content = path.read_bytes()
    spans = spans_of_rows(content)
    for _ in range(5):
        anywhere = rng.random() < 0.3
        until = len(content) if anywhere else spans[-12][0]  # enough rows behind it to find the end by
        path.write_bytes(changed(content, rng, rng.randint(2, 4), until=until))
        truth.holds(seed)
        if not anywhere:
            truth.is_told(seed)
            truth.written_on().is_told(seed)
    path.unlink()


@pytest.mark.parametrize("seed", range(0, 16, 4))
def test_of_several_faults_at_once_all_that_they_cost_is_told(seed, tmp_path):
    assert_several_faults_are_told(tmp_path / "journal", seed)


@pytest.mark.slow
def test_of_several_faults_in_a_hundred_journals_all_that_they_cost_is_told(tmp_path):
    for seed in range(1000, 1100):
        assert_several_faults_are_told(tmp_path / "journal", seed)


def logged(path, rows, *, dropped_at=None):
    """Log rows with an event in their middle, and perhaps a full disk; close the journal."""
    journal = Journal.open(path)
    for step in range(rows):
        if step == rows // 2:
            journal.event("checkpoint", place="x" * 40)
            journal.event("checkpoint", place="a second one, which confirms all behind it")
        if step == dropped_at:
            journal._at = journal._at._replace(dropped=19)
        journal.log(step, {"loss": step / 7})
    journal.close()
    return path.read_bytes()


def test_a_lost_end_is_not_forgotten_for_damage_in_the_middle_that_costs_nothing(tmp_path):
    path = tmp_path / "journal"
    content = bytearray(logged(path, 150))
    place = content.index(b"x" * 40)
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    assert read_journal(path).integrity.status == "torn"  # the event alone
    content[-300:] = b"\xee" * 300
    path.write_bytes(content)
    integrity = read_journal(path).integrity
    assert (integrity.status, integrity.lost_points, integrity.counts) == ("lost points", None, False)


def test_points_that_a_damaged_event_told_as_lost_are_lost_still(tmp_path):
    path = tmp_path / "journal"
    content = bytearray(logged(path, 150, dropped_at=100))
    assert read_journal(path).integrity.lost_points == 19
    place = content.index(b'"kind": "lost"')
    content[place : place + 9] = bytes(9)
    path.write_bytes(content)
    integrity = read_journal(path).integrity
    assert (integrity.status, integrity.lost_points) == (
        "lost points",
        21,
    )  # with two rows behind that nothing confirms
    path.write_bytes(content[: content.rindex(lay.STATE_MARK) - lay.OTHER_HEAD.size])
    integrity = read_journal(path).integrity
    assert (integrity.status, integrity.lost_points) == ("lost points", None)  # nothing behind it says anything


def test_the_end_of_a_journal_that_older_bytes_of_it_stand_in_is_not_proven(tmp_path):
    path = tmp_path / "journal"
    journal = Journal.open(path)
    for step in range(400):
        if step == 100:
            journal._write_state()
        journal.log(step, {"loss": step / 7})
    journal.close()
    content = path.read_bytes()
    place = content.index(lay.STATE_MARK) - 100
    path.write_bytes(content[:-700] + content[place : place + 700])
    integrity = read_journal(path).integrity
    assert (integrity.status, integrity.lost_points) == ("lost points", None)


def test_a_damaged_header_is_said(tmp_path):
    path = tmp_path / "journal"
    content = bytearray(logged(path, 150))
    content[lay.OWED_AT : lay.OWED_AT + 24] = bytes(range(1, 25))
    path.write_bytes(content)
    integrity = read_journal(path).integrity
    assert (integrity.status, integrity.lost_points) == ("lost points", None)
    assert "header" in integrity.why
    for length in range(9, 32):  # and cut inside of it: it is not read, and not continued as if it were whole
        path.write_bytes(content[:length])
        with pytest.raises(PalateError, match="header is damaged"):
            read_journal(path)
        with pytest.raises(PalateError, match="cannot be continued"):
            Journal.open(path)
        assert path.read_bytes() == content[:length]
