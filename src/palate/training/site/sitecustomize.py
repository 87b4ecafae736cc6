"""Start a recorder in a Python process that a run starts, then do what another sitecustomize would have done."""

import contextlib
import importlib.util
import json
import os
import sys

_mine = sys.modules.pop("sitecustomize", None)
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _here]


def _find_palate() -> None:
    """Find palate where this Python has none: in another environment, it is taken from where this file is.

    Only palate is: the packages beside it are of another environment, and are not to be found here.
    """
    if importlib.util.find_spec("palate") is not None:
        return
    folder = os.path.dirname(os.path.dirname(_here))
    spec = importlib.util.spec_from_file_location(
        "palate", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["palate"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["palate"]
        raise


def _tell_unheard(fault: Exception) -> None:
    """Note that nothing of this process can be heard: its Python is too old for palate."""
    with contextlib.suppress(OSError, KeyError), open(os.environ["PALATE_RECEIVED"], "a") as notes:
        version = ".".join(map(str, sys.version_info[:2]))
        notes.write(json.dumps(["unheard", version, f"{type(fault).__name__}: {fault}"]) + "\n")


if os.environ.get("PALATE_RECEIVED"):
    try:
        _find_palate()
        from palate.training.received import start_in_child
    except Exception as fault:  # noqa: BLE001  another version of Python: whatever it does not know
        _tell_unheard(fault)
    else:
        start_in_child()
        if os.environ.get("PALATE_HEARS"):
            from palate.training.loggers.listening import listen_in_child

            listen_in_child()
with contextlib.suppress(ImportError):
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401  the person's own, where there is one
if _mine is not None:
    sys.modules.setdefault("sitecustomize", _mine)
