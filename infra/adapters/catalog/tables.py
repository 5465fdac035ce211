"""The catalog's tables: the one transactional truth. Everything else is derived or content-addressed.

Portable SQL only (SQLite now, PostgreSQL next). Times are ISO 8601 UTC text; `born`/`died` are snapshot numbers and
reading snapshot N means `born <= N and (died is null or died > N)`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

assistants = Table(
    "assistants",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("current_release", String(32)),
    Column("created_at", String(32), nullable=False),
)

catalog_identity = Table(  # one row: which catalog this is, so that an index knows whose it is
    "catalog_identity",
    metadata,
    Column("id", String(32), primary_key=True),
)

# ── documents ────────────────────────────────────────────────────────────────────────────────────────────────────────

sources = Table(
    "sources",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),  # the first is "docs": its documents' URIs carry no prefix
    Column("uri", Text, nullable=False),  # absolute path, s3://…, git+…
    Column("added_at", String(32), nullable=False),
    Column("include", JSON, nullable=False, server_default="[]"),  # globs
    Column("exclude", JSON, nullable=False, server_default="[]"),
)

documents = Table(
    "documents",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("uri", String(1024), primary_key=True),
    Column("born", Integer, primary_key=True),
    Column("died", Integer),
    Column("source", String(63), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("chunk_ids", JSON, nullable=False),  # in reading order: neighbours are found here
    Column("digest", String(64), nullable=False, server_default=""),  # of URI, content hash and chunk ids
    Column("chunk_count", Integer, nullable=False, server_default="0"),
    Column("pipeline", String(128), nullable=False, server_default=""),  # what cut it
)

file_hints = Table(  # a cache: lets a scan skip hashing files whose hint did not change; never decides alone
    "file_hints",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("source", String(63), primary_key=True),
    Column("uri", String(1024), primary_key=True),
    Column("hint", String(256), nullable=False),
    Column("content_hash", String(64), nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("uri", String(1024), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("parser", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", String(32), nullable=False),
    Column("tries", Integer, nullable=False, server_default="1"),
    Column("retry_at", Float),  # seconds since the epoch
)

chunks = Table(
    "chunks",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("born", Integer, primary_key=True),
    Column("died", Integer),
    Column("document", String(1024), nullable=False),
    Column("heading_path", JSON, nullable=False),
    Column("text", Text, nullable=False),
    Column("page", Integer),
    Column("vector_key", String(64), nullable=False),
)

vectors = Table(  # computed once in their life: shared by all paths, snapshots and assistants
    "vectors",
    metadata,
    Column("key", String(64), primary_key=True),  # hash of (embedder fingerprint, embedded text)
    Column("vector", LargeBinary, nullable=False),  # little-endian float32
)

parses = Table(
    "parses",
    metadata,
    Column("content_hash", String(64), primary_key=True),
    Column("parser", String(128), primary_key=True),
    Column("kind", String(64), primary_key=True),  # what the file name says the bytes are: ".md", ".docx"
    Column("elements", LargeBinary, nullable=False),  # zlib of JSON
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("token", Integer, nullable=False),  # the fencing token of the run that builds or built it
    Column("manifest_hash", String(64), nullable=False),
    Column("pipeline", String(128), nullable=False),
    Column("collection", String(128), nullable=False),
    Column("documents", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("published_at", String(32)),
    Column("reclaimed_at", String(32)),  # when vacuum deleted what only this snapshot could read
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(160), primary_key=True),
    Column("holder", String(160), nullable=False),
    Column("token", Integer, nullable=False),  # grows by one with every holder, never goes back
    Column("expires_at", Float, nullable=False),  # seconds since the epoch
)

# ── labels and training ──────────────────────────────────────────────────────────────────────────────────────────────

labels = Table(
    "labels",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("seq", Integer, nullable=False),  # import order
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("documents", JSON, nullable=False),
    Column("unanswerable", Boolean, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("messages", JSON),  # the whole conversation, when the label came as one
    Column("split", String(16)),
    Column("state", String(16), nullable=False),
    Column("reason", Text),  # why pending or rejected
    Column("created_at", String(32), nullable=False),
    Column("contributor", String(160)),  # who gave it, where that is known
)

golden_sets = Table(
    "golden_sets",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(32), primary_key=True),  # `g-` + hash of the sorted label ids
    Column("label_ids", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
)

trainings = Table(
    "trainings",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),  # hash of (rows, trainer fingerprint): the same intent, once
    Column("state", String(16), nullable=False),  # running, succeeded, failed
    Column("label_ids", JSON, nullable=False),
    Column("model", String(64)),
    Column("error", Text),
    Column("started_at", String(32), nullable=False),
    Column("finished_at", String(32)),
    Column("begun", JSON(none_as_null=True)),  # what its model is to be registered with; of a vendor's only
)

models = Table(
    "models",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(64), primary_key=True),  # adapter digest, or base digest, or hosted id
    Column("ref", JSON, nullable=False),  # ModelRef
    Column("lineage", JSON, nullable=False),  # dataset hash, label ids, trainer fingerprint, metrics
    Column("created_at", String(32), nullable=False),
)

# ── releases ─────────────────────────────────────────────────────────────────────────────────────────────────────────

releases = Table(
    "releases",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("manifest", JSON, nullable=False),
    Column("cause", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(80), primary_key=True),  # digest of the evidence bundle
    Column("seq", Integer, nullable=False),
    Column("release", String(32), nullable=False),
    Column("baseline", String(32)),  # None: first release, judged on floors alone
    Column("golden_set", String(32)),  # None: unproven
    Column("verdict", String(16), nullable=False),
    Column("summary", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
)

promotions = Table(  # append-only
    "promotions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("assistant", String(63), nullable=False, index=True),
    Column("release", String(32), nullable=False),
    Column("previous", String(32)),
    Column("kind", String(16), nullable=False),  # promote, rollback
    Column("evaluation", String(80)),
    Column("unproven", Boolean, nullable=False),
    Column("who", String(160), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", String(32), nullable=False),
    Column("overridden", JSON, nullable=False, server_default="[]"),  # gates whose doubt a person accepted
    Column("approved_by", String(160)),  # who decided in the Prefect UI
    Column("rehearsal", JSON),  # where and how it answered before it became current
)

anchors = Table(  # append-only; the newest row counts
    "anchors",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("assistant", String(63), nullable=False, index=True),
    Column("release", String(32), nullable=False),
    Column("who", String(160), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", String(32), nullable=False),
)

probes = Table(  # what a release found when it was registered: asked again after later publishes and vacuums
    "probes",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("release", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("question", Text, nullable=False),
    Column("expected", JSON, nullable=False),  # chunk ids, best first
    Column("found", JSON),  # what was found the last time it was asked again
    Column("checked_at", String(32)),
)

completions = Table(  # greedy completions by (model fingerprint, prompt, limit): asked once in their life
    "completions",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
)

judgements = Table(  # what a judge said, by (judge, what it was shown): paid for once
    "judgements",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("scores", JSON, nullable=False),
    Column("cost_usd", Float, nullable=False),
)

human_judgements = Table(  # what people said of answers: a judge is held to it
    "human_judgements",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(32), primary_key=True),  # `j-` + hash of metric, question, answer and contexts
    Column("metric", String(32), nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("ideal", Text, nullable=False),
    Column("contexts", JSON, nullable=False),  # passages as shown, in order
    Column("value", Float, nullable=False),  # 0 to 1
    Column("who", String(160)),
    Column("created_at", String(32), nullable=False),
)

preferences = Table(  # two answers to one question, one of which people prefer
    "preferences",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(32), primary_key=True),  # `p-` + hash of question, chosen, rejected and documents
    Column("seq", Integer, nullable=False),
    Column("question", Text, nullable=False),
    Column("chosen", Text, nullable=False),
    Column("rejected", Text, nullable=False),
    Column("documents", JSON, nullable=False),
    Column("split", String(16)),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("contributor", String(160)),
    Column("created_at", String(32), nullable=False),
)

ratings = Table(  # one answer that people found good or bad
    "ratings",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(32), primary_key=True),  # `v-` + hash of question, answer, documents and contributor
    Column("seq", Integer, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("value", Float, nullable=False),  # 0 to 1
    Column("comment", Text),
    Column("documents", JSON, nullable=False),
    Column("release", String(32)),  # that gave the answer, where it is known
    Column("split", String(16)),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("contributor", String(160)),
    Column("created_at", String(32), nullable=False),
)

outbox = Table(  # what has to be told to others, committed together with what made it so
    "outbox",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("assistant", String(63), nullable=False, index=True),
    Column("topic", String(63), nullable=False),  # such as labels.threshold-reached
    Column("key", String(160), nullable=False, unique=True),  # the same cause is told once
    Column("payload", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("delivered_at", String(32)),
    Column("telling", String(160)),  # the key under which it is told together with others
)

webhook_deliveries = Table(  # what was taken lately, so that the same delivery counts once
    "webhook_deliveries",
    metadata,
    Column("route", String(16), primary_key=True),  # github, gitlab, s3, generic, openai
    Column("mark", String(160), primary_key=True),  # what the sender calls it, or what it holds, by hash
    Column("received_at", Float, nullable=False, index=True),  # seconds since the epoch
)

crossings = Table(  # each time enough new labels had arrived: open until a training has consumed them
    "crossings",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("number", Integer, primary_key=True),  # 1, 2, 3 …
    Column("threshold", Integer, nullable=False),
    Column("label_ids", JSON, nullable=False),  # new at that moment
    Column("opened_at", String(32), nullable=False),
    Column("closed_at", String(32)),
    Column("closed_because", Text),
)

responses = Table(  # the answers given lately, so that feedback on them can be joined to what gave them
    "responses",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),  # as the client has it: chatcmpl-…
    Column("assistant", String(63), nullable=False),
    Column("release", String(32), nullable=False),
    Column("snapshot", Integer, nullable=False),
    Column("pattern", String(16), nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("documents", JSON, nullable=False),  # cited
    Column("created_at", String(32), nullable=False),
)

feedback = Table(  # what people said of an answer, as they said it
    "feedback",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("id", String(32), primary_key=True),  # `f-` + hash of response, kind, value and contributor
    Column("response", String(64), nullable=False, index=True),
    Column("release", String(32), nullable=False),
    Column("snapshot", Integer, nullable=False),
    Column("pattern", String(16), nullable=False),
    Column("kind", String(16), nullable=False),  # boolean, float, comment, demonstration
    Column("value", JSON, nullable=False),
    Column("contributor", String(160)),
    Column("became", String(32)),  # the label or rating that it made or changed
    Column("created_at", String(32), nullable=False),
    Column("read_at", String(32)),  # of a comment: when a reviewer had seen it
)

saved_answers = Table(  # what releases said to the golden questions, kept before their model stops
    "saved_answers",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("release", String(32), primary_key=True),
    Column("artifact", String(80), primary_key=True),
    Column("created_at", String(32), nullable=False),
)

hosted_jobs = Table(  # fine-tuning jobs of a vendor, by intent: one paid job each
    "hosted_jobs",
    metadata,
    Column("assistant", String(63), primary_key=True),
    Column("intent", String(64), primary_key=True),  # the training's id
    Column("base", String(160), nullable=False),
    Column("method", String(16), nullable=False),  # supervised, dpo
    Column("file_ids", JSON, nullable=False),  # content hash → the vendor's id
    Column("job", String(160)),  # the vendor's id; None: none is known to exist
    Column("state", String(24), nullable=False),
    Column("model", String(255)),
    Column("error", JSON),  # code, message, param
    Column("tokens", Integer, nullable=False),  # to be billed, as estimated
    Column("cost_usd", Float, nullable=False),  # as estimated before it was submitted
    Column("details", JSON, nullable=False),  # last event seen, checkpoints, metrics
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
)
