"""SPIRE itself, where it is installed: its server, its agent, and two sidecars.

The programs are not to be had from a package registry, so this is the one test that is
skipped without them; `test_workload_api.py` says the same to an agent of ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.callers import ANSWER, REQUEST, tcp
from tests.integration.conftest import API, Application, Town, data_port, read_to_end
from tests.integration.test_workload_api import has_come_to
from tests.support.deadlines import eventually
from tests.support.ports import free_port
from tests.support.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NODE = "spiffe://example.org/node"
LIFETIME = "20"  # seconds: it is renewed before half of that is over

SERVER = """
server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{folder}/server.sock"
  trust_domain = "example.org"
  data_dir = "{folder}"
  log_level = "INFO"
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = "{folder}/datastore.sqlite3"
    }}
  }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "memory" {{ plugin_data = {{}} }}
}}
"""
AGENT = """
agent {{
  data_dir = "{folder}/agent"
  log_level = "INFO"
  server_address = "127.0.0.1"
  server_port = "{port}"
  socket_path = "{folder}/agent.sock"
  insecure_bootstrap = true
  trust_domain = "example.org"
}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "memory" {{ plugin_data {{}} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """Run SPIRE for this user's processes, which are all the API; give its address."""
    missing = [
        name for name in ("spire-server", "spire-agent") if shutil.which(name) is None
    ]
    if missing:
        pytest.skip(
            f"{' and '.join(missing)} not on the PATH: install SPIRE from "
            "https://github.com/spiffe/spire/releases to have it tested"
        )
    names = {"folder": tmp_path, "port": free_port()}
    for name, text in (("server", SERVER), ("agent", AGENT)):
        (tmp_path / f"{name}.conf").write_text(text.format(**names))
    (tmp_path / "agent").mkdir()
    with contextlib.ExitStack() as stack:
        stack.enter_context(spire("server", tmp_path))
        token = eventually(lambda: new_token(tmp_path), "SPIRE's server answers", 30)
        create = ("entry", "create", "-parentID", NODE, "-spiffeID", API)
        selector = ("-selector", f"unix:uid:{os.getuid()}", "-x509SVIDTTL", LIFETIME)
        assert server_says(tmp_path, *create, *selector) is not None
        stack.enter_context(spire("agent", tmp_path, "-joinToken", token))
        yield f"unix://{tmp_path}/agent.sock"


def spire(name: str, folder: Path, *more: str) -> Process:
    configuration = f"{folder}/{name}.conf"
    return Process([f"spire-{name}", "run", "-config", configuration, *more], folder)


def server_says(folder: Path, *arguments: str) -> str | None:
    command = ["spire-server", *arguments, "-socketPath", f"{folder}/server.sock"]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30
    )
    return ended.stdout if ended.returncode == 0 else None


def new_token(folder: Path) -> str | None:
    said = server_says(folder, "token", "generate", "-spiffeID", NODE)
    return None if said is None else said.partition("Token: ")[2].split()[0]


def test_two_sidecars_live_from_spire_and_through_its_rotation(
    town: Town, application: Application, agent: str
) -> None:
    rule: dict[str, Any] = {"name": "api", "action": "allow", "peers": [API]}
    source = {"workload_api": agent}
    with town.server(
        application.port,
        identity=source,
        policy={"default": "deny", "rules": [rule]},
        ready=False,
    ) as inbound:
        # The agent has to hear of the entry, which may take it some seconds.
        inbound.wait_until_ready(60)
        with town.client(data_port(inbound), identity=source) as outbound:
            for step in (1, 2, 3):
                what = f"SPIRE has sent SVID number {step}"
                for each in (inbound, outbound):
                    eventually(partial(has_come_to, each, step), what, 60)
                with tcp(data_port(outbound)) as sock:
                    sock.sendall(REQUEST)
                    assert read_to_end(sock).endswith(ANSWER)
            for each in (inbound, outbound):
                failed = each.metrics().sum("sidecar_handshakes_total", result="failed")
                assert failed == 0
