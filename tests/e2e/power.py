"""Power cuts that never happened: a server's writes, syncs and promises are
recorded once (tests/power/recorder.c), and then the disk is worked out as it
could have been after a cut at any moment.

What was written before the last completed sync began is there.  Of what was
written since, each page of 4 KiB is as it was at that sync, or as any later
write left it (one later write: p = 1/2), and of four pages one is a mixture of
both by sectors of 512 bytes; the file may end where it ended at that sync.
The server is started on such an image, and every message that it had
acknowledged before the cut must be there: once, with every byte.  Others may be
there, but not twice and not in part.

Nothing is judged unless the recorder saw the acknowledged messages' own bytes
on their way to the disk.

What a sync that failed was to bring to disk may be there or not, for ever:
Linux forgets that it is dirty, and the next sync that works says nothing of it.

Two models of names: `linux`, which gives the verdict: who syncs a file has
synced its name.  `posix-strict`, which only warns: the directory has to be
synced as well, and each one above that was made.

    python3 tests/e2e/power.py CUTS [SEED]
"""

import errno
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
from faults import RECORDER, Faults
from lib import NextHop, Server, check, new_address, run_program, scratch, wait_until

WRITE, SYNC, TOLD, BEGIN, DSYNC, SIZE, NAMED, NAMES, FAILED = range(1, 10)
QUEUED = re.compile(rb"^250 2\.0\.0 queued as (\S+)\r$", re.M)
PAGE, SECTOR = 4096, 512
SENDERS = 6
LOCAL, REMOTE = "sales@fredsco.example", "fred@far.example"
SETTINGS = {"auth": {"plain_without_tls": True}, "log": {"level": "warn"}, "limits": {"errors": 1000, "idle_commands": 1000000, "refused_recipients": 1000000, "commands_per_second": 0},
            "retry": {"first": "100ms", "max": "300ms", "expire": "1h"}}


