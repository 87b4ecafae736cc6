"""What keeps a chain whole over records that were rewritten without their secrets; standard library only.

A record that is rewritten keeps its number, its time, its kind, and the hash that it was sealed with, so that all that
refers to it still does: the record behind it, scores, promises, heads that were noted. Its content does not have that
hash any more. A later record of the kind `redaction`, the bridge, says so: which records were rewritten, what hash each
was sealed with, and what hash its content has now. Any other change is noticed as before.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KIND = "redaction"
_MARK = b'"kind": "redaction"'


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
    return said == (fields["kind"], sealed_as, now) and fields["kind"] != KIND


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
                if fields["kind"] == KIND:
                    rows = [row for row in fields["body"]["replaced"] if row["number"] < fields["number"]]
                    replaced |= {row["number"]: (row["kind"], row["hash"], row["now"]) for row in rows}
            except (ValueError, KeyError, TypeError):  # the seal of that record tells
                continue
    return replaced
