"""`sidecar webhook` as a process, and an API server that asks it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.pki import Pair, new_authority, write_bundle, write_svid
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.programs import require
from tests.support.sidecars import Samples

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.certs.authority import Authority

NAME = "sidecar-webhook.mesh.svc"


class Webhook(Process):
    """`sidecar webhook`, and what it shows."""

    def __init__(
        self, folder: Path, *options: str, settings: str = "image: sidecar:1\n"
    ) -> None:
        self.folder = folder
        self.authority: Authority = new_authority()
        self.port, self.telemetry = free_port(), free_port()
        self.settings = folder / "injection.yaml"
        self.settings.write_text(settings)
        self.own = self.rotate()
        command = [sys.executable, "-m", "sidecar", "webhook"]
        command += ["--settings", str(self.settings), "--cert", str(self.own[0])]
        command += ["--key", str(self.own[1]), "--listen", f"127.0.0.1:{self.port}"]
        command += ["--telemetry", f"127.0.0.1:{self.telemetry}", *options]
        super().__init__(command, folder, "webhook")

    def rotate(self) -> Pair:
        """Replace the certificate, as cert-manager does."""
        write_bundle(self.folder, self.authority, name="webhook")
        dns = [NAME, "localhost"]
        return write_svid(self.folder, self.authority, "/webhook", dns=dns, name="tls")

    def curl(self, *options: str, data: bytes = b"") -> tuple[int, str]:
        """Ask as an API server would; give the status and the body."""
        return self._curl(
            "--cacert",
            str(self.folder / "webhook.bundle.crt"),
            "--resolve",
            f"{NAME}:{self.port}:127.0.0.1",
            *options,
            f"https://{NAME}:{self.port}/inject",
            data=data,
        )

    def post(self, data: bytes, *options: str) -> tuple[int, str]:
        kind = "Content-Type: application/json"
        return self.curl("-H", kind, "--data-binary", "@-", *options, data=data)

    def page(self, path: str) -> tuple[int, str]:
        return self._curl(f"http://127.0.0.1:{self.telemetry}{path}")

    def metrics(self) -> Samples:
        return Samples.parse(self.page("/metrics")[1])

    def is_ready(self) -> bool:
        self.check_running()
        return self.page("/readyz")[0] == 200

    def _curl(self, *options: str, data: bytes = b"") -> tuple[int, str]:
        command = [str(require("curl")), "-sS", "-m", "10", "-w", "\n%{http_code}"]
        asked = subprocess.run(
            [*command, *options], input=data, capture_output=True, check=False
        )
        text, _, status = asked.stdout.decode().rpartition("\n")
        return int(status), text or asked.stderr.decode()
