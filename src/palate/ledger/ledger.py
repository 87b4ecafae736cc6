"""The ledger: the sealed chain replayed once into experiments, and only what has grown since; light to import."""

import itertools
import json
import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

from palate.errors import NotFoundError
from palate.forecast.chances import Reference
from palate.ledger.records import (
    SealedAnswer,
    SealedArms,
    SealedConfirmation,
    SealedForecast,
    SealedPromise,
    SealedQuestion,
    SealedScore,
    SealedSkip,
    SealedVerdict,
    SealedVoid,
    SealedWhen,
    SealedWhenScore,
    Turn,
    question_body,
    shows_as_logged,
)
from palate.question.question import Question
from palate.question.target import name_of_label
from palate.store.chain import Chain, Record
from palate.vocabulary import Goal

TURNS = ("forecast", "revision")
ACTS = ("forecast", SealedSkip.KIND, SealedPromise.KIND)
"""Kinds of records by which somebody takes part in a question."""

_PARTS: dict[str, set[str]] = {
    "sealed": set(),
    "arms": set(),
    "question": {SealedVerdict.KIND, SealedArms.KIND},
    "forecasts": {*TURNS},
    "skipped": {*TURNS, SealedSkip.KIND},
    "promises": {*TURNS, SealedPromise.KIND},
    "verdict": {SealedVerdict.KIND},
    "outcome": {SealedVerdict.KIND},
    "scores": {SealedScore.KIND},
    "bits": {SealedScore.KIND},
    "void": {SealedVoid.KIND},
    "badge": {SealedConfirmation.KIND},
    "badge_name": {SealedConfirmation.KIND},
}
"""The parts of an experiment, by the kinds of records that they are read from; the first question record stands."""


class Asked(NamedTuple):
    """What is known of a question without reading its record.

    Attributes:
        number: of its record.
        margin, metric, goal, take, data, label: as they are sealed.
        visible: whether its outcome could be seen already.
        changes: as they are sealed: path, before and after of each.
        edit: what was edited, in words; None where nothing was.
    """

    number: int
    margin: float | None
    metric: str
    goal: str
    take: str
    data: str
    label: str
    visible: bool | None
    changes: Sequence[Mapping[str, Any]]
    edit: str | None


class VerdictNumbers(NamedTuple):
    """What a verdict tells of the noise; None where it does not."""

    experiment: str
    variance: float | None
    n: int
    raw: float | None
    spread: float | None
    seed_sd: float | None

    @property
    def standard_error(self) -> float | None:
        """Standard error of `raw`."""
        return None if self.spread is None else self.spread / math.sqrt(self.n)


class Outcome(NamedTuple):
    """What a list shows of a verdict: its kind, its pairs and the effect, the failed runs, and what it is on."""

    kind: str
    n: int
    effect: float | None
    failures: Mapping[str, int]
    about: str


