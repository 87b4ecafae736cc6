"""The recipe of a training at its first optimizer step.

Live objects are compared with the arguments that built them; notes tell of traps: values that code changed, frozen
parameters, and parameters that no optimizer trains.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from palate.capture.datasets import data_items
from palate.capture.describe import built_chunk, named, numbered_name, version_of
from palate.capture.module import module_recipe, torch_module
from palate.capture.observe import Seen
from palate.capture.optimisers import live_optimisers, optimiser_items, schedule_items
from palate.capture.place import place
from palate.capture.probes import Built
from palate.recipe.recipe import Recipe
from palate.recipe.roles import CAPTURED
from palate.recipe.tree import Chunk, Item, Note, Origin, Setting
from palate.recipe.tree import Path as TreePath
from palate.recipe.values import from_value, same_value
from palate.recipe.words import count_words, value_words


def snapshot(
    seen: Seen,
    *,
    settings: Mapping[str, Any] | None = None,
    home: Path | None = None,
    folder: Path | None = None,
) -> Recipe:
    """Make the recipe of a training from everything that was seen until the first step.

    Args:
        seen: what was built and called.
        settings: the settings that the run was started with.
        home: palate's own folder; its files are not data.
        folder: where the person works; the working folder if None.
    """
    root = folder or Path.cwd()
    hashes = seen.files.hashes(root).items()
    files = {name: content for name, content in hashes if home is None or not (root / name).is_relative_to(home)}
    models = find_models(seen)
    recipes = [(name, module_recipe(model, name)) for name, model in models]
    chunks: list[Item] = []
    notes: list[Note] = []
    for role, items, role_notes in (
        ("data", *data_items(seen, files)),
        ("model", [recipe.root for _, recipe in recipes], []),
        ("objective", objective_items(seen), []),
        ("optimiser", *optimiser_items(seen, models)),
        ("schedule", *schedule_items(seen)),
        ("compute", compute_items(seen, models), []),
    ):
        if items:
            chunks.append(Chunk(role, "dict", tuple(items)))
        notes += role_notes
    chunks += _settings(seen, settings)
    chunks += [arguments_chunk(built, notes) for built in seen.probes.seen if built.role == "arguments"]
    notes += find_traps(seen, models, recipes)
    if not seen.stepped:
        notes.append(Note("unseen", "", "no optimizer stepped, so this is what was built, not what is in force"))
    aliases = tuple(_below(paths, name) for name, recipe in recipes for paths in recipe.aliases)
    return Recipe(Chunk("recipe", CAPTURED, tuple(chunks)), aliases, place(root), tuple(dict.fromkeys(notes)))


def _below(paths: Iterable[TreePath], name: str) -> tuple[TreePath, ...]:
    return tuple(("model", name, *path) for path in paths)


def _settings(seen: Seen, settings: Mapping[str, Any] | None) -> list[Item]:
    """Return the script's own settings: those that palate gave it, else those of the command line."""
    if settings:
        return [Chunk("settings", "dict", tuple(from_value(key, named(key, v)) for key, v in settings.items()))]
    chunks: list[Item] = []
    for number, (values, defaults) in enumerate(seen.parsed):
        items = []
        for key, value in values.items():
            origin = Origin.DEFAULT if value == defaults.get(key) else Origin.SET
            items.append(from_value(key, named(key, value), lambda _, o=origin: (o, "command line")))  # type: ignore[misc]
        name = "settings" if not number else f"settings {number + 1}"
        chunks.append(Chunk(name, "dict", tuple(items)))
    return chunks


def find_models(seen: Seen) -> list[tuple[str, Any]]:
    """Find the models with their names in the code: modules with parameters, not losses, not inside another module."""
    alive = list({id(module): module for ref in seen.modules if (module := ref()) is not None}.values())
    inner = {id(child) for module in alive for child in module._modules.values() if child is not None}
    losses = {id(built.made) for built in seen.probes.seen if built.role == "objective"}
    models: list[tuple[str, Any]] = []
    for module in alive:
        if id(module) in inner or id(module) in losses:
            continue
        if next(module.parameters(), None) is not None:
            inner |= {id(child) for child in module.modules()}
            models.append((_name(seen, module, [name for name, _ in models]), module))
    return models


