"""What follows each word of a condition: since when it holds, and what shows that."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import ge, gt, le, lt
from typing import ClassVar

from palate.cooking.watch import Follower, Moment
from palate.vocabulary import Goal

Plain = float | str
"""A number as JSON can hold it: NaN and infinity are text."""

LARGEST = 1e100
"""A metric that is larger has diverged."""

REMEMBERED = 40
"""Values of a metric that are kept: enough for its noise, and shown as evidence."""

WAIT_SHARE, WAIT_STEPS, WAIT_VALUES = 0.4, 200, 10
"""How long `over="auto"` waits: .4 of the steps so far, at least 200 steps, and at least 10 values. Chosen on 14 real
curves and on simulated ones (`benchmarks/until.py` judges it on others): .38 to .45 give nearly the same, below .36 a
run is ended before its learning rate falls; fewer values do not show a slope."""

SURE = 2.0
"""A difference counts beyond two standard deviations of the noise."""

RISE = 0.5
"""A stage goes on while the values since the last improvement rise by more than so many standard errors of their slope:
where the noise is as large as the gains, no single value shows them. 1 ends noisy slow descents much earlier."""

MAD_TO_SD = 1.4826
FEWEST_FOR_NOISE, FEWEST_FOR_MEDIAN = 5, 10

SIGNS = {"<": lt, "<=": le, ">": gt, ">=": ge}


def is_number(value: float) -> bool:
    """Whether a metric's value can be compared: no NaN, no infinity, nothing beyond 1e100."""
    return abs(value) <= LARGEST


def _plain(value: float) -> Plain:
    return value if math.isfinite(value) else repr(value)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) else str(value)


@dataclass(slots=True, kw_only=True)
class Count(Follower):
    """Something that only grows has reached a number, and stays there."""

    KEPT = ("reached",)
    TICKS = True

    place: int
    least: float
    said: str
    reached: float = 0.0

    def saw(self, moment: Moment) -> bool:
        """Look at one number of the moment."""
        if self.held or moment[self.place] < self.least:  # type: ignore[operator]
            return False
        self.held, self.at, self.reached = True, moment.step, moment[self.place]  # type: ignore[assignment]
        return True

    def rests(self) -> Mapping[str, float]:
        """Return what it waits for."""
        return {} if self.held else {Moment._fields[self.place]: self.least}

    def words(self) -> str:
        """Say what was reached."""
        return f"{self.said} at step {self.at:,}"


@dataclass(slots=True, kw_only=True)
class Tag(Follower):
    """A person gave a tag, and it stays."""

    TICKS = True

    tag: str

    def saw(self, moment: Moment) -> bool:
        """Look for the tag."""
        if self.held or not moment.tags or self.tag not in moment.tags:
            return False
        self.held, self.at = True, moment.step
        return True

    def rests(self) -> Mapping[str, float]:
        """Return nothing: it waits for a person."""
        return {}

    def words(self) -> str:
        """Say when it was given."""
        return f'a person tagged the run "{self.tag}" by step {self.at:,}'


@dataclass(slots=True, kw_only=True)
class Level(Follower):
    """The latest value of a metric is on one side of a number."""

    KEPT = ("latest",)

    metric: str
    sign: str
    value: float
    latest: Plain = "nan"

    def saw(self, moment: Moment) -> bool:
        """Compare the value, where there is one. NaN is on no side."""
        if (value := moment.metrics.get(self.metric)) is None:
            return False
        value = float(value)
        self.latest, self.at = _plain(value), moment.step
        self.held = SIGNS[self.sign](value, self.value)
        return True

    def words(self) -> str:
        """Say the value and what was asked of it."""
        asked = f"{self.sign} {self.value:g} was asked"
        return f"{self.metric} was {_shown(self.latest)} at step {self.at:,} ({asked})"


