"""The seven chunks: which one each setting of a recipe belongs to, and lenses that regroup the same settings."""

import re
from collections.abc import Mapping

from palate.recipe.codec import Symbol
from palate.recipe.groups import Label, split
from palate.recipe.lexicon import OTHER, ROLES, Table, normal_path, role_of_path, table_of
from palate.recipe.numbering import STRUCTURE
from palate.recipe.tree import Chunk, Origin, Path, Setting, name_key

CAPTURED = "object recipe"
"""The kind of a recipe that was captured: its chunks are named after what the objects themselves are."""

Own = Mapping[str, str]
"""A person's own sections, by name, and the chunk that they belong to."""


def role_label(root: Chunk, own: Own | None = None) -> Label:
    """Give the function that says which chunk each setting of `root` belongs to.

    Strongest first: a chunk that is named after a role (what capturing found an optimizer to be), the table of the
    framework whose fields they are, the person's own sections, the words of the path; else `other`.
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


Claims = Mapping[Path, Table | str]
"""Chunks whose settings all belong to one role, or are told apart by a table, by their paths."""


def _claimed(claims: Claims, path: Path) -> str | None:
    """Find what lays claim to a setting, the innermost chunk first."""
    for depth in range(len(path) - 1, -1, -1):
        claim = claims.get(tuple(map(name_key, path[:depth])))
        if isinstance(claim, str):
            return claim
        if claim and path[depth] in claim:
            return claim[path[depth]]
    return None


_OWNERS = (
    ("torch.optim.lr_scheduler.", "schedule"),
    ("torch.optim.swa_utils.", "model"),
    ("torch.optim.", "optimiser"),
    ("torch.nn.modules.loss.", "objective"),
    ("torch.nn.functional.", "objective"),
    ("torch.utils.data.", "data"),
    ("transformers.optimization.", "optimiser"),
)
"""What objects of a package are, by the beginning of their class's name."""


def _owners(chunk: Chunk, path: Path) -> list[tuple[Path, Table | str]]:
    """Find chunks that say which class they are made by; all that lies in one is that class's."""
    found: list[tuple[Path, Table | str]] = []
    for item in chunk.items:
        if isinstance(item, Setting) and item.name in STRUCTURE:
            text = item.value.text if isinstance(item.value, Symbol) else item.value
            owner = next((r for start, r in _OWNERS if isinstance(text, str) and text.startswith(start)), "")
            if not owner and isinstance(text, str) and text.startswith("torch.nn.") and text.endswith("Loss"):
                owner = "objective"
            if owner:
                return [(tuple(map(name_key, path)), owner)]
        elif isinstance(item, Chunk) and item.kind != "module":
            found += _owners(item, (*path, item.name))
    return found


def _tables(chunk: Chunk, path: Path) -> list[tuple[Path, Table | str]]:
    names = [item.name for item in chunk.items]  # type: ignore[union-attr]
    table = table_of(chunk.kind, names)
    found: list[tuple[Path, Table | str]] = [(tuple(map(name_key, path)), table)] if table else []
    for item in chunk.items:
        if isinstance(item, Chunk) and item.kind != "module":
            found += _tables(item, (*path, item.name))
    return found


def by_role(root: Chunk, own: Own | None = None) -> dict[str, Chunk]:
    """Split a recipe into its seven chunks, and `other` where anything is left; `merge` undoes it."""
    parts = split(root, role_label(root, own))
    return {role: parts[role] for role in (*ROLES, OTHER) if role in parts}


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


def by_lens(root: Chunk, lens: str) -> dict[str, Chunk]:
    """Split a recipe into what a lens looks at (regularisation, budget, size) and the rest; `merge` undoes it."""
    pattern = _PATTERNS[lens]
    parts = split(root, lambda path, _: lens if pattern.search(normal_path(path)) else "rest")
    return {name: parts[name] for name in (lens, "rest") if name in parts}
