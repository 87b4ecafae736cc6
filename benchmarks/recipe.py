"""Recipes: the models of transformers, public configurations, and the costs that a person would feel."""

import gzip
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from benchmarks.zoo import NAMED
from palate.recipe.diff import diff
from palate.recipe.fold import fold, unfold
from palate.recipe.groups import group, ungroup
from palate.recipe.names import written_lines
from palate.recipe.nearest import Family
from palate.recipe.proposals import propose
from palate.recipe.roles import role_label
from palate.recipe.tree import Chunk, leaves
from palate.recipe.values import from_value

CONFIGS = Path(__file__).parents[2] / "shared" / "data" / "configs"
HELD_OUT = 0.2
SPLITS = 5


def rows() -> Iterator[Row]:
    """Measure models, configurations and capture."""
    yield from model_rows()
    yield from peer_rows()
    yield from pair_rows()
    yield from configuration_rows()
    yield from speed_rows()
    yield from capture_rows()


def _zoo(*words: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.zoo", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def model_rows() -> Iterator[Row]:
    """Every model type of transformers that builds at its defaults."""
    found = _zoo()
    built = [line for line in found if "fault" not in line]
    for line in found:
        if "fault" in line:
            print(f"  not built: {line['type']}: {line['fault']}", file=sys.stderr)
    times = sorted(line["cpu_s"] for line in built)
    yield Row(name="model types of transformers built at their defaults", measured=len(built), unit=f"of {len(found)}")
    wrong = sum(not line["exact"] for line in built)
    yield Row(name="of these not exact after fold, unfold, dumps, loads", measured=wrong, target=0)
    yield Row(name="fullest level of any", measured=max(line["fullest"] for line in built), target=7)
    yield Row(name="read and fold, CPU, median", measured=statistics.median(times), unit="s")
    yield Row(name="read and fold, CPU, 95th percentile", measured=times[int(0.95 * len(times))], unit="s", target=1)
    share = [line["lines"] / line["print_lines"] for line in built if line["print_lines"]]
    yield Row(name="lines of the outline / lines of print(module), median", measured=statistics.median(share))


def peer_rows() -> Iterator[Row]:
    """The same models by other tools: lines, and CPU time."""
    found = [line for line in _zoo("--peers", *NAMED) if "fault" not in line]
    yield Row(name=f"palate, lines of {len(found)} models, median", measured=_median(found, "lines"))
    yield Row(name="palate, CPU, median", measured=1000 * _median(found, "cpu_s"), unit="ms")
    for peer in ("print", "torchinfo", "treescope"):
        good = [line[peer] for line in found if isinstance(line[peer], dict)]
        yield Row(name=f"{peer}, lines ({len(good)} models), median", measured=_median(good, "lines"))
        yield Row(name=f"{peer}, CPU, median", measured=1000 * _median(good, "cpu_s"), unit="ms")


def pair_rows() -> Iterator[Row]:
    """Twelve pairs of models that differ and print alike: how many each tool tells apart.

    treescope 0.1.10 asks tensors for names, which torch 2.13 no longer has, and shows no model with real weights.
    """
    import torchinfo
    from tests.capture.networks import PAIRS

    from palate.capture.module import module_recipe

    tools: dict[str, Any] = {
        "palate": lambda model: module_recipe(model).id,
        "print": str,
        "torchinfo": lambda model: str(torchinfo.summary(model, verbose=0, depth=99)),
    }
    for name, show in tools.items():
        apart = sum(_shown(show, one) != _shown(show, other) for one, other, _ in PAIRS.values())
        target = len(PAIRS) if name == "palate" else None
        told = f"of {len(PAIRS)}"
        yield Row(name=f"{name}: pairs told apart", measured=apart, unit=told, target=target, at_least=True)


def _shown(show: Any, model: Any) -> str:
    """Show a model without the addresses of its parts, which differ between any two objects."""
    return re.sub(r"0x[0-9a-f]+", "", str(show(model)))


def _median(lines: list[dict[str, Any]], name: str) -> float:
    return statistics.median(line[name] for line in lines) if lines else float("nan")


def configuration_rows() -> Iterator[Row]:
    """Public configurations: exactness, chunks, and how short they are."""
    for name, parent, chunks in (("torchtune", 0.19, 0.30), ("mmpretrain", 0.08, 0.17)):
        trees = corpus(name)
        if not trees:
            continue
        wrong = sum(unfold(ungroup(group(fold(tree)))) != tree for tree in trees)  # type: ignore[arg-type]
        yield Row(name=f"{name}: not exact, of {len(trees)}", measured=wrong, target=0)
        roles = Counter(role_label(tree)(path, setting) for tree in trees for path, setting in leaves(tree))
        known = 1 - roles["other"] / roles.total()
        yield Row(name=f"{name}: settings with a chunk", measured=known, target=0.95, at_least=True)
        shares = [held_out(trees, seed) for seed in range(SPLITS)]
        told = f"of {SPLITS} splits, {HELD_OUT:.0%} held out"
        yield Row(
            name=f"{name}: lines as parent + diff / settings, mean {told}",
            measured=statistics.mean(share for share, _ in shares),
            target=parent,
        )
        yield Row(
            name=f"{name}: lines with named chunks / settings, mean {told}",
            measured=statistics.mean(share for _, share in shares),
            target=chunks,
        )


def held_out(trees: list[Chunk], seed: int) -> tuple[float, float]:
    """Give lines a setting of held-out recipes: as parent + difference, and with named chunks."""
    order = list(trees)
    random.Random(seed).shuffle(order)
    cut = round(len(order) * (1 - HELD_OUT))
    family = Family(order[:cut])
    told = [family.descent(tree) for tree in order[cut:]]
    words = [proposal.named for proposal in propose(order[:cut])]
    pairs = [written_lines(tree, words) for tree in order[cut:]]
    return (
        sum(descent.lines for descent in told) / sum(descent.settings for descent in told),
        sum(lines for lines, _ in pairs) / sum(settings for _, settings in pairs),
    )


def corpus(name: str) -> list[Chunk]:
    """Read a corpus; empty where it is not here."""
    file = CONFIGS / f"{name}.jsonl.gz"
    if not file.exists():
        print(f"  {file} is not here", file=sys.stderr)
        return []
    with gzip.open(file, "rt") as lines:
        return [from_value("recipe", json.loads(line)["config"]) for line in lines]  # type: ignore[misc]


def speed_rows() -> Iterator[Row]:
    """What reading, comparing and proposing cost."""
    from torch import nn

    from palate.capture.module import module_recipe

    model = nn.ModuleList(
        nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.GELU(), nn.Dropout(0.1)) for _ in range(1000)
    )
    count = sum(1 for _ in model.modules())
    took = _cpu_s(lambda: group(fold(module_recipe(model).root)))
    yield Row(name=f"read and fold {count} modules, alike", measured=took, unit="s", target=0.5)
    widths = random.Random(0)
    odd = nn.ModuleList(nn.Sequential(*[nn.Linear(widths.randint(1, 99), 3) for _ in range(4)]) for _ in range(1000))
    yield Row(
        name="read and fold 5001 modules, all different",
        measured=_cpu_s(lambda: group(fold(module_recipe(odd).root))),
        unit="s",
        target=0.5,
    )
    one = from_value("r", {f"s{k}": {f"x{j}": j * 0.1 for j in range(10)} for k in range(50)})
    other = from_value("r", {f"s{k}": {f"x{j}": j * 0.1 + (k * j % 7 == 0) for j in range(10)} for k in range(50)})
    yield Row(
        name="difference of 2 x 500 settings", measured=1000 * _cpu_s(lambda: diff(one, other)), unit="ms", target=10
    )  # type: ignore[arg-type]
    made = [grown(number) for number in range(500)]
    yield Row(name="proposals over 500 x 150 settings", measured=_cpu_s(lambda: propose(made)), unit="s", target=10)


