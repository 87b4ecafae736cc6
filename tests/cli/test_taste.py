"""Tasting on the command line: keys and pictures at a terminal, flags and tables elsewhere, blind or not."""

import base64
import json
import os
import random
import re

import numpy as np
import pexpect
import pytest

from palate.cli.plain import shown
from palate.cli.taste import pairs_of, read_tasted
from palate.cli.terminal.keys import split_keys
from palate.cli.terminal.pictures import fit, picture, resized, sixels, way_of
from palate.cli.terminal.strip import _wrapped
from palate.cli.terminal.tasting import Blind, Looking, Pair, Wish, compare, look
from palate.cooking.png import read_png
from palate.cooking.taste import Taster
from palate.cooking.tastings import in_force, read_words, tags_of

LEFT, RIGHT, DOWN = "\x1b[D", "\x1b[C", "\x1b[B"
CLAIMS = ("TERM", "TERM_PROGRAM", "COLORTERM", "KITTY_WINDOW_ID", "TMUX", "NO_COLOR")


def cook(workplace, name, shade=0.2, steps=(50, 100, 150)):
    folder = workplace.folder / ".palate" / "runs" / name
    folder.mkdir(parents=True)
    taster = Taster(folder, value_range=(0, 1), say=lambda _: None)
    for step in steps:
        image = np.full((4, 3, 8, 8), shade) + np.linspace(0, 0.5, 8)
        taster.taste(step, grid=image, metrics={"fid": 100.0 - step / 10}, texts=["a \x1b[31mred fox"])
    return folder


@pytest.fixture
def run(workplace):
    return cook(workplace, "3f9c-orange")


def terminal(workplace, *words, rows=40, columns=100, **claims):
    """Start palate at a terminal that claims to be one; give what types keys and what it sent."""
    for name in CLAIMS:
        workplace.environment.pop(name, None)
    workplace.environment.update(claims)
    return workplace.terminal("taste", *words, rows=rows, columns=columns)


