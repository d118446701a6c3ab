"""Not one byte of a consent's events can be changed, left out or moved without being found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from broker.consent import life
from broker.consent.chain import ConsentChainBroken, chained, verify_chain
from broker.consent.record import (
    Actor,
    ConsentEvent,
)
from broker.consent.writing import ChainedEvent
from tests.properties.test_consent_life import PERSON, PERSON_ACTS, START, TERMS


def viewed_chain(hours: int) -> tuple[ChainedEvent, ...]:
    """Return the chain of a request that was looked at every hour."""
    change = life.open_request(
        consent_id="c-1",
        request_id="r-1",
        client_id="bank-a",
        organisation_id="bank-1",
        citizen_id=PERSON,
        subject="s",
        terms=TERMS,
        at=START,
        expires_at=START + timedelta(days=7),
    )
    chain = chained(change.events, 0, b"")
    for hour in range(1, hours):
        actor = Actor(kind="data_subject", reference=PERSON)
        change = life.view(change.consent, actor, START + timedelta(hours=hour))
        chain += chained(change.events, len(chain), chain[-1].entry_hash)
    return chain


CHAIN: Final = viewed_chain(4)
CHANGES: Final[Mapping[str, Callable[[ChainedEvent], ChainedEvent]]] = {
    "hash": lambda one: replace(one, entry_hash=bytes(32)),
    "number": lambda one: replace(one, number=one.number + 1),
    "time": lambda one: replace(one, at=one.at + timedelta(microseconds=1)),
    "type": lambda one: replace(one, type="withdrawn"),
    "consent": lambda one: replace(one, consent_id="c-2"),
}


@given(place=st.integers(0, len(CHAIN) - 1), change=st.data())
def test_one_byte_of_an_event_cannot_be_changed(place: int, change: st.DataObject) -> None:
    entry = bytearray(CHAIN[place].entry)
    entry[change.draw(st.integers(0, len(entry) - 1))] ^= change.draw(st.integers(1, 255))
    broken = [*CHAIN[:place], replace(CHAIN[place], entry=bytes(entry)), *CHAIN[place + 1 :]]
    with pytest.raises(ConsentChainBroken) as fault:
        verify_chain(broken)
    assert fault.value.number == place + 1


@pytest.mark.parametrize("place", range(1, len(CHAIN)))
@pytest.mark.parametrize("kind", CHANGES)
def test_what_stands_beside_an_event_cannot_be_changed(place: int, kind: str) -> None:
    with pytest.raises(ConsentChainBroken) as fault:
        verify_chain([*CHAIN[:place], CHANGES[kind](CHAIN[place]), *CHAIN[place + 1 :]])
    assert (fault.value.number, fault.value.detail) == (place + 1, f"event {place + 1} does not fit")


@pytest.mark.parametrize("place", range(len(CHAIN) - 1))
def test_no_event_can_be_taken_out_put_in_or_moved(place: int) -> None:
    for broken, number in (
        ((*CHAIN[:place], *CHAIN[place + 1 :]), place + 1),
        ((*CHAIN[: place + 1], *CHAIN[place:]), place + 2),
        ((*CHAIN[:place], CHAIN[place + 1], CHAIN[place], *CHAIN[place + 2 :]), place + 1),
    ):
        with pytest.raises(ConsentChainBroken) as fault:
            verify_chain(broken)
        assert fault.value.number == number


def test_a_whole_chain_rewritten_by_somebody_else_has_another_end() -> None:
    event = ConsentEvent(
        consent_id="c-1",
        version=1,
        type="requested",
        actor=Actor(kind="client", reference="bank-b"),
        at=START,
    )
    forged = chained([event], 0, b"")
    verify_chain(forged)
    assert forged[0].entry_hash != CHAIN[0].entry_hash
    with pytest.raises(ConsentChainBroken) as fault:
        verify_chain([*forged, *CHAIN[1:]])
    assert fault.value.number == 2


def test_an_event_is_bytes_of_rfc_8785_with_the_hash_of_the_one_before_it() -> None:
    told = json.loads(CHAIN[1].entry)
    assert rfc8785.dumps(told) == CHAIN[1].entry
    assert told["previous_hash"] == hashlib.sha256(CHAIN[0].entry).hexdigest()
    assert json.loads(CHAIN[0].entry)["previous_hash"] == ""
    assert (told["actor"], told["type"], told["version"], told["number"]) == (
        {"kind": "data_subject", "reference": PERSON},
        "viewed",
        2,
        2,
    )


@pytest.mark.parametrize(("versions", "number"), [((2,), 1), ((1, 3), 2), ((1, 2, 1), 3)])
def test_no_version_is_left_out_or_comes_back(versions: tuple[int, ...], number: int) -> None:
    events = [
        ConsentEvent(consent_id="c-1", version=version, type="viewed", actor=PERSON_ACTS, at=START)
        for version in versions
    ]
    with pytest.raises(ConsentChainBroken) as fault:
        verify_chain(chained(events, 0, b""))
    assert fault.value.number == number


def test_only_the_first_event_has_none_before_it() -> None:
    with pytest.raises(ValueError, match="only the first event"):
        chained([], 0, bytes(32))
    with pytest.raises(ValueError, match="only the first event"):
        chained([], 1, b"")
