"""Internationalised mail (RFC 6531, 6532, 6533): addresses, headers, notifications; and where others do not take it."""

import email
import quopri
import re

from lib import Dns, NextHop, Server, b64, check, check_equal, fields_named, make_message, pair, stuff, turns_red, wait_until

JOERG = "jörg@bücher.example"
ASCII_DOMAIN = "xn--bcher-kva.example"
FANG = "方@例え.example"
FANG_DOMAIN = "xn--r8jz45g.example"


def utf8_content(sender, to, subject="Größe"):
    token, content = make_message(subject, "Viele Grüße\r\n".encode(), sender, to)
    return token, content


def books(dns=None, name="books", **settings):
    dns = dns or Dns()
    server = Server("bücher.example", {JOERG: "rubble", "sales@bücher.example": "secret"},
                    {"hostname": "mx.bücher.example", "dns": {"forwarder": dns.forwarder}, **settings}, name).start()
    dns.add_host(ASCII_DOMAIN, server.address)
    return server, dns


def submit(server, user, sender, recipients, content, parameters="BODY=8BITMIME SMTPUTF8"):
    session = server.smtp("submission")
    session.command("EHLO client.example", 250)
    session.start_tls()
    session.command("EHLO client.example", 250)
    session.auth_plain(user, server.users[user])
    session.command(f"MAIL FROM:<{sender}> {parameters}", 250)
    for recipient in recipients:
        session.command(f"RCPT TO:<{recipient}>", 250)
    session.command("DATA", 354)
    session.send(stuff(content) + b".\r\n")
    session.expect(250)
    session.quit()


@turns_red("mail-is-lost", "mail-is-altered")
def test_utf8_mail_passes_two_servers_into_a_mailbox():
    first, dns = books()
    second = Server("例え.example", {FANG: "pw"}, {"dns": {"forwarder": dns.forwarder}, "hostname": "mx.fang.example"}, "fang").start()
    dns.add_host(FANG_DOMAIN, second.address)
    _, content = utf8_content(JOERG, FANG)
    submit(first, JOERG, JOERG, [FANG, FANG.replace("例え.example", FANG_DOMAIN)], content)
    # Composed and decomposed, U-labels and A-labels, are the same mailbox; each address gets its copy.
    got = second.wait_for_mail(FANG, 2, utf8=True)
    for raw in got:
        check(raw.endswith(content), "content is intact")
        check_equal(fields_named(raw, "Return-Path"), [f"<{JOERG}>"], "Return-Path")
        withs = [r.split(" with ")[1].split()[0] for r in fields_named(raw, "Received")]
        check_equal(withs, ["UTF8SMTPS", "UTF8SMTPSA"], "how it was received")
    wait_until(first.queue_is_empty, "an empty queue")


@turns_red("server-agrees-to-all", "server-refuses-all")
def test_addresses_and_headers_need_the_parameter():
    server, _ = books(smtp={"header_8bit": "refuse"})
    session = server.smtp()
    check_equal(session.extensions().get("SMTPUTF8"), [], "the announcement, without parameters")
    session.command(f"MAIL FROM:<{FANG}>", 550, "5.6.7")
    session.command("MAIL FROM:<a@b.example>", 250)
    session.command(f"RCPT TO:<{JOERG}>", 553, "5.6.7")
    session.command("RCPT TO:<sales@xn--bcher-kva.example>", 250)
    session.command("DATA", 354)
    session.send(stuff(utf8_content(JOERG, JOERG)[1]) + b".\r\n")
    session.expect(554, "5.6.9")
    session.command(f"MAIL FROM:<{FANG}> SMTPUTF8=yes", 501, "5.5.4")
    session.command(b"MAIL FROM:<j\xf6rg@b.example> SMTPUTF8".decode("utf-8", "surrogateescape"), 501, "5.1.7")
    session.command("MAIL FROM:<a@\u200b.example> SMTPUTF8", 553, "5.1.8")
    session.command(f"MAIL FROM:<{FANG}> SMTPUTF8", 250)
    session.command("RCPT TO:<nobody@bücher.example>", 550, "5.1.1")
    session.command("RCPT TO:<a@\u200b.example>", 550, "5.1.2")
    session.command("RCPT TO:<jo\u0308rg@BÜCHER.example>", 250)  # decomposed, and in capitals
    session.command("RCPT TO:<Sales@bücher.example>", 250)
    session.quit()
    off, _ = books(smtp={"without": ["smtputf8"]}, name="off")
    session = off.smtp()
    check("SMTPUTF8" not in session.extensions(), "it is not announced")
    session.command(f"MAIL FROM:<{FANG}> SMTPUTF8", 555, "5.5.4")
    session.command(f"MAIL FROM:<{FANG}>", 550, "5.6.7")


