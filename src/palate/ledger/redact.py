"""Take the secrets out of a store that was written before they were sealed, with a sealed record of having done so.

Files are rewritten one after another, each at one stroke, and the chain last: what it holds of secrets tells what to
look for elsewhere. Who is stopped in between types the same again. See `store.bridge` for what the chain says then.

The journals of all runs that there are at first are locked until the end, and masked where they are. What a run that
begins meanwhile writes is not touched: it seals its secrets itself.
"""

import contextlib
import errno
import json
import os
import re
import resource
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from palate.errors import PalateError, RefusedError, StoreError
from palate.ledger.records import Author, SealedRedaction, question_body, question_of, without_secrets
from palate.ledger.scan import CODE, Found, Known, files_of, scan_file, scan_secrets
from palate.question.question import Question
from palate.redaction import Lines, find_secrets, is_secret, redact_data, redact_text, secrets_in
from palate.redaction.names import plain_name
from palate.redaction.text import REDACTED, is_no_secret
from palate.redaction.values import flag_of
from palate.store.bridge import REWRITABLE
from palate.store.catalog import rebuild
from palate.store.chain import Record, hash_record
from palate.store.chain_records import line_of, seal_fields
from palate.store.leftovers import remove_leftovers
from palate.store.locks import lock
from palate.store.mask import events_in, mask
from palate.store.private import replace_file
from palate.store.project import Project

WORK = "work"
"""The folder of a run in which the training's own files are: they stay as they are."""

INDEX = "chain.index"
"""The file beside a chain that is made anew from it."""

SPARE_FILES = 64
"""Files that are open beside the journals."""

_MORE_FILES = "Let more files be open (ulimit -n)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """What was done.

    Attributes:
        files: that were rewritten, seen from the store's folder.
        removed: that were removed: code and functions that cannot be run without what was in them.
        records: numbers of the sealed records that were rewritten.
        left: secrets that are still there: in a journal, too short to be replaced; in files that trainings wrote, or
            that are no text.
    """

    files: tuple[str, ...]
    removed: tuple[str, ...]
    records: tuple[int, ...]
    left: tuple[Found, ...]


def redact_store(
    project: Project, *, author: Author, now: datetime, environment: Mapping[str, str] | None = None
) -> Redacted:
    """Rewrite a store without its secrets.

    Args:
        project: whose store.
        author: who does it.
        now: when.
        environment: variables of which those with a secret's name are looked for too.

    Raises:
        RefusedError: a run goes on, and writes into its journal.
        ChainBrokenError: the chain does not hold, so nothing can be said of what is rewritten.
        StoreError: something cannot be written; what was rewritten until then stays so.
    """
    try:
        with contextlib.ExitStack() as held:
            runs = hold_runs(project, held)
            project.chain.verify()
            found = scan_secrets(project, environment)
            if not found:
                return Redacted(files=(), removed=(), records=(), left=())
            remove_leftovers(project.home)
            known = Known.of(project, environment)
            removed = _remove_code(project, found)
            files = list(_rewrite_files(project, known, runs))
            files += _mask_journals(project, known, runs)
            records = _rewrite_chain(project, known, found, files=len(files) + len(removed), author=author, now=now)
            had_catalog = _remove_derived(project)
    except OSError as error:
        many = error.errno in (errno.EMFILE, errno.ENFILE)
        raise StoreError(
            f"{error.filename or project.home} cannot be rewritten: {error.strerror}.",
            why="What was rewritten until then stays so; the chain is the old one or the new one, and holds.",
            todo=f"{_MORE_FILES if many else 'Make room, or mend the permissions'}, then type the same again.",
        ) from error
    if had_catalog:
        rebuild(project)
    return Redacted(
        files=tuple(files),
        removed=tuple(removed),
        records=tuple(records),
        left=tuple(scan_secrets(project, environment, known)),
    )


def hold_runs(project: Project, held: contextlib.ExitStack) -> Mapping[str, int]:
    """Lock the journals of all runs, so that none is written to until they are let go.

    Args:
        project: whose runs.
        held: lets them go.

    Returns:
        the names of the runs that are there, each with the descriptor of its journal: -1 where it has none.

    Raises:
        RefusedError: a run goes on.
        OSError: a journal cannot be opened.
    """
    folders = sorted(path for path in project.runs.glob("*") if path.is_dir())
    _let_open(len(folders), held)
    return {folder.name: _hold(folder / "journal", held) for folder in folders}


def _hold(journal: Path, held: contextlib.ExitStack) -> int:
    if not journal.is_file():
        return -1
    try:
        descriptor = os.open(journal, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        descriptor = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    try:
        lock(descriptor)
    except BlockingIOError:
        raise RefusedError(
            f"{journal.parent.name} goes on.",
            why="What it writes next would follow on what was rewritten.",
            todo="Wait for it or stop it, then type the same again.",
        ) from None
    return descriptor


def _let_open(count: int, held: contextlib.ExitStack) -> None:
    """Let this process have so many more files open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


