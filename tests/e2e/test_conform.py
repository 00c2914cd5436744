"""postrider conform: cases against the reference server and against servers that mean no good."""

import base64
import glob
import json
import os
import re
import resource
import shutil
import subprocess
import xml.etree.ElementTree

from lib import OUT, POSTRIDER, POSTRIDERD, ROOT, alone, check, check_equal, run_program, scratch, slow, turns_red

APOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apop_server.py")
HOSTILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile_server.py")

HEAD = "case: {name}\ntitle: a case of a test\nreq: RFC5321-4.1.1.9-noop-250 {level}\nrole: server\nneeds: {needs}\n{more}== greeting\nS: 220 ...\nC: EHLO probe.example\nS: 250 ...\n== verdict\n"


def write_case(name, lines, level="MUST", needs="smtp", more=""):
    path = os.path.join(scratch(), f"{name}.case")
    with open(path, "w") as file:
        file.write(HEAD.format(name=name, level=level, needs=needs, more=more) + lines)
    return path


def conform(*arguments, hostile=None):
    """(status, stdout, stderr)"""
    env = dict(os.environ)
    if hostile:
        env["HOSTILE"] = hostile
        arguments = (*arguments, "--program", HOSTILE)
    return run_program([POSTRIDER, "conform", "--results", os.path.join(scratch(), "results"), *arguments], env=env, cwd=ROOT, timeout_s=140)


def conform_all_json(*arguments, hostile=None):
    """(status, result)"""
    status, out, _ = conform("--json", *arguments, hostile=hostile)
    check(out.startswith("{"), f"JSON is printed, got {out[:200]!r}")
    return status, json.loads(out)


def conform_json(*arguments, hostile=None):
    """(status, result) of a single target; what came of it stands in the result itself."""
    status, result = conform_all_json(*arguments, hostile=hostile)
    only, = result["targets"]
    return status, {**result, **only}


def verdicts(result):
    return {c["case"]: c["verdict"] for c in result["cases"]}


def verdict_of(path, *arguments, hostile=None):
    """(status, verdict, why) of one case."""
    status, result = conform_json(path, *arguments, hostile=hostile)
    only, = result["cases"]
    return status, only["verdict"], only.get("why", "")


# What they ask about the reference does not do, or does at another time; a mutant, or another test here, does most of it.
# A name that ends in / is a folder.
NOT_TESTED = [
    "lmtp/rfc3848/1/received-says-lmtpa",
    "relay/rfc4616/2/message-form",
    "relay/rfc4616/2/password-in-utf-8",
    "relay/rfc4954/14/no-plain-for-a-name-below",
    "relay/rfc4954/14/no-plain-for-another-name",
    "relay/rfc4954/14/no-plain-for-the-common-name",
    "relay/rfc4954/14/no-plain-for-the-name-behind-an-alias",
    "relay/rfc4954/14/no-plain-for-two-labels-of-a-star",
    "relay/rfc4954/14/no-plain-in-the-clear",
    "relay/rfc4954/14/no-plain-with-a-certificate-of-tomorrow",
    "relay/rfc4954/14/no-plain-with-a-self-signed-certificate",
    "relay/rfc4954/14/no-plain-with-an-expired-certificate",
    "relay/rfc4954/14/no-plain-with-an-unknown-authority",
    "relay/rfc4954/14/plain-for-the-name-behind-which-an-alias-is",
    "relay/rfc4954/4/auth-is-last-in-a-group",
    "relay/rfc4954/4/auth-of-scram-is-last-in-a-group",
    "relay/rfc4954/4/bad-challenge-is-cancelled",
    "relay/rfc4954/4/bad-challenge-of-login-is-cancelled",
    "relay/rfc4954/4/cancelled-by-nothing-else",
    "relay/rfc4954/4/initial-response-is-base64",
    "relay/rfc4954/4/initial-response-of-scram-is-base64",
    "relay/rfc4954/4/long-initial-response-comes-later",
    "relay/rfc4954/4/no-auth-after-success",
    "relay/rfc4954/5/identity-is-a-mailbox",
    "relay/rfc4954/5/stranger-is-unknown-after-login",
    "relay/rfc4954/5/unknown-is-passed-on-after-login",
    "relay/rfc4954/5/untrusted-is-unknown",
    "relay/rfc5802/5.1/foreign-nonce-is-failure",
    "relay/rfc5802/5.1/name-is-prepared",
    "relay/rfc5802/5.1/name-is-sent",
    "relay/rfc5802/5.1/name-that-cannot-be-prepared",
    "relay/rfc5802/5/wrong-server-signature-is-failure",
    "relay/rfc5802/6/flag-without-binding",
    "relay/rfc5802/7/binding-data-is-the-header-alone",
    "relay/rfc7672/2.2.1/required-but-mx-insecure",
    "relay/rfc8461/",
    "smtp/rfc1870/3/size-zero-is-no-limit",
    "smtp/rfc1985/5.1/etrn-for-a-stranger",
    "smtp/rfc1985/5.1/etrn-without-a-name",
    "smtp/rfc1985/5/etrn-in-a-transaction",
    "smtp/rfc2645/5.1/odmr-needs-auth",
    "smtp/rfc2645/5.2.1/atrn-for-a-stranger",
    "smtp/rfc2645/5.2.1/atrn-without-login",
    "smtp/rfc2852/4/time-below-the-least",
    "smtp/rfc3207/4.2/transaction-is-forgotten",
    "pop3/rfc1939/13/not-both-pass-and-apop",
    "pop3/rfc1939/7/apop-is-not-enough",
    "pop3/rfc1939/7/apop-of-an-earlier-greeting",
    "pop3/rfc1939/7/apop-only-in-authorization",
    "pop3/rfc1939/7/apop-opens-the-maildrop",
    "pop3/rfc1939/7/apop-timestamp-is-new",
    "pop3/rfc1939/7/apop-with-a-wrong-digest",
    "pop3/rfc2449/6.5/login-delay-is-enforced",
    "pop3/rfc2449/6.5/login-delay-may-differ",
    "pop3/rfc2449/6.5/login-delay-of-the-user",
    "pop3/rfc2449/8.1.1/login-delay-has-its-code",
    "pop3/rfc5034/4/cram-md5-takes-no-initial-response",
    "pop3/rfc5802/5.1/count-of-sha-1-is-large-enough",
    "pop3/rfc5802/5/scram-sha-1-login",
    "pop3/rfc6856/2.2/apop-name-is-prepared",
    "smtp/rfc5321/3.1/refusing-greeting-waits-for-quit",
    "smtp/rfc5321/3.3/late-recipient-failure-is-notified",
    "smtp/rfc5321/3.5.1/vrfy-knows-addresses",
    "smtp/rfc5321/3.5.1/vrfy-knows-local-parts",
    "smtp/rfc5321/3.5.2/vrfy-gives-the-mailbox",
    "smtp/rfc5321/4.1.1.1/etrn-is-listed",
    "smtp/rfc5321/4.1.1.1/expn-is-listed",
    "smtp/rfc5321/4.2.4/expn-that-is-not-there-is-502",
    "smtp/rfc5321/F.6/send-is-listed",
    "smtp/rfc6531/3.5/header-without-the-parameter",
    "smtp/rfc7504/3/greeting-521-waits-for-quit",
    "smtp/rfc7505/4.1/sender-with-null-mx",
    "submission/rfc3207/4/tls-comes-first",
    "submission/rfc4954/4/initial-response-of-cram-md5",
    "submission/rfc4954/5/auth-parameter-without-login",
    "submission/rfc7505/4.1/recipient-with-null-mx",
]


