from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pki import identity, new_authority
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A configuration that runs: an outbound listener, and two for HTTP."""
    (tmp_path / "policy.yaml").write_text("default: deny\nrules: []\n")
    listener = {
        "listen": f"127.0.0.1:{free_port()}",
        "destination": f"127.0.0.1:{free_port()}",
    }
    return {
        "identity": identity(tmp_path, "/ns/shop/sa/api", new_authority()),
        "outbound": {"listeners": [listener], "default": "plaintext"},
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "telemetry": {"listen": f"127.0.0.1:{free_port()}"},
    }
