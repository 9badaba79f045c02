"""TLS on one side: ends, alerts, broken records, new keys, and peers that mean harm."""

from __future__ import annotations

import contextlib
import socket
from select import EPOLLIN, EPOLLOUT, POLLHUP
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from sidecar.relay.flow import LARGE_READ, SMALL_READ, Ending
from sidecar.relay.tls_flow import TlsFlow
from sidecar.telemetry.labels import Outcome, Reason
from sidecar.tls.openssl_binding import SSL_shutdown, bios, waiting
from tests.relay.records import (
    ALERT,
    APPLICATION_DATA,
    CLOSE_NOTIFY,
    HANDSHAKE,
    KEY_UPDATE,
    KEY_UPDATE_REQUESTED,
    USER_CANCELED,
    Records,
)
from tests.relay.relaying import (
    AUTOMATIC,
    Carried,
    Kind,
    handshaken,
    is_reset,
    receive_all,
    receive_exactly,
    send_and_end,
    some_bytes,
)
from tests.relay.tls_wires import (
    TlsWire,
    connections,
    context,
    move,
    secrets_of,
    shake_hands,
)
from tests.relay.wires import arrived, fill_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.relay.end import End
    from tests.relay.relaying import Buffers, Relay

SMALL = 65536, 65536
TINY = 4096, 4096
MOST_UNREAD = 3 * 16384
MUCH = some_bytes(4 << 20)
RESET_BY_PLAIN = {
    Kind.TLS_DOWNSTREAM: Outcome.RESET_BY_UPSTREAM,
    Kind.TLS_UPSTREAM: Outcome.RESET_BY_DOWNSTREAM,
}
RESET_BY_TLS = {
    Kind.TLS_DOWNSTREAM: Outcome.RESET_BY_DOWNSTREAM,
    Kind.TLS_UPSTREAM: Outcome.RESET_BY_UPSTREAM,
}


def crafted(
    relay: Relay, kind: Kind, buffers: Buffers = AUTOMATIC
) -> tuple[Carried, Records]:
    """A connection whose TLS peer makes its records by hand."""
    client_context = context(SSL.TLS_CLIENT_METHOD)
    secrets = secrets_of(client_context)
    server, client = connections(context(SSL.TLS_SERVER_METHOD), client_context)
    shake_hands(server, client)
    if kind is Kind.TLS_DOWNSTREAM:
        carried = relay.open_tls(kind, server, client, buffers)
        return carried, Records(secrets["CLIENT_TRAFFIC_SECRET_0"])
    carried = relay.open_tls(kind, client, server, buffers)
    tickets = 2  # in a record each, before anything of ours
    return carried, Records(secrets["SERVER_TRAFFIC_SECRET_0"], tickets)


def tls_end_of(carried: Carried) -> End:
    assert isinstance(carried.flow, TlsFlow)
    return carried.flow._tls


def plain_end_of(carried: Carried) -> End:
    assert isinstance(carried.flow, TlsFlow)
    return carried.flow._plain


def tls_side_of(carried: Carried) -> Callable[[int], None]:
    """The handler of the events of the side with TLS."""
    flow = carried.flow
    tls_downstream = tls_end_of(carried) is flow.downstream
    return flow._on_downstream if tls_downstream else flow._on_upstream


def plain_side_of(carried: Carried) -> Callable[[int], None]:
    flow = carried.flow
    tls_downstream = tls_end_of(carried) is flow.downstream
    return flow._on_upstream if tls_downstream else flow._on_downstream


def held_by_openssl(carried: Carried) -> tuple[int, int]:
    """The bytes that came and are not decrypted yet, and those not sent yet."""
    assert isinstance(carried.flow, TlsFlow)
    return waiting(carried.flow._into), waiting(carried.flow._out)


def arrived_bytes(sock: socket.socket) -> int:
    """How many bytes can be read."""
    with contextlib.suppress(BlockingIOError):
        return len(sock.recv(LARGE_READ, socket.MSG_PEEK))
    return 0


