"""Find circles of imports between the files of a package: .venv/bin/python scripts/circles.py; exit status 1 if any.

A file that imports another has an arrow to it, wherever the import stands: at the top, under `if TYPE_CHECKING:`, or
inside a function. What goes round in a circle can only be understood whole. `from package.part import thing` is an
arrow to the file of `package.part.thing` where there is one, else to that of `package.part`; that Python also executes
the packages above a module is no arrow, since nothing is asked of them.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

Arrows = Mapping[str, frozenset[str]]


def read_arrows(package: Path) -> dict[str, frozenset[str]]:
    """Read which file imports which, both by the dotted names of their modules."""
    files = {_module_of(file, package): file for file in sorted(package.rglob("*.py"))}
    return {name: frozenset(_imported(name, file, files) - {name}) for name, file in files.items()}


def find_circles(arrows: Arrows) -> list[list[str]]:
    """Give the sets of modules that reach each other by arrows (Tarjan), each sorted, the largest first."""
    walk = _Walk(arrows)
    for name in arrows:
        if name not in walk.found:
            walk.visit(name)
    return sorted(walk.circles, key=lambda circle: (-len(circle), circle))


def arrows_within(circle: list[str], arrows: Arrows) -> list[tuple[str, str]]:
    """Give the arrows between the modules of a circle."""
    return [(one, other) for one in circle for other in sorted(arrows[one]) if other in circle]


class _Walk:
    """Tarjan's walk: a module closes a circle where it reaches nothing that was found before it."""

    def __init__(self, arrows: Arrows) -> None:
        self.arrows = arrows
        self.found: dict[str, int] = {}
        self.circles: list[list[str]] = []
        self._lowest: dict[str, int] = {}
        self._open: list[str] = []

    def visit(self, name: str) -> None:
        """Walk on from a module that was not found yet."""
        self.found[name] = self._lowest[name] = len(self.found)
        self._open.append(name)
        for other in sorted(self.arrows[name]):
            if other not in self.found:
                self.visit(other)
                self._lowest[name] = min(self._lowest[name], self._lowest[other])
            elif other in self._open:
                self._lowest[name] = min(self._lowest[name], self.found[other])
        if self._lowest[name] == self.found[name]:
            place = self._open.index(name)
            closed, self._open = sorted(self._open[place:]), self._open[:place]
            if len(closed) > 1:
                self.circles.append(closed)


def _module_of(file: Path, package: Path) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, file: Path, files: Mapping[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in files}
        elif isinstance(node, ast.ImportFrom):
            found |= set(_from(node, name, file, files))
    return found


def _from(node: ast.ImportFrom, name: str, file: Path, files: Mapping[str, Path]) -> Iterator[str]:
    source = node.module or ""
    if node.level:
        above = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
        source = ".".join([*above[: len(above) - node.level + 1], *([node.module] if node.module else [])])
    for alias in node.names:
        part = f"{source}.{alias.name}"
        if part in files:
            yield part
        elif source in files:
            yield source


def main() -> None:
    """Print every circle with its arrows."""
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "src" / "palate"
    arrows = read_arrows(package)
    circles = find_circles(arrows)
    for circle in circles:
        print(f"{len(circle)} files import each other in a circle:")
        for one, other in arrows_within(circle, arrows):
            print(f"  {one} -> {other}")
    if circles:
        sys.exit(1)
    print(f"No circles among {len(arrows)} files.")


if __name__ == "__main__":
    main()
