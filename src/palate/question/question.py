"""The question: built from the declared change, never typed; one metric, answered by the runs.

Light to import, as is all that comes before the prompt.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

from palate.errors import InputError, SettingError
from palate.question.edit import Edit
from palate.question.plan import ARMS, Plan
from palate.question.target import Target
from palate.recipe.codec import content_id, encode
from palate.recipe.settings import Change
from palate.verdict.boundary import check_budget, check_margin
from palate.vocabulary import BASELINE, TREATMENT, Arm, Goal, Metric, Take, name_metric

MarginFrom = Literal["", "typed", "kept", "history", "measured", "resolution", "share"]
"""Where a margin is from: typed for this question, kept for the metric, 1 seed sd of past runs or of the question's own
first baseline runs, the metric's smallest step where the seed moves nothing. Empty: a record of before it was kept."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of the runs.

    Attributes:
        target: what is run.
        changes: settings that the treatment has different; at least one, or an edit.
        metric: what is judged.
        take: which value of the curve counts.
        margin: smallest difference that matters. It is a number in every question that is sealed; None only until it is
            measured, and in records of before, which are judged by one seed standard deviation of their own runs.
        margin_from: where that is from. No part of what is asked, so no part of the id; nor is the next.
        margin_runs: how many runs it was measured by; 0 where it was not.
        spent: budgets of earlier questions about the same arms whose pairs were looked at before this one was sealed:
            their looks have used up their share of the error. See `palate.verdict.rule.Terms`.
        bank: seeds of the baseline runs that were there when it was sealed, before any run of the change: all of them
            count at each look. Where there are none, there is no bank. No part of the id.
        budget: seed pairs that it may cost at most.
        first_seed: of its pairs; above 0 where they have to be pairs that no earlier question used.
        data: fingerprint of the declared data.
        confounders: what else differs between the arms though nobody declared it, in words.
        edit: what else the treatment has different: its code; None where only settings are.
        inputs: for each arm of which earlier runs read something else than is there now, a fingerprint of that.
        chunks: the chunks that differ between the arms, by name, each with its ids in the baseline and the treatment.
        as_logged: whether values outside 0 to 1 are known of a metric that is named like a share: then it is shown as
            it is logged. No part of what is asked, so no part of the id.
        kept: the id ("experiment") and the keys of its arms that it had before its secrets were taken out of what is
            kept of it; empty elsewhere.
    """

    target: Target
    changes: tuple[Change, ...]
    metric: Metric
    take: Take = "last"
    margin: float | None = None
    margin_from: MarginFrom = ""
    margin_runs: int = 0
    spent: tuple[int, ...] = ()
    bank: tuple[int, ...] = ()
    budget: int = 20
    first_seed: int = 0
    data: str = ""
    confounders: tuple[str, ...] = ()
    chunks: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    inputs: Mapping[Arm, str] = field(default_factory=dict)
    edit: Edit | None = None
    as_logged: bool = False
    kept: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_margin(self.margin)
        check_budget(self.budget)

    @cached_property
    def plan(self) -> Plan:
        """The runs that it wants: both arms, at as many seeds as its budget."""
        return Plan(
            target=self.target,
            arms={BASELINE: (), TREATMENT: self.changes},
            seeds=range(self.first_seed, self.first_seed + self.budget),
            metric=self.metric,
            take=self.take,
            data=self.data,
            inputs=self.inputs,
            targets={TREATMENT: self.edit.target} if self.edit is not None else {},
            states={TREATMENT: self.edit.id} if self.edit is not None else {},
            kept={arm: key for arm, key in self.kept.items() if arm in ARMS},
        )

    @property
    def declared(self) -> tuple[Change, ...]:
        """All that is meant to differ between the arms: the edit of the code, and the settings."""
        return ((self.edit.change,) if self.edit is not None else ()) + self.changes

    @cached_property
    def experiment(self) -> str:
        """Id of the experiment: the same question has the same id, an edited one is a new one."""
        if "experiment" in self.kept:
            return self.kept["experiment"]
        keys = self.plan.keys
        parts = [keys[BASELINE], keys[TREATMENT], asdict(self.metric), self.take, self.margin, self.budget]
        parts += [self.first_seed] if self.first_seed else []
        return content_id(parts)[:8]

    @property
    def shown(self) -> Metric:
        """The metric as it is shown: in points, or as it is logged."""
        return replace(self.metric, points=False) if self.as_logged else self.metric

    def shown_for(self, values: Iterable[float | None]) -> Self:
        """Return it as its runs' values show it: with a metric that is shown as it is logged where it is no share."""
        outside = self.shown.points and not self.metric.shown_for(values).points
        return replace(self, as_logged=True) if outside else self

    @property
    def text(self) -> str:
        """The question as a sentence."""
        changed = ", ".join(str(change) for change in self.declared)
        rest = "all else equal" if len(self.declared) == 1 else f"{len(self.declared)} changes at once"
        return f"{changed}, {rest}: {self.metric.name} against the baseline?"


