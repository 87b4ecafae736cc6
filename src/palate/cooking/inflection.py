"""A proposal of where the good point was: colour and sharpness of the samples, and where one of them breaks away.

Pure. It only proposes: "the last one before the change". What glitches look like, a person has to see; a sharpness
loss met its target exactly by painting checkerboards.

The threshold is simulated for each number of samples: those that go along a line with independent noise give a
proposal in about 5 of 100 runs, over both measures together, and those that settle down like 1 - exp(-t) hardly ever.
Noise that lasts gives more: at a correlation of 0.6 from sample to sample 8 of 100 runs of 40 samples, a random walk
17. Behind a curve that settles, a jump of 10 sds of the noise is found in 40 of 100 runs of 20 samples, and in 98 of 40
samples.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST = 12
"""Samples below which nothing is proposed."""

WINDOW = 6
"""Samples before a change that say what was to come."""

FALSE_ALARMS = 0.05
"""The share of unchanged runs that get a proposal all the same."""

SIMULATED = 2000
SLOPES = (0.0, 0.5, 1.0, 5.0)
"""Rises of the lines that the threshold is simulated for, in sds of the noise a sample."""

LIMIT = 1e3
MOST = 150
"""Samples that are looked at, the newest ones: measuring one of 522 x 522 pixels takes 17 ms."""

SMALLEST = 0.02
"""The least that counts as noise, as a share of the range: what is smaller nobody sees."""

Measure = Literal["colour", "sharpness"]
MEASURES: tuple[Measure, ...] = ("colour", "sharpness")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of one sample's images.

    Attributes:
        step: of the sample.
        colour: mean colourfulness, 0 for grey, about 100 for extremely colourful.
        sharpness: gradient energy; with `relative` as a multiple of the reference images'.
        relative: whether there were any.
    """

    step: int
    colour: float
    sharpness: float
    relative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Where a person should look.

    Attributes:
        step: the last sample before the change.
        changed_at: the first one after it.
        measure: which broke away.
        before, after: its value at the two; expected: what the samples before led to expect after.
        relative: whether sharpness is a multiple of the references'.
    """

    step: int
    changed_at: int
    measure: Measure
    before: float
    after: float
    expected: float
    relative: bool = False

    @property
    def words(self) -> str:
        """It as two sentences."""
        name = {"colour": "colourfulness", "sharpness": "sharpness"}[self.measure]
        unit = " x the references'" if self.relative and self.measure == "sharpness" else ""
        return (
            f"From step {self.step} to {self.changed_at} {name} breaks away, from {self.before:.3g} to"
            f" {self.after:.3g}{unit}, where {self.expected:.3g} was to be expected. Look at {self.step}, the last one"
            " before the change; it is a proposal, and you taste."
        )


def colourfulness(image: "NDArray[Any]") -> float:
    """Return how colourful an image (height, width, 3; 0 to 255) is.

    sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2), rg = R - G, yb = (R + G) / 2 - B.
    D. Hasler and S. Suesstrunk (2003), Measuring colourfulness in natural images, Proc. SPIE 5007: 87-95.

    >>> import numpy as np
    >>> colourfulness(np.full((2, 2, 3), 90)), round(colourfulness(np.full((2, 2, 3), (255, 0, 0))), 2)
    (0.0, 85.53)
    """
    import numpy as np

    red, green, blue = np.moveaxis(np.asarray(image, np.float64), -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def gradient_energy(image: "NDArray[Any]") -> float:
    """Return how much an image (height, width, 3; 0 to 255) changes from pixel to pixel: mean dx^2 + mean dy^2 of luma.

    >>> import numpy as np
    >>> round(gradient_energy(np.repeat([[[0.0], [2.0], [4.0]]] * 2, 3, axis=-1)), 9)
    4.0
    """
    import numpy as np

    luma = np.asarray(image, np.float64) @ (0.299, 0.587, 0.114)
    return sum(float(np.square(np.diff(luma, axis=axis)).mean()) for axis in (0, 1) if luma.shape[axis] > 1)


def measure(step: int, images: "Sequence[NDArray[Any]]", references: "Sequence[NDArray[Any]]" = ()) -> Measured | None:
    """Measure one sample's images; None without any."""
    if not images:
        return None
    energy = _mean(gradient_energy(one) for one in images)
    reference = _mean(gradient_energy(one) for one in references) if references else 0.0
    relative = reference > 0
    sharpness = energy / reference if relative else energy
    return Measured(step=step, colour=_mean(map(colourfulness, images)), sharpness=sharpness, relative=relative)


