"""What a run failed of is what its training said last, whatever its launcher adds; two runs never meet at a port."""

import pytest

from palate.loop.ports import port_in_use
from palate.training.cause import hints, inner_status, without_frames
from palate.training.outcome import fault_lines
from palate.training.ports import named_port, with_port, without_handed

TORCHRUN = """\
W1127 12:05:02.618000 28598 torch/distributed/run.py:874] *****************************************
epoch 0
[rank0]: Traceback (most recent call last):
[rank0]:   File "train.py", line 4, in <module>
[rank0]: ValueError: learning rate is odd
E1127 12:05:06.818000 28598 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1)
Traceback (most recent call last):
  File "/env/bin/torchrun", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/env/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
[1]:
  exitcode  : -15 (pid: 28710)
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  exitcode  : 2 (pid: 28709)
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================""".splitlines()


def test_a_frame_of_torchrun_is_left_out_and_the_childs_own_last_line_is_the_cause():
    assert without_frames(TORCHRUN)[-1] == "[rank0]: ValueError: learning rate is odd"
    assert without_frames(TORCHRUN)[0] == "epoch 0"
    assert inner_status(1, TORCHRUN) == 2


def test_what_only_a_launcher_said_is_kept():
    lines = ["torchrun: error: unrecognized arguments: --nprocs"]
    assert without_frames(lines) == lines
    assert without_frames(TORCHRUN[5:]) == TORCHRUN[5:]


def test_the_status_of_what_make_and_accelerate_started_is_told():
    assert inner_status(2, ["ValueError: odd", "make: *** [Makefile:3: train] Error 1"]) == 1
    assert inner_status(1, ["subprocess.CalledProcessError: Command '['p']' returned non-zero exit status 2."]) == 2
    assert without_frames(["ValueError: odd", "make: *** [Makefile:3: train] Error 1"]) == ["ValueError: odd"]
    assert inner_status(-9, TORCHRUN) == -9


def test_a_taken_port_is_read_of_the_line_that_says_so_whatever_launchers_print_behind_it(tmp_path):
    rank = ["[rank1]: Traceback (most recent call last):", *(f"[rank1]:   line {n}" for n in range(20))]
    launcher = TORCHRUN[5:]
    output = tmp_path / "output.log"
    own = [
        "port 1002 of eth0 is up",
        "Traceback (most recent call last):",
        "OSError: [Errno 98] Address already in use",
    ]
    output.write_text("\n".join([*own, *rank, *launcher]))
    assert port_in_use(fault_lines(output)) == "a port"
    named = own[2] + " ('127.0.0.1', port 29511)"
    output.write_text("\n".join([*own[:2], named, *rank, *launcher]))
    assert port_in_use(fault_lines(output)) == "port 29511"
    output.write_text("\n".join(["29500: Address already in use, takes 29501", *["epoch"] * 20, *TORCHRUN]))
    assert port_in_use(fault_lines(output)) == "", "what a training got over is no cause"


def test_a_missing_network_is_told_with_what_to_type():
    assert "UV_OFFLINE=1" in hints(["error: Failed to fetch: `https://pypi.org/simple/numpy/`"])[0]
    assert hints(["ValueError: odd"]) == []


@pytest.mark.parametrize(
    ("words", "port"),
    [
        (["torchrun", "--master-port", "29511", "train.py"], 29511),
        (["torchrun", "--master_port=29511", "train.py"], 29511),
        (["torchrun", "--rdzv-endpoint=localhost:29511", "train.py"], 29511),
        (["uv", "run", "accelerate", "launch", "--main_process_port", "29511", "train.py"], 29511),
        (["accelerate", "launch", "--main_process_port", "0", "train.py"], None),
        (["torchrun", "--standalone", "train.py"], None),
        (["python", "train.py", "--master-port", "29511"], None),
    ],
)
def test_a_port_counts_as_named_where_a_launcher_is_given_one(words, port):
    assert (named_port(words, {}) or ("", None))[1] == port


@pytest.mark.parametrize(
    ("words", "environ", "by"),
    [
        ("env PET_MASTER_PORT=29511 torchrun train.py", {}, "PET_MASTER_PORT"),
        ("MASTER_PORT=29511 python train.py", {}, "MASTER_PORT"),
        ("torchrun train.py", {"PET_MASTER_PORT": "29511"}, "PET_MASTER_PORT"),
        ("python train.py", {"MASTER_PORT": "29511"}, "MASTER_PORT"),
        ("", {"MASTER_PORT": "29511"}, "MASTER_PORT"),
        ("accelerate launch train.py", {"MASTER_PORT": "29511"}, "MASTER_PORT"),
        ("torchrun train.py", {"PET_RDZV_ENDPOINT": "localhost:29511"}, "PET_RDZV_ENDPOINT"),
    ],
)
def test_a_port_that_a_variable_names_counts_as_named_wherever_it_stands_and_none_is_given(words, environ, by):
    assert named_port(words.split(), environ) == (by, 29511)
    assert with_port(words.split(), environ) == (words.split(), {})


def test_each_run_is_given_a_free_port_as_its_launcher_takes_it():
    words, variables = with_port(["torchrun", "--nproc-per-node", "2", "train.py"], {})
    assert (words[0], len(words), list(variables)) == ("torchrun", 4, ["MASTER_PORT", "PET_MASTER_PORT"])
    assert list(with_port([], {})[1]) == ["MASTER_PORT", "PET_MASTER_PORT"]
    assert list(with_port(["torchrun", "train.py"], {"MASTER_PORT": "1"})[1]) == ["PET_MASTER_PORT"]
    words, variables = with_port(["uv", "run", "accelerate", "launch", "--cpu", "train.py"], {})
    assert words[:5] == ["uv", "run", "accelerate", "launch", "--main_process_port"]
    assert words[6:] == ["--cpu", "train.py"]
    assert set(variables.values()) == {words[5]}, "what reads a variable and what reads the option meet at one port"
    for said in (["--standalone"], ["--nnodes", "2"], ["--nnodes=2", "--node-rank", "0"], ["--master-port=1"]):
        assert with_port(["torchrun", *said, "train.py"], {}) == (["torchrun", *said, "train.py"], {})
    assert with_port(["torchrun", "train.py"], {"PET_NNODES": "2"})[1] == {}


def test_a_variable_that_is_handed_over_leaves_the_words_in_front():
    words = ["nice", "env", "-u", "A", "LR=0.1", "B=c", "python", "train.py", "LR=0.1"]
    assert without_handed(words, ["LR"]) == ["nice", "env", "-u", "A", "B=c", "python", "train.py", "LR=0.1"]
