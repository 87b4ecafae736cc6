"""Where the runs of several processes meet to compute their steps together; standard library only."""

import json
import os
from pathlib import Path

VARIABLE = "PALATE_LANES"
"""Environment variable of a run: "ask" to note whether its loop can be computed with others, or where it meets them."""


class Meeting:
    """Where a run meets the others.

    Attributes:
        folder: that they share; None where it is only asked whether the run could meet any.
        lane: its number, from 0.
        lanes: how many there are.
        loops: how many loops they have met at.
        alone: why it goes on by itself from now on; "" where it does not.
    """

    def __init__(self, folder: Path | None, lane: int = 0, lanes: int = 1) -> None:
        self.folder, self.lane, self.lanes = folder, lane, lanes
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
        return cls(Path(told["folder"]), told["lane"], told["lanes"])

    def text(self) -> str:
        """Return what tells a process of it."""
        if self.folder is None:
            return "ask"
        return json.dumps({"folder": str(self.folder), "lane": self.lane, "lanes": self.lanes})
