"""Secrets planted where people have them: 200 of 20 kinds by 8 ways in, and how many reach the store."""

import base64
import gzip
import importlib.util
import json
import os
import random
import string
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from palate.recipe.codec import Secret
from palate.redaction import find_secrets, sealed_all
from palate.redaction.values import hidden

CONFIGS = Path(__file__).parents[2] / "shared" / "data" / "configs"
"""Public configurations, where they are there, beside the project: in none is a secret."""

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
WAYS = ("constant", "argparse", "settings", "change", "argument", "environment", "file", "printed")
EXCEPTIONS = 5
"""Of what is printed, how many are the text of an exception that ends a run which was started by hand."""


def _some(rng: random.Random, letters: str, count: int) -> str:
    """Return random text that has a capital, a small letter and a digit where its letters have them."""
    while True:
        text = "".join(rng.choice(letters) for _ in range(count))
        if all(any(map(kind, text)) or not any(map(kind, letters)) for kind in (str.isupper, str.islower, str.isdigit)):
            return text


def _jwt(rng: random.Random) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": _some(rng, HEX, 8)})
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{body}.{_some(rng, LETTERS, 43)}"


def _words(rng: random.Random) -> str:
    first = rng.choice(["hunter", "tiger", "lemon", "zebra"])
    return f"{first}-{_some(rng, string.ascii_lowercase, 5)}-{rng.randrange(10, 99)}"


KINDS: dict[str, Callable[[random.Random], str]] = {
    "AWS access key": lambda r: f"AKIA{_some(r, string.ascii_uppercase + string.digits, 16)}",
    "AWS secret key": lambda r: _some(r, LETTERS + "+", 40),
    "GitHub classic": lambda r: f"ghp_{_some(r, LETTERS, 36)}",
    "GitHub fine-grained": lambda r: f"github_pat_{_some(r, LETTERS, 22)}_{_some(r, LETTERS, 59)}",
    "OpenAI": lambda r: f"sk-proj-{_some(r, LETTERS, 48)}",
    "Anthropic": lambda r: f"sk-ant-api03-{_some(r, LETTERS + '_-', 93)}AA",
    "Hugging Face": lambda r: f"hf_{_some(r, LETTERS, 34)}",
    "W&B": lambda r: _some(r, HEX, 40),
    "Slack": lambda r: f"xoxb-{_some(r, string.digits, 12)}-{_some(r, string.digits, 13)}-{_some(r, LETTERS, 24)}",
    "Google API": lambda r: f"AIza{_some(r, LETTERS + '_-', 35)}",
    "Stripe": lambda r: f"sk_live_{_some(r, LETTERS, 24)}",
    "SendGrid": lambda r: f"SG.{_some(r, LETTERS, 22)}.{_some(r, LETTERS, 43)}",
    "Twilio": lambda r: f"SK{_some(r, HEX, 32)}",
    "npm": lambda r: f"npm_{_some(r, LETTERS, 36)}",
    "PyPI": lambda r: f"pypi-AgEIcHlwaS5vcmc{_some(r, LETTERS + '_-', 120)}",
    "GitLab": lambda r: f"glpat-{_some(r, LETTERS, 20)}",
    "JWT": _jwt,
    "database URL": lambda r: f"postgresql://ada:{_some(r, LETTERS, 14)}@db.example.com:5432/runs",
    "Telegram": lambda r: f"{_some(r, '123456789', 10)}:AA{_some(r, LETTERS + '_-', 33)}",
    "password": _words,
}
"""A secret of each kind, in its format, from a source of random numbers."""

