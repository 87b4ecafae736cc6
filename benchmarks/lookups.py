"""Look-ups by text, counted in the source: what a sealed record or a row of the catalog says, asked for by a string.

A look-up is `x["key"]` that is read, `x.get("key")` or `"key" in x`, where `key` is one that a record's body (or a row)
has and `x` is, by what it is called, such a body (or row). What it is called is its own name, its attribute's
(`story.void`), or that of the table it is taken out of (`verdicts[name]`); `.body` is always a body. Not counted:

- what is looked up in a name `body` in a file that writes such bodies (`Question.body` and `question_from_body`): there
  both sides of a key stand next to each other;
- what loops over a part of a document (`for row in document["scored"]`): that is no row of the catalog.

`python -m benchmarks.lookups` lists all that are found.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Row

PACKAGE = Path(__file__).parents[1] / "src" / "palate"


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


RECORD_KEYS = _words(
    # of all, and of what team mates exchange
    "experiment author agent hash kind forecast reference nonce commit revises sealed_as sealed_at turn",
    # of a question
    "text target changes metric take margin budget data confounders chunks recipes visible",
    # of a forecast, a when-forecast, a skip, a void
    "answer confidence size why quantiles evidence_seen samples_seen share_seen asked_before seeds reason seen",
    "event reach total tenth run key seed",
    # of a verdict
    "n effect raw low high spread variance seed_sd standard_error failures runs baseline treatment",
    "baseline_runs treatment_runs settled",
    # of a score, of a when-forecast's score, of a confirmation
    "pairs bits least most own brier crps crps_reference chances provisional noise happened badge",
    "better worse same crash",
)
RECORDS = _words(
    "body b asked verdict verdicts scores said sent promise promised void held question questions second failures",
    "chances one",
)

ROW_KEYS = _words(
    "id key label seed settings started_unix_s elapsed_s exit detail fresh run_id metric n last last_text least most",
    "last_step bytes lost_bytes points",
)
ROWS = _words("row run summary one twin")

RECORD_ROW_KEYS = _words("number at kind experiment body hash")
RECORD_ROWS = _words("record asked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """One look-up: in which file and line, what is asked, and for which key."""

    file: str
    line: int
    asked: str
    key: str


def record_lookups(package: Path = PACKAGE) -> list[Lookup]:
    """Find the look-ups of sealed records' keys outside the store and the file that reads records."""
    return [one for one, is_body in _all(package, ("store/", "ledger/records.py")) if is_body]


def row_lookups(package: Path = PACKAGE) -> list[Lookup]:
    """Find the look-ups of the catalog's columns outside the store."""
    return [one for one, is_body in _all(package, ("store/",)) if not is_body]


def rows() -> Iterator[Row]:
    """Count both."""
    yield Row(name="look-ups of records by text, outside what reads records", measured=len(record_lookups()), target=0)
    yield Row(name="look-ups of catalog rows by text, outside the store", measured=len(row_lookups()), target=0)


def _all(package: Path, apart: tuple[str, ...]) -> Iterator[tuple[Lookup, bool]]:
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package).as_posix()
        if name.startswith(apart):
            continue
        tree = ast.parse(file.read_text())
        mirrored, looped = _mirrored(tree), _looped(tree)
        for node, asked, key in _asked(tree):
            found = Lookup(file=name, line=node.lineno, asked=ast.unparse(asked), key=key)
            if _is_body(asked, key):
                if asked not in mirrored:
                    yield found, True
            elif _is_row(asked, key) and asked not in looped:
                yield found, False


def _mirrored(tree: ast.Module) -> set[ast.AST]:
    """Give the uses of the name `body`, where the file writes bodies."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if not any(function.name == "body" or function.name.endswith("_body") for function in functions):
        return set()
    return {node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "body"}


def _looped(tree: ast.Module) -> set[ast.AST]:
    """Give the uses of names that loop over a part of a document, within their function."""
    found: set[ast.AST] = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        inside = list(ast.walk(function))
        names = {
            ast.unparse(one.target) for one in inside if isinstance(one, ast.For | ast.comprehension) if _part(one)
        }
        found |= {node for node in inside if isinstance(node, ast.Name) and node.id in names}
    return found


def _part(loop: ast.For | ast.comprehension) -> bool:
    match loop.iter:
        case ast.Subscript(slice=ast.Constant(value=str())):
            return True
    return False


def _asked(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, str]]:
    """Give every look-up by a string: where, of what, and the string."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=asked, slice=ast.Constant(value=str(key)), ctx=ast.Load()):
                yield node, asked, key
            case ast.Call(func=ast.Attribute(value=asked, attr="get"), args=[ast.Constant(value=str(key)), *_]):
                yield node, asked, key
            case ast.Compare(left=ast.Constant(value=str(key)), ops=[ast.In() | ast.NotIn()], comparators=[asked]):
                yield node, asked, key


def _is_body(asked: ast.expr, key: str) -> bool:
    match asked:
        case ast.Attribute(attr="body") | ast.Subscript(slice=ast.Constant(value="body")):
            return True
    name = _name(asked)
    if name in ROWS | RECORD_ROWS and key in ROW_KEYS | RECORD_ROW_KEYS and not (name == "one" and key == "kind"):
        return False
    return key in RECORD_KEYS and name in RECORDS


def _is_row(asked: ast.expr, key: str) -> bool:
    name = _name(asked)
    return (key in ROW_KEYS and name in ROWS) or (key in RECORD_ROW_KEYS and name in RECORD_ROWS)


def _name(asked: ast.expr) -> str:
    """Name what is asked: by itself, its attribute, or the table that it is taken out of."""
    match asked:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str())):
            return ""
        case ast.Subscript(value=table) | ast.Call(func=ast.Attribute(value=table, attr="get")):
            return _name(table)
    return ""


def main() -> None:
    """List what is found."""
    for what, found in (("records", record_lookups()), ("rows", row_lookups())):
        by_file = Counter(one.file for one in found)
        print(f"{len(found)} look-ups of {what} by text in {len(by_file)} files: {dict(by_file.most_common())}")
        for one in found:
            print(f"  {one.file}:{one.line}  {one.asked}  {one.key}")


if __name__ == "__main__":
    main()
