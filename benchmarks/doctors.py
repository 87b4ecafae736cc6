"""Training doctors from PyPI, on the logs of the trainings that palate's symptoms are measured on.

Each reads a log as its README tells: one file, once the training is over, with its own defaults. This file is run where
they are installed (`python -m benchmarks.doctors FOLDER`, which needs neither torch nor palate), and by `symptoms.py`,
which asks for its rows.
"""

import importlib.metadata
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import Row

REPOSITORY = Path(__file__).parents[1]
PEER_PYTHON = REPOSITORY / ".venv-peers" / "bin" / "python"

WARM_UP = "no_warmup"

Finding = tuple[str, bool]
"""The name of a rule, and whether it is a warning or worse; what else there is, is called information."""

Patient = tuple[str, Sequence[Mapping[str, float]]]
"""The kind in which a training is spoilt (nothing for a healthy one), and its log."""


def trainspotter(path: Path) -> list[Finding]:
    """Ask trainspotter, as `trainspotter analyze FILE` does; its advice to warm up is told apart."""
    from trainspotter.detectors import run_all
    from trainspotter.readers import load_run

    findings = run_all(load_run(path))
    return [(WARM_UP if "warmup" in found.title else found.detector, found.severity != "info") for found in findings]


def runmedic(path: Path) -> list[Finding]:
    """Ask runmedic, as `runmedic diagnose FILE` does."""
    from runmedic import loaders, roles
    from runmedic.checks import run_checks

    (run,) = loaders.load(str(path))
    return [(found.check, found.severity != "info") for found in run_checks(run, roles.detect(run))]


def losslint(path: Path) -> list[Finding]:
    """Ask losslint, as `losslint check FILE` does."""
    from losslint.checks import run_all_checks
    from losslint.parsing import load_run

    return [(found.check, found.severity != "info") for found in run_all_checks(load_run(path))]


DOCTORS: dict[str, Callable[[Path], list[Finding]]] = {
    "trainspotter": trainspotter,
    "runmedic": runmedic,
    "losslint": losslint,
}

NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "trainspotter": {
        "divergence": ("not_finite", "diverged"),
        "spikes": ("spikes",),
        "plateau": ("not_learning", "noise_ball"),
        "overfitting": ("overfit",),
        "lr_schedule": ("learning_rate",),
        "grad_norm": ("gradients",),
        "loss_floor": ("leak", "initial_loss"),
    },
    "runmedic": {
        "non_finite": ("not_finite",),
        "divergence": ("diverged",),
        "no_learning": ("not_learning", "learning_rate", "forgotten"),
        "loss_spikes": ("spikes",),
        "grad_spikes": ("gradients",),
        "overfitting": ("overfit",),
        "val_below_train": ("leak",),
        "constant_lr_plateau": ("noise_ball",),
    },
    "losslint": {
        "nan_inf": ("not_finite",),
        "divergence": ("diverged",),
        "loss_spike": ("spikes",),
        "overfit_onset": ("overfit",),
        "stagnation": ("not_learning", "noise_ball"),
    },
}
"""Which of the twelve each rule names, by what it tests and what its text proposes; where in doubt, more of them."""


EVERY = (1, 5)
"""Steps between two rows of a log, whose loss is then the mean: as palate hears them, and as many trainings log."""


def doctor_rows(patients: Sequence[Patient], python: Path = PEER_PYTHON) -> Iterator[Row]:
    """Measure what each doctor says of healthy and of spoilt trainings; nothing where none is installed."""
    kinds = [kind for kind, _ in patients]
    for every in EVERY:
        answers = _asked([thinned(log, every) for _, log in patients], python)
        for name in DOCTORS:
            if name in answers:
                found = [[(rule, bool(warns)) for rule, warns in one] for one in answers[name]["findings"]]
                said = f"{name} {answers[name]['version']}, a row in {every}"
                yield from _rows_of(name, said, kinds, found)
            elif every == 1:
                print(f"{name} is not installed, so not measured: ./scripts/bench symptoms", file=sys.stderr)


def _asked(logs: Sequence[Sequence[Mapping[str, float]]], python: Path) -> dict[str, Any]:
    """Ask the doctors where they are installed; nothing where there is no such place."""
    if not python.exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        for number, log in enumerate(logs):
            lines = "".join(json.dumps(row) + "\n" for row in log)
            (Path(folder) / f"{number}.jsonl").write_text(lines, encoding="utf-8")
        command = [str(python), "-m", "benchmarks.doctors", folder]
        answers: dict[str, Any] = json.loads(subprocess.check_output(command, text=True, cwd=REPOSITORY))
    return answers


def thinned(log: Sequence[Mapping[str, float]], every: int) -> list[Mapping[str, float]]:
    """Return a log with the mean loss of so many steps at a time."""
    thin: list[Mapping[str, float]] = []
    losses: list[float] = []
    for row in log:
        losses += [row["loss"]] if "loss" in row else []
        if "loss" not in row:
            thin.append(row)
        elif len(losses) == every:
            thin.append({**row, "loss": sum(losses) / every})
            losses = []
    return thin


def _rows_of(name: str, said: str, kinds: Sequence[str], found: Sequence[Sequence[Finding]]) -> Iterator[Row]:
    """Give shares of healthy and of spoilt trainings: with a warning, and with the right name."""
    sound = [one for kind, one in zip(kinds, found, strict=True) if not kind]
    ill = [(kind, one) for kind, one in zip(kinds, found, strict=True) if kind]
    for what, alarms in (
        ("with a warning", [_warns(one) for one in sound]),
        ("with a warning but to warm up", [_warns([f for f in one if f[0] != WARM_UP]) for one in sound]),
        ("with any finding", list(map(bool, sound))),
    ):
        yield Row(name=f"{said}: {len(sound)} healthy, {what}", measured=sum(alarms) / len(sound))
    yield Row(name=f"{said}: {len(ill)} spoilt, with a warning", measured=sum(_warns(one) for _, one in ill) / len(ill))
    for what, warns in (("warning", True), ("finding", False)):
        right = sum(_names(name, kind, one, warns=warns) for kind, one in ill)
        yield Row(name=f"{said}: {len(ill)} spoilt, named right by a {what}", measured=right / len(ill))
    for kind in dict.fromkeys(kind for kind, _ in ill):
        theirs = [_names(name, kind, one, warns=False) for spoilt, one in ill if spoilt == kind]
        yield Row(name=f"{said}: {len(theirs)} {kind}, named right by a finding", measured=sum(theirs) / len(theirs))


def _warns(findings: Sequence[Finding]) -> bool:
    return any(warns for _, warns in findings)


def _names(doctor: str, kind: str, findings: Sequence[Finding], *, warns: bool) -> bool:
    """Return whether a kind is named, by a warning or by any finding."""
    return any(kind in NAMES[doctor].get(rule, ()) for rule, warning in findings if warning or not warns)


def ask_all(folder: Path) -> dict[str, Any]:
    """Give the version of each doctor that is installed, and its findings on logs `0.jsonl`, `1.jsonl`, ..."""
    logs = sorted(folder.glob("*.jsonl"), key=lambda path: int(path.stem))
    answers: dict[str, Any] = {}
    for name, ask in DOCTORS.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        answers[name] = {"version": version, "findings": [ask(path) for path in logs]}
    return answers


if __name__ == "__main__":
    print(json.dumps(ask_all(Path(sys.argv[1]))))
