"""`palate recipe` and `palate dry`, from a shell, on files, models and unchanged scripts."""

import json

import pexpect
import pytest

from palate.ledger.ledger import Ledger
from palate.store.chain import Chain

FULL = "model: {_component_: full, rank: 8}\noptimizer: {_component_: torch.optim.AdamW, lr: 2e-5}\nepochs: 1\n"
LORA = "model: {_component_: lora, rank: 8}\noptimizer: {_component_: torch.optim.AdamW, lr: 3e-4}\nepochs: 2\n"
MODEL = """
from torch import nn
def build():
    return nn.Sequential(*[nn.Linear(4, 4) for _ in range(3)])
def needs(width):
    return nn.Linear(width, 1)
"""
TRAINING = """
import argparse, json, torch
from pathlib import Path
from torch import nn
import palate
parser = argparse.ArgumentParser()
parser.add_argument("--config", default="a.json")
parser.add_argument("--boost", type=float, default=1.0)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
config = json.loads(Path(args.config).read_text())
torch.manual_seed(args.seed)
model = nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"] * args.boost, momentum=config.get("momentum", 0.0))
x = torch.randn(16, 4)
for step in range(3):
    loss = model(x).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    palate.log(step, val_loss=loss.item())
"""


@pytest.fixture
def workplace(workplace):
    """A workplace with two configurations, a model, and a training that reads one of two files."""
    workplace.write(FULL, "full.yaml")
    workplace.write(LORA, "lora.yaml")
    workplace.write(MODEL, "model.py")
    workplace.write(TRAINING, "train.py")
    workplace.write('{"lr": 0.1}', "a.json")
    workplace.write('{"lr": 0.2, "momentum": 0.5}', "b.json")
    return workplace


def test_a_file_is_seven_lines_or_fewer_and_opens(workplace):
    shown = workplace.call("recipe", "show", "full.yaml").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["full", "model", "optimiser", "schedule"]
    opened = workplace.call("recipe", "show", "full.yaml", "--open", "optimiser.optimizer").stdout
    assert "lr  " in opened and "2e-05" in opened
    assert workplace.call("recipe", "show", "full.yaml", "--open", "nothing").returncode == 2


def test_a_difference_names_every_co_change(workplace):
    document = workplace.json("recipe", "diff", "full.yaml", "lora.yaml", "--declare", "model")
    assert [(c["path"], c["reason"]) for c in document["changes"]] == [
        ("model._component_", "declared"),
        ("optimizer.lr", "co-change"),
        ("epochs", "co-change"),
    ]
    assert document["confounders"] == 2
    printed = workplace.call("recipe", "diff", "full.yaml", "full.yaml").stdout
    assert printed == "No difference. Same: model 2, optimiser 2, schedule 1.\n"


def test_why_tells_value_and_source_and_what_is_near_where_there_is_none(workplace):
    assert workplace.json("recipe", "why", "lr", "full.yaml")["chain"] == ["optimizer.lr = 2e-05", "  set"]
    missing = workplace.call("recipe", "why", "optimizer.l", "full.yaml")
    assert missing.returncode == 3
    assert "did you mean optimizer.lr?" in missing.stderr


@pytest.mark.slow
def test_chunks_are_proposed_taken_renamed_and_refused(workplace):
    names = []
    for k in range(6):
        text = FULL.replace("epochs: 1", f"epochs: {k}").replace(
            "rank: 8", f"rank: {k}\n  d: 1\n  e: {k}".replace("\n", ",")
        )
        names.append(workplace.write(text.replace("lr: 2e-5", "lr: 2e-5, eps: 1e-8, fused: true"), f"c{k}.yaml"))
    proposed = workplace.json("recipe", "chunks", *names)["proposals"]
    name = next(p["name"] for p in proposed if p["chunk"] == "optimiser")
    taken = workplace.json("recipe", "chunks", *names, "--accept", f"{name}=usual")
    assert [word["name"] for word in taken["named"]] == ["usual"]
    assert taken["lines"] < taken["settings"]
    assert "optimiser  usual" in workplace.call("recipe", "show", "c0.yaml").stdout
    assert workplace.json("recipe", "chunks", "--rename", "usual", "house")["named"][0]["name"] == "house"
    assert workplace.call("recipe", "chunks", "--rename", "nobody", "x").returncode == 2
    assert workplace.call("recipe", "chunks", *names, "--accept", "nothing").returncode == 3


def test_an_exported_recipe_is_the_recipe(workplace):
    workplace.call("recipe", "export", "full.yaml", "-o", "out.json")
    assert workplace.json("recipe", "diff", "full.yaml", "out.json")["changes"] == []
    text = (workplace.folder / "out.json").read_text()
    (workplace.folder / "half.json").write_text(text[:-40])
    assert workplace.call("recipe", "show", "half.json").returncode == 2


