"""Replay what was turned in a run, at its steps, on new seeds: did the recipe work, or only that evening?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.bounded import read_text
from palate.capture.documents import read_file
from palate.errors import InputError
from palate.loop.fork import find_kept, metric_among, training_of
from palate.loop.metric import AskGoal, known_ends, metric_for
from palate.loop.season import seasons_of
from palate.loop.terms import in_logged_unit
from palate.question.branch import Amount, parse_amount
from palate.question.fingerprint import data_of
from palate.question.question import Question
from palate.question.target import find_target
from palate.store.catalog import Catalog
from palate.store.private import write_file
from palate.store.project import Project
from palate.vocabulary import Goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooked:
    """A training and what is turned in it: what a recipe file says.

    Attributes:
        train: the script or function, as it is typed.
        arguments: of its command line, in both arms.
        turns: the amounts, by step and knob, as they are typed.
    """

    train: str
    arguments: tuple[str, ...]
    turns: Mapping[int, Mapping[str, str]]

    def text(self) -> str:
        """Return it as YAML."""
        import yaml

        body = {
            "train": self.train,
            "arguments": list(self.arguments),
            "turns": {step: dict(self.turns[step]) for step in sorted(self.turns)},
        }
        head = "# What was turned, at which step: palate cook FILE --seeds 5   replays it on new seeds.\n"
        written: str = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)
        return head + written


def read_cooked(path: Path) -> Cooked:
    """Read a recipe file.

    Raises:
        InputError: it is none, with all its faults.
    """
    import yaml

    read_file(path, loader="yaml")  # its bounds
    body: Any = yaml.safe_load(read_text(path))
    if not isinstance(body, dict) or not isinstance(body.get("train"), str) or not isinstance(body.get("turns"), dict):
        raise InputError(
            f"{path} is no recipe to cook.",
            why="It says `train: train.py` and `turns: {900: {lr: x0.3}}`.",
            todo=f"palate cook RUN --write {path}   writes one of a run",
        )
    faults = []
    for step, amounts in body["turns"].items():
        if isinstance(step, bool) or not isinstance(step, int) or step < 0 or not isinstance(amounts, dict):
            faults.append(f"{step}: {amounts}: a step, and the knobs that are turned there")
    if faults:
        raise InputError(f"{path} cannot be cooked.", why=faults, todo="turns: {900: {lr: x0.3, adv: .05}}")
    turns = {step: {str(name): _typed(amount) for name, amount in some.items()} for step, some in body["turns"].items()}
    return Cooked(train=body["train"], arguments=tuple(map(str, body.get("arguments") or ())), turns=turns)


def _typed(amount: Any) -> str:
    return ",".join(map(str, amount)) if isinstance(amount, list) else str(amount)


def cooked_of_run(project: Project, name: str) -> Cooked:
    """Return what was turned in a run.

    Raises:
        NotFoundError: there is no such run.
        InputError: nothing was turned in it.
    """
    with Catalog.open(project) as catalog:
        catalog.refresh()
        run = find_kept(catalog, name)
    turns = seasons_of(project, run.id)
    if not turns:
        raise InputError(f"Nothing was turned in {run.id}.", todo=f"palate season {run.id} lr=x0.3   while it goes")
    target, changes = training_of(project, run)
    words = [word for one in changes for word in target.hands(one.path).as_arguments(one.after)]
    file = Path(target.task.file) if target.task.file else None
    inside = file is not None and file.is_relative_to(Path.cwd())
    shown = target.label if file is None else str(file.relative_to(Path.cwd()) if inside else file)
    if target.task.kind == "script" and target.task.module:
        shown = target.task.text
    train = f"{shown}:{target.task.name}" if target.task.name and file is not None else shown
    return Cooked(train=train, arguments=(*map(str, target.argv), *words), turns=turns)


def write_cooked(path: Path, cooked: Cooked) -> None:
    """Write a recipe file; one that is there is not replaced.

    Raises:
        InputError: there is a file already.
    """
    if path.exists():
        raise InputError(f"{path} is there already.", todo="Name another file: --write cooked.yaml")
    write_file(path, cooked.text())


def cook_question(
    project: Project,
    cooked: Cooked,
    *,
    metric: str | None = None,
    goal: Goal | None = None,
    ask: AskGoal | None = None,
    margin: float | None = None,
    budget: int = 20,
) -> Question:
    """Return the question whether what was turned helps: the same training on new seeds, with it and without.

    Raises:
        InputError: an amount that is none, or no metric.
    """
    turns: dict[int, dict[str, Amount]] = {
        step: {name: parse_amount(name, amount) for name, amount in some.items()} for step, some in cooked.turns.items()
    }
    base = find_target(cooked.train, cooked.arguments)
    target, changes = base.seasoned(turns)
    name = metric_among(metric or base.metric, set())
    judged = metric_for(project, base, name, goal, ask)
    return Question(
        target=target,
        changes=changes,
        metric=judged,
        margin=in_logged_unit(judged, margin, known_ends(project, base, judged)),
        margin_from="" if margin is None else "typed",
        budget=budget,
        data=data_of(base.data, Path.cwd()),
    )
