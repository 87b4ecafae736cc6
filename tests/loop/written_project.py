"""A project with a real question, whose runs are written straight into journals."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from palate.forecast.answer import parse_forecast
from palate.ledger import seal as ledger
from palate.ledger.records import Author, Evidence
from palate.loop.reference import reference_for
from palate.question.question import build_question
from palate.question.target import find_target
from palate.store.journal import Journal
from palate.store.project import Project
from palate.training.outcome import begin_run

SCRIPT = "import palate\nlr = 0.1\nwidth = 8\nseed = 0\nfor step in range(60):\n    palate.log(step, val_loss=1.0)\n"
ADA, BOB = Author(name="ada"), Author(name="bob", agent=True)
START = datetime(2026, 3, 1, tzinfo=UTC)


class WrittenProject:
    """A project in a folder, with a clock that ticks."""

    def __init__(self, folder: Path, *, fresh: bool = True) -> None:
        self.folder = folder
        self.project = Project(folder / ".palate")
        self.project.make()
        if fresh:
            (folder / "train.py").write_text(SCRIPT)
        self.now = datetime.now(UTC) - timedelta(hours=1)

    @property
    def chain(self):
        return self.project.chain

    def tick(self):
        self.now += timedelta(seconds=1)
        return self.now

    def question(self, budget=4, margin=0.05, **changes):
        target = find_target(str(self.folder / "train.py"))
        return build_question(target, changes or {"lr": 0.3}, metric="val_loss", budget=budget, margin=margin)

    def ask(self, question):
        ledger.seal_question(self.chain, question, now=self.tick(), reference=reference_for(self.chain, question))
        return question

    def say(self, question, text, author=ADA, evidence=None):
        reference = reference_for(self.chain, question)
        return ledger.seal_forecast(
            self.chain, question, parse_forecast(text), author=author, evidence=evidence or Evidence(),
            reference=reference, nonce="0" * 32, now=self.tick(),
        )  # fmt: skip

    def write_run(self, question, arm, seed, end, *, points=60, ended=True, rate=0.5):
        """Write a run whose curve falls to about `end`."""
        key = question.run_key(arm)
        journal = self.project.journal(f"{question.target.name}-{key[:6]}-s{seed}")
        begin_run(journal, key=key, label=question.target.label, seed=seed, settings={"lr": 0.1})
        log = Journal.open(journal)
        rng = np.random.default_rng(seed + int(1000 * end))
        for step in range(points):
            value = end + 2 * ((step + 1) ** -rate - 60**-rate) + float(rng.normal(0, 0.002))
            log.log(step, {"val_loss": value})
        if ended:
            log.event("ending", exit="ok", status=0, elapsed_s=1.0, detail="")
        log.close()
        return journal.parent.name

    def write_pairs(self, question, base, treat, pairs=4, spread=0.01):
        rng = np.random.default_rng(7)
        for seed in range(pairs):
            shift = float(rng.normal(0, spread))
            self.write_run(question, "baseline", seed, base + shift)
            self.write_run(question, "treatment", seed, treat + shift + float(rng.normal(0, spread)))
