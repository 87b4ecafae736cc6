"""An observer of a training: it records what is built until the first optimizer step, then removes its probes."""

import argparse
import re
import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

from palate.capture.files import Files
from palate.capture.imports import Watch
from palate.capture.probes import Probes, caller, is_palates_own
from palate.errors import InputError

LOSSES = (
    "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "ctc_loss",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "triplet_margin_loss",
    "gaussian_nll_loss", "poisson_nll_loss", "hinge_embedding_loss", "margin_ranking_loss",
)  # fmt: skip
"""Functions of `torch.nn.functional` that are losses."""

DEEPEST = 12
"""How many frames above the optimizer step are searched for names."""

FEW = 16
"""The most members of a list or dictionary that get names."""

_LOSS_NAME = re.compile(r"Loss|Criterion|Objective")

_watching = False
"""Whether an observer of this process watches now."""


@dataclass(slots=True)
class Called:
    """The first call of a loss function: its name, its options, and the line of the call."""

    name: str
    options: Mapping[str, Any]
    source: str


@dataclass(slots=True)
class Seen:
    """Everything that was seen until the first step.

    Attributes:
        probes: what was built.
        files: the files that were read.
        modules: every module that was built; those that still exist can be reached.
        losses: loss functions that were called, by name.
        backwards: how many times `backward` was called.
        parsed: the command lines that were parsed: the values, and the parser's defaults.
        names: the names of objects in the person's code, by the objects' ids.
        stepped: whether an optimizer stepped.
        stepping: that optimizer.
    """

    probes: Probes = field(default_factory=Probes)
    files: Files = field(default_factory=Files)
    modules: list["weakref.ref[Any]"] = field(default_factory=list)
    losses: dict[str, Called] = field(default_factory=dict)
    backwards: int = 0
    parsed: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    stepped: bool = False
    stepping: Any = None


