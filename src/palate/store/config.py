"""Preferences by layer: flag > PALATE_* > [tool.palate] > the user's own file > default."""

import contextlib
import functools
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.bounded import MOST_TOML, parse_toml, read_text
from palate.errors import InputError, PalateError
from palate.store.private import make_folder, write_file

KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One preference: its default, the function that reads it from text, and its meaning."""

    default: Any
    read: Callable[[str], Any]
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceSource:
    """A preference's value, and the layer that it comes from."""

    value: Any
    source: str


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _positive_float(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


def _budget(text: str) -> int:
    number = int(text)
    if not 2 <= number <= 100:
        raise ValueError(text)
    return number


def _yes_or_no(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


PREFERENCES = {
    "pairs": Preference(default=20, read=_budget, meaning="seed pairs that a question may cost at most, 2 to 100"),
    "workers": Preference(default=None, read=_positive_int, meaning="runs at a time; from the cores if not set"),
    "threads": Preference(default=None, read=_positive_int, meaning="CPU threads a run; shared out if not set"),
    "per_gpu": Preference(
        default=None, read=_whole, meaning="runs a GPU; 0 hides the GPUs, from the first run if not set"
    ),
    "timeout_s": Preference(default=None, read=_positive_float, meaning="seconds after which a run is ended"),
    "author": Preference(default=None, read=str, meaning="who forecasts; the login name if not set"),
    "agent": Preference(default=False, read=_yes_or_no, meaning="whether it is an agent that forecasts: true or false"),
}


def user_file() -> Path | None:
    """The user's own preference file; None where the user has no home."""
    import platformdirs  # not in every environment whose processes tell what they log

    folder = _folder(platformdirs.user_config_dir)
    return None if folder is None else folder / "config.toml"


def user_state() -> Path | None:
    """The user's own folder for what palate remembers across projects; None where the user has no home."""
    import platformdirs

    return _folder(platformdirs.user_state_dir)


@functools.cache
def user_key() -> bytes:
    """Return random bytes that only this user has: what is sealed with them came from no received folder.

    They are made once. Where they cannot be kept, they are of this process alone.
    """
    folder = user_state()
    if folder is not None and not (folder / "key").exists():
        with contextlib.suppress(OSError):
            make_folder(folder, top=True)
            beside = folder / f".key.{os.getpid()}"
            write_file(beside, secrets.token_bytes(KEY_BYTES))
            with contextlib.suppress(FileExistsError):  # of two processes, one makes it; or it is there
                os.link(beside, folder / "key")
            beside.unlink()
    if folder is not None:
        with contextlib.suppress(OSError):
            key = (folder / "key").read_bytes()
            if len(key) == KEY_BYTES:
                return key
    return secrets.token_bytes(KEY_BYTES)


def _folder(named: Callable[[str], str]) -> Path | None:
    try:
        folder = Path(named("palate"))
    except RuntimeError:  # a container's user without a name and without HOME
        return None
    return folder if folder.is_absolute() else None


def read_config(start: Path, environment: Mapping[str, str], user: Path | None = None) -> dict[str, PreferenceSource]:
    """Return every preference with its source.

    Raises:
        InputError: unknown names or unreadable values, all of them at once.
    """
    values = {name: PreferenceSource(value=p.default, source="default") for name, p in PREFERENCES.items()}
    faults: list[str] = []
    for path, table in ((user or user_file(), ()), (_nearest_pyproject(start), ("tool", "palate"))):
        if path is not None and _is_file(path):
            _take(values, _table(path, table, faults), str(path), faults)
    named = {
        name: environment[f"PALATE_{name.upper()}"] for name in PREFERENCES if f"PALATE_{name.upper()}" in environment
    }
    for name, text in named.items():
        _take(values, {name: text}, f"PALATE_{name.upper()}", faults)
    if faults:
        raise InputError("The configuration cannot be used.", why=faults, todo="palate config   lists what there is")
    return values


SEED = "seed"
"""Name under which `[tool.palate]` says how the seed is handed over."""

_HANDOVERS = ("settings", SEED)
"""What stands in `[tool.palate]` and is no preference."""


def read_handovers(start: Path) -> dict[str, str]:
    """Return how settings are handed over that a project names: `[tool.palate.settings]`, and `seed` beside it.

    Args:
        start: the script's folder.

    Raises:
        InputError: what stands there is no text.
    """
    path, faults = _nearest_pyproject(start), list[str]()
    if path is None:
        return {}
    table = _table(path, ("tool", "palate"), faults)
    named = table.get("settings", {})
    found = {**(named if isinstance(named, Mapping) else {"settings": named})}
    found |= {SEED: table[SEED]} if SEED in table else {}
    faults += [f"{path}: {name} = {value!r} is no text." for name, value in found.items() if not isinstance(value, str)]
    if faults:
        raise InputError(
            "The configuration cannot be used.", why=faults, todo='[tool.palate.settings]  lr = "--optim.lr"'
        )
    return {str(name): str(value) for name, value in found.items()}


def _nearest_pyproject(start: Path) -> Path | None:
    folders = (start.absolute(), *start.absolute().parents)
    return next((folder / "pyproject.toml" for folder in folders if _is_file(folder / "pyproject.toml")), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # in a folder that one may not look into
        return False


def _table(path: Path, keys: tuple[str, ...], faults: list[str]) -> Mapping[str, Any]:
    try:
        table: Any = parse_toml(read_text(path, most=MOST_TOML), str(path))
    except PalateError as error:
        faults.append(error.what)
        return {}
    for key in keys:
        table = table.get(key, {}) if isinstance(table, Mapping) else {}
    return table if isinstance(table, Mapping) else {}


def _take(values: dict[str, PreferenceSource], table: Mapping[str, Any], source: str, faults: list[str]) -> None:
    """Put the preferences of one layer into `values`, and what is wrong with them into `faults`."""
    for name, value in table.items():
        if name in _HANDOVERS:
            continue
        if name not in PREFERENCES:
            faults.append(f"{source}: there is no preference {name!r}.")
            continue
        try:
            values[name] = PreferenceSource(value=PREFERENCES[name].read(str(value)), source=source)
        except ValueError:
            faults.append(f"{source}: {name} = {value!r} is not usable ({PREFERENCES[name].meaning}).")
