"""What the receiving side does with chunks, binary content and wishes for notifications (RFC 3030, 3461)."""

import email
import random

from lib import Dns, NextHop, Server, check, check_equal, make_message, stuff, turns_red, wait_until
from test_relay_content import ChunkHop, leaves

BARNEY = "barney@isp2.example"
BINARY = b"a\nb\r\0\xff\r\n.\r\n" + bytes(range(256)) * 20 + b"the end, without CRLF"


def greeted(server, service="smtp"):
    session = server.smtp(service)
    session.command("EHLO client.example", 250)
    return session


def sender(**settings):
    dns = Dns()
    server = Server("isp2.example", {"barney": "rubble"}, {"dns": {"forwarder": dns.forwarder}, **settings}, "isp2").start()
    return server, dns


def cut(content, seed):
    """Chunks of uneven sizes, empty ones among them."""
    sizes = random.Random(seed)
    while content:
        n = sizes.choice((0, 1, 2, 77, 1000, 40000))
        yield content[:n]
        content = content[n:]


def bdat(chunks):
    return b"".join(b"BDAT %d\r\n%s" % (len(chunk), chunk) for chunk in chunks) + b"BDAT 0 LAST\r\n"


@turns_red("server-refuses-all", "mail-is-lost", "mail-is-altered")
def test_chunks_become_one_message_intact():
    server = Server().start()
    session = greeted(server)
    contents = []
    for size in (0, 10, 5000, 400000):
        _, content = make_message(body=b"..two\r\n.\r\n.one\r\n" + b"x" * size + b"\r\n")
        contents.append(content)
        chunks = list(cut(content, size))
        session.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<sales@fredsco.example>\r\n" + bdat(chunks))
        for _ in range(len(chunks) + 2):
            session.expect(250)
        session.expect(250)
    session.quit()
    got = server.wait_for_mail(count=len(contents))
    check_equal(len(got), len(contents), "messages")
    for raw, content in zip(got, contents):
        check(raw.endswith(content), "content is intact, dots and all")


@turns_red("server-agrees-to-all")
def test_time_runs_out_inside_a_chunk():
    server = Server(settings={"timeouts": {"data": "300ms"}}).start()
    session = greeted(server)
    session.command("MAIL FROM:<a@b.example>", 250)
    session.command("RCPT TO:<sales@fredsco.example>", 250)
    session.send(b"BDAT 100 LAST\r\nabc")
    session.expect(421, "4.4.2")
    check(session.at_end(), "the server closes")
    check_equal(server.mailbox(), [], "messages")


@turns_red("server-agrees-to-all", "server-refuses-all")
def test_a_shutdown_lets_a_chunk_end_and_nothing_behind_it():
    for last in (True, False):
        server = Server().start()
        session = greeted(server)
        session.command("MAIL FROM:<a@b.example>", 250)
        session.command("RCPT TO:<sales@fredsco.example>", 250)
        session.send(b"BDAT 6%s\r\nabc" % (b" LAST" if last else b""))
        idle = greeted(server)
        server.process.send_signal(15)
        idle.expect(421, "4.3.2")
        session.send(b"d\r\n")
        session.expect(250)
        session.expect(421, "4.3.2")
        check_equal(server.wait(), 0, "exit status")


@turns_red("mail-is-lost", "mail-is-altered")
def test_binary_content_decodes_to_the_same_wherever_it_goes():
    class BinaryHop(ChunkHop):
        extensions_announced = ("PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME")

    new, old = BinaryHop(), NextHop(extensions=("PIPELINING",))
    server, dns = sender(limits={"message_size": "8MiB"})
    dns.add_host("new.example", new.address)
    dns.add_host("old.example", old.address)
    contents = []
    for size in (1, 300):  # one that is kept in memory, one that is read from the store
        _, head = make_message(sender=BARNEY, body=b"")
        head = head.removesuffix(b"\r\n") + b"MIME-Version: 1.0\r\nContent-Type: image/x-test\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        contents.append(head + BINARY * size)
    session = server.submit_session("barney")
    for content in contents:
        session.command(f"MAIL FROM:<{BARNEY}> BODY=BINARYMIME", 250)
        for recipient in (BARNEY, "fred@new.example", "fred@old.example"):
            session.command(f"RCPT TO:<{recipient}>", 250)
        session.send(bdat(cut(content, 1)))
        for _ in cut(content, 1):
            session.expect(250)
        session.expect(250)
    session.quit()
    got = server.wait_for_mail("barney", 2)
    wait_until(lambda: len(new.messages) == 2, "the other hosts' mail")
    old.wait_for(2)
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(server.mailbox("barney")), 2, "messages in the mailbox")
    for content in contents:
        check_equal(sum(m["content"].endswith(content) for m in new.messages), 1, "messages that go on as they are")
        wanted = [("image/x-test", content.partition(b"\r\n\r\n")[2])]
        check_equal(sum(leaves(raw) == wanted for raw in got), 1, "messages in the mailbox that decode to it")
        check_equal(sum(leaves(m["content"]) == wanted for m in old.messages), 1, "messages at the old host that decode to it")
    check(all(raw.isascii() for raw in got), "nothing that POP3 cannot hand out")


