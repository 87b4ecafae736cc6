"""Secrets of a question, opened anew where it is run later.

A kept question has only the hashes of its secrets. Where it is run again, their values are looked for in what the file
declares now and in the environment; a run is never given a hash.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from palate.errors import PalateError, RefusedError
from palate.question.target import Target, find_target
from palate.recipe.codec import Secret
from palate.recipe.settings import Change
from palate.redaction import is_open, seal_secret
from palate.redaction.values import hidden


def reopened(target: Target, changes: Sequence[Change]) -> tuple[Target, tuple[Change, ...]]:
    """Return a target and an arm's changes with the values of their secrets, looked for where they are known.

    Raises:
        RefusedError: one is known nowhere.
    """
    needed = [*_needed(target, changes)]
    if all(is_open(value) for _, value in needed):
        return target, tuple(changes)
    known = {secret.hash: secret for secret in _known(target)}
    missing = {
        name: secret
        for name, value in needed
        for secret in hidden(value)
        if not secret.is_open | (secret.hash in known)
    }
    if missing:
        raise _is_gone(missing)
    filled = replace(
        target,
        settings={name: _filled(value, known) for name, value in target.settings.items()},
        argv=_filled(target.argv, known),
    )
    return filled, tuple(replace(change, after=_filled(change.after, known)) for change in changes)


def _needed(target: Target, changes: Sequence[Change]) -> Iterator[tuple[str, Any]]:
    """Yield what a run is handed: arguments, changed settings, and those that are handed over though unchanged."""
    for before, word in zip(("", *target.argv), target.argv, strict=False):
        yield (before if isinstance(before, str) and before.startswith("-") else "an argument behind --"), word
    yield from ((change.path, change.after) for change in changes)
    changed = {change.path for change in changes}
    for name, value in target.settings.items():
        if name not in changed and target.hands(name).by in ("parameter", "settings"):
            yield name, value


def _known(target: Target) -> Iterator[Secret]:
    """Yield the secrets that are known now: those that the file declares, and the variables of the environment."""
    task = target.task
    if task.text:
        try:
            declared = find_target(task.text)
        except (PalateError, OSError):  # the file is gone, or is no Python any more
            declared = None
        yield from hidden(list(declared.settings.values())) if declared is not None else ()
    for value in os.environ.values():
        yield seal_secret(value)
        if value.isdigit():
            yield seal_secret(int(value))


def _filled(value: Any, known: Mapping[str, Secret]) -> Any:
    if isinstance(value, Secret):
        return known.get(value.hash, value)
    if type(value) is dict:
        return {name: _filled(member, known) for name, member in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_filled(member, known) for member in value)
    return value


def _is_gone(missing: Mapping[str, Secret]) -> RefusedError:
    names = {name: f"{name} ({secret})" for name, secret in missing.items()}
    typed = " ".join(f"{_variable(name)}=..." for name in missing)
    return RefusedError(
        f"This question was asked with secrets, of which only hashes are kept: {', '.join(names.values())}.",
        why=(
            "A run needs the values themselves. Neither the file nor the environment has values with these hashes.",
            "A colleague's hashes are made with another salt than yours: then only asking anew helps.",
        ),
        todo=(
            f"Put the same values into the environment and call again, under any names:  {typed} palate ...",
            "Or ask anew, with the values of now: palate run ...",
        ),
    )


def _variable(name: str) -> str:
    text = "".join(c if c.isalnum() else "_" for c in name).strip("_").upper()
    return "ARGUMENT" if " " in name or not text else text
