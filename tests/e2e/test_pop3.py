"""POP3 (RFC 1939 with CAPA, STLS, AUTH): every command, locks, exact sizes, UIDLs."""

import poplib
import re
import ssl

from lib import Failed, Server, b64, check, check_equal, make_message, slow, turns_red, wait_until

USER, PASSWORD = "sales@fredsco.example", "secret"
BODIES = (b"one\r\n", b".\r\n..\r\nleading dots\r\n", b"no end of line problem\r\n" * 50, b"")


def with_mail(count=4, **settings):
    server = Server(settings={"auth": {"failure_delay": 0}, **settings}).start()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    for number in range(count):
        _, content = make_message(subject=f"number{number + 1}", body=BODIES[number % len(BODIES)])
        session.message("barney@isp2.example", USER, content)
    session.quit()
    wait_until(server.queue_is_empty, "delivery")
    return server


def opened(server):
    pop = server.pop()
    pop.login(USER, PASSWORD)
    return pop


@turns_red("server-agrees-to-all")
def test_the_whole_command_set_in_transaction_state():
    server = with_mail()
    pop = opened(server)
    count, octets = pop.stat()
    check_equal(count, 4, "messages in STAT")
    sizes = [int(line.split()[1]) for line in pop.multi("LIST")]
    check_equal(sum(sizes), octets, "octets in STAT and LIST")
    for number in range(1, 5):
        check_equal(int(pop.command(f"LIST {number}").split()[2]), sizes[number - 1], f"LIST {number}")
        check_equal(len(pop.retrieve(number)), sizes[number - 1], f"octets of message {number} as sent")
    pop.command("NOOP")
    pop.command("DELE 2")
    pop.refused("DELE 2")
    pop.refused("RETR 2")
    pop.refused("LIST 2")
    pop.refused("TOP 2 0")
    pop.refused("UIDL 2")
    check_equal(pop.stat()[0], 3, "messages after DELE")
    check_equal([int(line.split()[0]) for line in pop.multi("LIST")], [1, 3, 4], "numbers do not move")
    pop.command("RSET")
    check_equal(pop.stat(), (4, octets), "STAT after RSET")
    for bad in ("RETR", "RETR 0", "RETR 5", "RETR x", "RETR -1", "RETR 99999999999999999999", "DELE", "LIST 9", "TOP 1", "TOP 1 -1",
                "TOP 1 x", "FOO", "", "USER sales", "PASS x", "UIDL 7", "STLS"):
        pop.refused(bad)


@turns_red("server-agrees-to-all")
def test_only_quit_deletes():
    server = with_mail()
    pop = opened(server)
    pop.command("DELE 1")
    pop.close()  # lost connection: nothing goes
    again = reopened(server)
    check_equal(again.stat()[0], 4, "messages after a lost connection")
    again.command("DELE 1")
    again.command("DELE 3")
    again.command("QUIT")
    check(again.at_end(), "closed after QUIT")
    last = reopened(server)
    check_equal(last.stat()[0], 2, "messages after QUIT")
    check(b"number2" in last.retrieve(1) and b"number4" in last.retrieve(2), "the right ones are left")
    last.refused("RETR 3")


def reopened(server):
    """The lock of a session that has just ended may take a moment to go."""
    found = []

    def try_it():
        pop = server.pop()
        try:
            pop.login(USER, PASSWORD)
        except Failed:
            pop.close()
            return False
        found.append(pop)
        return True

    wait_until(try_it, "the mailbox to be free")
    return found[0]


@turns_red("server-agrees-to-all")
def test_a_mailbox_is_open_once():
    server = with_mail(1)
    pop = opened(server)
    other = server.pop()
    other.command(f"USER {USER}")
    answer = other.refused(f"PASS {PASSWORD}")
    check("[IN-USE]" in answer, f"the refusal says why: {answer}")
    pop.command("QUIT")
    check_equal(reopened(server).stat()[0], 1, "messages after the lock is gone")


