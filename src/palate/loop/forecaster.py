"""Who forecasts, and how much of the treatment they could have seen; light to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palate.errors import InputError
from palate.forecast.answer import is_line

BLIND, REPEAT, PART = "blind", "asked before", "part seen"
"""Classes of forecasts: nothing of the treatment was there; the same change was seen or tried before; some
of it was there, but nobody knew how much of a run that is."""

SHARES = (10, 25, 50, 75, 90, 100)
"""Classes of forecasts made after some of the treatment was seen, in percent of its budget."""

TEAM = "mean of all"
"""The mean of what everybody forecast blind, one more forecaster: it beats nearly everybody in it."""

LONGEST_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who forecasts: a name, and whether it is an agent's.

    Raises:
        InputError: a name that cannot stand in a line, or that is taken.
    """

    name: str
    agent: bool = False

    def __post_init__(self) -> None:
        plain = is_line(self.name) and self.name.strip() == self.name and 0 < len(self.name) <= LONGEST_NAME
        if not plain or self.name == TEAM:
            raise InputError(
                f"{self.name!r} cannot be the name of a forecaster.",
                why=f"It is a line of text, {LONGEST_NAME} characters at most, and not {TEAM!r}.",
                todo="--author ada   or   PALATE_AUTHOR=ada",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What of the treatment existed when somebody forecast, read from its journals.

    Attributes:
        points: metric points.
        samples: samples (images, texts) that were kept.
        share: of its budget that was run; None where nobody knows how long it is.
        ended: runs that ended: then the outcome is visible.
        repeat: whether the same change was asked about before, and answered.
    """

    points: int = 0
    samples: int = 0
    share: float | None = None
    ended: int = 0
    repeat: bool = False

    @property
    def kind(self) -> str:
        """The class of a forecast made with it: "blind", up to "10 %" seen, and so on, never mixed with each other."""
        if not self.points and not self.samples:
            return REPEAT if self.repeat else BLIND
        if self.share is None:
            return PART
        return f"{next((one for one in SHARES if 100 * self.share <= one), SHARES[-1])} %"

    @property
    def words(self) -> str:
        """How much was seen, as it is said in a sentence; empty where nothing was."""
        seen = {BLIND: "", REPEAT: "the same change tried before", PART: "part of the curve seen"}
        return seen.get(self.kind, f"up to {self.kind} of the curve seen")

    def body(self) -> dict[str, Any]:
        """Write it as it is sealed with a forecast."""
        return {
            "evidence_seen": self.points,
            "samples_seen": self.samples,
            "share_seen": self.share,
            "asked_before": self.repeat,
        }


def evidence_of_body(body: Mapping[str, Any]) -> Evidence:
    """Undo `Evidence.body`."""
    return Evidence(
        points=body["evidence_seen"],
        samples=body["samples_seen"],
        share=body["share_seen"],
        repeat=body["asked_before"],
    )
