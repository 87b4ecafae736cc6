"""Seed whatever random generators a process has."""

import os
import random
import sys

from palate.errors import InputError


def seed_everything(seed: int | None = None) -> int:
    """Seed Python, and numpy and torch (CUDA included) where they are imported; give the seed used.

    Args:
        seed: a whole number from 0 to 2**32 - 1; what `palate run` chose (PALATE_SEED) if None, else 0.

    Raises:
        InputError: the seed is out of range.
    """
    chosen = int(os.environ.get("PALATE_SEED") or 0) if seed is None else seed
    if not 0 <= chosen < 2**32:
        raise InputError(f"seed {chosen} is not between 0 and 2**32 - 1: numpy would refuse it.")
    random.seed(chosen)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(chosen)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(chosen)
    return chosen
