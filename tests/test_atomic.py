"""A file is written whole or not at all, by however many at once, and its name tells whose it was until then."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from palate.atomic import name_beside, process_in, replace_file


def test_the_name_beside_a_file_is_of_this_thread_alone_and_tells_the_process(tmp_path):
    names = []
    other = threading.Thread(target=lambda: names.append(name_beside(tmp_path / "a.json")))
    other.start()
    other.join()
    assert names != [name_beside(tmp_path / "a.json")]
    assert process_in(names[0].name) == os.getpid()
    assert [process_in(name) for name in ("a.json", ".a.json.1.2", ".a.json.palate", "a.1.2.palate")] == [None] * 4


def test_any_name_that_a_file_can_have_can_be_replaced(tmp_path):
    for name in ("a", "x" * 255, "\u00e4" * 127, "a\nb"):
        replace_file(tmp_path / name, b"content", 0o640)
        assert (tmp_path / name).read_bytes() == b"content"
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640
    assert len(list(tmp_path.iterdir())) == 4


def test_what_cannot_be_replaced_is_as_it_was_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "folder", b"content", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_who_reads_while_several_write_sees_one_of_what_they_wrote(tmp_path):
    path = tmp_path / "a.json"
    contents = [bytes([letter]) * 5000 for letter in b"abcd"]
    replace_file(path, contents[0], 0o600)

    def write(content):
        for _ in range(20):
            replace_file(path, content, 0o600)
            assert path.read_bytes() in contents

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, contents))
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
