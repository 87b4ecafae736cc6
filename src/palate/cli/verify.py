"""`palate verify`."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from palate.cli.common import here, json_option, put_out
from palate.ledger.records import SealedRedaction
from palate.ledger.redact import redactions
from palate.ledger.verify import Verified, anchor_head, parse_head, verify


@click.command("verify")
@click.option("--full", is_flag=True, help="Verify every record anew, and look at every journal again.")
@click.option("--anchor", is_flag=True, help="Note the chain's head in git (refs/notes/palate) on the current commit.")
@click.option("--against", "heads", multiple=True, metavar="NUMBER:HASH", help="A head that was handed to somebody.")
@json_option
def command(full: bool, anchor: bool, heads: tuple[str, ...], as_json: bool) -> None:
    """Verify the sealed chain: every record unchanged, in its place, none dropped, none dated back.

    What was verified before is not verified one by one again: its bytes must have the SHA-256 that they had then. With
    --full every record is, and every journal is looked at again.

    Heads that were noted in git, or handed over, must be in it; forecasts must be older than the runs they are about.
    """
    project = here()
    verified = verify(project, [parse_head(text) for text in heads], full=full)
    noted = anchor_head(project.chain, project.home.parent, now=datetime.now(UTC)) if anchor else None
    bridged = redactions(project.chain.records(SealedRedaction.KIND))
    document = {
        "schema": "palate.verify/1",
        "holds": True,
        "records": verified.records,
        "kinds": verified.kinds,
        "head": verified.head,
        "verified": "full" if full else "incremental",
        "verified_anew": verified.anew,
        "torn": list(verified.torn),
        "runs_gone": verified.gone,
        "anchors": [asdict(one) for one in verified.anchors],
        "other_chains": [asdict(one) for one in verified.strange],
        "anchored": asdict(noted) if noted else None,
        "redactions": bridged,
    }
    counted = ", ".join(f"{n} {kind}" for kind, n in verified.kinds.items()) or "nothing sealed yet"
    records = f"{verified.records} record{'s' * (verified.records != 1)}"
    lines = [f"The seal holds: {records} ({counted}).", f"Head {max(verified.records - 1, 0)}:{verified.head}"]
    lines += _how(verified, full=full)
    lines += bridged
    if verified.gone:
        lines.append(f"Runs that verdicts rest on and that are not here any more: {verified.gone}.")
    if noted is not None:
        lines.append(f"Noted on commit {noted.where}. Push it: git push origin refs/notes/palate")
    elif verified.anchors:
        last = verified.anchors[-1]
        heads_are = "1 noted head is" if len(verified.anchors) == 1 else f"{len(verified.anchors)} noted heads are"
        lines.append(f"{heads_are} in it, the last one record {last.number} ({last.where}).")
    else:
        lines.append(
            "Whoever can rewrite the whole file can rewrite the chain: note the head in git (palate verify --anchor), "
            "or hand it to a colleague."
        )
    lines += [
        f"Notes in git name another chain too, of {one.number + 1} records by {one.at} ({one.where}): a colleague's, "
        "another project's, or this one's before it was made anew."
        for one in verified.strange
    ]
    put_out(document, lines, as_json=as_json)


def _how(verified: Verified, *, full: bool) -> list[str]:
    """Say plainly what was verified, and how."""
    before = verified.records - verified.anew
    if full or not before:
        lines = ["Every record was verified anew."]
    else:
        lines = [
            f"{before} of them were verified before, and their bytes have the SHA-256 that they had then; "
            f"{verified.anew} verified now. Every one anew: palate verify --full"
        ]
    if verified.torn:
        lines.append(f"A last line that was not complete was set aside: {', '.join(verified.torn)}.")
    return lines
