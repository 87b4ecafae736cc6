"""`palate compare`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from palate.bounded import parse_json, read_text
from palate.cli.common import goal_asker, here, json_option, put_out
from palate.errors import InputError, ListError, NotFoundError
from palate.loop.metric import goal_for
from palate.store.project import Project
from palate.vocabulary import Goal


@click.command("compare", context_settings={"ignore_unknown_options": True})
@click.argument("baseline")
@click.argument("treatment")
@click.option("--metric", help="Compare two groups of runs by this metric, each named by the start of its runs' ids.")
@click.option(
    "--goal",
    type=click.Choice(["max", "min"]),
    help="Which way is better; told by the metric's name if known; max for lists without one.",
)
@click.option(
    "--margin", type=float, help="Smallest difference that matters, in the values' unit; one seed sd if not given."
)
@click.option("--resolution", type=float, help="Smallest step of the metric, 1 / number of test examples.")
@click.option(
    "--pairs", type=click.IntRange(2, 100), default=20, show_default=True, help="Pairs you would run at most."
)
@json_option
def command(
    baseline: str,
    treatment: str,
    metric: str | None,
    goal: Goal | None,
    margin: float | None,
    resolution: float | None,
    pairs: int,
    as_json: bool,
) -> None:
    """Get a verdict from two lists of results, one value a run, the same seeds in the same order.

    BASELINE and TREATMENT are numbers with commas, a file with a number a line, or a JSON list.

    \b
    palate compare .912,.915,.910,.913,.911 .921,.919,.924,.922,.920
    """
    from palate.verdict.compare import compare

    if metric:
        project = here()
        values: Sequence[Sequence[float] | Mapping[int, float]] = read_runs(project, metric, (baseline, treatment))
        goal = goal or goal_for(project, metric, goal_asker(as_json=as_json))
    else:
        values = [read_values(text) for text in (baseline, treatment)]
    compared = compare(
        *values,
        goal=goal,
        margin=margin,
        resolution=resolution,
        budget=pairs,
        metric=metric,
    )
    verdict = compared.verdict
    document = {
        "schema": "palate.compare/1",
        "goal": compared.metric.goal,
        "orientation": "+ is better",
        "verdict": {**asdict(verdict), "settled": verdict.settled, "words": str(compared)},
        "outlook": asdict(compared.outlook) if compared.outlook else None,
    }
    put_out(document, [str(compared)], as_json=as_json)


def read_runs(project: Project, metric: str, starts: tuple[str, str]) -> list[dict[int, float]]:
    """Read two groups of runs as {seed: last value of the metric}.

    Raises:
        NotFoundError: no run of a group logged the metric to its end.
    """
    from palate.store.catalog import Catalog

    groups = []
    with Catalog.open(project) as catalog:
        catalog.refresh()
        for start in starts:
            seeds = {run.id: run.seed for run in catalog.runs() if run.id.startswith(start) and run.finished}
            group = {
                seed: summary.last
                for summary in catalog.summaries(list(seeds))
                if summary.metric == metric and summary.last is not None and (seed := seeds[summary.run_id]) is not None
            }
            if not group:
                raise NotFoundError(
                    f"no finished run that starts with {start!r} logged {metric}.", todo="palate list --runs"
                )
            groups.append(group)
    return groups


def read_values(text: str) -> list[float]:
    """Read a list of results as typed, or from a file.

    Raises:
        NotFoundError: it names a file that is not there.
        ListError: something in it is not a number, or a place between commas is empty.
    """
    path = Path(text)
    there = len(text) < 1024 and path.is_file()
    if not there and path.suffix in (".txt", ".csv", ".json"):
        raise NotFoundError(f"{text}: there is no such file.")
    try:
        return _numbers(read_text(path) if there else text)
    except (ValueError, TypeError, OverflowError, InputError) as error:
        raise ListError(
            f"{text[:60]!r} is not a list of numbers: {error}.",
            todo="Write numbers with commas (.91,.92,.90), or name a file with a number a line.",
        ) from error


def _numbers(content: str) -> list[float]:
    if content.lstrip().startswith("["):
        values = parse_json(content, "The list", exact=False)
        if any(isinstance(value, bool | str) for value in values):
            raise ValueError("true, false and text are not results")
        return [float(value) for value in values]
    places = content.strip().split(",") if "," in content else content.split()
    if any(not place.strip() for place in places):
        raise ValueError("a place between two commas is empty, so the seeds would be paired wrongly")
    return [float(value) for place in places for value in place.split()]
