"""`palate forecast`."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from palate.cli.ask import introduce
from palate.cli.common import here, json_option, put_out
from palate.cli.prompt import choose_forecast
from palate.loop import ledger
from palate.loop.ask import author_of
from palate.loop.run import stand_of
from palate.store.config import read_config


@click.command("forecast")
@click.argument("experiment", default="last")
@click.argument("said", required=False, metavar="[ANSWER:PERCENT]")
@json_option
def command(experiment: str, said: str | None, as_json: bool) -> None:
    """Seal what you think EXPERIMENT will show (as better:80), or see what is sealed of it."""
    project = here()
    story = ledger.read_story(project.chain, experiment)
    sealed = story.sealed
    if sealed is None or said is not None:
        stand = stand_of(project, story.question)
        choice = choose_forecast(said, no_forecast=False, as_json=as_json)
        if choice.forecast is None and not stand.ended and not as_json:
            introduce(story.question)
        given = choice.forecast if choice.forecast or stand.ended else choice(story.question)
        if given is not None:
            sealed = ledger.seal_forecast(
                project.chain,
                story.question,
                given,
                author=author_of(read_config(Path.cwd(), os.environ)),
                points_seen=stand.points_seen,
                ended=stand.ended,
                now=datetime.now(UTC),
            )
    put_out(_document(story, sealed), _lines(story, sealed), as_json=as_json)


def _document(story: ledger.Story, sealed: ledger.Sealed | None) -> dict[str, Any]:
    told = None
    if sealed is not None:
        told = {**asdict(sealed), "at": sealed.at.isoformat()}
    question = story.question
    return {
        "schema": "palate.forecast/1",
        "experiment": question.experiment,
        "question": question.text,
        "forecast": told,
    }


def _lines(story: ledger.Story, sealed: ledger.Sealed | None) -> list[str]:
    question = f"{story.question.experiment}  {story.question.text}"
    if sealed is None:
        return [question, "No forecast is sealed."]
    seen = "blind" if not sealed.evidence_seen else f"{sealed.evidence_seen} points of the treatment seen"
    told = f"{sealed.author}: {sealed.forecast.answer}, {sealed.forecast.confidence} %"
    return [question, f"{told}   sealed {sealed.hash[:12]} at {sealed.at:%Y-%m-%d %H:%M:%S} UTC, {seen}"]