@dataclass(frozen=True, kw_only=True)
class SealedExperiment:
    """All that is sealed of one experiment; each part is read when it is first asked for.

    Attributes:
        id: the experiment's id.
        records: of it, oldest first; the question's comes first.
    """

    id: str
    records: tuple[Record, ...]

    def keeping(self, before: "SealedExperiment", grown: set[str]) -> "SealedExperiment":
        """Return this, with the parts that were read before and of which no record has come since.

        Args:
            before: the same experiment with fewer records.
            grown: the kinds of the records that have come.
        """
        for part, kinds in _PARTS.items():
            if part in before.__dict__ and not grown & kinds:
                self.__dict__[part] = before.__dict__[part]
        return self

    @cached_property
    def sealed(self) -> SealedQuestion:
        """The question, with what was sealed beside it."""
        return SealedQuestion.read(self.asked)

    @property
    def asked(self) -> Record:
        """The question's record."""
        return next(self._of(SealedQuestion.KIND))

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """The keys of its arms, with the first seed: two questions with the same are about the same runs."""
        return _arms_of(self.sealed.question)

    @cached_property
    def question(self) -> Question:
        """What is asked; with what was read of its arms later, and its metric shown as its runs showed it has to be."""
        question, record = self.sealed.question, next(self._of(SealedArms.KIND), None)
        if record is not None:
            arms = SealedArms.read(record)
            question = replace(question, confounders=arms.confounders, chunks=arms.chunks)
        corrected = any(shows_as_logged(record.body) for record in self._of(SealedVerdict.KIND))
        return replace(question, as_logged=True) if corrected else question

    @property
    def reference(self) -> Reference | None:
        """The reference forecast, sealed with the question; None in records of before there was one."""
        return self.sealed.reference

    @cached_property
    def forecasts(self) -> tuple[SealedForecast, ...]:
        """Everybody's forecasts, oldest first, first answers and revisions."""
        return tuple(SealedForecast.read(record) for record in self._of(*TURNS))

    @cached_property
    def skipped(self) -> tuple[str, ...]:
        """Who skipped, and has no forecast."""
        forecast = {sealed.author.name for sealed in self.forecasts}
        names = (SealedSkip.read(record).author.name for record in self._of(SealedSkip.KIND))
        return tuple(name for name in names if name not in forecast)

    @cached_property
    def promises(self) -> Mapping[str, SealedPromise]:
        """By hash, colleagues' forecasts that are promised and not opened yet."""
        opened = {sealed.hash for sealed in self.forecasts}
        promises = (SealedPromise.read(record) for record in self._of(SealedPromise.KIND))
        return {promise.hash: promise for promise in promises if promise.hash not in opened}

    @cached_property
    def verdict(self) -> SealedVerdict | None:
        """The verdict, where it is settled or its budget is spent."""
        return next((SealedVerdict.read(record) for record in self._of(SealedVerdict.KIND)), None)

    @cached_property
    def outcome(self) -> Outcome | None:
        """What of the verdict a list shows, which needs no numpy to be read; None where there is none."""
        record = next(self._of(SealedVerdict.KIND), None)
        body = None if record is None else record.body
        if body is None:
            return None
        return Outcome(body["kind"], body["n"], body.get("effect"), body["failures"], body.get("about", "mean"))

    @property
    def judged_unchecked(self) -> bool:
        """Whether its verdict was sealed before the shape of the noise was looked at; it stands as it was judged."""
        return any("about" not in record.body for record in self._of(SealedVerdict.KIND))

    @cached_property
    def bits(self) -> Mapping[str, float]:
        """By the hash of the forecast, the bits of its score, which need no numpy to be read: the first one counts."""
        bodies = [record.body for record in self._of(SealedScore.KIND)]
        return {body["forecast"]: body["bits"] for body in reversed(bodies)}

    @cached_property
    def badge_name(self) -> str | None:
        """What the newest reruns at new seeds say of its verdict, in a word."""
        newest = next(self._of(SealedConfirmation.KIND, newest_first=True), None)
        return None if newest is None else newest.body["badge"]

    @property
    def judged(self) -> bool:
        """Whether its verdict is sealed."""
        return any(record.kind == SealedVerdict.KIND for record in self.records)

    @cached_property
    def scores(self) -> Mapping[str, SealedScore]:
        """By the hash of the forecast, its score: the first one counts."""
        scores = [SealedScore.read(record) for record in self._of(SealedScore.KIND)]
        return {score.forecast: score for score in reversed(scores)}

    @cached_property
    def void(self) -> SealedVoid | None:
        """Why it counts for nobody; None where it counts."""
        return next((SealedVoid.read(record) for record in self._of(SealedVoid.KIND)), None)

    @cached_property
    def badge(self) -> SealedConfirmation | None:
        """What the newest reruns at new seeds say of its verdict."""
        return next(
            (SealedConfirmation.read(record) for record in self._of(SealedConfirmation.KIND, newest_first=True)), None
        )

    def of(self, author: str, turn: Turn = "forecast") -> SealedForecast | None:
        """Return somebody's first answer, or their revision."""
        return next((one for one in self.forecasts if one.author.name == author and one.turn == turn), None)

    def promised(self, turn: Turn) -> set[str]:
        """Name the colleagues whose forecasts of a turn are promised but not opened yet."""
        return {promise.author for promise in self.promises.values() if promise.turn == turn}

    def visible(self, author: str) -> tuple[SealedForecast, ...]:
        """Return the forecasts that somebody may see: all once theirs is sealed or the outcome is there, else none."""
        return self.forecasts if self.judged or self.of(author) is not None else ()

    def hidden(self, author: str) -> int:
        """Count the forecasts that somebody may not see yet, and the promises that nobody may."""
        return len(self.forecasts) - len(self.visible(author)) + len(self.promises)

    def is_missing(self, author: str) -> bool:
        """Whether somebody could still forecast it, as far as the chain tells."""
        return self.of(author) is None and not self.judged and self.void is None

    def _of(self, *kinds: str, newest_first: bool = False) -> Iterator[Record]:
        records = reversed(self.records) if newest_first else self.records
        return (record for record in records if record.kind in kinds)


