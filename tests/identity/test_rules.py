"""What a rule says when it is broken."""

from __future__ import annotations

import pytest

from sidecar.identity.facts import Facts
from sidecar.identity.leaf_rules import LEAF_RULES
from sidecar.identity.reading import SvidError
from sidecar.identity.rules import rule
from sidecar.identity.signer_rules import SIGNER_RULES
from tests.identity import certificates as make


@rule("no-ca", "X509-SVID 4.1", "there must be no CA")
def no_ca(facts: Facts) -> str | None:
    return "one" if facts.ca else None


def test_codes_are_unique() -> None:
    codes = [one.code for one in LEAF_RULES + SIGNER_RULES]
    assert len(codes) == len(set(codes))


def test_a_broken_rule_says_what_has_to_hold_and_what_was_found() -> None:
    with pytest.raises(SvidError) as caught:
        no_ca.check(Facts.of(make.signer()))
    assert str(caught.value) == "there must be no CA, got one (X509-SVID 4.1)"
    assert (caught.value.code, caught.value.clause) == ("no-ca", "X509-SVID 4.1")


def test_a_kept_rule_says_nothing() -> None:
    no_ca.check(Facts.of(make.leaf()))
