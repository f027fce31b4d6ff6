"""A stand-in for the Hugging Face hub: one repository, with what downloads ask of it."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "a" * 40
"""Of the only state that there is, which is called main."""


def mark(content: bytes) -> str:
    """What tells a file from others."""
    return hashlib.sha1(content).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Answers for the folder and the name that its server has."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name, folder = self.server.name, self.server.folder
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        place = self.path.partition("?")[0]
        if place in (f"/api/models/{name}", f"/api/models/{name}/revision/main"):
            self._answer({"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]})
        elif place == f"/api/models/{name}/tree/{COMMIT}":
            listed = [{"path": file, "size": len(content), "oid": mark(content)} for file, content in files.items()]
            self._answer([{"type": "file", **each} for each in listed])
        elif (file := place.removeprefix(f"/{name}/resolve/{COMMIT}/")) in files:
            self.server.fetched.append(file)
            self._send(200, files[file], {"ETag": f'"{mark(files[file])}"', "X-Repo-Commit": COMMIT})
        elif place.startswith(f"/api/models/{name}/"):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def hub_server(name: str, folder: Path) -> Iterator[ThreadingHTTPServer]:
    """Serves a folder's files as the repository of a name; `fetched` lists those that were asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.name, server.folder, server.fetched = name, folder, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
