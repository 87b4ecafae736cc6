"""Whether each arm was what the question says: did the change reach the training, did the seed, were the runs apart.

Read from what the runs received (`training.inputs`). Only what was seen is claimed: a change is said not to have
arrived where the value in force was read in both arms, and is the same.
"""

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from palate.errors import InputError, NotArrivedError
from palate.loop.results import Results
from palate.loop.unseeded import unseeded_words
from palate.question.folder import Place
from palate.question.notebooks import NOTEBOOK, python_of
from palate.question.plan import Plan
from palate.recipe.settings import Change, show_value
from palate.store.project import Project
from palate.training.inputs import Parsed, Received, Seeding, read_received
from palate.vocabulary import BASELINE, Arm

_FIXED = re.compile(r"(?:random_state|seed|random_seed|generator_seed)\s*=\s*\d+")
_FIXED_IN_CELL = re.compile(rf"{_FIXED.pattern}|(?:seed|manual_seed|seed_everything|set_seed|PRNGKey)\(\s*\d+\s*\)")
"""In a notebook the calls themselves are looked for: what a cell calls has no line of a file."""

_NUMBER = re.compile(r"(?<![\w.])(\d+)(?=\s*[,)]|$)")
_UNSEEN = "<"
"""How the text of a value begins that is not written out, and so cannot be compared."""


def refuse_not_arrived(plan: Plan, arm: Arm, baseline: Received | None, treatment: Received | None) -> None:
    """Refuse to go on where a change of an arm is known not to have reached its run.

    Args:
        plan: what is run.
        arm: the arm with the changes.
        baseline: what a run of the baseline received; None where nothing was noted.
        treatment: what a run of the arm received.

    Raises:
        NotArrivedError: with the cause of each.
    """
    if baseline is None or treatment is None:
        return
    faults = [fault for change in plan.arms[arm] if (fault := fault_of(plan, change, baseline, treatment))]
    if faults:
        names = ", ".join(change.path for change in plan.arms[arm])
        raise NotArrivedError(
            f"The change did not reach the training ({names}): the arms are the same.",
            why=faults,
            todo="Mend it, then type the same command again: nothing was sealed as an outcome.",
        )


def arrival_words(plan: Plan, arm: Arm, treatment: Received | None) -> list[str]:
    """Say of an arm whose change did nothing whether it is known to have arrived."""
    if treatment is None:
        return []
    words = []
    for change in plan.arms[arm]:
        value = _in_force(plan, change, treatment)
        flag = plan.target_of(arm).hands(change.path).name
        read = [one.values[one.flags[flag]] for one in _parsed_with(flag, treatment) if one.flags[flag] in one.values]
        if len(set(read)) > 1:
            words.append(f"{change.path} was read {len(read)} times, as {' and '.join(read)}: which one is used?")
        elif value is not None:
            words.append(f"{change.path} was {value} in force with the change, so it arrived, and changes nothing.")
        elif plan.target_of(arm).hands(change.path).by == "flag":
            words.append(
                f"Whether {change.path} reached the program could not be seen: nothing that palate watches read a "
                "command line in it."
            )
    return words


def _in_force(plan: Plan, change: Change, received: Received) -> str | None:
    """Return the value of a changed setting as it was in force, in the treatment; None where nobody knows."""
    way = plan.target.hands(change.path)
    if way.by == "parameter":
        return repr(change.after)
    if way.by == "constant":
        return received.constants.get(change.path)
    if way.by == "settings":
        return (received.settings or {}).get(change.path)
    if way.by == "season":
        return received.turned.get(way.name.rpartition("@")[0])
    parsed = _parsed_with(way.name, received)
    return received.arguments.get(parsed[-1].flags[way.name]) if parsed else None


def refuse_results(project: Project, plan: Plan, results: Results) -> None:
    """Refuse to seal what runs gave of which it is known that the change did not reach them.

    Raises:
        NotArrivedError: with the cause of each change.
    """
    for arm in plan.arms:
        seeds = sorted(results[arm].keys() & results[BASELINE].keys()) if arm != BASELINE else []
        for seed in seeds[:1]:
            one, other = (read_received(project.run_folder(results[side][seed].id)) for side in (BASELINE, arm))
            refuse_not_arrived(plan, arm, one, other)


def fault_of(plan: Plan, change: Change, baseline: Received, treatment: Received) -> str:
    """Return why a change did not arrive; "" where it did, or where nobody can know."""
    way = plan.target_of(BASELINE).hands(change.path)
    if way.by == "flag":
        return _flag_fault(way.name, change, baseline, treatment)
    if way.by == "constant":
        return _constant_fault(change.path, baseline, treatment)
    if way.by == "season":
        knob, _, step = way.name.rpartition("@")
        return "" if knob in treatment.turned else f"{knob} was never turned: no step came behind step {step}."
    if way.by == "settings" and treatment.settings is None:
        return f"palate.settings() was not called, so {change.path} was given to nobody."
    return ""


