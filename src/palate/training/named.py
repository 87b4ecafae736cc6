"""The files that a shell or make reads, in which nobody listens: those that are named in what starts a run.

`bash outer.sh` may call `inner.sh`, source `env.sh` and `cat wd.txt`; a Makefile includes others. What is named in one
of them, and is there, is taken for an input of the run. Standard library only.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from palate.question.folder import Place, path_inside

MOST_FILES = 200
MOST_BYTES = 1 << 20
"""Bytes of a file beyond which it is data, which programs read that are heard."""

_WORD = re.compile(r"[\w./@+~-]+")
_READ_FURTHER = (".sh", ".bash", ".zsh", ".mk", ".env", ".inc", "")
"""How the names of files end that a shell or make may execute; of the last kind are Makefiles."""


def files_named(words: Iterable[str], place: Place) -> list[str]:
    """Return the files that the words of a command name, and the scripts that these name, seen from the root.

    Python files are left out: they are heard when they are imported.

    Args:
        words: of the command, the text of a `bash -c` among them.
        place: the folder that the run sees.
    """
    here = Path(place.root, place.cwd)
    found: dict[str, None] = {}
    waiting = [(here, word) for word in words]
    while waiting and len(found) < MOST_FILES:
        folder, text = waiting.pop(0)
        for name in _names(text, (here, folder), place.root):
            content = _content(Path(place.path(name))) if name not in found else None
            if content is not None:
                found[name] = None
                if Path(name).suffix in _READ_FURTHER and b"\0" not in content:
                    waiting.append((Path(place.root, name).parent, content.decode(errors="replace")))
    return list(found)


def _names(text: str, folders: Iterable[Path], root: str) -> Iterator[str]:
    """Yield what may be names of files in a text, as seen from a folder, by their names from the root."""
    for word in dict.fromkeys(_WORD.findall(text)):
        for folder in folders:
            name = path_inside(os.path.normpath(folder / word), root)
            if name and not name.endswith(".py"):
                yield name


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= MOST_BYTES else None
    except (OSError, ValueError):
        return None
