"""Who forecasts: as given, as configured, or the login name; light to import."""

import getpass
import os
from collections.abc import Mapping

from palate.ledger.records import Author
from palate.store.config import PreferenceSource


def author_of(config: Mapping[str, PreferenceSource], name: str | None = None, agent: bool | None = None) -> Author:
    """Return who forecasts: as given, else as configured, else the login name; and whether it is an agent."""
    is_agent = bool(config["agent"].value) if agent is None else agent
    return Author(name=name or str(config["author"].value or _login_name()), agent=is_agent)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return f"user {os.getuid()}"
