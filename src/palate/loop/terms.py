"""The terms of a question, settled before it is sealed: the smallest difference that matters, and looks already spent.

Light to import, as is all that comes before the prompt. A margin is found in this order: typed; that of the same
question's first time; kept for the metric; 1 seed sd of past runs of like questions; 1 seed sd of the question's own
first baseline runs, which are made before anything is sealed and then used again (`palate.loop.first_noise`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from palate.errors import InputError
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import likeness_of
from palate.question.question import Question
from palate.store.project import Project
from palate.verdict.boundary import check_margin
from palate.verdict.words import size_words
from palate.vocabulary import Metric

LEAST_DF = 4
"""Degrees of freedom of past runs below which their noise is no margin: it is measured."""

MOST_PAST = 50
"""Past questions, the newest, that noise is pooled over."""

IMPLAUSIBLE = 20.0
"""A margin is doubted from this many times what the seed alone does: nothing would ever be better or worse."""

MOST_PLAIN = 0.1
"""From here on a bare number for a share of 1 may be meant in points as well as in the unit that is logged."""

POINT_WORDS = ("points", "point", "pts", "pt", "%")


class Typed(float):
    """A margin as it was typed: a number, and whether its unit, points, was typed with it."""

    points = False


class ProjectNoise(NamedTuple):
    """What another seed alone does, pooled over past runs of like questions, and how many these are."""

    sd: float
    runs: int


AskMargin = Callable[[Question, ProjectNoise | None, tuple[float, ...]], "float | None"]
"""Asks a person for the smallest difference that matters, told of the noise and the ends of past runs; returns it as it
is logged, and None where it is to be measured."""


def read_margin(text: str) -> Typed:
    """Read a margin: a number as it is logged, or with its unit as it is shown.

    Raises:
        InputError: it is no positive number.

    >>> read_margin("0.3pt"), read_margin("0.3pt").points, read_margin("0.003").points
    (0.3, True, False)
    """
    plain = text.strip()
    unit = next((one for one in POINT_WORDS if plain.lower().endswith(one)), "")
    try:
        typed = Typed(plain[: len(plain) - len(unit)])
    except ValueError:
        raise InputError(
            f"{text!r} is no margin.",
            why="It is the smallest difference that matters: a positive number.",
            todo="--margin 0.005   as it is logged, or   --margin 0.5pt   in points",
        ) from None
    check_margin(typed)
    typed.points = bool(unit)
    return typed


def in_logged_unit(metric: Metric, margin: float | None, ends: Sequence[float]) -> float | None:
    """Return a margin in the unit that is logged; refuse one of which nobody knows what unit it is in.

    Args:
        metric: what is judged.
        margin: as typed.
        ends: values that runs ended with; none where nothing is known.

    Raises:
        InputError: it may be meant in points or as it is logged.
    """
    if margin is None:
        return None
    check_margin(margin)
    share = metric.points and bool(ends) and metric.shown_for(ends).points
    if isinstance(margin, Typed) and margin.points:
        if not share:
            known = bool(ends) or not metric.points
            raise InputError(
                f"A margin of {margin:g} points of {metric.name}: "
                + ("it is not shown in points." if known else "nothing was run yet, so its unit is not known."),
                why=f"It is logged from {ends[0]:g} to {ends[-1]:g}."
                if ends
                else "It may be logged as .703 or as 70.3.",
                todo="Type it as it is logged: --margin 0.003   or   --margin 0.3",
            )
        return float(margin) / metric.scale
    if share and (margin >= 1 or (isinstance(margin, Typed) and margin > MOST_PLAIN)):
        points = margin * metric.scale
        raise InputError(
            f"A margin of {margin:g} is {points:g} points"
            + (": all differences would be under it." if margin >= 1 else f". Or is it {margin:g} points?"),
            why=f"It is in the unit that is logged, and {metric.name} ended between {ends[0]:g} and {ends[-1]:g}.",
            todo=[
                f"For {margin:g} points: --margin {margin / metric.scale:g}   (or {margin:g}pt)",
                *([] if margin >= 1 else [f"For {points:g} points: --margin {points:g}pt"]),
            ],
        )
    return float(margin)


def refuse_implausible(metric: Metric, margin: float | None, noise: ProjectNoise | None) -> None:
    """Refuse a margin by which nothing would ever be better or worse, as far as the noise is known.

    Raises:
        InputError: it is more than 20 times the noise.
    """
    if margin is None or noise is None or margin <= IMPLAUSIBLE * noise.sd:
        return
    words, sd = size_words(margin, metric, noise.sd), size_words(noise.sd, metric, noise.sd)
    raise InputError(
        f"A margin of {words} is {margin / noise.sd:.0f} times what another seed alone does ({sd}, {noise.runs} runs).",
        why="By such a margin hardly any change is better or worse. Is the unit right?",
        todo=f"If it is meant, keep it for this metric: palate metric {metric.name} --margin {margin:g}",
    )


def rounded(margin: float) -> float:
    """Round a measured margin to two figures.

    >>> rounded(.0031415)
    0.0031
    """
    return float(f"{margin:.1e}")


def project_noise(ledger: Ledger, question: Question) -> ProjectNoise | None:
    """Return the seed sd of a metric, pooled over baseline and treatment runs of like questions; None where too few."""
    among = ledger.asked_like(likeness_of(question)) - ledger.firsts().keys()
    told = ledger.noise_told(among, MOST_PAST)
    df = sum(2 * (n - 1) for _, n, _ in told)
    if df < LEAST_DF:
        return None
    sd = math.sqrt(sum(2 * (n - 1) * sd**2 for sd, n, _ in told) / df)
    return ProjectNoise(sd, len(frozenset().union(*(runs for *_, runs in told))))


def with_known_margin(
    project: Project, question: Question, ask: AskMargin | None = None, ends: tuple[float, ...] = ()
) -> Question:
    """Return a question with its margin where it is known before anything is run; as it is where it is to be measured.

    Args:
        project: where it is asked.
        question: what is asked; where a margin was typed, it has it.
        ask: asks a person, once for each metric; None where there is nobody to ask.
        ends: values that runs ended with. A metric that is named like a share may be logged as .703 or as 70.3: where
            no run has told, nobody is asked, as the unit of an answer would not be known.
    """
    if question.margin is not None:
        return question
    ledger = Ledger.of(project.chain)
    before = _same_but_margin(ledger, question)
    if before is not None:
        sealed = before.sealed.question
        return replace(question, margin=sealed.margin, margin_from=sealed.margin_from, margin_runs=sealed.margin_runs)
    kept = project.margins.get(question.metric.name)
    if kept is not None:
        return replace(question, margin=kept, margin_from="kept")
    noise = project_noise(ledger, question)
    known = None if noise is None else max(rounded(noise.sd), question.metric.resolution or 0.0)
    if ask is not None and (ends or not question.metric.points):
        answer = ask(question, noise, ends) or known  # Enter: what is known, which is kept, so that it is asked once
        if answer is not None:
            kept = project.keep_margin(question.metric.name, answer, only_first=True)
            return replace(question, margin=kept, margin_from="kept")
    elif noise is not None:
        return replace(question, margin=known, margin_from="history", margin_runs=noise.runs)
    return question


def _same_but_margin(ledger: Ledger, question: Question) -> SealedExperiment | None:
    """Return the question of the same arms, metric, take and budget: one without a typed margin, else the newest."""
    same = [
        known
        for known in ledger.asked_about(question)
        if (asked := known.sealed.question).metric == question.metric
        and asked.take == question.take
        and asked.budget == question.budget
    ]
    plain = [known for known in same if known.sealed.question.margin_from != "typed"]
    return next(reversed(plain or same), None)


def with_spent(ledger: Ledger, question: Question, looked: bool) -> Question:
    """Return a question with the budgets whose looks earlier questions about the same runs have used up.

    Args:
        ledger: what is sealed.
        question: about to be sealed.
        looked: whether any run of the treatment has ended: without one, nothing was looked at.
    """
    if not looked or ledger.find(question.experiment) is not None:
        return question
    budgets: list[int] = []
    for known in ledger.asked_about(question):
        asked = known.sealed.question
        if asked.metric.name == question.metric.name and asked.take == question.take:
            budgets += [one for one in (*asked.spent, asked.budget) if not budgets or one > budgets[-1]]
    return replace(question, spent=tuple(budgets) if budgets and budgets != [question.budget] else ())


def margin_words(question: Question) -> str:
    """Say what the margin is and where it is from, in a line; "" of records of before it was sealed."""
    if question.margin is None:
        return ""
    return f"Margin {size_words(question.margin, question.shown, question.margin)}: {_source_words(question)}."


def _source_words(question: Question) -> str:
    runs = question.margin_runs
    return {
        "typed": "typed with the question",
        "kept": f"kept for {question.metric.name} in this project",
        "history": f"1 seed sd of {runs} runs of this project, known before the question was sealed",
        "measured": f"1 seed sd of {runs} baseline run{'s' * (runs != 1)}, measured before the change ran",
        "resolution": f"the smallest step of {question.metric.name}, as the runs tell no noise",
        "share": "a thousandth of the value, as the runs tell no noise",
    }.get(question.margin_from, "sealed with the question")


def again_words(ledger: Ledger, experiment: str) -> str:
    """Say of a question that was asked before about the same runs what is different; "" of one that was not."""
    first = ledger.firsts().get(experiment)
    if first is None:
        return ""
    asked, before = (ledger.read(name).sealed.question for name in (experiment, first))
    other = [
        name
        for name, differs in (
            ("margin", asked.margin != before.margin),
            ("budget", asked.budget != before.budget),
            ("metric", (asked.metric, asked.take) != (before.metric, before.take)),
        )
        if differs
    ]
    return f"asked again with another {' and '.join(other) or 'wording'}; first asked as {first}"


def spent_words(question: Question) -> str:
    """Say by what a question is judged whose first pairs were looked at under another budget; "" elsewhere."""
    if not question.spent:
        return ""
    first = question.spent[0]
    return (
        f"These runs were looked at already, by a budget of {first}: up to {first} pairs its boundary holds, "
        "behind them a stricter one."
    )
