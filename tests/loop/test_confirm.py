"""Winners are run again at new seeds, and wear what that says as a badge."""

from tests.loop.trained_project import DEBUG, Recorder

from palate.loop.confirm import confirm, pairs_of, rerun_plan, winners
from palate.loop.results import collect


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
