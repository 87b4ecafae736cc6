"""Which names say that their value is secret."""

import functools
import re
import unicodedata

_NAMES = re.compile(
    r"(?:^|_)(?:(?:api|app|access|account|private|secret|shared|master|signing|session|service|subscription"
    r"|storage|consumer|deploy|ssh|aws|azure|gcp|google|openai|anthropic|wandb|hf|github|gitlab|encryption|comet|kaggle"
    r"|neptune|clearml|sentry|cohere|mistral|groq|pinecone|roboflow|ngc|runpod|fernet|hmac|jwt|licen[cs]e|activation)_?keys?"
    r"|auth|bearer|credentials?|passwd|pass_?phrase|pass_?words?|pass_?code|secrets?|tokens?|authorization|secret_phrase"
    r"|(?:seed|recovery|mnemonic|backup)_(?:phrase|words|codes?)|sentry_dsn|wifi_psk|pin_?code|parola|clave_api|cl[eé]_api"
    r"|(?:db|database|ssh|smtp|ftp|sftp|imap|mail|email|user|admin|root|sudo|proxy|redis|mysql|postgres|pg|mongo|vpn"
    r"|wifi|ldap|http|login|git|server|account)_(?:pass|pw)"
    r"|connection_string|conn_str|webhook(?:_url)?|cookies?)(?:$|_?\d+$|_(?:id|value|read|write|key)$)"
    r"|(?:api|access|secret|private)_?keys?$|[a-z]_(?:pwd|pat)$|pass_?w(?:or)?d$|pass_?phrase$"
    r"|(?:access|auth|api|bearer|bot|refresh)_?tokens?$"
    r"|(?:contrase[nñ]a|mot_?de_?passe|passwort|kennwort|wachtwoord|пароль|密码|密碼|senha|heslo|has[lł]o|パスワード|비밀번호)s?(?:_?\d+)?$"
)
_WEAK = re.compile(r"(?:^|_)(?:pass|pwd?|pin|psk|otp|hmac|fernet|dsn|jwt)$|^tokens$|^key$")
_KIND = re.compile(
    r"_(?:v?\d+|str|string|text|bytes|b64|base64|hex|json|tuple|list|dict|set|map|plain|raw|new|old|prod|dev|staging|live"
    r"|main)$"
)
"""What may stand behind a name: a version, or how the value is kept."""
_COUNTED = re.compile(
    r"(?:^|_)(?:pad|bos|eos|unk|mask|cls|sep|image|audio|video|special|num|max|min|n|total|new|stop|start|end|per|seen"
    r"|added|extra|class|context|query|vision|text|input|output|generated|train|tokens|sot|eot|decoder|encoder|prefix"
    r"|suffix|sentinel|first|last|next|prev|word|sub|register|latent|prompt|patch|object|visual|blank|boi|eoi)"
    r"_tokens?(?:$|_)"
)
_STRONG = re.compile(
    r"pass_?w(?:or)?ds?|pass_?phrase|pass_?code|secret_phrase|contrase[nñ]a|mot_?de_?passe|passwort|kennwort|wachtwoord"
    r"|пароль|密码|密碼|senha|heslo|has[lł]o|パスワード|비밀번호|(?:api|access|secret|private|account|shared|signing|encryption)_?keys?"
    r"|connection_string|conn_str|(?:access|auth|api|bearer|bot|refresh|hub|hf|github|gitlab)_?tokens?|client_secret"
)


def plain_name(name: str) -> str:
    """Return a name in small letters with underscores.

    >>> plain_name("--wandbApiKey")
    'wandb_api_key'
    """
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    low = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip("-.\"'` ")).lower()
    return re.sub(r"[-. ]+", "_", low)


@functools.lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Return whether a setting's name says that its value is secret.

    >>> [is_secret_name(name) for name in ("hub_token", "WANDB_API_KEY", "pad_token_id", "max_tokens", "tokens")]
    [True, True, False, False, False]
    """
    low = plain_name(name)
    if _COUNTED.search(low) is not None:
        return False
    stem = _KIND.sub("", low)
    return _names(low) or (_names(stem) and (_STRONG.search(stem) is not None or stem.endswith("secret")))


def _names(low: str) -> bool:
    return low != "tokens" and _NAMES.search(low) is not None


@functools.lru_cache(4096)
def is_weak_name(name: str) -> bool:
    """Return whether a name may be a secret's: then only text that looks like one is, and never a number.

    >>> [is_weak_name(name) for name in ("user_pw", "pass", "token_str", "pass_rate", "bypass")]
    [False, True, True, False, False]
    """
    low = plain_name(name)
    if is_secret_name(name) or _COUNTED.search(low) is not None:
        return False
    stem = _KIND.sub("", low)
    return _WEAK.search(low) is not None or (stem != low and (_WEAK.search(stem) is not None or _names(stem)))


_BESIDE = re.compile(
    r"(?:^|_)(?:user|username|login|name|email|host|hostname|port|type|kind|scheme|method|region|url|uri|endpoint"
    r"|path|file|folder|project|provider|enabled|expires|created|scope|algorithm|version|id|bucket)$"
)
"""What stands beside a secret under its name, and is none."""


def name_under(name: object, key: object) -> object:
    """Return the name that says what a member is: its own, or that of what it is in, where that covers its members.

    >>> name_under("credentials", "ada"), name_under("credentials", "user"), name_under("model", "width")
    ('credentials', 'user', 'width')
    """
    if not covers(name) or covers(key):
        return key
    beside = type(key) is str and _BESIDE.search(plain_name(key)) is not None
    return key if beside and not is_strong_name(str(name)) else name


def covers(name: object) -> bool:
    """Return whether a name says, or may say, that what is in its value is secret."""
    return type(name) is str and (is_secret_name(name) or is_weak_name(name))


@functools.lru_cache(4096)
def name_of_path(path: str) -> str:
    """Return the name that says what a setting in settings is: `credentials.ada` is one of the credentials."""
    found: object = ""
    for part in path.split("."):
        found = name_under(found, part)
    return path if is_secret_name(path) else str(found)


def word_of(name: str) -> str:
    """Return the fixed word in a name that says what it is, and nothing else of it: a text may have written anything.

    >>> word_of("MY_DB_PASSWORD"), word_of("hunter2_token")
    ('password', 'token')
    """
    low = plain_name(name)
    return next((word for word in _WORDS if word in low), "a secret's name")


_WORDS = ("password", "passwd", "pass_phrase", "passphrase", "api_key", "apikey", "access_key", "secret_key",
          "private_key", "token", "secret", "credentials", "credential", "authorization", "auth", "bearer", "cookie",
          "webhook", "pwd", "key", "pass", "pw")  # fmt: skip


@functools.lru_cache(4096)
def is_strong_name(name: str) -> bool:
    """Return whether a name can mean nothing but a secret: a password, an API key; `token` can be a word of a text.

    >>> is_strong_name("DB_PASSWORD"), is_strong_name("token")
    (True, False)
    """
    return is_secret_name(name) and _STRONG.search(plain_name(name)) is not None
