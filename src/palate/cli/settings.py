"""Preferences that several commands read."""

import os
from pathlib import Path

from palate.loop.ask import author_of
from palate.loop.forecaster import Author
from palate.store.config import read_config


def budget_of(pairs: int | None) -> int:
    """Give the budget in seed pairs: the flag, else the preference."""
    return pairs or int(read_config(Path.cwd(), os.environ)["pairs"].value)


def whoami(name: str | None = None, agent: bool | None = None) -> Author:
    """Name who asks: the flags, else as configured, else the login name."""
    return author_of(read_config(Path.cwd(), os.environ), name, agent)
