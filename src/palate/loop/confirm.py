"""Hold the project's winners against fresh runs, all at once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from palate.ledger.ledger import read_story
from palate.loop.results import Results
from palate.loop.runner import Stove, Watcher
from palate.question.question import Asked, Question
from palate.recipe.settings import Change
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.training.launch import Kitchen
from palate.verdict.many import Confirmation, confirm_all
from palate.verdict.pairs import Pairs, make_pairs
from palate.vocabulary import Arm

CLAIMS = {"better": 1, "worse": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshPlan(Asked):
    """A question at seeds that its verdict did not use."""

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms, the baseline first."""
        return self.question.arms

    @property
    def seeds(self) -> range:
        """As many fresh seeds as the budget, behind those that the verdict could use."""
        return range(self.question.budget, 2 * self.question.budget)

    def settings(self, arm: Arm) -> dict[str, Any]:
        """Give all settings of an arm."""
        return self.question.settings(arm)

    def changes_of(self, arm: Arm) -> tuple[Change, ...]:
        """Give what an arm has different from the baseline."""
        return self.question.changes_of(arm)

    def run_key(self, arm: Arm) -> str:
        """Id of what decides a run but its seed."""
        return self.question.run_key(arm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The fresh runs of one question: settled once all have ended."""

    results: Results
    plan: FreshPlan

    @property
    def settled(self) -> bool:
        """Whether every fresh run has ended."""
        return all(seed in self.results[arm] for arm in self.plan.arms for seed in self.plan.seeds)

    def pairs(self) -> Pairs | None:
        """Give the pairs of which both halves finished; None below 2."""
        arms = [self.results[arm] for arm in self.plan.arms]
        values = [tuple(arm[seed].outcome.value for arm in arms) for seed in self.plan.seeds]
        both = [(a, b) for a, b in values if a is not None and b is not None]
        if len(both) < 2:
            return None
        baseline, treatment = zip(*both, strict=True)
        return make_pairs(baseline, treatment, sign=self.plan.metric.sign, resolution=self.plan.metric.resolution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One earlier verdict, and what fresh runs say of it."""

    question: Question
    kind: str
    confirmation: Confirmation


def winners(project: Project) -> list[tuple[Question, str]]:
    """List the questions whose verdict claims a difference, with the claim."""
    told = {record.body["experiment"]: record.body["kind"] for record in project.chain.records("verdict")}
    return [(read_story(project.chain, name).question, kind) for name, kind in told.items() if kind in CLAIMS]


def confirm(
    project: Project, kitchen: Kitchen, watch: Callable[[Question], Watcher], *, strict: bool = False
) -> list[Held]:
    """Run fresh pairs for every winner, as many as its budget, and hold all of them against them at once.

    Args:
        project: whose winners.
        kitchen: what runs are carried out with.
        watch: gives a display for a question's runs.
        strict: by e-values; see `confirm_all`.

    Runs that are there are used again, so a second call costs nothing. Badges that are new are sealed.

    Raises:
        RunsFailedError: the training did not deliver.
    """
    found: list[tuple[Question, str, Pairs]] = []
    for question, kind in winners(project):
        plan = FreshPlan(question=question)
        pairs = _cook(project, plan, kitchen, watch(question)).pairs()
        if pairs is not None:
            found.append((question, kind, pairs))
    told = confirm_all([p for _, _, p in found], [CLAIMS[kind] for _, kind, _ in found], strict=strict)
    held = [
        Held(question=question, kind=kind, confirmation=one)
        for (question, kind, _), one in zip(found, told, strict=True)
    ]
    _seal(project, held)
    return held


def _cook(project: Project, plan: FreshPlan, kitchen: Kitchen, watcher: Watcher) -> Fresh:
    def look(_: Catalog, results: Results) -> Fresh:
        return Fresh(results=results, plan=plan)

    return Stove(project, plan, kitchen, watcher, look).settle().look


def _seal(project: Project, held: list[Held]) -> None:
    known = {record.body["experiment"]: record.body["badge"] for record in project.chain.records("confirmation")}
    for one in held:
        if known.get(one.question.experiment) != one.confirmation.badge:
            body = {"experiment": one.question.experiment, **asdict(one.confirmation)}
            project.chain.append("confirmation", body, now=datetime.now(UTC))