class Observer:
    """Watches from `start` to the first optimizer step, or to `stop`.

    Args:
        then: called once with everything that was seen: at the first step, or at `stop` if no optimizer stepped.
    """

    def __init__(self, then: Callable[[Seen], None]) -> None:
        self._then = then
        self._seen = Seen()
        self._done = False
        self.fault: Exception | None = None
        self._undo: list[Callable[[], None]] = []
        self._hook: Any = None
        self._module: Any = None
        self._watch = Watch(
            {
                "torch": self._torch,
                "transformers.training_args": self._arguments,
                "lightning.pytorch.trainer.trainer": self._trainer,
                "pytorch_lightning.trainer.trainer": self._trainer,
                "accelerate.accelerator": self._accelerator,
            }
        )

    def start(self) -> None:
        """Install the probes.

        Raises:
            InputError: another observer watches already.
        """
        global _watching
        if _watching:
            raise InputError(
                "A training is being captured already.", todo="One capture cannot contain another: end the first one."
            )
        _watching = True
        self._watch.start()
        self._seen.files.start()
        self._seen.probes.on_function(argparse.ArgumentParser, "parse_args", self._parsed)

    def stop(self) -> None:
        """Remove the probes; if no optimizer stepped, call `then` now."""
        if not self._done:
            self._finish()
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def abandon(self) -> None:
        """Remove the probes without calling `then`: the training failed before its first optimizer step."""
        self._then = lambda _: None
        self.stop()

    def _parsed(self, arguments: tuple[Any, ...], _: dict[str, Any], result: Any) -> None:
        parser = arguments[0]
        self._seen.parsed.append((dict(vars(result)), {name: parser.get_default(name) for name in vars(result)}))

    def _torch(self, torch: ModuleType) -> None:
        probes, nn = self._seen.probes, torch.nn
        probes.on_class(torch.optim.Optimizer, "optimiser")
        probes.on_class(sys.modules["torch.optim.lr_scheduler"].LRScheduler, "schedule")
        probes.on_class(torch.utils.data.DataLoader, "data")
        probes.on_class(torch.utils.data.Dataset, "dataset")
        probes.on_class(torch.utils.data.Sampler, "sampler")
        probes.on_class(torch.amp.GradScaler, "compute")
        probes.on_class(torch.autocast, "compute")
        probes.on_class(nn.Module, "objective", only=lambda cls: _LOSS_NAME.search(cls.__name__) is not None)
        for name in LOSSES:
            probes.on_function(nn.functional, name, self._called(name))
        self._count_backwards(torch)
        self._module = nn.Module
        self._list_modules(nn.Module)
        self._hook = sys.modules["torch.optim.optimizer"].register_optimizer_step_pre_hook(self._step)

    def _called(self, name: str) -> Callable[[tuple[Any, ...], dict[str, Any], Any], None]:
        def seen(_: tuple[Any, ...], options: dict[str, Any], __: Any) -> None:
            if name not in self._seen.losses and not _called_by_a_module():
                given = {key: value for key, value in options.items() if key not in ("input", "target")}
                self._seen.losses[name] = Called(name, given, caller())

        return seen

    def _count_backwards(self, torch: ModuleType) -> None:
        original = torch.Tensor.backward

        def backward(tensor: Any, *arguments: Any, **keywords: Any) -> Any:
            self._seen.backwards += 1
            return original(tensor, *arguments, **keywords)

        torch.Tensor.backward = backward
        self._undo.append(lambda: setattr(torch.Tensor, "backward", original))

    def _list_modules(self, base: Any) -> None:
        original = base.__init__
        modules = self._seen.modules

        def init(module: Any, *arguments: Any, **keywords: Any) -> None:
            modules.append(weakref.ref(module))
            original(module, *arguments, **keywords)

        base.__init__ = init
        self._undo.append(lambda: setattr(base, "__init__", original))

    def _arguments(self, module: ModuleType) -> None:
        self._seen.probes.on_class(module.TrainingArguments, "arguments")

    def _trainer(self, module: ModuleType) -> None:
        self._seen.probes.on_class(module.Trainer, "arguments")

    def _accelerator(self, module: ModuleType) -> None:
        self._seen.probes.on_class(module.Accelerator, "arguments")

    def _step(self, optimizer: Any, *_: Any) -> None:
        if not self._done:
            self._seen.stepped = True
            self._seen.names[id(optimizer)] = type(optimizer).__name__
            self._seen.stepping = optimizer
            self._name_objects(sys._getframe(1))
            self._finish()
            hooks = self._hook.hooks_dict_ref()
            # with more than one hook, torch is iterating over them now; then `stop` removes ours
            if hooks is not None and len(hooks) == 1:
                self._hook.remove()

    def _finish(self) -> None:
        global _watching
        self._done = True
        _watching = False
        self._seen.files.stop()
        self._watch.stop()
        self._seen.probes.remove()
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        seen, self._seen = self._seen, Seen()  # do not keep the objects of the training alive
        try:
            self._then(seen)
        except Exception as error:  # noqa: BLE001  a fault in palate must not end the training
            self.fault = error

    def _name_objects(self, frame: FrameType | None) -> None:
        """Find the names of objects in the code that steps: `model`, `train_loader`, `self.criterion`."""
        depth = 0
        while frame is not None and depth < DEEPEST:
            module = frame.f_globals.get("__name__", "")
            if not module.startswith(("torch.", "contextlib")) and not is_palates_own(module):
                variables = frame.f_locals
                owner = variables.get("self")
                own = vars(owner) if owner is not None and hasattr(owner, "__dict__") else {}
                for name, value in (*variables.items(), *own.items()):
                    self._name(name, value)
                depth += 1
            frame = frame.f_back

    def _name(self, name: str, value: Any) -> None:
        """Record the name of a value, and of the members of a short list or dictionary: `optimizers.0`."""
        names = self._seen.names
        if self._module is not None and isinstance(value, self._module):
            self._seen.modules.append(weakref.ref(value))
        if id(value) not in names or names[id(value)] == type(value).__name__:
            names[id(value)] = name
        if type(value) in (list, tuple, dict) and len(value) <= FEW:
            for key, member in value.items() if type(value) is dict else enumerate(value):
                names.setdefault(id(member), f"{name}.{key}")


def _called_by_a_module() -> bool:
    """Return whether torch's own loss module called a loss function; that module was recorded when it was built."""
    return bool(sys._getframe(3).f_globals.get("__name__", "") == "torch.nn.modules.loss")
