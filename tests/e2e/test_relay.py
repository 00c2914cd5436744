"""Relaying out: where mail goes (RFC 5321 5.1), what happens when the next hop does not play along, who is told."""

import contextlib
import email
import re
import socket
import time

from lib import (SMTP_PORT, Dns, NextHop, Server, at_end, check, check_equal, fields_named, make_message, new_address, pair, slow, turns_red, wait_until)

BARNEY = "barney@isp2.example"


def sender(dns=None, **settings):
    """isp2 with one account, that asks this name server."""
    dns = dns or Dns()
    server = Server("isp2.example", {"barney": "rubble"}, {"dns": {"forwarder": dns.forwarder}, **settings}, "isp2").start()
    return server, dns


def submit(server, recipients, subject="test", mail_from=BARNEY):
    _, content = make_message(subject=subject, sender=BARNEY)
    session = server.submit_session("barney")
    session.message(mail_from, recipients, content)
    session.quit()
    return content


def the_dsn(server):
    """The one message in barney's mailbox, as checked delivery status notification."""
    messages = server.wait_for_mail("barney")
    check_equal(len(messages), 1, "notifications")
    check_equal(fields_named(messages[0], "Return-Path"), ["<>"], "reverse-path of the notification")
    parsed = email.message_from_bytes(messages[0])
    check_equal(parsed.get_content_type(), "multipart/report", "type")
    check_equal(parsed.get_param("report-type"), "delivery-status", "report-type")
    parts = parsed.get_payload()
    check_equal([p.get_content_type() for p in parts[:2]], ["text/plain", "message/delivery-status"], "parts")
    check(parts[2].get_content_type() in ("text/rfc822-headers", "message/rfc822"), "the original is the third part")
    groups = parts[1].get_payload()
    check(groups[0]["Reporting-MTA"].startswith("dns;"), f"Reporting-MTA: {groups[0].items()}")
    for group in groups[1:]:
        check_equal(group["Action"], "failed", "Action")
        check(re.fullmatch(r"[45]\.\d{1,3}\.\d{1,3}", group["Status"]), f"Status {group['Status']}")
        check(re.match(r"rfc822; ?\S+@\S+", group["Final-Recipient"]), f"Final-Recipient {group['Final-Recipient']}")
    check_equal(parsed["Auto-Submitted"], "auto-replied", "Auto-Submitted")
    return messages[0], groups[1:]


@turns_red("mail-is-lost", "mail-is-doubled", "mail-is-altered")
def test_two_servers_find_each_other_by_mx():
    isp2, fredsco, _ = pair()
    isp2.start()
    fredsco.start()
    content = submit(isp2, "sales@fredsco.example")
    messages = fredsco.wait_for_mail()
    check_equal(len(messages), 1, "messages")
    check(messages[0].endswith(content), "content is intact")
    received = fields_named(messages[0], "Received")
    check_equal(len(received), 2, "Received fields")
    check(" with ESMTPS" in received[0] and " with ESMTPSA" not in received[0], f"opportunistic TLS between servers: {received[0]}")
    wait_until(isp2.queue_is_empty, "an empty queue at isp2")


@turns_red("next-hop-is-deaf")
def test_mx_preference_decides_and_a_dead_one_is_passed_over_at_once():
    second, third = NextHop(), NextHop()
    server, dns = sender(retry={"first": "1h", "max": "1h", "expire": "1d"})
    dns.records.update({("far.example", "MX"): [(30, "c.far.example"), (10, "a.far.example"), (20, "b.far.example")],
                        ("a.far.example", "A"): [new_address()], ("b.far.example", "A"): [second.address],
                        ("c.far.example", "A"): [third.address]})
    submit(server, "fred@far.example")
    second.wait_for(1)
    check_equal(third.sessions, 0, "sessions at the worst exchanger")


@turns_red("next-hop-is-deaf")
def test_a_domain_without_mx_is_its_own_exchanger():
    hop = NextHop()
    server, dns = sender()
    dns.records[("plain.example", "A")] = [hop.address]
    submit(server, "fred@plain.example")
    check_equal(hop.wait_for(1)[0]["to"], ["fred@plain.example"], "recipient")


@turns_red("mail-is-lost")
def test_null_mx_means_no_mail():
    server, dns = sender()
    dns.records[("no-mail.example", "MX")] = [(0, "")]
    dns.records[("no-mail.example", "A")] = [new_address()]
    submit(server, "fred@no-mail.example")
    _, groups = the_dsn(server)
    check_equal(groups[0]["Status"], "5.1.10", "Status")


