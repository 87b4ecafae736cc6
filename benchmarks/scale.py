"""What a long past costs: the same commands in a project of 50 questions and in one of 5,000; and of so many runs.

Each question has a forecast, a verdict and a score, and there are two runs a question, of 10 points each. The first
question is really asked, run, judged and scored; the others are written after it, with other values of the same
setting, other outcomes and other scores, straight into the chain's file and into journals. The catalog is filled before
anything is measured. `python -m benchmarks.scale FOLDER [QUESTIONS]` makes such a project and keeps it.
"""

import copy
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from benchmarks.terminal import cpu_to_prompt
from palate.ledger.records import question_body, question_of
from palate.recipe.codec import content_id
from palate.store import layout as lay
from palate.store.chain import Chain, Record, hash_record
from palate.store.project import Project

FEW, MANY = 50, 5_000
TIMES = 9
RATIO = 1.5
POINTS = 10
SPREAD_S = 1e6
"""Seconds before now in which the written runs started: after all forecasts of them."""
SCRIPT = """
import random
import palate
lr = 0.1
width = 8
seed = 0
random.seed(seed)
for step in range(10):
    palate.log(step, val_loss=1 / (1 + step) + lr / 10 + random.gauss(0, 0.01))
"""
ASKED = ("run", "train.py", "-c", "lr=0.2", "--metric", "val_loss", "--pairs", "2", "--forecast", "better:70")
COMMANDS = (("list",), ("forecast", "last", "--show"), ("skill",))
SIZES = (1_000, 10_000, 100_000)
"""Runs of the projects that `scale_rows` makes; leave the last one out for a quick try."""

RUNS_A_QUESTION = 6
LEAST_OF = 3
MOST_MIB = 120
MOST_S = {
    ("list",): (0.3, 0.4, 0.8),
    ("list", "--runs"): (0.3, 0.4, 0.8),
    ("verify",): (0.3, 0.3, 0.3),
    ("skill",): (None, None, None),
}
"""Commands, and the seconds that they may take in a project of each size."""

TO_PROMPT_S, BEYOND_EMPTY_S = (0.3, 0.4, 0.6), (0.1, 0.15, 0.2)
PROMPT = ("run", "train.py", "-c", "lr=0.7", "--metric", "val_loss")

Body = dict[str, Any]


