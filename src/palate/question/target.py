"""What `palate run` is pointed at: a function in a file or module, a script, a command, a function in a notebook."""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from palate.errors import InputError, NotFoundError, SettingError
from palate.question.branch import Branch, Fork, Turns, knob_at, turns_of
from palate.question.commands import Python, is_in_project, read_command, refuse_kept, started
from palate.question.fingerprint import code_of_file, imports_of, live_code, sources_of, versions_of
from palate.question.folder import Place
from palate.question.handover import CommandLine, Handover, handed_as_typed, handover_named, reads_any_text, refuse_seed
from palate.question.incumbent import Incumbent
from palate.question.launched import ASSIGNED, processes_of, words_of
from palate.question.notebooks import NOTEBOOK, refuse_notebook
from palate.question.outside import folder_for, holds_secret
from palate.question.source import SEED_NAMES, Function, Source, read_source
from palate.question.started import MODULE, file_of_module, module_in, refuse_forgotten_m, root_of
from palate.question.ways.constants import SEEDING
from palate.question.ways.declared import ABSENT, Declared, kind_of_annotation
from palate.recipe.codec import Secret
from palate.recipe.settings import (
    UNSAID,
    Change,
    Kind,
    Typed,
    apply_changes,
    fit_type,
    nearest,
    read_verbatim,
    show_value,
    with_changes,
)
from palate.redaction import known_secrets, opened, redact_text, sealed, sealed_all
from palate.store.config import SEED, read_handovers
from palate.store.private import make_folder, write_file
from palate.vocabulary import Goal

WARM_PACKAGES = ("numpy", "torch", "scipy", "sklearn", "pandas", "mnist1d")
"""Slow to import and safe to fork after; scripts that import them find them ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run to carry out.

    Attributes:
        id: the run's id.
        folder: the run's folder, with its journal begun.
        seed: what the run is seeded with.
        settings: those that are handed over as parameters, or through palate.settings().
        takes_seed: whether the function has a parameter `seed`.
        argv: command line arguments of a script.
        constants: constants of a script that are replaced; those of another file by `config.py:Config.lr`.
        environment: environment variables that hand settings or the seed over.
        known: all settings of its recipe, however they are handed over.
        capture: "dry" to capture the recipe at the first optimizer step and stop there; "" for a run.
        traced: lines of which it is noted whether they are reached, by file seen from the run's folder.
        place: the folder that it sees; None to run where the engine is.
        guarded: whether what it does to files is heard of, as in Python; a command is any program.
        secrets: values that are to be taken out of what it prints.
        branch: how it departs from the plain run; None where it does not.
        lanes: where it meets other runs, to compute their steps together; "" where it does not.
        group: of the runs that it meets; they are started together. "" where it meets none.
        metric_from: `NAME=PATTERN`, where a person said how a metric stands in what is printed.
        processes: that its command starts together, one a GPU.
        devices: environment in which it sees the GPUs that it is placed on.
    """

    id: str
    folder: Path
    seed: int
    settings: Mapping[str, Any]
    takes_seed: bool = False
    argv: tuple[str, ...] = ()
    constants: Mapping[str, Any] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)
    capture: str = ""
    traced: Mapping[str, Sequence[int]] = field(default_factory=dict)
    place: Place | None = None
    guarded: bool = True
    secrets: tuple[str, ...] = ()
    branch: Branch | None = None
    lanes: str = ""
    group: str = ""
    metric_from: str = ""
    processes: int = 1
    devices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker loads.

    Attributes:
        kind: what it is.
        file: of a function, a script or a pickled function; of a command the file whose settings are known, or "".
        module: of a function in a module; of a script that is started by `-m`, as typed.
        name: of a function.
        argv: of a command.
        warm: packages of a script that are imported before it is forked.
        place: the folder that its runs see, in which each has a folder of its own; None to run where it is.
        vouched: whether a person asked for it or confirmed it: one that was read from a file or a chain is not started
            before that; see `palate.loop.trust`.
    """

    kind: Literal["function", "module", "pickle", "script", "command"]
    file: str = ""
    module: str = ""
    name: str = ""
    argv: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    place: Place | None = None
    vouched: bool = field(default=True, compare=False)

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "place": self.place and self.place.body()}

    @property
    def text(self) -> str:
        """How it is found again: by `find_target`; "" where it has no file."""
        if self.kind == "module":
            return f"{self.module}:{self.name}"
        if self.kind == "script" and self.module:
            return f"{MODULE}{self.module}"
        return {"function": f"{self.file}:{self.name}", "script": self.file}.get(self.kind, "")

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`."""
        lists = {name: tuple(value) for name, value in body.items() if isinstance(value, list)}
        return cls(**{**body, **lists, "place": body["place"] and Place.read(body["place"])})


