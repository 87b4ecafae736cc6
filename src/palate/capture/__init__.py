"""Recipes of live objects and files: what a training really uses, not only what was written down."""

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """This package, which can be called: `palate.capture` is a function, until Python puts the package in its place."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """See `palate.capture.api.capture`."""
        from palate.capture.api import capture

        return capture(*arguments, **keywords)


sys.modules[__name__].__class__ = _Package
