"""The Prefect server killed in the middle of re-ingests, on PostgreSQL and Redis: what is lost, left, done twice.

    .venv/bin/python benchmarks/prefect/server_kill.py [--down 20] [--assistants 3] [--events 200] [--without-redis]

Server, two light workers and a webhook receiver, the catalog and Prefect's own database on PostgreSQL, its events in
Redis. A re-ingest run per assistant is started. Once two of them are in the middle the server gets SIGKILL, and is
started again --down seconds later. Before, meanwhile and afterwards events are posted ten a second (one that is
refused is sent again, as senders do), each of which an automation turns into a run; while it is down and once it is
back pages are edited and the receiver is told by signed webhooks. Exit status 1 when an event is lost, a
change is not told, a run stays Running, a passage is embedded twice, or a snapshot is not what is built from
nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import yaml
from production import ROOT, SECRET, Production, production
from sqlalchemy import insert, select

from infra.adapters.catalog.database import engine_for
from infra.adapters.openai_embedder import OpenAiEmbedder
from tasks.core.fingerprints import vector_key
from tasks.core.webhook_signatures import signature
from tasks.sources import FIRST_SOURCE

PAGES, PARTS, SECONDS_A_BATCH = 60, 8, 1.5
PER_SECOND, WORKERS = 10, 2
PATIENCE_SECONDS = 900.0
EVENT = "bench.counted"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--down", type=float, default=20.0, help="seconds without a server")
    parser.add_argument("--assistants", type=int, default=3)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument(
        "--without-redis", action="store_true", help="Prefect's events in memory; losing some is then no failure"
    )
    parser.add_argument("--keep", type=Path, help="folder for the logs; default: one that is deleted")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        with production(folder, redis=not asked.without_redis, seconds_a_batch=SECONDS_A_BATCH) as place:
            good = Kill(place, asked.assistants, asked.events).measure(asked.down, redis=not asked.without_redis)
    sys.exit(not good)


class Kill:
    """The assistants, and what was asked of them."""

    def __init__(self, place: Production, assistants: int, events: int) -> None:
        self.place, self.events = place, events
        self.names = [f"team{number}" for number in range(assistants)]
        self.docs = {name: write(place.folder / f"docs-{name}", name) for name in self.names}
        self.posted: dict[int, float] = {}
        self.refused = 0
        self.edits = 0
        self.runs_of_events = 0, time.monotonic()
        self.catalog = engine_for(place.environment["RATCHET_DATABASE_URL"])

    def measure(self, down_seconds: float, *, redis: bool) -> bool:
        place = self.place
        place.deploy(self.deployment_file())
        counts = self.count_events()
        for number in range(WORKERS):
            place.start_worker(f"worker-{number}")
        place.start_receiver()
        self.register()
        runs = [self.reingest(name) for name in self.names]
        self.until(lambda: self.in_the_middle() >= 2, "Two runs in the middle")
        poster = threading.Thread(target=self.post_events, daemon=True)
        poster.start()
        time.sleep(self.events / PER_SECOND / 3)
        middle = self.in_the_middle()
        place.kill("server")
        killed = time.monotonic()
        for name in self.names:
            self.edit(name)
        time.sleep(max(0.0, down_seconds - (time.monotonic() - killed)))
        place.start_server()
        down = time.monotonic() - killed
        poster.join()
        for name in self.names:
            self.edit(name)
        self.until(lambda: self.settled(counts), "Everything that was asked for done")
        return self.report(runs, counts, middle, down, redis)

    # ── before ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def deployment_file(self) -> Path:
        """prefect.yaml with a re-ingest and a refresh of each assistant's own."""
        known = yaml.safe_load((ROOT / "prefect.yaml").read_text())
        for name in self.names:
            for flow in ("reingest_docs", "refresh_assistant"):
                [one] = [d for d in known["deployments"] if d["entrypoint"].endswith(flow) and d["name"] == "default"]
                own = {key: value for key, value in one.items() if key != "schedules"}
                known["deployments"].append(own | {"name": name, "parameters": {"request": {"assistant": name}}})
        file = self.place.folder / "prefect.yaml"
        file.write_text(yaml.safe_dump(known, sort_keys=False))
        return file

    def register(self) -> None:
        """The folders as sources, as an earlier ingest leaves them: the receiver takes changes of known ones alone."""
        from infra.adapters.catalog import tables as t

        with self.catalog.begin() as connection:
            for name, folder in self.docs.items():
                row = {"assistant": name, "name": FIRST_SOURCE, "uri": str(folder), "added_at": "now"}
                connection.execute(insert(t.sources).values(**row, include=[], exclude=[]))

    def count_events(self) -> str:
        """Id of a deployment that nobody works for: an automation gives it one run per event."""
        place = self.place
        flow = place.asked("/flows/", {"name": "counts"})["id"]
        deployment = place.asked(
            "/deployments/", {"name": "counts", "flow_id": flow, "enforce_parameter_schema": False}
        )
        trigger = {
            "type": "event",
            "expect": [EVENT],
            "match": {"prefect.resource.id": "bench.*"},
            "for_each": ["prefect.resource.id"],
            "posture": "Reactive",
            "threshold": 1,
            "within": 0,
        }
        action = {
            "type": "run-deployment",
            "source": "selected",
            "deployment_id": deployment["id"],
            "parameters": {"n": {"__prefect_kind": "jinja", "template": "{{ event.payload.n | default(-1) }}"}},
        }
        place.asked("/automations/", {"name": "counts", "trigger": trigger, "actions": [action]})
        return str(deployment["id"])

    def reingest(self, name: str) -> str:
        deployment = self.place.asked(f"/deployments/name/reingest-docs/{name}")["id"]
        asked = {"parameters": {"request": {"assistant": name}}, "state": {"type": "SCHEDULED"}}
        return str(self.place.asked(f"/deployments/{deployment}/create_flow_run", asked)["id"])

    # ── meanwhile ────────────────────────────────────────────────────────────────────────────────────────────────────

    def in_the_middle(self) -> int:
        """Assistants of whose texts some are embedded, while their run goes on."""
        begun = {whose(text) for text in self.place.texts()}
        running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
        runs = self.place.all_of("/flow_runs/filter", running)
        return sum(run["parameters"]["request"].get("assistant") in begun for run in runs)

    def post_events(self) -> None:
        begun = time.monotonic()
        for number in range(self.events):
            time.sleep(max(0.0, begun + number / PER_SECOND - time.monotonic()))
            event = {
                "id": str(uuid4()),
                "occurred": datetime.now(UTC).isoformat(),
                "event": EVENT,
                "resource": {"prefect.resource.id": f"bench.{number}"},
                "payload": {"n": number},
            }
            while number not in self.posted:
                try:
                    httpx.post(f"{self.place.api}/events", json=[event], timeout=5).raise_for_status()
                    self.posted[number] = time.monotonic()
                except httpx.HTTPError:
                    self.refused += 1
                    time.sleep(0.2)

    def edit(self, name: str) -> None:
        """A page changes, and the receiver is told."""
        page = self.docs[name] / f"page-{self.edits:03}.md"
        page.write_text(page.read_text().replace("rev 0", "rev 1", 1))
        body, webhook, now = json.dumps({"assistant": name}).encode(), uuid4().hex, str(int(time.time()))
        headers = {"webhook-id": webhook, "webhook-timestamp": now, "Content-Type": "application/json"}
        headers["webhook-signature"] = f"v1,{signature(SECRET, webhook, now, body)}"
        url = f"http://127.0.0.1:{self.place.hooks_port}/hooks/generic"
        answer = httpx.post(url, content=body, headers=headers, timeout=30).raise_for_status()
        if answer.status_code != 202:
            sys.exit(f"The receiver took no change of {name}: {answer.status_code} {answer.text}")
        self.edits += 1

    # ── after ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def until(self, holds: Any, what: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > end:
                print(f"{what}: not within {PATIENCE_SECONDS:.0f} s.", flush=True)
                return
            time.sleep(1)

    def settled(self, counts: str) -> bool:
        """No event without its run, no process of a run, no run that is due, no notice that waits: twice in a row."""

        def quiet() -> bool:
            now = datetime.now(UTC)
            due = [
                run
                for run in self.ours(counts)
                if run["state_type"] in ("SCHEDULED", "PENDING")
                and datetime.fromisoformat(run["next_scheduled_start_time"] or run["created"]) < now
            ]
            return not due and not self.place.busy() and not self.waiting_notices() and self.no_event_waits(counts)

        return quiet() and (time.sleep(3), quiet())[1]

    def no_event_waits(self, counts: str) -> bool:
        """Every accepted event has its run, or no run has come for a minute."""
        found = len(self.counted(counts))
        if found != self.runs_of_events[0]:
            self.runs_of_events = found, time.monotonic()
        return found >= len(self.posted) or time.monotonic() - self.runs_of_events[1] > 60

    def counted(self, counts: str) -> Counter[int]:
        """How many runs each event has."""
        wanted = {"flow_runs": {"deployment_id": {"any_": [counts]}}}
        return Counter(int(run["parameters"]["n"]) for run in self.place.all_of("/flow_runs/filter", wanted))

    def ours(self, counts: str) -> list[dict[str, Any]]:
        runs = self.place.all_of("/flow_runs/filter", {})
        return [run for run in runs if run["deployment_id"] != counts]

    def notices(self) -> list[Any]:
        from infra.adapters.catalog import tables as t

        with self.catalog.connect() as connection:
            return list(connection.execute(select(t.outbox)))

    def waiting_notices(self) -> int:
        return sum(row.delivered_at is None for row in self.notices())

    def report(self, runs: list[str], counts: str, middle: int, down: float, redis: bool) -> bool:
        place = self.place
        per_event = self.counted(counts)
        once = sum(per_event[number] == 1 for number in self.posted)
        lost = sum(per_event[number] == 0 for number in self.posted)
        twice = sum(per_event[number] > 1 for number in self.posted)
        ours = self.ours(counts)
        asked = [run for run in ours if run["id"] in runs or str(run["idempotency_key"]).startswith("docs.changed")]
        states = Counter(run["state_name"] for run in asked)
        left = [run for run in ours if run["state_type"] in ("RUNNING", "PENDING", "CANCELLING")]
        notes = self.notices()
        untold = sum(row.delivered_at is None for row in notes)
        before = place.texts()
        passages = self.passages(before)
        again = {text: before[text] - 1 for text in passages if before[text] > 1}
        place.witness.faults.clear()  # from here on it is quick
        same = sum(self.is_as_rebuilt(name) for name in self.names)
        print(f"server killed with SIGKILL     {middle} re-ingests in the middle, back after {down:.1f} s")
        print(f"events accepted                {len(self.posted)} of {self.events}; sent again {self.refused} times")
        print(f"  with exactly one run         {once}; lost {lost}, with more than one {twice}")
        print(f"changes noted                  {len(notes)} of {self.edits}; not told {untold}")
        print(f"runs asked for                 {len(asked)}: {dict(states)}")
        print(f"runs left Running or Pending   {len(left)} {[run['name'] for run in left] or ''}")
        print(f"passages embedded              {len(passages)}; embedded again {sum(again.values())}")
        for text, times in again.items():
            print(f"  {times} times more than once: {text!r:.90}")
        print(f"snapshots as built from nothing {same} of {len(self.names)}", flush=True)
        events_good = len(self.posted) == self.events == once + twice or not redis  # at least once is what they promise
        work_good = untold == 0 and len(notes) == self.edits and not left and same == len(self.names)
        work_good = work_good and bool(passages) and not again
        return events_good and work_good and set(states) == {"Completed"}

    def passages(self, texts: Iterable[str]) -> list[str]:
        """Those whose vectors the catalog keeps. Questions and probes are embedded whenever they are asked."""
        from infra.adapters.catalog import tables as t

        embedder = OpenAiEmbedder("tiny-embedding", base_url=self.place.witness.url).fingerprint
        with self.catalog.connect() as connection:
            kept = set(connection.scalars(select(t.vectors.c.key)))
        return [text for text in texts if vector_key(embedder, text) in kept]

    def is_as_rebuilt(self, name: str) -> bool:
        """Whether the newest snapshot is the one that an empty home and catalog come to."""
        from infra.adapters.catalog import tables as t

        newest = select(t.snapshots.c.manifest_hash).where(t.snapshots.c.assistant == name)
        with self.catalog.connect() as connection:
            hashes = connection.scalars(newest.order_by(t.snapshots.c.number)).all()
        fresh = f"sqlite:///{self.place.folder / f'fresh-{name}.sqlite'}"
        home = str(self.place.folder / f"fresh-{name}")
        command = ("ingest", str(self.docs[name]), "--assistant", name)
        rebuilt = self.place.ratchet(*command, RATCHET_HOME=home, RATCHET_DATABASE_URL=fresh)
        return bool(hashes) and hashes[-1] == rebuilt["manifest_hash"]


def write(folder: Path, name: str) -> Path:
    """Pages of which no two passages are alike."""
    folder.mkdir()
    for n in range(PAGES):
        parts = [
            f"## Part {part} of {name} {n}\n\n"
            + " ".join(f"{name} pump {n}-{part} takes oil {k} at {k + n} bar." for k in range(24))
            for part in range(PARTS)
        ]
        (folder / f"page-{n:03}.md").write_text(f"# Page {n} of {name}\n\nrev 0\n\n" + "\n\n".join(parts) + "\n")
    return folder


def whose(text: str) -> str:
    """The assistant from whose pages a text is; empty for a question or a probe."""
    found = re.search(r"\bof (team\d+)\b", text) or re.search(r"\b(team\d+) pump\b", text)
    return found[1] if found else ""


if __name__ == "__main__":
    main()