@turns_red("mail-is-lost")
def test_an_unknown_domain_is_told_at_once_and_a_failing_one_is_asked_again():
    hop = NextHop()
    server, dns = sender()
    dns.add_host("failing.example", hop.address)
    dns.failing.add("failing.example")
    submit(server, ["fred@does-not-exist.example", "fred@failing.example"])
    _, groups = the_dsn(server)
    check_equal([g["Final-Recipient"].split(";")[1].strip() for g in groups], ["fred@does-not-exist.example"], "who failed")
    check_equal(groups[0]["Status"], "5.1.2", "Status")
    wait_until(lambda: dns.questions.count(("failing.example", "MX")) >= 2, "a second lookup")
    check_equal(hop.messages, [], "messages before the name resolves")
    dns.failing.clear()
    hop.wait_for(1)
    check_equal(len(server.mailbox("barney")), 1, "notifications")


@turns_red("next-hop-is-deaf")
def test_a_temporary_refusal_is_tried_again_until_it_works():
    refusals = [0]

    def script(verb, argument, session):
        if verb == "MAIL" and refusals[0] < 3:
            refusals[0] += 1
            return "451 4.3.0 busy"
        return None

    hop = NextHop(script)
    server, dns = sender()
    dns.add_host("far.example", hop.address)
    submit(server, "fred@far.example")
    hop.wait_for(1)
    check_equal(refusals[0], 3, "refusals")
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(hop.messages), 1, "messages")
    check_equal(server.mailbox("barney"), [], "no notification")


@turns_red("mail-is-lost", "next-hop-is-deaf")
def test_each_recipients_result_is_kept_apart():
    answers = {"no@far.example": ["550 5.1.1 no such user"], "later@far.example": ["450 4.2.1 busy", "450 4.2.1 busy"], "yes@far.example": []}

    def script(verb, argument, session):
        for address, replies in answers.items():
            if verb == "RCPT" and address in argument and replies:
                return replies.pop() if address.startswith("later") else replies[0]
        return None

    hop = NextHop(script)
    server, dns = sender()
    dns.add_host("far.example", hop.address)
    submit(server, list(answers))
    raw, groups = the_dsn(server)
    check_equal([(g["Final-Recipient"].split(";")[1].strip(), g["Status"]) for g in groups], [("no@far.example", "5.1.1")], "who failed")
    check(b"no such user" in raw, "the notification quotes the next hop")
    wait_until(server.queue_is_empty, "an empty queue")
    got = sorted(to for message in hop.messages for to in message["to"])
    check_equal(got, ["later@far.example", "yes@far.example"], "recipients at the next hop, each once")


@turns_red("mail-is-lost")
def test_a_sender_is_told_when_time_runs_out():
    server, dns = sender(retry={"first": "100ms", "max": "200ms", "expire": "1500ms"})
    dns.add_host("dead.example", new_address())
    submit(server, "fred@dead.example")
    _, groups = the_dsn(server)
    check(groups[0]["Status"][0] in "45", "Status")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("next-hop-is-deaf")
def test_nobody_is_told_about_a_lost_notification():
    hop = NextHop(lambda verb, argument, session: "550 5.1.1 no" if verb == "RCPT" and "gone@" in argument else None)
    server, dns = sender()
    dns.add_host("far.example", hop.address)
    submit(server, "gone@far.example", mail_from="")
    submit(server, "here@far.example")
    hop.wait_for(1)
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(server.mailbox("barney"), [], "notifications for a null reverse-path")
    check_equal(len(hop.messages), 1, "messages at the next hop")


@turns_red("next-hop-is-deaf")
def test_a_next_hop_that_knows_only_helo_and_no_pipelining_gets_its_mail():
    hop = NextHop(lambda verb, argument, session: "502 5.5.1 what?" if verb == "EHLO" else None, extensions=())
    server, dns = sender()
    dns.add_host("old.example", hop.address)
    submit(server, "fred@old.example")
    hop.wait_for(1)
    verbs = [verb for verb, _ in hop.dialogue]
    check(verbs.index("HELO") > verbs.index("EHLO"), f"HELO after EHLO: {verbs}")