def objective_items(seen: Seen) -> list[Item]:
    """Describe the losses: modules that were built, and functions that were called."""
    items: list[Item] = []
    taken: list[str] = []
    for built in seen.probes.seen:
        if built.role == "objective":
            name = _name(seen, built.made, taken)
            taken.append(name)
            items.append(built_chunk(name, built))
    for called in seen.losses.values():
        options = [Setting(key, named(key, value), Origin.SET, called.source) for key, value in called.options.items()]
        class_setting = Setting("class", f"torch.nn.functional.{called.name}", Origin.SET, called.source)
        items.append(Chunk(called.name, "dict", (class_setting, *options)))
    return items


def _name(seen: Seen, made: Any, taken: Sequence[str]) -> str:
    name = seen.names.get(id(made)) or type(made).__name__
    return name if name not in taken else f"{name} {sum(known.split(' ')[0] == name for known in taken) + 1}"


def arguments_chunk(built: Built, notes: list[Note]) -> Chunk:
    """Describe an object of arguments: those of its constructor, or the fields of a dataclass as they are now."""
    cls = type(built.made)
    kind = f"object {cls.__module__}.{cls.__qualname__}"
    fields = getattr(cls, "__dataclass_fields__", None)
    if fields is None:
        items = [item for item in built_chunk("", built).items if getattr(item, "name", "") != "class"]
        return Chunk(cls.__name__, kind, tuple(items))
    return Chunk(cls.__name__, kind, tuple(_field(built, key, notes) for key in fields if hasattr(built.made, key)))


def _field(built: Built, key: str, notes: list[Note]) -> Item:
    """Describe one field of a dataclass as it is now; note if it differs from the argument of the constructor."""
    cls = type(built.made)
    constructed = named(key, built.given.get(key, built.defaults.get(key)))
    now = named(key, getattr(built.made, key))
    if same_value(constructed, now):
        given = key in built.given
        origin, source = (Origin.SET, built.source) if given else (Origin.DEFAULT, version_of(cls))
    else:
        origin = Origin.REWRITTEN if key in built.given else Origin.DERIVED
        source = f"{cls.__name__}.__post_init__"
        if key in built.given:
            words = f"{key}={value_words(constructed)} ({built.source}) became {value_words(now)} in {source}"
            notes.append(Note("rewritten", f"{cls.__name__}.{key}", words))
    return from_value(key, now, lambda _: (origin, source))


def compute_items(seen: Seen, models: Sequence[tuple[str, Any]]) -> list[Item]:
    """Describe devices, precision, kernels and determinism as they are set now."""
    if not models:
        return []
    torch = torch_module()
    facts = {
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
    items: list[Item] = [Setting(key, value, Origin.DERIVED) for key, value in facts.items()]
    built: list[str] = []
    for part in seen.probes.seen:
        if part.role == "compute":
            built.append(type(part.made).__name__)
            items.append(built_chunk(numbered_name(built[-1], built), part))
    return items


def find_traps(seen: Seen, models: Sequence[tuple[str, Any]], recipes: Sequence[tuple[str, Recipe]]) -> list[Note]:
    """Return notes on parameters that are frozen, frozen but in an optimizer, or in no optimizer, and on ties."""
    optimizers = [part.made for part in live_optimisers(seen)]
    in_optimizers = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    notes: list[Note] = []
    for name, model in models:
        parameters = list(model.named_parameters())
        frozen = [(path, p) for path, p in parameters if not p.requires_grad]
        forgotten = [(path, p) for path, p in parameters if p.requires_grad and id(p) not in in_optimizers]
        idle = [path for path, p in frozen if id(p) in in_optimizers]
        if frozen:
            notes.append(Note("frozen", f"model.{name}", f"{_share(frozen, parameters)} frozen: {_first(frozen)}"))
        if idle:
            words = f"an optimizer holds {len(idle)} frozen tensors, which it never moves: {idle[0]}"
            notes.append(Note("frozen", f"model.{name}", words))
        if forgotten and in_optimizers:
            words = f"{_share(forgotten, parameters)} in no optimizer, so never trained: {_first(forgotten)}"
            notes.append(Note("untrained", f"model.{name}", words))
    notes += [note for _, recipe in recipes for note in recipe.notes]
    return notes


def _share(part: Sequence[tuple[str, Any]], whole: Sequence[tuple[str, Any]]) -> str:
    sizes = [sum(p.numel() for _, p in some) for some in (part, whole)]
    return f"{count_words(sizes[0])} of {count_words(sizes[1])} parameters ({len(part)} tensors)"


def _first(part: Sequence[tuple[str, Any]]) -> str:
    return part[0][0] if len(part) == 1 else f"{part[0][0]} ... {part[-1][0]}"
