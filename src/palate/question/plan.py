"""The plan: which arms of a target are run at which seeds, and how a run is read; light to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from palate.question.secrets import reopened
from palate.question.target import AS_IT_IS, Order, Target
from palate.recipe.codec import content_id
from palate.recipe.settings import Change, recipe_id, with_changes
from palate.vocabulary import BASELINE, TREATMENT, Arm, Metric, Take

ARMS: tuple[Arm, ...] = (BASELINE, TREATMENT)


LONGEST_NAME = 100
"""Bytes of a run's name that say what is trained."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which runs are wanted: a question's two arms, a split's cells, a baseline alone, or reruns at new seeds.

    Attributes:
        target: what is run.
        arms: what each arm has different from the baseline, which comes first.
        seeds: the seeds that may be run.
        metric: what is judged.
        take: which value of a curve counts.
        data: fingerprint of the data.
        inputs: for each arm of which earlier runs read something else than is there now, a fingerprint of that.
        targets: what is run, of arms where it is another state of the code.
        states: ids of those states, where the code that is imported does not show that they differ.
        kept: keys of arms that a question had before its secrets were taken out of what is kept of it.
    """

    target: Target
    arms: Mapping[Arm, tuple[Change, ...]]
    seeds: range
    metric: Metric
    take: Take = "last"
    data: str = ""
    inputs: Mapping[Arm, str] = field(default_factory=dict)
    targets: Mapping[Arm, Target] = field(default_factory=dict)
    states: Mapping[Arm, str] = field(default_factory=dict)
    kept: Mapping[Arm, str] = field(default_factory=dict)

    def target_of(self, arm: Arm) -> Target:
        """Return what an arm runs."""
        return self.targets.get(arm, self.target)

    @cached_property
    def settings(self) -> Mapping[Arm, dict[str, Any]]:
        """All settings of each arm."""
        return {arm: self._settings(self.target_of(arm), changes) for arm, changes in self.arms.items()}

    def _settings(self, target: Target, changes: tuple[Change, ...]) -> dict[str, Any]:
        """Return an arm's settings; knobs that are not turned are none, so that the plain runs are the same runs."""
        told = with_changes(target.settings, changes)
        return {name: value for name, value in told.items() if value != AS_IT_IS or not target.is_season(name)}

    @cached_property
    def recipes(self) -> Mapping[Arm, str]:
        """Id of each arm's settings."""
        return {arm: recipe_id(settings) for arm, settings in self.settings.items()}

    @cached_property
    def keys(self) -> Mapping[Arm, str]:
        """For each arm, the id of what decides its runs but the seed.

        That is recipe, code, folder, package versions, data, and what is started where it is not the file of that code.
        """
        return {arm: self.kept.get(arm) or content_id(self._decides(arm))[:16] for arm in self.arms}

    def _decides(self, arm: Arm) -> list[Any]:
        target, inputs = self.target_of(arm), self.inputs.get(arm)
        known = [self.recipes[arm], target.code, target.folder, dict(target.versions), self.data]
        state, started = self.states.get(arm), _beside_code(target)
        return [
            *known,
            *([inputs] if inputs else []),
            *([["state", state]] if state else []),
            *([["task", *started]] if started else []),
            *([["fork", target.fork.decides()]] if target.fork is not None else []),
        ]

    def run_name(self, arm: Arm, seed: int) -> str:
        """Return the name of a run's folder; a number is put behind it where there is one already.

        What is trained names it, but never a path: a label may come from a colleague's file.
        """
        plain = "".join("_" if c in "/\\" or not c.isprintable() else c for c in self.target.name)
        name = plain.encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore").lstrip(".-") or "run"
        return f"{name}{self.run_mark(arm)}{seed}"

    def run_mark(self, arm: Arm) -> str:
        """Return what stands in the names of all runs of an arm."""
        return f"-{self.keys[arm][:6]}-s"

    def order(self, arm: Arm, seed: int, run_id: str, folder: Path) -> Order:
        """Make the order for one run.

        Raises:
            RefusedError: it needs a secret of which only the hash is known.
        """
        target, changes = reopened(self.target_of(arm), self.arms[arm])
        return target.order(run_id, folder, seed, changes)


def _beside_code(target: Target) -> tuple[str, ...]:
    """Return what a task starts, where that is not what the hash of its code is of; else nothing.

    `code` covers the name and the content of a Python file, and its folder is a part of the key already. So a task
    that starts that file in the way that its label says adds nothing, and its runs keep the key that they always had.
    Any other command, function or module has a key of its own. That a file still is of that code is looked at before
    it is started for a question that was kept; see `palate.loop.trust`.
    """
    task = target.task
    stem, _, name = target.label.partition(":")
    told_apart = bool(target.settings)  # by whose settings the code's hash leaves out
    named = {
        "script": not name and bool(target.folder) and not task.module,
        "function": told_apart and name == task.name and bool(target.folder),
        "module": told_apart
        and stem in (task.module, task.module.rpartition(".")[2])
        and name in ("", task.name)
        and not target.folder,
        "pickle": target.label == task.name,
        "command": [Path(word).stem for word in task.argv] in ([stem], ["bash", stem]),
    }
    if named[task.kind]:
        return ()
    return (task.kind, Path(task.file).name, task.module, task.name, *task.argv)