def grown(number: int) -> Chunk:
    """Make one of many related configurations, 150 settings each."""
    rng = random.Random(number)
    told: dict[str, Any] = {}
    for section in ("model", "optimizer", "dataset", "scheduler", "loss", "logging"):
        base = rng.randrange(5)
        told[section] = {f"p{k}": base * k if rng.random() > 0.1 else rng.random() for k in range(25)}
    return from_value("r", told)  # type: ignore[return-value]


def _cpu_s(call: Any, repeats: int = 5) -> float:
    """Median CPU seconds of a call."""
    took = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        took.append(time.process_time() - start)
    return statistics.median(took)


TRAINING = """
import sys, time, torch
from torch import nn
capture, modules, steps = sys.argv[1] == "capture", int(sys.argv[2]), 3000
from palate.capture.api import capture as watch
import contextlib
torch.set_num_threads(1)
nn.Linear(1, 1); torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=.1).step()
start = time.process_time()
with watch() if capture else contextlib.nullcontext() as told:
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(modules)])
    optimizers = [torch.optim.SGD(model.parameters(), lr=.1) for _ in range(int(sys.argv[3]))]
    optimizer = optimizers[-1]
    x = torch.randn(2, 4)
    def step():
        optimizer.zero_grad(); model[0](x).sum().backward(); optimizer.step()
    step()
    first = time.process_time() - start
    for _ in range(100): step()
    start = time.process_time()
    for _ in range(steps): step()
    print(first, (time.process_time() - start) / steps)
"""


def capture_rows() -> Iterator[Row]:
    """What being watched costs a training: up to the first step, a constructor, and in the loop afterwards."""

    def run(kind: str, modules: int, built: int) -> tuple[float, float]:
        done = [
            subprocess.run(
                [sys.executable, "-c", TRAINING, kind, str(modules), str(built)],
                capture_output=True, text=True, check=True,
            ).stdout.split()
            for _ in range(5)
        ]  # fmt: skip
        return statistics.median(float(d[0]) for d in done), statistics.median(float(d[1]) for d in done)

    plain, loop = run("plain", 10, 1)
    watched, after = run("capture", 10, 1)
    yield Row(name="capture, CPU up to the first step", measured=1000 * (watched - plain), unit="ms", target=50)
    many_plain, _ = run("plain", 10, 1001)
    many, _ = run("capture", 10, 1001)
    each = ((many - many_plain) - (watched - plain)) / 1000
    yield Row(name="capture, CPU a constructor more (optimizers)", measured=1e6 * each, unit="us", target=10)
    yield Row(name="a step afterwards / a step never watched", measured=after / loop, target=1.05)
