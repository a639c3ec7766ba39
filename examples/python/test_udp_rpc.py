"""Holds udp_rpc.py to PROTOCOL.md: its vectors, and what each answer makes of a call.

    python3 -m unittest discover examples/python
"""

from __future__ import annotations

import pathlib
import re
import socket
import struct
import threading
import unittest
import zlib
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import udp_rpc

PROTOCOL = pathlib.Path(__file__).parents[2] / "PROTOCOL.md"
EPOCH, SESSION, BIRTH, PATH = 7, 0xA1, (12, 0xB1), (12, 0xB2)
SECOND = 1_000_000


def blocks(tag: str) -> Iterator[Tuple[Dict[str, str], Dict[str, str], bytes]]:
    """Attributes, fields and bytes of each fenced block with this tag."""
    for head, text in re.findall(rf"```{tag} ([^\n]*)\n(.*?)```", PROTOCOL.read_text(), re.S):
        fields, _, digits = text.rpartition("---\n")
        named = dict(line.split(" = ", 1) for line in fields.splitlines())
        # Keys repeat: all pairs under one name.
        named["metadata"] = "\n".join(re.findall(r"(?m)^metadata\.(.*)$", fields))
        data = bytes.fromhex(re.sub(r"#[^\n]*", "", digits))
        yield dict(pair.split("=") for pair in head.split()), named, data


def metadata(named: Dict[str, str]) -> List[udp_rpc.Pair]:
    """The metadata that a vector names."""
    pairs = (line.split(" = ", 1) for line in named["metadata"].splitlines())
    return [(k, bytes.fromhex(v) if k.endswith("-bin") else v) for k, v in pairs]


class Vectors(unittest.TestCase):
    def test_what_servers_send_is_read(self) -> None:
        for attributes, named, data in blocks("vector"):
            got = udp_rpc.parse(data)
            wanted = named["kind"] in ("HELLO_ACK", "REPLY", "PROGRESS", "REFUSED", "CHALLENGE")
            self.assertEqual(got is not None, wanted, attributes)
            if got is not None:
                self.assertEqual(got.session, int(named["session"], 16))
                self.assertEqual(got.attempt, int(named["attempt"]))
                self.assertEqual(got.clock, int(named["clock"]))
                self.assertEqual(got.metadata, metadata(named), attributes)

    def test_requests_are_written_byte_for_byte(self) -> None:
        for attributes, named, data in blocks("vector"):
            if named["kind"] == "REQUEST" and "extra" not in named:
                number = {key: int(named[key], 16) for key in ("session", "call", "method")}
                options = b"".join(
                    struct.pack(">BBHIQ", kind, 4, 0, int(seconds), int(mac, 16))
                    for kind, key in ((0x81, "birth"), (0x82, "path"))
                    for seconds, mac in [named.get(key, "0 0").split()]
                    if key in named
                )
                options += udp_rpc.write_metadata(metadata(named))
                body = bytes.fromhex(named.get("body", ""))
                made = udp_rpc.emit(udp_rpc.REQUEST, number["session"], number["call"],
                                    int(named["attempt"]), int(named["expiry"]), number["method"],
                                    int(named["flags"]), options, body)  # fmt: skip
                self.assertEqual(made, data, attributes)

    def test_malformed_datagrams_are_dropped(self) -> None:
        for attributes, _, data in blocks("invalid"):
            got = udp_rpc.parse(data)
            if attributes["direction"] == "server" and got is not None:
                with self.assertRaises((ValueError, struct.error), msg=attributes):
                    udp_rpc.Session(got, 0)

    def test_metadata_that_no_option_can_say_is_refused(self) -> None:
        for pair in [("", "x"), ("A", "x"), ("a b", "x"), ("k" * 256, "x"), ("a", "\n"), ("a", "ä")]:
            with self.assertRaises(ValueError, msg=pair):
                udp_rpc.write_metadata([pair])
        longest = udp_rpc.METADATA_MAX - 4
        self.assertEqual(len(udp_rpc.write_metadata([("a", "x" * longest)])), 988)
        with self.assertRaises(OverflowError):
            udp_rpc.write_metadata([("a", "x" * (longest + 1))])

    def test_method_ids(self) -> None:
        row = r"\| `([^`]+)` \| `0x([0-9a-f]{16})` \|"
        for name, number in re.findall(row, PROTOCOL.read_text()):
            self.assertEqual(udp_rpc.method_id(name), int(number, 16))


