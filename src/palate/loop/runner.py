"""The runner: makes the runs that a plan lacks, arm by arm and seed by seed, and yields the results so far."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from palate.errors import MetricNotLoggedError, SetupFailedError
from palate.loop.ask import Person, RunEnded, RunsGoing, RunStarted
from palate.loop.results import Results, RunResult, collect, read_result
from palate.question.plan import Plan
from palate.question.target import Order
from palate.recipe.settings import nearest
from palate.store.catalog import Catalog
from palate.training.launch import Ended, Launcher, Resources
from palate.training.outcome import begin_run, end_run, stop_run, tail_of
from palate.vocabulary import BASELINE, Arm


class Runner:
    """Yield the results of a plan's runs: first those that are there, then anew after each run that ends.

        with Runner(catalog, plan, resources=resources, person=person) as runner:
            for results in runner:
                if enough(results):
                    break

    Leaving the `with` stops the runs that go. No run is started before the first results were looked at.

    Args:
        catalog: of the project where runs are kept.
        plan: which arms at which seeds.
        resources: what runs are carried out with.
        person: told of progress.
        launcher: an engine that was started early, while a person was thinking; stopped at the end.

    Attributes:
        made: how many runs were made.
        reused: how many were there already.
    """

    def __init__(
        self,
        catalog: Catalog,
        plan: Plan,
        *,
        resources: Resources,
        person: Person,
        launcher: Launcher | None = None,
    ) -> None:
        self._catalog = catalog
        self._project = catalog.project
        self._plan = plan
        self._resources = resources
        self._person = person
        self._launcher = launcher
        self._going: dict[str, tuple[Arm, int]] = {}
        self._ended: deque[Ended] = deque()
        self._results: dict[Arm, dict[int, RunResult]] = {}
        self.made = 0
        self.reused = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, fault: type[BaseException] | None, *_: object) -> None:
        try:
            while self._ended and fault is None:  # runs that ended in the same moment as the one that was enough
                self._take(self._ended.popleft())
        finally:
            self._stop()

    def _stop(self) -> None:
        """Stop the engine, wait for the runs that go to end, and write into their journals that they were stopped."""
        if self._launcher is not None:
            self._launcher.stop()
        for run_id in self._going:
            stop_run(self._project.journal(run_id))
        self._going.clear()

    def __iter__(self) -> Iterator[Results]:
        """Yield the results so far; the same object each time, with what has come.

        Raises:
            SetupFailedError: the baseline fails before its first point, or the code cannot be loaded.
            MetricNotLoggedError: the baseline never logs the metric.
        """
        self._results = collect(self._catalog, self._plan)
        self.reused = sum(len(by_seed) for by_seed in self._results.values())
        yield self._results
        while self._submit():
            assert self._launcher is not None
            self._ended.extend(self._launcher.poll())
            if not self._ended:
                self._person.watch(RunsGoing(tuple(self._going)))
            while self._ended:
                self._take(self._ended.popleft())
                yield self._results

    def _submit(self) -> bool:
        """Start what is missing, as far as there is room; return whether any run goes."""
        while len(self._going) < self._resources.workers and (missing := self._next()) is not None:
            if self._launcher is None:
                self._launcher = self._resources.launch(self._plan.target.task)
            arm, seed = missing
            order = self._begin(arm, seed)
            self._going[order.id] = missing
            self._launcher.submit(order)
            self._person.watch(RunStarted(arm, seed, order, self._plan.settings[arm]))
        return bool(self._going)

    def _next(self) -> tuple[Arm, int] | None:
        going = set(self._going.values())
        for seed in self._plan.seeds:
            for arm in self._plan.arms:
                if seed not in self._results[arm] and (arm, seed) not in going:
                    return arm, seed
        return None

    def _begin(self, arm: Arm, seed: int) -> Order:
        """Make the run's folder and journal; return its order."""
        plan, label, key = self._plan, self._plan.target.label, self._plan.keys[arm]
        folder = _free_folder(self._project.run_folder(plan.run_name(arm, seed)))
        begin_run(folder / "journal", key=key, label=label, seed=seed, settings=plan.settings[arm])
        return plan.order(arm, seed, folder.name, folder)

    def _take(self, ended: Ended) -> None:
        """End the run's journal, read it back, and take in what it gave."""
        arm, seed = self._going.pop(ended.id)
        end_run(self._project.journal(ended.id), ended, self._project.output(ended.id))
        read = self._catalog.read_in(ended.id)
        result = read and read_result(read.run, read.summaries, self._plan)
        if not result:
            raise SetupFailedError(f"{self._project.journal(ended.id)} cannot be read back.", todo="palate doctor")
        if arm == BASELINE:
            self._refuse_fault(result)
        self._results[arm][seed] = result
        self.made += 1
        self._person.watch(RunEnded(arm, result))

    def _refuse_fault(self, result: RunResult) -> None:
        """Stop at a fault of the set-up: the baseline failing before its first point, or without the metric."""
        metric = self._plan.metric.name
        if result.outcome.ending == "no_metric":
            logged = result.outcome.detail.removeprefix("it logged ")
            raise MetricNotLoggedError(
                f"{result.id} finished without logging {metric}.",
                why=f"It logged: {logged}{nearest(metric, logged.split(', '))}",
                todo=f"Log it: palate.log(step, {metric}=...)   or choose another: --metric NAME",
            )
        if result.outcome.failed and not result.points:
            how = result.outcome.detail.splitlines()[0]
            raise SetupFailedError(
                f"The baseline failed before its first point: {result.id}, {how}.",
                why=[f"| {line}" for line in tail_of(self._project.output(result.id))],
                todo="Fix it, then type the same command again; nothing that finished is lost.",
            )


def _free_folder(folder: Path) -> Path:
    attempt, free = 1, folder
    while free.exists():
        attempt += 1
        free = folder.with_name(f"{folder.name}-{attempt}")
    return free