def _mean(values: Any) -> float:
    found = list(values)
    return float(sum(found) / len(found))


def propose(samples: Sequence[Measured]) -> Proposal | None:
    """Propose the last sample before one of the measures breaks away from where it was going.

    A measure breaks away at a sample where this one and the next both lie off the line through the six before, on the
    same side, by more noise than chance gives. One odd sample is no change.

    Args:
        samples: by step.

    Returns:
        the proposal of the measure that breaks away most; None where none does, or there are less than 12.
    """
    samples = samples[-MOST:]
    if len(samples) < FEWEST:
        return None
    found = [(*_break_of([getattr(one, name) for one in samples]), name) for name in MEASURES]
    surprise, place, expected, name = max(found)
    if surprise <= threshold(len(samples), FALSE_ALARMS / len(MEASURES)):
        return None
    last, first = samples[place - 1], samples[place]
    return Proposal(
        step=last.step, changed_at=first.step, measure=name, before=getattr(last, name), after=getattr(first, name),
        expected=expected, relative=first.relative,
    )  # fmt: skip


def _break_of(values: Sequence[float]) -> tuple[float, int, float]:
    """Return the greatest surprise in a measure, at which sample, and what was expected there."""
    import numpy as np

    series = np.asarray(values, np.float64)
    if not np.isfinite(series).all() or np.ptp(series) <= 1e-9 * np.abs(series).max():
        return 0.0, WINDOW, 0.0
    surprises, offs = _surprises(series[None])
    place = int(surprises[0].argmax())
    return float(surprises[0, place]), place + WINDOW, float(series[place + WINDOW] - offs[0, place])


def _surprises(series: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return, for many series (n, samples), how surprising a break at each sample from the seventh to the last but one
    is, and how far that sample lies off the line.

    A distance is measured in the noise of the series itself.
    """
    import numpy as np

    nearer, farther = _weights()
    windows = np.lib.stride_tricks.sliding_window_view(series, WINDOW, axis=1)
    off_line = series[:, WINDOW:] - windows[:, :-1] @ nearer
    noise = _noise(off_line, series)
    level = np.median(windows[:, :-2, -3:], axis=2)
    first = _beyond(off_line[:, :-1], series[:, WINDOW:-1] - level)
    later = series[:, WINDOW + 1 :]
    second = _beyond((later - windows[:, :-2] @ farther) * _spread(nearer) / _spread(farther), later - level)
    agree = np.sign(first) == np.sign(second)
    surprise = np.where(agree, np.minimum(np.abs(first), np.abs(second)), 0.0) / noise
    return np.clip(surprise, 0, LIMIT), off_line[:, :-1]


def _noise(off_line: "NDArray[np.float64]", series: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the noise of each series: the median of its distances from its lines, and 2 % of its range at least."""
    import numpy as np

    usual = np.median(np.abs(off_line), axis=1, keepdims=True)
    least: NDArray[np.float64] = np.maximum(usual, SMALLEST * np.ptp(series, axis=1, keepdims=True))
    return least


def _beyond(off_line: "NDArray[np.float64]", off_level: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return how far values lie beyond both the line and the level of the last three; 0 between the two.

    Between them lies what merely slows down, as nearly all that is learnt does.
    """
    import numpy as np

    same = np.sign(off_line) == np.sign(off_level)
    return np.where(same, np.sign(off_line) * np.minimum(np.abs(off_line), np.abs(off_level)), 0.0)


@functools.cache
def _weights() -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return what the six samples before count for where a line through them gives the next, and the one after."""
    import numpy as np

    design = np.vander(np.arange(WINDOW, dtype=np.float64), 2)
    solved = np.linalg.pinv(design)
    return np.array([WINDOW, 1.0]) @ solved, np.array([WINDOW + 1, 1.0]) @ solved


def _spread(weights: "NDArray[np.float64]") -> float:
    return float((1 + (weights**2).sum()) ** 0.5)


@functools.lru_cache(maxsize=64)
def threshold(n: int, false_alarms: float) -> float:
    """Return the surprise that so many of unchanged series of n samples go beyond at most, by simulation."""
    import numpy as np

    noise = np.random.default_rng(0).standard_normal((SIMULATED, n))
    steepest = [_surprises(noise + slope * np.arange(n))[0].max(axis=1) for slope in SLOPES]
    return max(float(np.quantile(one, 1 - false_alarms)) for one in steepest)
