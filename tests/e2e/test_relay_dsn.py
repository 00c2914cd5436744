"""Who is told what became of a message, and when (RFC 3461, 3464)."""

import email

from lib import Dns, NextHop, Server, check, check_equal, make_message, new_address, turns_red, wait_until

BARNEY = "barney@isp2.example"


def sender(users=None, **settings):
    dns = Dns()
    server = Server("isp2.example", users or {"barney": "rubble"}, {"dns": {"forwarder": dns.forwarder}, **settings}, "isp2").start()
    return server, dns


def submit(server, recipients, mail_from=BARNEY):
    _, content = make_message(sender=BARNEY)
    session = server.submit_session("barney")
    session.message(mail_from, recipients, content)
    session.quit()
    return content


def status_groups(raw):
    parsed = email.message_from_bytes(raw)
    check_equal(parsed.get_content_type(), "multipart/report", "type")
    return parsed, parsed.get_payload()[1].get_payload()


@turns_red("mail-is-lost", "mail-is-doubled")
def test_a_sender_is_told_once_that_mail_waits():
    # The destination is down: what waits there has to come back by itself to be told of.
    server, dns = sender(retry={"first": "200ms", "max": "400ms", "expire": "1h"}, notifications={"delay": "700ms"})
    address = new_address()
    dns.add_host("late.example", address)
    submit(server, "fred@late.example")
    parsed, groups = status_groups(server.wait_for_mail("barney")[0])
    check_equal(parsed["Subject"], "Delayed mail", "Subject")
    check_equal((groups[1]["Action"], groups[1]["Status"][0]), ("delayed", "4"), "what is reported")
    check(groups[1]["Will-Retry-Until"], "until when it is tried")
    hop = NextHop(address=address)
    hop.wait_for(1)
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(server.mailbox("barney")), 1, "notifications")


@turns_red("mail-is-lost")
def test_a_notification_that_cannot_be_delivered_goes_to_the_postmaster():
    hop = NextHop(lambda verb, argument, session: "550 5.1.1 no such user" if verb == "RCPT" else None)
    server, dns = sender({"barney": "rubble", "admin": "secret"}, notifications={"postmaster": "admin@isp2.example"})
    dns.add_host("far.example", hop.address)
    content = submit(server, "gone@far.example", mail_from="")
    parsed, groups = status_groups(server.wait_for_mail("admin")[0])
    check_equal((groups[1]["Action"], groups[1]["Status"]), ("failed", "5.1.1"), "what is reported")
    check(content.replace(b"\r\n", b"\n") in parsed.get_payload()[2].as_bytes(), "the message itself is kept")
    wait_until(server.queue_is_empty, "an empty queue")
    check(" double-bounce " in server.log(), "the log says it")


@turns_red("mail-is-lost")
def test_a_refused_connection_is_no_verdict_on_the_mail():
    """554 to the connection, from the only host: what waits is not returned (RFC 5321 3.1; many say it under load)."""
    struck = [0]

    def script(verb, argument, session):
        if verb == "CONNECT" and struck[0] < 2:
            struck[0] += 1
            return "554 5.3.2 not now"
        return None

    hop = NextHop(script)
    server, dns = sender()
    dns.add_host("far.example", hop.address)
    for _ in range(3):
        submit(server, "fred@far.example")
    hop.wait_for(3)
    wait_until(server.queue_is_empty, "an empty queue")
    submit(server, BARNEY)  # so that the mailbox holds one, and the control shows that it is looked at
    check_equal(len(server.wait_for_mail("barney")), 1, "messages for the sender")


@turns_red("mail-is-lost", "next-hop-is-deaf")
def test_wishes_go_along_or_are_acted_on():
    takes, old = NextHop(extensions=("PIPELINING", "DSN")), NextHop(extensions=("PIPELINING",))
    server, dns = sender()
    dns.add_host("dsn.example", takes.address)
    dns.add_host("old.example", old.address)
    _, content = make_message(sender=BARNEY)
    session = server.submit_session("barney")
    session.command(f"MAIL FROM:<{BARNEY}> RET=HDRS ENVID=E+2B1", 250)
    for address in ("fred@dsn.example", "fred@old.example"):
        session.command(f"RCPT TO:<{address}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{address}", 250)
    session.command("DATA", 354)
    session.send(content + b".\r\n")
    check_equal(session.reply().code, 250, "reply to the final dot")
    takes.wait_for(1)
    old.wait_for(1)
    arguments = [argument for verb, argument in takes.dialogue if verb in ("MAIL", "RCPT")]
    check(" RET=HDRS ENVID=E+2B1" in arguments[0], f"MAIL {arguments[0]}")
    check(" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;fred@dsn.example" in arguments[1], f"RCPT {arguments[1]}")
    check(not any("NOTIFY" in argument or "ENVID" in argument for verb, argument in old.dialogue if verb != "MESSAGE"), "nothing of it to the other")
    _, groups = status_groups(server.wait_for_mail("barney")[0])
    check_equal(groups[0]["Original-Envelope-Id"], "E+1", "Original-Envelope-Id")
    check_equal([(g["Action"], g["Original-Recipient"]) for g in groups[1:]], [("relayed", "rfc822;fred@old.example")], "what is reported")
