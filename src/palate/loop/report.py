"""What came out of a question, as one document and as a few lines."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from palate.forecast.answer import said_words
from palate.forecast.score import Score
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import BLIND, SealedForecast, outcome_of
from palate.ledger.stack import SealedClaim, claim_of, claim_words, is_adopted
from palate.ledger.words import forecast_document
from palate.loop.arrival import arrival_words, same_seed_words
from palate.loop.control import fork_words
from palate.loop.cost import Cost, cost_of, hours_words
from palate.loop.edits import reached_words
from palate.loop.judge import Judgement, opposed_words
from palate.loop.odds import Told, signed_words, size_of_claim, tell_odds
from palate.loop.reference import case_words
from palate.loop.results import RunResult, as_shown
from palate.loop.reuse import known_inputs
from palate.loop.score import score_forecast
from palate.loop.terms import again_words, margin_words, spent_words
from palate.question.question import Question
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.store.recipes import Recipes
from palate.training.inputs import Received, read_received
from palate.verdict.design import MOST, make_design
from palate.verdict.history import history_words
from palate.verdict.outlook import Outlook, look_ahead
from palate.verdict.words import effect_words, failure_words, headline, pairing_words
from palate.vocabulary import BASELINE, TREATMENT

CALIBRATION_FROM = 20
"""Forecasts below which nothing is said about calibration."""

SURPRISE_BITS, SURPRISE_SURE = 2.0, 0.8
"""A miss is a surprise where it loses so many bits against the project's odds, or was as sure as this."""

CONFOUNDERS_TOLD = 4
LEFT_OUT_TOLD = 4

