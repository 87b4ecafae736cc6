"""The calls of the transcript, in their order: first what only reads, then what seals, then what runs."""

from collections.abc import Iterator

Call = tuple[list[str], dict[str, str]]
BEN, ZOE, ROBO = ({"PALATE_AUTHOR": name} for name in ("ben", "zoe", "robo"))
EMPTY, TAMPERED, CUT = ({"PALATE_HOME": f"<HERE>/{name}"} for name in ("empty", "tampered", "cut"))
CONFIGS = "configs/deep.json configs/odd.json configs/small.json configs/wide.json"
RUN = "run train.py --metric val_acc"
RECIPE = ("show", "diff", "why", "check", "export", "chunks")


def listed(ids: dict, commands: list[str]) -> list[Call]:
    """List the calls.

    Args:
        ids: what ids.json holds.
        commands: names of all commands, for their help.
    """
    names, keys = ids["experiments"], ids["run_keys"]
    helps = ["--help", *(f"{name} --help" for name in commands), *(f"recipe {name} --help" for name in RECIPE)]
    parts = (looks(names, keys), recipes(names, keys), mistakes(names), homes(), forecasts(names), runs(names))
    lines = [(line, {}) for line in helps] + [one if isinstance(one, tuple) else (one, {}) for p in parts for one in p]
    return [(words(line) if isinstance(line, str) else list(line), more) for line, more in lines]


def words(line: str) -> list[str]:
    """Split a line at its spaces; a tilde stands for a space inside of a word."""
    return [word.replace("~", " ") for word in line.split()]


def looks(names: dict, keys: dict) -> Iterator[str | tuple]:
    """What only reads, as text and as documents."""
    run = f"train-{keys[names['better']]['treatment'][:6]}-s0"
    crashed = f"train-{keys[names['failed']]['treatment'][:6]}-s0"
    yield from ("list", "list --limit 3", "list --json", "list --runs", "list --runs --json", ("list --json", ROBO))
    yield ("list", ZOE)
    for name in ("better", "nothing", "failed", "void", "exchanged", "files", "asked"):
        yield f"show {names[name]}"
    for name in ("better", "exchanged", "asked", "failed"):
        yield f"show {names[name]} --json"
    yield from (f"verdict {names['worse']}", f"verdict {names['void']}", f"verdict {names['worse']} --json")
    yield from (("show last --json", ZOE), f"verdict {names['nothing']} --json", "verdict --json")
    yield (f"show {names['worse']} --json", BEN)
    yield from (
        f"show {run}",
        f"show {run} --json",
        f"show {run} --output",
        f"show {crashed}",
        f"show {crashed} --json",
    )
    yield from ("show train-torn --json", "show 20", "show train-", "show train-zzz", "show ffff")
    yield from ("show last --output", "show b")
    yield from ("score", "score --json", ("score", ROBO), "score --author cleo --json")
    yield from (("score", ZOE), "skill", "skill --json")
    yield from ("verify", "verify --json", f"verify --against 3:{'0' * 64}", "verify --against three")
    yield from ("config", "config --show-origin", "config --json")
    yield from (("config", {"PALATE_PAIRS": "one", "PALATE_AGENT": "perhaps"}), ("config", {"PALATE_PAIRS": "7"}))
    yield "compare .912,.915,.910,.913,.911 .921,.919,.924,.922,.920"
    yield "compare .912,.915,.910,.913,.911 .921,.919,.924,.922,.920 --json --margin 0.001 --goal max"
    yield from ("compare 1,2,3 1,2", "compare 1,,2 1,2", "compare gone.txt 1,2", "compare [1,2,true] 1,2,3")
    first, second = (f"train-{keys[names['better']][arm][:6]}" for arm in ("baseline", "treatment"))
    yield from (f"compare {first} {second} --metric val_acc", f"compare {second} {first} --metric loss --json")
    yield from (f"compare {first} nothing --metric val_acc", f"compare {first} {second} --metric strange")


