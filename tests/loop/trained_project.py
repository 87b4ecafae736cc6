"""A project with a small training that is run in this process, and a person who keeps what they hear."""

from pathlib import Path

from palate.ledger.ledger import Ledger
from palate.ledger.records import Author
from palate.loop.ask import Nobody, RunEnded, RunsGoing, RunStarted, opening
from palate.loop.run import run_question
from palate.question.question import build_question
from palate.question.target import find_target
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.training.debug import start_debug
from palate.training.launch import Resources

SCRIPT = """
import random
import palate
gain = 0.5
width = 8
mode = "train"
name = "val_acc"
seed = 0
rng = random.Random(seed)
if mode == "early":
    raise RuntimeError("nothing works")
for step in range(4):
    level = 0.3 + 0.4 * gain + 0.02 * (width > 8) + rng.gauss(0, 0.005)
    palate.log(step, **{name: level, "loss": 1 - level})
    if mode == "crash" and step == 2:
        raise RuntimeError("out of luck")
"""
ADA = Author(name="ada")
DEBUG = Resources(start=start_debug)


class Recorder(Nobody):
    """A person who answers what they were given to answer, and keeps what they are asked and told.

    Attributes:
        events: what was watched, but for the ticks of runs that go.
        asked: questions for which a first answer was wanted.
        shown: what was shown for a revision.
    """

    def __init__(self, answer=None, revision=None):
        self.answer, self.revision = answer, revision
        self.events, self.asked, self.shown, self.informed = [], [], [], []

    def ask(self, question):
        self.asked.append(question)
        return self.answer

    def inform(self, question, inside):
        self.informed.append(inside)

    def revise(self, _, shown):
        self.shown.append(shown)
        return self.revision

    def watch(self, event):
        if not isinstance(event, RunsGoing):
            self.events.append(event)

    def of(self, kind):
        """List the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def started(self):
        """Arms and seeds of the runs that were started, in order."""
        return [(event.arm, event.seed) for event in self.of(RunStarted)]

    @property
    def ended(self):
        """Arms and seeds of the runs that ended, in order."""
        return [(event.arm, event.result.seed) for event in self.of(RunEnded)]


class TrainedProject:
    """A project in a folder, with a script that is trained in this process."""

    def __init__(self, folder: Path, script: str = SCRIPT) -> None:
        self.folder = folder
        self.project = Project(folder / ".palate")
        self.project.make()
        self.write(script)

    @property
    def ledger(self):
        return Ledger.of(self.project.chain)

    @property
    def runs(self):
        """Names of the runs that were begun."""
        return sorted(path.name for path in self.project.runs.iterdir())

    def write(self, text, name="train.py"):
        (self.folder / name).write_text(text)
        return self.folder / name

    def target(self):
        return find_target(str(self.folder / "train.py"))

    def question(self, budget=6, margin=0.01, metric="val_acc", **changes):
        return build_question(self.target(), changes or {"gain": 0.9}, metric=metric, budget=budget, margin=margin)

    def catalog(self):
        return Catalog.open(self.project)

    def open(self, question, person=None, said=None, author=ADA, resources=DEBUG):
        person = person or Recorder()
        return opening(self.project, question, author=author, person=person, resources=resources, said=said)

    def run(self, question, person=None, said=None, author=ADA, resources=DEBUG, **options):
        """Ask a question and run it until it is settled."""
        person = person or Recorder()
        with self.open(question, person, said, author, resources) as opened:
            return run_question(self.project, opened, person=person, **options)
