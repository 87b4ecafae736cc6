"""The leader: a process that computes the steps of all runs, and leaves each what it has come to."""

import contextlib
import importlib
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from palate.cooking import randomness
from palate.cooking.lanes.body import Body, loop_frame, names_of, put_names
from palate.cooking.lanes.fit import is_among, live_generators
from palate.cooking.lanes.letters import LOOK_S, Door, is_alive, read, words_in, write, write_words
from palate.cooking.lanes.meeting import Meeting
from palate.cooking.lanes.reach import PLAIN, Reach, are_alike, changed, own_marks, put, said, value_of
from palate.cooking.lanes.stacks import GRADIENTS, Stacks, gradients_of
from palate.cooking.lanes.tensors import MARK, LaneNumber, Lanes, Randomness, is_lanes, whole
from palate.cooking.mixing import Mixer
from palate.cooking.parts import is_optimizer, take_state

OWN_STEPS = 2
"""Steps that each run makes by itself, to which the leader's are held."""

PRICED_AT = 16
"""Step of a loop at which the leader looks whether it is worth it; shorter loops are left to each run."""

NEAR = 0.02
"""How far apart equal weights may be, of the way that they have moved."""

_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.fork",
            "os.system", "os.posix_spawn", "subprocess.Popen", "socket.connect", "shutil.rmtree")  # fmt: skip
"""Audit events of what would be done once for all runs."""


