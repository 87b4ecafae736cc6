"""A recipe as a tree that opens, in one piece of HTML: no script, no request, light and dark."""

from html import escape

from palate.recipe.outline import Node

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