def recipes(names: dict, keys: dict) -> Iterator[str | tuple]:
    """What is read of recipes, without torch."""
    name = names["recipes"]
    yield from (f"recipe show {name}", f"recipe show {name}:baseline --full", f"recipe show {name} --json")
    yield from (f"recipe show {name} --open optimiser", f"recipe show {name} --open nothing")
    yield from (f"recipe show {name} --lens budget", f"recipe show {name} --parent")
    yield from ("recipe show configs/wide.json", "recipe show configs/wide.json --json")
    yield from ("recipe show configs/odd.json --parent", "recipe show configs/gone.json", "recipe show numbers.txt")
    yield from (f"recipe show train-{keys[name]['treatment'][:6]}-s1", f"recipe show {names['when']}")
    yield from (f"recipe diff {name}", f"recipe diff {name} --full --declare model", f"recipe diff {name} --json")
    yield "recipe diff configs/small.json configs/odd.json"
    yield from (f"recipe why lr {name}", f"recipe why optimiser.lr {name}:baseline --json", f"recipe why what {name}")
    yield from (f"recipe check {name}", f"recipe check {name} --json", "recipe check configs/deep.json")
    yield from (f"recipe export {name}", f"recipe export {name} -o recipe.json", "recipe export configs/small.json")
    yield from ("recipe chunks", f"recipe chunks {CONFIGS}", f"recipe chunks {CONFIGS} --all --json")
    yield from ("recipe chunks --accept nothing", "recipe chunks --rename my-usual ours", "recipe chunks --rename a b")
    yield from ("recipe show configs/small.json --html page.html", "recipe strange")


def mistakes(names: dict) -> Iterator[str | tuple]:
    """What is refused before anything is looked at."""
    yield from ("strange", "verfy", "list --strange", "list --limit 0", "list --limit 0 --json", "show a b c")
    yield from ("run", "run gone.py -c lr=1 --metric val_acc", "run gone.py -c lr=1 --metric val_acc --json")
    yield from (f"{RUN}", f"{RUN} -c gain", f"{RUN} -c gian=0.3", f"{RUN} -c gain=0.5", f"{RUN} -c gain=fast --json")
    yield from (f"{RUN} -c gain=0.3 --margin -1", f"{RUN} -c gain=0.3 --pairs 1", f"{RUN} -c gain=0.3 --goal up")
    yield from ("run train.py -c gain=0.3", "run train.py -c gain=0.3 --metric strange", f"{RUN} -c seed=3")
    yield from (f"{RUN} -c gain=0.3 --data gone.txt", f"{RUN} -c gain=0.3 --declare nothing --no-forecast --pairs 2")
    yield from (f"{RUN} -c gain=0.3 --json", f"{RUN} -c gain=0.3 --forecast soon")
    yield from (f"{RUN} -c gain=0.3 --forecast better:80 --no-forecast", f"{RUN} -c gain=0.3 --no-forecast --why so")
    yield from (f"{RUN} -c gain=0.9 -c width=2 --split --forecast better:80", f"{RUN} -c gain=0.9 --split --ask")
    yield from (f"{RUN} -c gain=0.9 --split --no-forecast", "noise train.py", "noise train.py --metric strange")
    yield from ("when last --metric val_acc", "when last 12:70 --metric val_acc")
    yield from (
        f"when {names['better']} 4:70 --metric val_acc",
        "when train-torn never:70 --metric val_acc --reach 0.5",
    )
    yield from ("when gone 4:70 --metric val_acc", "when last 4:70 --metric other")


def homes() -> Iterator[tuple]:
    """Projects that hold nothing, or not what they held."""
    for line in ("list", "score", "skill", "verify", "show", "confirm", "forecast"):
        yield line, EMPTY
    for home in (TAMPERED, CUT):
        for line in ("verify", "verify --json", "list"):
            yield line, home
    yield "score", TAMPERED
    yield f"{RUN} -c gain=0.3 --forecast worse:60", TAMPERED