@turns_red("mail-is-lost", "next-hop-is-deaf")
def test_a_host_without_smtputf8_gets_what_it_can_take():
    """RFC 6531 3.2: domains as A-labels, bodies encoded; what really needs it comes back."""
    hop = NextHop()
    server, dns = books()
    dns.add_host("old.example", hop.address)
    dns.add_host(FANG_DOMAIN, hop.address)
    _, plain = make_message(sender="sales@bücher.example".encode("idna").decode(), body="Viele Grüße\r\n".encode())
    # Only the domains are not ASCII.
    submit(server, "sales@bücher.example", "sales@bücher.example", ["fred@例え.example"], plain)
    got = hop.wait_for(1)[0]
    check_equal((got["from"], got["to"]), (f"sales@{ASCII_DOMAIN}", [f"fred@{FANG_DOMAIN}"]), "the envelope")
    check(got["content"].isascii(), "nothing but ASCII goes there")
    check_equal(email.message_from_bytes(got["content"]).get_payload(decode=True), "Viele Grüße\r\n".encode(), "the body, decoded")
    # A local-part, then a header, that are not.
    submit(server, "sales@bücher.example", "sales@bücher.example", [FANG], plain)
    submit(server, "sales@bücher.example", "sales@bücher.example", ["fred@old.example"], utf8_content(JOERG, "fred@old.example")[1])
    told = server.wait_for_mail("sales@bücher.example", 2)
    check_equal(sorted(re.search(rb"\nStatus: (\S+)", raw).group(1) for raw in told), [b"5.6.7", b"5.6.9"], "why they came back")
    check_equal(len(hop.messages), 1, "messages at the old host")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("mail-is-lost")
def test_a_notification_speaks_utf8_where_its_message_did():
    def refuses(verb, argument, session):
        return "550 5.1.1 kein Postfach, größer" if verb == "RCPT" else None

    hop = NextHop(refuses, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"))
    server, dns = books()
    dns.add_host(FANG_DOMAIN, hop.address)
    session = server.smtp("submission")
    session.command("EHLO client.example", 250)
    session.start_tls()
    session.command("EHLO client.example", 250)
    session.auth_plain(JOERG, "rubble")
    session.command(f"MAIL FROM:<{JOERG}> SMTPUTF8 BODY=8BITMIME RET=HDRS", 250)
    session.command(f"RCPT TO:<{FANG}> ORCPT=utf-8;\\x{{65B9}}+2Bx@b.example NOTIFY=FAILURE", 250)
    session.command("DATA", 354)
    session.send(stuff(utf8_content(JOERG, FANG)[1]) + b".\r\n")
    session.expect(250)
    raw = server.wait_for_mail(JOERG, utf8=True)[0]
    parsed = email.message_from_bytes(raw)
    parts = parsed.get_payload()
    check_equal([p.get_content_type() for p in parts], ["text/plain", "message/global-delivery-status", "message/global-headers"], "types")
    status = raw.decode().split("message/global-delivery-status")[1]
    fields = quopri.decodestring(status.encode()).decode()
    check(f"Final-Recipient: utf-8; {FANG}" in fields, "the address as it is")
    check("Original-Recipient: utf-8;方" in fields, "ORCPT without its encoding")
    check(f"To: <{JOERG}>" in raw.decode(), "to whom it is")
    check("Größe" in quopri.decodestring(raw).decode("utf-8", "replace"), "the header that is returned")
    said = [a for v, a in hop.dialogue if v == "MAIL"]
    check(said and " SMTPUTF8" in said[0] and " BODY=8BITMIME" in said[0], f"what was said to the next hop: {said}")
    check(any("ORCPT=utf-8;" in a for v, a in hop.dialogue if v == "RCPT"), "ORCPT goes on")


@turns_red("next-hop-is-deaf")
def test_smtputf8_is_not_said_on_without_need():
    hop = NextHop(extensions=("PIPELINING", "8BITMIME", "SMTPUTF8"))
    server, dns = books()
    dns.add_host("new.example", hop.address)
    _, content = make_message()
    submit(server, JOERG, f"sales@{ASCII_DOMAIN}", ["fred@new.example"], content)
    hop.wait_for(1)
    said = [a for v, a in hop.dialogue if v == "MAIL"]
    check("SMTPUTF8" not in said[0], f"what was said to the next hop: {said}")


@turns_red("mail-is-lost")
def test_aliases_and_logins_in_utf8():
    server, _ = books(aliases={"büro@bücher.example": [JOERG, "sales@bücher.example"]})
    _, content = utf8_content(FANG, "büro@bücher.example")
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command(f"MAIL FROM:<{FANG}> SMTPUTF8", 250)
    session.command(f"RCPT TO:<bu\u0308ro@{ASCII_DOMAIN}>", 250)
    session.command("DATA", 354)
    session.send(stuff(content) + b".\r\n")
    session.expect(250)
    session.quit()
    for user in (JOERG, "sales@bücher.example"):
        check(server.wait_for_mail(user, utf8=True)[0].endswith(content), "content is intact")
    session = server.smtp("submissions")
    session.command("EHLO client.example", 250)
    session.command("AUTH PLAIN " + b64(f"\0jörg@{ASCII_DOMAIN}\0rubble"), 235)


@turns_red("mail-is-lost")
def test_two_servers_of_which_one_has_it_switched_off():
    first, second, dns = pair(receiver_settings={"smtp": {"without": ["SMTPUTF8"]}})
    first.start()
    second.start()
    session = first.submit_session("barney")
    _, content = utf8_content("barney@isp2.example", "sales@fredsco.example")
    session.command("MAIL FROM:<barney@isp2.example> SMTPUTF8 BODY=8BITMIME", 250)
    session.command("RCPT TO:<sales@fredsco.example>", 250)
    session.command("DATA", 354)
    session.send(stuff(content) + b".\r\n")
    session.expect(250)
    parsed = email.message_from_bytes(first.wait_for_mail("barney")[0])
    check_equal(parsed.get_payload()[1].get_payload()[1]["Status"], "5.6.9", "Status")
    check_equal(second.mailbox(), [], "mail at the other server")
