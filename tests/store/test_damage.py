"""A damaged journal gives what is still there, never a wrong value, and says that something is missing."""

import contextlib
import os
import random
import shutil

import pytest

from palate.errors import PalateError, StoreError
from palate.store import layout as lay
from palate.store.journal import Journal
from palate.store.reader import Content, read_journal
from palate.store.runs import read_or_say
from palate.vocabulary import Integrity

EVERY = {f"metric {number}": 0.5 for number in range(30)}


def regular(rng):
    """Rows as a training logs them: a loss at each step, more every now and then, some shapes beyond the sixteenth."""
    for step in range(rng.choice([40, 400])):
        yield step, {"loss": rng.random()}
        if step % 7 == 6:
            yield step, {"val_loss": rng.random(), "val_acc": rng.choice([0.25, 0.5, rng.random()])}
        if step == 20:
            for name in EVERY:
                yield step, {name: rng.random(), "x": rng.random()}
        if step % 25 == 24:
            yield step, {"metric 29": rng.random(), "x": rng.random()}


def irregular(rng):
    """Rows at steps that no stride foretells, in shapes that come and go."""
    step, names = 0, ["a", "b", "c", "größe"]
    for _ in range(rng.choice([30, 300])):
        step += rng.choice([1, 1, 1, 2, 5, -3, 10**9])
        yield step, {name: rng.random() for name in rng.sample(names, rng.randint(1, 4))}


def written(path, rng, kind, *, closed=True):
    rows = []
    journal = Journal.open(path)
    for step, metrics in kind(rng):
        journal.log(step, metrics)
        rows.append((step, metrics))
        if rng.random() < 0.01:
            journal.event("checkpoint", place=f"{rng.random()}")
        if closed and rng.random() < 0.01:
            journal.close()
            journal = Journal.open(path)
    if closed:
        journal.close()
    content = path.read_bytes()
    journal.close()
    path.write_bytes(content)
    return rows


def spans_of_rows(content):
    """Return the bytes that each row's record takes, with what was declared right before it."""
    form = lay.form_of(content)
    layout, at, crc, spans = lay.Layout(form), len(form.header), 0, []
    start = at
    while at < len(content) and (record := lay.read_record(content, at, crc, layout)) is not None:
        layout.declare(record.tag, record.payload)
        if record.tag & lay.ROW or record.tag == lay.LONG_ROW:
            spans.append((start, record.end))
        at, crc = record.end, record.crc
        if record.tag not in (lay.KEY, lay.SHAPE, lay.STEP):
            start = at
    return spans


def flip(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :], [
        (place, place + 1)
    ]


def change(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :], [(place, place + 1)]


def piece(content, rng):
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.choice([2, 5, 12, 40, 600]))


def blank(content, rng):
    start, end = piece(content, rng)
    return content[:start] + bytes(end - start) + content[end:], [(start, end)]


def spoil(content, rng):
    start, end = piece(content, rng)
    return content[:start] + rng.randbytes(end - start) + content[end:], [(start, end)]


def cut_out(content, rng):
    start, end = piece(content, rng)
    return content[:start] + content[end:], [(start, end)]


def insert(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + rng.randbytes(rng.choice([1, 7, 300])) + content[place:], [(place - 1, place + 1)]


def double(content, rng):
    start, end = piece(content, rng)
    return content[:end] + content[start:], [(start - 1, end + 1)]


def swap(content, rng):
    first, second = sorted(rng.sample(range(len(content)), 2))
    length = min(second - first, len(content) - second, rng.choice([3, 12, 100, 2000]))
    one, other = content[first : first + length], content[second : second + length]
    changed = content[:first] + other + content[first + length : second] + one + content[second + length :]
    return changed, [(first, first + length), (second, second + length)]


def append(content, rng):
    return content + rng.choice([bytes(500), rng.randbytes(40), content[-200:], b"\x80"]), []


def cut_off(content, rng):
    place = rng.randrange(len(content))
    return content[:place], [(place, len(content))]


DAMAGES = (flip, flip, change, blank, spoil, cut_out, insert, double, swap, append, cut_off)
FROM_A_KILL = (append, cut_off)
"""What looks as if the process had been killed a little earlier: nobody can tell that rows are missing."""


def points(curves):
    return {
        (name, step, value)
        for name, curve in curves.items()
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True)
    }


def points_of(rows):
    return {(name, step, value) for step, metrics in rows for name, value in metrics.items()}


