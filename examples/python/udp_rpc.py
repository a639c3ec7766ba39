#!/usr/bin/env python3
"""A small udp-rpc client in the standard library: PROTOCOL.md version 1, as its section 20 has it.

It blocks, makes one call at a time, and takes and gives bytes, with metadata where there is any.
`Client.call` returns the reply of a call that ran exactly once, or raises one of three errors:
`Executed` (it ran, and answered an error), `NotExecuted` (it has not run and never will: proved) or
`Unknown` (it ran at most once).
The numbers in the comments are the requirements of PROTOCOL.md.

    python3 udp_rpc.py 127.0.0.1:5860 add 3 4                      prints 7
    python3 udp_rpc.py 127.0.0.1:5860 --loss 0.3 --repeat 100 increment

Exit codes: 0 OK, 1 it ran and answered an error, 2 usage, 3 it did not run, 4 unknown.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import secrets
import socket
import struct
import sys
import time
import zlib
from collections import namedtuple
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

# 3.1: magic, version, kind, CRC, session, call, clock, word, cell, attempt, code, flags, options
HEADER = struct.Struct(">HBBIQQQQIBBBB")
HELLO_ACK_BODY = struct.Struct(">QIQIQIIIHBBIIQ16s")  # 4.4
MAGIC, VERSION, HELLO_LEN = 0x5552, 1, 128
HELLO, REQUEST, CLOSE = 0x01, 0x02, 0x07
HELLO_ACK, REPLY, PROGRESS, REFUSED, CHALLENGE = 0x81, 0x82, 0x83, 0x84, 0x85
WHOLE, PROMISE, ACK_WANTED = 0x07, 0x10, 0x20
REQUEST_METADATA, REPLY_METADATA, METADATA_MAX = 0x84, 0x04, 986  # 3.6, R-4.13
# 4.3: for each kind the fields that must be zero, the flags that may be set, and has it a body?
SHAPES: Dict[int, Tuple[Tuple[str, ...], int, bool]] = {
    HELLO_ACK: (("cell", "code"), 0, True),
    REPLY: (("cell",), WHOLE | ACK_WANTED, True),
    PROGRESS: ((), 0, False),
    REFUSED: ((), PROMISE, False),
    CHALLENGE: (("code",), 0, False),
}
STATUS = """OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS
    PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED
    INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED""".split()
UNKNOWN_SESSION, NO_ROOM_FOR_SESSION, STALE, ID_REUSED, REPLY_GONE, DRAINING = 1, 2, 4, 5, 6, 18
OUTSIDE = ((REFUSED, UNKNOWN_SESSION), (REFUSED, NO_ROOM_FOR_SESSION))
REASONS = {  # 5.3: number, name, and the status that the caller sees
    1: ("unknown session", 14), 2: ("no room for session", 8), 3: ("no room for record", 8),
    4: ("stale", 10), 5: ("id reused", 13), 6: ("reply gone", 15), 7: ("later", 8),
    16: ("expired", 4), 17: ("fenced", 1), 18: ("draining", 14), 19: ("overloaded", 8),
    20: ("unknown method", 12), 21: ("unauthorised", 7), 22: ("rate limited", 8),
    23: ("no room for reply", 8), 24: ("too many running", 8), 25: ("deadline too far", 3),
    26: ("unknown option", 12), 27: ("request too large", 8), 28: ("unsupported shape", 12),
    29: ("unauthenticated", 16),
}  # fmt: skip
SECOND = 1_000_000  # all times are in µs
Datagram = namedtuple(
    "Datagram", "kind session call clock word cell attempt code flags body metadata"
)
# Key and value: bytes under a key that ends in -bin, else text.
Pair = Tuple[str, Union[str, bytes]]


class Reply(bytes):
    """The bytes of a reply, and what came with them."""

    metadata: List[Pair] = []


class CallError(Exception):
    """A call that did not end well. Its class says whether it ran."""

    def __init__(self, status: int, message: str, details: bytes = b"",
                 metadata: Sequence[Pair] = ()) -> None:  # fmt: skip
        self.code = STATUS[status if status < len(STATUS) else 2]
        self.message, self.details, self.metadata = message, details, list(metadata)
        super().__init__(f"{self.code}: {message}")


class Executed(CallError):
    """It ran once, and answered a status that is not OK, or its reply is lost for good."""


class NotExecuted(CallError):
    """It has not run and never will; the message names the proof."""


class Unknown(CallError):
    """It ran at most once; nobody can say more now."""


def now() -> int:
    """The time in µs, on a clock that counts while the machine is suspended (R-12.1)."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.monotonic_ns() if boottime is None else time.clock_gettime_ns(boottime)) // 1000


