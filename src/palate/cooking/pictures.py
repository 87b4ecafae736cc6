"""Whatever a model gives as images, laid out as one grid of pixels, and what was assumed on the way.

Pure: arrays in, arrays out. torch tensors and Pillow's images are known by what they can do; neither is imported.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from palate.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

MOST_PICTURES = 64
"""How many images of a batch are laid out."""

LONGEST_SIDE = 4096
"""The largest grid, in pixels a side: larger images are averaged down by a whole number."""

GAP = 2
"""Pixels between two images."""

NOT_FINITE = (255, 0, 255)
"""What NaN and infinity are drawn as."""

BEHIND = 128
"""The grey between images."""

NEGATIVE = 0.01
"""The share of values beyond a range from which it is taken to be another one: a network may overshoot a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a grid is laid out, and what was assumed to get there.

    Attributes:
        count: images in it; left_out: of the batch, which are not.
        rows, columns: of the grid; the images go row by row.
        cell_height, cell_width: of one image in the grid, in pixels; `gap` pixels lie around each.
        scale: how many pixels of an image one pixel of the grid is the mean of, a side.
        order: which axis was taken for what.
        low, high: the values that are drawn black and white.
        assumed: whether that range was guessed.
        not_finite: values that are NaN or infinite, drawn in magenta; out_of_range: values that were clipped.
    """

    count: int
    left_out: int = 0
    rows: int
    columns: int
    cell_height: int
    cell_width: int
    gap: int = GAP
    scale: int = 1
    order: str
    low: float
    high: float
    assumed: bool
    not_finite: int = 0
    out_of_range: int = 0

    def cells(self, grid: "Pixels") -> "list[Pixels]":
        """Cut the images out of a grid that is laid out so."""
        high, wide = self.cell_height + self.gap, self.cell_width + self.gap
        places = [divmod(place, self.columns) for place in range(self.count)]
        return [
            grid[self.gap + row * high : (row + 1) * high, self.gap + column * wide : (column + 1) * wide]
            for row, column in places
        ]

    @property
    def range_words(self) -> str:
        """What the range was, in words."""
        return f"values {'assumed ' if self.assumed else ''}{self.low:g} to {self.high:g}"


def lay_out(images: Any, value_range: tuple[float, float] | None = None) -> "tuple[Pixels, Layout]":
    """Lay images out as one grid.

    Args:
        images: a torch tensor or an array, NCHW, NHWC, CHW, HWC or HW, of 1, 3 or 4 channels, float or integer; or a
            sequence of such images, or of Pillow's.
        value_range: the values that are black and white; guessed if None: 0 to 255 of integers and of floats that go
            beyond 2, -1 to 1 of floats of which more than 1 % are below 0, else 0 to 1.

    Returns:
        the grid, (height, width, 3), and how it is laid out.

    Raises:
        InputError: it is nothing that can be seen.
    """
    import numpy as np

    batch, order, total = _batch(images)
    low, high = value_range or _guessed_range(batch)
    if not high > low or not math.isfinite(high - low):
        raise InputError(f"value_range=({low:g}, {high:g}) is none: the first has to be the smaller.")
    bad = ~np.isfinite(batch)
    scaled = (np.where(bad, low, batch).astype(np.float32) - low) * np.float32(255 / (high - low))
    outside = np.count_nonzero(scaled < -0.01) + np.count_nonzero(scaled > 255.01)
    pixels = (np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)
    cells = _coloured(pixels, np.any(bad, axis=-1))
    columns = max(1, min(len(cells), math.ceil(math.sqrt(len(cells) * cells.shape[1] / cells.shape[2]))))
    cells, scale = _averaged(cells, columns)
    layout = Layout(
        count=len(cells),
        left_out=total - len(cells),
        rows=-(-len(cells) // columns),
        columns=columns,
        cell_height=cells.shape[1],
        cell_width=cells.shape[2],
        scale=scale,
        order=order,
        low=float(low),
        high=float(high),
        assumed=value_range is None and batch.dtype != np.uint8,
        not_finite=int(bad.sum()),
        out_of_range=int(outside),
    )
    return _placed(cells, layout), layout


def _batch(images: Any) -> "tuple[NDArray[Any], str, int]":
    """Return images as NHWC, at most so many, which axis was taken for what, and how many there were."""
    import numpy as np

    if _is_pillow(images):
        images = [images]
    if isinstance(images, Sequence) and not isinstance(images, str | bytes):
        if not images:
            raise InputError("There is no image in what was given.")
        parts = [_batch_of(_array(one)) for one in images[:MOST_PICTURES]]
        return _padded([one for part, _ in parts for one in part[:1]]), parts[0][1], len(images)
    batch, order = _batch_of(_array(images))
    if not batch.size:
        raise InputError(f"There is no image in an array of shape {batch.shape}.")
    return np.ascontiguousarray(batch[:MOST_PICTURES]), order, len(batch)


def _is_pillow(one: Any) -> bool:
    return hasattr(one, "convert") and hasattr(one, "getbands")


def _array(one: Any) -> "NDArray[Any]":
    """Return a tensor, an image or a list of numbers as an array that a person can be shown."""
    import numpy as np

    if _is_pillow(one):
        return np.asarray(one.convert("RGB")).transpose(2, 0, 1)
    if hasattr(one, "detach"):
        one = one.detach().cpu()
        one = (one.float() if one.is_floating_point() else one).numpy()
    array = np.asarray(one)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "fiu":
        raise InputError(f"Images are numbers, and not {type(one).__name__} of {array.dtype}.")
    return array


def _batch_of(array: "NDArray[Any]") -> "tuple[NDArray[Any], str]":
    """Return an array as NHWC, and which axis was taken for what.

    Raises:
        InputError: no axis can be the channels.
    """
    known: tuple[tuple[int, int, str, Callable[[Any], Any]], ...] = (
        (4, 1, "NCHW", lambda one: one.transpose(0, 2, 3, 1)),
        (4, 3, "NHWC", lambda one: one),
        (3, 0, "CHW", lambda one: one.transpose(1, 2, 0)[None]),
        (3, 2, "HWC", lambda one: one[None]),
    )
    for axes, channels, order, turned in known:
        if array.ndim == axes and array.shape[channels] in (1, 3, 4):
            return turned(array), order
    if array.ndim == 3:
        return array[..., None], "NHW"
    if array.ndim == 2:
        return array[None, ..., None], "HW"
    raise InputError(
        f"An array of shape {array.shape} holds no images.",
        why="Images are (N, C, H, W), (N, H, W, C), (C, H, W), (H, W, C) or (H, W), of 1, 3 or 4 channels.",
        todo="Give it one of these shapes, or a list of images.",
    )


def _padded(images: "list[NDArray[Any]]") -> "NDArray[Any]":
    """Return images of different sizes as one batch: the smaller ones in the corner of a cell, the rest at 0."""
    import numpy as np

    images = [np.repeat(one, 3, axis=-1) if one.shape[-1] == 1 else one[..., :3] for one in images]
    height, width = (max(one.shape[axis] for one in images) for axis in (0, 1))
    if not height * width:
        raise InputError("There is no pixel in what was given.")
    batch = np.zeros((len(images), height, width, 3), np.result_type(*images))
    for place, one in zip(batch, images, strict=True):
        place[: one.shape[0], : one.shape[1]] = one
    return batch


def _guessed_range(batch: "NDArray[Any]") -> tuple[float, float]:
    import numpy as np

    if batch.dtype.kind != "f":
        return (0, 255) if batch.dtype == np.uint8 or batch.max(initial=0) > 1 else (0, 1)
    if np.count_nonzero(batch < 0) > NEGATIVE * batch.size:
        return -1, 1
    return (0, 255) if np.count_nonzero(batch > 2) > NEGATIVE * batch.size else (0, 1)


def _coloured(pixels: "Pixels", bad: "NDArray[np.bool_]") -> "Pixels":
    """Return images as RGB: grey ones thrice, transparent ones over white, values that are none in magenta."""
    import numpy as np

    if pixels.shape[-1] == 4:
        seen = pixels[..., 3:].astype(np.float32) / 255
        pixels = (pixels[..., :3] * seen + 255 * (1 - seen) + 0.5).astype(np.uint8)
    coloured = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels.copy()
    if bad.any():
        coloured[bad] = NOT_FINITE
    return coloured


def _averaged(cells: "Pixels", columns: int) -> "tuple[Pixels, int]":
    """Average images down until their grid is no larger than it may be; return by how much."""
    rows = -(-len(cells) // columns)
    scale = max(1, -(-rows * cells.shape[1] // LONGEST_SIDE), -(-columns * cells.shape[2] // LONGEST_SIDE))
    return (cells, 1) if scale == 1 else (mean_of_blocks(cells, scale, scale), scale)


def mean_of_blocks(pictures: "Pixels", down: int, across: int) -> "Pixels":
    """Return pictures (..., height, width, channels) made smaller by whole numbers; what is left at an edge is cut."""
    import numpy as np

    *lead, height, width, channels = pictures.shape
    down, across = min(down, height), min(across, width)
    rows, columns = height // down, width // across
    cut = pictures[..., : rows * down, : columns * across, :].reshape(*lead, rows, down, columns, across, channels)
    mean: Pixels = (cut.mean(axis=(-4, -2), dtype=np.float32) + 0.5).astype(np.uint8)
    return mean


def _placed(cells: "Pixels", layout: Layout) -> "Pixels":
    import numpy as np

    high, wide, gap = layout.cell_height + GAP, layout.cell_width + GAP, GAP
    grid = np.full((gap + layout.rows * high, gap + layout.columns * wide, 3), BEHIND, np.uint8)
    for place, cell in zip(layout.cells(grid), cells, strict=True):
        place[:] = cell
    return grid