@turns_red("store-is-forgotten")
def test_uidls_are_unique_stable_and_never_reused():
    server = with_mail()
    pop = opened(server)
    first = [line.split()[1] for line in pop.multi("UIDL")]
    check_equal(len(set(first)), 4, "different UIDLs")
    for uidl in first:
        check(re.fullmatch(rb"[\x21-\x7e]{1,70}", uidl), f"form of {uidl!r}")
    check_equal(pop.command("UIDL 3").split()[2].encode(), first[2], "UIDL 3")
    pop.command("DELE 4")
    pop.command("QUIT")
    check_equal(server.stop(), 0, "exit status")
    server.start()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", USER, make_message()[1])
    server.wait_for_mail(count=4)
    second = [line.split()[1] for line in reopened(server).multi("UIDL")]
    check_equal(second[:3], first[:3], "UIDLs after deletion and restart")
    check(second[3] not in first, "a new message has a new UIDL")


@turns_red("mail-is-altered")
def test_top_shows_header_and_as_many_lines():
    server = with_mail()
    whole = [m.split(b"\r\n") for m in server.mailbox()]
    pop = reopened(server)
    for number, lines in enumerate(whole, 1):
        blank = lines.index(b"")
        for wanted in (0, 1, 2, 1000000):
            got = pop.multi(f"TOP {number} {wanted}")
            check_equal(got, (lines[:blank + 1] + lines[blank + 1:-1][:wanted]), f"TOP {number} {wanted}")


@turns_red("server-agrees-to-all")
def test_logins_are_refused_without_tls_and_with_bad_passwords():
    server = with_mail(1)
    clear = server.pop("pop3")
    clear.refused(f"USER {USER}")
    clear.command("CAPA")
    capabilities = {line.split()[0] for line in clear.lines()}
    check(b"STLS" in capabilities and b"USER" not in capabilities, f"CAPA in clear: {capabilities}")
    clear.start_tls()
    capabilities = {line.split()[0] for line in clear.multi("CAPA")}
    check({b"USER", b"TOP", b"UIDL", b"SASL", b"RESP-CODES"} <= capabilities, f"CAPA under TLS: {capabilities}")
    check(b"STLS" not in capabilities, f"no STLS inside TLS: {capabilities}")
    for before_login in ("STAT", "LIST", "RETR 1", "DELE 1", "TOP 1 0", "UIDL", "RSET"):
        clear.refused(before_login)
    clear.command(f"USER {USER}")
    clear.refused("PASS wrong")
    clear.login(USER, PASSWORD)
    check_equal(clear.stat()[0], 1, "messages")


@turns_red("server-agrees-to-all")
def test_capabilities_are_what_was_configured_and_are_kept_to():
    server = with_mail(1, pop3={"login_delay": "2s", "expire_days": 30})
    pop = server.pop()
    capabilities = pop.multi("CAPA")
    for line in (b"UTF8 USER", b"LANG", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"EXPIRE 30", b"LOGIN-DELAY 2"):
        check(line in capabilities, f"{line} in {capabilities}")
    check(any(line.startswith(b"IMPLEMENTATION ") for line in capabilities), "IMPLEMENTATION")
    pop.login(USER, PASSWORD)
    check_equal(pop.multi("CAPA"), capabilities, "CAPA after login")
    pop.command("QUIT")
    again = server.pop()
    again.command(f"USER {USER}")
    answer = again.refused(f"PASS {PASSWORD}")
    check("[LOGIN-DELAY]" in answer, f"the refusal says why: {answer}")

    def let_in():
        again.command(f"USER {USER}")
        again.send(f"PASS {PASSWORD}\r\n")
        return again.answer()[0]

    wait_until(let_in, "the end of the delay", 10)


@turns_red("server-agrees-to-all")
def test_languages_are_listed_and_chosen():
    pop = with_mail(0).pop()
    check(b"en English" in pop.multi("LANG"), "English")
    check(pop.command("LANG *").startswith("+OK en "), "the preferred one")
    check(pop.command("LANG EN").startswith("+OK en "), "by name")
    pop.refused("LANG MUL")
    pop.login(USER, PASSWORD)
    check(pop.command("LANG en").startswith("+OK en "), "in TRANSACTION")