def noise_of(values: list[float]) -> float:
    """Return the difference that chance alone makes between values of a slowly changing curve: two sds of its noise.

    The trend is taken out by second differences, v[i-1] - 2 v[i] + v[i+1], whose variance is 6 times that of the
    noise. Their median size does not feel a few jumps. Noise that lasts from value to value is underestimated: then
    more counts as an improvement, and a run goes on for longer.

    >>> noise_of([5, 4, 3, 2, 1])
    0.0
    >>> round(noise_of([0, 1, 0, 1, 0, 1]), 2)
    2.42
    """
    if len(values) < FEWEST_FOR_NOISE:
        return 0.0
    bends = sorted(
        abs(before - 2 * here + after) for before, here, after in zip(values, values[1:], values[2:], strict=False)
    )
    return SURE * MAD_TO_SD * _median(bends) / math.sqrt(6)


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _fitted(line: list[float], x: float, y: float) -> list[float]:
    """Return the least-squares line through one more point: count, means of x and y, and sums xx, xy, yy about them."""
    count, mean_x, mean_y, xx, xy, yy = line or (0.0,) * 6
    count += 1
    off_x, off_y = x - mean_x, y - mean_y
    mean_x += off_x / count
    mean_y += off_y / count
    return [count, mean_x, mean_y, xx + off_x * (x - mean_x), xy + off_x * (y - mean_y), yy + off_y * (y - mean_y)]


def _rise_of(line: list[float]) -> float:
    """Return the slope of a line in its own standard errors; 0 below three points."""
    if len(line) < 6 or line[0] < 3:
        return 0.0
    count, _, _, xx, xy, yy = line
    error = math.sqrt(max(yy - xy * xy / xx, 0.0) / (count - 2) * xx)
    return xy / error if error else math.copysign(math.inf, xy) if xy else 0.0


@dataclass(slots=True, kw_only=True)
class Improvement(Follower):
    """Since when a metric has not improved by more than its noise.

    `reference` is the last value that improved, at step `since`; a later one improves where it is better by more than
    the noise. Small gains add up, as the reference stays. `best` may lie within the noise of it, and `line` is fitted
    to the values since, turned so that a better one is higher.
    """

    KEPT: ClassVar[tuple[str, ...]] = (
        "recent",
        "reference",
        "since",
        "values_since",
        "best",
        "best_step",
        "noise_now",
        "line",
    )

    metric: str
    goal: Goal
    over: int | None
    noise: float | None
    recent: list[list[float]] = field(default_factory=list)
    reference: float | None = None
    since: int = 0
    values_since: int = 0
    best: float | None = None
    best_step: int = 0
    noise_now: float = 0.0
    line: list[float] = field(default_factory=list)

    def saw(self, moment: Moment) -> bool:
        """Follow the metric, where it was logged. NaN is no improvement."""
        if (value := moment.metrics.get(self.metric)) is None:
            return False
        self.at, self.since = moment.step, self.since or moment.step
        self.values_since += 1
        if is_number(value):
            self._take(float(value))
        self.held = self._holds(value)
        return True

    def _take(self, value: float) -> None:
        self.recent.append([self.at, value])
        del self.recent[:-REMEMBERED]
        self.noise_now = noise_of([past for _, past in self.recent]) if self.noise is None else self.noise
        if self.best is None or self._gain(value, self.best) > 0:
            self.best, self.best_step = value, self.at
        if self.reference is None or self._gain(value, self.reference) > self.noise_now:
            self.reference, self.since, self.values_since, self.line = value, self.at, 0, []
        else:
            self.line = _fitted(self.line, self.at, self._gain(value, 0.0))

    def _gain(self, value: float, over: float) -> float:
        return value - over if self.goal == "max" else over - value

    def _waited(self, since: int, values: int) -> bool:
        if self.over is not None:
            return self.at - since >= self.over
        return values >= WAIT_VALUES and self.at - since >= max(WAIT_STEPS, WAIT_SHARE * self.at)

    def _holds(self, value: float) -> bool:
        raise NotImplementedError

    def _beyond_noise(self, since: int) -> str:
        return f"by more than its noise ({_shown(self.noise_now)}) for {self.at - since:,} steps: {self._best_words()}"

    def _best_words(self) -> str:
        if self.best is None:
            return "no value of it was a number"
        return f"best {_shown(self.best)} at step {self.best_step:,}"


@dataclass(slots=True, kw_only=True)
class Plateau(Improvement):
    """A metric has not improved by more than its noise for so many steps."""

    def _holds(self, value: float) -> bool:  # noqa: ARG002  what it improved is known
        rises = self.noise is None and _rise_of(self.line) > RISE
        return not rises and self._waited(self.since, self.values_since)

    def words(self) -> str:
        """Say for how long, and from where."""
        moved = "fallen" if self.goal == "min" else "risen"
        return f"{self.metric} has not {moved} {self._beyond_noise(self.since)}"


