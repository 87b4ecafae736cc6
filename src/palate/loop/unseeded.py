"""Which programs of a run do not get its seed, where another one does: it may reach `pre.py` and not `fine.py`.

A program got the seed where what it seeds with differs from one seed to another. Of one that seeds nothing, only what
stands in its file tells whether it should.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from palate.training.inputs import Received

_DRAWS = re.compile(r"^\s*(?:import|from) +(?:random|numpy|torch|jax|flax|tensorflow|keras|lightning)\b", re.MULTILINE)
"""What is imported by a program that may draw random numbers."""

_NAMED = re.compile(r"seed|random_state", re.IGNORECASE)
"""What stands in a program that takes a seed, perhaps by a library that is not watched."""


def unseeded_words(root: Path, received: Sequence[Received]) -> list[str]:
    """Say which programs of a run get no seed, though another one of the run does; nothing where there is but one.

    Args:
        root: the folder that files are named from.
        received: what two runs at different seeds received.
    """
    if len(received) < 2:
        return []
    one, other = received[:2]
    programs = [name for name in one.programs if name in other.programs]
    got = [name for name in programs if _seedings(one, name) != _seedings(other, name)]
    if not got:
        return []
    return [words for name in programs if name not in got and (words := _words(root, one, name, got[0]))]


def _seedings(received: Received, program: str) -> list[tuple[str, str, str]]:
    return sorted((one.of, one.where, one.value) for one in received.seeds if one.program == program)


def _words(root: Path, received: Received, program: str, got: str) -> str:
    text = _text_of(root / program)
    seedings = [one for one in received.seeds if one.program == program]
    if "PALATE_SEED" in text or not (seedings or (_DRAWS.search(text) and not _NAMED.search(text))):
        return ""
    why = f"{seedings[0].where} seeds every run alike, with {seedings[0].value}" if seedings else "nothing seeds it"
    return (
        f"The seed of a run reaches {got}, and not {program}: {why}. "
        'Seed it by:  int(os.environ["PALATE_SEED"])   or palate.seed_everything()'
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
