from __future__ import annotations

import subprocess
import sys

import pytest

from sidecar import left_out

_IMPORTED = """\
import sys
from sidecar import left_out
left_out.prepare({words!r})
import sidecar.app, sidecar.commands.run
maps = open("/proc/self/maps").read()
found = {{line.rpartition("/")[2] for line in maps.splitlines() if "/lib" in line}}
found = {{each for each in found if each.startswith(("libssl", "libcrypto"))}}
spared = {{"http.client", "email.message", "wsgiref.handlers", "html"}} & set(sys.modules)
print(*sorted(found | spared))
"""


def _needless(*words: str) -> str:
    program = _IMPORTED.format(words=list(words))
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not run.stderr
    return run.stdout.strip()


def test_a_sidecar_has_one_openssl_and_no_other_web_server() -> None:
    assert _needless("run", "--config", "sidecar.yaml") == ""


def test_other_commands_have_whatever_they_import() -> None:
    program = (
        "import sidecar.left_out as o; o.prepare(['demo']);"
        "import ssl; ssl.create_default_context();"
        "import urllib.request; urllib.request.Request('http://localhost')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_was_imported_before_is_left_alone() -> None:
    program = (
        "import ssl; from sidecar import left_out; left_out.prepare(['run']);"
        "import sys; assert sys.modules['ssl'] is ssl; ssl.create_default_context()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_whoever_tries_to_use_it_is_told() -> None:
    stub = left_out._Stub("ssl")
    assert isinstance(stub.SSLContext, type)
    with pytest.raises(RuntimeError, match="left out of this process"):
        stub.SSLContext()
    with pytest.raises(AttributeError):
        stub.__path__  # noqa: B018 - that is what is tested