_LEARNS = frozenset({"torch", "lightning", "pytorch_lightning", "transformers", "accelerate", "torchvision"})
USES_GPU = frozenset(
    {"torch", "torchvision", "lightning", "pytorch_lightning", "transformers", "accelerate", "keras", "jax", "flax",
     "jaxlib", "tensorflow"}
)  # fmt: skip
"""Packages of which a training may use a GPU."""

OTHER_ARGUMENTS = "other_arguments"
WIDEST = 40
"""Characters of a column beyond which it is not widened for the longest word in it."""

_TYPED = ("flag", "override", "words", "position")
"""Ways to hand a setting over that are words of a command line."""

AS_IT_IS = "as it is"
"""The value of a knob that is not turned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is run, and all that decides how.

    Attributes:
        label: short name for people.
        task: what the worker loads.
        settings: the baseline's settings; those that are secret are sealed (see `redaction`).
        how: how a changed setting is handed over, by name.
        argv: arguments of both arms; those that are secret are sealed.
        seed_by: how the seed is handed over besides PALATE_SEED; None where it is not.
        code, versions: fingerprints.
        choices, counts: what a script's flags take, by name; see `Declared`.
        kinds: what settings take, by name, where their declarations say it; needed only to read changes, never sealed.
        folder: where it is run from, seen from the file: relative paths to data depend on it.
        takes_any: any name is a setting, handed over as the flag of that name (a command's cannot be known).
        open: why it may take settings that were not found, in words; then a name is handed over as it is typed.
        closed: what to type in a file that takes no others.
        metric, goal, resolution, data: as declared by the experiment, where it does.
        sources: the files that `code` is of.
        unread: what a function without a file reaches that has no fingerprint, so that no run of it is used again.
        fork: the runs that it goes on from; None where it begins anew.
        incumbent: what was adopted and is not in the person's files: `settings` have it, and every run is handed it.
    """

    label: str
    task: Task
    settings: Mapping[str, Any]
    how: Mapping[str, Handover]
    argv: tuple[str | Secret, ...] = ()
    seed_by: Handover | None = None
    code: str = ""
    versions: Mapping[str, str]
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict, compare=False)
    folder: str = ""
    takes_any: bool = False
    open: tuple[str, ...] = field(default=(), compare=False)
    closed: tuple[str, ...] = field(default=(), compare=False)
    metric: str | None = None
    goal: Goal | None = None
    resolution: float | None = None
    data: tuple[str, ...] = ()
    sources: frozenset[str] = field(default=frozenset(), compare=False)
    unread: tuple[str, ...] = field(default=(), compare=False)
    fork: Fork | None = None
    incumbent: Incumbent | None = None

    @property
    def processes(self) -> int:
        """How many processes a run's command starts together, one a GPU, as `torchrun --nproc-per-node` does."""
        return processes_of(self.task.argv)

    def order(
        self,
        run_id: str,
        folder: Path,
        seed: int,
        changes: Sequence[Change],
        *,
        capture: str = "",
        traced: Mapping[str, Sequence[int]] | None = None,
    ) -> Order:
        """Make the order for one run with some changes; see `Order`. Secrets are opened: a run gets what they are."""
        turns = turns_of({self.hands(one.path).name: one.after for one in changes if self.is_season(one.path)})
        given = [*self._of_both_arms(), *(one for one in changes if not self.is_season(one.path))]
        values = {change.path: opened(change.after) for change in given}
        known = {**self.settings, **{change.path: change.after for change in given}}
        branch = self._branch(seed, folder, turns)
        seed = seed if self.fork is None else self.fork.seed(seed)
        handed = [(self.hands(name), name, value) for name, value in values.items()]
        if self.seed_by is not None:
            handed.append((self.seed_by, self.seed_by.name, seed))
        return Order(
            id=run_id,
            folder=folder,
            seed=seed,
            settings={
                name: opened(value) for name, value in known.items() if self.hands(name).by in ("parameter", "settings")
            },
            takes_seed=self.seed_by is not None and self.seed_by.by == "parameter",
            argv=tuple(self._argv_for(handed)),
            constants={how.name or name: value for how, name, value in handed if how.by == "constant"},
            environment={how.name: show_value(value) for how, _, value in handed if how.by == "environment"},
            known=known,
            capture=capture,
            traced=traced or {},
            place=self.task.place,
            guarded=self.task.kind != "command",
            secrets=known_secrets(self.settings, known, {"": list(self.argv)}),
            branch=branch,
            processes=self.processes,
        )

    def _of_both_arms(self) -> tuple[Change, ...]:
        adopted = () if self.incumbent is None else self.incumbent.changes
        return (*adopted, *(() if self.fork is None else self.fork.changes))

    def on(self, incumbent: Incumbent) -> Self:
        """Return it with what was adopted, in both arms."""
        return replace(self, settings=with_changes(self.settings, incumbent.changes), incumbent=incumbent)

    @property
    def began(self) -> Self:
        """It without what was adopted: as it stands in the person's files."""
        if self.incumbent is None:
            return self
        before = {change.path: change.before for change in self.incumbent.changes}
        settings = {name: before.get(name, value) for name, value in self.settings.items()}
        known = {name: value for name, value in settings.items() if value != ABSENT}
        return replace(self, settings=known, incumbent=None)

    def _branch(self, pair: int, folder: Path, turns: Turns) -> Branch | None:
        """Return how a pair's run departs from the plain one, with these knobs turned; None where it does not."""
        if self.fork is not None:
            return self.fork.branch(pair, folder.parent, turns)
        return Branch(turns=turns) if turns else None

    def is_season(self, name: str) -> bool:
        """Return whether a setting is a knob that is turned while the training goes."""
        return self.hands(name).by == "season"

    def seasoned(self, turns: Turns) -> tuple[Self, tuple[Change, ...]]:
        """Return it with knobs as settings of it, which are as they are, and the changes that turn them."""
        named = {(step, name): f"{name} at {step:,}" for step, amounts in turns.items() for name in amounts}
        changes = tuple(
            Change(path=path, before=AS_IT_IS, after=str(turns[step][name])) for (step, name), path in named.items()
        )
        target = replace(
            self,
            settings={**self.settings, **dict.fromkeys(named.values(), AS_IT_IS)},
            how={**self.how, **{path: Handover("season", knob_at(name, step)) for (step, name), path in named.items()}},
        )
        return target, changes

    def _argv_for(self, handed: Sequence[tuple[Handover, str, Any]]) -> list[str]:
        """Return the arguments of both arms, without the switches that changed settings turn off, and with the rest."""
        words: list[list[str]] = [[word] for word in opened(self.argv)]
        placed = self._placed({int(how.name): value for how, _, value in handed if how.by == "position"})
        for place, value in sorted(placed.items()):
            words[place : place + 1] = [[_word(value)]]
        first: dict[int, list[str]] = {}
        for how, _, value in handed:
            said = how.as_arguments(value)
            if how.by == "flag" and not said:
                words = [[] if one == [how.name] else one for one in words]
            elif how.at is not None:
                first.setdefault(how.at, []).extend(said)
            else:
                words.append(said)
        return [word for place, one in enumerate(words) for word in (*first.get(place, ()), *one)]

    def _placed(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Return what stands at places of the command line, with what must stand there in front of it."""
        own = {int(how.name): name for name, how in self.how.items() if how.by == "position"}
        between = range(len(self.argv), max(values, default=0))
        known = {place: self.settings.get(own.get(place, ""), ABSENT) for place in between}
        return {**{place: opened(value) for place, value in known.items() if value != ABSENT}, **values}

    @property
    def learns(self) -> bool:
        """Whether it imports torch, so that it can be watched until its first optimizer step."""
        imported = not _LEARNS.isdisjoint(self.versions)
        if self.task.kind == "command":  # it may be several programs, and none of them is told where to stop
            return False
        return imported or (self.task.kind == "pickle" and "torch" in sys.modules)

    @property
    def may_use_gpu(self) -> bool:
        """Whether a run may use a GPU: it imports a package that does, or nobody knows what it imports."""
        return self.task.kind in ("command", "pickle") or not USES_GPU.isdisjoint(self.versions)

    @property
    def name(self) -> str:
        """What is trained, without its function and its package. See `name_of_label`."""
        return name_of_label(self.label)

    @property
    def typed(self) -> str:
        """What is typed behind `palate run` to point at it, seen from the working folder."""
        if self.task.kind == "script" and self.task.module:
            return self.task.text
        return shlex.quote(os.path.relpath(self.task.file) if self.task.file else self.label)

    @property
    def file(self) -> str:
        """Its file, as it can be typed; its label where it has none."""
        return self.task.file or self.label

    def hands(self, name: str) -> Handover:
        """Return how a setting is handed over; by the flag of its name where nobody says."""
        if name in self.how:
            return self.how[name]
        if self.task.kind in ("script", "command") and not self.takes_any:
            return handed_as_typed(name, tuple(self.how.values()))
        return Handover("flag", f"--{name.replace('_', '-')}", "apart")

    def changes(self, assigned: Mapping[str, Any]) -> tuple[Change, ...]:
        """Hold assigned values against the settings.

        Raises:
            SettingError: names that do not exist, or values of another type.
        """
        known = {name: opened(value) for name, value in self.settings.items() if name != OTHER_ARGUMENTS}
        secret = known_secrets(known, {n: v.text if isinstance(v, Typed) else v for n, v in assigned.items()})
        try:
            changes = self._changes(known, assigned)
        except SettingError as error:
            why = [redact_text(line, secret) for line in error.why]
            raise SettingError(redact_text(error.what, secret), why=why, todo=error.todo) from None
        return tuple(map(_sealed_change, changes))

    def _changes(self, known: Mapping[str, Any], assigned: Mapping[str, Any]) -> tuple[Change, ...]:
        spelled = {self._spelling(name): value for name, value in assigned.items()}
        free = self.takes_any or bool(self.open)
        unknown = [name for name in (spelled if free else self.how) if name not in known and not self._mistyped(name)]
        read = {
            name: read_verbatim(value.text) if isinstance(value, Typed) and name in unknown else value
            for name, value in spelled.items()
        }
        try:
            changes = apply_changes({**known, **dict.fromkeys(unknown, ABSENT)}, read, kinds=self.kinds)
        except SettingError as error:
            raise SettingError(error.what, why=error.why, todo=(*_lines(error.todo), *self._way_out(spelled))) from None
        faults = [fault for change in changes if (fault := self._flag_fault(change))]
        if faults:
            raise SettingError("The script's own command line would refuse the change.", why=faults)
        return changes

    def can_change(self) -> list[str]:
        """Say what can be changed, a line each: its value in force, and how another one is handed over."""
        names = [name for name in dict.fromkeys((*self.settings, *self.how)) if name != OTHER_ARGUMENTS]
        values = {name: show_value(self.settings.get(name, ABSENT)) for name in names}
        wide = [min(max(map(len, column), default=0), WIDEST) for column in (names, values.values())]
        lines = [f"{name:<{wide[0]}}  {values[name]:<{wide[1]}}  {self.hands(name).words}" for name in names]
        found = "in PALATE_SEED alone: no setting for it was found" if self.seed_by is None else self.seed_by.words
        more = [f"It may take others ({self.open[0]}): they are handed over as they are typed."] if self.open else []
        if self.takes_any:
            more = [f"What {self.label} takes is not known: -c name=value is handed over as --name=value."]
        return [*lines, f"The seed of a run: {found}", *more]

    def typed_words(self, changes: Sequence[Change]) -> list[str]:
        """Say of settings that were not found how they are handed over."""
        lost = [one.path for one in changes if one.path not in self.settings and one.path not in self.how]
        if self.task.kind not in ("script", "command") or not lost or self.takes_any:
            return []
        handed = ", ".join(f"{name} as {self.hands(name).words}" for name in lost)
        return [f"Not found in the script, so handed over as typed: {handed}."]

    def seed_words(self) -> list[str]:
        """Say of a script without a seed of its own that its numbers are replaced by the run's."""
        if self.seed_by is None or self.seed_by.by != "constant" or not self.seed_by.name.endswith(SEEDING):
            return []
        return ["The script takes no seed: each run's stands in place of the numbers in its seeding calls."]

    def _mistyped(self, name: str) -> bool:
        """Return whether an unknown name is nearly that of a setting which is known."""
        return name not in self.how and not self.takes_any and bool(nearest(name, self.settings, cutoff=0.8))

    def _way_out(self, assigned: Mapping[str, Any]) -> list[str]:
        """Say how a setting is named that the script takes and that was not found."""
        lost = next((name for name in assigned if name not in self.settings and name not in self.how), "")
        if self.task.kind not in ("script", "command") or not lost or nearest(lost, self.settings):
            return []
        if lost in SEED_NAMES:
            return ["Leave the seed out: palate gives each pair its own."]
        if self.closed:
            return list(self.closed)
        if self.task.kind == "script" and not self.open and not any(how.by in _TYPED for how in self.how.values()):
            shown = shlex.quote(os.path.relpath(self.file))
            return [f"It reads no command line: edit {lost} where it stands, then  palate run {shown} --against HEAD"]
        name = lost if lost.isidentifier() else f'"{lost}"'
        return [f'Or say in pyproject.toml how the script takes it:  [tool.palate.settings]  {name} = "--{lost}"']

    def _spelling(self, name: str) -> str:
        """Take a setting by its name, by its flag, and, where one alone has it, in another case or by its last part."""
        flags = {one.lstrip("-"): known for known, how in self.how.items() if how.by == "flag" for one in [how.name]}
        dashed = name.replace("_", "-")
        candidates = (name, flags.get(name), flags.get(dashed), name.replace("-", "_"))
        found = next((one for one in candidates if one in self.settings or one in self.how), None)
        same = [one for one in self.settings if one.lower() == name.lower()]
        ends = [one for one in self.settings if one.endswith(f".{name}")]
        return found or next((one[0] for one in (same, ends) if len(one) == 1), name)

    def _flag_fault(self, change: Change) -> str:
        name, value = change.path, change.after
        if self.hands(name).by not in ("flag", "position", "environment"):
            return ""
        if value is None and self.hands(name).action not in ("literal", "yaml"):
            return f"-c {name}=None: a command line cannot say None; leave the flag out instead"
        if self.hands(name).action == "bool" and value is False:
            return f"-c {name}=false: {reads_any_text(self.hands(name).name)}"
        if self.hands(name).action == "append" and isinstance(change.before, list) and change.before:
            return self._appended_fault(change)
        if self.hands(name).action in ("literal", "yaml", "append", "comma"):
            return ""
        many = value if isinstance(value, list | tuple) else [value]
        wanted = self.counts.get(name, 1)
        if (wanted > 0 and len(many) != wanted) or not many:
            return (
                f"-c {name}={show_value(value)}: it takes {wanted if wanted > 0 else 'some'} values, as ({name}=[a, b])"
            )
        strange = [v for v in many if self.choices.get(name) and v not in self.choices[name]]
        return (
            f"-c {name}={show_value(value)}: it is one of {', '.join(map(str, self.choices[name]))}" if strange else ""
        )

    def _appended_fault(self, change: Change) -> str:
        """Say that a flag which adds to what is there cannot say something else."""
        flag, before = self.hands(change.path).name, show_value(change.before)
        return f"-c {change.path}: {flag} adds to {before} and cannot replace it; give it default=None in the script"


def _word(value: Any) -> str:
    return repr(value) if isinstance(value, float) else show_value(value)


def _lines(todo: str | Sequence[str]) -> Sequence[str]:
    return [todo] if isinstance(todo, str) else todo


def _sealed_change(change: Change) -> Change:
    """Return a change as it may be written; where one of its values is a secret, both are, so that they compare."""
    before, after = sealed(change.path, change.before), sealed(change.path, change.after)
    return replace(change, before=before, after=after)


def name_of_label(label: str) -> str:
    """Return what is trained, without its function and its package.

    >>> name_of_label("project.train:fit")
    'train'
    """
    return label.partition(":")[0].rpartition(".")[2]


def _whole(path: Path) -> str:
    """Return the absolute path of a file, without `..`: what is run is looked for by it."""
    return os.path.normpath(path.absolute())


def find_target(text: str, arguments: Sequence[str] = (), *, folder: Path | None = None) -> Target:
    """Find what a person points at: `train.py`, `train.py:function`, `package.module:function`, or a command.

    `-m package.module` is a module that is started as a script; `train.ipynb` a notebook.

    Args:
        text: the target as typed; of a command, its first word, or all of it in quotes.
        arguments: what both arms' scripts get as command line arguments; of a command, its other words.
        folder: where a module that is started as a script is looked for first; the working folder if None.

    Raises:
        NotFoundError: there is no such file, module or function.
        InputError: several experiments stand in the file and none is named, or its path is no text.
    """
    if text.startswith(MODULE):
        module = module_in(text)
        file = file_of_module(module, folder or Path.cwd())
        return _of_script(read_source(file, arguments, root=root_of(file, module)), arguments, module)
    place, _, name = text.partition(":")
    path = Path(place)
    _refuse_no_text(path)
    if is_command(text):
        words = words_of(text, arguments)
        if not shutil.which(words[0]):
            refuse_forgotten_m(words[0])
        return find_command(words, Path.cwd())
    if path.suffix != ".py" and not path.exists() and name:
        return _in_module(place, name)
    if path.suffix not in (".py", NOTEBOOK) and path.exists():
        return _command(path, arguments)
    source = read_source(path, arguments)
    if path.suffix == NOTEBOOK:
        refuse_notebook(path, source.functions)
        return _of_script(source, arguments)
    if name or source.functions:
        function = _pick(source, name)
        task = Task(kind="function", file=_whole(path), name=function.name)
        return _of_function(source, function, task)
    return _of_script(source, arguments)


def _refuse_no_text(path: Path) -> None:
    whole = _whole(path)
    if "\0" in whole or any("\ud800" <= letter <= "\udfff" for letter in whole):
        raise InputError(
            f"{whole!r} is not {sys.getfilesystemencoding().upper()} text.",
            why="What is sealed and kept is text.",
            todo="Rename the file or folder, or set a locale that knows its letters: LANG=C.UTF-8",
        )


def target_of_function(function: Callable[..., Any], folder: Path, options: Mapping[str, Any]) -> Target:
    """Make a target of a live function; one without a file (a notebook's) is pickled into `folder`.

    Args:
        function: the undecorated function.
        folder: where its pickle goes.
        options: metric, goal, resolution and data, as declared.
    """
    file = inspect.getsourcefile(function) or ""
    if Path(file).is_file() and "<" not in file and "ipykernel" not in file:
        source = read_source(Path(file))
        if function.__name__ in source.functions:
            declared = find_target(f"{file}:{function.__name__}")
            return replace(declared, settings={**declared.settings, **sealed_all(_live_settings(function))}, **options)
    import cloudpickle

    code = live_code(function, fresh=os.urandom(16).hex())
    content = cloudpickle.dumps(function)
    folder = folder_for(folder, secret=holds_secret(content, _secrets_of(function)))
    make_folder(folder)
    pickled = folder / f"{function.__name__}-{code.id[:12]}.pickle"
    write_file(pickled, content)
    settings = _live_settings(function)
    annotations = {p.name: p.annotation for p in inspect.signature(function).parameters.values()}
    kinds = {name: kind_of_annotation(ast.Constant(inspect.formatannotation(annotations[name]))) for name in settings}
    return Target(
        label=function.__name__,
        task=Task(kind="pickle", file=str(pickled), name=function.__name__),
        settings=sealed_all(settings),
        how=dict.fromkeys(settings, Handover("parameter")),
        seed_by=Handover("parameter") if "seed" in inspect.signature(function).parameters else None,
        code=code.id,
        unread=code.unread,
        versions={},
        kinds=kinds,
        **options,
    )


def _secrets_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the values of secrets that a function without a file takes along when it is pickled."""
    found = inspect.getclosurevars(function)
    return known_secrets(found.globals, found.nonlocals, _live_settings(function))


def _live_settings(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty and p.name != "seed"}


def _in_module(module: str, name: str) -> Target:
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise NotFoundError(
            f"{module}: there is no such file and no such module.", todo="palate run FILE.py -c name=value"
        )
    source = read_source(Path(spec.origin))
    return _of_function(source, _pick(source, name), Task(kind="module", module=module, name=name))


def _pick(source: Source, name: str) -> Function:
    if name in source.functions:
        return source.functions[name]
    listed = ", ".join(source.functions) or "none"
    if not name and len(source.functions) == 1:
        return next(iter(source.functions.values()))
    if not name:
        raise InputError(
            f"{source.path} declares {len(source.functions)} experiments: {listed}.",
            todo=f"Name one: palate run {source.path}:{next(iter(source.functions))}",
        )
    raise NotFoundError(
        f"{source.path} declares no experiment {name!r} (it declares: {listed}).",
        todo="Put @palate.experiment(metric=...) above the function.",
    )


def _of_function(source: Source, function: Function, task: Task) -> Target:
    return Target(
        label=f"{source.path.stem}:{function.name}",
        task=task,
        folder="" if task.kind == "module" else os.path.relpath(Path.cwd(), source.path.absolute().parent),
        settings=sealed_all({name: setting.value for name, setting in function.settings.items()}),
        how=dict.fromkeys(function.settings, Handover("parameter")),
        seed_by=Handover("parameter") if function.takes_seed else None,
        code=code_of_file(source, function.name),
        sources=sources_of(source),
        versions=versions_of(imports_of(source)),
        metric=function.metric,
        goal=function.goal,
        resolution=function.resolution,
        data=function.data,
        kinds=_kinds(function.settings),
    )


def _kinds(settings: Mapping[str, Declared]) -> dict[str, Kind]:
    return {name: setting.kind for name, setting in settings.items() if setting.kind != UNSAID}


def _of_script(source: Source, arguments: Sequence[str], module: str = "") -> Target:
    refuse_seed(source, arguments)
    line = CommandLine.read(source, arguments)
    settings = line.settings
    if line.rest:
        settings[OTHER_ARGUMENTS] = tuple(line.rest)
    seed_by = None if source.seed is None else line.handover(source.seed_name, source.seed, source.seed_name)
    warm = tuple(package for package in WARM_PACKAGES if any(name.split(".")[0] == package for name in source.imports))
    named = read_handovers(source.path.absolute().parent)
    how = {name: line.handover(name, setting) for name, setting in source.settings.items()}
    return Target(
        label=module or source.path.stem,
        task=Task(kind="script", file=_whole(source.path), module=module, warm=warm),
        settings=sealed_all(settings),
        how=how | {name: handover_named(name, text) for name, text in named.items() if name != SEED},
        argv=sealed("", tuple(line.argv)),
        choices={name: setting.choices for name, setting in source.settings.items() if setting.choices},
        counts={name: setting.count for name, setting in source.settings.items() if setting.count is not None},
        kinds=_kinds(source.settings),
        folder=os.path.relpath(Path.cwd(), source.root if module else source.path.absolute().parent),
        seed_by=handover_named(SEED, named[SEED]) if SEED in named else seed_by,
        code=_code_with(named, code_of_file(source, "")),
        sources=sources_of(source),
        versions=versions_of(imports_of(source)),
        open=source.unread,
    )


def _code_with(named: Mapping[str, str], code: str) -> str:
    """Return the fingerprint of a script with how a person says that it takes settings and seed.

    Handed over in another way, the same values make other runs: those before may have got none of them.
    """
    return hashlib.sha256(f"{code} {sorted(named.items())}".encode()).hexdigest() if named else code


def is_command(text: str) -> bool:
    """Return whether a target is the first word of a command, and no file, module or function.

    >>> [is_command(text) for text in ("torchrun", "make train", "LR=0.1", "missing.py", "package.train:fit")]
    [True, True, True, False, False]
    """
    path = Path(text.partition(":")[0])
    if path.is_file() or Path(text).is_file():
        return False
    if ASSIGNED.match(text) or " " in text.strip():
        return True
    return path.suffix != ".py" and ":" not in text


def find_command(words: Sequence[str], here: Path) -> Target:
    """Find what a command trains, and what of it can be changed.

    Args:
        words: as typed.
        here: the folder that it is started in.

    Raises:
        NotFoundError: a program, a script, a module or a make target is not there.
        InputError: it does not say what is trained, or holds what must not be kept.
    """
    found = read_command(list(words), here)
    if isinstance(found, Python) and found.same:
        if found.launched.what == "module":
            return find_target(MODULE + found.launched.name, found.launched.arguments, folder=here)
        name = found.launched.name if here == Path.cwd() else str(here / found.launched.name)
        return find_target(name, found.launched.arguments)
    refuse_kept(found)
    if isinstance(found, Python):
        return _of_started(found, here)
    settings = found.settings | ({OTHER_ARGUMENTS: found.arguments} if found.arguments else {})
    return Target(
        label=found.label,
        task=Task(kind="command", argv=found.words, file=found.file),
        folder=os.path.relpath(here.absolute(), Path(found.file).parent) if found.file else "",
        settings=sealed_all(settings),
        how=found.how,
        argv=sealed("", found.arguments),
        kinds=found.kinds,
        choices=found.choices,
        counts=found.counts,
        seed_by=found.seed_by,
        code=found.code,
        sources=found.sources,
        versions=found.versions,
        takes_any=found.takes_any,
        open=() if found.takes_any else found.open,
        closed=found.closed,
    )


def _of_started(found: Python, here: Path) -> Target:
    """Make the target of a command that starts one Python file: its settings, with what stands in front of it."""
    launched = found.launched
    alone = _of_script(read_source(found.file, launched.arguments), launched.arguments)
    writable = is_in_project(found.file, here)
    how = {name: one for name, one in alone.how.items() if writable or one.by != "constant"}
    settings = {name: value for name, value in alone.settings.items() if name in how or name == OTHER_ARGUMENTS}
    for name, one in how.items():
        if one.by == "environment" and one.name in launched.variables:
            typed = launched.variables[one.name]
            settings[name] = sealed(name, fit_type(None, Typed(typed), alone.kinds.get(name, UNSAID)))
    if alone.seed_by is not None and alone.seed_by.name in launched.variables:
        raise InputError(
            f"{alone.seed_by.name} is set by palate: a seed for each pair.",
            why="With one seed for all runs there would be one run.",
            todo=f"Leave {alone.seed_by.name}= out.",
        )
    return replace(
        alone,
        label=found.label,
        task=Task(kind="command", argv=started(launched.words), file=_whole(found.file)),
        folder=os.path.relpath(here.absolute(), found.file.absolute().parent),
        settings=settings,
        how=how,
        seed_by=alone.seed_by if writable or alone.seed_by is None or alone.seed_by.by != "constant" else None,
    )


def _command(path: Path, arguments: Sequence[str]) -> Target:
    if not os.access(path, os.X_OK):
        shell = shutil.which("bash") if path.suffix in (".sh", ".bash") else None
        if shell is None:
            raise InputError(f"{path} is neither Python nor executable.", todo=f"chmod +x {path}")
        argv = [shell, _whole(path)]
    else:
        argv = [_whole(path)]
    found = find_command([*argv, *arguments], Path.cwd())
    return replace(found, label=path.stem, folder=os.path.relpath(Path.cwd(), path.absolute().parent))
