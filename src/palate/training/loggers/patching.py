"""How calls are heard: a method of another package is called as before, then what it was given is passed on.

A patch stands for good, and asks each time whether somebody hears. The call itself comes first: what a tracker refuses
is not heard, and what it raises is raised.
"""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palate.training.loggers.beside import Beside
    from palate.training.loggers.hearing import Hearing

hearing: "Hearing | Beside | None" = None
"""Who hears now."""


def after(owner: Any, name: str, heard: Callable[..., None], *, with_result: bool = False) -> None:
    """Let a call of a class's method be heard when it has returned; its arguments, result and exceptions stay.

    Args:
        owner: the class.
        name: of the method; where the class has none of that name, there is nothing to hear.
        heard: gets the arguments as they were given.
        with_result: whether it gets what the method returned before them.
    """
    original = owner.__dict__.get(name)
    if original is None or hasattr(original, "heard_by_palate"):
        return

    @functools.wraps(original)
    def call(*arguments: Any, **keywords: Any) -> Any:
        result = original(*arguments, **keywords)
        if hearing is not None:
            try:
                heard(*((result,) if with_result else ()), *arguments, **keywords)
            except (AttributeError, KeyError, TypeError, ValueError) as fault:  # another version, with other arguments
                hearing.misses(f"{owner.__module__}.{owner.__name__}.{name}", fault)
        return result

    call.heard_by_palate = True  # type: ignore[attr-defined]
    setattr(owner, name, call)


def tell(logger: str, metrics: Mapping[Any, Any], step: Any = None) -> None:
    """Pass on what is logged."""
    if hearing is not None:
        hearing.hear(logger, metrics, step)