def method_id(full_name: str) -> int:
    """FNV-1a, 64 bits (R-5.1)."""
    value = 0xCBF29CE484222325
    for byte in full_name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def write_metadata(pairs: Sequence[Pair]) -> bytes:
    """The option METADATA of a REQUEST; empty for no pairs. Raises ValueError for what no option
    can say (R-4.12), OverflowError for too much (R-4.13)."""
    data = b""
    for key, value in pairs:
        raw = value.encode() if isinstance(value, str) else bytes(value)
        check_pair(key, raw)
        if len(data) + 3 + len(key) + len(raw) > METADATA_MAX:
            raise OverflowError("more metadata than a datagram carries")
        data += struct.pack(">B", len(key)) + key.encode() + struct.pack(">H", len(raw)) + raw
    units = (2 + len(data) + 3) // 4
    return bytes([REQUEST_METADATA, units]) + data.ljust(4 * units - 2, b"\0") if data else b""


def read_metadata(data: bytes) -> List[Pair]:
    """The pairs in the data of an option; ValueError if they are malformed (R-4.14)."""
    pairs: List[Pair] = []
    at = 0
    while at < len(data) and data[at]:
        key, at = data[at + 1 : at + 1 + data[at]], at + 1 + data[at]
        length = int.from_bytes(data[at : at + 2], "big")
        value, at = data[at + 2 : at + 2 + length], at + 2 + length
        if at > len(data):
            raise ValueError("a pair that runs past the end")
        name = key.decode("ascii")
        check_pair(name, value)
        pairs.append((name, value if name.endswith("-bin") else value.decode("ascii")))
    if at > METADATA_MAX or len(data) - at > 3 or any(data[at:]):
        raise ValueError("what is behind the pairs is not three zeros at most")
    return pairs


def check_pair(key: str, value: bytes) -> None:
    """Raises ValueError for a key or a value that there cannot be (R-4.12)."""
    if not re.fullmatch("[a-z0-9_.-]{1,255}", key):
        raise ValueError(f"{key!r} is no metadata key")
    if not key.endswith("-bin") and not all(0x20 <= byte <= 0x7E for byte in value):
        raise ValueError(f"the value of {key!r} is not printable ASCII")