def answer(kind: int, asked: bytes, clock: int, word: int = 0, cell: int = 0, code: int = 0,
           flags: int = 0, body: bytes = b"", options: bytes = b"") -> bytes:  # fmt: skip
    """What a server says to this datagram."""
    session, call = struct.unpack_from(">QQ", asked, 8)
    if kind == udp_rpc.HELLO_ACK:
        session, word = SESSION, struct.unpack_from(">Q", asked, 32)[0]
    fields = (session, call, clock, word, cell, asked[44], code, flags, len(options) // 4)
    data = udp_rpc.HEADER.pack(0x5552, 1, kind, 0, *fields) + options + body
    return data[:4] + struct.pack(">I", zlib.crc32(data)) + data[8:]


class Calls(unittest.TestCase):
    """Calls to a server that follows a script: for the nth REQUEST its answers, if any."""

    def run_call(self, script: Callable[[bytes, int], List[bytes]], timeout: float = 5.0,
                 metadata: Sequence[udp_rpc.Pair] = (), body: bytes = b"?") -> udp_rpc.Reply:  # fmt: skip
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        self.requests: List[bytes] = []
        self.closed = False

        def serve() -> None:
            while True:
                data, peer = server.recvfrom(2048)
                if not data:
                    return
                if data[3] == udp_rpc.HELLO:
                    ack = struct.pack(">QIQIQIIIHBBIIQ16s", EPOCH, *BIRTH, *PATH, 4096, 60_000,
                                      300_000, 1232, 1, 0, 1152, 1184, 0, b"test")  # fmt: skip
                    answers = [answer(udp_rpc.HELLO_ACK, data, 12_345_678, body=ack)]
                elif data[3] == udp_rpc.REQUEST:
                    self.requests.append(data)
                    answers = script(data, len(self.requests))
                else:
                    self.closed = True
                    answers = []
                for each in answers:
                    server.sendto(each, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with udp_rpc.Client(f"127.0.0.1:{server.getsockname()[1]}") as client:
                return client.call("a/B", body, timeout, metadata)
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()
            server.close()

    def refused(self, reason: int, clock: int = 12_400_000, epoch: int = EPOCH, promise: bool = False,
                then: Optional[int] = None) -> bytes:  # fmt: skip
        """A call whose first copy is refused like this, and whose later ones are answered."""

        def script(data: bytes, nth: int) -> List[bytes]:
            if nth == 1 or then is None:
                flags = udp_rpc.PROMISE if promise else 0
                return [answer(udp_rpc.REFUSED, data, clock, epoch, 5, reason, flags)]
            return [answer(udp_rpc.REPLY, data, clock, flags=7, body=b"!")]

        return self.run_call(script, 1.0 if then is None else 5.0)

    def test_reply_ends_the_call_and_the_session_is_closed(self) -> None:
        reply = self.run_call(lambda data, _: [answer(udp_rpc.REPLY, data, 1, flags=7, body=b"!")])
        self.assertEqual(reply, b"!")
        self.assertTrue(self.closed)
        self.assertEqual(len(self.requests[0]), 48 + 32 + 1, "with both proofs")

    def test_metadata_goes_with_every_copy_and_comes_with_the_reply(self) -> None:
        sent = [("tenant", "north"), ("digest-bin", bytes([0, 255]))]
        told = [("cost", "7"), ("cost", "8")]
        option = bytes([0x04]) + udp_rpc.write_metadata(told)[1:]

        def script(data: bytes, nth: int) -> List[bytes]:
            if nth == 3:
                return [answer(udp_rpc.REPLY, data, 1, flags=7, body=b"!", options=option)]
            # Only the first is from inside the session: the third copy has no proofs.
            return [answer(udp_rpc.PROGRESS, data, 1)] if nth == 2 else []

        reply = self.run_call(script, metadata=sent)
        self.assertEqual((reply, reply.metadata), (b"!", told))
        for data in self.requests:
            self.assertEqual(data[-1 - len(udp_rpc.write_metadata(sent)) : -1],
                             udp_rpc.write_metadata(sent))  # fmt: skip
        self.assertEqual(len(self.requests[0]) - len(self.requests[2]), 32)

    def test_error_that_ran_comes_with_its_metadata(self) -> None:
        option = bytes([0x04]) + udp_rpc.write_metadata([("retry", "no")])[1:]
        with self.assertRaises(udp_rpc.Executed) as raised:
            self.run_call(lambda data, _: [answer(udp_rpc.REPLY, data, 1, code=3, flags=7,
                                                  body=b"\0\1x", options=option)])  # fmt: skip
        self.assertEqual(raised.exception.metadata, [("retry", "no")])

    def test_unknown_elective_option_of_a_reply_is_skipped(self) -> None:
        unknown = bytes([0x7F, 2, 1, 2, 3, 4, 5, 6])
        reply = self.run_call(lambda data, _: [
            answer(udp_rpc.REPLY, data, 1, flags=7, body=b"!", options=unknown)])  # fmt: skip
        self.assertEqual((reply, reply.metadata), (b"!", []))

    def test_too_much_metadata_is_never_sent(self) -> None:
        two = [("a", "x" * 500), ("b", "x" * 400)]
        for pairs, length in [([("a", "x" * 983)], 0), (two + two, 0), (two, 1153 - 912)]:
            with self.assertRaises(udp_rpc.NotExecuted) as raised:
                self.run_call(lambda *_: [], metadata=pairs, body=bytes(length))
            self.assertEqual(raised.exception.code, "RESOURCE_EXHAUSTED")
            self.assertEqual(self.requests, [])

    def test_lost_copies_are_sent_again_with_the_same_identity_and_proofs(self) -> None:
        def script(data: bytes, nth: int) -> List[bytes]:
            return [answer(udp_rpc.REPLY, data, 1, flags=7)] if nth == 4 else []

        self.run_call(script)
        bodies = {data[8:44] + data[45:] for data in self.requests}
        self.assertEqual(len(bodies), 1, "all but CRC and attempt is the same")
        self.assertEqual([data[44] for data in self.requests], [1, 2, 3, 4])

    def test_unknown_session_is_a_proof_under_the_inequality_alone(self) -> None:
        first = 12_345_678  # the bound at the first copy is this and a little more
        with self.assertRaises(udp_rpc.NotExecuted):
            self.refused(1, clock=72 * SECOND)
        with self.assertRaises(udp_rpc.NotExecuted):
            self.refused(1, clock=first + 300 * SECOND - 1)
        with self.assertRaises(udp_rpc.Unknown):
            self.refused(1, clock=first + 301 * SECOND)
        with self.assertRaises(udp_rpc.Unknown):
            self.refused(1, clock=80 * SECOND, epoch=EPOCH + 1)
        self.assertFalse(self.closed, "a session with an unknown outcome is never closed")
        self.assertEqual(self.refused(1, clock=72 * SECOND - 1, then=1), b"!")
        self.assertEqual(len(self.requests[1]), 48 + 32 + 1, "still with proofs: not from inside")

    def test_promises_prove_and_other_refusals_do_not(self) -> None:
        for reason in (16, 18, 28, 200):
            with self.assertRaises(udp_rpc.NotExecuted):
                self.refused(reason, promise=True)
            self.assertEqual(self.refused(reason, then=1), b"!", "without PROMISE: later")
        for reason in (2, 3, 7):
            self.assertEqual(self.refused(reason, promise=True, then=1), b"!")
            with self.assertRaises(udp_rpc.Unknown):
                self.refused(reason)
        for reason in (4, 5):
            with self.assertRaises(udp_rpc.Unknown):
                self.refused(reason, promise=True)
        with self.assertRaises(udp_rpc.Executed):
            self.refused(6)
        self.assertEqual(self.refused(16, promise=True, epoch=EPOCH + 1, then=1), b"!")

    def test_challenge_is_answered_at_once_and_once_per_path(self) -> None:
        def script(data: bytes, nth: int) -> List[bytes]:
            if nth == 3:
                return [answer(udp_rpc.REPLY, data, 1, flags=7)]
            return [answer(udp_rpc.CHALLENGE, data, 1, 0xC1, 13)]

        self.run_call(script)
        path = struct.pack(">BBHIQ", 0x82, 4, 0, 13, 0xC1)
        self.assertEqual([path in data for data in self.requests], [False, True, True])

    def test_progress_slows_the_copies_down_and_needs_no_proofs_after_it(self) -> None:
        def script(data: bytes, nth: int) -> List[bytes]:
            return [answer(udp_rpc.PROGRESS, data, 1, code=3)]

        with self.assertRaises(udp_rpc.Unknown):
            self.run_call(script, 1.0)
        self.assertLess(len(self.requests), 30)
        self.assertEqual(len(self.requests[1]), 48 + 1)


if __name__ == "__main__":
    unittest.main()
