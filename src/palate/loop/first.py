"""A baseline is run once to hear what it logs, where nobody says which metric is judged."""

import contextlib
from pathlib import Path

from palate.errors import MetricNotLoggedError
from palate.loop.ask import Config, Nobody, resources_of
from palate.loop.logged import Logged, read_logged
from palate.loop.runner import Runner
from palate.question.fingerprint import data_of
from palate.question.plan import Plan
from palate.question.target import Target
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.vocabulary import BASELINE, Metric

_UNNAMED = Metric(name="(not named)", goal="max")


def first_run(project: Project, target: Target, config: Config, data: tuple[str, ...]) -> Logged:
    """Run a baseline once, at seed 0, and return what it logged; a run that is there already is read.

    The run counts as that of the question that is asked then.

    Raises:
        RunsFailedError: the training did not deliver.
    """
    project.make()
    fingerprint = data_of((*target.data, *data), Path.cwd())
    plan = Plan(target=target, arms={BASELINE: ()}, seeds=range(1), metric=_UNNAMED, data=fingerprint)
    key = plan.keys[BASELINE]
    with Catalog.open(project) as catalog:
        if not _logged(catalog, key).names:
            with (
                contextlib.suppress(MetricNotLoggedError),
                Runner(
                    catalog, plan, resources=resources_of(project, config, target=target), person=Nobody()
                ) as runner,
            ):
                for _ in runner:
                    pass
        return _logged(catalog, key)


def _logged(catalog: Catalog, key: str) -> Logged:
    catalog.refresh(keys={key})
    runs = [run.id for run in catalog.runs({key}) if run.ended and not run.failed]
    for run_id in reversed(runs):
        names = [summary.metric for summary in catalog.summaries([run_id])]
        if names:
            return read_logged(catalog.project, run_id, names)
    return Logged({}, {})
