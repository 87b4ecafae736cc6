"""How often the symptoms' detectors are wrong: `./scripts/bench symptoms`, or `python -m benchmarks.symptoms`.

Healthy trainings and trainings that were spoilt on purpose are watched, and the detectors are asked at 12 moments of
each. The numbers of the rules were chosen on trainings of the development part. The rows are those of the part that was
held out: other trainings, drawn by other seeds from the same variety.
"""

import argparse
import copy
import math
import pickle
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import torch

from benchmarks.doctors import doctor_rows
from benchmarks.kitchen import Log, Part, cook, cook_gan, healthy, prepare
from benchmarks.pantry import Recipe
from benchmarks.spoilt import prepare_spoilt, spoilt, way_of
from benchmarks.table import Row, put_out
from palate.cooking.looks import Observer
from palate.cooking.seen import Facts, Kind, Look
from palate.cooking.symptoms import detect

HEALTHY = 510
"""Healthy trainings that had learnt, in each part."""

SPOILT = 36
"""Trainings of each kind that came about, in each part."""

MOMENTS = 12

KINDS: tuple[Kind, ...] = get_args(Kind)

FALSE_TARGET, HIT_TARGET = 0.02, 0.8


@dataclass(frozen=True, slots=True)
class Watched:
    """One training: what was seen of it, what was logged of it, and as `share` what looking cost."""

    recipe: Recipe
    facts: Facts
    looks: list[Look]
    log: Log
    share: float
    came_about: bool = True


def rows() -> Iterator[Row]:
    """Measure the detectors, what they cost, and the training doctors of others on the same trainings."""
    with tempfile.TemporaryDirectory() as folder:
        yield from symptom_rows(Path(folder))
    yield from cost_rows()


def symptom_rows(folder: Path) -> Iterator[Row]:
    """Measure false alarms on healthy trainings and hits on spoilt ones, palate's and those of others."""
    sound = list(watch_healthy(folder, "held out"))
    alarms = [alarms_of(one) for one in sound]
    n = len(sound)
    for kind in KINDS:
        false = sum(kind in found for found in alarms)
        name = f"{kind}: false alarms, {false} of {n} healthy ({interval(false, n)})"
        yield Row(name=name, measured=false / n, target=FALSE_TARGET)
    false = sum(map(bool, alarms))
    yield Row(name=f"any alarm, {false} of {n} healthy ({interval(false, n)})", measured=false / n)
    ill: list[Watched] = []
    for kind in KINDS:
        theirs = list(watch_spoilt(folder, kind, "held out"))
        hits = sum(kind in alarms_of(one) for one in theirs)
        name = f"{kind}: hits, {hits} of {len(theirs)} spoilt ({interval(hits, len(theirs))})"
        yield Row(name=name, measured=hits / len(theirs), target=HIT_TARGET, at_least=True)
        ill += theirs
    told = sum(bool(alarms_of(one)) for one in ill)
    yield Row(name=f"any alarm, {told} of {len(ill)} spoilt", measured=told / len(ill))
    logged = [one for one in (*sound, *ill) if one.log]
    yield from doctor_rows([(one.recipe.spoilt, one.log) for one in logged])


def interval(count: int, of: int) -> str:
    """Say the 95 % interval of a share, by Wilson's score: `95 %: .1 to 1.4 %`."""
    z = 1.96
    middle, width = (
        (count + z * z / 2) / (of + z * z),
        z * math.sqrt(count * (of - count) / of + z * z / 4) / (of + z * z),
    )
    return f"95 %: {100 * max(0.0, middle - width):.2g} to {100 * min(1.0, middle + width):.3g} %"


def cost_rows() -> Iterator[Row]:
    """Measure steps with an observer over the same steps without one, in turns of 25, by CPU time."""
    torch.set_num_threads(1)
    for name, net, x, y in _sizes():
        twins = [copy.deepcopy(net) for _ in range(2)]
        adams = [torch.optim.Adam(twin.parameters(), lr=1e-4) for twin in twins]
        observer = Observer(twins[1], adams[1], validation=x[:64] + 1)
        turns: list[list[float]] = [[], []]
        for _ in range(16):
            for watched in (0, 1):
                began = time.process_time()
                for _ in range(25):
                    loss = torch.nn.functional.cross_entropy(twins[watched](x), y)
                    adams[watched].zero_grad()
                    loss.backward()
                    adams[watched].step()
                    value = loss.item()
                    if watched:
                        observer.log(loss=value)
                turns[watched].append(time.process_time() - began)
        bare, seen = (sum(sorted(turn)[2:-2]) for turn in turns)
        step_ms = 1000 * bare / 12 / 25
        said = f"{name}, {step_ms:.2g} ms a step: time with an observer"
        yield Row(name=said, measured=seen / bare, unit="x", target=1.02)
        yield Row(name=f"{name}: share of the time by the observer's own clock", measured=observer.share, target=0.02)


def _sizes() -> Iterator[tuple[str, torch.nn.Module, torch.Tensor, torch.Tensor]]:
    """Return networks from tiny to small, each with a batch."""
    nn = torch.nn
    mlp = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    yield "MLP of 5 k", mlp, torch.randn(64, 64), torch.randint(0, 10, (64,))
    wide = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    yield "MLP of 1.9 M", wide, torch.randn(64, 784), torch.randint(0, 10, (64,))
    layer = nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True)
    body = nn.Sequential(nn.TransformerEncoder(layer, 4), nn.Flatten(), nn.Linear(128 * 32, 10))
    yield "transformer of .8 M", body, torch.randn(8, 32, 128), torch.randint(0, 10, (8,))


