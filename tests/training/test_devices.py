"""Which GPUs may be used: as the person names them, as nvidia-smi or the device files list them."""

import os
import subprocess
import sys

import pytest

from palate.training.devices import (
    Device,
    ask_smi,
    environment_for,
    filled_words,
    find_devices,
    still_there,
)

TWO = (
    "0, GPU-aaaa1111-0000, NVIDIA H100 80GB HBM3, 81559, 4\n1, GPU-bbbb2222-0000, NVIDIA H100 80GB HBM3, 81559, 61000\n"
)
MIXED = "0, GPU-aaaa1111-0000, NVIDIA A100, 40960, 0\n1, GPU-bbbb2222-0000, NVIDIA T4, 15360, 0\n"


def found(tmp_path, text=TWO, **environ):
    return find_devices(environ, ask=lambda _: text, root=tmp_path)


def test_without_a_word_all_that_the_driver_lists_are_used_in_its_own_order(tmp_path):
    devices = found(tmp_path)
    assert [one.id for one in devices] == ["0", "1"]
    assert devices[0].total == 81559 << 20
    assert environment_for(devices[1:]) == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@pytest.mark.parametrize(
    ("said", "ids"),
    [
        ("1", ["1"]),
        ("1,0", ["1", "0"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("0,7,1", ["0"]),
        ("0,0", ["0"]),
        ("GPU-bbbb", ["GPU-bbbb"]),
        ("GPU-", []),
        ("MIG-0d1f", ["MIG-0d1f"]),
        ("nonsense", []),
    ],
)
def test_the_persons_own_choice_stands_word_for_word_up_to_the_first_that_is_none(tmp_path, said, ids):
    devices = found(tmp_path, CUDA_VISIBLE_DEVICES=said)
    assert [one.id for one in devices] == ids
    if ids:
        assert environment_for(devices) == {"CUDA_VISIBLE_DEVICES": ",".join(ids)}


def test_a_uuid_is_known_by_its_memory_a_part_of_a_gpu_is_not(tmp_path):
    assert found(tmp_path, CUDA_VISIBLE_DEVICES="GPU-bbbb")[0].used == 61000 << 20
    assert found(tmp_path, CUDA_VISIBLE_DEVICES="MIG-0d1f")[0].total is None


def test_an_index_among_unlike_gpus_may_mean_another_one_unless_cuda_counts_by_the_bus(tmp_path):
    assert found(tmp_path, MIXED, CUDA_VISIBLE_DEVICES="1")[0].total is None
    by_bus = found(tmp_path, MIXED, CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert by_bus[0].total == 15360 << 20


def test_a_variable_alone_makes_no_gpu(tmp_path):
    assert found(tmp_path, "", CUDA_VISIBLE_DEVICES="0") == ()


def test_where_the_driver_does_not_answer_its_device_files_count(tmp_path):
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    assert [(one.id, one.total) for one in found(tmp_path, "")] == [("0", None), ("1", None)]
    assert [one.id for one in found(tmp_path, "", CUDA_VISIBLE_DEVICES="1")] == ["1"]


def test_memory_that_the_driver_does_not_tell_is_unknown(tmp_path):
    told = found(tmp_path, "0, GPU-a, NVIDIA A100, [N/A], [Insufficient Permissions]\n")
    assert (told[0].total, told[0].used) == (None, None)


def test_gpus_of_rocm_are_named_by_its_own_variables(tmp_path):
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    for number, simd in enumerate((0, 304, 304)):
        (nodes / str(number)).mkdir(parents=True)
        (nodes / str(number) / "properties").write_text(f"cpu_cores_count 8\nsimd_count {simd}\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "kfd").touch()
    assert [environment_for([one]) for one in found(tmp_path, "")] == [
        {"HIP_VISIBLE_DEVICES": "0"},
        {"HIP_VISIBLE_DEVICES": "1"},
    ]
    assert environment_for(found(tmp_path, "", ROCR_VISIBLE_DEVICES="1")) == {"ROCR_VISIBLE_DEVICES": "1"}
    assert found(tmp_path, "", HIP_VISIBLE_DEVICES="-1") == ()


def test_a_gpu_that_other_programs_fill_is_said(tmp_path):
    assert filled_words(found(tmp_path)) == [
        "GPU 1 (NVIDIA H100 80GB HBM3) is not free: other programs hold 59.6 GiB of 79.6 GiB."
    ]


def test_a_gpu_that_the_driver_lists_no_more_is_gone(tmp_path):
    here, gone = found(tmp_path)[0], Device(id="GPU-cccc")
    assert still_there(here, ask=lambda _: TWO)
    assert not still_there(gone, ask=lambda _: TWO)
    assert not still_there(here, ask=lambda _: "")


FAKE = """#!{python}
import sys, time
{body}
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put a program of that name in front of the path."""

    def make(body):
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(FAKE.format(python=sys.executable, body=body))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return make


def test_the_driver_is_asked_by_its_program(smi, tmp_path):
    smi(f"assert sys.argv[1].startswith('--query-gpu=index,uuid,name'), sys.argv\nprint({TWO!r}, end='')")
    assert [one.id for one in find_devices({}, root=tmp_path)] == ["0", "1"]


@pytest.mark.parametrize(
    "body", ["sys.exit('NVIDIA-SMI has failed because it could not communicate with the driver')", "time.sleep(30)"]
)
def test_a_driver_that_fails_or_hangs_counts_as_no_gpu(smi, tmp_path, body):
    smi(body)
    assert find_devices({}, root=tmp_path) == ()


def test_no_program_is_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_smi(["-L"]) == ""


def test_finding_devices_imports_no_framework():
    code = (
        "import sys; from palate.training.devices import find_devices; find_devices({}); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'jax')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
