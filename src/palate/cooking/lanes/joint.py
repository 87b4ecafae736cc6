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
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from palate.cooking.feed import Pass, count_samples, facts_of
from palate.cooking.lanes.batches import Data, length_of, put_random
from palate.cooking.lanes.body import names_of, put_names
from palate.cooking.lanes.compare import apart_words, are_alike_in_kind, numbers_of
from palate.cooking.lanes.fit import body_of, faults_of_loop, plain_value, rates_of
from palate.cooking.lanes.leader import OWN_STEPS, Leader
from palate.cooking.lanes.letters import LOOK_S, Door, is_alive, read, wait_at, words_in, write, write_words
from palate.cooking.lanes.meeting import Meeting
from palate.cooking.lanes.reach import Reach, Seen, changed, digests, liftable, put, said
from palate.cooking.lanes.stacks import GRADIENTS, gradients_of, put_gradients, tensors_of
from palate.cooking.parts import is_module, is_optimizer, put_state, take_state


def joined(live: Any, meeting: Meeting, one: Pass, loader: Iterable[Any]) -> "Together | None":
    """Return how a loop is gone through with others; None where it is not, and where that is only asked."""
    together = Together(live, meeting, one, loader)
    if meeting.folder is not None:
        return together
    why = together.fault() or together.unread()
    meeting.alone = why or "it was only asked"
    live.run.journal.event("lanes", can=not why, why=why)
    return None


