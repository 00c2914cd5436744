"""What senders may ask for: TLS all the way, delivery by a time, release at one (RFC 8689, 2852, 4865); limits (9422)."""

import datetime
import email
import re
import time

from certs import Ca
from lib import (POSTRIDERD, Dns, NextHop, Server, check, check_equal, fields_named, make_message, new_address, pair, run_program, stuff,
                 turns_red, wait_until)

BARNEY = "barney@isp2.example"


def sender(users=None, **settings):
    dns = Dns()
    server = Server("isp2.example", users or {"barney": "rubble"}, {"dns": {"forwarder": dns.forwarder}, **settings}, "isp2").start()
    return server, dns


def submit(server, recipients, parameters="", rcpt_parameters="", session=None):
    _, content = make_message(sender=BARNEY)
    session = session or server.submit_session("barney")
    session.command(f"MAIL FROM:<{BARNEY}> {parameters}".strip(), 250)
    for recipient in recipients:
        session.command(f"RCPT TO:<{recipient}> {rcpt_parameters}".strip(), 250)
    session.command("DATA", 354)
    session.send(stuff(content) + b".\r\n")
    session.expect(250)
    return content


def groups(raw):
    parsed = email.message_from_bytes(raw)
    check_equal(parsed.get_content_type(), "multipart/report", "type")
    return parsed.get_payload()[1].get_payload()


# ---- announcements ------------------------------------------------------------------------


@turns_red("server-agrees-to-all")
def test_what_is_offered_where():
    server, _ = sender(limits={"recipients": 150, "transactions": 2}, smtp={"deliver_by_min": "90s", "hold_max": "1h"})
    session = server.smtp()
    said = session.extensions()
    check_equal(said["LIMITS"], ["RCPTMAX=150", "MAILMAX=2"], "LIMITS")
    check_equal(said["DELIVERBY"], ["90"], "DELIVERBY")
    check("FUTURERELEASE" not in said, "FUTURERELEASE is for submission")
    check("REQUIRETLS" not in said, "REQUIRETLS is for sessions under TLS")
    session.command(f"MAIL FROM:<{BARNEY}> REQUIRETLS", 555, "5.5.4")
    session.command("MAIL FROM:<a@b.example> BY=89;R", 555, "5.5.4")
    session.command("MAIL FROM:<a@b.example>", 452, "4.5.3")
    session = server.smtp()
    session.extensions()
    session.start_tls()
    check("REQUIRETLS" in session.extensions(), "REQUIRETLS under TLS")
    session = server.smtp("submissions")
    said = session.extensions()
    check_equal(said["FUTURERELEASE"][0], "3600", "the longest hold")
    until = time.strptime(said["FUTURERELEASE"][1], "%Y-%m-%dT%H:%M:%SZ")
    check("REQUIRETLS" in said and until.tm_year >= 2026, "what submissions offers")
    session.auth_plain(BARNEY, "rubble")
    session.command(f"MAIL FROM:<{BARNEY}> HOLDFOR=3601", 501, "5.5.4")
    session.command(f"MAIL FROM:<{BARNEY}> HOLDFOR=60 BY=59;N", 501, "5.5.4")
    off, _ = sender(smtp={"without": ["DELIVERBY", "REQUIRETLS", "FUTURERELEASE", "BINARYMIME"], "hold_max": "1h"})
    said = off.smtp("submissions").extensions()
    check(not {"DELIVERBY", "REQUIRETLS", "FUTURERELEASE", "BINARYMIME"} & set(said), f"what was switched off: {said}")


# ---- REQUIRETLS (RFC 8689) -------------------------------------------------------------------


