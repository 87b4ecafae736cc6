"""The runner: makes the runs that a plan lacks, arm by arm and seed by seed, and yields the results so far.

A run that another process makes just then is not made twice: something else that is missing comes first, and where
there is nothing else the runner waits for that run.
"""

import contextlib
import itertools
import os
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Self

from palate.errors import MetricNotLoggedError, RunsFailedError, SetupFailedError, StoreError
from palate.loop import lanes
from palate.loop.arrival import Apartness, refuse_not_arrived, same_seed_words, unheard_words
from palate.loop.ask import Noticed, Person, RunEnded, RunsGoing, RunStarted
from palate.loop.claims import Claims
from palate.loop.edits import same_code_fault
from palate.loop.journals import attempts, begin, write_ending, write_stop
from palate.loop.logged import NOT_HEARD, Logged, read_logged
from palate.loop.placing import Placing
from palate.loop.ports import Spans, port_in_use, port_taken
from palate.loop.results import Results, RunResult, collect, lost_result, read_result, refused_usage
from palate.loop.reuse import Known, changed_meanwhile, known_inputs, remember
from palate.question.plan import Plan
from palate.recipe.settings import nearest, show_value
from palate.redaction import known_secrets
from palate.store.catalog import Catalog
from palate.training.cause import hints, inner_status
from palate.training.inputs import Received, read_received, take_received
from palate.training.launch import Ended, Engines, Resources, stopped_by_signals
from palate.training.limits import Limits
from palate.training.outcome import LOOKED_AT, USAGE_ERROR, cause_of, fault_lines, set_aside, tail_of
from palate.training.ports import named_port
from palate.vocabulary import BASELINE, Arm

LOOK_S = 0.1
"""Interval at which it is looked whether a run that another process makes has ended."""


