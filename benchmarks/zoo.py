"""Every model type of transformers at its default configuration, built without memory: python -m benchmarks.zoo.

One JSON line a model type: modules, settings, CPU seconds, whether folding and unfolding gives the model back, the
fullest level, lines; or why it cannot be built.
"""

import argparse
import json
import resource
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

NAMED = (
    "bert", "gpt2", "llama", "t5", "vit", "whisper", "mixtral", "resnet", "convnext", "jamba", "mistral", "qwen2",
    "gemma2", "deberta-v2", "clip", "wav2vec2", "mamba", "swin", "bart", "phi3",
)  # fmt: skip
"""The model types that are also shown by other tools."""

MODELS = (
    "AutoModel", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForImageTextToText",
    "AutoModelForImageClassification", "AutoModelForSequenceClassification", "AutoBackbone",
)  # fmt: skip
PATIENCE_S = 90


def main() -> None:
    """Measure the model types named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo")
    parser.add_argument("types", nargs="*")
    parser.add_argument("--peers", action="store_true", help="also print, torchinfo and treescope")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for line in measure_all(asked.types, peers=asked.peers):
        print(json.dumps(line), flush=True)


def measure_all(types: list[str], *, peers: bool) -> Iterator[dict[str, Any]]:
    """Measure one model type after the other."""
    import logging

    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    logging.disable(logging.CRITICAL)
    memory = 12 << 30
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for name in types or sorted(CONFIG_MAPPING.keys()):
        yield measure(name, peers=peers)


def measure(name: str, *, peers: bool) -> dict[str, Any]:
    """Build one model type and fold it."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(PATIENCE_S)
    try:
        model = build(name)
    except BaseException as error:  # noqa: BLE001  whatever a model's own code raises is the answer
        return {"type": name, "fault": f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"}
    finally:
        signal.alarm(0)
    told = {"type": name, **folded(model)}
    return {**told, **others(model)} if peers else told


def _too_long(*_: object) -> None:
    raise TimeoutError(f"not built within {PATIENCE_S} s")


def build(name: str) -> Any:
    """Build a model type at its defaults on the meta device: its plain model, else whatever model it has."""
    import torch
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[name]()
    refused: Exception | None = None
    for kind in MODELS:
        try:
            with torch.device("meta"):
                return getattr(transformers, kind).from_config(config)
        except ValueError as error:
            refused = refused or error
            if "Unrecognized configuration class" not in str(error):
                raise
    raise refused or ValueError("no model")


def folded(model: Any) -> dict[str, Any]:
    """Read, fold, group and write a model; give the figures."""
    from palate.capture.module import module_recipe
    from palate.recipe.document import dumps, loads
    from palate.recipe.fold import fold, unfold
    from palate.recipe.groups import count_leaves, fullest, group, ungroup
    from palate.recipe.view import lines

    module_recipe(model)  # classes and their code are looked at once a process
    start = time.process_time()
    recipe = module_recipe(model)
    grouped = group(fold(recipe.root))
    took = time.process_time() - start
    exact = unfold(ungroup(grouped)) == recipe.root and dumps(loads(dumps(recipe))) == dumps(recipe)  # type: ignore[arg-type]
    return {
        "modules": sum(1 for _ in model.modules()),
        "settings": count_leaves(grouped),
        "cpu_s": took,
        "exact": exact,
        "fullest": fullest(grouped),
        "lines": len(lines(recipe.view(), depth=99, details=False)),
        "print_lines": _print_lines(model),
    }


def _print_lines(model: Any) -> int | None:
    try:
        return len(str(model).splitlines())
    except Exception:  # noqa: BLE001  some models cannot be printed without weights
        return None


def others(model: Any) -> dict[str, Any]:
    """Show the same model with print, torchinfo and treescope."""
    import torchinfo
    import treescope

    told: dict[str, Any] = {}
    for name, show in (
        ("print", lambda: str(model)),
        ("torchinfo", lambda: str(torchinfo.summary(model, verbose=0, depth=99))),
        ("treescope", lambda: treescope.render_to_text(model)),
    ):
        start = time.process_time()
        try:
            text = show()
        except Exception as error:  # noqa: BLE001  what another tool raises is its answer
            told[name] = f"{type(error).__name__}: {str(error)[:80]}"
            continue
        told[name] = {"lines": len(text.splitlines()), "cpu_s": time.process_time() - start}
    return told


if __name__ == "__main__":
    sys.exit(main())
