"""The command line: one command a step of the loop, imported when it is called."""

import contextlib
import errno
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from palate.cli.plain import print_whatever_comes, shown_lines
from palate.errors import InputError, NotFoundError, PalateError

COMMANDS = {
    "try": ("palate.cli.try_", "See the whole loop on a real training, in a minute."),
    "run": ("palate.cli.run", "Ask what a change does, and run it in paired seeds until it is settled."),
    "dry": ("palate.cli.dry", "See what is in force at the first optimizer step, training nothing."),
    "recipe": ("palate.cli.recipe", "See a recipe in seven chunks that open, what differs between two, and why."),
    "fork": ("palate.cli.fork", "Ask what a change in the middle of a run does, beside a control."),
    "season": ("palate.cli.season", "Turn knobs of a run while it goes."),
    "cook": ("palate.cli.cook", "Replay what was turned in a run on new seeds: did the recipe work?"),
    "noise": ("palate.cli.noise", "Measure what another seed alone does."),
    "metric": ("palate.cli.metric", "See or change the smallest difference that matters of a metric."),
    "forecast": ("palate.cli.forecast", "Seal what you think will happen, or see what you sealed."),
    "verdict": ("palate.cli.verdict", "Judge an experiment by the runs that are there."),
    "adopt": ("palate.cli.adopt", "Keep a change for now: the next question has it in both arms."),
    "drop": ("palate.cli.drop", "Take an adopted change out again."),
    "stack": ("palate.cli.stack", "See what is adopted, on which odds."),
    "claim": ("palate.cli.claim", "Judge all that is adopted, once, against where it began."),
    "confirm": ("palate.cli.confirm", "Check all winners against reruns at new seeds."),
    "score": ("palate.cli.score", "See how your forecasts did."),
    "when": ("palate.cli.when", "Forecast when something happens in a run: its best value, a value reached."),
    "skill": ("palate.cli.skill", "See whether you are behind, ahead, or nobody can tell yet."),
    "compare": ("palate.cli.compare", "Get a verdict from two lists of results alone."),
    "log": ("palate.cli.log", "Log metrics from a shell script or any other process."),
    "verify": ("palate.cli.verify", "Check that no sealed record was changed."),
    "doctor": ("palate.cli.doctor", "Check the installation and the project's folder."),
    "redact": ("palate.cli.redact", "Take secrets out of a store that was written before they were sealed."),
    "config": ("palate.cli.config", "List preferences and who decided them."),
    "taste": ("palate.cli.taste", "Look at a run's samples over its checkpoints, and say which is the last good one."),
    "watch": ("palate.cli.watch", "Watch what goes, in this terminal or another; it goes on when you leave."),
    "stop": ("palate.cli.stop", "Stop what goes, in this terminal or another."),
    "resume": ("palate.cli.resume", "Go on with what was broken off, in a process of its own."),
    "list": ("palate.cli.list_", "List experiments, or runs."),
    "show": ("palate.cli.show", "Show one experiment, or one run."),
}


