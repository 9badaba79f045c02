"""Servers that speak first, as those of mail, files and databases do."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final

from tests.netns.pods import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.pods import Pod

MAIL_GREETING: Final = b"220 mail.shop.example ESMTP\r\n"
_HANDSHAKE: Final = b"\x0a8.0.36\0" + bytes(4) + b"saltsalt" + bytes(29)
DATABASE_GREETING: Final = len(_HANDSHAKE).to_bytes(3, "little") + b"\0" + _HANDSHAKE
"""As MySQL's: the version of the protocol and the server's, a salt, what it can do."""


class Server(socketserver.ThreadingTCPServer):
    """Listens in a pod, on both families; a thread for each connection."""

    def __init__(self, pod: Pod, port: int, handler: type[Handler]) -> None:
        self.pod = pod
        self.called = 0
        self.received: list[bytes] = []
        """What clients have left here."""
        super().__init__(("::", port), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listen(pod, port)

    def process_request(self, request: object, client_address: object) -> None:
        self.called += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]


def listen(pod: Pod, port: int) -> socket.socket:
    """Listen in a pod, on both families; port 0 is any."""
    return pod.within(
        lambda: socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True
        )
    )


@contextmanager
def serving(pod: Pod, port: int, handler: type[Handler]) -> Iterator[Server]:
    with Server(pod, port, handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Handler(socketserver.StreamRequestHandler):
    """Greets, then obeys commands, a line each; gives up when nothing comes."""

    timeout: ClassVar[float | None] = SECONDS
    greeting: ClassVar[bytes]

    @property
    def place(self) -> Server:
        assert isinstance(self.server, Server)
        return self.server

    def handle(self) -> None:
        try:
            self.wfile.write(self.greeting)
            for line in self.rfile:
                command, _, rest = line.decode().strip().partition(" ")
                self.obey(command.upper(), rest)
                if command.upper() == "QUIT":
                    return
        except OSError:  # it left without a word
            return

    def obey(self, command: str, rest: str) -> None:
        raise NotImplementedError

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class Mail(Handler):
    """Takes in mail (RFC 5321)."""

    greeting = MAIL_GREETING
    answers: ClassVar = {"EHLO": "250 mail.shop.example", "QUIT": "221 bye"}

    def obey(self, command: str, rest: str) -> None:
        if command == "DATA":
            self.say("354 go on")
            lines = iter(self.rfile.readline, b".\r\n")
            self.place.received.append(b"".join(lines))
        self.say(self.answers.get(command, "250 fine"))


class Files(Handler):
    """Gives one file to whoever asks for its name (RFC 959, RFC 2428)."""

    greeting = b"220 files\r\n"
    answers: ClassVar = {"USER": "230 welcome", "PWD": '257 "/"', "QUIT": "221 bye"}
    data: socket.socket

    def obey(self, command: str, rest: str) -> None:
        if command == "EPSV":
            self.data = listen(self.place.pod, 0)
            self.data.settimeout(SECONDS)
            self.say(f"229 here (|||{self.data.getsockname()[1]}|)")
        elif command == "RETR":
            self.say("150 it comes")
            sock, _ = self.data.accept()
            with self.data, sock:
                sock.sendall(rest.encode() * 1000)
            self.say("226 there it is")
        else:
            self.say(self.answers.get(command, "200 fine"))


class Database(Handler):
    """Greets as MySQL does, and answers every line with another."""

    greeting = DATABASE_GREETING

    def obey(self, command: str, rest: str) -> None:
        self.say(f"{command} {rest}")