@turns_red("mail-is-lost")
def test_mail_that_requires_tls_goes_nowhere_without():
    hop = NextHop()
    server, dns = sender(retry={"first": "200ms", "max": "300ms", "expire": "1s"})
    dns.add_host("far.example", hop.address)
    session = server.submit_session("barney")
    submit(server, ["fred@far.example"], "REQUIRETLS RET=FULL", session=session)
    raw = server.wait_for_mail("barney")[0]
    check(re.match(r"5\.7\.(10|30)|4\.7\.10", groups(raw)[1]["Status"]), f"why: {groups(raw)[1]}")
    check_equal(email.message_from_bytes(raw).get_payload()[2].get_content_type(), "text/rfc822-headers", "what is returned")
    check_equal(hop.messages, [], "mail that went out")
    check(not any(verb == "MAIL" for verb, _ in hop.dialogue), "nothing of it was said to the host")
    # To a mailbox here there is no further way.
    submit(server, [BARNEY], "REQUIRETLS", session=session)
    server.wait_for_mail("barney", 2)


@turns_red("mail-is-lost")
def test_the_wish_for_tls_goes_along_and_is_kept_by_the_next():
    ca = Ca()
    certificate = ca.certificate(["mx.fredsco.example"])
    outbound = {"tls_ca": ca.path, "tls_policies": {"fredsco.example": {"mode": "enforce", "mx": ["mx.fredsco.example"]}}}
    first, second, dns = pair({"outbound": {"port": 2525, **outbound}},
                              {"tls": {"certificate": certificate.path, "key": certificate.key},
                               "aliases": {"all@fredsco.example": ["sales@fredsco.example", "fred@far.example"]}})
    hop = NextHop()  # to which the second must not send it
    dns.add_host("far.example", hop.address)
    first.start()
    second.start()
    content = submit(first, ["all@fredsco.example"], "REQUIRETLS RET=FULL")
    raw = second.wait_for_mail("sales")[0]
    check(raw.endswith(content) and " with ESMTPS " in fields_named(raw, "Received")[0], "it came over TLS")
    told = first.wait_for_mail("barney")[0]
    group = groups(told)[1]
    check_equal((group["Action"], group["Final-Recipient"]), ("failed", "rfc822; all@fredsco.example"), "who failed")
    check(group["Status"] in ("5.7.10", "5.7.30"), f"why: {group}")
    check(content not in told, "RET=FULL is disregarded (RFC 8689 5)")
    check(not any(verb == "MAIL" for verb, _ in hop.dialogue), "nothing went out in clear text")
    wait_until(first.queue_is_empty, "an empty queue")
    wait_until(second.queue_is_empty, "an empty queue")


# ---- DELIVERBY (RFC 2852) ----------------------------------------------------------------------


@turns_red("mail-is-lost", "mail-is-doubled")
def test_mail_that_is_late_is_told_of_or_returned():
    server, dns = sender(retry={"first": "200ms", "max": "300ms", "expire": "1h"})
    address = new_address()
    dns.add_host("late.example", address)  # nobody is there yet
    session = server.submit_session("barney")
    submit(server, ["returned@late.example"], "BY=1;R", session=session)
    submit(server, ["noted@late.example"], "BY=1;N", session=session)
    submit(server, ["never@late.example"], "BY=1;N", "NOTIFY=NEVER", session=session)
    told = {g["Final-Recipient"].split("; ")[1]: (first, g) for first, g in
            (groups(raw)[:2] for raw in server.wait_for_mail("barney", 2))}
    check_equal(sorted(told), ["noted@late.example", "returned@late.example"], "who is named")
    first, group = told["returned@late.example"]
    check_equal((group["Action"], group["Status"]), ("failed", "5.4.7"), "mode R")
    check(first["Deliver-By-Date"] and first["Arrival-Date"], "the times")
    first, group = told["noted@late.example"]
    check_equal((group["Action"], group["Status"]), ("delayed", "4.4.7"), "mode N")
    check(first["Deliver-By-Date"], "the time")
    hop = NextHop(address=address)
    check_equal(sorted(m["to"][0] for m in hop.wait_for(2)), ["never@late.example", "noted@late.example"], "what still goes")
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(server.mailbox("barney")), 2, "notifications")