def assert_stands(path, rows, damage, rng, *, complete):
    """Damage a journal; assert that all that is read was logged, and that nothing is missing without a word."""
    content = path.read_bytes()
    spans = spans_of_rows(content)
    assert len(spans) == len(rows)
    changed, hit = damage(content, rng)
    path.write_bytes(changed)
    try:
        read = read_journal(path)
    except PalateError:
        assert hit[0][0] < len(lay.FORM_2.header) + 200, "only a journal whose beginning is damaged may be unread"
        return
    got, logged = points(read.curves), points_of(rows)
    assert got <= logged
    if got < logged and damage not in FROM_A_KILL and hit[-1][1] <= spans[-1][0]:  # else it may look like a kill
        assert read.integrity.status == "lost points"
    first, last = (min(start for start, _ in hit), max(end for _, end in hit)) if hit else (0, len(content))
    if complete and last < content.rfind(lay.STATE_MARK):
        behind = [span for span in spans if span[0] >= last][
            :3
        ]  # nothing confirms two; a third where the first looks like one
        whole = [
            row
            for row, (start, end) in zip(rows, spans, strict=True)
            if not (start < last and first < end) and (start, end) not in behind
        ]
        assert points_of(whole) <= got
        lost = read.integrity.lost_points
        if lost and damage is not double:
            assert lost == sum(not points_of([row]) <= got for row in rows)


@pytest.mark.parametrize("seed", range(110))
def test_damage_costs_what_it_hits_and_nothing_is_read_as_another_value(seed, tmp_path):
    rng = random.Random(seed)
    damage = DAMAGES[seed % len(DAMAGES)]
    rows = written(tmp_path / "journal", rng, regular)
    assert_stands(tmp_path / "journal", rows, damage, rng, complete=True)


@pytest.mark.parametrize("seed", range(44))
def test_irregular_and_unclosed_journals_give_nothing_wrong_either(seed, tmp_path):
    rng = random.Random(seed)
    damage = DAMAGES[seed % len(DAMAGES)]
    rows = written(tmp_path / "journal", rng, rng.choice([regular, irregular]), closed=rng.random() < 0.5)
    assert_stands(tmp_path / "journal", rows, damage, rng, complete=False)


@pytest.mark.slow
def test_thousands_of_damaged_journals(tmp_path):
    rng = random.Random(0)
    for _ in range(25):
        closed, kind = rng.random() < 0.7, rng.choice([regular, irregular])
        rows = written(tmp_path / "original", rng, kind, closed=closed)
        for number in range(100):
            shutil.copy(tmp_path / "original", tmp_path / "journal")
            damage = DAMAGES[number % len(DAMAGES)]
            assert_stands(tmp_path / "journal", rows, damage, rng, complete=closed and kind is regular)
        (tmp_path / "original").unlink()


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_journal_is_written_on_and_nothing_that_was_there_is_lost(seed, tmp_path):
    rng = random.Random(seed)
    path = tmp_path / "journal"
    rows = written(path, rng, rng.choice([regular, irregular]), closed=rng.random() < 0.7)
    damaged = DAMAGES[seed % len(DAMAGES)](path.read_bytes(), rng)[0]
    path.write_bytes(damaged)
    before = read_or_say(path)
    later = [(5, {"loss": 1.5}), (6, {"loss": 2.5}), (9, {"new": 3.5})]
    try:
        journal = Journal.open(path)
    except StoreError:
        assert path.read_bytes() == damaged
        return
    for row in later:
        journal.log(*row)
    journal.close()
    after = read_journal(path)
    assert points_of(later) <= points(after.curves) <= points_of(rows) | points_of(later)
    assert points(after.curves) >= points(before.curves) - points_of(later)
    kept = b"".join(one.read_bytes() for one in sorted(tmp_path.glob("journal.cut-*")))
    content = path.read_bytes()
    assert len(kept) <= len(damaged)
    assert content[: len(damaged) - len(kept)] + kept == damaged


def test_a_flipped_bit_is_put_right_where_the_checksums_tell_which_it_was(tmp_path):
    path = tmp_path / "journal"
    rows = written(path, random.Random(0), regular)
    content = path.read_bytes()
    for start, _ in spans_of_rows(content)[50:60]:
        damaged = bytearray(content)
        damaged[start + 3] ^= 0x10
        path.write_bytes(damaged)
        read = read_journal(path)
        assert points(read.curves) == points_of(rows)
        assert (read.integrity.status, read.integrity.lost_points) == ("whole", 0)
        assert "put right" in read.integrity.why


