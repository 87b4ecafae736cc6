"""How the runs of several processes compute their steps together: they meet before a loop, and part behind it.

Each run is a process of its own, as ever: it makes its model, its data and its loop. Where several are started
together (`PALATE_LANES`), they meet when the loop begins: each writes down its state, and the first one forks a leader,
which computes all lanes (see `tensors`) and leaves to each what it would have come to. Behind the loop each run goes on
by itself: it evaluates, prints and stores what is its own.

Nothing is believed: each run makes the first steps itself, and the leader's must be equal; and the first run makes the
whole loop itself beside the leader, and all that it logs must be equal to its lane. Where something is not, or cannot
be told, or is not worth it, the reason is kept and each run goes on by itself from where it stands: nothing is lost.
"""

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from palate.cooking import randomness
from palate.cooking.condition import Condition, Joined, Reached
from palate.cooking.feed import Pass, count_samples
from palate.cooking.lanes.meeting import Meeting
from palate.cooking.mixing import Mixer
from palate.cooking.parts import is_module, is_optimizer, put_state, take_state
from palate.cooking.storable import restored, storable
from palate.errors import PalateError

OWN_STEPS = 2
"""Steps that each run makes by itself, to which the leader's are held."""

PRICED_AT = 16
"""Step of a loop at which the leader looks whether it is worth it."""

LOOK_S = 0.004
"""Seconds between two looks for what another process writes."""

NEAR, NEAR_ROWS, WITHIN = 0.02, 1e-3, 3.0
"""How far apart equal things may be: weights, of the way that they have moved; what is logged, of its size; and, later,
when rounding has grown, of the spread between the lanes."""

_OPTIMIZERS = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop")
"""Optimizers of torch that treat each number by itself."""

_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.fork",
            "os.system", "os.posix_spawn", "subprocess.Popen", "socket.connect", "shutil.rmtree")  # fmt: skip
"""Audit events of what would be done once for all runs."""

Say = Callable[[str], None]


def joined(live: Any, meeting: Meeting, one: Pass, loader: Iterable[Any]) -> "Together | None":
    """Return how a loop is gone through with those of other runs; None where it is not, and where that is only asked."""
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
        self._body = _body_of(live)
        self._steps = 0
        self._leader: _Leader | None = None
        self._leader_pid = 0
        self._rows: list[tuple[int | None, dict[str, Any]]] = []
        self._began_cpu_s: list[float] = []
        self._first: list[Any] = []
        self.folder: Path | None = None

    def fault(self) -> str:
        """Return why the loop cannot be computed with others; "" where it can."""
        return next(_faults(self._live, self._body, self._loader), "")

    def meet(self) -> Iterable[Any]:
        """Meet the others; return the batches that are gone through: the run's own, or, in the leader, all lanes'."""
        meeting = self._meeting
        assert meeting.folder is not None
        meeting.loops += 1
        self.folder = meeting.folder / str(meeting.loops)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        data, fault = None, self.fault()
        if not fault:
            try:
                data = _batches().Data(self._loader)
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

    def _state(self, digest: str) -> dict[str, Any]:
        torch = importlib.import_module("torch")
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
            "groups": repr([_rates(part) for part in live.parts.values() if is_optimizer(part)]),
        }

    def _used(self) -> dict[str, str]:
        """Return what tells the values that the loop uses: they must be alike in all runs."""
        parts = list(self._live.parts.values())
        models = [one for part in parts if is_module(part) for one in part.modules()]
        used = {name: one for name, one in self._body.used.items() if not _is_among(one, [*parts, *models])}
        return {name: _batches().digest_of(one) for name, one in used.items()}

    def _carried(self) -> dict[str, Any]:
        """Return the values of variables that the loop goes on from."""
        from palate.cooking.lanes.body import loop_frame

        frame = loop_frame()
        names = {} if frame is None else frame.f_locals
        return {name: _plain(name, names[name]) for name in self._body.carried if name in names}

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
        self._write("pid", {"pid": os.getpid()})
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._leader = _Leader(self._live, self._meeting, self.folder, self._body, data)
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
        if self._meeting.alone:
            return
        fault = "the loop was left before its end" if left else self._read_words("fault")
        fault = fault or (f"their process ended with status {status}" if status else "")
        end = {} if fault else self._read("end-0")
        fault = fault or self._compare(end)
        if fault:
            self._go_alone(fault)
        else:
            self._write_words("agreed", "")
            self._note(end["price"])

    def _compare(self, end: dict[str, Any]) -> str:
        """Return in what this run is not what its lane has come to; "" where it is."""
        rows, spread = end["rows"], end["spread"]
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
        first = self._read("pid")["pid"] if (self.folder / "pid").exists() else 0
        while not (self.folder / "agreed").exists():
            if (self.folder / "alone").exists() or (first and not _lives(first)):
                self._go_alone(self._read_words("alone") or "the first of the runs has ended")
                return False
            if not first and (self.folder / "pid").exists():
                first = self._read("pid")["pid"]
            time.sleep(LOOK_S)
        end = self._read(f"end-{self._meeting.lane}")
        self._take(end)
        self._note(end["price"])
        return True

    def _take(self, end: Mapping[str, Any]) -> None:
        from palate.cooking.lanes.body import put_names

        live = self._live
        for name, part in live.parts.items():
            put_state(part, end["parts"][name])
        for name, plain in end["plain"].items():
            for module_name, module in live.parts[name].named_modules():
                module.__dict__.update(plain.get(module_name, {}))
        _batches().put_random(end["now"], self._pass._generators)
        self._quiet()
        for step, row in end["rows"][len(self._rows) :]:
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
            _write_words(self.folder / name, words)

    def _read_words(self, name: str) -> str:
        path = None if self.folder is None else self.folder / name
        return path.read_text(encoding="utf-8") if path is not None and path.exists() else ""


