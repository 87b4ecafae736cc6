"""What the command line says about the golden project, word for word: recorded once, said again by the tests.

Run by hand only, after make_golden.py, to record it anew:

    python tests/store/transcript.py

The calls run one after the other in a copy of the project, most of them inside this process. What they print is kept
as it is but for what cannot be the same twice; see `settled`.

Record it in a later minute than the project was made in: dates are told apart by what the project holds. Help and usage
errors are worded by click, here 8.5; another version of it may word them otherwise.
"""

import contextlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from palate.cli import COMMANDS, main

GOLDEN = Path(__file__).parent / "golden"
IDS = json.loads((GOLDEN / "ids.json").read_text()) if (GOLDEN / "ids.json").exists() else {}
BASE = {"COLUMNS": "110", "NO_COLOR": "1", "PALATE_AUTHOR": "ada"}
WRITES = ("--export", "--html", "-o")
"""Options behind which a file is named that a call writes."""


def golden_copy(folder: Path) -> Path:
    """Copy the golden project to a folder, with the files around it; give the folder."""
    shutil.copytree(GOLDEN / "home", folder / ".palate")
    for name in ("exports", "configs"):
        shutil.copytree(GOLDEN / name, folder / name)
    shutil.copy(GOLDEN / "train.txt", folder / "train.py")
    shutil.copy(GOLDEN / "numbers.txt", folder / "numbers.txt")
    for age, file in enumerate(sorted((folder / ".palate" / "recipes").iterdir())):
        os.utime(file, (1e9 + age, 1e9 + age))  # the order on the shelf; a checkout keeps no times
    return folder


def stage(folder: Path) -> Path:
    """Copy the golden project, and beside it an empty one, one that was tampered with, and one that was cut."""
    golden_copy(folder)
    (folder / "empty").mkdir()
    (folder / "fails.py").write_text('import palate\n\nlr = 0.1\nprint("no data")\nraise SystemExit(3)\n')
    for name in ("tampered", "cut"):
        shutil.copytree(folder / ".palate", folder / name)
    chain = (folder / ".palate" / "chain.jsonl").read_text()
    (folder / "tampered" / "chain.jsonl").write_text(chain.replace('"confidence": 80', '"confidence": 90', 1))
    (folder / "cut" / "chain.jsonl").write_text("".join(chain.splitlines(keepends=True)[:-3]))
    export = (folder / "exports" / "eve-whole.json").read_text()
    (folder / "exports" / "forged.json").write_text(export.replace('"confidence": 60', '"confidence": 90'))
    return folder


def environment(folder: Path, more: dict[str, str]) -> dict[str, str]:
    """Give the environment of a call: the caller's own without its preferences, and what a transcript fixes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PALATE_", "FORCE_", "CLICOLOR"))}
    home = {"PALATE_HOME": str(folder / ".palate"), "XDG_CONFIG_HOME": str(folder / "no-config"),
            "XDG_STATE_HOME": str(folder / ".palate" / "state")}  # fmt: skip
    return {**kept, **BASE, **home, **{name: value.replace("<HERE>", str(folder)) for name, value in more.items()}}


def call(argv: list[str], more: dict[str, str], folder: Path) -> dict:
    """Call the command line inside this process, in a folder, with no terminal; give what it did, as it is kept."""
    out, err = io.StringIO(), io.StringIO()
    before, here, words = dict(os.environ), Path.cwd(), sys.argv
    surroundings = environment(folder, more)
    with contextlib.ExitStack() as stack:
        stack.callback(os.chdir, here)
        stack.callback(os.environ.update, before)
        stack.callback(os.environ.clear)
        stack.callback(setattr, sys, "argv", words)
        stack.callback(setattr, sys, "stdin", sys.stdin)
        os.environ.clear()
        os.environ.update(surroundings)
        os.chdir(folder)
        sys.argv, sys.stdin = ["palate", *argv], stack.enter_context(Path(os.devnull).open())
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    return kept(argv, more, status, out.getvalue(), err.getvalue(), folder)


def kept(argv: list[str], more: dict[str, str], status: int, out: str, err: str, folder: Path) -> dict:
    """Give a call as a transcript keeps it, with the file that it wrote, if any."""
    answer = {
        "argv": argv,
        "env": more,
        "status": status,
        "stdout": settled(out, folder),
        "stderr": settled(err, folder),
    }
    name = next((argv[place + 1] for place, word in enumerate(argv[:-1]) if word in WRITES), None)
    if name is not None and (folder / name).is_file():
        answer["wrote"] = settled((folder / name).read_text(), folder)
    return answer


TEXT = "".join(file.read_text() for file in GOLDEN.rglob("*.json*") if file.name != "transcript.json")
HASHES = set(re.findall(r"\b(?:[0-9a-f]{64}|[0-9a-f]{32})\b", TEXT))
DATES = set(re.findall(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", TEXT))
KNOWN = HASHES | {hashed[:12] for hashed in HASHES} | DATES | {date[:16] for date in DATES}
"""Hashes and dates that the golden project holds, whole and as they are printed."""

SEALED = re.compile(
    r'(sealed |Head \d+:|"(?:sealed|hash|head|nonce|previous)": ")([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{12})\b'
)
DATE = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\+00:00)?")
TOOK = re.compile(r'(re-used[^.]*?, )[\d.]+(?= s\.)|("elapsed_s": )[\d.]+(?:e-?\d+)?(?=, "next")')
LONG = re.compile(r"-?\d+\.\d{12,}(?:e[-+]\d+)?|-?\d\.\d+e[-+]\d+")


def settled(text: str, folder: Path) -> str:
    """Write a text so that it is the same each time.

    - the folder of this copy is <HERE>
    - hashes that the golden project does not hold, of records sealed during the transcript, are <NEW>
    - so are their dates: <NOW>
    - seconds that a command took are 0
    - floats have 12 significant digits: the last ones are the processor's
    """
    text = text.replace(str(folder), "<HERE>")
    text = SEALED.sub(lambda hit: hit[0] if hit[2] in KNOWN else f"{hit[1]}<NEW>", text)
    text = DATE.sub(lambda hit: hit[0] if hit[0].replace(" ", "T")[:19] in KNOWN else "<NOW>", text)
    text = TOOK.sub(lambda hit: f"{hit[1] or hit[2]}0", text)
    return LONG.sub(lambda hit: f"{float(hit[0]):.12g}", text)


def calls() -> list[tuple[list[str], dict[str, str]]]:
    """List the calls, in their order: first what only reads, then what seals or runs."""
    from tests.store.calls import listed

    return [(list(argv), more) for argv, more in listed(IDS, list(COMMANDS))]


def record() -> None:
    """Record the transcript anew."""
    with tempfile.TemporaryDirectory() as folder:
        place = stage(Path(folder).resolve())
        answers = [call(argv, more, place) for argv, more in calls()]
    (GOLDEN / "transcript.json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")
    for one in answers:
        print(one["status"], *one["argv"])


if __name__ == "__main__":
    record()
