"""An S3 server with moods: `python s3_server.py` prints its address and serves buckets from memory until it is ended.

A POST to /moods with {"share": 0.2, "seed": 1} has that share of all later requests answered with 503 SlowDown or 500
InternalError, by a seeded rule; GET tells how many requests came since, how many were refused, and their methods.
Requests that nobody signed get 403 AccessDenied.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUSY = (("503 Slow Down", "SlowDown"), ("500 Internal Server Error", "InternalError"))
UNSIGNED = ("403 Forbidden", "AccessDenied")


class Moods:
    """The application, of which some requests never hear."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application
        self.lock = threading.Lock()
        self.change({"share": 0.0, "seed": 0})

    def change(self, mood: dict[str, Any]) -> None:
        self.share, self.random, self.seen = mood["share"], random.Random(mood["seed"]), Counter[str]()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/moods":
            with self.lock:
                return self.asked(environ, start)
        refusal = self.refusal(environ["REQUEST_METHOD"])
        if "Credential=" not in environ.get("HTTP_AUTHORIZATION", ""):
            refusal = UNSIGNED
        if refusal is None:
            return self.application(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, code = refusal
        start(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()]

    def refusal(self, method: str) -> tuple[str, str] | None:
        with self.lock:
            refused, busy = self.random.random() < self.share, self.random.choice(BUSY)
            self.seen.update(["requests", method] + ["refused"] * refused)
        return busy if refused else None

    def asked(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            self.change(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(self.seen).encode()]


class Quiet(WSGIRequestHandler):
    """Keeps connections open, as S3 does, and says nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Nothing."""


if __name__ == "__main__":
    moods = Moods(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, moods, threaded=True, request_handler=Quiet)
    print(f"http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()
