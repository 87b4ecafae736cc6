"""Where copies of code that holds secrets are kept: outside of the store, where only this person can read them."""

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from palate.errors import StoreError
from palate.redaction import find_secrets

MOST_SEARCHED = 1 << 20
"""Bytes of a file beyond which it is not taken for code that may hold a secret."""


def outside_store() -> Path:
    """Return a folder outside of any store, which only this person can read, for copies of code that holds secrets.

    It lies in the system's temporary folder and goes with it.

    Raises:
        StoreError: somebody else has put something there.
    """
    folder = Path(tempfile.gettempdir()) / f"palate-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    known = folder.lstat()
    if not stat.S_ISDIR(known.st_mode) or known.st_uid != os.getuid():
        raise StoreError(
            f"{folder} is not yours, so no code with secrets can be kept there.", todo="TMPDIR=/path/of/your/own"
        )
    if stat.S_IMODE(known.st_mode) != 0o700:
        folder.chmod(0o700)
    return folder


def holds_secret(content: bytes, known: Iterable[str] = ()) -> bool:
    """Return whether a file of code or settings holds a secret.

    Args:
        content: of the file.
        known: values that are secret wherever they stand.
    """
    if len(content) > MOST_SEARCHED:
        return False
    text = content.decode(errors="replace")
    return any(value in text for value in known) or bool(find_secrets(text, code=_is_program(text)))


def _is_program(text: str) -> bool:
    """Return whether a text is a program, in which only what stands in quotes is a value."""
    return any(word in text for word in ("import ", "def ", "return "))


def folder_for(inside: Path, *, secret: bool) -> Path:
    """Return the folder for a copy: the store's own, or one outside where the copy holds a secret.

    Args:
        inside: the store's own.
        secret: whether the copy holds one.
    """
    return outside_store() / inside.name if secret else inside