def _remove_code(project: Project, found: Sequence[Found]) -> list[str]:
    """Remove copies of code, and pickled functions, that hold a secret: without it they would be other code."""
    removed: dict[str, None] = {}
    for one in found:
        folder, *inner = Path(one.file).parts
        if folder == "trees" and inner:
            removed |= {f"trees/{inner[0].removesuffix('.json')}": None}
        elif folder == "functions":
            removed |= {one.file: None}
    for name in removed:
        path = project.home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.json").unlink(missing_ok=True)
    return list(removed)


def _remove_derived(project: Project) -> bool:
    """Remove what is made anew from journals and chain, and what was put aside of it: it may hold what they held.

    Returns:
        whether there was a catalog.
    """
    had_catalog = project.catalog.exists()
    for path in (*project.home.glob(f"{project.catalog.name}*"), project.home / INDEX):
        path.unlink(missing_ok=True)
    return had_catalog


def _rewrite_files(project: Project, known: Known, runs: Mapping[str, int]) -> Iterator[str]:
    """Rewrite the files that hold secrets: not journals, the chain and what is made anew; yield their names."""
    for path in files_of(project.home):
        made_anew = path.name.startswith(project.catalog.name) or path.name in (project.chain.path.name, INDEX)
        inside = path.relative_to(project.home).parts
        in_run = inside[0] == project.runs.name and len(inside) > 1
        is_journal = in_run and len(inside) == len(("runs", "RUN", "journal")) and path.name == "journal"
        written = in_run and len(inside) > len(("runs", "RUN", "work")) and inside[2] == WORK
        not_ours = is_journal or written or (made_anew and len(inside) == 1) or (in_run and inside[1] not in runs)
        if not_ours or next(scan_file(project, path, known), None) is None:
            continue
        before = path.read_bytes()
        after = _clean_file(path, before, known)
        if after is not None and after != before:
            replace_file(path, after, mode=path.stat().st_mode & 0o777)
            yield str(path.relative_to(project.home))


def _mask_journals(project: Project, known: Known, runs: Mapping[str, int]) -> Iterator[str]:
    """Mask the secrets in the journals that are held, where they are; yield the names of those that had any."""
    for run, descriptor in runs.items():
        path = project.journal(run)
        if descriptor < 0 or next(scan_file(project, path, known), None) is None:
            continue
        masked = list(_masked_events(path.read_bytes(), known))
        if masked:
            _write_over(path, masked)
            yield str(path.relative_to(project.home))


def _write_over(path: Path, places: Sequence[tuple[int, bytes]]) -> None:
    """Write over what is at some places of a file: it stays the file that its readers have open."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for start, content in places:
            if os.pwrite(descriptor, content, start) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _masked_events(content: bytes, known: Known) -> Iterator[tuple[int, bytes]]:
    """Yield a journal's events without their secrets, and where each begins; one whose secrets are too short stays."""
    for start, end in events_in(content):
        event = content[start:end]
        spans = _merged(_spans_in_event(event, known))
        masked = mask(event, spans) if spans else None
        if masked is not None and masked != event and _is_json(masked):
            yield start, masked


def _is_json(event: bytes) -> bool:
    """Return whether a masked event can be read: not where its secret was a number."""
    try:
        json.loads(event)
    except ValueError:
        return False
    return True