def finished(child):
    """Give all that was sent, once the program has ended."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def screen_of(sent):
    """Give the last screen that was drawn, a line a row, from what was sent with its places."""
    rows = {}
    for row, column, text in re.findall(r"\x1b\[(\d+);(\d+)H((?:\x1b\[[\d;]*m|[^\x1b])*)", sent.split("\x1b[2J")[-1]):
        plain = re.sub(r"\x1b\[[\d;]*m", "", text)
        line = rows.get(int(row), "").ljust(int(column) - 1)
        rows[int(row)] = line[: int(column) - 1] + plain + line[int(column) - 1 + len(plain) :]
    return "\n".join(rows.get(row, "").rstrip() for row in range(1, max(rows, default=0) + 1))


def test_a_table_is_printed_where_nobody_looks(workplace, run):
    ended = workplace.call("taste", "3f9c")
    assert ended.returncode == 0
    assert "\x1b" not in ended.stdout
    assert re.search(r"^ 150 +85 +00000150.png$", ended.stdout, re.MULTILINE)


def test_flags_say_what_keys_would_and_the_document_tells(workplace, run):
    told = workplace.json(
        "taste", "3f9c", "--grade", "100=4", "--tag", "150=orange skin", "--last-good", "100", "--author", "ada"
    )
    assert told["schema"] == "palate.taste/1"
    assert told["last_good"] == 100
    assert told["tags"] == ["orange skin"]
    assert [(one["kind"], one["step"], one["value"], one["author"]) for one in told["said"]] == [
        ("grade", 100, "4", "ada"), ("tag", 150, "orange skin", "ada"), ("last_good", 100, "", "ada"),
    ]  # fmt: skip
    assert [sample["step"] for sample in told["samples"]] == [50, 100, 150]
    assert told["proposal"] is None
    assert workplace.json("taste", "3f9c", "--undo", "--author", "ada")["last_good"] is None
    assert workplace.json("taste", "3f9c", "--undo", "--author", "bob")["tags"] == ["orange skin"]


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (("3f9c", "--grade", "100=6"), 2, "no grade"),
        (("3f9c", "--grade", "4", "--tag", "x"), 2, "not STEP=VALUE"),
        (("3f9c", "--tag", "100="), 2, "no tag"),
        (("3f9c", "--last-good", "101"), 3, "nearest sample is of step 100"),
        (("nobody",), 3, "there is no run"),
        (("./nowhere/",), 3, "no such folder"),
        (("3f9c", "--blind"), 2, "compares two runs"),
        (("3f9c", "--blind", "--against", "3f9c"), 2, "compared with itself"),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_is_kept(workplace, run, words, status, why):
    ended = workplace.call("taste", *words)
    assert ended.returncode == status
    assert why in ended.stderr
    assert read_words(run) == []


def test_a_run_is_found_by_its_id_its_folder_or_as_the_last(workplace, run):
    other = cook(workplace, "3f9d")
    os.utime(other / "samples", (1, 1))
    assert workplace.json("taste")["run"] == "3f9c-orange"
    assert workplace.json("taste", str(other))["run"] == "3f9d"
    assert "several runs" in workplace.call("taste", "3f9").stderr
    assert "has no samples" in workplace.call("taste", f"{workplace.folder}/").stderr


def test_a_blind_comparison_wants_somebody_who_looks(workplace, run):
    cook(workplace, "77ab")
    assert "takes a person at a terminal" in workplace.call("taste", "3f9c", "--against", "77ab", "--blind").stderr


def test_a_page_is_written_with_both_runs_and_fetches_nothing(workplace, run):
    cook(workplace, "77ab")
    workplace.call("taste", "3f9c", "--tag", "100=<b>odd</b>", "--against", "77ab", "--html", "strip.html")
    page = (workplace.folder / "strip.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert "a \u241b[31mred fox" in page
    assert "\x1b" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)


def test_keys_say_words_and_the_screen_shows_them():
    state = Looking(count=3, place=2, known=("done", "orange skin"))
    assert look(state, RIGHT).place == 2
    assert look(look(state, LEFT), LEFT).place == 0
    assert look(state, "g").place == 0
    assert look(state, " ").wish == Wish(kind="last_good")
    assert look(state, "4").wish == Wish(kind="grade", value="4")
    assert look(state, "6").wish is None
    assert [look(state, key).image for key in (DOWN, "\x1b[A")] == [1, 0]
    assert look(state, "u").wish == Wish(kind="undo")
    assert look(state, "q").done and look(state, "\x03").done


def test_a_tag_is_typed_or_chosen_and_its_letters_are_no_keys():
    def typed(*keys):
        state = Looking(count=3, place=2, known=("done", "orange skin"))
        for key in ("t", *keys):
            state = look(state, key)
        return state

    assert typed(*"quit u", "\r").wish == Wish(kind="tag", value="quit u")
    assert typed("\t", "\r").wish == Wish(kind="tag", value="done")
    assert typed("\t", "\t", "\r").wish == Wish(kind="tag", value="orange skin")
    assert typed("o", "\t", "\r").wish == Wish(kind="tag", value="orange skin")
    assert typed("x", "\x7f", "\r").wish is None
    assert typed("x", "\x1b").typing is False
    assert typed("x", "\x1b").wish is None
    assert typed("\x07", "\r").wish is None


def test_a_blind_comparison_counts_what_was_preferred():
    pairs = tuple(Pair(step=step, left="a", right="b") for step in range(3))
    state = Blind(pairs=pairs)
    for key in (LEFT, RIGHT, "u", DOWN, "x", RIGHT):
        state = compare(state, key)
    assert state.done
    assert state.answers == ("a", "", "b")
    assert compare(Blind(pairs=pairs), "q").done


def test_pairs_are_shuffled_and_each_side_is_chance(workplace):
    steps = range(0, 400, 10)
    one, other = (read_tasted(cook(workplace, name, steps=steps)) for name in ("a", "b"))
    pairs = pairs_of(one, other, random.Random(1))
    assert sorted(pair.step for pair in pairs) == list(steps) != [pair.step for pair in pairs]
    assert 10 < sum(pair.left == "a" for pair in pairs) < 30
    assert {frozenset((pair.left, pair.right)) for pair in pairs} == {frozenset("ab")}


@pytest.mark.parametrize(
    ("environment", "answer", "way"),
    [
        ({"TERM": "xterm-kitty"}, "", "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "", "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "", "iterm"),
        ({"TERM": "xterm", "TERM_PROGRAM": "iTerm.app", "NO_COLOR": "1"}, "", "none"),
        ({"TERM": "xterm"}, "\x1b_Gi=31;OK\x1b\\\x1b[?62;c", "kitty"),
        ({"TERM": "xterm"}, "\x1b[?63;1;2;4;6c", "sixel"),
        ({"TERM": "xterm"}, "\x1b[?64;1;2c", "none"),
        ({"TERM": "xterm-256color"}, "", "blocks256"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "\x1b[?62c", "blocks"),
        ({"TERM": "tmux-256color", "TMUX": "x", "KITTY_WINDOW_ID": "1"}, "\x1b[?1;2c", "blocks256"),
        ({"TERM": "tmux-256color", "TMUX": "x", "KITTY_WINDOW_ID": "1"}, "\x1b[?1;2;4c", "sixel"),
        ({"TERM": "dumb"}, "\x1b[?62;4c", "none"),
        ({}, "\x1b[?62;4c", "none"),
    ],
)
def test_a_terminal_is_known_by_its_environment_or_by_its_answer(environment, answer, way):
    assert way_of(environment, lambda: answer) == way


def test_an_answer_that_comes_late_is_no_key_and_no_grade():
    late = "\x1b_Gi=31;OK\x1b\\\x1b[?62;4c"
    state = Looking(count=3, place=2)
    assert split_keys(f"{late}q") == [late[: late.index("\x1b[")], "\x1b[?62;4c", "q"]
    for key in split_keys(late):
        assert look(state, key) == state


def test_each_way_draws_the_picture_at_its_place():
    pixels = np.zeros((12, 12, 3), np.uint8)
    pixels[:6, :, 0] = 255
    kitty = picture("kitty", pixels, (3, 5), (4, 2), (10, 20))
    assert kitty.startswith("\x1b[3;5H\x1b_Ga=T,f=100,q=2,C=1,c=4,r=2,m=0;")
    assert np.array_equal(read_png(base64.b64decode(re.search(r"m=0;(.*)\x1b\\", kitty)[1])), pixels)
    iterm = picture("iterm", pixels, (3, 5), (4, 2), (10, 20))
    assert re.fullmatch(r"\x1b\[3;5H\x1b\]1337;File=inline=1;size=\d+;width=4;height=2;.*:[\w+/=]+\x07", iterm)
    blocks = picture("blocks", pixels, (3, 5), (2, 1), (10, 20))
    assert blocks == "\x1b[3;5H" + "\x1b[38;2;255;0;0;48;2;0;0;0m▀" * 2 + "\x1b[0m"
    assert "\x1b[38;5;196;48;5;16m▀" in picture("blocks256", pixels, (3, 5), (2, 1), (10, 20))
    assert picture("none", pixels, (3, 5), (2, 1), (10, 20)) == ""


def test_large_pictures_go_to_kitty_in_pieces():
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", picture("kitty", pixels, (1, 1), (20, 10), (10, 20)))
    assert {len(content) for _, content in pieces[:-1]} == {4096}
    assert [control.endswith("m=0") for control, _ in pieces] == [False] * (len(pieces) - 1) + [True]
    assert np.array_equal(read_png(base64.b64decode("".join(content for _, content in pieces))), pixels)


def test_sixels_give_back_the_picture():
    pixels = np.zeros((13, 9, 3), np.uint8)
    pixels[2:8, 3:] = (255, 255, 255)
    head, body = re.fullmatch(r'\x1bP0;1q"1;1;9;13((?:#\d+;2;\d+;\d+;\d+)+)(.*)\x1b\\', sixels(pixels)).groups()
    white = next(one for one, *rgb in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", head) if rgb == ["100"] * 3)
    seen = np.zeros((18, 9), bool)
    for band, lines in enumerate(body.split("-")):
        for line in lines.split("$"):
            colour, cells = re.fullmatch(r"#(\d+)(.*)", line).groups()
            cells = re.sub(r"!(\d+)(.)", lambda run: run[2] * int(run[1]), cells)
            for column, cell in enumerate(cells):
                for bit in range(6):
                    seen[band * 6 + bit, column] |= colour == white and (ord(cell) - 63) >> bit & 1
    assert np.array_equal(seen[:13], pixels[..., 0] > 0)


def test_pictures_keep_their_shape():
    assert fit(np.zeros((300, 100, 3)), 80, 24, (10, 20)) == (16, 24)
    assert resized(np.zeros((100, 7, 3), np.uint8), 13, 40).shape == (13, 40, 3)


@pytest.mark.slow
def test_at_a_terminal_keys_go_through_the_samples_and_say_words(workplace, run):
    child = terminal(workplace, "3f9c", "--author", "ada", TERM="xterm-256color", COLORTERM="truecolor")
    child.expect_exact("\x1b[c")
    child.send("\x1b[?62;22c")
    child.expect_exact("q quit")
    assert "▀" in child.before
    child.send(LEFT + "4")
    child.expect_exact("step 100: grade 4")
    child.send("torange skin\r")
    child.expect_exact("step 100: tagged 'orange skin'")
    child.send(" ")
    child.expect_exact("step 100 is the last good one")
    child.send("\x1b[Hu")
    child.expect_exact("Taken back: step 100 is the last good one")
    child.send(RIGHT + " ")
    child.expect_exact("step 100 is the last good one")
    child.expect_exact("q quit")
    child.send("q")
    child.expect_exact("\x1b[?1049l")
    assert finished(child) == 0
    assert re.search(r"100 +90 +00000100.png +★ 4 #orange skin", child.before)
    assert [(one.kind, one.step, one.value) for one in in_force(read_words(run))] == [
        ("grade", 100, "4"), ("tag", 100, "orange skin"), ("last_good", 100, ""),
    ]  # fmt: skip
    assert tags_of(run) == {"orange skin"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("claims", "sign"),
    [({"TERM": "xterm-kitty"}, "\x1b_Ga=T,f=100"), ({"TERM": "xterm", "TERM_PROGRAM": "iTerm.app"}, "\x1b]1337;File=")],
)
def test_a_terminal_that_says_what_it_is_gets_its_pictures(workplace, run, claims, sign):
    child = terminal(workplace, "3f9c", **claims)
    child.expect_exact("q quit")
    assert child.before.count(sign) == 4
    assert "\x1b[c" not in child.before
    assert shown("\x1b[31mred fox") in child.before
    assert "\x1b[31mred fox" not in child.before
    child.send("q")
    assert finished(child) == 0


@pytest.mark.slow
def test_a_terminal_that_answers_gets_sixels_and_one_that_does_not_is_not_waited_for(workplace, run):
    child = terminal(workplace, "3f9c", TERM="xterm")
    child.expect_exact("\x1b[c")
    child.send("\x1b[?62;4c")
    child.expect_exact("q quit")
    assert "\x1bP0;1q" in child.before
    child.send("q")
    assert finished(child) == 0
    silent = terminal(workplace, "3f9c", TERM="xterm-256color")
    silent.expect_exact("q quit")
    assert "\x1b[38;5;" in silent.before
    silent.send("q")
    assert finished(silent) == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [(4, 12), (9, 30), (60, 240)])
def test_it_can_be_used_at_a_terminal_of_any_size(workplace, run, size):
    cook(workplace, "77ab")
    for more in ([], ["--against", "77ab", "--blind"]):
        child = terminal(workplace, "3f9c", *more, rows=size[0], columns=size[1], TERM="xterm-kitty")
        child.expect_exact("step" if size[1] > 40 and not more else "\x1b[2J")
        child.send(LEFT + " 3" + "q")
        assert finished(child) == 0


@pytest.mark.slow
def test_without_colours_keys_go_through_a_table(workplace, run):
    child = terminal(workplace, "3f9c", TERM="xterm-256color", NO_COLOR="1")
    child.expect_exact("q quit")
    screen = screen_of(child.before)
    assert "▀" not in child.before
    assert "▶ step 150" in screen
    assert "fid  85" in screen
    assert "00000150.png" in screen
    child.sendcontrol("c")
    assert finished(child) in (0, 130)
    assert "\x1b[?1049l" in child.before


@pytest.mark.slow
def test_what_is_no_terminal_gets_no_escape(workplace, run):
    ended = workplace.process("taste", "3f9c", TERM="xterm-kitty", FORCE_COLOR="1")
    assert "\x1b" not in ended.stdout + ended.stderr
    assert ended.returncode == 0


@pytest.mark.slow
def test_a_new_sample_appears_and_who_looked_at_the_newest_looks_at_it(workplace, run):
    child = terminal(workplace, "3f9c", TERM="xterm", NO_COLOR="1")
    child.expect_exact("▶ step 150")
    Taster(run, say=lambda _: None).taste(200, metrics={"fid": 1.0})
    child.send("x")
    child.expect_exact("▶ step 200")
    child.send("q")
    assert finished(child) == 0


@pytest.mark.slow
def test_blind_shows_no_name_and_says_how_many_were_preferred(workplace, run):
    cook(workplace, "77ab-control", shade=0.4)
    child = terminal(workplace, "3f9c", "--against", "77ab", "--blind", "--author", "ada", TERM="xterm-kitty")
    for place in (1, 2, 3):
        child.expect_exact(f"Pair {place} of 3")
        child.expect_exact("q quit")
        assert not re.search("3f9c|77ab|orange|control|fid|step", child.before)
        child.send(LEFT if place < 3 else DOWN)
    assert finished(child) == 0
    told = " ".join(child.before.split())
    assert re.search(r"Against 77ab-control, 3f9c-orange was preferred in [0-2] of 2 \(.*1 without a diff", told)
    said = read_words(run)
    assert sorted(one.step for one in said) == [50, 100, 150]
    assert {one.value for one in said} <= {"3f9c-orange", "77ab-control", ""}
    assert {one.against for one in said} == {"77ab-control"}
    told = json.loads(workplace.process("taste", "3f9c", "--json").stdout)
    assert len(told["said"]) == 3
    assert "Blind, against 77ab-control: preferred in" in workplace.process("taste", "3f9c").stdout


def test_text_is_wrapped_into_any_width():
    assert _wrapped("abc", 0) == ["a", "b", "c"]
    assert _wrapped("", 0) == [""]
    assert _wrapped("abcde", 2) == ["ab", "cd", "e"]
