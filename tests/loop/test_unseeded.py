"""Of several programs of a run, those that get no seed are told, where another one does."""

import pytest

from palate.loop.unseeded import unseeded_words
from palate.training.inputs import Received, Seeding


def seeding(program, value, where=""):
    return Seeding(of="random", value=value, where=where or f"{program}:3", program=program)


def runs(*seedings_of):
    programs = ("pre.py", "fine.py")
    return [Received(programs=programs, seeds=tuple(seedings)) for seedings in seedings_of]


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        (
            "import random",
            "7",
            "The seed of a run reaches pre.py, and not fine.py: lib.py:3 seeds every run alike, with 7",
        ),
        ("import random", "", "The seed of a run reaches pre.py, and not fine.py: nothing seeds it"),
        ("from sklearn import svm\nimport numpy\nsvm.SVC(random_state=args.seed)", "", ""),
        ("print(json.load(open('m.json')))", "", ""),
        ("import random\nrandom.seed(os.environ['PALATE_SEED'])", "7", ""),
    ],
)
def test_a_program_that_gets_no_seed_is_told_where_another_one_does(tmp_path, text, value, words):
    (tmp_path / "fine.py").write_text(text)
    fixed = [seeding("fine.py", value, "lib.py:3")] if value else []
    said = unseeded_words(tmp_path, runs([seeding("pre.py", "0"), *fixed], [seeding("pre.py", "1"), *fixed]))
    assert [one.partition(". Seed it")[0] for one in said] == [words.partition(". Seed it")[0]] * bool(words)


def test_of_programs_that_all_get_the_seed_or_none_of_them_nothing_is_told(tmp_path):
    (tmp_path / "fine.py").write_text("import random")
    both = [[seeding("pre.py", seed, "lib.py:3"), seeding("fine.py", seed, "lib.py:3")] for seed in "01"]
    assert unseeded_words(tmp_path, runs(*both)) == []
    assert unseeded_words(tmp_path, runs([seeding("pre.py", "7")], [seeding("pre.py", "7")])) == []
    assert unseeded_words(tmp_path, runs([seeding("pre.py", "0")])) == []