NEEDS_A_NAME = frozenset({"AWS secret key", "W&B", "password"})
"""Kinds whose form alone says nothing, or too little: they are known by their names."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A secret that is planted: its kind, its text, and the number by which its names differ from those of others."""

    kind: str
    text: str
    number: int

    @property
    def part(self) -> str:
        """What must not be found: of a URL, its password."""
        return self.text.split(":")[2].split("@")[0] if self.kind == "database URL" else self.text

    def name(self, secret: Sequence[str], plain: str) -> str:
        """Return a name: one of those that say it is secret, or a plain one for every other secret that has a form."""
        named = secret[self.number // len(WAYS) % len(secret)]
        return f"{plain if self.number % 2 and self.kind not in NEEDS_A_NAME else named}_{self.number}"

    def printed(self) -> str:
        """Return what is printed of it: with a name in one of the ways in which people do, or alone."""
        named = self.number % 2 == 0 or self.kind in NEEDS_A_NAME
        return PRINTS[self.number // len(WAYS) % len(PRINTS)].format(self.text) if named else self.text


def plant(count: int, seed: int = 0) -> list[Planted]:
    """Return secrets of each kind in turn."""
    rng, kinds = random.Random(seed), list(KINDS)
    return [Planted(kinds[i % len(kinds)], KINDS[kinds[i % len(kinds)]](rng), i) for i in range(count)]


CONSTANTS = ("API_KEY", "DB_PASS", "LICENCE_KEY", "Passwort", "CLIENT_SECRET")
FLAGS = ("db-password", "user-pw", "ssh-pass", "contrasena")
SETTINGS = ("token", "pass_word", "wifi_psk", "mot_de_passe")
VARIABLES = ("SERVICE_TOKEN", "SMTP_PASS", "COMET_KEY", "DB_PASS")
MEMBERS = ("password", "kennwort", "пароль", "pass_phrase")
PRINTS = ("password={}", "Passwort: {}", "{{'db_pass': '{}', 'lr': 3}}", "<password>{}</password>", "password -> {}")
"""Names under which secrets are planted, and how those that need a name are printed."""

SCRIPT = """
import argparse, json, os, random
import palate
{constants}
lift = 0.0
seed = 0
parser = argparse.ArgumentParser()
{flags}
arguments, rest = parser.parse_known_args()
settings = palate.settings({settings})
variables = [os.environ[name] for name in {variables}]
services = json.load(open("services.json"))
random.seed(seed)
for line in {printed}:
    print(line)
for step in range(3):
    palate.log(step, val_acc=.5 + lift + random.gauss(0, .01))
"""

BY_HAND = """
import os, palate
palate.log(0, loss=1.0)
raise RuntimeError("refused: " + os.environ["TOLD"])
"""


def plant_project(folder: Path, secrets: Sequence[Planted], *, prints: bool) -> tuple[list[str], dict[str, str]]:
    """Write a training that holds secrets by all ways; return the words behind `palate`, and the environment.

    Args:
        folder: where to.
        secrets: of which each way gets as many.
        prints: whether the training prints its share.
    """
    by_way = {way: list(secrets[place :: len(WAYS)]) for place, way in enumerate(WAYS)}
    variables = {one.name(VARIABLES, "ENDPOINT"): one.text for one in by_way["environment"]}
    printed = [one.printed() for one in by_way["printed"][EXCEPTIONS:]]
    settings = [f"{one.name(SETTINGS, 'note')}={one.text!r}" for one in by_way["settings"]]
    settings += [f"{one.name(('secret',), 'remark')}='none'" for one in by_way["change"]]
    (folder / "train.py").write_text(
        SCRIPT.format(
            constants="\n".join(f"{one.name(CONSTANTS, 'NOTE')} = {one.text!r}" for one in by_way["constant"]),
            flags="\n".join(
                f"parser.add_argument('--{one.name(FLAGS, 'label').replace('_', '-')}', default={one.text!r})"
                for one in by_way["argparse"]
            ),
            settings=", ".join(settings),
            variables=list(variables),
            printed=printed if prints else [],
        )
    )
    services = {one.name(MEMBERS, "url"): one.text for one in by_way["file"]}
    people = {"credentials": {f"person {one.number}": one.text for one in by_way["file"]}}
    (folder / "services.json").write_text(json.dumps({"services": services, **people}))
    (folder / "by_hand.py").write_text(BY_HAND)
    words = ["run", "train.py", "-c", "lift=.3", "--metric", "val_acc", "--pairs", "2"]
    for one in by_way["change"]:
        words += ["-c", f"{one.name(('secret',), 'remark')}={one.text}"]
    words += ["--forecast", "better:80", "--why", f"token={by_way['change'][0].text}", "--"]
    for one in by_way["argument"]:
        flag = f"--{one.name(FLAGS, 'password').replace('_', '-')}"
        words += [f"{flag}={one.text}"] if one.number % 3 == 0 else [flag, one.text]
    told = {f"TOLD_{one.number}": f"password={one.text}" for one in by_way["printed"][:EXCEPTIONS]}
    return words, {**variables, **told}


def found_in(folder: Path, secrets: Sequence[Planted]) -> list[tuple[str, str]]:
    """Search all files under a folder, byte by byte; return the kind and the file of each secret that is there."""
    parts = [(one.kind, one.part.encode()) for one in secrets]
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found += [(kind, str(path.relative_to(folder))) for kind, part in parts if part in content]
    return found


def run_planted(folder: Path, secrets: Sequence[Planted]) -> tuple[list[tuple[str, str]], str]:
    """Run a training with planted secrets; return what of them is in its store, and what palate printed.

    What is shown and exported is put beside the store's files, so that it is searched too.
    """
    prints = importlib.util.find_spec("palate.training.output") is not None
    words, more = plant_project(folder, secrets, prints=prints)
    told = {name: text for name, text in more.items() if name.startswith("TOLD_")}
    environment = {**os.environ, **more, "PALATE_HOME": str(folder / ".palate"), "PALATE_SALT": "salt"}
    for name in told:
        del environment[name]
    shown = folder / ".palate" / "shown"

    def call(*words: str, **options: Any) -> str:
        return subprocess.run(
            [sys.executable, "-m", "palate", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
            **options,
        ).stdout

    put = [call(*words)]
    for text in told.values():
        subprocess.run(
            [sys.executable, "by_hand.py"],
            cwd=folder,
            env={**environment, "TOLD": text},
            capture_output=True,
            timeout=60,
            check=False,
        )
    runs = [path.name for path in (folder / ".palate" / "runs").iterdir()]
    put += [call("show", "--json"), call("list"), call("verify"), call("doctor", "--json"), call("list", "--runs")]
    put += [call("show", run, "--json") for run in runs[:4]]
    call("forecast", "last", "--export", "export.json")
    shown.write_text("\n".join([*put, (folder / "export.json").read_text()]))
    return found_in(folder / ".palate", secrets), "\n".join(put)


def false_redactions() -> int:
    """Count what is taken for a secret in public configurations: as values, and as text."""
    count = 0
    for file in sorted(CONFIGS.glob("*.gz")):
        with gzip.open(file, "rt") as lines:
            for line in lines:
                config = json.loads(line)["config"]
                count += sum(isinstance(one, Secret) for one in hidden(sealed_all(config)))
                count += len(find_secrets(json.dumps(config, indent=1)))
    return count


def secret_rows() -> Iterator[Row]:
    """Yield how many planted secrets reach the store, and how much that is none is taken for one."""
    secrets = plant(200)
    with tempfile.TemporaryDirectory() as folder:
        found, _ = run_planted(Path(folder), secrets)
    yield Row(name="secrets planted, of 20 kinds by 8 ways", measured=len(secrets))
    yield Row(name="of them found in the store, byte by byte", measured=len(found), target=0)
    if CONFIGS.exists():
        name = "taken for secrets in 660 public configurations"
        yield Row(name=name, measured=false_redactions(), target=0)