FRAME = " \t=-_*#+|─━│┃╭╮╰╯┌┐└┘═║╔╗╚╝"
"""What programs draw around a message."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Report:
    """A question with its forecast, its verdict and its score.

    Attributes:
        question: what was asked.
        judgement: what the runs gave.
        outlook: what to expect of more pairs, where the verdict is open.
        experiment: what is sealed of it.
        author: who asked.
        scores: by the hash of the forecast, of those that may be shown; provisional ones until the verdict is sealed.
        final: the forecasts whose scores are sealed.
        opposed: other metrics that say the opposite, a sentence each.
        counted: this author's forecasts so far from which calibration can be told.
        elapsed_s: how long this session took.
        changed: what is different since earlier runs, which were therefore not used again, in words.
        noticed: what was noticed of the runs, a sentence each.
        data_known: whether the files that the baseline reads are known, and so were checked.
        asked_only: whether the question was only to be asked, and nothing run.
        cost: what its runs cost; None where none has ended.
        contrary: the nearest past case whose outcome is this one's, in a line; "" where none of the nearest has it.
        told: what to do with the change now, beside what may be claimed of it; None where nothing can be said.
        adopted: whether it is in the baseline of new questions.
        claim: the claim of a stack that it is; None for any other question.
        again: where it was asked before about the same arms, with what that is different and which that was.
    """

    question: Question
    judgement: Judgement
    outlook: Outlook | None
    experiment: SealedExperiment
    author: str
    scores: Mapping[str, Score]
    final: frozenset[str]
    opposed: tuple[str, ...]
    counted: int
    elapsed_s: float
    changed: tuple[str, ...] = ()
    noticed: tuple[str, ...] = ()
    data_known: bool = False
    asked_only: bool = False
    cost: Cost | None = None
    contrary: str = ""
    told: Told | None = None
    adopted: bool = False
    claim: SealedClaim | None = None
    again: str = ""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    @property
    def sealed(self) -> SealedForecast | None:
        """This author's first answer."""
        return self.experiment.of(self.author)

    @property
    def score(self) -> Score | None:
        """Its score, once it is sealed."""
        sealed = self.sealed
        return self.scores.get(sealed.hash) if sealed is not None and sealed.hash in self.final else None

    @property
    def headline(self) -> str:
        """The verdict in words."""
        verdict, question = self.judgement.verdict, self.question
        changes = len(question.declared) + len(question.confounders)
        pairs, cost = (self.outlook.high if self.outlook else None) or 0, self.cost
        hours = hours_words(cost.pair_gpu_hours * pairs) if cost and cost.pair_gpu_hours and pairs else ""
        return headline(
            verdict,
            question.shown,
            changes=changes,
            outlook=self.outlook,
            pair_s=cost.pair_s if cost else None,
            pair_gpu=hours,
        )

    def document(self) -> dict[str, Any]:
        """Return the report as plain JSON data, schema `palate.report/1`."""
        verdict = self.judgement.verdict
        return {
            "schema": "palate.report/1",
            "experiment": self.question.experiment,
            "question": self.question.text,
            "metric": asdict(self.question.shown),
            "orientation": "+ is better",
            "verdict": {
                **asdict(verdict),
                "settled": verdict.settled,
                "confounded": bool(self.question.confounders) or len(self.question.declared) > 1,
                "words": self.headline,
            },
            "effect": effect_words(verdict, self.question.shown),
            "margin": {
                "value": self.question.margin,
                "from": self.question.margin_from or None,
                "runs": self.question.margin_runs,
                "words": margin_words(self.question),
            },
            "again": self.again or None,
            "spent": list(self.question.spent),
            "confounders": list(self.question.confounders),
            "chunks": {role: list(pair) for role, pair in self.question.chunks.items()},
            "opposed": list(self.opposed),
            "noticed": list(self.noticed),
            "outlook": asdict(self.outlook) if self.outlook else None,
            "forecast": forecast_document(self.sealed) if self.sealed else None,
            "score": asdict(self.score) if self.score else None,
            "forecasts": [
                {**forecast_document(one), "score": asdict(self.scores[one.hash]) if one.hash in self.scores else None}
                for one in self.experiment.visible(self.author)
            ],
            "void": self.experiment.void.reason if self.experiment.void else None,
            "runs": {
                "made": self.judgement.made,
                "reused": self.judgement.reused,
                **({"lost": [_run_document(one) for one in self.judgement.lost]} if self.judgement.lost else {}),
                **{
                    arm: [_run_document(by_seed[s]) for s in sorted(by_seed)]
                    for arm, by_seed in self.judgement.results.items()
                },
            },
            **({"adopt": {**self.told.document(), "adopted": self.adopted}} if self.told is not None else {}),
            **self._claim_document(),
            **({"cost": asdict(self.cost)} if self.cost is not None and self.cost.cpu_peak else {}),
            "elapsed_s": round(self.elapsed_s, 3),
            **({"stopped": self.judgement.stopped} if self.judgement.stopped else {}),
            "next": self.next_commands(),
        }

    def lines(self) -> list[str]:
        """Return the report as lines for people."""
        if self.asked_only and not self.judgement.verdict.n:
            run = "of the change, nothing" if self.judgement.made else "nothing"
            return [f"Sealed, and {run} was run yet: the same command without --ask runs it.", *self._forecast_lines()]
        terms = (margin_words(self.question), self.again and f"{self.again[0].upper()}{self.again[1:]}.",
                 spent_words(self.question))  # fmt: skip
        lines = [
            self.headline,
            *self.stopped_words(),
            *self._confounded(),
            *self.opposed,
            *self._adopt(),
            *filter(None, terms),
        ]
        failed = _first_failure(self.judgement.results[TREATMENT])
        if failed is not None:
            lines.append(f"First failure with the change: {failed.id}: {failure_reason(failed)}")
        lines += [*self._left_out(), *self.noticed]
        lines += [*self._failures(), *self._lengths(), *self._noise(), *self._pairing(), self._effort()]
        if self.changed and self.judgement.made:
            more = f" and {len(self.changed) - 3} more" if len(self.changed) > 3 else ""
            lines.append(f"Earlier runs were not used again: {'; '.join(self.changed[:3])}{more} since then.")
        return [*lines, *self._split_offer(), *self._forecast_lines()]

    def _adopt(self) -> list[str]:
        """Say what to do with the change now; of a claim, that it is one."""
        if self.claim is not None:
            return [claim_words(self.claim), *self._claimed_size()]
        if self.told is None:
            return []
        return [f"It is adopted. {self.told.rests_words}" if self.adopted else self.told.words]

    def _claim_document(self) -> dict[str, Any]:
        if self.claim is None:
            return {}
        size = size_of_claim(self.question, self.judgement)
        told = {"of": list(self.claim.of), "tried": self.claim.tried}
        return {"claim": {**told, "size": asdict(size) if size is not None else None}}

    def _claimed_size(self) -> list[str]:
        """Say how large a claimed effect is by all of its pairs; the look that settles it alone says it less well."""
        size = size_of_claim(self.question, self.judgement)
        if size is None:
            return []
        metric, width = self.question.shown, size.high - size.low
        ends = (size.low, size.high)[:: metric.sign]
        mean, low, high = (signed_words(value, metric, width) for value in (size.mean, *ends))
        return [f"Over all its {size.n} pairs: {mean} (between {low} and {high})."]

    def stopped_words(self) -> list[str]:
        """Say where running was stopped before the verdict was settled, and how far it came."""
        why, verdict = self.judgement.stopped, self.judgement.verdict
        return [f"Stopped {why}: {verdict.n} of {verdict.budget} pairs. The same command goes on."] if why else []

    def _effort(self) -> str:
        made, reused = self.judgement.made, self.judgement.reused
        checked = self.data_known or self.question.data or not reused
        unchecked = "" if checked else " (data were not declared, so not checked: --data)"
        took = f"; {self.cost.words}" if self.cost is not None and self.cost.words else ""
        if not self.elapsed_s:  # only looked at
            return f"{made + reused} run{'s' * (made + reused != 1)}{unchecked}{took}."
        return f"{made} runs made, {reused} re-used{unchecked}, {self.elapsed_s:.0f} s{took}."

    def next_commands(self) -> list[str]:
        """Name what could be typed next."""
        experiment = self.question.experiment
        if self.asked_only and not self.judgement.verdict.n:
            return [
                f"palate forecast {experiment} better:70 --author NAME",
                f"palate forecast {experiment}",
                "palate list",
            ]
        failed = _first_failure(self.judgement.results.get(TREATMENT, {}))
        listed = [f"palate show {failed.id}"] if failed else []
        listed.append(f"palate show {experiment}")
        if self.judgement.stopped:
            listed.append(f"palate resume {experiment}")
        if not self.judgement.verdict.settled:
            listed.append(f"palate verdict {experiment}")
        if self.told is not None and not self.adopted and self.told.odds.advice == "keep":
            listed.append(f"palate adopt {experiment}")
        return [*listed, *(["palate stack"] if self.adopted else []), "palate list", "palate verify"]

    def _confounded(self) -> list[str]:
        named = self.question.confounders
        if not named:
            return []
        rest = f" and {len(named) - CONFOUNDERS_TOLD} more" if len(named) > CONFOUNDERS_TOLD else ""
        return [f"Confounded by what was not declared: {', '.join(named[:CONFOUNDERS_TOLD])}{rest}."]

    def _split_offer(self) -> list[str]:
        changes, n = len(self.question.declared), self.judgement.verdict.n
        if self.question.edit is not None or not 2 <= changes <= MOST or not self.judgement.verdict.settled or not n:
            return []
        more = (len(make_design(changes).cells) - 2) * n
        return [f"About {more} more runs would split it: the same command with --split."]

    def _failures(self) -> list[str]:
        verdict = self.judgement.verdict
        at_end = verdict.settled or verdict.reason == "budget"
        words = failure_words(verdict.failures, at_end=at_end) if verdict.kind != "failed" else ""
        return [*([words] if words else []), *self._out_of_memory()]

    def _out_of_memory(self) -> list[str]:
        """Say how many runs of each arm ran out of memory: a change that needs more of it fails for that alone."""
        counts, runs = {}, {}
        for arm in (BASELINE, TREATMENT):
            by_seed = self.judgement.results.get(arm, {})
            runs[arm] = len(by_seed)
            counts[arm] = sum(one.outcome.ending == "out of memory" for one in by_seed.values())
        if not any(counts.values()):
            return []
        return [
            f"Out of memory: {counts[TREATMENT]} of {runs[TREATMENT]} with the change, "
            f"{counts[BASELINE]} of {runs[BASELINE]} without."
        ]

    def _left_out(self) -> list[str]:
        """Say which pairs are left out, as a run of theirs lost points."""
        lines = [
            f"Seed {one.seed} is left out: {one.id} {one.outcome.detail}."
            for one in self.judgement.lost[:LEFT_OUT_TOLD]
        ]
        more = len(self.judgement.lost) - LEFT_OUT_TOLD
        if more > 0:
            lines.append(f"And {more} more runs lost points.")
        if lines and not self.judgement.settled:
            lines.append("The same command makes these runs again, once the cause is gone.")
        return lines

    def _lengths(self) -> list[str]:
        """Name arms that did not log equally many points: one trained longer, or was looked at more often."""
        counts = {
            arm: {r.points for r in by_seed.values() if not r.outcome.failed}
            for arm, by_seed in self.judgement.results.items()
        }
        one, other = (sorted(counts.get(arm, set())) for arm in (BASELINE, TREATMENT))
        if not one or not other or set(one) & set(other):
            return []
        return [f"The arms logged different numbers of points: {one[-1]} and, with the change, {other[-1]}."]

    def _noise(self) -> list[str]:
        verdict = self.judgement.verdict
        if verdict.noise == "conflict":
            return ["One arm varied more than the past told, so the verdict rests on these pairs alone."]
        if verdict.noise == "bank_conflict":
            return [
                "The baseline's earlier runs lie elsewhere than those in these pairs, so the verdict rests on the pairs"
                " alone. Did something change that palate does not see, a machine or a library?"
            ]
        return [history_words(verdict.noise_family, verdict.noise_comparisons)] if verdict.noise == "history" else []

    def _pairing(self) -> list[str]:
        words = pairing_words(self.judgement.verdict.correlation, self.judgement.verdict.n)
        return [words] if words else []

    def _forecast_lines(self) -> list[str]:
        if self.experiment.void is not None:
            return [f"Void: {self.experiment.void.reason}. Its forecasts count for nobody."]
        visible = self.experiment.visible(self.author)
        lines = [*(self._forecast_line(one) for one in visible), *self._surprise()]
        hidden = self.experiment.hidden(self.author)
        if hidden:
            plural = "s" if hidden > 1 else ""
            lines.append(f"{hidden} forecast{plural} of others: hidden until yours is sealed or theirs is opened.")
        if self.sealed is None and self.author in self.experiment.skipped:
            lines.append("You made no forecast: exploratory, not scored, counted as skipped.")
        elif self.sealed is None:
            lines.append(f"{'You made no forecast' if visible else 'No forecast was sealed'}: exploratory, not scored.")
        return lines

    def _surprise(self) -> list[str]:
        """Say after a surprise what was expected, what came, and the nearest past case that had come the same way."""
        sealed, settled = self.sealed, outcome_of(self.judgement.verdict)
        score = None if sealed is None else self.scores.get(sealed.hash)
        if sealed is None or score is None or settled is None:
            return []
        expected = max(score.chances.by_name, key=score.chances.of)
        sure = score.chances.of(expected)
        if expected == settled or (score.bits > -SURPRISE_BITS and sure < SURPRISE_SURE):
            return []
        case = f" It had come so before: {self.contrary}" if self.contrary else " None of the nearest cases came so."
        return [f"A surprise: {expected} was expected at {sure:.0%}, and {settled} came.{case}"]

    def _forecast_line(self, one: SealedForecast) -> str:
        who = "You" if one.author.name == self.author else one.author.name
        turn = " then" if one.turn == "revision" else ""
        seen = f" ({one.evidence.words})" if one.evidence.words else ""
        metric = self.question.shown
        words = f"{who}{turn} said {said_words(one.said, metric.scale, metric.unit)}{seen}"
        score = self.scores.get(one.hash)
        if score is None:
            return f"{words}: {self._unscored()}."
        so_far = "" if one.hash in self.final and not score.provisional else "provisionally "
        count = self._count() if one is self.sealed and one.hash in self.final else ""
        way = "behind" if score.bits < 0 else "ahead of"
        return f"{words}: {so_far}{way} the project's own odds, by {abs(score.bits):.1f} bits.{count}"

    def _unscored(self) -> str:
        """Say why a forecast has no score."""
        if not self.judgement.done:
            return "not scored yet"
        if self.judgement.verdict.kind == "failed":
            return "not scored, as the baseline itself failed"
        return "not scored, as nothing tells how much seeds matter"

    def _count(self) -> str:
        more = CALIBRATION_FROM - self.counted
        until = f"; {more} more until calibration can be shown" if more > 0 else ""
        return f" {self.counted} forecast{'s' if self.counted != 1 else ''} so far{until}."


