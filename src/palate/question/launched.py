"""A command line as a person types it: what starts the training, what is trained, and what that is given.

`uv run torchrun --nproc-per-node 2 train.py --epochs 3` is two launchers with their options, a script, and its own
arguments. Only words are read here; nothing is started, and no launcher is imported.
"""

import itertools
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from palate.errors import InputError, NotFoundError

What = Literal["script", "module", "shell", "text", "make", "program"]

ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
"""A variable that stands in front of a command."""

_SHELL_SIGNS = re.compile(r"[;&|<>`]|\$\(")
_PYTHON = re.compile(r"(python|pypy)[\d.]*(w|t)?")
SHELLS = ("bash", "sh", "zsh", "dash", "ksh")
MAKES = ("make", "gmake")


@dataclass(frozen=True, slots=True)
class Launcher:
    """How a launcher reads its own words.

    Attributes:
        takes: options that have a value in the word behind them, without dashes in front, with `_` for `-`.
        module: options which say that a module is started.
        bare: options which say that a program is started that is not Python.
        starts: "python" for a script or a module, "command" for another command line, "either" for what comes.
        free: words without an option that stand before what is started, as the duration of `timeout`.
        spawns: whether it is a Python program that starts the training as processes of its own, which meet at a port.
        port: the option that tells it the port; "" where it reads that from the environment.
    """

    takes: frozenset[str] = frozenset()
    module: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    starts: Literal["python", "command", "either"] = "command"
    free: int = 0
    spawns: bool = False
    port: str = ""


def _of(text: str) -> frozenset[str]:
    return frozenset(text.split())


