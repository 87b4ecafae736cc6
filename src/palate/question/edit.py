"""A change that is an edit of the code: its two states, materialised once each by their content, and the edit in words.

A state is a revision, the working tree with its uncommitted edits, or another copy. Code and settings are copied into
palate's own folder; all else is seen where the person has it, under the same relative paths (see `folder.Place`). Git
is only read: neither index nor stash nor working tree nor the store of objects is written.
"""

import ast
import difflib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from palate.capture.place import GIT, GIT_READS
from palate.errors import InputError, NotFoundError, RefusedError, SettingError, StoreError
from palate.question.folder import CODE, SKIPPED, Place, path_inside, place_of
from palate.question.launched import words_of
from palate.question.outside import folder_for, holds_secret
from palate.question.started import MODULE, file_of_module, module_in, root_of
from palate.question.target import Target, find_command, find_target, is_command
from palate.recipe.settings import Change
from palate.store.private import make_folder, write_file

NEW_CODE = tuple(suffix for suffix in CODE if suffix not in (".json", ".txt", ".jinja", ".tmpl"))
"""What is copied of files that git does not know yet; anything else of them is data, which both arms see."""

MOST_CODE = 1 << 20
"""The most bytes of code and settings that are copied."""

SMALL_DATA = 64 << 10
"""The most bytes of any other file that is copied; a larger one is seen where it is, if it is the same there."""

MOST_LINES = 5000
"""Lines of a file beyond which frequent ones are left out when two states are compared."""

GIT_S = 60.0
LINKED = "link"
"""What stands for the content of a file that is not copied."""

LFS = b"version https://git-lfs.github.com/spec/"
WORKING = "working tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One state of the code.

    Attributes:
        label: how a person names it, as `HEAD 3f9c1e2`.
        folder: where its files are.
        files: a hash of each file's content by its name, seen from the root; `LINKED` for one that is not copied.
        secret: files that hold a secret: then the copies are kept outside of the store.
    """

    label: str
    folder: Path
    files: Mapping[str, str]
    secret: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An edit that is asked about.

    Attributes:
        before, after: the two states, as a person names them.
        words: what was edited, as `losses.py: FocalLoss.forward +6 -2, 2 files`.
        target: what the treatment runs.
        lines: the edited lines of the treatment's Python files, by name.
        id: of the treatment's state where it does not show in the code that is imported; "" elsewhere.
    """

    before: str
    after: str
    words: str
    target: Target
    lines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    id: str = ""

    @property
    def change(self) -> Change:
        """The edit as a change; its family is "code"."""
        return Change(path="code", before=self.before, after=f"{self.after} ({self.words})")


def edit_between(
    text: str, arguments: tuple[str, ...], *, home: Path, against: str = "", tried: str = ""
) -> tuple[Target, Edit]:
    """Materialise both states of the code, and return the baseline's target and the edit.

    Args:
        text: what a person points at, as `train.py`.
        arguments: of both arms.
        home: palate's own folder.
        against: the baseline's code: a revision, or a path to another copy; the treatment's is the working tree.
        tried: the treatment's code, a revision; the baseline's is the working tree.

    Raises:
        NotFoundError: there is no such revision or file.
        RefusedError: nothing can be asked: there is no repository.
        SettingError: the two states do not differ.
    """
    if against and tried:
        raise InputError("--against and --try do not go together.", todo="Give one: --against HEAD   or --try BRANCH")
    repository = _repository(Path.cwd())
    root = repository or Path(place_of(Path.cwd(), home).root)
    mine = _tree_of_files(root, home, WORKING, git=repository is not None)
    other = _other_tree(against or tried, repository, home, mine)
    before, after = (other, mine) if against else (mine, other)
    if before.files == after.files:
        raise SettingError(
            f"Nothing differs between {before.label} and {after.label}, so there is no question.",
            todo="Edit the code, or name another state: --against HEAD~1",
        )
    changed = [
        name for name in sorted({*before.files, *after.files}) if before.files.get(name) != after.files.get(name)
    ]
    lines, words = _describe(before, after, changed)
    if not words:
        raise SettingError(
            f"Only comments and layout differ between {before.label} and {after.label}, so there is no question.",
            why=", ".join(changed[:5]),
        )
    targets = [_target_in(tree, text, arguments, root, home, mine) for tree in (before, after)]
    same_code = targets[0].code == targets[1].code
    edit = Edit(
        before=before.label,
        after=after.label,
        words=words,
        target=targets[1],
        lines=lines,
        id=_id_of(after.files) if same_code else "",
    )
    return targets[0], edit