SANITIZED = os.path.basename(OUT) in ("asan", "tsan")


def names(name, case):
    return case == name or (name.endswith("/") and case.startswith(name))


def check_every_case(suite, count, orders=(["--in-order"], ["--seed", "2", "--jobs", "3"])):
    """All of them pass, whatever their order."""
    expected = None
    for arguments in orders[:1] if SANITIZED else orders:
        status, result = conform_json(suite, "--strict", *arguments)
        played = verdicts(result)
        odd = {case: verdict for case, verdict in played.items() if verdict != "pass"}
        not_tested = {case: "not-tested" for case in played if any(names(name, case) for name in NOT_TESTED)}
        if "--shard" not in arguments:
            gone = [name for name in NOT_TESTED if name.startswith(f"{suite}/") and not any(names(name, case) for case in played)]
            check_equal(gone, [], "cases and folders that are said not to be tested, and are not there")
        check_equal(odd, not_tested, f"cases that do not pass with {arguments}")
        check_equal(status, 0, "exit status")
        check(len(result["cases"]) >= count, f"{len(result['cases'])} cases were played")
        expected = expected or verdicts(result)
        check_equal(verdicts(result), expected, f"verdicts with {arguments}")
        check_equal(result["totals"]["pass"], len(result["cases"]) - len(not_tested), "the total")


@slow
@turns_red("output-is-silent")
def test_every_case_for_smtp_passes_on_the_reference():
    check_every_case("smtp", 270)


@slow
def test_every_case_for_submission_passes_on_the_reference():
    check_every_case("submission", 145)


@slow
@turns_red("output-is-silent")
def test_every_case_for_lmtp_and_pop3_passes_on_the_reference():
    check_every_case("lmtp", 15)
    check_every_case("pop3", 175)


def check_relays(order, parts):
    """All cases in this order; under a sanitizer, where they would take longer than a test may, only these parts of four."""
    if SANITIZED:
        for part in parts:
            check_every_case("relay", 200, ([*order, "--shard", f"{part}/4"],))
    else:
        check_every_case("relay", 965, (order,))


@slow
@turns_red("output-is-silent")
def test_every_case_for_relays_passes_on_the_reference():
    check_relays(["--in-order"], (1, 2))


# Relays wait and try again: each order takes its time.
@slow
def test_every_case_for_relays_passes_in_another_order():
    check_relays(["--seed", "2"], (3, 4))


# By themselves, with few accounts: at its start the reference looks at each.
@slow
@turns_red("output-is-silent")
def test_a_relay_keeps_its_promise_through_restarts_and_crashes():
    status, result = conform_json("relay/rfc5321/4.5.4.1", "relay/rfc5321/6.1", "--tag", "slow", "--strict")
    check_equal({case: verdict for case, verdict in verdicts(result).items() if verdict != "pass"}, {}, "what does not pass")
    check_equal(status, 0, "exit status")
    check(len(result["cases"]) >= 15, f"{len(result['cases'])} cases were played")
    doubled = {case["case"] for case in result["cases"] if case.get("duplicates")}
    check(doubled <= {"relay/rfc5321/6.1/crash-after-final-250", "relay/rfc5321/6.1/crash-at-quit"}, f"duplicates in {doubled}")


@turns_red("output-is-silent")
def test_a_case_stops_kills_and_starts_the_server():
    gone = write_case("a-gone", "server kill\nclosed within 5s\nserver start within 60s\nC2: NOOP\nS2: 220 ...\nS2: 250 ...\n", more="tags: alone\n")
    left = write_case("b-left", "server stop\nS: 421 ...\nC2: NOOP\nS2: 220 ...\n", more="tags: alone\n")
    still = write_case("c-still", "C: NOOP\nS: 250 ...\n", more="tags: alone\n")
    status, result = conform_json("--in-order", gone, left, still)
    check_equal(verdicts(result), {"a-gone": "pass", "b-left": "fail", "c-still": "pass"},
                "whoever comes next finds the server again")
    check_equal((status, result["server_deaths"]), (1, 0), "exit status, and deaths that nobody asked for")