def test_what_is_no_recipe_is_refused_with_what_to_do(workplace):
    assert workplace.call("recipe", "show", "none.yaml").returncode == 3
    workplace.write('SETTINGS = {"lr": 0.1}\n', "settings.py")
    assert workplace.call("recipe", "show", "settings.py:SETTINGS").returncode == 0
    for name in ("a", "b"):
        (workplace.folder / name).mkdir()
        workplace.write("from sizes import SIZE\ndef build():\n    return {'width': SIZE}\n", f"{name}/net.py")
        workplace.write(f"SIZE = {len(name) + (name == 'b')}\n", f"{name}/sizes.py")
    assert len(workplace.json("recipe", "diff", "a/net.py:build", "b/net.py:build")["changes"]) == 1
    nothing = workplace.call("recipe", "show", "settings.py:nothing")
    assert (nothing.returncode, "It has:" in nothing.stderr) == (3, True)


@pytest.mark.slow
def test_a_models_tree_is_short_and_its_page_opens(workplace):
    shown = workplace.call("recipe", "show", "model.py:build").stdout.splitlines()
    assert shown[0].startswith("model  Sequential, 60 parameters, float32, 4 modules")
    assert len(shown) == 2 and "3 x 0..2" in shown[1]
    assert "cannot be called without arguments" in workplace.call("recipe", "show", "model.py:needs").stderr
    assert workplace.call("recipe", "show", "model.py:build", "--html", "m.html").returncode == 0
    page = (workplace.folder / "m.html").read_text()
    assert "<details" in page and "<script" not in page and "http" not in page


@pytest.mark.slow
def test_a_dry_run_shows_what_is_in_force_and_trains_nothing(workplace):
    document = workplace.json("dry", "train.py", "-c", "boost=2.0")
    reasons = {change["path"]: change["reason"] for change in document["difference"]["changes"]}
    assert reasons == {"settings.boost": "declared", "optimiser.lr": "entailed"}
    assert not (workplace.folder / ".palate" / "runs").exists()
    workplace.write("import time, torch\ntime.sleep(60)", "slow.py")
    assert "within 3 s" in workplace.call("dry", "slow.py", "--timeout", "3").stderr
    workplace.write("import torch\nraise SystemExit('no data')", "broken.py")
    broken = workplace.call("dry", "broken.py")
    assert broken.returncode == 5
    assert "no data" in broken.stderr


RUN = ("run", "train.py", "--metric", "val_loss", "--no-forecast", "--pairs", "2")


@pytest.mark.slow
def test_arms_that_differ_in_more_than_was_declared_are_named_asked_about_or_refused(workplace):
    strict = workplace.call(*RUN, "-c", "config=b.json", "--strict")
    assert strict.returncode == 4
    assert "lr 0.1 -> 0.2, + momentum 0.5" in strict.stderr
    document = workplace.json(*RUN, "-c", "config=b.json")
    assert document["confounders"] == ["lr 0.1 -> 0.2", "+ momentum 0.5"]
    assert set(document["chunks"]) == {"data", "optimiser"}
    printed = workplace.call("verdict", "last").stdout
    assert "Confounded by what was not declared: lr 0.1 -> 0.2, + momentum 0.5." in printed
    assert not printed.startswith("Better")
    assert "confounded" in workplace.call("list").stdout
    late = workplace.json(*RUN, "-c", "config=b.json", "--declare", "optimiser")
    assert (late["confounders"], late["runs"]["made"]) == (document["confounders"], 0)  # after the outcome


@pytest.mark.slow
def test_what_was_declared_before_the_runs_is_no_confounder_and_a_typo_is_refused(workplace):
    typo = workplace.call(*RUN, "-c", "config=b.json", "--declare", "optimizers")
    assert typo.returncode == 2
    assert "did you mean optimiser?" in typo.stderr
    meant = workplace.json(*RUN, "-c", "config=b.json", "--declare", "optimiser", "--strict")
    assert meant["confounders"] == []
    assert meant["verdict"]["confounded"] is False


@pytest.mark.slow
def test_arms_that_cannot_be_read_are_refused_by_strict_and_said_otherwise(workplace):
    workplace.write(TRAINING.replace("for step", "if args.boost > 1: raise SystemExit('too hot')\nfor step"))
    strict = workplace.call(*RUN, "-c", "boost=2.0", "--strict")
    assert strict.returncode == 4
    assert "could not be read" in strict.stderr
    ended = workplace.call(*RUN, "-c", "boost=2.0")
    assert "Hidden     not known" in ended.stderr
    assert "Failed" in ended.stdout


@pytest.mark.slow
def test_what_changes_from_one_reading_to_the_next_is_blamed_on_no_change(workplace):
    unsteady = TRAINING.replace(
        'lr=config["lr"] * args.boost', 'lr=float(__import__("numpy").random.default_rng().random())'
    )
    workplace.write(unsteady)
    ended = workplace.call(*RUN, "-c", "boost=2.0")
    assert "Follows" not in ended.stderr
    assert "Hidden     nothing up to the first optimizer step" in ended.stderr


