"""What palate says to the person beside a training: once, on standard error, and in the run's journal."""

import contextlib
import sys
from typing import Any, Protocol

from palate.errors import PalateError


class Journaled(Protocol):
    """A run with its journal."""

    @property
    def journal(self) -> Any:
        """Where events go."""


class Said:
    """Says words of a run, and knows which it has said.

    Args:
        run: whose they are.
    """

    def __init__(self, run: Journaled) -> None:
        self._run = run
        self._said: set[str] = set()

    def say(self, words: str, step: int) -> None:
        """Say words, once."""
        if words not in self._said:
            self._said.add(words)
            print(f"palate: {words}", file=sys.stderr, flush=True)
            with contextlib.suppress(PalateError):
                self._run.journal.event("said", words=words, step=step)