class Runner:
    """Yield the results of a plan's runs: first those that are there, then anew after each run that ends.

        with Runner(catalog, plan, resources=resources, person=person) as runner:
            for results in runner:
                if enough(results):
                    break

    Leaving the `with` stops the runs that go; SIGTERM and SIGHUP are as Ctrl-C within it. No run is started before the
    first results were looked at. Before a second pair is started, the first one is checked: did the change arrive, did
    the seed, are the runs apart.

    Args:
        catalog: of the project where runs are kept.
        plan: which arms at which seeds.
        resources: what runs are carried out with.
        person: told of progress.
        engines: those that were started early, while a person was thinking; stopped at the end.
        keep_engines: leave them to whoever runs more with them, where no run goes at the end.
        asked: the plan that was asked for, where `plan` is a part of it: commands that are offered are about that.

    Attributes:
        made: how many runs were made, those that count for nothing among them.
        reused: how many were there already, or were made by another process meanwhile.
    """

    def __init__(
        self,
        catalog: Catalog,
        plan: Plan,
        *,
        resources: Resources,
        person: Person,
        engines: Engines | None = None,
        keep_engines: bool = False,
        asked: Plan | None = None,
    ) -> None:
        self._keep_engines = keep_engines
        self._asked = asked or plan
        self._catalog = catalog
        self._project = catalog.project
        self._plan = plan
        self._resources = resources
        self._limits = resources.limits or Limits()
        self._person = person
        self._engines = engines or Engines(resources)
        self._going: dict[str, tuple[Arm, int, float]] = {}
        self._groups: dict[str, str] = {}
        self._ended: deque[Ended] = deque()
        self._results: dict[Arm, dict[int, RunResult]] = {}
        self._received: dict[Arm, dict[int, Received]] = {}
        self._apartness = Apartness(plan, resources.placed(plan.target.task).place)
        self._spans = Spans()
        self._said: set[str] = set()
        self._checked: set[tuple[Arm, int]] = set()
        self._claims = Claims(catalog.project.home)
        self._seen: set[str] = set()
        self._began_unix_s = time.time()
        self._lost: set[tuple[Arm, int]] = set()
        self._news = False
        self._lanes = lanes.Lanes(catalog.project, plan, resources, self._say)
        self._placing = Placing(catalog.project, resources, self._say)
        self._engines.say = lambda words: person.watch(Noticed(words, waits=True))
        self._around = contextlib.ExitStack()
        self.made = 0
        self.reused = 0

    def __enter__(self) -> Self:
        self._around.enter_context(stopped_by_signals())
        return self

    def __exit__(self, fault: type[BaseException] | None, *_: object) -> None:
        with self._around:
            try:
                while self._ended and fault is None:  # runs that ended in the same moment as the one that was enough
                    self._take(self._ended.popleft())
            finally:
                self._stop()

    def _stop(self) -> None:
        """Stop the engines, wait for the runs that go to end, and write into their journals that they were stopped."""
        if self._going or not self._keep_engines:
            self._engines.stop()
        for run_id, (arm, _, _) in self._going.items():
            with contextlib.suppress(OSError, StoreError):  # what is wrong with one must not keep the others from it
                if write_stop(self._project, run_id):
                    self._read_back(run_id, arm, stopped=True)
        self._going.clear()
        self._lanes.close()
        self._claims.close()

    def __iter__(self) -> Iterator[Results]:
        """Yield the results so far; the same object each time, with what has come.

        Raises:
            SetupFailedError: the baseline fails before its first point, or the code cannot be loaded.
            MetricNotLoggedError: the baseline never logs the metric.
            NotArrivedError: a change or a seed did not reach the runs, or they see each other's files.
        """
        self._results = self._collect()
        self._received = {arm: self._known(by_seed) for arm, by_seed in self._results.items()}
        self.reused = sum(len(by_seed) for by_seed in self._results.values())
        for arm, by_seed in self._received.items():
            for seed, received in by_seed.items():
                self._apartness.shared_at_once(self._results[arm][seed].id, received, 0.0, 0.0)
        for arm, results in self._results.items():
            self._lanes.known(arm, [one.id for one in results.values()])
            self._limits.learn(arm, *(one.elapsed_s for one in results.values()))
        self._check()
        self._notice_port()
        yield self._results
        while self._submit() and not self._limits.are_over():
            if self._news:
                self._news = False
                yield self._results
                continue
            self._wait()
            while self._ended:
                ended = self._ended.popleft()
                self._take(ended)
                self._tell_going()
                if self._ended or not self._lanes.more_ends(ended.id):
                    yield self._results

    def _collect(self) -> dict[Arm, dict[int, RunResult]]:
        """Return the results that are there."""
        results = collect(self._catalog, self._plan)
        for result in itertools.islice(results.get(BASELINE, {}).values(), 1):
            self._refuse_ambiguous(result.id)
        return results

    def _wait(self) -> None:
        """Wait a moment for runs to end: those that go, and those that other processes make."""
        if self._going:
            self._ended.extend(self._engines.poll())
            self._notice_alone()
        else:
            time.sleep(LOOK_S)
        if not self._ended:
            self._tell_going()

    def _tell_going(self) -> None:
        self._person.watch(RunsGoing(tuple(self._going), self._placing.workers))

    def _known(self, by_seed: dict[int, RunResult]) -> dict[int, Received]:
        read = {seed: read_received(self._project.run_folder(one.id)) for seed, one in by_seed.items()}
        return {seed: received for seed, received in read.items() if received is not None}

    def _submit(self) -> bool:
        """Start what is missing, as far as there is room; return whether there is anything to wait for, or to look at.

        What other processes make is waited for, once nothing else is missing.
        """
        waits: list[tuple[Arm, int]] = []
        while self._has_room() and (missing := self._next(waits)) is not None:
            arm, seed = missing
            self._start(arm, [seed, *self._more(arm, seed)])
        if waits and not self._going and not self._news:
            self._say_waits(*waits[0])
        return bool(self._going or waits or self._news)

    def _has_room(self) -> bool:
        """Return whether anything can be started: runs that are computed together take the place of two."""
        groups = {self._groups[run_id] for run_id in self._going if run_id in self._groups}
        single = sum(run_id not in self._groups for run_id in self._going)
        return single + 2 * len(groups) < self._placing.workers

    def _start(self, arm: Arm, seeds: list[int]) -> None:
        """Start runs of an arm, together where there are several."""
        begun = [begin(self._project, self._plan, arm, seed) for seed in seeds]
        for seed, order in zip(seeds, self._lanes.orders(arm, begun), strict=True):
            self._seen.add(order.id)
            self._claims.tell(self._plan.keys[arm], seed, order.id)
            self._going[order.id] = (arm, seed, time.monotonic())
            if order.group:
                self._groups[order.id] = order.group
            self._engines.submit(self._plan.target_of(arm).task, order)
            self._person.watch(RunStarted(arm, seed, order, self._plan.settings[arm]))

    def _more(self, arm: Arm, first: int) -> Iterator[int]:
        """Claim more seeds of an arm that are missing, where several can be computed together."""
        if not all(len(by_seed) >= lanes.AFTER for by_seed in self._results.values()):
            return
        most = self._lanes.size(arm) - 1
        going = {seed for of, seed, _ in self._going.values() if of == arm}
        missing = [one for one in self._plan.seeds if one not in self._results[arm] and one not in going | {first}]
        yield from itertools.islice(
            (seed for seed in missing if self._in_time(seed, ()) and self._is_free(arm, seed)), max(most, 0)
        )

    def _next(self, waits: list[tuple[Arm, int]]) -> tuple[Arm, int] | None:
        """Claim the next run that is missing, and put those that others make into `waits`.

        None comes next where one was made meanwhile: that is looked at first.
        """
        waits.clear()
        going = {(arm, seed) for arm, seed, _ in self._going.values()}
        for seed in self._plan.seeds:
            for arm in self._plan.arms:
                if seed in self._results[arm] or (arm, seed) in going or not self._in_time(seed, going):
                    continue
                if self._is_free(arm, seed):
                    return arm, seed
                if self._news:
                    return None
                waits.append((arm, seed))
        return None

    def _in_time(self, seed: int, going: Collection[tuple[Arm, int]]) -> bool:
        """Return whether what a seed lacks may still be started: it is of no use without the other half of its pair."""
        lacks = [arm for arm in self._plan.arms if seed not in self._results[arm] and (arm, seed) not in going]
        return self._limits.allow(lacks, self._placing.workers)

    def _is_free(self, arm: Arm, seed: int) -> bool:
        """Claim a run; return whether it is to be made here: nobody else makes it, or has made it meanwhile."""
        key = self._plan.keys[arm]
        if not self._claims.take(key, seed, self._plan.run_name(arm, seed)):
            holder = self._claims.holder(key, seed)
            return holder is not None and holder.stopped
        made = self._made_meanwhile(arm, seed)
        if made is not None:
            self._claims.release(key, seed)
            self._adopt(arm, made)
        return made is None

    def _made_meanwhile(self, arm: Arm, seed: int) -> RunResult | None:
        """Return a run that another process made since the first look; None where there is none that counts.

        One that failed before its first point is a result for who asks now, and is tried again by who asks later.
        """
        for run_id in attempts(self._project, self._plan, arm, seed):
            read = None if run_id in self._seen else self._catalog.read_in(run_id)
            if read is None or read.run.going:
                continue
            self._seen.add(run_id)
            result = read_result(read.run, read.summaries, self._plan)
            if result is None or (read.run.key, result.seed) != (self._plan.keys[arm], seed):
                continue
            gave = bool(result.points) and result.outcome.ending not in ("no_metric", "lost points")
            now = read.run.started_unix_s + read.run.elapsed_s >= self._began_unix_s
            if gave or (now and arm != BASELINE and not result.lost and not refused_usage(read.run)):
                return result
        return None

    def _adopt(self, arm: Arm, result: RunResult) -> None:
        """Take in a run that another process made."""
        self._results[arm][result.seed] = result
        received = read_received(self._project.run_folder(result.id))
        if received is not None:
            self._received[arm][result.seed] = received
            self._apartness.shared_at_once(result.id, received, 0.0, 0.0)
        self.reused += 1
        self._news = True
        self._check()

    def _say_waits(self, arm: Arm, seed: int) -> None:
        holder = self._claims.holder(self._plan.keys[arm], seed)
        run, who = (holder.run, holder.words()) if holder else (self._plan.run_name(arm, seed), "another process")
        self._say(f"Waits for {run}, which {who} makes.")

    def _take(self, ended: Ended) -> None:
        """End the run's journal and take in what it gave; from then on others may make it."""
        if ended.id not in self._going:  # a reading before the runs that was given up, and ended late
            return
        arm, seed, began_s = self._going.pop(ended.id)
        self.made += 1  # whatever becomes of it: one that is set aside was made, and took its time
        self._limits.learn(arm, time.monotonic() - began_s)
        ended = self._lanes.shared(ended)
        try:
            why = write_ending(self._project, ended)
            if why:
                self._lose(ended, arm, seed, why)
            else:
                self._lanes.heard(arm, ended.id)
                self._take_in(ended, arm, seed, began_s)
        except OSError as error:
            raise StoreError(
                f"{self._project.home} cannot be written: {error.strerror}.",
                why=f"{ended.id} has ended, and what is known of it is not all kept.",
                todo="Make room, then type the same command again.",
            ) from error
        finally:
            self._claims.release(self._plan.keys[arm], seed)

    def _lose(self, ended: Ended, arm: Arm, seed: int, why: str) -> None:
        """Let a run be made again whose end could not be written; once."""
        if (arm, seed) in self._lost:
            raise RunsFailedError(
                f"{ended.id} is lost, as the one before it was: {why}.",
                why="What it logged cannot be told from nothing.",
                todo="Find what does that, then type the same command again; nothing else is lost.",
            )
        self._lost.add((arm, seed))
        self._say(f"{ended.id} is lost: {why}. It is made again.")

    def _take_in(self, ended: Ended, arm: Arm, seed: int, began_s: float) -> None:
        """Read a run back that has ended, check what it received, and take in what it gave."""
        beside = self._spans.ended(ended.id, began_s, time.monotonic())
        known = known_inputs(self._project, self._plan, arm)
        received = self._read_back(ended.id, arm)
        self._refuse_changed(ended.id, arm, known, received)
        read = self._catalog.read_in(ended.id)
        if read is not None and not read.run.integrity.counts:
            self._take_lost(arm, lost_result(read.run, seed, ended.elapsed_s))
            return
        result = read and read_result(read.run, read.summaries, self._plan)
        if not result:
            raise SetupFailedError(f"{self._project.journal(ended.id)} cannot be read back.", todo="palate doctor")
        if why := self._placing.again(ended, (arm, seed)):
            self._lanes.forbid()
            self._set_aside([ended.id], why)
            return
        if self._meets_others(result, beside):
            return
        if arm == BASELINE:
            self._refuse_fault(result, received)
        self._refuse_usage(arm, result, ended)
        if received is not None and self._is_shared(ended.id, received, began_s):
            return
        self._results[arm][seed] = result
        if received is not None:
            self._received[arm][seed] = received
        self._person.watch(RunEnded(arm, result))
        self._check()

    def _take_lost(self, arm: Arm, result: RunResult) -> None:
        """Let a run that lost points be made again, once; where it loses points again, its pair is left out."""
        again = (arm, result.seed) not in self._lost
        self._lost.add((arm, result.seed))
        self._say(f"{result.id} {result.outcome.detail}: {'it is made again' if again else 'its pair is left out'}.")
        if not again:
            self._results[arm][result.seed] = result
            self._person.watch(RunEnded(arm, result))

    def _read_back(self, run_id: str, arm: Arm, *, stopped: bool = False) -> Received | None:
        """Read back what a run received, and keep it for the decision whether it can be used again.

        One that was stopped had not told all, and is never used again.
        """
        target = self._plan.target_of(arm)
        place = self._resources.placed(target.task).place
        own = () if place is None or not target.task.file else (place.name_of(target.task.file),)
        secrets = known_secrets(os.environ, target.settings, dict(self._plan.settings[arm]), {"": list(target.argv)})
        words = (target.task.file, *target.task.argv) if target.task.kind == "command" else ()
        received = take_received(self._project.run_folder(run_id), place, own, secrets, words)
        if received is not None and not stopped:
            remember(self._project, self._plan.keys[arm], received)
        return received

    def _check(self) -> None:
        """Check that the arms are what the plan says, as soon as a run of each is there; say where seeds do not go."""
        baseline = self._received.get(BASELINE, {})
        self._refuse_same_code()
        for arm in self._plan.arms:
            for seed in self._received[arm].keys() & baseline.keys():
                if arm != BASELINE and (arm, seed) not in self._checked:
                    self._checked.add((arm, seed))
                    refuse_not_arrived(self._plan, arm, baseline[seed], self._received[arm][seed])
        for words in same_seed_words(self._plan, baseline):
            self._say(words)

    def _refuse_same_code(self) -> None:
        """Stop where arms ran the same code though they should not; their runs count for nothing."""
        for arm, by_seed in self._received.items() if self._plan.targets else ():
            for seed, received in by_seed.items():
                if fault := same_code_fault(self._plan.target_of(arm).task.place, received):
                    self._set_aside([self._results[arm][seed].id], "it ran the code of the working tree")
                    raise fault

    def _refuse_changed(self, run_id: str, arm: Arm, known: Known, received: Received | None) -> None:
        """Stop where something that the runs read changed while they went: those before and after it are not alike."""
        target = self._plan.target_of(arm)
        place = self._resources.placed(target.task).place
        fault = same_code_fault(target.task.place, received) if received is not None else None
        if fault is not None:
            self._set_aside([run_id], "it read the working tree past its own folder")
            raise fault
        name = "" if received is None else changed_meanwhile(known, received, place, target.sources)
        if name:
            self._set_aside([run_id], f"{name} changed while the runs went")
            raise RunsFailedError(
                f"{name} changed while the runs went.",
                why=f"{run_id} read another state of it than the runs before, so it counts for nothing.",
                todo="Type the same command again: it starts from what is there now.",
            )

    def _set_aside(self, runs: Iterable[str], why: str) -> None:
        for run_id in runs:
            set_aside(self._project.journal(run_id), why)
            self._catalog.read_in(run_id)

    def _is_shared(self, run_id: str, received: Received, began_s: float) -> bool:
        """Notice runs that saw each other's files; set them aside, and go on with one run at a time."""
        file, runs = self._apartness.shared_at_once(run_id, received, began_s, time.monotonic())
        if not file:
            return False
        self._one_at_a_time(f"Runs at once wrote the same file, {file}: they are made again, one at a time.")
        self._make_again(runs, f"another run wrote {file} at the same time")
        return True

    def _meets_others(self, result: RunResult, beside: set[str]) -> bool:
        """Notice runs at once whose processes meet at one port; set them aside, and go on with one run at a time."""
        if result.id in self._spans.doubted:
            self._make_again({result.id}, "it went at once with a run that uses the same port")
            return True
        output = self._project.output(result.id)
        port = port_in_use(fault_lines(output)) if result.outcome.failed else ""
        if not port:
            return False
        if not beside and not self._going:
            self._set_aside([result.id], f"{port} was in use")
            named_by, _ = named_port(self._plan.target.task.argv, os.environ) or ("", 0)
            raise port_taken(result.id, port, cause_of(output), named_by)
        self._spans.doubted |= self._going.keys()
        named = port.removeprefix("a ")
        again = "they are made again, one at a time. Next time: --workers 1"
        self._one_at_a_time(f"Runs at once use the same {named}: {again}")
        self._make_again({result.id, *beside}, f"another run used {port} at the same time")
        return True

    def _one_at_a_time(self, words: str) -> None:
        self._placing.one_at_a_time()
        self._lanes.forbid()
        self._say(words)

    def _make_again(self, runs: set[str], why: str) -> None:
        """Set runs aside, so that they are made again."""
        self._set_aside(runs, why)
        for arm, by_seed in self._results.items():
            for seed in [seed for seed, result in by_seed.items() if result.id in runs]:
                del by_seed[seed]
                self._received[arm].pop(seed, None)

    def _notice_alone(self) -> None:
        if why := self._engines.alone:
            name = Path(self._plan.target.file).name
            self._say(f"{name} {why} when it is imported, so each run is a process of its own that imports everything.")

    def _notice_port(self) -> None:
        """Make one run at a time where all of them would meet at the port that a person named."""
        named = named_port(self._plan.target.task.argv, os.environ)
        if named is not None and self._placing.workers > 1:
            self._placing.one_at_a_time()
            self._say(
                f"Port {named[1]} is named by {named[0]}, so runs are made one at a time. "
                "Without it, each would be given a free one."
            )

    def _say(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self._person.watch(Noticed(words))

    def _refuse_fault(self, result: RunResult, received: Received | None = None) -> None:
        """Stop at a fault of the set-up: the baseline failing before its first point, or without the metric."""
        metric = self._plan.metric.name
        if result.outcome.ending == "no_metric":
            logged = result.outcome.detail.removeprefix("it logged ")
            heard = read_logged(self._project, result.id, [] if logged == "nothing" else logged.split(", "))
            raise MetricNotLoggedError(
                f"{result.id} finished without logging {metric}.",
                why=f"It logged: {heard.words()}{nearest(metric, heard.names)}",
                todo=[
                    *(self._offers(heard) if set(heard.names.values()) - {"palate"} else ()),
                    f"Log it: palate.log(step, {metric}=...)   or choose another: --metric NAME",
                    *([] if heard.names else [*unheard_words(received), NOT_HEARD]),
                ],
            )
        self._refuse_ambiguous(result.id)
        if result.outcome.failed and not result.points:
            how = result.outcome.detail.splitlines()[0]
            raise SetupFailedError(
                f"The baseline failed before its first point: {result.id}, {how}.",
                why=[f"| {line}" for line in cause_of(self._project.output(result.id))],
                todo=[
                    *hints(tail_of(self._project.output(result.id), LOOKED_AT)),
                    "Fix it, then type the same command again; nothing that finished is lost.",
                ],
            )

    def _other_ways(self, arm: Arm) -> list[str]:
        """Say how the flags of changes are named that a program refuses; of the baseline, that of the seed."""
        target = self._plan.target_of(arm)
        changed = [(one.path, target.hands(one.path)) for one in self._plan.arms[arm]]
        handed = changed or ([("seed", target.seed_by)] if target.seed_by is not None else [])
        given = [(name, how.name) for name, how in handed if how.by in ("flag", "override", "words")]
        if target.task.kind not in ("script", "command") or target.takes_any or not given:
            return []
        [name, flag], place = given[0], "[tool.palate.settings]" if changed else "[tool.palate]"
        typed = name if name.isidentifier() else f'"{name}"'
        named = f'{place}  {typed} = "--its-flag"  in pyproject.toml'
        return [f"{name} was handed over as {flag}. If it is called otherwise: {named}"]

    def _offers(self, heard: Logged) -> list[str]:
        changes = [change for arm, some in self._asked.arms.items() if arm != BASELINE for change in some]
        return heard.offers(self._plan.target, [f"-c {change.path}={show_value(change.after)}" for change in changes])

    def _refuse_ambiguous(self, run_id: str) -> None:
        """Stop where two trackers logged different values under the name of the metric."""
        metric = self._plan.metric.name
        by = read_logged(self._project, run_id, [metric]).ambiguous.get(metric)
        if by:
            names = {f"{one}/{metric}": one for one in by}
            unsaid, goal = "--goal max   (or min)", f"--goal {self._plan.metric.goal}"
            raise MetricNotLoggedError(
                f"{run_id}: {metric} is logged by {' and '.join(by)}, with different values.",
                why="A verdict on one of them would say nothing of the other.",
                todo=[one.replace(unsaid, goal) for one in self._offers(Logged(names, {}))],
            )

    def _refuse_usage(self, arm: Arm, result: RunResult, ended: Ended) -> None:
        """Stop where a program refuses its command line: that is no outcome of a change."""
        printed = tail_of(self._project.output(result.id), LOOKED_AT)
        if inner_status(ended.status, printed) != USAGE_ERROR or result.points or ended.timed_out:
            return
        changed = ", ".join(f"-c {change.path}={change.after}" for change in self._plan.arms[arm])
        raise RunsFailedError(
            f"The program refuses its command line (exit status {USAGE_ERROR}, nothing logged): {result.id}.",
            why=[f"| {line}" for line in cause_of(self._project.output(result.id))],
            todo=(
                *hints(printed),
                f"Fix how it takes {changed or 'its arguments'}, then type the same command again.",
                *self._other_ways(arm),
            ),
        )
