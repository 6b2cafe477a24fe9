"""Servers of this machine that take messages as Slack and a mail server do, for a test that looks at what came."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """A webhook. answers: the status of each request in turn, then 200; a 3xx names another path."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    followed: int = 0


@contextmanager
def webhook(*answers: int) -> Iterator[Hook]:
    """A server that takes JSON by POST."""
    hook = Hook(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.got.append((dict(self.headers), json.loads(body)))
            status = hook.answers.pop(0) if hook.answers else 200
            self.send_response(status)
            if status in range(300, 400):
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:  # whoever follows a redirect gets here, and is told that all is well
            hook.followed += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hook.url = f"http://127.0.0.1:{server.server_address[1]}/secret-path"
        yield hook
        server.shutdown()


@dataclass
class Mailbox:
    """A mail server without TLS. refuses: an address that it takes no mail for."""

    port: int = 0
    refuses: str = ""
    recipients: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)


@contextmanager
def mail_server(refuses: str = "", *, extensions: tuple[str, ...] = ()) -> Iterator[Mailbox]:
    """A server that speaks as much SMTP as smtplib needs, and says that it knows these extensions."""
    box = Mailbox(refuses=refuses)

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 test")
            while line := self.rfile.readline().decode().strip():
                word = line.split(":")[0].split(" ")[0].upper()
                if word == "RCPT":
                    address = line.partition("<")[2].rstrip(">")
                    if address == box.refuses:
                        self.say("550 no such user")
                        continue
                    box.recipients.append(address)
                if word == "EHLO" and extensions:
                    self.say("250-test")
                    for extension in extensions:
                        self.say(f"250-{extension}")
                if word == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        lines.append(text)
                    box.mails.append("\n".join(lines))
                self.say("221 bye" if word == "QUIT" else "250 ok")
                if word == "QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        box.port = server.server_address[1]
        yield box
        server.shutdown()


@contextmanager
def endless(repeated: bytes) -> Iterator[int]:
    """A server that never comes to the end of its answer; the value is its port."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while not over.wait(0.05):
                    self.request.sendall(repeated)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        over.set()
        server.shutdown()
