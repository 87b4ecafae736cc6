"""Start a recorder in a Python process that a run starts, then do what another sitecustomize would have done."""

import contextlib
import os
import sys

_mine = sys.modules.pop("sitecustomize", None)
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _here]
if os.environ.get("PALATE_RECEIVED"):
    try:
        from palate.training.received import start_in_child
    except ImportError:  # another environment, without palate
        pass
    else:
        start_in_child()
        if os.environ.get("PALATE_HEARS"):
            from palate.training.loggers.listening import listen_in_child

            listen_in_child()
with contextlib.suppress(ImportError):
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401  the person's own, where there is one
if _mine is not None:
    sys.modules.setdefault("sitecustomize", _mine)
