"""A hundred SIGKILLs at random moments under load.

Many connections send without pause, half of it to a local mailbox and half to
a next hop; the server is killed and started again.  As real senders do, ours
send a message again when no reply to its final dot came.  In the end:

  acknowledged     at least one copy
  any message      at most one copy more than there were 250s in flight for it:
                   ours that never came, or the next hop's that the server may
                   not have noted when it was killed, see mark_in_flight

    python3 tests/e2e/test_sigkill.py KILLS [SEED]        more of them: make kills
"""

import collections
import os
import random
import re
import socket
import sys
import threading
import time

import lib
from lib import NextHop, Server, check, check_equal, slow, turns_red, wait_until

SENDERS = 8
KILLS = 100
# A connection that broke may have this many 250s in flight at its end: those the server had not read, or read and
# not yet noted on disk.
IN_FLIGHT_MAX = 20


class Load:
    """Senders that never stop, and what they know about each message."""

    def __init__(self, server, hop):
        self.server = server
        self.recipients = ("sales@fredsco.example", "fred@far.example")
        self.hop = hop
        self.lock = threading.Lock()
        self.acknowledged = {}  # token: recipient
        self.unanswered = collections.Counter()  # token: final dots without a reply
        self.recipient_of = {}
        self.stopping = False
        self.threads = [threading.Thread(target=self.sender, args=(n,), daemon=True) for n in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(lib.PATIENCE_S)

    def sender(self, number):
        count = 0
        again = None
        while not self.stopping:
            try:
                with socket.create_connection((self.server.address, lib.PORTS["submission"]), 5) as sock:
                    stream = self.log_in(sock)
                    while not self.stopping:
                        if again is None:
                            count += 1
                            again = f"m{number}x{count}x"
                            self.recipient_of[again] = self.recipients[count % 2]
                        self.send(stream, again)
                        again = None
            except (OSError, EOFError):
                time.sleep(0.005)

    @staticmethod
    def reply(stream):
        while True:
            line = stream.readline()
            if not line.endswith(b"\r\n"):
                raise EOFError
            if line[3:4] != b"-":
                return line

    def command(self, stream, text):
        stream.write(text.encode() + b"\r\n")
        stream.flush()
        return self.reply(stream)

    def log_in(self, sock):
        stream = sock.makefile("rwb")
        self.reply(stream)
        self.command(stream, "EHLO load.example")
        self.command(stream, "AUTH PLAIN " + lib.b64("\0sales@fredsco.example\0secret"))
        return stream

    def send(self, stream, token):
        body = "x" * 70 + "\r\n"
        stream.write(f"MAIL FROM:<sales@fredsco.example>\r\nRCPT TO:<{self.recipient_of[token]}>\r\nDATA\r\n".encode())
        stream.flush()
        codes = [self.reply(stream)[:3] for _ in range(3)]
        if codes != [b"250", b"250", b"354"]:
            if codes[2] == b"354":
                raise EOFError
            self.command(stream, "RSET")
            raise EOFError
        with self.lock:
            self.unanswered[token] += 1
        stream.write((f"From: <load@isp2.example>\r\nSubject: {token}\r\n\r\n" + body * random.randrange(1, 60) + ".\r\n").encode())
        stream.flush()
        code = self.reply(stream)[:3]
        with self.lock:
            self.unanswered[token] -= 1
            if code == b"250":
                self.acknowledged[token] = True
        if code != b"250":
            raise EOFError


def tokens_of(contents):
    found = collections.Counter()
    for content in contents:
        found[re.search(rb"^Subject: (m\d+x\d+x)\r$", content, re.M).group(1).decode()] += 1
    return found


def mark_in_flight(relayed):
    """Marks the copies that may come again.

    The server takes notes of one connection's 250s in their order.  So what comes again of a connection that
    broke must be its end and nothing else; of one that ended with QUIT nothing may come again.
    """
    sessions = collections.defaultdict(list)
    last_copy = {copy["token"]: copy for copy in relayed}
    for copy in relayed:
        sessions[copy["session"]["number"]].append(copy)
        copy["again"] = copy is not last_copy[copy["token"]]
        copy["in_flight"] = False
    longest = 0
    for copies in sessions.values():
        if copies[0]["session"].get("quit"):
            continue
        for copy in reversed(copies[-IN_FLIGHT_MAX:]):
            if not copy["again"]:
                break
            copy["in_flight"] = True
        longest = max(longest, sum(copy["in_flight"] for copy in copies))
    return longest


def judge(load, local, relayed):
    """Checks the promise; returns how many copies too many there were, for the log."""
    surplus = 0
    longest = mark_in_flight(relayed)
    by_token = collections.defaultdict(list)
    for copy in relayed:
        by_token[copy["token"]].append(copy)
    for token in load.acknowledged:
        copies = local[token] + len(by_token[token])
        check(copies >= 1, f"acknowledged message {token} for {load.recipient_of.get(token)} is lost")
    for token in set(local) | set(by_token):
        copies = local[token] + len(by_token[token])
        promised = 1 if token in load.acknowledged else 0
        in_flight = load.unanswered[token] + sum(copy["in_flight"] for copy in by_token[token])
        check(copies <= promised + in_flight,
              f"message {token}: {local[token]} local copies, relayed {by_token[token]}, acknowledged {promised} times, {in_flight} 250s in flight")
        surplus += max(0, copies - 1)
    print(f"at most {longest} 250s in flight on a connection")
    return surplus


def kills(rounds, seed, tell=lambda text: None):
    relayed = []
    hop_lock = threading.Lock()

    def script(verb, argument, session):
        if verb == "QUIT":
            session["quit"] = True
        if verb == "MESSAGE":
            token = re.search(rb"^Subject: (m\d+x\d+x)\r$", argument, re.M).group(1).decode()
            with hop_lock:
                relayed.append({"token": token, "session": session})
        return None

    hop = NextHop(script)
    server = Server(settings={"outbound": {"smart_host": f"{hop.address}:2525", "tls": "none"}, "auth": {"plain_without_tls": True},
                              "log": {"level": "warn"}, "retry": {"first": "50ms", "max": "200ms", "expire": "1h"}}).start()
    load = Load(server, hop)
    kill_times = []
    choose = random.Random(seed)
    for number in range(rounds):
        before = len(load.acknowledged)
        lifetime = choose.uniform(0.02, 0.35)
        wait_until(lambda: len(load.acknowledged) > before, "load after a restart")
        time.sleep(lifetime)  # The moment of the kill is to be random.
        kill_times.append(time.monotonic())
        server.kill()
        server.start()
        if (number + 1) % 100 == 0:
            tell(f"{number + 1} kills, {len(load.acknowledged)} acknowledged")
    load.stop()
    wait_until(server.queue_is_empty, "an empty queue", 60)
    local = tokens_of(Server.mailbox(server))
    server.stop()
    with hop_lock:
        everything = list(relayed)
    untroubled = next(t for t in load.acknowledged if load.unanswered[t] == 0)
    if lib.lens == "ack-is-invented":
        load.acknowledged["m0x0x"] = True
    if lib.lens == "mail-is-doubled":
        local[untroubled] += 1
    surplus = judge(load, local, everything)
    result = (f"{rounds} kills, {len(load.acknowledged)} acknowledged, {sum(local.values())} local and {len(everything)} relayed copies, {surplus} in-flight doubles, 0 acknowledged lost")
    print(result)
    check(len(load.acknowledged) > 10 * rounds, f"only {len(load.acknowledged)} messages were acknowledged: no load")
    check_equal(len(kill_times), rounds, "kills")
    return result


@slow
@turns_red("ack-is-invented", "mail-is-lost", "mail-is-doubled")
def test_a_hundred_kills_lose_and_double_nothing():
    kills(4 if lib.lens else KILLS, 1)


def main():
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    status = 0
    try:
        print(kills(int(sys.argv[1]), int(sys.argv[2]), lambda text: print(text, file=out, flush=True)), file=out, flush=True)
    except lib.Failed as error:
        print(f"failed: {error}", file=out, flush=True)
        status = 1
    finally:
        lib.clean_up()
    sys.exit(status)


if __name__ == "__main__":
    main()
