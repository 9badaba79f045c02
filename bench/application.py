"""The application behind the proxies: nginx for answers, and a sink for uploads."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bench.ports import free_port
from bench.processes import Process
from bench.programs import find

if TYPE_CHECKING:
    from pathlib import Path

    from bench.proxies.proxy import Command

SMALL: Final = "/small"
MEDIUM: Final = "/medium"
LARGE: Final = "/large"
BULK: Final = "/bulk"

_SMALL_BYTES: Final = 64
_MEDIUM_BYTES: Final = 16 << 10
LARGE_BYTES: Final = 64 << 10
_BULK_MEGABYTES: Final = 64

_CONNECTIONS: Final = 12_000


def start_application(folder: Path) -> tuple[Process, int]:
    """Start an nginx with an answer of each size; return it and its port.

    Raises:
        Unmeasured: nginx is not installed.
    """
    files = folder / "www"
    files.mkdir()
    (files / MEDIUM.strip("/")).write_bytes(os.urandom(_MEDIUM_BYTES))
    (files / LARGE.strip("/")).write_bytes(os.urandom(LARGE_BYTES))
    (files / BULK.strip("/")).write_bytes(os.urandom(1 << 20) * _BULK_MEGABYTES)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    port = free_port()
    text = f"""
        worker_processes 1;
        worker_rlimit_nofile {_CONNECTIONS + 64};
        daemon off;
        pid {folder}/nginx.pid;
        error_log stderr error;
        events {{ worker_connections {_CONNECTIONS}; }}
        http {{
            access_log off;
            sendfile on;
            tcp_nodelay on;
            keepalive_requests 1000000000;
            keepalive_timeout 1h;
            {temporary}
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                root {files};
                location {SMALL} {{ return 200 "{"x" * _SMALL_BYTES}"; }}
            }}
        }}"""
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command: Command = [
        find("nginx"),
        "-c",
        configuration,
        "-p",
        folder,
        "-e",
        "stderr",
    ]
    return Process(command, folder, "application"), port


def start_sink(folder: Path) -> tuple[Process, int]:
    """Start what reads and forgets uploads; return it and its port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.sink", str(port)]
    return Process(command, folder, "sink"), port
