"""What is served now: certificate and settings, each the last one that was good."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from attrs import frozen

from sidecar.config.problems import ConfigError
from sidecar.injector.settings import load_settings
from sidecar.tls.web import web_server_context
from sidecar.watched_files import contents, look
from sidecar.webhook.certificate import Files, ServedCertificate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from OpenSSL import SSL

    from sidecar.admin.readiness import Readiness
    from sidecar.config.problems import Problem
    from sidecar.injector.model import InjectionSettings
    from sidecar.webhook.metrics import WebhookMetrics, What

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
# Writers of several files are given this long to finish before they are read.
_SETTLE_SECONDS: Final = 0.1
# What was refused may have been good but for the moment, as a certificate that is not
# valid yet.
_AGAIN_SECONDS: Final = 60.0


@frozen
class Loaded:
    """What the files say."""

    certificate: ServedCertificate
    settings: InjectionSettings


def load(files: Files, settings_file: Path, now: datetime) -> Loaded:
    """Read everything.

    Raises:
        ConfigError: Something is of no use at *now*; it carries every problem.
    """
    problems: list[Problem] = []
    certificate = settings = None
    try:
        settings = load_settings(settings_file)
    except ConfigError as error:
        problems += error.problems
    try:
        certificate = ServedCertificate.load(files, now)
    except ConfigError as error:
        problems += error.problems
    if certificate is None or settings is None:
        raise ConfigError("sidecar webhook", tuple(problems))
    return Loaded(certificate, settings)


class Current:
    """Keeps to what the files say, or said when it was good; *loaded* is the first.

    Attributes:
        settings: What injection is told.
        context: For connections that come now; others keep theirs.
    """

    def __init__(
        self,
        files: Files,
        settings_file: Path,
        loaded: Loaded,
        metrics: WebhookMetrics,
        readiness: Readiness,
    ) -> None:
        self._files = files
        self._settings_file = settings_file
        self._metrics = metrics
        self._readiness = readiness
        self._refused: set[What] = set()
        self._refused_at = 0.0
        self._one_at_a_time = trio.Lock()
        self.settings = loaded.settings
        self._certificate = loaded.certificate
        self.context = self._serve(loaded.certificate)

    async def watch(self) -> None:
        """Look at the files every second; reload when their contents have changed."""
        looked, seen = look(self._watched), b""
        while True:
            now = look(self._watched)
            if now != looked or not seen:
                await trio.sleep(_SETTLE_SECONDS)
                if look(self._watched) != now:
                    continue  # still being written
                looked = now
                found = await _in_thread(lambda: contents(self._watched))
                if found != seen:
                    seen = found
                    await self.reload()
            elif (
                self._refused
                and trio.current_time() > self._refused_at + _AGAIN_SECONDS
            ):
                await self.reload()
            await trio.sleep(_LOOK_SECONDS)

    async def reload(self) -> None:
        """Read everything anew; what is not good changes nothing.

        Cancellation:
            Nothing has changed, or the certificate alone.
        """
        async with self._one_at_a_time:
            await self._reload("certificate", self._take_certificate)
            await self._reload("settings", self._take_settings)

    @property
    def _watched(self) -> tuple[Path, ...]:
        return (*self._files.all, self._settings_file)

    async def _reload(self, what: What, read: Callable[[], bool]) -> None:
        try:
            changed = await _in_thread(read)
        except ConfigError as error:
            for each in error.problems:
                _LOG.error(
                    "not reloaded, the last good files serve on: %s", each.located
                )
            self._refused.add(what)
            self._refused_at = trio.current_time()
            self._readiness.warn(what, error.problems[0].located)
            self._metrics.reloaded(what, ok=False)
            return
        self._refused.discard(what)
        self._readiness.unwarn(what)
        if changed:
            self._metrics.reloaded(what, ok=True)
            _LOG.info("reloaded", extra={"what": what})

    def _take_certificate(self) -> bool:
        certificate = ServedCertificate.load(self._files, datetime.now(UTC))
        if certificate == self._certificate:
            return False
        self.context = self._serve(certificate)
        self._certificate = certificate
        return True

    def _take_settings(self) -> bool:
        settings = load_settings(self._settings_file)
        if settings == self.settings:
            return False
        self.settings = settings
        return True

    def _serve(self, certificate: ServedCertificate) -> SSL.Context:
        self._metrics.certificate_loaded(certificate.expiry)
        return web_server_context(
            certificate.chain, certificate.key, certificate.client_roots
        )


async def _in_thread(read: Callable[[], T]) -> T:
    # Given up at the end: a file system that hangs must not hold up the exit.
    return await trio.to_thread.run_sync(read, abandon_on_cancel=True)
