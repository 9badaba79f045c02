"""Workers that are scripts: they speak frames, and do what a test wants of them."""

from __future__ import annotations

import sys

_SPEAKS = """
import json, os, signal, socket, sys
sock = socket.socket(fileno=int(sys.argv[-1]))
def send(message):
    body = json.dumps(message).encode()
    sock.sendall(len(body).to_bytes(4, "big") + body)
def receive():
    head = sock.recv(4, socket.MSG_WAITALL)
    if not head:
        sys.exit(0)
    return json.loads(sock.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
def report(number=0, count=0, awaited=(), **more):
    family = ["a", "counter", "help", [["a_total", {}, count]]]
    known = {"awaited": list(awaited), "warnings": {}, "accepting": True,
             "level": "info", "families": [family]}
    send({"id": number, "report": {**known, **more}})
welcome = receive()
"""

SERVES = """
report(count=5)
while True:
    asked = receive()
    match asked["do"]:
        case "report": report(asked["id"], count=6)
        case "drain" | "stop": sys.exit(0)
        case "connections":
            send({"id": asked["id"], "part": [{"source": "a"}]})
            send({"id": asked["id"], "part": [{"source": "b"}], "last": True})
        case "config":
            send({"id": asked["id"], "part": {"pid": os.getpid()}, "last": True})
        case "reload":
            send({"id": asked["id"], "part": ["broken", "too"], "last": True})
        case "level": report(level=asked["level"])
"""
"""Is ready at once, and answers everything."""


def command(script: str) -> tuple[str, ...]:
    """Give the command of a worker that does what *script* says."""
    return (sys.executable, "-S", "-c", _SPEAKS + script)
