"""Forks with a control: two arms leave the same capsules by the same door, one with knobs turned, one as it is.

A pair has the same capsule, the same random numbers and the same order of data; so what differs between its two runs is
the season alone. Pair 0 of each trunk goes on with the trunk's own random numbers, the others with new ones.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from palate.cooking.capsule import About, capsule_before, capsules_of
from palate.errors import InputError, NotFoundError, RefusedError
from palate.ledger.ledger import Ledger
from palate.loop.metric import AskGoal, known_ends, metric_for
from palate.loop.season import refuse_heard
from palate.loop.terms import in_logged_unit
from palate.loop.trust import Trust, command_lines
from palate.question.branch import Amount, Fork, Trunk
from palate.question.fingerprint import data_of
from palate.question.origin import read_origin
from palate.question.question import Question
from palate.question.source import read_source
from palate.question.started import MODULE
from palate.question.target import Target, find_target
from palate.recipe.settings import Change, with_changes
from palate.redaction import opened
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.store.runs import RunRow
from palate.vocabulary import Goal, Metric, Take

LEAST_SHARE = 0.1
"""Below this share of what remains, forks say the right direction of a higher lr, or of SGD's momentum, as a coin does.

Of all changes together in three of four. Measured, as what follows, on five small trainings: `benchmarks/forks.py`.
"""

LEAST_PAIRS = 2
USUAL_SHARE = 1 / 3
"""The horizon where nobody says one, as a share of what remains.

The sign over four trunks is that of the end in .93 (standard error .02); in .86 at 17 %, .95 at half of what remains.
"""

ANNEALED = ("lr",)
"""Knobs that need both arms to be annealed before they are compared: the end of a run anneals them too."""

ASKED_LONGER = ("lr", "momentum", "weight_decay")
"""Knobs of which a horizon below a quarter of what remains is warned about.

