"""What a fork's verdict is of: this run or the recipe, which horizons, which control, and what it cost.

A null fork is a control alone, without annealing, with the run's own random numbers: it is the run's own future bit for
bit, or tells how far the capsule is from holding all of the training. It is made once for each training's code.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from palate.bounded import parse_json
from palate.errors import PalateError
from palate.loop.ask import Person
from palate.loop.judge import Judgement
from palate.loop.runner import Runner
from palate.loop.season import seasons_of
from palate.question.branch import Fork
from palate.question.plan import Plan
from palate.question.question import Question
from palate.recipe.codec import content_id
from palate.store.catalog import Catalog
from palate.store.private import replace_file
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.training.launch import Resources
from palate.verdict.words import size_words
from palate.vocabulary import BASELINE, TREATMENT

LEAST_TRUNKS = 3
"""Runs whose forks say something of the recipe, and not of these runs alone."""

FILE = "null-forks.json"
"""File in the project's folder with what null forks gave, by the code of the training."""


def fork_words(project: Project, question: Question, judgement: Judgement) -> list[str]:
    """Say of a fork's verdict what it is of: this run or this recipe, its horizons, its control, and what it cost."""
    fork = question.target.fork
    if fork is None or not judgement.verdict.n:
        return []
    return [
        _scope_words(fork, min(len(fork.trunks), judgement.verdict.n)),
        *_horizon_words(project, question, judgement),
        *_control_words(project, question, judgement),
        _cost_words(fork, judgement),
    ]


def _scope_words(fork: Fork, used: int) -> str:
    to = f"from step {fork.at:,} over {fork.horizon:,} steps"
    ends = ", both arms annealed to zero" if fork.anneal else ""
    if used < LEAST_TRUNKS:
        names = " and ".join(trunk.run for trunk in fork.trunks[:used])
        return f"This is said of {names} alone, {to}{ends}. Three trunks or more would say it of the recipe."
    return f"This is said of the recipe, by {used} trunks, {to}{ends}."


def _horizon_words(project: Project, question: Question, judgement: Judgement) -> list[str]:
    """Tell the mean difference at shorter horizons, and warn where its sign is another one."""
    fork, lines, signs = question.target.fork, [], set()
    assert fork is not None
    for horizon in sorted({*fork.looks, fork.horizon}):
        pairs = _pairs_at(project, question, judgement, fork.at + horizon)
        if pairs:
            effect = question.metric.sign * float(np.mean([after - before for before, after in pairs]))
            signs.add(effect > 0)
            shown = size_words(abs(effect), question.shown, max(abs(effect), 1e-12))
            lines.append(f"after {horizon:,} steps {'better' if effect > 0 else 'worse'} by {shown}")
    if len(lines) < 2:
        return []
    warned = " The direction changes with the horizon: believe the longest, or go further." if len(signs) > 1 else ""
    return [f"On the way, on average: {', '.join(lines)}.{warned}"]


def _pairs_at(project: Project, question: Question, judgement: Judgement, step: int) -> list[tuple[float, float]]:
    """Return the metric's values of both arms, of pairs, as they stood at a step."""
    values = []
    for seed in sorted(judgement.results[BASELINE].keys() & judgement.results[TREATMENT].keys()):
        pair = [_value_at(project, judgement.results[arm][seed].id, question, step) for arm in (BASELINE, TREATMENT)]
        if None not in pair:
            values.append((float(pair[0] or 0), float(pair[1] or 0)))
    return values


def _value_at(project: Project, run: str, question: Question, step: int) -> float | None:
    curve = read_journal(project.journal(run)).curves.get(question.metric.name)
    if curve is None:
        return None
    before = np.flatnonzero(np.asarray(curve.steps) <= step)
    return float(curve.values[before[-1]]) if len(before) else None