def _flag_fault(flag: str, change: Change, baseline: Received, treatment: Received) -> str:
    left = any(word.partition("=")[0] == flag for one in treatment.parsed for word in one.left)
    mine, theirs = (_parsed_with(flag, received) for received in (treatment, baseline))
    if not mine or not theirs:
        if fault := _constant_fault(change.path, baseline, treatment):  # globals that a flag overrides
            return fault
        known = sorted({name for one in treatment.parsed for name in one.flags if name.startswith("--")} - {"--help"})
        return f"{flag} was left over: the program does not know it. It knows: {', '.join(known)}." if left else ""
    values, others = ([one.values.get(one.flags[flag]) for one in side] for side in (mine, theirs))
    name, one = mine[-1].flags[flag], values[-1]
    if values == others and one is not None and not one.startswith(_UNSEEN):
        if mine[-1].types.get(name) == "bool":
            return f"{flag} has type=bool, which reads any text as True: it is {one} in both arms."
        given = "the command line that was read does not have it" if left else "the parser gives it in both arms"
        return f"{flag} {show_value(change.after)} was handed over, but {name} is {one} in both arms: {given}."
    mine_now, theirs_now = treatment.arguments.get(name), baseline.arguments.get(name)
    differ_later = treatment.last_arguments.get(name) != baseline.last_arguments.get(name)
    if differ_later:
        return ""
    if len(mine) == 1 and mine_now not in (None, "None") and mine_now == theirs_now and mine_now[:1] != _UNSEEN:
        by = _set_by(treatment)
        return f"{name} was read as {one}, but is {mine_now} in both arms when the first metric is logged{by}."
    return ""


def _parsed_with(flag: str, received: Received) -> list[Parsed]:
    """Return the command lines, of all programs of a run, that a flag belongs to."""
    return [one for one in received.parsed if flag in one.flags]


def _constant_fault(name: str, baseline: Received, treatment: Received) -> str:
    one, other = treatment.constants.get(name), baseline.constants.get(name)
    if one is None or one != other or one.startswith(_UNSEEN):
        return ""
    if baseline.last_constants.get(name) != treatment.last_constants.get(name):  # read before it was set
        return ""
    return f"{name} is {one} in both arms when the first metric is logged: it is set again{_set_by(treatment)}."


def _set_by(received: Received) -> str:
    """Name the files that may have set a value again: read, and not imported."""
    settings = (".py", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini")
    read = [name for name in received.files if name.endswith(settings) and name not in received.modules]
    return f", perhaps by {', '.join(read[:3])}" if read else ""


def unheard_words(received: Received | None) -> list[str]:
    """Say where a run's Python is too old for palate to listen in it."""
    if received is None or not received.unheard:
        return []
    return [
        f"The command starts Python {received.unheard[0]}, in which palate cannot listen (3.11 or newer): nothing that "
        "it logs is heard, and what arrives cannot be checked. In a shell script, log by:  palate log STEP val_acc=..."
    ]


def same_seed_words(plan: Plan, received: Mapping[int, Received]) -> list[str]:
    """Say where the seeds of the pairs did not go; nothing where they reached the baseline.

    Args:
        plan: what is run.
        received: what the baseline's runs received, by seed.
    """
    seeds = sorted(received)
    if not seeds:
        return []
    first = received[seeds[0]]
    if plan.target.task.kind == "command" and not plan.target.seed_by and not first.seeds:
        return _command_seed_words(plan, first)
    if not plan.target.seed_by and not first.took_seed:
        return [_seed_fault(plan, first)]
    if len(seeds) > 1 and 0 in received:
        lost = [seeding for seeding in received[seeds[1]].seeds if _calls(seeding) not in map(_calls, first.seeds)]
        if lost and not first.seeds:
            return [
                f"Seed 0 seeds nothing, other seeds do ({lost[0].where}): the script takes 0 for no seed, "
                "so the first pair is not a pair. Test for None instead: if args.seed is not None."
            ]
    if first.drawn:
        return [
            f"{first.drawn[0]} draws random numbers that nothing seeds, so runs at one seed differ by them. "
            "Seed it where the rest is seeded: np.random.seed(seed), or palate.seed_everything()"
        ]
    return unseeded_words(_root(plan), [received[seed] for seed in seeds[:2]])


def _command_seed_words(plan: Plan, received: Received) -> list[str]:
    files = (plan.target.task.file, *plan.target.task.argv)
    text = "\n".join(line for word in files for line in _lines(Path("/"), word.lstrip("/")))
    if "PALATE_SEED" in text or received.took_seed:
        return []
    return ["Nothing shows that the program takes the run's seed. Hand it over:  python train.py --seed $PALATE_SEED"]


def _calls(seeding: Seeding) -> tuple[str, str]:
    return seeding.of, seeding.where


def _seed_fault(plan: Plan, received: Received) -> str:
    fixed = fixed_seed(plan, received)
    if fixed and plan.target.task.kind == "command":
        return (
            f"The seed of a run goes nowhere: the command hands none over, and {fixed[0]} seeds every run alike "
            f"({fixed[1]}), so the runs of an arm are copies. Where the script takes a seed, hand it over there: "
            "--seed $PALATE_SEED   (in a Makefile: SEED ?= 0, and --seed $(SEED))"
        )
    if fixed:
        where, line, better = fixed
        return (
            f"The seed of a run goes nowhere: {where} seeds every run alike ({line}), "
            f"so the runs of an arm are copies. Type there: {better}{_by_flag(plan)}"
        )
    return (
        "The seed of a run goes nowhere: no seeding of this training was seen, so runs at the same seed are no pairs. "
        "Type at its top: palate.seed_everything()"
    )


def _by_flag(plan: Plan) -> str:
    """Say how a seed is handed over that the script takes in a way which cannot be read."""
    target = plan.target
    if not target.open or target.seed_by is not None:
        return ""
    return '. Or, where it takes one, say how in pyproject.toml:  [tool.palate]  seed = "--its-flag"'


def fixed_seed(plan: Plan, received: Received) -> tuple[str, str, str] | None:
    """Return the line that seeds every run alike: where it is, what it says, and what to type there."""
    for where, line in _seeding_lines(plan, received):
        named = _FIXED.search(line)
        begin = named.start() if named else 0
        put, count = _NUMBER.subn(r'int(os.environ.get("PALATE_SEED", \1))', line[begin:], count=1)
        better = line[:begin] + put
        return where, line, f"{better}   (import os)" if count else "palate.seed_everything()"
    return None


def _seeding_lines(plan: Plan, received: Received) -> Iterator[tuple[str, str]]:
    root = _root(plan)
    for seeding in received.seeds:
        if line := _line_of(root, seeding.where):
            yield seeding.where, line
    for name in dict.fromkeys([_named(plan.target.task.file, root), *received.modules]):
        fixed = _FIXED_IN_CELL if name.endswith(NOTEBOOK) else _FIXED
        for number, line in enumerate(_lines(root, name), start=1):
            if fixed.search(line) and not line.lstrip().startswith("#") and _calls_something(line):
                yield f"{name}:{number}", line.strip()


def _calls_something(line: str) -> bool:
    try:
        tree = ast.parse(line.strip().rstrip(":,"))
    except SyntaxError:
        return "(" in line
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))


