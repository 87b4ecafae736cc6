"""The catalog's tables, as they are after the last migration."""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

journals = Table(
    "journals",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("bytes", Integer, nullable=False),
    Column("lost_bytes", Integer, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("key", String, nullable=False),
    Column("label", String, nullable=False),
    Column("seed", Integer),
    Column("settings", Text, nullable=False),
    Column("started_unix_s", Float, nullable=False),
    Column("elapsed_s", Float, nullable=False),
    Column("exit", String),
    Column("detail", Text, nullable=False),
    Column("integrity", String, nullable=False),
    Column("lost_points", Integer),
    Column("why_lost", Text, nullable=False),
)
Index("runs_by_key", runs.c.key, runs.c.seed)
Index("runs_by_label", runs.c.label, runs.c.started_unix_s)
Index("runs_by_start", runs.c.started_unix_s)

summaries = Table(
    "summaries",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("metric", String, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("last", Float),
    Column("last_text", String),
    Column("least", Float),
    Column("most", Float),
    Column("last_step", Integer, nullable=False),
)
Index("summaries_by_metric", summaries.c.metric)

series = Table(
    "series",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("metric", String, primary_key=True),
    Column("points", LargeBinary, nullable=False),
)

sealed = Table(
    "sealed",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("hash", String, nullable=False),
)
