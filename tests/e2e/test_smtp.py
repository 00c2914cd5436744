"""SMTP from outside: who may send what where (RFC 5321, 6409), and what comes back for bad input."""

import re
import smtplib
import ssl

from lib import (Server, NextHop, check, check_equal, fields_named, make_message, slow, split_message, turns_red, wait_until)

SIZE_LIMIT = 64 * 1024


def started(**settings):
    return Server(settings=settings).start()


@turns_red("server-refuses-all", "mail-is-lost", "mail-is-doubled", "mail-is-altered")
def test_mail_for_a_local_mailbox_arrives_once_and_intact():
    server = started()
    body = b"..two dots\r\n.\tone dot\r\n\r\n" + b"x" * 998 + b"\r\n\xc3\xa9 eight bits\r\n.\r\nend\r\n"
    token, content = make_message(body=body)
    session = server.smtp()
    session.command("EHLO client.example", 250)
    reply = session.message("barney@isp2.example", "sales@fredsco.example", content)
    session.quit()
    messages = server.wait_for_mail()
    check_equal(len(messages), 1, "messages in the mailbox")
    check(messages[0].endswith(content), f"content is intact: {messages[0]!r}")
    queue_id = re.search(r"\b([0-9A-Za-z]{4,})\s*$", reply.text)
    check(queue_id and queue_id.group(1) in server.log(), f"the 250 names a queue id that is in the log: {reply}")


@turns_red("mail-is-lost")
def test_trace_fields_are_put_in_front():
    server = started()
    _, content = make_message()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", content)
    messages = server.wait_for_mail()
    check(messages, "a message is there")
    fields = split_message(messages[0])[0]
    check_equal([name for name, _ in fields[:2]], ["return-path", "received"], "first fields")
    check_equal(fields[0][1], "<barney@isp2.example>", "Return-Path")
    check_equal(len(fields_named(messages[0], "Return-Path")), 1, "number of Return-Path fields")
    received = fields[1][1]
    check(re.match(r"from client\.example \(.*\[?" + re.escape("127."), received), f"Received says from whom: {received}")
    check(re.search(r"\sby mx\.fredsco\.example\swith ESMTP\s", received), f"Received says by whom and how: {received}")
    check(re.search(r";\s(\w{3}, )?\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \(.*\))?$", received), f"Received has a date: {received}")


@turns_red("server-agrees-to-all", "server-refuses-all")
def test_relays_for_the_networks_it_was_told():
    near = Server(settings={"relay_from": ["127.0.0.0/8"]}, name="near").start()
    far = Server(settings={"relay_from": ["192.0.2.0/24", "fd00::/8"]}, name="far").start()
    for server, code in ((near, 250), (far, 550)):
        session = server.smtp()
        session.command("EHLO client.example", 250)
        session.command("MAIL FROM:<a@isp2.example>", 250)
        session.command("RCPT TO:<b@elsewhere.example>", code)



@turns_red("server-agrees-to-all")
def test_nothing_relays_for_strangers():
    server = started()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<stranger@elsewhere.example>", 250)
    for address in ("victim@other.example", "victim%other.example@fredsco.example", "@fredsco.example:victim@other.example",
                    "victim@[192.0.2.1]", "other.example!victim@fredsco.example", '"victim@other.example"@fredsco.example'):
        reply = session.command(f"RCPT TO:<{address}>")
        check(500 <= reply.code <= 559, f"{address} must be refused for good: {reply}")
    reply = session.command("RCPT TO:<victim@other.example>", 550, "5.7.1")
    session.command("DATA", (503, 554))
    # A local sender address proves nothing.
    session.command("RSET", 250)
    session.command("MAIL FROM:<sales@fredsco.example>")
    session.command("RCPT TO:<victim@other.example>", (550, 503))


@turns_red("server-agrees-to-all")
def test_an_unknown_mailbox_is_refused():
    session = started().smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    session.command("RCPT TO:<nobody@fredsco.example>", 550, "5.1.1")


@turns_red("server-refuses-all")
def test_postmaster_is_always_accepted():
    session = started().smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    for address in ("postmaster", "PostMaster", "postmaster@fredsco.example", "POSTMASTER@FredsCo.Example"):
        session.command(f"RCPT TO:<{address}>", 250)


