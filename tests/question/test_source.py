"""What a file declares is read without running it."""

import pytest
from tests.question.files import FUNCTION, SCRIPT, write

from palate.errors import InputError
from palate.question.source import read_source
from palate.recipe.codec import Unread


def test_a_scripts_settings_are_its_flags_its_declared_ones_and_its_constants(tmp_path):
    source = read_source(write(tmp_path, SCRIPT))
    values = {name: setting.value for name, setting in source.settings.items()}
    assert values == {
        "lr": pytest.approx(3e-4), "weight_decay": 0.1, "amp": False, "epochs": 5, "width": 32, "WIDTHS": [1, 2],
    }  # fmt: skip
    assert source.seed_name == "seed"


def test_a_functions_settings_are_its_defaults_and_what_is_no_literal_stays_source_text(tmp_path):
    function = read_source(write(tmp_path, FUNCTION)).functions["train"]
    assert {n: s.value for n, s in function.settings.items()} == {
        "lr": 1e-3, "act": Unread(type="source", text="nn.ReLU"), "epochs": 20,
    }  # fmt: skip
    assert function.takes_seed
    assert (function.metric, function.goal, function.resolution) == ("val_acc", "max", 0.001)


def test_what_the_decorator_cannot_say_without_running_is_refused(tmp_path):
    with pytest.raises(InputError, match="readable without running"):
        read_source(write(tmp_path, FUNCTION.replace("1 / 1000", "1 / len(test)")))