def edit_of_target(treatment: Target, baseline: Target | str, *, home: Path) -> tuple[Target, Edit]:
    """Return the baseline's target and the edit, of a function against another one, or against a state of its code.

    Args:
        treatment: the function.
        baseline: another function; or a revision, or a folder with another copy of the code.
        home: palate's own folder.

    Raises:
        InputError: a revision is asked for of a function that has no file.
        SettingError: the two do not differ.
    """
    if isinstance(baseline, str):
        if treatment.task.kind != "function":
            raise InputError(
                f"{treatment.label} has no file, so it is in no revision.",
                todo="Give the other function: against=other",
            )
        text = f"{os.path.relpath(treatment.task.file)}:{treatment.task.name}"
        found, edit = edit_between(text, (), home=home, against=baseline)
        declared = {name: getattr(treatment, name) for name in ("metric", "goal", "resolution", "data")}
        return replace(found, **declared), replace(edit, target=replace(edit.target, **declared))
    if baseline.code == treatment.code and baseline.task == treatment.task:
        raise SettingError(f"{treatment.label} is held against itself, so there is no question.")
    names = (baseline.label, treatment.label)
    words = "another function" if names[0] != names[1] else "defined anew"
    same = baseline.code == treatment.code
    edit = Edit(
        before=names[0],
        after=names[1],
        words=words,
        target=treatment,
        id=_id_of({"function": names[1]}) if same else "",
    )
    return baseline, edit


def _target_in(tree: Tree, text: str, arguments: tuple[str, ...], root: Path, home: Path, mine: Tree) -> Target:
    """Find what a person points at in one state of the code."""
    if not text.startswith(MODULE) and is_command(text):
        return _command_in(tree, words_of(text, arguments), root, home, mine)
    module = module_in(text)
    name, colon, function = (str(file_of_module(module, Path.cwd())), "", "") if module else text.partition(":")
    path = Path(name)
    if path.suffix != ".py" and not path.exists() and colon:
        raise InputError(
            f"{text}: an edit is asked about by the file.",
            todo=f"palate run {name.replace('.', '/')}.py:{function} ...",
        )
    inside = path_inside(os.path.normpath(path.absolute()), str(root))
    if inside is None:
        raise InputError(f"{name} is not in {root}, so its code is the same in both arms.", todo="Call palate there.")
    if inside not in tree.files:
        raise NotFoundError(
            f"{inside} is not in {tree.label}.",
            why="Both arms need it.",
            todo=f"git log --oneline -- {inside}   shows where it is",
        )
    if tree.files[inside].startswith(LINKED):
        raise InputError(f"{inside} is too large to be code ({MOST_CODE} bytes at most).")
    try:
        pointed = text if module else str(tree.folder / inside) + colon + function
        found = find_target(pointed, arguments, folder=tree.folder / (path_inside(str(Path.cwd()), str(root)) or ""))
    except InputError as error:  # said of the person's file, and of which state of it
        what = error.what.replace(f"{tree.folder}{os.sep}", f"{tree.label}: ")
        raise InputError(what, why=error.why, todo=error.todo) from error
    place = Place(
        root=str(root),
        cwd=path_inside(str(Path.cwd()), str(root)) or "",
        home=str(home),
        over=str(tree.folder),
        instead=str(mine.folder),
    )
    there, here = str(tree.folder / inside), str(root / inside)
    argv = tuple(here if word == there else word for word in found.task.argv)
    task = replace(found.task, file=here if found.task.file else "", argv=argv, place=place)
    folder = root_of(root / inside, module) if module else (root / inside).parent
    return replace(found, task=task, folder=os.path.relpath(Path.cwd(), folder))