class Together:
    """One loop of a run that meets others."""

    def __init__(self, live: Any, meeting: Meeting, one: Pass, loader: Iterable[Any]) -> None:
        self._live, self._meeting, self._pass, self._loader = live, meeting, one, loader
        self._body = body_of()
        self._steps = 0
        self._leader: Leader | None = None
        self._leader_pid = 0
        self._door: Door | None = None
        self._seen: Seen | None = None
        self._rows: list[tuple[int | None, dict[str, Any]]] = []
        self._began_cpu_s: list[float] = []
        self.folder: Path | None = None

    def fault(self) -> str:
        """Return why the loop cannot be computed with others; "" where it can."""
        return next(faults_of_loop(self._live, self._body, self._loader), "")

    def unread(self) -> str:
        """Return what of its data, or of what the loop reaches, cannot be read; "" where all can."""
        try:
            Data(self._loader).digest()
            self._reached()
        except Exception as error:  # noqa: BLE001  whatever its data are: the training itself goes on
            return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return ""

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
            except Exception as error:  # noqa: BLE001  whatever its data are: the training itself goes on
                fault = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
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
            with (self.folder / f"place-{self._meeting.lane}").open("x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            return "another process of this run has come to a loop already"
        return ""

    def _state(self, digest: str) -> dict[str, Any]:
        passed, live = self._pass.state(), self._live
        now = {"torch": torch.get_rng_state(), **passed["now"]}
        shared = passed["before"]["shared"]
        before = now if shared is None else {"torch": shared["torch"], **passed["before"]["held"]}
        reached, values, told = self._reached()
        return {
            "parts": {
                **{name: take_state(part) for name, part in live.parts.items()},
                GRADIENTS: gradients_of(live.parts),
            },
            "before": before,
            "now": now,
            "digest": digest,
            "reached": reached,
            "said": told,
            "values": values,
            "step": live.step,
            "loader": repr((facts_of(self._loader), length_of(self._loader))),
            "groups": repr([rates_of(part) for part in live.parts.values() if is_optimizer(part)]),
        }

    def _reach(self) -> Reach:
        """Return what the loop can reach; its variables are where they are now."""
        live = self._live
        models = [one for part in live.parts.values() if is_module(part) for one in part.modules()]
        names = names_of(self._body.code)
        own = [*live.parts.values(), *models, live.run, self._loader]
        used = {name: names[name] for name in self._body.names if name in names}
        used |= {
            f"{name}.lr_lambdas": part.lr_lambdas for name, part in live.parts.items() if hasattr(part, "lr_lambdas")
        }
        return Reach(used, own, self._body.stored)

    def _reached(self) -> tuple[dict[str, tuple[str, str]], dict[str, Any], dict[str, str]]:
        """Return what tells all that the loop reaches, by path, values that may differ, and the paths as code.

        Raises:
            ValueError: something of it cannot be told.
        """
        seen = self._reach().look()
        if seen.faults:
            raise ValueError(seen.faults[0])
        carried = names_of(self._body.code)
        values = {f"={name}": plain_value(name, carried[name]) for name in self._body.carried if name in carried}
        for path, value in seen.objects.items():
            if (kept := liftable(value)) is not None:
                values[repr(path)] = kept
        told = {repr(path): said(path) for path in seen.objects}
        return digests(seen, self._live.run.seed), values, told

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
            alone = words_in(self.folder / "alone")
            self._go_alone(alone or f"{len(missing)} of {len(names)} runs did not come to the loop")
            return self._pass
        self._door = Door(self.folder / "door")
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._door.forget()
            self._leader = Leader(self._live, self._meeting, self.folder, self._body, data, self._reach)
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
        if self._meeting.lane == 0:
            self._seen = self._reach().look()
        spent = [b - a for a, b in zip(self._began_cpu_s, self._began_cpu_s[1:], strict=False)]
        self._write(
            f"own-{self._meeting.lane}",
            {
                "weights": _weights(self._live.parts),
                "cpu_s": min(spent),
                "rows": json.dumps(numbers_of(self._rows)),
            },
        )
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
            if left:  # by an exception: it is printed, and then this process ends
                self._leader.break_off()
                return
            self._leader.leave()
        self._quiet()
        if self._leader_pid:
            if left:
                os.kill(self._leader_pid, signal.SIGKILL)
            self._judge(left=left)
        elif not self._meeting.alone and self._steps < OWN_STEPS:
            self._go_alone(f"the loop has fewer than {OWN_STEPS} steps")

    def _judge(self, *, left: bool) -> None:
        """Wait for the leader, hold this run's lane against it, and let the others take theirs, or not."""
        assert self.folder is not None
        _, status = os.waitpid(self._leader_pid, 0)
        self._leader_pid = 0
        fault = "the loop was left before its end" if left else words_in(self.folder / "fault")
        if not fault and (status or not (self.folder / "end-0").exists()):
            fault = _last_line(self.folder / "errors") or f"it ended with status {status}"
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
        if self._seen is None:
            return "the loop has too few steps"
        kept = {repr(path) for path, _ in end["changes"]}
        for path in changed(self._seen, self._reach().look()):
            if repr(path) not in kept:
                return f"the loop changes {said(path)}, and its lane does not"
        names = names_of(self._body.code)
        for name, value in end["names"].items():
            if name not in self._body.stored or not are_alike_in_kind(names.get(name), value):
                return f"{name} is not what it is in its lane"
        return self._compare_rows(end)

    def _compare_rows(self, end: dict[str, Any]) -> str:
        if len(json.loads(end["rows"])) != len(self._rows) or end["step"] != self._live.step:
            return f"{len(self._rows)} rows were logged, and {len(json.loads(end['rows']))} by the lane"
        mine, lane, spread = numbers_of(self._rows), json.loads(end["rows"]), json.loads(end["spread"])
        return apart_words(mine, lane, spread)

    def _take_over(self) -> bool:
        """Wait for the leader; take what it has come to, and return whether it has."""
        assert self.folder is not None
        until_s = time.monotonic() + 2 * self._meeting.wait_s
        while not any((self.folder / name).exists() for name in ("begun", "alone")) and time.monotonic() < until_s:
            first = words_in(self.folder / "place-0")
            if first and not is_alive(int(first)):
                break
            time.sleep(LOOK_S)
        if (self.folder / "begun").exists():
            wait_at(self.folder / "leader")  # until it has ended, whatever has become of it
            if (self.folder / "fault").exists() or not (self.folder / f"end-{self._meeting.lane}").exists():
                told = words_in(self.folder / "fault") or _last_line(self.folder / "errors")
                self._go_alone(told or "the process that computes all of them has ended")
                return False
            wait_at(self.folder / "door")
        if not (self.folder / "agreed").exists():
            self._go_alone(words_in(self.folder / "alone") or "the first of the runs has ended")
            return False
        end = self._read(f"end-{self._meeting.lane}")
        held = self._reach().look().objects
        for path in (path for path, _ in end["changes"] if path not in held):
            self._go_alone(f"what the loop changes is not where it is in the first run: {path}")
            return False
        for path, value in end["changes"]:
            put(held[path], value)
        self._take(end)
        self._note(end["price"])
        return True

    def _take(self, end: Mapping[str, Any]) -> None:
        live = self._live
        for name, part in live.parts.items():
            put_state(part, end["parts"][name])
        put_gradients(tensors_of(live.parts), end["parts"][GRADIENTS])
        put_random(end["now"], self._pass._generators)
        self._quiet()
        for step, row in json.loads(end["rows"])[len(self._rows) :]:
            live.run.journal.log(step, row)
        for event in json.loads(end["events"]):
            live.run.journal.event(**event)
        live.step, live.samples, live.epoch, live.ended = end["step"], end["samples"], end["epoch"], end["ended"]
        held, names = names_of(self._body.code), dict(end["names"])
        for name in [
            one for one in names if one in self._body.added_to and isinstance(held.get(one), list | dict | set)
        ]:
            put(held[name], names.pop(name))
        put_names(self._body.code, names)

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


def _last_line(path: Path) -> str:
    return words_in(path).strip().rpartition("\n")[2][:200]


def _weights(parts: Mapping[str, Any]) -> list[Any]:
    """Return copies of the weights and buffers of all models."""
    return [one.detach().clone() for one in tensors_of(parts)]
