"""Ensures that `sidecar policy explain` says beforehand what a sidecar then does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.conftest import FRONTEND, curl, data_port, was_reset
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Application, Town

BATCH = "spiffe://example.org/ns/batch/sa/nightly"
CART = "spiffe://example.org/ns/shop/sa/cart"


def explain(*words: str | Path) -> tuple[int, Any]:
    command = [sys.executable, "-m", "sidecar", "policy", "explain", *words, "--json"]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert ended.stderr == ""
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.parametrize("peer", [FRONTEND, CART, BATCH])
def test_what_is_explained_is_what_happens(
    peer: str, town: Town, application: Application, tmp_path: Path
) -> None:
    port = application.port
    allow = {"name": "shop", "action": "allow", "ports": [port]}
    deny = {"name": "batch", "action": "deny", "dry_run": False}
    policy = {
        "default": "deny",
        "rules": [
            {**allow, "peers": [FRONTEND], "sources": ["127.0.0.0/8"]},
            {**deny, "peers": ["spiffe://example.org/ns/batch/**"]},
        ],
    }
    pair = town.svid(peer)
    certificate = ("--cert", pair.certificate_chain, "--key", pair.private_key)
    with town.server(port, policy=policy) as api:
        url = f"https://localhost:{data_port(api)}/"
        answer = curl("--insecure", *certificate, url)
        record = api.wait_for_records(1)[0]
        config = api.configuration_file
    shown = ("--certificate", pair.certificate_chain)
    where = ("--port", str(port), "--source", "127.0.0.1")
    status, told = explain(config, *shown, *where)
    assert told["allowed"] is (not was_reset(answer))
    assert (status == 0) is told["allowed"]
    assert told["verdict"] == record["decision"]
    assert told["policy"]["rule"] == record.get("rule")
    if told["policy"]["near_miss"] is not None:
        assert told["policy"]["near_miss"] == record["detail"]
    log = tmp_path / "access.log"
    log.write_text(json.dumps(record))
    again = explain(config, "--record", log)
    assert again == (status, told)
