"""A name server with signed zones: ldns-signzone signs, this serves (RFC 4034, 4035 3.1)."""

import base64
import os
import secrets
import struct
import subprocess
import time

import lib
from lib import encode_name

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "AAAA": 28, "DS": 43, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "TLSA": 52}
NUMBERS = {number: name for name, number in TYPES.items()}
PORT = lib.SMTP_PORT


def tool(*arguments, cwd):
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=cwd, check=False)
    lib.check(done.returncode == 0, f"{arguments}: {done.stderr}")
    return done.stdout.strip()


def seconds(text):
    """A time of RRSIG, as 20260301120000."""
    return int(time.mktime(time.strptime(text + " UTC", "%Y%m%d%H%M%S %Z")) - time.timezone)


def bitmap(names):
    """RFC 4034 4.1.2; types below 256 only."""
    numbers = [TYPES[name] for name in names]
    octets = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        octets[number // 8] |= 0x80 >> number % 8
    return bytes([0, len(octets)]) + bytes(octets)


def encode(kind, words):
    """Record data from its text."""
    if kind in ("A", "AAAA", "CNAME", "NS"):
        return lib.Dns.encode(kind, words[0])
    if kind == "MX":
        return struct.pack("!H", int(words[0])) + encode_name(words[1])
    if kind == "SOA":
        return encode_name(words[0]) + encode_name(words[1]) + struct.pack("!IIIII", *map(int, words[2:7]))
    if kind == "TLSA":
        return bytes(map(int, words[:3])) + bytes.fromhex("".join(words[3:]))
    if kind == "DNSKEY":
        return struct.pack("!HBB", *map(int, words[:3])) + base64.b64decode("".join(words[3:]))
    if kind == "NSEC":
        return encode_name(words[0]) + bitmap(words[1:])
    if kind == "RRSIG":
        return struct.pack("!HBBIIIH", TYPES[words[0]], int(words[1]), int(words[2]), int(words[3]), seconds(words[4]), seconds(words[5]),
                           int(words[6])) + encode_name(words[7]) + base64.b64decode("".join(words[8:]))
    raise ValueError(kind)


def canonical(name):
    """The order of names of RFC 4034 6.1."""
    return [label.encode() for label in reversed(name.split("."))]


class Zone:
    def __init__(self, origin, lines):
        """lines: "name TYPE data", names relative to the origin."""
        lib.need_tool("ldns-signzone")
        self.origin = origin
        directory = os.path.join(lib.scratch(), "zone-" + secrets.token_hex(4))
        os.makedirs(directory)
        key = tool("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", origin, cwd=directory)
        self.anchor = os.path.join(directory, key + ".key")
        with open(os.path.join(directory, "zone"), "w") as file:
            file.write(f"$ORIGIN {origin}.\n$TTL 1\n@ SOA ns root 1 1 1 1 1\n@ NS ns.elsewhere.example.\n" + "\n".join(lines) + "\n")
        tool("ldns-signzone", "-o", origin, "-f", "signed", "zone", key, cwd=directory)
        self.records, self.signatures = {}, {}
        with open(os.path.join(directory, "signed")) as file:
            for line in file:
                self.add(line.split(";")[0].split())
        self.names = sorted({name for name, kind in self.records if kind == "NSEC"}, key=canonical)

    def add(self, words):
        if not words:
            return
        name, kind, data = words[0].rstrip(".").lower(), words[3], words[4:]
        if kind == "RRSIG":
            self.signatures[(name, data[0])] = encode(kind, data)
        else:
            self.records.setdefault((name, kind), []).append(encode(kind, data))

    def knows(self, name):
        return any(n == name or n.endswith("." + name) for n in self.names)

    def nsec_for(self, name):
        """The name whose NSEC covers, or is, this one."""
        return max((n for n in self.names if canonical(n) <= canonical(name)), key=canonical)

    def denial(self, name):
        """Names of the NSEC records that show what there is not."""
        needed = [self.nsec_for(name)]
        if not self.knows(name):
            encloser = name
            while not self.knows(encloser):
                encloser = encloser.split(".", 1)[1]
            needed.append(self.nsec_for("*." + encloser))
        return sorted(set(needed))


class SignedDns(lib.Dns):
    """Serves zones besides the unsigned records.  `stripped` and `broken` hold (name, type) that are
    served without a signature, or with a wrong one."""

    def __init__(self, *zones):
        super().__init__()
        self.zones = list(zones)
        self.stripped, self.broken = set(), set()

    def zone_of(self, name):
        return next((z for z in self.zones if name == z.origin or name.endswith("." + z.origin)), None)

    def rrset(self, zone, name, kind):
        records = [(name, kind, data) for data in zone.records[(name, kind)]]
        signature = zone.signatures.get((name, kind))
        if signature is None or (name, kind) in self.stripped or lib.lens == "signatures-are-stripped":
            return records
        if (name, kind) in self.broken:
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        return records + [(name, "RRSIG", signature)]

    def look_up(self, name, kind):
        """(rcode, answer, authority)"""
        answer = []
        for _ in range(5):
            zone = self.zone_of(name)
            if zone is None:
                records = [(name, kind, self.encode_any(kind, data)) for data in self.records.get((name, kind), [])]
                return (0 if records or any(n == name or n.endswith("." + name) for n, _ in self.records) or answer else 3), answer + records, []
            if (name, kind) in zone.records:
                return 0, answer + self.rrset(zone, name, kind), []
            if (name, "CNAME") not in zone.records:
                break
            answer += self.rrset(zone, name, "CNAME")
            target = next(data for _, k, data in answer[::-1] if k == "CNAME")
            name = self.name_of(target)
        authority = self.rrset(zone, zone.origin, "SOA")
        for owner in zone.denial(name):
            authority += self.rrset(zone, owner, "NSEC")
        return (0 if zone.knows(name) else 3), answer, authority

    @staticmethod
    def encode_any(kind, data):
        return encode(kind, data.split()) if kind == "TLSA" else lib.Dns.encode(kind, data)

    @staticmethod
    def name_of(wire):
        labels, at = [], 0
        while wire[at]:
            labels.append(wire[at + 1:at + 1 + wire[at]].decode())
            at += 1 + wire[at]
        return ".".join(labels)

    def answer(self, packet):
        number, flags = struct.unpack("!HH", packet[:4])
        name = self.name_of(packet[12:]).lower()
        end = 12 + len(encode_name(name)) + 4
        kind = NUMBERS.get(struct.unpack("!H", packet[end - 4:end - 2])[0], "?")
        self.questions.append((name, kind))
        rcode, answer, authority = self.look_up(name, kind)
        if name in self.failing:
            rcode, answer, authority = 2, [], []
        out = struct.pack("!HHHHHH", number, 0x8080 | (flags & 0x0100) | rcode, 1, len(answer), len(authority), 1) + packet[12:end]
        for owner, record_kind, data in answer + authority:
            out += encode_name(owner) + struct.pack("!HHIH", TYPES[record_kind], 1, 1, len(data)) + data
        return out + b"\0" + struct.pack("!HHIH", 41, 4096, 0x8000, 0)  # EDNS, with DO
