"""A project with a real question, whose runs are written straight into journals."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from palate.forecast.answer import parse_forecast
from palate.ledger import seal
from palate.ledger.ledger import Ledger
from palate.ledger.records import Author, Evidence
from palate.loop.ask import nobody
from palate.loop.evidence import evidence_of
from palate.loop.reference import reference_for
from palate.loop.run import forecast_question, report_now, void_question
from palate.loop.score import skill_now
from palate.question.question import build_question
from palate.question.target import find_target
from palate.store.catalog import Catalog
from palate.store.journal import Journal
from palate.store.project import Project
from palate.training.outcome import begin_run

SCRIPT = "import palate\nlr = 0.1\nwidth = 8\nseed = 0\nfor step in range(60):\n    palate.log(step, val_loss=1.0)\n"
ADA, BOB = Author(name="ada"), Author(name="bob", agent=True)


class WrittenProject:
    """A project with a real question, whose runs are written straight into journals: nothing is trained.

    Its clock starts an hour ago and goes on by a second whenever something is sealed.
    """

    def __init__(self, folder: Path, *, new: bool = True) -> None:
        self.folder = folder
        self.project = Project(folder / ".palate")
        self.project.make()
        if new:
            (folder / "train.py").write_text(SCRIPT)
        self.now = datetime.now(UTC) - timedelta(hours=1)

    @property
    def chain(self):
        return self.project.chain

    @property
    def ledger(self):
        return Ledger.of(self.chain)

    def tick(self):
        """Let a second pass; give the time."""
        self.now += timedelta(seconds=1)
        return self.now

    def question(self, budget=4, margin=0.05, **changes):
        """Build a question: what does this change do to val_loss?"""
        target = find_target(str(self.folder / "train.py"))
        return build_question(target, changes or {"lr": 0.3}, metric="val_loss", budget=budget, margin=margin)

    def ask(self, question):
        seal.seal_question(self.chain, question, now=self.tick(), reference=reference_for(self.ledger, question))
        return question

    def say(self, question, text, author=ADA, evidence=None):
        reference = reference_for(self.ledger, question)
        return seal.seal_forecast(
            self.chain, question, parse_forecast(text), author=author, evidence=evidence or Evidence(),
            reference=reference, nonce="0" * 32, now=self.tick(),
        )  # fmt: skip

    def forecast(self, question, text, author=ADA, person=None):
        """Forecast as the loop does, with what exists of the treatment read from the journals."""
        with Catalog.open(self.project) as catalog:
            return forecast_question(catalog, question, parse_forecast(text), author=author, person=person or nobody())

    def void(self, question, reason, author=ADA):
        with Catalog.open(self.project) as catalog:
            void_question(catalog, question.experiment, reason, author=author)

    def evidence(self, question):
        with Catalog.open(self.project) as catalog:
            return evidence_of(catalog, question)

    def report(self, question, author="ada"):
        """Judge by the runs that are there; seal what is due."""
        return report_now(self.project, question.experiment, author)

    def skill(self):
        with Catalog.open(self.project) as catalog:
            return skill_now(self.ledger, catalog)

    def write_run(self, question, arm, seed, end, *, points=60, ended=True, rate=0.5):
        """Write a run whose curve falls to about `end`."""
        key = question.plan.keys[arm]
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
        """Write runs of both arms in pairs of one seed, that end at about `base` and `treat`."""
        rng = np.random.default_rng(7)
        for seed in range(pairs):
            shift = float(rng.normal(0, spread))
            self.write_run(question, "baseline", seed, base + shift)
            self.write_run(question, "treatment", seed, treat + shift + float(rng.normal(0, spread)))