def test_the_lost_rows_are_counted(tmp_path):
    path = tmp_path / "journal"
    written(path, random.Random(1), regular)
    content = path.read_bytes()
    spans = spans_of_rows(content)
    start, end = spans[10][0], spans[29][1]
    path.write_bytes(content[:start] + content[end:])
    assert read_journal(path).integrity == Integrity(
        status="lost points", lost_points=20, why="the file is damaged in one place"
    )


REFUSED = {
    "a name that is no text": (lay.KEY, b"\0\0\xff\xfe"),
    "an event that is no JSON": (lay.EVENT, b"{"),
    "an event that is no object": (lay.EVENT, b"[1]"),
    "an event without a time": (lay.EVENT, b'{"kind": "x"}'),
    "an event that is nested too deep": (lay.EVENT, b"[" * 100_000),
    "a step of no shape": (lay.STEP, lay.FORM_2.step_body(9, 0, 1, 0)),
    "a step that is cut": (lay.STEP, b"\0\0\0"),
    "steps beyond all numbers": (lay.STEP, lay.FORM_2.step_body(0, 2**63 - 1, 2**62, 1)),
    "a shape of no keys": (lay.SHAPE, b"\1\0"),
    "a second name with one number": (lay.KEY, b"\0\0other"),
    "a row of no shape": (lay.LONG_ROW, lay.LONG_HEAD.pack(77, 0) + bytes(8)),
    "a row that is too long": (lay.LONG_ROW, lay.LONG_HEAD.pack(0, 0) + bytes(80)),
}


@pytest.mark.parametrize(("tag", "payload"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_behind_a_right_checksum_is_refused_by_name(tag, payload, tmp_path):
    path = tmp_path / "journal"
    journal = Journal.open(path)
    journal.log(0, {"loss": 0.5})
    crc = journal._at.crc
    bad, crc = lay.FORM_2.seal(tag, payload, crc)
    rows = b""
    for _ in range(4):
        one, crc = journal._shapes[("loss",)].row(0, (0.5,), crc, lay.FORM_2)
        rows += one
    with path.open("ab") as file:
        file.write(bad + rows)
    journal._descriptor = -1  # as if it had been killed
    journal.close()
    content = path.read_bytes()
    with pytest.raises(StoreError, match=str(path)):
        read_journal(path)
    said = read_or_say(path)
    assert (said.status, said.lost_points) == ("unread", None)
    with contextlib.suppress(StoreError):
        Journal.open(path).close()
        assert tag in (lay.EVENT, lay.STEP, lay.LONG_ROW)
    assert path.read_bytes().startswith(content)


def test_what_is_no_readable_file_is_refused_by_name(tmp_path):
    (tmp_path / "journal").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        read_journal(tmp_path / "journal")
    newer = tmp_path / "newer"
    newer.write_bytes(b"palate\x09\n" + bytes(50))
    with pytest.raises(StoreError, match="newer palate"):
        read_journal(newer)
    (tmp_path / "foreign").write_text("my notes")
    os.mkfifo(tmp_path / "pipe")
    for name in ("journal", "newer", "foreign", "gone", "pipe"):
        assert read_or_say(tmp_path / name).status == "unread"
    if os.getuid():
        newer.chmod(0)
        with pytest.raises(StoreError, match="cannot be read"):
            read_journal(newer)


def test_a_file_that_ends_inside_of_its_header_holds_nothing_and_can_be_begun(tmp_path):
    for length in range(len(lay.FORM_2.header)):
        path = tmp_path / f"journal {length}"
        path.write_bytes(lay.FORM_2.header[:length])
        assert isinstance(read_or_say(path), Content) or length in (0, len(lay.FORM_1.header))
        journal = Journal.open(path)
        journal.log(3, {"loss": 1.5})
        journal.close()
        assert points(read_journal(path).curves) == {("loss", 3, 1.5)}
        assert read_journal(path).integrity.status == "whole"


def test_a_damaged_checksum_behind_an_event_makes_no_other_value_of_the_next_row(tmp_path):
    path = tmp_path / "journal"
    journal = Journal.open(path)
    rows = [(step, {"loss": step / 7}) for step in range(60)]
    for row in rows[:30]:
        journal.log(*row)
    journal.event("checkpoint", place="x" * 90)
    end = path.stat().st_size
    for row in rows[30:]:
        journal.log(*row)
    journal.close()
    content = path.read_bytes()
    for place in range(end - 4, end):
        for value in range(0, 256, 5):
            path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            assert points(read_journal(path).curves) <= points_of(rows)