@turns_red("output-is-silent")
def test_what_a_run_leaves_behind():
    good = write_case("good", "C: NOOP\nS: 250 ...\n")
    bad = write_case("bad", "C: NOOP\nS: 251 ...\n")
    junit, tap = os.path.join(scratch(), "j.xml"), os.path.join(scratch(), "t.tap")
    status, out, _ = conform(good, bad, "--junit", junit, "--tap", tap)
    check_equal(status, 1, "exit status of a broken requirement")
    check("breaks RFC5321-4.1.1.9-noop-250 (MUST)" in out, "the requirement is named")
    check(re.search(r"bad\.case:\d+: 251 was due, and came: 250", out), "file, line and reason are named")
    check(r"C1 -> NOOP\r\n" in out and r"S1 <- 250 2.0.0 ok\r\n" in out, "the transcript is printed")
    check("next: postrider explain RFC5321-4.1.1.9-noop-250" in out, "one next command")
    tree = xml.etree.ElementTree.parse(junit).getroot()
    suite = tree.find("testsuite")
    check_equal((suite.get("tests"), suite.get("failures"), suite.get("errors")), ("2", "1", "0"), "counts in JUnit")
    with open(tap) as file:
        lines = file.read().splitlines()
    check_equal(lines[:4], ["TAP version 13", "1..2", "ok 1 - good", "not ok 2 - bad"], "TAP")
    directory = os.path.realpath(os.path.join(scratch(), "results", "latest"))
    for name in ("result.json", "junit.xml", "results.tap", "report.html", "reference/transcripts/good.txt", "reference/transcripts/bad.txt"):
        check(os.path.exists(os.path.join(directory, name)), f"{name} is there")
    check(not os.path.exists(os.path.join(directory, "reference/world")), "the server's data is gone")
    with open(os.path.join(directory, "report.html")) as file:
        page = file.read()
    os.remove(os.path.join(directory, "report.html"))
    check_equal(run_program([POSTRIDER, "report", directory], cwd=ROOT)[0], 0, "exit status of postrider report")
    with open(os.path.join(directory, "report.html")) as file:
        check_equal(file.read(), page, "the page that postrider report draws again")
    check(page.index("Breaks requirements") < page.index("What fails") < page.index("C1 -&gt; NOOP"), "the page has its verdict first, then the transcript")


@turns_red("output-is-silent", "server-dies-badly")
def test_levels_outcomes_and_exit_codes():
    rows = (
        ("a-should", "C: NOOP\nS: 251 ...\n", {"level": "SHOULD"}, (), 0, "warn"),
        ("a-strict-should", "C: NOOP\nS: 251 ...\n", {"level": "SHOULD"}, ("--strict",), 1, "fail"),
        ("a-strict-may", "C: NOOP\nS: 251 ...\n", {"level": "MAY"}, ("--strict",), 0, "warn"),
        ("an-implied", "C: NOOP\nS: 251 ...\n", {"level": "IMPLIED"}, (), 1, "fail"),
        ("another-outcome", 'C: NOOP\nS: 251 ...\n   else 250 => inconclusive "x"\n', {}, (), 3, "inconclusive"),
        ("passes-otherwise", 'C: NOOP\nS: 251 ...\n   else 4xx => fail "x"\n   else 250 => pass "y"\n', {}, (), 0, "pass"),
        ("goes-on", "C: NOOP\nS: 251 ...\n   else 250 => continue\nC: RSET\nS: 250 ...\n", {}, (), 0, "pass"),
        ("too-slow", "S: 250 ... within 200ms\n", {}, (), 1, "fail"),
        ("closed-early", "C: QUIT\nS: 221 ...\nS: 250 ...\n", {}, (), 1, "fail"),
        ("not-closed", "closed within 200ms\n", {}, (), 1, "fail"),
        ("not-offered", "C: NOOP\nS: 250 ...\n", {"needs": "smtp XNONSENSE"}, (), 3, "not-tested"),
        ("precondition", "C: NOOP\nS: 250 ...\n", {"more": "\n== before\nS: 555 ...\n"}, (), 3, "inconclusive"),
        ("irregular", "C: NOOP\nS: 250 ...\n   strict\n", {}, (), 0, "pass"),
        ("same", 'differ "a" "a"\n', {}, (), 1, "fail"),
        ("no-message", "stored ${rcpt} within 1s:\n", {"needs": "smtp mailbox"}, (), 1, "fail"),
        ("no-absence", 'mail ${rcpt} "Subject: x\\r\\n\\r\\ny\\r\\n"\nnot stored ${rcpt}:\n', {"needs": "smtp mailbox"}, (), 1, "fail"),
        ("other-body", 'mail ${rcpt} "Subject: x\\r\\n\\r\\ny\\r\\n"\nstored ${rcpt}:\n   body == "z\\r\\n"\n', {"needs": "smtp mailbox"}, (), 1, "fail"),
        ("other-count", 'mail ${rcpt} "Subject: x\\r\\n\\r\\ny\\r\\n"\nstored ${rcpt}:\n   count == 2\n', {"needs": "smtp mailbox"}, (), 1, "fail"),
        ("no-bounce", 'mail ${rcpt} "Subject: x\\r\\n\\r\\ny\\r\\n"\nbounced ${rcpt}:\n', {"needs": "smtp mailbox"}, (), 1, "fail"),
    )
    for name, lines, options, arguments, wanted_status, wanted in rows:
        status, verdict, why = verdict_of(write_case(name, lines, **options), *arguments)
        check_equal((status, verdict), (wanted_status, wanted), f"exit status and verdict of {name} ({why})")


RELAY_HEAD = "case: {name}\ntitle: t\nreq: RFC5321-4.5.4.1-queued-and-retried MUST\nrole: client\nneeds: {needs}\n== world\n{world}== submission\n{submission}== verdict\n"


def relay_case(name, verdict, world="next-hop mx\n", submission="submit joe@${zone}\n", needs="submission"):
    path = os.path.join(scratch(), f"{name}.case")
    with open(path, "w") as file:
        file.write(RELAY_HEAD.format(name=name, world=world, submission=submission, needs=needs) + verdict)
    return path


