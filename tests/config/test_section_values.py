from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.config.document import Section
from sidecar.config.model import Endpoint, UnixSocket
from sidecar.config.place import Invalid
from sidecar.config.readers import Reader, parsed, read_text
from sidecar.config.section_values import (
    listen_at,
    parse_admin,
    parse_goal,
    parse_group,
    parse_workload_api,
    read_version,
    read_workers,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def listening(value: object) -> Section:
    section = Section()
    section["listen"] = value
    return section


def read(parse: Callable[[str], Any]) -> Reader[Any]:
    return parsed(parse, "text")


@pytest.mark.parametrize(
    ("reader", "value", "result"),
    [
        (read(parse_goal), "original", "original"),
        (read(parse_goal), "127.0.0.1:8080", Endpoint("127.0.0.1", 8080)),
        (read(parse_admin), "127.0.0.1:15000", Endpoint("127.0.0.1", 15000)),
        (read(parse_admin), "unix:/run/a.sock", UnixSocket(Path("/run/a.sock"))),
        (
            read(parse_workload_api),
            "unix:///run/spire/agent.sock",
            "unix:///run/spire/agent.sock",
        ),
        (read(parse_workload_api), "unix:/run/a.sock", "unix:/run/a.sock"),
        (read(parse_group), "X25519MLKEM768", "X25519MLKEM768"),
        (read(parse_group), "P-256", "P-256"),
        (read_version, "1.2", "1.2"),
        (read_version, 1.3, "1.3"),
        (read_workers, 1, 1),
        (read_workers, 256, 256),
        (read_workers, "auto", "auto"),
        (listen_at(read_text), listening("x"), "x"),
    ],
)
def test_a_good_value_is_taken(
    reader: Reader[Any], value: object, result: object
) -> None:
    assert reader(value, None) == result


WORKERS = "expected a whole number from 1 to 256, got"
AUTO = "(or 'auto', one for each CPU)"


@pytest.mark.parametrize(
    ("reader", "value", "what"),
    [
        (
            read(parse_goal),
            "orginal",
            "expected 'original' or 'host:port', got 'orginal' "
            "(did you mean 'original'?)",
        ),
        (read(parse_goal), "app", "expected 'host:port', got 'app'"),
        (
            read(parse_admin),
            "unix:run/a.sock",
            "expected 'unix:' and an absolute path, got 'unix:run/a.sock'",
        ),
        (
            read(parse_admin),
            "unix:/" + "x" * 107,
            f"the path of a socket has at most 107 bytes, got 'unix:/{'x' * 74}'...",
        ),
        (
            read(parse_workload_api),
            "tcp://127.0.0.1:8081",
            "expected a socket, as in 'unix:///run/spire/agent.sock', "
            "got 'tcp://127.0.0.1:8081'",
        ),
        *(
            (
                read(parse_workload_api),
                text,
                f"expected a socket, as in 'unix:///run/spire/agent.sock', got '{text}'",
            )
            for text in ("unix://", "unix://agent", "unix://agent/a.sock", "unix:a")
        ),
        (
            read(parse_workload_api),
            "/run/a.sock",
            "expected a socket, as in 'unix:///run/spire/agent.sock', "
            "got '/run/a.sock'",
        ),
        (read(parse_group), "P 256", "expected the name of a TLS group, got 'P 256'"),
        (read_version, 1, "expected '1.2' or '1.3', got 1"),
        (read_version, "1.1", "expected '1.2' or '1.3', got '1.1'"),
        (read_version, 1.1, "expected '1.2' or '1.3', got 1.1"),
        (read_version, True, "expected '1.2' or '1.3', got true"),
        (read_version, None, "expected '1.2' or '1.3', got nothing"),
        (read_workers, 0, f"{WORKERS} 0 {AUTO}"),
        (read_workers, 257, f"{WORKERS} 257 {AUTO}"),
        (read_workers, True, f"{WORKERS} true {AUTO}"),
        (read_workers, "all", f"{WORKERS} 'all' {AUTO}"),
        (
            listen_at(read_text),
            "127.0.0.1:1",
            "expected a mapping, got '127.0.0.1:1' (write {listen: '127.0.0.1:1'})",
        ),
        (listen_at(read_text), 5, "expected a mapping, got 5"),
    ],
)
def test_a_bad_value_is_refused_by_its_rule(
    reader: Reader[Any], value: object, what: str
) -> None:
    with pytest.raises(Invalid) as caught:
        reader(value, None)
    assert [finding.what for finding in caught.value.findings] == [what]


def test_a_socket_s_path_may_be_as_long_as_the_kernel_allows() -> None:
    assert parse_admin("unix:/" + "x" * 106) == UnixSocket(Path("/" + "x" * 106))
