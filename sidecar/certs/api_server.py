"""The API server of a cluster, for a command that asks it for next to nothing.

Python's own TLS, not the mesh's: the API server is known by its host name and by a CA
that the cluster gives to every pod.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen

if TYPE_CHECKING:
    from pathlib import Path

Manifest = dict[str, Any]

MERGE: Final = "application/merge-patch+json"
"""RFC 7396: what is not named stays, lists are replaced."""
STRATEGIC: Final = "application/strategic-merge-patch+json"
"""Kubernetes' own: lists of named things are merged by their names."""

_SECONDS: Final = 30
_LARGEST: Final = 8 * 1024 * 1024


class ApiError(Exception):
    """The API server cannot be asked, or refuses; the message says what, and why."""


class Conflict(ApiError):
    """Somebody else has changed the object in the meantime."""


@frozen
class ApiServer:
    """Where it is, and as whom it is asked.

    Attributes:
        url: ``https://host`` and maybe a port.
        token: Of the service account.
    """

    url: str
    ca_file: Path
    token: str = field(repr=False)

    def get(self, path: str) -> Manifest:
        """Read an object.

        Raises:
            ApiError: It cannot be had.
        """
        return self._ask("GET", path)

    def patch(self, path: str, kind: str, change: Manifest) -> Manifest:
        """Change an object; *kind* says how the change is to be read.

        Raises:
            Conflict: It has another `resourceVersion` than the change.
            ApiError: It cannot be changed.
        """
        # Named, so that it is seen whose the fields are (server-side apply).
        return self._ask("PATCH", f"{path}?fieldManager=sidecar", kind, change)

    def _ask(
        self, method: str, path: str, kind: str = "", change: Manifest | None = None
    ) -> Manifest:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/json",
        }
        if kind:
            headers["Content-Type"] = kind
        body = None if change is None else json.dumps(change)
        try:
            parts = urlsplit(self.url)
            context = ssl.create_default_context(cafile=self.ca_file)
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=_SECONDS, context=context
            )
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                status, data = answer.status, answer.read(_LARGEST)
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ApiError(f"{self.url}: {error}") from None
        return _object(f"{method} {path}", status, data)


def _object(asked: str, status: int, data: bytes) -> Manifest:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if status == http.HTTPStatus.OK and isinstance(answer, dict):
        return answer
    said = answer.get("message") if isinstance(answer, dict) else None
    problem = f"{asked}: {status} {said or 'and no object'}"
    raise Conflict(problem) if status == http.HTTPStatus.CONFLICT else ApiError(problem)
