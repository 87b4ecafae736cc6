"""What a question about an edit needs besides: whether each arm ran its own code, which edited lines were reached."""

import contextlib
import json
from pathlib import Path

from palate.errors import NotArrivedError, PalateError
from palate.loop.ask import Noticed, Person
from palate.loop.judge import Judgement
from palate.question.edit import spans_of
from palate.question.folder import Place
from palate.question.question import Question
from palate.store.project import Project
from palate.training.inputs import Received
from palate.training.launch import Engines, Resources
from palate.training.reached import executable_lines, reached_lines
from palate.vocabulary import BASELINE, TREATMENT

REACHED = "reached.json"
"""File in a run's folder with the edited lines that the treatment reaches."""


def same_code_fault(place: Place | None, received: Received) -> NotArrivedError | None:
    """Return what is wrong where a run imported the person's own files in the place of its state of the code."""
    taken = [name for name in received.read_past if _differs(place, name)] if place is not None else []
    if not taken:
        return None
    folder = str(Path(taken[0]).parts[0]) if len(Path(taken[0]).parts) > 1 else "."
    return NotArrivedError(
        f"Both arms read the same {taken[0]}: the one in the working tree, not each its own.",
        why="Often the package is installed in editable mode, or an absolute path in the code leads there.",
        todo=f"Let Python find it in the arm's own folder:  PYTHONPATH={folder} palate run ...",
    )


def _differs(place: Place, name: str) -> bool:
    """Whether a file is another one in a state of the code than in the working tree."""
    own, theirs = Path(place.over) / name, Path(place.instead) / name
    return own.is_file() != theirs.is_file() or (own.is_file() and own.read_bytes() != theirs.read_bytes())


def trace_edit(
    project: Project, question: Question, judgement: Judgement, resources: Resources, person: Person
) -> None:
    """Where an edit did nothing, run the treatment once more to see which edited lines it reaches, and keep that."""
    path = _path(project, judgement)
    if not judgement.verdict.equal_curves or question.edit is None or path is None or path.exists():
        return
    target, lines = question.edit.target, edited_lines(question)
    if lines and target.task.kind in ("script", "function"):
        person.watch(Noticed("The edit did nothing: one more run, to see which edited lines it reaches."))
        with contextlib.suppress(PalateError), Engines(resources) as engines:
            reached = reached_lines(target, question.changes, lines, engines=engines, home=project.home)
            if reached is not None:
                path.write_text(json.dumps(reached))


def edited_lines(question: Question) -> dict[str, tuple[int, ...]]:
    """Return the edited lines of the treatment on which something is executed, by file."""
    assert question.edit is not None
    place = question.edit.target.task.place
    if place is None:
        return {}
    found = {}
    for name, numbers in question.edit.lines.items():
        try:
            found[name] = executable_lines((Path(place.over) / name).read_bytes(), numbers)
        except (OSError, SyntaxError):
            continue
    return {name: numbers for name, numbers in found.items() if numbers}


def reached_words(project: Project, question: Question, judgement: Judgement) -> list[str]:
    """Say of an edit that did nothing which of its lines no run reaches."""
    path = _path(project, judgement)
    if question.edit is None or not judgement.verdict.equal_curves or path is None or not path.exists():
        return []
    reached = json.loads(path.read_text())
    never = {
        name: [line for line in numbers if line not in reached.get(name, ())]
        for name, numbers in edited_lines(question).items()
    }
    parts = [f"{name}:{_ranges(lines)}" for name, lines in never.items() if lines]
    if not parts:
        return ["Every edited line is reached, and changes nothing."]
    return [f"Edited lines that are never reached: {', '.join(parts)}."]


def _ranges(lines: list[int]) -> str:
    """Write numbers as ranges.

    >>> _ranges([3, 4, 5, 9])
    '3-5, 9'
    """
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans_of(lines))


def _path(project: Project, judgement: Judgement) -> Path | None:
    runs = judgement.results.get(TREATMENT, {})
    return project.run_folder(runs[min(runs)].id) / REACHED if runs and BASELINE in judgement.results else None
