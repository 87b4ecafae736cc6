"""What people said of a run's samples: a line a word in the run's folder, never changed; standard library only.

The running training asks for the tags every 200 ms, so an unchanged file costs one `stat`.
"""

import functools
import importlib
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from palate.errors import InputError, NotFoundError, StoreError
from palate.redaction import known_secrets, redact_text
from palate.store.private import open_file

FILE = "tastings.jsonl"

Kind = Literal["grade", "tag", "last_good", "preference", "undo"]
"""What a word says: 1 to 5, a tag, the last good sample, which of two runs tastes better, that a word is taken back."""

GRADES = range(1, 6)
LONGEST_TAG = 60
MOST_BYTES = 8 << 20
"""The largest file of words that is read: its first so many bytes; a word takes about 150."""

USUAL_TAGS = ("done", "orange skin", "checkerboard", "washed out", "too sharp", "blurred", "the same everywhere")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One thing that somebody said of one sample.

    Attributes:
        author, time: who said it and when.
        step: of the sample.
        kind: what it says.
        value: the grade as a digit; the tag; of a preference the run that tastes better, "" for neither; of an undo
            the id of the word that is taken back; else "".
        against: of a preference, the run that it was compared with.
        id: names it.

    Raises:
        InputError: it says nothing that can be kept.
    """

    author: str
    time: datetime
    step: int
    kind: Kind
    value: str = ""
    against: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"{self.kind!r} is no kind of word.", todo=f"One of {', '.join(get_args(Kind))}")
        if self.time.tzinfo is None:
            raise InputError(f"{self.time} has no time zone.")
        if self.kind == "grade" and self.value not in map(str, GRADES):
            raise InputError(f"{self.value!r} is no grade.", todo="A grade is 1 (bad) to 5 (good).")
        if self.kind == "tag" and (not self.value.strip() or len(self.value) > LONGEST_TAG):
            raise InputError(f"{self.value[:80]!r} is no tag.", why=f"A tag has 1 to {LONGEST_TAG} characters.")

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        told = {"id": self.id, "author": self.author, "time": self.time.isoformat(), "step": self.step}
        return {**told, "kind": self.kind, "value": self.value, **({"against": self.against} if self.against else {})}


def say_word(run_folder: Path, word: Word) -> None:
    """Keep a word with its run, by one write behind all others; secrets in it are not kept.

    Raises:
        NotFoundError: there is no such run.
        StoreError: it cannot be written.
    """
    if not run_folder.is_dir():
        raise NotFoundError(f"{run_folder.name}: there is no such run.", todo="palate list --runs   shows them")
    told = word.document()
    if word.kind == "tag":
        told["value"] = redact_text(word.value, known_secrets(os.environ))
    line = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
    path = run_folder / FILE
    try:
        descriptor = open_file(path, os.O_RDWR | os.O_APPEND)
        try:
            content = _beginning(descriptor) + line + b"\n"
            if os.write(descriptor, content) != len(content):
                raise OSError(28, "No space left on device")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}.", todo="Free space, then say it again."
        ) from error


def _beginning(descriptor: int) -> bytes:
    """Return what ends a line that somebody before did not get to the end of."""
    size = os.fstat(descriptor).st_size
    return b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""


def read_words(run_folder: Path) -> list[Word]:
    """Return all that was said of a run, in order; what is torn or no word is left out."""
    try:
        with (run_folder / FILE).open("rb") as file:
            lines = file.read(MOST_BYTES).split(b"\n")[:-1]  # behind the last line's end is what is not whole yet
    except OSError:
        return []
    return [word for line in lines if (word := _word_of(line)) is not None]


def _word_of(line: bytes) -> Word | None:
    try:
        told = json.loads(line)
        time = datetime.fromisoformat(told["time"])
        return Word(
            author=str(told["author"]), time=time if time.tzinfo else time.replace(tzinfo=UTC), step=int(told["step"]),
            kind=cast("Kind", told["kind"]), value=str(told["value"]), against=str(told.get("against", "")),
            id=str(told["id"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, InputError):
        return None


def in_force(words: Iterable[Word]) -> list[Word]:
    """Return the words that hold: without what was taken back, and of grades, preferences and last good ones the last.

    Each author has one grade a sample, one last good sample, and one preference a pair. A word is taken back by who
    said it.
    """
    words = list(words)
    undone = {(word.author, word.value) for word in words if word.kind == "undo"}
    held: dict[tuple[Any, ...], Word] = {}
    for word in words:
        if word.kind != "undo" and (word.author, word.id) not in undone:
            key = _slot(word)
            held.pop(key, None)  # what is said again stands where it was said last
            held[key] = word
    return list(held.values())


def _slot(word: Word) -> tuple[Any, ...]:
    """Return what a word takes the place of, where it was said before."""
    match word.kind:
        case "tag":
            return word.author, word.kind, word.step, word.value
        case "last_good":
            return word.author, word.kind
        case _:
            return word.author, word.kind, word.step, word.against


def tags_of(run_folder: Path, since_unix_s: float = 0.0) -> frozenset[str]:
    """Return the tags that hold for any sample of a run; one `stat` where nobody said anything since the last call.

    Args:
        run_folder: of the run.
        since_unix_s: tags that were said before do not count.
    """
    path = os.path.join(run_folder, FILE)  # noqa: PTH118  asked five times a second
    try:
        known = os.stat(path)  # noqa: PTH116
    except OSError:
        return frozenset()
    tags = _tags_at(str(run_folder), known.st_ino, known.st_size, known.st_mtime_ns)
    return frozenset(tag for tag, said_s in tags if said_s >= since_unix_s)


@functools.lru_cache(maxsize=64)
def _tags_at(run_folder: str, _inode: int, _size: int, _mtime_ns: int) -> tuple[tuple[str, float], ...]:
    words = in_force(read_words(Path(run_folder)))
    return tuple((word.value, word.time.timestamp()) for word in words if word.kind == "tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferred:
    """How often one run was preferred to another, blind.

    Attributes:
        n: pairs with a preference.
        count: in how many of them it was this run.
        neither: pairs without a difference, which count for nothing.
        low, high: the exact interval of the share, 95 %.
    """

    n: int
    count: int
    neither: int
    low: float
    high: float

    @property
    def words(self) -> str:
        """It as a sentence's end."""
        same = f"; {self.neither} without a difference" if self.neither else ""
        if not self.n:
            return f"preferred in 0 of 0{same}"
        can = "" if self.low > 0.5 or self.high < 0.5 else "; that may be chance"
        share = f"{self.count / self.n:.0%}, exact 95 % interval {self.low:.0%} to {self.high:.0%}"
        alone = "; of these two runs alone, as if neighbouring samples were independent"
        return f"preferred in {self.count} of {self.n} ({share}{same}{can}{alone})"


def preferred_of(words: Sequence[Word], run: str) -> Preferred:
    """Count how often a run was preferred, with the exact interval of Clopper and Pearson (1934)."""
    said = [word for word in words if word.kind == "preference"]
    n, count = sum(word.value != "" for word in said), sum(word.value == run for word in said)
    low, high = exact_interval(count, n)
    return Preferred(n=n, count=count, neither=len(said) - n, low=low, high=high)


def exact_interval(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share.

    C. J. Clopper and E. S. Pearson (1934), Biometrika 26: 404-413.

    >>> low, high = exact_interval(9, 10)
    >>> round(low, 4), round(high, 4)
    (0.555, 0.9975)
    >>> exact_interval(0, 0)
    (0.0, 1.0)
    """
    beta = importlib.import_module("scipy.stats").beta  # takes half a second, and only here

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, count, n - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, n - count)) if count < n else 1.0
    return low, high
