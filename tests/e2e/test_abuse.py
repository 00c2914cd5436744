"""Limits on what one client, or all of them together, may do.  Each is reached here, answered as the manual says, and goes away again."""

import socket
import time

from lib import Server, Smtp, Failed, b64, check, check_equal, make_message, new_address, turns_red, wait_until

CONTENT = make_message()[1]


def greeted(server, name="EHLO", **options):
    session = server.smtp(**options)
    session.command(f"{name} client.example", 250)
    return session


def gives_mail(server, **options):
    session = greeted(server, **options)
    session.message("barney@isp2.example", "sales@fredsco.example", CONTENT)
    session.quit()


# ---- connections ----


@turns_red("server-agrees-to-all", "mail-is-lost")
def test_one_address_cannot_take_all_connections():
    server = Server(settings={"limits": {"connections_per_address": 3}}).start()
    one, other = new_address(), new_address()
    held = [greeted(server, source=one) for _ in range(3)]
    surplus = server.smtp(greeting=False, source=one)
    surplus.expect(421, "4.7.0")
    check(surplus.at_end(), "the server closes")
    pop = socket.create_connection(server.services["pop3"], 10, (one, 0))
    check(pop.recv(200).startswith(b"-ERR [SYS/TEMP] "), "POP3 says it may be tried again")
    check_equal(pop.recv(1), b"", "the rest")
    implicit = socket.create_connection(server.services["pop3s"], 10, (one, 0))
    check_equal(implicit.recv(1), b"", "what is said before TLS")
    gives_mail(server, source=other)
    held[0].quit()
    wait_until(lambda: server.smtp(greeting=False, source=one).reply().code == 220, "room for another one")
    check_equal(len(server.wait_for_mail()), 1, "messages")


@turns_red("server-refuses-all")
def test_hosts_that_may_relay_are_not_counted_alone():
    server = Server(settings={"relay_from": ["127.0.0.0/8"], "limits": {"connections_per_address": 3}}).start()
    one = new_address()
    for session in [greeted(server, source=one) for _ in range(10)]:
        session.command("NOOP", 250)


@turns_red("server-agrees-to-all")
def test_a_connection_that_is_being_finished_still_counts():
    server = Server(settings={"limits": {"connections": 1}}).start()
    # It never reads: the server has said all it has to say, and waits for the end of the connection.
    peer = server.smtp()
    peer.send(b"QUIT\r\n")
    wait_until(lambda: "session-end" in server.log() or "smtp sessions: 0" in server.control("status")[1], "a session that ended")
    server.smtp(greeting=False).expect(421, "4.3.2")
    peer.close()
    wait_until(lambda: server.smtp(greeting=False).reply().code == 220, "room again")


# ---- commands ----


def until_421(session, command, most):
    """How many get their reply before 421 comes."""
    for count in range(most):
        if session.command(command).code == 421:
            return count
    raise Failed(f"{most} times {command} and no 421")


