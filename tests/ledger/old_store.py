"""A store as it was written before secrets were sealed."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from palate.forecast.answer import parse_forecast
from palate.forecast.chances import Chances, Reference
from palate.ledger.records import Author, Evidence, SealedForecast, question_body
from palate.question.question import build_question
from palate.question.target import find_target
from palate.recipe.codec import encode
from palate.redaction import opened
from palate.store.catalog import Catalog
from palate.store.journal import write_event
from palate.store.project import Project
from palate.vocabulary import BASELINE, TREATMENT

SECRETS = (
    "sk-proj-aB3dE5fG7hI9jK1lM3nO5pQ7",
    "hunter2",
    "tok-settings-77",
    "tok-change-88",
    "s3cr3tpw9",
    "why-4821-zz",
)
SCRIPT = (
    f"import palate\nAPI_KEY = {SECRETS[0]!r}\npassword = {SECRETS[1]!r}\n"
    f"settings = palate.settings(token={SECRETS[2]!r}, lr=.1)\nseed = 0\n"
)
ADA = Author(name="ada")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVEN = Chances(better=0.3, worse=0.3, same=0.3, crash=0.1)


def raw(target):
    """Return a target with its secrets open, as it was read then."""
    return replace(target, settings=opened(dict(target.settings)), argv=opened(target.argv))


def old_question(folder):
    """Return a question as it was built then."""
    target = raw(find_target(str(folder / "train.py"), ["--password", SECRETS[4]]))
    asked = build_question(target, {"token": SECRETS[3]}, metric="val_acc", budget=3)
    return replace(asked, changes=opened_changes(asked.changes))


def opened_changes(changes):
    return tuple(replace(one, before=opened(one.before), after=opened(one.after)) for one in changes)


def old_body(question):
    """Return what was sealed of a question then."""
    body = json.loads(json.dumps(question_body(question)))
    body.pop("kept")
    body["target"]["settings"] = {name: encode(value) for name, value in question.target.settings.items()}
    body["target"]["argv"] = list(question.target.argv)
    body["changes"] = [{"path": c.path, "before": c.before, "after": c.after} for c in question.changes]
    body["text"] = question.text
    return body


def old_store(folder):
    """Write a project as palate wrote it before; return it and its question."""
    (folder / "train.py").write_text(SCRIPT)
    project = Project(folder / ".palate")
    project.make()
    question = old_question(folder)
    project.chain.append("question", {**old_body(question), "reference": None, "commit": None}, now=START)
    reference = Reference(chances=EVEN, unit=None, members={}, weights={}, nearest=(), outcomes=0)
    forecast = SealedForecast(
        experiment=question.experiment,
        said=parse_forecast("better:80"),
        author=ADA,
        evidence=Evidence(),
        reference=reference,
        margin=None,
        seeds=(0, 3),
        nonce="0" * 32,
    )
    body = {**forecast.body(), "why": f"it says password={SECRETS[5]}"}
    project.chain.append("forecast", body, now=START + timedelta(seconds=1))
    project.chain.append(
        "skip", {"experiment": question.experiment, "author": "bob", "agent": False}, now=START + timedelta(seconds=2)
    )
    for arm in (BASELINE, TREATMENT):
        for seed in range(3):
            _old_run(project, question, arm, seed)
    tree = project.home / "trees" / "0123456789abcdef"
    tree.mkdir(parents=True)
    (tree / "train.py").write_text(SCRIPT)
    tree.with_name(f"{tree.name}.json").write_text('["train.py"]')
    with Catalog.open(project) as catalog:
        catalog.refresh()
    return project, question


def _old_run(project, question, arm, seed):
    plan = question.plan
    folder = project.run_folder(plan.run_name(arm, seed))
    settings = {name: encode(value) for name, value in plan.settings[arm].items()}
    write_event(folder / "journal", "recipe", key=plan.keys[arm], label="train", seed=seed, settings=settings)
    write_event(folder / "journal", "ending", exit="crashed", status=1, elapsed_s=1.0, detail=f"no: {SECRETS[0]}")
    (folder / "output.log").write_text(f"using {SECRETS[0]} and {SECRETS[2]}\npassword: hunter2\n")
    received = {
        "schema": "palate.received/1",
        "constants": {"API_KEY": repr(SECRETS[0]), "lr": "0.1"},
        "left": [SECRETS[4]],
    }
    (folder / "received.json").write_text(json.dumps(received))
    (folder / "model.bin").write_bytes(b"\xff\xfe\x00" + SECRETS[3].encode() + bytes(range(256)))


def holding(folder):
    """Return the files under a folder that hold any of the secrets, byte by byte."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.name for path in files if any(secret.encode() in path.read_bytes() for secret in SECRETS)]
