"""`palate skill`, on a chain with real scores and on one with many."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.cli.shop import RUN

from palate.loop.skill import standings, words_of
from palate.store.chain import Chain

REFERENCE = {"worse": 0.3, "same": 0.3, "better": 0.3, "crash": 0.1}


def test_one_scored_forecast_says_that_nobody_can_tell_yet(shop):
    shop.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    [standing] = shop.json("skill")["forecasters"]
    assert (standing["skill"]["n"], standing["skill"]["state"]) == (1, "can't tell yet")
    assert standing["coverage"] == 1.0
    assert "19 more until calibration can be shown." in shop.call("skill").stdout


def test_without_forecasts_it_says_what_to_do(shop):
    assert "No forecast has been scored yet." in shop.call("skill").stdout


def written(folder, people, n=60):
    """A chain of many forecasts, by people who are right as often as they say here."""
    chain = Chain(folder / "chain.jsonl")
    rng = np.random.default_rng(5)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for k in range(n):
        for author, (right, seen) in people.items():
            name = f"{author}{k}"
            now += timedelta(seconds=1)
            chain.append("question", {"experiment": name}, now=now)
            body = {"experiment": name, "answer": "better", "confidence": 80, "reference": REFERENCE, "author": author}
            sealed = chain.append("forecast", {**body, "evidence_seen": seen}, now=now)
            hit = rng.random() < right
            chain.append("verdict", {"experiment": name, "kind": "better" if hit else "worse"}, now=now)
            bits = np.log2(0.8 / 0.3) if hit else np.log2(0.2 / 0.7)
            chain.append("score", {"experiment": name, "forecast": sealed.hash, "bits": float(bits)}, now=now)
    return chain


def test_the_skilled_are_ahead_the_lucky_are_not_and_kinds_are_not_mixed(tmp_path):
    chain = written(tmp_path, {"ada": (0.85, 0), "bob": (0.25, 0), "eve": (0.95, 7)})
    by_name = {(standing.author, standing.kind): standing for standing in standings(chain)}
    assert by_name[("ada", "blind")].skill.state == "ahead"
    assert by_name[("bob", "blind")].skill.state == "behind"
    assert ("eve", "mid-run") in by_name and ("eve", "blind") not in by_name
    told = words_of(by_name[("bob", "blind")])
    assert told[0].startswith("bob: behind, ")
    assert "Too sure by" in told[2]
    assert any("o" in line and "|" in line for line in told[3:])
    assert by_name[("ada", "blind")].coverage == pytest.approx(60 / 180)