def report_of(
    ledger: Ledger,
    catalog: Catalog,
    question: Question,
    judgement: Judgement,
    *,
    author: str,
    elapsed_s: float = 0.0,
    changed: tuple[str, ...] = (),
    asked_only: bool = False,
) -> Report:
    """Report an experiment as one author may see it, with the scores that are sealed and those that would be.

    Args:
        ledger: what is sealed.
        catalog: where its runs are.
        question: what is asked.
        judgement: what its runs say.
        author: who looks; others' forecasts stay hidden until theirs is sealed.
        elapsed_s: how long the runs took; 0 where they were only looked at.
        changed: what is different since earlier runs, in words.
        asked_only: whether the question was only to be asked, and nothing run.
    """
    experiment = ledger.read(question.experiment)
    sealed = {forecast: scored.score for forecast, scored in experiment.scores.items()}
    unscored = [one for one in experiment.visible(author) if one.hash not in sealed and experiment.void is None]
    provisional = {one.hash: score_forecast(one, question, judgement) for one in unscored}
    catalog.refresh()
    claim, cost = claim_of(ledger.chain, question.experiment), cost_of(catalog.project, judgement.results)
    return Report(
        question=as_shown(question, judgement.results),
        judgement=judgement,
        outlook=outlook_of(judgement),
        experiment=experiment,
        author=author,
        scores={**{name: scored.score for name, scored in provisional.items() if scored is not None}, **sealed},
        final=frozenset(sealed),
        opposed=tuple(opposed_words(catalog, question, judgement)),
        counted=_counted(ledger, author),
        elapsed_s=elapsed_s,
        changed=changed,
        noticed=(
            *(f"These runs will not be used again: {words}." for words in question.target.unread[:2]),
            *question.target.typed_words(question.changes),
            *reached_words(catalog.project, question, judgement),
            *_arrival_words(catalog, question, judgement),
            *_shared_words(catalog, judgement),
            *_seed_words(catalog, question, judgement),
            *fork_words(catalog.project, question, judgement),
        ),
        data_known=_data_known(catalog.project, question),
        asked_only=asked_only,
        contrary=_contrary(ledger, experiment.of(author), judgement),
        cost=cost,
        told=tell_odds(ledger, catalog, question, judgement, cost) if claim is None else None,
        adopted=is_adopted(ledger.chain, question.experiment),
        claim=claim,
        again=again_words(ledger, question.experiment),
    )


