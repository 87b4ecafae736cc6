"""What ended a run besides its own code, read from the words of those who say it."""

import signal
import subprocess
import sys

import pytest

from palate.training.faults import fault_in

GIB, MIB = 1 << 30, 1 << 20
HEAD = "Traceback (most recent call last):\n  File 'train.py', line 3, in <module>\n"
CUDA = HEAD + (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB "
    "of which 1.20 GiB is free. Including non-PyTorch memory, this process has 77.88 GiB memory in use. Of the "
    "allocated memory 77.01 GiB is allocated by PyTorch, and 200.00 MiB is reserved by PyTorch but unallocated.\n"
)
OLD_CUDA = HEAD + (
    "RuntimeError: CUDA out of memory. Tried to allocate 512.00 MiB (GPU 1; 10.76 GiB total capacity; 9.10 GiB already "
    "allocated; 301.56 MiB free; 9.39 GiB reserved in total by PyTorch)\n"
)
NUMPY = HEAD + (
    "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array with shape (1000000000,) and "
    "data type float64\n"
)
TORCH = HEAD + (
    "RuntimeError: [enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
    "to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)\n"
)
JAX = HEAD + (
    "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate "
    "68719476736 bytes.\n" + "".join(f"BufferAssignment line {number}\n" for number in range(60))
)
TENSORFLOW = HEAD + (
    "tensorflow.python.framework.errors_impl.ResourceExhaustedError: {{function_node __wrapped__Mul}} OOM when "
    "allocating tensor with shape[64,1024,1024] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by "
    "allocator GPU_0_bfc [Op:Mul]\n"
)
RANKS = HEAD + "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n====\ntrain.py FAILED\n"


@pytest.mark.parametrize(
    ("printed", "on_gpu", "asked", "words"),
    [
        (CUDA, True, 2 * GIB, "out of memory: it asked for 2 GiB; GPU 0 has 79.1 GiB, 1.2 GiB free"),
        (OLD_CUDA, True, 512 * MIB, "out of memory: it asked for 512 MiB; GPU 1 has 10.8 GiB, 302 MiB free"),
        (NUMPY, False, int(7.45 * GIB), "out of memory: it asked for 7.45 GiB"),
        (TORCH, False, 4_000_000_000_000, "out of memory: it asked for 3.64 TiB"),
        (JAX, True, 64 * GIB, "out of memory: it asked for 64 GiB; the GPU"),
        (HEAD + "MemoryError\n", False, None, "out of memory"),
        (CUDA + RANKS, True, 2 * GIB, "out of memory: it asked for 2 GiB; GPU 0 has 79.1 GiB, 1.2 GiB free"),
        ("terminate called after throwing an instance of 'std::bad_alloc'\n", False, None, "out of memory"),
    ],
    ids=["cuda", "old cuda", "numpy", "torch", "jax", "python", "ranks", "C++"],
)
def test_memory_that_ran_out_is_told_with_its_size(printed, on_gpu, asked, words):
    fault = fault_in(printed, status=1)
    assert (fault.kind, fault.on_gpu, fault.asked, fault.words) == ("out of memory", on_gpu, asked, words)


REAL = {
    "numpy": "import numpy; numpy.empty(1 << 52)",
    "torch": "import torch; torch.empty(1 << 52)",
    "python": "bytearray(1 << 60)",
}


@pytest.mark.parametrize(("who", "asked"), [("numpy", 1 << 55), ("torch", 1 << 54), ("python", None)])
def test_the_words_of_those_that_are_here_are_read(who, asked):
    if who == "torch":
        pytest.importorskip("torch")
    ended = subprocess.run([sys.executable, "-c", REAL[who]], capture_output=True, text=True, timeout=120, check=False)
    fault = fault_in(ended.stderr, status=ended.returncode)
    assert (fault.kind, fault.on_gpu, fault.asked) == ("out of memory", False, asked)


def test_what_could_never_fit_is_told_from_what_had_no_room_beside_others():
    assert fault_in(TORCH, status=1).could_never_fit(64 * GIB)
    assert not fault_in(NUMPY, status=1).could_never_fit(64 * GIB)
    assert not fault_in(NUMPY, status=1).could_never_fit(None)
    assert fault_in(CUDA.replace("allocate 2.00", "allocate 90.00"), status=1).could_never_fit(None)


def test_tensorflow_tells_the_tensor_instead_of_a_size():
    assert fault_in(TENSORFLOW, status=1).words == (
        "out of memory: the GPU had no room for a tensor of shape[64,1024,1024] and type float"
    )


@pytest.mark.parametrize(
    "printed",
    [
        CUDA + HEAD + "ValueError: shapes do not match\n",
        "skipped a batch: CUDA out of memory. Tried to allocate 2.00 GiB\nthe end\n",
        HEAD + "KeyError: 'memory'\n",
        "",
    ],
    ids=["caught before another fault", "only told", "another fault", "nothing"],
)
def test_memory_that_did_not_end_the_run_is_no_outcome_of_it(printed):
    assert fault_in(printed, status=1) is None


def test_a_run_that_ended_well_has_no_fault():
    assert fault_in(CUDA, status=0) is None


def test_the_kernels_killer_is_told_from_any_other_kill():
    killed = fault_in("", status=-signal.SIGKILL, oom_kills=1, cpu_peak=3 * GIB)
    assert killed.words == "out of memory: the kernel killed it; it had 3 GiB"
    assert fault_in("", status=-signal.SIGKILL, oom_kills=0) is None
    assert fault_in(HEAD + "ValueError\n", status=1, oom_kills=1) is None
    worker = HEAD + "RuntimeError: DataLoader worker (pid 71) is killed by signal: Killed. \n"
    assert fault_in(worker, status=1, oom_kills=1).kind == "out of memory"


@pytest.mark.parametrize(
    "line",
    [
        "RuntimeError: CUDA error: unspecified launch failure",
        "torch.AcceleratorError: CUDA error: no CUDA-capable device is detected",
        "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        "Error: Unable to determine the device handle for GPU0000:65:00.0: GPU is lost.  Reboot the system",
    ],
)
def test_a_gpu_that_went_is_no_outcome(line):
    assert fault_in(f"{HEAD}{line}\n", status=1).kind == "device lost"


@pytest.mark.parametrize("line", ["device-side assert triggered", "an illegal memory access was encountered"])
def test_what_a_program_does_wrong_on_a_gpu_is_its_own(line):
    assert fault_in(f"{HEAD}RuntimeError: CUDA error: {line}\n", status=1) is None