def emit(kind: int, session: int, call: int, attempt: int, clock: int = 0, word: int = 0,
         flags: int = 0, options: bytes = b"", body: bytes = b"") -> bytes:  # fmt: skip
    """A datagram of a client, with its CRC (R-3.2)."""
    fields = (session, call, clock, word, 0, attempt % 256, 0, flags, len(options) // 4)
    data = HEADER.pack(MAGIC, VERSION, kind, 0, *fields) + options + body
    return data[:4] + struct.pack(">I", zlib.crc32(data)) + data[8:]


def parse(data: bytes) -> Optional[Datagram]:
    """A datagram of a server; None for whatever must be dropped (R-3.12)."""
    if len(data) < HEADER.size:
        return None
    magic, version, kind, crc, *fields, units = HEADER.unpack_from(data)
    if magic != MAGIC or crc != zlib.crc32(data[:4] + bytes(4) + data[8:]):
        return None
    if version != VERSION or kind not in SHAPES or len(data) < 48 + 4 * units:
        return None
    options, body = data[48 : 48 + 4 * units], data[48 + 4 * units :]
    padding = 0
    metadata: Optional[List[Pair]] = None
    while options:  # those that are not known are skipped, if they may be
        kind_of, length = options[0], 4 * options[1]
        if kind_of & 0x80 or not 0 < length <= len(options):
            return None
        if kind_of == REPLY_METADATA and kind == REPLY:
            try:
                told = read_metadata(options[2:length])
            except ValueError:
                return None
            if metadata is not None:  # twice
                return None
            metadata = told
        if kind_of == 0:  # PAD
            padding = options[2]
            if padding > 3 or any(options[3:length]):
                return None
        options = options[length:]
    body, rest = body[: len(body) - padding], body[len(body) - padding :]
    if len(rest) != padding or any(rest):
        return None
    zero, flags, has_body = SHAPES[kind]
    datagram = Datagram(kind, *fields, body, metadata or [])
    if any(getattr(datagram, field) for field in zero) or datagram.flags & ~flags:
        return None
    if (kind == REPLY and datagram.flags & WHOLE != WHOLE) or (body and not has_body):
        return None
    return datagram


class Session:
    """What a HELLO_ACK gives: an identity, limits, proofs and the server's clock (4.4)."""

    def __init__(self, ack: Datagram, received: int) -> None:
        """Raises ValueError (or struct.error) for one that must not be used (R-4.9)."""
        (self.epoch, self.minted, birth, issued, path, self.window, deadline, lease, longest,
         version, _, self.longest_request, *_) = HELLO_ACK_BODY.unpack_from(ack.body)  # fmt: skip
        if version != VERSION or self.window < 2 or lease <= 60_000 or longest < HELLO_LEN:
            raise ValueError("limits out of range")
        self.id, self.longest_deadline, self.lease = ack.session, deadline * 1000, lease * 1000
        self.room = min(longest, 1232) - HEADER.size - 32  # beside both proofs
        self.birth = struct.pack(">BBHIQ", 0x81, 4, 0, self.minted, birth)
        self.path = struct.pack(">BBHIQ", 0x82, 4, 0, issued, path)
        self.clock, self.heard = ack.clock, received
        self.answered = 0  # when the latest copy that was answered had been sent
        self.last_call = 0

    def bound(self, instant: int) -> int:
        """The least that the server's clock can say at this instant (R-12.2)."""
        return self.clock + (instant - self.heard) * 999 // 1000


class Client:
    """One socket, at most one session at a time, one call at a time."""

    def __init__(self, server: str, loss: float = 0.0, seed: Optional[int] = None) -> None:
        """Talks to `server`, "host:port". Of all datagrams, `loss` get lost each way."""
        host, _, port = server.rpartition(":")
        self._addresses = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        self._loss, self._random = loss, random.Random(seed)
        self._socket = socket.socket(type=socket.SOCK_DGRAM)  # until there is a handshake
        self._session: Optional[Session] = None
        self._process = os.getpid()
        self._srtt, self._rttvar = -1.0, 0.0
        self.attempts = 0  # copies of the last call
        # Of what is being sent: attempt → when; when the next copy goes; does the server have it?
        self._sent: Dict[int, int] = {}
        self._due, self._known, self._taken = 0, False, False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session; one with an Unknown call has been left, never to be closed (R-8.7)."""
        session, self._session = self._session, None
        if session is not None and self._process == os.getpid():
            self._send(emit(CLOSE, session.id, 0, 1, options=session.birth + session.path))
        self._socket.close()

    def call(self, method: str, body: bytes = b"", timeout: float = 10.0,
             metadata: Sequence[Pair] = ()) -> Reply:  # fmt: skip
        """Calls "package.Service/Method": the reply of the one run of this call.

        Raises `Executed`, `NotExecuted` or `Unknown`; ValueError for metadata that there cannot be.
        """
        try:
            option = write_metadata(metadata)
        except OverflowError as error:
            raise NotExecuted(8, f"never sent: {error}") from None
        deadline = now() + int(timeout * SECOND)
        if self._process != os.getpid():  # a session never outlives a fork
            self._process, self._session = os.getpid(), None
        session = self._session
        if session is None or now() - session.answered >= session.lease * 3 // 4:
            session = self._session = self._handshake(deadline)
        if len(body) > session.longest_request or len(option) + len(body) > session.room:
            raise NotExecuted(8, "never sent: longer than the server takes")
        if timeout * SECOND > session.longest_deadline:
            raise NotExecuted(3, "never sent: a deadline farther than the server allows")
        session.last_call += session.window  # W, 2W, 3W, …
        try:
            call, number = session.last_call, method_id(method)
            return self._exchange(session, call, number, option, body, deadline)
        except Unknown:
            self._session = None  # left, and not closed
            raise

    def _exchange(self, session: Session, call: int, method: int, option: bytes, body: bytes,
                  deadline: int) -> Reply:  # fmt: skip
        """Sends a call until it ends (11.3)."""
        start = now()
        first, expiry = session.bound(start), session.bound(deadline)
        paths = {session.path}
        said = (4, "no answer before the deadline")

        def copy(attempt: int) -> bytes:
            options = session.birth + session.path + option
            return emit(REQUEST, session.id, call, attempt, expiry, method, WHOLE, options, body)

        for answer, received in self._answers(copy, deadline):
            if (answer.session, answer.call) != (session.id, call):
                continue
            if answer.kind == REFUSED and answer.word != session.epoch:
                if answer.code == UNKNOWN_SESSION:
                    raise Unknown(14, "the server has restarted")
                continue
            if answer.clock > session.bound(received):
                session.clock, session.heard = answer.clock, received
            self._sample(answer, received)
            session.answered = max(session.answered, self._sent.get(answer.attempt, 0))
            if answer.kind != CHALLENGE and (answer.kind, answer.code) not in OUTSIDE:
                session.birth = session.path = b""  # from inside: no more proofs
            if answer.kind == REPLY:
                if answer.code == 0:
                    reply = Reply(answer.body)
                    reply.metadata = answer.metadata
                    return reply
                end = 2 + int.from_bytes(answer.body[:2], "big")  # 4.5
                message = answer.body[2:end].decode(errors="replace")
                raise Executed(answer.code, message, answer.body[end:], answer.metadata)
            if answer.kind == REFUSED:
                said = self._refused(session, answer, first) or said
            elif answer.kind == PROGRESS and answer.code in (2, 3) and not self._known:
                self._known, last = True, max(self._sent.values())
                self._due = last + self._pause(self._rto(), last - start)
            elif answer.kind == CHALLENGE:
                session.path = struct.pack(">BBHIQ", 0x82, 4, 0, answer.cell, answer.word)
                if session.path not in paths:
                    paths.add(session.path)
                    self._due = received
        raise Unknown(*said) if self._taken else NotExecuted(said[0], "never sent")

    def _refused(self, session: Session, answer: Datagram, first: int) -> Optional[Tuple[int, str]]:
        """Ends the call, or says why it goes on, if that is worth saying (5.3, 11.3)."""
        name, status = REASONS.get(answer.code, (f"reason {answer.code}", 14))
        if answer.flags & PROMISE and answer.code not in range(1, 8):
            if answer.code == DRAINING:
                self._session = None
            raise NotExecuted(status, f"{name}: the server has promised never to run it")
        if answer.code == REPLY_GONE:
            raise Executed(status, "it ran, and its reply is no longer kept")
        if answer.code in (STALE, ID_REUSED):
            raise Unknown(status, name)
        if answer.code == UNKNOWN_SESSION:
            if answer.clock < (session.minted + 60) * SECOND:
                return None
            self._session = None
            if answer.clock < first + session.lease:
                raise NotExecuted(status, "unknown session: the server never received it")
            raise Unknown(status, "the session may have ended since")
        return status, name

    def _handshake(self, deadline: int) -> Session:
        """HELLO to each address in turn, until a HELLO_ACK to our nonce comes (section 7)."""
        session, first, second = (secrets.randbits(64) for _ in range(3))
        versions = bytes([VERSION, VERSION]).ljust(HELLO_LEN - HEADER.size, b"\0")
        why = "no answer"

        def hello(attempt: int) -> bytes:
            return emit(HELLO, session, first, attempt, word=second, body=versions)

        for family, kind, protocol, _, address in self._addresses:
            self._socket.close()
            self._socket, self._srtt = socket.socket(family, kind, protocol), -1.0
            try:
                self._socket.connect(address)
                for ack, received in self._answers(hello, deadline, handshake=True):
                    if ack.kind == HELLO_ACK and (ack.call, ack.word) == (first, second):
                        opened = Session(ack, received)
                        opened.answered = self._sent.get(ack.attempt, received)
                        self._sample(ack, received)
                        return opened
            except (ValueError, struct.error):
                why = "a HELLO_ACK that cannot be used"
            except OSError as error:
                why = error.strerror or str(error)
        raise NotExecuted(14, f"never sent: {why}")  # HELLOs run nothing

    def _answers(self, copy: Callable[[int], bytes], deadline: int,
                 handshake: bool = False) -> Iterator[Tuple[Datagram, int]]:  # fmt: skip
        """Sends copies by their timer (section 13), and yields what comes and when it came."""
        self.attempts, self._sent, self._known, self._taken = 0, {}, False, False
        start = self._due = now()
        backoff = 1
        while (instant := now()) < deadline:
            if instant >= self._due:
                self.attempts += 1
                self._taken |= self._send(copy(self.attempts), handshake)
                self._sent[self.attempts % 256] = instant
                self._due = instant + self._pause(self._rto() * backoff, instant - start)
                backoff *= 2  # more than ask for
            self._socket.settimeout(max(min(self._due, deadline) - now(), 1) / SECOND)
            try:
                data = self._socket.recv(65536)
            except socket.timeout:
                continue
            except OSError:  # a refused port proves nothing, unless only HELLOs were sent
                if handshake:
                    raise
                continue
            datagram = parse(data) if self._random.random() >= self._loss else None
            if datagram is not None:
                yield datagram, now()

    def _send(self, data: bytes, handshake: bool = False) -> bool:
        """Sends one datagram; whether the system took it, and so may have sent it (R-1.2)."""
        if self._random.random() < self._loss:
            return True  # lost on the way, for all that this side can tell
        try:
            return self._socket.send(data) >= 0
        except OSError:
            if handshake:
                raise
            return False

    def _rto(self) -> int:
        """The retransmission timeout in µs (R-13.1, R-13.2)."""
        peer = self._socket.getpeername()[0]
        loopback = peer == "::1" or peer.startswith("127.")
        if self._srtt < 0:
            return SECOND // 10 if loopback else SECOND
        floor = 5_000 if loopback else 10_000
        return max(floor, int(self._srtt + max(1_000, 4 * self._rttvar)))

    def _pause(self, interval: int, age: int) -> int:
        """From one copy to the next: slow once the server has the call (R-13.3, R-13.7)."""
        if self._known:
            interval = max(self._rto(), min(age // 4, 15 * SECOND))
        return int(interval * self._random.uniform(1, 1.25))

    def _sample(self, answer: Datagram, received: int) -> None:
        """A round trip is what is left when the hold is taken out (R-13.1)."""
        held = {REPLY: answer.word >> 32, PROGRESS: answer.word >> 32, REFUSED: answer.cell}
        hold = held.get(answer.kind, 0)
        rtt = received - self._sent.get(answer.attempt, received + 1) - hold
        if rtt < hold // 1000 or hold == 0xFFFFFFFF:
            return
        if self._srtt < 0:
            self._srtt, self._rttvar = rtt, rtt / 2
        else:
            self._rttvar += (abs(self._srtt - rtt) - self._rttvar) / 4
            self._srtt += (rtt - self._srtt) / 8


def encode(*fields: int) -> bytes:
    """A protobuf message whose fields 1, 2, … are varints (21.1)."""
    out = bytearray()
    for tag, value in enumerate(fields, 1):
        for number in (tag * 8, value % 2**64):  # negative numbers: 64-bit two's complement
            while number >= 0x80:
                out.append(number & 0x7F | 0x80)
                number >>= 7
            out.append(number)
    return bytes(out)


def decode(message: bytes) -> int:
    """Field 1 of a message that has no other, a varint; 0 when it is left out."""
    value = sum((byte & 0x7F) << 7 * at for at, byte in enumerate(message[1:]))
    return value - 2**64 if value >= 2**63 else value


METHODS = {  # command: method, least and most arguments
    "add": ("udprpc.v1.Calculator/Add", 2, 2),
    "multiply": ("udprpc.v1.Calculator/Multiply", 2, 2),
    "divide": ("udprpc.v1.Calculator/Divide", 2, 2),
    "increment": ("udprpc.v1.Counter/Increment", 0, 1),
    "get": ("udprpc.v1.Counter/Get", 0, 0),
}


def pair_of(text: str) -> Pair:
    """KEY=VALUE as a pair; ValueError if it is none."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not KEY=VALUE")
    pair = (key, bytes.fromhex(value) if key.endswith("-bin") else value)
    write_metadata([pair])
    return pair


