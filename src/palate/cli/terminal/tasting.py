"""Tasting by keys: what each press does to what is on the screen; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from palate.cli.terminal.keys import BACK, ENTER, ESCAPE, STOP
from palate.cooking.tastings import GRADES, LONGEST_TAG, Kind

LEFT, RIGHT = ("\x1b[D", "\x1bOD", "h"), ("\x1b[C", "\x1bOC", "l")
HOME, END = ("\x1b[H", "\x1bOH", "\x1b[1~", "g"), ("\x1b[F", "\x1bOF", "\x1b[4~", "G")
DOWN, UP = ("\x1b[B", "\x1bOB", "j"), ("\x1b[A", "\x1bOA", "k")
GOOD, TAG, UNDO, QUIT, NEXT = " ", "t", "u", "q", "\t"

KEYS = "← → step   ↓ ↑ one image   space last good one   1-5 grade   t tag   u undo   q quit"
BLIND_KEYS = "← left is better   → right is better   ↓ no difference   u undo   q quit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a key asks for: a word of a sample, or with "undo" that the last one is taken back."""

    kind: Kind
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What a person looks at.

    Attributes:
        count: samples; place: the one that is looked at, from 0.
        image: which of its images, from 1; 0 for the whole grid.
        known: tags that can be chosen.
        typing: whether letters go into a tag; text: what is typed.
        wish: what the last key asked for.
        done: whether it is over.
    """

    count: int
    place: int
    image: int = 0
    known: tuple[str, ...] = ()
    typing: bool = False
    text: str = ""
    wish: Wish | None = None
    done: bool = False

    @property
    def matching(self) -> tuple[str, ...]:
        """The known tags that go on from what is typed."""
        return tuple(one for one in self.known if one.startswith(self.text))


def look(state: Looking, key: str) -> Looking:
    """Return what is looked at after a key, with what that asks for."""
    state = replace(state, wish=None)
    if key in STOP:
        return replace(state, done=True)
    return _typed(state, key) if state.typing else _pressed(state, key)


def _pressed(state: Looking, key: str) -> Looking:
    moved = _moved(state, key)
    if moved is not None:
        return replace(state, place=min(max(moved, 0), state.count - 1))
    if key in (*DOWN, *UP):
        return replace(state, image=max(0, state.image + (1 if key in DOWN else -1)))
    if key == QUIT:
        return replace(state, done=True)
    return replace(state, typing=True, text="") if key == TAG else replace(state, wish=_wish_of(key))


def _wish_of(key: str) -> Wish | None:
    """Return what a key says of a sample; None where it says nothing."""
    if key == GOOD:
        return Wish(kind="last_good")
    if key == UNDO:
        return Wish(kind="undo")
    return Wish(kind="grade", value=key) if key in map(str, GRADES) else None


def _moved(state: Looking, key: str) -> int | None:
    """Return where a key leads; None where it leads nowhere."""
    ways: Sequence[tuple[tuple[str, ...], int]] = (
        (LEFT, state.place - 1), (RIGHT, state.place + 1), (HOME, 0), (END, state.count - 1),
    )  # fmt: skip
    return next((place for keys, place in ways if key in keys), None)


def _typed(state: Looking, key: str) -> Looking:
    if key == ESCAPE:
        return replace(state, typing=False, text="")
    if key in BACK:
        return replace(state, text=state.text[:-1])
    if key == NEXT:
        return replace(state, text=_next(state))
    if key in ENTER:
        tag = state.text.strip()
        return replace(state, typing=False, text="", wish=Wish(kind="tag", value=tag) if tag else None)
    fits = key.isprintable() and len(state.text) < LONGEST_TAG
    return replace(state, text=state.text + key) if fits else state


def _next(state: Looking) -> str:
    """Return the known tag that Tab goes to: the first that goes on from what is typed, or the one behind it."""
    if state.text in state.known:
        return state.known[(state.known.index(state.text) + 1) % len(state.known)]
    return next(iter(state.matching), state.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two samples of one step, without names: which run is on which side."""

    step: int
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """A blind comparison.

    Attributes:
        pairs: in the order in which they are shown.
        answers: the run that was preferred, pair by pair; "" for neither.
        done: whether it is over.
    """

    pairs: tuple[Pair, ...]
    answers: tuple[str, ...] = ()
    stopped: bool = False

    @property
    def done(self) -> bool:
        """Whether there is nothing left to compare, or the person has had enough."""
        return self.stopped or len(self.answers) >= len(self.pairs)

    @property
    def pair(self) -> Pair:
        """The pair that is shown."""
        return self.pairs[len(self.answers)]


def compare(state: Blind, key: str) -> Blind:
    """Return a blind comparison after a key."""
    if key in (*STOP, QUIT):
        return replace(state, stopped=True)
    if key == UNDO:
        return replace(state, answers=state.answers[:-1])
    answers = ((LEFT, state.pair.left), (RIGHT, state.pair.right), ((*DOWN, "="), ""))
    said = next((answer for keys, answer in answers if key in keys), None)
    return state if said is None else replace(state, answers=(*state.answers, said))
