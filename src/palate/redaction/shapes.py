"""Secrets by their form: the formats of known keys, and text that only a random generator writes."""

import base64
import binascii
import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

KEY = r"(?<![A-Za-z0-9_])"
"""What stands before a key: nothing that could be the rest of a word, as in `task-1` or `disk-3`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The format of a kind of key.

    Attributes:
        kind: what it is, as a person calls it.
        hints: texts of which one is in every text that has such a key; looked for before anything else.
        pattern: of the key; its group `it`, where it has one, is the secret part.
        rotate: where it is made anew.
        holds: whether what the pattern found is one.
        short: whether it can stand in a line of short words.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: str
    rotate: str = ""
    holds: Callable[[str], bool] = lambda _: True
    short: bool = False


@functools.lru_cache(1024)
def _is_mixed(text: str) -> bool:
    """Whether a key's body has letters and digits, and a run of them that is no word with dashes."""
    longest = max(map(len, re.findall(r"[A-Za-z0-9]+", text)), default=0)
    return bool(re.search(r"\d", text) and re.search(r"[A-Za-z]", text)) and longest >= 10


_PLACEHOLDER = re.compile(r"[${%<]|(?i:pass(?:word|wd)?|pwd?|secret|token|x+|\*+|user)$")
"""What stands in an example of a URL for its password."""

_NEXT = r"""["'],\s*["'](?=-----|[A-Za-z0-9+/=]{16,}|[A-Za-z0-9+/=]+(?:\\n)?["'],\s*["']-----END)"""
"""Between two lines of a key in a list of lines."""