@turns_red("next-hop-is-deaf")
def test_a_lost_reply_to_the_final_dot_means_trying_again():
    lost = [0]

    def script(verb, argument, session):
        if verb == "MESSAGE" and lost[0] == 0:
            lost[0] = 1
            return "close"
        return None

    hop = NextHop(script)
    server, dns = sender()
    dns.add_host("far.example", hop.address)
    submit(server, "fred@far.example")
    hop.wait_for(1)
    check_equal([verb for verb, _ in hop.dialogue].count("MESSAGE"), 2, "times the content was sent")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("next-hop-is-deaf")
def test_a_next_hop_in_every_kind_of_trouble_gets_its_mail_in_the_end():
    for where, reply in (("CONNECT", "554 5.3.2 not now"), ("CONNECT", "close"), ("CONNECT", "421 4.3.2 closing"), ("EHLO", "close"), ("MAIL", "close"),
                         ("RCPT", "421 4.3.2 closing"), ("DATA", "451 4.3.0 no"), ("MESSAGE", "452 4.3.1 full"), ("MESSAGE", "421 4.3.2 closing"),
                         ("EHLO", "nonsense"), ("MAIL", "2")):
        struck = [0]

        def script(verb, argument, session, where=where, reply=reply, struck=struck):
            if verb == where and struck[0] == 0:
                struck[0] = 1
                return reply
            return None

        hop = NextHop(script)
        server, dns = sender()
        dns.add_host("far.example", hop.address)
        submit(server, "fred@far.example")
        if (where, reply[0]) == ("CONNECT", "5"):
            # RFC 5321 3.1: a 554 greeting may end in a bounce or another try; silence is the one wrong answer.
            wait_until(lambda: hop.messages or server.mailbox("barney"), f"an outcome after {where} {reply}")
        else:
            hop.wait_for(1)
        check_equal(struck[0], 1, f"{where} {reply} happened")
        wait_until(server.queue_is_empty, f"an empty queue after {where} {reply}")
        server.kill()


class DrippingHop(NextHop):
    """In its first session the reply to EHLO begins late, and then goes on without end."""

    late_s = 2.5
    waited_s = None

    def session(self, sock, number):
        if number > 1:
            super().session(sock, number)
            return
        sock.sendall(b"220 next-hop.example\r\n")
        sock.recv(512)
        began = time.monotonic()
        sock.settimeout(self.late_s)
        with contextlib.suppress(OSError), sock:
            while not self.ends(sock):
                sock.sendall(b"250-more\r\n")
                sock.settimeout(0.2)
        self.waited_s = time.monotonic() - began

    @staticmethod
    def ends(sock):
        """Whether anything comes; so nothing is to be said before the time-out either."""
        try:
            sock.recv(512)
        except TimeoutError:
            return False
        return True


@turns_red("next-hop-is-deaf")
def test_a_reply_that_begins_late_and_never_ends_has_the_time_of_one():
    hop = DrippingHop()
    server, dns = sender(outbound={"reply_timeout": "3s"})
    dns.add_host("far.example", hop.address)
    submit(server, "fred@far.example")
    hop.wait_for(1)
    check(hop.late_s < hop.waited_s < hop.late_s + 2, f"3 s for all of a reply (RFC 5321 4.5.3.2): {hop.waited_s:.1f} s")


@turns_red("mail-is-lost")
def test_a_domain_that_points_back_at_the_server_ends_in_a_notification():
    server, dns = sender()
    dns.add_host("mirror.example", server.address)
    submit(server, "fred@mirror.example")
    _, groups = the_dsn(server)
    check(groups[0]["Status"].startswith("5.4."), f"Status {groups[0]['Status']}")


@turns_red("next-hop-is-deaf")
def test_connections_are_used_again():
    hop = NextHop()
    server, dns = sender(outbound={"connections_per_destination": 2, "port": 2525})
    dns.add_host("far.example", hop.address)
    session = server.submit_session("barney")
    for number in range(40):
        session.message(BARNEY, "fred@far.example", make_message(subject=f"n{number}", sender=BARNEY)[1])
    hop.wait_for(40)
    check(hop.sessions <= 6, f"40 messages took {hop.sessions} connections")
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(hop.messages), 40, "messages")


