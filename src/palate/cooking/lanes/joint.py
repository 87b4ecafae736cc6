"""How the runs of several processes compute their steps together: they meet before a loop, and part behind it.

Each run is a process of its own, as ever: it makes its model, its data and its loop. Where several are started
together (`PALATE_LANES`), they meet when the loop begins: each writes down its state, and the first one forks a leader,
which computes all lanes (see `tensors`) and leaves to each what it would have come to. Behind the loop each run goes on
by itself: it evaluates, prints and stores what is its own.

Nothing is believed: each run makes the first steps itself, and the leader's must be equal; and the first run makes the
whole loop itself beside the leader, and all that it logs must be equal to its lane. Where something is not, or cannot
be told, or is not worth it, the reason is kept and each run goes on by itself from where it stands: nothing is lost.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from palate.cooking.feed import Pass, count_samples
from palate.cooking.lanes.batches import Data, digest_of, put_random
from palate.cooking.lanes.body import loop_frame, put_names
from palate.cooking.lanes.fit import body_of, faults_of_loop, is_among, plain_value, rates_of
from palate.cooking.lanes.leader import OWN_STEPS, Leader
from palate.cooking.lanes.letters import LOOK_S, Door, read, wait_at, write, write_words
from palate.cooking.lanes.meeting import Meeting
from palate.cooking.lanes.stacks import tensors_of
from palate.cooking.parts import is_module, is_optimizer, put_state, take_state
from palate.errors import PalateError

NEAR_ROWS, WITHIN = 1e-3, 3.0
"""How far apart equal numbers may be that are logged: of their size; and, as rounding grows while a training goes on,
of the spread between the lanes."""


def joined(live: Any, meeting: Meeting, one: Pass, loader: Iterable[Any]) -> "Together | None":
    """Return how a loop is gone through with others; None where it is not, and where that is only asked."""
    together = Together(live, meeting, one, loader)
    if meeting.folder is not None:
        return together
    meeting.alone = together.fault() or "it was asked only"
    live.run.journal.event("lanes", can=meeting.alone == "it was asked only", why=meeting.alone)
    return None


class Together:
    """One loop of a run that meets others."""

    def __init__(self, live: Any, meeting: Meeting, one: Pass, loader: Iterable[Any]) -> None:
        self._live, self._meeting, self._pass, self._loader = live, meeting, one, loader
        self._body = body_of(live)
        self._steps = 0
        self._leader: Leader | None = None
        self._leader_pid = 0
        self._door: Door | None = None
        self._rows: list[tuple[int | None, dict[str, Any]]] = []
        self._began_cpu_s: list[float] = []
        self._first: list[Any] = []
        self.folder: Path | None = None

    def fault(self) -> str:
        """Return why the loop cannot be computed with others; "" where it can."""
        return next(faults_of_loop(self._live, self._body, self._loader), "")

    def meet(self) -> Iterable[Any]:
        """Meet the others; return the batches that are gone through: the run's own, or, in the leader, all lanes'."""
        meeting = self._meeting
        assert meeting.folder is not None
        meeting.loops += 1
        self.folder = meeting.folder / str(meeting.loops)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        data, fault = None, self.fault() or self._claim()
        if not fault:
            try:
                data = Data(self._loader)
                self._write(f"start-{meeting.lane}", self._state(data.digest()))
            except (ValueError, PalateError) as error:
                fault = str(error)
        if fault:
            self._go_alone(fault)
            return self._pass
        if meeting.lane == 0:
            return self._lead(data)
        self._listen()
        return self._pass

    def _claim(self) -> str:
        """Take this run's place; return why that cannot be, "" where it was."""
        assert self.folder is not None
        try:
            (self.folder / f"place-{self._meeting.lane}").touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            return "another process of this run has come to a loop already"
        return ""

    def _state(self, digest: str) -> dict[str, Any]:
        passed, live = self._pass.state(), self._live
        now = {"torch": torch.get_rng_state(), **passed["now"]}
        shared = passed["before"]["shared"]
        before = now if shared is None else {"torch": shared["torch"], **passed["before"]["held"]}
        self._first = _weights(live.parts)
        return {
            "parts": {name: take_state(part) for name, part in live.parts.items()},
            "before": before,
            "now": now,
            "digest": digest,
            "used": self._used(),
            "carried": self._carried(),
            "step": live.step,
            "groups": repr([rates_of(part) for part in live.parts.values() if is_optimizer(part)]),
        }

    def _used(self) -> dict[str, str]:
        """Return what tells the values that the loop uses: they must be alike in all runs."""
        parts = list(self._live.parts.values())
        models = [one for part in parts if is_module(part) for one in part.modules()]
        same = [*parts, *models, self._live.run, self._loader]
        told = {name: one for name, one in self._body.used.items() if not is_among(one, same)}
        used = {name: digest_of(one) for name, one in told.items() if not isinstance(one, logging.Logger)}
        for name in (name for name, digest in used.items() if not digest):
            raise ValueError(f"{name} is a {type(told[name]).__qualname__}, which cannot be compared between runs")
        return used

    def _carried(self) -> dict[str, Any]:
        """Return the values of variables that the loop goes on from."""
        frame = loop_frame()
        names = {} if frame is None else frame.f_locals
        return {name: plain_value(name, names[name]) for name in self._body.carried if name in names}

    # ---- the run itself

    def _lead(self, data: Any) -> Iterable[Any]:
        """Fork the leader, once all are there; this run goes on by itself, and is held against its lane."""
        assert self.folder is not None
        names = [self.folder / f"start-{lane}" for lane in range(self._meeting.lanes)]
        until_s = time.monotonic() + self._meeting.wait_s
        while not all(one.exists() for one in names) and time.monotonic() < until_s:
            if (self.folder / "alone").exists():
                break
            time.sleep(LOOK_S)
        missing = [lane for lane, one in enumerate(names) if not one.exists()]
        if missing:
            alone = self._read_words("alone")
            self._go_alone(alone or f"{len(missing)} of {len(names)} runs did not come to the loop")
            return self._pass
        self._door = Door(self.folder / "door")
        self._write_words("begun", "")
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._door.forget()
            self._leader = Leader(self._live, self._meeting, self.folder, self._body, data)
            return self._leader
        self._leader_pid = pid
        self._listen()
        return self._pass

    def _listen(self) -> None:
        run, rows = self._live.run, self._rows
        run._journal = _Listening(run.journal, rows)
        self._began_cpu_s.append(time.process_time())

    def batches(self, call: int) -> Iterator[Any]:
        """Yield the batches of the loop: the run's own, or all lanes' in the leader.

        Args:
            call: the number of the loop; see `Live.steps`.
        """
        live, left = self._live, True
        batches = self.meet()
        if self._leader is None:
            live.arrive(self._pass, call)
        try:
            while not live.ended:
                for batch in batches:
                    samples = count_samples(batch)
                    try:
                        yield batch
                    except GeneratorExit:
                        live._count_step(samples)
                        raise
                    if self._leader is not None:
                        over = self._leader.step_done(samples)
                    else:
                        over = live.step_done(samples, self._pass, call) or self.is_over()
                    if over:
                        left = False
                        return
                if live._is_one_pass():
                    break
                live.epoch += 1
                live.ended = live._look()
                batches = batches if live.ended else self._next_pass()
            left = False
        finally:
            self.end(left=left)

    def is_over(self) -> bool:
        """Return, behind a step of a run itself, whether the leader has made the rest of the loop."""
        if self._meeting.alone or self.folder is None:
            return False
        self._steps += 1
        if self._steps <= OWN_STEPS:
            self._began_cpu_s.append(time.process_time())
        if self._steps != OWN_STEPS:
            return False
        spent = [b - a for a, b in zip(self._began_cpu_s, self._began_cpu_s[1:], strict=False)]
        self._write(f"own-{self._meeting.lane}", {"weights": _weights(self._live.parts), "cpu_s": min(spent)})
        return self._meeting.lane > 0 and self._take_over()

    def _next_pass(self) -> Iterable[Any]:
        """Begin another pass of the same loop."""
        if self._leader is not None:
            self._leader.begin_pass()
            return self._leader
        self._pass = Pass(self._loader, number=self._live.epoch, owned=True)
        return self._pass

    def end(self, *, left: bool) -> None:
        """Part: in the leader, leave each lane what it has come to; in the first run, hold its lane against it."""
        if self._leader is not None:
            if left:
                self._leader.give_up("the loop was left before its end")
            self._leader.leave()
        self._quiet()
        if not self._leader_pid:
            if not self._meeting.alone and self._steps < OWN_STEPS:
                self._go_alone(f"the loop has fewer than {OWN_STEPS} steps")
            return
        if left:
            os.kill(self._leader_pid, signal.SIGKILL)
        _, status = os.waitpid(self._leader_pid, 0)
        self._leader_pid = 0
        fault = "the loop was left before its end" if left else self._read_words("fault")
        fault = fault or (f"their process ended with status {status}" if status else "")
        end = {} if fault else self._read("end-0")
        fault = fault or self._compare(end)
        if fault:
            self._go_alone(fault)
        else:
            self._write_words("agreed", "")
            self._note(end["price"])
        if self._door is not None:
            self._door.open()

    def _compare(self, end: dict[str, Any]) -> str:
        """Return in what this run is not what its lane has come to; "" where it is."""
        rows, spread = json.loads(end["rows"]), json.loads(end["spread"])
        if len(rows) != len(self._rows) or end["step"] != self._live.step:
            return f"{len(self._rows)} rows were logged, {len(rows)} by the lane"
        for number, ((step, mine), (at, lane)) in enumerate(zip(self._rows, rows, strict=True)):
            if at != step or mine.keys() != lane.keys():
                return f"at step {step} the lane logged {sorted(lane)} and not {sorted(mine)}"
            for name, value in mine.items():
                if not _is_near(float(value), lane[name], spread[number].get(name, 0.0)):
                    return f"at step {step} {name} is {float(value):.6g}, and {lane[name]:.6g} in its lane"
        return ""

    def _take_over(self) -> bool:
        """Wait for the leader; take what it has come to, and return whether it has."""
        assert self.folder is not None
        while not any((self.folder / name).exists() for name in ("begun", "alone")):
            time.sleep(LOOK_S)
        if (self.folder / "begun").exists():
            wait_at(self.folder / "door")
        if not (self.folder / "agreed").exists():
            self._go_alone(self._read_words("alone") or "the first of the runs has ended")
            return False
        end = self._read(f"end-{self._meeting.lane}")
        self._take(end)
        self._note(end["price"])
        return True

    def _take(self, end: Mapping[str, Any]) -> None:
        live = self._live
        for name, part in live.parts.items():
            put_state(part, end["parts"][name])
        for name, plain in end["plain"].items():
            for module_name, module in live.parts[name].named_modules():
                module.__dict__.update(plain.get(module_name, {}))
        put_random(end["now"], self._pass._generators)
        self._quiet()
        for step, row in json.loads(end["rows"])[len(self._rows) :]:
            live.run.journal.log(step, row)
        live.step, live.samples, live.epoch, live.ended = end["step"], end["samples"], end["epoch"], end["ended"]
        put_names(self._body.code, end["names"])

    def _note(self, price: float) -> None:
        """Keep with the run that it was computed with others, and what all of them cost, in single runs."""
        told = {"lanes": self._meeting.lanes, "lane": self._meeting.lane, "price": price}
        self._live.run.journal.event("lanes", **told, step=self._live.step)

    def _go_alone(self, why: str) -> None:
        """Go on by oneself from here, now and in all loops to come; the others do so, too."""
        self._meeting.alone = why
        self._write_words("alone", why)
        self._quiet()
        self._live.run.journal.event("lanes", alone=why, step=self._live.step)

    def _quiet(self) -> None:
        run = self._live.run
        if isinstance(run._journal, _Listening):
            run._journal = run._journal.inner

    # ---- files

    def _write(self, name: str, body: Mapping[str, Any]) -> None:
        assert self.folder is not None
        write(self.folder / name, body)

    def _read(self, name: str) -> dict[str, Any]:
        assert self.folder is not None
        return read(self.folder / name)

    def _write_words(self, name: str, words: str) -> None:
        if self.folder is not None:
            write_words(self.folder / name, words)

    def _read_words(self, name: str) -> str:
        path = None if self.folder is None else self.folder / name
        return path.read_text(encoding="utf-8") if path is not None and path.exists() else ""


class _Listening:
    """A journal, with its rows kept besides."""

    def __init__(self, inner: Any, rows: list[tuple[int | None, dict[str, Any]]]) -> None:
        self.inner, self._rows = inner, rows

    def log(self, step: int | None, metrics: dict[str, Any]) -> None:
        self._rows.append((step, dict(metrics)))
        self.inner.log(step, metrics)

    def log_soon(self, step: int | None, metrics: dict[str, Any], now_s: float) -> None:
        self._rows.append((step, dict(metrics)))
        self.inner.log_soon(step, metrics, now_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _is_near(mine: float, lane: float, spread: float) -> bool:
    if mine != mine or lane != lane:
        return mine != mine and lane != lane
    return mine == lane or abs(mine - lane) <= max(NEAR_ROWS * abs(mine), WITHIN * spread, 1e-9)


def _weights(parts: Mapping[str, Any]) -> list[Any]:
    """Return copies of the weights and buffers of all models."""
    return [one.detach().clone() for one in tensors_of(parts)]
