"""How a question opens: who is asked and told, what is known of it, and the first answer, before anything slow happens.

Light to import. The person is asked before numpy, the catalog or torch are there: the prompt must not wait, and
nothing that could anchor an answer has been worked out yet. The warm worker starts while they think.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from palate.errors import RefusedError
from palate.forecast.answer import Said
from palate.forecast.chances import Reference
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import Author, SealedForecast
from palate.loop.metric import AskGoal, known_ends, metric_for
from palate.loop.reuse import with_inputs
from palate.loop.terms import AskMargin, in_logged_unit, project_noise, refuse_implausible, with_known_margin
from palate.loop.trust import Trust
from palate.question.edit import Edit, snapshot
from palate.question.fingerprint import data_of
from palate.question.folder import place_of
from palate.question.question import Question, build_question, real_changes
from palate.question.target import Order, Target
from palate.recipe.codec import content_id
from palate.store.config import PreferenceSource
from palate.store.peek import runs_named
from palate.store.project import Project
from palate.training.devices import find_devices
from palate.training.launch import Engines, Resources
from palate.training.local import start_local
from palate.training.placing import Places, Wish, count_cores, share_out, threads_said
from palate.training.worker import IN_WORKER
from palate.vocabulary import TREATMENT, Arm, Goal

if TYPE_CHECKING:
    from palate.loop.results import RunResult
    from palate.recipe.difference import Difference
    from palate.verdict.rule import Verdict

Config = Mapping[str, PreferenceSource]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run starts."""

    arm: Arm
    seed: int
    order: Order
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunsGoing:
    """These runs go, and no others: one that is to be made again ends without a result. Told a few times a second.

    `at_once` is how many go at a time at most, as far as is known by now.
    """

    ids: tuple[str, ...]
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run has ended."""

    arm: Arm
    result: "RunResult"


@dataclass(frozen=True, slots=True)
class Looked:
    """What the pairs so far say."""

    verdict: "Verdict"


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something about the runs that a person should know, in a sentence.

    `waits` is whether it is of what is waited for just now: that is told where nothing else is, too.
    """

    words: str
    waits: bool = False


WatchEvent = SealedForecast | RunStarted | RunsGoing | RunEnded | Looked | Noticed
"""What somebody who watches is told: a forecast that was sealed, runs, looks, and what was noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is shown after the first answer, for one revision.

    Attributes:
        first: what was said.
        reference: the reference forecast.
        cases: the nearest past cases, a line each.
    """

    first: SealedForecast
    reference: Reference
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmsRead:
    """What was seen of the two arms before they run.

    Attributes:
        difference: what differs, and why.
        read: whether both could be read at their first optimizer step.
        dead: changed settings that have no effect, a sentence each.
    """

    difference: "Difference"
    read: bool
    dead: tuple[str, ...]


class Person(Protocol):
    """Who asks the question: is asked for a forecast, told what differs, shown the reference, and watches the runs."""

    def ask(self, question: Question) -> Said | None:
        """Return the first answer; None is a skip.

        It is only called where this author has no forecast and has not skipped, and no outcome can be seen.
        """

    def inform(self, question: Question, inside: ArmsRead) -> None:
        """Hear, before anything is sealed, what was seen of the two arms; raise to stop."""

    def revise(self, question: Question, shown: Shown) -> Said | None:
        """Return the one revision; None keeps the first answer."""

    def watch(self, event: WatchEvent) -> None:
        """Hear of progress."""


class Nobody:
    """A program that asks: makes no forecast when asked, revises none, stops at nothing, watches nothing."""

    def ask(self, _: Question) -> None:
        """Skip."""

    def inform(self, _: Question, __: ArmsRead) -> None:
        """Go on."""

    def revise(self, _: Question, __: Shown) -> None:
        """Keep the first answer."""

    def watch(self, _: WatchEvent) -> None:
        """Do nothing."""


def nobody() -> Person:
    """Return the person that a program is."""
    return Nobody()


def resources_of(
    project: Project,
    config: Config,
    *,
    workers: int | None = None,
    threads: int | None = None,
    timeout_s: float | None = None,
    per_gpu: int | None = None,
    target: Target | None = None,
    processes: int = 1,
) -> Resources:
    """Return what runs are carried out with: flags first, then preferences, then the machine's GPUs and cores.

    OMP_NUM_THREADS counts as the threads of a run where nothing else says how many.

    Args:
        project: whose runs they are.
        config: the preferences.
        workers: runs at a time.
        threads: CPU threads a run.
        timeout_s: seconds that a run may take.
        per_gpu: runs a GPU; 0 hides the GPUs.
        target: what is run; where it uses no GPU, none is looked for. None where several are.
        processes: that a run's command starts together at most, where several targets are run.
    """
    said = threads or config["threads"].value
    wish = Wish(
        workers=workers or config["workers"].value,
        per_gpu=config["per_gpu"].value if per_gpu is None else per_gpu,
        threads=said or threads_said(os.environ),
        overrules=said is not None,
    )
    cores = count_cores()
    runs, threads_a_run = share_out(cores, wish.workers, wish.threads)
    uses = target is None or target.may_use_gpu
    processes = processes if target is None else target.processes
    return Resources(
        places=Places(wish, cores=cores, find=lambda: find_devices(os.environ) if uses else (), processes=processes),
        start=start_local,
        workers=runs,
        threads=threads_a_run,
        timeout_s=timeout_s or config["timeout_s"].value,
        place=place_of(Path.cwd(), project.home),
    )


