"""The loop in one call: seal, run until settled, judge, score, report; for the command line and notebooks alike."""

import os
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime

from palate.capture.place import commit_of
from palate.forecast.answer import Said
from palate.ledger import seal
from palate.ledger.ledger import Ledger
from palate.ledger.records import Author, SealedForecast, said_body
from palate.ledger.stack import claim_of
from palate.loop.arrival import refuse_results
from palate.loop.ask import Looked, Opening, Person, Shown, nobody
from palate.loop.confounders import compare_arms, read_arms, with_confounders
from palate.loop.control import null_fork
from palate.loop.edits import trace_edit
from palate.loop.evidence import evidence_of
from palate.loop.first_noise import measured
from palate.loop.judge import Judge, Judgement, judge_now
from palate.loop.reference import case_words, reference_for, reference_seen
from palate.loop.report import Report, report_of
from palate.loop.results import as_shown, bank_of
from palate.loop.runner import Runner
from palate.loop.score import seal_scores
from palate.loop.terms import with_spent
from palate.loop.when import resolve_when
from palate.question.question import Question
from palate.redaction import known_secrets, redact_text
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.vocabulary import Arm


def run_question(
    project: Project,
    opened: Opening,
    *,
    person: Person,
    declared: tuple[str, ...] = (),
    run: bool = True,
    first: int | None = None,
) -> Report:
    """Seal what was said, run until settled, judge and score.

    Args:
        project: where it is kept.
        opened: the question with its first answer.
        person: who is told what differs between the arms, is asked for the one revision, and watches the runs.
        declared: chunks or paths that are meant to change besides the changes themselves.
        run: False to seal the question and what was said, and run nothing.
        first: pairs after which running stops for now, settled or not; None to go on.

    Raises:
        ConfoundedError: the arms differ in more than was declared, and that was refused.
        OutcomeSeenError: a forecast is given, but its outcome can be seen.
        RunsFailedError: the training did not deliver.
    """
    started_s, ledger = time.monotonic(), Ledger.of(project.chain)
    opened = measured(project, opened, person)
    with Catalog.open(project) as catalog:
        question = _seal_and_read(ledger, catalog, opened, person, declared)
        if run:
            judgement = run_until_settled(ledger, catalog, question, opened, person, first=first)
        else:
            judgement = replace(judge_now(ledger, catalog, question), made=opened.made)
            person.watch(Looked(judgement.verdict))
        close_question(ledger, catalog, question, judgement)
        if run:
            trace_edit(project, question, judgement, opened.resources, person)
            null_fork(catalog, question, opened.resources, person)
        return report_of(
            ledger,
            catalog,
            question,
            judgement,
            author=opened.author.name,
            elapsed_s=time.monotonic() - started_s,
            changed=opened.changed,
            asked_only=not run,
        )


def run_until_settled(
    ledger: Ledger, catalog: Catalog, question: Question, opened: Opening, person: Person, *, first: int | None = None
) -> Judgement:
    """Run a question's missing pairs until its verdict settles, its budget is spent, or the first of them are there.

    A claim spends its budget whole: its verdict is that of the first look that settles it, its size that of all pairs.
    """
    claimed = claim_of(ledger.chain, question.experiment) is not None
    judge, plan = Judge(ledger, catalog, question), question.plan
    if first is not None:
        plan = replace(plan, seeds=plan.seeds[:first])
    runner = Runner(catalog, plan, resources=opened.resources, person=person, engines=opened.engines)
    with runner:
        for results in runner:
            judgement = judge.judge(results)
            person.watch(Looked(judgement.verdict))
            if judgement.settled and not claimed:
                break
    limits = opened.resources.limits
    stopped = limits.stopped if limits is not None and not judgement.done else ""
    if first is not None and not judgement.done and not stopped:
        stopped = f"after {first} pair{'s' * (first != 1)}, as was asked"
    reused = max(runner.reused - opened.made, 0)  # what measured the noise was made for this question
    return replace(judgement, made=runner.made + opened.made, reused=reused, stopped=stopped)


