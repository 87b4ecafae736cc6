"""Modules that are imported on first use: importing `scipy.special` takes a quarter of a second."""

import importlib
from typing import Any


class LazyModule:
    """A module by name; the first access to one of its attributes imports it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)  # found without `__getattr__` from now on
        return value


special = LazyModule("scipy.special")