_GONE = NotFoundError(
    "The folder that palate was called in is gone.",
    why="It was deleted or moved while a shell stood in it.",
    todo="cd to the project, then type the same command again.",
)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, _: click.Context) -> list[str]:
        """List the commands in the order of the loop."""
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their help, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_module, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; name the nearest where there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise click.UsageError(f"No command {args[0]!r}." + (f" Did you mean `palate {near[0]}`?" if near else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="palate", prog_name="palate")
def cli() -> None:
    """Say what you think a change will do, run it, see what it did and whether you may believe it."""


def main() -> NoReturn:
    """Run the command line; every refusal is said in full, none is a traceback."""
    as_json = "--json" in sys.argv
    print_whatever_comes()
    try:
        status = _run(as_json)
        _flush()
    except BrokenPipeError:  # whoever reads has had enough, as `head` has
        _write_nowhere()
        status = 0
    except OSError as error:  # what is printed has no room
        _write_nowhere()
        with contextlib.suppress(OSError):
            _refuse({"error": "StoreError", "what": f"What was to be printed cannot be written: {error.strerror}.",
                     "why": [], "todo": ["Free space, or write it elsewhere."]}, as_json=False)  # fmt: skip
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _run(as_json: bool) -> Any:
    """Run a command; return its exit status.

    Raises:
        OSError: what it prints cannot be written, or nobody reads it.
    """
    streams = sys.stdout, sys.stderr
    try:
        return cli.main(prog_name="palate", standalone_mode=False)
    except click.ClickException as error:
        _refuse({"error": "UsageError", "what": error.format_message(), "why": [], "todo": [_usage(error)]}, as_json)
        return 2
    except PalateError as error:
        _refuse(_document(error), as_json)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nStopped. Nothing that finished is lost: type the same command again to go on.", err=True)
        return 130
    except SystemExit as leave:
        if sys.stdout is not streams[0]:  # click puts others in their place where a pipe is closed
            sys.stdout, sys.stderr = streams
            raise BrokenPipeError from leave
        raise
    except Exception as error:  # noqa: BLE001  the outermost loop: a fault of palate's own
        return _fault(error, as_json)


def _fault(error: Exception, as_json: bool) -> int:
    """Say what is no refusal: of the machine where it is known, else palate's own, with its traceback.

    Raises:
        OSError: it is printing that failed.
    """
    if isinstance(error, OSError) and _is_of_output(error):
        raise error
    known = _GONE if _folder_is_gone() else _of_machine(error)
    if known is not None:
        _refuse(_document(known), as_json)
        return known.exit_code
    click.echo(shown_lines("".join(traceback.format_exception(error))), err=True, nl=False)
    _refuse({"error": type(error).__name__, "what": f"palate failed: {error}", "why": [], "todo": []}, as_json)
    return 1


def _of_machine(error: Exception) -> PalateError | None:
    """Return the refusal of what no machine takes: a name that is no text, or too long; None for anything else."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return NotFoundError(f"There is no such file: its name is too long ({len(str(error.filename))} characters).")
    return _no_text(error) if isinstance(error, UnicodeEncodeError) else None


def _no_text(error: UnicodeEncodeError) -> PalateError | None:
    """Return the refusal of a name that is no text: bytes that are no UTF-8 come as halves of characters."""
    if not any("\ud800" <= letter <= "\udfff" for letter in error.object):
        return None
    start = max(0, error.start - 40)
    return InputError(
        f"A name is not {sys.getfilesystemencoding().upper()} text: {error.object[start : error.end + 40]!r}.",
        why="What is sealed and kept is text.",
        todo="Rename the file or folder, or set a locale that knows its letters: LANG=C.UTF-8",
    )


def _folder_is_gone() -> bool:
    try:
        return not Path.cwd()
    except OSError:
        return True


def _is_of_output(error: OSError) -> bool:
    """Whether it is printing that failed."""
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1] is click.echo.__code__


def _flush() -> None:
    """Write what is printed and was not written yet: at its end Python would say of a fault what nobody can read."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _write_nowhere() -> None:
    """Let what is left of the output go nowhere, so that Python does not fail on it at its end."""
    with contextlib.suppress(OSError, AttributeError):  # a stream that is closed, or none of the system's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _document(error: PalateError) -> dict[str, Any]:
    return {"error": type(error).__name__, "what": error.what, "why": list(error.why), "todo": list(error.todo)}


def _redacted(told: str | list[str]) -> str | list[str]:
    """Return what is said without secrets that were typed or printed."""
    from palate.redaction import redact_text  # only where something is refused

    return redact_text(told) if isinstance(told, str) else [redact_text(line) for line in told]


def _refuse(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        told = {name: _redacted(value) for name, value in document.items()}
        click.echo(json.dumps({"schema": "palate.error/1", **told}))
    lines = [
        f"{document['error']}: {shown_lines(document['what'])}",
        *(f"  {shown_lines(line)}" for line in (*document["why"], *document["todo"])),
    ]
    click.echo(_redacted("\n".join(lines)), err=True)


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"palate {context.info_name if context and context.parent else ''} --help".replace("  ", " ")
