"""The seven chunks of a recipe, and lenses, which show the same settings in other groups."""

import re
from collections.abc import Mapping

from palate.recipe.codec import Symbol
from palate.recipe.groups import Label, split
from palate.recipe.lexicon import OTHER, ROLES, FieldTable, normal_path, role_of_path, table_of
from palate.recipe.numbering import STRUCTURE
from palate.recipe.tree import Chunk, Origin, Path, Setting, name_key

CAPTURED = "object recipe"
"""The kind of a captured recipe; its chunks have the names of the roles already."""

Own = Mapping[str, str]
"""The roles of a person's own sections, by the sections' names."""

Claims = Mapping[Path, FieldTable | str]
"""Chunks that decide the role of all their settings: by one role, or by a field table; by their paths."""

_OWNERS = (
    ("torch.optim.lr_scheduler.", "schedule"),
    ("torch.optim.swa_utils.", "model"),
    ("torch.optim.", "optimiser"),
    ("torch.nn.modules.loss.", "objective"),
    ("torch.nn.functional.", "objective"),
    ("torch.utils.data.", "data"),
    ("transformers.optimization.", "optimiser"),
)
"""The roles of the objects of a package, by the beginning of their class's name."""

_LENSES = {
    "regularisation": r"weight_decay|\bwd$|dropout|drop_|_drop\b|drop_path|label_smooth|smoothing|augment|mixup|cutmix"
    r"|noise|early_stop|patience|clip|ema|l2|stochastic_depth|erasing|penalty|\breg",
    "budget": r"epoch|max_steps|num_steps|\bsteps$|iters|iterations|max_time|duration|tokens|batch_?size|accumulation"
    r"|limit_train|timesteps",
    "size": r"layers|heads|\bdim|_dim|hidden|embed|width|depth|channels|vocab_size|experts|kernel_size|patch_size"
    r"|features|intermediate|n_embd|d_model|rank",
}
LENSES = tuple(_LENSES)
_PATTERNS = {name: re.compile(pattern) for name, pattern in _LENSES.items()}


def role_label(root: Chunk, own: Own | None = None) -> Label:
    """Return the function that says the role of each setting of `root`.

    The first of these decides: the chunk of a captured recipe, the class of an object around it, a framework's field
    table, the person's own sections, the words of the path; else the role is `other`. Ambient settings that no class or
    table claims are `compute`.
    """
    captured = root.kind == CAPTURED
    claims = dict([*_tables(root, ()), *_owners(root, ())])
    mine = dict(own or {})

    def label(path: Path, setting: Setting) -> str:
        if captured and path and path[0] in ROLES:
            return str(path[0])
        claimed = _claimed(claims, path) if claims else None
        if claimed or setting.origin is Origin.AMBIENT:
            return claimed or "compute"
        return mine[str(path[0])] if mine and path and str(path[0]) in mine else role_of_path(path)

    return label


def _claimed(claims: Claims, path: Path) -> str | None:
    """Find the role that a chunk around a setting decides, the innermost chunk first."""
    for depth in range(len(path) - 1, -1, -1):
        claim = claims.get(tuple(map(name_key, path[:depth])))
        if isinstance(claim, str):
            return claim
        if claim and path[depth] in claim:
            return claim[path[depth]]
    return None


def _tables(chunk: Chunk, path: Path) -> list[tuple[Path, FieldTable | str]]:
    names = [item.name for item in chunk.items]  # type: ignore[union-attr]
    table = table_of(chunk.kind, names)
    claims: list[tuple[Path, FieldTable | str]] = [(tuple(map(name_key, path)), table)] if table else []
    for item in chunk.items:
        if isinstance(item, Chunk) and item.kind != "module":
            claims += _tables(item, (*path, item.name))
    return claims


def _owners(chunk: Chunk, path: Path) -> list[tuple[Path, FieldTable | str]]:
    """Find chunks that name a class with a known role; all their settings have that role."""
    claims: list[tuple[Path, FieldTable | str]] = []
    for item in chunk.items:
        if isinstance(item, Setting) and item.name in STRUCTURE:
            text = item.value.text if isinstance(item.value, Symbol) else item.value
            owner = next((r for start, r in _OWNERS if isinstance(text, str) and text.startswith(start)), "")
            if not owner and isinstance(text, str) and text.startswith("torch.nn.") and text.endswith("Loss"):
                owner = "objective"
            if owner:
                return [(tuple(map(name_key, path)), owner)]
        elif isinstance(item, Chunk) and item.kind != "module":
            claims += _owners(item, (*path, item.name))
    return claims


def by_role(root: Chunk, own: Own | None = None) -> dict[str, Chunk]:
    """Split a recipe into its seven chunks, and `other` if any settings are left."""
    parts = split(root, role_label(root, own))
    return {role: parts[role] for role in (*ROLES, OTHER) if role in parts}


def by_lens(root: Chunk, lens: str) -> dict[str, Chunk]:
    """Split a recipe into the settings that a lens looks at (regularisation, budget, size) and the rest."""
    pattern = _PATTERNS[lens]
    parts = split(root, lambda path, _: lens if pattern.search(normal_path(path)) else "rest")
    return {name: parts[name] for name in (lens, "rest") if name in parts}
