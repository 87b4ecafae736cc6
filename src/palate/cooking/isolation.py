"""Looking at a run without changing it: whatever is done inside of `isolated` to random numbers, modes, buffers, flags.

Buffers are copied and not watched: torch counts changes of a tensor in `_version`, and batch norm's running mean and
variance change without being counted (measured with torch 2.13). torch and numpy are imported where they are used.
"""

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

SEED = 20_260_126
"""What every look starts from, so that the noise that samples are drawn from is the same at each."""

MOST_COPIED = 256 << 20
"""Bytes of buffers that are copied for a look, the smallest first; batch norms and masks take a few MB."""


UNSEEDED = 67280421310721
"""What torch's generators start from where nobody seeds them."""


class Changed:
    """What a look changed and nobody could put back.

    Attributes:
        names: the parameters, gradients and large buffers; empty where the run is as it was.
    """

    def __init__(self) -> None:
        self.names: list[str] = []


@contextmanager
def isolated(
    modules: Iterable[Any] = (), generators: Iterable[Any] = (), *, seed: int = SEED, most_copied: int = MOST_COPIED
) -> Iterator[Changed]:
    """Let anything be done inside and leave the run as it was, also where it raises.

    Put back are: Python's, numpy's and torch's own random numbers (CPU, each CUDA device, MPS), and those of the
    generators that are given; of the modules train and eval of each part, `requires_grad`, which gradient a parameter
    has, and the buffers; grad mode, autocast, default dtype and device, threads, determinism. Inside there is no
    gradient, and random numbers start from the same seed each time.

    Parameters are not copied: one that was changed in its place is named in what this gives, and so is a buffer beyond
    `most_copied` bytes of all. A change through `parameter.data.copy_()` is not seen.

    Args:
        modules: torch modules that may be used inside.
        generators: `torch.Generator`, numpy's `Generator` and `RandomState`, `random.Random`.
        seed: of the random numbers inside.
        most_copied: bytes of buffers that are copied at most.
    """
    changed = Changed()
    with ExitStack() as after:  # which does all that was promised to it, also where one part fails
        _keep_python(after, seed)
        for one in generators:
            _keep_generator(after, one, seed)
        if "torch" in sys.modules:
            _keep_torch(after, seed)
            _keep_modules(after, tuple(modules), changed, most_copied)
            after.enter_context(sys.modules["torch"].no_grad())
        yield changed


def _keep_python(after: ExitStack, seed: int) -> None:
    import numpy

    after.callback(random.setstate, random.getstate())
    after.callback(numpy.random.set_state, numpy.random.get_state())
    random.seed(seed)
    numpy.random.seed(seed)


def _keep_generator(after: ExitStack, one: Any, seed: int) -> None:
    """Keep the state of one generator that is given, and seed it."""
    if hasattr(one, "bit_generator"):
        bits = one.bit_generator
        after.callback(setattr, bits, "state", bits.state)
        bits.state = type(bits)(seed).state
    elif hasattr(one, "getstate"):
        after.callback(one.setstate, one.getstate())
        one.seed(seed)
    elif hasattr(one, "manual_seed"):
        after.callback(one.set_state, one.get_state())
        one.manual_seed(seed)
    else:
        after.callback(one.set_state, one.get_state())
        one.seed(seed)


def _keep_torch(after: ExitStack, seed: int) -> None:
    torch = sys.modules["torch"]
    _keep_torch_random(after, torch, seed)
    _keep_autocast(after, torch)
    for read, write in _switches(torch):
        after.callback(_put_back, read, write, read())
    after.callback(torch.set_grad_enabled, torch.is_grad_enabled())


def _keep_torch_random(after: ExitStack, torch: Any, seed: int) -> None:
    """Keep the states of torch's own generators, and seed them.

    `torch.manual_seed` would do more: where CUDA is not in use yet, it queues a seed for when it will be.
    """
    if torch.cuda.is_initialized():
        after.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
        torch.cuda.manual_seed_all(seed)
    else:
        after.callback(_put_cuda_seed_back, torch, dict(vars(torch.cuda._lazy_seed_tracker)))
    if torch.backends.mps.is_available():
        after.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())
        torch.mps.manual_seed(seed)
    after.callback(torch.set_rng_state, torch.get_rng_state())
    torch.default_generator.manual_seed(seed)


def _put_cuda_seed_back(torch: Any, queued: dict[str, Any]) -> None:
    """Let CUDA have the seed that the run queued, also where it was first used inside of a look."""
    if not torch.cuda.is_initialized():
        vars(torch.cuda._lazy_seed_tracker).update(queued)
        return
    torch.cuda.manual_seed_all(UNSEEDED)
    for seed, _ in filter(None, queued["call_order"]):
        seed()


def _keep_autocast(after: ExitStack, torch: Any) -> None:
    """Keep what autocast is set to, on CPU and CUDA.

    Casts that are made inside are not kept: in older torch a weight that was cast without a gradient had none outside
    either (pytorch#112583).
    """
    for device in ("cpu", "cuda"):
        after.callback(torch.set_autocast_dtype, device, torch.get_autocast_dtype(device))
        after.callback(torch.set_autocast_enabled, device, torch.is_autocast_enabled(device))
    after.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
    torch.set_autocast_cache_enabled(False)