@turns_red("server-refuses-all", "mail-is-lost")
def test_aliases_reach_their_mailboxes():
    server = Server(users={"sales": "secret", "boss": "secret"},
                    settings={"aliases": {"info@fredsco.example": ["sales@fredsco.example", "boss@fredsco.example"]}}).start()
    _, content = make_message()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "info@fredsco.example", content)
    for user in ("sales", "boss"):
        check_equal(len(server.wait_for_mail(user)), 1, f"messages for {user}")


@turns_red("server-refuses-all", "mail-is-lost")
def test_a_member_of_an_alias_who_is_not_there_is_told_of():
    server = Server(users={"sales": "secret", "boss": "secret"},
                    settings={"aliases": {"info@fredsco.example": ["sales@fredsco.example", "gone@fredsco.example"]}}).start()
    _, content = make_message()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("boss@fredsco.example", "info@fredsco.example", content)
    check_equal(len(server.wait_for_mail("sales")), 1, "messages for sales")
    told = server.wait_for_mail("boss")
    check_equal(len(told), 1, "notifications for the sender")
    check(b"Status: 5.1.1" in told[0] and b"Action: failed" in told[0], f"the notification says why: {told[0]!r}")


@turns_red("server-agrees-to-all")
def test_an_alias_of_too_many_is_refused_as_a_whole():
    server = Server(users={"sales": "secret"}, settings={"aliases": {
        "all@fredsco.example": ["sales@fredsco.example"] + [f"m{i}@far.example" for i in range(1000)]}}).start()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    check("4.3.5" in session.command("RCPT TO:<all@fredsco.example>", 451).text, "the status says who is to mend it")


@turns_red("server-refuses-all")
def test_case_of_a_domain_does_not_matter_and_one_message_has_many_recipients():
    server = Server(users={"sales": "secret", "boss": "secret"}).start()
    _, content = make_message()
    session = server.smtp()
    session.command("ehlo client.example", 250)
    session.command("mail from:<>", 250)
    session.command("rcpt to:<sales@FREDSCO.example>", 250)
    session.command("rcpt to:<boss@fredsco.example>", 250)
    session.command("rcpt to:<nobody@fredsco.example>", 550)
    session.command("data", 354)
    session.send(content + b".\r\n")
    session.expect(250)
    for user in ("sales", "boss"):
        messages = server.wait_for_mail(user)
        check_equal(fields_named(messages[0], "Return-Path"), ["<>"], "Return-Path of a bounce")


@turns_red("server-agrees-to-all")
def test_submission_wants_a_login():
    server = started()
    session = server.smtp("submission")
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<sales@fredsco.example>", 530)
    session.start_tls()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<sales@fredsco.example>", 530, "5.7.0")


@turns_red("server-refuses-all", "next-hop-is-deaf")
def test_a_user_may_send_anywhere_through_submission():
    hop = NextHop()
    server = started(outbound={"smart_host": f"{hop.address}:2525", "tls": "none"})
    _, content = make_message(sender="sales@fredsco.example", to="barney@isp2.example")
    session = server.submit_session()
    session.message("sales@fredsco.example", "barney@isp2.example", content)
    message = hop.wait_for(1)[0]
    check_equal((message["from"], message["to"]), ("sales@fredsco.example", ["barney@isp2.example"]), "envelope")
    check(message["content"].endswith(content), "content is intact")
    check_equal(fields_named(message["content"], "Return-Path"), [], "a relay adds no Return-Path")
    check(" with ESMTPSA" in fields_named(message["content"], "Received")[0], "Received says that it was authenticated")


