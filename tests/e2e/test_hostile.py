"""Peers that mean harm, or are merely broken: whoever they are, the server stays up, bounded, and keeps its promise to everybody else."""

import contextlib
import os
import resource
import socket
import struct
import threading

from lib import NextHop, Server, check, check_equal, make_message, turns_red, wait_until
from test_relay import BARNEY, sender, submit
from test_watch import numbers, watched


def fill_mailbox(server, megabytes, user="sales"):
    _, content = make_message(body=(b"x" * 76 + b"\r\n") * (megabytes * 1024 * 1024 // 78))
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message(BARNEY, server.login(user), content)
    session.quit()
    server.wait_for_mail(user)


@turns_red("next-hop-is-deaf")
def test_a_destination_without_connections_left_for_it_gets_one_when_another_is_done():
    one, two = NextHop(), NextHop()
    server, _ = sender(
        outbound={"connections": 1, "idle": "1h", "tls": "none",
                  "routes": {"one.example": f"{one.address}:2525", "two.example": f"{two.address}:2525"}},
        retry={"first": "1h", "max": "1h", "expire": "1d"})
    session = server.submit_session("barney")
    for domain in ("one.example", "two.example"):
        session.message(BARNEY, f"fred@{domain}", make_message()[1])
    one.wait_for(1)
    two.wait_for(1)
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("mail-is-lost")
def test_all_that_waits_for_a_domain_comes_back_when_the_domain_is_gone():
    server, dns = sender(retry={"first": "300ms", "max": "300ms", "expire": "1h"})
    dns.failing.add("gone.example")
    for _ in range(4):
        submit(server, "fred@gone.example")
    wait_until(lambda: server.log().count("destination-down") >= 2, "a destination that is down")
    dns.failing.clear()
    check_equal(len(server.wait_for_mail("barney", 4)), 4, "notifications")
    wait_until(server.queue_is_empty, "an empty queue")


def wait_until_stuck(server):
    """Until it can write no more: it holds as much output as it may (POP3_OUTPUT_BYTES_MAX)."""
    wait_until(lambda: numbers(server)["client_buffer_bytes"] > 256 * 1024, "output that nobody reads")


def may_open(server):
    pop = server.pop()
    pop.command("USER sales@fredsco.example")
    pop.send("PASS secret\r\n")
    opened = pop.answer()[0]
    pop.command("QUIT")
    pop.close()
    return opened


@turns_red("mail-is-lost")
def test_a_client_that_resets_in_mid_retrieval_leaves_the_mailbox_at_once():
    server = watched()
    fill_mailbox(server, 20)
    for service in ("pop3s", "pop3s", "pop3"):
        pop = server.pop(service)
        if service == "pop3":
            pop.start_tls()
        pop.login("sales@fredsco.example", "secret")
        pop.send("RETR 1\r\n")
        pop.ok()
        wait_until_stuck(server)
        pop.reset()
        wait_until(lambda: may_open(server), "a mailbox that is free", 5)


@turns_red("server-agrees-to-all")
def test_pipelined_pop3_commands_behind_a_slow_retrieval_are_all_answered():
    server = watched(settings={"auth": {"plain_without_tls": True}})
    fill_mailbox(server, 4)
    for service in ("pop3", "pop3s"):
        pop = server.pop(service)
        pop.login("sales@fredsco.example", "secret")
        # One write in a thread of its own, for it ends only when the server has read on.
        writer = threading.Thread(target=pop.send, args=(b"RETR 1\r\n" * 3 + b"NOOP\r\n" * 14000 + b"NONSENSE\r\nSTAT\r\n",), daemon=True)
        writer.start()
        wait_until_stuck(server)
        for _ in range(3):
            pop.ok()
            pop.lines()
        for _ in range(14000):
            pop.ok()
        check(not pop.answer()[0], "the answer to nonsense comes in its turn")
        check(pop.ok().startswith("+OK 1 "), "STAT is answered")
        pop.command("QUIT")


class BadTls:
    """Offers STARTTLS and breaks every handshake; behind it plain SMTP works."""

    def __init__(self):
        self.handshakes = 0
        self.hop = NextHop(self.script, extensions=("STARTTLS", "PIPELINING"))

    def script(self, verb, _argument, _session):
        if verb == "STARTTLS":
            self.handshakes += 1
            return "220 go ahead\r\nthis is no TLS"
        return None


@turns_red("next-hop-is-deaf")
def test_a_broken_handshake_falls_back_when_it_may():
    bad = BadTls()
    server, _ = sender(outbound={"tls": "may", "routes": {"far.example": f"{bad.hop.address}:2525"}})
    submit(server, "fred@far.example")
    bad.hop.wait_for(1)
    check(bad.handshakes > 0, "TLS was tried")


@turns_red("mail-is-lost")
def test_a_broken_handshake_sends_nothing_when_tls_is_required():
    bad = BadTls()
    server, _ = sender(outbound={"tls": "require", "routes": {"far.example": f"{bad.hop.address}:2525"}},
                       retry={"first": "200ms", "max": "200ms", "expire": "2s"})
    submit(server, "fred@far.example")
    check_equal(len(server.wait_for_mail("barney", 1)), 1, "notifications")
    check_equal(bad.hop.messages, [], "messages in the clear")
    check(not any(verb == "MAIL" for verb, _ in bad.hop.dialogue), "not even the sender went out in the clear")
    check(bad.handshakes > 1, "it was tried again")


@turns_red("mail-is-doubled", "server-dies-badly")
def test_out_of_descriptors_it_stays_up_and_serves_again():
    server = Server().start()
    used = len(os.listdir(f"/proc/{server.pid()}/fd"))
    resource.prlimit(server.pid(), resource.RLIMIT_NOFILE, (used + 12, used + 12))
    held = [socket.create_connection(server.services["smtp"]) for _ in range(60)]
    wait_until(lambda: len(os.listdir(f"/proc/{server.pid()}/fd")) >= used + 12, "all descriptors in use")
    for sock in held:
        sock.close()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message(BARNEY, "sales@fredsco.example", make_message()[1])
    session.quit()
    check_equal(len(server.wait_for_mail()), 1, "messages")
    check_equal(server.stop(), 0, "exit status")


@turns_red("mail-is-lost")
def test_mail_for_an_account_that_goes_meanwhile_comes_back():
    server = Server(users={"sales": "secret", "bob": "pw"}).start()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<bob@fredsco.example>", 250)
    session.command("RCPT TO:<sales@fredsco.example>", 250)
    status, _, _ = server.control("account", "remove", "sales@fredsco.example")
    check_equal(status, 0, "exit status of account remove")
    session.command("DATA", 354)
    session.send(make_message()[1] + b".\r\n")
    session.expect(250)
    check_equal(len(server.wait_for_mail("bob")), 1, "notifications")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("mail-is-lost")
def test_what_a_next_hop_says_stays_one_line_of_text():
    def script(verb, _argument, _session):
        return "550 5.1.1 no\x1b[31m\x00\tfake\x7f \u00e4\u2028 level=error" if verb == "RCPT" else None

    hop = NextHop(script)
    server, _ = sender(outbound={"tls": "none", "routes": {"far.example": f"{hop.address}:2525"}})
    submit(server, "fred@far.example")
    (dsn,) = server.wait_for_mail("barney")
    check(all(byte in b"\r\n\t" or 32 <= byte < 127 for byte in dsn), "the notification is printable ASCII")
    with open(server.log_path, "rb") as file:
        log = file.read()
    check(b"\x1b" not in log and b"\x00" not in log, "no control character reaches the log")


@turns_red("server-dies-badly", "output-is-silent")
def test_a_reset_at_every_stage_of_a_session_costs_nobody_else_anything():
    server = Server(settings={"auth": {"plain_without_tls": True}}).start()
    stages = {
        "smtp": [b"EHLO a.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<sales@fredsco.example>\r\n", b"DATA\r\n",
                 b"x" * 300000 + b"\r\n", b".\r\n", b"STARTTLS\r\n", b"\x16\x03\x01"],
        "submission": [b"EHLO a.example\r\n", b"AUTH SCRAM-SHA-256\r\n", b"biwsbj1zYWxlcyxyPWFiYw==\r\n", b"*\r\n", b"AUTH LOGIN\r\n",
                       b"c2FsZXM=\r\n", b"c2VjcmV0\r\n"],
        "pop3": [b"CAPA\r\n", b"AUTH PLAIN\r\n", b"AHNhbGVzAHNlY3JldA==\r\n", b"LIST\r\n", b"QUIT\r\n"],
        "submissions": [b"\x16\x03\x01\x02\x00\x01\x00", b"EHLO"],
        "pop3s": [b"CAPA\r\n", b"CAPA\r\n"],
    }
    for service, lines in stages.items():
        for count in range(len(lines) + 1):
            for pipelined in (False, True):
                for ending in ("reset", "close", "half-close"):
                    peer = socket.create_connection(server.services[service], 5)
                    for part in [b"".join(lines[:count])] if pipelined else lines[:count]:
                        peer.sendall(part)
                    if ending == "reset":
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    elif ending == "half-close":
                        # The server may have left already.
                        with contextlib.suppress(OSError):
                            peer.shutdown(socket.SHUT_WR)
                            while peer.recv(65536):
                                pass
                    peer.close()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message(BARNEY, "sales@fredsco.example", make_message()[1])
    session.quit()
    wait_until(lambda: "smtp sessions: 0\npop3 sessions: 0" in server.control("status")[1], "all sessions gone")
    check_equal(server.stop(), 0, "exit status")
