"""Adopt, drop, stack and claim from the command line, with edits of the code too."""

import os
import subprocess

RUN = ("run", "train.py", "--metric", "val_acc", "--no-forecast", "--pairs", "2")
TRAIN = """
import random
import palate
gain = 0.5
width = 8
seed = 0
rng = random.Random(f"{seed} {gain} {width}")
for step in range(4):
    level = 0.3 + 0.4 * gain + 0.01 * width + rng.gauss(0, 0.005)
    palate.log(step, val_acc=level)
"""


def git(folder, *words):
    names = ("AUTHOR_NAME", "COMMITTER_NAME", "AUTHOR_EMAIL", "COMMITTER_EMAIL")
    who = {f"GIT_{name}": "ada@x.org" for name in names}
    return subprocess.run(["git", *words], cwd=folder, env={**os.environ, **who}, capture_output=True, check=True)


def test_a_session_of_adopting_in_json(workplace):
    workplace.write(TRAIN)
    first = workplace.json(*RUN, "-c", "gain=0.9")
    assert first["adopt"]["advice"] == "keep"
    assert first["adopt"]["prior"]["source"] == "default"
    assert first["adopt"]["words"].startswith("Keep it for now: ")
    name = first["experiment"]
    assert f"palate adopt {name}" in first["next"]
    adopted = workplace.json("adopt", name)
    assert (adopted["schema"], adopted["stack"]) == ("palate.adopt/1", [name])
    second = workplace.call(*RUN, "-c", "width=9")
    assert f"Adopted    train with gain=0.9, adopted {name}" in second.stderr
    refused = workplace.json(*RUN, "-c", "gain=0.9", status=2)
    assert any("Adopted, so both arms have it" in why for why in refused["why"])
    start = workplace.json(*RUN, "-c", "gain=0.9", "--from-start")
    assert start["experiment"] == name
    assert start["adopt"]["adopted"]
    stack = workplace.json("stack")
    assert [one["experiment"] for one in stack["stacks"][0]["changes"]] == [name]
    claim = workplace.json("claim", "--pairs", "3")
    assert claim["schema"] == "palate.claim/1"
    assert (claim["claim"]["of"], claim["claim"]["tried"]) == ([name], 2)
    assert (claim["claim"]["size"]["n"], len(claim["runs"]["treatment"])) == (3, 3)  # whole, though settled before
    assert {one["seed"] for one in claim["runs"]["treatment"]} <= {4, 5, 6}
    dropped = workplace.json("drop", name)
    assert (dropped["stack"], dropped["rests"]) == ([], [])
    assert workplace.json("drop", name, status=3)["error"] == "NotFoundError"
    assert "adoption" in workplace.json("verify")["kinds"]


def test_one_pair_is_enough_for_odds_once_the_noise_is_known(workplace):
    workplace.write(TRAIN)
    few = ("run", "train.py", "--metric", "val_acc", "--no-forecast", "--first", "1")
    alone = workplace.json(*few, "-c", "gain=0.52")
    assert "adopt" not in alone
    assert alone["stopped"] == "after 1 pair, as was asked"
    assert "nobody knows the noise" in workplace.json("adopt", alone["experiment"], status=4)["what"]
    workplace.json(*RUN, "-c", "gain=0.7")
    told = workplace.json(*few, "-c", "gain=0.9")
    assert (told["adopt"]["pairs"], told["verdict"]["n"]) == (1, 1)
    assert told["adopt"]["odds"]
    assert workplace.json("adopt", told["experiment"])["adopt"]["pairs"] == 1


def test_an_edit_that_was_tried_from_a_branch_is_run_in_both_arms_until_the_files_have_it(workplace):
    workplace.write(TRAIN)
    workplace.write(".palate/\n", ".gitignore")
    git(workplace.folder, "init", "-q", "-b", "main")
    git(workplace.folder, "add", "-A")
    git(workplace.folder, "commit", "-qm", "one")
    git(workplace.folder, "checkout", "-qb", "idea")
    workplace.write(TRAIN.replace("0.4 * gain", "0.5 * gain"))
    git(workplace.folder, "commit", "-qam", "idea")
    git(workplace.folder, "checkout", "-q", "main")
    name = workplace.json(*RUN, "--try", "idea")["experiment"]
    assert "The adopted code is idea" in workplace.call("adopt", name).stdout
    ran = workplace.call(*RUN, "-c", "width=9")
    assert "Your files do not have the adopted code: both arms run idea" in ran.stderr
    assert f"adopted {name}" in ran.stderr
    assert "re-used" in ran.stdout
    assert " 0 re-used" not in ran.stdout  # the baseline is what the idea's runs were
    workplace.write(TRAIN + "# edited\nwidth += 1\n")
    assert "neither what" in workplace.call(*RUN, "-c", "width=9").stderr
    git(workplace.folder, "checkout", "-q", "--", "train.py")
    git(workplace.folder, "merge", "-q", "idea")
    assert "is in your" in workplace.call(*RUN, "-c", "width=10").stderr
    assert workplace.json("claim", "--pairs", "2")["claim"]["of"] == [name]


def test_an_edit_of_the_working_tree_is_said_to_be_there_and_its_loss_is_an_error(workplace):
    workplace.write(TRAIN)
    workplace.write(".palate/\n", ".gitignore")
    git(workplace.folder, "init", "-q", "-b", "main")
    git(workplace.folder, "add", "-A")
    git(workplace.folder, "commit", "-qm", "one")
    workplace.write(TRAIN.replace("0.4 * gain", "0.5 * gain"))
    name = workplace.json(*RUN, "--against", "HEAD")["experiment"]
    workplace.json("adopt", name)
    assert "is in your files" in workplace.call(*RUN, "-c", "width=9").stderr
    git(workplace.folder, "checkout", "-q", "--", "train.py")
    lost = workplace.json(*RUN, "-c", "width=9", status=4)
    assert "lack the edit that was adopted" in lost["what"]
    assert any(f"palate drop {name}" in line for line in lost["todo"])
    assert workplace.json(*RUN, "-c", "width=9", "--from-start")["verdict"]
