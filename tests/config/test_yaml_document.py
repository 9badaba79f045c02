from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import example, given, strategies as st

from sidecar.config.problems import ConfigError
from sidecar.config.yaml_document import parse_document

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


def refusal(data: bytes, loader: Any = yaml.SafeLoader) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_document(data, "s.yaml", loader)
    (problem,) = caught.value.problems
    assert caught.value.source == "s.yaml"
    return problem.located


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "s.yaml: the file is empty"),
        (b"# nothing yet\n", "s.yaml: the file is empty"),
        (b"---\n", "s.yaml: the file is empty"),
        (b"null", "s.yaml: the file is empty"),
        (b"[1, 2]", "s.yaml: expected a mapping at the top, got a list"),
        (b"inbound", "s.yaml: expected a mapping at the top, got 'inbound'"),
        (b"8080", "s.yaml: expected a mapping at the top, got 8080"),
        (b"a: 1\nb: \xff\n", "s.yaml:2: not UTF-8: byte 0xff"),
        (b"a: 1\n\x00", "s.yaml:2: control character '\\x00' is not allowed"),
        (b"a: \x1b[0m", "s.yaml:1: control character '\\x1b' is not allowed"),
        (
            b"a: &x 1\nb: *x\n",
            "s.yaml:2: aliases are not supported, got '*x' (write it out)",
        ),
        (
            b"a: !!binary eA==\n",
            "s.yaml:1: tags are not supported, got 'tag:yaml.org,2002:binary'",
        ),
        (
            b"a:\n  b: !!python/object/apply:os.system [id]\n",
            "s.yaml:2: tags are not supported, "
            "got 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        (b"a: !x {}\n", "s.yaml:1: tags are not supported, got '!x'"),
        (
            b"a: 1\n---\nb: 1\n",
            "s.yaml:2: a second document begins here, expected one",
        ),
        (
            b"a: {{ .Values.port }}\n",
            "s.yaml:1: a key must be text or a number, got a mapping "
            "(a template that was not rendered?)",
        ),
        (
            b"? [1]\n: 2\n",
            "s.yaml:1: a key must be text or a number, got a list "
            "(a template that was not rendered?)",
        ),
        (b"a: " + b"[" * 40, "s.yaml:1: nested deeper than 32 levels"),
        (b"{a: " * 40, "s.yaml:1: nested deeper than 32 levels"),
    ],
)
def test_what_is_no_such_file_is_one_problem(
    data: bytes, line: str, loader: Any
) -> None:
    assert refusal(data, loader) == line


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            b"a:\n  b: [1, 2\nc: 3\n",
            "s.yaml:3: not YAML: expected ',' or ']', but got ':', while parsing a "
            "flow sequence that begins on line 2 (column 2)",
        ),
        (
            b"a:\n  b: 'x\n",
            "s.yaml:2: not YAML: found unexpected end of stream, while scanning a "
            "quoted scalar that begins on line 2 (end of file)",
        ),
        (
            b"a: b: c\n",
            "s.yaml:1: not YAML: mapping values are not allowed here (column 5)",
        ),
        (
            b"a:\n  listen: [::]:15006\n",
            "s.yaml:2: not YAML: expected the node content, but found ':', while "
            "parsing a flow node that begins on line 2 (column 12) "
            "(write an address that begins with '[' in quotes)",
        ),
    ],
)
def test_a_syntax_error_says_line_and_column(data: bytes, line: str) -> None:
    assert refusal(data) == line


def test_a_tab_is_called_by_its_name() -> None:
    said = refusal(b"a:\n\tb: 1\n")  # PyYAML's two parsers word the rest differently
    assert said.startswith("s.yaml:2: not YAML: found character")
    assert said.endswith("(column 1) (a tab: indent with spaces)")


def test_an_error_without_a_mark_is_still_one_line() -> None:
    class Broken(yaml.SafeLoader):
        def get_event(self) -> Any:
            raise yaml.YAMLError("first\nsecond")

    assert refusal(b"a: 1", Broken) == "s.yaml: not YAML: first"


def test_a_bomb_of_aliases_is_refused_at_its_first_alias(loader: Any) -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    assert refusal("\n".join(lines).encode(), loader) == (
        "s.yaml:2: aliases are not supported, got '*a0' (write it out)"
    )


def test_a_byte_order_mark_is_no_part_of_the_first_key(loader: Any) -> None:
    assert parse_document(b"\xef\xbb\xbfa: 1", "s.yaml", loader).root == {"a": 1}


def test_a_key_that_is_there_twice_keeps_its_first_value(loader: Any) -> None:
    data = b"a: 1\nb: 2\na: {c: 3}\n"
    document = parse_document(data, "s.yaml", loader)
    assert document.root == {"a": 1, "b": 2}
    assert [p.located for p in document.problems(document.findings)] == [
        "s.yaml:3: a: duplicate key, first on line 1"
    ]


def test_a_duplicate_is_found_in_the_second_of_two_equal_keys(loader: Any) -> None:
    data = b"a: [0]\na:\n- 0\n- {x: 1, x: 2}\n"
    document = parse_document(data, "s.yaml", loader)
    assert [p.located for p in document.problems(document.findings)] == [
        "s.yaml:2: a: duplicate key, first on line 1",
        "s.yaml:4: a[1].x: duplicate key, first on line 4",
    ]


@given(st.binary() | st.text().map(str.encode))
@example(b"%TAG ! !\n--- !x\n")
@example(b'"\\ud800": 1')
@example(b"? ")
@example(b"!")
def test_any_bytes_are_a_mapping_or_one_problem(data: bytes) -> None:
    for each in LOADERS:
        with contextlib.suppress(ConfigError):
            assert isinstance(parse_document(data, "s.yaml", each).root, dict)


@given(st.text(alphabet=" \n-:{}[],&*!?|>'\"%@`#a1.~<", max_size=40))
def test_any_punctuation_is_a_mapping_or_one_problem(text: str) -> None:
    for each in LOADERS:
        with contextlib.suppress(ConfigError):
            assert isinstance(parse_document(text.encode(), "s", each).root, dict)
