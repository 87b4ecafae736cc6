"""What a shell or make reads is known by its name in what starts a run."""

import pytest

from palate.question.folder import place_of
from palate.training.named import files_named

FILES = {
    "k.sh": 'cd "$(dirname "$0")"\nbash inner.sh "$@"  # and notes.txt is named here too\n',
    "inner.sh": "source ./env.sh\nWD=$(cat wd.txt); python train.py --wd $WD\n",
    "env.sh": "export A=1\n",
    "wd.txt": "other.txt",
    "other.txt": "",
    "train.py": "",
    "Makefile": "include sub/v4.mk\ntrain:\n\tpython train.py\n",
    "sub/v4.mk": "include more.mk\nWD = 0\n",
    "sub/more.mk": "",
}


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["bash", "k.sh"], {"k.sh", "inner.sh", "env.sh", "wd.txt"}),
        (["bash", "-c", "cat wd.txt | python train.py; ./k.sh"], {"k.sh", "inner.sh", "env.sh", "wd.txt"}),
        (["make", "-f", "Makefile"], {"Makefile", "sub/v4.mk", "sub/more.mk"}),
        (["python", "train.py"], set()),
        (["bash", "../outside.sh", "missing.sh"], set()),
    ],
)
def test_what_is_named_in_a_script_or_a_makefile_is_found_also_behind_another(tmp_path, words, files):
    (tmp_path / "outside.sh").write_text("")
    for name, text in FILES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    place = place_of(tmp_path / "project", tmp_path / "project" / ".palate")
    assert set(files_named(words, place)) == files
