"""Everybody's standing as one object: text on a terminal, a figure in a notebook, plain data for programs."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from palate.errors import NotFoundError
from palate.loop.skill import Standing
from palate.loop.skill_words import document_of, words_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, repr=False)
class Standings:
    """The standings of a project's forecasters, the one with most forecasts first."""

    all: tuple[Standing, ...]

    def __iter__(self) -> Iterator[Standing]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __str__(self) -> str:
        lines = [line for standing in self.all for line in words_of(standing)]
        return "\n".join(lines) or "No forecast has been scored yet."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        try:
            figure = self.figure() if self.all else None
        except NotFoundError:  # plotly is not installed: the text says it all
            figure = None
        if figure is None:
            return f"<pre>{html.escape(str(self))}</pre>"
        words = "\n".join(line for standing in self.all for line in words_of(standing, plot=False))
        return f"<pre>{html.escape(words)}</pre>{figure.to_html(full_html=False, include_plotlyjs=True)}"

    def document(self) -> list[dict[str, Any]]:
        """Give them as plain JSON data, as in `palate skill --json`."""
        return [document_of(standing) for standing in self.all]

    def figure(self) -> "Figure":
        """Draw them with plotly: mean bits with their bound, and the reliability curve.

        Raises:
            NotFoundError: plotly is not installed.
        """
        from palate.loop.figure import figure_of

        return figure_of(self.all)