@turns_red("server-agrees-to-all")
def test_commands_without_a_message_and_refused_recipients_are_limited():
    server = Server(settings={"limits": {"idle_commands": 5, "refused_recipients": 3}}).start()
    for command in ("NOOP", "RSET", "VRFY sales", "HELP", "EHLO again.example"):
        session = greeted(server)
        for _ in range(3):
            check(session.command(command).code < 300, command)
        session.send(f"{command}\r\n")
        check(session.reply().code < 300, command)  # the fifth, with the EHLO
        session.expect(421, "4.7.0")
        check(session.at_end(), "the server closes")
    session = greeted(server)
    for _ in range(3):
        session.command("NOOP", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", CONTENT)
    for _ in range(4):
        session.command("NOOP", 250)
    session.quit()
    session = greeted(server)
    session.command("MAIL FROM:<a@b.example>", 250)
    for _ in range(3):
        session.command("RCPT TO:<nobody@fredsco.example>", 550)
    session.expect(421, "4.7.0")
    check(session.at_end(), "the server closes")


def takes_s(session, commands):
    """Seconds from these commands to the last reply."""
    session.sock.settimeout(60)
    began = time.monotonic()
    session.send(commands)
    for _ in range(commands.count(b"\r\n")):
        session.reply()
    return time.monotonic() - began


@turns_red("server-refuses-all")
def test_commands_are_answered_at_their_rate_and_not_refused():
    limits = {"idle_commands": 100000, "errors": 1000, "commands_per_second": 200}
    server = Server(settings={"limits": limits}).start()
    took = takes_s(greeted(server), b"RSET\r\n" * 1000)  # one second's worth is free
    check(1.5 < took < 20, f"1000 commands at 200/s took {took:.2f} s")
    session = greeted(server)
    check(takes_s(session, b"RSET\r\n" * 80) < 1, "less than a second's worth does not wait")
    check_equal(session.command("NOOP", 250).code, 250, "the reply")
    trusted = Server(settings={"limits": limits, "relay_from": ["127.0.0.0/8"]}, name="trusted").start()
    check(takes_s(greeted(trusted), b"RSET\r\n" * 1000) < 1, "who may relay does not wait")


@turns_red("server-agrees-to-all")
def test_pop3_commands_are_answered_at_their_rate():
    server = Server(settings={"limits": {"commands_per_second": 50}, "auth": {"plain_without_tls": True}}).start()
    pop = server.pop("pop3")
    pop.login("sales@fredsco.example", "secret")
    began = time.monotonic()
    pop.send(b"NOOP\r\n" * 150 + b"NONSENSE\r\n")
    for _ in range(150):
        pop.ok()
    took = time.monotonic() - began
    check(1.5 < took < 20, f"150 commands at 50/s took {took:.2f} s")
    check(not pop.answer()[0], "nonsense is an error")


# ---- before their time ----


@turns_red("server-agrees-to-all")
def test_an_early_talker_is_logged_or_refused():
    for policy in ("log", "refuse"):
        server = Server(settings={"limits": {"greeting_delay": "300ms", "early_talkers": policy}}, name=policy).start()
        early = server.smtp(greeting=False)
        early.send(b"EHLO early.example\r\n")
        if policy == "log":
            early.expect(220)
            early.expect(250)
            early.quit()
        else:
            early.expect(554)
            early.expect(503)
            early.command("MAIL FROM:<a@b.example>", 503)
            early.quit()
        check_equal(server.log().count("early-talker"), 1, "early talkers in the log")
        gives_mail(server)
        check_equal(server.log().count("early-talker"), 1, "a patient client is none")


@turns_red("server-agrees-to-all")
def test_what_is_there_before_a_greeting_without_delay_is_seen_too():
    server = Server(settings={"limits": {"early_talkers": "refuse"}}).start()
    server.process.send_signal(19)  # it accepts only after the client has spoken
    early = server.smtp(greeting=False)
    early.send(b"EHLO early.example\r\n")
    server.process.send_signal(18)
    early.expect(554)


@turns_red("server-refuses-all")
def test_who_may_relay_gets_its_greeting_at_once():
    settings = {"limits": {"greeting_delay": "20s", "early_talkers": "refuse"}, "relay_from": ["127.0.0.0/8"]}
    server = Server(settings=settings).start()
    began = time.monotonic()
    session = server.smtp(greeting=False)
    session.send(b"EHLO near.example\r\n")
    session.expect(220)
    session.expect(250)
    session.command("NOOP", 250)
    check(time.monotonic() - began < 10, "no delay")


GROUPS = {
    "behind EHLO": (b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n", (250, 503, 421)),
    "behind NOOP": (b"NOOP\r\nRSET\r\n", (250, 503, 421)),
    "behind VRFY": (b"VRFY x\r\nRSET\r\n", (252, 503, 421)),
    "behind DATA": (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<sales@fredsco.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n",
                    (250, 250, 354, 503, 421)),
}


@turns_red("server-agrees-to-all")
def test_groups_that_go_on_where_they_must_end_are_logged_or_refused():
    for policy in ("log", "refuse"):
        server = Server(settings={"limits": {"pipelining": policy}}, name=policy).start()
        for name, (commands, codes) in GROUPS.items():
            session = greeted(server)
            session.send(commands)
            for code in codes if policy == "refuse" else codes[:-2]:
                session.expect(code)
            if policy == "refuse":
                check(session.at_end(), f"the server closes: {name}")
            else:
                session.expect(250)
                session.quit()
        check_equal(server.log().count("pipelined-early"), len(GROUPS), "groups in the log")
        check_equal(len(server.mailbox()), 1 if policy == "log" else 0, "messages")
        # Groups as they should be.
        session = greeted(server)
        session.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<sales@fredsco.example>\r\nDATA\r\n")
        for code in (250, 250, 354):
            session.expect(code)
        session.send(b"Subject: x\r\n\r\nx\r\n.\r\nRSET\r\nMAIL FROM:<a@b.example>\r\n")
        for code in (250, 250, 250):
            session.expect(code)
        session.quit()
        check_equal(server.log().count("pipelined-early"), len(GROUPS), "good groups are none")


@turns_red("server-agrees-to-all")
def test_a_client_that_said_helo_has_to_wait_for_every_reply():
    server = Server(settings={"limits": {"pipelining": "refuse"}}).start()
    session = greeted(server, "HELO")
    session.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<sales@fredsco.example>\r\n")
    session.expect(503)
    session.expect(421)
    gives_mail(server)
    session = greeted(server, "HELO")
    session.message("barney@isp2.example", "sales@fredsco.example", CONTENT)
    session.quit()


@turns_red("server-agrees-to-all")
def test_nothing_behind_auth_or_starttls_is_run():
    server = Server(settings={"limits": {"pipelining": "refuse"}, "auth": {"plain_without_tls": True}}).start()
    session = greeted(server, service="submission")
    login = b64("\0sales@fredsco.example\0secret").encode()
    session.send(b"AUTH PLAIN " + login + b"\r\nMAIL FROM:<sales@fredsco.example>\r\n")
    session.expect(503)
    session.expect(421)
    check(session.at_end(), "the server closes")
    session = greeted(server)
    session.send(b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n")
    session.expect(220)
    session.expect(503)
    session.expect(421)


# ---- slow ones ----


def trickle(sock, data, every_s, until_s):
    """One byte at a time, until the peer closes; how long that took."""
    began = time.monotonic()
    sock.settimeout(every_s)
    said = b""
    while time.monotonic() - began < until_s:
        try:
            sock.sendall(data)
            more = sock.recv(4096)
            if not more:
                return time.monotonic() - began, said
            said += more
        except (socket.timeout, TimeoutError):
            pass
        except OSError:
            return time.monotonic() - began, said
    raise Failed(f"after {until_s} s of trickling the connection is still there; it said {said!r}")


@turns_red("output-is-silent")
def test_a_byte_now_and_then_keeps_no_command_alive():
    server = Server(settings={"timeouts": {"command": "600ms", "pop3": "600ms", "handshake": "600ms"}}).start()
    for service in ("smtp", "submission", "submissions", "pop3", "pop3s"):
        sock = socket.create_connection(server.services[service], 10)
        # Each byte comes well within the time-out.  The first of a TLS record announces a long one.
        first = b"\x16\x03\x01\x40\x00" if service.endswith("s") else b"X"
        sock.sendall(first)
        took, _ = trickle(sock, b"X", 0.1, 10)
        check(took > 0.4, f"{service} waits its time, {took:.2f} s")
    check(server.control("status")[1].find("smtp sessions: 0") >= 0, "no session is left")


@turns_red("output-is-silent")
def test_a_byte_now_and_then_gets_no_metrics():
    server = Server()
    server.config["metrics"] = f"{server.address}:9100"
    server.start()
    sock = socket.create_connection((server.address, 9100), 10)
    took, said = trickle(sock, b"G", 0.2, 15)
    check(3 < took and said == b"", f"closed after {took:.1f} s, it said {said!r}")
    check("smtp sessions: 0" in server.control("status")[1], "the server is there")


@turns_red("server-agrees-to-all")
def test_content_that_comes_too_slowly_is_told_421():
    server = Server(settings={"timeouts": {"data": "500ms"}, "limits": {"data_rate": 200}}).start()
    for begin in (b"DATA\r\n", b"BDAT 100000\r\n"):
        session = greeted(server)
        session.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<sales@fredsco.example>\r\n")
        session.expect(250)
        session.expect(250)
        session.send(begin)
        if begin.startswith(b"DATA"):
            session.expect(354)
        _, said = trickle(session.sock, b"x", 0.05, 10)  # 20 bytes/s
        session.unread = said
        session.expect(421, "4.4.2")
    # Ten times that is fast enough, however long it takes.
    session = greeted(server)
    session.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<sales@fredsco.example>\r\nDATA\r\n")
    for code in (250, 250, 354):
        session.expect(code)
    for _ in range(30):
        session.send(b"0123456789abcdef\r\n" * 2)
        check(session.silent_for(0.06), "nothing is said against it")
    session.send(b".\r\n")
    session.expect(250)
    check_equal(len(server.mailbox()), 1, "messages")


def fill(sock, data):
    """Sends until the server takes no more."""
    sock.settimeout(0.5)
    try:
        while True:
            sock.sendall(data)
    except (socket.timeout, TimeoutError):
        pass
    except OSError:
        pass  # it is gone already


@turns_red("output-is-silent")
def test_who_never_reads_its_replies_is_let_go():
    settings = {"timeouts": {"command": "800ms", "pop3": "800ms"}, "auth": {"plain_without_tls": True},
                "limits": {"idle_commands": 1000000, "commands_per_second": 0}}
    server = Server(settings=settings).start()
    smtp = greeted(server)
    fill(smtp.sock, b"EHLO a.example\r\n" * 2000)
    pop = server.pop("pop3")
    pop.login("sales@fredsco.example", "secret")
    fill(pop.sock, b"CAPA\r\n" * 5000)
    wait_until(lambda: "smtp sessions: 0\npop3 sessions: 0" in server.control("status")[1], "no sessions")
    check_equal(server.log().count(' unread='), 2, "sessions that ended for it")


# ---- passwords ----


@turns_red("server-agrees-to-all")
def test_guessing_in_parallel_is_as_slow_as_one_after_the_other():
    server = Server(settings={"auth": {"plain_without_tls": True, "failure_delay": "200ms"}}).start()
    one, other = new_address(), new_address()
    wrong, right = b64("\0sales@fredsco.example\0wrong"), b64("\0sales@fredsco.example\0secret")

    def began(source, login):
        session = greeted(server, service="submission", source=source)
        session.send(f"AUTH PLAIN {login}\r\n")
        return session

    start = time.monotonic()
    guesses = [began(one, wrong) for _ in range(4)]
    victim = began(other, right)
    victim.expect(235)
    check(time.monotonic() - start < 1.5, "another address does not wait")
    for guess in guesses:
        guess.expect(535)
    took = time.monotonic() - start
    check(took > 1.55, f"the fourth refusal comes after 8 times the delay, it came after {took:.2f} s")
    late = began(one, wrong)
    check(late.silent_for(1.5), "the fifth waits longer, on whichever connection")


# ---- memory ----


@turns_red("server-agrees-to-all", "mail-is-lost")
def test_sessions_that_hold_most_make_room_for_others():
    server = Server(settings={"limits": {"buffers": "4MiB"}}).start()
    hogs = []
    for _ in range(40):
        hog = greeted(server)
        hog.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<sales@fredsco.example>\r\nDATA\r\n" )
        for code in (250, 250, 354):
            hog.expect(code)
        hog.send((b"x" * 78 + b"\r\n") * 2500)  # 200 kB, all of it held
        hogs.append(hog)
    gives_mail(server)
    wait_until(lambda: "session-ended-for-memory" in server.log(), "sessions that were ended")
    refused = 0
    for hog in hogs:
        try:
            hog.send(b".\r\n")
            hog.expect(250)
        except (Failed, OSError):
            refused += 1
    check(15 <= refused <= 38, f"{refused} of 40 were ended, the others got their 250")
    check_equal(len(server.wait_for_mail(count=41 - refused)), 41 - refused, "messages")
