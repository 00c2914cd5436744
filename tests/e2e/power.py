"""Power cuts that never happened: a server's writes, syncs and promises are
recorded once (tests/power/recorder.c), and then the disk is worked out as it
could have been after a cut at any moment.

What was synced is there.  Of what was written after the last sync, each page
of 4 KiB is as it was at that sync, or as any later write left it, or a mixture
of both by sectors of 512 bytes.  The server is started on such an image, and
every message that it had acknowledged before the cut must be there: once, with
every byte.

    python3 tests/e2e/power.py CUTS [SEED]
"""

import hashlib
import os
import random
import re
import shutil
import struct
import sys
import threading
import time

import lib
from lib import OUT, NextHop, Server, check, new_address, run_program, scratch, wait_until

RECORDER = os.path.abspath(os.path.join(OUT, "tests/power/recorder.so"))
WRITE, SYNC, TOLD, BEGIN, DSYNC, SIZE = range(1, 7)
PAGE, SECTOR = 4096, 512
SENDERS = 6
LOCAL, REMOTE = "sales@fredsco.example", "fred@far.example"
SETTINGS = {"auth": {"plain_without_tls": True}, "log": {"level": "warn"}, "limits": {"errors": 1000},
            "retry": {"first": "100ms", "max": "300ms", "expire": "1h"}}


