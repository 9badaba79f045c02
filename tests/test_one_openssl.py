from __future__ import annotations

import subprocess
import sys

import pytest

from sidecar import one_openssl

_LEFT_OUT = """\
import sys
from sidecar import one_openssl
one_openssl.prepare({words!r})
import sidecar.app, sidecar.commands.run
maps = open("/proc/self/maps").read()
found = {{line.rpartition("/")[2] for line in maps.splitlines() if "/lib" in line}}
print(*sorted(each for each in found if each.startswith(("libssl", "libcrypto"))))
"""


def _openssl_beside_ours(*words: str) -> str:
    program = _LEFT_OUT.format(words=list(words))
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not run.stderr
    return run.stdout.strip()


def test_a_sidecar_has_one_openssl() -> None:
    assert _openssl_beside_ours("run", "--config", "sidecar.yaml") == ""


def test_other_commands_have_whatever_they_import() -> None:
    with_it = "import sidecar.one_openssl as o; o.prepare(['demo']); import ssl; "
    check = with_it + "ssl.create_default_context()"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_what_was_imported_before_is_left_alone() -> None:
    program = (
        "import ssl; from sidecar import one_openssl; one_openssl.prepare(['run']);"
        "import sys; assert sys.modules['ssl'] is ssl; import _hashlib"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_whoever_tries_to_use_it_is_told() -> None:
    left_out = one_openssl._LeftOut("ssl")
    assert isinstance(left_out.SSLContext, type)
    with pytest.raises(RuntimeError, match="left out of this process"):
        left_out.SSLContext()
    with pytest.raises(AttributeError):
        left_out.__path__  # noqa: B018 - that is what is tested