def _spans_in_event(event: bytes, known: Known) -> Iterator[tuple[int, int]]:
    """Yield where a journal's event has secrets; it is JSON in ASCII, so that characters are bytes."""
    text = event.decode("latin-1")
    for one in find_secrets(text):
        yield one.start, one.end
    for value in known.texts:
        for found in re.finditer(re.escape(value), text):
            yield found.span()


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _clean_file(path: Path, content: bytes, known: Known) -> bytes | None:
    """Return a file without its secrets, JSON by its values, text by its lines; None where it is no text.

    Whatever else it is could not be read any more: a checkpoint, an archive.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    try:
        if path.suffix == ".json":
            return json.dumps(clean_json("", json.loads(text), known), ensure_ascii=False).encode()
        if path.suffix == ".jsonl":
            return b"".join(_clean_line(line, known) for line in content.splitlines(keepends=True))
    except ValueError:  # half written
        pass
    if path.suffix in CODE:
        for one in reversed(find_secrets(text, code=True)):
            text = f"{text[: one.start]}{REDACTED}{text[one.end :]}"
    lines = Lines(known.texts)
    cleaned = "".join(lines.redact(line) for line in text.splitlines(keepends=True))
    return redact_text(cleaned, known.texts).encode()  # a value may stand below its name


def _clean_line(line: bytes, known: Known) -> bytes:
    try:
        return json.dumps(clean_json("", json.loads(line), known)).encode() + b"\n"
    except ValueError:
        return redact_text(line.decode(errors="replace"), known.texts).encode()


def clean_json(name: str, value: Any, known: Known) -> Any:
    """Return plain JSON data without secrets: by the names of its members, by form, and known ones."""
    if isinstance(value, dict):
        return {redact_data(key, known.texts): clean_json(key, member, known) for key, member in value.items()}
    if isinstance(value, list):
        flags = ("", *map(flag_of, value[:-1]))
        return [clean_json(flag, member, known) for flag, member in zip(flags, value, strict=False)]
    if not isinstance(value, str):
        return value
    whole = is_secret(name, value) and not find_secrets(value) and not is_no_secret(value)
    return REDACTED if whole and plain_name(value) != plain_name(name) else redact_text(value, known.texts)


def _rewrite_chain(
    project: Project, known: Known, found: Sequence[Found], *, files: int, author: Author, now: datetime
) -> list[int]:
    """Rewrite the records that hold secrets, under the hashes that they were sealed with, and seal the bridge."""
    chain = project.chain
    if not chain.path.exists():
        return []
    with chain.exclusively():
        lines = chain.path.read_bytes().splitlines(keepends=True)
        if not lines:
            return []
        replaced: list[Mapping[str, Any]] = []
        for number, line in enumerate(lines):
            fields = json.loads(line)
            if fields["kind"] not in REWRITABLE:
                continue
            body = clean_body(fields["kind"], fields["body"], known)
            if body == fields["body"]:
                continue
            fields["body"] = body
            sealed_as = fields.pop("hash")
            row = {"number": number, "kind": fields["kind"], "hash": sealed_as, "now": hash_record(fields)}
            replaced.append(row)
            lines[number] = line_of({**fields, "hash": sealed_as})
        last = json.loads(lines[-1])
        bridge = SealedRedaction(
            replaced=tuple(replaced),
            secrets=tuple(sorted({one.kind for one in found})),
            files=files,
            head=last["hash"],
            author=author,
        )
        at = max(now.astimezone(UTC), datetime.fromisoformat(last["at"]))
        body = json.loads(json.dumps(bridge.body()))
        lines.append(line_of(seal_fields(len(lines), at, SealedRedaction.KIND, body, last["hash"])))
        replace_file(chain.path, b"".join(lines), mode=chain.path.stat().st_mode & 0o777)
    return [row["number"] for row in replaced]


def clean_body(kind: str, body: Mapping[str, Any], known: Known) -> Any:
    """Return what a sealed record says without its secrets; a question keeps its id and the keys of its arms."""
    cleaned = dict(body)
    if kind == "question":
        with contextlib.suppress(PalateError, ValueError, KeyError, TypeError, AttributeError):  # of another palate
            cleaned |= _clean_question(question_of(body), str(body["experiment"]))
    return clean_json("", cleaned, known)


def _clean_question(question: Question, experiment: str) -> dict[str, Any]:
    """Return the fields of a question that has secrets as they are sealed without them; none where it has none."""
    if not any(True for _ in _secrets_of(question)):
        return {}
    kept = question.kept or {"experiment": experiment, **question.plan.keys}
    clean = replace(without_secrets(question), kept=kept)
    body: dict[str, Any] = json.loads(json.dumps(question_body(clean)))
    return body


def _secrets_of(question: Question) -> Iterator[str]:
    for target in (question.target, *([question.edit.target] if question.edit is not None else [])):
        for name, value in target.settings.items():
            yield from secrets_in(name, value)
        yield from secrets_in("", list(target.argv))
    for change in question.changes:
        yield from secrets_in(change.path, change.before)
        yield from secrets_in(change.path, change.after)


def redactions(records: Sequence[Record]) -> list[str]:
    """Say what was rewritten in a chain, a sentence each."""
    told = []
    for record in records:
        sealed = SealedRedaction.read(record)
        numbers = ", ".join(str(row["number"]) for row in sealed.replaced)
        what = f"records {numbers} were" if sealed.replaced else "no record, but files beside the chain, were"
        where = f"Redacted on {record.at:%Y-%m-%d} by {sealed.author.name} (record {record.number})"
        vouched = "What they say is vouched for by that alone, whatever was noted before." if numbers else ""
        place = f" Their place and hash still hold. {vouched}" if numbers else ""
        told.append(f"{where}: {what} rewritten without secrets.{place}")
    return told
