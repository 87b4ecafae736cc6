"""The verbs of a run that holds a training: steps, stages, mix, taste, season and the like; standard library only.

What they do stands in `palate.cooking`, which is imported when a training is held.
"""

import importlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.errors import InputError

if TYPE_CHECKING:
    from palate.cooking.live import Live
    from palate.cooking.stage import Cycle, Stage
    from palate.cooking.until import Condition
    from palate.store.journal import Journal


class Cooked:
    """What a run does for the training that it holds.

    Attributes:
        folder: the run's.
    """

    folder: Path
    _live: "Live | None" = None
    _taster: Any = None

    @property
    def journal(self) -> "Journal":
        """The run's journal."""
        raise NotImplementedError

    @property
    def live(self) -> "Live":
        """The training that this run holds.

        Raises:
            InputError: it holds none.
        """
        if self._live is None:
            raise InputError(
                "The run holds no training.",
                why="steps, mix, taste and the like need to know the model and the optimizer.",
                todo='run = palate.start("name", model=net, optimizer=opt)   or   run.attach(model=net, optimizer=opt)',
            )
        return self._live

    @property
    def step(self) -> int:
        """How many steps were done: the number, from 0, of the step that goes on."""
        return self.live.step

    def stages(self, *plan: "Stage | Cycle") -> "Iterator[Stage]":
        """Yield the stages of a training in their order, each when the one before it has ended."""
        return self.live.stages(*plan)

    def epochs(self, n: int | None = None) -> Iterator[int]:
        """Yield the numbers of epochs, from 0; within one, `steps` is one pass over its loader."""
        return self.live.epochs(n)

    def steps(self, loader: Iterable[Any], until: "Condition | None" = None) -> Iterator[Any]:
        """Yield the batches of a loader in its own order: one pass, or as many as it takes until a condition holds."""
        return self.live.steps(loader, until)

    def mix(self, **terms: Any) -> Any:
        """Return the loss: the named terms, each times its weight (1 unless a stage or a season says otherwise).

        Each term is logged as it is without its weight. One that is given as a function is not called at weight 0:
        `run.mix(l1=F.l1_loss(out, y), adv=lambda: bce(critic(out)))`.
        """
        return (self._live or self.live).mix(terms)

    def taste(
        self,
        *,
        every: int,
        grid: Any = None,
        metrics: Any = None,
        texts: Any = None,
        value_range: tuple[float, float] | None = None,
        references: Any = None,
    ) -> Any:
        """Take samples at every so many steps, and keep a capsule there; return the `Taste`, None at other steps.

        Call it behind the optimizer's step. Whatever the functions do to random numbers, modes and buffers, the run
        goes on as if they had not been called.

        Args:
            every: steps from one taste to the next.
            grid: a function that gives images, or images; see `cooking.taste.Taster.taste`.
            metrics: a function that gives numbers by name; they are logged.
            texts: a function that gives generated texts.
            value_range: the image values that are black and white; guessed, and said, if None.
            references: real images, or what gives them: samples are compared with these in sharpness.
        """
        if type(every) is int and every > 0 and self._live is not None and (self._live.step + 1) % every:
            return None
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(
                f"taste(every={every!r}): it is a whole number of steps.", todo="run.taste(every=100, ...)"
            )
        live = self.live
        if (live.step + 1) % every:
            return None
        if self._taster is None:
            from palate.cooking.parts import is_module
            from palate.cooking.randomness import is_generator

            parts = live.parts.values()
            self._taster = importlib.import_module("palate.cooking.taste").Taster(
                self.folder,
                modules=[part for part in parts if is_module(part)],
                generators=[part for part in parts if is_generator(part)],
                references=references,
                say=live.say,
            )
        taste = self._taster.taste(live.step + 1, grid=grid, metrics=metrics, texts=texts, value_range=value_range)
        if taste.metrics:
            self.journal.log(live.step, taste.metrics)
            live.saw(taste.metrics)
        live.want_capsule("tasted")
        return taste

    def season(self, *, why: str = "", **amounts: Any) -> None:
        """Ask this run to turn knobs, as `palate season` does: `run.season(lr="x0.3", adv=0.05, why="too sharp")`.

        It is done between two steps, within .2 s; what comes of it stands in the run's folder, and in `palate show`.

        Raises:
            InputError: an amount that is none.
        """
        from palate.cooking.commands import ask
        from palate.question.branch import parse_amount

        turned = {name: parse_amount(name, amount) for name, amount in amounts.items()}
        ask(self.live.run.folder, turned, author=os.environ.get("PALATE_AUTHOR", "the training"), why=why)

    def knob(self, name: str, value: float, *, low: float, high: float) -> float:
        """Return the value in force of a knob of your own, which can be turned while the training goes."""
        return self.live.knob(name, value, low=low, high=high)