@turns_red("mail-is-lost", "next-hop-is-deaf")
def test_the_time_goes_along_or_its_sender_is_told():
    keeps = NextHop(extensions=("PIPELINING", "DSN", "DELIVERBY"))
    knows_not = NextHop(extensions=("PIPELINING", "DSN"))
    server, dns = sender()
    dns.add_host("keeps.example", keeps.address)
    dns.add_host("not.example", knows_not.address)
    session = server.submit_session("barney")
    submit(server, ["a@keeps.example"], "BY=1000;R", session=session)
    submit(server, ["b@keeps.example"], "BY=1000;NT", session=session)
    submit(server, ["c@not.example"], "BY=1000;N", session=session)
    submit(server, ["d@not.example"], "BY=1000;R", session=session)
    keeps.wait_for(2)
    knows_not.wait_for(1)
    said = [re.search(r" BY=(\d+);(\w+)", a) for verb, a in keeps.dialogue if verb == "MAIL"]
    check_equal(sorted(m.group(2) for m in said), ["NT", "R"], "modes")
    check(all(900 < int(m.group(1)) <= 1000 for m in said), "what is left of the time")
    check(not any(" BY=" in a for verb, a in knows_not.dialogue if verb == "MAIL"), "who does not know it is not told")
    check(any("NOTIFY=FAILURE,DELAY" in a for verb, a in knows_not.dialogue if verb == "RCPT"), "but is to tell of delays")
    told = {g["Final-Recipient"].split("; ")[1]: (g["Action"], g["Status"]) for g in
            (groups(raw)[1] for raw in server.wait_for_mail("barney", 3))}
    check_equal(told, {"b@keeps.example": ("relayed", "2.0.0"), "c@not.example": ("relayed", "2.0.0"),
                       "d@not.example": ("failed", "5.4.7")}, "who is told what")
    wait_until(server.queue_is_empty, "an empty queue")


# ---- FUTURERELEASE (RFC 4865) ---------------------------------------------------------------------


def logged_at(server, event, identity):
    """The time, since 1970, of the first such event."""
    words = f" {event} id={identity} "
    wait_until(lambda: words in server.log(), f"the event{words}in the log")
    line = next(line for line in server.log().splitlines() if words in line)
    return datetime.datetime.fromisoformat(line.split()[0].replace("Z", "+00:00")).timestamp()


@turns_red("mail-is-lost", "mail-is-doubled")
def test_mail_is_held_until_its_time_whatever_happens():
    server, dns = sender()
    session = server.submit_session("barney")
    release_at = time.time() + 4
    submit(server, [BARNEY], "HOLDFOR=4", session=session)
    identity = re.search(r" queued id=(\w+) ", server.log()).group(1)
    submit(server, [BARNEY], session=session)
    server.wait_for_mail("barney", 1)
    check_equal(server.control("queue", "flush")[0], 0, "exit status of queue flush")
    if time.time() < release_at - 0.5:
        check_equal(server.control("queue", "requeue", identity)[0], 0, "exit status of queue requeue")
    server.process.kill()
    server.process.wait()
    server.start()
    server.wait_for_mail("barney", 2)
    check(logged_at(server, "delivered", identity) >= release_at - 0.01, "it came at its time")
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(server.mailbox("barney")), 2, "messages")


@turns_red("mail-is-lost")
def test_a_notification_about_held_mail_says_so():
    hop = NextHop(lambda verb, argument, session: "550 5.1.1 no" if verb == "RCPT" else None)
    server, dns = sender(retry={"first": "200ms", "max": "300ms", "expire": "500ms"})
    dns.add_host("far.example", hop.address)
    session = server.submit_session("barney")
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    submit(server, ["fred@far.example"], f"HOLDUNTIL={until}", session=session)
    first, group = groups(server.wait_for_mail("barney")[0])[:2]
    check_equal(first["Future-Release-Request"], f"until;{until}", "the wish")
    check(first["Arrival-Date"], "when it came")
    # Longer than mail may wait: that time begins when it is released.
    check_equal((group["Action"], group["Status"]), ("failed", "5.1.1"), "what became of it")


# ---- addresses --------------------------------------------------------------------------------


