"""A recipe as lines: seven chunks with what they come to, each of which opens, level by level, to all it stands for."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from palate.recipe.codec import Symbol, Tensor
from palate.recipe.fold import fold, unfold, value_at
from palate.recipe.groups import SETTINGS, count_leaves, group, name_of, ungroup
from palate.recipe.names import Named, Writer, slot_of
from palate.recipe.numbering import STRUCTURE
from palate.recipe.roles import CAPTURED, Own, by_lens, by_role
from palate.recipe.tree import SEVEN, Aliases, Chunk, Group, Hole, Item, Origin, Repeat, Setting, leaves, path_text
from palate.recipe.words import count_words, differs, kind_words, model_words, parameters, settings_of, value_words

INLINE = 76
"""Characters of settings that stand behind a chunk's name before the rest is only counted."""


@dataclass(frozen=True, slots=True)
class Node:
    """One line of a view, and the lines that it opens to.

    Attributes:
        label: the name.
        words: what it comes to, in a line.
        settings: how many settings it stands for.
        items: what it opens to; at most seven.
        detail: whether it is a setting, or a group of them: what an outline of a model leaves out.
    """

    label: str
    words: str
    settings: int
    items: "tuple[Node, ...]" = ()
    detail: bool = False


def view(
    root: Chunk,
    aliases: Aliases = (),
    *,
    name: str = "",
    vocabulary: Sequence[Named] = (),
    own: Own | None = None,
    lens: str = "",
) -> Node:
    """Return a recipe as seven lines at most, each of which opens.

    Args:
        root: the recipe's exact tree; a model alone opens to its layers.
        aliases: paths that lead to one and the same thing, a group each.
        name: what stands behind its first line: the start of the recipe's id.
        vocabulary: the person's own words, which stand where they are shorter.
        own: the person's own sections.
        lens: regularisation, budget or size: what it looks at, and the rest.
    """
    if root.kind == "module":
        return _model_node(root, aliases, str(root.name))
    parts = by_lens(root, lens) if lens else by_role(root, own)
    writer = Writer(vocabulary)
    nodes = [_role_node(role, part, root.kind == CAPTURED, aliases, writer) for role, part in parts.items()]
    if len(nodes) > SEVEN:  # all seven, and what no lexicon knows: shown with what is learned least from
        last = nodes[SEVEN - 1 :]
        words = "; ".join(node.words for node in last)
        nodes = [*nodes[: SEVEN - 1], Node("run, other", words, sum(n.settings for n in last), tuple(last))]
    return Node(str(root.name), name, sum(node.settings for node in nodes), tuple(nodes))


def _model_node(root: Chunk, aliases: Aliases, label: str) -> Node:
    nodes = _Opening("model", None).inside(group(fold(root)), ())
    if aliases:
        ties = [" = ".join(map(path_text, paths)) for paths in aliases]
        told = ties[0] if len(ties) == 1 else f"{ties[0]} and {len(ties) - 1} more"
        nodes = _with_line(nodes, Node("tied", told, 0))
    words = model_words(root, aliases)
    tensors = [s for s in root.items if isinstance(s, Setting) and isinstance(s.value, Tensor)]
    if tensors:
        words += f"; its own: {', '.join(f'{name_of(s)} {value_words(s.value)}' for s in tensors[:4])}"
    return Node(label, words, count_leaves(root), nodes)


def _with_line(nodes: tuple[Node, ...], line: Node) -> tuple[Node, ...]:
    """Add a line; where there are seven already, behind the settings."""
    if len(nodes) < SEVEN:
        return (*nodes, line)
    last = nodes[-1]
    return (*nodes[:-1], replace(last, words=f"{last.words}; tied: {line.words}"))


def _role_node(role: str, part: Chunk, captured: bool, aliases: Aliases, writer: Writer) -> Node:
    part = _hoisted(role, part) if captured else part
    models = [item for item in part.items if isinstance(item, Chunk) and item.kind == "module"]
    if role == "model" and len(models) == len(part.items) == 1:
        return _model_node(models[0], aliases, role)
    words = _role_words(role, part, writer)
    return Node(role, words, count_leaves(part), _Opening(role, writer).inside(group(fold(part)), ()))


def _hoisted(role: str, part: Chunk) -> Chunk:
    """Show what lies in the chunk that is named after the role without that name once more."""
    items: list[Item] = []
    for item in part.items:
        items += item.items if isinstance(item, Chunk) and item.name == role else (item,)
    return replace(part, items=tuple(items), places=None)


