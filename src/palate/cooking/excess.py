"""By how much a loss lies above that of the average of the last weights: what jitter costs."""

from collections.abc import Sequence
from typing import Any

from palate.cooking.measured import by_device, sample, sampled, with_gradient

FEWEST, SHARE = 4, 0.2
"""Glances that the average reaches back: a fifth of all, and 4 at least."""

SETS = 8
"""Most sets of parameters with an average of their own; they change where parts are frozen or skipped."""


class Excess:
    """Holds the average of sampled weights of one optimizer.

    Around a minimum with curvature H the loss of weights w lies (w - m) H (w - m) / 2 above that of their mean m, and
    their gradient is H (w - m): half of gradient times distance is the excess, whatever H is and whatever the optimizer
    does. The gradient of a batch will do, as its noise knows nothing of weights from before it.
    """

    def __init__(self) -> None:
        self._averages: dict[tuple[str, ...], Any] = {}
        self._weights: dict[tuple[str, ...], Any] = {}
        self._count = 0

    def take(self, pairs: Sequence[tuple[str, Any]]) -> list[Any]:
        """Return the excess before a step as one number a device, left there; none at first. Adds to the average."""
        import torch

        self._count += 1
        share = 1 / min(self._count, max(FEWEST, SHARE * self._count))
        found = []
        with torch.no_grad():
            for graded in filter(None, map(with_gradient, by_device(pairs))):
                names = tuple(name for name, _ in graded)
                values = torch.cat([sample(p) for _, p in graded]).float()
                if names in self._averages:
                    slopes = torch.cat([sample(p.grad) for _, p in graded]).float()
                    away = values - self._averages[names]
                    found.append(torch.dot(slopes.mul_(self._weights[names]), away))
                    self._averages[names].add_(away, alpha=share)
                elif len(self._averages) < SETS:
                    self._averages[names], self._weights[names] = values, _weights(graded)
        return found


def _weights(graded: Sequence[tuple[str, Any]]) -> Any:
    """Return for each sampled value half the number of those that it stands for."""
    import torch

    sizes = torch.tensor([sampled(p) for _, p in graded])
    shares = torch.tensor([p.numel() / sampled(p) / 2 for _, p in graded])
    return shares.repeat_interleave(sizes).to(graded[0][1].device)
