"""The section `identity` of `sidecar.yaml` as a value; see `sidecar.config.model`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class NameKind(StrEnum):
    """Which name of a peer's certificate counts."""

    SPIFFE = "spiffe"
    DNS = "dns"
    SUBJECT = "subject"


@frozen
class AdditionalIdentity:
    """One more certificate of ours, for the ports and routes that name it.

    Attributes:
        certificate_chain: As in `Identity`; None exactly with a Workload API.
        private_key: As in `Identity`; None exactly with a Workload API.
        hint: Which of the SVIDs of the Workload API it is; None exactly with files.
    """

    certificate_chain: Path | None = None
    private_key: Path | None = None
    hint: str | None = None


@frozen
class Identity:
    """Where our certificate and the roots of our peers come from.

    Attributes:
        certificate_chain: PEM, the leaf first; None exactly with a Workload API.
        private_key: PEM, not encrypted; None exactly with a Workload API.
        trust_bundles: One file for each trust domain, never merged with one another.
        workload_api: The socket of a SPIFFE Workload API, ``unix:///path``.
        hint: Which of the SVIDs that it sends is ours; None for the first.
        accept: Which names of a peer's certificate count; at least one.
        name_bundle: The roots of peers known by dns or subject; None exactly when
            neither is accepted.
        crl: Certificate revocation lists, PEM or DER.
        additional: Identities besides this one, by the name that ports and routes
            choose them by; peers are judged alike for all of them.
        allow_readable_key: Whether others than the owner may read the files of keys.
    """

    certificate_chain: Path | None = None
    private_key: Path | None = None
    trust_bundles: Mapping[str, Path] = field(factory=dict)
    workload_api: str | None = None
    hint: str | None = None
    accept: frozenset[NameKind] = frozenset({NameKind.SPIFFE})
    name_bundle: Path | None = None
    crl: Path | None = None
    additional: Mapping[str, AdditionalIdentity] = field(factory=dict)
    allow_readable_key: bool = False

    @property
    def from_files(self) -> bool:
        """Whether it names a file that a Workload API would bring."""
        return bool(self.certificate_chain or self.private_key or self.trust_bundles)
