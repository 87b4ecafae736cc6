"""Whether all that was logged into a journal is there: one function of what was found in it; standard library only.

Rows are numbered from 0 in the order of their calls. What was found are stretches of whole records, in the order of the
file; between two of them something is damaged. Only what they prove counts as there:

    rows      0 ......... 41 |damage| 55 ... 99 |damage| 70 ... 120
    stretch   number 0               number 55          number 70
    lost      -              42..54             -              (70..99 are there twice; counted once)

Rows whose number nobody knows prove nothing: they may be copies, or come behind all others. What nothing proves is
unknown, and unknown never counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from palate.vocabulary import Integrity


@dataclass(slots=True)
class Stretch:
    """Successive whole records of a journal.

    Attributes:
        rows: how many rows they are.
        number: that of the first row; None where nobody knows it.
        lost: the points that were told as lost up to its end, all before it included; None where nobody knows.
        kept: how many of its rows are read, second copies left out.
        anew: it begins behind damage with a number that is a guess.
    """

    rows: int = 0
    number: int | None = None
    lost: int | None = None
    kept: int = 0
    anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found in a journal.

    Attributes:
        stretches: in the order of the file; there is at least one.
        told: points that the events in it tell as lost.
        logged: rows that were logged in all, as the header says; 0 where none waited, None where it is damaged.
        torn: the file ends inside of a record, as a kill leaves it.
        cut: it ends in something else than a record.
        nameless: values are there of which nobody knows the metric.
        mended: places where a flipped bit was put right.
    """

    stretches: Sequence[Stretch]
    told: int = 0
    logged: int | None = 0
    torn: bool = False
    cut: bool = False
    nameless: bool = False
    mended: int = 0

    @property
    def gaps(self) -> int:
        """How many places are damaged."""
        return len(self.stretches) - 1 + self.cut


def copies(stretches: Sequence[Stretch]) -> Iterator[int]:
    """Yield of each stretch how many of its first rows are copies of rows before it."""
    highest = 0
    for stretch in stretches:
        if stretch.anew:
            highest = stretch.number or 0
        if stretch.number is None:
            yield 0
            continue
        yield min(max(highest - stretch.number, 0), stretch.rows)
        highest = max(highest, stretch.number + stretch.rows)


def judge(found: Found) -> Integrity:
    """Say whether all that was logged is there."""
    logged = max((one.number + one.rows for one in found.stretches if one.number is not None), default=0)
    told = max(found.told, *(one.lost or 0 for one in found.stretches))
    waited = max(0, (found.logged or 0) - logged - told)
    missing = max(0, logged - sum(one.kept for one in found.stretches))
    unknown = found.logged is None or not _is_proven(found, logged, told)
    why = _why(found, told + waited)
    if unknown or missing or told or waited:
        return Integrity(status="lost points", lost_points=None if unknown else missing + told + waited, why=why)
    return Integrity(status="torn" if found.torn or found.gaps else "whole", why=why)


def _is_proven(found: Found, logged: int, told: int) -> bool:
    """Whether nothing that is missing goes uncounted.

    The last stretch has to be the end: a piece of the file that stands there twice is not, and hides what was there.
    """
    last = found.stretches[-1]
    if found.cut or found.nameless or last.number is None or last.lost is None:
        return False
    if last.number + last.rows < logged or last.lost < told:
        return False
    return not any(one.anew or (one.number is None and one.rows) for one in found.stretches)


def _why(found: Found, no_room: int) -> str:
    said = []
    if found.gaps:
        said.append(f"the file is damaged in {_times(found.gaps)}")
    if found.logged is None:
        said.append("its header is damaged")
    if no_room:
        said.append(f"the disk was full, and {no_room:,} points found no room")
    if found.torn:
        said.append("the last record is incomplete")
    if found.mended:
        said.append(f"a flipped bit was put right in {_times(found.mended)}")
    return "; ".join(said)


def _times(places: int) -> str:
    return "one place" if places == 1 else f"{places:,} places"
