"""What is sealed, in words and as plain data."""

from tests.loop.written_project import ADA, BOB

from palate.ledger.words import experiment_document, experiment_lines, score_card, scored_forecasts


def test_somebodys_scores_stand_in_a_line_each_with_their_mean_and_coverage(written):
    assert score_card(written.ledger, "ada").lines("You")[0] == "No forecast has been scored yet."
    for lr, end, text in ((0.2, 1.4, "worse:80"), (0.3, 0.6, "worse:60")):
        question = written.ask(written.question(lr=lr))
        written.say(question, text)
        written.write_pairs(question, 1.0, end)
        written.report(question)
    card = score_card(written.ledger, "ada")
    bits = [one.score.score.bits for one in card.scored]
    assert bits[0] > 0 > bits[1]
    assert card.mean_bits == sum(bits) / 2
    assert (card.asked, card.forecast, card.document()["coverage"]) == (2, 2, 1.0)
    lines = card.lines("You")
    assert "You said worse, 80 %; it was worse:" in lines[0]
    assert "You said worse, 60 %; it was better:" in lines[1]
    assert lines[2].endswith("(first answers). 2 of 2 questions forecast.")
    assert score_card(written.ledger, "bob").document()["coverage"] is None
    assert [one.score.number for one in scored_forecasts(written.ledger)] == [3, 7]


def test_an_experiment_is_shown_as_one_author_may_see_it(written):
    question = written.ask(written.question())
    name = question.experiment
    empty = experiment_lines(written.ledger.read(name), "ada")
    assert empty == [
        f"{name}  {question.text}",
        "No forecast is sealed.",
        f"Yours is not:  palate forecast {name} better:80",
    ]
    written.say(question, "worse:80", BOB)
    assert "1 of others: hidden until yours is sealed or theirs is opened." in experiment_lines(
        written.ledger.read(name), "ada"
    )
    written.say(question, "better:60", ADA)
    experiment = written.ledger.read(name)
    lines = experiment_lines(experiment, "ada")
    assert lines[1].startswith("bob [agent]: worse, 80 %   sealed ")
    assert lines[2].startswith("ada: better, 60 %   sealed ")
    assert lines[2].endswith(" UTC, blind")
    document = experiment_document(experiment, "ada")
    assert (document["forecast"]["author"], document["revision"], document["hidden"]) == ("ada", None, 0)
    assert [one["author"] for one in document["forecasts"]] == ["bob", "ada"]
    written.void(question, "wrong data")
    assert experiment_lines(written.ledger.read(name), "ada")[-1] == "Void by ada: wrong data"
