"""What keeps a chain whole over records that were rewritten without their secrets; standard library only.

A record that is rewritten keeps its number, its time, its kind, and the hash that it was sealed with, so that all that
refers to it still does: the record behind it, scores, promises, heads that were noted. Its content does not have that
hash any more. A later record of the kind `redaction`, the bridge, says so: which records were rewritten, what hash each
was sealed with, and what hash its content has now. Any other change is noticed as before.

A bridge reaches no further than it has to. Only kinds of records that hold the words of people can be rewritten, no
verdict and no score; and what was rewritten has to show where something was taken out. A bridge that says anything else
than this is none, and breaks the seal.
"""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KIND = "redaction"
_MARK = b'"kind": "redaction"'
REWRITABLE = frozenset({"question", "forecast", "revision", "skip", "void", "when", "commitment"})
"""Kinds of records that hold words: questions, and what people said and why."""

_STANDS_FOR_A_SECRET = re.compile(r'<secret>|"\$": "secret"')
_HASH = re.compile("[0-9a-f]{64}")


def is_bridged(path: Path, number: int, fields: Mapping[str, Any], sealed_as: str, now: str) -> bool:
    """Return whether a later record says that this one was rewritten as it stands.

    Args:
        path: of the chain.
        number: of the record.
        fields: of the record, without its hash.
        sealed_as: the hash that it claims.
        now: the hash that its content has.
    """
    try:
        known = path.stat()
    except OSError:
        return False
    said = _replaced(path, known.st_ino, known.st_size, known.st_mtime_ns).get(number)
    return said == (fields["kind"], sealed_as, now) and bool(_STANDS_FOR_A_SECRET.search(json.dumps(fields["body"])))


def rows_of(fields: Mapping[str, Any]) -> dict[int, tuple[str, str, str]] | None:
    """Return by number what a bridge says of the records that were rewritten: kind, hash, hash now.

    Args:
        fields: of a record of the kind `redaction`.

    Returns:
        the rows; None where it is not what a redaction says.
    """
    body = fields["body"]
    said = {"secrets": list, "files": int, "head": str, "author": str, "agent": bool, "replaced": list}
    if not isinstance(body, dict) or any(type(body.get(name)) is not kind for name, kind in said.items()):
        return None
    rows = body["replaced"]
    if not all(isinstance(row, dict) and _is_row(row, fields["number"]) for row in rows):
        return None
    by_number = {row["number"]: (row["kind"], row["hash"], row["now"]) for row in rows}
    return by_number if len(by_number) == len(rows) else None


def _is_row(row: Mapping[str, Any], bridge: int) -> bool:
    hashes = all(isinstance(row.get(name), str) and _HASH.fullmatch(row[name]) for name in ("hash", "now"))
    return hashes and row.get("kind") in REWRITABLE and type(row.get("number")) is int and 0 <= row["number"] < bridge


@functools.lru_cache(4)
def _replaced(path: Path, *_state: int) -> dict[int, tuple[str, str, str]]:
    """Read from a chain's bridges which records were rewritten; of several about one, the last counts."""
    replaced: dict[int, tuple[str, str, str]] = {}
    with path.open("rb") as file:
        for line in file:
            if _MARK not in line:
                continue
            try:
                fields = json.loads(line)
                replaced |= (rows_of(fields) or {}) if fields["kind"] == KIND else {}
            except (ValueError, KeyError, TypeError):  # the seal of that record tells
                continue
    return replaced
