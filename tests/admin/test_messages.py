from __future__ import annotations

from sidecar.admin.messages import Request, Response, text


def test_text_ends_its_last_line_once() -> None:
    assert text("a\nb").body == b"a\nb\n"
    assert text("a\n\n").body == b"a\n"


def test_text_cannot_drive_a_terminal() -> None:
    assert text("a\x1b[2J\ud800").body == b"a\\x1b[2J\\ud800\n"


def test_bodies_stay_out_of_logs() -> None:
    assert "secret" not in repr(Response(200, b"secret"))
    assert "secret" not in repr(Request("POST", "/", body=b"secret"))
