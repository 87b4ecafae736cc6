"""Check the project's winners against reruns at new seeds, all at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from palate.errors import RunsFailedError
from palate.ledger.ledger import Ledger
from palate.ledger.records import SealedConfirmation, SealedVerdict
from palate.loop.ask import Person
from palate.loop.results import Results, collect
from palate.loop.runner import Runner
from palate.loop.trust import Confirm, refuse_to_confirm, vouched
from palate.question.plan import ARMS, Plan
from palate.question.question import Question
from palate.store.catalog import Catalog
from palate.training.launch import Resources
from palate.verdict.many import Confirmation, confirm_all
from palate.verdict.pairs import Pairs, make_pairs
from palate.verdict.rule import Failures
from palate.vocabulary import BASELINE, TREATMENT

CLAIMS = {"better": 1, "worse": -1}

NO_FAILURES = Failures()

UNTESTED = Confirmation(badge="provisional", p=1.0, raw=0.0, n=0)
"""Of a verdict of which fewer than 2 pairs finished at new seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One earlier verdict, and what reruns at new seeds say of it.

    Attributes:
        question: what was asked.
        kind: the earlier verdict's.
        confirmation: what the reruns say; of 0 pairs where fewer than 2 finished, so that nothing was tested.
        failures: failed runs and runs by arm: the verdict's and the reruns' together.
    """

    question: Question
    kind: str
    confirmation: Confirmation
    failures: Failures = NO_FAILURES

    @property
    def words(self) -> str:
        """The claim and its badge: never a bare "better" where runs failed or several things changed."""
        counts, claim = self.failures, self.kind
        if len(self.question.declared) + len(self.question.confounders) > 1:
            claim = f"{self.kind} with several changes at once (which of them is unknown)"
        if counts.baseline or counts.treatment:
            claim = (
                f"{counts.treatment} of {counts.treatment_runs} runs with the change failed,"
                f" {counts.baseline} of {counts.baseline_runs} without; {claim} among runs that finished"
            )
        if not self.confirmation.n:
            return f"{claim}, not checked: fewer than 2 pairs finished at new seeds"
        return f"{claim}, {self.confirmation.badge}"


def rerun_plan(question: Question) -> Plan:
    """Plan a question's arms at new seeds: as many as its budget, behind those that its verdict could use."""
    used = question.plan.seeds.stop
    return replace(question.plan, seeds=range(used, used + question.budget))


def winners(ledger: Ledger) -> Iterator[tuple[Question, str]]:
    """Yield the questions whose verdict claims a difference, with the claim, in the order of the verdicts.

    Of questions about the same arms only the first that was asked counts.
    """
    first = ledger.having(SealedVerdict.KIND) - ledger.firsts().keys()
    judged = [(one.verdict, one) for one in ledger.of_names(first) if one.verdict is not None]
    for sealed, experiment in sorted(judged, key=lambda pair: pair[0].number):
        if sealed.verdict.kind in CLAIMS:
            yield experiment.question, sealed.verdict.kind


def confirm(
    catalog: Catalog,
    resources: Resources,
    watch: Callable[[Question], Person],
    *,
    strict: bool = False,
    trust: Confirm = refuse_to_confirm,
) -> list[Checked]:
    """Rerun every winner at new seeds, as many as its budget, and check all of them at once.

    Runs that are there are used again, so a second call costs nothing. Badges that are new are sealed.

    Args:
        catalog: of the project whose winners they are.
        resources: what runs are carried out with.
        watch: gives somebody to watch a question's runs.
        strict: by e-values; see `confirm_all`.
        trust: asked about what would be started where this user did not ask for it here; see `palate.loop.trust`.

    Raises:
        RefusedError: what would be started was not asked for here, and nobody says yes.
        RunsFailedError: the training did not deliver.
    """
    ledger = Ledger.of(catalog.project.chain)
    rerun: list[tuple[Question, str, Pairs | None, Failures]] = []
    for question, kind in _startable(catalog, list(winners(ledger)), trust):
        plan = rerun_plan(question)
        results = _rerun(catalog, plan, resources, watch(question))
        failures = _all_failures(ledger, question, results, plan)
        rerun.append((question, kind, pairs_of(plan, results), failures))
    tested = [(pairs, CLAIMS[kind]) for _, kind, pairs, _ in rerun if pairs is not None]
    told = iter(confirm_all([pairs for pairs, _ in tested], [sign for _, sign in tested], strict=strict))
    checked = [
        Checked(question=question, kind=kind, failures=failures, confirmation=UNTESTED if pairs is None else next(told))
        for question, kind, pairs, failures in rerun
    ]
    _seal(catalog, [one for one in checked if one.confirmation.n])
    return checked


