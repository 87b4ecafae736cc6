"""`palate taste`."""

import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import click

from palate.cli.common import at_terminal, here, json_option, put_out, say, whoami
from palate.cooking.sampled import Sample, read_reference, read_samples
from palate.cooking.tastings import (
    USUAL_TAGS,
    Kind,
    Preferred,
    Word,
    in_force,
    preferred_of,
    read_words,
    say_word,
    tags_of,
)
from palate.errors import InputError, NotFoundError
from palate.store.project import Project

if TYPE_CHECKING:
    from palate.cli.terminal.pictures import Way
    from palate.cli.terminal.strip import Table
    from palate.cli.terminal.tasting import Pair, Wish
    from palate.cooking.inflection import Proposal
    from palate.web.strip import Strip

WAYS = ("auto", "kitty", "iterm", "sixel", "blocks", "blocks256", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasted:
    """One run with its samples and what holds of what was said."""

    folder: Path
    samples: Sequence[Sample]
    words: Sequence[Word]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name

    def at(self, step: int) -> Sample:
        """Return the sample of a step.

        Raises:
            NotFoundError: there is none.
        """
        found = next((one for one in self.samples if one.step == step), None)
        if found is None:
            near = min((one.step for one in self.samples), key=lambda one: abs(one - step))
            raise NotFoundError(
                f"{self.name} was not tasted at step {step}.", todo=f"The nearest sample is of step {near}."
            )
        return found


@click.command("taste")
@click.argument("run", default="last")
@click.option("--against", metavar="RUN", help="Another run, as the control: beside it in --html, or blind.")
@click.option("--blind", is_flag=True, help="Compare both runs' samples, shuffled and without names.")
@click.option("--grade", "grades", multiple=True, metavar="STEP=N", help="Grade a sample from 1 (bad) to 5 (good).")
@click.option("--tag", "tags", multiple=True, metavar="STEP=TAG", help="Tag a sample: 900=done.")
@click.option("--last-good", type=int, metavar="STEP", help="Say which sample is the last good one.")
@click.option("--undo", is_flag=True, help="Take back the last thing that you said of this run.")
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write the samples as one page.")
@click.option("--pictures", type=click.Choice(WAYS), default="auto", help="How a terminal is to show pictures.")
@click.option("--author", help="Who tastes; as configured, else the login name.")
@json_option
def command(
    run: str,
    against: str | None,
    blind: bool,
    grades: tuple[str, ...],
    tags: tuple[str, ...],
    last_good: int | None,
    undo: bool,
    page: Path | None,
    pictures: str,
    author: str | None,
    as_json: bool,
) -> None:
    """Look at a run's samples over its checkpoints, and say which is the last good one.

    RUN is the start of a run's id, a run's folder, or `last`, the run that was tasted last. What is said is kept with
    the run; a running training can wait for it.

    \b
    palate taste 3f9c                                  at a terminal: pictures and keys
    palate taste 3f9c --grade 900=4 --tag 900="orange skin" --last-good 900
    palate taste 3f9c --against 77ab --blind           which of two runs tastes better
    """
    project = here()
    tasted = read_tasted(find_folder(project, run))
    control = None if against is None else read_tasted(find_folder(project, against))
    _refuse_contradictions(tasted, control, blind=blind, as_json=as_json)
    voice = Voice(folder=tasted.folder, author=whoami(author).name)
    said = _said(tasted, grades, tags, last_good)
    for wish, step in said:
        voice.say(wish.kind, step, wish.value)
    if undo:
        say(voice.undo())
    if blind and control is not None:
        _put_out_blind(tasted, control, _compare(tasted, control, pictures, voice), as_json=as_json)
        return
    proposal, count = propose_for(tasted), len(tasted.samples)
    if not (said or undo or page or as_json) and at_terminal() and sys.stdout.isatty():
        _look(tasted, proposal, pictures, voice)
    tasted = read_tasted(tasted.folder)
    if len(tasted.samples) != count:
        proposal = propose_for(tasted)
    if page is not None:
        from palate.web.strip import write_strip

        write_strip(_strip(tasted, proposal), None if control is None else _strip(control, None), page)
        say(f"{page}: open it in a browser")
    put_out(_document(tasted, proposal), _lines(tasted, proposal), as_json=as_json)


def _refuse_contradictions(tasted: Tasted, control: Tasted | None, *, blind: bool, as_json: bool) -> None:
    """Refuse a blind comparison that there is nothing, or nobody, for."""
    if not blind:
        return
    if control is None:
        raise InputError("--blind compares two runs.", todo="palate taste RUN --against CONTROL --blind")
    if control.name == tasted.name:  # by which preferences are told apart
        raise InputError(f"{tasted.name} cannot be compared with itself.", todo="Name another run by --against.")
    if as_json or not (at_terminal() and sys.stdout.isatty()):
        raise InputError("--blind takes a person at a terminal, without --json.", why="Somebody has to look.")


def find_folder(project: Project, name: str) -> Path:
    """Find a run's folder: by a path, by the start of its id, or the one that was tasted last.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    if os.sep in name:
        if not Path(name).is_dir():
            raise NotFoundError(f"{name}: there is no such folder.")
        return Path(name).resolve()
    folders = _folders(project)
    if name == "last":
        times = [(one.joinpath("samples").stat().st_mtime_ns, one) for one in folders if (one / "samples").is_dir()]
        if not times:
            raise NotFoundError("No run was tasted yet.", todo="In the training:  run.taste(every=100, grid=sample)")
        return max(times)[1]
    found = [one for one in folders if one.name == name] or [one for one in folders if one.name.startswith(name)]
    if len(found) != 1 or not name:
        some = ", ".join(one.name for one in found[:5])
        what = f"several runs start with {name!r}: {some}" if found else f"there is no run {name!r}."
        raise NotFoundError(what, todo="palate list --runs   shows them")
    return found[0]


def _folders(project: Project) -> list[Path]:
    try:
        return sorted(one for one in project.runs.iterdir() if one.is_dir())
    except OSError:  # nothing was run yet
        return []


def read_tasted(folder: Path) -> Tasted:
    """Read a run's samples and what holds of what was said.

    Raises:
        NotFoundError: it has no samples.
    """
    samples = read_samples(folder)
    if not samples:
        raise NotFoundError(
            f"{folder.name} has no samples.",
            why="A training takes them itself, while it goes.",
            todo="In the training:  run.taste(every=100, grid=sample)",
        )
    return Tasted(folder=folder, samples=samples, words=in_force(read_words(folder)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Says words of one run for one author."""

    folder: Path
    author: str

    def say(self, kind: Kind, step: int, value: str = "", against: str = "") -> str:
        """Keep a word with the run; return it in words."""
        word = Word(
            author=self.author, time=datetime.now(UTC), step=step, kind=kind, value=value, against=against
        )  # fmt: skip
        say_word(self.folder, word)
        return _words_of(word)

    def undo(self) -> str:
        """Take back the last thing that this author said of this run and that holds; return it in words."""
        mine = [word for word in in_force(read_words(self.folder)) if word.author == self.author]
        if not mine:
            return "There is nothing to take back."
        self.say("undo", mine[-1].step, mine[-1].id)
        return f"Taken back: {_words_of(mine[-1])}"


def _words_of(word: Word) -> str:
    match word.kind:
        case "grade":
            return f"step {word.step}: grade {word.value}"
        case "tag":
            return f"step {word.step}: tagged {word.value!r}"
        case "last_good":
            return f"step {word.step} is the last good one"
        case "preference":
            return f"step {word.step}: {word.value or 'neither'} tastes better"
        case _:
            return "taken back"


def _said(
    tasted: Tasted, grades: tuple[str, ...], tags: tuple[str, ...], last_good: int | None
) -> "list[tuple[Wish, int]]":
    """Read what flags say.

    Raises:
        InputError: flags cannot be read; all of them are named.
        NotFoundError: there is no sample of a step.
    """
    from palate.cli.terminal.tasting import Wish

    flags = [("grade", text) for text in grades] + [("tag", text) for text in tags]
    said: list[tuple[Wish, int]] = []
    faults = []
    for kind, text in flags:
        at, equals, value = text.partition("=")
        if not equals or not at.strip().isdecimal():
            faults.append(f"--{kind} {text!r} is not STEP=VALUE.")
            continue
        said.append((Wish(kind=cast("Kind", kind), value=value.strip()), int(at)))
    if faults:
        raise InputError("Nothing was said.", why=faults, todo="Write it as: --grade 900=4 --tag 900=done")
    if last_good is not None:
        said.append((Wish(kind="last_good"), last_good))
    for wish, step in said:  # all are looked at before any is kept
        tasted.at(step)
        Word(author="", time=datetime.now(UTC), step=step, kind=wish.kind, value=wish.value)
    return said


def propose_for(tasted: Tasted) -> "Proposal | None":
    """Propose the last sample before colour or sharpness breaks away; None where nothing does."""
    from palate.cooking.inflection import MOST, measure, propose

    references = read_reference(tasted.folder)
    measured = [measure(one.step, one.cells(), references) for one in tasted.samples[-MOST:]]
    return propose([one for one in measured if one is not None])


def _strip(tasted: Tasted, proposal: "Proposal | None") -> "Strip":
    from palate.web.strip import Strip

    return Strip(name=tasted.name, samples=tasted.samples, words=tasted.words, proposal=proposal)


def _way(pictures: str) -> "Way":
    """Return how pictures are shown: as asked, else what the terminal can do."""
    from palate.cli.terminal.pictures import Way, ask_terminal, way_of

    return cast("Way", pictures) if pictures in get_args(Way) else way_of(os.environ, ask_terminal)


def _look(tasted: Tasted, proposal: "Proposal | None", pictures: str, voice: Voice) -> None:
    """Let a person at a terminal look, and say what they think."""
    from palate.cli.terminal.strip import Table, taste_at_terminal

    way = _way(pictures)
    where = f"   pictures in {tasted.samples[0].folder}" if way == "none" else ""
    title = f"{tasted.name}   {len(tasted.samples)} samples   tasted by {voice.author}{where}"
    table = Table(title=title, way=way, samples=tasted.samples, words=tasted.words)
    table.told = proposal.words if proposal is not None else ""
    taste_at_terminal(table, _known_tags(tasted), _sayer(voice), _refresher(tasted.folder))


def _known_tags(tasted: Tasted) -> tuple[str, ...]:
    """Return tags to choose from: those of this run first, then usual ones."""
    return tuple(dict.fromkeys((*sorted(tags_of(tasted.folder)), *USUAL_TAGS)))


def _sayer(voice: Voice) -> "Callable[[Wish, Sample], str]":
    def keep(wish: "Wish", sample: Sample) -> str:
        return voice.undo() if wish.kind == "undo" else voice.say(wish.kind, sample.step, wish.value)

    return keep


def _refresher(folder: Path) -> "Callable[[Table], None]":
    def refresh(table: "Table") -> None:
        table.samples = read_samples(folder) or table.samples
        table.words = in_force(read_words(folder))

    return refresh


def _compare(tasted: Tasted, control: Tasted, pictures: str, voice: Voice) -> Preferred:
    """Let a person compare two runs blind, and keep what was preferred."""
    from palate.cli.terminal.strip import compare_at_terminal

    pairs = pairs_of(tasted, control, random.SystemRandom())
    if not pairs:
        raise NotFoundError(
            f"{tasted.name} and {control.name} were never tasted at the same step.",
            todo="Taste both every so many steps.",
        )
    samples = {(run.name, one.step): one for run in (tasted, control) for one in run.samples}
    told = compare_at_terminal(pairs, _way(pictures), samples)
    words = []
    for pair, answer in zip(told.pairs, told.answers, strict=False):
        voice.say("preference", pair.step, answer, control.name)
        words.append(Word(author="", time=datetime.now(UTC), step=pair.step, kind="preference", value=answer))
    return preferred_of(words, tasted.name)


def pairs_of(tasted: Tasted, control: Tasted, rng: random.Random) -> "list[Pair]":
    """Return the samples of two runs at the steps that both were tasted at, shuffled, each on a side by chance."""
    from palate.cli.terminal.tasting import Pair

    steps = sorted({one.step for one in tasted.samples} & {one.step for one in control.samples})
    rng.shuffle(steps)
    names = (tasted.name, control.name)
    sides = [names if rng.random() < 0.5 else names[::-1] for _ in steps]
    return [Pair(step=step, left=left, right=right) for step, (left, right) in zip(steps, sides, strict=True)]


def _put_out_blind(tasted: Tasted, control: Tasted, preferred: Preferred, *, as_json: bool) -> None:
    document = {"schema": "palate.preference/1", "run": tasted.name, "against": control.name, **asdict(preferred)}
    put_out(document, [f"Against {control.name}, {tasted.name} was {preferred.words}."], as_json=as_json)


def _document(tasted: Tasted, proposal: "Proposal | None") -> dict[str, Any]:
    return {
        "schema": "palate.taste/1",
        "run": tasted.name,
        "samples": [{**one.document(), "picture": _place(one)} for one in tasted.samples],
        "said": [word.document() for word in tasted.words],
        "last_good": _last_good(tasted.words),
        "tags": sorted(tags_of(tasted.folder)),
        "proposal": None if proposal is None else {**asdict(proposal), "words": proposal.words},
    }


def _place(sample: Sample) -> str | None:
    return None if sample.layout is None else str(sample.path)


def _last_good(words: Sequence[Word]) -> int | None:
    """Return the step that was said to be the last good one, by whoever said it last."""
    return next((word.step for word in reversed(words) if word.kind == "last_good"), None)


def _lines(tasted: Tasted, proposal: "Proposal | None") -> list[str]:
    from palate.cli.terminal.strip import marks_of

    names = list(dict.fromkeys(name for one in tasted.samples for name in one.metrics))[:4]
    heads = ["step", *names, "picture", "said of it"]
    rows = [
        [
            str(one.step),
            *(f"{one.metrics[name]:.5g}" if name in one.metrics else "-" for name in names),
            one.path.name if one.layout is not None else "-",
            " ".join(marks_of(tasted.words, one.step)) + (" (!)" if one.faults else ""),
        ]
        for one in tasted.samples
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads) - 1)]
    table = ["  ".join([*map(str.rjust, row, widths), row[-1]]).rstrip() for row in [heads, *rows]]
    compared = {word.against for word in tasted.words if word.kind == "preference"}
    blind = [
        f"Blind, against {other}: {preferred_of([w for w in tasted.words if w.against == other], tasted.name).words}"
        for other in sorted(compared)
    ]
    where = f"{tasted.name}   {len(tasted.samples)} samples in {tasted.samples[0].folder}"
    return [where, *table, *blind, *([proposal.words] if proposal is not None else [])]
