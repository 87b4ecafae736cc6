"""`palate config`."""

import os
from pathlib import Path

import click

from palate.cli.common import here, json_option, put_out
from palate.store.config import PREFERENCES, read_config, user_file


@click.command("config")
@click.option("--show-origin", is_flag=True, help="Say who decided each.")
@json_option
def command(show_origin: bool, as_json: bool) -> None:
    """List preferences: flags go first, then PALATE_*, [tool.palate] in pyproject.toml, your own file, defaults."""
    preferences = read_config(Path.cwd(), os.environ)
    rows = {name: {"value": origin.value, "origin": origin.source} for name, origin in preferences.items()}
    document = {
        "schema": "palate.config/1",
        "home": str(here().home),
        "user_file": str(user_file() or ""),
        "preferences": rows,
    }
    lines = [f"home       {here().home}"]
    for name, origin in preferences.items():
        value = "not set" if origin.value is None else origin.value
        lines.append(f"{name:<10} {value!s:<10} {origin.source if show_origin else PREFERENCES[name].meaning}")
    put_out(document, lines, as_json=as_json)
