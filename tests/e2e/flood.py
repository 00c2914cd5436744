"""flood.py [CONNECTIONS [REPORT.md]]: what `make hostile` runs.

Opens so many hostile connections to one postriderd, of every kind in KINDS, and
keeps them up for a while.  Meanwhile a well-behaved sender must get its 250s in
bounded time, and the server's anonymous memory must stay below a bound that
follows from its configured limits alone (see `bound`).  Afterwards the memory
must come back.

Everything is on loopback, from addresses of this run, and bounded: no
connection sends more than SENT_BYTES_MAX.
"""

import contextlib
import os
import platform
import resource
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time

import lib
from lib import Failed, Server, check, make_message, new_address, wait_until

MIB = 1 << 20
SENT_BYTES_MAX = MIB  # on one connection
PER_ADDRESS = 200  # connections from one source address
HOLD_S = 10  # the flood stands so long once it is complete
REPLY_S_MAX = 30  # from connecting to the 250 of a well-behaved sender, at the worst; clients wait 2 to 10 minutes (RFC 5321 4.5.3.2)
# What an idle connection may cost by its own: the aim of issue and roadmap, three times what it does.
PLAIN_BYTES, TLS_BYTES = 12 * 1024, 40 * 1024
# What does not grow with clients: the store's transactions, threads, gaps between what is in use.
OTHER_BYTES = 16 * MIB


def limits(connections):
    """Those of the server under attack; all of its other limits are the defaults."""
    return {"connections": connections + 200,  # so that the patient get in: how many come is not what is tested here
            "buffers": f"{max(4, connections // 150)}MiB", "unacknowledged_size": f"{max(4, connections // 300)}MiB"}


def off(of):
    """The control: the same without the two that bound memory."""
    return {**of, "buffers": "1TiB", "unacknowledged_size": "1TiB"}


def bound(of, before, plain, tls):
    """The most anonymous memory that the server may have."""
    size = sum(int(of[key][:-3]) * MIB for key in ("buffers", "unacknowledged_size"))
    return before + OTHER_BYTES + plain * PLAIN_BYTES + tls * TLS_BYTES + size


# ---- kinds -----------------------------------------------------------------------------


def client_hello():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


HELLO = client_hello()
ENVELOPE = b"EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<sales@fredsco.example>\r\n"
LINES = (b"x" * 78 + b"\r\n") * 100


class Kind:
    """first is sent at once; then, as fast as the server takes it, `again`, up to `most` bytes; then `drip` every second.  Replies are
    read or not."""

    def __init__(self, name, service, first=b"", again=b"", most=SENT_BYTES_MAX, drip=b"", reads=False):
        self.name, self.service, self.first, self.again, self.drip, self.reads = name, service, first, again, drip, reads
        self.most = most if again else len(first)

    @property
    def is_tls(self):
        return HELLO in self.first


KINDS = [
    Kind("says nothing", "smtp", reads=True),
    Kind("says EHLO, then nothing", "submission", b"EHLO a.example\r\n", reads=True),
    Kind("begins a TLS record, no more", "submissions", HELLO[:40]),
    Kind("shakes half a hand", "submissions", HELLO),
    Kind("shakes half a hand (POP3)", "pop3s", HELLO),
    Kind("STARTTLS, then half a hand", "smtp", b"EHLO a.example\r\nSTARTTLS\r\n", drip=b"\x16"),
    Kind("a line without end", "smtp", b"EHLO a.example\r\n", b"x" * 8192, reads=True),
    Kind("asks for strangers", "smtp", ENVELOPE, b"RCPT TO:<nobody@fredsco.example>\r\n" * 100, reads=True),
    Kind("asks for everybody", "smtp", ENVELOPE, b"RCPT TO:<sales@fredsco.example>\r\n" * 100),
    Kind("a huge chunk that stalls", "smtp", ENVELOPE + b"BDAT 40000000\r\n", LINES, 240 * 1024),
    Kind("content that trickles", "smtp", ENVELOPE + b"DATA\r\n", LINES, 200 * 1024, drip=b"x"),
    Kind("big content at full speed", "smtp", ENVELOPE + b"DATA\r\n", LINES, SENT_BYTES_MAX),
    Kind("many EHLOs, reads nothing", "smtp", b"", b"EHLO a.example\r\n" * 100),
    Kind("many HELPs, reads nothing", "smtp", b"EHLO a.example\r\n", b"HELP\r\n" * 100),
    Kind("many CAPAs, reads nothing", "pop3", b"", b"CAPA\r\n" * 100),
    Kind("many RETRs, reads nothing", "pop3", b"USER sales@fredsco.example\r\nPASS wrong\r\n", b"NOOP\r\n" * 100),
]


