"""The page of `palate taste --html`, in a real browser."""

import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

from palate.cooking.inflection import Proposal
from palate.cooking.sampled import read_samples
from palate.cooking.taste import Taster
from palate.cooking.tastings import Word
from palate.web.strip import Strip, write_strip

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ODD = "<img src=x onerror=alert(1)></script>"


@pytest.fixture
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here: ./scripts/browser installs Debian's")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


def strip(folder, steps, shade):
    taster = Taster(folder, value_range=(0, 1), say=lambda _: None)
    for step in steps:
        taster.taste(step, grid=np.full((4, 3, 8, 8), shade), metrics={"fid": 100 - step, ODD: 1.0}, texts=[ODD])
    words = [Word(author=ODD, time=datetime.now(UTC), step=steps[1], kind="tag", value=ODD)]
    proposal = Proposal(
        step=steps[1], changed_at=steps[2], measure="colour", before=1.0, after=9.0, expected=1.0
    )  # fmt: skip
    return Strip(name=f"{folder.name} {ODD}", samples=read_samples(folder), words=words, proposal=proposal)


@pytest.fixture
def page(tmp_path):
    run = strip(tmp_path / "run", (10, 20, 30), 0.2)
    control = strip(tmp_path / "control", (12, 22, 32), 0.8)
    write_strip(run, control, tmp_path / "strip.html")
    return (tmp_path / "strip.html").as_uri()


@pytest.mark.slow
def test_the_slider_goes_through_checkpoints_beside_the_control_and_nothing_is_fetched(browser, page):
    tab = browser.new_page(viewport={"width": 1200, "height": 1000})
    fetched, broken = [], []
    tab.on("request", lambda request: fetched.append(request.url))
    tab.on("pageerror", lambda error: broken.append(str(error)))
    tab.on("console", lambda line: broken.append(line.text))
    tab.on("dialog", lambda dialog: broken.append(dialog.message))
    tab.goto(page)
    views = tab.locator(".view figure")
    assert views.count() == 2
    assert "step 30" in views.nth(0).inner_text() and "step 32" in views.nth(1).inner_text()
    tab.locator("#slider").focus()
    tab.keyboard.press("ArrowLeft")
    assert "step 20" in views.nth(0).inner_text() and "step 22" in views.nth(1).inner_text()
    assert ODD in views.nth(0).inner_text()
    assert "proposed: look here" in views.nth(0).inner_text()
    assert tab.inner_text("#at") == "step 20"
    tab.locator("#run figure").first.click()
    assert "step 10" in views.nth(0).inner_text()
    shown = tab.evaluate("Array.from(document.images).every(one => one.complete && one.naturalWidth > 0)")
    assert shown
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == broken == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_without_script_in_light_and_dark_and_fits_a_phone(browser, page, scheme):
    context = browser.new_context(
        java_script_enabled=False, color_scheme=scheme, viewport={"width": 390, "height": 800}
    )  # fmt: skip
    tab = context.new_page()
    tab.goto(page)
    assert tab.locator("#viewer").is_hidden()
    assert tab.locator("#run figure img").count() == 3
    assert "step 20" in tab.inner_text("#run")
    context.close()
    wide = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    wide.goto(page)
    assert wide.evaluate("document.documentElement.scrollWidth") <= 390
    ink, paper = wide.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    lightness = [sum(map(int, one[4:-1].split(", "))) for one in (ink, paper)]
    assert (lightness[0] > lightness[1]) == (scheme == "dark")