@slow
@turns_red("output-is-silent", "server-dies-badly")
def test_what_a_relay_says_to_its_next_hops_is_judged():
    busy_once, refused, busy = "next-hop mx\n   at rcpt 1: 450 4.2.1 busy\n", "next-hop mx\n   at rcpt: 550 5.1.1 no\n", "next-hop mx\n   at rcpt: 450 4.2.1 busy\n"
    two = "next-hop mx\nnext-hop far\n"
    other = 'submit joe@${zone}\nsubmit joe@${zone}\n   content "From: <${sender}>\\r\\nDate: Sun, 01 Mar 2026 12:00:00 +0000\\r\\nSubject: other\\r\\nMessage-ID: <other@probe.example>\\r\\n\\r\\nx\\r\\n"\n'
    rows = (
        ("taken", "received mx:\n   unchanged\n   count == 1\nnot bounced ${sender}\nnot queued\n", {}, "pass", ""),
        ("not-taken", "not received mx\n", {}, "fail", "mx: 1 messages it has taken"),
        ("other-body", 'received mx:\n   body == "z\\r\\n"\n', {}, "fail", "the body is not"),
        ("other-count", "received mx:\n   count == 2\n", {}, "fail", "there is 1 message"),
        ("each-of-two", 'received mx:\n   header Subject has "message"\n   count == 2\n', {"submission": "submit joe@${zone}\nsubmit joe@${zone}\n"}, "pass", ""),
        ("one-of-two", 'received mx:\n   header Subject == "other"\n   count == 2\n', {"submission": other}, "fail", 'no field "Subject" is as it should'),
        ("one-of-some", 'received mx:\n   header Subject == "other"\n   count >= 2\n', {"submission": other}, "pass", ""),
        ("changed", 'received mx:\n   unchanged\n', {"submission": 'C| "x"\nsubmit joe@${zone}\n   content "Subject: x\\n\\nbare\\n"\n'}, "inconclusive", ""),
        ("nothing-came", "received mx:\n", {"world": refused}, "fail", "mx has taken no message"),
        ("heard", "heard mx: RCPT TO:<joe@${zone}>...\n   then BDAT ...\n   count == 1\nheard mx: MAIL FROM:<${who}> SIZE=${size}\n", {}, "pass", ""),
        ("not-heard", "heard mx: DATA\n", {}, "fail", "mx has heard no such line"),
        ("heard-after-all", "not heard mx: BDAT ...\n", {}, "fail", "such lines it has heard"),
        ("wrong-order", "heard mx: BDAT ...\n   then RCPT ...\n", {}, "fail", "but not what should come behind it"),
        ("next", "heard mx: RCPT ...\n   next BDAT ...\nnot heard mx: MAIL ...\n   next BDAT ...\nnot heard mx: DATA\n   then RCPT ...\n", {}, "pass", ""),
        ("not-next", "heard mx: MAIL ...\n   next BDAT ...\n", {}, "fail", "but not what should come behind it"),
        ("next-after-all", "not heard mx: RCPT ...\n   next BDAT ...\n", {}, "fail", "1 such lines"),
        ("then-after-all", "not heard mx: MAIL ...\n   then BDAT ...\n", {}, "fail", "1 such lines"),
        ("awaited", "heard mx: QUIT within 20s\n   awaited\n", {"world": "next-hop mx\n   at quit: ~300ms~ 221 bye\n"}, "pass", ""),
        ("greeted", "connected mx\n   greeted\nheard mx: ...\n   ascii\n", {"world": "next-hop mx\n   at greeting: ~300ms~ 220 mx ready\n"}, "pass", ""),
        ("too-often", "heard mx: RCPT ...\n   count == 1\n", {"world": busy_once}, "fail", "there are 2 such lines"),
        ("too-soon", "heard mx: RCPT ...\n   count >= 2\n   apart >= 30s\n", {"world": busy_once}, "fail", "ms lie between"),
        ("said-after-all-is-done", "not bounced ${sender}\nheard mx: QUIT within 20s\n", {}, "pass", ""),
        ("never-said", "not bounced ${sender}\nheard mx: VRFY ... within 20s\n", {}, "fail", "mx has heard no such line"),
        ("not-alone", "heard mx: MAIL ...\n   alone\n", {}, "fail", "heard more behind it"),
        ("alone", "heard mx: MAIL ...\n   alone\nheard mx: EHLO ...\n   alone\n", {"world": "next-hop mx\n   offers nothing\n"}, "pass", ""),
        ("connected", "connected mx before far\n", {"world": "next-hop mx\n   absent\nnext-hop far\n"}, "fail", "no connection to mx came"),
        ("connected-in-order", "connected mx before far\n", {"world": "next-hop mx\n   at greeting 1: 421 4.3.2 no then close\nnext-hop far\n"}, "pass", ""),
        ("connected-in-another-order", "connected far before mx\n", {"world": "next-hop mx\n   at greeting 1: 421 4.3.2 no then close\nnext-hop far\n"}, "fail", "came before that to"),
        ("connected-after-all", "not connected mx\n", {"world": two}, "fail", "connections to it"),
        ("bounced", 'bounced ${sender}:\n   dsn joe@${zone} Status == "5.1.1"\n   dsn Action == "failed"\n   valid\n   count == 1\n', {"world": refused}, "pass", ""),
        ("other-status", 'bounced ${sender}:\n   dsn joe@${zone} Status == "5.1.2"\n', {"world": refused}, "fail", "Status is not"),
        ("other-recipient", 'bounced ${sender}:\n   dsn ann@${zone} Status has "5"\n', {"world": refused}, "fail", "no field Status of ann@"),
        ("bounced-after-all", "not bounced ${sender}\n", {"world": refused}, "fail", "has such a message"),
        ("not-bounced", "bounced ${sender} within 2s\n", {}, "fail", "no message arrived"),
        ("queued", "heard mx: RCPT ...\nqueued\n", {"world": busy}, "pass", ""),
        ("queued-still", "not queued within 1s\n", {"world": busy}, "fail", "waits in the relay's queue"),
        ("never-done", "not received mx within 1s\n", {"world": busy}, "inconclusive", "had not done with the mail"),
        ("counted-while-more-may-come", "heard mx: DATA within 1s\n   count == 0\n", {"world": busy}, "inconclusive", "had not done with the mail"),
        ("no-record", "received mx\n", {"world": "next-hop mx\nzone @ MX x mx\n"}, "error", "DNS record"),
        ("no-such-ability", "received mx\n", {"needs": "submission XNONSENSE"}, "not-tested", "does not offer"),
    )
    status, result = conform_json(*(relay_case(name, verdict, **options) for name, verdict, options, _, _ in rows))
    got = {c["case"]: (c["verdict"], c.get("why", "")) for c in result["cases"]}
    for name, _, _, wanted, why in rows:
        check_equal(got[name][0], wanted, f"verdict of {name} ({got[name][1]})")
        check(why in got[name][1], f"why {name}: {got[name][1]!r} has {why!r}")
    check_equal(status, 4, "exit status: one case could not be played")
    by_name = {c["case"]: c for c in result["cases"]}
    text = by_name["other-body"]["transcript"]
    check("mx.1 <- MAIL FROM:<" in text and "mx.1 -> 250 2.1.0 ok" in text and "dns.1 -- " in text, f"the transcript has both sides and the names: {text}")


