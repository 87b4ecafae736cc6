"""Winners are run again at new seeds, and wear what that says as a badge."""

from tests.loop.trained_project import DEBUG, SCRIPT, Recorder

from palate.loop.confirm import confirm, pairs_of, rerun_plan, winners
from palate.loop.results import collect
from palate.verdict.words import kind_words


def check(trained, people):
    def watch(question):
        people.append((question, Recorder()))
        return people[-1][1]

    with trained.catalog() as catalog:
        return confirm(catalog, DEBUG, watch)


def test_a_winner_is_run_at_seeds_that_its_verdict_could_not_use(trained):
    question = trained.question(budget=4)
    trained.run(question)
    people = []
    [checked] = check(trained, people)
    assert (checked.question, checked.kind, checked.confirmation.badge) == (question, "better", "confirmed")
    assert checked.confirmation.n == 4
    [(_, person)] = people
    assert {seed for _, seed in person.started} == {4, 5, 6, 7}
    assert trained.ledger.read(question.experiment).badge.confirmation == checked.confirmation
    again = []
    assert check(trained, again) == [checked]
    assert again[0][1].started == []  # the runs are there
    assert len(trained.project.chain.records("confirmation")) == 1  # and so is the badge


def test_only_verdicts_that_claim_a_difference_are_winners_in_their_order(trained):
    assert list(winners(trained.ledger)) == []
    assert check(trained, []) == []
    for gain in (0.1, 0.9):
        trained.run(trained.question(gain=gain, budget=4))
    trained.run(trained.question(gain=0.5001, budget=2))
    assert [(one.changes[0].after, kind) for one, kind in winners(trained.ledger)] == [(0.1, "worse"), (0.9, "better")]


def test_pairs_of_which_a_half_is_missing_or_fewer_than_two_are_none(trained):
    question = trained.question(budget=2, mode="crash")
    trained.run(question)
    with trained.catalog() as catalog:
        assert pairs_of(question.plan, collect(catalog, question.plan)) is None
        good = trained.question(budget=2)
        trained.run(good)
        assert pairs_of(good.plan, collect(catalog, good.plan)).n == 2
    assert rerun_plan(good).seeds == range(2, 4)
    assert rerun_plan(good).keys == good.plan.keys


CRASHING = SCRIPT.replace('mode == "crash" and step == 2', "gain > 0.8 and step == 2 and seed % 5 in (1, 3)")
"""Two runs in five fail with the change, after they logged a few points."""


def test_failures_and_several_changes_stay_with_a_claim_that_is_confirmed(trained):
    trained.write(CRASHING)
    question = trained.question(gain=0.9, width=16, budget=10)
    report = trained.run(question)
    verdict = report.judgement.verdict
    assert verdict.kind == "better" and verdict.failures.treatment
    lead = f"{verdict.failures.treatment} of {verdict.failures.treatment_runs} runs with the change failed, 0 of "
    assert report.headline.startswith(lead)
    [checked] = check(trained, [])
    assert checked.confirmation.badge == "confirmed"
    failures = checked.failures
    assert (failures.treatment, failures.treatment_runs) == (
        verdict.failures.treatment + 4,
        verdict.failures.treatment_runs + 10,
    )
    assert checked.words == (
        f"{failures.treatment} of {failures.treatment_runs} runs with the change failed, "
        f"0 of {failures.baseline_runs} without; better with several changes at once (which of them is unknown) "
        "among runs that finished, confirmed"
    )
    outcome = trained.ledger.read(question.experiment).outcome
    assert kind_words(outcome.kind, outcome.failures, outcome.about).startswith("better among finished, ")


def test_a_claim_of_which_no_rerun_finished_is_said_to_be_unchecked(trained):
    trained.write(SCRIPT.replace('mode == "crash" and step == 2', "gain > 0.8 and step == 2 and seed >= 4"))
    trained.run(trained.question(budget=4))
    [checked] = check(trained, [])
    assert checked.words.endswith("not checked: fewer than 2 pairs finished at new seeds")
    assert trained.project.chain.records("confirmation") == []
