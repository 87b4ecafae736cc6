"""Where the runs of several processes meet to compute their steps together; standard library only."""

import json
import os
from pathlib import Path

VARIABLE = "PALATE_LANES"
"""Environment variable of a run: "ask" to note whether its loop can be computed with others, or where it meets them."""


def meeting_folder() -> str:
    """Return the folder in which this process's run meets others; "" where it meets none."""
    text = os.environ.get(VARIABLE, "")
    return str(json.loads(text)["folder"]) if text.startswith("{") else ""


class Meeting:
    """Where a run meets the others.

    Attributes:
        folder: that they share; None where it is only asked whether the run could meet any.
        lane: its number, from 0.
        lanes: how many there are.
        worth: the most that the steps of all may cost, of what those of as many single runs cost.
        wait_s: seconds that the first waits for the others, at most.
        loops: how many loops they have met at.
        alone: why it goes on by itself from now on; "" where it does not.
    """

    def __init__(
        self, folder: Path | None, lane: int = 0, lanes: int = 1, *, worth: float = 0.6, wait_s: float = 60.0
    ) -> None:
        self.folder, self.lane, self.lanes, self.worth, self.wait_s = folder, lane, lanes, worth, wait_s
        self.loops = 0
        self.alone = ""

    @classmethod
    def of_process(cls) -> "Meeting | None":
        """Return where this process's run meets others; None where it does not."""
        text = os.environ.pop(VARIABLE, "")  # what it starts itself meets nobody
        if not text:
            return None
        if text == "ask":
            return cls(None)
        told = json.loads(text)
        return cls(Path(told.pop("folder")), told.pop("lane"), told.pop("lanes"), **told)

    def text(self) -> str:
        """Return what tells a process of it."""
        if self.folder is None:
            return "ask"
        numbers = {"lane": self.lane, "lanes": self.lanes, "worth": self.worth, "wait_s": self.wait_s}
        return json.dumps({"folder": str(self.folder), **numbers})
