"""`palate forecast`; light to import until the gut answer is there."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from palate.cli.ask import introduce
from palate.cli.common import at_terminal, author_options, here, json_option, put_out, say, whoami
from palate.cli.terminal.prompt import choose_forecast
from palate.errors import ForecastTextError, InputError, NotFoundError, RefusedError
from palate.forecast.answer import Said, parse_forecast, said_words
from palate.ledger.ledger import Story, read_story
from palate.ledger.records import Author, Sealed
from palate.store.project import Project

if TYPE_CHECKING:
    from palate.loop.exchange import Taken


@click.command("forecast", context_settings={"ignore_unknown_options": True})
@click.argument("experiment", required=False)
@click.argument("said", required=False, metavar="[FORECAST]")
@click.option("--revise", metavar="FORECAST", help="Your one revision; the gut answer stays, and both are scored.")
@click.option("--why", default="", help="A few words of why, kept with it.")
@click.option("--show", is_flag=True, help="See what is sealed, and be asked for nothing.")
@click.option("--skip", is_flag=True, help="Make none; skipping is counted.")
@click.option("--void", metavar="REASON", help="Void the question: it counts for nobody, and the reason stays.")
@click.option("--export", type=click.Path(path_type=Path), help="Write the question and your forecast for team mates.")
@click.option("--blind", is_flag=True, help="With --export: the hash of your forecast alone, a promise.")
@click.option("--import", "taken", type=click.Path(path_type=Path), help="Take in what a team mate exported.")
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
    story = _find(project, experiment, said)
    if export is not None:
        _export(project, story, who, export, blind=blind, as_json=as_json)
        return
    fresh: list[Sealed] = []
    if not show:
        fresh = _act(project, story, who, said=said, revise=revise, why=why, skip=skip, void=void, as_json=as_json)
    _put_story(project, story.question.experiment, who, fresh, as_json=as_json)


def _find(project: Project, experiment: str | None, said: str | None) -> Story:
    """Find the question; name what is missing where a forecast stands in its place."""
    if experiment == "":
        raise InputError("The experiment's id is empty.", todo="palate list   shows them; `last` is the newest")
    try:
        return read_story(project.chain, experiment or "last")
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


def _act(
    project: Project,
    story: Story,
    who: Author,
    *,
    said: str | None,
    revise: str | None,
    why: str,
    skip: bool,
    void: str | None,
    as_json: bool,
) -> list[Sealed]:
    """Do what was asked for; give what was sealed now."""
    name = story.question.experiment
    if void is not None:
        from palate.loop.run import void_question

        void_question(project, name, void, author=who)
    elif skip:
        from palate.loop.run import skip_question

        if not skip_question(project, name, author=who):
            raise RefusedError(
                f"{who.name} has a forecast of {name}, or skipped it already.",
                why="What is sealed is not taken back.",
                todo=f"palate forecast {name} --show",
            )
    elif revise is not None:
        from palate.loop.run import revise_forecast

        return [revise_forecast(project, story.question, parse_forecast(revise, why), author=who)]
    elif said is not None or (_is_missing(story, who) and at_terminal() and not as_json):
        return _forecast(project, story, who, said, why, as_json=as_json)
    return []


def _is_missing(story: Story, who: Author) -> bool:
    return story.of(who.name) is None and story.verdict is None and story.void is None


def _forecast(
    project: Project, story: Story, who: Author, said: str | None, why: str, *, as_json: bool
) -> list[Sealed]:
    choice = choose_forecast(said, no_forecast=False, as_json=as_json, why=why)
    given: Said | None = choice.said
    if given is None:
        if not as_json:
            introduce(story.question)
        given = choice(story.question)
    if given is None:
        return _act(project, story, who, said=None, revise=None, why="", skip=True, void=None, as_json=as_json)
    from palate.cli.answer import show_reference  # slow to import, so after the prompt
    from palate.loop.run import forecast_question, keep

    revise = show_reference if choice.said is None else keep
    return forecast_question(project, story.question, given, author=who, revise=revise)


def _put_story(project: Project, name: str, who: Author, fresh: list[Sealed], *, as_json: bool) -> None:
    from palate.loop.run import story_document

    story = read_story(project.chain, name)
    for one in fresh:
        if not as_json:
            say(f"sealed {one.hash[:12]}")
    put_out(story_document(story, who.name), _lines(story, who), as_json=as_json)


def _lines(story: Story, who: Author) -> list[str]:
    lines = [f"{story.question.experiment}  {story.question.text}"]
    visible = story.visible(who.name)
    lines += [_line(one, story) for one in visible]
    hidden = len(story.forecasts) - len(visible) + len(story.committed)
    if hidden:
        lines.append(f"{hidden} of others: hidden until yours is sealed or theirs is opened.")
    if not visible and not hidden:
        lines.append("No forecast is sealed.")
    if _is_missing(story, who):
        lines.append(f"Yours is not:  palate forecast {story.question.experiment} better:80")
    if story.skipped:
        lines.append(f"Skipped by {', '.join(story.skipped)}.")
    if story.void is not None:
        after = " after something was seen" if story.void["seen"] else ""
        lines.append(f"Void{after} by {story.void['author']}: {story.void['reason']}")
    return lines


def _line(one: Sealed, story: Story) -> str:
    seen = f"{one.evidence.points} points seen, {one.evidence.words}" if one.evidence.words else "blind"
    turn = " then" if one.turn == "revision" else ""
    mate = ", from a team mate's project" if one.mate else ""
    why = f'   "{one.said.why}"' if one.said.why else ""
    metric = story.question.metric
    said = said_words(one.said, metric.scale, metric.unit)
    told = f"{one.author.name}{' [agent]' if one.author.agent else ''}{turn}: {said}"
    return f"{told}   sealed {one.hash[:12]} at {one.at:%Y-%m-%d %H:%M:%S} UTC, {seen}{mate}{why}"


def _export(project: Project, story: Story, who: Author, path: Path, *, blind: bool, as_json: bool) -> None:
    import json

    from palate.loop.exchange import export_story

    document = export_story(project.chain, story, who, blind=blind)
    count = len(document["forecasts"])
    if blind and not count:
        raise NotFoundError(
            f"{who.name} has no forecast of {story.question.experiment} to promise.",
            todo=f"palate forecast {story.question.experiment} better:80",
        )
    try:
        path.write_text(json.dumps(document, ensure_ascii=False))
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}.",
            todo="Name a file in a folder that is there: --export q.json",
        ) from error
    what = f"{count} {'promise' if blind else 'forecast'}{'s' if count != 1 else ''}"
    told = {"schema": "palate.exported/1", "file": str(path), "forecasts": count, "blind": blind}
    put_out(told, [f"{path}: the question and {what} of {who.name}."], as_json=as_json)


def _import(project: Project, path: Path, who: Author, *, as_json: bool) -> None:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from palate.loop.exchange import read_export, take_in
    from palate.loop.run import judge_now

    project.make()
    found = take_in(project, read_export(path), now=datetime.now(UTC))
    if found.opened:
        judge_now(project, found.experiment, who.name)  # what was promised and is opened now may be due
    put_out({"schema": "palate.imported/1", **asdict(found)}, _import_lines(found, project, who), as_json=as_json)


def _import_lines(found: "Taken", project: Project, who: Author) -> list[str]:
    counts = {
        "new question": int(found.question),
        "promised": found.promised,
        "opened": found.opened,
        "known already": found.known,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing new"
    missing = _is_missing(read_story(project.chain, found.experiment), who)
    following = [f"Next: palate forecast {found.experiment}"] if missing else []
    return [f"{found.experiment}: {told}.", *following]