def _contrary(ledger: Ledger, sealed: SealedForecast | None, judgement: Judgement) -> str:
    """Return the nearest of the cases that were shown with a forecast whose outcome is what came, in a line."""
    settled = outcome_of(judgement.verdict)
    for name in () if sealed is None or settled is None else sealed.reference.nearest:
        case = ledger.find(name)
        if case is not None and case.verdict is not None and outcome_of(case.verdict.verdict) == settled:
            return "".join(case_words(ledger, [name]))
    return ""


def _seed_words(catalog: Catalog, question: Question, judgement: Judgement) -> list[str]:
    """Say where the seed goes nowhere; a fork's replicates have random numbers of their own, whatever is seeded."""
    return [] if question.target.fork is not None else same_seed_words(question.plan, _received(catalog, judgement))


def _arrival_words(catalog: Catalog, question: Question, judgement: Judgement) -> list[str]:
    runs = judgement.results.get(TREATMENT, {})
    if not judgement.verdict.equal_curves or not runs:
        return []
    return arrival_words(question.plan, TREATMENT, read_received(catalog.project.run_folder(runs[min(runs)].id)))


def _shared_words(catalog: Catalog, judgement: Judgement) -> list[str]:
    """Say of a change that did nothing which file it read that a run of the baseline had made: perhaps a cache."""
    if not judgement.verdict.equal_curves:
        return []
    made = {path for received in _received(catalog, judgement).values() for path in received.wrote_outside}
    runs = judgement.results.get(TREATMENT, {}).values()
    read = [received for one in runs if (received := read_received(catalog.project.run_folder(one.id))) is not None]
    shared = sorted(made.intersection(name for one in read for name in (*one.files, *one.read_back)))
    return [
        f"A run with the change read {path}, which a run of the baseline had made: is it a cache?"
        for path in shared[:2]
    ]