def rows() -> Iterator[Row]:
    """Measure each command in both projects."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder) / "few", Path(folder) / "many"
        make_project(few, FEW)
        make_project(many, MANY)
        for words in COMMANDS:
            yield from _ratio(f"palate {' '.join(words)}", lambda place, words=words: cpu_of(place, *words), few, many)
        yield from _ratio("palate run to its prompt", lambda place: cpu_to_prompt(place, PROMPT), few, many)


def scale_rows(sizes: Sequence[int] = SIZES) -> Iterator[Row]:
    """Measure commands in projects of so many runs: seconds of the wall and of CPU, and memory at its peak."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles palate anew with each command
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty"
        empty.mkdir()
        (empty / "train.py").write_text(SCRIPT)
        at_least_s = min(cpu_to_prompt(empty, PROMPT) for _ in range(LEAST_OF + 1))
        for place, runs in enumerate(sizes):
            project = Path(folder) / str(runs)
            make_project(project, -(-runs // RUNS_A_QUESTION), seeds=RUNS_A_QUESTION)
            cpu_of(project, "verify")
            yield from _rows_of(project, f"{runs:,} runs", place, at_least_s)


def _rows_of(project: Path, size: str, place: int, empty_s: float) -> Iterator[Row]:
    for words, most_s in MOST_S.items():
        what = f"palate {' '.join(words)}, {size}"
        used = min((_used(project, *words) for _ in range(LEAST_OF)), key=lambda one: one.wall_s)
        yield Row(name=f"{what}, wall", measured=used.wall_s, unit="s", target=most_s[place])
        yield Row(name=f"{what}, CPU", measured=used.cpu_s, unit="s")
        yield Row(name=f"{what}, memory at its peak", measured=used.peak_mib, unit="MiB", target=MOST_MIB)
    prompt_s = min(cpu_to_prompt(project, PROMPT) for _ in range(LEAST_OF))
    yield Row(name=f"palate run to its prompt, {size}, CPU", measured=prompt_s, unit="s", target=TO_PROMPT_S[place])
    beyond, most = prompt_s - empty_s, BEYOND_EMPTY_S[place]
    yield Row(name=f"... beyond that of an empty project, {size}, CPU", measured=beyond, unit="s", target=most)
    started_s = min(_until_first_run(project, number) for number in range(LEAST_OF))
    yield Row(name=f"palate run until its first run, forecast given, {size}, wall", measured=started_s, unit="s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a command took."""

    wall_s: float
    cpu_s: float
    peak_mib: float


MEASURED = """
import os, sys, time
started_s = time.perf_counter()
child = os.fork()
if not child:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
print(status, time.perf_counter() - started_s, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""Run from a small process: a program counts the memory of the one that started it as its own peak."""


def _used(place: Path, *words: str) -> Used:
    command = [sys.executable, "-S", "-c", MEASURED, sys.executable, "-m", "palate", *words]
    told = subprocess.run(
        command, cwd=place, env=_environment(place), capture_output=True, text=True, check=True
    ).stdout
    status, wall_s, cpu_s, peak_kib = map(float, told.split())
    if status:
        raise subprocess.CalledProcessError(int(status), command)
    return Used(wall_s=wall_s, cpu_s=cpu_s, peak_mib=peak_kib / 1024)


def _until_first_run(place: Path, number: int) -> float:
    """Return the seconds until a command has made the folder of its first run."""
    runs = place / ".palate" / "runs"
    asked = ("run", "train.py", "-c", f"lr={2 + number}.5", "--metric", "val_loss", "--pairs", "2")
    command = [sys.executable, "-m", "palate", *asked, "--forecast", "better:70"]
    before, started_s = runs.stat().st_mtime_ns, time.perf_counter()
    process = subprocess.Popen(
        command, cwd=place, env=_environment(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while runs.stat().st_mtime_ns == before and process.poll() is None:
        time.sleep(0.002)
    took_s = time.perf_counter() - started_s
    process.wait()
    return took_s


def _ratio(what: str, cpu_s: Callable[[Path], float], few: Path, many: Path) -> Iterator[Row]:
    pairs = [(cpu_s(few), cpu_s(many)) for _ in range(TIMES)]  # by turns: the machine's speed drifts
    short, long = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(slow / quick for quick, slow in pairs)
    yield Row(name=f"{what}, after {FEW} questions, CPU", measured=1000 * short, unit="ms")
    yield Row(name=f"{what}, after {MANY:,} questions, CPU", measured=1000 * long, unit="ms")
    yield Row(name=f"{what}, times as long after {MANY:,} as after {FEW}", measured=ratio, target=RATIO)


def cpu_of(place: Path, *words: str) -> float:
    """CPU seconds (user and system) of one command in a project."""
    used = _usage_of(place, *words)
    return used.ru_utime + used.ru_stime


def _usage_of(place: Path, *words: str) -> resource.struct_rusage:
    command = [sys.executable, "-m", "palate", *words]
    process = subprocess.Popen(
        command, cwd=place, env=_environment(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used


def _environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PALATE_HOME": str(place / ".palate"), "PALATE_AUTHOR": "bench"}


def make_project(place: Path, count: int, *, seeds: int = 2) -> None:
    """Make a project with so many questions in its past, so many runs each, its catalog filled."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "train.py").write_text(SCRIPT)
    cpu_of(place, *ASKED)
    project = Project(place / ".palate")
    first = {record.kind: record for record in project.chain.records()}
    questions = list(_questions(first["question"].body, count))
    _write_runs(project, first["question"].body["target"]["label"], questions, seeds)
    _write_chain(project.chain, first, [body for body, _ in questions], seeds)
    for words in (("doctor", "--rebuild"), *COMMANDS):
        cpu_of(place, *words)


def _questions(first: Body, count: int) -> Iterator[tuple[Body, Any]]:
    """Give questions like the first one, each with another value, as they are sealed."""
    read: Any = question_of
    kept = {name: first[name] for name in ("reference", "commit", "visible") if name in first}
    seen = {first["experiment"]}
    for k in range(count):
        body = copy.deepcopy(first)
        body["changes"][0]["after"] = 0.2 if k == 0 else round(0.2 + 0.00007 * k, 6)
        question = read(body)
        if k and question.experiment in seen:
            continue
        seen.add(question.experiment)
        yield {**question_body(question), **kept}, question


def _run_ids(experiment: str, seeds: int) -> list[str]:
    return [f"train-{experiment}-s{seed}" for seed in range(seeds)]


def _write_runs(project: Project, label: str, questions: list[tuple[Body, Any]], seeds: int) -> None:
    """Write runs of each question's treatment; those of the first question were really made."""
    rng = random.Random(1)
    for body, question in questions[1:]:
        key, settings = question.plan.keys["treatment"], question.plan.settings["treatment"]
        for seed, name in enumerate(_run_ids(body["experiment"], seeds)):
            recipe = {
                "kind": "recipe",
                "unix_s": time.time(),
                "key": key,
                "label": label,
                "seed": seed,
                "settings": settings,
            }
            project.run_folder(name).mkdir()
            project.journal(name).write_bytes(_journal(recipe, rng))


def _journal(recipe: Body, rng: random.Random) -> bytes:
    """Return a journal of one curve, as it is written: no file of 100,000 is opened and synced twice."""
    row = lay.row_struct(0, False, 1)
    ending = {"kind": "ending", "unix_s": time.time(), "exit": "ok", "status": 0, "elapsed_s": 1.0, "detail": ""}
    start = {"kind": "start", "unix_s": time.time() - rng.uniform(0, SPREAD_S), "pid": 1, "format": 1}
    parts, crc = [lay.FORM_1.header], 0
    for tag, payload in (
        (lay.EVENT, json.dumps(start).encode()),
        (lay.EVENT, json.dumps(recipe).encode()),
        (lay.KEY, lay.KEY_HEAD.pack(0) + b"val_loss"),
        (lay.SHAPE, b"\0\0"),
        *((lay.ROW, row.pack(lay.ROW, 1, 1 / (1 + step) + rng.gauss(0, 0.01))) for step in range(POINTS)),
        (lay.EVENT, json.dumps(ending).encode()),
    ):
        if tag == lay.ROW:
            crc = zlib.crc32(payload, crc)
            tail = lay.CRC16.pack(crc & 0xFFFF)
            parts += [payload, tail]
            crc = zlib.crc32(tail, crc)
        else:
            sealed, crc = lay.FORM_1.seal(tag, payload, crc)
            parts.append(sealed)
    return b"".join(parts)


def _write_chain(chain: Chain, first: Mapping[str, Record], bodies: list[Body], seeds: int) -> None:
    """Write question, forecast, verdict and score of each, and seal them, into the chain's file."""
    rng = random.Random(2)
    lines: list[str] = []
    head = "0" * 64
    at = datetime.now(UTC) - timedelta(days=300)

    def seal(kind: str, body: Body) -> str:
        nonlocal head
        stamp = (at + timedelta(minutes=len(lines))).isoformat(timespec="microseconds")
        fields = {"number": len(lines), "at": stamp, "kind": kind, "body": body, "previous": head}
        head = hash_record(fields)
        lines.append(json.dumps({**fields, "hash": head}, sort_keys=True, ensure_ascii=False))
        return head

    ran = first["verdict"].body["runs"]
    for body in bodies:
        name = body["experiment"]
        outcome = rng.choice(("better", "worse", "same"))
        seal("question", body)
        said = {
            "experiment": name,
            "answer": rng.choice(("better", "worse", "same")),
            "nonce": f"{rng.getrandbits(128):x}",
        }
        forecast = seal("forecast", {**first["forecast"].body, **said})
        judged = {"experiment": name, "runs": {**ran, "treatment": _run_ids(name, seeds)} if lines[4:] else ran}
        seal("verdict", {**first["verdict"].body, **_verdict(outcome, rng), **judged})
        bits = max(-3.0, min(rng.gauss(0.05, 0.8), 2.0))
        scored = {"experiment": name, "forecast": forecast, "settled": outcome, "bits": bits, "own": bits - 1}
        brier, runs = rng.uniform(0.1, 1.4), content_id([name])[:16]
        seal("score", {**first["score"].body, **scored, "brier": brier, "runs": runs, "provisional": False})
    chain.path.write_text("".join(f"{line}\n" for line in lines))


def _verdict(outcome: str, rng: random.Random) -> Body:
    raw = {"better": 0.03, "worse": -0.03, "same": 0.0}[outcome] + rng.gauss(0, 0.004)
    told = {"kind": outcome, "n": 6, "raw": raw, "effect": 0.8 * raw, "low": raw - 0.01, "high": raw + 0.01}
    return {**told, "margin": 0.01, "seed_sd": 0.01, "spread": 0.012, "variance": 1.44e-4, "reason": ""}


def main() -> None:
    """Make a project and keep it."""
    make_project(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else MANY)


if __name__ == "__main__":
    main()
