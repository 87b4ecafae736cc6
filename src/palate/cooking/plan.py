"""A plan of stages, refused before the training begins where it cannot be carried out."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from palate.cooking.parts import tops_words, unknown_names
from palate.cooking.stage import Cycle, Stage
from palate.cooking.until import faults_of
from palate.errors import InputError


def refuse_plan(plan: tuple[Stage | Cycle, ...], parts: Mapping[str, Any]) -> None:
    """Refuse what is no plan, conditions that can never hold, and layers that the parts do not have.

    Raises:
        InputError: all that is wrong with it.
    """
    if not plan:
        raise InputError("run.stages() has no stage.", todo='for stage in run.stages(Stage("main")):')
    strange = [repr(one) for one in plan if not isinstance(one, Stage | Cycle)]
    if strange:
        raise InputError("run.stages takes stages and cycles of them.", why=strange, todo='Stage("main", until=...)')
    conditions = [(item.until, False) for item in plan if isinstance(item, Stage) and item.until is not None]
    for item in plan:
        if isinstance(item, Cycle):
            conditions += [(item.until, True), *((one.until, True) for one in item.stages if one.until is not None)]
    faults = [fault for condition, cycles in conditions for fault in faults_of(condition, cycles=cycles)]
    unknown = [one for stage in _stages_in(plan) for one in unknown_names(parts, stage.train or ())]
    if faults or unknown:
        named = [f"train=[{one!r}]: no parameter's name has it; {tops_words(parts)}" for one in unknown]
        raise InputError("The stages cannot be carried out.", why=[*faults, *named])


def _stages_in(plan: Iterable[Stage | Cycle]) -> Iterator[Stage]:
    for item in plan:
        yield from (item,) if isinstance(item, Stage) else item.stages