def _command_in(tree: Tree, words: Sequence[str], root: Path, home: Path, mine: Tree) -> Target:
    """Find what a command trains in one state of the code: its files are those of that state."""
    inside = path_inside(str(Path.cwd()), str(root))
    if inside is None:
        raise InputError(f"{Path.cwd()} is not in {root}, so the code is the same in both arms.")
    there, here = f"{tree.folder}{os.sep}", f"{root}{os.sep}"
    words = [there + word.removeprefix(here) if word.startswith(here) else word for word in words]
    try:
        found = find_command(words, tree.folder / inside)
    except (InputError, NotFoundError) as error:
        what, name = error.what.replace(there, f"{tree.label}: "), type(error)
        raise name(what, why=(f"That is said of {tree.label}.", *error.why), todo=error.todo) from error
    place = Place(root=str(root), cwd=inside, home=str(home), over=str(tree.folder), instead=str(mine.folder))
    argv = tuple(here + word.removeprefix(there) if word.startswith(there) else word for word in found.task.argv)
    file = found.task.file.replace(there, here, 1)
    folder = os.path.relpath(Path.cwd(), Path(file).parent) if file else ""
    return replace(found, task=replace(found.task, file=file, argv=argv, place=place), folder=folder)


def _other_tree(text: str, repository: Path | None, home: Path, mine: Tree) -> Tree:
    if Path(text).is_dir() and (repository is None or _commit(repository, text) is None):
        other = Path(text).absolute()
        return _tree_of_files(other, home, text, git=_repository(other) == other)
    if repository is None:
        raise RefusedError(
            f"{Path.cwd()} is in no git repository, so there is no revision {text}.",
            todo="Name a folder with the other code:  --against ../other-copy",
        )
    commit = _commit(repository, text)
    if commit is None:
        raise _no_revision(repository, text)
    label = commit[:7] if commit.startswith(text) else f"{text} {commit[:7]}"
    return _tree_of_commit(repository, commit, home, label, mine)


def _no_revision(repository: Path, text: str) -> NotFoundError:
    if _commit(repository, "HEAD") is None:
        return NotFoundError(
            "This repository has no commits yet, so there is nothing to compare with.",
            todo='git commit -m "first"   then edit, and ask again',
        )
    names = _git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags").decode().split()
    close = difflib.get_close_matches(text, names, n=3)
    return NotFoundError(
        f"There is no revision {text}, and no folder of that name.",
        why=f"Close to it: {', '.join(close)}." if close else f"There are: {', '.join(['HEAD', *names][:8])}.",
    )


def _tree_of_files(root: Path, home: Path, label: str, *, git: bool) -> Tree:
    """Take the state of a folder as it is on the disk: what git knows, and new code that it does not ignore."""
    files: dict[str, str] = {}
    contents: dict[str, Path] = {}
    secret: set[str] = set()
    for name in sorted(set(_names_by_git(root) if git else _names_on_disk(root))):
        path = root / name
        if path.is_relative_to(home) or not (path.is_file() or path.is_symlink()):
            continue
        if path.is_symlink() or not _is_copied(name, path):
            files[name] = _link(str(path.readlink())) if path.is_symlink() else LINKED
            continue
        try:
            content = path.read_bytes()
        except OSError:  # a file that went
            continue
        files[name] = _hash(content)
        contents[name] = path
        if holds_secret(content):
            secret.add(name)
    return _materialised(home, label, files, lambda name, to: shutil.copy2(contents[name], to), secret=secret)


def snapshot(paths: Iterable[str], root: str, home: Path) -> str:
    """Copy some files of a folder, so that runs see them as they are now; return the folder of the copies.

    Args:
        paths: absolute; those outside of `root` are left out.
        root: the person's folder.
        home: palate's own folder.
    """
    found = {name: Path(path) for path in sorted(paths) if (name := path_inside(path, root))}
    contents = {name: path.read_bytes() for name, path in found.items() if path.is_file()}
    files = {name: _hash(content) for name, content in contents.items()}
    secret = {name for name, content in contents.items() if holds_secret(content)}
    return str(_materialised(home, "now", files, lambda name, to: shutil.copy2(found[name], to), secret=secret).folder)


