"""Verdicts on the effects of a factorial design: the same rule, seeds as blocks, with Holm's procedure; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.verdict.design import Design, Effect
from palate.verdict.pairs import FloatArray, Pairs
from palate.verdict.rule import Terms, Verdict, judge

Cell = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectVerdict:
    """One effect of a design, judged.

    Attributes:
        effect: factors by number; one for a main effect, two for an interaction.
        aliases: effects with the same contrast, from which it cannot be separated.
        verdict: for a main effect, on the change averaged over the other factors; for an interaction, on how much
            more one change does where the other is made too.
    """

    effect: Effect
    aliases: tuple[Effect, ...]
    verdict: Verdict


def contrast_pairs(
    design: Design, effect: Effect, values: Mapping[Cell, FloatArray], resolution: float | None
) -> Pairs:
    """Return an effect as pairs, one for each seed: the cells with sign -1 against those with sign +1.

    Args:
        design: the cells.
        effect: which contrast.
        values: for each cell (seeds,) values at the same seeds, + is better.
        resolution: smallest step of the metric; averages over cells have a finer one, which is computed here.
    """
    table = np.array([values[cell] for cell in design.cells])
    signs = design.signs(effect)
    unit = float(len(effect))  # an interaction is a difference of two differences: twice the contrast
    finer = None if resolution is None else resolution * unit * 2 / len(design.cells)
    return Pairs(
        baseline=unit * table[signs < 0].mean(axis=0), treatment=unit * table[signs > 0].mean(axis=0), resolution=finer
    )


def judge_effects(
    design: Design, values: Mapping[Cell, FloatArray], terms: Terms, resolution: float | None = None
) -> tuple[EffectVerdict, ...]:
    """Judge every effect at every look, by Holm's procedure: each settled effect leaves more of the level to the rest.

    Args:
        design: the cells and effects.
        values: for each cell (seeds,) values at the same seeds, in the order of the seeds, + is better.
        terms: margin and budget; priors are not used for contrasts.
        resolution: smallest step of the metric.
    """
    pairs = [contrast_pairs(design, effect, values, resolution) for effect in design.effects]
    settled: dict[int, Verdict] = {}
    latest: dict[int, Verdict] = {}
    cold = Terms(budget=terms.budget, margin=terms.margin)
    for n in range(1, len(next(iter(values.values()))) + 1):
        latest = {i: judge(p.first(n), cold, bit_identical=False) for i, p in enumerate(pairs)}
        _settle(pairs, settled, cold, n)
    return tuple(
        EffectVerdict(effect=effect, aliases=aliases, verdict=settled.get(i, _open(latest[i])))
        for i, (effect, aliases) in enumerate(zip(design.effects, design.aliases, strict=True))
    )


def _settle(pairs: Sequence[Pairs], settled: dict[int, Verdict], terms: Terms, n: int) -> None:
    """Add the effects that look n settles, in place; each makes the share of the level larger for the next."""
    while True:
        share = len(pairs) - len(settled)
        waiting = [i for i in range(len(pairs)) if i not in settled]
        new = {
            i: v for i in waiting if (v := judge(pairs[i].first(n), terms, share=share, bit_identical=False)).settled
        }
        if not new:
            return
        settled.update(new)


def _open(verdict: Verdict) -> Verdict:
    """Return the verdict as open: at its share of the level it is not settled, even if it would be alone."""
    return replace(verdict, kind="unclear", reason="budget" if verdict.n >= verdict.budget else "")
