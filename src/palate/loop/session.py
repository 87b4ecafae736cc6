"""One session at the stove: ask, seal, run pairs until settled or the budget is spent, judge, score."""

import contextlib
from dataclasses import dataclass
from typing import Protocol

from palate.errors import MetricNotLoggedError, SetupFailedError
from palate.loop.evidence import Results, RunResult, collect, curves_identical, first_settled, read_result
from palate.loop.ledger import Sealed, terms_of
from palate.loop.question import ARMS, Question
from palate.recipe.settings import nearest
from palate.store.catalog import Catalog
from palate.store.ingest import read_run
from palate.store.project import Project
from palate.training.outcome import begin_run, end_run, stop_run, tail_of
from palate.training.pool import Ended, Order, Pool
from palate.verdict.pairs import Pairs
from palate.verdict.rule import Terms, Verdict
from palate.vocabulary import Arm


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kitchen:
    """What runs are carried out with: runs at a time, threads a run, seconds a run may take."""

    workers: int
    threads: int
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooked:
    """What a session found.

    Attributes:
        verdict: at the look that settled it, else at the last.
        pairs: the pairs it rests on; None where none finished.
        results: every ended run by arm and seed.
        terms: what they were judged on.
        fresh: runs made in this session.
        reused: runs that were there already.
    """

    verdict: Verdict
    pairs: Pairs | None
    results: Results
    terms: Terms
    fresh: int
    reused: int


class Session:
    """Run a question's missing pairs until its verdict settles."""

    def __init__(self, project: Project, question: Question, kitchen: Kitchen, watcher: Watcher) -> None:
        self._project = project
        self._question = question
        self._terms = terms_of(project.chain, question)
        self._kitchen = kitchen
        self._watcher = watcher
        self._going: dict[str, tuple[Arm, int]] = {}
        self._fresh = 0

    def look(self) -> Cooked:
        """Judge the runs that are there, running none."""
        with Catalog.open(self._project) as catalog:
            results = collect(catalog, self._question)
            verdict, pairs = self._look(catalog, results)
        return Cooked(verdict=verdict, pairs=pairs, results=results, terms=self._terms, fresh=0, reused=_count(results))

    def settle(self, warm: Pool | None = None) -> Cooked:
        """Run until settled or the budget is spent.

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
            results = collect(catalog, self._question)
            reused = _count(results)
            verdict, pairs = self._look(catalog, results)
            if not verdict.settled and self._next(results) is not None:
                pool = warm or stack.enter_context(start_pool(self._question, self._kitchen))
                verdict, pairs = self._run(pool, catalog, results)
        return Cooked(
            verdict=verdict, pairs=pairs, results=results, terms=self._terms, fresh=self._fresh, reused=reused
        )

    def _run(
        self, pool: Pool, catalog: Catalog, results: dict[Arm, dict[int, RunResult]]
    ) -> tuple[Verdict, Pairs | None]:
        verdict, pairs = self._look(catalog, results)
        try:
            while not verdict.settled:
                self._submit(pool, results)
                if not self._going:
                    break
                for ended in pool.poll():
                    self._take(ended, results)
                    verdict, pairs = self._look(catalog, results)
                self._watcher.tick(pool.running)
        finally:
            pool.close()
            for run_id in self._going:
                stop_run(self._project.journal(run_id))
        return verdict, pairs

    def _submit(self, pool: Pool, results: Results) -> None:
        while pool.free > 0 and (missing := self._next(results)) is not None:
            arm, seed = missing
            order = self._order(arm, seed)
            self._going[order.id] = (arm, seed)
            pool.submit(order)
            self._watcher.started(arm, seed, order)

    def _next(self, results: Results) -> tuple[Arm, int] | None:
        going = set(self._going.values())
        for seed in range(self._question.budget):
            for arm in ARMS:
                if seed not in results[arm] and (arm, seed) not in going:
                    return arm, seed
        return None

    def _order(self, arm: Arm, seed: int) -> Order:
        question = self._question
        key = question.run_key(arm)
        label = question.target.label.rpartition(":")[0] or question.target.label
        run_id = _free_name(self._project, f"{label.rpartition('.')[2]}-{key[:6]}-s{seed}")
        settings = question.settings(arm)
        begin_run(self._project.journal(run_id), key=key, label=question.target.label, seed=seed, settings=settings)
        changes = question.changes if arm == "treatment" else ()
        return question.target.order(run_id, self._project.run_folder(run_id), seed, changes)

    def _take(self, ended: Ended, results: dict[Arm, dict[int, RunResult]]) -> None:
        arm, seed = self._going.pop(ended.id)
        journal = self._project.journal(ended.id)
        end_run(journal, ended, self._project.output(ended.id))
        row = read_run(journal)
        result = row and read_result(row.run, row.summaries, self._question)
        if not result:
            raise SetupFailedError(f"{journal} cannot be read back.", todo="palate doctor")
        self._refuse_fault(arm, result)
        results[arm][seed] = result
        self._fresh += 1
        self._watcher.ended(arm, result)

    def _refuse_fault(self, arm: Arm, result: RunResult) -> None:
        """Stop at a fault of the set-up: the baseline failing before its first point, or without the metric."""
        output = self._project.output(result.id)
        if arm == "baseline" and result.outcome.ending == "no_metric":
            logged = result.outcome.detail.removeprefix("it logged ")
            raise MetricNotLoggedError(
                f"{result.id} finished without logging {self._question.metric.name}.",
                why=f"It logged: {logged}{nearest(self._question.metric.name, logged.split(', '))}",
                todo=f"Log it: palate.log(step, {self._question.metric.name}=...)   or choose another: --metric NAME",
            )
        if arm == "baseline" and result.outcome.failed and not result.points:
            how = result.outcome.detail.splitlines()[0]
            raise SetupFailedError(
                f"The baseline failed before its first point: {result.id}, {how}.",
                why=[f"| {line}" for line in tail_of(output)],
                todo="Mend it, then type the same command again; nothing that finished is lost.",
            )

    def _look(self, catalog: Catalog, results: Results) -> tuple[Verdict, Pairs | None]:
        verdict, pairs = first_settled(self._question, self._terms, results)
        if pairs is not None and pairs.identical and verdict.kind == "nothing":
            catalog.refresh()
            verdict, pairs = first_settled(
                self._question, self._terms, results, identical=curves_identical(catalog, results)
            )
        self._watcher.looked(verdict)
        return verdict, pairs


def _count(results: Results) -> int:
    return sum(len(by_seed) for by_seed in results.values())


def start_pool(question: Question, kitchen: Kitchen) -> Pool:
    """Start the warm worker for a question's target."""
    return Pool(question.target.task, workers=kitchen.workers, threads=kitchen.threads, timeout_s=kitchen.timeout_s)


def _free_name(project: Project, name: str) -> str:
    attempt, free = 1, name
    while project.run_folder(free).exists():
        attempt += 1
        free = f"{name}-{attempt}"
    return free
