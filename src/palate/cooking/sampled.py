"""The samples of a run as they lie in its folder: a picture and what is known of it, for each step that was tasted."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.bounded import parse_json, read_text
from palate.cooking.pictures import Layout
from palate.errors import InputError, PalateError
from palate.store.private import make_folder, replace_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "samples"
SCHEMA = "palate.sample/1"
REFERENCE = "reference"
"""The name of the real images that samples are compared with, where somebody gave some."""

_NAME = re.compile(r"\d{8,19}\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one taste left.

    Attributes:
        folder: of the samples.
        step, time: when it was taken.
        metrics: what was measured then.
        texts: what was generated, for a language model.
        layout: of the grid; None where there is no picture.
        sha256: of the picture's file.
        faults: what went wrong, with its traceback.
        elapsed_s: what the taste took.
    """

    folder: Path = field(compare=False)
    step: int
    time: datetime
    metrics: Mapping[str, float] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    layout: Layout | None = None
    sha256: str = ""
    faults: tuple[str, ...] = ()
    elapsed_s: float = 0.0

    @property
    def path(self) -> Path:
        """Where its picture is."""
        return self.folder / f"{self.step:08d}.png"

    def picture(self) -> bytes | None:
        """Return the picture's file; None where there is none, or where it is not the one that was written."""
        try:
            file = self.path.read_bytes() if self.layout is not None else b""
        except OSError:
            return None
        return file if file and hashlib.sha256(file).hexdigest() == self.sha256 else None

    def pixels(self) -> "NDArray[np.uint8] | None":
        """Return the picture as (height, width, 3); None where there is none that can be read."""
        from palate.cooking.png import read_png

        file = self.picture()
        try:
            return None if file is None else read_png(file)
        except InputError:
            return None

    def cells(self) -> "list[NDArray[np.uint8]]":
        """Return its images one by one; none where there is no picture."""
        pixels = self.pixels()
        return [] if pixels is None or self.layout is None else self.layout.cells(pixels)

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {
            "schema": SCHEMA,
            "step": self.step,
            "time": self.time.isoformat(),
            "metrics": {name: value if math.isfinite(value) else str(value) for name, value in self.metrics.items()},
            "texts": list(self.texts),
            "picture": None if self.layout is None else self.path.name,
            "sha256": self.sha256,
            "layout": None if self.layout is None else asdict(self.layout),
            "faults": list(self.faults),
            "elapsed_s": round(self.elapsed_s, 6),
        }


def write_sample(sample: Sample, picture: bytes | None, *, name: str = "") -> None:
    """Write a sample, its picture first: who reads the document finds the picture that it tells of.

    Raises:
        OSError: it cannot be written.
    """
    make_folder(sample.folder)
    place = sample.path.with_stem(name) if name else sample.path
    if picture is not None:
        replace_file(place, picture, synced=False)
    document = {**sample.document(), **({"picture": place.name} if name else {})}
    replace_file(place.with_suffix(".json"), json.dumps(document, ensure_ascii=False, indent=1), synced=False)


def read_samples(run_folder: Path) -> list[Sample]:
    """Return the samples of a run by step; files that cannot be read, and half written ones, are left out."""
    folder = run_folder / FOLDER
    try:
        names = [one.name for one in folder.iterdir() if _NAME.fullmatch(one.name)]
    except OSError:
        return []
    read = [_read(folder / name) for name in names]
    return sorted((one for one in read if one is not None), key=lambda sample: sample.step)


def read_reference(run_folder: Path) -> "list[NDArray[np.uint8]]":
    """Return the real images that a run's samples are compared with; none where nobody gave any."""
    from palate.cooking.png import read_png

    folder = run_folder / FOLDER
    sample = _read(folder / f"{REFERENCE}.json")
    if sample is None or sample.layout is None:
        return []
    try:
        return sample.layout.cells(read_png((folder / f"{REFERENCE}.png").read_bytes()))
    except (OSError, InputError):
        return []


def _read(path: Path) -> Sample | None:
    """Read one sample; None where it is none: anything may stand in a file."""
    try:
        return _sample_of(parse_json(read_text(path), path.name), path.parent)
    except (PalateError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _sample_of(document: Any, folder: Path) -> Sample:
    layout = document["layout"]
    time = datetime.fromisoformat(document["time"])
    return Sample(
        folder=folder,
        step=int(document["step"]),
        time=time if time.tzinfo else time.replace(tzinfo=UTC),
        metrics={str(name): float(value) for name, value in document["metrics"].items()},
        texts=tuple(map(str, document["texts"])),
        layout=None if layout is None else _layout_of(layout),
        sha256=str(document["sha256"]),
        faults=tuple(map(str, document["faults"])),
        elapsed_s=float(document["elapsed_s"]),
    )


def _layout_of(document: Mapping[str, Any]) -> Layout:
    known = {one.name for one in fields(Layout)}
    layout = Layout(**{name: value for name, value in document.items() if name in known})
    whole = (layout.count, layout.rows, layout.columns, layout.cell_height, layout.cell_width)
    if not all(isinstance(one, int) and 0 < one <= 1 << 16 for one in whole) or layout.gap < 0:
        raise ValueError("no layout")
    return layout
