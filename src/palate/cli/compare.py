"""`palate compare`."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from palate.cli.common import json_option, put_out
from palate.errors import ListError
from palate.vocabulary import Goal


@click.command("compare")
@click.argument("baseline")
@click.argument("treatment")
@click.option(
    "--goal", type=click.Choice(["max", "min"]), default="max", show_default=True, help="Which way is better."
)
@click.option("--margin", type=float, help="Smallest difference that matters; one seed sd if not given.")
@click.option("--resolution", type=float, help="Smallest step of the metric, 1 / number of test examples.")
@click.option(
    "--pairs", type=click.IntRange(2, 100), default=20, show_default=True, help="Pairs you would run at most."
)
@json_option
def command(
    baseline: str,
    treatment: str,
    goal: Goal,
    margin: float | None,
    resolution: float | None,
    pairs: int,
    as_json: bool,
) -> None:
    r"""Get a verdict from two lists of results, one value a run, the same seeds in the same order.

    BASELINE and TREATMENT are numbers with commas, a file with a number a line, or a JSON list.

    \b
    palate compare .912,.915,.910,.913,.911 .921,.919,.924,.922,.920
    """
    from palate.verdict.lists import compare

    compared = compare(
        read_values(baseline), read_values(treatment), goal=goal, margin=margin, resolution=resolution, budget=pairs
    )
    verdict = compared.verdict
    document = {
        "schema": "palate.compare/1",
        "verdict": {**asdict(verdict), "settled": verdict.settled, "words": str(compared)},
        "outlook": asdict(compared.outlook) if compared.outlook else None,
    }
    put_out(document, [str(compared)], as_json=as_json)


def read_values(text: str) -> list[float]:
    """Read a list of results as typed, or from a file.

    Raises:
        ListError: something in it is no number.
    """
    path = Path(text)
    content = path.read_text() if len(text) < 1024 and path.is_file() else text
    try:
        if content.lstrip().startswith("["):
            return [float(value) for value in json.loads(content)]
        return [float(value) for value in content.replace(",", " ").split()]
    except (ValueError, TypeError) as error:
        raise ListError(
            f"{text[:60]!r} is no list of numbers: {error}.",
            todo="Write numbers with commas (.91,.92,.90), or name a file with a number a line.",
        ) from error
