"""How many false winners to expect of many verdicts; pure, and light to import."""

ONE_SIDED = 0.025
"""Error probability of "better" alone: half of the verdict's level."""


def expected_flukes(verdicts: int) -> float:
    """Return the expected number of false "better" verdicts if no change had any effect: at most .025 a verdict.

    >>> round(expected_flukes(12), 1)
    0.3
    """
    return ONE_SIDED * verdicts