def build_question(
    target: Target,
    assigned: Mapping[str, Any],
    *,
    metric: str | None = None,
    goal: Goal | None = None,
    take: Take = "last",
    margin: float | None = None,
    budget: int = 20,
    data: str = "",
    edit: Edit | None = None,
    as_logged: bool = False,
) -> Question:
    """Build the question from a declared change.

    Args:
        target: what is run.
        assigned: the settings that the treatment has different, by name.
        metric: the metric that is judged; as the target declares it if None.
        goal: which way is better; as the target declares it, or as the metric's name says, if None.
        take: which value of the curve counts.
        margin: smallest difference that matters, as it is logged; found before the question is sealed if None.
        budget: seed pairs that it may cost at most.
        data: fingerprint of the declared data.
        edit: of the code, which the treatment has too.
        as_logged: whether the metric is known to have values outside 0 to 1, whatever its name says.

    Raises:
        SettingError: nothing changes, or settings that do not exist.
        InputError: no metric, or none whose goal is known.
    """
    name = metric or target.metric
    if name is None:
        raise InputError(
            f"{target.label}: which metric is judged?",
            why="The question needs one number that the runs themselves will give.",
            todo="Name it as it is logged: --metric val_acc",
        )
    changes = real_changes(edit.target if edit is not None else target, assigned, edited=edit is not None)
    return Question(
        target=target,
        changes=changes,
        metric=metric_of(target, name, goal),
        take=take,
        margin=margin,
        margin_from="" if margin is None else "typed",
        budget=budget,
        data=data,
        edit=edit,
        as_logged=as_logged,
    )


MOST_LISTED = 20
"""Names of settings that are listed in a line."""


def metric_of(target: Target, name: str, goal: Goal | None = None) -> Metric:
    """Make the metric of this name, with what the target declares of it.

    Raises:
        InputError: nobody says which way is better.
    """
    declared = name == target.metric
    return name_metric(name, goal or (target.goal if declared else None), target.resolution if declared else None)


def real_changes(target: Target, assigned: Mapping[str, Any], *, edited: bool = False) -> tuple[Change, ...]:
    """Hold assigned values against the target's settings; leave out what stays the same.

    Raises:
        SettingError: nothing changes, or settings that do not exist.
    """
    changes = target.changes(assigned)
    real = tuple(change for change in changes if encode(change.before) != encode(change.after))
    if real or (edited and not changes):
        return real
    names = [*target.settings]
    listed = ", ".join(names[:MOST_LISTED]) + (", ..." if len(names) > MOST_LISTED else "")
    can = target.can_change() or ["nothing that was found"]
    same: Sequence[str] = [f"{change.path} is {change.before} already." for change in changes]
    raise SettingError(
        "Nothing changes, so there is no question.",
        why=same or ["No change was declared. What can be changed, as it is now, and how it is handed over:", *can],
        todo=(
            f"Declare one: -c name=value{f'   ({listed})' if same else ''}",
            "Or ask about an edit of the code: --against HEAD",
        ),
    )