def make_message(token, choose):
    """Its subject names it and the digest of its body."""
    size = choose.choice((200, 1000, 3000, 9000, 40000))
    body = b"".join(hashlib.sha256(f"{token} {i}".encode()).hexdigest().encode() + b"\r\n" for i in range(size // 66 + 1))
    digest = hashlib.sha256(body).hexdigest()
    return f"From: sales@fredsco.example\r\nSubject: {token} {digest}\r\n\r\n".encode() + body


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
        self.told_at = {}  # queue id: record
        for i, (kind, _, data) in enumerate(self.records):
            if kind == TOLD:
                for queue_id in QUEUED.findall(data):
                    self.told_at.setdefault(queue_id.decode(), i)

    def must_have_seen(self, known, contents):
        """Each line of what was acknowledged was written before that, or this recording proves nothing."""
        written = {}
        for i, (kind, _, data) in enumerate(self.records):
            if kind == WRITE:
                for digits in re.findall(rb"[0-9a-f]{32,}", data):
                    # A line that goes over the end of a page has one of its halves whole.
                    written.setdefault(digits[:32], i)
                    written.setdefault(digits[-32:], i)
        for queue_id, (token, _) in known.items():
            told_at = self.told_at.get(queue_id)
            check(told_at is not None, f"not tested: the recorder has not seen the 250 for {queue_id}")
            for line in re.findall(rb"[0-9a-f]{64}", contents[token]):
                seen = min(written.get(half, told_at) for half in (line[:32], line[32:]))
                check(seen < told_at, f"not tested: the recorder has not seen {token}'s {line} before its 250")

    def names_lost(self, moment):
        """What was created, on the way to the data, and whose directory was not synced before the cut."""
        waiting = []
        for kind, _, path in self.records[:moment]:
            if kind == NAMED:
                waiting.append(path.decode())
            elif kind == NAMES:
                waiting = [p for p in waiting if os.path.dirname(p) != path.decode()]
        return waiting


def record(messages, seed, **trouble):
    """Loads a recorded server; returns the recording and {queue id: (token, recipient)} of what was acknowledged.

    trouble is the disk's while messages come (faults.py); what is refused then is sent again as another message.
    """
    hop_address = new_address()  # nobody listens there: what is for elsewhere stays queued, and is tried again
    log = os.path.join(scratch(), f"power-{seed}.log")
    server = Server(settings={**SETTINGS, "outbound": {"smart_host": f"{hop_address}:2525", "tls": "none"}}, name=f"recorded-{seed}")
    faults = Faults()
    faults.start(server, log)
    faults.set(**trouble)
    known, contents, lock = {}, {}, threading.Lock()

    def send(session, token, to, choose):
        """Whether it was taken."""
        for command, wanted in (("MAIL FROM:<sales@fredsco.example>", 250), (f"RCPT TO:<{to}>", 250), ("DATA", 354)):
            reply = session.command(command)
            if reply.code != wanted:
                check(trouble and 400 <= reply.code < 500, f"{command} is answered {reply}")
                session.command("RSET", 250)
                return False
        contents[token] = make_message(token, choose)
        session.send(contents[token] + b".\r\n")
        reply = session.expect((250, 452) if trouble else 250)
        if reply.code == 250:
            with lock:
                known[re.search(r"queued as (\S+)", " ".join(reply.lines)).group(1)] = (token, to)
        return reply.code == 250

    def sender(number):
        choose = random.Random(f"{seed} {number}")
        session = server.smtp("submission")
        session.command("EHLO load.example", 250)
        session.auth_plain("sales@fredsco.example", "secret")
        for i in range(messages // SENDERS):
            attempt, end = 0, time.monotonic() + lib.PATIENCE_S
            while not send(session, f"m{number}x{i}x{attempt}", (LOCAL, REMOTE)[i % 2], choose):
                attempt += 1
                check(time.monotonic() < end, f"nothing was taken for {lib.PATIENCE_S} s, in {attempt} attempts")

    threads = [threading.Thread(target=sender, args=(n,)) for n in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    server.kill()
    check(len(known) == messages // SENDERS * SENDERS, f"only {len(known)} messages were acknowledged")
    check(not trouble or faults.counts()[2] > 0, "the disk never failed")
    recording = Recording(log)
    os.unlink(log)
    recording.must_have_seen(known, contents)
    shutil.rmtree(server.data)
    return recording, known


# ---- cutting ------------------------------------------------------------------------


class Disk:
    """What is on disk for certain, and what may be."""

    def __init__(self):
        self.cached, self.durable = {}, {}  # by page number
        self.pending = {}  # page number: contents since the last sync
        self.doubtful = {}  # the same, of syncs that failed
        self.size = self.durable_size = 0
        self.last_write = []
        self.syncing = None  # what the sync that runs will have made durable

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

    def begin_sync(self):
        check(self.syncing is None, "two syncs at once: the recording cannot be read")
        self.syncing = (self.size, {number: len(versions) for number, versions in self.pending.items()})

    def end_sync(self):
        self.durable_size, counts = self.syncing
        self.syncing = None
        for number, count in counts.items():
            self.settle(number, count)

    def settle(self, number, count):
        """The first of a page's pending contents are on disk."""
        versions = self.pending.get(number, [])
        if count and versions:
            self.durable[number] = versions[min(count, len(versions)) - 1]
            self.doubtful.pop(number, None)
            self.forget(number, count)

    def forget(self, number, count):
        self.pending[number] = self.pending[number][count:]
        if not self.pending[number]:
            del self.pending[number]

    def fail(self):
        """The sync that began, or the last write, has failed."""
        counts = self.syncing[1] if self.syncing else {number: len(self.pending.get(number, [])) for number in self.last_write}
        self.syncing = None
        for number, count in counts.items():
            if count and number in self.pending:
                self.doubtful.setdefault(number, []).extend(self.pending[number][:count])
                self.forget(number, count)

    def settle_last_write(self):
        for number in self.last_write:
            self.settle(number, len(self.pending.get(number, [])))
            self.durable_size = max(self.durable_size, min(self.size, (number + 1) * PAGE))

    def image(self, choose, path):
        pages = dict(self.durable)
        size = choose.choice((self.size, self.durable_size))
        for number, versions in [*self.doubtful.items(), *self.pending.items()]:
            old = pages.get(number, bytes(PAGE))
            new = choose.choice([old, *versions])
            if choose.random() < 0.25:  # torn
                new = b"".join((old, new)[choose.randrange(2)][i:i + SECTOR] for i in range(0, PAGE, SECTOR))
            if new != old:
                pages[number] = new
                size = max(size, (number + 1) * PAGE)
        with open(path, "wb") as file:
            file.truncate((size + PAGE - 1) // PAGE * PAGE)
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
        if kind in (BEGIN, SYNC, DSYNC, FAILED) and (ignore == "all" or (ignore == "last" and number >= last)):
            continue
        if kind == WRITE:
            disk.write(offset, data)
        elif kind == SIZE:
            disk.size = offset
        elif kind == TOLD:
            told += QUEUED.findall(data)
        elif kind == BEGIN:
            disk.begin_sync()
        elif kind == SYNC:
            disk.end_sync()
        elif kind == DSYNC:
            disk.settle_last_write()
        elif kind == FAILED:
            disk.fail()
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
            found = copies.pop(token, [])
            if found != [True]:
                complaints.append(f"{token} to {to}: {len(found)} copies, intact: {found}")
        for token, found in copies.items():
            if found != [True]:
                complaints.append(f"{token}, not acknowledged: {len(found)} copies, intact: {found}")
    shutil.rmtree(server.directory)
    return len(told), complaints


def run_quietly(arguments):
    status, out, err = run_program(arguments)
    check(status == 0, f"{arguments[1:3]}: {out}{err}")


class Outcome:
    def __init__(self):
        self.acknowledged = 0
        self.bad = []  # what was lost, doubled or damaged, for each cut that did any of it
        self.names_lost = []  # the same if names had to be synced by their directories: the model posix-strict


def cuts(count, seed, messages=300, per_recording=50, ignore="", tell=None, **trouble):
    choose = random.Random(seed)
    hop = Hop()
    outcome = Outcome()
    recording = known = None
    for number in range(count):
        if number % per_recording == 0:
            with lib.addresses_given_back():
                recording, known = record(messages, f"{seed}-{number}", **trouble)
        moment = choose.randrange(recording.first, len(recording.records) + 1)
        with lib.addresses_given_back():
            told, complaints = look(hop, number, recording, moment, choose, known, ignore)
        outcome.acknowledged += told
        if complaints:
            outcome.bad.append(f"cut {number} at record {moment}: " + "; ".join(complaints[:3]))
        lost = recording.names_lost(moment)
        if told and lost:
            outcome.names_lost.append(f"cut {number} at record {moment}: no name for {', '.join(lost)}")
        if tell:
            tell(number + 1, outcome)
    return outcome


def main():
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    begin = time.monotonic()
    out = sys.stdout
    sys.stdout = open(os.devnull, "w")

    def tell(done, outcome):
        if done % 50 == 0:
            print(f"{done} cuts, {outcome.acknowledged} acknowledged before them, {len(outcome.bad)} bad "
                  f"({time.monotonic() - begin:.0f} s)", file=out, flush=True)

    try:
        real = cuts(count, seed, tell=tell)
        controls = max(20, count // 50)
        failing = cuts(max(20, count // 2), seed, sync_errno=errno.EIO, every=5)
        lied = {how: len(cuts(controls, seed, ignore=how).bad) for how in ("all", "last")}
    finally:
        lib.clean_up()
    print(f"{count} power cuts, seed {seed}: {real.acknowledged} messages acknowledged before them, "
          f"{len(real.bad)} cuts lost, doubled or damaged any", file=out)
    print(f"{max(20, count // 2)} more of a disk whose every fifth sync fails: {failing.acknowledged} acknowledged, "
          f"{len(failing.bad)} cuts lost, doubled or damaged any", file=out)
    print(f"controls: with all syncs ignored {lied['all']} of {controls} cuts lost mail, with the last commit's {lied['last']}", file=out)
    print(f"posix-strict: {len(real.names_lost)} cuts would have lost names, which is a warning and no verdict", file=out)
    for line in real.bad[:20] + failing.bad[:20] + real.names_lost[:3]:
        print(line, file=out)
    return 1 if real.bad or failing.bad or not all(lied.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
