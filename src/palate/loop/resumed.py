"""Whether a training, taken up again from a capsule in a new process, goes on bit by bit; and what differs if not."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from palate.bounded import parse_json
from palate.cooking.capsule import capsules_of
from palate.cooking.digest import CLOCKS
from palate.errors import RunsFailedError
from palate.question.branch import Branch, capsule_path
from palate.question.target import Target
from palate.store.project import Project
from palate.store.reader import Content, read_journal
from palate.training.launch import Ended, Engines, Resources
from palate.training.outcome import begin_run, tail_of

SEED = 0
EARLY_WORDS = (
    "That was in the first pass over the loader. Samplers and data sets with a state of their own show in a later one: "
    "--at behind it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What came of going on from a capsule.

    Attributes:
        at: the step of the capsule.
        steps: the step at which both ended.
        differ: parts whose state differs at the end, of all of them.
        alike: the others.
        first: the first step at which a metric differs, with the metric; None where none does.
        points: how many values of metrics were compared.
        left_out: what the capsule does not hold, a line each.
        pass_number: of the pass over the loader in which it was taken, from 0.
    """

    at: int
    steps: int
    differ: tuple[str, ...]
    alike: tuple[str, ...]
    first: tuple[int, str] | None
    points: int
    left_out: tuple[str, ...]
    pass_number: int = 0

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return not self.differ and self.first is None

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data, schema `palate.resume/1`."""
        return {
            "schema": "palate.resume/1",
            "exact": self.exact,
            "at": self.at,
            "steps": self.steps,
            "differ": list(self.differ),
            "alike": list(self.alike),
            "first": self.first and {"step": self.first[0], "metric": self.first[1]},
            "points": self.points,
            "left_out": list(self.left_out),
        }

    def lines(self) -> list[str]:
        """Return it as lines for people."""
        if self.exact:
            told = f"Bit for bit: taken up at step {self.at} in a new process, it is at step {self.steps} what it was."
            alike = f"Compared: {', '.join(self.alike)}, and {self.points} values of metrics."
            early = [] if self.pass_number else [EARLY_WORDS]
            return [told, alike, *early, *self._left_out()]
        first = f", from step {self.first[0]} on ({self.first[1]})" if self.first is not None else ""
        return [
            f"Not the same: taken up at step {self.at} in a new process, it differs{first}.",
            f"At step {self.steps} these differ: {', '.join(self.differ) or 'metrics alone'}.",
            *([f"These do not: {', '.join(self.alike)}."] if self.alike else []),
            *self._left_out(),
            "What decides it is not known to palate.start: hand it over (an optimizer, an average, a generator, a "
            "dictionary), or it depends on time, threads, files or what came before the loop. A counter of your own, "
            "or that of `enumerate(run.steps(loader))`, begins at 0 again: use run.step.",
            "Forks are fair all the same: both arms lack it alike. They are not the run's own future.",
        ]

    def _left_out(self) -> list[str]:
        return [f"Not held: {line}." for line in self.left_out]


def try_resuming(project: Project, target: Target, resources: Resources, *, at: int, steps: int) -> Resumed:
    """Run a training up to a step and some steps behind it, and again from a capsule there; compare bit by bit.

    Args:
        project: in whose folder it is tried; nothing of it stays.
        target: the training.
        resources: what it is run with.
        at: the step of the capsule.
        steps: how many steps come behind it.

    Raises:
        RunsFailedError: the training failed, or keeps no capsules.
    """
    project.make()
    with tempfile.TemporaryDirectory(prefix="resume-", dir=project.home) as folder, Engines(resources) as engines:
        place = Path(folder)
        trunk = Branch(stop=at + steps, capsule_at=at, digest=str(place / "trunk.json"))
        _carry_out(engines, target, place / "trunk", trunk)
        capsule = capsule_path(place / "trunk", at)
        if not capsule.is_file():
            raise _no_capsule(target, place, at)
        again = Branch(capsule=str(capsule), at=at, stop=steps, digest=str(place / "again.json"))
        _carry_out(engines, target, place / "again", again)
        return _compared(place, at)


def _carry_out(engines: Engines, target: Target, folder: Path, branch: Branch) -> None:
    folder.mkdir()
    begin_run(folder / "journal", key="", label=target.label, seed=SEED, settings=target.settings)
    order = replace(target.order(folder.name, folder, SEED, []), branch=branch)
    engines.submit(target.task, order)
    ended: list[Ended] = []
    while not ended:
        ended = [one for one in engines.poll() if one.id == folder.name]
    if ended[0].status:
        raise RunsFailedError(
            f"The training failed (exit status {ended[0].status}).",
            why=[f"| {line}" for line in tail_of(folder / "output.log")],
            todo="Mend it, then type the same command again.",
        )


def _no_capsule(target: Target, place: Path, at: int) -> RunsFailedError:
    kept = sorted(capsules_of(place / "trunk"))
    return RunsFailedError(
        f"{target.label} kept no capsule at step {at}.",
        why=f"It kept some at: {', '.join(map(str, kept))}."
        if kept
        else "It does not call palate.start and run.steps.",
        todo='run = palate.start("name", model=net, optimizer=opt)   for batch in run.steps(loader):',
    )


def _compared(place: Path, at: int) -> Resumed:
    mine, theirs = (_digests(place / name) for name in ("again.json", "trunk.json"))
    first, points = _first_difference(
        read_journal(place / "again" / "journal"), read_journal(place / "trunk" / "journal"), at
    )
    parts = sorted(mine["digests"].keys() | theirs["digests"].keys())
    differ = tuple(name for name in parts if mine["digests"].get(name) != theirs["digests"].get(name))
    kept = capsules_of(place / "trunk")
    return Resumed(
        at=at,
        steps=theirs["step"],
        differ=differ if mine["step"] == theirs["step"] else tuple(parts),
        alike=tuple(name for name in parts if name not in differ),
        first=first,
        points=points,
        left_out=tuple(dict.fromkeys(line for about in kept.values() for line in about.left_out)),
        pass_number=kept[at].epoch,
    )


def _digests(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise RunsFailedError("The training ended without a step.", todo="Does it call run.steps?")
    return dict(parse_json(path.read_text(encoding="utf-8"), "The digests"))


def _first_difference(mine: Content, theirs: Content, at: int) -> tuple[tuple[int, str] | None, int]:
    """Return the first step at which a metric differs, and how many values were compared."""
    differ, points = [], 0
    for name, curve in mine.curves.items():
        if name.endswith(CLOCKS):
            continue
        other = theirs.curves.get(name)
        known = dict(zip(other.steps.tolist(), other.values.tolist(), strict=True)) if other is not None else {}
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            points += step in known
            if step >= at and step in known and repr(known[step]) != repr(value):
                differ.append((int(step), name))
    return min(differ, default=None), points
