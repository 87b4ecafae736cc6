"""Failures as an outcome of their own: do runs with the change fail more often? Pure."""

from palate.verdict.rule import Failures

LEVEL = 0.05


def failure_bound(runs: int) -> float:
    """Give the failure rate that 0 failures in so many runs leave possible (95 %).

    >>> round(failure_bound(8), 2)
    0.31
    """
    return 1.0 if runs < 1 else 1 - LEVEL ** (1 / runs)


def fails_differently(failures: Failures) -> float | None:
    """Give Boschloo's exact p-value that both arms fail as often (Boschloo 1970); None where neither failed.

    It is made for one look, at the end of the budget.
    """
    if not (failures.baseline or failures.treatment):
        return None
    from scipy.stats import boschloo_exact  # half a second to import, and rarely needed

    table = [
        [failures.treatment, failures.baseline],
        [failures.treatment_runs - failures.treatment, failures.baseline_runs - failures.baseline],
    ]
    return float(boschloo_exact(table).pvalue)


def failure_words(failures: Failures, *, at_end: bool) -> str:
    """Say what is known of the failures, in a sentence; nothing where nobody failed and nothing can be said."""
    told = (
        f"Failures: {failures.treatment} of {failures.treatment_runs} with the change,"
        f" {failures.baseline} of {failures.baseline_runs} without"
    )
    p = fails_differently(failures)
    if p is None:
        return ""
    if not at_end:
        return f"{told}."
    if p >= LEVEL:
        return f"{told}: too few to tell the rates apart."
    more = failures.treatment * failures.baseline_runs > failures.baseline * failures.treatment_runs
    return f"{told}: the change makes runs fail {'more' if more else 'less'} often."
