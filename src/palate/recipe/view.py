"""A recipe as lines for people: seven chunks, each with a summary, each of which opens level by level to all settings.

`view` makes the lines as a tree of nodes; `lines` writes them as text, `to_html` as HTML.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from palate.recipe.codec import Symbol, Tensor
from palate.recipe.fold import fold, unfold, value_at
from palate.recipe.groups import count_leaves, group, is_layer_again, name_of, ungroup
from palate.recipe.names import Named, Writer, slot_of
from palate.recipe.numbering import STRUCTURE
from palate.recipe.roles import CAPTURED, Own, by_lens, by_role
from palate.recipe.tree import (
    SEVEN,
    Aliases,
    Chunk,
    Group,
    Hole,
    Item,
    Origin,
    Repeat,
    Setting,
    children_of,
    leaves,
    path_text,
)
from palate.recipe.words import count_words, differs, kind_words, model_words, parameters, settings_of, value_words

_TIMES = re.compile(r"^\d+ x ")
"""How the label of a repeat begins."""

INLINE = 76
"""The most characters of a chunk's settings that its line shows; the rest is only counted."""

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


@dataclass(frozen=True, slots=True)
class Node:
    """One line of a view, and the lines that it opens to.

    Attributes:
        label: the name.
        words: a summary.
        settings: how many settings it contains.
        items: the lines that it opens to, at most seven.
        detail: whether it is a setting or a group of settings, which an outline of a model leaves out.
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
    """Return a recipe as at most seven lines, each of which opens.

    Args:
        root: the recipe's exact tree; a model alone opens to its layers.
        aliases: groups of paths; all paths of a group lead to the same object.
        name: what the first line shows behind the root's name: the start of the recipe's id.
        vocabulary: the person's own named chunks; a name is shown if it is shorter.
        own: the person's own sections.
        lens: "regularisation", "budget" or "size" shows the settings of this lens, and the rest.
    """
    if root.kind == "module" and not lens:
        return _model_node(root, aliases, str(root.name))
    parts = by_lens(root, lens) if lens else by_role(root, own)
    writer = Writer(vocabulary)
    nodes = [_role_node(role, part, root.kind == CAPTURED, aliases, writer) for role, part in parts.items()]
    if len(nodes) > SEVEN:  # all seven roles and `other`: `other` shares a line with `run`
        last = nodes[SEVEN - 1 :]
        words = "; ".join(node.words for node in last)
        nodes = [*nodes[: SEVEN - 1], Node("run, other", words, sum(n.settings for n in last), tuple(last))]
    return Node(str(root.name), name, sum(node.settings for node in nodes), tuple(nodes))


def _model_node(root: Chunk, aliases: Aliases, label: str) -> Node:
    nodes = _Opening("model", None).inside(group(fold(root)), ())
    if aliases:
        ties = [" = ".join(map(path_text, paths)) for paths in aliases]
        tied = ties[0] if len(ties) == 1 else f"{ties[0]} and {len(ties) - 1} more"
        nodes = _with_line(nodes, Node("tied", tied, 0))
    words = model_words(root, aliases)
    tensors = [s for s in root.items if isinstance(s, Setting) and isinstance(s.value, Tensor)]
    if tensors:
        words += f"; its own: {', '.join(f'{name_of(s)} {value_words(s.value)}' for s in tensors[:4])}"
    return Node(label, words, count_leaves(root), nodes)


def _with_line(nodes: tuple[Node, ...], line: Node) -> tuple[Node, ...]:
    """Add a line; if there are seven already, add its words to the last."""
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
    """Replace the chunk that has the role's own name by its items, so that the name is not shown twice."""
    items: list[Item] = []
    for item in part.items:
        items += item.items if isinstance(item, Chunk) and item.name == role else (item,)
    return replace(part, items=tuple(items), places=None)


def _role_words(role: str, part: Chunk, writer: Writer) -> str:
    """Summarise a chunk: by the person's own name for it, else by names for its parts and a summary of the rest."""
    written = writer.write(role, part, "")
    if written.named is not None:
        return _named_words(written.named, written.lines)
    names, rest = [], []
    for item in part.items:
        inner = writer.write(role, item, slot_of(item)) if isinstance(item, Chunk) else None
        if inner is not None and inner.named is not None:
            names.append(_named_words(inner.named, inner.lines))
        else:
            rest.append(item)
    words = summary(replace(part, items=tuple(rest), places=None))
    return ", ".join([*dict.fromkeys(names), *([words] if words else [])])


