"""Put one question through the loop, from the command line; light to import: what is slow waits for the gut answer."""

import os
from pathlib import Path

from palate.cli.common import here, say
from palate.cli.terminal.prompt import choose_forecast, same_words
from palate.errors import InputError
from palate.loop.ask import author_of, kitchen_of, opening
from palate.question.question import Question
from palate.recipe.settings import show_value
from palate.store.config import read_config


def answer(
    question: Question,
    *,
    said: str | None,
    why: str,
    no_forecast: bool,
    as_json: bool,
    workers: int | None,
    threads: int | None,
    timeout_s: float | None,
    author: str | None,
    agent: bool | None,
    declared: tuple[str, ...] = (),
    strict: bool = False,
    ask_only: bool = False,
    schema: str = "palate.report/1",
    more: tuple[str, ...] = (),
) -> None:
    """Show the question, get the forecast, run, and print the report."""
    config = read_config(Path.cwd(), os.environ)
    choice = choose_forecast(said, no_forecast=no_forecast, as_json=as_json, why=why)
    if not as_json:
        introduce(question)
    kitchen = kitchen_of(config, workers=workers, threads=threads, timeout_s=timeout_s)
    who = author_of(config, author, agent)
    with opening(here(), question, author=who, ask=choice, kitchen=kitchen, said=choice.said) as opened:
        from palate.cli.answer import answer_opened  # numpy, SQLAlchemy and rich, .5 s of them

        answer_opened(
            opened,
            kitchen=kitchen,
            as_json=as_json,
            declared=declared,
            strict=strict,
            ask_only=ask_only,
            schema=schema,
            more=more,
        )


def answer_split(
    question: Question,
    *,
    said: str | None,
    why: str,
    no_forecast: bool,  # noqa: ARG001  a split is never forecast
    as_json: bool,
    workers: int | None,
    threads: int | None,
    timeout_s: float | None,
    author: str | None,  # noqa: ARG001
    agent: bool | None,  # noqa: ARG001
) -> None:
    """Run the cells of a split, and print whose gain it is."""
    if said is not None or why:
        raise InputError(
            "--forecast does not go with --split.",
            why="A forecast answers one question; a split asks one for each change and each pair of them.",
            todo="Leave it out, or ask about one change at a time.",
        )
    from palate.cli.answer import run_cells

    if not as_json:
        introduce(question)
    kitchen = kitchen_of(read_config(Path.cwd(), os.environ), workers=workers, threads=threads, timeout_s=timeout_s)
    run_cells(question, kitchen, as_json=as_json)


def introduce(question: Question) -> None:
    """Show what is about to be asked."""
    settings = "  ".join(f"{name} {show_value(value)}" for name, value in question.target.settings.items())
    changed = ", ".join(str(change) for change in question.changes)
    say(f"Baseline   {question.target.label}   {settings}")
    say(f"Change     {changed}   ({len(question.changes)} declared)")
    say(f"Question   {question.text}   at most {question.budget} seed pairs, same is {same_words(question)}")
