"""Secrets go out of a journal in place: as long, with the same checksums, and all else as it was."""

import json
import zlib

from hypothesis import given
from hypothesis import strategies as st

from palate.store.journal import Journal
from palate.store.mask import events_in, mask
from palate.store.reader import read_journal

TEXT = st.text(
    alphabet=st.characters(codec="ascii", exclude_characters='"\\', categories=["L", "N", "P"]), min_size=6, max_size=60
)


@given(secret=TEXT, other=TEXT, lr=st.floats(0, 1))
def test_an_event_without_its_secret_has_the_same_length_and_checksum(secret, other, lr):
    settings = {"lr": lr, "password": secret, "note": other}
    event = json.dumps(
        {"kind": "recipe", "unix_s": 1795730560.123456 + lr, "key": "", "seed": 0, "settings": settings}
    ).encode()
    start = event.index(b'"password": "') + len(b'"password": "')
    masked = mask(event, [(start, start + len(secret))])
    assert masked is not None
    assert len(masked) == len(event)
    assert zlib.crc32(masked) == zlib.crc32(event)
    assert zlib.crc32(masked, 77) == zlib.crc32(event, 77)  # wherever it stands
    read = json.loads(masked)
    assert read["settings"].pop("password") != secret
    assert read["settings"] == {"lr": lr, "note": other}


def test_a_secret_that_is_too_short_stays_and_is_told(tmp_path):
    assert mask(b'{"password":"abc"}', [(13, 16)]) is None


def test_a_journal_without_its_secrets_reads_as_before_and_can_be_written_on(tmp_path):
    journal = Journal.open(tmp_path / "journal")
    journal.event("recipe", key="k", label="l", seed=0, settings={"token": "hunter2", "lr": 0.1})
    for step in range(300):
        journal.log(step, {"loss": step / 7, "acc": 1.0})
    journal.event("ending", exit="crashed", detail="key hunter2 and 'sk-proj-aB3dE5fG7hI9jK1lM3nO5' refused\n  line")
    journal.close()
    before = read_journal(tmp_path / "journal")
    content = bytearray((tmp_path / "journal").read_bytes())
    events = list(events_in(content))
    kinds = [json.loads(content[start:end]).get("kind") for start, end in events]
    assert [kind for kind in kinds if kind] == ["start", "recipe", "ending"]
    for start, end in events:
        event = bytes(content[start:end])
        spans = [
            (event.index(text), event.index(text) + len(text))
            for text in (b"hunter2", b"sk-proj-aB3dE5fG7hI9jK1lM3nO5")
            if text in event
        ]
        content[start:end] = mask(event, spans) if spans else event
    (tmp_path / "journal").write_bytes(content)
    assert b"hunter2" not in content and b"sk-proj" not in content
    after = read_journal(tmp_path / "journal")
    assert after.lost_bytes == 0
    assert (after.curves["loss"].values == before.curves["loss"].values).all()
    assert after.last_event("recipe")["settings"]["lr"] == 0.1
    assert after.last_event("ending")["detail"].startswith("key *")
    again = Journal.open(tmp_path / "journal")
    again.log(300, {"loss": 1.0, "acc": 1.0})
    again.close()
    assert len(read_journal(tmp_path / "journal").curves["loss"]) == 301