def _named_words(named: Named, lines: int) -> str:
    return named.name if lines == 1 else f"{named.name} + {lines - 1} changed"


def summary(part: Chunk) -> str:
    """Summarise a chunk in a line: the classes of its parts, then its plain settings."""
    kinds = (kind_words(item) for item in (part, *_chunks(part)))
    shown = list(dict.fromkeys(kind for kind in kinds if kind))[:2]
    for path, setting in leaves(part):
        if setting.name in STRUCTURE or type(setting.value) not in (int, float, bool, str) or len(shown) > 5:
            continue
        names = [str(key) for key in path if type(key) is not int]
        text = f"{names[-1] if names else path[-1]} {value_words(setting.value)}"
        if len(", ".join([*shown, text])) <= INLINE:
            shown.append(text)
    return ", ".join(shown)


def _chunks(part: Item) -> Iterator[Item]:
    for item in children_of(part):
        if isinstance(item, Chunk):
            yield item
            yield from _chunks(item)


@dataclass(frozen=True, slots=True)
class _Opening:
    """Makes the lines of folded and grouped items.

    In its methods, `env` is the member of each repeat around an item (always the first), and `counts` says how many
    members each of these repeats has.
    """

    role: str
    writer: Writer | None

    def inside(self, item: Item, env: tuple[int, ...], counts: tuple[int, ...] = ()) -> tuple[Node, ...]:
        return tuple(self.node(part, env, counts) for part in children_of(item))

    def node(self, item: Item, env: tuple[int, ...], counts: tuple[int, ...]) -> Node:
        if is_layer_again(item):
            return Node(_label(item, counts), f"the same as {_value(item.value, counts)}", 1)  # type: ignore[union-attr,arg-type]
        if isinstance(item, Setting):
            who = value_at(item.origin, env)
            origin = "" if who is Origin.SET else f"  ({who.value})"
            return Node(_label(item, counts), _value(item.value, counts) + origin, 1, detail=True)
        if isinstance(item, Repeat):
            return self._repeat(item, env, counts)
        opened = self.inside(item, env, counts)
        if isinstance(item, Group):
            words = _group_words(count_leaves(item))
            return Node(item.name, words, count_leaves(item), opened, all(node.detail for node in opened))
        return self._chunk(item, opened, env, counts)

    def _chunk(self, item: Chunk, opened: tuple[Node, ...], env: tuple[int, ...], counts: tuple[int, ...]) -> Node:
        label = _label(item, counts)
        if len(opened) == 1 and opened[0].items:
            only = opened[0]
            return replace(only, label=f"{label}.{only.label}")
        words = self._name(item) or inline(item, counts)
        words += _size_words(item, env)
        return Node(label, words, count_leaves(item), opened, detail=item.kind == "dict" and self.writer is None)

    def _name(self, item: Chunk) -> str:
        """Return the person's own name for a chunk, if it is shorter."""
        if self.writer is None or not self.writer.vocabulary or _has_holes(item):
            return ""
        written = self.writer.write(self.role, unfold(ungroup(item)), slot_of(item))  # type: ignore[arg-type]
        return "" if written.named is None else f"= {_named_words(written.named, written.lines)}"

    def _repeat(self, item: Repeat, env: tuple[int, ...], counts: tuple[int, ...]) -> Node:
        opened = self.inside(item, (*env, 0), (*counts, item.count))
        size = _size_words(item, env, " in all")
        if len(opened) == 1:
            only = opened[0]
            return replace(
                only, label=f"{item.count} x {only.label}", words=f"{only.words}{size}", settings=count_leaves(item)
            )
        kinds = Counter(_member_kinds(item.body))
        names = ", ".join(kind if number == 1 else f"{number} {kind}" for kind, number in kinds.items())
        return Node(f"{item.count} x ({names})", size.removeprefix(" · "), count_leaves(item), opened)


