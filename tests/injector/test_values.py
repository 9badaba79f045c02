from __future__ import annotations

import pytest

from sidecar.injector.values import parse_image, parse_mount, parse_object_name


@pytest.mark.parametrize("text", ["a", "sidecar", "my-app.v1", "0" * 63, "a" * 63])
def test_a_name_is_one(text: str) -> None:
    assert parse_object_name(text) == text


@pytest.mark.parametrize(
    "text", ["", "A", "-a", "a-", "a..b", "a_b", "a\n", "a" * 64, "a." * 127 + "a"]
)
def test_no_object_has_such_a_name(text: str) -> None:
    with pytest.raises(ValueError, match="a name has lower case letters"):
        parse_object_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "sidecar",
        "registry.example.org:5000/mesh/sidecar:0.1.0",
        "sidecar@sha256:" + "0" * 64,
    ],
)
def test_an_image_is_one(text: str) -> None:
    assert parse_image(text) == text


@pytest.mark.parametrize("text", ["", "a b", "-x", "a\n", "{{ .Values.image }}"])
def test_no_image_is_called_that(text: str) -> None:
    with pytest.raises(ValueError, match="expected an image"):
        parse_image(text)


@pytest.mark.parametrize("text", ["/run", "/var/run/secrets/spiffe.io", "/a/..b"])
def test_a_path_is_one(text: str) -> None:
    assert parse_mount(text) == text


@pytest.mark.parametrize("text", ["", "/", "run", "/a/../b", "/a/.", "/a//b", "/a:b"])
def test_no_volume_is_mounted_there(text: str) -> None:
    with pytest.raises(ValueError, match="expected an absolute path"):
        parse_mount(text)