async def see_it_reset(carried: Carried) -> Ending:
    """Give the ending of a flow whose plain side must not take it for an end."""
    assert await is_reset(carried.plain)
    return await carried.ending()


# --- what came with the handshake


@pytest.mark.parametrize("buffers", [AUTOMATIC, SMALL])
# A handshake reads at most 16 KiB to see what it is, and then 64 KiB at once.
@pytest.mark.parametrize("size", [1, 80_000, LARGE_READ])
async def test_what_came_with_the_handshake_is_passed_on(
    relay: Relay, tls_kind: Kind, size: int, buffers: Buffers
) -> None:
    ours, theirs = handshaken(tls_kind)
    data = some_bytes(size)
    for at in range(0, size, 10_000):  # no record ends where a buffer does
        theirs.sendall(data[at : at + 10_000])
        move(theirs, ours)
    carried = relay.open_tls(tls_kind, ours, theirs, buffers)
    await relay.quiet()  # with small buffers, the application is behind now
    assert await receive_exactly(carried.plain, size) == data
    await carried.tls.end()
    assert await receive_all(carried.plain) == b""
    await carried.plain.end()
    assert await carried.ending() == Ending(Outcome.COMPLETED)


@pytest.mark.parametrize("request_", [b"", b"GET"])
async def test_a_finished_goes_out_at_once_and_with_a_request_that_is_there(
    by_hand: Relay, request_: bytes
) -> None:
    server, client = connections(
        context(SSL.TLS_SERVER_METHOD), context(SSL.TLS_CLIENT_METHOD)
    )
    for end, other in ((client, server), (server, client)):
        with pytest.raises(SSL.WantReadError):
            end.do_handshake()
        move(end, other)
    client.do_handshake()
    finished = waiting(bios(client)[2])
    assert finished, "the server knows nothing of the client's end of the handshake"
    near_down, down = by_hand.wire()
    near_up, up = by_hand.wire()
    if request_:
        await down.send(request_)
    flow = TlsFlow(near_down, near_up, client, tls_downstream=False)
    by_hand.carry(Carried(flow, down, TlsWire(up, server)))
    await trio.testing.wait_all_tasks_blocked()
    flight = await up.receive()
    assert len(flight) == finished + (len(request_) + 22 if request_ else 0)
    server.bio_write(flight)
    server.do_handshake()
    if request_:
        assert server.recv(10) == request_


async def test_a_peer_may_have_ended_with_the_handshake(
    relay: Relay, tls_kind: Kind
) -> None:
    ours, theirs = handshaken(tls_kind)
    theirs.shutdown()
    move(theirs, ours)
    carried = relay.open_tls(tls_kind, ours, theirs)
    assert await receive_all(carried.plain) == b""
    await send_and_end(carried.plain, b"so what")
    assert await receive_all(carried.tls) == b"so what"
    assert await carried.ending() == Ending(Outcome.COMPLETED)


async def test_tls_may_break_with_the_handshake(relay: Relay, tls_kind: Kind) -> None:
    ours, theirs = handshaken(tls_kind)
    ours.bio_write(b"\x17\x03\x03\x00\x20" + bytes(32))
    carried = relay.open_tls(tls_kind, ours, theirs)
    assert (await see_it_reset(carried)).outcome is Outcome.TLS_ERROR


async def test_the_plain_side_may_be_gone_by_then(relay: Relay, tls_kind: Kind) -> None:
    ours, theirs = handshaken(tls_kind)
    theirs.send(b"a question")
    move(theirs, ours)
    carried = relay.open_tls(tls_kind, ours, theirs)
    carried.plain.reset()
    assert await is_reset(carried.tls)
    assert (await carried.ending()).outcome is RESET_BY_PLAIN[tls_kind]


