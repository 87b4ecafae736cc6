"""Draw the README's picture from a real `palate try`.

    python docs/make_picture.py docs/try.svg

What is drawn is what a person sees while it runs: the pairs, the interval narrowing around their mean, the forecast.
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from palate.forecast.answer import Forecast
from palate.ledger.records import Author
from palate.loop.ask import nobody, opening, question_about, resources_of
from palate.loop.report import Report
from palate.loop.run import run_question
from palate.question.target import find_target
from palate.store.config import read_config
from palate.store.project import Project
from palate.verdict.rule import Terms, judge


def measure() -> Report:
    """Run the loop for real, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        question = question_about(
            find_target("palate.examples.mnist1d_cnn:train"), {"label_smoothing": 0.1}, margin=0.01
        )
        resources, person = resources_of(read_config(Path.cwd(), {})), nobody()
        said, who = Forecast(answer="better", confidence=80), Author(name="picture")
        with opening(project, question, author=who, person=person, resources=resources, said=said) as opened:
            return run_question(project, opened, person=person)


def draw(report: Report, path: str) -> None:
    """Draw pairs, intervals and verdict."""
    pairs, verdict = report.judgement.pairs, report.judgement.verdict
    assert pairs is not None
    looks = [judge(pairs.first(n), Terms(budget=verdict.budget, margin=0.01)) for n in range(2, pairs.n + 1)]
    n = np.array([look.n for look in looks])
    low, high, mean = (100 * np.array([getattr(look, name) for look in looks]) for name in ("low", "high", "raw"))
    figure, axes = plt.subplots(figsize=(8.2, 3.3), facecolor="white")
    axes.axhspan(-1, 1, color="#dddddd", lw=0)
    axes.axhspan(1, 30, color="#2a7f62", alpha=0.08, lw=0)
    axes.fill_between(n, low, high, color="#3b6fb6", alpha=0.22, lw=0, label="interval, valid while watching")
    axes.plot(n, mean, color="#3b6fb6", lw=2, label="mean so far")
    axes.plot(np.arange(1, pairs.n + 1), 100 * pairs.differences, "o", color="#444444", ms=4, label="one seed pair")
    axes.text(1.1, 16.6, "forecast, sealed before: better, 80 %", color="#2a7f62", va="top", fontsize=9)
    axes.text(1.1, -0.1, "same", color="#777777", va="center", fontsize=8)
    axes.set(
        xlim=(0.8, pairs.n + 0.2), ylim=(-8, 17.5), xlabel="seed pairs", ylabel="label smoothing: points of accuracy"
    )
    axes.set_title(report.headline.partition(". ")[0], fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith("svg") else None, dpi=110)


if __name__ == "__main__":
    made = measure()
    for place in sys.argv[1:]:
        draw(made, place)