class _Leader:
    """Computes all lanes, in a process of its own that was forked from the first run's; it ends with the loop."""

    def __init__(self, live: Any, meeting: Meeting, folder: Path, body: Any, data: Any) -> None:
        self._live, self._meeting, self._folder, self._body, self._data = live, meeting, folder, body, data
        self._steps = 0
        self._open = self._mine = False
        self._numbers: Iterator[int] = iter(())
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.addaudithook(self._hear)
        try:
            self._begin()
        except (ValueError, RuntimeError, PalateError) as error:
            self.give_up(str(error))

    def _begin(self) -> None:
        from palate.cooking.lanes.stacks import Stacks
        from palate.cooking.lanes.tensors import Lanes, Randomness

        torch = importlib.import_module("torch")
        lanes = range(self._meeting.lanes)
        starts = [read(self._folder / f"start-{lane}") for lane in lanes]
        for key, words in (("digest", "the data"), ("groups", "the settings of the optimizer"), ("step", "the step")):
            if any(one[key] != starts[0][key] for one in starts):
                self.give_up(f"{words} differ from seed to seed")
        for name in starts[0]["used"]:
            if any(one["used"].get(name) != starts[0]["used"][name] for one in starts):
                self.give_up(f"{name} differs from seed to seed")
        self._lift([one["carried"] for one in starts])
        live = self._live
        self._stacks = Stacks(live.parts, [one["parts"] for one in starts])
        self._pass_generators = live_generators(self._data.loader)
        parts = {name: part for name, part in live.parts.items() if randomness.is_generator(part)}
        ways = {f"held {way}": one for way, one in self._pass_generators.items()}
        ways |= {f"part {name}": one for name, one in parts.items() if not _is_among(one, ways.values())}
        self._randoms = {"torch": Randomness(torch.default_generator, [one["now"]["torch"] for one in starts])}
        for way, one in ways.items():
            kind, _, name = way.partition(" ")
            states = [start["now"][name] if kind == "held" else start["parts"][name] for start in starts]
            self._randoms[way] = Randomness(one, states)
        self._mode = Lanes(len(lanes), list(self._randoms.values()), self.give_up)
        self._stacks.close_around(self._mode.outside)
        states = [dict(one["before"]) for one in starts]
        self._order = self._data.orders(states, self._pass_generators, [one["now"] for one in starts])
        self._keep_random(states)
        self._numbers = iter(range(self._order.length))
        self._rows = _Rows(self._number, self.give_up)
        live.run._journal = self._rows
        live.seasoning.mixer = _LaneMixer(live.seasoning.mixer)
        self._python = _python_state()
        self._cpu_s = 0.0

    def _lift(self, carried: list[Mapping[str, Any]]) -> None:
        """Give the loop's variables a value for each lane, where they differ."""
        from palate.cooking.lanes.body import put_names

        lifted = {}
        for name, first in carried[0].items():
            values = [one.get(name) for one in carried]
            if any(value != first for value in values):
                lifted[name] = self._lifted(name, values)
        put_names(self._body.code, lifted)

    def _lifted(self, name: str, values: list[Any]) -> Any:
        from palate.cooking.lanes.tensors import LaneNumber

        first = values[0]
        if all(isinstance(one, int | float) for one in values):
            return LaneNumber(values, self.give_up)
        if all(type(one) is type(first) for one in values):
            if isinstance(first, list | tuple) and len({len(one) for one in values}) == 1:
                return type(first)(self._lifted(name, list(one)) for one in zip(*values, strict=True))
            if isinstance(first, dict) and all(one.keys() == first.keys() for one in values):
                return {key: self._lifted(name, [one[key] for one in values]) for key in first}
            if all(one == first for one in values):
                return first
        return self.give_up(f"{name} differs from seed to seed")

    def begin_pass(self) -> None:
        """Begin another pass of all lanes."""
        states = [
            {"torch": self._randoms["torch"].states[lane],
             **{way: self._randoms[f"held {way}"].states[lane] for way in self._pass_generators}}
            for lane in range(self._meeting.lanes)
        ]  # fmt: skip
        try:
            self._order = self._data.orders(states, self._pass_generators)
        except ValueError as error:
            self.give_up(str(error))
        self._keep_random(states)
        self._numbers = iter(range(self._order.length))

    def _keep_random(self, states: list[dict[str, Any]]) -> None:
        for lane, state in enumerate(states):
            self._randoms["torch"].states[lane] = state["torch"]
            for way in self._pass_generators:
                self._randoms[f"held {way}"].states[lane] = state[way]

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        number = next(self._numbers)
        if self._steps == PRICED_AT // 2:
            self._cpu_s = time.process_time()
        self._mode.open()
        self._open = True
        self._stacks.show(self._mode.wrapped)
        return self._order.batch(number, self._mode.wrapped)

    def close(self) -> None:
        """Show tensors as they are."""
        if self._open:
            self._open = False
            terms = self._live.seasoning.mixer
            terms.seen = {name: self._number(value) for name, value in terms.taken().items()}
            self._mode.close()

    def step_done(self, samples: int) -> bool:
        """Count a step; check it where that is due; return whether the loop ends."""
        self.close()
        live = self._live
        self._steps += 1
        live._stepped = set()
        for step, row in live.seasoning.mixer.rows(live.step):
            live._fresh.update(row)
            self._rows.log(step, row)
        live.step += 1
        live.samples += samples
        live.ended = live._look()
        if _python_state() != self._python:
            self.give_up("it draws random numbers of Python's or numpy's inside of the loop")
        if self._steps == OWN_STEPS:
            self._check()
        if self._steps == PRICED_AT:
            self._price()
        return bool(live.ended or live.over)

    def _check(self) -> None:
        """Hold the first steps against those that each run has made itself."""
        torch = importlib.import_module("torch")
        self._own_cpu_s = []
        for lane in range(self._meeting.lanes):
            path = self._folder / f"own-{lane}"
            while not path.exists():
                if (self._folder / "alone").exists() or not _lives(os.getppid()):
                    self.give_up(_words_in(self._folder / "alone"))
                time.sleep(LOOK_S)
            own, mine, first = read(path), self._stacks.weights(lane), self._stacks.first(lane)
            self._own_cpu_s.append(own["cpu_s"])
            for a, b, before in zip(mine, own["weights"], first, strict=True):
                apart = float(torch.linalg.vector_norm((a - b).double()))
                moved = float(torch.linalg.vector_norm((b - before).double()))
                size = float(torch.linalg.vector_norm(b.double()))
                if not apart <= NEAR * moved + 1e-6 * size:
                    self.give_up(f"after {OWN_STEPS} steps a weight is not what run {lane + 1} has made of it itself")

    def _price(self) -> None:
        """Give up where the steps of all lanes are not cheaper than those of single runs."""
        steps = PRICED_AT - PRICED_AT // 2
        price = self._singles(time.process_time() - self._cpu_s, steps)
        if price > self._meeting.worth * self._meeting.lanes:
            self.give_up(f"{self._meeting.lanes} together cost {price:.1f} single runs: it is not worth it")

    def _singles(self, cpu_s: float, steps: int) -> float:
        """Return what steps of all lanes cost, in steps of single runs, at their quickest."""
        return cpu_s / max(steps, 1) / max(min(self._own_cpu_s), 1e-9)

    def leave(self) -> NoReturn:
        """Leave each lane what it has come to, and end this process."""
        live = self._live
        if self._steps < PRICED_AT:
            self.give_up(f"the loop has fewer than {PRICED_AT} steps")
        price = self._singles(time.process_time() - self._cpu_s, self._steps - PRICED_AT // 2)
        self._stacks.hide()
        names = self._names()
        spread = self._rows.spread()
        for lane in range(self._meeting.lanes):
            self._stacks.put(lane)
            states = {way: one.states[lane] for way, one in self._randoms.items()}
            parts = {name: take_state(part) for name, part in live.parts.items()}
            parts |= {way.partition(" ")[2]: state for way, state in states.items() if way.startswith("part ")}
            held = {way: states[f"held {way}"] for way in self._pass_generators}
            parts |= {
                name: held[way]
                for name, part in live.parts.items()
                for way, one in self._pass_generators.items()
                if one is part
            }
            body = {
                "parts": parts,
                "now": {"torch": states["torch"], **held},
                "rows": self._rows.of(lane),
                "spread": spread if lane == 0 else [],
                "names": {name: self._lane_of(value, lane) for name, value in names.items()},
                "plain": {name: _plain_in(part) for name, part in live.parts.items() if is_module(part)},
                "price": round(price, 2),
                "step": live.step, "samples": live.samples, "epoch": live.epoch, "ended": live.ended,
            }  # fmt: skip
            self._write(f"end-{lane}", body)
        self._end(0)

    def _names(self) -> dict[str, Any]:
        from palate.cooking.lanes.body import loop_frame

        frame = loop_frame()
        if frame is None or frame.f_code is not self._body.code:
            self.give_up("the loop ended elsewhere than it began")
        held = frame.f_locals
        return {name: held[name] for name in self._body.left if name in held}

    def _lane_of(self, value: Any, lane: int) -> Any:
        """Return what a variable is for one lane."""
        from palate.cooking.lanes.tensors import LaneNumber, is_lanes, whole

        if isinstance(value, LaneNumber):
            return value.values[lane]
        if hasattr(value, "untyped_storage") and type(value).__name__ == "Tensor":
            return whole(value)[lane].detach().clone() if is_lanes(value) else value.detach().clone()
        if isinstance(value, list | tuple | set):
            return type(value)(self._lane_of(one, lane) for one in value)
        if isinstance(value, dict):
            return {name: self._lane_of(one, lane) for name, one in value.items()}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        return self.give_up(f"a {type(value).__qualname__} that the loop leaves behind cannot be shared out")

    def _number(self, value: Any) -> Any:
        """Return a logged value as a number, of each lane where they differ."""
        from palate.cooking.lanes.tensors import LaneNumber, is_lanes, whole

        if is_lanes(value):
            return LaneNumber(whole(value).detach().reshape(self._meeting.lanes).tolist(), self.give_up)
        return value if isinstance(value, LaneNumber) else float(value)

    # ---- its end

    def give_up(self, why: str) -> NoReturn:
        """End this process with the reason; each run goes on by itself."""
        with contextlib.suppress(OSError):
            self._mine = True
            _write_words(self._folder / "fault", why.strip() or "its process ended")
        self._end(3)

    def _write(self, name: str, body: Mapping[str, Any]) -> None:
        self._mine = True
        write(self._folder / name, body)
        self._mine = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Give up where something is about to be done that is done once for all runs."""
        if self._mine:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in _CHANGES:
            self.give_up(f"the loop changes files or starts programs ({event})")

    def _end(self, status: int) -> NoReturn:
        os._exit(status)


class _Rows:
    """Takes what is logged in the leader, in the place of a run's journal."""

    def __init__(self, number: Callable[[Any], Any], give_up: Callable[[str], NoReturn]) -> None:
        self._number, self._give_up = number, give_up
        self._rows: list[tuple[int | None, dict[str, Any]]] = []

    def log(self, step: int | None, metrics: Mapping[str, Any]) -> None:
        self._rows.append((step, {name: self._number(value) for name, value in metrics.items()}))

    def event(self, kind: str, **_: object) -> None:
        if kind != "until":
            self._give_up(f"the loop notes what is kept once a run ({kind})")

    def of(self, lane: int) -> list[tuple[int | None, dict[str, float]]]:
        """Return the rows of one lane."""
        return [(step, {name: _of_lane(value, lane) for name, value in row.items()}) for step, row in self._rows]

    def spread(self) -> list[dict[str, float]]:
        """Return, row by row, how far the lanes are apart: the standard deviation."""
        import statistics

        return [
            {name: statistics.pstdev(value.values) for name, value in row.items() if hasattr(value, "values")}
            for _, row in self._rows
        ]


class _Listening:
    """A journal, with its rows kept besides."""

    def __init__(self, inner: Any, rows: list[tuple[int | None, dict[str, Any]]]) -> None:
        self.inner, self._rows = inner, rows

    def log(self, step: int | None, metrics: dict[str, Any]) -> None:
        self._rows.append((step, dict(metrics)))
        self.inner.log(step, metrics)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _LaneMixer(Mixer):
    """The mixer of the leader: its terms have a value for each lane."""

    def __init__(self, mixer: Mixer) -> None:
        super().__init__()
        self.weights, self.used = mixer.weights, mixer.used
        self._held: dict[str, Any] = {}
        self.seen: dict[str, Any] = {}

    def mix(self, terms: Mapping[str, Any]) -> Any:
        """Return the weighted sum; see `Mixer.mix`."""
        total = None
        torch = importlib.import_module("torch")
        for name, term in terms.items():
            weight = self.used[name] = self.weights.setdefault(name, 1.0)
            called = callable(term) and not hasattr(term, "detach")
            if weight == 0.0 and called:
                continue
            value = term() if called else term
            if torch.is_grad_enabled():
                self._held[name] = value.detach()
            if weight != 0.0:
                weighted = value if weight == 1.0 else weight * value
                total = weighted if total is None else total + weighted
        return super().mix(terms) if total is None else total

    def taken(self) -> dict[str, Any]:
        """Return the terms of the step, and forget them."""
        held, self._held = self._held, {}
        return held

    def rows(self, step: int, *, last: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:  # noqa: ARG002
        """Yield the terms of the step that was just done."""
        seen, self.seen = self.seen, {}
        if seen:
            yield step, seen


def write(path: Path, body: Mapping[str, Any]) -> None:
    """Write what one process tells another; whoever sees the file sees all of it.

    Raises:
        ValueError: something of it cannot be written.
    """
    torch = importlib.import_module("torch")
    left_out: list[str] = []
    stored = storable(dict(body), "", left_out)
    if left_out:
        raise ValueError(f"{left_out[0]} cannot be handed over")
    beside = path.with_name(f"{path.name}.part")
    torch.save(stored, beside)
    os.replace(beside, path)


def read(path: Path) -> dict[str, Any]:
    """Return what `write` wrote."""
    torch = importlib.import_module("torch")
    body: dict[str, Any] = restored(torch.load(path, weights_only=True))
    return body


def live_generators(loader: Iterable[Any]) -> dict[str, Any]:
    """Return the generators that a loader holds, by the way to them."""
    return {} if isinstance(loader, list | tuple | range) else randomness.generators_behind(loader)


def _write_words(path: Path, words: str) -> None:
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.write_text(words, encoding="utf-8")
    os.replace(beside, path)


def _words_in(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _batches() -> Any:
    return importlib.import_module("palate.cooking.lanes.batches")


def _of_lane(value: Any, lane: int) -> float:
    return float(value.values[lane] if hasattr(value, "values") else value)


def _plain(name: str, value: Any) -> Any:
    """Return a variable's value, where it is plain.

    Raises:
        ValueError: it is not.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) in (list, tuple):
        return type(value)(_plain(name, one) for one in value)
    if type(value) is dict:
        return {key: _plain(name, one) for key, one in value.items()}
    raise ValueError(f"{name} is a {type(value).__qualname__}, which the loop goes on from")


def _is_near(mine: float, lane: float, spread: float) -> bool:
    if mine != mine or lane != lane:
        return mine != mine and lane != lane
    return mine == lane or abs(mine - lane) <= max(NEAR_ROWS * abs(mine), WITHIN * spread, 1e-9)


def _is_among(one: object, others: Iterable[object]) -> bool:
    return any(one is other for other in others)


def _weights(parts: Mapping[str, Any]) -> list[Any]:
    """Return copies of the weights and buffers of all models."""
    from palate.cooking.lanes.stacks import tensors_of

    return [one.detach().clone() for one in tensors_of(parts)]


def _rates(optimizer: Any) -> Any:
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def _plain_in(module: Any) -> dict[str, dict[str, Any]]:
    """Return what the modules of a model hold as plain numbers and words: one may count its calls."""
    return {
        name: {key: value for key, value in vars(one).items() if isinstance(value, bool | int | float | str)}
        for name, one in module.named_modules()
    }


def _python_state() -> int:
    """Return what tells whether random numbers of Python's or numpy's were drawn."""
    import random

    numpy = sys.modules.get("numpy")
    python = hash(random.getstate())
    if numpy is None:
        return python
    state = numpy.random.get_state(legacy=False)
    keys = state["state"]
    return hash((python, keys["key"].tobytes(), keys["pos"])) if "key" in keys else python


def _body_of(live: Any) -> Any:
    from palate.cooking.lanes.body import Body, loop_frame, read_body

    torch = importlib.import_module("torch")
    frame = loop_frame()
    if frame is None:
        return Body(code=types.CodeType.__new__, faults=("its loop cannot be read",))  # type: ignore[arg-type]
    schedulers = torch.optim.lr_scheduler.LRScheduler
    known = (torch.Tensor, torch.nn.Module, torch.optim.Optimizer, schedulers, torch.Generator, type(live.run),
             torch.device, torch.dtype, torch.utils.data.DataLoader)  # fmt: skip
    return read_body(frame, known)


def _faults(live: Any, body: Any, loader: Iterable[Any]) -> Iterator[str]:
    """Yield why a loop cannot be computed for several runs at once."""
    torch = importlib.import_module("torch")
    schedulers = torch.optim.lr_scheduler.LRScheduler
    for name, part in live.parts.items():
        plain = is_module(part) or isinstance(part, schedulers | torch.Generator)
        kind = type(part)
        if is_optimizer(part):
            if kind.__name__ not in _OPTIMIZERS or not kind.__module__.startswith("torch.optim."):
                yield f"{name} is a {kind.__name__}, which does not treat each number by itself"
        elif not plain or isinstance(part, torch.optim.lr_scheduler.ReduceLROnPlateau):
            yield f"{name} is a {kind.__name__}, which cannot be kept for several runs at once"
    tensors = [one for part in live.parts.values() if is_module(part) for one in part.parameters()]
    if not tensors or any(one.device.type != "cpu" for one in tensors):
        yield "its model is not on the CPU"
    if live.branch.turns or live.branch.capsule or not _counts(live._condition):
        yield "its loop may end at another step for each run"
    if live.stage.losses or live._in_cycle:
        yield "it goes through stages"
    yield from (one for one in (_batches().loader_fault(loader),) if one)
    if any(not isinstance(one, torch.Generator) for one in live_generators(loader).values()):
        yield "its loader draws from generators that are not torch's"
    yield from body.faults
    yield from _strangers(live.parts, body.used)
    if _threads() > 1:
        yield "its process has threads"


def _strangers(parts: Mapping[str, Any], used: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a body uses that learns or keeps a state, and is no part."""
    torch = importlib.import_module("torch")
    known = {id(one) for part in parts.values() for one in (part, *(part.modules() if is_module(part) else ()))}
    for name, value in used.items():
        if id(value) in known:
            continue
        learns = is_module(value) and (
            any(one.requires_grad for one in value.parameters()) or (value.training and any(True for _ in value.buffers()))
        )
        if learns or is_optimizer(value) or isinstance(value, torch.optim.lr_scheduler.LRScheduler | torch.Generator):
            yield f"{name} is used in the loop and is no part of it: name it in palate.start(...)"


def _counts(condition: Condition | None) -> bool:
    """Return whether a condition counts steps, samples or epochs alone."""
    if isinstance(condition, Joined):
        return all(map(_counts, condition.parts))
    return condition is None or (isinstance(condition, Reached) and condition.what != "minutes")


def _threads() -> int:
    """Return how many threads the process has, without palate's own, which write files that the leader does not."""
    own = sum(one.name.startswith("palate-") for one in threading.enumerate())
    try:
        return len(os.listdir("/proc/self/task")) - own
    except OSError:
        return threading.active_count() - own