At 17 %, plain, SGD's momentum has the sign of the end in .66 of forks, its lr in .71; the other knobs in .89.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a fork, as it is typed.

    Attributes:
        runs: the trunks, by the starts of their ids.
        at: the step at which the arms part.
        amounts: of knobs, in the treatment.
        horizons: steps that the arms go on; the longest is run, the verdict is of it, the others are told beside it.
        anneal: whether both arms' lr falls to zero; as the knobs need it if None.
        replicates: pairs a trunk at most.
        take: which value of the metric's curve counts.
    """

    runs: Sequence[str]
    at: int
    amounts: Mapping[str, Amount]
    horizons: Sequence[int] = ()
    anneal: bool | None = None
    replicates: int = 8
    take: Take = "last"


def fork_question(
    project: Project,
    asked: Asked,
    *,
    metric: str | None = None,
    goal: Goal | None = None,
    ask: AskGoal | None = None,
    margin: float | None = None,
) -> tuple[Question, list[str]]:
    """Return the question that a fork is, and what a person should know of it before, a sentence each.

    Raises:
        NotFoundError: there is no such run, or none of its capsules is early enough.
        InputError: a knob that the training has not, a horizon that is too short or goes beyond the end, no metric.
        RefusedError: the training cannot be started again.
    """
    with Catalog.open(project) as catalog:
        catalog.refresh()
        runs = [find_kept(catalog, name) for name in asked.runs]
        for run in runs:
            refuse_heard(project, run, "forked")
        names = {summary.metric for summary in catalog.summaries([run.id for run in runs])}
    if len({run.id for run in runs}) < len(runs):
        raise InputError("A run is named twice.", why="Its forks would be the same runs, and count as more.")
    if asked.replicates * len(runs) < LEAST_PAIRS:
        raise InputError("One pair cannot be judged.", todo="--replicates 2, or several runs")
    found = [capsule_before(project.run_folder(run.id), asked.at) for run in runs]
    for run, (_, about) in zip(runs, found, strict=True):
        _refuse_knobs(project, run.id, about, asked.amounts)
    remains = min(_last_step(project, run) for run in runs) - asked.at
    horizon, words = _horizon(asked, remains, runs[0].id)
    trainings = [(run.id, *training_of(project, run)) for run in runs]
    _refuse_unlike(trainings)
    _, base, changes = trainings[0]
    words += _other_code(project, base, runs)
    anneal = _anneals(asked.amounts) if asked.anneal is None else asked.anneal
    trunks = tuple(
        Trunk(run=run.id, seed=run.seed if run.seed is not None else about.seed, step=about.step, hash=_hash(path))
        for run, (path, about) in zip(runs, found, strict=True)
    )
    looks = tuple(sorted(set(asked.horizons) - {horizon}))
    fork = Fork(trunks=trunks, at=asked.at, horizon=horizon, anneal=anneal, changes=changes, looks=looks)
    name = metric_among(metric or base.metric, names)
    judged = metric_for(project, base, name, goal, ask)
    margin = in_logged_unit(judged, margin, known_ends(project, base, judged))
    return _question(base, fork, asked, judged, margin), words


def _question(base: Target, fork: Fork, asked: Asked, metric: Metric, margin: float | None) -> Question:
    stem, colon, name = base.label.partition(":")
    label = f"{stem}@{asked.at}{colon}{name}"  # its noise is not that of runs from their start, nor of other steps
    changed = replace(base, label=label, settings=with_changes(base.settings, fork.changes), fork=fork)
    target, turned = changed.seasoned({asked.at: asked.amounts})
    return Question(
        target=target,
        changes=turned,
        metric=metric,
        margin=margin,
        margin_from="" if margin is None else "typed",
        take=asked.take,
        budget=asked.replicates * len(fork.trunks),
        data=data_of(target.data, Path.cwd()),
    )


def find_kept(catalog: Catalog, name: str) -> RunRow:
    """Return a run by the start of its id; `last` is the newest with capsules, one started by hand if there is any."""
    if name != "last":
        return catalog.find_run(name)
    kept = [run for run in catalog.runs() if capsules_of(catalog.project.run_folder(run.id))]
    if not kept:
        for run in sorted(catalog.runs(), key=lambda run: run.started_unix_s)[-1:]:
            refuse_heard(catalog.project, run, "forked")
        raise NotFoundError("No run keeps capsules.", todo='run = palate.start("name", model=net, optimizer=opt)')
    return max(kept, key=lambda run: (not run.key, run.started_unix_s))


def _refuse_knobs(project: Project, run: str, about: About, amounts: Mapping[str, Amount]) -> None:
    if not amounts:
        raise InputError("Nothing is changed, so there is no question.", todo="--set lr=x0.3")
    kept = capsules_of(project.run_folder(run)).values()  # terms of a loss are known behind the first step only
    known = {name for one in kept for name in one.knobs}
    unknown = [name for name in amounts if name not in known]
    if unknown:
        raise InputError(
            f"{run} has no knob {', '.join(unknown)}.",
            why=f"It had: {', '.join(sorted(known))}.",
            todo=f"--set {next(iter(about.knobs), 'lr')}=x0.3",
        )


def _last_step(project: Project, run: RunRow) -> int:
    """Return how many steps a run had, or has had so far."""
    content = read_journal(project.journal(run.id))
    told = [int(event["steps"]) for event in content.events if event.get("kind") == "steps"]
    kept = capsules_of(project.run_folder(run.id))
    last = max((int(curve.steps[-1]) + 1 for curve in content.curves.values() if len(curve)), default=0)
    return max([*told, *kept]) if told or not last else max([last, *kept])


def _horizon(asked: Asked, remains: int, run: str) -> tuple[int, list[str]]:
    """Return how long the arms go on, and what is said of that."""
    if asked.at < 0 or remains <= 0:
        raise InputError(
            f"{run} has no steps behind step {asked.at}.",
            why=f"It went to step {asked.at + remains}.",
            todo=f"--at {max(0, (asked.at + remains) // 2)}",
        )
    horizons = list(asked.horizons) or [max(1, round(remains * USUAL_SHARE))]
    longest = max(horizons)
    if min(horizons) < 1 or longest > remains:
        raise InputError(
            f"A horizon of {longest:,} steps goes beyond the end of {run}.",
            why=f"{remains:,} steps remain behind step {asked.at}.",
            todo=f"--horizon {remains}",
        )
    if longest < LEAST_SHARE * remains:
        raise InputError(
            f"A horizon of {longest:,} steps is below {LEAST_SHARE:.0%} of the {remains:,} that remain.",
            why="Forks so short say the wrong direction in one of four, of lr and momentum up to every other time.",
            todo=f"--horizon {max(1, round(remains * USUAL_SHARE))}",
        )
    words = []
    if longest < 0.25 * remains and any(name.rpartition(".")[2] in ASKED_LONGER for name in asked.amounts):
        words.append(
            f"{longest:,} steps are {longest / remains:.0%} of what remains: of lr, momentum and weight decay, so "
            "short a horizon often says the opposite of the end."
        )
    return longest, words


def _anneals(amounts: Mapping[str, Amount]) -> bool:
    return any(name.rpartition(".")[2] in ANNEALED for name in amounts)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def metric_among(name: str | None, logged: set[str]) -> str:
    """Return the metric that is judged, which has to be one that the run logged.

    Raises:
        InputError: none is named, or another one.
    """
    if name is None:
        raise InputError(
            "Which metric is judged?",
            why=f"The run logged: {', '.join(sorted(logged))}." if logged else "",
            todo="--metric val_acc",
        )
    if logged and name not in logged:
        raise InputError(f"The run did not log {name}.", why=f"It logged: {', '.join(sorted(logged))}.")
    return name


def training_of(project: Project, run: RunRow) -> tuple[Target, tuple[Change, ...]]:
    """Return what a run was a training of, as it is now, and the settings that it had different.

    Raises:
        RefusedError: that is not known, or this user did not start it here.
    """
    for experiment in Ledger.of(project.chain).experiments() if run.key else ():
        plan = experiment.question.plan
        for arm, key in plan.keys.items():
            if key == run.key:
                if not Trust.of(project).knows(experiment.question):
                    raise _not_yours(run.id, command_lines(experiment.question))
                return _fresh(plan.target_of(arm)), plan.arms[arm]
    return _started_by_hand(project, run), ()


def _started_by_hand(project: Project, run: RunRow) -> Target:
    origin = read_origin(project.run_folder(run.id))
    if origin is None:
        raise RefusedError(
            f"{run.id} cannot be started again: what started it is not known.",
            why="It is known of scripts that call palate.start, and of runs that a question asked for.",
            todo="Start the training as a script: python train.py",
        )
    if not origin.vouched:
        raise _not_yours(run.id, [f"python {origin.file}"])
    if origin.several:
        raise RefusedError(
            f"{run.id} is one of several trainings of {origin.file}, and a fork could not tell which.",
            why="The script calls palate.start several times.",
            todo="Give each training a script of its own, or write them as stages: run.stages(...)",
        )
    if origin.cwd != str(Path.cwd()):
        raise RefusedError(
            f"{run.id} was started in another folder, {origin.cwd}.",
            why="Its relative paths would lead elsewhere from here.",
            todo=f"cd {origin.cwd}   then type the same command again",
        )
    text = f"{MODULE}{origin.module.removesuffix('.__main__')}" if origin.module else origin.file
    return find_target(text, _without_seed(origin.file, opened(origin.arguments)))


def _not_yours(run: str, command: Sequence[str]) -> RefusedError:
    return RefusedError(
        f"{run} was not started by you at this place, so nothing of it is started.",
        why=["It says that it was:", *command],
        todo="Run the training here yourself, then fork that run.",
    )


def _without_seed(file: str, arguments: Sequence[str]) -> list[str]:
    """Leave out the seed of a command line: a fork is given its trunk's, and a replay one for each pair."""
    declared = read_source(Path(file)).seed
    flag = "" if declared is None else declared.flag.partition(":")[0] if declared.how in ("flag", "override") else ""
    kept, words = [], iter(arguments)
    for word in words:
        if flag and declared is not None and word in (flag, *declared.aliases):
            next(words, None)
        elif not flag or word.partition("=")[0] != flag:
            kept.append(word)
    return kept


