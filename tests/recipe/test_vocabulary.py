"""A person's own vocabulary: proposed if it saves lines, and checked on the other half of the recipes."""

import gzip
import json
import random
from pathlib import Path

import pytest

from palate.recipe.names import Named, written_lines
from palate.recipe.nearest import Family
from palate.recipe.proposals import content, propose
from palate.recipe.recipe import Recipe
from palate.recipe.values import from_value

CONFIGS = Path(__file__).parents[3] / "shared" / "data" / "configs"
USUAL = {"_target_": "torch.optim.AdamW", "lr": 3e-4, "betas": [0.9, 0.95], "eps": 1e-8, "fused": True}


def history(n=12):
    return [
        from_value("recipe", {"optimizer": {**USUAL, "lr": 3e-4 if k % 3 else 1e-3}, "epochs": k, "n_layers": k % 4})
        for k in range(n)
    ]


def test_what_recurs_is_proposed_and_saves_what_it_says():
    recipes = history()
    proposal = propose(recipes)[0]
    assert (proposal.named.role, proposal.uses) == ("optimiser", 12)
    before = sum(written_lines(recipe, ())[0] for recipe in recipes)
    after = sum(written_lines(recipe, (proposal.named,))[0] for recipe in recipes)
    assert before - after - 5 == proposal.saved
    assert "adamw" in proposal.named.name


def test_what_occurs_only_twice_or_only_in_one_half_is_not():
    assert propose(history(2)) == []
    odd = [from_value("r", {"optimizer": USUAL if k % 2 == 0 else {"lr": k}}) for k in range(8)]
    assert [p for p in propose(odd) if p.named.role == "optimiser"] == []


def test_a_refused_chunk_is_not_proposed_again_and_a_known_one_saves_nothing_more():
    recipes = history()
    proposal = propose(recipes)[0]
    refused = [content(proposal.named.base)]
    assert content(proposal.named.base) not in [content(p.named.base) for p in propose(recipes, refused=refused)]
    assert proposal.named.base not in [p.named.base for p in propose(recipes, known=[proposal.named])]


def test_a_named_chunk_shortens_every_view():
    recipes = history()
    base = from_value("recipe", {"optimizer": USUAL})
    word = Named(name="usual", role="optimiser", slot="", base=base)
    node = Recipe(recipes[0]).view(vocabulary=[word])
    assert node.items[1].words == "usual + 1 changed"
    assert Recipe(recipes[1]).view(vocabulary=[word]).items[1].words == "usual"


def test_a_recipe_is_its_nearest_earlier_one_and_the_difference():
    recipes = history()
    descent = Family(recipes[:6]).descent(recipes[7])
    assert descent.parent is not None
    assert descent.lines == 3
    assert Family().descent(recipes[0]).lines == descent.settings


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parent", "chunks"), [("torchtune", 0.19, 0.30), ("mmpretrain", 0.08, 0.17)])
def test_public_configurations_are_short_as_parent_and_difference_or_with_words(name, parent, chunks):
    file = CONFIGS / f"{name}.jsonl.gz"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    with gzip.open(file, "rt") as lines:
        trees = [from_value("recipe", json.loads(line)["config"]) for line in lines]
    random.Random(0).shuffle(trees)
    cut = len(trees) * 4 // 5
    family = Family(trees[:cut])
    descents = [family.descent(tree) for tree in trees[cut:]]
    assert sum(t.lines for t in descents) / sum(t.settings for t in descents) <= parent
    words = [proposal.named for proposal in propose(trees[:cut])]
    pairs = [written_lines(tree, words) for tree in trees[cut:]]
    assert sum(lines for lines, _ in pairs) / sum(settings for _, settings in pairs) <= chunks
