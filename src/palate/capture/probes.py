"""Probes on constructors: they record every argument, set or default, and the line of the call.

The `__init__` of a probed class is wrapped. Only the outermost call for an object counts, so an object of a subclass is
recorded once, with its own class. Probes are removed after the first optimizer step.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from palate.capture.code import is_own


@dataclass(slots=True)
class Built:
    """One object that was built.

    Attributes:
        role: the chunk that its class belongs to.
        made: the object itself.
        given: the arguments of the call, by name.
        defaults: the defaults of the other arguments.
        source: the file and line of the call.
        after: for an optimizer, the values of its first parameter group right after it was built.
    """

    role: str
    made: Any
    given: Mapping[str, Any]
    defaults: Mapping[str, Any]
    source: str
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Probes:
    """The probes of one capture, and what they saw."""

    seen: list[Built] = field(default_factory=list)
    active: bool = True
    _undo: list[Callable[[], None]] = field(default_factory=list)
    _building: set[int] = field(default_factory=set)
    _wrapped: set[type] = field(default_factory=set)

    def on_class(self, base: Any, role: str, *, only: Callable[[type], bool] = lambda _: True) -> None:
        """Probe a class, its subclasses, and the subclasses that are defined later."""
        for cls in (base, *_descendants(base)):
            if only(cls):
                self._wrap(cls, role)
        self._watch_subclasses(base, role, only)

    def on_function(self, module: Any, name: str, seen: Callable[[tuple[Any, ...], dict[str, Any], Any], None]) -> None:
        """Call `seen(arguments, keywords, result)` after each call of a module's function."""
        original = getattr(module, name, None)
        if original is None:
            return

        @functools.wraps(original)
        def probed(*arguments: Any, **keywords: Any) -> Any:
            result = original(*arguments, **keywords)
            if self.active:
                seen(arguments, keywords, result)
            return result

        setattr(module, name, probed)
        self._undo.append(lambda: setattr(module, name, original))

    def remove(self) -> None:
        """Remove every probe; wrappers that are still referred to only pass their calls on."""
        self.active = False
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()

    def _wrap(self, cls: type, role: str) -> None:
        original = vars(cls).get("__init__")
        if original is None or cls in self._wrapped or not inspect.isfunction(original):
            return
        self._wrapped.add(cls)

        @functools.wraps(original)
        def probed(instance: Any, *arguments: Any, **keywords: Any) -> None:
            if not self.active or id(instance) in self._building:
                original(instance, *arguments, **keywords)
                return
            self._building.add(id(instance))
            try:
                original(instance, *arguments, **keywords)
            finally:
                self._building.discard(id(instance))
            self._record(instance, role, original, (arguments, keywords))

        cls.__init__ = probed  # type: ignore[misc]
        self._undo.append(lambda: setattr(cls, "__init__", original))

    def _record(
        self, made: Any, role: str, init: Callable[..., None], call: tuple[tuple[Any, ...], dict[str, Any]]
    ) -> None:
        given, defaults = bound_arguments(init, *call)
        groups = getattr(made, "param_groups", None)
        after = {key: value for key, value in groups[0].items() if key != "params"} if groups else {}
        self.seen.append(Built(role, made, given, defaults, caller(), after))

    def _watch_subclasses(self, base: Any, role: str, only: Callable[[type], bool]) -> None:
        had = vars(base).get("__init_subclass__")
        inherited = base.__init_subclass__

        def watch(cls: Any, /, **keywords: Any) -> None:
            if had is None:
                super(base, cls).__init_subclass__(**keywords)
            else:
                inherited.__func__(cls, **keywords)
            if self.active and only(cls):
                self._wrap(cls, role)

        base.__init_subclass__ = classmethod(watch)
        undo = (
            (lambda: setattr(base, "__init_subclass__", had)) if had else (lambda: delattr(base, "__init_subclass__"))
        )
        self._undo.append(undo)


def _descendants(base: Any) -> Iterator[Any]:
    for cls in type.__subclasses__(base):
        yield cls
        yield from _descendants(cls)


@functools.lru_cache(maxsize=1024)
def _parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Return a method's positional parameters without the instance, and all defaults."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]
    except (ValueError, TypeError):
        return (), {}
    placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(parameter.name for parameter in parameters if parameter.kind in placed)
    return names, {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def bound_arguments(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of a call by name: those that were given, and the defaults of the others.

    Args:
        function: a method; the instance does not count as an argument.
        arguments: the positional arguments.
        keywords: the keyword arguments.
    """
    names, defaults = _parameters(function)
    given = dict(zip(names, arguments, strict=False))
    if len(arguments) > len(names):
        given["arguments"] = arguments[len(names) :]
    given.update(keywords)
    return given, {name: value for name, value in defaults.items() if name not in given}


def is_palates_own(module: str) -> bool:
    """Return whether a module belongs to palate; its examples do not, because they are trainings."""
    return module.startswith("palate.") and not module.startswith("palate.examples")


def caller() -> str:
    """Return the line of the person's own code that is running, as `train.py:41`."""
    frame: FrameType | None = sys._getframe(1)
    first = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        file = frame.f_code.co_filename
        if not is_palates_own(module) and not file.startswith("<"):
            line = f"{os.path.basename(file)}:{frame.f_lineno}"  # noqa: PTH119  Path() is slow here
            first = first or line
            if is_own(module) or module.startswith("palate.examples"):
                return line
        frame = frame.f_back
    return first