def _switches(torch: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Give what reads and what sets each switch of the whole process."""
    yield torch.get_default_dtype, torch.set_default_dtype
    yield torch.get_default_device, lambda device: torch.set_default_device(None if device.type == "cpu" else device)
    yield torch.get_num_threads, torch.set_num_threads
    yield torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    cudnn = torch.backends.cudnn
    yield lambda: cudnn.benchmark, lambda value: setattr(cudnn, "benchmark", value)
    yield lambda: cudnn.deterministic, lambda value: setattr(cudnn, "deterministic", value)


def _put_back(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> None:
    """Set a switch to what it was, where it is not that any more."""
    if read() != value:
        write(value)


def _keep_modules(after: ExitStack, modules: tuple[Any, ...], changed: Changed, most_copied: int) -> None:
    parts = {id(part): part for module in modules for part in module.modules()}.values()
    after.callback(_put_modes_back, [(part, part.training) for part in parts])
    named = {id(one): (name, one) for module in modules for name, one in module.named_parameters()}.values()
    after.callback(_put_parameters_back, [_Parameter(*one) for one in named if _has_values(one[1])], changed)
    _keep_buffers(after, parts, changed, most_copied)


def _put_modes_back(modes: list[tuple[Any, bool]]) -> None:
    for part, training in modes:
        part.training = training


def _has_values(tensor: Any) -> bool:
    """Return whether a tensor has a shape by now: those of lazy modules get one when they are first used."""
    return not hasattr(tensor, "materialize")


def _version(tensor: Any) -> int:
    """Return how often a tensor was changed in its place, as far as torch counts."""
    return 0 if tensor.is_inference() else int(tensor._version)


class _Parameter:
    """One parameter as it was: its flag, which memory it has, which gradient; none of it is copied."""

    __slots__ = ("data", "grad", "grad_version", "name", "requires_grad", "tensor", "version")

    def __init__(self, name: str, tensor: Any) -> None:
        self.name, self.tensor = name, tensor
        self.requires_grad, self.version = tensor.requires_grad, _version(tensor)
        self.data, self.grad = tensor.data, tensor.grad
        self.grad_version = None if tensor.grad is None else _version(tensor.grad)

    def put_back(self) -> Iterator[str]:
        """Put back what can be; give the names of what was changed in its place."""
        tensor = self.tensor
        tensor.requires_grad_(self.requires_grad)
        if not tensor.data.is_set_to(self.data):
            tensor.data = self.data
        if tensor.grad is not self.grad:
            tensor.grad = self.grad
        if _version(tensor) != self.version:
            yield self.name
        if self.grad is not None and _version(self.grad) != self.grad_version:
            yield f"the gradient of {self.name}"


def _put_parameters_back(parameters: list[_Parameter], changed: Changed) -> None:
    for one in parameters:
        changed.names.extend(one.put_back())


class _Buffer:
    """One buffer as it was: which tensor it is, its values where they are copied, else how often it was changed."""

    __slots__ = ("copy", "holder", "name", "tensor", "version")

    def __init__(self, holder: Any, name: str) -> None:
        self.holder, self.name, self.tensor = holder, name, holder._buffers[name]
        self.copy: Any = None
        self.version = None if self.tensor is None or not _has_values(self.tensor) else _version(self.tensor)

    @property
    def bytes(self) -> int:
        """Its size; 0 where there is nothing to copy: none, or one whose shape is not known yet."""
        known = self.version is not None
        return self.tensor.numel() * self.tensor.element_size() if known else 0

    def put_back(self) -> Iterator[str]:
        """Put it back; give its name where it was changed and not copied."""
        if self.holder._buffers.get(self.name) is not self.tensor:
            self.holder._buffers[self.name] = self.tensor
        if self.copy is not None:
            self._restore()
        elif self.version is not None and _version(self.tensor) != self.version:
            yield f"the buffer {self.name}"

    def _restore(self) -> None:
        """Write the values through `data`, which counts no change; see `_keep_count`."""
        if self.tensor.shape == self.copy.shape and self.tensor.dtype == self.copy.dtype:
            self.tensor.data.copy_(self.copy)
        else:
            self.tensor.data = self.copy


def _keep_buffers(after: ExitStack, parts: Iterable[Any], changed: Changed, most_copied: int) -> None:
    buffers = [_Buffer(part, name) for part in parts for name in part._buffers]
    left = most_copied
    for one in sorted(buffers, key=lambda buffer: buffer.bytes):
        left -= one.bytes
        if one.bytes and left >= 0:
            one.copy = one.tensor.detach().clone()
            _keep_count(after, one.tensor)
    after.callback(_put_buffers_back, buffers, changed)


def _keep_count(after: ExitStack, tensor: Any) -> None:
    """Keep how often a tensor was changed: a backward pass that waits for its values gets them, and may go on."""
    keep = getattr(sys.modules["torch"].autograd.grad_mode, "_unsafe_preserve_version_counter", None)
    if keep is not None and not tensor.is_inference():
        after.enter_context(keep(tensor))


def _put_buffers_back(buffers: list[_Buffer], changed: Changed) -> None:
    for one in buffers:
        changed.names.extend(one.put_back())
