"""What is not as it looks in a model and its optimizer: frozen, forgotten, tied."""

from collections.abc import Sequence
from typing import Any

from palate.capture.observe import Seen
from palate.capture.optimisers import live_optimisers
from palate.recipe.sizes import count_words
from palate.recipe.tree import Note, Recipe


def find_traps(seen: Seen, models: Sequence[tuple[str, Any]], recipes: Sequence[tuple[str, Recipe]]) -> list[Note]:
    """Find parameters that are frozen, that no optimizer holds, that are trained though frozen, and ties."""
    optimizers = [part.made for part in live_optimisers(seen)]
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    found: list[Note] = []
    for name, model in models:
        named = list(model.named_parameters())
        frozen = [(path, p) for path, p in named if not p.requires_grad]
        forgotten = [(path, p) for path, p in named if p.requires_grad and id(p) not in held]
        idle = [path for path, p in frozen if id(p) in held]
        if frozen:
            found.append(Note("frozen", f"model.{name}", f"{_share(frozen, named)} frozen: {_first(frozen)}"))
        if idle:
            words = f"an optimizer holds {len(idle)} frozen tensors, which it never moves: {idle[0]}"
            found.append(Note("frozen", f"model.{name}", words))
        if forgotten and held:
            words = f"{_share(forgotten, named)} in no optimizer, so never trained: {_first(forgotten)}"
            found.append(Note("untrained", f"model.{name}", words))
    found += [note for _, recipe in recipes for note in recipe.notes]
    return found


def _share(part: Sequence[tuple[str, Any]], whole: Sequence[tuple[str, Any]]) -> str:
    sizes = [sum(p.numel() for _, p in some) for some in (part, whole)]
    return f"{count_words(sizes[0])} of {count_words(sizes[1])} parameters ({len(part)} tensors)"


def _first(part: Sequence[tuple[str, Any]]) -> str:
    return part[0][0] if len(part) == 1 else f"{part[0][0]} ... {part[-1][0]}"