def learnt(watched: Watched) -> bool:
    """Return whether a healthy training has learnt, to 85 % of a guess's loss at least."""
    facts = watched.facts
    guess = facts.chance if facts.chance is not None else math.log(facts.classes) if facts.classes else None
    if guess is None or facts.adversarial:
        return True
    losses = [value for look in watched.looks for value in look.losses.values()]
    return sum(losses[-50:]) / 50 < 0.85 * guess


def alarms_of(watched: Watched) -> set[Kind]:
    """Return every kind that was told at any of 12 moments of a training."""
    looks = watched.looks
    moments = [len(looks) * (i + 1) // MOMENTS for i in range(MOMENTS)]
    return {symptom.kind for moment in moments for symptom in detect(looks[:moment], watched.facts)}


def watch_healthy(folder: Path, part: Part) -> Iterator[Watched]:
    """Watch healthy trainings until enough have learnt, or read what was seen of them before."""
    seen = (_kept(folder / f"{part}-healthy-{i}.pickle", recipe) for i, recipe in enumerate(healthy(part)))
    return islice(filter(learnt, seen), HEALTHY)


def watch_spoilt(folder: Path, kind: str, part: Part) -> Iterator[Watched]:
    """Watch trainings spoilt in one kind, until enough came about; those that did not are left out."""
    seen = (_kept(folder / f"{part}-{kind}-{i}.pickle", recipe) for i, recipe in enumerate(spoilt(kind, part)))
    return islice((one for one in seen if one.came_about), SPOILT)


def _kept(path: Path, recipe: Recipe) -> Watched:
    if path.exists():
        return pickle.loads(path.read_bytes())  # type: ignore[no-any-return]
    watched = _watch(recipe)
    path.write_bytes(pickle.dumps(watched))
    return watched


def _watch(recipe: Recipe) -> Watched:
    torch.set_num_threads(1)
    if recipe.net == "gan":
        observer = cook_gan(recipe)
        return Watched(recipe, observer.facts, observer.looks(), [], observer.share)
    dish = prepare_spoilt(recipe) if recipe.spoilt else prepare(recipe)
    needs_all = recipe.spoilt in ("leak", "learning_rate")
    tells = needs_all or random.Random(recipe.seed).random() < 0.5
    observer, log = cook(dish, tells_everything=tells)
    losses = [row["loss"] for row in log if "loss" in row]
    if recipe.spoilt and not way_of(recipe).came_about(dish, losses):
        return Watched(recipe, observer.facts, [], [], observer.share, came_about=False)
    return Watched(recipe, observer.facts, observer.looks(), log, observer.share)


def study(folder: Path) -> None:
    """Print each false alarm and each miss of the development part."""
    started = time.process_time()
    sound = list(watch_healthy(folder, "development"))
    print(f"{len(sound)} healthy trainings: {time.process_time() - started:.0f} s", flush=True)
    counts: Counter[str] = Counter()
    for one in sound:
        found = alarms_of(one)
        counts.update(found)
        counts["any"] += bool(found)
        for kind in sorted(found):
            said = [s for i in range(MOMENTS) for s in detect(one.looks[: len(one.looks) * (i + 1) // 12], one.facts)]
            words = next(s.words for s in said if s.kind == kind)
            print(f"FALSE {kind}: {words}\n      {_in_short(one.recipe)}", flush=True)
    print({kind: round(count / len(sound), 4) for kind, count in counts.items()}, flush=True)
    for kind in KINDS:
        started = time.process_time()
        ill = list(watch_spoilt(folder, kind, "development"))
        spent = time.process_time() - started
        found = [alarms_of(one) for one in ill]
        ways = Counter(one.recipe.way for one in ill)
        hits = Counter(one.recipe.way for one, kinds in zip(ill, found, strict=True) if kind in kinds)
        told = ", ".join(f"{way} {hits[way]}/{ways[way]}" for way in ways)
        print(f"{kind}: {sum(hits.values())}/{len(ill)} ({told}) {spent:.0f} s", flush=True)
        for one, kinds in zip(ill, found, strict=True):
            if kind not in kinds:
                print(f"MISS {one.recipe.way}: told {sorted(kinds)}; {_in_short(one.recipe)}", flush=True)


def _in_short(recipe: Recipe) -> str:
    plain = Recipe(task="", net="")
    names = recipe.__slots__
    return " ".join(f"{n}={getattr(recipe, n)}" for n in names if getattr(recipe, n) != getattr(plain, n))


def main() -> None:
    """Print the rows, or with --study what went wrong in the development part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.symptoms")
    parser.add_argument("--folder", type=Path, help="where what was seen is kept, so that nothing is trained twice")
    parser.add_argument("--study", action="store_true", help="the development part: each false alarm, each miss")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = asked.folder or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        if asked.study:
            study(folder)
        else:
            sys.exit(0 if put_out("symptoms", symptom_rows(folder), as_json=False) else 1)


if __name__ == "__main__":
    main()
