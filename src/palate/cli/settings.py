"""Preferences that several commands read."""

import os
from pathlib import Path

from palate.store.config import read_config


def budget_of(pairs: int | None) -> int:
    """Give the budget in seed pairs: the flag, else the preference."""
    return pairs or int(read_config(Path.cwd(), os.environ)["pairs"].value)
