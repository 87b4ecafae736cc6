"""`with palate.capture() as captured:` around the start of a training, in a script or a notebook."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.capture.observe import Observer, Seen
from palate.capture.snapshot import snapshot
from palate.errors import InputError
from palate.recipe.tree import Recipe


@dataclass(slots=True)
class Captured:
    """What a capture found; `recipe` is there from the first optimizer step on.

    Where the block ends without one, it tells what was built, with a note that nothing stepped.
    """

    found: Recipe | None = None
    fault: Exception | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe.

        Raises:
            InputError: no optimizer has stepped yet.
        """
        if self.fault is not None:
            raise InputError(f"The training could not be read: {self.fault!r}.") from self.fault
        if self.found is None:
            raise InputError(
                "Nothing is captured yet: no optimizer has stepped.",
                todo="Read .recipe after the first optimizer.step(), or behind the with block.",
            )
        return self.found


@contextlib.contextmanager
def capture(**settings: Any) -> Iterator[Captured]:
    """Capture the recipe of the training that starts inside of the block.

    Args:
        settings: settings of the script's own that belong to the recipe.

    Yields:
        what will hold the recipe, from the first optimizer step on.
    """
    captured = Captured()

    def then(seen: Seen) -> None:
        captured.found = snapshot(seen, settings=settings, home=Path.cwd() / ".palate")

    observer = Observer(then)
    observer.start()
    try:
        yield captured
    finally:
        observer.stop()
        captured.fault = observer.fault