def question_about(
    project: Project,
    target: Target,
    changes: Mapping[str, Any],
    *,
    metric: str | None = None,
    goal: Goal | None = None,
    ask: AskGoal | None = None,
    data: tuple[str, ...] = (),
    edit: Edit | None = None,
    margin: float | None = None,
    ask_margin: AskMargin | None = None,
    **options: Any,
) -> Question:
    """Build the question for a target, its data fingerprinted, its metric as the project knows it.

    Args:
        project: where it is asked.
        target: what is run.
        changes: settings that the treatment has different, by name.
        metric: what is judged; as the target declares it if None.
        goal: which way is better, where somebody says it now; see `metric_for`.
        ask: asks a person which way an unknown metric is better; None where there is nobody to ask.
        data: files or folders whose content is part of a run, besides what the target declares.
        edit: of the code, which the treatment has too.
        margin: smallest difference that matters, where somebody says it now; see `palate.loop.terms`.
        ask_margin: asks a person for it, where the project knows none; None where there is nobody to ask.
        options: see `build_question`.

    Raises:
        SettingError, InputError: see `build_question`.
    """
    real_changes(
        edit.target if edit is not None else target, changes, edited=edit is not None
    )  # refused before anybody is asked anything
    name = metric or target.metric
    judged = None if name is None else metric_for(project, target, name, goal, ask)
    ends = () if judged is None else known_ends(project, target, judged)
    question = build_question(
        target,
        changes,
        metric=name,
        goal=None if judged is None else judged.goal,
        data=_with_pattern(data_of((*target.data, *data), Path.cwd()), project.patterns.get(name or "", "")),
        as_logged=judged is not None and judged.points and not judged.shown_for(ends).points,
        edit=edit,
        margin=margin if judged is None else in_logged_unit(judged, margin, ends),
        **options,
    )
    if margin is not None and project.margins.get(question.metric.name) != question.margin:
        noise = project_noise(Ledger.of(project.chain), question)
        refuse_implausible(question.shown, question.margin, noise)
    return with_known_margin(project, question, ask_margin, ends)


def _with_pattern(data: str, pattern: str) -> str:
    """Return the fingerprint of data with the pattern by which a metric is read: by another one, runs are others."""
    return content_id([data, pattern])[:16] if pattern else data


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A question that is about to be run.

    Attributes:
        question: as it is asked of the data that are there now.
        author: who forecasts.
        said: the first answer that was given now; None where none was.
        asked: whether a person was asked for it just now, and so can be asked for a revision.
        changed: what is different since earlier runs, which are therefore not used again, in words.
        resources: what runs are carried out with.
        engines: those that are warming up; none where all runs may be there already.
        made: runs of it that were made just now, before it was sealed: those that measured the noise.
    """

    question: Question
    author: Author
    said: Said | None
    asked: bool
    changed: tuple[str, ...]
    resources: Resources
    engines: Engines
    made: int = 0


@contextmanager
def opening(
    project: Project,
    question: Question,
    *,
    author: Author,
    person: Person,
    resources: Resources,
    said: Said | None = None,
) -> Iterator[Opening]:
    """Open a question: look at what is sealed, warm the worker, ask for the first answer where one is missing.

    Args:
        project: where it is kept.
        question: what is asked.
        author: who forecasts.
        person: who is asked.
        resources: what runs are carried out with.
        said: the forecast, given beforehand.

    Raises:
        RefusedError: it is called from inside one of palate's own runs, or the question is void.
    """
    _refuse_in_worker()
    project.make()
    question, changed = with_inputs(project, question)
    question = with_known_margin(project, question)
    experiment = Ledger.of(project.chain).find(question.experiment)
    _refuse_void(experiment)
    Trust.of(project).add(question)
    resources = _with_sources(project, question, resources)
    touched = treatment_is_touched(project, question)
    with Engines(resources) as engines:
        for arm in () if touched else question.plan.arms:
            engines.warm(question.plan.target_of(arm).task)
        missing = experiment is None or (experiment.is_missing(author.name) and author.name not in experiment.skipped)
        wanted = said is None and missing and not (touched and _has_ended(project, question))
        answer = person.ask(question) if wanted else said
        yield Opening(
            question=question,
            author=author,
            said=answer,
            asked=wanted and answer is not None,
            changed=changed,
            resources=resources,
            engines=engines,
        )


def _with_sources(project: Project, question: Question, resources: Resources) -> Resources:
    """Let scripts be run from a copy of their code as it is now: who edits on while runs go does not change them."""
    place, target = resources.place, question.target
    if place is None or place.over or target.task.kind != "script" or not target.sources:
        return resources
    return replace(resources, place=replace(place, over=snapshot(target.sources, place.root, project.home)))


def treatment_is_touched(project: Project, question: Question) -> bool:
    """Whether any run with the treatment's key was ever begun, told by the names of the runs' folders alone."""
    mark = question.plan.run_mark(TREATMENT)
    return bool(runs_named(project.runs, mark))


def _has_ended(project: Project, question: Question) -> bool:
    from palate.loop.evidence import evidence_of  # slow, and rarely needed here
    from palate.store.catalog import Catalog

    with Catalog.open(project) as catalog:
        return evidence_of(catalog, question).ended > 0


def _refuse_in_worker() -> None:
    if os.environ.get(IN_WORKER):
        raise RefusedError(
            "palate was asked to run experiments from inside one of its own runs.",
            why="The file starts its experiment when it is imported.",
            todo='Put the call under:  if __name__ == "__main__":',
        )


def _refuse_void(experiment: SealedExperiment | None) -> None:
    if experiment is not None and experiment.void is not None:
        raise RefusedError(
            f"experiment {experiment.id} is void: {experiment.void.reason}",
            why="What was voided is not run again as the same question.",
            todo="Fix what was wrong (other code or data, other question), or ask with another margin or budget.",
        )