class Peer:
    """One hostile connection."""

    def __init__(self, kind, address, source, selector):
        self.kind, self.selector = kind, selector
        self.sent = 0
        self.out = kind.first
        self.open = True
        self.sock = socket.socket()
        self.sock.setblocking(False)
        # Small windows, so that the memory is the server's and not the kernel's.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.bind((source, 0))
        self.sock.connect_ex(address)
        self.waits = 0
        self.wait_for(selectors.EVENT_WRITE | (selectors.EVENT_READ if kind.reads else 0))

    def close(self):
        if self.open:
            self.wait_for(0)
            self.sock.close()
        self.open = False

    def wait_for(self, events):
        if self.waits and not events:
            self.selector.unregister(self.sock)
        elif self.waits and events != self.waits:
            self.selector.modify(self.sock, events, self)
        elif events and not self.waits:
            self.selector.register(self.sock, events, self)
        self.waits = events

    def write(self):
        if not self.out and self.sent < self.kind.most:
            self.out = self.kind.again
        n = self.sock.send(self.out) if self.out else 0
        self.sent += n
        self.out = self.out[n:]
        if not self.out and self.sent >= self.kind.most:
            self.wait_for(selectors.EVENT_READ if self.kind.reads else 0)

    def on(self, events):
        try:
            if events & selectors.EVENT_WRITE:
                self.write()
            if events & selectors.EVENT_READ and not self.sock.recv(65536):
                self.close()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.close()  # refused, reset: it was let go

    def trickle(self):
        if self.open and self.kind.drip and self.sent >= self.kind.most:
            try:
                self.sock.send(self.kind.drip)
            except BlockingIOError:
                pass
            except OSError:
                self.close()


# ---- the attack, in a process of its own -----------------------------------------------


