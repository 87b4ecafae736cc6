"""What a script's command line was read as, whichever library read it; standard library only.

Each library is changed when the script imports it, in the one place that all its ways lead through. What is read goes
on unchanged; a library whose inside is another one is left alone, and then nothing is known of it.
"""

import argparse
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Note = Callable[[Callable[[], Mapping[str, Any]], Mapping[str, str], list[str], Mapping[str, str]], None]
"""Is told of the values now in force by name, the names by flag, the words that were left, and the types by name."""

Watching = Callable[[Any], None]


def watch_argparse(note: Note) -> None:
    """Watch argparse, and what is built on it: simple-parsing, HfArgumentParser."""
    original = argparse.ArgumentParser.parse_known_args

    def parse_known_args(self: Any, args: Any = None, namespace: Any = None) -> Any:
        values, left = original(self, args, namespace)
        if hasattr(values, "__dict__"):
            flags = {flag: action.dest for action in self._actions for flag in action.option_strings}
            types = {a.dest: getattr(a.type, "__name__", "") for a in self._actions if a.type is not None}
            note(lambda: vars(values), flags, left, types)
        return values, left

    argparse.ArgumentParser.parse_known_args = parse_known_args  # type: ignore[method-assign]


def watching(note: Note) -> dict[str, Watching]:
    """Return what watches each other library, by the module that is waited for."""
    return {
        "click.core": functools.partial(_watch_click, note),
        "typer._click.core": functools.partial(_watch_click, note),
        "absl.flags._flagvalues": functools.partial(_watch_absl, note),
        "jsonargparse._core": functools.partial(_watch_jsonargparse, note),
        "fire.core": functools.partial(_watch_fire, note),
        "tyro._backends._tyro_backend": functools.partial(_watch_tyro, note),
    }


def _after(place: Any, name: str, then: Callable[..., None]) -> None:
    """Let a function be followed by another one, which gets its result and its arguments, and whose faults are nothing.

    The libraries' inside may be another one tomorrow: then nothing is known, and the script goes on.
    """
    original = getattr(place, name, None)
    if original is None:
        return

    @functools.wraps(original)
    def followed(*arguments: Any, **keywords: Any) -> Any:
        result = original(*arguments, **keywords)
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            then(result, *arguments, **keywords)
        return result

    setattr(place, name, followed)


def _watch_click(note: Note, module: Any) -> None:
    def read(_: Any, command: Any, context: Any, *__: Any) -> None:
        flags = {flag: one.name for one in command.get_params(context) for flag in (*one.opts, *one.secondary_opts)}
        note(lambda: context.params, {f: n for f, n in flags.items() if f.startswith("-")}, list(context.args), {})

    _after(module.Command, "parse_args", read)


def _watch_absl(note: Note, module: Any) -> None:
    def read(left: list[str], flags: Any, *_: Any, **__: Any) -> None:
        own = {name: flags[name] for name in flags if not _is_absls_own(flags, name)}

        def values() -> dict[str, Any]:
            return dict(pair for name, flag in own.items() for pair in _flat(name, flag.value))

        note(values, {f"--{name}": name for name in values()}, left[1:], {})

    _after(module.FlagValues, "__call__", read)


def _is_absls_own(values: Any, name: str) -> bool:
    return str(values.find_module_defining_flag(name)).startswith("absl.")


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Give what a configuration of ml_collections holds by dotted names; any other value as it is."""
    if type(value).__module__.startswith("ml_collections."):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, value


def _watch_jsonargparse(note: Note, module: Any) -> None:
    def read(values: Any, *_: Any, **__: Any) -> None:
        flat = vars(values.as_flat())
        note(lambda: flat, {f"--{name}": name for name in flat}, [], {})

    _after(module.ArgumentParser, "parse_args", read)


def _watch_fire(note: Note, module: Any) -> None:
    def read(result: Any, _: Any, function: Any) -> None:
        given, _, left = result
        names = [*function.args, *function.kwonlyargs]
        note(lambda: given, {f"--{one}": one for one in names}, list(left), {})

    _after(module, "_ParseKeywordArgs", read)


def _watch_tyro(note: Note, module: Any) -> None:
    def read(result: Any, *_: Any, **__: Any) -> None:
        values, left = {str(name): value for name, value in result[0].items()}, list(result[1] or ())
        flags = {f"--{spelled}": name for name in values for spelled in _spelled(name)}
        note(lambda: values, flags, left, {})

    _after(module.TyroBackend, "parse_args", read)


def _spelled(name: str) -> Iterator[str]:
    yield name
    yield name.replace("-", "_")
    yield name.replace("_", "-")