@turns_red("output-is-silent")
def test_that_nothing_comes_is_not_known_of_a_relay_whose_queue_cannot_be_listed():
    path = like_the_reference("mute", "")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.split("\nqueue:\n")[0].replace("queue-count, ", "") + "\n")
    refused = "next-hop mx\n   at rcpt: 550 5.1.1 no\n"
    rows = (
        ("not-bounced", "not bounced ${sender} within 2s\n", "next-hop mx\n", "inconclusive"),
        ("counted", "bounced ${sender} within 2s:\n   count == 1\n", refused, "inconclusive"),
        ("bounced-after-all", "not bounced ${sender} within 20s\n", refused, "fail"),
        ("bounced", "bounced ${sender}\n", refused, "pass"),
    )
    status, result = conform_json("--target", path, *(relay_case(name, verdict, world=world) for name, verdict, world, _ in rows))
    check_equal(status, 1, "exit status")
    check_equal({c["case"]: c["verdict"] for c in result["cases"]}, {name: wanted for name, _, _, wanted in rows}, f"verdicts, {[c.get('why') for c in result['cases']]}")


@slow
@turns_red("output-is-silent", "server-dies-badly")
def test_next_hops_depart_where_a_case_says_so():
    once = "received mx:\n   count == 1\nnot bounced ${sender}\n"
    rows = [(f"{stage}-{kind}", f"next-hop mx\n   offers PIPELINING\n   at {stage} 1: {act}\n", once)
            for stage in ("greeting", "ehlo", "mail", "rcpt", "data", "final-dot")
            for kind, act in (("4yz", "451 4.3.0 later"), ("421", "421 4.3.2 bye then close"), ("close", "close"), ("reset", "reset"), ("late", "~200ms~ 451 4.3.0 later"),
                              ("silence", "silence"), ("pieces", '"45" ~5ms~ "1 4.3.0 la" ~5ms~ "ter\\r\\n"'))]
    rows += [
        ("bdat", "next-hop mx\n   at final-dot 1: 451 4.3.0 later\n", once + "heard mx: BDAT ...\n   count == 2\nheard mx: RSET\n"),
        ("offers", "next-hop mx\n   offers DSN SIZE=9999\n", once + "not heard mx: BDAT ...\nheard mx: DATA\n"),
        ("offers-nothing", "next-hop mx\n   offers nothing\n", once + "heard mx: MAIL FROM:<${sender}>\n"),
        ("helo", "next-hop mx\n   at ehlo: 502 5.5.1 no\n", once + "heard mx: HELO ...\n"),
        ("paths", "next-hop mx\n   at rcpt joe@ 1: 450 4.2.1 no\n   at mail nobody@: close\n", once + "heard mx: RCPT ...\n   count == 2\n"),
        ("tls", "next-hop mx\n   tls\n", once + "heard mx: STARTTLS\n   then EHLO ...\n"),
        ("tls-wrong-name", "next-hop mx\n   tls wrong-name\n", once + "heard mx: STARTTLS\n"),
        ("tls-self-signed", "next-hop mx\n   tls self-signed\n", once + "heard mx: STARTTLS\n"),
        ("starttls-refused", "next-hop mx\n   tls\n   at starttls: 454 4.7.0 no\n", once + "heard mx: STARTTLS\n   then MAIL ...\n"),
        ("servfail", "next-hop mx\nzone @ MX 10 mx\nzone @ SERVFAIL 1\n", once),
        ("timeout", "next-hop mx\nzone mx TIMEOUT 3s\n", "received mx within 20s:\n"),
        ("nxdomain", "next-hop mx\nzone @ MX 10 mx\nzone @ NXDOMAIN\n", "bounced ${sender}\nnot connected mx\n"),
    ]
    status, result = conform_json(*(relay_case(name, verdict, world=world, needs="submission short-retry short-timeout") for name, world, verdict in rows))
    check_equal({c["case"]: c.get("why", "") for c in result["cases"] if c["verdict"] != "pass"}, {}, "what did not pass")
    check_equal((status, len(result["cases"])), (0, len(rows)), "exit status and number of cases")