@turns_red("server-agrees-to-all")
def test_a_header_in_utf8_is_for_clients_that_said_so():
    server = with_mail(1)
    session = server.smtp()
    session.command("EHLO client.example", 250)
    content = "Subject: Käse\r\n\r\nKäse\r\n".encode()
    session.message("barney@isp2.example", USER, content)
    wait_until(server.queue_is_empty, "delivery")
    pop = opened(server)
    for command in ("RETR 2", "TOP 2 0"):
        answer = pop.refused(command)
        check("[UTF8]" in answer, f"the refusal says why: {answer}")
    check(pop.retrieve(1), "the other message")
    pop.refused("UTF8")
    pop.command("QUIT")
    pop = server.pop()
    pop.command("UTF8")
    pop.login(USER, PASSWORD)
    check(pop.retrieve(2).endswith(content), "the message as it is")
    clear = server.pop("pop3")
    clear.command("UTF8")
    clear.refused("STLS")


@turns_red("server-agrees-to-all")
def test_commands_pipelined_behind_stls_are_thrown_away():
    server = with_mail(0)
    pop = server.pop("pop3")
    pop.send(b"STLS\r\nCAPA\r\n")
    pop.ok()
    check_equal(pop.unread, b"", "answers in clear behind +OK")
    pop.wrap()
    check(pop.silent_for(0.3), "no answer to what came before the handshake")
    pop.refused("STAT")


@turns_red("server-agrees-to-all")
def test_auth_plain_logs_in_and_bad_exchanges_do_not():
    server = with_mail(1)
    pop = server.pop()
    pop.refused("AUTH NONSENSE")
    pop.refused("AUTH PLAIN " + b64(f"\0{USER}\0wrong"))
    pop.send("AUTH PLAIN\r\n")
    check(pop.line().startswith(b"+ "), "a challenge")
    pop.send("*\r\n")
    check(not pop.answer()[0], "a cancelled exchange is refused")
    pop.command("AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}"))
    check_equal(pop.stat()[0], 1, "messages")


@turns_red("server-refuses-all")
def test_pipelined_commands_are_answered_in_order():
    server = with_mail(2)
    pop = server.pop()
    pop.send(f"USER {USER}\r\nPASS {PASSWORD}\r\nSTAT\r\nLIST\r\nNOOP\r\nUIDL 1\r\nQUIT\r\n")
    pop.ok()
    pop.ok()
    check(pop.ok().startswith("+OK 2 "), "STAT")
    pop.ok()
    check_equal(len(pop.lines()), 2, "lines of LIST")
    pop.ok()
    check(pop.ok().startswith("+OK 1 "), "UIDL")
    pop.ok()
    check(pop.at_end(), "closed after QUIT")


@turns_red("server-agrees-to-all")
def test_long_lines_and_garbage_are_refused():
    server = with_mail(1)
    pop = server.pop()
    pop.refused("x" * 300)
    pop.refused("USER " + "x" * 100000)
    pop.send(b"NOOP\nNOOP\r\n")
    check(not pop.answer()[0], "a bare LF is no line end")
    pop.login(USER, PASSWORD)
    check_equal(pop.stat()[0], 1, "messages")


@turns_red("server-refuses-all", "mail-is-lost")
@slow
def test_mail_that_comes_during_a_session_is_seen_in_the_next():
    server = with_mail(1)
    pop = reopened(server)
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", USER, make_message()[1])
    wait_until(server.queue_is_empty, "delivery")
    check_equal(pop.stat()[0], 1, "messages in the open session")
    pop.command("QUIT")
    check_equal(len(server.wait_for_mail(count=2)), 2, "messages in the next")


@turns_red("server-refuses-all")
def test_pythons_own_client_fetches():
    server = with_mail(2)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, port = server.services["pop3s"]
    client = poplib.POP3_SSL(host, port, timeout=30, context=context)
    client.user(USER)
    client.pass_(PASSWORD)
    count, octets = client.stat()
    lengths = []
    for number in range(1, count + 1):
        _, lines, _ = client.retr(number)
        lengths.append(sum(len(line) + 2 for line in lines))
    check_equal((count, sum(lengths)), (2, octets), "messages and octets")
    client.quit()
