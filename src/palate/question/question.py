"""The question: built from the declared change, never typed; one metric, one horizon, answered by the runs.

Light to import, as is all that comes before the prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from palate.errors import InputError, SettingError
from palate.question.target import Target, target_from_body
from palate.recipe.codec import content_id, decode, encode
from palate.recipe.settings import Change, recipe_id, with_changes
from palate.verdict.boundary import check_budget, check_margin
from palate.vocabulary import BASELINE, TREATMENT, Arm, Goal, Metric, Take, name_metric

ARMS: tuple[Arm, ...] = (BASELINE, TREATMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the runs.

    Attributes:
        target: what is run.
        changes: settings that the treatment has different; at least one.
        metric: what is judged.
        take: which value of the curve counts.
        margin: smallest difference that matters; one seed standard deviation if None.
        budget: seed pairs that it may cost at most.
        data: fingerprint of the declared data.
        confounders: what else differs between the arms though nobody declared it, in words.
        chunks: the chunks that differ between the arms, by name, each with its ids in the baseline and the treatment.
    """

    target: Target
    changes: tuple[Change, ...]
    metric: Metric
    take: Take = "last"
    margin: float | None = None
    budget: int = 20
    data: str = ""
    confounders: tuple[str, ...] = ()
    chunks: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_margin(self.margin)
        check_budget(self.budget)

    @property
    def experiment(self) -> str:
        """Id of the experiment: the same question has the same id, an edited one is a new one."""
        parts = [self.run_key("baseline"), self.run_key("treatment"), asdict(self.metric), self.take, self.margin]
        return content_id([*parts, self.budget])[:8]

    @property
    def text(self) -> str:
        """The question as a sentence."""
        changed = ", ".join(str(change) for change in self.changes)
        rest = "all else equal" if len(self.changes) == 1 else f"{len(self.changes)} changes at once"
        return f"{changed}, {rest}: {self.metric.name} against the baseline?"

    def settings(self, arm: Arm) -> dict[str, Any]:
        """Give all settings of an arm."""
        return with_changes(self.target.settings, self.changes_of(arm))

    def changes_of(self, arm: Arm) -> tuple[Change, ...]:
        """Give what an arm has different from the baseline."""
        return self.changes if arm == TREATMENT else ()

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms, the baseline first."""
        return ARMS

    @property
    def seeds(self) -> range:
        """The seeds that may be run."""
        return range(self.budget)

    def run_key(self, arm: Arm) -> str:
        """Id of what decides a run of an arm but its seed: recipe, code, package versions, data."""
        return run_key_of(self.target, self.settings(arm), self.data)

    def body(self) -> dict[str, Any]:
        """Write the question as plain JSON data, complete enough to be run from."""
        return {
            "experiment": self.experiment,
            "text": self.text,
            "target": self.target.body(),
            "changes": [{"path": c.path, "before": encode(c.before), "after": encode(c.after)} for c in self.changes],
            "metric": asdict(self.metric),
            "take": self.take,
            "margin": self.margin,
            "budget": self.budget,
            "data": self.data,
            "confounders": list(self.confounders),
            "chunks": {role: list(pair) for role, pair in self.chunks.items()},
            "recipes": {arm: recipe_id(self.settings(arm)) for arm in ARMS},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What plans that are made of a question share with it: what is run, and how a run is read."""

    question: Question

    @property
    def target(self) -> Target:
        """What is run."""
        return self.question.target

    @property
    def metric(self) -> Metric:
        """What is judged."""
        return self.question.metric

    @property
    def take(self) -> Take:
        """Which value of the curve counts."""
        return self.question.take


def run_key_of(target: Target, settings: Mapping[str, Any], data: str) -> str:
    """Id of what decides a run but its seed: recipe, code, package versions, data."""
    return content_id([recipe_id(settings), target.code, target.folder, dict(target.versions), data])[:16]


def question_from_body(body: Mapping[str, Any]) -> Question:
    """Undo `Question.body`."""
    changes = tuple(
        Change(path=c["path"], before=decode(c["before"]), after=decode(c["after"])) for c in body["changes"]
    )
    return Question(
        target=target_from_body(body["target"]),
        changes=changes,
        metric=Metric(**body["metric"]),
        take=body["take"],
        margin=body["margin"],
        budget=body["budget"],
        data=body["data"],
        confounders=tuple(body.get("confounders", ())),
        chunks={role: (pair[0], pair[1]) for role, pair in body.get("chunks", {}).items()},
    )


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
) -> Question:
    """Build the question from a declared change.

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
    changes = _real_changes(target, assigned)
    declared = goal or (target.goal if name == target.metric else None)
    return Question(
        target=target,
        changes=changes,
        metric=name_metric(name, declared, target.resolution if name == target.metric else None),  # type: ignore[arg-type]
        take=take,
        margin=margin,
        budget=budget,
        data=data,
    )


def _real_changes(target: Target, assigned: Mapping[str, Any]) -> tuple[Change, ...]:
    changes = target.changes(assigned)
    real = tuple(change for change in changes if encode(change.before) != encode(change.after))
    if real:
        return real
    same: Sequence[str] = [f"{change.path} is {change.before} already." for change in changes]
    raise SettingError(
        "Nothing changes, so there is no question.",
        why=same or "No change was declared.",
        todo=f"Declare one: -c name=value   ({', '.join(target.settings) or 'no settings found'})",
    )