TORCHRUN = Launcher(
    _of("nnodes nproc_per_node rdzv_backend rdzv_endpoint rdzv_id rdzv_conf max_restarts monitor_interval start_method "
        "event_log_handler role log_dir r redirects t tee local_ranks_filter duplicate_stdout_filters "
        "duplicate_stderr_filters node_rank master_addr master_port local_addr logs_specs numa_binding "
        "signals_to_handle shutdown_timeout"),
    ("m", "module"), ("no_python",), "python", spawns=True,
)  # fmt: skip
_ACCELERATE = Launcher(
    _of("config_file mixed_precision num_processes num_machines num_cpu_threads_per_process dynamo_backend dynamo_mode "
        "gpu_ids machine_rank main_process_ip main_process_port tee log_dir role rdzv_backend rdzv_conf max_restarts "
        "monitor_interval downcast_bf16 tpu_name tpu_zone tpu_vm vm env deepspeed_config_file zero_stage "
        "offload_optimizer_device offload_param_device gradient_accumulation_steps gradient_clipping fsdp_version "
        "fsdp_sharding_strategy fsdp_offload_params fsdp_min_num_params fsdp_auto_wrap_policy "
        "fsdp_transformer_layer_cls_to_wrap fsdp_backward_prefetch fsdp_state_dict_type fsdp_use_orig_params "
        "fsdp_cpu_ram_efficient_loading fsdp_sync_module_states fsdp_activation_checkpointing deepspeed_hostfile "
        "deepspeed_exclusion_filter deepspeed_inclusion_filter deepspeed_multinode_launcher mpirun_hostfile mpirun_ccl "
        "same_network_ip rdzv_endpoint fp8_backend parallelism_config_tp_size"),
    ("m", "module"), ("no_python",), "python", spawns=True, port="--main_process_port",
)  # fmt: skip
_DEEPSPEED = Launcher(
    _of("H hostfile i include e exclude num_nodes min_elastic_nodes max_elastic_nodes num_gpus master_port master_addr "
        "node_rank launcher launcher_args autotuning bind_core_list ssh_port venv_script"),
    ("module",), ("no_python",), "python", spawns=True, port="--master_port",
)  # fmt: skip
_FABRIC = Launcher(
    _of("accelerator strategy devices num_nodes node_rank main_address main_port precision"), (), (), "python",
    spawns=True, port="--main-port",
)  # fmt: skip
_PYTHON_ITSELF = Launcher(_of("W X check_hash_based_pycs"), ("m",), ("c",), "python")
_UV = Launcher(
    _of("with with_editable with_requirements extra no_extra group no_group only_group env_file package p python "
        "directory project i index_url extra_index_url index default_index f find_links refresh_package P "
        "upgrade_package reinstall_package resolution prerelease exclude_newer link_mode config_file cache_dir color "
        "C config_setting no_build_package no_binary_package index_strategy keyring_provider python_platform w"),
    ("m", "module"), (), "either",
)  # fmt: skip
_MPI = Launcher(
    _of("n np c H host hostfile f machinefile x mca bind_to map_by rank_by wdir genv env ppn iface "
        "host_discovery_script start_timeout num_proc p ssh_port network_interface"),
)  # fmt: skip
LAUNCHERS = {
    "torchrun": TORCHRUN,
    "accelerate launch": _ACCELERATE,
    "accelerate-launch": _ACCELERATE,
    "deepspeed": _DEEPSPEED,
    "fabric run": _FABRIC,
    "lightning run": replace(_FABRIC, free=1, port=""),
    "coverage run": Launcher(_of("data_file rcfile source include omit context"), ("m", "module"), (), "python"),
    "uv run": _UV,
    "uvx": replace(_UV, starts="command"),
    "poetry run": Launcher(),
    "pipenv run": Launcher(),
    "pdm run": Launcher(_of("p project venv")),
    "rye run": Launcher(_of("pyproject")),
    "hatch run": Launcher(),
    "pixi run": Launcher(_of("e environment manifest_path color")),
    "conda run": Launcher(_of("n name p prefix cwd")),
    "mamba run": Launcher(_of("n name p prefix cwd")),
    "micromamba run": Launcher(_of("n name p prefix cwd e env")),
    "env": Launcher(_of("u unset C chdir")),
    "nohup": Launcher(),
    "setsid": Launcher(),
    "time": Launcher(_of("f format o output")),
    "nice": Launcher(_of("n adjustment")),
    "ionice": Launcher(_of("c class n classdata")),
    "timeout": Launcher(_of("s signal k kill_after"), free=1),
    "taskset": Launcher(free=1),
    "stdbuf": Launcher(_of("i input o output e error")),
    "numactl": Launcher(_of("C physcpubind m membind N cpunodebind i interleave l")),
    "xvfb-run": Launcher(_of("n server_num s server_args e error_file f auth_file w wait")),
    "mpirun": _MPI,
    "mpiexec": _MPI,
    "horovodrun": _MPI,
    "srun": Launcher(
        _of("n ntasks N nodes c cpus_per_task p partition t time G gpus gres mem J job_name A account w nodelist x "
            "exclude ntasks_per_node ntasks_per_gpu ntasks_per_core gpus_per_node gpus_per_task cpus_per_gpu "
            "mem_per_cpu mem_per_gpu q qos C constraint time_min export cpu_bind gpu_bind m distribution o output "
            "e error i input reservation begin d dependency D chdir mpi signal comment threads_per_core L licenses "
            "K kill_on_bad_exit"),
    ),
}  # fmt: skip
"""Programs that start others, and subcommands of such."""

_AS_MODULES = {
    "torch.distributed.run": TORCHRUN,
    "torch.distributed.launch": TORCHRUN,
    "accelerate.commands.launch": _ACCELERATE,
    "deepspeed.launcher.runner": _DEEPSPEED,
    "deepspeed.launcher.launch": _DEEPSPEED,
    "coverage": LAUNCHERS["coverage run"],
    "cProfile": Launcher(_of("o outfile s sort"), ("m",), (), "python"),
    "profile": Launcher(_of("o outfile s sort"), ("m",), (), "python"),
}
"""Launchers that Python starts by `-m`."""