async def test_an_error_that_another_left_behind_is_not_taken_for_ours(
    relay: Relay, tls_kind: Kind
) -> None:
    ours, theirs = handshaken(tls_kind)
    theirs.send(b"hello")
    move(theirs, ours)
    leave_an_error()
    carried = relay.open_tls(tls_kind, ours, theirs)
    assert await carried.plain.receive() == b"hello"


def leave_an_error() -> None:
    """Put one in OpenSSL's queue, as whoever uses it may."""
    unready, _ = connections(
        context(SSL.TLS_SERVER_METHOD), context(SSL.TLS_CLIENT_METHOD)
    )
    assert SSL_shutdown(bios(unready)[0]) < 0


@pytest.mark.parametrize("with_the_handshake", [True, False])
async def test_the_first_bytes_are_told_of_once(
    relay: Relay, tls_kind: Kind, *, with_the_handshake: bool
) -> None:
    """Tickets, which come before them, are no bytes, but are there by then."""
    ours, theirs = handshaken(tls_kind)
    told = []

    def tell() -> None:
        told.append(ours.get_session())

    if with_the_handshake:
        theirs.send(b"1")
        move(theirs, ours)
    carried = relay.open_tls(tls_kind, ours, theirs, first_read=tell)
    if not with_the_handshake:
        await relay.quiet()
        assert told == []
        await carried.tls.send(b"1")
    assert await carried.plain.receive() == b"1"
    assert len(told) == 1
    assert told[0] is not None
    await carried.tls.send(b"2")
    assert await carried.plain.receive() == b"2"
    assert len(told) == 1


# --- ends


async def test_our_end_is_a_close_notify_and_no_fin(
    relay: Relay, tls_kind: Kind
) -> None:
    carried = relay.open(tls_kind)
    await carried.plain.end()
    assert await receive_all(carried.tls) == b""
    await relay.quiet()
    with pytest.raises(BlockingIOError):
        carried.tls.sock.recv(1)


async def test_a_fin_without_close_notify_is_a_truncation(
    relay: Relay, tls_kind: Kind
) -> None:
    carried = relay.open(tls_kind)
    await carried.tls.send(b"half of an ans")
    assert await carried.plain.receive() == b"half of an ans"
    await carried.tls.wire.end()
    ending = await see_it_reset(carried)
    assert ending == Ending(Outcome.TRUNCATED, "the peer ended without close_notify")


