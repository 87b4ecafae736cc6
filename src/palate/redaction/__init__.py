"""Redaction: how secrets are recognised, and the keyed hash that is kept instead of them; standard library only.

`names` tells secrets by what they are called, `shapes` by their form, `text` finds both in any text, and `values`
replaces them in values by a keyed hash. Everything that writes into the store goes through here.
"""

from palate.redaction.names import is_secret_name
from palate.redaction.text import REDACTED, Found, Lines, find_secrets, redact_data, redact_text
from palate.redaction.values import (
    SALT,
    is_open,
    is_secret,
    known_secrets,
    opened,
    seal_secret,
    sealed,
    sealed_all,
    sealed_text,
    secrets_in,
    with_spellings,
)

__all__ = [
    "REDACTED",
    "SALT",
    "Found",
    "Lines",
    "find_secrets",
    "is_open",
    "is_secret",
    "is_secret_name",
    "known_secrets",
    "opened",
    "redact_data",
    "redact_text",
    "seal_secret",
    "sealed",
    "sealed_all",
    "sealed_text",
    "secrets_in",
    "with_spellings",
]