class Leader:
    """Computes all lanes, in a process of its own that was forked from the first run's; it ends with the loop."""

    def __init__(
        self, live: Any, meeting: Meeting, folder: Path, body: Body, data: Any, reach: Callable[[], Reach]
    ) -> None:
        self._live, self._meeting, self._folder, self._body, self._data = live, meeting, folder, body, data
        self._reach = reach
        self._steps = 0
        self._open = self._mine = self._broken = False
        self._numbers: Iterator[int] = iter(())
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(os.open(folder / "errors", os.O_WRONLY | os.O_CREAT, 0o600), 2)
        sys.addaudithook(self._hear)
        self._mine = True
        self._door = Door(folder / "leader")
        write_words(folder / "begun", "")
        self._mine = False
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001  whatever the parts are: each run goes on by itself
            self.give_up(f"{type(error).__name__}: {error}".splitlines()[0][:200])

    def _begin(self) -> None:
        torch = importlib.import_module("torch")
        lanes = range(self._meeting.lanes)
        starts = [read(self._folder / f"start-{lane}") for lane in lanes]
        for key, words in (
            ("digest", "the data"),
            ("groups", "the settings of the optimizer"),
            ("loader", "the loader"),
            ("step", "the step"),
        ):
            if any(one[key] != starts[0][key] for one in starts):
                self.give_up(f"{words} differ from seed to seed")
        self._lift(starts)
        live = self._live
        self._stacks = Stacks(live.parts, [one["parts"] for one in starts])
        self._pass_generators = live_generators(self._data.loader)
        parts = {name: part for name, part in live.parts.items() if randomness.is_generator(part)}
        ways = {f"held {way}": one for way, one in self._pass_generators.items()}
        ways |= {f"part {name}": one for name, one in parts.items() if not is_among(one, ways.values())}
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
        for one in self._randoms.values():
            one.rest()
        self._rows = _Rows(self._number, self.give_up)
        live.run._journal = self._rows
        live._mixer = live.seasoning.mixer = _LaneMixer(live.seasoning.mixer)
        self._python = _python_state()
        self._cpu_s = 0.0

    def _lift(self, starts: list[dict[str, Any]]) -> None:
        """Give what the loop reaches a value for each lane, where it differs from seed to seed."""
        for path in starts[0]["reached"]:
            alike = are_alike([one["reached"].get(path) for one in starts])
            if not alike and not all(path in one["values"] for one in starts):
                self.give_up(f"{starts[0]['said'].get(path, path)} differs from seed to seed")
        held = {repr(path): (path, value) for path, value in self._reach().look().objects.items()}
        names: dict[str, Any] = {}
        self._texts = set[str]()
        for path, first in starts[0]["values"].items():
            values = [one["values"].get(path) for one in starts]
            if all(one == first for one in values):
                continue
            alike = are_alike([one["reached"].get(path) for one in starts])
            lifted = self._lifted(starts[0]["said"].get(path, path.removeprefix("=")), values, alike=alike)
            if path.startswith("="):
                names[path.removeprefix("=")] = lifted
            elif len(held[path][0]) == 1 and isinstance(held[path][1], PLAIN):
                names[held[path][0][0][1]] = lifted
            else:
                put(held[path][1], lifted)
        put_names(self._body.code, names)

    def _lifted(self, name: str, values: list[Any], *, alike: bool) -> Any:
        """Return a value for each lane, of which the runs have these; `alike` where they differ by the seed alone.

        Text that differs by the seed stays the first run's: it must not be handed over (see `_changes`).
        """
        first = values[0]
        if all(type(one) is type(first) and one == first for one in values):
            return first
        if all(isinstance(one, int | float) for one in values):
            return LaneNumber(values, self.give_up)
        if all(type(one) is type(first) for one in values):
            if isinstance(first, list | tuple) and len({len(one) for one in values}) == 1:
                return type(first)(self._lifted(name, list(one), alike=alike) for one in zip(*values, strict=True))
            if isinstance(first, dict) and all(one.keys() == first.keys() for one in values):
                return {key: self._lifted(name, [one[key] for one in values], alike=alike) for key in first}
            if all(one == first for one in values):
                return first
            if isinstance(first, str) and alike:
                self._texts.add(name)
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
        for one in self._randoms.values():
            one.rest()

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

    def break_off(self) -> None:
        """Show tensors as they are; an exception has left the loop, which is printed, and ends this process."""
        self.close()
        self._broken = True

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
        live._stepped.clear()
        for step, row in live.seasoning.mixer.rows(live.step):
            live._ending.fresh.update(row)
            self._rows.log(step, row)
        live.step += 1
        live.samples += samples
        live.ended = live._look()
        if not self._mode.untouched:
            self.give_up("a generator is seeded, or drawn from past torch, inside of the loop")
        if _python_state() != self._python:
            self.give_up("it draws random numbers of Python's or numpy's inside of the loop")
        if self._steps == OWN_STEPS:
            self._check()
            self._seen = self._reach().look()
            self._own = own_marks(self._holders())
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
                gone = not is_alive(int(words_in(self._folder / f"place-{lane}") or 0))
                if gone or (self._folder / "alone").exists():
                    self.give_up(words_in(self._folder / "alone") or f"run {lane + 1} of them has ended")
                time.sleep(LOOK_S)
            own, mine, first = read(path), self._stacks.weights(lane), self._stacks.first(lane)
            self._own_cpu_s.append(own["cpu_s"])
            self._check_rows(lane, json.loads(own["rows"]))
            for a, b, before in zip(mine, own["weights"], first, strict=True):
                apart = float(torch.linalg.vector_norm((a - b).double()))
                moved = float(torch.linalg.vector_norm((b - before).double()))
                size = float(torch.linalg.vector_norm(b.double()))
                if not apart <= NEAR * moved + 1e-6 * size:
                    self.give_up(f"after {OWN_STEPS} steps a weight is not what run {lane + 1} has made of it itself")

    def _check_rows(self, lane: int, own: list[Any]) -> None:
        mine = json.loads(self._rows.of(lane))
        for (step, row), (_, logged) in zip(own, mine, strict=False):
            for name, value in row.items():
                if not abs(value - logged.get(name, math.inf)) <= NEAR * abs(value) + 1e-6:
                    self.give_up(f"at step {step} {name} is not what run {lane + 1} has logged itself")

    def _price(self) -> None:
        """Give up where the steps of all lanes are not cheaper than those of single runs."""
        steps = PRICED_AT - PRICED_AT // 2
        price = self._singles(time.process_time() - self._cpu_s, steps)
        if price > self._meeting.worth * self._meeting.lanes:
            self.give_up(f"{self._meeting.lanes} together cost {price:.1f} single runs: it is not worth it")

    def _singles(self, cpu_s: float, steps: int) -> float:
        """Return what steps of all lanes cost, in steps of single runs, at their quickest."""
        return float(cpu_s / max(steps, 1) / max(min(self._own_cpu_s), 1e-9))

    def leave(self) -> NoReturn:
        """Leave each lane what it has come to, and end this process."""
        live = self._live
        if self._steps < PRICED_AT:
            self.give_up(f"the loop has fewer than {PRICED_AT} steps")
        price = self._singles(time.process_time() - self._cpu_s, self._steps - PRICED_AT // 2)
        self._stacks.hide()
        names, changes = self._names(), self._changes()
        spread = self._rows.spread()
        for lane in range(self._meeting.lanes):
            self._stacks.put(lane)
            states = {way: one.states[lane] for way, one in self._randoms.items()}
            parts = {name: take_state(part) for name, part in live.parts.items()}
            parts[GRADIENTS] = gradients_of(live.parts)
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
                "events": json.dumps(self._rows.events),
                "spread": spread if lane == 0 else "[]",
                "names": {name: self._lane_of(value, lane) for name, value in names.items()},
                "changes": [(path, self._lane_of(value, lane)) for path, value in changes],
                "price": round(price, 2),
                "step": live.step, "samples": live.samples, "epoch": live.epoch, "ended": live.ended,
            }  # fmt: skip
            self._write(f"end-{lane}", body)
        self._end(0)

    def _holders(self) -> list[Any]:
        return [self._live.run, *(part for part in self._live.parts.values() if is_optimizer(part))]

    def _changes(self) -> list[tuple[Any, Any]]:
        """Return what the loop has changed of what it reaches, and to what."""
        if own_marks(self._holders()) != self._own:
            self.give_up("the loop sets an attribute of the run, or of an optimizer")
        found = changed(self._seen, self._reach().look())
        for path in found:
            if path not in self._seen.objects:
                self.give_up(f"the loop makes {said(path)}, which cannot be handed to each run")
            if said(path) in self._texts:
                self.give_up(f"the loop changes {said(path)}, which holds text that is made of the seed")
        return [(path, value_of(value)) for path, value in found.items()]

    def _names(self) -> dict[str, Any]:
        frame = loop_frame()
        if frame is None or frame.f_code is not self._body.code:
            self.give_up("the loop ended elsewhere than it began")
        held = names_of(self._body.code)
        return {name: held[name] for name in self._body.left if name in held}

    def _lane_of(self, value: Any, lane: int) -> Any:
        """Return what a variable is for one lane."""
        if isinstance(value, LaneNumber):
            return value.values[lane]
        if hasattr(value, "untyped_storage") and type(value).__name__ == "Tensor":
            return whole(value)[lane].detach().clone() if is_lanes(value) else value.detach().clone()
        if isinstance(value, list | tuple | set):
            return type(value)(self._lane_of(one, lane) for one in value)
        if isinstance(value, dict):
            return {self._lane_of(name, lane): self._lane_of(one, lane) for name, one in value.items()}
        if isinstance(value, str) and MARK in value:
            self.give_up("text that was made of a number of several runs is kept")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if type(value).__module__ == "numpy" and not value.dtype.hasobject:
            return value
        return self.give_up(f"a {type(value).__qualname__} that the loop leaves behind cannot be shared out")

    def _number(self, value: Any) -> Any:
        """Return a logged value as a number, of each lane where they differ."""
        if is_lanes(value):
            return LaneNumber(whole(value).detach().reshape(self._meeting.lanes).tolist(), self.give_up)
        return value if isinstance(value, LaneNumber) else float(value)

    # ---- its end

    def give_up(self, why: str) -> NoReturn:
        """End this process with the reason; each run goes on by itself."""
        with contextlib.suppress(OSError):
            self._mine = True
            if self._broken:
                self._end(3)
            write_words(self._folder / "fault", why.strip() or "its process ended")
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
        self.events: list[dict[str, object]] = []

    def log(self, step: int | None, metrics: Mapping[str, Any]) -> None:
        self._rows.append((step, {name: self._number(value) for name, value in metrics.items()}))

    def event(self, kind: str, **told: object) -> None:
        self.events.append({"kind": kind, **told})
        if kind != "until":
            self._give_up(f"the loop notes what is kept once a run ({kind})")

    def close(self) -> None:
        """Do nothing: the journal is the first run's."""

    write_late = close

    def of(self, lane: int) -> str:
        """Return the rows of one lane, as JSON: there may be many."""
        return json.dumps(
            [(step, {name: _of_lane(value, lane) for name, value in row.items()}) for step, row in self._rows]
        )

    def spread(self) -> str:
        """Return, row by row, how far the lanes are apart: the standard deviation; as JSON."""
        return json.dumps([
            {name: _deviation(value.values) for name, value in row.items() if isinstance(value, LaneNumber)}
            for _, row in self._rows
        ])  # fmt: skip


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


def _of_lane(value: Any, lane: int) -> float:
    return float(value.values[lane] if isinstance(value, LaneNumber) else value)


def _deviation(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def _python_state() -> int:
    """Return what tells whether random numbers of Python's or numpy's were drawn."""
    numpy = sys.modules.get("numpy")
    python = hash(random.getstate())
    if numpy is None:
        return python
    state = numpy.random.get_state(legacy=False)
    keys = state["state"]
    return hash((python, keys["key"].tobytes(), keys["pos"])) if "key" in keys else python