@turns_red("output-is-silent", "server-dies-badly")
def test_a_wrong_case_is_told_and_the_others_are_played():
    good = write_case("good", "C: NOOP\nS: 250 ...\n")
    wrong = write_case("wrong", "C: NOOP\nS: 2500 ...\n")
    status, out, err = conform(good, wrong)
    check_equal(status, 2, "exit status")
    check(re.search(r"wrong\.case:\d+:4: error: \"2500\" is no reply code", err) and "~~~" in err, "file, line, column and caret")
    check("1 passed" in out, "the other was played")
    for arguments in (["no/such/suite"], ["--target", "nobody", good], ["--shard", "3/2", good], ["--rerun-failed", "/nonexistent", good]):
        check_equal(conform(*arguments)[0], 2, f"exit status with {arguments}")


@turns_red("output-is-silent", "server-dies-badly")
def test_waivers_baseline_rerun_shard_and_repeat():
    good, bad = write_case("good", "C: NOOP\nS: 250 ...\n"), write_case("bad", "C: NOOP\nS: 251 ...\n")

    def waivers(case, until):
        path = os.path.join(scratch(), "waivers.yaml")
        with open(path, "w") as file:
            file.write(f"waivers:\n  - case: {case}\n    reason: known\n    until: {until}\n")
        return path

    check_equal(verdict_of(bad, "--waivers", waivers("bad", "2999-01-01"))[:2], (0, "waived"), "a waived failure")
    check_equal(verdict_of(bad, "--waivers", waivers("bad", "2020-01-01"))[:2], (1, "fail"), "a waiver that is over")
    status, out, _ = conform(good, "--waivers", waivers("good", "2999-01-01"))
    check(status == 0 and "unexpected pass: good" in out, "a pass that a waiver did not expect")
    check_equal(conform(good, "--waivers", waivers("good", "soon"))[0], 2, "exit status with a waiver without a day")

    _, first = conform_json(good, bad)
    baseline = os.path.join(scratch(), "baseline.json")
    with open(baseline, "w") as file:
        json.dump(first, file)
    check_equal(conform(good, bad, "--baseline", baseline)[0], 0, "what failed in the baseline does not count")
    worse = write_case("good", "C: NOOP\nS: 251 ...\n")
    check_equal(conform(worse, bad, "--baseline", baseline)[0], 1, "what fails newly does")

    status, result = conform_json("RFC5321-4.1.1.9", "--repeat", "3")
    check_equal(status, 0, "exit status of repeats")
    check(all(c["seen"] == {"pass": 3} for c in result["cases"]) and len(result["cases"]) >= 2, "each was played three times")

    slow_one = "relay/rfc5321/6.1/crash-before-greeting"
    earlier = os.path.join(scratch(), "earlier.json")
    result["targets"][0]["cases"] += [{"case": slow_one, "verdict": "fail"}, {"case": "pop3/rfc1939/7/user-is-not-enough", "verdict": "not-played"}]
    with open(earlier, "w") as file:
        json.dump(result, file)
    out = conform(write_case("good", "C: NOOP\nS: 250 ...\n"), write_case("beyond", "C: NOOP\nS: 250 ...\n", needs="smtp XNONSENSE"))[1]
    check("1 not-tested" in out and "--rerun-failed" not in out, f"nothing is to be played again where nothing failed: {out}")
    check_equal(set(verdicts(conform_json("--rerun-failed", earlier)[1])), {slow_one, "pop3/rfc1939/7/user-is-not-enough"}, "what is played again, and nothing else")

    parts = [set(verdicts(conform_json("pop3/rfc1939/7", "--shard", f"{i}/3")[1])) for i in (1, 2, 3)]
    check_equal(len(parts[0] | parts[1] | parts[2]), sum(map(len, parts)), "shards do not overlap")
    check_equal(parts[0] | parts[1] | parts[2], set(verdicts(conform_json("pop3/rfc1939/7")[1])), "shards are the whole")


@turns_red("output-is-silent")
def test_a_flaky_case_is_called_so():
    # The lengths of queue ids differ, and so does the reply's last digit from one playing to the next.
    path = write_case("flaky", 'mail ${rcpt} "Subject: x\\r\\n\\r\\ny\\r\\n"\nC: MAIL FROM:<a@probe.example>\nS: 250 ...\nC: RCPT TO:<${rcpt}>\nS: 250 ...\nC: DATA\nS: 354 ...\nC: .\nS: 250 ...0\n'
                      '   else 250 => fail "another"\n', needs="smtp mailbox")
    status, verdict, why = verdict_of(path, "--repeat", "40")
    check_equal((status, verdict), (1, "flaky"), f"exit status and verdict ({why})")


@slow
@turns_red("output-is-silent", "server-dies-badly")
def test_hostile_servers_are_judged_and_never_pass():
    good = write_case("good", "C: NOOP\nS: 250 ...\n", more="timeout: 1s\n")
    for behaviour in ("silent", "endless-line", "endless-reply", "closes", "refuses"):
        status, result = conform_json(good, hostile=behaviour)
        check_equal(status, 3, f"exit status with {behaviour}")
        check(verdicts(result)["good"] != "pass" and result.get("problem"), f"{behaviour} is told: {result}")
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    check(peak_kib < 400 * 1024, f"what never ends fills no memory: {peak_kib} KiB at most")
    status, verdict, why = verdict_of(write_case("busy", "C: MAIL FROM:<a@probe.example>\nS: 250 ...\n   else 4xx => inconclusive \"busy\"\n"), hostile="busy")
    check_equal((status, verdict), (3, "inconclusive"), f"a temporary refusal ({why})")


@turns_red("output-is-silent")
def test_a_server_that_dies_is_started_again_and_the_case_is_found():
    # Both are still being played when it dies, so who did it is clear only when all are played again, alone: a second death.
    cases = [write_case(f"innocent{i}", 'C| "NO" ~500ms~ "OP\\r\\n"\nS: 250 ...\n') for i in range(2)]
    killer = write_case("killer", "C: VRFY x\nS: 250 ...\n")
    status, result = conform_json(*cases, killer, hostile="dies-at-vrfy")
    check_equal(status, 1, "exit status")
    check_equal({c for c, v in verdicts(result).items() if v != "pass"}, {"killer"}, "who is to blame")
    check_equal(result["server_deaths"], 2, "deaths")
    why, = [c["why"] for c in result["cases"] if c["case"] == "killer"]
    check("the server died" in why, f"why: {why}")


