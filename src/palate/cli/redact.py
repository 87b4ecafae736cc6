"""`palate redact`, and what `palate doctor --secrets` says."""

import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from palate.cli.common import at_terminal, author_options, here, json_option, put_out, say, whoami
from palate.errors import RefusedError
from palate.ledger.redact import Redacted, redact_store
from palate.ledger.scan import Found, scan_secrets
from palate.store.project import Project

MOST_SHOWN = 40


@click.command("redact")
@click.option("--dry-run", is_flag=True, help="Show what would be rewritten, and rewrite nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@author_options
@json_option
def command(dry_run: bool, yes: bool, author: str | None, agent: bool | None, as_json: bool) -> None:
    """Take the secrets out of the project's folder, with a sealed record of having done so.

    Journals, outputs, recipes and sealed records are rewritten without them, and no copy is kept. The chain still
    holds: `palate verify` says which records were rewritten, when and by whom. Rotate the secrets first.
    """
    project, who = here(), whoami(author, agent)
    found = scan_secrets(project, os.environ)
    document: dict[str, Any] = {"schema": "palate.redact/1", "found": [asdict(one) for one in found], "redacted": None}
    if not found or dry_run:
        put_out(document, [*_found_lines(found), *_plan_lines(found)], as_json=as_json)
        return
    if not as_json:
        for line in (*_found_lines(found), *_plan_lines(found)):
            say(line)
    _confirm(yes)
    done = redact_store(project, author=who, now=datetime.now(UTC), environment=os.environ)
    document |= {"redacted": asdict(done)}
    put_out(document, _done_lines(done), as_json=as_json)
    if done.left:
        sys.exit(1)


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not at_terminal():
        raise RefusedError(
            "Nothing was rewritten: nobody is there to confirm it.",
            why="What is taken out does not come back.",
            todo="palate redact --yes",
        )
    if not click.confirm("Rewrite them? What is taken out does not come back", err=True):
        raise RefusedError("Nothing was rewritten.")


def put_secrets(project: Project, *, as_json: bool) -> None:
    """Print which secrets are in a store; exit with 1 where any is."""
    found = scan_secrets(project, os.environ)
    document = {"schema": "palate.secrets/1", "home": str(project.home), "found": [asdict(one) for one in found]}
    todo = ["Make them anew where they come from, then take them out:  palate redact"] if found else []
    put_out(document, [*_found_lines(found), *todo], as_json=as_json)
    if found:
        sys.exit(1)


def _found_lines(found: list[Found]) -> list[str]:
    if not found:
        return ["No secrets were found."]
    files = len({one.file for one in found})
    lines = [str(one) for one in found[:MOST_SHOWN]]
    more = [f"... and {len(found) - MOST_SHOWN} more (--json lists all)"] if len(found) > MOST_SHOWN else []
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(one.kind for one in found).most_common(6))
    return [*lines, *more, f"{_count(len(found), 'secret')} in {_count(files, 'file')}: {kinds}."]


def _plan_lines(found: list[Found]) -> list[str]:
    if not found:
        return []
    records = sorted({one.where for one in found if one.where.startswith("record ")})
    code = sorted({one.file.split("/")[1] for one in found if one.file.startswith(("trees/", "functions/"))})
    lines = [
        "Each of these files is rewritten without them, the catalog is made anew, and no copy is kept.",
        "What trainings wrote (runs/RUN/work), and what is no text, stays as it is: it could not be read any more.",
    ]
    if records:
        counted = _count(len(records), "sealed record")
        lines.append(f"{counted} are rewritten and keep their place and hash; a new record says so.")
    if code:
        lines.append(
            f"{_count(len(code), 'copy', 'copies')} of code with secrets are removed; such an arm is asked anew."
        )
    return [*lines, "Make the secrets anew where they come from: whoever could read this folder may have them."]


def _done_lines(done: Redacted) -> Iterable[str]:
    yield f"{_count(len(done.files), 'file')} and {_count(len(done.records), 'sealed record')} were rewritten."
    if done.removed:
        yield f"Removed: {', '.join(done.removed)}."
    short = [one for one in done.left if one.file.endswith("/journal")]
    stays = [one for one in done.left if one not in short]
    if short:
        yield f"{_count(len(short), 'secret')} could not be taken out (too short to be told from what is around):"
        yield from (str(one) for one in short)
        yield "Remove these runs' folders, or leave them once the secrets are made anew."
    if stays:
        yield "Files that trainings wrote, and files that are no text, stay as they are. Secrets are in:"
        yield from (str(one) for one in stays[:MOST_SHOWN])
        yield "Remove them, or leave them once the secrets are made anew."
    yield "The chain holds (palate verify). Copies elsewhere, backups and git are yours to clean."


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"