def _seal_and_read(
    ledger: Ledger, catalog: Catalog, opened: Opening, person: Person, declared: tuple[str, ...]
) -> Question:
    """Seal the question and what was said, and read the arms; return the question with what confounds it.

    Who was asked just now is shown the reference at once, and is done with forecasting before the arms are read, which
    takes seconds: what is found there is sealed beside the question, before any run. Else the arms are read first, so
    that a refusal leaves nothing behind.
    """
    opened = replace(opened, question=_on_its_terms(ledger, catalog, opened.question))
    if opened.asked:
        _tell(_seal(ledger, catalog, opened.question, opened, person), person)
        question = _read_arms(ledger, catalog, opened, person, declared)
    else:
        question = _read_arms(ledger, catalog, opened, person, declared)
        _tell(_seal(ledger, catalog, question, opened, person), person)
    seal.seal_arms(ledger.chain, question, now=datetime.now(UTC))
    return question


def _on_its_terms(ledger: Ledger, catalog: Catalog, question: Question) -> Question:
    """Put into a question what was there before it: looks that are spent, and a bank; as sealed where it is."""
    known = ledger.find(question.experiment)
    if known is not None:
        sealed = known.sealed.question
        return replace(question, spent=sealed.spent, bank=sealed.bank)
    looked = evidence_of(catalog, question).ended > 0
    asked = with_spent(ledger, question, looked)
    return asked if looked else replace(asked, bank=bank_of(catalog, asked))


def _tell(forecasts: list[SealedForecast], person: Person) -> None:
    for forecast in forecasts:
        person.watch(forecast)


def _read_arms(
    ledger: Ledger, catalog: Catalog, opened: Opening, person: Person, declared: tuple[str, ...]
) -> Question:
    """Read what really differs between the arms, tell of it, and put what confounds them into the question."""
    recipes = read_arms(catalog.project, opened.question, opened)
    inside = compare_arms(opened.question, recipes, declared)
    question = with_confounders(opened.question, inside.difference, recipes)
    known = ledger.find(question.experiment)
    if known is not None and evidence_of(catalog, question).ended:
        before = known.question  # what is declared after the outcome is nothing
        question = replace(question, confounders=before.confounders, chunks=before.chunks)
    person.inform(question, inside)
    return question


def _seal(
    ledger: Ledger, catalog: Catalog, question: Question, opened: Opening, person: Person
) -> list[SealedForecast]:
    """Seal the question with the reference of its moment, then what was said; return the forecasts sealed now."""
    author, now, chain = opened.author, datetime.now(UTC), ledger.chain
    visible = evidence_of(catalog, question).ended
    if opened.said is not None and ledger.find(question.experiment) is None:
        seal.refuse_seen(question.experiment, visible)  # before the question is sealed: a refusal leaves no trace
    commit, reference = commit_of(catalog.project.home.parent), reference_for(ledger, question)
    seal.seal_question(chain, question, now=now, reference=reference, commit=commit, visible=visible > 0)
    if question.margin is not None and question.margin_from == "typed":
        catalog.project.keep_margin(
            question.metric.name, question.margin, only_first=True
        )  # asked once for each metric
    mine = ledger.read(question.experiment).of(author.name)
    if opened.said is None:
        if mine is None and not visible:
            seal.seal_skip(chain, question.experiment, author=author, now=now)
        return []
    if mine is not None and said_body(mine.said) == said_body(
        _without_secrets(opened.said, question)
    ):  # as sealed, without secrets in its reason
        return []
    return forecast_question(catalog, question, opened.said, author=author, person=person if opened.asked else nobody())


def forecast_question(
    catalog: Catalog, question: Question, said: Said, *, author: Author, person: Person
) -> list[SealedForecast]:
    """Seal a first answer against the reference of its moment, then the one revision, where one is made.

    What exists of the treatment is read right before each seal: runs may have gone on while the person thought.

    Args:
        catalog: of the project.
        question: what is forecast; sealed before.
        said: the first answer.
        author: who forecasts.
        person: who is asked for the revision.

    Returns:
        what was sealed: one forecast, or two.

    Raises:
        OutcomeSeenError: the outcome is visible, or theirs is sealed already.
        RefusedError: the question is void.
    """
    project, said = catalog.project, _without_secrets(said, question)
    ledger, evidence = Ledger.of(project.chain), evidence_of(catalog, question)
    reference = reference_seen(ledger, catalog, question, evidence)
    first = seal.seal_forecast(
        project.chain,
        question,
        said,
        author=author,
        evidence=evidence,
        reference=reference,
        nonce=secrets.token_hex(16),
        now=datetime.now(UTC),
        commit=commit_of(project.home.parent),
    )
    cases = tuple(case_words(ledger, reference.nearest))
    second = person.revise(question, Shown(first=first, reference=reference, cases=cases))
    if second is None or _without_secrets(second, question) == said:
        return [first]
    return [first, revise_forecast(catalog, question, second, author=author)]