def _fresh(target: Target) -> Target:
    """Return a target that this user asked for with the code that is there now, where it has a file."""
    if target.task.kind not in ("script", "function"):
        return replace(target, task=replace(target.task, vouched=True))
    try:
        now = find_target(target.task.text)
    except NotFoundError as error:
        raise RefusedError(f"{target.task.file} is not there any more.", todo="Put it back.") from error
    return replace(target, task=now.task, code=now.code, versions=now.versions, sources=now.sources)


def _refuse_unlike(trainings: Sequence[tuple[str, Target, tuple[Change, ...]]]) -> None:
    """Refuse trunks that are not of one training: all forks would be started as the first one's."""
    (first, base, changes), *rest = trainings
    for run, target, other in rest:
        if (target.task, target.argv, target.settings, other) != (base.task, base.argv, base.settings, changes):
            raise InputError(
                f"{run} is not of the same training as {first}.",
                why="They were started with other arguments or settings, and a fork starts all trunks alike.",
                todo="Fork runs that differ in their seed alone.",
            )


def _other_code(project: Project, base: Target, runs: Sequence[RunRow]) -> list[str]:
    """Say of trunks that were not of the code that is there now."""
    known = {
        key: plan.target_of(arm).code
        for experiment in Ledger.of(project.chain).experiments()
        for plan in [experiment.question.plan]
        for arm, key in plan.keys.items()
    }
    other = [run.id for run in runs if run.key and known.get(run.key, base.code) != base.code]
    origins = {run.id: read_origin(project.run_folder(run.id)) for run in runs if not run.key}
    other += [run for run, origin in origins.items() if origin is not None and origin.changed]
    return [f"The code has changed since {other[0]}: both arms go on with the code as it is now."] if other else []