SHAPES = (
    Shape("W&B key", ("login",), r"login(?:\(\s*(?:key\s*=\s*)?[\"']| (?:--\w+ )?)(?P<it>[0-9a-f]{40})\b",
          "wandb.ai/authorize"),
    Shape("AWS access key", ("AKIA", "ASIA"), r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
          "AWS IAM console"),
    Shape("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), KEY + r"gh[pousr]_[A-Za-z0-9]{16,}",
          "github.com/settings/tokens"),
    Shape("GitHub fine-grained token", ("github_pat_",), KEY + r"github_pat_[A-Za-z0-9_]{20,}",
          "github.com/settings/tokens"),
    Shape("Anthropic key", ("sk-ant-",), KEY + r"sk-ant-[A-Za-z0-9_-]{16,}", "console.anthropic.com"),
    Shape("OpenAI key", ("sk-",), r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{16,}", "platform.openai.com/api-keys",
          lambda text: _is_mixed(text[3:])),
    Shape("Hugging Face token", ("hf_",), KEY + r"hf_[A-Za-z0-9]{16,}", "huggingface.co/settings/tokens"),
    Shape("W&B key", ("wandb_v1_",), KEY + r"wandb_v1_[A-Za-z0-9_-]{16,}", "wandb.ai/authorize"),
    Shape("W&B key", ("wandb",), r"(?i)wandb\s+login\s+(?:--?[\w-]+\s+)*(?P<it>[0-9a-f]{40})", "wandb.ai/authorize"),
    Shape("Slack token", ("xox",), KEY + r"xox[abeoprs]-[A-Za-z0-9-]{10,}", "api.slack.com/apps", short=True),
    Shape("Slack webhook", ("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows)/(?P<it>[\w/-]{10,})",
          "api.slack.com/apps"),
    Shape("Google API key", ("AIza",), KEY + r"AIza[A-Za-z0-9_-]{35}", "console.cloud.google.com"),
    Shape("Google OAuth", ("ya29.", "GOCSPX-"), KEY + r"(?:ya29\.|GOCSPX-)[A-Za-z0-9_-]{16,}",
          "console.cloud.google.com"),
    Shape("Stripe key", ("k_live_", "k_test_", "whsec_"),
          KEY + r"(?:[spr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}", "dashboard.stripe.com/apikeys"),
    Shape("SendGrid key", ("SG.",), KEY + r"SG\.[A-Za-z0-9_-]{18,}\.[A-Za-z0-9_-]{18,}", "app.sendgrid.com"),
    Shape("Twilio key", ("SK",), r"(?<![A-Za-z0-9])SK[0-9a-f]{32}(?![A-Za-z0-9])", "console.twilio.com"),
    Shape("npm token", ("npm_",), KEY + r"npm_[A-Za-z0-9]{30,}", "npmjs.com/settings"),
    Shape("PyPI token", ("pypi-",), r"(?<![A-Za-z0-9_-])pypi-[A-Za-z0-9_-]{40,}", "pypi.org/manage/account"),
    Shape("GitLab token", ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-"),
          KEY + r"gl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_-]{16,}", "gitlab.com/-/user_settings"),
    Shape("JWT", ("eyJ",), r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{6,}",
          "whoever issued it"),
    Shape("private key", ("PRIVATE KEY",),
          r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----"
          r"(?:[\w+/=\s:,.-]|\\[nr]|" + _NEXT + r")*?"
          r"(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|(?!" + _NEXT + r")(?=[\"'<])|\Z)",
          "where its public half is installed"),
    Shape("private key", ("Private-Lines",), r"Private-Lines: \d+\s*\n(?P<it>(?:[A-Za-z0-9+/=]{1,76}(?:\r?\n|\Z))+)",
          "where its public half is installed"),
    Shape("Azure key", ("AccountKey=", "SharedAccessKey=", "SharedAccessSignature="),
          r"(?:AccountKey|SharedAccessKey|SharedAccessSignature)=(?P<it>[A-Za-z0-9+/=%& ]{20,})", "portal.azure.com"),
    Shape("Azure SAS", ("sig=",), r"[?&;]sig=(?P<it>[A-Za-z0-9%+/=_-]{20,})", "portal.azure.com"),
    Shape("signed URL", ("Signature=",), r"[?&](?:X-(?:Amz|Goog)-)?Signature=(?P<it>[A-Za-z0-9%+/=_-]{20,})",
          "it expires by itself"),
    Shape("password in a URL", ("://",), r"[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/:@\"'<>]{0,80}:(?P<it>[^\s/@\"'<>]{1,200})@",
          "the server that it is for", lambda text: not _PLACEHOLDER.match(text), short=True),
    Shape("password in a URL", ("://",), r"[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/:@\"'<>]{1,80}:(?P<it>(?!\d{1,5}/)[^\s@\"'<>]{1,200})@",
          "the server that it is for", lambda text: "/" in text and "://" not in text and not _PLACEHOLDER.match(text),
          short=True),
    Shape("token in a URL", ("://",), r"https?://(?P<it>[^\s/:@\"'<>]{12,200})@", "the server that it is for",
          _is_mixed),
    Shape("password of a command", ("curl",),
          r"\bcurl\b[^\n|;&]{0,300}?\s(?:-u|--user)[\s=]*[\"']?[^\s:\"']{1,80}:(?P<it>[^\s\"']{3,200})",
          "the server that it is for", lambda text: not _PLACEHOLDER.match(text), short=True),
    Shape("password of a command", ("sshpass",), r"\bsshpass\s+-p\s*[\"']?(?P<it>[^\s\"']{3,200})",
          "the server that it is for", lambda text: not _PLACEHOLDER.match(text), short=True),
    Shape("password of a command", ("mysql",), r"\bmysql\w*\b[^\n|;&]{0,300}?\s-p(?P<it>[^\s\"']{3,200})",
          "the server that it is for", lambda text: not _PLACEHOLDER.match(text), short=True),
    Shape("password in a sentence", ("assword is ", "asswort ist ", "pi key: ", "PI key: ", "PI Key: "),
          r"(?i:password is|passwort ist|\bapi key:)\s+[\"'`]?(?P<it>[^\s\"'`,;]{6,200})", "whoever issued it",
          lambda text: bool(re.search(r"\d", text) and re.search(r"[A-Za-z]", text)), short=True),
    Shape("Telegram bot token", (":AA",), r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{32,34}", "@BotFather"),
    Shape("Discord token", (".",),
          r"[MNO](?<![\w.-][MNO])[DTjz][A-Za-z0-9_-]{22,24}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
          "discord.com/developers"),
    Shape("Discord webhook", ("/api/webhooks/",), r"/api/webhooks/\d+/(?P<it>[\w-]{20,})", "Discord server settings"),
    Shape("authorization header", ("earer ", "asic "),
          r"(?i)\b(?:bearer|authorization[\"']?\s*[:=]\s*[\"']?basic)\s+(?P<it>[A-Za-z0-9._~+/=-]{6,})", "",
          lambda text: bool(re.search(r"\d|[A-Z].*[a-z].*[A-Z]", text)), short=True),
    Shape("netrc password", ("password ",), r"\blogin\s+\S+\s+password\s+(?P<it>\S+)", "the machine of that line",
          short=True),
    Shape("API key", ("dapi", "dop_v1_", "gsk_", "xai-", "nvapi-", "shpat_", "lin_api_", "ntn_", "hvs.", "dckr_pat_",
                      "sbp_", "pplx-", "ATATT3", "glsa_", "r8_", "tskey-", "rpa_", "AGE-SECRET-KEY-1", "sntrys_"),
          r"(?<![A-Za-z0-9_-])(?:dapi|dop_v1_|gsk_|xai-|nvapi-|shpat_|lin_api_|ntn_|hvs\.|dckr_pat_|sbp_|pplx-|ATATT3"
          r"|glsa_|r8_|tskey-|rpa_|AGE-SECRET-KEY-1|sntrys_)[A-Za-z0-9_=-]{20,}", "whoever issued it", _is_mixed),
)  # fmt: skip

RANDOM = Shape(
    "random text", (), r"(?<![\w/+.@%:-])[A-Za-z0-9][A-Za-z0-9_+/-]{23,119}={0,2}(?![\w/+=@]|\.\w)", "whoever issued it"
)
"""What only a random generator writes."""

_HASH_BEFORE = re.compile(
    r"(?:hash|sha\d*|md5|crc\d*|blake\w*|digest|checksum|commit|rev|revision|etag|integrity|fingerprint|uuid|guid|id"
    r"|ids|sum|version|nonce|cache|build|layer|blob|file|files|path|run|name)[\"']?\s*(?:=>|[:=\- ])\s*[\"']?$",
    re.IGNORECASE,
)


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern once, when a text may have it: most never do."""
    return re.compile(pattern)


_SHORT = tuple(shape for shape in SHAPES if shape.short)


def by_shape(text: str, *, short_only: bool = False) -> Iterator[tuple[int, int, Shape]]:
    """Yield where a text has keys of known formats: from, to, which; of short ones only, in a text of short words."""
    for shape in _SHORT if short_only else SHAPES:
        if not any(hint in text for hint in shape.hints):
            continue
        pattern = compiled(shape.pattern)
        for found in pattern.finditer(text):
            group = "it" if "it" in pattern.groupindex else 0
            if shape.holds(found[group]):
                yield *found.span(group), shape


def by_randomness(text: str) -> Iterator[tuple[int, int, Shape]]:
    """Yield where a text has what only a random generator writes, and that is neither a hash nor a path nor an id."""
    for found in compiled(RANDOM.pattern).finditer(text):
        if is_random(found[0]) and _HASH_BEFORE.search(text[max(0, found.start() - 24) : found.start()]) is None:
            yield *found.span(), RANDOM


@functools.lru_cache(4096)
def is_random(text: str) -> bool:
    """Return whether a word of 24 letters or more is a key: capitals, small letters and digits in no order.

    Hashes, ids and dates in digits and small letters are none, nor are words in CamelCase, paths, or text in base64.

    >>> is_random("q7Xz1Lw9BvR4tYk2MnP8sDf6Gh"), is_random("Wav2Vec2ForSequenceClassification")
    (True, False)
    >>> is_random("9f86d081884c7d659a2feaa0c55ad015"), is_random("aGVsbG8gd29ybGQgdGhpcyBpcyB0ZXh0")
    (False, False)
    """
    counts = (sum(map(str.isupper, text)), sum(map(str.islower, text)), sum(map(str.isdigit, text)))
    if min(counts, default=0) < 2 or len(text) < 2 or counts[0] < 3 or counts[1] < 3:
        return False
    parts = re.findall(r"[A-Za-z0-9]+", text)
    if max(map(len, parts)) < 12 or len(parts) > 2 + len(text) / 12:  # a path, or words with dashes
        return False
    if sum(map(len, re.findall(r"[A-Z]?[a-z]{2,}", text))) > 0.7 * len(text):  # words in CamelCase
        return False
    pairs = [(_kind(a), _kind(b)) for part in parts for a, b in itertools.pairwise(part)]
    turns = sum(a != b for a, b in pairs) / len(pairs)
    return turns >= 0.42 and _entropy(text) >= 0.72 * math.log2(len(text)) and not _is_text_in_base64(text)


def _kind(character: str) -> int:
    if character.isdigit():
        return 0
    return 1 if character.isupper() else 2


def _entropy(text: str) -> float:
    """Return the entropy of a text's characters, in bits a character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _is_text_in_base64(text: str) -> bool:
    whole = text.rstrip("=")
    whole = whole[: len(whole) // 4 * 4]
    try:
        content = base64.b64decode(whole.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return False
    zeros = content.count(0) / len(content)  # small numbers in 4 or 8 bytes
    return zeros > 0.2 or all(32 <= byte < 127 or byte in (9, 10, 13) for byte in content)
