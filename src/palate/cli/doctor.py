"""`palate doctor`."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib import metadata

import click

from palate.cli.common import here, json_option, put_out
from palate.cli.redact import put_secrets
from palate.errors import PalateError, RunsFailedError
from palate.store.catalog import Catalog, rebuild
from palate.store.private import SHARED, close_to_others
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.training.local import count_cores

LOW_DISK_BYTES = 1 << 30


@click.command("doctor")
@click.option("--rebuild", "make_anew", is_flag=True, help="Make the catalog anew from the journals and the chain.")
@click.option("--secrets", is_flag=True, help="Look for secrets in every file of the project's folder.")
@json_option
def command(make_anew: bool, secrets: bool, as_json: bool) -> None:
    """Check the installation and the project's folder, and say what to do about what is wrong."""
    project = here()
    if secrets:
        put_secrets(project, as_json=as_json)
        return
    rebuilt = rebuild(project) if make_anew else None
    checks = [_check(name, look, project) for name, look in _CHECKS.items()]
    document = {
        "schema": "palate.doctor/1",
        "home": str(project.home),
        "rebuilt_runs": rebuilt,
        "checks": [{"name": name, "ok": ok, "told": words} for name, ok, words in checks],
    }
    lines = [f"{'ok ' if ok else 'BAD'}  {name:<10} {words}" for name, ok, words in checks]
    if rebuilt is not None:
        lines.insert(0, f"The catalog was made anew: {rebuilt} runs.")
    put_out(document, lines, as_json=as_json)
    if not all(ok for _, ok, _ in checks):
        sys.exit(1)


def _check(name: str, look: Callable[[Project], str], project: Project) -> tuple[str, bool, str]:
    try:
        return name, True, look(project)
    except PalateError as error:
        return name, False, str(error)


def _python(_: Project) -> str:
    return f"Python {platform.python_version()} on {platform.system()}, {count_cores()} cores"


def _packages(_: Project) -> str:
    names = ("palate", "numpy", "scipy", "sqlalchemy", "click", "rich")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _torch(_: Project) -> str:
    if importlib.util.find_spec("torch") is None:
        return 'torch is not installed (palate does without it; pip install "palate[torch]")'
    words = f"torch {metadata.version('torch')}"
    if importlib.util.find_spec("torchvision") is not None:
        words += f", torchvision {metadata.version('torchvision')}"
        cpu = "+cpu" in metadata.version("torch")
        if cpu and "+cpu" not in metadata.version("torchvision"):
            raise RunsFailedError(
                f"{words}: this torchvision was not built for a CPU torch.",
                why="It breaks `import lightning` and transformers' Trainer.",
                todo="pip uninstall torchvision",
            )
    return words


def _folder(project: Project) -> str:
    project.make()
    free = shutil.disk_usage(project.home).free
    words = f"{project.home}, {free / (1 << 30):.0f} GiB free"
    if free < LOW_DISK_BYTES:
        raise RunsFailedError(f"{words}: runs may fail to be kept.", todo="Free space, or set PALATE_HOME elsewhere.")
    return words


def _private(project: Project) -> str:
    """Take from others what they may do with the project's folder, unless it is meant to be shared."""
    if os.environ.get(SHARED):
        return f"{project.home} is as open as it is: {SHARED} is set"
    changed = close_to_others(project.home)
    words = "only you can read the project's folder"
    more = f"; {changed} files and folders were open to others until now ({SHARED}=1 leaves them so)"
    return f"{words}{more}" if changed else words


def _journals(project: Project) -> str:
    places = [place for place in project.runs.glob("*/journal") if place.is_file()]
    torn = [place.parent.name for place in places if read_journal(place).lost_bytes]
    words = f"{len(places)} journals"
    return words if not torn else f"{words}; a torn end was left out in {', '.join(torn[:5])}"


def _chain(project: Project) -> str:
    project.chain.verify()
    return f"{len(project.chain)} sealed records hold"


def _catalog(project: Project) -> str:
    with Catalog.open(project) as catalog:
        catalog.refresh()
        return f"{catalog.count_runs()} runs"


def _forks(_: Project) -> str:
    if not hasattr(os, "fork"):
        raise RunsFailedError("This system cannot fork, which the warm worker needs.", todo="Use Linux, macOS or WSL.")
    return "the warm worker can fork"


_CHECKS: dict[str, Callable[[Project], str]] = {
    "python": _python,
    "packages": _packages,
    "torch": _torch,
    "workers": _forks,
    "folder": _folder,
    "private": _private,
    "journals": _journals,
    "chain": _chain,
    "catalog": _catalog,
}
