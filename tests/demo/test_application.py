from __future__ import annotations

import http.client
import json

import pytest

from sidecar.demo.application import application


def test_it_answers_any_path_and_says_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with application() as port:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for path in ("/", "/orders", "/orders?limit=5"):
            link.request("GET", path)
            answer = link.getresponse()
            body = json.loads(answer.read())
            assert answer.status == 200
            assert body == {"hello": "from the api", "you asked for": path}
        link.close()
    assert capfd.readouterr() == ("", "")


def test_it_is_gone_after_the_block() -> None:
    with application() as port:
        pass
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with pytest.raises(ConnectionRefusedError):
        link.request("GET", "/")
