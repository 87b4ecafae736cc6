"""What it costs to get from a command to its prompt, in a project with a past; key presses; the seal, bit by bit."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.table import Row
from benchmarks.terminal import cpu_to_prompt
from palate.cli.terminal.keys import Screen, press
from palate.errors import ChainBrokenError
from palate.forecast.answer import parse_forecast
from palate.ledger import seal
from palate.ledger.ledger import Ledger
from palate.ledger.records import Author, Evidence
from palate.loop.reference import reference_for
from palate.question.question import build_question
from palate.question.target import find_target
from palate.store.chain import Chain
from palate.store.project import Project
from palate.verdict.rule import Verdict
from palate.vocabulary import Metric

PAST = 200
SCRIPT = "import torch\nimport palate\nlr = 0.1\nseed = 0\nfor step in range(60):\n    palate.log(step, val_loss=1.0)\n"
TIMES = 7


def rows() -> Iterator[Row]:
    """Measure the prompt and the seal."""
    with tempfile.TemporaryDirectory() as folder:
        yield from prompt_rows(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        yield seal_row(Path(folder))


def prompt_rows(folder: Path) -> Iterator[Row]:
    """Start a command on a terminal of its own and read how much CPU it took until it asked."""
    make_past(folder, PAST)
    run = ("run", "train.py", "-c", "lr=0.7", "--metric", "val_loss", "--margin", "0.01")
    for words, what in ((run, "palate run"), (("forecast", "last"), "palate forecast")):
        took = sorted(cpu_to_prompt(folder, words) for _ in range(TIMES))
        told = f"{what} to its prompt, {PAST} questions in the past, CPU (median)"
        yield Row(name=told, measured=1000 * took[TIMES // 2], unit="ms", target=200)
    keys = ("\x1b[C", "8", "\r")
    screen = Screen(metric=Metric(name="val_loss", goal="min"))
    for key in keys:
        screen = press(screen, key)
    yield Row(name="key presses to a sealed forecast", measured=float(len(keys) if screen.done else 99), target=3)


def make_past(folder: Path, past: int) -> None:
    """Write a training, and seal many questions about it, forecasts and verdicts; the last question is open."""
    (folder / "train.py").write_text(SCRIPT)
    project = Project(folder / ".palate")
    project.make()
    target = find_target(str(folder / "train.py"))
    now = datetime.now(UTC) - timedelta(days=1)
    verdict = Verdict(kind="better", n=5, budget=20, seed_sd=0.01, spread=0.01, raw=0.02, variance=1e-4, margin=0.01)
    for k in range(past):
        question = build_question(target, {"lr": 0.2 + k / 1000}, metric="val_loss")
        reference = reference_for(Ledger.of(project.chain), question) if k % 50 == 0 else reference  # noqa: F821
        seal.seal_question(project.chain, question, now=now, reference=reference)
        if k < past - 1:
            seal.seal_forecast(
                project.chain, question, parse_forecast("better:80"), author=Author(name="somebody"),
                evidence=Evidence(), reference=reference, nonce="0" * 32, now=now,
            )  # fmt: skip
            seal.seal_verdict(project.chain, question, verdict, {}, now=now)


def seal_row(folder: Path) -> Row:
    """Change every byte of a chain in every one of its eight bits, one at a time; count what is not noticed."""
    chain = Chain(folder / "chain.jsonl")
    for k in range(4):
        chain.append("forecast", {"experiment": f"e{k}", "confidence": 50 + k}, now=datetime.now(UTC))
    whole = chain.path.read_bytes()
    missed = 0
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            chain.path.write_bytes(changed)
            missed += not _is_broken(chain.path)
    return Row(name=f"changes of one bit that a chain does not notice, of {8 * len(whole)}", measured=missed, target=0)


def _is_broken(path: Path) -> bool:
    try:
        Chain(path).records()
    except ChainBrokenError:
        return True
    return False