def forecasts(names: dict) -> Iterator[str | tuple]:
    """What is shown and refused of forecasts; files; what seals a few records."""
    asked, void, done, mates = names["asked"], names["void"], names["worse"], names["exchanged"]
    for who in ({}, ROBO, ZOE):
        yield from ((f"forecast {name} --show", who) for name in (asked, void, done, mates))
    yield from ("forecast --json", ("forecast last --json", ZOE), f"forecast {mates} --show --json", "forecast")
    yield from (f"forecast {done} better:80", f"forecast {void} better:80", f"forecast {asked} better:80")
    yield from (("forecast", ZOE), f"forecast {done} --revise better:80", f"forecast {void} --revise same:60")
    yield from (
        f"forecast {asked} --revise soon",
        (f"forecast {asked} --revise same:60", ZOE),
        "forecast gone better:80",
    )
    yield from (
        f"forecast {asked} better",
        f"forecast {asked} better:180",
        f"forecast {asked} -- 3/2/1",
        "forecast better:80",
    )
    yield from (f"forecast {asked} {{", f"forecast {asked} better:80 --skip", f"forecast {asked} --blind")
    yield from (f"forecast {asked} --why so", f"forecast {asked} --skip", (f"forecast {done} --skip", BEN))
    yield f"forecast {void} --void again"
    yield f"forecast {asked} --void ~"
    yield from (f"forecast {mates} --export ours.json", f"forecast {asked} --export ours.json --blind --json")
    yield from (f"forecast {asked} --export gone/ours.json", (f"forecast {asked} --export ours.json --blind", ZOE))
    for file in ("cleo-blind", "cleo-whole", "dan-whole", "eve-blind", "asked-whole", "asked-blind", "forged", "gone"):
        yield f"forecast --import exports/{file}.json"
    yield from ("forecast --import numbers.txt", "forecast --import exports/dan-whole.json --json")
    yield from (f"forecast {asked} --revise better:65 --why later", f"forecast {asked} --revise same:65")
    yield from ((f"forecast {asked} worse:70:<1 --why cold", ZOE), (f"forecast {asked} same:70", ZOE))
    yield from ((f"forecast {asked} --skip", {"PALATE_AUTHOR": "yan"}), f"when {asked} 9:60 --metric val_acc --json")
    yield f"when {asked} 9:70 --metric val_acc"
    yield "forecast --import exports/eve-whole.json"
    yield from (f"show {mates}", f"forecast {mates} --show", "score --author eve")


def runs(names: dict) -> Iterator[str | tuple]:
    """The same questions again, which make no runs; then a few that do."""
    yield f"{RUN} -c gain=0.9 --pairs 5 --json"
    yield f"{RUN} -c gain=0.9 --pairs 5 --forecast worse:80"
    yield "run train.py --metric loss -c noise=0.021 --margin 0.1 --take best --pairs 4"
    yield from (f"{RUN} -c unused=2 --pairs 4", f"{RUN} -c mode=crash --pairs 4")
    yield f"{RUN} -c gain=0.4 --data numbers.txt --pairs 2"
    yield from (f"{RUN} -c width=6 --pairs 4", f"{RUN} -c width=8 --pairs 3")
    yield from (f"{RUN} -c plan=configs/odd.json --pairs 2", f"{RUN} -c plan=configs/odd.json --pairs 2 --strict")
    yield f"{RUN} -c gain=0.8 --pairs 4 --ask"
    yield from ("noise train.py --metric val_acc --runs 4", "noise train.py --metric val_acc --runs 4 --json")
    for more in ("", " --json"):
        yield f"{RUN} -c gain=0.9 -c noise=0.04 --split --pairs 4 --no-forecast{more}"
    yield from ("confirm", "confirm --json")
    yield from ((f"{RUN} -c gain=0.6 --pairs 4 --workers 1", ROBO), ("verdict last", ZOE), "score --author yan")
    yield "run train.py -c gain=0.3 --metric strange --goal max --pairs 2 --no-forecast --workers 1"
    yield "run fails.py -c lr=0.2 --metric val_acc --pairs 2 --no-forecast --workers 1 --json"
    yield f"{RUN} -c gain=0.9 --pairs 4 --margin 0.05"
    yield f"{RUN} -c gain=0.3 --pairs 2 --margin 0.02 --forecast worse:70 --workers 1"
    yield from ("score", "score --json", "skill", "verify --json", "list")