def _control_words(project: Project, question: Question, judgement: Judgement) -> list[str]:
    """Say whether the control is the run's own future, bit for bit; of annealed arms, what a null fork gave."""
    fork = question.target.fork
    assert fork is not None
    first = judgement.results[BASELINE].get(0)
    if fork.anneal:
        known = _known(project).get(_training(question))
        if known is None:
            return []
        return _drift_words(f"A null fork of {known['run']}", known["drift"], known["values"], question)
    if first is None:
        return []
    later = [step for step in seasons_of(project, fork.trunks[0].run) if step >= fork.at]
    if later:
        return [f"The run itself was seasoned at step {later[0]:,}, so the control is not its future."]
    drift, values = _drift(project, first.id, question)
    return _drift_words("The control", drift, values, question)


def _drift_words(what: str, drift: float, values: int, question: Question) -> list[str]:
    if not values:
        return []
    name = question.metric.name
    if drift == 0:
        return [f"{what} is the run's own future, bit for bit ({values} values of {name})."]
    return [
        f"{what} drifts from the run's own future by up to {drift:.3g} in {name}, in both arms alike: the run had "
        "another number of threads than its forks (--threads), or the capsule lacks something of the training. "
        "palate doctor --resume TRAIN.py   says what."
    ]


def _drift(project: Project, run: str, question: Question) -> tuple[float, int]:
    """Return how far a control is from its trunk at most, and at how many values of the metric both have."""
    fork, name = question.target.fork, question.metric.name
    assert fork is not None
    mine, theirs = (read_journal(project.journal(one)).curves.get(name) for one in (run, fork.trunks[0].run))
    if mine is None or theirs is None:
        return 0.0, 0
    own = dict(zip(theirs.steps.tolist(), theirs.values.tolist(), strict=True))
    points = zip(mine.steps.tolist(), mine.values.tolist(), strict=True)
    return _largest((value, own[step]) for step, value in points if step in own)


def _largest(pairs: Iterable[tuple[float, float]]) -> tuple[float, int]:
    """Return the largest difference of some pairs, and their number; of NaN and a number it is infinite."""
    apart = [0.0 if repr(one) == repr(other) else abs(one - other) for one, other in pairs]
    return max((math.inf if math.isnan(one) else one for one in apart), default=0.0), len(apart)


def null_fork(catalog: Catalog, question: Question, resources: Resources, person: Person) -> None:
    """Make the null fork of a training whose arms are annealed, unless it was made before, and keep what it gave.

    One that fails is left out: the arms that follow say why.
    """
    fork, project = question.target.fork, catalog.project
    if fork is None or not fork.anneal or _training(question) in _known(project):
        return
    if any(step >= fork.at for step in seasons_of(project, fork.trunks[0].run)):
        return
    plain = replace(question.target, fork=replace(fork, anneal=False, trunks=fork.trunks[:1]))
    plan = Plan(target=plain, arms={BASELINE: ()}, seeds=range(1), metric=question.metric, data=question.data)
    try:
        with Runner(catalog, plan, resources=resources, person=person) as runner:
            done = next(results for results in runner if results[BASELINE])
    except (PalateError, StopIteration):
        return
    drift, values = _drift(project, done[BASELINE][0].id, question)
    found = {"drift": drift, "values": values, "run": fork.trunks[0].run}
    known = {**_known(project), _training(question): found}
    replace_file(project.home / FILE, json.dumps(known), synced=False)


def _training(question: Question) -> str:
    target = question.target
    return content_id([target.name.partition("@")[0], target.code, dict(target.versions)])[:16]


def _known(project: Project) -> dict[str, dict[str, Any]]:
    """Return what null forks gave, by training; nothing where the file is not what palate writes."""
    try:
        told = parse_json((project.home / FILE).read_text(encoding="utf-8"), FILE, exact=False)
        return {
            name: {"drift": float(one["drift"]), "values": int(one["values"]), "run": str(one["run"])}
            for name, one in told.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, PalateError):
        return {}


def _cost_words(fork: Fork, judgement: Judgement) -> str:
    took = sum(one.elapsed_s for by_seed in judgement.results.values() for one in by_seed.values())
    runs = sum(len(by_seed) for by_seed in judgement.results.values())
    made = sum(fork.at - trunk.step + fork.horizon for trunk in fork.trunks) / len(fork.trunks)
    anew = _time(took * (fork.at + fork.horizon) / made)
    return f"{runs} forks took {_time(took)}; as many runs from their start would have taken about {anew}."


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
