"""Redaction: how secrets are recognised, and the salted hash that is kept instead of them; standard library only."""

import functools
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Any

from palate.recipe.codec import Secret

_NAMES = re.compile(
    r"(?:^|_)(?:(?:api|access|private|secret|ssh|aws|openai|wandb|hf|encryption)_?keys?|auth|bearer|credentials?|passwd"
    r"|passphrase|passwords?|pat|secrets?|tokens?|authorization)(?:$|_(?:id|value|read|write|key)$)"
)
_COUNTED = re.compile(
    r"(?:^|_)(?:pad|bos|eos|unk|mask|cls|sep|image|audio|video|special|num|max|min|n|total|new|stop|start|end|per|seen"
    r"|added|extra|class|context|query|vision|text|input|output|generated|train|tokens)_tokens?(?:$|_)"
)
_VALUES = re.compile(
    r"^(?:hf_|sk-|ghp_|gho_|github_pat_|xox[abp]-|AKIA|Bearer )[A-Za-z0-9_\-./+= ]{4,}"
    r"|://[^/\s:@]+:[^/\s@]+@|authorization:\s*\S+",
    re.IGNORECASE,
)

SALT = "PALATE_SALT"
"""The environment variable that sets the salt."""


def is_secret_name(name: str) -> bool:
    """Return whether a setting's name says that its value is secret.

    >>> [is_secret_name(name) for name in ("hub_token", "WANDB_API_KEY", "pad_token_id", "max_tokens", "tokens")]
    [True, True, False, False, False]
    """
    low = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_")
    return low != "tokens" and _COUNTED.search(low) is None and _NAMES.search(low) is not None


def is_secret(name: object, value: object) -> bool:
    """Return whether a value is secret, by its name or by its form; numbers and booleans never are."""
    if isinstance(value, str):
        named = type(name) is str and is_secret_name(name) and value != ""
        return named or _VALUES.search(value) is not None
    has_members = isinstance(value, list | tuple | bytes) and len(value) > 0
    return has_members and type(name) is str and is_secret_name(name)


def seal_secret(value: Any) -> Secret:
    """Hash a secret with this machine's salt."""
    return Secret(hash=hashlib.blake2b(repr(value).encode(), key=_salt()[:64], digest_size=16).hexdigest())


def redact_text(text: str) -> str:
    """Return a text with what looks like a secret replaced by `<secret>`."""
    return _VALUES.sub("<secret>", text)


@functools.cache
def _salt() -> bytes:
    """Return the salt of this person's secrets; it is made once and kept next to their preferences."""
    if os.environ.get(SALT):
        return os.environ[SALT].encode()
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = base / "palate" / "salt"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32))
        return path.read_text().encode()
    except OSError:
        return secrets.token_bytes(32)  # the salt cannot be kept, so secrets of two sessions cannot be compared
