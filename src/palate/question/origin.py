"""What started a run by hand: kept with it, so that the same training can be started again, sealed by who ran it."""

import hashlib
import hmac
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.recipe.codec import Secret, decode, encode
from palate.redaction import sealed
from palate.store.config import user_key
from palate.store.private import replace_file

FILE = "origin.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What started a run.

    Attributes:
        file: the script, by its whole path.
        arguments: of its command line; secrets are sealed.
        cwd: where it was started.
        vouched: whether this user started it, in the project as it is placed now.
        changed: whether the script is another one since.
        module: what was started by `python -m`; "" for a script.
        several: whether the script calls palate.start several times.
    """

    file: str
    arguments: tuple[str | Secret, ...]
    cwd: str
    vouched: bool
    changed: bool = False
    module: str = ""
    several: bool = False


def note_origin(folder: Path, *, several: bool = False) -> None:
    """Keep what started this process's run in the run's folder; nothing where it was no script.

    Args:
        folder: the run's.
        several: whether the script begins several trainings.

    Raises:
        OSError: the folder cannot be written.
    """
    file = Path(sys.argv[0]).absolute() if sys.argv and sys.argv[0] else None
    if file is None or not file.is_file():
        return
    arguments: Sequence[Any] = sealed("", tuple(sys.argv[1:]))
    words = [encode(word) for word in arguments]
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = spec.name if spec is not None else ""
    body = {"file": str(file), "hash": _hash(file), "arguments": words, "cwd": str(Path.cwd()), "module": module}
    body["several"] = several
    replace_file(folder / FILE, json.dumps({**body, "seal": _seal(folder, body)}), synced=False)


def read_origin(folder: Path) -> Origin | None:
    """Return what started a run by hand; None where that is not known."""
    try:
        body = json.loads((folder / FILE).read_text(encoding="utf-8"))
        seal = str(body.pop("seal", ""))
        words = tuple(decode(word) for word in body["arguments"])
        vouched = hmac.compare_digest(seal, _seal(folder, body))
        changed = _hash(Path(body["file"])) != body["hash"]
        return Origin(
            file=body["file"],
            arguments=words,
            cwd=body["cwd"],
            vouched=vouched,
            changed=changed,
            module=body["module"],
            several=body["several"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _hash(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _seal(folder: Path, body: dict[str, Any]) -> str:
    text = json.dumps([os.path.realpath(folder), body], sort_keys=True)
    return hmac.new(user_key(), text.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()