def _data_known(project: Project, question: Question) -> bool:
    """Return whether what the baseline reads is known, and so was checked."""
    if any(not name.endswith(".py") for name in known_inputs(project, question.plan, BASELINE).files):
        return True
    return Recipes(project.home).known(question.plan.keys[BASELINE]) is not None


def _received(catalog: Catalog, judgement: Judgement) -> dict[int, Received]:
    """Return what the baseline's runs received, by seed."""
    runs = judgement.results[BASELINE].items()
    read = {seed: read_received(catalog.project.run_folder(result.id)) for seed, result in runs}
    return {seed: received for seed, received in read.items() if received is not None}


def _counted(ledger: Ledger, author: str) -> int:
    """Count somebody's blind first answers that calibration can be told from: those with a settled outcome."""
    return ledger.count_settled(author, BLIND)


def outlook_of(judgement: Judgement) -> Outlook | None:
    """Return what to expect of more pairs, where the verdict is open and the budget is not spent."""
    verdict, pairs = judgement.verdict, judgement.pairs
    if verdict.kind != "unclear" or verdict.reason or pairs is None:
        return None
    return look_ahead(pairs, verdict, rng=np.random.default_rng(pairs.n), noise=judgement.terms.noise)


def _run_document(result: RunResult) -> dict[str, Any]:
    outcome = result.outcome
    return {
        "id": result.id,
        "seed": result.seed,
        "ending": outcome.ending,
        "value": outcome.value,
        "detail": outcome.detail,
        "elapsed_s": result.elapsed_s,
    }


def failure_reason(result: RunResult) -> str:
    """Say how a run failed in a line: how its process ended, and the last thing it printed."""
    lines = [line.strip(FRAME) for line in result.outcome.detail.splitlines()]
    lines = [line for line in lines if any(letter.isalnum() for letter in line)]
    return lines[0] if len(lines) < 2 else f"{lines[0]}: {lines[-1]}"


def _first_failure(results: Mapping[int, RunResult]) -> RunResult | None:
    return next((results[seed] for seed in sorted(results) if results[seed].outcome.failed), None)