def _all_failures(ledger: Ledger, question: Question, results: Results, plan: Plan) -> Failures:
    """Count the failed runs of each arm: those that the verdict knew, and the reruns."""
    sealed = ledger.read(question.experiment).verdict
    known = sealed.verdict.failures if sealed is not None else Failures()
    new = {arm: [results[arm][seed].outcome.failed for seed in plan.seeds if seed in results[arm]] for arm in ARMS}
    return Failures(
        baseline=known.baseline + sum(new[BASELINE]),
        treatment=known.treatment + sum(new[TREATMENT]),
        baseline_runs=known.baseline_runs + len(new[BASELINE]),
        treatment_runs=known.treatment_runs + len(new[TREATMENT]),
    )


def _startable(catalog: Catalog, claims: list[tuple[Question, str]], trust: Confirm) -> list[tuple[Question, str]]:
    """Return the claims, those of which runs are missing vouched for before anything is started."""
    missing = [question for question, _ in claims if _lacks_runs(catalog, rerun_plan(question))]
    ready = {question.experiment: question for question in vouched(catalog.project, missing, trust)}
    return [(ready.get(question.experiment, question), kind) for question, kind in claims]


def runs_to_confirm(catalog: Catalog, trust: Confirm = refuse_to_confirm) -> int:
    """Count the runs that are missing to check all winners, vouched for as `confirm` does; nothing is started.

    Raises:
        RefusedError: what would be started was not asked for here, and nobody says yes.
    """
    plans = [rerun_plan(one) for one, _ in _startable(catalog, list(winners(Ledger.of(catalog.project.chain))), trust)]
    found = [(plan, collect(catalog, plan)) for plan in plans]
    return sum(seed not in results[arm] for plan, results in found for arm in plan.arms for seed in plan.seeds)


def _lacks_runs(catalog: Catalog, plan: Plan) -> bool:
    results = collect(catalog, plan)
    return any(seed not in results[arm] for arm in plan.arms for seed in plan.seeds)


def _rerun(catalog: Catalog, plan: Plan, resources: Resources, person: Person) -> Results:
    with Runner(catalog, plan, resources=resources, person=person) as runner:
        for results in runner:
            if all(seed in results[arm] for arm in plan.arms for seed in plan.seeds):
                break
        else:
            raise RunsFailedError(
                "Stopped before all reruns were made, as was asked: nothing is judged by a part of them.",
                todo="The same command goes on: nothing that finished is lost.",
            )
    return results


def pairs_of(plan: Plan, results: Results) -> Pairs | None:
    """Return the pairs of a plan's seeds of which both halves finished; None below 2."""
    arms = [results[arm] for arm in plan.arms]
    values = [tuple(by_seed[seed].outcome.value for by_seed in arms) for seed in plan.seeds]
    both = [(a, b) for a, b in values if a is not None and b is not None]
    if len(both) < 2:
        return None
    return make_pairs(*zip(*both, strict=True), sign=plan.metric.sign, resolution=plan.metric.resolution)


def _seal(catalog: Catalog, checked: list[Checked]) -> None:
    chain = catalog.project.chain
    for one in checked:
        known = Ledger.of(chain).read(one.question.experiment).badge
        if known is None or known.confirmation.badge != one.confirmation.badge:
            badge = SealedConfirmation(experiment=one.question.experiment, confirmation=one.confirmation)
            chain.append(SealedConfirmation.KIND, badge.body(), now=datetime.now(UTC))