def revise_forecast(catalog: Catalog, question: Question, said: Said, *, author: Author) -> SealedForecast:
    """Seal the one revision of a forecast.

    Raises:
        RefusedError: there is nothing to revise, or it was revised already.
        OutcomeSeenError: the outcome is visible.
    """
    evidence, nonce, now = evidence_of(catalog, question), secrets.token_hex(16), datetime.now(UTC)
    chain, said = catalog.project.chain, _without_secrets(said, question)
    return seal.seal_revision(chain, question, said, author=author, evidence=evidence, nonce=nonce, now=now)


def _without_secrets(said: Said, question: Question) -> Said:
    """Return an answer without the values in its reason that are secret: of the environment, and of the question."""
    return replace(said, why=redact_text(said.why, _known_in(question)))


def _known_in(question: Question) -> tuple[str, ...]:
    target, plan = question.target, question.plan
    settings = [dict(given) for given in plan.settings.values()]
    return known_secrets(os.environ, target.settings, *settings, {"": list(target.argv)})


def skip_question(catalog: Catalog, experiment: str, *, author: Author) -> bool:
    """Seal that somebody makes no forecast; return whether it was sealed now.

    Raises:
        OutcomeSeenError: the outcome is visible: then not forecasting is no choice any more.
        RefusedError: the question is void.
    """
    chain = catalog.project.chain
    sealed = Ledger.of(chain).read(experiment)
    seal.refuse_closed(sealed, evidence_of(catalog, sealed.question))
    return seal.seal_skip(chain, sealed.id, author=author, now=datetime.now(UTC))


def void_question(catalog: Catalog, experiment: str, reason: str, *, author: Author) -> None:
    """Void a question with a reason.

    Raises:
        InputError: no reason is given.
        RefusedError: it is void already.
    """
    chain = catalog.project.chain
    sealed = Ledger.of(chain).read(experiment)
    evidence, reason = evidence_of(catalog, sealed.question), redact_text(reason, _known_in(sealed.question))
    seal.seal_void(chain, sealed, reason, author=author, evidence=evidence, now=datetime.now(UTC))


def report_now(project: Project, experiment: str, author: str) -> Report:
    """Judge an experiment by the runs that are there, running none; seal verdict and scores where they are due.

    Args:
        project: where it is kept.
        experiment: its id, or the start of it.
        author: who asks; others' forecasts stay hidden until theirs is sealed.

    Raises:
        NotFoundError: there is no such experiment.
    """
    ledger = Ledger.of(project.chain)
    question = ledger.read(experiment).question
    with Catalog.open(project) as catalog:
        judgement = judge_now(ledger, catalog, question)
        with project.chain.where_possible():
            close_question(ledger, catalog, question, judgement)
        return report_of(ledger, catalog, question, judgement, author=author)


def close_question(ledger: Ledger, catalog: Catalog, question: Question, judgement: Judgement) -> None:
    """Seal verdict and scores, each once, where no more runs will be made; score the when-forecasts that are due.

    Raises:
        NotArrivedError: the change is known not to have reached the runs, so nothing is an outcome.
    """
    now = datetime.now(UTC)
    if judgement.done:
        refuse_results(catalog.project, question.plan, judgement.results)
        shown = as_shown(question, judgement.results)
        seal.seal_verdict(ledger.chain, shown, judgement.verdict, _runs_of(judgement), now=now)
        seal_scores(ledger.chain, ledger.read(question.experiment), judgement, now=now)
    if ledger.whens():
        catalog.refresh()
        resolve_when(ledger, catalog, now=now)


def _runs_of(judgement: Judgement) -> dict[Arm, list[str]]:
    return {arm: [by_seed[seed].id for seed in sorted(by_seed)] for arm, by_seed in judgement.results.items()}