@turns_red("server-refuses-all", "mail-is-lost")
def test_submission_supplies_date_and_message_id_and_port_25_does_not():
    server = started()
    bare = b"From: <sales@fredsco.example>\r\nSubject: bare\r\n\r\nbody\r\n"
    session = server.submit_session()
    session.message("sales@fredsco.example", "sales@fredsco.example", bare)
    supplied = server.wait_for_mail()[0]
    check(len(fields_named(supplied, "Date")) == 1, "Date is supplied once")
    check(re.fullmatch(r"<[^<>@ ]+@[^<>@ ]+>", fields_named(supplied, "Message-ID")[0]), "Message-ID is supplied")
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", bare)
    messages = server.wait_for_mail(count=2)
    check_equal(fields_named(messages[1], "Date") + fields_named(messages[1], "Message-ID"), [], "nothing is added on relay")
    check(messages[1].endswith(bare), "relayed content is untouched")


@turns_red("server-agrees-to-all")
def test_commands_out_of_order_get_503():
    session = started().smtp()
    session.command("MAIL FROM:<barney@isp2.example>", 503)
    session.command("EHLO client.example", 250)
    session.command("RCPT TO:<sales@fredsco.example>", 503)
    session.command("DATA", 503)
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    session.command("MAIL FROM:<barney@isp2.example>", 503)
    session.command("DATA", (503, 554))
    # EHLO ends a transaction (RFC 5321 4.1.4).
    session.command("EHLO client.example", 250)
    session.command("RCPT TO:<sales@fredsco.example>", 503)


@turns_red("server-agrees-to-all")
def test_malformed_commands_get_their_reply_and_leave_the_session_usable():
    server = started()
    for text, codes in (("MAIL FROM: barney@isp2.example", (501,)), ("MAIL FROM:<barney@isp2.example", (501,)),
                        ("MAIL TO:<barney@isp2.example>", (500, 501)), ("MAIL", (501,)), ("MAIL FROM:<bar ney@isp2.example>", (501, 553)),
                        ("MAIL FROM:<a@b> SIZE=x", (501,)), ("MAIL FROM:<a@b.example> BODY=16BIT", (501, 555, 504)),
                        ("MAIL FROM:<a@b.example> UNKNOWN=1", (555,)), ("FOO", (500, 502)), ("", (500, 501)), ("\x00\x01", (500, 501)),
                        ("EHLO", (501,)), ("HELO", (501,)), ("RSET now", (501,)), ("QUIT now", (501,)), ("DATA now", (501, 503)), ("STARTTLS now", (501,))):
        session = server.smtp()
        session.command("EHLO client.example", 250)
        reply = session.command(text)
        check(reply.code in codes, f"{text!r}: got {reply}, wanted one of {codes}")
        session.command("NOOP", 250)
        session.command("MAIL FROM:<barney@isp2.example>", 250)
        session.command("RCPT TO:<sales@fredsco.example>", 250)
        session.quit()


@turns_red("server-refuses-all")
def test_small_commands_work_at_any_time():
    session = started().smtp()
    session.command("NOOP", 250)
    session.command("RSET", 250)
    session.command("HELP", (211, 214))
    session.command("VRFY sales", (250, 252))
    session.command("HELO client.example", 250)
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    session.command("NOOP anything at all", 250)
    session.command("VRFY sales@fredsco.example", (250, 252))
    session.command("RCPT TO:<sales@fredsco.example>", 250)
    session.command("RSET", 250)
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    session.quit()


@turns_red("server-agrees-to-all")
def test_a_long_command_line_is_refused_and_the_next_is_heard():
    session = started().smtp()
    session.command("EHLO client.example", 250)
    session.command("NOOP " + "x" * 600, 500)
    session.command("MAIL FROM:<" + "x" * 1200 + "@isp2.example>", (500, 501))
    session.command("x" * 200000, 500)
    session.command("NOOP", 250)


@turns_red("server-agrees-to-all")
def test_too_many_errors_end_the_session():
    session = started(limits={"errors": 5}).smtp()
    for _ in range(4):
        session.command("FOO", (500, 502))
    reply = session.command("FOO")
    if reply.code != 421:
        session.expect(421)
    check(session.at_end(), "the connection is closed")


@turns_red("server-agrees-to-all")
def test_too_many_recipients_get_452_and_the_others_their_mail():
    server = started(limits={"recipients": 100})
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    for _ in range(100):
        session.command("RCPT TO:<sales@fredsco.example>", 250)
    session.command("RCPT TO:<sales@fredsco.example>", 452, "4.5.3")
    _, content = make_message()
    session.command("DATA", 354)
    session.send(content + b".\r\n")
    session.expect(250)
    check(len(server.wait_for_mail()) >= 1, "mail arrives")


