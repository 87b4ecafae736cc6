"""Who sits beside the person while runs go, and keeps what is done so far where others see it. Light to import."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from palate.errors import PalateError
from palate.forecast.answer import Said
from palate.loop.ask import ArmsRead, Looked, Noticed, Person, RunEnded, RunsGoing, RunStarted, Shown, WatchEvent
from palate.loop.sittings import MOST_NOTICED, Going, Held, How
from palate.question.question import Question
from palate.training.launch import Resources, stopped_by_signals
from palate.training.limits import Limits
from palate.verdict.words import effect_words

if TYPE_CHECKING:
    from palate.loop.judge import Judgement

BEAT_S = 10.0
"""Interval at which a sitting says that it is there, where nothing happens."""

LENGTH_NAMES = ("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs", "steps", "max_steps", "max_iters",
                "num_steps", "iterations", "iters")  # fmt: skip


def length_of(settings: Mapping[str, Any]) -> int | None:
    """Return how many steps a run has, where a setting is known to say so."""
    return next((settings[name] for name in LENGTH_NAMES if isinstance(settings.get(name), int)), None)


class Attended:
    """A person, and a sitting that hears all that they are told.

    Args:
        person: who asks.
        held: the sitting.
        question: what is asked; None where no question is judged.
        workers: runs at a time.
    """

    def __init__(self, person: Person, held: Held, question: Question | None, workers: int) -> None:
        self._person, self._held, self._question = person, held, question
        self._took: dict[str, list[float]] = {}
        held.tell(replace(held.state, opened=True, workers=workers))

    def ask(self, question: Question) -> Said | None:
        """Let the person answer."""
        return self._person.ask(question)

    def inform(self, question: Question, inside: ArmsRead) -> None:
        """Let the person know."""
        self._person.inform(question, inside)

    def revise(self, question: Question, shown: Shown) -> Said | None:
        """Let the person revise."""
        return self._person.revise(question, shown)

    def watch(self, event: WatchEvent) -> None:
        """Keep what happened, and let the person know."""
        self._keep(event)
        self._person.watch(event)

    def _keep(self, event: WatchEvent) -> None:
        state = self._held.state
        match event:
            case RunStarted():
                length = length_of(event.settings)
                at_s = time.time()
                run = Going(id=event.order.id, arm=event.arm, seed=event.seed, began_unix_s=at_s, length=length)
                self._held.tell(replace(state, runs=(*state.runs, run)))
            case RunsGoing():
                self._beat(event)
            case RunEnded():
                self._ended(event)
            case Looked(verdict) if self._question is not None:
                effect = effect_words(verdict, self._question.shown)
                self._held.tell(replace(state, pairs=verdict.n, effect=effect, verdict=verdict.kind))
            case Noticed(words):
                self._held.tell(replace(state, noticed=(*state.noticed, words)[-MOST_NOTICED:]))
            case _:
                pass

    def _beat(self, going: RunsGoing) -> None:
        """Say from time to time that it is there; at once that it was asked to stop, and that a run goes no more."""
        state = self._held.state
        stopping = self._held.asked_to_stop()
        runs = tuple(run for run in state.runs if run.id in going.ids)
        known = (state.stopping, state.runs, state.workers)
        if known != (stopping, runs, going.at_once) or time.time() - state.at_unix_s > BEAT_S:
            self._held.tell(replace(state, stopping=stopping, runs=runs, workers=going.at_once))

    def _ended(self, event: RunEnded) -> None:
        state, result = self._held.state, event.result
        if self._question is not None:
            self._question = self._question.shown_for([result.outcome.value])
        if not result.outcome.failed:
            self._took.setdefault(event.arm, []).append(result.elapsed_s)
        self._held.tell(
            replace(
                state,
                runs=tuple(run for run in state.runs if run.id != result.id),
                made=state.made + 1,
                failed=state.failed + result.outcome.failed,
                took_s={arm: sum(took) / len(took) for arm, took in self._took.items()},
            )
        )


def limited(resources: Resources, held: Held, hours: float | None) -> Resources:
    """Return resources with the limits of a sitting: its hours from now on, and who asks it to stop."""
    return replace(resources, limits=Limits(hours, asked=held.asked_to_stop))


@contextmanager
def ending_kept(held: Held) -> Iterator[None]:
    """Keep how a sitting ends, whatever ends it, and let it go."""
    try:
        with stopped_by_signals():
            yield
    except PalateError as error:
        held.end("failed", f"{type(error).__name__}: {error.what}", *error.why, *error.todo)
        raise
    except KeyboardInterrupt as stop:
        held.end("stopped", _stop_words(held, str(stop)))
        raise
    except BaseException as error:
        held.end("failed", f"{type(error).__name__}: {error}")
        raise
    else:
        held.end("done")
    finally:
        held.close()


def how_ended(judgement: "Judgement") -> How:
    """Return how a sitting ends that came to its end: whether the same command would make more runs."""
    return "limit" if judgement.stopped or (judgement.lost and not judgement.settled) else "done"


def _stop_words(held: Held, by: str) -> str:
    if held.asked_to_stop():
        return "Stopped by palate stop."
    return {"": "Stopped by Ctrl-C.", "SIGHUP": "Stopped by SIGHUP: its terminal was closed."}.get(
        by, f"Stopped by {by}."
    )
