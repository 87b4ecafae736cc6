"""Which secrets are in a store: every file byte by byte, by the rules by which nothing of the kind is written any more.

Values that are known to be secret, because a sealed question or a run's journal has them under a secret's name, are
looked for everywhere else too.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from palate.errors import PalateError
from palate.ledger.records import question_of
from palate.recipe.codec import decode
from palate.redaction import find_secrets, secrets_in, with_spellings
from palate.redaction.names import word_of
from palate.redaction.text import SHORTEST_KNOWN
from palate.store.mask import events_in
from palate.store.project import Project

BLOCK = 4 << 20
OVERLAP = 4 << 10
"""Bytes of a large file that are read at once, and by how much blocks overlap, so that no secret is cut in two."""

LONGEST_START = 4
"""The most characters of a secret that are shown."""

LONGEST_NAME = 60
"""The most characters of a name that is told whole."""

CODE = (".py", ".pyi", ".ipynb", ".sh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A secret in a store.

    Attributes:
        file: where, seen from the store's folder.
        where: the run or the sealed record that it is of; "" where it is of none.
        kind: what it is.
        start: its first characters, a quarter of it and four at most.
        rotate: where it is made anew.
    """

    file: str
    where: str
    kind: str
    start: str
    rotate: str

    def __str__(self) -> str:
        of = f" ({self.where})" if self.where else ""
        rotate = f"; make it anew: {self.rotate}" if self.rotate else ""
        return f"{self.file}{of}: {self.kind}, {self.start}...{rotate}"


def scan_secrets(
    project: Project, environment: Mapping[str, str] | None = None, known: "Known | None" = None
) -> list[Found]:
    """Find the secrets in a project's store; nothing is written. What cannot be read is left out.

    Args:
        project: whose store.
        environment: variables of which those with a secret's name are looked for too.
        known: values that are known to be secret; those that the store itself names if None.
    """
    known = known or Known.of(project, environment)
    found: dict[Found, None] = {}
    for path in files_of(project.home):
        try:
            found |= dict.fromkeys(scan_file(project, path, known))
        except OSError:
            continue
    return list(found)


@dataclass(frozen=True)
class Known:
    """Values that are secret by the names that they have in sealed questions and in journals: the name by the value."""

    names: Mapping[str, str]

    @classmethod
    def of(cls, project: Project, environment: Mapping[str, str] | None = None) -> "Known":
        """Collect them from a store, and from an environment."""
        names: dict[str, str] = {}
        for name, value in (*(environment or {}).items(), *_of_chain(project), *_of_journals(project)):
            for text in secrets_in(name, value):
                names[text] = name or names.get(text, "an argument")
        return cls(names)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Those that are looked for anywhere, as JSON spells them too; the longest first."""
        return with_spellings(self.names)


def _of_chain(project: Project) -> Iterator[tuple[str, Any]]:
    for line in lines_of(project.chain.path):
        if b'"kind": "question"' not in line:
            continue
        try:
            question = question_of(json.loads(line)["body"])
        except (PalateError, ValueError, KeyError, TypeError, AttributeError):  # damaged; its text is searched anyway
            continue
        targets = [question.target, *([question.edit.target] if question.edit is not None else [])]
        for target in targets:
            yield from target.settings.items()
            yield "", list(target.argv)
        for change in question.changes:
            yield change.path, change.before
            yield change.path, change.after


def _of_journals(project: Project) -> Iterator[tuple[str, Any]]:
    for journal in sorted(project.runs.glob("*/journal")):
        try:
            content = journal.read_bytes()
        except OSError:
            continue
        for start, end in events_in(content):
            yield from settings_of(json.loads(content[start:end].decode("latin-1")))


def settings_of(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings in a journal's event, decoded."""
    settings = event.get("settings") if event.get("kind") == "recipe" else None
    for name, value in settings.items() if isinstance(settings, dict) else ():
        try:
            yield name, decode(value)
        except PalateError:
            continue


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield a file's lines; none where it is not there."""
    try:
        with path.open("rb") as file:
            yield from file
    except OSError:
        return


def files_of(home: Path) -> Iterator[Path]:
    """Yield the files of a store; links are not followed."""
    for folder, _, names in os.walk(home):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def scan_file(project: Project, path: Path, known: Known) -> Iterator[Found]:
    """Yield the secrets in one file."""
    name = str(path.relative_to(project.home))
    if path == project.chain.path:
        for number, line in enumerate(lines_of(path)):
            for kind, start, rotate in secrets_of(line.decode(errors="replace"), known):
                yield Found(file=name, where=f"record {number}", kind=kind, start=start, rotate=rotate)
        return
    run = path.relative_to(project.runs).parts[0] if path.is_relative_to(project.runs) else ""
    for text in _blocks(path):
        for kind, start, rotate in secrets_of(text, known, code=path.suffix in CODE):
            yield Found(file=name, where=f"run {run}" if run else "", kind=kind, start=start, rotate=rotate)


def secrets_of(text: str, known: Known, *, code: bool = False) -> Iterator[tuple[str, str, str]]:
    """Yield the secrets of a text: what each is, how it starts, where it is made anew."""
    for value in known.texts:
        if value in text:
            form = next(iter(find_secrets(value)), None)
            kind = form.kind if form is not None else f"value of {_told(known.names.get(value, 'a setting'))}"
            yield kind, _start(value), form.rotate if form is not None else ""
    for one in find_secrets(text, code=code):
        secret = text[one.start : one.end]
        if not any(value in secret or secret in value for value in known.texts):
            yield one.kind, _start(secret), one.rotate


def _told(name: str) -> str:
    """Return a name as it is told, in the chain too: whole where it is an identifier, else what it says."""
    plain = name in ("a setting", "an argument") or (name.isidentifier() and len(name) <= LONGEST_NAME)
    return name if plain and not find_secrets(name) else word_of(name)


def _start(secret: str) -> str:
    plain = "".join(c if c.isprintable() else "?" for c in secret)
    return plain[: min(LONGEST_START, len(secret) // 4)]


def _blocks(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        before = b""
        while block := file.read(BLOCK):
            yield (before + block).decode(errors="replace")
            before = block[-OVERLAP:]


__all__ = ["SHORTEST_KNOWN", "Found", "Known", "files_of", "lines_of", "scan_file", "scan_secrets", "secrets_of"]
