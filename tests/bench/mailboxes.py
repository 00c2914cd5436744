"""Delivery into mailboxes by LMTP, and retrieval by POP3."""

import base64
import functools
import hashlib
import hmac
import multiprocessing
import os
import socket
import threading
import time

import servers

USERS = tuple(f"user{i}" for i in range(8))
ITERATIONS = 4096
PASSWORD = "secret"
MAILBOX_MESSAGES = 200


def scram_key(password, salt=b"postriderbench00"):
    """The SCRAM-SHA-256 keys of a password as Dovecot writes them; postriderd stores the same (RFC 5802 3)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client).digest()
    texts = [base64.b64encode(x).decode() for x in (salt, stored, server)]
    return "{SCRAM-SHA-256}" + f"{ITERATIONS},{','.join(texts)}"


def postriderd(directory):
    return servers.Postriderd(directory, users=USERS, settings={
        "listen": {"lmtp": "127.0.0.1:0"}, "auth": {"iterations": ITERATIONS, "plain_without_tls": True}})


def dovecot(directory):
    server = servers.Dovecot(directory)
    with open(os.path.join(directory, "users"), "w") as file:
        file.writelines(f"{user}@bench.example:{scram_key(PASSWORD)}\n" for user in USERS)
    os.chmod(os.path.join(directory, "users"), 0o644)
    return server


def ports(server):
    """(LMTP, POP3)"""
    if isinstance(server, servers.Postriderd):
        return server.services["lmtp"], server.services["pop3"]
    return server.lmtp, server.pop3


def _fill(port, count_each, sessions, size):
    """smtp-source in LMTP, one for each user, side by side."""
    failed = []

    def run(user):
        try:
            servers.smtp_source(port, count_each, sessions, size, ("-d", "-L"), f"{user}@bench.example")
        except Exception as error:  # noqa: BLE001  told by the caller
            failed.append(error)

    threads = [threading.Thread(target=run, args=(user,)) for user in USERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def deliver(directory, make, sessions, count, size=4096):
    """LMTP into mailboxes; the reply to each message means that it is in its mailbox."""
    with make(os.path.join(directory, "server")) as server:
        cpu_s, begin = server.cpu_s(), time.monotonic()
        _fill(ports(server)[0], count // len(USERS), max(1, sessions // len(USERS)), size)
        took = time.monotonic() - begin
        return {"rate": count / took, "cpu_us": (server.cpu_s() - cpu_s) * 1e6 / count}


# ---- retrieval ------------------------------------------------------------------------


class Pop3:
    def __init__(self, port, user):
        self.socket = socket.create_connection(("127.0.0.1", port), servers.PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.expect()
        self.say(f"USER {user}@bench.example")
        self.expect()
        self.say(f"PASS {PASSWORD}")
        self.expect()

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")

    def expect(self):
        reply = b""
        while not reply.endswith(b"\r\n"):
            more = self.socket.recv(4096)
            if not more:
                raise servers.BenchError("the POP3 server has closed")
            reply += more
        if not reply.startswith(b"+OK"):
            raise servers.BenchError(f"POP3: {reply!r}")
        return reply

    def retrieve_all(self, expected_bytes=None):
        """RETR of the whole mailbox, pipelined; returns how many bytes came.

        The first time they are read up to the reply of a last NOOP; after that
        it is known how many there are, and they are only counted.
        """
        self.socket.sendall(b"".join(b"RETR %d\r\n" % (i + 1) for i in range(MAILBOX_MESSAGES)) + b"NOOP\r\n")
        total, tail = 0, b""
        found = 0
        while expected_bytes is None or total < expected_bytes:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise servers.BenchError("the POP3 server has closed")
            total += len(piece)
            if expected_bytes is None:
                text = tail + piece
                found += text.count(b"\r\n.\r\n")
                tail = text[-4:]
                # Behind the last message comes the reply to NOOP, one line.
                last = text.rfind(b"\r\n.\r\n")
                if found == MAILBOX_MESSAGES and text.endswith(b"\r\n") and len(text) > last + 5:
                    return total
        return total

    def retrieve_each(self):
        """RETR one after the other, as most clients do."""
        for i in range(MAILBOX_MESSAGES):
            self.socket.sendall(b"RETR %d\r\n" % (i + 1))
            tail = b""
            while not tail.endswith(b"\r\n.\r\n"):
                piece = self.socket.recv(1 << 18)
                if not piece:
                    raise servers.BenchError("the POP3 server has closed")
                tail = piece if len(piece) >= 5 else tail + piece

    def close(self):
        self.say("QUIT")
        self.socket.close()


def _retrieve_loop(style, port, user, seconds, go, results):
    session = Pop3(port, user)
    size = session.retrieve_all()
    go.wait()
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        if style == "plain":
            session.retrieve_each()
        elif session.retrieve_all(size) != size:
            raise servers.BenchError("a mailbox has changed its size while it was read")
        count += MAILBOX_MESSAGES
    results.put((count, time.monotonic() - begin))
    session.close()


def _login_loop(port, user, seconds, go, results):
    go.wait()
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        Pop3(port, user).close()
        count += 1
    results.put((count, time.monotonic() - begin))


def _side_by_side(loop, port, clients, seconds):
    results, go = multiprocessing.Queue(), multiprocessing.Barrier(clients)
    workers = [multiprocessing.Process(target=loop, args=(port, user, seconds, go, results), daemon=True)
               for user in USERS[:clients]]
    for worker in workers:
        worker.start()
    total = 0.0
    for _ in workers:
        count, took = results.get(timeout=seconds + servers.PATIENCE_S)
        total += count / took
    for worker in workers:
        worker.join()
    return total


def retrieve(directory, make, clients, seconds, style="pipelined", size=4096):
    """Messages/s by RETR from mailboxes of 200, logins apart."""
    with make(os.path.join(directory, "server")) as server:
        lmtp, pop3 = ports(server)
        _fill(lmtp, MAILBOX_MESSAGES, 2, size)
        cpu_s, begin = server.cpu_s(), time.monotonic()
        rate = _side_by_side(functools.partial(_retrieve_loop, style), pop3, clients, seconds)
        cpu_s, took = server.cpu_s() - cpu_s, time.monotonic() - begin
        logins = _side_by_side(_login_loop, pop3, clients, 2)
        return {"rate": rate, "cpu_us": cpu_s * 1e6 / max(1, rate * took), "logins": logins}