def make_message(token, choose):
    """Its subject names it and the digest of its body."""
    size = choose.choice((200, 1000, 3000, 9000, 40000))
    body = b"".join(hashlib.sha256(f"{token} {i}".encode()).hexdigest().encode() + b"\r\n" for i in range(size // 66 + 1))
    digest = hashlib.sha256(body).hexdigest()
    return f"Subject: {token} {digest}\r\n\r\n".encode() + body


def read_token(content):
    """(token, intact)"""
    found = re.search(rb"^Subject: (\S+) (\S+)\r?$", content, re.M)
    body = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[1].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return found.group(1).decode(), hashlib.sha256(body).hexdigest() == found.group(2).decode()


# ---- recording ----------------------------------------------------------------------


class Recording:
    def __init__(self, path):
        self.records = []
        with open(path, "rb") as file:
            data = file.read()
        at = 0
        while at < len(data):
            kind, length, offset = struct.unpack_from("<IIQ", data, at)
            self.records.append((kind, offset, data[at + 16:at + 16 + length]))
            at += 16 + length
        self.first = next(i for i, r in enumerate(self.records) if r[0] == TOLD)


def record(messages, seed):
    """Loads a recorded server; returns the recording and {queue id: (token, recipient)}."""
    hop_address = new_address()  # nobody listens there: what is for elsewhere stays queued, and is tried again
    log = os.path.join(scratch(), f"power-{seed}.log")
    server = Server(settings={**SETTINGS, "outbound": {"smart_host": f"{hop_address}:2525", "tls": "none"}}, name=f"recorded-{seed}")
    os.environ["LD_PRELOAD"], os.environ["POWER_LOG"] = RECORDER, log
    try:
        server.start()
    finally:
        del os.environ["LD_PRELOAD"], os.environ["POWER_LOG"]
    known, lock = {}, threading.Lock()

    def sender(number):
        choose = random.Random(f"{seed} {number}")
        session = server.smtp("submission")
        session.command("EHLO load.example", 250)
        session.auth_plain("sales@fredsco.example", "secret")
        for i in range(messages // SENDERS):
            token, to = f"m{number}x{i}x", (LOCAL, REMOTE)[i % 2]
            session.command("MAIL FROM:<sales@fredsco.example>", 250)
            session.command(f"RCPT TO:<{to}>", 250)
            session.command("DATA", 354)
            session.send(make_message(token, choose) + b".\r\n")
            reply = session.expect(250)
            with lock:
                known[re.search(r"queued as (\S+)", " ".join(reply.lines)).group(1)] = (token, to)

    threads = [threading.Thread(target=sender, args=(n,)) for n in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    server.kill()
    check(len(known) == messages // SENDERS * SENDERS, f"only {len(known)} messages were acknowledged")
    recording = Recording(log)
    os.unlink(log)
    shutil.rmtree(server.data)
    return recording, known


# ---- cutting ------------------------------------------------------------------------


class Disk:
    """What is on disk for certain, and what may be."""

    def __init__(self):
        self.cached, self.durable = {}, {}  # by page number
        self.pending = {}  # page number: contents since the last sync
        self.size = 0
        self.last_write = []

    def write(self, offset, data):
        self.size = max(self.size, offset + len(data))
        self.last_write = []
        at = 0
        while at < len(data):
            number, begin = divmod(offset + at, PAGE)
            n = min(PAGE - begin, len(data) - at)
            old = self.cached.get(number, bytes(PAGE))
            new = old[:begin] + data[at:at + n] + old[begin + n:]
            self.cached[number] = new
            self.pending.setdefault(number, []).append(new)
            self.last_write.append(number)
            at += n

    def settle(self, numbers):
        for number in numbers:
            self.durable[number] = self.cached[number]
            self.pending.pop(number, None)

    def image(self, choose, path):
        pages = dict(self.durable)
        for number, versions in self.pending.items():
            old = self.durable.get(number, bytes(PAGE))
            new = choose.choice([old, *versions])
            if choose.random() < 0.25:  # torn
                new = b"".join((old, new)[choose.randrange(2)][i:i + SECTOR] for i in range(0, PAGE, SECTOR))
            pages[number] = new
        with open(path, "wb") as file:
            file.truncate((self.size + PAGE - 1) // PAGE * PAGE)
            for number, content in pages.items():
                file.seek(number * PAGE)
                file.write(content)


def cut(recording, moment, choose, path, ignore):
    """Writes the image after a cut just before record `moment`; returns the ids acknowledged by then.

    ignore: "" as it was; "all" as if no sync had done anything; "last" as if
    the last commit's had not, which is a server that promises too early.
    """
    disk = Disk()
    told = []
    last = max((i for i in range(moment) if recording.records[i][0] == BEGIN), default=moment)
    for number, (kind, offset, data) in enumerate(recording.records[:moment]):
        if kind in (SYNC, DSYNC) and (ignore == "all" or (ignore == "last" and number >= last)):
            continue
        if kind == WRITE:
            disk.write(offset, data)
        elif kind == SIZE:
            disk.size = offset
        elif kind == TOLD:
            told += re.findall(rb"^250 2\.0\.0 queued as (\S+)\r$", data, re.M)
        elif kind == SYNC:
            disk.settle(list(disk.pending))
        elif kind == DSYNC:
            disk.settle(disk.last_write)
    disk.image(choose, path)
    return [i.decode() for i in told]


# ---- looking ------------------------------------------------------------------------


class Hop:
    """Takes what the servers still had in their queues; one for all cuts."""

    def __init__(self):
        self.copies = {}
        self.lock = threading.Lock()
        self.server = NextHop(self.script)

    def script(self, verb, argument, _session):
        if verb == "MESSAGE":
            token, intact = read_token(argument)
            with self.lock:
                self.copies.setdefault(token, []).append(intact)

    def take(self):
        with self.lock:
            copies, self.copies = self.copies, {}
            return copies


def look(hop, number, recording, moment, choose, known, ignore=""):
    """One cut; returns (acknowledged, complaints)."""
    server = Server(settings={**SETTINGS, "outbound": {"smart_host": f"{hop.server.address}:2525", "tls": "none"}}, name=f"cut-{number}")
    os.makedirs(os.path.join(server.data, "store"), mode=0o700)
    told = cut(recording, moment, choose, os.path.join(server.data, "store", "data.mdb"), ignore)
    complaints = []
    try:
        server.start()
        mbox = os.path.join(server.directory, "mbox")
        server.control("queue", "flush")
        # What is for here may be in the queue as well: its mailbox is looked into when that is empty.
        wait_until(server.queue_is_empty, "an empty queue", 30)
        run_quietly([lib.POSTRIDERD, "mailbox", "export", "--format", "mbox", "--data", server.data, LOCAL, mbox])
    except lib.Failed as error:
        complaints.append(f"the server does not work: {error}")
    finally:
        server.kill()
    copies = hop.take()
    if not complaints:
        with open(mbox, "rb") as file:
            for message in re.split(rb"(?:^|\n\n)From [^\n]*\n", file.read())[1:]:
                token, intact = read_token(message.rstrip(b"\n") + b"\n")
                copies.setdefault(token, []).append(intact)
        for queue_id in told:
            token, to = known[queue_id]
            found = copies.get(token, [])
            if found != [True]:
                complaints.append(f"{token} to {to}: {len(found)} copies, intact: {found}")
    shutil.rmtree(server.directory)
    return len(told), complaints


def run_quietly(arguments):
    status, out, err = run_program(arguments)
    check(status == 0, f"{arguments[1:3]}: {out}{err}")


def cuts(count, seed, messages=300, per_recording=50, ignore="", tell=None):
    """Makes `count` cuts; returns (acknowledged in all, [complaints of each bad cut])."""
    choose = random.Random(seed)
    hop = Hop()
    acknowledged, bad = 0, []
    recording = known = None
    for number in range(count):
        if number % per_recording == 0:
            recording, known = record(messages, f"{seed}-{number}")
        moment = choose.randrange(recording.first, len(recording.records) + 1)
        told, complaints = look(hop, number, recording, moment, choose, known, ignore)
        acknowledged += told
        if complaints:
            bad.append(f"cut {number} at record {moment}: " + "; ".join(complaints[:3]))
        if tell:
            tell(number + 1, acknowledged, len(bad))
    return acknowledged, bad


def main():
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    begin = time.monotonic()
    out = sys.stdout
    sys.stdout = open(os.devnull, "w")

    def tell(done, acknowledged, bad):
        if done % 50 == 0:
            print(f"{done} cuts, {acknowledged} acknowledged before them, {bad} bad ({time.monotonic() - begin:.0f} s)",
                  file=out, flush=True)

    try:
        acknowledged, bad = cuts(count, seed, tell=tell)
        controls = max(20, count // 50)
        lied = {how: len(cuts(controls, seed, ignore=how)[1]) for how in ("all", "last")}
    finally:
        lib.clean_up()
    print(f"{count} power cuts, seed {seed}: {acknowledged} messages acknowledged before them, {len(bad)} cuts lost, doubled or damaged any",
          file=out)
    print(f"controls: with all syncs ignored {lied['all']} of {controls} cuts lost mail, with the last commit's {lied['last']}", file=out)
    for line in bad[:20]:
        print(line, file=out)
    return 1 if bad or not all(lied.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
