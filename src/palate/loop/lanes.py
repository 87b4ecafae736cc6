"""Which runs of a plan are started together, so that their steps are computed at once; see `palate.cooking.lanes`.

The first run of an arm is made by itself, and notes whether its loop can be computed with others; from then on several
seeds of that arm are started together. Where that is given up, each of them has gone on by itself, and so do all that
come after them.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from palate.cooking.lanes.meeting import Meeting
from palate.errors import StoreError
from palate.question.plan import Plan
from palate.question.target import Order
from palate.store.private import make_folder
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.training.launch import Ended, Resources
from palate.vocabulary import Arm

MOST, FEWEST = 8, 3
"""Runs that are started together."""

AFTER = 3
"""Pairs that are made one by one first: a clear change needs no more."""

REST_S = 2.0
"""Seconds that are waited for the rest of a group to end, before the results are looked at."""

FOLDER = "lanes"
"""Folder of the first of the runs, in which they meet; it is gone when they have ended."""


@dataclass(slots=True)
class _Group:
    arm: Arm
    folder: Path
    size: int
    going: set[str] = field(default_factory=set)
    ends_s: float = float("inf")


class Lanes:
    """What is known of a plan's arms: whether their runs can be computed together.

    Args:
        project: where the runs are kept.
        plan: which arms at which seeds.
        resources: what runs are carried out with.
        say: tells the person something, once.
    """

    def __init__(self, project: Project, plan: Plan, resources: Resources, say: Callable[[str], None]) -> None:
        self._project, self._plan, self._say = project, plan, say
        here = all(plan.target_of(arm).task.kind != "command" for arm in plan.arms)  # else it may be several trainings
        self._possible = (
            here and plan.target.fork is None and resources.timeout_s is None and len(plan.seeds) > AFTER + FEWEST
        )
        self._can: dict[Arm, bool] = {}
        self._groups: dict[str, _Group] = {}
        self._ended: dict[str, _Group] = {}

    def forbid(self) -> None:
        """Start no runs together from now on: they would not be apart."""
        self._possible = False

    def size(self, arm: Arm) -> int:
        """Return how many runs of an arm may be started together; 1 where each is made by itself."""
        return MOST if self._possible and self._can.get(arm) else 1

    def orders(self, arm: Arm, orders: Sequence[Order]) -> list[Order]:
        """Return orders with where they meet; one alone with the question whether it could."""
        if len(orders) < FEWEST:
            asks = self._possible and arm not in self._can and all(one.branch is None for one in orders)
            return [replace(one, lanes=Meeting(None).text()) if asks else one for one in orders]
        folder = orders[0].folder / FOLDER
        make_folder(folder)
        group = _Group(arm, folder, len(orders), {one.id for one in orders})
        self._groups.update(dict.fromkeys(group.going, group))
        met = [Meeting(folder, lane, len(orders)).text() for lane in range(len(orders))]
        return [replace(one, lanes=text, group=str(folder)) for one, text in zip(orders, met, strict=True)]

    def shared(self, ended: Ended) -> Ended:
        """Return an ended run with its share of the time that its group took."""
        group = self._groups.get(ended.id)
        apart = group is None or any("alone" in event for event in self._events(ended.id))
        return ended if group is None or apart else replace(ended, elapsed_s=ended.elapsed_s / group.size)

    def heard(self, arm: Arm, run_id: str) -> None:
        """Read what an ended run noted: whether it could be computed with others, or why it went on by itself."""
        group = self._groups.pop(run_id, None)
        if group is None and (arm in self._can or not self._possible):
            return
        events = self._events(run_id)
        for event in events:
            why = str(event.get("alone" if group is not None else "why", ""))
            self._can[arm] = self._can.get(arm, True) and not why
            if why:
                self._say(f"Seeds of the {arm} are made one by one, and not many at once: {why}.")
        prices = [float(str(event["price"])) for event in events if "price" in event]
        if group is not None and prices:
            price = sum(prices) / len(prices)
            told = f"{group.size} seeds of the {arm} were computed at once"
            self._say(f"{told}: their steps cost those of {price:.3g} single runs.")
        if group is not None:
            self._left(group, run_id)

    def known(self, arm: Arm, runs: Collection[str]) -> None:
        """Read what runs noted that were made before; the first that noted anything is enough."""
        for run_id in runs if self._possible else ():
            for event in self._events(run_id):
                could = "lane" in event or bool(event.get("can"))
                self._can[arm] = self._can.get(arm, True) and could and "alone" not in event

    def close(self) -> None:
        """Remove the folders of groups that did not come to their end."""
        for group in self._groups.values():
            shutil.rmtree(group.folder, ignore_errors=True)
        self._groups.clear()

    def more_ends(self, run_id: str) -> bool:
        """Return whether others of an ended run's group end in this moment, so that they are looked at together."""
        group = self._ended.get(run_id)
        return group is not None and bool(group.going) and time.monotonic() < group.ends_s + REST_S

    def _left(self, group: _Group, run_id: str) -> None:
        group.going.discard(run_id)
        group.ends_s = min(group.ends_s, time.monotonic())
        self._ended[run_id] = group
        if not group.going:
            shutil.rmtree(group.folder, ignore_errors=True)

    def _events(self, run_id: str) -> list[dict[str, object]]:
        with contextlib.suppress(StoreError, OSError):
            return [one for one in read_journal(self._project.journal(run_id)).events if one.get("kind") == "lanes"]
        return []