def _role_words(role: str, part: Chunk, writer: Writer) -> str:
    """Say what a chunk comes to: the person's own word for it, else words for its parts and a summary of the rest."""
    written = writer.write(role, part, "")
    if written.named is not None:
        return _named_words(written.named, written.lines)
    told, rest = [], []
    for item in part.items:
        inner = writer.write(role, item, slot_of(item)) if isinstance(item, Chunk) else None
        if inner is not None and inner.named is not None:
            told.append(_named_words(inner.named, inner.lines))
        else:
            rest.append(item)
    words = summary(replace(part, items=tuple(rest), places=None))
    return ", ".join([*dict.fromkeys(told), *([words] if words else [])])


def _named_words(named: Named, lines: int) -> str:
    return named.name if lines == 1 else f"{named.name} + {lines - 1} changed"


def summary(part: Chunk) -> str:
    """Say in a line what a chunk of a recipe comes to: what it is made of, then its plain settings."""
    kinds = (kind_words(item) for item in (part, *_chunks(part)))
    told = list(dict.fromkeys(kind for kind in kinds if kind))[:2]
    for path, setting in leaves(part):
        if setting.name in STRUCTURE or type(setting.value) not in (int, float, bool, str) or len(told) > 5:
            continue
        names = [str(key) for key in path if type(key) is not int]
        text = f"{names[-1] if names else path[-1]} {value_words(setting.value)}"
        if len(", ".join([*told, text])) <= INLINE:
            told.append(text)
    return ", ".join(told)


def _chunks(part: Item) -> Iterator[Item]:
    for item in getattr(part, "items", ()):
        if isinstance(item, Chunk):
            yield item
            yield from _chunks(item)


@dataclass(frozen=True, slots=True)
class _Opening:
    """Makes the lines of folded and grouped items; `env` has the first member of every repeat around them."""

    role: str
    writer: Writer | None

    def inside(self, item: Item, env: tuple[int, ...], counts: tuple[int, ...] = ()) -> tuple[Node, ...]:
        held = item.body if isinstance(item, Repeat) else getattr(item, "items", ())
        return tuple(self.node(part, env, counts) for part in held)

    def node(self, item: Item, env: tuple[int, ...], counts: tuple[int, ...]) -> Node:
        if isinstance(item, Setting):
            who = value_at(item.origin, env)
            origin = "" if who is Origin.SET else f"  ({who.value})"
            return Node(_label(item, counts), _value(item.value, counts) + origin, 1, detail=True)
        if isinstance(item, Repeat):
            return self._repeat(item, env, counts)
        held = self.inside(item, env, counts)
        if isinstance(item, Group):
            words = f"{count_leaves(item)} settings"
            return Node(item.name, words, count_leaves(item), held, all(node.detail for node in held))
        return self._chunk(item, held, env, counts)

    def _chunk(self, item: Chunk, held: tuple[Node, ...], env: tuple[int, ...], counts: tuple[int, ...]) -> Node:
        label = _label(item, counts)
        if len(held) == 1 and held[0].items:
            only = held[0]
            return replace(only, label=f"{label}.{only.label}")
        words = self._name(item) or inline(item, counts)
        words += _size_words(item, env)
        return Node(label, words, count_leaves(item), held, detail=item.kind == "dict" and self.writer is None)

    def _name(self, item: Chunk) -> str:
        """Give the person's own word for a chunk, where it is shorter."""
        if self.writer is None or not self.writer.vocabulary or _has_holes(item):
            return ""
        written = self.writer.write(self.role, unfold(ungroup(item)), slot_of(item))  # type: ignore[arg-type]
        return "" if written.named is None else f"= {_named_words(written.named, written.lines)}"

    def _repeat(self, item: Repeat, env: tuple[int, ...], counts: tuple[int, ...]) -> Node:
        held = self.inside(item, (*env, 0), (*counts, item.count))
        size = _size_words(item, env, " in all")
        if len(held) == 1:
            only = held[0]
            return replace(
                only, label=f"{item.count} x {only.label}", words=f"{only.words}{size}", settings=count_leaves(item)
            )
        kinds = Counter(_member_kinds(item.body))
        names = ", ".join(kind if number == 1 else f"{number} {kind}" for kind, number in kinds.items())
        return Node(f"{item.count} x ({names})", size.removeprefix(" · "), count_leaves(item), held)


def _size_words(item: Item, env: tuple[int, ...], suffix: str = "") -> str:
    """Say how many parameters an item has, and how many of them are trained where not all are.

    Where shapes differ between the members of a repeat around it, only the repeat's own line says it, for all.
    """
    if env and differs(item):
        return ""
    total, trained = parameters(item, env), parameters(item, env, trained=True)
    if not total:
        return ""
    frozen = "" if trained == total else " frozen" if not trained else f", {count_words(trained)} trained"
    return f" · {count_words(total)}{suffix}{frozen}"