def _root(plan: Plan) -> Path:
    place = plan.target.task.place
    return Path(place.root) if place is not None else Path.cwd()


def _named(file: str, root: Path) -> str:
    return os.path.relpath(file, root) if file else ""


def _line_of(root: Path, where: str) -> str:
    name, _, number = where.rpartition(":")
    lines = _lines(root, name)
    return lines[int(number) - 1].strip() if number.isdigit() and 0 < int(number) <= len(lines) else ""


def _lines(root: Path, name: str) -> Sequence[str]:
    try:
        if name.endswith(NOTEBOOK):
            return python_of((root / name).read_bytes(), name).decode(errors="replace").splitlines()
        return (root / name).read_text(errors="replace").splitlines() if name else ()
    except (OSError, InputError):
        return ()


class Apartness:
    """Notices that runs see each other's files.

    Args:
        plan: what is run.
        place: the folder that runs see.
    """

    def __init__(self, plan: Plan, place: Place | None) -> None:
        self._plan = plan
        self._place = place
        self._runs: dict[str, tuple[Received, float, float]] = {}

    def shared_at_once(self, run: str, received: Received, began_s: float, ended_s: float) -> tuple[str, set[str]]:
        """Take in a run; return a file that runs at once wrote and one of them read back, and which runs; else "".

        Raises:
            NotArrivedError: a run started from what another one left behind, which no order of runs mends.
        """
        mine = received.read_first(self._place)
        file = ""
        runs: set[str] = set()
        for other, (known, other_began_s, other_ended_s) in self._runs.items():
            theirs = known.read_first(self._place)
            for one, reader, reads, wrote_from_s, read_until_s in (
                (received, other, theirs, began_s, other_ended_s),
                (known, run, mine, other_began_s, ended_s),
            ):
                left = [path for path, after in one.wrote_outside.items() if after and path in reads]
                if left and read_until_s > wrote_from_s:
                    raise _not_apart(reader, left[0])
            both = received.wrote_outside.keys() & known.wrote_outside.keys()
            at_once = began_s < other_ended_s and other_began_s < ended_s
            for path in both if at_once else ():
                if path in received.read_back or path in known.read_back:
                    file, runs = path, runs | {run, other}
        self._runs[run] = (received, began_s, ended_s)
        return file, runs


def _not_apart(reader: str, path: str) -> NotArrivedError:
    return NotArrivedError(
        f"The runs are not apart: {reader} read {path}, which another run had written.",
        why="Each run has a folder of its own, but this path leads out of it.",
        todo="Write to a path relative to the working folder, then type the same command again.",
    )
