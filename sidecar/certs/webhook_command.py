"""`sidecar certs webhook`: the webhook's certificate, where a cluster keeps it."""

from __future__ import annotations

import base64
import datetime as dt
import sys
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from sidecar.certs.api_server import (
    MERGE,
    STRATEGIC,
    ApiError,
    ApiServer,
    Conflict,
    Manifest,
)
from sidecar.certs.webhook_pair import WebhookPair, with_older

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_ATTEMPTS: Final = 5
_KEYS: Final = ("tls.crt", "tls.key", "ca.crt")


@frozen
class _Place:
    """A Secret and a webhook configuration, and for whom the certificate is."""

    api: ApiServer
    secret: str
    configuration: str
    names: tuple[str, ...]


def main(arguments: argparse.Namespace) -> int:
    """Keep the certificate that *arguments* describe; give the exit status."""
    try:
        token = arguments.token_file.read_text().strip()
    except OSError as error:
        remedy = "outside of a pod, --server, --ca-file and --token-file are needed"
        sys.stderr.write(f"{arguments.token_file}: {error.strerror} ({remedy})\n")
        return 1
    place = _place(arguments, ApiServer(arguments.server, arguments.ca_file, token))
    lifetime = dt.timedelta(days=arguments.days)
    try:
        said = _keep(place, lifetime, lambda: dt.datetime.now(dt.UTC))
    except ApiError as error:
        sys.stderr.write(f"sidecar certs webhook: {error}\n")
        return 1
    sys.stdout.write(f"{place.names[0]}: {said}\n")
    return 0


def _place(arguments: argparse.Namespace, api: ApiServer) -> _Place:
    host = f"{arguments.service}.{arguments.namespace}.svc"
    group = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    return _Place(
        api,
        f"/api/v1/namespaces/{arguments.namespace}/secrets/{arguments.secret}",
        f"{group}/{arguments.configuration}",
        (host, f"{host}.cluster.local"),
    )


def _keep(
    place: _Place, lifetime: dt.timedelta, clock: Callable[[], dt.datetime]
) -> str:
    """Make another certificate if there has to be one; let the API server trust it.

    First the API server learns of the new CA beside the old one, then the pods get the
    certificate: at no moment is there one that it does not trust.
    """
    for _ in range(_ATTEMPTS):
        now = clock()
        secret = place.api.get(place.secret)
        configuration = place.api.get(place.configuration)
        pair = _pair(secret)
        fault = "there is none" if pair is None else pair.fault(place.names, now)
        if pair is not None and fault is None:
            _trust(place, configuration, pair, now)
            return "is good for long enough"
        made = WebhookPair.make(place.names, now, lifetime)
        _trust(place, configuration, made, now)
        try:
            _store(place, secret, made)
        except Conflict:
            continue  # another Job was quicker: its certificate is the one
        return f"made anew: {fault}"
    raise ApiError(f"{place.secret}: somebody else changes it each time")


def _pair(secret: Manifest) -> WebhookPair | None:
    """Read what the Secret has; None, where the chart has just made it."""
    data = secret.get("data") or {}
    if not data:
        return None
    return WebhookPair(*(_decoded(data.get(key)) for key in _KEYS))


def _store(place: _Place, secret: Manifest, pair: WebhookPair) -> None:
    values = (pair.certificate, pair.private_key, pair.ca)
    data = {
        key: base64.b64encode(value).decode()
        for key, value in zip(_KEYS, values, strict=True)
    }
    version = {"resourceVersion": secret["metadata"]["resourceVersion"]}
    place.api.patch(place.secret, MERGE, {"metadata": version, "data": data})


def _trust(
    place: _Place, configuration: Manifest, pair: WebhookPair, now: dt.datetime
) -> None:
    """Let the API server trust the CA of *pair*, and for a while the one before."""
    webhooks: list[dict[str, Any]] = configuration.get("webhooks") or []
    changes = []
    for webhook in webhooks:
        bundle = _decoded(webhook["clientConfig"].get("caBundle"))
        wanted = pair.ca if pair.is_settled(now) else with_older(pair.ca, bundle, now)
        if bundle != wanted:
            config = {"caBundle": base64.b64encode(wanted).decode()}
            changes.append({"name": webhook["name"], "clientConfig": config})
    if changes:
        place.api.patch(place.configuration, STRATEGIC, {"webhooks": changes})


def _decoded(text: object) -> bytes:
    """Decode base64; what is none of it is as good as nothing."""
    try:
        return base64.b64decode(text) if isinstance(text, str) else b""
    except ValueError:
        return b""