def attack(services, sources, count, told, end):
    """Connects all, and tells when that is done; keeps at it until `end` is readable; tells how many are left."""
    selector = selectors.DefaultSelector()
    selector.register(end, selectors.EVENT_READ, None)
    peers, next_drip, complete = [], time.monotonic() + 1, False
    while True:
        for _ in range(50):  # as the other side accepts them
            if len(peers) < count:
                number = len(peers)
                kind = KINDS[number % len(KINDS)]
                peers.append(Peer(kind, services[kind.service], sources[number // PER_ADDRESS], selector))
        for key, events in selector.select(0 if len(peers) < count else 0.2):
            if key.data is None:
                os.write(told, f"{sum(peer.open for peer in peers)}\n".encode())
                return
            key.data.on(events)
        if not complete and len(peers) == count:
            complete = True
            os.write(told, b"complete\n")
        if time.monotonic() > next_drip:
            for peer in peers:
                peer.trickle()
            next_drip = time.monotonic() + 1


class Attack:
    def __init__(self, server, count):
        sources = [new_address() for _ in range(count // PER_ADDRESS + 1)]
        (self.told, told), (end, self.ends) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                lib.die_with_parent()
                os.close(self.ends)
                attack(server.services, sources, count, told, end)
            finally:
                os._exit(0)
        os.close(told)
        os.close(end)
        self.lines = os.fdopen(self.told)

    def await_complete(self):
        check(self.lines.readline() == "complete\n", "the flood is complete")

    def end(self):
        """How many connections it still thought open."""
        os.close(self.ends)
        left = int(self.lines.readline() or 0)
        os.waitpid(self.pid, 0)
        return left


# ---- what the server makes of it -------------------------------------------------------


def anonymous_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous:"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        return sum(int(x) for x in file.read().rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")


class Watch(threading.Thread):
    """The most memory and the most sessions seen."""

    last = None

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.done = server, threading.Event()
        self.peak = 0
        Watch.last = self
        self.start()

    def run(self):
        while not self.done.wait(0.05):
            with contextlib.suppress(OSError):  # it has ended, and the check that failed says so
                self.peak = max(self.peak, anonymous_bytes(self.server.pid()))

    def end(self):
        self.done.set()
        self.join()


def send_one(server, source):
    """Seconds from connecting to the 250 of a message."""
    began = time.monotonic()
    session = server.smtp(source=source)
    session.command("EHLO honest.example", 250)
    session.message("barney@isp2.example", "bob@fredsco.example", make_message(body=b"x" * 4000 + b"\r\n")[1])
    session.quit()
    return time.monotonic() - began


def flood(connections):
    """Runs it; a dict of all figures.  Fails by a check."""
    need = 2 * connections + 1000 if connections < 9000 else connections + 2000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < need:
        raise lib.Skip(f"needs {need} descriptors, ulimit -n allows fewer")
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    of = limits(connections)
    server = Server(users={"sales": "secret", "bob": "secret"}, settings={
        "limits": off(of) if lib.lens == "limits-are-off" else of, "log": {"level": "error"},
        "auth": {"iterations": 4096, "plain_without_tls": True}})
    server.start()
    honest = new_address()
    for _ in range(20):
        send_one(server, honest)
    quiet = [send_one(server, honest) for _ in range(20)]
    before, began, cpu_before = anonymous_bytes(server.pid()), time.monotonic(), cpu_s(server.pid())
    watch, attacker = Watch(server), Attack(server, connections)
    took = []
    until = [None]

    def on_complete():
        attacker.await_complete()
        until[0] = time.monotonic() + HOLD_S

    waiter = threading.Thread(target=on_complete, daemon=True)
    waiter.start()
    while until[0] is None or time.monotonic() < until[0]:
        check(time.monotonic() - began < 120, "the flood is over in two minutes")
        took.append(send_one(server, honest))
        time.sleep(0.05)
    held = int(server.control("status")[1].split("smtp sessions: ")[1].split()[0])
    left = attacker.end()
    cpu = cpu_s(server.pid()) - cpu_before
    lasted = time.monotonic() - began
    watch.end()
    wait_until(lambda: "smtp sessions: 0\npop3 sessions: 0" in server.control("status")[1], "no sessions", 60)
    after = [send_one(server, honest) for _ in range(20)]
    # A sanitizer pads memory and keeps what is freed: there is nothing to measure then.
    measured = os.path.basename(lib.OUT) not in ("asan", "tsan")
    returned = wait_until(lambda: not measured or ((m := anonymous_bytes(server.pid())) <= before + 8 * MIB and m),
                          f"memory that is given back (peak {watch.peak / MIB:.0f}, now {anonymous_bytes(server.pid()) / MIB:.0f}, "
                          f"before {before / MIB:.0f} MiB)", 10)
    tls = sum(KINDS[n % len(KINDS)].is_tls for n in range(connections))
    figures = {"connections": connections, "limits": of, "before": before, "peak": watch.peak, "returned": returned,
               "bound": bound(of, before, connections - tls, tls), "quiet": quiet, "took": took, "after": after, "held": held,
               "left": left, "cpu": cpu, "lasted": lasted, "sent": 60 + len(took)}
    check(not measured or watch.peak <= figures["bound"],
          f"at most {figures['bound'] / MIB:.0f} MiB of memory by these limits; it was {watch.peak / MIB:.0f}")
    check(max(took) <= REPLY_S_MAX, f"a well-behaved sender's 250 within {REPLY_S_MAX} s; the slowest took {max(took):.1f} s")
    got = len(server.wait_for_mail("bob", 60 + len(took)))
    check(got == 60 + len(took), f"{60 + len(took)} messages were acknowledged and {got} are there")
    check(server.stop() == 0, "the server ends as it should")
    return figures


# ---- by hand ---------------------------------------------------------------------------


def ms(seconds):
    seconds = sorted(seconds)
    return f"{1000 * seconds[len(seconds) // 2]:.0f} ms, the slowest {1000 * seconds[-1]:.0f} ms"


def conditions():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "-C", lib.ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return f"{time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip() or 'unknown'}, Linux {platform.release()}, " \
           f"{os.cpu_count()} x {model}, server, attackers and senders on one machine"


def report(f, control):
    of = f["limits"]
    return f"""# Under hostile connections

`make hostile`: {conditions()}.

{f['connections']} hostile connections at once from {f['connections'] // PER_ADDRESS + 1} addresses, {len(KINDS)} kinds in equal parts: {'; '.join(k.name for k in KINDS)}.
Each sends at most {SENT_BYTES_MAX // MIB} MiB, and they stand for {HOLD_S} s after the last one has come, as far as the server lets them: it ends those that reach a
limit, and those that hold most when all hold too much. Load of the machine, other work included: {os.getloadavg()[0]:.0f}. Limits of the server: connections {of['connections']}, buffers {of['buffers']},
unacknowledged_size {of['unacknowledged_size']}, all others as by default.

| | |
|---|--:|
| anonymous memory before | {f['before'] / MIB:.1f} MiB |
| at its peak | {f['peak'] / MIB:.1f} MiB |
| the bound: before + {OTHER_BYTES // MIB} MiB + {PLAIN_BYTES // 1024} KiB a connection ({TLS_BYTES // 1024} KiB with TLS) + buffers + unacknowledged_size | {f['bound'] / MIB:.1f} MiB |
| after the flood | {f['returned'] / MIB:.1f} MiB |
| control, buffers and unacknowledged_size without limit | {control} |
| SMTP sessions held at the end of the flood | {f['held']} |
| server's CPU time during {f['lasted']:.0f} s | {f['cpu']:.1f} s |
| well-behaved sender, connect to 250 and QUIT, 4 KB, before: median of 20 | {ms(f['quiet'])} |
| the same under the flood, median of {len(f['took'])} | {ms(f['took'])} |
| the same after it, median of 20 | {ms(f['after'])} |

All {f['sent']} messages that were acknowledged were in their mailbox.
"""


def main():
    connections = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    try:
        figures = flood(connections)
        lib.clean_up()
        lib.lens = "limits-are-off"
        with contextlib.suppress(Failed):
            flood(connections)
        if Watch.last.peak <= figures["bound"]:
            print("the control stayed within the bound: this run proves nothing", file=out)
            return 1
        control = f"{Watch.last.peak / MIB:.0f} MiB"
    except lib.Skip as reason:
        print(f"skipped: {reason}", file=out)
        return 0
    except Failed as error:
        print(f"failed: {error}", file=out)
        return 1
    finally:
        lib.clean_up()
    text = report(figures, control)
    print(text, file=out)
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
