"""The random numbers of a forked run: as a fresh process would have them; standard library only.

A fork copies every generator of the worker's memory. What the training's code seeded when it was imported goes on from
there in each run, as it would in a process of its own. What it did not seed starts anew in each: Python's, numpy's and
torch's own generators, and generators that numpy made without a seed (`default_rng()`, `RandomState()`). A `Random()`
or a `Generator(PCG64())` that is made without a seed when the code is imported cannot be told from a seeded one, and is
the same in all runs: make it in the function.
"""

import gc
import random
import sys
from typing import Any

from palate.training import received


class Imported:
    """The generators as the training's code left them when it was imported: see `renew`."""

    def __init__(self) -> None:
        self._seeded = received.seeded_before()
        self._python = random.getstate()
        self._generators = tuple(received.unseeded)
        self._states = _unseeded_states()

    def renew(self) -> None:
        """Give this process, which was just forked, the random numbers that a fresh one would have."""
        if "random" in self._seeded:
            random.setstate(self._python)  # Python itself seeds anew after a fork
        else:
            random.seed()
        if "numpy.random" in sys.modules and "numpy" not in self._seeded:
            sys.modules["numpy"].random.seed()
        for state in self._states:
            state.seed()
        for generator in self._generators:
            bits = generator.bit_generator
            bits.state = type(bits)().state
        if "torch" in sys.modules and "torch" not in self._seeded:
            sys.modules["torch"].seed()


def _unseeded_states() -> list[Any]:
    """Find the RandomStates that were made without a seed: they have a sequence of seeds, and the seeded ones none."""
    if "numpy.random" not in sys.modules:
        return []
    kind = sys.modules["numpy"].random.RandomState
    own = sys.modules["numpy"].random.mtrand._rand
    found = [one for one in gc.get_objects() if type(one) is kind and one is not own]
    return [one for one in found if getattr(one._bit_generator, "seed_seq", None) is not None]
