"""Look-ups by text, counted in small sources."""

import pytest
from benchmarks.lookups import record_lookups, row_lookups

RECORDS = """
def f(record, story, verdicts, name, document):
    record.body["author"]
    record.body.get("anything")
    "sealed_as" in record.body
    story.void["reason"]
    verdicts[name]["raw"]
    verdicts.get(name)["kind"]
    document["author"]
    record.body["author"] = 1
    {"author": 1}
"""
ROWS = """
def f(catalog, document):
    for row in catalog.runs():
        row["exit"], row.get("seed"), row["verdict"]
    for run in document["runs"]:
        run["seed"]
"""
WRITER = """
class Thing:
    def body(self):
        return {"author": self.name}

def thing_of(body, record):
    return Thing(body["author"]), record.body["author"]
"""


@pytest.mark.parametrize(
    ("place", "text", "records", "rows"),
    [
        ("loop/a.py", RECORDS, ["author", "anything", "sealed_as", "reason", "raw", "kind"], []),
        ("ledger/records.py", RECORDS, [], []),
        ("store/a.py", RECORDS + ROWS, [], []),
        ("loop/b.py", ROWS, [], ["exit", "seed"]),
        ("loop/c.py", WRITER, ["author"], []),
    ],
)
def test_what_is_looked_up(tmp_path, place, text, records, rows):
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert sorted(one.key for one in record_lookups(tmp_path)) == sorted(records)
    assert sorted(one.key for one in row_lookups(tmp_path)) == sorted(rows)
