"""A reverse proxy that serves a WebUI below a prefix, as one would for --subpath: it takes the prefix off. No websockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

TIMEOUT_S = 120
NOT_PASSED_ON = ("transfer-encoding", "content-encoding", "content-length", "connection", "date", "server")


@contextmanager
def below(prefix: str, url: str) -> Iterator[str]:
    """The address under which the WebUI at `url` is found while the block runs; every other path is not found."""
    client = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)

    class Proxy(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            if not self.path.startswith(prefix + "/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = [(name, value) for name, value in self.headers.items() if name.lower() != "accept-encoding"]
            answer = client.request(self.command, self.path.removeprefix(prefix), content=body, headers=headers)
            self.send_response(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name.lower() not in NOT_PASSED_ON:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = pass_on

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        client.close()
