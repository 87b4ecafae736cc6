"""Which questions somebody could have forecast: skipping the hard ones is the easy way to look good; pure."""

from palate.store.chain import Chain

_ACTS = ("forecast", "skip", "commitment")


def asked_of(chain: Chain, author: str, begun: frozenset[str] = frozenset()) -> frozenset[str]:
    """Give the experiments that count in somebody's coverage.

    These are all that they forecast or skipped, and all that were asked since the first of these; but not what was
    never run, what was voided, or what was asked when its outcome could be seen already.

    Args:
        chain: the sealed chain.
        author: whose.
        begun: experiments of which runs have ended, though nothing of that is sealed yet.
    """
    mine = [r for kind in _ACTS for r in chain.records(kind) if r.body["author"] == author]
    joined = min((record.number for record in mine), default=None)
    if joined is None:
        return frozenset()
    void = {record.body["experiment"] for record in chain.records("void")}
    run = {record.body["experiment"] for kind in ("verdict", "score") for record in chain.records(kind)} | begun
    since = {
        record.body["experiment"]
        for record in chain.records("question")
        if record.number > joined and not record.body.get("visible")
    }
    return frozenset((since | {record.body["experiment"] for record in mine}) & run - void)
