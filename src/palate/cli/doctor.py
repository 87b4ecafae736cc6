"""`palate doctor`: it always runs, mends what it can, and names what it cannot with what to type."""

import importlib.util
import os
import platform
import shutil
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path

import click

from palate.bounded import parse_json, read_text
from palate.cli.common import here, json_option, put_out
from palate.cli.redact import put_secrets
from palate.errors import PalateError, RunsFailedError, StoreError
from palate.recipe.document import loads
from palate.store.catalog import Catalog, RunRow, rebuild
from palate.store.leftovers import remove_leftovers
from palate.store.private import SHARED, close_to_others
from palate.store.project import Project
from palate.training.placing import count_cores

LOW_DISK_BYTES = 1 << 30
NAMED = 5
"""Runs and files that are named; of more it is said how many there are."""


@click.command("doctor")
@click.option("--rebuild", "make_anew", is_flag=True, help="Make the catalog anew from the journals and the chain.")
@click.option("--secrets", is_flag=True, help="Look for secrets in every file of the project's folder.")
@click.option(
    "--resume", "resumed", metavar="SCRIPT", help="Whether this training, taken up again, goes on bit by bit."
)
@click.option("--at", type=click.IntRange(min=0), default=7, show_default=True, help="With --resume: the step.")
@click.option(
    "--steps", type=click.IntRange(min=1), default=13, show_default=True, help="With --resume: steps behind it."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@json_option
def command(
    make_anew: bool,
    secrets: bool,
    resumed: str | None,
    at: int,
    steps: int,
    arguments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check the installation and the project's folder, mend what can be mended, and say what to do about the rest.

    Every record of the chain is verified anew, and every journal is looked at again.

    \b
    palate doctor --resume train.py -- --epochs 5     (SCRIPT's own arguments behind --)
    """
    project = here()
    if resumed is not None:
        put_resumed(project, resumed, arguments, at=at, steps=steps, as_json=as_json)
        return
    if secrets:
        put_secrets(project, as_json=as_json)
        return
    rebuilt = rebuild(project) if make_anew else None
    mended: list[str] = []
    checks = [_check(name, partial(look, project, mended)) for name, look in _CHECKS.items()]
    document = {
        "schema": "palate.doctor/1",
        "home": str(project.home),
        "rebuilt_runs": rebuilt,
        "mended": mended,
        "checks": [{"name": name, "ok": ok, "told": words} for name, ok, words in checks],
    }
    told = [f"{'ok ' if ok else 'BAD'}  {name:<10} {words}" for name, ok, words in checks]
    lines = [line for words in told for line in words.split("\n")]
    lines += [f"Mended: {what}" for what in mended]
    if rebuilt is not None:
        lines.insert(0, f"The catalog was made anew: {rebuilt} runs.")
    put_out(document, lines, as_json=as_json)
    if not all(ok for _, ok, _ in checks):
        sys.exit(1)


def put_resumed(
    project: Project, script: str, arguments: tuple[str, ...], *, at: int, steps: int, as_json: bool
) -> None:
    """Try whether a training can be taken up again, and print what came out; the exit status says so."""
    from palate.loop.ask import resources_of
    from palate.loop.resumed import try_resuming
    from palate.question.target import find_target
    from palate.store.config import read_config

    target = find_target(script, arguments)
    resources = resources_of(project, read_config(Path.cwd(), os.environ), target=target)
    found = try_resuming(project, target, resources, at=at, steps=steps)
    put_out(found.document(), found.lines(), as_json=as_json)
    if not found.exact:
        sys.exit(1)


def _check(name: str, look: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return name, True, look()
    except PalateError as error:
        return name, False, str(error)
    except Exception as error:  # noqa: BLE001  what a check does not expect must not end the others
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        return name, False, f"{told}\n  This check met what it does not expect; the others went on."


def _python(_: Project, __: list[str]) -> str:
    return f"Python {platform.python_version()} on {platform.system()}, {count_cores()} cores"


def _packages(_: Project, __: list[str]) -> str:
    names = ("palate", "numpy", "scipy", "click", "rich")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _torch(_: Project, __: list[str]) -> str:
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


def _folder(project: Project, mended: list[str]) -> str:
    project.make()
    removed = remove_leftovers(project.home)
    if removed:
        names = _some([str(path.relative_to(project.home)) for path in removed])
        mended.append(f"removed what processes that are gone had left: {names}.")
    free = shutil.disk_usage(project.home).free
    words = f"{project.home}, {free / (1 << 30):.0f} GiB free"
    if free < LOW_DISK_BYTES:
        raise RunsFailedError(f"{words}: runs may fail to be kept.", todo="Free space, or set PALATE_HOME elsewhere.")
    return words


def _private(project: Project, mended: list[str]) -> str:
    """Take from others what they may do with the project's folder, unless it is meant to be shared."""
    if os.environ.get(SHARED):
        return f"{project.home} is as open as it is: {SHARED} is set"
    changed = close_to_others(project.home)
    if changed:
        mended.append(
            f"{changed} files and folders were open to others; only you can read them now ({SHARED}=1 leaves them)."
        )
    return "only you can read the project's folder"


def _chain(project: Project, mended: list[str]) -> str:
    chain = project.chain
    before, had_index = set(chain.torn()), chain.has_index()
    chain.verify()
    for path in sorted(set(chain.torn()) - before):
        mended.append(f"the last line of the chain was not complete: it is kept in {path.name}, and the chain goes on.")
    if not had_index and chain.has_index():
        mended.append("the index of the chain was missing or damaged: it is made anew.")
    torn = f"; incomplete last lines are kept in {_some([path.name for path in chain.torn()])}" if chain.torn() else ""
    return f"{len(chain)} sealed records hold, each verified anew{torn}"


def _catalog(project: Project, mended: list[str]) -> str:
    with Catalog.open(project) as catalog:
        faults = [] if catalog.in_memory else catalog.faults()
    if faults:
        mended.append(f"the catalog was damaged ({faults[0]}): it is made anew from the journals.")
        rebuild(project)
    with Catalog.open(project) as catalog:
        read = catalog.refresh(everything=True)
        if catalog.in_memory:
            raise StoreError(
                f"{project.catalog} cannot be used: the runs are read from their journals each time.",
                todo="Mend its permissions, update palate, or make it anew:  palate doctor --rebuild",
            )
        _refuse_broken(project)
        again = f"; {read} were read again" if read else ""
        return f"{catalog.count_runs()} runs{again}"


def _refuse_broken(project: Project) -> None:
    if project.chain.broken is not None:
        raise project.chain.broken


def _journals(project: Project, _: list[str]) -> str:
    with Catalog.open(project) as catalog:
        catalog.refresh()
        count, partly, gone = catalog.count_runs(), catalog.not_whole(), catalog.gone()
    by_status: dict[str, list[RunRow]] = {}
    for run in partly:
        by_status.setdefault(run.integrity.status, []).append(run)
    words = [f"{count - len(gone)} journals"]
    if torn := by_status.get("torn"):
        words.append(f"a torn end was left out in {_some([run.id for run in torn])}")
    if lost := by_status.get("lost points"):
        words.append(f"points are missing in {_some([_lost(run) for run in lost])}")
    if gone:
        words.append(f"known, but not here any more: {_some(gone)}")
    unread = [run for run in by_status.get("unread", []) if run.id not in gone]
    if unread:
        raise StoreError(
            f"{'; '.join(words)}; {len(unread)} cannot be read, and their runs are left out.",
            why=[f"{project.journal(run.id)}: {run.integrity.why}" for run in unread[:NAMED]],
            todo="Put back a copy of each, mend its permissions, or remove its folder.",
        )
    return "; ".join(words)


def _lost(run: RunRow) -> str:
    lost = run.integrity.lost_points
    return f"{run.id} ({'some' if lost is None else lost})"


def _files(project: Project, _: list[str]) -> str:
    """Look whether the files beside journals, chain and catalog are JSON: each damaged one is left out when read."""
    home = project.home
    places = [home / "goals.json", home / "vocabulary.json", *sorted(home.glob("recipes/*.json"))]
    places += [*sorted(home.glob("inputs/*.json")), *sorted(project.runs.glob("*/received.json"))]
    there = [place for place in places if place.exists()]
    damaged = [told for place in there if (told := _damage(place))]
    if damaged:
        raise StoreError(
            f"{len(there)} others; {len(damaged)} cannot be read, and are left out.",
            why=damaged[:NAMED],
            todo="Put back a copy of each, or remove it: what it says is then read, or asked, anew.",
        )
    return f"{len(there)} others (recipes, inputs, goals, names)"


def _damage(place: Path) -> str:
    """Say what is wrong with a file, "" if nothing: it is read within the bounds in which it is read to be used."""
    if not place.is_file():
        return f"{place}: it is not a file"
    try:
        text = read_text(place)
        read = parse_json(text, "It", exact=False)
        if place.parent.name == "recipes":
            loads(text)
    except PalateError as error:
        return f"{place}: {error.what}"
    return "" if isinstance(read, dict) else f"{place}: it is not what palate writes"


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _forks(_: Project, __: list[str]) -> str:
    if not hasattr(os, "fork"):
        raise RunsFailedError("This system cannot fork, which the warm worker needs.", todo="Use Linux, macOS or WSL.")
    return "the warm worker can fork"


_CHECKS: dict[str, Callable[[Project, list[str]], str]] = {
    "python": _python,
    "packages": _packages,
    "torch": _torch,
    "workers": _forks,
    "folder": _folder,
    "private": _private,
    "chain": _chain,
    "catalog": _catalog,
    "journals": _journals,
    "files": _files,
}