class Ledger:
    """What is sealed in a project, by experiment: the chain is replayed once, and then only what has grown.

    Take it with `Ledger.of(chain)`. Each question to it is answered with all that is sealed by then.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._forget()

    @property
    def chain(self) -> Chain:
        """The chain; of one whose seal is broken, what is whole."""
        self._chain.go_on()
        return self._chain

    @classmethod
    def of(cls, chain: Chain) -> Self:
        """Return the chain's ledger: one for each chain."""
        ledger: Self = chain.readers.get(cls) or chain.readers.setdefault(cls, cls(chain))
        return ledger

    def _forget(self) -> None:
        self._generation = self._chain.generation
        self._next = 0
        self._asked: dict[str, int] = {}
        self._read: dict[str, SealedExperiment] = {}
        self._grown: dict[str, set[str]] = {}
        self._questions: dict[str, Asked] = {}
        self._firsts: tuple[int, int, dict[str, str]] = (0, 0, {})

    def _replay(self) -> None:
        """Take in what has been sealed since the last look."""
        grown = len(self.chain)
        if self._generation != self._chain.generation:
            self._forget()
        if grown == self._next:
            return
        for number in self._chain.numbers(SealedQuestion.KIND, self._next):
            self._asked.setdefault(self._chain.experiment_at(number), number)
        for _, kind, experiment in self._chain.outline(self._next) if self._read else ():
            if experiment in self._read:
                self._grown.setdefault(experiment, set()).add(kind)
        self._next = grown

    def find(self, experiment: str) -> SealedExperiment | None:
        """Return an experiment by its whole id; None where it was never asked."""
        self._replay()
        return self._find(experiment)

    def _find(self, experiment: str) -> SealedExperiment | None:
        if experiment not in self._asked:
            return None
        before, kinds = self._read.get(experiment), self._grown.pop(experiment, None)
        if before is None or kinds is not None:
            records = tuple(self.chain.records(experiment=experiment))
            now = SealedExperiment(id=experiment, records=records)
            self._read[experiment] = now if before is None else now.keeping(before, kinds or set())
        return self._read[experiment]

    def read(self, experiment: str) -> SealedExperiment:
        """Return an experiment.

        Args:
            experiment: its id, or the start of it; "last" for the newest.

        Raises:
            NotFoundError: there is no such experiment, or several start so.
        """
        self._replay()
        if experiment == "last" and self._asked:
            return self._must(next(reversed(self._asked)))
        if experiment in self._asked:
            return self._must(experiment)
        starting = [name for name in self._asked if experiment and name.startswith(experiment)]
        if len(starting) == 1:
            return self._must(starting[0])
        raise NotFoundError(
            f"{experiment!r} is the start of several experiments: {', '.join(starting[:5])}."
            if starting
            else f"no experiment {experiment!r}.",
            todo="palate list   shows them",
        )

    def experiments(self, *kinds: str) -> list[SealedExperiment]:
        """List the experiments in the order in which they were asked.

        Args:
            kinds: only those of which a record of one of these kinds is sealed.
        """
        return self.of_names(self.having(*kinds or (SealedQuestion.KIND,)))

    def of_names(self, names: Collection[str]) -> list[SealedExperiment]:
        """List these experiments in the order in which they were asked."""
        self._replay()
        return [self._must(name) for name in sorted(self._asked.keys() & set(names), key=self._asked.__getitem__)]

    def having(self, *kinds: str) -> frozenset[str]:
        """Name the experiments of which a record of one of these kinds is sealed."""
        return frozenset().union(*(self.chain.experiments(kind) for kind in kinds))

    def number_of(self, experiment: str) -> int | None:
        """Return the number of the question's record; None where it was never asked."""
        self._replay()
        return self._asked.get(experiment)

    def newest(self, most: int) -> list[SealedExperiment]:
        """List the experiments that were asked last, oldest first; `most` of them at most."""
        self._replay()
        return [self._must(name) for name in list(self._asked)[-most:]]

    def verdict_kinds(self) -> list[str]:
        """List the kinds of all verdicts, oldest first, reading nothing else of them.

        Of questions about the same arms only the first that was asked counts.
        """
        again, at = self.firsts(), self.chain.experiment_at
        return [kind for number, (kind, *_) in self.chain.kept(SealedVerdict.KIND) if at(number) not in again]

    def asked(self) -> dict[str, Asked]:
        """Return what is known of each question without reading it, by experiment, in the order of asking."""
        self._replay()
        known = len(self._questions)
        if known < len(self._asked):
            start = next(itertools.islice(self._asked.values(), known, None))
            for number, fields in self._chain.kept(SealedQuestion.KIND, start):
                shared: list[Any] = [sys.intern(field) if type(field) is str else field for field in fields]
                self._questions.setdefault(self._chain.experiment_at(number), Asked(number, *shared))
        return self._questions

    def asked_like(self, likeness: tuple[str, ...]) -> frozenset[str]:
        """Name the experiments whose questions can be compared with one of this likeness; see `likeness_of`."""
        metric, take, data, name = likeness
        names: dict[str, bool] = {}  # by label: there are few
        alike = set()
        for experiment, one in self.asked().items():
            if one.label not in names:
                names[one.label] = name_of_label(one.label) == name
            if names[one.label] and one.metric == metric and one.take == take and one.data == data:
                alike.add(experiment)
        return frozenset(alike)

    def firsts(self) -> Mapping[str, str]:
        """Return, of each question that was asked again, the first about the same arms; void ones are left out.

        Another margin, budget or metric makes another question of the same runs. Such questions count once, by the
        first; only those whose changes are the same in words are read to find them.
        """
        asked, voids = self.asked(), self.having(SealedVoid.KIND)
        if self._firsts[:2] != (len(asked), len(voids)):
            self._firsts = (len(asked), len(voids), self._find_firsts(asked, voids))
        return self._firsts[2]

    def _find_firsts(self, asked: Mapping[str, Asked], voids: Collection[str]) -> dict[str, str]:
        alike: dict[str, list[str]] = {}
        for name, one in asked.items():
            if name not in voids:
                alike.setdefault(_signature(one.changes, one.edit), []).append(name)
        firsts: dict[str, str] = {}
        for names in alike.values():
            by_arms: dict[tuple[str, ...], str] = {}
            for name in names if len(names) > 1 else ():
                first = by_arms.setdefault(self._must(name).arms, name)
                if first != name:
                    firsts[name] = first
        return firsts

    def asked_about(self, question: Question) -> list[SealedExperiment]:
        """List the questions about the same arms as this one, in the order of asking, itself and void ones among them.

        `question` need not be sealed.
        """
        body = question_body(question)
        mine = _signature(body["changes"], body["edit"]["words"] if "edit" in body else None)
        keys = _arms_of(question)
        names = [name for name, one in self.asked().items() if _signature(one.changes, one.edit) == mine]
        return [known for name in names if (known := self._must(name)).arms == keys]

    def noise_told(self, among: Collection[str], most: int) -> list[tuple[float, int, frozenset[str]]]:
        """List what the newest verdicts of these experiments say of a run's noise; light, as before the prompt.

        Returns:
            seed sd, pairs, and the ids of the runs of each verdict.
        """
        having = self.having(SealedVerdict.KIND)
        judged = [name for name in self.asked() if name in among and name in having]
        told = []
        for name in judged[-most:]:
            body = next(self._must(name)._of(SealedVerdict.KIND)).body
            if body.get("seed_sd") and body["n"] > 1:
                runs = frozenset(run for by_arm in body.get("runs", {}).values() for run in by_arm)
                told.append((float(body["seed_sd"]), int(body["n"]), runs))
        return told

    def judged(self, among: Collection[str], until: int | None, most: int) -> list[VerdictNumbers]:
        """List what noise is told by, of the first verdict of each of these experiments, oldest first.

        Args:
            among: the experiments.
            until: only verdicts sealed before the record of this number; all if None.
            most: how many, the newest, at most.
        """
        at, first = self.chain.experiment_at, dict[str, int]()
        for number in self._chain.numbers(SealedVerdict.KIND):
            first.setdefault(at(number), number)
        numbers = [n for name, n in first.items() if name in among and (until is None or n < until)][-most:]
        return [
            VerdictNumbers(at(number), *told) for number, (_, *told) in self._chain.kept_of(SealedVerdict.KIND, numbers)
        ]

    def answers(self) -> list[SealedAnswer]:
        """List everybody's first answers, oldest first."""
        return [SealedAnswer.read(record) for record in self._each("forecast")]

    def scores(self) -> list[SealedScore]:
        """List the scores of forecasts and revisions, oldest first; each has one, the first."""
        scores: dict[str, SealedScore] = {}
        for record in self._each(SealedScore.KIND):
            score = SealedScore.read(record)
            scores.setdefault(score.forecast, score)
        return list(scores.values())

    def count_settled(self, author: str, kind: str) -> int:
        """Count the scores of somebody's first answers of a class whose outcome is settled, reading none of them."""
        told = [author, "forecast", kind]
        return sum(fields[:3] == told and bool(fields[3]) for _, fields in self.chain.kept(SealedScore.KIND))

    def voids(self) -> list[SealedVoid]:
        """List the voids of questions, oldest first."""
        return [SealedVoid.read(record) for record in self._each(SealedVoid.KIND)]

    def whens(self) -> list[SealedWhen]:
        """List the when-forecasts, oldest first."""
        return [SealedWhen.read(record) for record in self._each(SealedWhen.KIND)]

    def when_scores(self) -> list[SealedWhenScore]:
        """List the scores of when-forecasts, oldest first; each has one, the first."""
        scores: dict[str, SealedWhenScore] = {}
        for record in self._each(SealedWhenScore.KIND):
            score = SealedWhenScore.read(record)
            scores.setdefault(score.forecast, score)
        return list(scores.values())

    def _each(self, kind: str) -> Iterator[Record]:
        chain = self.chain
        return chain.each(chain.numbers(kind))

    def remembered_goal(self, metric: str) -> Goal | None:
        """Return which way this metric was last taken to be better; None where nobody asked of it yet."""
        chain = self.chain
        questions = (
            (n, goal) for n, (_, name, goal, *_) in chain.newest_kept(SealedQuestion.KIND, metric) if name == metric
        )
        whens = ((n, goal) for n, (name, goal) in chain.newest_kept(SealedWhen.KIND, metric) if name == metric)
        newest = [told for each in (questions, whens) for told in itertools.islice(each, 1)]
        return max(newest)[1] if newest else None

    def asked_of(self, author: str, begun: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the experiments that count in somebody's coverage: skipping the hard ones is easy.

        These are all that they forecast or skipped, and all that were asked since the first of these. What was never
        run does not count, nor what was voided, nor what was asked when its outcome could be seen already.

        Args:
            author: whose.
            begun: experiments of which runs have ended, though nothing of that is sealed yet.
        """
        asked, chain = self.asked(), self._chain
        acts = [number for kind in ACTS for number, (by, *_) in chain.kept(kind) if by == author]
        if not acts:
            return frozenset()
        joined = min(acts)
        since = {name for name, one in asked.items() if one.number > joined and not one.visible}
        mine = {chain.experiment_at(number) for number in acts}
        return frozenset(
            (since | mine) & (self.having(SealedVerdict.KIND, SealedScore.KIND) | begun) - self.having(SealedVoid.KIND)
        )

    def _must(self, name: str) -> SealedExperiment:
        experiment = self._find(name)
        assert experiment is not None
        return experiment


def _arms_of(question: Question) -> tuple[str, ...]:
    keys = question.plan.keys
    return (*(keys[arm] for arm in sorted(keys)), str(question.first_seed))


def _signature(changes: Sequence[Mapping[str, Any]], edit: str | None) -> str:
    """Return changes as text: questions of which it differs are not about the same arms."""
    return json.dumps([list(changes), edit], sort_keys=True, default=str)
