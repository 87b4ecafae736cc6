"""Take the secrets out of a store that was written before they were sealed, with a sealed record of having done so.

Files are rewritten one after another, each at one stroke, and the chain last: what it holds of secrets tells what to
look for elsewhere. Who is stopped in between types the same again. See `store.bridge` for what the chain says then.
"""

import contextlib
import fcntl
import json
import os
import re
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
from palate.store.bridge import replace_file
from palate.store.catalog import rebuild
from palate.store.chain import GENESIS, Record, hash_record
from palate.store.mask import events_in, mask
from palate.store.project import Project

INDEX = "chain.index"
"""The file beside a chain that is made anew from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """What was done.

    Attributes:
        files: that were rewritten, seen from the store's folder.
        removed: that were removed: code and functions that cannot be run without what was in them.
        records: numbers of the sealed records that were rewritten.
        left: secrets that are still there: in a journal, too short to be replaced.
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
    refuse_going(project)
    project.chain.verify()
    found = scan_secrets(project, environment)
    if not found:
        return Redacted(files=(), removed=(), records=(), left=())
    known = Known.of(project, environment)
    try:
        removed = _remove_code(project, found)
        files = list(_rewrite_files(project, known, journals=False))
        files += _rewrite_files(project, known, journals=True)
        records = _rewrite_chain(project, known, found, files=len(files) + len(removed), author=author, now=now)
        had_catalog = _remove_derived(project)
    except OSError as error:
        raise StoreError(
            f"{error.filename or project.home} cannot be rewritten: {error.strerror}.",
            why="What was rewritten until then stays so; the chain is the old one or the new one, and holds.",
            todo="Make room, or mend the permissions, then type the same again.",
        ) from error
    if had_catalog:
        rebuild(project)
    return Redacted(
        files=tuple(files),
        removed=tuple(removed),
        records=tuple(records),
        left=tuple(scan_secrets(project, environment)),
    )


def refuse_going(project: Project) -> None:
    """Refuse to rewrite a store while a run writes into it.

    Raises:
        RefusedError: one does.
    """
    for journal in sorted(project.runs.glob("*/journal")):
        with journal.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RefusedError(
                    f"{journal.parent.name} goes on.",
                    why="What it writes next would follow on what was rewritten.",
                    todo="Wait for it or stop it, then type the same again.",
                ) from None
            except OSError:  # a file system without locks
                continue


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


def _rewrite_files(project: Project, known: Known, *, journals: bool) -> Iterator[str]:
    """Rewrite the files that hold secrets, the chain and what is made anew left out; yield their names."""
    for path in files_of(project.home):
        made_anew = path.name.startswith(project.catalog.name) or path.name in (project.chain.path.name, INDEX)
        derived = path.parent == project.home and made_anew
        is_journal = path.name == "journal" and path.parent.parent == project.runs
        if derived or is_journal is not journals or next(scan_file(project, path, known), None) is None:
            continue
        before = path.read_bytes()
        after = _clean_journal(before, known) if is_journal else _clean_file(path, before, known)
        if after != before:
            replace_file(path, after, path.stat().st_mode & 0o700)
            yield str(path.relative_to(project.home))


def _clean_journal(content: bytes, known: Known) -> bytes:
    """Mask the secrets in a journal's events, each event on its own: one whose secrets are too short stays."""
    cleaned = bytearray(content)
    for start, end in events_in(content):
        event = content[start:end]
        spans = _merged(_spans_in_event(event, known))
        masked = mask(event, spans) if spans else None
        if masked is not None and _is_json(masked):
            cleaned[start:end] = masked
    return bytes(cleaned)


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


def _clean_file(path: Path, content: bytes, known: Known) -> bytes:
    """Return a file without its secrets: JSON by its values, text by its lines, anything else with as many bytes."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _clean_bytes(content, known)
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


def _clean_bytes(content: bytes, known: Known) -> bytes:
    text = content.decode("latin-1")
    spans = [(one.start, one.end) for one in find_secrets(text)]
    spans += [found.span() for value in known.texts for found in re.finditer(re.escape(value), text)]
    cleaned = bytearray(content)
    for start, end in spans:
        cleaned[start:end] = b"*" * (end - start)
    return bytes(cleaned)


def clean_json(name: str, value: Any, known: Known) -> Any:
    """Return plain JSON data without secrets: by the names of its members, by form, and known ones."""
    if isinstance(value, dict):
        return {redact_data(key, known.texts): clean_json(key, member, known) for key, member in value.items()}
    if isinstance(value, list):
        before = ("", *(word if isinstance(word, str) and word.startswith("--") else "" for word in value[:-1]))
        return [clean_json(flag, member, known) for flag, member in zip(before, value, strict=False)]
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
            body = clean_body(fields["kind"], fields["body"], known)
            if body == fields["body"]:
                continue
            fields["body"] = body
            sealed_as = fields.pop("hash")
            row = {"number": number, "kind": fields["kind"], "hash": sealed_as, "now": hash_record(fields)}
            replaced.append(row)
            lines[number] = _line({**fields, "hash": sealed_as})
        last = json.loads(lines[-1])
        bridge = SealedRedaction(
            replaced=tuple(replaced),
            secrets=tuple(sorted({one.kind for one in found})),
            files=files,
            head=last["hash"],
            author=author,
        )
        at = max(now.astimezone(UTC), datetime.fromisoformat(last["at"]))
        fields = {
            "number": len(lines),
            "at": at.isoformat(timespec="microseconds"),
            "kind": SealedRedaction.KIND,
            "body": json.loads(json.dumps(bridge.body())),
            "previous": last["hash"] if lines else GENESIS,
        }
        lines.append(_line({**fields, "hash": hash_record(fields)}))
        replace_file(chain.path, b"".join(lines), chain.path.stat().st_mode & 0o700)
    return [row["number"] for row in replaced]


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, ensure_ascii=False).encode() + b"\n"


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
        numbers = ", ".join(str(row["number"]) for row in sealed.replaced[:8])
        more = f" and {len(sealed.replaced) - 8} more" if len(sealed.replaced) > 8 else ""
        what = f"records {numbers}{more} were" if sealed.replaced else "no record, but files beside the chain, were"
        told.append(
            f"Redacted on {record.at:%Y-%m-%d} by {sealed.author.name} (record {record.number}): {what} rewritten "
            f"without secrets."
            + (" Their place and hash still hold, their content is vouched for by that alone." if numbers else "")
        )
    return told


def stale_files(project: Project) -> list[Path]:
    """Return what a redaction that was killed left beside the files: new content, without secrets."""
    return [path for path in files_of(project.home) if re.fullmatch(r"\..+\.redacting", path.name)]


def remove_stale(project: Project) -> None:
    """Remove what a redaction that was killed left behind."""
    for path in stale_files(project):
        os.unlink(path)  # noqa: PTH108
