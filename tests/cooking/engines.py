"""Trainings of engines that tests start bare, attached, and from capsules."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cooking.trainings import run

from palate.cooking.capsule import capsules_of
from palate.question.branch import Branch, capsule_path, parse_amount
from palate.store.reader import read_journal


@dataclass(frozen=True)
class Kitchen:
    """A folder, a training, and what its processes have imported before."""

    folder: Path
    body: str
    preload: tuple[str, ...]

    def bare(self) -> dict[str, str]:
        """Train without palate; return the digests."""
        run(self.folder, self.body, bare=True, preload=self.preload)
        return self.digests()

    def held(self, branch: Branch | None = None) -> dict[str, str]:
        """Train with palate, on a branch where there is one; return the digests."""
        run(
            self.folder, self.body, environment={"PALATE_BRANCH": branch.text()} if branch else {}, preload=self.preload
        )
        return self.digests()

    def digests(self) -> dict[str, str]:
        """What the last training has come to."""
        told: dict[str, str] = json.loads((self.folder / "digests.json").read_text())
        return told

    def newest(self) -> Path:
        """The newest run."""
        return max((self.folder / ".palate" / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)

    def trunk(self) -> Path:
        """The run that was first."""
        return min((self.folder / ".palate" / "runs").iterdir(), key=lambda path: path.stat().st_ctime_ns)

    def branch(self, trunk: Path, step: int, **how: Any) -> Branch:
        """A branch from a capsule."""
        return Branch(capsule=str(capsule_path(trunk, step)), at=step, **how)

    def equals_bare_and_goes_on(self, steps: range | tuple[int, ...]) -> Path:
        """Assert that the held run equals the bare one, and what leaves its capsules equals both; return its folder."""
        bare = self.bare()
        assert self.held() == bare
        trunk = self.newest()
        assert set(steps) <= set(capsules_of(trunk))
        for step in steps:
            assert self.held(self.branch(trunk, step)) == bare, step
        return trunk

    def forks_to_its_horizon_and_equals_itself(self) -> Path:
        """Assert that of three forks two with the same random numbers are equal; return the last one's folder."""
        self.held()
        trunk = self.newest()
        control, again, other = (self.held(self.branch(trunk, 4, replicate=number, stop=6)) for number in (1, 1, 2))
        assert control == again
        assert control["model"] != other["model"]
        assert events(self.newest(), "steps")[-1]["steps"] == 10
        return self.newest()

    def differs_by_a_turned_knob_alone(self, schedule: str) -> None:
        """Assert that a fork whose rate is turned differs from then on, and its schedule, of this name, does not."""
        bare = self.bare()
        self.held()
        trunk = self.newest()
        turned = self.held(self.branch(trunk, 8, turns={10: {"lr": parse_amount("lr", "x0.5")}}))
        assert turned["model"] != bare["model"]
        assert turned[schedule] == bare[schedule]
        (told,) = events(self.newest(), "in force")
        assert told["step"] == 10
        mine, theirs = curves(self.newest())["ce"], curves(trunk)["ce"]
        assert all(mine[step] == theirs[step] for step in (8, 9, 10))
        assert mine[12] != theirs[12]

    def ends_behind(self, steps: int) -> None:
        """Assert that the held run ends behind so many steps."""
        self.held()
        assert events(self.newest(), "steps")[-1]["steps"] == steps


def curves(run_folder: Path) -> dict[str, dict[int, float]]:
    """Return what a run has logged, by name and step."""
    read = read_journal(run_folder / "journal").curves
    return {
        name: dict(zip(one.steps.tolist(), one.values.tolist(), strict=True)) for name, one in read.items() if len(one)
    }


def events(run_folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind that a run has told."""
    return [event for event in read_journal(run_folder / "journal").events if event.get("kind") == kind]