def launcher_named(name: str) -> Launcher:
    """Return how a launcher reads its own words, by its name in `Launched.launchers`."""
    return LAUNCHERS[name] if name in LAUNCHERS else _AS_MODULES[name]


def is_spawner(words: Sequence[str]) -> bool:
    """Return whether a Python that was started by these words is a launcher whose training is other processes.

    >>> is_spawner(["python", "/env/bin/torchrun", "train.py"]), is_spawner(["python", "train.py", "deepspeed"])
    (True, False)
    """
    try:
        one = take_apart(["python", *words[1:]])
        if one.what == "script" and not one.launchers:  # a program of an environment is a script of its Python
            one = take_apart([Path(one.name).name, *one.arguments])
    except InputError:
        return False
    return any(launcher_named(name).spawns for name in one.launchers)


def starts_others(word: str) -> bool:
    """Return whether a word is the name of a program that starts others: of a launcher, of Python, make or a shell.

    >>> starts_others("torchrun"), starts_others("train.py")
    (True, False)
    """
    first = {name.split()[0] for name in LAUNCHERS}
    return word in first or word in SHELLS + MAKES or bool(_PYTHON.fullmatch(word))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A command line, taken apart.

    Attributes:
        words: all up to what is trained, and that.
        arguments: what stands behind it: its own.
        what: what kind of thing is trained: a Python file, a module, a shell script, the text of `bash -c`, a make
            target, or a program.
        name: how it is called.
        launchers: those that start it, in order, as `uv run` and `torchrun`.
        options: of the one that starts several processes: by whole name as typed, and the value ("" for a switch).
        variables: what stands in front of it as `LR=0.1`, or behind `env`.
        python: the Python that starts it, as typed; "" where none is typed.
        bare: whether a Python is started with nothing that changes what it computes.
    """

    words: tuple[str, ...]
    arguments: tuple[str, ...]
    what: What
    name: str
    launchers: tuple[str, ...] = ()
    options: dict[str, tuple[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    python: str = ""
    bare: bool = True


def take_apart(words: Sequence[str]) -> Launched:
    """Take a command line apart.

    Raises:
        InputError: it does not say what is trained.

    >>> one = take_apart(["uv", "run", "torchrun", "--nproc-per-node", "2", "train.py", "--epochs", "3"])
    >>> one.launchers, one.what, one.name, one.arguments
    (('uv run', 'torchrun'), 'script', 'train.py', ('--epochs', '3'))
    """
    return _Splitting(list(words)).split()


@dataclass
class _Splitting:
    words: list[str]
    at: int = 0
    launchers: list[str] = field(default_factory=list)
    options: dict[str, tuple[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def split(self) -> Launched:
        """Return the command line, taken apart from here on."""
        self._take_variables()
        if self.at >= len(self.words):
            raise self._nothing("a command")
        program = Path(self.words[self.at]).name
        two = next((n for n in (f"{program} {one}" for one in self._subcommands()) if n in LAUNCHERS), program)
        if two in LAUNCHERS:
            self.at = self.words.index(two.split()[-1], self.at) + 1 if " " in two else self.at + 1
            return self._launched(two, LAUNCHERS[two])
        if _PYTHON.fullmatch(program):
            return self._by_python()
        if program in SHELLS:
            return self._by_shell()
        if program in MAKES:
            return self._found("make", program, len(self.words))
        name = self.words[self.at]
        what: What = "script" if name.endswith(".py") else "shell" if name.endswith((".sh", ".bash")) else "program"
        return self._found(what, name, self.at + 1)

    def _subcommands(self) -> list[str]:
        """Return the words that may be a subcommand: up to the first that is no option, nor may be the value of one."""
        found: list[str] = []
        for before, word in itertools.pairwise(self.words[self.at :]):
            found += [] if word.startswith("-") else [word]
            if not word.startswith("-") and not before.startswith("-"):
                break
        return found

    def _take_variables(self) -> None:
        while self.at < len(self.words) and (found := ASSIGNED.fullmatch(self.words[self.at])):
            self.variables[found[1]] = found[2]
            self.at += 1

    def _launched(self, name: str, launcher: Launcher) -> Launched:
        """Go on behind a launcher's own words."""
        self.launchers.append(name)
        said = self._take_options(launcher)
        if launcher.free and (name != "lightning run" or self._here() == "model"):
            self.at += launcher.free
            said |= self._take_options(launcher)
        if self.at >= len(self.words):
            raise self._nothing("a script" if launcher.starts == "python" else "a command")
        if said & set(launcher.module):
            return self._found("module", self._here(), self.at + 1)
        python = launcher.starts == "python" and not said & set(launcher.bare)
        if python or (launcher.starts == "either" and self._here().endswith(".py")):
            return self._found("script", self._here(), self.at + 1)
        return self.split()

    def _take_options(self, launcher: Launcher) -> set[str]:
        """Pass over the options of a launcher; return their names."""
        said: set[str] = set()
        while self.at < len(self.words) and self._here().startswith("-") and self._here() != "-":
            word = self._here()
            self.at += 1
            if word == "--":
                break
            text, equals, value = word.partition("=")
            name = _whole_name(text.lstrip("-").replace("-", "_"), launcher)
            said.add(name)
            if launcher is _PYTHON_ITSELF and name in launcher.module + launcher.bare:
                break  # of the others it is a switch, and more options may follow
            if not equals and self._has_value(name, launcher):
                value = self._here()
                self.at += 1
            if launcher.spawns:
                self.options[name] = (text, value)
        return said

    def _has_value(self, name: str, launcher: Launcher) -> bool:
        """Return whether the next word is the value of an option; of one that is not known, what it looks like."""
        if name in launcher.takes:
            return True
        here = self._here()
        if launcher in (_PYTHON_ITSELF, _UV) or launcher.free or not here or here.startswith("-"):
            return False
        later = (Path(word).name for word in self.words[self.at + 1 :])
        return _is_number(here) or (
            launcher.starts == "command" and not _starts(here) and any(map(starts_others, later))
        )

    def _by_python(self) -> Launched:
        typed, begin = self.words[self.at], self.at + 1
        self.at += 1
        said = self._take_options(_PYTHON_ITSELF)
        quiet = all(word in ("-u", "-B", "-m") for word in self.words[begin : self.at])
        if "c" in said or self.at >= len(self.words) or self._here() == "-":
            if "c" in said:
                return self._found("program", typed, len(self.words), python=typed, bare=False)
            raise self._nothing("a script")
        if "m" not in said:
            return self._found("script", self._here(), self.at + 1, python=typed, bare=quiet)
        module = self._here()
        if module not in _AS_MODULES:
            return self._found("module", module, self.at + 1, python=typed, bare=quiet)
        self.at += 1 + (module == "coverage")
        return replace(self._launched(module, _AS_MODULES[module]), python=typed)

    def _by_shell(self) -> Launched:
        self.at += 1
        while self.at < len(self.words) and self._here().startswith("-"):
            options = self._here()
            self.at += 1 + (options in ("-o", "-O"))
            if "c" in options[1:] and not options.startswith("--"):
                if self.at >= len(self.words):
                    break
                return self._found("text", self._here(), self.at + 1)
        if self.at >= len(self.words):
            raise self._nothing("a script")
        return self._found("shell", self._here(), self.at + 1)

    def _here(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def _found(self, what: What, name: str, end: int, *, python: str = "", bare: bool = True) -> Launched:
        return Launched(
            words=tuple(self.words[:end]),
            arguments=tuple(self.words[end:]),
            what=what,
            name=name,
            launchers=tuple(self.launchers),
            options=self.options,
            variables=self.variables,
            python=python,
            bare=bare,
        )

    def _nothing(self, what: str) -> InputError:
        typed = shlex.join(self.words)
        return InputError(
            f"{typed}: it does not say what is trained.",
            why=f"Behind it comes {what}, and nothing is there.",
            todo=f"palate run -c name=value -- {typed} {'train.py' if what == 'a script' else 'python train.py'}",
        )


def _starts(word: str) -> bool:
    """Return whether a word may be a program or a script, or a variable in front of one."""
    return (
        starts_others(Path(word).name)
        or bool(ASSIGNED.fullmatch(word))
        or word.endswith((".py", ".sh", ".bash"))
        or shutil.which(word) is not None
    )


def _whole_name(name: str, launcher: Launcher) -> str:
    """Return the option that a name is the start of, where it is of one alone."""
    known = {*launcher.takes, *launcher.module, *launcher.bare}
    starting = [one for one in known if len(name) > 1 and one.startswith(name)]
    return starting[0] if name not in known and len(starting) == 1 else name


def _is_number(word: str) -> bool:
    return bool(re.fullmatch(r"[\d.]+", word))


def words_of(text: str, arguments: Sequence[str]) -> list[str]:
    """Return the words of a command that was typed as one in quotes, as "make train".

    Raises:
        InputError: it holds what only a shell understands.
    """
    if " " not in text.strip() or Path(text).exists():
        return [text, *arguments]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{text}: it cannot be read as a command: {error}.") from error
    if _SHELL_SIGNS.search(text):
        raise InputError(
            f"{text}: it holds signs that a shell reads.",
            why="palate starts a program with its words; it is no shell.",
            todo=f"palate run -c name=value -- bash -c {shlex.quote(text)}",
        )
    return [*words, *arguments]


def refuse_missing(words: Sequence[str], names: Sequence[str], beside: str) -> None:
    """Refuse a program that is not there.

    Args:
        words: of the command, from the program on.
        names: of files that were perhaps meant.
        beside: a folder with programs of the environment that palate is in.

    Raises:
        NotFoundError: it is not there, or cannot be started.
    """
    import difflib

    program = words[0]
    if shutil.which(program):
        return
    if "/" in program or Path(program).exists():
        there = Path(program).exists()
        raise NotFoundError(
            f"{program}: it cannot be executed." if there else f"{program}: there is no such file.",
            todo=f"chmod +x {shlex.quote(program)}" if there else "palate run FILE.py -c name=value",
        )
    near = Path(beside) / program
    close = difflib.get_close_matches(program, {*names, *_on_path()}, n=3, cutoff=0.75)
    rest = shlex.join(words[1:])
    raise NotFoundError(
        f"{program}: there is no such file, no module and no program on PATH.",
        why=f"It is at {near}, in palate's own environment, which is not activated." if near.exists() else (),
        todo=[f"palate run -c name=value -- {near} {rest}"]
        if near.exists()
        else [_INSTALL[program]]
        if program in _INSTALL
        else [f"Close to it: {', '.join(close)}"]
        if close
        else ["palate run FILE.py -c name=value", "palate run -c name=value -- the command, as you type it"],
    )


_INSTALL = {
    "accelerate": "pip install accelerate",
    "deepspeed": "pip install deepspeed",
    "torchrun": "pip install torch",
    "fabric": "pip install lightning",
    "uv": "pip install uv",
}
"""Where a launcher comes from."""


def _on_path() -> list[str]:
    found: list[str] = []
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        try:
            found += [path.name for path in Path(folder or ".").iterdir()]
        except OSError:
            continue
    return found


_PROCESSES = ("nproc_per_node", "num_processes", "num_gpus", "devices")


def processes_of(words: Sequence[str]) -> int:
    """Return how many processes a launcher's words ask for; 1 where they say no number.

    >>> processes_of(["torchrun", "--nproc-per-node=2", "train.py"]), processes_of(["accelerate", "launch", "train.py"])
    (2, 1)
    """
    try:
        options = take_apart(words).options
    except InputError:
        return 1
    said = [options[name][1] for name in _PROCESSES if name in options]
    return max(1, *(int(text) for text in said if text.isdigit())) if any(map(str.isdigit, said)) else 1