@turns_red("next-hop-is-deaf")
def test_a_route_takes_its_domain_and_the_smart_host_the_rest():
    routed, smart = NextHop(), NextHop()
    server, _ = sender(outbound={"port": 2525, "tls": "none", "smart_host": f"{smart.address}:2525", "routes": {"far.example": f"{routed.address}:2525"}})
    submit(server, ["a@far.example", "b@elsewhere.example"])
    check_equal(routed.wait_for(1)[0]["to"], ["a@far.example"], "by the route")
    check_equal(smart.wait_for(1)[0]["to"], ["b@elsewhere.example"], "by the smart host")


@slow
@turns_red("mail-is-lost", "mail-is-doubled")
def test_the_next_hop_down_for_a_while_loses_and_doubles_nothing():
    isp2, fredsco, _ = pair({"retry": {"first": "200ms", "max": "500ms", "expire": "1h"}})
    isp2.start()
    session = isp2.submit_session("barney")
    contents = []
    for number in range(30):
        if number == 10:
            fredsco.start()
            # So the first in the mailbox is surely there once, which the control needs.
            wait_until(lambda: isp2.log().count(" delivered id=") >= 10, "delivery of what waited")
        if number == 15:
            fredsco.kill()
        contents.append(make_message(subject=f"n{number}", sender=BARNEY)[1])
        session.message(BARNEY, "sales@fredsco.example", contents[-1])
    fredsco.start()
    wait_until(isp2.queue_is_empty, "an empty queue at isp2")
    messages = fredsco.wait_for_mail(count=30)
    # fredsco may have been killed with any number of 250s on their way, and isp2 knows which: only that may
    # double a message (RFC 1047).
    in_doubt = set(re.findall(r"deferred-in-doubt id=(\w+)", isp2.log()))
    for number, content in enumerate(contents):
        copies = [m for m in messages if m.endswith(content)]
        check(copies, f"message {number} is missing")
        ids = [i for m in copies for field in fields_named(m, "Received") for i in re.findall(r"\bid (\w+)", field)]
        check(len(copies) == 1 or in_doubt.intersection(ids), f"message {number} came {len(copies)} times, and was never in doubt")


@slow
@turns_red("next-hop-is-deaf")
def test_destinations_that_never_answer_leave_places_for_others():
    """More messages than the relay holds active (5000) wait for five hosts that accept connections and say nothing."""
    silent = []
    server, dns = sender(limits={"unacknowledged": 100000})
    for number in range(5):
        listener = socket.create_server((new_address(), SMTP_PORT), backlog=64)
        at_end(listener.close)
        silent.append(listener)
        dns.add_host(f"silent{number}.example", listener.getsockname()[0])
    hop = NextHop()
    dns.add_host("far.example", hop.address)
    _, content = make_message(sender=BARNEY)
    session = server.submit_session("barney")
    window = 50
    for begin in range(0, 6000, window):
        for number in range(begin, begin + window):
            session.send(f"MAIL FROM:<{BARNEY}>\r\nRCPT TO:<fred@silent{number % 5}.example>\r\n")
            session.send(f"BDAT {len(content)} LAST\r\n".encode() + content)
        for _ in range(3 * window):
            session.expect(250)
    submit(server, "fred@far.example")
    hop.wait_for(1)


@slow
@turns_red("next-hop-is-deaf", "server-agrees-to-all")
def test_members_of_a_refused_alias_are_not_kept():
    """RCPT of an alias whose members do not fit any more (10000): 452, and the client's next transaction doubles nobody."""
    hop = NextHop()
    members = {f"list{number}": [f"member{number}.{k}@far.example" for k in range(950)] for number in range(11)}
    server, dns = sender(aliases={f"{name}@isp2.example": addresses for name, addresses in members.items()},
                         outbound={"port": SMTP_PORT, "routes": {"far.example": f"{hop.address}:{SMTP_PORT}"}})
    _, content = make_message(sender=BARNEY)
    session = server.submit_session("barney")
    session.command(f"MAIL FROM:<{BARNEY}>", 250)
    for number in range(10):
        session.command(f"RCPT TO:<list{number}@isp2.example>", 250)
    session.command("RCPT TO:<list10@isp2.example>", 452)
    session.command("DATA", 354)
    session.send(content + b".\r\n")
    session.expect(250)
    session.message(BARNEY, "list10@isp2.example", content)
    wait_until(server.queue_is_empty, "an empty queue", 60)
    got = [recipient for message in hop.messages for recipient in message["to"]]
    check_equal((len(got), len(set(got))), (11 * 950, 11 * 950), "recipients, and different ones")