def _link(text: str) -> str:
    """Return what stands for the content of a link: it is seen where the person has it, if it is the same there."""
    return f"{LINKED} {text}"


def _is_copied(name: str, path: Path) -> bool:
    try:
        size = path.stat().st_size
    except OSError:
        return False
    return size <= _most_bytes(name)


def _names_by_git(root: Path) -> Iterator[str]:
    known = _git(root, "ls-files", "-z", "-c").split(b"\0")
    new = _git(root, "ls-files", "-z", "-o", "--exclude-standard").split(b"\0")
    yield from (os.fsdecode(name) for name in known if name)
    yield from (name for raw in new if (name := os.fsdecode(raw)).endswith(NEW_CODE))


def _names_on_disk(root: Path) -> Iterator[str]:
    for where, folders, files in os.walk(root):
        folders[:] = [one for one in folders if one not in SKIPPED and not Path(where, one, "pyvenv.cfg").exists()]
        yield from (os.path.relpath(Path(where, name), root) for name in files if name.endswith(CODE))


def _tree_of_commit(root: Path, commit: str, home: Path, label: str, mine: Tree) -> Tree:
    """Take the state of a commit; what is the same in the working tree is taken, or seen, there."""
    printed = _git(
        root,
        "diff",
        "--ignore-submodules=dirty",
        "--name-only",
        "-z",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        commit,
    )
    different = {os.fsdecode(name) for name in printed.split(b"\0") if name}
    everything = {one.name: one for one in _listed(root, commit)}
    listed = {name: one for name, one in everything.items() if one.kind == "blob"}
    for name in different & everything.keys() - listed.keys():
        raise InputError(
            f"The submodule {name} is at another commit in {label}; both arms would see the one that is checked out.",
            todo="Check that revision out in a folder of its own, submodules too, and name it: --against ../other",
        )
    files = {name: mine.files[name] for name in listed if name not in different and name in mine.files}
    wanted = {name: one for name, one in listed.items() if name in different}  # not what git does not check out
    contents = _blobs(root, [one.blob for one in wanted.values()])
    for name, one in wanted.items():
        content = contents[one.blob]
        if content.startswith(LFS):
            raise _in_lfs(name)
        files[name] = _link(os.fsdecode(content)) if one.mode == LINK_MODE else _hash(content)
    secret = {name for name in files if name in mine.secret and name not in wanted}
    secret |= {name for name, one in wanted.items() if holds_secret(contents[one.blob])}

    links = {
        name: os.path.normpath(root / Path(name).parent / os.fsdecode(contents[one.blob]))
        for name, one in wanted.items()
        if one.mode == LINK_MODE
    }

    def put(name: str, to: Path) -> None:
        one = wanted.get(name)
        if one is None:
            shutil.copy2(mine.folder / name, to)
        elif one.mode == LINK_MODE:
            to.symlink_to(links[name])
        else:
            to.write_bytes(contents[one.blob])
            to.chmod(0o755 if one.mode == "100755" else 0o644)

    return _materialised(home, label, files, put, links, secret=secret)


LINK_MODE = "120000"
"""Git's mode of a symbolic link."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file of a commit: its name, git's object with its kind and mode."""

    name: str
    blob: str
    mode: str
    kind: str


def _listed(root: Path, commit: str) -> Iterator[_Listed]:
    """Yield the files of a commit, and its submodules, which are seen where the person has them."""
    for entry in _git(root, "ls-tree", "-r", "-z", commit).split(b"\0"):
        facts, _, name = entry.partition(b"\t")
        if name:
            mode, kind, blob = facts.decode().split()
            yield _Listed(os.fsdecode(name), blob, mode, kind)


