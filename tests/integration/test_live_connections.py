"""What is open lives exactly as long as it would be let in."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import selectors
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
from attrs import define, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from sidecar.config.load import load_config, load_policy
from sidecar.config.material import load_material
from sidecar.config.model import Mode, NameKind
from sidecar.policy.compile import compile_policy
from sidecar.policy.evaluate import evaluate
from sidecar.telemetry.labels import Reason
from sidecar.tls.refusal import Refusal
from sidecar.tls.verify import Verifier, utc_now
from tests.integration.conftest import data_port
from tests.support.deadlines import eventually
from tests.support.pki import new_authority, write_bundle, write_svid
from tests.support.ports import free_port
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sidecar.certs.authority import Authority
    from tests.integration.conftest import Town
    from tests.support.pki import Pair

DOMAINS: Final = ("example.org", "partner.test", "third.test")
SOURCES: Final = ("127.2.0.1", "127.2.1.1", "127.3.0.1")
IDENTITIES: Final = 20
CALLERS: Final = 1000
SECONDS: Final = 10

OUTCOMES: Final = {
    Reason.EXPIRED: "peer_expired",
    Reason.REVOKED: "peer_revoked",
    Reason.UNTRUSTED_CHAIN: "peer_untrusted",
    Reason.UNKNOWN_TRUST_DOMAIN: "bundle_withdrawn",
}


# --- An application on several ports


class Echo:
    """Sends back what it gets, to any number of callers, in one thread."""

    def __init__(self, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._stopped, self._stop = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ, None)
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.ports = tuple(each.getsockname()[1] for each in listeners)
        for each in listeners:
            each.listen(1024)
            self._selector.register(each, selectors.EVENT_READ, self._accept)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        self._selector.register(sock, selectors.EVENT_READ, self._answer)

    def _answer(self, sock: socket.socket) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = sock.recv(4096)
            sock.sendall(data)
        if not data:
            self._selector.unregister(sock)
            sock.close()


# --- Who calls it


@frozen
class Who:
    """One of the identities, and what it shows."""

    chain: tuple[bytes, ...]
    serial: int
    authority: Authority
    context: SSL.Context


@define(eq=False)
class Caller:
    """A connection, and what it would be judged by."""

    who: Who | None
    """None speaks plaintext."""
    source: str
    port: int
    """Where the application is."""
    entrance: int
    sock: socket.socket | None = None
    tls: SSL.Connection | None = None
    was_reset: bool = False

    def open(self) -> None:
        """Connect, and wait for an answer of the application."""
        source = (self.source, 0)
        address = ("127.0.0.1", self.entrance)
        self.sock = sock = socket.create_connection(address, SECONDS, source)
        # The kernel keeps the time, for pyOpenSSL as well.
        limit = SECONDS.to_bytes(8, "little") + bytes(8)
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        if self.who is None:
            sock.sendall(b"!")
            assert sock.recv(1) == b"!"
            return
        self.tls = tls = SSL.Connection(self.who.context, sock)
        tls.set_connect_state()
        tls.do_handshake()
        tls.send(b"!")
        assert tls.recv(1) == b"!"

    @property
    def name(self) -> str:
        assert self.sock is not None
        host, port = self.sock.getsockname()[:2]
        return f"{host}:{port}"

    def lives(self) -> bool:
        """Tell whether the connection is still there; nothing is read from it."""
        assert self.sock is not None
        if self.was_reset:
            return False  # the kernel says so only once
        try:
            data = self.sock.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            self.was_reset = True
            return False
        # Tickets may wait there; an end would be no reset.
        assert data
        return True

    def close(self) -> None:
        assert self.sock is not None
        self.sock.close()
        self.sock = self.tls = None
        self.was_reset = False


# --- What decides about them


@define
class World:
    """The files of a sidecar, and the dice that change them."""

    town: Town
    ports: tuple[int, ...]
    dice: random.Random
    entrances: tuple[int, ...] = field(init=False)
    roots: dict[str, tuple[Authority, Authority]] = field(init=False)
    people: list[Who] = field(init=False)
    revoked: set[int] = field(factory=set)
    trusted: dict[str, tuple[Authority, ...]] = field(init=False)
    mode: str = "permissive"
    sidecar: Sidecar = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.entrances = tuple(free_port() for _ in self.ports)
        self.roots = {
            name: (new_authority(name), new_authority(name)) for name in DOMAINS
        }
        self.trusted = dict(self.roots)
        self.people = [self._born(number) for number in range(IDENTITIES)]
        own = write_svid(self.folder, self.roots[DOMAINS[0]][0], "/ns/shop/sa/api")
        self._write_trust()
        self.sidecar = Sidecar(
            self.folder, self._settings(own), {"default": "allow"}, "api"
        )

    @property
    def folder(self) -> Path:
        return self.town.folder

    def _born(self, number: int) -> Who:
        domain = DOMAINS[number % len(DOMAINS)]
        authority = self.roots[domain][number // len(DOMAINS) % 2]
        team = ("shop", "bank")[number % 2]
        path = f"/ns/{team}/sa/w{number}"
        pair = write_svid(self.folder, authority, path, name=f"w{number}")
        return _person(pair, authority)

    def _settings(self, own: Pair) -> dict[str, Any]:
        listeners = [
            {"listen": f"127.0.0.1:{entrance}", "destination": f"127.0.0.1:{port}"}
            for entrance, port in zip(self.entrances, self.ports, strict=True)
        ]
        return {
            "identity": {
                "certificate_chain": str(own.certificate_chain),
                "private_key": str(own.private_key),
                "trust_bundles": self._bundles(),
                "crl": "all.crl",
            },
            "inbound": {
                "listeners": listeners,
                "ports": {self.ports[-1]: {"mode": self.mode}},
            },
        }

    def _bundles(self) -> dict[str, str]:
        return {name: f"{name}.bundle.crt" for name in self.trusted}

    def _write_trust(self) -> None:
        for name, authorities in self.trusted.items():
            write_bundle(self.folder, *authorities, name=name)
        lists = b""
        for pair in self.roots.values():
            for authority in pair:
                gone = [
                    each.serial
                    for each in self.people
                    if each.authority is authority and each.serial in self.revoked
                ]
                crl = authority.crl(gone, now=dt.datetime.now(dt.UTC))
                lists += crl.public_bytes(Encoding.PEM)
        (self.folder / "all.crl").write_bytes(lists)

    # Changes

    def changes(self) -> list[Callable[[], None]]:
        """What is going to change, in any order."""
        changes = [self._policy] * 6 + [self._roots] * 4 + [self._crl] * 3
        changes += [self._mode] * 2
        self.dice.shuffle(changes)
        return changes

    def _crl(self) -> None:
        chosen = self.dice.sample(self.people, self.dice.randrange(1, 5))
        self.revoked = {each.serial for each in chosen}
        self._write_trust()

    def _roots(self) -> None:
        name = self.dice.choice(DOMAINS)
        both = self.roots[name]
        kept = self.dice.choice([both, both[:1], both[1:], ()])
        self.trusted.pop(name, None)
        if kept:
            self.trusted[name] = kept
        elif not self.trusted:
            self.trusted[name] = both
        self._write_trust()
        settings = self.sidecar.configuration
        settings["identity"]["trust_bundles"] = self._bundles()
        self.sidecar.write_configuration(settings)

    def _mode(self) -> None:
        self.mode = self.dice.choice(["strict", "permissive", "disabled"])
        settings = self.sidecar.configuration
        settings["inbound"]["ports"] = {self.ports[-1]: {"mode": self.mode}}
        self.sidecar.write_configuration(settings)

    def _policy(self) -> None:
        rules = [self._rule(number) for number in range(self.dice.randrange(1, 4))]
        if self.dice.random() < 0.8:  # else few would be left
            peers = [f"spiffe://{name}/**" for name in DOMAINS]
            everybody = {"name": "all", "action": "allow"}
            rules.append({**everybody, "peers": [*peers, "unauthenticated"]})
        default = self.dice.choice(["deny", "deny", "audit", "allow"])
        self.sidecar.write_policy({"default": default, "rules": rules})

    def _rule(self, number: int) -> dict[str, Any]:
        patterns = [f"spiffe://{name}/ns/*/sa/*" for name in DOMAINS]
        patterns += [f"spiffe://{name}/ns/shop/**" for name in DOMAINS]
        patterns += [
            f"spiffe://{DOMAINS[w % 3]}/ns/{('shop', 'bank')[w % 2]}/sa/w{w}"
            for w in range(IDENTITIES)
        ]
        patterns.append("unauthenticated")
        rule: dict[str, Any] = {
            "name": f"r{number}",
            "action": self.dice.choice(["allow", "deny"]),
            "peers": self.dice.sample(sorted(set(patterns)), self.dice.randrange(1, 6)),
        }
        if self.dice.random() < 0.3:
            rule["ports"] = self.dice.sample(self.ports, 2)
        if self.dice.random() < 0.3:
            rule["sources"] = [self.dice.choice(["127.2.0.0/16", "127.2.1.0/24"])]
        if self.dice.random() < 0.15:
            rule["dry_run"] = True
        return rule

    # Verdicts

    def judge(self) -> Callable[[Caller], str | None]:
        """Read the files; give what says why a caller may not be there, or None."""
        config = load_config(self.sidecar.configuration_file)
        accept = frozenset({NameKind.SPIFFE})
        policy = compile_policy(load_policy(self.sidecar.policy_file, accept))
        material = load_material(config.identity, dt.datetime.now(dt.UTC))
        verifier = Verifier(material, utc_now)

        def lapse(caller: Caller) -> str | None:
            peer = None
            if caller.who is not None:
                verdict = verifier.verify(caller.who.chain)
                if isinstance(verdict, Refusal):
                    return OUTCOMES[verdict.reason]
                peer = verdict
            elif config.inbound.mode_of(caller.port) is Mode.STRICT:
                return "policy_revoked"
            source = ip_address(caller.source)
            allowed = evaluate(policy, peer, caller.port, source).allowed
            return None if allowed else "policy_revoked"

        return lapse


def _person(pair: Pair, authority: Authority) -> Who:
    certificates = x509.load_pem_x509_certificates(pair.certificate_chain.read_bytes())
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate_chain_file(str(pair.certificate_chain))
    context.use_privatekey_file(str(pair.private_key))
    # Else a disabled port would be given TLS; and permissive ports ask for it.
    context.set_alpn_protos([b"sidecar-mtls/1"])
    chain = tuple(each.public_bytes(Encoding.DER) for each in certificates)
    return Who(chain, certificates[0].serial_number, authority, context)


def _population(world: World) -> list[Caller]:
    """A thousand, most of them with TLS; plaintext comes to the last port only."""
    dice, callers = world.dice, []
    for number in range(CALLERS):
        who = None if number % 20 == 0 else world.people[number % IDENTITIES]
        at = len(world.ports) - 1 if who is None else dice.randrange(len(world.ports))
        callers.append(
            Caller(who, dice.choice(SOURCES), world.ports[at], world.entrances[at])
        )
    return callers


@pytest.mark.parametrize("seed", [1, 3])
def test_who_lives_is_exactly_who_would_be_let_in(town: Town, seed: int) -> None:
    """A thousand connections of twenty identities, and changes at random."""
    with contextlib.ExitStack() as stack:
        echo = stack.enter_context(Echo(3))
        world = World(town, echo.ports, random.Random(seed))
        sidecar = stack.enter_context(world.sidecar)
        pool = stack.enter_context(ThreadPoolExecutor(4))
        live: set[Caller] = set()
        callers = _population(world)
        stack.callback(_close_all, callers)
        ended: list[tuple[str, str]] = []
        lapse_of = world.judge()
        for change in world.changes():
            missing = [
                each
                for each in callers
                if each.sock is None
                and lapse_of(each) is None
                and _may_come(world, each)
            ]
            for _ in pool.map(Caller.open, missing):
                pass
            live.update(missing)
            change()
            assert sidecar.post("/reload") == (200, "reloaded\n")
            lapse_of = world.judge()
            going = {each: why for each in live if (why := lapse_of(each)) is not None}
            _wait_until_ended(going)
            ended += [(each.name, why) for each, why in going.items()]
            _close_all(going)
            live.difference_update(going)
            assert all(each.lives() for each in live)
            open_now = sidecar.metrics()["sidecar_connections_open"]
            assert open_now == len(live)
        assert len({why for _, why in ended}) > 2
        records = sidecar.wait_for_records(len(ended))
        assert sorted((each["source"], each["outcome"]) for each in records) == sorted(
            ended
        )


def _wait_until_ended(callers: Iterable[Caller]) -> None:
    eventually(
        lambda: not any(each.lives() for each in callers), "those concerned are ended"
    )


def _close_all(callers: Iterable[Caller]) -> None:
    for each in callers:
        if each.sock is not None:
            each.close()


def _may_come(world: World, caller: Caller) -> bool:
    # On a port without TLS, nobody can prove anything.
    return not (
        world.mode == "disabled"
        and caller.who is not None
        and caller.port == world.ports[-1]
    )


def test_every_worker_ends_what_is_its_own(town: Town) -> None:
    """By itself: each of them looks at the files."""
    with contextlib.ExitStack() as stack:
        echo = stack.enter_context(Echo(1))
        pair = town.svid("spiffe://example.org/ns/shop/sa/frontend")
        who = _person(pair, town.authority)
        api = stack.enter_context(
            town.server(echo.ports[0], workers=2, policy={"default": "allow"})
        )
        callers = [
            Caller(who, SOURCES[0], echo.ports[0], data_port(api)) for _ in range(30)
        ]
        stack.callback(_close_all, callers)
        for each in callers:
            each.open()
        assert all(each.lives() for each in callers)
        api.write_policy({"default": "deny"})
        _wait_until_ended(callers)
        records = api.wait_for_records(30)
        assert {each["outcome"] for each in records} == {"policy_revoked"}

        def counted() -> bool:
            connections, outcome = "sidecar_connections_total", "policy_revoked"
            return api.metrics().sum(connections, outcome=outcome) == 30

        eventually(counted, "all of them are counted")
