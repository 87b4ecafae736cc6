"""Chunks that are worth a name.

A chunk takes one line for each setting. If it has a name, it takes one line and one for each setting that differs.
Proposals are chosen greedily: small chunks before the chunks that contain them, and each time the chunk that saves most
lines over all recipes, its own lines subtracted. The gain of a chunk can only shrink when another is chosen, so a
priority queue need not be recomputed. A chunk must save lines in both halves of the recipes.
"""

import heapq
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from palate.recipe.codec import Symbol
from palate.recipe.names import FEWEST_SETTINGS, Named, Writer, places
from palate.recipe.nearest import Flat, distance
from palate.recipe.numbering import STRUCTURE
from palate.recipe.roles import Own, by_role
from palate.recipe.settings import show_value
from palate.recipe.tree import Chunk, chunk_id, leaves

FEWEST_USES = 3
"""The fewest places in recipes that a proposal must shorten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A chunk that is worth a name.

    Attributes:
        named: the chunk, with a name made of the settings that distinguish it.
        uses: how many places in recipes it would shorten.
        saved: how many lines it saves in all recipes, its own subtracted.
        held_out: how many lines it saves in the half of the recipes in which it saves less.
    """

    named: Named
    uses: int
    saved: int
    held_out: int


@dataclass(slots=True)
class _Form:
    """One form of a chunk: its content, the lines that it takes now, and how often it occurs in either half."""

    chunk: Chunk
    flat: Flat
    cost: int
    even: int = 0
    odd: int = 0

    @property
    def uses(self) -> int:
        """Return how often it occurs."""
        return self.even + self.odd


def propose(
    recipes: Sequence[Chunk], *, own: Own | None = None, known: Sequence[Named] = (), refused: Sequence[str] = ()
) -> list[Proposal]:
    """Find the chunks that are worth a name; those that save most come first.

    Args:
        recipes: the person's earlier recipes, as exact trees; a proposal must save lines in the even and the odd ones.
        own: the person's own sections; see `role_label`.
        known: chunks that have a name already.
        refused: the `content` of chunks that the person refused.
    """
    writer = Writer(known)
    standing: dict[tuple[int, str, str], list[tuple[int, Chunk]]] = {}
    for number, recipe in enumerate(recipes):
        for role, chunk in by_role(recipe, own).items():
            for slot, part, height in places(role, chunk):
                standing.setdefault((height, role, slot), []).append((number, part))
    proposals: list[Proposal] = []
    for _, role, slot in sorted(standing):
        chunks = standing[(_, role, slot)]
        proposals += _of_slot(role, slot, chunks, writer, frozenset(refused))
    return sorted(_distinct_names(proposals, known), key=lambda proposal: -proposal.saved)


def content(base: Chunk) -> str:
    """Return what identifies a refused chunk, whatever its proposed name."""
    return chunk_id(base)[:16]


def _of_slot(
    role: str, slot: str, chunks: Sequence[tuple[int, Chunk]], writer: Writer, refused: frozenset[str]
) -> list[Proposal]:
    forms = _forms(role, slot, chunks, writer)
    queue = [(-_gain(form, forms), place) for place, form in enumerate(forms)]
    heapq.heapify(queue)
    proposals: list[Proposal] = []
    while queue and queue[0][0] < 0:
        _, place = heapq.heappop(queue)
        form = forms[place]
        gain = _gain(form, forms)
        if queue and gain < -queue[0][0]:
            heapq.heappush(queue, (-gain, place))
            continue
        proposal = _proposal(role, slot, form, forms) if gain > 0 else None
        if proposal is not None and content(form.chunk) not in refused:
            proposals.append(proposal)
            writer.learn(proposal.named)
            _take(form.flat, forms)
    return proposals


def _forms(role: str, slot: str, chunks: Sequence[tuple[int, Chunk]], writer: Writer) -> list[_Form]:
    forms: dict[frozenset[int], _Form] = {}
    for number, chunk in chunks:
        flat = writer.flattener.flat(chunk)
        if len(flat) < FEWEST_SETTINGS:
            continue
        form = forms.get(flat.pairs)
        if form is None:
            form = forms[flat.pairs] = _Form(chunk, flat, writer.write(role, chunk, slot).lines)
        form.odd += number % 2
        form.even += 1 - number % 2
    return list(forms.values())


def _gain(prototype: _Form, forms: Sequence[_Form]) -> int:
    return sum(form.uses * _saves(prototype.flat, form) for form in forms) - prototype.cost


def _take(flat: Flat, forms: Sequence[_Form]) -> None:
    for form in forms:
        form.cost -= _saves(flat, form)


def _saves(prototype: Flat, form: _Form) -> int:
    """Count the lines that a prototype saves in one form of a chunk."""
    if form.cost <= 1 + abs(len(prototype) - len(form.flat)):
        return 0  # the distance is at least the difference in size
    return max(0, form.cost - 1 - distance(prototype, form.flat))


def _proposal(role: str, slot: str, best: _Form, forms: Sequence[_Form]) -> Proposal | None:
    """Make the proposal, if it is used often enough and saves lines in both halves of the recipes."""
    saves = [(form, saved) for form in forms if (saved := _saves(best.flat, form))]
    halves = (sum(form.even * saved for form, saved in saves), sum(form.odd * saved for form, saved in saves))
    uses = sum(form.uses for form, _ in saves)
    total = sum(form.uses * saved for form, saved in saves) - best.cost
    if uses < FEWEST_USES or min(halves) <= 0:
        return None
    named = Named(name=_name(role, slot, best, forms), role=role, slot=slot, base=best.chunk)
    return Proposal(named=named, uses=uses, saved=total, held_out=min(halves))


def _name(role: str, slot: str, best: _Form, forms: Sequence[_Form]) -> str:
    """Propose a name: the class of a chunk, and the setting that distinguishes it best from the other forms."""
    seen = Counter((path, repr(setting.value)) for form in forms for path, setting in leaves(form.chunk))
    settings = [(path, setting.value) for path, setting in leaves(best.chunk)]
    what = [word for path, value in settings if path[-1] in STRUCTURE and (word := _word(value))]
    rest = sorted(
        (seen[(path, repr(value))], len(path), f"{path[-1]}{show_value(value)}")
        for path, value in settings
        if type(path[-1]) is str and path[-1] not in STRUCTURE and type(value) in (int, float, bool)
    )
    words = [what[0] if what else slot or role, *(word for _, _, word in rest[:1])]
    return re.sub(r"[^A-Za-z0-9.+=_-]+", "-", "-".join(words)).strip("-").lower()[:48]


def _word(value: object) -> str:
    text = value.text if isinstance(value, Symbol) else value if isinstance(value, str) else ""
    return text.rpartition(".")[2]


def _distinct_names(proposals: Sequence[Proposal], known: Sequence[Named]) -> list[Proposal]:
    taken = {named.name for named in known}
    renamed = []
    for proposal in proposals:
        name, number = proposal.named.name, 1
        while name in taken:
            number += 1
            name = f"{proposal.named.name}-{number}"
        taken.add(name)
        renamed.append(replace(proposal, named=replace(proposal.named, name=name)))
    return renamed
