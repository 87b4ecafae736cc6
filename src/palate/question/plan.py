"""The plan: which arms of a target are run at which seeds, and how a run is read; light to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from palate.question.target import Order, Target
from palate.recipe.codec import content_id
from palate.recipe.settings import Change, recipe_id, with_changes
from palate.vocabulary import BASELINE, TREATMENT, Arm, Metric, Take

ARMS: tuple[Arm, ...] = (BASELINE, TREATMENT)


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
    """

    target: Target
    arms: Mapping[Arm, tuple[Change, ...]]
    seeds: range
    metric: Metric
    take: Take = "last"
    data: str = ""

    @cached_property
    def settings(self) -> Mapping[Arm, dict[str, Any]]:
        """All settings of each arm."""
        return {arm: with_changes(self.target.settings, changes) for arm, changes in self.arms.items()}

    @cached_property
    def recipes(self) -> Mapping[Arm, str]:
        """Id of each arm's settings."""
        return {arm: recipe_id(settings) for arm, settings in self.settings.items()}

    @cached_property
    def keys(self) -> Mapping[Arm, str]:
        """For each arm, the id of what decides its runs but the seed: recipe, code, folder, package versions, data."""
        target, versions = self.target, dict(self.target.versions)
        parts = {arm: [recipe, target.code, target.folder, versions, self.data] for arm, recipe in self.recipes.items()}
        return {arm: content_id(part)[:16] for arm, part in parts.items()}

    def run_name(self, arm: Arm, seed: int) -> str:
        """Return the name of a run's folder; a number is put behind it where there is one already."""
        return f"{self.target.name}{self.run_mark(arm)}{seed}"

    def run_mark(self, arm: Arm) -> str:
        """Return what stands in the names of all runs of an arm."""
        return f"-{self.keys[arm][:6]}-s"

    def order(self, arm: Arm, seed: int, run_id: str, folder: Path) -> Order:
        """Make the order for one run."""
        return self.target.order(run_id, folder, seed, self.arms[arm])
