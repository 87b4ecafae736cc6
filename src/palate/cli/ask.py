"""Put one question through the loop, from the command line; light to import: what is slow waits for the answer."""

import os
from pathlib import Path

from palate.cli.common import RunOptions, here, put_out, say
from palate.cli.terminal.person import AtCommand, choose_forecast
from palate.cli.terminal.prompt import same_words
from palate.errors import InputError
from palate.loop.ask import opening, resources_of
from palate.loop.author import author_of
from palate.question.question import Question
from palate.recipe.settings import show_value
from palate.store.config import read_config
from palate.store.project import Project
from palate.training.launch import Resources

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
        schema: of the document.
        more: commands that are offered next before the report's own.
    """
    config = read_config(Path.cwd(), os.environ)
    forecast = choose_forecast(options.said, no_forecast=options.no_forecast, why=options.why)
    if not as_json:
        introduce(question)
    author = author_of(config, options.author, options.agent)
    asks = forecast is None and not options.no_forecast
    with (
        AtCommand(question, as_json=as_json, said=forecast, asks=asks, strict=strict) as person,
        opening(
            project, question, author=author, person=person, resources=_resources(options, question), said=forecast
        ) as opened,
    ):
        from palate.loop.run import run_question  # numpy and rich, .3 s of them

        if not as_json:
            _say_budget(project, opened.question)
        report = run_question(project, opened, person=person, declared=declared, run=not ask_only)
    commands = [*more, *report.next_commands()]
    document = {**report.document(), "schema": schema, "next": commands}
    put_out(document, [*report.lines(), next_line(commands)], as_json=as_json)


def answer_split(project: Project, question: Question, options: RunOptions, *, as_json: bool) -> None:
    """Run the cells of a split, and print whose gain it is; a split is never forecast."""
    if options.said is not None or options.why:
        raise InputError(
            "--forecast does not go with --split.",
            why="A forecast answers one question; a split asks one for each change and each pair of them.",
            todo="Leave it out, or ask about one change at a time.",
        )
    from palate.loop.split import run_split
    from palate.store.catalog import Catalog

    if not as_json:
        introduce(question)
    with Catalog.open(project) as catalog, AtCommand(question, as_json=as_json) as person:
        report = run_split(catalog, question, _resources(options, question), person)
    put_out(report.document(), report.lines(), as_json=as_json)


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
    for words in question.target.typed_words(question.changes):
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
