"""Where the runs of a question go, and what becomes of those that the place ended: memory shared, or a GPU that went.

A run that had its place to itself and ran out of memory is an outcome. One that shared it is not: it is made again with
fewer at a time. A GPU that goes is no outcome of any change.
"""

from collections.abc import Callable

from palate.errors import RunsFailedError
from palate.store.project import Project
from palate.training.devices import memory_here, still_there
from palate.training.faults import Fault
from palate.training.launch import Ended, Resources
from palate.training.outcome import OUT_OF_MEMORY, fault_lines, fault_of, set_aside
from palate.training.placing import Places
from palate.vocabulary import Arm

OTHER_GPU = "invalid device ordinal"
"""What CUDA says where a program asks for a GPU that it does not see."""


class Placing:
    """The places of a question's runs.

    Args:
        project: where runs are kept.
        resources: what runs are carried out with.
        say: tells the person something, once.
    """

    def __init__(self, project: Project, resources: Resources, say: Callable[[str], None]) -> None:
        self._project, self._say = project, say
        self._places: Places | None = resources.places
        self._workers = resources.workers
        self._began = self._chose = False
        self._again: set[tuple[Arm, int]] = set()

    @property
    def workers(self) -> int:
        """Runs at a time, as far as is known by now."""
        if self._places is None:
            return self._workers
        if not self._began:
            self._began = True
            for words in self._places.words():
                self._say(words)
        return self._places.workers

    def one_at_a_time(self) -> None:
        """Make one run at a time from now on."""
        if self._places is None:
            self._workers = 1
        else:
            self._places.limit(1)

    def again(self, ended: Ended, which: tuple[Arm, int]) -> str:
        """Take in how a run ended; return why it counts for nothing and is made again, "" where it counts.

        Args:
            ended: the run.
            which: its arm and seed.

        Raises:
            RunsFailedError: its GPU went, and there is no other.
        """
        fault = fault_of(ended, self._project.output(ended.id)) if self._places is not None else None
        if self._places is None or fault is None:
            self._learn(ended)
            return ""
        if fault.kind == OUT_OF_MEMORY:
            return self._too_full(self._places, ended, fault)
        return self._lost(self._places, ended, fault, which)

    def _learn(self, ended: Ended) -> None:
        if self._places is None:
            return
        self._places.beside(ended.id, on_gpu=False)
        uses = ended.usage is None or ended.usage.gpu_peak != 0
        if ended.chose and ended.devices and uses and not self._chose:
            self._chose = True
            if not self._places.said:
                self._places.limit(1)
            at_once = "" if self._places.said else ": runs are made one at a time"
            self._say(
                f"The training sets CUDA_VISIBLE_DEVICES={ended.chose} itself, past the GPU that its run was placed "
                f"on{at_once}. Where it leaves that out, each run gets a GPU of its own."
            )
        words = self._places.learn(ended.usage) if ended.usage is not None and ended.status == 0 else ""
        if words:
            self._say(words)
        if ended.status and ended.devices and self._asks_for_another(ended):
            self._say("A run asks for a GPU that it does not see: each has GPUs of its own. --workers 1 shows it all.")

    def _asks_for_another(self, ended: Ended) -> bool:
        return any(OTHER_GPU in line for line in fault_lines(self._project.output(ended.id)))

    def _too_full(self, places: Places, ended: Ended, fault: Fault) -> str:
        """Make a run again with fewer at a time, where it shared what ran out."""
        beside = places.beside(ended.id, on_gpu=fault.on_gpu and bool(ended.devices))
        if not beside or fault.could_never_fit(memory_here()):
            return ""
        fewer = places.fewer(on_gpu=fault.on_gpu)
        others = f"{beside} other run{'s' * (beside > 1)}"
        where = "a GPU" if fault.on_gpu and places.devices else "at a time"
        self._say(
            f"{ended.id} ran {fault.words.replace('of memory: ', 'of memory beside ' + others + ': ', 1)}. "
            f"It is made again, {fewer} {where} from now on."
        )
        return f"{fault.words}, beside {others}"

    def _lost(self, places: Places, ended: Ended, fault: Fault, which: tuple[Arm, int]) -> str:
        """Set a run aside whose GPU went, and make it again: on another, or once more where its own is still there."""
        named = ", ".join(ended.devices) or "its GPU"
        gone = [one for one in places.devices if one.words in ended.devices and one.total and not still_there(one)]
        if gone and not places.withdraw(gone):
            set_aside(self._project.journal(ended.id), f"{named} went: {fault.who}")
            raise RunsFailedError(
                f"{named} went while {ended.id} ran: {fault.who}.",
                why="That is no outcome of a change, and there is no other GPU to make the run again on.",
                todo=(
                    "See what the driver says: nvidia-smi, dmesg | grep Xid",
                    "Then type the same command again: nothing that finished is lost.",
                ),
            )
        if not gone and which in self._again:
            return ""  # twice, on a GPU that is there: it is the run's own doing
        self._again.add(which)
        how = "on another GPU" if gone else "once"
        self._say(f"{ended.id} lost {named} ({fault.who}). That is no outcome: it is made again, {how}.")
        return f"{named} went: {fault.who}"