def _size_words(item: Item, env: tuple[int, ...], suffix: str = "") -> str:
    """Write how many parameters an item has, and how many of them are trained if not all are.

    If their shapes differ between the members of a repeat around the item, only the line of the repeat shows them.
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


def _has_holes(item: Item) -> bool:
    if isinstance(item, Setting):
        return isinstance(item.value, Hole)
    return isinstance(getattr(item, "name", None), Hole) or any(map(_has_holes, children_of(item)))


def inline(item: Chunk, counts: tuple[int, ...] = ()) -> str:
    """Write what a chunk is and its own settings, as many as fit in a line; count the rest."""
    line = kind_words(item)
    left = 0
    for setting in settings_of(item):
        if setting.name in STRUCTURE or setting.name == "says" or is_layer_again(setting):
            continue
        text = f"{name_of(setting)} {_value(setting.value, counts)}"
        if _is_shown(setting) and len(line) + len(text) < INLINE:
            line = f"{line}  {text}" if line else text
        else:
            left += 1
    return f"{line}  +{left}" if left else line


def _is_shown(setting: Setting) -> bool:
    """Return whether a line shows a setting; private, empty and switched off ones are only counted."""
    value = setting.value
    private = type(setting.name) is str and setting.name.startswith("_")
    nothing = value is None or value is False or (type(value) in (str, list, dict, set, tuple) and not value)
    attached = isinstance(value, Symbol) and value.kind == "reference" and value.text.startswith("attached.")
    return not private and not nothing and not attached


def _label(item: Setting | Chunk, counts: tuple[int, ...]) -> str:
    return _value(item.name, counts) if isinstance(item.name, Hole) else name_of(item)


def _value(value: object, counts: tuple[int, ...]) -> str:
    count = counts[value.level] if isinstance(value, Hole) and value.level < len(counts) else 0
    return value_words(value, count)


def lines(node: Node, *, depth: int = 1, details: bool = True, indent: str = "") -> list[str]:
    """Write a view as lines, opened `depth` levels deep.

    Args:
        node: the view.
        depth: how many levels are opened.
        details: whether settings have lines of their own.
        indent: what each line starts with.
    """
    written = [f"{indent}{node.label}  {node.words}".rstrip()]
    shown = [item for item in node.items if details or not item.detail]
    if depth > 0:
        width = min(24, max((len(item.label) for item in shown), default=0))
        for item in shown:
            padded = replace(item, label=f"{item.label:<{width}}")
            written += lines(padded, depth=depth - 1, details=details, indent=f"{indent}  ")
    return written


def open_at(node: Node, path: str) -> Node | None:
    """Find a line by the labels that lead to it, with dots between them; repeats and groups may be left out."""
    if not path:
        return node
    for item in node.items:
        label = _TIMES.sub("", item.label)
        if path == label or path.startswith(f"{label}."):
            opened = open_at(item, path[len(label) + 1 :])
            if opened is not None:
                return opened
    through = (open_at(item, path) for item in node.items if _may_be_left_out(item))
    return next((line for line in through if line is not None), None)


def _may_be_left_out(line: Node) -> bool:
    """Return whether a line has a name that the recipe does not have: a group, a row of layers, two chunks' line."""
    return bool(line.items) and (line.words == _group_words(line.settings) or "(" in line.label or " " in line.label)


def _group_words(settings: int) -> str:
    return f"{settings} settings"


def to_html(node: Node, *, notes: tuple[str, ...] = (), depth: int = 1) -> str:
    """Write a view as HTML.

    Args:
        node: the view.
        notes: warnings that are shown above the tree.
        depth: how many levels are open at first.
    """
    notes_html = "".join(f'<div class="note">{escape(note)}</div>' for note in notes)
    return f'<div class="palate-recipe"><style>{STYLE}</style>{notes_html}{_node(node, depth)}</div>'


def _node(node: Node, depth: int) -> str:
    name = f"<b>{escape(node.label)}</b> "
    words = f'<span class="words">{escape(node.words)}</span>'
    if not node.items:
        return f'<div class="leaf">{name}{words}</div>'
    count = f' <span class="count">{node.settings}</span>'
    inside = "".join(_node(item, depth - 1) for item in node.items)
    return f"<details{' open' if depth > 0 else ''}><summary>{name}{words}{count}</summary>{inside}</details>"


def page(body: str, title: str) -> str:
    """Return a complete HTML page around a tree."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>"
