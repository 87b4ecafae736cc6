"""`palate verify`."""

from collections import Counter

import click

from palate.cli.common import here, json_option, put_out
from palate.store.chain import GENESIS


@click.command("verify")
@json_option
def command(as_json: bool) -> None:
    """Walk the sealed chain: every record unchanged, in its place, none dropped, none dated back."""
    chain = here().chain
    records = chain.records()
    head = records[-1].hash if records else GENESIS
    kinds = Counter(record.kind for record in records)
    document = {"schema": "palate.verify/1", "holds": True, "records": len(records), "kinds": dict(kinds), "head": head}
    counted = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "nothing sealed yet"
    lines = [
        f"The seal holds: {len(records)} records ({counted}).",
        f"Head {head}",
        "Whoever can rewrite the whole file can rewrite the chain: note the head elsewhere (git notes add -m HEAD).",
    ]
    put_out(document, lines, as_json=as_json)
