"""Other trackers doing what a journal does, by their ordinary calls: peers.py NAME (time|log|count|secret) FOLDER."""

import os
import re
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

CALLS = {"wandb": 3000, "mlflow": 300, "trackio": 3000, "tensorboardX": 5000}
MARK = 7_000_000

Log = Callable[[int, float], None]


def wandb_log(folder: str) -> tuple[Log, Callable[[], None]]:
    """W&B, offline."""
    import wandb

    run = wandb.init(project="p", mode="offline", dir=folder)
    return (lambda step, value: run.log({"loss": value}, step=step)), run.finish


def mlflow_log(folder: str) -> tuple[Log, Callable[[], None]]:
    """MLflow on its SQLite store."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("p")
    mlflow.start_run()
    return (lambda step, value: mlflow.log_metric("loss", value, step=step)), mlflow.end_run


def trackio_log(_: str) -> tuple[Log, Callable[[], None]]:
    """Trackio, local."""
    import trackio

    trackio.init(project="p")
    return (lambda step, value: trackio.log({"loss": value}, step=step)), trackio.finish


def tensorboardx_log(folder: str) -> tuple[Log, Callable[[], None]]:
    """TensorBoardX."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(folder)
    return (lambda step, value: writer.add_scalar("loss", value, step)), writer.close


START = {"wandb": wandb_log, "mlflow": mlflow_log, "trackio": trackio_log, "tensorboardX": tensorboardx_log}


def size_of(folder: str) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def time_calls(peer: str, folder: str) -> str:
    """Give the median call in microseconds, the calls made, and MB per 100,000 points beyond the first few."""
    log, finish = START[peer](folder)
    for step in range(20):
        log(step, float(step))
    before, spent = size_of(folder), []
    for step in range(20, 20 + CALLS[peer]):
        started = time.perf_counter_ns()
        log(step, step / 7)
        spent.append(time.perf_counter_ns() - started)
    finish()
    grown = size_of(folder) - before
    return f"{statistics.median(spent) / 1e3} {CALLS[peer]} {grown / CALLS[peer] * 1e5 / 1e6}"


def log_for_ever(peer: str, folder: str) -> None:
    """Log at about 100 points a second until killed, saying so of each."""
    log, _ = START[peer](folder)
    for step in range(100_000):
        log(step, float(MARK + step))
        os.write(1, b"logged\n")
        time.sleep(0.01)


def count_kept(peer: str, folder: str) -> int:
    """Count the points of a killed run that are on disk."""
    place = Path(folder)
    if peer in ("mlflow", "trackio"):
        counts = [sqlite3.connect(f).execute("SELECT count(*) FROM metrics").fetchone()[0] for f in place.rglob("*.db")]
        return max(counts, default=0)
    if peer == "wandb":
        found = b"".join(file.read_bytes() for file in place.rglob("*.wandb"))
        return len(set(re.findall(rb"70\d{5}(?=\D)", found)))
    records = sum(_event_records(file.read_bytes()) for file in place.glob("*tfevents*"))
    return max(0, records - 1)  # the first record is the file's version


def _event_records(content: bytes) -> int:
    whole, at = 0, 0
    while at + 12 <= len(content):
        at += 16 + int.from_bytes(content[at : at + 8], "little")
        whole += at <= len(content)
    return whole


PLANTED = {
    "api_key": "zq7Jw2mXb94LtRkP",
    "password": "correct-horse-battery-9",
    "hub_token": "hf_" + "QzWxEcRvTbYnUmIkOlPaSdFgHj",
    "openai": "sk-proj-" + "a8Kd93LmQz71XwPv2RtY6BnC",
    "database": "postgres://cook:s4lt-and-p3pper@db/recipes",
}
"""Made up, and of no account."""


def count_secrets(peer: str, folder: str) -> int:
    """Hand over a configuration with secrets; count those that are found, byte by byte, in what is kept of it."""
    if peer == "wandb":
        import wandb

        wandb.init(project="p", mode="offline", dir=folder, config=PLANTED).finish()
    elif peer == "mlflow":
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment("p")
        with mlflow.start_run():
            mlflow.log_params(PLANTED)
    elif peer == "trackio":
        import trackio

        trackio.init(project="p", config=PLANTED)
        trackio.log({"loss": 1.0})
        trackio.finish()
    else:
        from tensorboardX import SummaryWriter

        with SummaryWriter(folder) as writer:
            writer.add_text("config", str(PLANTED))
    kept = b"".join(file.read_bytes() for file in Path(folder).rglob("*") if file.is_file())
    return sum(secret.encode() in kept for secret in PLANTED.values())


if __name__ == "__main__":
    name, what, where = sys.argv[1:]
    if what == "log":
        log_for_ever(name, where)
    else:
        print({"time": time_calls, "count": count_kept, "secret": count_secrets}[what](name, where))
