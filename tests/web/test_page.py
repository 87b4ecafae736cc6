"""The page of `palate skill --plot`, in a real browser."""

import shutil

import pytest
from tests.ledger.forecasters import ledger_of

from palate.ledger.records import Evidence
from palate.ledger.standings import standings
from palate.ledger.words import scored_forecasts
from palate.web.figures import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ODD = "<img src=x onerror=alert(1)></script>"


@pytest.fixture
def tab():
    if CHROMIUM is None:
        pytest.skip("no Chromium here: ./scripts/browser installs Debian's")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser.new_page(viewport={"width": 1200, "height": 1000})
        browser.close()


@pytest.mark.slow
def test_a_click_on_a_point_opens_its_forecasts_and_nothing_is_fetched(tmp_path, tab):
    forecasters = {"ada": (0.6, Evidence()), ODD: (0.7, Evidence())}
    ledger = ledger_of(tmp_path, forecasters, sure=(60, 70, 80, 90))
    page = tmp_path / "skill.html"
    write_page(standings(ledger, (), frozenset()), scored_forecasts(ledger), page)
    fetched, broken = [], []
    tab.on("request", lambda request: fetched.append(request.url))
    tab.on("pageerror", lambda error: broken.append(str(error)))
    tab.on("dialog", lambda dialog: broken.append(dialog.message))
    tab.goto(page.as_uri())
    tab.wait_for_selector("#skill .points path")
    assert tab.locator("#opened").is_hidden()
    points = tab.locator("#skill .subplot.x2y2 .points path")
    assert points.count() == 4
    box = points.nth(1).bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.wait_for_selector("#forecasts tr")
    rows = [line.split("\t") for line in tab.locator("#forecasts tr").all_inner_texts()]
    assert len(rows) == 15
    asked = next(one for one in ledger.experiments() if one.question.changes[0].path == "ada1")
    assert rows[0][1:] == ["better, 70 %", rows[0][2], asked.question.text, f"palate show {asked.id}"]
    assert {row[2] for row in rows} == {"better", "worse"}
    assert all((float(row[0]) > 0) == (row[2] == "better") for row in rows)
    assert "15 times (bits against the project's odds):" in tab.inner_text("#chosen")
    assert ODD in tab.inner_text("pre")
    assert [url for url in fetched if not url.startswith("file:")] == broken == []