@turns_red("output-is-silent", "server-dies-badly")
def test_a_target_may_be_a_file_of_ones_own():
    with open(os.path.join(ROOT, "scenarios/targets/reference.yaml")) as file:
        text = file.read()
    os.mkdir(os.path.join(scratch(), "mine"))
    shutil.copy(os.path.join(ROOT, "scenarios/targets/reference/postriderd.conf"), os.path.join(scratch(), "mine"))

    def target(**changes):
        path = os.path.join(scratch(), "mine.yaml")
        with open(path, "w") as file:
            file.write("".join(line + "\n" for line in text.splitlines() if line.split(":")[0] not in changes) + "".join(changes.values()))
        return path

    good = write_case("good", "C: NOOP\nS: 250 ...\n")
    mine = {"target": "target: mine\n", "services": "services: [smtp, pop3, pop3s]\n"}
    status, result = conform_json("--target", target(**mine), good, "lmtp/rfc2033/5/pipelining-and-codes")
    check_equal((status, result["target"]), (0, "mine"), f"exit status and name, {result}")
    check_equal(verdicts(result), {"good": "pass", "lmtp/rfc2033/5/pipelining-and-codes": "not-tested"}, "verdicts")
    why, = [c["why"] for c in result["cases"] if c["verdict"] == "not-tested"]
    check("no lmtp service" in why, f"why: {why}")
    borrowed = {**mine, "services": "services: [smtp, pop3, pop3s]\nborrowed: [smtp]\n"}
    status, result = conform_json("--target", target(**borrowed), good)
    check_equal((status, verdicts(result)), (3, {"good": "not-tested"}), "what another program serves is not judged")
    status, _, err = conform("--target", target(**mine, ready="ready: { lines: x }\n"), good)
    check(status == 2 and "mine.yaml:" in err, f"a mistake in it is told: {err}")


def like_the_reference(name, more):
    """A target file: the reference with more in its configuration."""
    with open(os.path.join(ROOT, "scenarios/targets/reference.yaml")) as file:
        text = file.read().replace("target: reference", f"target: {name}")
    path = os.path.join(scratch(), f"{name}.yaml")
    with open(path, "w") as file:
        file.write(text)
    os.mkdir(os.path.join(scratch(), name))
    shutil.copy(os.path.join(ROOT, "scenarios/targets/reference/postriderd.conf"), os.path.join(scratch(), name))
    with open(os.path.join(scratch(), name, "postriderd.conf"), "a") as file:
        file.write(more)
    return path


@turns_red("output-is-silent", "server-dies-badly")
def test_a_login_delay_is_judged():
    status, result = conform_json("--strict", "--target", like_the_reference("delay", "pop3: { login_delay: 30s }\n"), "pop3/rfc2449/6.5", "pop3/rfc2449/8.1.1")
    check_equal((status, set(verdicts(result).values())), (0, {"pass"}), f"exit status and verdicts: {verdicts(result)}")
    check_equal(len(result["cases"]), 4, "cases")


@turns_red("output-is-silent")
def test_an_autologout_is_judged():
    names = [f"pop3/rfc1939/3/{name}" for name in ("no-autologout-within-ten-minutes", "no-autologout-before-login", "autologout-removes-nothing")]
    status, result = conform_json("--strict", "--slow", "--target", like_the_reference("impatient", "timeouts: { pop3: 1s }\n"), *names)
    check_equal([verdicts(result)[name] for name in names], ["fail", "fail", "pass"], "of one that waits for a second")
    check_equal(status, 1, "exit status")


@turns_red("output-is-silent", "server-dies-badly")
def test_apop_is_judged():
    cases = {
        "opens-the-maildrop": ("no-digest",),
        "timestamp-is-new": ("same-timestamp", "odd-timestamp"),
        "announced-is-there": ("no-timestamp",),
        "with-a-wrong-digest": ("any-digest",),
        "of-an-earlier-greeting": ("own-timestamp",),
        "is-not-enough": ("name-is-enough",),
        "only-in-authorization": ("twice",),
    }
    names = {f"pop3/rfc1939/7/apop-{name}": wrong for name, wrong in cases.items()}
    names["pop3/rfc1939/13/not-both-pass-and-apop"] = ("pass-too",)
    names["pop3/rfc6856/2.2/apop-name-is-prepared"] = ("unprepared",)

    def judge(behaviour, *chosen):
        env = {**os.environ, "APOP": behaviour}
        command = [POSTRIDER, "conform", "--json", "--strict", "--results", os.path.join(scratch(), "results"), "--program", APOP, *chosen]
        status, out, err = run_program(command, env=env, cwd=ROOT, timeout_s=60)
        check(out.startswith("{"), f"JSON is printed, got {out[:200]!r} {err[:500]!r}")
        return status, verdicts(json.loads(out)["targets"][0])

    status, seen = judge("right", *names)
    odd = {n: v for n, v in seen.items() if v != ("not-tested" if "announced" in n else "pass")}
    check_equal((status, odd), (0, {}), "of a server that is right")
    for name, wrong in names.items():
        for behaviour in wrong:
            check_equal(judge(behaviour, name), (1, {name: "fail"}), f"exit status and verdict of one with {behaviour}")