def _most_bytes(name: str) -> int:
    """Return how large a file may be to be copied."""
    return MOST_CODE if name.endswith(CODE) else SMALL_DATA


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _in_lfs(name: str) -> InputError:
    return InputError(
        f"{name} is kept by git-lfs, and differs between the two states.",
        why="The revision holds only a pointer to it, so its content is not in this repository.",
        todo="Check that revision out in a folder of its own, with git lfs pull, and name it: --against ../other",
    )


def _materialised(
    home: Path,
    label: str,
    files: Mapping[str, str],
    put: Callable[[str, Path], object],
    links: Mapping[str, str] | None = None,
    *,
    secret: Iterable[str] = (),
) -> Tree:
    """Write a state's files once, under a name that says their content; complete or not at all.

    Args:
        home: palate's own folder.
        label: how a person names the state.
        files: what stands for the content of each file.
        put: writes a file to a place.
        links: links that are not those of the person, and so are written, with what they lead to.
        secret: files that hold a secret.
    """
    links = links or {}
    folder = folder_for(home / "trees", secret=bool(set(secret))) / _id_of(files)
    if folder.exists() and not _holds(folder, files, links):  # changed, or of a store that came from elsewhere
        other = folder.with_name(f".other-{os.getpid()}-{secrets.token_hex(4)}")
        folder.rename(other)
        shutil.rmtree(other, ignore_errors=True)
    if not folder.exists():
        beside = folder.with_name(f".new-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            make_folder(folder.parent)
            make_folder(beside)
            for name in [*links, *(name for name, content in files.items() if not content.startswith(LINKED))]:
                (beside / name).parent.mkdir(parents=True, exist_ok=True)
                put(name, beside / name)
            listed = beside.with_name(f"{beside.name}.json")
            write_file(listed, json.dumps(sorted(files)))
            listed.rename(f"{folder}.json")
            beside.rename(folder)
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not folder.exists():  # else another process was faster
                raise StoreError(
                    f"{home} cannot be written: {error.strerror}.",
                    why="The code could not be copied; nothing was started and nothing was lost.",
                    todo="Make room, or choose another folder: PALATE_HOME=/path/to/folder",
                ) from error
    return Tree(label=label, folder=folder, files=dict(files), secret=frozenset(secret))


def _holds(folder: Path, files: Mapping[str, str], links: Mapping[str, str]) -> bool:
    """Whether a folder holds just the files that its name says: it is run from, whoever wrote it."""
    copied = {name: content for name, content in files.items() if not content.startswith(LINKED)}
    try:
        return (
            _found(folder) == {*copied, *links}
            and all(_hash((folder / name).read_bytes()) == content for name, content in copied.items())
            and {name: str((folder / name).readlink()) for name in _found(folder, linked=True)} == dict(links)
            and json.loads(Path(f"{folder}.json").read_bytes()) == sorted(files)
        )
    except (OSError, ValueError):
        return False


def _found(folder: Path, *, linked: bool = False) -> set[str]:
    """Return the names of all files and links in a folder; of the links alone where they are asked for."""
    found: set[str] = set()
    for where, folders, inside in os.walk(folder):
        for path in (Path(where, name) for name in (*folders, *inside)):
            if path.is_symlink() or not (linked or path.is_dir()):
                found.add(str(path.relative_to(folder)))
    return found


def _id_of(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()[:16]


def _describe(before: Tree, after: Tree, changed: Iterable[str]) -> tuple[dict[str, tuple[int, ...]], str]:
    """Return the edited lines of the treatment's Python files, and the edit in words; "" where only layout differs."""
    lines: dict[str, tuple[int, ...]] = {}
    parts: list[tuple[bool, int, str]] = []
    for name in changed:
        old, new = (_text(tree, name) for tree in (before, after))
        if name.endswith(".py") and _same_code(old, new):
            continue
        added, removed = _edited(old, new, exactly=name.endswith(".py"))
        if name.endswith(".py") and new:
            lines[name] = tuple(added)
        where = _places(old, new, added, removed) if name.endswith(".py") else ""
        state = " new" if not old else " deleted" if not new else f" +{len(added)} -{len(removed)}"
        said = f"{name}{f': {where}' if where else ''}{state}"
        parts.append((not name.endswith(".py"), -len(added) - len(removed), said))
    parts.sort()
    more = f", {len(parts)} files" if len(parts) > 1 else ""
    return lines, f"{parts[0][2]}{more}" if parts else ""


def _text(tree: Tree, name: str) -> str:
    content = tree.files.get(name, "")
    if not content or content.startswith(LINKED):
        return f"{content}\n" if content else ""
    try:
        return (tree.folder / name).read_text(errors="replace")
    except OSError:
        return ""


def _same_code(old: str, new: str) -> bool:
    try:
        return bool(old) and bool(new) and ast.dump(ast.parse(old)) == ast.dump(ast.parse(new))
    except SyntaxError:
        return False


def _edited(old: str, new: str, *, exactly: bool) -> tuple[list[int], list[int]]:
    """Return the numbers of the lines that were added, and of those that were removed.

    Args:
        old: the text before.
        new: the text after.
        exactly: whether the numbers matter; elsewhere only how many there are.
    """
    one, other = old.splitlines(), new.splitlines()
    if not exactly:
        gone, come = Counter(one) - Counter(other), Counter(other) - Counter(one)
        return list(range(come.total())), list(range(gone.total()))
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=max(len(one), len(other)) > MOST_LINES)
    added: list[int] = []
    removed: list[int] = []
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind != "equal":
            removed += range(i + 1, j + 1)
            added += range(k + 1, m + 1)
    return added, removed


def spans_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending numbers as spans: the first and the last of each.

    >>> spans_of([3, 4, 5, 9])
    [(3, 5), (9, 9)]
    """
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _places(old: str, new: str, added: Iterable[int], removed: Iterable[int]) -> str:
    """Name the functions and classes that some lines are in, two at most."""
    names = [*_names_at(new, added), *_names_at(old, removed)]
    known = list(dict.fromkeys(name for name in names if name))
    return ", ".join(known[:2]) + (" ..." if len(known) > 2 else "")


def _names_at(text: str, lines: Iterable[int]) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    spans = list(_spans(tree, ""))
    for line in lines:
        inside = [(last - first, name) for first, last, name in spans if first <= line <= last]
        yield min(inside)[1] if inside else ""


def _spans(node: ast.AST, prefix: str) -> Iterator[tuple[int, int, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{child.name}"
            yield child.lineno, child.end_lineno or child.lineno, name
            yield from _spans(child, f"{name}.")
        else:
            yield from _spans(child, prefix)


def _repository(folder: Path) -> Path | None:
    """Return the top of a folder's git repository; None where it is in none."""
    try:
        return Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").rstrip(b"\n")))
    except InputError as error:
        if "dubious ownership" in error.what:
            raise
        return None


def _commit(root: Path, text: str) -> str | None:
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}").decode().strip()
    except InputError:
        return None


def _blobs(root: Path, names: list[str]) -> dict[str, bytes]:
    """Return the content of git's blobs."""
    printed = _git(root, "cat-file", "--batch", given="".join(f"{name}\n" for name in names).encode())
    contents: dict[str, bytes] = {}
    place = 0
    for name in names:
        end = printed.index(b"\n", place)
        size = int(printed[place:end].split()[-1])
        contents[name] = printed[end + 1 : end + 1 + size]
        place = end + 1 + size + 1
    return contents


def _git(folder: Path, *words: str, given: bytes = b"") -> bytes:
    """Return what git prints, asked to write nothing: neither locks nor a refreshed index.

    Raises:
        InputError: git refuses, is not there, or takes too long.
    """
    environment = {**os.environ, **GIT_READS, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [*GIT, "-C", str(folder), *words],
            input=given,
            capture_output=True,
            timeout=GIT_S,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"git {words[0]} does not work here: {error}.") from error
    if done.returncode:
        raise InputError(f"git {words[0]} refuses: {done.stderr.decode(errors='replace').strip()[:300]}")
    return done.stdout
