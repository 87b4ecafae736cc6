"""Random number generators: take their states, put them back, seed them; torch and numpy only where they are used."""

import hashlib
import importlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

State = dict[str, Any]

_MOST, _DEEPEST = 5_000, 5
"""Objects, and levels, that are looked through for generators behind a loader."""

_CLOSED = ("torch.Tensor", "torch.nn.", "numpy.ndarray")
"""Starts of the names of types that hold no generator and a great many other things."""


def take_global() -> State:
    """Return the states of the generators that a whole process shares: Python's, numpy's, torch's of each device."""
    state: State = {"python": random.getstate()}
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        state["numpy"] = numpy.random.get_state(legacy=False)
    if torch is not None:
        state["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state_all()
        if torch.backends.mps.is_available():
            state["mps"] = torch.mps.get_rng_state()
    return state


def put_global(state: Mapping[str, Any]) -> None:
    """Put back what `take_global` returned; generators of a package that is not imported yet make it be."""
    if "python" in state:
        random.setstate(state["python"])
    if "numpy" in state:
        np = importlib.import_module("numpy")

        np.random.set_state(state["numpy"])
    if "torch" in state:
        torch = importlib.import_module("torch")

        torch.set_rng_state(state["torch"])
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
        if "mps" in state and torch.backends.mps.is_available():
            torch.mps.set_rng_state(state["mps"])


def seed_global(seed: int) -> None:
    """Seed all generators that a whole process shares; those of packages that are not imported are left alone."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def mixed(*parts: object) -> int:
    """Return a seed below 2**63 that follows from some numbers or words, alike in every process.

    >>> mixed(1, "replicate", 2) == mixed(1, "replicate", 2), mixed(1, 2) == mixed(12)
    (True, False)
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def is_generator(thing: object) -> bool:
    """Return whether something is a generator of random numbers of its own."""
    plain = isinstance(thing, random.Random) and not isinstance(thing, random.SystemRandom)
    return plain or _type_name(thing) in _TAKERS


def take(generator: Any) -> Any:
    """Return the state of one generator."""
    name = _type_name(generator)
    return _TAKERS[name](generator) if name in _TAKERS else generator.getstate()


def put(generator: Any, state: Any) -> None:
    """Put back what `take` returned."""
    name = _type_name(generator)
    if name in _PUTTERS:
        _PUTTERS[name](generator, state)
    else:
        generator.setstate(state)


def seed(generator: Any, number: int) -> None:
    """Seed one generator."""
    name = _type_name(generator)
    if name == "torch._C.Generator":
        generator.manual_seed(number)
    elif name == "numpy.random._generator.Generator":
        np = importlib.import_module("numpy")

        generator.bit_generator.state = type(generator.bit_generator)(np.random.SeedSequence(number)).state
    else:
        generator.seed(number % 2**32)


_TAKERS: dict[str, Callable[[Any], Any]] = {
    "torch._C.Generator": lambda one: one.get_state(),
    "numpy.random._generator.Generator": lambda one: one.bit_generator.state,
    "numpy.random.mtrand.RandomState": lambda one: one.get_state(legacy=False),
}
_PUTTERS: dict[str, Callable[[Any, Any], None]] = {
    "torch._C.Generator": lambda one, state: one.set_state(state),
    "numpy.random._generator.Generator": lambda one, state: setattr(one.bit_generator, "state", state),
    "numpy.random.mtrand.RandomState": lambda one, state: one.set_state(state),
}


def generators_behind(thing: object) -> dict[str, Any]:
    """Return the generators that something holds, by the way to them: `.sampler.generator`, `.dataset.rng`.

    Attributes, lists and dictionaries are looked through, up to a bound; a generator that is held twice is told once.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, object, int]] = [("", thing, 0)]
    while waiting and len(seen) < _MOST:
        way, one, depth = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if is_generator(one):
            found[way] = one
        elif depth < _DEEPEST:
            waiting += [(way + step, held, depth + 1) for step, held in _held(one)]
    return found


def _held(thing: object) -> Iterator[tuple[str, object]]:
    """Yield what something holds directly, where it can hold a generator."""
    name = _type_name(thing)
    if name.startswith(_CLOSED) or isinstance(thing, str | bytes | int | float | type | None.__class__):
        return
    if isinstance(thing, dict):  # any other mapping may read files, or draw numbers, to tell what it holds
        yield from ((f"[{key!r}]", value) for key, value in list(thing.items())[:_MOST])
    elif isinstance(thing, list | tuple):
        yield from ((f"[{place}]", value) for place, value in enumerate(thing[:100]))
    else:
        yield from ((f".{key}", value) for key, value in getattr(thing, "__dict__", {}).items())


def _type_name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