@dataclass(slots=True, kw_only=True)
class Worse(Improvement):
    """Every value of a metric was worse than its best, by more than its noise, for so many steps."""

    KEPT = (*Improvement.KEPT, "worse_since", "worse_values")

    worse_since: int = 0
    worse_values: int = 0

    def _holds(self, value: float) -> bool:
        worse = self.best is not None and not self._gain(value, self.best) >= -self.noise_now  # NaN is worse
        if not worse:
            self.worse_since = self.worse_values = 0
            return False
        self.worse_since = self.worse_since or self.at
        self.worse_values += 1
        return self._waited(self.worse_since, self.worse_values)

    def words(self) -> str:
        """Say for how long, and than what."""
        return f"{self.metric} has been worse than its best {self._beyond_noise(self.worse_since)}"


@dataclass(slots=True, kw_only=True)
class Divergence(Follower):
    """A metric is NaN or infinite now, or many times its running median."""

    KEPT = ("broken", "sizes")

    times: float | None
    broken: dict[str, Plain] = field(default_factory=dict)
    sizes: list[float] = field(default_factory=list)

    def saw(self, moment: Moment) -> bool:
        """Look at all that was logged, or at the one metric."""
        if self.metric is None:
            self._look(moment.metrics)
        elif self.metric in moment.metrics:
            self._look({self.metric: moment.metrics[self.metric]})
        self.held, self.at = bool(self.broken), moment.step
        return self.held

    def _look(self, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            if is_number(value) and not self._leaps(abs(float(value))):
                self.broken.pop(name, None)
            else:
                self.broken[name] = _plain(float(value))

    def _leaps(self, size: float) -> bool:
        if self.times is None:
            return False
        known = len(self.sizes) >= FEWEST_FOR_MEDIAN
        leaps = known and size > self.times * _median(sorted(self.sizes))
        self.sizes.append(size)
        del self.sizes[:-REMEMBERED]
        return leaps

    def words(self) -> str:
        """Say which value is broken."""
        said = [f"{name} is {_shown(value)}" for name, value in self.broken.items()]
        beyond = f" (more than {self.times:g} times its running median, or no number)" if self.times else ""
        return f"{', '.join(said)} at step {self.at:,}{beyond}"


@dataclass(slots=True, kw_only=True)
class Cycles(Follower):
    """So many cycles in a row gave no better value than the cycles before them."""

    KEPT = ("cycle", "here", "ended", "best", "without")
    TICKS = True

    metric: str
    goal: Goal
    most: int
    cycle: int = 0
    here: Plain | None = None
    ended: list[list[Plain]] = field(default_factory=list)
    best: float | None = None
    without: int = 0

    def saw(self, moment: Moment) -> bool:
        """End a cycle where the next one begins; keep the best value of the present one."""
        ends = moment.cycle != self.cycle
        if ends:
            self._end()
            self.cycle, self.at = moment.cycle, moment.step
        if self.cycle and moment.metrics and (value := moment.metrics.get(self.metric)) is not None:
            self._take(float(value))
        return ends

    def _take(self, value: float) -> None:
        if not isinstance(self.here, float) or (is_number(value) and self._better(value, self.here)):
            self.here = value if is_number(value) else repr(value)

    def _better(self, value: float, than: float) -> bool:
        return value > than if self.goal == "max" else value < than

    def _end(self) -> None:
        if self.here is None:  # a cycle without a value says nothing
            return
        self.ended = [*self.ended, [self.cycle, self.here]][-REMEMBERED:]
        if isinstance(self.here, float) and (self.best is None or self._better(self.here, self.best)):
            self.best, self.without = self.here, 0
        else:
            self.without += 1
        self.here, self.held = None, self.without >= self.most

    def words(self) -> str:
        """Say how many, and the best before them."""
        best = "no value of it was a number" if self.best is None else f"best {_shown(self.best)}"
        return f"{self.metric} was no better in {self.without} cycles in a row by step {self.at:,}: {best}"
