"""Which names say that their value is secret."""

import functools
import re

_NAMES = re.compile(
    r"(?:^|_)(?:(?:api|app|access|account|private|secret|shared|master|signing|session|service|subscription"
    r"|storage|consumer|deploy|ssh|aws|azure|gcp|google|openai|anthropic|wandb|hf|github|gitlab|encryption)_?keys?"
    r"|auth|bearer|credentials?|passwd|passphrase|passwords?|passcode|secrets?|tokens?|authorization"
    r"|connection_string|conn_str|webhook(?:_url)?|cookies?)(?:$|_?\d+$|_(?:id|value|read|write|key)$)"
    r"|(?:api|access|secret|private)_?keys?$|[a-z]_(?:pwd|pat)$|passw(?:or)?d$|passphrase$|(?:access|auth|api|bearer|bot|refresh)_?tokens?$"
)
_COUNTED = re.compile(
    r"(?:^|_)(?:pad|bos|eos|unk|mask|cls|sep|image|audio|video|special|num|max|min|n|total|new|stop|start|end|per|seen"
    r"|added|extra|class|context|query|vision|text|input|output|generated|train|tokens|sot|eot|decoder|encoder|prefix"
    r"|suffix|sentinel|first|last|next|prev|word|sub|register|latent|prompt|patch|object|visual|blank|boi|eoi)"
    r"_tokens?(?:$|_)"
)
_STRONG = re.compile(
    r"passw(?:or)?ds?|passphrase|passcode|(?:api|access|secret|private|account|shared|signing|encryption)_?keys?"
    r"|connection_string|conn_str|(?:access|auth|api|bearer|bot|refresh|hub|hf|github|gitlab)_?tokens?|client_secret"
)


def plain_name(name: str) -> str:
    """Return a name in small letters with underscores.

    >>> plain_name("--wandbApiKey")
    'wandb_api_key'
    """
    low = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip("-.\"' ")).lower()
    return re.sub(r"[-. ]+", "_", low)


@functools.lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Return whether a setting's name says that its value is secret.

    >>> [is_secret_name(name) for name in ("hub_token", "WANDB_API_KEY", "pad_token_id", "max_tokens", "tokens")]
    [True, True, False, False, False]
    """
    low = plain_name(name)
    return low != "tokens" and _COUNTED.search(low) is None and _NAMES.search(low) is not None


@functools.lru_cache(4096)
def is_strong_name(name: str) -> bool:
    """Return whether a name can mean nothing but a secret: a password, an API key; `token` can be a word of a text.

    >>> is_strong_name("DB_PASSWORD"), is_strong_name("token")
    (True, False)
    """
    return is_secret_name(name) and _STRONG.search(plain_name(name)) is not None
