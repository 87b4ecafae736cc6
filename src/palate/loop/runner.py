"""The stove: runs what a plan misses, arm by arm and seed by seed, until the look at it is settled."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from palate.errors import MetricNotLoggedError, SetupFailedError
from palate.ledger.records import Sealed
from palate.loop.results import Found, Plan, Results, RunResult, collect, read_result
from palate.question.target import Order
from palate.recipe.settings import nearest
from palate.store.catalog import Catalog, read_run
from palate.store.project import Project
from palate.training.launch import Kitchen, start_pool
from palate.training.local import Ended, Pool
from palate.training.outcome import begin_run, end_run, stop_run, tail_of
from palate.verdict.rule import Verdict
from palate.vocabulary import BASELINE, Arm


class Watcher(Protocol):
    """What is told while runs go: a progress display, or nothing."""

    def sealed(self, sealed: Sealed) -> None:
        """Hear of a forecast that was sealed."""

    def started(self, arm: Arm, seed: int, order: Order) -> None:
        """Hear of a run that starts."""

    def tick(self, running: tuple[str, ...]) -> None:
        """Hear a few times a second which runs go."""

    def ended(self, arm: Arm, result: RunResult) -> None:
        """Hear of a run that ended."""

    def looked(self, verdict: Verdict) -> None:
        """Hear what the pairs so far say."""


class Look(Protocol):
    """What is seen of the runs so far."""

    @property
    def settled(self) -> bool:
        """Whether no more runs are needed."""


Seen = TypeVar("Seen", bound=Look)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Generic[Seen]):
    """What a plan's runs gave.

    Attributes:
        look: at the moment that settled it, else the last.
        results: every ended run by arm and seed.
        fresh: runs made now.
        reused: runs that were there already.
    """

    look: Seen
    results: Results
    fresh: int
    reused: int


class Stove(Generic[Seen]):
    """Run a plan's missing runs until the look at them settles.

    Args:
        project: where runs are kept.
        plan: which arms at which seeds.
        kitchen: what runs are carried out with.
        watcher: told of progress.
        look: what is seen of the ended runs.
    """

    def __init__(
        self,
        project: Project,
        plan: Plan,
        kitchen: Kitchen,
        watcher: Watcher,
        look: Callable[[Catalog, Results], Seen],
    ) -> None:
        self._project = project
        self._plan = plan
        self._kitchen = kitchen
        self._watcher = watcher
        self._look = look
        self._going: dict[str, tuple[Arm, int]] = {}
        self._fresh = 0

    def see(self) -> Served[Seen]:
        """Look at the runs that are there, running none."""
        with Catalog.open(self._project) as catalog:
            results = collect(catalog, self._plan)
            return Served(look=self._look(catalog, results), results=results, fresh=0, reused=_count(results))

    def settle(self, warm: Pool | None = None) -> Served[Seen]:
        """Run until settled, or until nothing is left to run.

        Args:
            warm: a pool that was started early (while a person was thinking); closed at the end.

        Raises:
            SetupFailedError: the baseline fails before its first point, or the code cannot be loaded.
            MetricNotLoggedError: the baseline never logs the metric.
        """
        with contextlib.ExitStack() as stack:
            if warm is not None:
                stack.enter_context(warm)
            catalog = stack.enter_context(Catalog.open(self._project))
            results = collect(catalog, self._plan)
            reused = _count(results)
            look = self._look(catalog, results)
            if not look.settled and self._next(results) is not None:
                pool = warm or stack.enter_context(start_pool(self._plan.target, self._kitchen))
                look = self._run(pool, catalog, results, look)
        return Served(look=look, results=results, fresh=self._fresh, reused=reused)

    def _run(self, pool: Pool, catalog: Catalog, results: Found, look: Seen) -> Seen:
        try:
            while not look.settled:
                self._submit(pool, results)
                if not self._going:
                    break
                for ended in pool.poll():
                    self._take(ended, results)
                    look = self._look(catalog, results)
                self._watcher.tick(pool.running)
        finally:
            pool.close()
            for run_id in self._going:
                stop_run(self._project.journal(run_id))
        return look

    def _submit(self, pool: Pool, results: Results) -> None:
        while pool.free > 0 and (missing := self._next(results)) is not None:
            arm, seed = missing
            order = self._order(arm, seed)
            self._going[order.id] = (arm, seed)
            pool.submit(order)
            self._watcher.started(arm, seed, order)

    def _next(self, results: Results) -> tuple[Arm, int] | None:
        going = set(self._going.values())
        for seed in self._plan.seeds:
            for arm in self._plan.arms:
                if seed not in results[arm] and (arm, seed) not in going:
                    return arm, seed
        return None

    def _order(self, arm: Arm, seed: int) -> Order:
        plan = self._plan
        key = plan.run_key(arm)
        run_id = _free_name(self._project, f"{plan.target.name}-{key[:6]}-s{seed}")
        settings = plan.settings(arm)
        begin_run(self._project.journal(run_id), key=key, label=plan.target.label, seed=seed, settings=settings)
        return plan.target.order(run_id, self._project.run_folder(run_id), seed, plan.changes_of(arm))

    def _take(self, ended: Ended, results: Found) -> None:
        arm, seed = self._going.pop(ended.id)
        journal = self._project.journal(ended.id)
        end_run(journal, ended, self._project.output(ended.id))
        row = read_run(journal)
        result = row and read_result(row.run, row.summaries, self._plan)
        if not result:
            raise SetupFailedError(f"{journal} cannot be read back.", todo="palate doctor")
        self._refuse_fault(arm, result)
        results[arm][seed] = result
        self._fresh += 1
        self._watcher.ended(arm, result)

    def _refuse_fault(self, arm: Arm, result: RunResult) -> None:
        """Stop at a fault of the set-up: the baseline failing before its first point, or without the metric."""
        output = self._project.output(result.id)
        if arm == BASELINE and result.outcome.ending == "no_metric":
            logged = result.outcome.detail.removeprefix("it logged ")
            raise MetricNotLoggedError(
                f"{result.id} finished without logging {self._plan.metric.name}.",
                why=f"It logged: {logged}{nearest(self._plan.metric.name, logged.split(', '))}",
                todo=f"Log it: palate.log(step, {self._plan.metric.name}=...)   or choose another: --metric NAME",
            )
        if arm == BASELINE and result.outcome.failed and not result.points:
            how = result.outcome.detail.splitlines()[0]
            raise SetupFailedError(
                f"The baseline failed before its first point: {result.id}, {how}.",
                why=[f"| {line}" for line in tail_of(output)],
                todo="Mend it, then type the same command again; nothing that finished is lost.",
            )


def _count(results: Results) -> int:
    return sum(len(by_seed) for by_seed in results.values())


def _free_name(project: Project, name: str) -> str:
    attempt, free = 1, name
    while project.run_folder(free).exists():
        attempt += 1
        free = f"{name}-{attempt}"
    return free


class _Silent:
    """A watcher that says nothing."""

    def sealed(self, *_: object) -> None: ...
    def started(self, *_: object) -> None: ...
    def tick(self, *_: object) -> None: ...
    def ended(self, *_: object) -> None: ...
    def looked(self, *_: object) -> None: ...


SILENT: Watcher = _Silent()
