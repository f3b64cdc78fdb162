"""A fake of wandb's server with the parts that its client needs: GraphQL, the file stream of each run, and files."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "a" * 40

Disturbed = Callable[[str], int | None]
"""Called with the path of each request; returns the status to answer with, or None for the usual answer."""


@dataclass
class Kept:
    """The server's data of one run."""

    upserts: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_codes: list[int] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    def said(self, name: str) -> Any:
        """The newest value of a field of the run: groupName, jobType, tags, …"""
        return next((upsert[name] for upsert in reversed(self.upserts) if upsert.get(name) is not None), None)

    @property
    def config(self) -> dict[str, Any]:
        return {name: item["value"] for name, item in json.loads(self.said("config")).items()}

    @property
    def points(self) -> list[dict[str, Any]]:
        """The curve: iteration and measured values of each row, in the order of the steps."""
        rows = [{name: value for name, value in row.items() if name[0] != "_"} for row in self.history]
        return [row for row in rows if "iteration" in row]


class FakeWandb:
    """The server; `runs` are by id, and `streamed` counts the posts to file streams before their answers."""

    def __init__(self) -> None:
        self.runs: dict[str, Kept] = {}
        self.streamed = 0
        self.disturbed: Disturbed = lambda path: None
        self.lock = threading.Lock()
        self.url = ""

    def graphql(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in query:
            return self._upsert(given)
        if "createRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": f"{self.url}/storage/{given['run']}/{name}"} for name in given["files"]
            ]
            return {"createRunFiles": {"runID": "aWQ=", "uploadHeaders": [], "files": files}}
        name = given.get("name")
        run = self.runs.get(str(name))
        if "RunResumeStatus" in query:
            bucket = None if run is None else self._resumable(str(name), run)
            return {"model": {"bucket": bucket, "id": "cA==", "name": "p", "entity": {"id": "ZQ==", "name": "me"}}}
        if "historyKeys }" in query:
            steps = [] if run is None else [row["_step"] for row in run.history]
            return {"project": {"run": {"historyKeys": {"lastStep": max(steps, default=-1)}}}}
        if "viewer" in query:
            teams: dict[str, Any] = {"edges": []}
            return {"viewer": {"id": "dQ==", "entity": "me", "username": "me", "flags": "{}", "teams": teams}}
        if "project(" in query:
            return {"project": None if run is None else {"run": self._shown(str(name), run)}}
        return {}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            run = self.runs.setdefault(given["name"], Kept())
            run.upserts.append(given)
        project = {"id": "cA==", "name": given["project"], "entity": {"id": "ZQ==", "name": given["entity"] or "me"}}
        bucket = {
            "id": "aWQ=",
            "name": given["name"],
            "displayName": given["displayName"],
            "config": given["config"],
            "sweepName": None,
            "historyLineCount": len(run.history),
            "project": project,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": len(run.upserts) == 1}}

    def _resumable(self, name: str, run: Kept) -> dict[str, Any]:
        return {
            "id": "aWQ=",
            "name": name,
            "summaryMetrics": json.dumps(run.summary),
            "displayName": name,
            "logLineCount": 0,
            "historyLineCount": len(run.history),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": "[]",
            "config": run.said("config"),
            "tags": run.said("tags"),
            "wandbConfig": json.dumps({"t": 1}),
        }

    def _shown(self, name: str, run: Kept) -> dict[str, Any]:
        return {
            "id": "aWQ=",
            "projectId": "1",
            "name": name,
            "displayName": name,
            "state": "finished",
            "config": run.said("config"),
            "group": run.said("groupName"),
            "jobType": run.said("jobType"),
            "tags": run.said("tags"),
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(run.history),
            "historyKeys": {"lastStep": -1},
            "user": {"name": "me", "username": "me"},
        } | dict.fromkeys(
            ("sweepName", "commit", "readOnly", "createdAt", "heartbeatAt", "description", "notes", "systemMetrics")
        )

    def stream(self, name: str, sent: dict[str, Any]) -> None:
        with self.lock:
            run = self.runs[name]
            parts = sent.get("files", {})
            if (part := parts.get("wandb-history.jsonl")) is not None:
                lines = [json.loads(line) for line in part["content"]]
                run.history[part["offset"] : part["offset"] + len(lines)] = lines
            if (part := parts.get("wandb-summary.json")) is not None:
                run.summary = json.loads(part["content"][-1])
            if sent.get("complete"):
                run.exit_codes.append(sent["exitcode"])


@contextmanager
def serving() -> Iterator[FakeWandb]:
    """Run a server on its own port; release hanging requests at the end."""
    fake = FakeWandb()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _handle(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            is_stream = self.path.endswith("/file_stream")
            with fake.lock:
                fake.streamed += is_stream
            status, answer = fake.disturbed(self.path) or 200, {}
            if status == 200:
                if is_stream:
                    fake.stream(self.path.split("/")[-2], json.loads(content))
                elif self.path.startswith("/storage/"):
                    run, _, file = self.path.removeprefix("/storage/").partition("/")
                    fake.runs[run].files.add(file)
                elif self.path == "/graphql":
                    sent = json.loads(content)
                    answer = {"data": fake.graphql(sent["query"], sent.get("variables") or {})}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _handle

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Ignore a client that closes its connection."""

    with Server(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield fake
        finally:
            server.shutdown()


def hangs(path: str) -> int | None:
    """A value of `FakeWandb.disturbed`: give no answer during the test."""
    time.sleep(600)
    return None