ODD = """
class Odd(nn.Linear):
    training = property(lambda self: 1 / 0, lambda self, value: None)
model = Odd(4, 2)
"""


@pytest.mark.slow
def test_a_training_that_palate_cannot_read_is_told_as_such_and_still_runs(workplace):
    workplace.write(TRAINING.replace("model = nn.Linear(4, 2)\n", ODD))
    dry = workplace.call("dry", "train.py")
    assert dry.returncode == 5
    assert "palate could not read this training" in dry.stderr
    assert workplace.json(*RUN, "-c", "boost=2.0")["runs"]["made"] == 4


@pytest.mark.slow
def test_faults_of_a_persons_own_code_are_told_as_theirs(workplace):
    workplace.write("def build():\n    raise ValueError('no such size')\n", "bad.py")
    fails = workplace.call("recipe", "show", "bad.py:build")
    assert (fails.returncode, "ValueError: no such size" in fails.stderr) == (2, True)
    workplace.write("def build(:\n", "syntax.py")
    assert workplace.call("recipe", "show", "syntax.py:build").returncode == 2
    assert workplace.call("recipe", "show", ".").returncode == 2
    assert workplace.call("recipe", "export", "full.yaml", "-o", "/nonexistent/x.json").returncode == 2


@pytest.mark.slow
def test_what_follows_from_a_change_is_told_and_data_that_changed_make_other_runs(workplace):
    first = workplace.call(*RUN, "-c", "boost=2.0")
    assert "Follows    optimiser.lr 0.1 -> 0.2" in first.stderr
    assert "Hidden     nothing up to the first optimizer step (0 hidden)" in first.stderr
    assert workplace.json("recipe", "diff", "last")["confounders"] == 0
    descent = workplace.json("recipe", "show", "last", "--parent")
    assert descent["lines"] == 3 < descent["settings"]
    assert any("lr" in words for words in descent["edits"])
    assert "set: train.py:14" in workplace.call("recipe", "why", "optimiser.lr").stdout
    assert workplace.json(*RUN, "-c", "boost=2.0")["runs"]["made"] == 0
    (workplace.folder / "a.json").write_text('{"lr": 0.3}')
    again = workplace.json(*RUN, "-c", "boost=2.0")
    assert again["runs"]["made"] == 4
    assert json.dumps(again["chunks"])


@pytest.mark.slow
def test_a_change_in_a_dictionary_is_a_declared_one(workplace):
    workplace.write(
        "import torch\nparams = {'lr': 0.1}\nnet = torch.nn.Linear(2, 1)\n"
        "optimiser = torch.optim.SGD(net.parameters(), lr=params['lr'])\n"
        "net(torch.ones(4, 2)).sum().backward()\noptimiser.step()\n"
    )
    document = workplace.json("dry", "train.py", "-c", "params.lr=0.2")
    reasons = {change["path"]: change["reason"] for change in document["difference"]["changes"]}
    assert reasons == {'settings["params.lr"]': "declared", "optimiser.lr": "entailed"}


@pytest.mark.slow
def test_the_prompt_is_done_with_before_the_arms_are_read_and_a_refusal_keeps_the_forecast(workplace):
    words = ("run", "train.py", "--metric", "val_loss", "--pairs", "2")
    workplace.json(*words[:-2], "-c", "boost=3.0", "--forecast", "better:60")  # a past to be shown
    child = workplace.terminal(*words, "-c", "config=b.json")
    child.expect("Smallest difference of val_loss that matters")
    child.sendline("")
    child.expect("then how sure")
    child.send("\x1b[D8\r")
    child.expect("Keep it")
    assert "Hidden" not in child.before
    child.send("\x1b[D9\r")
    child.expect("Run it all the same")
    assert child.before.count("sealed ") == 2
    child.sendline("n")
    child.expect("does not ask again")
    child.expect(pexpect.EOF)
    chain = Chain(workplace.folder / ".palate" / "chain.jsonl")
    assert [one.said.words for one in Ledger.of(chain).read("last").forecasts] == ["worse, 80 %", "worse, 90 %"]
    assert not Ledger.of(chain).read("last").judged
    again = workplace.terminal(*words, "-c", "config=b.json")
    again.expect("Run it all the same")
    assert "then how sure" not in again.before
    again.sendline("y")
    again.expect("You said worse, 80 %")
    again.expect(pexpect.EOF)
    kinds = [record.kind for record in Chain(chain.path).records()]
    assert kinds[4:] == ["question", "forecast", "revision", "arms", "verdict", "score", "score"]
    asked = Ledger.of(Chain(chain.path)).read("last").question
    assert asked.confounders == ("lr 0.1 -> 0.2", "+ momentum 0.5")
    assert "optimiser" in asked.chunks
