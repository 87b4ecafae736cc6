"""Secrets are never kept: a salted hash tells whether two are the same, and nothing else."""

import functools
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Any

from palate.recipe.codec import Secret

_NAMES = re.compile(
    r"(?:^|_)(?:token|api_?key|secret|password|passwd|access_?key|private_?key|credentials?|auth)(?:$|_(?:id|value)$)"
)
_PUBLIC = ("pad_token", "bos_token", "eos_token", "unk_token", "mask_token", "cls_token", "sep_token", "num_token")
SALT = "PALATE_SALT"


def is_secret_name(name: str) -> bool:
    """Whether a setting's name says that its value must not be written down.

    >>> [is_secret_name(name) for name in ("hub_token", "WANDB_API_KEY", "pad_token_id", "max_tokens")]
    [True, True, False, False]
    """
    low = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_")
    return not low.startswith(_PUBLIC) and _NAMES.search(low) is not None


def seal_secret(value: Any) -> Secret:
    """Hash a secret with this machine's salt."""
    return Secret(hash=hashlib.blake2b(repr(value).encode(), key=_salt()[:64], digest_size=16).hexdigest())


@functools.cache
def _salt() -> bytes:
    """Give the salt that this person's secrets are hashed with; made once, kept beside their preferences."""
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
        return secrets.token_bytes(32)  # without a salt that lasts, secrets of two sessions cannot be compared
