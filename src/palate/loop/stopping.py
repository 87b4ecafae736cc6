"""Stop what another process makes, and see that nothing of it is left."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

from palate.errors import RefusedError, RunsFailedError
from palate.loop.sittings import STOP, Job, Sitting, sittings_of
from palate.store.private import write_file
from palate.training.family import began_ticks, is_there, send, with_descendants

GRACE_S = 30.0
"""Seconds that a process has to end its runs and itself, before it is killed; its runs end with it then."""

GONE_S = 20.0
"""Seconds within which what a killed process leaves is ended by its keeper."""

HEARD_S = 30.0
"""Seconds within which a process is to say that it starts no more runs."""

LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What stopping a sitting did, as it was seen afterwards.

    Attributes:
        before, after: the sitting.
        processes: how many there were of it.
        left: those that are there still.
        killed: whether its process did not end by itself, and was killed.
    """

    before: Sitting
    after: Sitting
    processes: int
    left: tuple[int, ...]
    killed: bool


def refuse_elsewhere(one: Sitting) -> None:
    """Refuse to stop what goes on another machine: nothing that is sent gets there, and nothing tells of its end.

    Raises:
        RefusedError: it goes there.
    """
    if one.life == "elsewhere":
        raise RefusedError(
            f"{one.name} goes on {one.job.host} (process {one.job.pid}), and cannot be stopped from here.",
            why="A process of another machine hears nothing of this one, and nothing would tell of its end.",
            todo=f"ssh {one.job.host}   then, in {one.job.folder}:   palate stop {one.name}",
        )


def stop_after_runs(one: Sitting) -> Sitting:
    """Let a process start no more runs; return its sitting once it said so, or has ended.

    Raises:
        RefusedError: it goes on another machine.
        RunsFailedError: it does not answer.
    """
    refuse_elsewhere(one)
    write_file(one.folder / STOP, "after runs\n")
    until_s = time.monotonic() + HEARD_S
    while time.monotonic() < until_s:
        seen = again(one)
        if seen.state.stopping or not seen.goes:
            return seen
        time.sleep(LOOK_S)
    raise RunsFailedError(
        f"{one.name} does not answer: process {one.job.pid} reads what differs between the arms, or stands still.",
        why="It was asked to start no more runs, and does so as soon as it goes on.",
        todo=(f"See it:     palate watch {one.name}", f"End it now:  palate stop {one.name}"),
    )


def stop_now(one: Sitting) -> Stopped:
    """End a process with its runs, as Ctrl-C does, and wait until nothing of it is left.

    Raises:
        RefusedError: it goes on another machine, or is somebody else's.
    """
    refuse_elsewhere(one)
    family = {pid: began_ticks(pid) for pid in with_descendants([one.job.pid])} if one.job.is_process else {}
    write_file(one.folder / STOP, "now\n")
    killed = not _ends(one, signal.SIGTERM, GRACE_S)
    if killed:
        _ends(one, signal.SIGKILL, GONE_S)
    left = tuple(_left(family, GONE_S))
    return Stopped(before=one, after=again(one), processes=len(family), left=left, killed=killed)


def again(one: Sitting) -> Sitting:
    """Read a sitting again; as it was where it was taken away meanwhile, but gone."""
    found = (seen for seen in sittings_of(one.folder.parents[1], one.name) if seen.folder == one.folder)
    return next(found, None) or Sitting(folder=one.folder, job=one.job, state=one.state, life="ended")


def _ends(one: Sitting, number: int, within_s: float) -> bool:
    """Send a signal to the process of a sitting, and to one that it is handed to; return whether it ends in time."""
    until_s, sent = time.monotonic() + within_s, (0, 0)
    while (seen := again(one)).goes:
        if (seen.job.pid, seen.job.ticks) != sent and seen.job.is_process:
            sent = (seen.job.pid, seen.job.ticks)
            _send(seen.job, number)
        if time.monotonic() > until_s:
            return False
        time.sleep(LOOK_S)
    return True


def _send(job: Job, number: int) -> None:
    """Send a signal to a job's process and to no other that may have its number by now.

    Raises:
        RefusedError: it is somebody else's.
    """
    try:
        with _descriptor_of(job) as descriptor:
            if not job.is_process:  # what the descriptor is of is known only now
                return
            if descriptor >= 0:
                signal.pidfd_send_signal(descriptor, number)
            else:
                os.kill(job.pid, number)
            send(job.pid, signal.SIGCONT)  # where it stands still, it hears nothing
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise RefusedError(
            f"Process {job.pid} is somebody else's, and is not yours to stop.", todo="Ask who started it."
        ) from error


@contextlib.contextmanager
def _descriptor_of(job: Job) -> Iterator[int]:
    """Open a process, so that its number cannot become another's meanwhile; -1 where the system has no such thing."""
    descriptor = os.pidfd_open(job.pid) if hasattr(os, "pidfd_open") else -1
    try:
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _left(family: dict[int, int], within_s: float) -> list[int]:
    """Wait until processes are gone; return those that are not."""
    until_s = time.monotonic() + within_s
    while left := [pid for pid, ticks in family.items() if began_ticks(pid) == ticks and is_there(pid)]:
        if time.monotonic() > until_s:
            break
        time.sleep(LOOK_S)
    return left
