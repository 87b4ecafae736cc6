"""The documents say what is."""

import re
from pathlib import Path

import pytest

import palate
from palate.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


def test_every_command_is_documented():
    page = (ROOT / "docs" / "commands.md").read_text()
    for name in COMMANDS:
        assert f"`palate {name}" in page, name


def test_the_readmes_comparison_prints_what_it_says():
    call, printed = re.search(r"print\((palate\.compare.*)\)\n# (.*)\n", (ROOT / "README.md").read_text()).groups()
    assert str(eval(call, {"palate": palate})) == printed


def test_the_sentences_of_the_page_on_forecasts_are_under_30_words():
    long = [one for one in _sentences((ROOT / "docs" / "forecasts.md").read_text()) if len(one.split()) >= 30]
    assert not long, "\n".join(long)


def _sentences(page: str) -> list[str]:
    """Give a page's sentences; code blocks and tables are left out, headings and items of lists stand alone."""
    prose = re.sub(r"^```(?s:.*?)^```$|^\|.*$", "", page, flags=re.MULTILINE)
    prose = re.sub(r"^(#.*)$", r"\n\1\n", prose, flags=re.MULTILINE)
    prose = re.sub(r"^(?=(?:[-*]|\d+\.) )", "\n", prose, flags=re.MULTILINE)
    prose = re.sub(r"`[^`]*`", lambda code: re.sub(r"[.!?]", "_", code[0]), prose)  # a stop in code ends no sentence
    return [" ".join(one.split()) for one in re.split(r"(?<=[.!?])[\"*)]*\s+|\n\s*\n", prose)]