def main() -> int:
    parser = argparse.ArgumentParser(description="Calls a udp-rpc server.")
    parser.add_argument("server", metavar="HOST:PORT")
    parser.add_argument("command", choices=METHODS)
    parser.add_argument("arguments", metavar="NUMBER", type=int, nargs="*")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--repeat", type=int, default=1, metavar="TIMES")
    parser.add_argument("--metadata", metavar="KEY=VALUE", action="append", default=[],
                        help="goes with the call; hexadecimal under a key that ends in -bin")  # fmt: skip
    parser.add_argument("--loss", type=float, default=0.0, help="lose this share, each way")
    parser.add_argument("--seed", type=int, help="which datagrams --loss loses")
    options = parser.parse_intermixed_args()
    method, least, most = METHODS[options.command]
    if not least <= len(options.arguments) <= most:
        parser.error(f"{options.command} takes {least} to {most} numbers")
    try:
        metadata = [pair_of(text) for text in options.metadata]
    except (ValueError, OverflowError) as error:
        parser.error(str(error))
    request = encode(*options.arguments)
    with Client(options.server, options.loss, options.seed) as client:
        for _ in range(options.repeat):
            try:
                reply = client.call(method, request, options.timeout, metadata)
            except CallError as error:
                outcome = type(error).__name__
                print(f"{error} ({outcome}, attempts {client.attempts})", file=sys.stderr)
                return {"Executed": 1, "NotExecuted": 3}.get(outcome, 4)
            print(decode(reply))
    return 0


if __name__ == "__main__":
    sys.exit(main())