@turns_red("mail-is-lost")
def test_binary_content_that_no_mailbox_can_hold_comes_back():
    server, _ = sender()
    session = server.submit_session("barney")
    session.command(f"MAIL FROM:<{BARNEY}> BODY=BINARYMIME", 250)
    session.command(f"RCPT TO:<{BARNEY}>", 250)
    session.send(bdat([b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\nno boundary\0\r\n"]))
    session.expect(250)
    session.expect(250)
    parsed = email.message_from_bytes(server.wait_for_mail("barney")[0])
    check_equal(parsed.get_payload()[1].get_payload()[1]["Status"], "5.6.3", "Status")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("mail-is-lost")
def test_who_is_told_of_a_failure_and_with_how_much():
    hop = NextHop(lambda verb, argument, session: "550 5.1.1 no such user" if verb == "RCPT" else None)
    server, dns = sender()
    dns.add_host("far.example", hop.address)
    session = server.submit_session("barney")
    for ret in ("HDRS", "FULL"):
        session.command(f"MAIL FROM:<{BARNEY}> RET={ret} ENVID=Q+2B{ret}", 250)
        session.command("RCPT TO:<never@far.example> NOTIFY=NEVER", 250)
        session.command("RCPT TO:<told@far.example> NOTIFY=FAILURE ORCPT=rfc822;first+40far.example", 250)
        _, content = make_message(sender=BARNEY, body=b"the body of it\r\n")
        session.send(bdat([content]))
        session.expect(250)
        session.expect(250)
    session.command(f"MAIL FROM:<{BARNEY}>", 250)
    session.command("RCPT TO:<never@far.example> NOTIFY=NEVER", 250)
    session.send(bdat([content]))
    session.expect(250)
    session.expect(250)
    server.wait_for_mail("barney", 2)
    wait_until(server.queue_is_empty, "an empty queue")
    told = server.mailbox("barney")
    check_equal(len(told), 2, "notifications")
    for raw in told:
        _, status, returned = email.message_from_bytes(raw).get_payload()
        groups = status.get_payload()
        ret = groups[0]["Original-Envelope-Id"].removeprefix("Q+")
        check_equal([g["Original-Recipient"] for g in groups[1:]], ["rfc822;first@far.example"], "who is named")
        check_equal(returned.get_content_type(), {"HDRS": "text/rfc822-headers", "FULL": "message/rfc822"}[ret], "what is returned")
        check_equal("the body of it" in raw.decode(), ret == "FULL", "the body is returned")


# ---- LMTP (RFC 2033) ----------------------------------------------------------------------


def with_lmtp(**settings):
    server = Server(users={"sales": "secret", "bob": "pw"}, settings=settings)
    server.config["listen"]["lmtp"] = f"{server.address}:2424"
    return server.start()


def lhlo(server):
    session = server.smtp("lmtp")
    session.command("LHLO client.example", 250)
    return session


@turns_red("mail-is-lost", "mail-is-doubled", "mail-is-altered", "server-refuses-all")
def test_lmtp_answers_when_the_mail_is_in_its_mailbox():
    server = with_lmtp()
    session = lhlo(server)
    for number, size in enumerate((10, 600000), 1):
        _, content = make_message(body=b".one\r\n" + b"x" * size + b"\r\n")
        session.command("MAIL FROM:<a@b.example>", 250)
        session.command("RCPT TO:<sales@fredsco.example>", 250)
        session.command("RCPT TO:<nobody@fredsco.example>", 550)
        session.command("RCPT TO:<bob@fredsco.example>", 250)
        session.command("RCPT TO:<sales@fredsco.example>", 250)
        session.command("DATA", 354)
        session.send(stuff(content) + b".\r\n")
        for _ in range(3):
            session.expect(250)
        for user in ("sales", "bob"):  # at once
            got = server.mailbox(user)
            check_equal(len(got), number, "messages in a mailbox")
            check(got[-1].endswith(content), "content is intact")
            check(b" with LMTP" in got[-1] and got[-1].startswith(b"Return-Path: <a@b.example>\r\n"), "the trace fields")
    check(server.queue_is_empty(), "nothing was queued")
    session.quit()
    server.process.kill()
    server.process.wait()
    server.start()
    check_equal(len(server.mailbox("bob")), 2, "messages after a crash")


@turns_red("server-agrees-to-all")
def test_lmtp_is_no_smtp_and_no_relay():
    server = with_lmtp(relay_from=["127.0.0.0/8"])
    session = server.smtp("lmtp")
    session.command("EHLO client.example", 500)
    session.command("HELO client.example", 500)
    session.command("LHLO client.example", 250)
    session.command("MAIL FROM:<a@b.example>", 250)
    session.command("RCPT TO:<fred@far.example>", 550)
    session.command("DATA", 503)
    session.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    check_equal(session.reply().lines[0], "2.0.0 ok", "no reply to BDAT LAST without recipients")
    session.quit()
    session = greeted(server)
    session.command("LHLO client.example", 500)


@turns_red("mail-is-lost", "next-hop-is-deaf")
def test_lmtp_and_those_whose_mail_goes_on():
    hop = NextHop()
    server = with_lmtp(aliases={"all@fredsco.example": ["sales@fredsco.example", "fred@far.example"]},
                       outbound={"tls": "none", "routes": {"far.example": f"{hop.address}:2525"}})
    session = lhlo(server)
    _, content = make_message()
    session.command("MAIL FROM:<bob@fredsco.example>", 250)
    session.command("RCPT TO:<all@fredsco.example> NOTIFY=SUCCESS,FAILURE", 250)
    session.send(b"BDAT %d LAST\r\n%s" % (len(content), content))
    session.expect(250)
    check_equal(len(server.mailbox("sales")), 1, "messages in the mailbox, at once")
    check_equal(hop.wait_for(1)[0]["to"], ["fred@far.example"], "who gets it elsewhere")
    check(server.wait_for_mail("bob")[0], "the sender hears of it")
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(server.mailbox("sales")), 1, "messages in the mailbox")