@turns_red("output-is-silent")
def test_no_secret_is_in_what_a_run_leaves():
    login = "C: USER ${user}\nS: +OK ...\nC: PASS ${password}\nS: +OK ...\n"
    path = os.path.join(scratch(), "secret.case")
    with open(path, "w") as file:
        file.write("case: secret\ntitle: t\nreq: RFC1939-5-noop-ok IMPLIED\nrole: server\nneeds: pop3s submissions mailbox\n== login\nS: +OK ...\n" + login
                   + 'let wrong = base64 "\\0${user2}\\0${password2}x"\nconnect 2 submissions\nS2: 220 ...\nC2: EHLO probe.example\nS2: 250 ...\nC2: AUTH PLAIN ${wrong}\nS2: 535 ...\n'
                   "C2: AUTH PLAIN ${plain2}\nS2: 235 ...\nC2: ${password}\nS2: 500 ...\n== verdict\nC: NOOP\nS: -ERR ...\n")
    status, out, _ = conform(path, "--keep-world")
    check_equal(status, 1, "exit status")
    check("PASS [secret]" in out and "AUTH PLAIN [secret]" in out, "secrets are blotted out")
    directory = os.path.realpath(os.path.join(scratch(), "results", "latest"))
    secrets = set()
    for password in glob.glob(os.path.join(directory, "reference/world/hosts/sut/password.*")):
        with open(password) as file:
            secret = file.read().strip()
        user = os.path.basename(password).split(".", 1)[1] + "@sut.example"
        secrets |= {secret, base64.b64encode(f"\0{user}\0{secret}".encode()).decode(), base64.b64encode(f"\0{user}\0{secret}x".encode()).decode()}
    check(len(secrets) >= 6, "passwords were found to look for")
    for root, _, names in os.walk(directory):
        for name in names if "/world" not in root else ():
            with open(os.path.join(root, name), errors="replace") as file:
                text = file.read()
            check(not any(secret in text for secret in secrets), f"no secret in {name}")
    check(not any(secret in out for secret in secrets), "no secret on the terminal")


@turns_red("server-dies-badly")
def test_lint_finds_no_mistake_in_the_cases():
    cases = glob.glob(os.path.join(ROOT, "scenarios/cases/**/*.case"), recursive=True)
    check(len(cases) >= 140, "cases were found")
    status, out, err = run_program([POSTRIDER, "lint", *cases], cwd=ROOT)
    check_equal((status, err), (0, ""), "exit status and messages")


@alone
@turns_red("output-is-silent", "server-dies-badly")
def test_an_interrupted_run_says_so_and_leaves_nothing_running():
    slow_case = write_case("waits", "S: 250 ... within 60s\n")
    process = subprocess.Popen([POSTRIDER, "conform", slow_case, "--results", os.path.join(scratch(), "results")], cwd=ROOT, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    pattern = os.path.join(scratch(), "results/conform-*/reference/world/hosts/sut/stdout.log")

    def ready():
        return any("ready" in open(path).read() for path in glob.glob(pattern))

    from lib import lens, wait_until
    wait_until(ready, "the server is ready")
    process.terminate()
    out = process.communicate(timeout=30)[0]
    print(out)
    seen = "" if lens == "output-is-silent" else out
    check_equal(1 if lens == "server-dies-badly" else process.returncode, 130, "exit status")
    check("INTERRUPTED" in seen, "it says so")


DSN = """Return-Path: <>
Date: Fri, 8 Jul 1994 09:21:47 -0400
From: Mail Delivery System <postmaster@isp2.example>
Message-ID: <bounce1@isp2.example>
To: <barney@isp2.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=cut

--cut

It did not work.
--cut
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.isp2.example

Final-Recipient: rfc822; nobody@fredsco.example
Action: failed
Status: 5.1.1
--cut
Content-Type: text/rfc822-headers

Message-ID: <original@isp2.example>
--cut--
"""


@turns_red("output-is-silent", "server-dies-badly")
def test_a_notification_is_checked_by_hand():
    path = os.path.join(scratch(), "bounce.eml")
    rows = (
        (DSN, (), 0, "nobody@fredsco.example failed, status 5.1.1"),
        (DSN.replace("\n", "\r\n"), (), 0, "nobody@fredsco.example failed, status 5.1.1"),
        (DSN, ("--sender", "ann@isp2.example"), 1, "bounce.eml:1: error: To does not name ann@isp2.example"),
        (DSN.replace("Status: 5.1.1", "Status: 5.01.1"), (), 1, "bounce.eml:19: error: Status: cannot be \"5.01.1\" (RFC 3464 2.3.4)"),
        (DSN.replace("Action: failed\n", ""), (), 1, "bounce.eml:17: error: Action is missing (RFC 3464 2.3.3)"),
        ("Subject: x\n\ny\n", (), 1, "not multipart/report (RFC 3464 2)"),
        ("", (), 3, ""),
    )
    for text, arguments, wanted, said in rows:
        with open(path, "w", newline="") as file:
            file.write(text)
        status, out, _ = run_program([POSTRIDER, "check-dsn", *arguments, path])
        check_equal(status, wanted, f"exit status for {text!r}: {out}")
        check(said in out, f"{said!r} is said: {out}")
    status, _, err = run_program([POSTRIDER, "check-dsn", os.path.join(scratch(), "nowhere")])
    check(status == 2 and "nowhere" in err, "a file that is not there")


@turns_red("output-is-silent", "server-dies-badly")
def test_explain_names_clause_and_cases():
    status, out, _ = run_program([POSTRIDER, "explain", "RFC5321-4.5.2-leading-dot-deleted"], cwd=ROOT)
    check_equal(status, 0, "exit status")
    for text in ("IMPLIED", "RFC 5321, section 4.5.2", "corruption", "smtp/rfc5321/4.5.2/receiver-removes-leading-dot"):
        check(text in out, f"{text!r} is printed")
    check(run_program([POSTRIDER, "explain", "RFC5321-4.5.2"], cwd=ROOT)[1].count("RFC5321-4.5.2-") >= 3, "a section's requirements are named")
    status, _, err = run_program([POSTRIDER, "explain", "RFC5321-4.5.2-leading-dot-deletet"], cwd=ROOT)
    check(status == 2 and "did you mean \"RFC5321-4.5.2-leading-dot-deleted\"?" in err, "a slip is noticed")
