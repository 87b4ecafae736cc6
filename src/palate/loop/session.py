"""One session on one question: its pairs run until the verdict settles."""

from dataclasses import dataclass

from palate.loop.evidence import Results, complete_pairs, curves_identical, first_settled
from palate.loop.examples import Examples
from palate.loop.kitchen import Kitchen
from palate.loop.question import Question
from palate.loop.stove import Served, Stove, Watcher
from palate.loop.terms import terms_of
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.training.pool import Pool
from palate.verdict.pairs import Pairs
from palate.verdict.rule import Terms, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict with the pairs it rests on; None where no pair finished."""

    verdict: Verdict
    pairs: Pairs | None

    @property
    def settled(self) -> bool:
        """Whether the verdict is."""
        return self.verdict.settled


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

    @property
    def done(self) -> bool:
        """Whether no more runs will be made: the verdict is settled, or every pair of the budget has ended."""
        return self.verdict.settled or complete_pairs(self.results) >= self.terms.budget


class Session:
    """Run a question's missing pairs until its verdict settles."""

    def __init__(self, project: Project, question: Question, kitchen: Kitchen, watcher: Watcher) -> None:
        self._question = question
        self._terms = terms_of(project.chain, question)
        self._examples = Examples(project)
        self._watcher = watcher
        self._stove = Stove(project, question, kitchen, watcher, self._look)

    def look(self) -> Cooked:
        """Judge the runs that are there, running none."""
        return self._cooked(self._stove.see())

    def settle(self, warm: Pool | None = None) -> Cooked:
        """Run until settled or the budget is spent. See `Stove.settle`."""
        return self._cooked(self._stove.settle(warm))

    def _cooked(self, served: Served[Judged]) -> Cooked:
        return Cooked(
            verdict=served.look.verdict,
            pairs=served.look.pairs,
            results=served.results,
            terms=self._terms,
            fresh=served.fresh,
            reused=served.reused,
        )

    def _look(self, catalog: Catalog, results: Results) -> Judged:
        floor = self._examples.disagreement
        verdict, pairs = first_settled(self._question, self._terms, results, disagreement=floor)
        if pairs is not None and pairs.identical and verdict.kind == "nothing":
            catalog.refresh()
            identical = curves_identical(catalog, results)
            verdict, pairs = first_settled(
                self._question, self._terms, results, identical=identical, disagreement=floor
            )
        self._watcher.looked(verdict)
        return Judged(verdict=verdict, pairs=pairs)
