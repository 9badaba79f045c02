"""What an agent answers to FetchX509SVID: bytes into values, nothing judged yet.

Names and numbers of the fields are those of the published workloadapi.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from attrs import field, frozen

from sidecar.workload.protobuf import MessageError, last, last_text, read_fields

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen
class SentSvid:
    """One identity of the workload (message X509SVID).

    Attributes:
        spiffe_id: What the agent calls it.
        chain: Certificates in DER, the leaf first.
        private_key: PKCS #8 in DER; never printed.
        bundle: The roots of its trust domain, in DER.
        hint: What it is for, in the words of whoever registered it; may be empty.
    """

    spiffe_id: str
    chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    bundle: bytes = field(repr=False)
    hint: str

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Read one entry.

        Raises:
            MessageError: It is none, or lacks what it must have.
        """
        fields = read_fields(message)
        svid = cls(
            spiffe_id=last_text(fields, 1),
            chain=last(fields, 2),
            private_key=last(fields, 3),
            bundle=last(fields, 4),
            hint=last_text(fields, 5),
        )
        must = ("spiffe_id", "chain", "private_key", "bundle")
        missing = [name for name in must if not getattr(svid, name)]
        if missing:  # SPIFFE Workload API 4.5: such a message is discarded
            raise MessageError(f"must have {', '.join(must)}, got no {missing[0]}")
        return svid


@frozen
class X509SvidResponse:
    """All that the workload has at the moment; what is absent, it has no more.

    Attributes:
        svids: At least one; the first is the default (SPIFFE Workload API 5.3).
        crls: Revocation lists in DER, of whatever trust domain.
        federated_bundles: The roots of other trust domains in DER, by the SPIFFE
            ID of each.
    """

    svids: tuple[SentSvid, ...]
    crls: tuple[bytes, ...] = ()
    federated_bundles: Mapping[str, bytes] = field(factory=dict)

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Read an answer.

        Raises:
            MessageError: It is none, or lacks what it must have. No other exception
                escapes, whatever the bytes.
        """
        fields = read_fields(message)
        svids = []
        for number, sent in enumerate(fields.get(1, []), 1):
            try:
                svids.append(SentSvid.parse(sent))
            except MessageError as error:
                raise MessageError(f"SVID {number}: {error}") from None
        if not svids:
            raise MessageError("must have at least one SVID, got none")
        bundles = map(read_fields, fields.get(3, []))
        return cls(
            svids=tuple(svids),
            crls=tuple(fields.get(2, [])),
            federated_bundles={last_text(b, 1): last(b, 2) for b in bundles},
        )
