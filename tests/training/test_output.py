"""What a run prints is kept: bounded, redacted, its head and its newest part, with a word for what is left out."""

import os
import re
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.redaction import Lines, known_secrets
from palate.training.outcome import TAIL_BYTES, tail_of
from palate.training.output import LONGEST, Output, Pipe, printing_to

MOST = 256 << 10
LEFT_OUT = re.compile(rb"\n\.\.\. ([\d,]+) bytes left out \.\.\.\n")


def kept(folder, blocks, most=MOST, **options):
    """Give what is in the file once all blocks were printed."""
    path = folder / "output.log"
    path.unlink(missing_ok=True)
    output = Output.open(path, most=most, **options)
    for block in blocks:
        output.take(block)
    output.close()
    return path.read_bytes()


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_what_has_room_is_kept_byte_for_byte_however_it_is_cut(tmp_path_factory, blocks):
    folder = tmp_path_factory.mktemp("output")
    assert kept(folder, blocks, redact=lambda line: line) == b"".join(blocks)


@pytest.mark.parametrize("block", [100, 4096, 60_000])
def test_of_a_flood_the_head_and_the_newest_are_kept_and_what_is_between_is_counted(tmp_path, block):
    lines = b"".join(b"line %d\n" % number for number in range(60_000))
    text = kept(tmp_path, [lines[i : i + block] for i in range(0, len(lines), block)])
    head, count, tail = LEFT_OUT.split(text)
    assert len(text) <= MOST
    assert lines.startswith(head)
    assert lines.endswith(tail)
    assert len(head) > 0.45 * MOST
    assert len(tail) > 0.2 * MOST
    assert head.endswith(b"\n")
    assert tail.startswith(b"line ")
    assert int(count.replace(b",", b"")) == len(lines) - len(head) - len(tail)


def test_who_prints_faster_than_lines_are_redacted_is_not_kept_waiting_once_the_head_is_full(tmp_path):
    lines = b"".join(b"line %d\n" % number for number in range(600_000))
    seen = []
    block = 200_000
    blocks = [lines[i : i + block] for i in range(0, len(lines), block)]
    text = kept(tmp_path, blocks, redact=lambda line: seen.append(line) or line)
    counts = [int(count.replace(b",", b"")) for count in LEFT_OUT.findall(text)]
    pieces = LEFT_OUT.split(text)[::2]
    assert len(text) <= MOST
    assert sum(map(len, pieces)) + sum(counts) == len(lines)
    assert all(piece in lines for piece in pieces)
    assert lines.startswith(pieces[0])
    assert lines.endswith(pieces[-1])
    assert sum(map(len, seen)) < len(lines) / 2  # most of it was never looked at


@pytest.mark.parametrize(("folder", "mode"), [(0o700, 0o600), (0o770, 0o660)])
def test_the_file_is_as_open_as_its_folder_and_no_link_is_followed(tmp_path, folder, mode):
    tmp_path.chmod(folder)
    kept(tmp_path, [b"x\n"])
    assert (tmp_path / "output.log").stat().st_mode & 0o777 == mode
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "linked").symlink_to(tmp_path / "theirs")
    output = Output.open(tmp_path / "linked")
    output.take(b"mine\n")
    output.close()
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_secrets_are_redacted_by_form_and_by_value_also_where_the_pipe_cut_them(tmp_path):
    known = known_secrets({"MY_API_KEY": "correcthorse", "PATH": "/usr/bin"}, {"password": "battery staple", "lr": 0.1})
    redact = Lines(known).redact
    printed = (
        b"key=correcthorse pw=battery staple at /usr/bin\nsk-a8Kd93LmQz71XwPv2RtY6BnC\nhttps://ada:pw12345@host/x\n"
    )
    for block in (1, 7, 1000):
        text = kept(tmp_path, [printed[i : i + block] for i in range(0, len(printed), block)], redact=redact).decode()
        assert not any(secret in text for secret in ("correcthorse", "battery staple", "sk-a8Kd93", "pw12345"))
        assert "/usr/bin" in text


def test_a_line_that_is_too_long_is_cut_between_words_and_nothing_is_lost(tmp_path):
    seen = []
    line = b" ".join(b"%07d" % number for number in range(10_000))
    text = kept(
        tmp_path, [line[i : i + 1000] for i in range(0, len(line), 1000)], redact=lambda one: seen.append(one) or one
    )
    assert text == line
    assert max(map(len, seen)) <= LONGEST
    assert all(len(piece.strip()) % 8 == 7 for piece in seen)


def test_progress_bars_and_a_last_line_without_an_end_are_kept(tmp_path):
    assert kept(tmp_path, [b"\r 10%", b"\r 20%", b"\r\n", b"no end"]) == b"\r 10%\r 20%\r\nno end"


def test_what_cannot_be_written_is_said_to_be_left_out_once_there_is_room(tmp_path):
    reading = os.open(os.devnull, os.O_RDONLY)  # every write to it fails
    output = Output(reading)
    output.take(b"lost\n")
    file = os.open(tmp_path / "output.log", os.O_RDWR | os.O_CREAT)
    os.dup2(file, reading)
    output.take(b"kept\n")
    output.close()
    os.close(file)
    assert (tmp_path / "output.log").read_bytes() == b"\n... 5 bytes left out ...\nkept\n"


def test_a_file_that_cannot_be_made_keeps_nothing_and_stops_nobody(tmp_path):
    pipe = Pipe(Output.open(tmp_path / "gone" / "output.log"))
    os.write(pipe.write_end, b"x\n")
    pipe.finish()


def test_whoever_still_holds_the_pipe_keeps_nobody_waiting(tmp_path):
    pipe = Pipe(Output.open(tmp_path / "output.log"))
    held = os.dup(pipe.write_end)
    os.write(held, b"before the end\n")
    pipe.finish()
    assert (tmp_path / "output.log").read_bytes() == b"before the end\n"
    with pytest.raises(BrokenPipeError):
        os.write(held, b"after it\n")
    os.close(held)


def test_a_file_to_print_into_has_a_number_for_programs_and_keeps_the_order(tmp_path):
    import subprocess

    with printing_to(tmp_path / "output.log") as stream:
        print("first", file=stream)
        subprocess.run(["echo", "second"], stdout=stream, check=True)
        print("third \ud800", file=stream)
        stream.close()
    assert (tmp_path / "output.log").read_text() == "first\nsecond\nthird \\ud800\n"


def test_the_last_lines_are_read_from_the_end(tmp_path):
    path = tmp_path / "output.log"
    assert tail_of(path) == []
    path.write_text("".join(f"{i}\n" for i in range(100)) + "\n\n")
    assert tail_of(path) == [str(i) for i in range(88, 100)]
    assert tail_of(path, 1_000_000) == [str(i) for i in range(100)]
    with path.open("wb") as file:
        file.truncate(3 * TAIL_BYTES)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    first, last = tail_of(path, 1_000_000)
    assert (first, last) == (f"... {3 * TAIL_BYTES + 6 - TAIL_BYTES:,} bytes before this: {path}", "last")
    assert tail_of(path)[-1] == "last"


def test_who_prints_is_not_kept_waiting_by_many_open_files(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("no more than 1,024 files can be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1050)]
    try:
        with printing_to(tmp_path / "output.log") as stream:
            for _ in range(200):
                stream.write("x" * 1000 + "\n")
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (tmp_path / "output.log").stat().st_size == 200 * 1001