def _member_kinds(items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Group):
            yield from _member_kinds(item.items)
        elif isinstance(item, Repeat):
            yield from (kind for kind in _member_kinds(item.body) for _ in range(item.count))
        else:
            yield kind_words(item) or name_of(item)


def _value(value: object, counts: tuple[int, ...]) -> str:
    count = counts[value.level] if isinstance(value, Hole) and value.level < len(counts) else 0
    return value_words(value, count)


def _label(item: Setting | Chunk, counts: tuple[int, ...]) -> str:
    return _value(item.name, counts) if isinstance(item.name, Hole) else name_of(item)


def _has_holes(item: Item) -> bool:
    if isinstance(item, Setting):
        return isinstance(item.value, Hole)
    held = item.body if isinstance(item, Repeat) else getattr(item, "items", ())
    return isinstance(getattr(item, "name", None), Hole) or any(map(_has_holes, held))


def inline(item: Chunk, counts: tuple[int, ...] = ()) -> str:
    """Write what a chunk is and its own settings behind it, as many as a line takes; the rest is counted."""
    told = kind_words(item)
    left = 0
    for setting in settings_of(item):
        if setting.name in STRUCTURE or setting.name == "says":
            continue
        text = f"{name_of(setting)} {_value(setting.value, counts)}"
        if _worth_a_word(setting) and len(told) + len(text) < INLINE:
            told = f"{told}  {text}" if told else text
        else:
            left += 1
    return f"{told}  +{left}" if left else told


def _worth_a_word(setting: Setting) -> bool:
    """What a framework only keeps for itself, and what is off, is counted, not told."""
    value = setting.value
    private = type(setting.name) is str and setting.name.startswith("_")
    nothing = value is None or value is False or (type(value) in (str, list, dict, set, tuple) and not value)
    attached = isinstance(value, Symbol) and value.kind == "reference" and value.text.startswith("attached.")
    return not private and not nothing and not attached


def lines(node: Node, *, depth: int = 1, details: bool = True, indent: str = "") -> list[str]:
    """Write a view as lines, opened `depth` levels deep.

    Args:
        node: the view.
        depth: how many levels are opened.
        details: whether settings get lines of their own; without, they stand behind their layer's name alone.
        indent: what stands before each line.
    """
    told = [f"{indent}{node.label}  {node.words}".rstrip()]
    shown = [item for item in node.items if details or not item.detail]
    if depth > 0:
        width = min(24, max((len(item.label) for item in shown), default=0))
        for item in shown:
            padded = replace(item, label=f"{item.label:<{width}}")
            told += lines(padded, depth=depth - 1, details=details, indent=f"{indent}  ")
    return told


def open_at(node: Node, path: str) -> Node | None:
    """Find a line by the labels that lead to it, with dots between them; repeats and groups may be left out."""
    if not path:
        return node
    for item in node.items:
        label = item.label.partition(" x ")[2] if item.label[:1].isdigit() and " x " in item.label else item.label
        if path == label or path.startswith(f"{label}."):
            return open_at(item, path[len(label) + 1 :])
    through = (
        open_at(item, path) for item in node.items if item.label == SETTINGS or "(" in item.label or " " in item.label
    )
    return next((found for found in through if found is not None), None)


STYLE = """
.palate-recipe{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;color-scheme:light dark;max-width:100ch}
.palate-recipe summary{cursor:pointer;list-style-position:outside}
.palate-recipe details>*:not(summary){margin-left:1.4em}
.palate-recipe .leaf{padding-left:1.1em}
.palate-recipe b{font-weight:600}
.palate-recipe .words{opacity:.75}
.palate-recipe .count{opacity:.45}
.palate-recipe .note{border-left:3px solid #c80;padding-left:.6em;margin:.2em 0}
"""


def to_html(node: Node, *, notes: tuple[str, ...] = (), depth: int = 1) -> str:
    """Write a view as HTML.

    Args:
        node: the view.
        notes: what is not as it looks, told above the tree.
        depth: levels that are open at first.
    """
    told = "".join(f'<div class="note">{escape(note)}</div>' for note in notes)
    return f'<div class="palate-recipe"><style>{STYLE}</style>{told}{_node(node, depth)}</div>'


def _node(node: Node, depth: int) -> str:
    name = f"<b>{escape(node.label)}</b> "
    words = f'<span class="words">{escape(node.words)}</span>'
    if not node.items:
        return f'<div class="leaf">{name}{words}</div>'
    count = f' <span class="count">{node.settings}</span>'
    inside = "".join(_node(item, depth - 1) for item in node.items)
    return f"<details{' open' if depth > 0 else ''}><summary>{name}{words}{count}</summary>{inside}</details>"


def page(body: str, title: str) -> str:
    """Put a tree into a page of its own."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>"
