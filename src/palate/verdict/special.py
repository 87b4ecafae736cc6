"""Special functions, imported at their first use: `scipy.special` takes a quarter of a second of every command.

Each takes and gives arrays as its namesake of `scipy.special` does.
"""

from typing import Any


def digamma(x: Any) -> Any:
    """Give psi(x), the slope of log Gamma."""
    from scipy import special

    return special.digamma(x)


def fdtri(dfn: Any, dfd: Any, p: Any) -> Any:
    """Give the p quantile of F with dfn and dfd degrees of freedom."""
    from scipy import special

    return special.fdtri(dfn, dfd, p)


def gammaincinv(a: Any, y: Any) -> Any:
    """Give the x at which the regularised lower incomplete gamma function of a is y."""
    from scipy import special

    return special.gammaincinv(a, y)


def ndtr(x: Any) -> Any:
    """Give the normal distribution function."""
    from scipy import special

    return special.ndtr(x)


def ndtri(p: Any) -> Any:
    """Give the normal quantile function."""
    from scipy import special

    return special.ndtri(p)


def polygamma(n: Any, x: Any) -> Any:
    """Give the n-th derivative of psi at x."""
    from scipy import special

    return special.polygamma(n, x)


def stdtr(df: Any, t: Any) -> Any:
    """Give Student's t distribution function with df degrees of freedom."""
    from scipy import special

    return special.stdtr(df, t)
