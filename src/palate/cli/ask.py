"""Put one question through the loop, from the command line; light to import: what is slow waits for the answer."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from palate.cli.common import RunOptions, here, put_out, say
from palate.cli.detach import detach, job_of, say_going, sitting_beside, sitting_of
from palate.cli.terminal.ahead import Ahead
from palate.cli.terminal.person import AtCommand, choose_forecast
from palate.cli.terminal.prompt import same_words
from palate.errors import InputError
from palate.forecast.answer import Said, doubt_about, refuse_impossible
from palate.loop.ask import Opening, Person, opening, resources_of
from palate.loop.attended import how_ended
from palate.loop.author import author_of
from palate.loop.first_noise import measured, refuse_to_measure
from palate.loop.metric import known_ends
from palate.question.question import Question
from palate.recipe.settings import show_value
from palate.store.config import read_config
from palate.store.project import Project
from palate.training.launch import Resources
from palate.training.limits import hours_words

if TYPE_CHECKING:
    from palate.loop.report import Report

MOST_SHOWN = 20
"""Settings of the baseline that are shown with a question; where it has more, the changed ones come first."""


def answer(
    project: Project,
    question: Question,
    options: RunOptions,
    *,
    as_json: bool,
    declared: tuple[str, ...] = (),
    strict: bool = False,
    ask_only: bool = False,
    first: int | None = None,
    schema: str = "palate.report/1",
    more: tuple[str, ...] = (),
) -> None:
    """Show the question, get the forecast, run, and print the report.

    Args:
        project: where it is kept.
        question: what is asked.
        options: how it is run, and the forecast.
        as_json: print one document and nothing else.
        declared: chunks or paths that are meant to change besides the changes themselves.
        strict: refuse arms that differ in more than was declared.
        ask_only: seal question and forecast, and run nothing.
        first: pairs after which running stops for now.
        schema: of the document.
        more: commands that are offered next before the report's own.
    """
    if ask_only and options.detach:
        raise InputError("--ask does not go with --detach.", why="With --ask nothing is run, here or elsewhere.")
    config = read_config(Path.cwd(), os.environ)
    forecast = choose_forecast(options.said, no_forecast=options.no_forecast, why=options.why)
    _check_unit(project, question, forecast, as_json=as_json)
    if not as_json:
        introduce(question)
    author = author_of(config, options.author, options.agent)
    asks = forecast is None and not options.no_forecast
    with (
        AtCommand(
            question,
            as_json=as_json,
            said=forecast,
            asks=asks,
            strict=strict,
            ahead=Ahead(project),
            before_runs=lambda asked: _say_budget(project, asked),
        ) as person,
        opening(
            project, question, author=author, person=person, resources=_resources(options, question), said=forecast
        ) as opened,
    ):
        if options.detaches and say_going(project, opened.question.experiment, as_json=as_json):
            return
        from palate.loop.run import run_question  # numpy and rich, .3 s of them

        opened = _with_margin(project, opened, person, options, as_json=as_json)
        hours = options.sitting.job.hours if options.sitting is not None else options.hours
        if hours is not None and not as_json:
            say(f"Hours      {hours_words(hours)}: no pair is started that would end later")
        job = job_of(opened.question, typed(options), hours=options.hours, detached=options.detach)
        if ask_only or options.detaches:
            report = run_question(project, opened, person=person, declared=declared, run=False)
        else:
            with sitting_of(project, opened, person, held=options.sitting, job=job) as (sat, attended, held):
                report = run_question(project, sat, person=attended, declared=declared, first=first)
                held.end(how_ended(report.judgement), *_last_words(report))
    if options.detaches and not report.judgement.done:
        detach(project, job, typed(options), as_json=as_json)
        return
    commands = [*more, *report.next_commands()]
    document = {**report.document(), "schema": schema, "next": commands}
    put_out(document, [*report.lines(), next_line(commands)], as_json=as_json)


def _with_margin(project: Project, opened: Opening, person: Person, options: RunOptions, *, as_json: bool) -> Opening:
    """Measure the noise where no margin is known, before the id of the question is told to whoever watches it."""
    if options.detaches:
        refuse_to_measure(project, opened.question)
    measured_now = measured(project, opened, person)
    if not as_json:
        _say_budget(project, measured_now.question)
    return measured_now


def _check_unit(project: Project, question: Question, said: Said | None, *, as_json: bool) -> None:
    """Refuse quantiles that cannot come true; where nobody knows yet how the metric is logged, say what they mean."""
    if said is None:
        return
    known = bool(known_ends(project, question.target, question.metric))
    if known or not question.shown.points:
        refuse_impossible(said, share=question.shown.points)
    elif not as_json and doubt_about(said, share=True, seed_sd=None) is not None:
        say(f"Quantiles are in the unit that is logged: where {question.metric.name} is a share of 1, 1 is 100 points.")


def _last_words(report: "Report") -> list[str]:
    """Return what a sitting says at its end: all of the report, or only how far it came."""
    return [*report.stopped_words(), report.headline] if report.judgement.stopped else report.lines()


def typed(options: RunOptions) -> list[str]:
    """Return what was typed behind `palate`, with what a person was asked for since."""
    return [*sys.argv[1:2], *options.decided, *sys.argv[2:]]


def answer_split(project: Project, question: Question, options: RunOptions, *, as_json: bool) -> None:
    """Run the cells of a split, and print whose gain it is; a split is never forecast."""
    if options.said is not None or options.why:
        raise InputError(
            "--forecast does not go with --split.",
            why="A forecast answers one question; a split asks one for each change and each pair of them.",
            todo="Leave it out, or ask about one change at a time.",
        )
    from palate.loop.split import make_split, run_split
    from palate.store.catalog import Catalog

    if not as_json:
        introduce(question)
    job = job_of(question, typed(options), hours=options.hours, detached=options.detach)
    if options.detaches:
        make_split(question)  # refused before anything is started
        detach(project, job, typed(options), as_json=as_json)
        return
    with Catalog.open(project) as catalog, AtCommand(question, as_json=as_json) as person:
        seat = sitting_beside(project, question, _resources(options, question), person, held=options.sitting, job=job)
        with seat as (resources, attended, held):
            report = run_split(catalog, question, resources, attended)
            stopped = resources.limits.stopped if resources.limits is not None and not report.effects.settled else ""
            held.end("limit" if stopped else "done", *report.lines())
    more = [f"Stopped {stopped}: {report.effects.seeds} of {question.budget} seeds."] if stopped else []
    put_out(report.document(), [*report.lines(), *more], as_json=as_json)


def _resources(options: RunOptions, question: Question) -> Resources:
    return resources_of(
        here(),
        read_config(Path.cwd(), os.environ),
        workers=options.workers,
        per_gpu=options.per_gpu,
        threads=options.threads,
        timeout_s=options.timeout_s,
        target=question.target,
    )


def introduce(question: Question) -> None:
    """Show what is about to be asked."""
    known, named = question.target.settings, [change.path for change in question.changes]
    shown = dict.fromkeys([*(name for name in named if name in known), *known]) if len(known) > MOST_SHOWN else known
    settings = "  ".join(f"{name} {show_value(known[name])}" for name in [*shown][:MOST_SHOWN])
    settings += f"  and {len(known) - MOST_SHOWN} more" if len(known) > MOST_SHOWN else ""
    changed = ", ".join(str(change) for change in question.declared)
    say(f"Baseline   {question.target.label}   {settings}")
    say(f"Change     {changed}   ({len(question.declared)} declared)")
    for words in (*question.target.typed_words(question.changes), *question.target.seed_words()):
        say(f"           {words}")
    say(f"Question   {question.text}   at most {question.budget} seed pairs, same is {same_words(question)}")


def next_line(commands: list[str]) -> str:
    """Say what to type next: the first four of the commands."""
    return "Next: " + " | ".join(commands[:4])


def _say_budget(project: Project, question: Question) -> None:
    """Say what the budget can confirm, where the project knows its noise."""
    import math

    from palate.ledger.ledger import Ledger
    from palate.loop.judge import terms_of
    from palate.verdict.outlook import smallest_confirmable
    from palate.verdict.words import size_words

    noise = terms_of(Ledger.of(project.chain), question).noise
    if noise is not None:
        spread = math.sqrt(noise.variance)
        half, sure = (size_words(x, question.shown, spread) for x in smallest_confirmable(spread, question.budget))
        say(f"Budget     {question.budget} pairs confirm {half} with even chance, {sure} nearly always")
