"""`palate forecast`; light to import until the first answer is there."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from palate.cli.ask import introduce
from palate.cli.common import at_terminal, author_options, here, json_option, put_out, say, whoami
from palate.cli.terminal.ahead import Ahead
from palate.cli.terminal.person import AtCommand, choose_forecast
from palate.errors import ForecastTextError, InputError, NotFoundError, RefusedError
from palate.forecast.answer import parse_forecast, refuse_impossible
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import Author, SealedForecast
from palate.loop.metric import known_ends
from palate.store.project import Project

if TYPE_CHECKING:
    from palate.loop.exchange import Imported


@click.command("forecast", context_settings={"ignore_unknown_options": True})
@click.argument("experiment", required=False)
@click.argument("said", required=False, metavar="[FORECAST]")
@click.option("--revise", metavar="FORECAST", help="Your one revision; the first answer stays, and both are scored.")
@click.option("--why", default="", help="A few words of why, kept with it.")
@click.option("--show", is_flag=True, help="See what is sealed, and be asked for nothing.")
@click.option("--skip", is_flag=True, help="Make none; skipping is counted.")
@click.option("--void", metavar="REASON", help="Void the question: it counts for nobody, and the reason stays.")
@click.option("--export", type=click.Path(path_type=Path), help="Write the question and your forecast for colleagues.")
@click.option("--blind", is_flag=True, help="With --export: the hash of your forecast alone, a promise.")
@click.option("--import", "taken", type=click.Path(path_type=Path), help="Take in what a colleague exported.")
@author_options
@json_option
def command(
    experiment: str | None,
    said: str | None,
    revise: str | None,
    why: str,
    show: bool,
    skip: bool,
    void: str | None,
    export: Path | None,
    blind: bool,
    taken: Path | None,
    author: str | None,
    agent: bool | None,
    as_json: bool,
) -> None:
    """Seal what you think EXPERIMENT will show, or see what is sealed of it.

    Others' forecasts stay hidden until yours is sealed. FORECAST is better:80, better:80:2-4 (seed sds),
    -0.01/0.02/0.05 (quantiles; put -- before it), or JSON.

    \b
    palate forecast 3f9c better:80 --why "fewer epochs wasted"
    palate forecast 3f9c --revise better:60
    palate forecast 3f9c --export mine.json --blind
    """
    project, who = here(), whoami(author, agent)
    _refuse_two({"FORECAST": said, "--revise": revise, "--show": show, "--skip": skip, "--void": void,
                 "--export": export, "--import": taken})  # fmt: skip
    if blind and export is None:
        raise InputError("--blind goes with --export.", todo="palate forecast 3f9c --export mine.json --blind")
    if why and revise is None and said is None:
        raise InputError("--why goes with a forecast.", todo='palate forecast 3f9c better:80 --why "less overfitting"')
    if taken is not None:
        _import(project, taken, who, as_json=as_json)
        return
    asked = _find(project, experiment, said)
    if export is not None:
        _export(asked, who, export, blind=blind, as_json=as_json)
        return
    sealed: list[SealedForecast] = []
    if void is not None or skip:
        _give_up(project, asked, void, who)
    elif revise is not None:
        sealed = _revise(project, asked, revise, why, who)
    elif not show and (said is not None or (asked.is_missing(who.name) and at_terminal() and not as_json)):
        sealed = _forecast(project, asked, who, said, why, as_json=as_json)
    _put_experiment(project, asked.id, who, sealed, as_json=as_json)


def _find(project: Project, experiment: str | None, said: str | None) -> SealedExperiment:
    """Find the question; name what is missing where a forecast stands in its place."""
    if experiment == "":
        raise InputError("The experiment's id is empty.", todo="palate list   shows them; `last` is the newest")
    try:
        return Ledger.of(project.chain).read(experiment or "last")
    except NotFoundError:
        if said is not None or experiment is None:
            raise
        if not _is_forecast(experiment):
            raise
        raise InputError(
            f"{experiment!r} is a forecast, but of which question?", todo=f"palate forecast last {experiment}"
        ) from None


def _is_forecast(text: str) -> bool:
    try:
        parse_forecast(text)
    except ForecastTextError:
        return False
    return True


def _refuse_two(given: dict[str, object]) -> None:
    named = [name for name, value in given.items() if value not in (None, False)]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} do not go together.", todo="Give one of them.")


def _give_up(project: Project, asked: SealedExperiment, void: str | None, who: Author) -> None:
    """Void the question with a reason; without one, seal that this author makes no forecast of it."""
    from palate.loop.run import skip_question, void_question
    from palate.store.catalog import Catalog

    with Catalog.open(project) as catalog:
        if void is not None:
            void_question(catalog, asked.id, void, author=who)
            return
        if skip_question(catalog, asked.id, author=who):
            return
    raise RefusedError(
        f"{who.name} has a forecast of {asked.id}, or skipped it already.",
        why="What is sealed is not taken back.",
        todo=f"palate forecast {asked.id} --show",
    )


def _revise(project: Project, asked: SealedExperiment, text: str, why: str, who: Author) -> list[SealedForecast]:
    revised = parse_forecast(text, why)
    ends = known_ends(project, asked.question.target, asked.question.metric)
    refuse_impossible(revised, share=bool(ends) and asked.question.shown_for(ends).shown.points)
    from palate.loop.run import revise_forecast
    from palate.store.catalog import Catalog

    with Catalog.open(project) as catalog:
        return [revise_forecast(catalog, asked.question, revised, author=who)]


def _forecast(
    project: Project, asked: SealedExperiment, who: Author, text: str | None, why: str, *, as_json: bool
) -> list[SealedForecast]:
    """Seal a first answer, given or asked for, and the revision, if there is one; a skip seals that."""
    given = choose_forecast(text, no_forecast=False, why=why)
    ends = known_ends(project, asked.question.target, asked.question.metric)
    question = asked.question.shown_for(ends)  # the unit that quantiles are typed in
    refuse_impossible(given, share=bool(ends) and question.shown.points)
    with AtCommand(question, as_json=as_json, said=given, asks=True, ahead=Ahead(project)) as person:
        if given is None and not as_json:
            introduce(question)
        said = given or person.ask(question)
        if said is None:
            _give_up(project, asked, None, who)
            return []
        from palate.loop.run import forecast_question  # slow to import, so after the prompt
        from palate.store.catalog import Catalog

        with Catalog.open(project) as catalog:
            return forecast_question(catalog, question, said, author=who, person=person)


def _put_experiment(project: Project, name: str, who: Author, sealed: list[SealedForecast], *, as_json: bool) -> None:
    from palate.ledger.words import experiment_document, experiment_lines

    experiment = Ledger.of(project.chain).read(name)
    for one in sealed:
        if not as_json:
            say(f"sealed {one.hash[:12]}")
    put_out(experiment_document(experiment, who.name), experiment_lines(experiment, who.name), as_json=as_json)


def _export(asked: SealedExperiment, who: Author, path: Path, *, blind: bool, as_json: bool) -> None:
    from palate.loop.exchange import export_forecasts

    export = export_forecasts(asked, who, blind=blind)
    count = len(export.sent)
    if blind and not count:
        raise NotFoundError(
            f"{who.name} has no forecast of {asked.id} to promise.",
            todo=f"palate forecast {asked.id} better:80",
        )
    try:
        path.write_text(json.dumps(export.body(), ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}.",
            todo="Name a file in a folder that is there: --export q.json",
        ) from error
    what = f"{count} {'promise' if blind else 'forecast'}{'s' if count != 1 else ''}"
    document = {"schema": "palate.exported/1", "file": str(path), "forecasts": count, "blind": blind}
    put_out(document, [f"{path}: the question and {what} of {who.name}."], as_json=as_json)


def _import(project: Project, path: Path, who: Author, *, as_json: bool) -> None:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from palate.loop.exchange import read_export, take_in
    from palate.loop.run import report_now
    from palate.store.catalog import Catalog

    project.make()
    export = read_export(path)
    with Catalog.open(project) as catalog:
        taken = take_in(catalog, export, now=datetime.now(UTC))
    if taken.opened:
        report_now(project, taken.experiment, who.name)  # what was promised and is opened now may be due
    put_out({"schema": "palate.imported/1", **asdict(taken)}, _import_lines(taken, project, who), as_json=as_json)


def _import_lines(taken: "Imported", project: Project, who: Author) -> list[str]:
    counts = {
        "new question": int(taken.question),
        "promised": taken.promised,
        "opened": taken.opened,
        "known already": taken.known,
    }
    words = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing new"
    experiment = Ledger.of(project.chain).read(taken.experiment)
    following = [f"Next: palate forecast {taken.experiment}"] if experiment.is_missing(who.name) else []
    return [f"{taken.experiment}: {words}.", *(_started_lines(experiment) if taken.question else []), *following]


def _started_lines(experiment: SealedExperiment) -> list[str]:
    """Show what a question of somebody else would start."""
    from palate.loop.trust import command_lines

    return ["Its command came with the file, and is started only when you confirm it:",
            *command_lines(experiment.question)]  # fmt: skip
