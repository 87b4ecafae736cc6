"""Call a function right after a module is imported, whoever imports it; standard library only."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


class Watch(importlib.abc.MetaPathFinder):
    """Calls a function with a module when it is imported; at once if it is imported already.

    Args:
        wanted: the functions, by the full names of the modules.
    """

    def __init__(self, wanted: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._wanted = dict(wanted)

    def start(self) -> None:
        """Call the functions of modules that are imported already, and watch for the others."""
        for name in [name for name in self._wanted if name in sys.modules]:
            self._wanted.pop(name)(sys.modules[name])
        sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Stop watching."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Find a wanted module as Python would, and wrap its loader."""
        if fullname not in self._wanted:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self._wanted, fullname)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Loads as another loader does, then calls the function that waits for the module: once, however often one looks.

    Args:
        loader: the other one.
        wanted: the functions that wait, by the names of the modules.
        name: of the module.
    """

    def __init__(self, loader: Any, wanted: dict[str, Callable[[ModuleType], None]], name: str) -> None:
        self._loader = loader
        self._wanted = wanted
        self._name = name

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        then = self._wanted.pop(self._name, None)
        if then is not None:
            then(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