@turns_red("server-agrees-to-all")
def test_a_too_big_message_is_refused_when_announced_and_when_not():
    server = started(limits={"message_size": f"{SIZE_LIMIT}B"})
    session = server.smtp()
    check_equal(session.extensions().get("SIZE"), [str(SIZE_LIMIT)], "SIZE in EHLO")
    session.command(f"MAIL FROM:<barney@isp2.example> SIZE={SIZE_LIMIT + 1}", 552, "5.3.4")
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    session.command("RCPT TO:<sales@fredsco.example>", 250)
    session.command("DATA", 354)
    _, content = make_message(body=b"0123456789abcdef" * 64 * 70 + b"\r\n")
    check(len(content) > SIZE_LIMIT, "test content is big enough")
    session.send(content + b".\r\n")
    session.expect(552, "5.3.4")
    _, content = make_message()
    session.message("barney@isp2.example", "sales@fredsco.example", content)
    check_equal(len(server.wait_for_mail()), 1, "only the small message is there")


@turns_red("server-agrees-to-all", "mail-is-lost")
def test_bare_line_ends_never_end_content_and_are_refused():
    server = started()
    smuggled = b"MAIL FROM:<evil@isp2.example>\r\nRCPT TO:<sales@fredsco.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
    wanted = []
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r", b"\n.\r", b"\r\n\x00.\r\n"):
        session = server.smtp()
        session.command("EHLO client.example", 250)
        session.command("MAIL FROM:<barney@isp2.example>", 250)
        session.command("RCPT TO:<sales@fredsco.example>", 250)
        session.command("DATA", 354)
        session.send(b"Subject: outer\r\n\r\nbody" + end + smuggled + b".\r\n")
        reply = session.reply()
        if b"\x00" not in end:
            check_equal((reply.code, reply.status), (550, "5.5.2"), f"reply to content with {end!r}")
        elif reply.code == 250:
            wanted.append("outer")
        session.command("NOOP", 250)  # Exactly one reply came: nothing was run as a command.
        session.close()
    _, content = make_message(subject="fence")
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", content)
    wanted.append("fence")
    messages = server.wait_for_mail(count=len(wanted))
    check_equal([fields_named(m, "Subject")[0].split()[0] for m in messages], wanted, "what arrived")


@turns_red("server-agrees-to-all")
def test_a_bare_line_feed_in_a_command_is_no_line_end():
    session = started().smtp()
    session.command("EHLO client.example", 250)
    session.send(b"NOOP\nNOOP\r\n")
    session.expect(500)
    session.command("NOOP", 250)


