"""What a run logged and who logs it, and how one of its metrics is asked for."""

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palate.errors import InputError, PalateError
from palate.question.target import Target
from palate.recipe.lexicon import role_of_path
from palate.store.project import Project
from palate.store.reader import read_event
from palate.training.loggers.hearing import EVENT
from palate.vocabulary import goal_of_name

NOT_HEARD = "Where it prints the metric in a form of its own: --metric NAME --metric-from 'acc[=: ]+([0-9.]+)'"
MOST_OFFERED = 4
_MEASURED = ("val", "test", "eval")
"""Words in the names of what is measured apart from training."""


def _is_setting(name: str) -> bool:
    """Return whether a name is that of a setting, as of a configuration that is printed."""
    measured = any(word in name.lower() for word in _MEASURED)
    return not measured and role_of_path((name,)) in ("data", "model", "optimiser", "schedule", "compute", "run")


@dataclass(frozen=True, slots=True)
class Logged:
    """What a run logged.

    Attributes:
        names: of its metrics, with who logged each: "wandb", "printed", "log.csv"; "palate" where it did so itself.
        ambiguous: names that several log with different values, with who does.
    """

    names: Mapping[str, str]
    ambiguous: Mapping[str, Sequence[str]]

    def words(self) -> str:
        """Say the names with who logs them.

        >>> Logged({"val_loss": "wandb", "acc": "palate"}, {}).words()
        'val_loss (wandb), acc'
        """
        known = self.sensible()
        names = [*known, *(name for name in self.names if name not in known)]
        told = [name if self.names[name] == "palate" else f"{name} ({self.names[name]})" for name in names]
        return ", ".join(told) or "nothing"

    def sensible(self) -> list[str]:
        """Return the names of which it is known which way is better, those of validation and test first."""
        known = [name for name in self.names if goal_of_name(name) is not None and name not in self.ambiguous]
        return sorted(known, key=lambda name: not any(word in name.lower() for word in _MEASURED))

    def offers(self, target: Target, more: Sequence[str]) -> list[str]:
        """Return the commands that judge by one of them, the likeliest first."""
        names = self.sensible()
        ways = [f"--metric {shlex.quote(name)}" for name in names]
        others = [name for name in self.names if name not in names and not _is_setting(name)]
        ways += [f"--metric {shlex.quote(name)} --goal max   (or min)" for name in others]
        if target.task.kind == "command":
            typed = shlex.join((*target.task.argv, *map(str, target.argv)))
            return [" ".join(["palate run", *more, way, "--", typed]) for way in ways[:MOST_OFFERED]]
        behind = f" -- {shlex.join(map(str, target.argv))}" if target.argv else ""
        return [" ".join(["palate run", target.typed, *more, way]) + behind for way in ways[:MOST_OFFERED]]


def read_logged(project: Project, run_id: str, names: Sequence[str]) -> Logged:
    """Return what a run logged, of which the names are known."""
    said = None
    with contextlib.suppress(PalateError):  # its journal went, or cannot be read: said where that was seen
        said = read_event(project.journal(run_id), EVENT)
    said = said or {}
    by = said.get("names", {})
    return Logged({name: by.get(name, "palate") for name in names}, said.get("ambiguous", {}))


def which_metric(target: Target, logged: Logged, more: Sequence[str]) -> InputError:
    """Return what is raised where no metric is named: what was logged, and what can be typed."""
    if not logged.names:
        return InputError(
            f"{target.label}: which metric is judged?",
            why="Its first run logged nothing that palate hears.",
            todo=[NOT_HEARD, "What is heard: docs/logging.md"],
        )
    return InputError(
        f"{target.label}: which metric is judged?",
        why=f"Its first run logged: {logged.words()}",
        todo=logged.offers(target, more),
    )