@turns_red("mail-is-lost", "server-refuses-all")
def test_literals_and_subaddresses_reach_their_mailboxes():
    server = Server(users={"sales": "secret", "sales+big": "pw"},
                    settings={"aliases": {"info@fredsco.example": "sales@fredsco.example"}, "listen": {"lmtp": "[::1]:0"}}).start()
    _, content = make_message()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    for to in (f"sales@[{server.address}]", "sales+x@fredsco.example", f"info+y+z@[{server.address}]", "@relay.example,@b.example:SALES@fredsco.example"):
        session.message("a@b.example", to, content)
    session.message("a@b.example", f"postmaster@[{server.address}]", content)
    session.message("a@b.example", "sales+BIG@fredsco.example", content)
    second = server.smtp("lmtp")  # at [::1]; the name of the service does not matter here
    second.command("LHLO client.example", 250)
    second.message("a@b.example", "sales@[IPv6:::1]", content)
    check_equal(len(server.wait_for_mail("sales", 6)), 6, "messages for sales")
    check_equal(len(server.wait_for_mail("sales+big", 1)), 1, "messages for the account of that name")
    session.quit()


@turns_red("server-agrees-to-all")
def test_other_literals_and_details_are_nobodys():
    server = Server(settings={"subaddress": "-"}).start()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<a@b.example>", 250)
    session.command("RCPT TO:<sales@[192.0.2.1]>", 550, "5.7.1")
    session.command("RCPT TO:<sales@[IPv6:::1]>", 550, "5.7.1")
    session.command(f"RCPT TO:<nobody@[{server.address}]>", 550, "5.1.1")
    session.command("RCPT TO:<sales+x@fredsco.example>", 550, "5.1.1")
    session.command("RCPT TO:<sales-x@fredsco.example>", 250)
    session.command("RCPT TO:<-x@fredsco.example>", 550, "5.1.1")
    session.quit()
    off = Server(settings={"subaddress": "none"}, name="off").start()
    session = off.smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<a@b.example>", 250)
    session.command("RCPT TO:<sales+x@fredsco.example>", 550, "5.1.1")


# ---- VRFY and EXPN -------------------------------------------------------------------------------


@turns_red("server-agrees-to-all", "server-refuses-all")
def test_who_is_there_is_told_where_that_is_wanted():
    settings = {"smtp": {"vrfy": True, "expn": True},
                "aliases": {"all@fredsco.example": ["sales@fredsco.example", "team@fredsco.example"],
                            "team@fredsco.example": ["fred@far.example", "sales@fredsco.example"]}}
    server = Server(settings=settings).start()
    session = server.submit_session()
    check_equal(session.command("VRFY sales", 250).lines, ["2.1.5 <sales@fredsco.example>"], "VRFY")
    check_equal(session.command("VRFY <Sales@fredsco.example>", 250).lines, ["2.1.5 <Sales@fredsco.example>"], "VRFY of a mailbox")
    session.command("VRFY nobody", 550, "5.1.1")
    session.command("VRFY fred@far.example", 252, "2.5.0")
    check_equal(session.command("EXPN all", 250).lines,
                ["2.1.5 <sales@fredsco.example>", "2.1.5 <fred@far.example>", "2.1.5 <sales@fredsco.example>"], "EXPN")
    session.command("EXPN sales", 550, "5.2.4")
    session.command("EXPN nobody", 550, "5.1.1")
    session.quit()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("VRFY nobody", 252, "2.5.0")
    session.command("EXPN all", 252, "2.5.0")
    quiet = Server(name="quiet").start()
    session = quiet.submit_session()
    session.command("VRFY nobody", 252, "2.5.0")
    session.command("EXPN all", 252, "2.5.0")


@turns_red("output-is-silent")
def test_mistakes_in_these_settings_are_named():
    for settings, text in (({"subaddress": "++"}, "neither one character"), ({"smtp": {"without": ["SIZE"]}}, "is none of"),
                           ({"smtp": {"header_8bit": "no"}}, "header_8bit"), ({"smtp": {"hold_max": "11000d"}}, "hold_max"),
                           ({"domains": ["a\u200b..example"]}, "not a domain name"), ({"limits": {"transactions": 1000000}}, "transactions")):
        server = Server(settings=settings)
        server.write_config()
        status, _, err = run_program([POSTRIDERD, "serve", "--config", server.config_path])
        check(status != 0 and text in err and re.search(r"\.yaml:\d+:\d+", err), f"{settings}: {err}")
