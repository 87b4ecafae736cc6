"""What is in force at the first optimizer step, as a recipe: live objects held against what built them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from palate.capture.datasets import data_items
from palate.capture.describe import built_chunk, describe, named, version_of
from palate.capture.module import module_recipe
from palate.capture.observe import Seen
from palate.capture.optimisers import live_optimisers, optimiser_items, schedule_items
from palate.capture.place import place
from palate.capture.probes import Built
from palate.recipe.recipe import Recipe
from palate.recipe.roles import CAPTURED
from palate.recipe.tree import Chunk, Item, Note, Origin, Setting
from palate.recipe.tree import Path as Way
from palate.recipe.values import from_value, same_value
from palate.recipe.words import count_words, value_words


def snapshot(seen: Seen, *, settings: Mapping[str, Any] | None = None, home: Path | None = None) -> Recipe:
    """Make the recipe of what was seen until the first step.

    Args:
        seen: what was built and called.
        settings: settings that the run was started with.
        home: palate's own folder, whose files are no data.
    """
    root = Path.cwd()
    models = find_models(seen)
    recipes = [(name, module_recipe(model, name)) for name, model in models]
    chunks: list[Item] = []
    notes: list[Note] = []
    for role, items, found in (
        ("data", *data_items(seen, seen.files.hashes(root), home)),
        ("model", [recipe.root for _, recipe in recipes], []),
        ("objective", objective_items(seen), []),
        ("optimiser", *optimiser_items(seen, models)),
        ("schedule", *schedule_items(seen)),
        ("compute", compute_items(seen, models), []),
    ):
        if items:
            chunks.append(Chunk(role, "dict", tuple(items)))
        notes += found
    chunks += _settings(seen, settings)
    chunks += [arguments_chunk(built, notes) for built in seen.probes.seen if built.role == "arguments"]
    notes += find_traps(seen, models, recipes)
    if not seen.stepped:
        notes.append(Note("unseen", "", "no optimizer stepped, so this is what was built, not what is in force"))
    aliases = tuple(_below(paths, name) for name, recipe in recipes for paths in recipe.aliases)
    return Recipe(Chunk("recipe", CAPTURED, tuple(chunks)), aliases, place(root), tuple(dict.fromkeys(notes)))


def _below(paths: Iterable[Way], name: str) -> tuple[Way, ...]:
    return tuple(("model", name, *path) for path in paths)


def find_models(seen: Seen) -> list[tuple[str, Any]]:
    """Find the models: modules that lie in no other, have parameters, and are no loss; named as the code names them."""
    alive = list({id(module): module for ref in seen.modules if (module := ref()) is not None}.values())
    inner = {id(child) for module in alive for child in module._modules.values() if child is not None}
    losses = {id(built.made) for built in seen.probes.seen if built.role == "objective"}
    found: list[tuple[str, Any]] = []
    for module in alive:
        if id(module) in inner or id(module) in losses:
            continue
        if next(module.parameters(), None) is not None:
            inner |= {id(child) for child in module.modules()}
            found.append((_name(seen, module, [name for name, _ in found]), module))
    return found


def _name(seen: Seen, made: Any, taken: Sequence[str]) -> str:
    name = seen.names.get(id(made)) or type(made).__name__
    return name if name not in taken else f"{name} {sum(other.split(' ')[0] == name for other in taken) + 1}"


def objective_items(seen: Seen) -> list[Item]:
    """Describe losses: modules that were built, functions that were called."""
    found: list[Item] = []
    taken: list[str] = []
    for built in seen.probes.seen:
        if built.role == "objective":
            name = _name(seen, built.made, taken)
            taken.append(name)
            found.append(built_chunk(name, built))
    for called in seen.losses.values():
        options = [Setting(key, describe(value), Origin.SET, called.source) for key, value in called.options.items()]
        told = Setting("class", f"torch.nn.functional.{called.name}", Origin.SET, called.source)
        found.append(Chunk(called.name, "dict", (told, *options)))
    return found


def arguments_chunk(built: Built, notes: list[Note]) -> Chunk:
    """Describe an object of arguments: its constructor's, and of a dataclass what it made of them since."""
    cls = type(built.made)
    kind = f"object {cls.__module__}.{cls.__qualname__}"
    fields = getattr(cls, "__dataclass_fields__", None)
    if fields is None:
        items = [item for item in built_chunk("", built).items if getattr(item, "name", "") != "class"]
        return Chunk(cls.__name__, kind, tuple(items))
    return Chunk(cls.__name__, kind, tuple(_field(built, key, notes) for key in fields if hasattr(built.made, key)))


def _field(built: Built, key: str, notes: list[Note]) -> Item:
    """Describe one field of a dataclass as it is now, held against what the constructor was given."""
    cls = type(built.made)
    told = named(key, built.given.get(key, built.defaults.get(key)))
    now = named(key, getattr(built.made, key))
    if same_value(told, now):
        given = key in built.given
        origin, source = (Origin.SET, built.source) if given else (Origin.DEFAULT, version_of(cls))
    else:
        origin = Origin.REWRITTEN if key in built.given else Origin.DERIVED
        source = f"{cls.__name__}.__post_init__"
        if key in built.given:
            words = f"{key}={value_words(told)} ({built.source}) became {value_words(now)} in {source}"
            notes.append(Note("rewritten", f"{cls.__name__}.{key}", words))
    return from_value(key, now, lambda _: (origin, source))


def compute_items(seen: Seen, models: Sequence[tuple[str, Any]]) -> list[Item]:
    """Describe precision, kernels and determinism as they are set now."""
    from palate.capture.module import torch_module

    if not models:
        return []
    torch = torch_module()
    told = {
        "devices": sorted({str(p.device) for _, model in models for p in model.parameters()}),
        "dtypes": sorted({str(p.dtype).removeprefix("torch.") for _, m in models for p in m.parameters()}),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "allow_tf32": torch.backends.cudnn.allow_tf32,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
    }
    items: list[Item] = [Setting(key, value, Origin.DERIVED) for key, value in told.items()]
    built: list[str] = []
    for part in seen.probes.seen:
        if part.role == "compute":
            built.append(type(part.made).__name__)
            items.append(built_chunk(_numbered(type(part.made).__name__, built), part))
    return items


def _numbered(name: str, built: Sequence[str]) -> str:
    count = built.count(name)
    return name if count < 2 else f"{name} {count}"


def _settings(seen: Seen, settings: Mapping[str, Any] | None) -> list[Item]:
    """Give the script's own settings: as palate handed them over, else as the command line was parsed."""
    if settings:
        return [Chunk("settings", "dict", tuple(from_value(key, named(key, v)) for key, v in settings.items()))]
    found: list[Item] = []
    for number, (values, defaults) in enumerate(seen.parsed):
        items = []
        for key, value in values.items():
            origin = Origin.DEFAULT if value == defaults.get(key) else Origin.SET
            items.append(from_value(key, named(key, value), lambda _, o=origin: (o, "command line")))  # type: ignore[misc]
        name = "settings" if not number else f"settings {number + 1}"
        found.append(Chunk(name, "dict", tuple(items)))
    return found


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