@turns_red("server-refuses-all", "mail-is-lost")
def test_pipelined_commands_are_answered_in_order():
    server = started()
    _, content = make_message()
    session = server.smtp()
    check("PIPELINING" in session.extensions(), "PIPELINING is offered")
    session.send(b"MAIL FROM:<barney@isp2.example>\r\nRCPT TO:<nobody@fredsco.example>\r\nRCPT TO:<sales@fredsco.example>\r\nDATA\r\n")
    check_equal([session.reply().code for _ in range(4)], [250, 550, 250, 354], "replies")
    session.send(content + b".\r\nMAIL FROM:<barney@isp2.example>\r\nRCPT TO:<sales@fredsco.example>\r\nNOOP\r\nRSET\r\nFOO\r\nQUIT\r\n")
    check_equal([session.reply().code // 100 for _ in range(7)], [2, 2, 2, 2, 2, 5, 2], "classes of replies")
    check(session.at_end(), "closed after QUIT")
    check_equal(len(server.wait_for_mail()), 1, "messages")


@turns_red("server-agrees-to-all")
def test_pipelined_garbage_is_answered_line_by_line_or_the_session_ends():
    server = started()
    session = server.smtp()
    session.send(b"\x16\x03\x01\x02\x00\x01\x00\r\n" * 3 + b"GET / HTTP/1.1\r\n" * 3 + bytes(range(14, 256)) * 40 + b"\r\nNOOP\r\n")
    codes = []
    while session.line() is not None:
        codes.append(session.unread)
        if len(codes) > 100:
            break
        if session.silent_for(0.5):
            break
    session.close()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("FOO", (500, 502))
    check(server.alive(), "the server lives")


@turns_red("mail-is-lost")
def test_a_connection_lost_in_mid_content_leaves_nothing():
    server = started()
    for how in ("close", "reset"):
        session = server.smtp()
        session.command("EHLO client.example", 250)
        session.command("MAIL FROM:<barney@isp2.example>", 250)
        session.command("RCPT TO:<sales@fredsco.example>", 250)
        session.command("DATA", 354)
        session.send(b"Subject: half\r\n\r\n" + b"half a message\r\n" * 2000 + b".\r")
        getattr(session, how)()
    _, content = make_message(subject="whole")
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", content)
    messages = server.wait_for_mail()
    check_equal([fields_named(m, "Subject")[0].split()[0] for m in messages], ["whole"], "what is in the mailbox")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("server-agrees-to-all")
def test_a_mail_loop_ends():
    server = started()
    hops = b"".join(b"Received: from a by b; Sun, 01 Mar 2026 12:00:00 +0000\r\n" for _ in range(101))
    _, content = make_message()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", hops + content, 554)
    few = b"\r\n".join(hops.split(b"\r\n")[:50]) + b"\r\n"
    session.message("barney@isp2.example", "sales@fredsco.example", few + content, 250)


@turns_red("server-agrees-to-all")
def test_a_silent_client_is_told_421():
    session = started(timeouts={"command": "300ms"}).smtp()
    session.command("EHLO client.example", 250)
    session.expect(421)
    check(session.at_end(), "the connection is closed")


@turns_red("server-agrees-to-all")
def test_one_connection_too_many_is_told_421():
    server = started(limits={"connections": 3})
    sessions = [server.smtp() for _ in range(3)]
    for session in sessions:
        session.command("NOOP", 250)
    surplus = server.smtp(greeting=False)
    surplus.expect(421)
    sessions[0].quit()

    def has_room():
        session = server.smtp(greeting=False)
        code = session.reply().code
        session.close()
        return code == 220

    wait_until(has_room, "a place that has become free")


def test_ehlo_lists_what_is_there():
    server = started()
    plain = server.smtp().extensions()
    for keyword in ("PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "STARTTLS"):
        check(keyword in plain, f"{keyword} in {plain}")
    for weak in ("PLAIN", "LOGIN"):
        check(weak not in plain.get("AUTH", []), f"AUTH {weak} is not offered without TLS: {plain}")
    session = server.smtp("submissions")
    inside = session.extensions()
    check("STARTTLS" not in inside, f"no STARTTLS inside TLS: {inside}")
    check({"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set(inside.get("AUTH", [])), f"mechanisms inside TLS: {inside}")


@slow
@turns_red("mail-is-lost")
def test_pythons_own_client_sends_with_every_login_method():
    server = started()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    tokens = []
    for mechanism in ("PLAIN", "LOGIN"):
        for service in ("submission", "submissions"):
            host, port = server.services[service]
            client = (smtplib.SMTP_SSL(host, port, timeout=30, context=context) if service == "submissions"
                      else smtplib.SMTP(host, port, timeout=30))
            with client:
                if service == "submission":
                    client.starttls(context=context)
                client.ehlo()
                client.user, client.password = "sales@fredsco.example", "secret"
                method = getattr(client, "auth_" + mechanism.lower())
                # With LOGIN the server speaks first (RFC 4954 4), which the client must be told.
                reply = client.auth(mechanism, method, initial_response_ok=mechanism == "PLAIN")
                check_equal(reply[0], 235, f"{mechanism} on {service}")
                token, content = make_message(sender="sales@fredsco.example")
                client.sendmail("sales@fredsco.example", ["sales@fredsco.example"], content)
                tokens.append(token)
    messages = b"".join(server.wait_for_mail(count=4))
    for token in tokens:
        check(token.encode() in messages, f"message {token} arrived")
