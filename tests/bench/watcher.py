"""A peer that listens to when it is spoken to: by how much would it have been late to give a silent daemon up?

The harness's generator has no hold timer of its own. This one has, and notes what it would have seen; it speaks once
in a third of its hold time itself, so that the daemon's hold timer for it is tried, too.
"""
import ctypes
import socket
import struct
import threading
import time

MARKER = b"\xff" * 16
KEEPALIVE = MARKER + b"\0\x13\x04"
IPV4, IPV6 = 1, 2


def opened_in(namespace, source, remote):
    """A connection that belongs to a namespace: made by a thread that enters it."""
    made = []

    def make():
        with open(f"/run/netns/{namespace}") as handle:
            # os.setns came with Python 3.12. 0x40000000 is CLONE_NEWNET.
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), f"entering {namespace}")
        made.append(socket.create_connection((remote, 179), 10, (source, 0)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


class Watcher:
    """A peer of the harness with a hold time in seconds, and one family; `heard` is when messages came."""

    def __init__(self, namespace, peer, dut, hold, family=IPV6):
        capabilities = struct.pack(">BBHBB", 1, 4, family, 0, 1) + b"\x41\x04" + struct.pack(">I", peer["asn"])
        parameters = b"\x02" + bytes([len(capabilities)]) + capabilities
        asn = peer["asn"] if peer["asn"] < 65536 else 23456
        body = struct.pack(">BHH", 4, asn, hold) + socket.inet_aton(peer["ip"]) + bytes([len(parameters)]) + parameters
        self.hold = hold
        self.socket = opened_in(namespace, peer["ip"], dut)
        self.socket.settimeout(0.02)
        self.socket.sendall(MARKER + struct.pack(">HB", 19 + len(body), 1) + body + KEEPALIVE)
        # KEEPALIVEs alone; octets of any message.
        self.heard, self.spoken_to, self.ended, self.stop = [], [], None, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        unread, said = b"", time.monotonic()
        while not self.stop and not self.ended:
            now = time.monotonic()
            if now - said >= self.hold / 3:
                self.socket.sendall(KEEPALIVE)
                said = now
            try:
                octets = self.socket.recv(1 << 20)
            except TimeoutError:
                continue
            except OSError as error:
                self.ended = str(error)
                return
            if not octets:
                self.ended = "the daemon closed the connection"
            self.spoken_to.append(time.monotonic())
            unread = self.read(unread + octets)

    def read(self, octets):
        """Takes whole messages off; returns the rest."""
        at = 0
        while len(octets) - at >= 19:
            length, kind = int.from_bytes(octets[at + 16 : at + 18], "big"), octets[at + 18]
            if len(octets) - at < length:
                break
            if kind == 3:
                self.ended = f"NOTIFICATION {octets[at + 19]}/{octets[at + 20]}"
            if kind == 4:
                self.heard.append(time.monotonic())
            at += length
        return octets[at:]

    def gaps(self, since, until):
        """Gaps between KEEPALIVEs of which some part lies between, in seconds; the one that lasts too."""
        return gaps(self.heard, since, until)

    def silences(self, since, until):
        """The same between octets of any message: any UPDATE restarts a hold timer, too (RFC 4271 §8.2.2)."""
        return gaps(self.spoken_to, since, until)

    def close(self):
        self.stop = True
        self.thread.join()
        self.socket.close()


def gaps(heard, since, until):
    heard = [*heard, until]
    return [b - a for a, b in zip(heard, heard[1:]) if b > since and a < until] or [until - since]
