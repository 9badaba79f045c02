from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.certs.api_server import MERGE, ApiError, ApiServer, Conflict
from tests.certs.clusters import SECRET, TOKEN, Cluster, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with serving(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def api(cluster: Cluster) -> ApiServer:
    return ApiServer(cluster.url, cluster.folder / "ca.crt", TOKEN)


def test_an_object_is_read_and_changed(api: ApiServer) -> None:
    assert api.get(SECRET)["kind"] == "Secret"
    assert api.patch(SECRET, MERGE, {"data": {"x": "eA=="}})["data"] == {"x": "eA=="}
    assert api.get(SECRET)["data"] == {"x": "eA=="}


def test_a_change_of_an_older_object_is_a_conflict(api: ApiServer) -> None:
    with pytest.raises(Conflict, match="409 the object has been modified"):
        api.patch(SECRET, MERGE, {"metadata": {"resourceVersion": "0"}})


def test_a_refusal_says_what_was_asked_and_why(api: ApiServer) -> None:
    with pytest.raises(ApiError, match="GET /api/nothing: 404 /api/nothing not found"):
        api.get("/api/nothing")


def test_the_token_is_needed_and_never_shown(api: ApiServer) -> None:
    with pytest.raises(ApiError, match="401 Unauthorized") as caught:
        evolve(api, token="another").get(SECRET)
    assert "another" not in str(caught.value)
    assert TOKEN not in repr(api)


def test_a_server_of_another_ca_gets_no_token(api: ApiServer, cluster: Cluster) -> None:
    other = cluster.folder / "other"
    other.mkdir()
    with serving(other), pytest.raises(ApiError, match="certificate verify failed"):
        evolve(api, ca_file=other / "ca.crt").get(SECRET)
    assert cluster.asked == []


def test_a_server_of_another_name_gets_no_token(
    api: ApiServer, cluster: Cluster
) -> None:
    url = api.url.replace("localhost", "127.0.0.1")
    with pytest.raises(ApiError, match="certificate verify failed"):
        evolve(api, url=url).get(SECRET)
    assert cluster.asked == []


@pytest.mark.parametrize("url", ["https://localhost:1", "https://", "https://[", "x"])
def test_a_server_that_cannot_be_reached_is_named(api: ApiServer, url: str) -> None:
    with pytest.raises(ApiError):
        evolve(api, url=url).get(SECRET)


def test_a_ca_that_is_not_there_is_told_of(api: ApiServer) -> None:
    with pytest.raises(ApiError, match="No such file"):
        evolve(api, ca_file=api.ca_file.with_name("absent")).get(SECRET)


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_an_answer_that_is_no_object_is_an_error(
    api: ApiServer, cluster: Cluster, body: bytes
) -> None:
    cluster.objects["/odd"] = body
    with pytest.raises(ApiError, match="GET /odd: 200 and no object"):
        api.get("/odd")