async def test_a_fin_within_a_record_is_a_truncation(
    relay: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(relay, tls_kind)
    await carried.tls.wire.send(records.seal(APPLICATION_DATA, b"hello")[:-1])
    await carried.tls.wire.end()
    assert (await see_it_reset(carried)).outcome is Outcome.TRUNCATED


async def test_a_fin_while_our_bytes_wait_is_a_truncation(
    relay: Relay, tls_kind: Kind
) -> None:
    carried = relay.open(tls_kind, SMALL)
    behind = tls_end_of(carried)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(meet_a_reset, carried)
        await relay.until(lambda: behind.pending)
        await carried.tls.wire.end()
        assert (await carried.ending()).outcome is Outcome.TRUNCATED


async def test_a_fin_while_our_close_notify_waits_is_a_truncation(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried = await by_hand.parked(tls_kind, TINY)
    behind = tls_end_of(carried)
    fill_up(behind.sock)
    await carried.plain.end()
    await by_hand.turn()
    assert behind.pending is not None
    await carried.tls.wire.end()
    arrived(behind.sock)
    await by_hand.turn()
    assert (await see_it_reset(carried)).outcome is Outcome.TRUNCATED


async def meet_a_reset(carried: Carried) -> None:
    with pytest.raises(ConnectionResetError):
        await carried.plain.send(MUCH)


async def test_a_peer_need_not_answer_our_close_notify(
    relay: Relay, tls_kind: Kind
) -> None:
    carried = relay.open(tls_kind)
    await carried.plain.end()
    assert await receive_all(carried.tls) == b""
    await carried.tls.wire.end()
    assert await see_it_reset(carried) == Ending(Outcome.COMPLETED)


async def test_what_comes_after_a_close_notify_is_ignored(
    relay: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(relay, tls_kind)
    wire = carried.tls.wire
    await wire.send(
        records.seal(APPLICATION_DATA, b"the end")
        + records.seal(ALERT, CLOSE_NOTIFY)
        + records.seal(APPLICATION_DATA, b"or not")
    )
    assert await receive_all(carried.plain) == b"the end"
    await wire.send(b"nor this")
    await carried.plain.end()
    assert await carried.ending() == Ending(Outcome.COMPLETED)
    assert b"not" not in await wire.receive()


async def test_user_canceled_announces_an_end_and_is_none(
    relay: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(relay, tls_kind)
    await carried.tls.wire.send(records.seal(ALERT, USER_CANCELED))
    await carried.tls.wire.send(records.seal(APPLICATION_DATA, b"last"))
    await carried.tls.wire.send(records.seal(ALERT, CLOSE_NOTIFY))
    assert await receive_all(carried.plain) == b"last"
    await carried.plain.end()
    assert await carried.ending() == Ending(Outcome.COMPLETED)


# --- broken TLS


def flipped(record: bytes) -> bytes:
    return record[:-1] + bytes([record[-1] ^ 1])


def skipped(records: Records, kind: int) -> bytes:
    records.seal(kind, b"lost on the way")
    return records.seal(kind, b"data")


BROKEN: dict[str, Callable[[Records], bytes]] = {
    "a record of zeros": lambda _: b"\x17\x03\x03\x00\x20" + bytes(32),
    "no record": lambda _: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a flipped bit": lambda records: flipped(records.seal(APPLICATION_DATA, b"data")),
    "a record out of order": lambda records: skipped(records, APPLICATION_DATA),
    "a record that is too large": lambda _: b"\x17\x03\x03\xff\xff" + bytes(100),
    "an alert in the clear": lambda _: b"\x15\x03\x03\x00\x02\x02\x28",
    "a type that there is not": lambda records: records.seal(99, b"data"),
    "a handshake message that has no place": lambda records: records.seal(
        HANDSHAKE, b"\x0b\x00\x00\x04\x00\x00\x00\x00"
    ),
    "an alert of one byte": lambda records: records.seal(ALERT, b"\x02"),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_broken_tls_is_an_error_with_a_reason_and_an_alert(
    relay: Relay, tls_kind: Kind, how: str
) -> None:
    carried, records = crafted(relay, tls_kind)
    await carried.tls.wire.send(BROKEN[how](records))
    ending = await see_it_reset(carried)
    assert ending.outcome is Outcome.TLS_ERROR
    assert ending.reason is Reason.PROTOCOL_ERROR
    assert len(ending.detail) > len("error 0x")
    with pytest.raises(SSL.Error, match="alert"):
        await receive_all(carried.tls)


async def test_broken_tls_is_an_error_though_the_peer_is_gone(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(by_hand, tls_kind)
    await trio.testing.wait_all_tasks_blocked()
    await carried.tls.wire.send(flipped(records.seal(APPLICATION_DATA, b"data")))
    carried.tls.reset()
    arrived(tls_end_of(carried).sock, event=POLLHUP)
    by_hand.engine.turn()
    ending = await carried.ending()
    assert (ending.outcome, ending.reason) == (Outcome.TLS_ERROR, Reason.PROTOCOL_ERROR)


async def test_broken_tls_is_an_error_though_the_peer_does_not_read(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(by_hand, tls_kind, TINY)
    await trio.testing.wait_all_tasks_blocked()
    behind = tls_end_of(carried)
    await carried.tls.wire.send(flipped(records.seal(APPLICATION_DATA, b"data")))
    fill_up(behind.sock)
    arrived(behind.sock)
    behind.pending = memoryview(b"rest")
    tls_side_of(carried)(EPOLLIN)
    ending = await see_it_reset(carried)
    assert (ending.outcome, ending.reason) == (Outcome.TLS_ERROR, Reason.PROTOCOL_ERROR)


ALERTS = {
    40: Reason.PEER_REFUSED,
    42: Reason.PEER_REFUSED,
    48: Reason.PEER_REFUSED,
    49: Reason.PEER_REFUSED,
    116: Reason.PEER_REFUSED,
    10: Reason.PROTOCOL_ERROR,
    20: Reason.PROTOCOL_ERROR,
    80: Reason.PROTOCOL_ERROR,
}


@pytest.mark.parametrize("number", ALERTS)
async def test_an_alert_of_the_peer_is_reported(
    relay: Relay, tls_kind: Kind, number: int
) -> None:
    carried, records = crafted(relay, tls_kind)
    await carried.tls.wire.send(records.seal(ALERT, bytes([2, number])))
    ending = await see_it_reset(carried)
    assert (ending.outcome, ending.reason) == (Outcome.TLS_ERROR, ALERTS[number])
    assert f"({number})" in ending.detail


async def test_a_server_that_refuses_our_certificate_after_our_handshake(
    relay: Relay,
) -> None:
    """In TLS 1.3 a client is done before the server has seen its certificate."""
    picky = context(SSL.TLS_SERVER_METHOD)
    picky.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: False
    )
    server, client = connections(picky, context(SSL.TLS_CLIENT_METHOD))
    for end, other in ((client, server), (server, client)):
        with pytest.raises(SSL.WantReadError):
            end.do_handshake()
        move(end, other)
    client.do_handshake()
    move(client, server)
    carried = relay.open_tls(Kind.TLS_UPSTREAM, client, server)
    await carried.plain.send(b"a request")
    with pytest.raises(SSL.Error):
        server.do_handshake()
    await carried.tls.flush()
    carried.tls.close()
    ending = await see_it_reset(carried)
    assert (ending.outcome, ending.reason) == (Outcome.TLS_ERROR, Reason.PEER_REFUSED)
    assert "alert" in ending.detail


async def refuse_and_reset(carried: Carried, records: Records) -> None:
    await carried.tls.wire.send(records.seal(ALERT, bytes([2, 42])))
    carried.tls.reset()
    arrived(tls_end_of(carried).sock, event=POLLHUP)


async def test_a_refusal_is_found_though_the_reset_was_seen_first(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(by_hand, tls_kind)
    await trio.testing.wait_all_tasks_blocked()
    await carried.plain.send(b"a request")
    arrived(plain_end_of(carried).sock)
    await refuse_and_reset(carried, records)
    # The application's event comes first in the batch, and what it sent meets the reset.
    plain_side_of(carried)(EPOLLIN)
    ending = await see_it_reset(carried)
    assert (ending.outcome, ending.reason) == (Outcome.TLS_ERROR, Reason.PEER_REFUSED)


async def test_a_refusal_is_found_though_the_application_is_behind(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(by_hand, tls_kind, TINY)
    await trio.testing.wait_all_tasks_blocked()
    flow, behind = carried.flow, plain_end_of(carried)
    fill_up(behind.sock)
    behind.pending = memoryview(b"rest")
    flow.settle()
    await carried.tls.wire.send(records.seal(APPLICATION_DATA, some_bytes(100)))
    await refuse_and_reset(carried, records)
    by_hand.engine.turn()
    ending = await see_it_reset(carried)
    assert (ending.outcome, ending.reason) == (Outcome.TLS_ERROR, Reason.PEER_REFUSED)


@pytest.mark.parametrize("last", [b"", b"data", b"broken"])
async def test_a_reset_without_a_refusal_is_a_reset(
    by_hand: Relay, tls_kind: Kind, last: bytes
) -> None:
    carried, records = crafted(by_hand, tls_kind)
    await trio.testing.wait_all_tasks_blocked()
    await carried.plain.send(b"a request")
    record = records.seal(APPLICATION_DATA, last)
    await carried.tls.wire.send(flipped(record) if last == b"broken" else record)
    carried.tls.reset()
    arrived(tls_end_of(carried).sock, event=POLLHUP)
    arrived(plain_end_of(carried).sock)
    plain_side_of(carried)(EPOLLIN)
    assert (await carried.ending()).outcome is RESET_BY_TLS[tls_kind]


# --- nobody else's error


async def break_a_record(carried: Carried, records: Records) -> None:
    record = records.seal(APPLICATION_DATA, b"data")
    await carried.tls.wire.send(flipped(record))


async def send_an_alert(carried: Carried, records: Records) -> None:
    await carried.tls.wire.send(records.seal(ALERT, bytes([2, 42])))


async def end_in_half_a_message(carried: Carried, records: Records) -> None:
    await carried.tls.wire.send(records.seal(HANDSHAKE, KEY_UPDATE[:4]))
    await carried.plain.end()


async def write_in_half_a_message(carried: Carried, records: Records) -> None:
    await carried.tls.wire.send(records.seal(HANDSHAKE, KEY_UPDATE[:4]))
    await carried.plain.send(b"data")


@pytest.mark.parametrize(
    "fail",
    [break_a_record, send_an_alert, end_in_half_a_message, write_in_half_a_message],
)
async def test_what_breaks_one_connection_breaks_no_other(
    by_hand: Relay,
    tls_kind: Kind,
    fail: Callable[[Carried, Records], Awaitable[None]],
) -> None:
    """OpenSSL keeps one queue of errors for all connections of a thread."""
    victims = [crafted(by_hand, tls_kind) for _ in range(3)]
    innocents = [by_hand.open(each) for each in Kind for _ in range(3)]
    await trio.testing.wait_all_tasks_blocked()
    for carried, records in victims:
        await fail(carried, records)
    for each in innocents:
        await each.downstream.send(b"ping")
        await each.upstream.send(b"pong")
        arrived(each.flow.downstream.sock, each.flow.upstream.sock)
    # In the worst order, and without the clean slate that a turn begins with.
    for carried, _ in victims:
        arrived(tls_end_of(carried).sock)
        tls_side_of(carried)(EPOLLIN)
        plain_side_of(carried)(EPOLLIN)
        for each in innocents:
            each.flow._on_downstream(EPOLLIN)
            each.flow._on_upstream(EPOLLIN)
    for carried, _ in victims:
        assert (await carried.ending()).outcome is Outcome.TLS_ERROR
    for each in innocents:
        assert await each.upstream.receive() == b"ping"
        assert await each.downstream.receive() == b"pong"


async def test_an_error_from_before_the_turn_breaks_no_connection(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried = await by_hand.parked(tls_kind)
    for number in range(3):
        await carried.tls.send(bytes([number]))
        arrived(tls_end_of(carried).sock)
        leave_an_error()
        by_hand.engine.turn()
        assert await carried.plain.receive() == bytes([number])


# --- what TLS says beside the data


async def test_new_keys_at_any_time_and_data_right_after_them(
    relay: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(relay, tls_kind)
    for number in range(100):
        data = bytes([number])
        await carried.tls.wire.send(
            records.key_update(requested=True)
            + records.key_update(requested=False)
            + records.seal(APPLICATION_DATA, data)
        )
        assert await carried.plain.receive() == data
        await carried.plain.send(data)
        assert await carried.tls.receive() == data  # under the new keys that we chose
    await carried.tls.wire.send(records.seal(ALERT, CLOSE_NOTIFY))
    await carried.plain.end()
    assert await carried.ending() == Ending(Outcome.COMPLETED)


async def test_new_keys_after_our_end(relay: Relay, tls_kind: Kind) -> None:
    carried, records = crafted(relay, tls_kind)
    await carried.plain.end()
    assert await receive_all(carried.tls) == b""
    await carried.tls.wire.send(
        b"".join(records.key_update(requested=True) for _ in range(3))
        + records.seal(APPLICATION_DATA, b"still here")
        + records.seal(ALERT, CLOSE_NOTIFY)
    )
    assert await receive_all(carried.plain) == b"still here"
    assert await carried.ending() == Ending(Outcome.COMPLETED)


async def test_answers_that_find_no_room_are_sent_later(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(by_hand, tls_kind, TINY)
    await trio.testing.wait_all_tasks_blocked()

    async def ask() -> None:  # OpenSSL answers when it has something else to write
        for _ in range(3):
            await carried.tls.wire.send(records.key_update(requested=True))

    await ask()
    behind = tls_end_of(carried)
    taken = fill_up(behind.sock)
    await by_hand.turn()
    assert behind.pending is not None
    assert behind.mask & EPOLLOUT
    assert plain_end_of(carried).mask == 0
    await ask()
    await by_hand.turn()

    by_hand.nursery.start_soon(by_hand.engine.run)
    while taken:
        taken -= len(await carried.tls.wire.receive(taken))
    await by_hand.quiet()
    assert held_by_openssl(carried)[1] == 0
    await carried.plain.send(b"under new keys")
    assert await carried.tls.receive() == b"under new keys"


async def test_a_peer_that_asks_and_does_not_read_the_answers_is_cut(
    relay: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(relay, tls_kind, TINY)

    async def ask_for_ever() -> None:
        while True:
            requests = [records.key_update(requested=True) for _ in range(100)]
            await carried.tls.wire.send(b"".join(requests))
            assert held_by_openssl(carried)[1] < MOST_UNREAD

    with pytest.raises(ConnectionResetError):
        await ask_for_ever()
    ending = await see_it_reset(carried)
    assert (ending.outcome, ending.reason) == (Outcome.TLS_ERROR, Reason.PROTOCOL_ERROR)
    assert "does not read" in ending.detail


async def test_a_message_in_two_records_is_whole_in_the_end(
    relay: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(relay, tls_kind)
    half = len(KEY_UPDATE_REQUESTED) - 1
    await carried.tls.wire.send(records.seal(HANDSHAKE, KEY_UPDATE_REQUESTED[:half]))
    await relay.quiet()
    await carried.tls.wire.send(records.seal(HANDSHAKE, KEY_UPDATE_REQUESTED[half:]))
    records.use_next_keys()
    await carried.tls.wire.send(records.seal(APPLICATION_DATA, b"whole"))
    assert await carried.plain.receive() == b"whole"


@pytest.mark.parametrize("fail", [end_in_half_a_message, write_in_half_a_message])
async def test_half_a_message_says_so_where_it_is_in_the_way(
    by_hand: Relay,
    tls_kind: Kind,
    fail: Callable[[Carried, Records], Awaitable[None]],
) -> None:
    """OpenSSL writes nothing in mid-message; a peer that stalls there is cut."""
    carried, records = crafted(by_hand, tls_kind)
    await trio.testing.wait_all_tasks_blocked()
    await fail(carried, records)
    arrived(tls_end_of(carried).sock, plain_end_of(carried).sock)
    tls_side_of(carried)(EPOLLIN)
    plain_side_of(carried)(EPOLLIN)
    ending = await carried.ending()
    assert (ending.outcome, ending.reason) == (Outcome.TLS_ERROR, Reason.PROTOCOL_ERROR)
    assert ending.detail in {
        "the peer left a message unfinished",
        "shutdown while in init",
    }


async def test_records_without_content_are_nothing(
    relay: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(relay, tls_kind)
    for _ in range(5):
        await carried.tls.wire.send(records.seal(APPLICATION_DATA, b""))
    await carried.tls.wire.send(records.seal(APPLICATION_DATA, b"x"))
    assert await carried.plain.receive() == b"x"


async def test_many_records_at_once_are_one_send(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, records = crafted(by_hand, tls_kind)
    await trio.testing.wait_all_tasks_blocked()
    data = some_bytes(500)
    await carried.tls.wire.send(
        b"".join(records.seal(APPLICATION_DATA, data[i : i + 1]) for i in range(500))
    )
    assert await by_hand.turn() == 1
    assert await carried.plain.receive() == data


@pytest.mark.parametrize("of_keys", [False, True], ids=["tiny", "of new keys"])
async def test_a_flood_of_records_is_read_in_small_steps(
    by_hand: Relay, tls_kind: Kind, of_keys: bool
) -> None:
    """A record costs what a kilobyte does, and nobody else has a turn meanwhile."""
    carried, records = crafted(by_hand, tls_kind)
    await trio.testing.wait_all_tasks_blocked()
    flow, tls = carried.flow, tls_end_of(carried)
    flow.step, tls.moved = LARGE_READ, LARGE_READ  # it has moved much before
    many = range(2000)
    flood = (
        [records.key_update(requested=False) for _ in many]
        if of_keys
        else [records.seal(APPLICATION_DATA, b"x") for _ in many]
    )
    await carried.tls.wire.send(b"".join(flood))
    while arrived_bytes(tls.sock) < len(b"".join(flood)):
        await trio.lowlevel.checkpoint()
    await by_hand.turn()
    assert flow.step == SMALL_READ
    while arrived_bytes(tls.sock):
        await by_hand.turn()
        assert flow.step == SMALL_READ
    full = [records.seal(APPLICATION_DATA, bytes(16384)) for _ in range(4)]
    await carried.tls.wire.send(b"".join(full))
    while arrived_bytes(tls.sock):
        await by_hand.turn()
    assert flow.step == LARGE_READ
    expected = 4 * 16384 + (0 if of_keys else len(many))
    assert len(await receive_exactly(carried.plain, expected)) == expected


async def test_what_openssl_holds_is_bounded_while_the_application_is_behind(
    relay: Relay, tls_kind: Kind
) -> None:
    carried = relay.open(tls_kind, SMALL)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, carried.tls, MUCH)
        await relay.until(lambda: plain_end_of(carried).pending)
        await relay.quiet()
        assert held_by_openssl(carried)[0] <= LARGE_READ + 16384 + 256
        assert await receive_all(carried.plain) == MUCH


# --- TLS 1.2


async def test_tls_1_2_both_ways(relay: Relay, tls_kind: Kind) -> None:
    ours, theirs = handshaken(tls_kind, SSL.TLS1_2_VERSION)
    carried = relay.open_tls(tls_kind, ours, theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, carried.tls, MUCH)
        assert await receive_all(carried.plain) == MUCH
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, carried.plain, MUCH)
        assert await receive_all(carried.tls) == MUCH
    assert await carried.ending() == Ending(Outcome.COMPLETED)


async def test_in_tls_1_2_a_fin_is_a_truncation_too(
    relay: Relay, tls_kind: Kind
) -> None:
    ours, theirs = handshaken(tls_kind, SSL.TLS1_2_VERSION)
    carried = relay.open_tls(tls_kind, ours, theirs)
    await carried.tls.wire.end()
    assert (await see_it_reset(carried)).outcome is Outcome.TRUNCATED


async def test_nothing_is_negotiated_again(relay: Relay, tls_kind: Kind) -> None:
    ours, theirs = handshaken(tls_kind, SSL.TLS1_2_VERSION, theirs=0)
    carried = relay.open_tls(tls_kind, ours, theirs)
    assert theirs.renegotiate()
    with pytest.raises(SSL.Error, match="no renegotiation"):
        await carried.tls.receive()
    carried.tls.reset()
    assert (await see_it_reset(carried)).outcome is RESET_BY_TLS[tls_kind]
