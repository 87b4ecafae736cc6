"""`palate skill`, on a chain with real scores and on chains with many, and its figure."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.cli.shop import RUN

from palate.forecast.answer import Forecast
from palate.forecast.chances import Chances, Reference
from palate.forecast.density import Scale
from palate.forecast.score import Entry, Observed, score_all
from palate.loop.figure import figure_of, write_page
from palate.loop.forecaster import TEAM, Evidence
from palate.loop.skill import standings
from palate.loop.skill_words import document_of, words_of
from palate.store.chain import Chain

REFERENCE = Reference(chances=Chances(worse=0.3, same=0.3, better=0.3, crash=0.1))
PART = Evidence(points=40, share=0.2)


def test_one_scored_forecast_says_that_nobody_can_tell_yet(shop):
    shop.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    [standing] = shop.json("skill")["forecasters"]
    assert (standing["skill"]["n"], standing["skill"]["state"]) == (1, "can't tell yet")
    assert standing["coverage"] == 1.0
    assert "19 more until calibration can be shown." in shop.call("skill").stdout
    assert shop.json("skill", "--author", "nobody")["forecasters"] == []


def test_without_forecasts_it_says_what_to_do(shop):
    assert "No forecast has been scored yet." in shop.call("skill").stdout


def written(folder, people, n=60, *, together=False):
    """A chain of many scored forecasts, by people who are right as often as they say here.

    Args:
        people: how often they are right, and what they had seen.
        n: forecasts each.
        together: whether all answer the same questions.
    """
    chain = Chain(folder / "chain.jsonl")
    rng = np.random.default_rng(5)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    said = Forecast(answer="better", confidence=80)
    seen = {
        hit: Observed(difference=3.0 if hit else -3.0, standard_error=0.3, scale=Scale(margin=1, seed_sd=1),
                      settled="better" if hit else "worse")
        for hit in (True, False)
    }  # fmt: skip
    both = dict(
        zip(
            (True, False),
            score_all([Entry(said=said, reference=REFERENCE.chances, seen=seen[hit]) for hit in (True, False)]),
            strict=True,
        )
    )
    for k in range(n):
        for place, (author, (right, evidence)) in enumerate(people.items()):
            name = f"{'all' if together else author}{k}"
            now += timedelta(seconds=1)
            hit = rng.random() < right
            if not together or place == 0:
                chain.append("question", {"experiment": name}, now=now)
            told = {"experiment": name, "author": author, "agent": False}
            body = {**told, "answer": "better", "confidence": 80, **evidence.body()}
            sealed = chain.append("forecast", body, now=now)
            found = both[hit]
            score = {
                "bits": found.bits, "least": found.least, "most": found.most, "crps": found.crps,
                "crps_reference": found.crps_reference, "provisional": False, "turn": "forecast",
                "kind": evidence.kind, "settled": seen[hit].settled, "forecast": sealed.hash,
                "own": found.own, "runs": name,
                "chances": {"worse": 0.05, "same": 0.11, "better": 0.8, "crash": 0.04},
            }  # fmt: skip
            chain.append("score", {**told, **score}, now=now)
    return chain


def test_the_skilled_are_ahead_the_lucky_are_not_and_kinds_are_not_mixed(tmp_path):
    chain = written(tmp_path, {"ada": (0.9, Evidence()), "bob": (0.25, Evidence()), "eve": (0.95, PART)})
    by_name = {(standing.author, standing.kind): standing for standing in standings(chain)}
    assert by_name[("ada", "blind")].skill.state == "ahead"
    assert by_name[("bob", "blind")].skill.state == "behind"
    assert ("eve", "25 %") in by_name and ("eve", "blind") not in by_name
    told = words_of(by_name[("bob", "blind")])
    assert told[0].startswith("bob: behind, ")
    assert "Too sure by" in told[2]
    assert any("o" in line and "|" in line for line in told[3:])
    assert words_of(by_name[("eve", "25 %")])[0].startswith("eve (up to 25 % of the curve seen): ahead")
    assert by_name[("ada", "blind")].coverage == pytest.approx(60 / 180)
    assert by_name[("ada", "blind")].crps < 1 < by_name[("bob", "blind")].crps
    assert len(document_of(by_name[("ada", "blind")])["bits"]) == 60


def test_the_mean_of_all_stands_at_the_end_and_loses_less_than_the_worst(tmp_path):
    told = standings(written(tmp_path, {"ada": (0.9, Evidence()), "bob": (0.3, Evidence())}, together=True))
    assert [standing.author for standing in told][-1] == TEAM
    ada, bob, team = (standing.skill.mean for standing in sorted(told, key=lambda one: one.author))
    assert bob < team < ada
    assert len(words_of(told[-1])) == 2


def test_the_figure_shows_each_forecaster_and_its_page_needs_nothing_from_elsewhere(tmp_path):
    found = standings(written(tmp_path, {"ada": (0.85, Evidence()), "<b>eve</b>": (0.9, PART)}))
    figure = figure_of(found)
    assert len(figure.data) == 2 * (3 + 4)
    assert {"ada: ahead", "calibration"} <= {note.text for note in figure.layout.annotations}
    low, mean = figure.data[1].y[-1], figure.data[2].y[-1]
    assert low == pytest.approx(found[0].skill.low)
    assert mean == pytest.approx(found[0].skill.mean)
    page = tmp_path / "skill.html"
    write_page(found, page)
    text = page.read_text()
    assert "ada0" in text
    assert "<script src=" not in text
    assert "<td><b>" not in text
