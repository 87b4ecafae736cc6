"""Make the pictures of docs/tutorial-cooking.md from what runs kept of themselves.

    python docs/make_cooking_pictures.py strip  OUT.png --images 3,5 --steps 650,850 --scale 2 RUN [RUN ...]
    python docs/make_cooking_pictures.py page   OUT.png --at 850 PAGE.html    (a page of palate taste --html)

A strip has a row for each run, in their order: its samples at those steps, of each the images that were chosen.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from palate.cooking.sampled import read_samples

GAP, WHITE = 8, 255


def numbers(text: str) -> list[int]:
    """Read `3,5`."""
    return [int(word) for word in text.split(",")]


def strip_of(run: Path, steps: list[int], images: list[int]) -> np.ndarray:
    """Return the chosen images at each step, beside each other; steps of which nothing was kept stay white."""
    samples = {sample.step: sample.cells() for sample in read_samples(run)}
    some = next(iter(samples.values()))
    nothing = [np.full_like(some[0], WHITE)] * len(some)
    columns = [np.concatenate([samples.get(step, nothing)[i] for i in images], axis=0) for step in steps]
    return beside(columns, axis=1, gap=GAP // 2)


def beside(pictures: list[np.ndarray], *, axis: int, gap: int) -> np.ndarray:
    """Put pictures beside each other or one below the other, with white between."""
    shape = list(pictures[0].shape)
    shape[axis] = gap
    between = np.full(shape, WHITE, np.uint8)
    parts = [part for picture in pictures for part in (between, picture)]
    return np.concatenate(parts[1:], axis=axis)


def write(picture: Image.Image, out: Path) -> None:
    """Write it small: 256 colours are enough for photos of this size."""
    picture.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)


def draw_strip(args: argparse.Namespace) -> None:
    """Draw a row for each run."""
    rows = [strip_of(run, args.steps, args.images) for run in args.runs]
    whole = Image.fromarray(beside(rows, axis=1 if args.turned else 0, gap=GAP))
    size = (whole.width * args.scale, whole.height * args.scale)
    write(whole.resize(size, Image.Resampling.NEAREST), args.out)


def draw_page(args: argparse.Namespace) -> None:
    """Take a picture of a page, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.chromium)
        page = browser.new_page(viewport={"width": args.width, "height": args.height})
        page.goto(args.page.absolute().as_uri())
        page.locator(f"#run-{args.at}").click()
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=args.out)
        browser.close()
    with Image.open(args.out) as picture:
        write(picture, args.out)


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    strip = kinds.add_parser("strip")
    strip.add_argument("out", type=Path)
    strip.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    strip.add_argument("--images", type=numbers, required=True, help="numbers of images in the grid, from 0")
    strip.add_argument("--steps", type=numbers, required=True)
    strip.add_argument("--scale", type=int, default=1, help="pixels a pixel")
    strip.add_argument("--turned", action="store_true", help="runs beside each other, not one below the other")
    strip.set_defaults(draw=draw_strip)
    page = kinds.add_parser("page")
    page.add_argument("out", type=Path)
    page.add_argument("page", type=Path)
    page.add_argument("--width", type=int, default=900, help="pixels")
    page.add_argument("--height", type=int, default=700, help="pixels")
    page.add_argument("--at", type=int, required=True, help="the step that it shows")
    page.add_argument("--chromium", default=None, help="the browser's file; playwright's own if not given")
    page.set_defaults(draw=draw_page)
    args = parser.parse_args()
    args.draw(args)


if __name__ == "__main__":
    main()
