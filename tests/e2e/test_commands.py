"""postrider: mistakes on the command line and in flows, and the small commands."""

import glob
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess

import lib
from lib import (
    POSTRIDER, ROOT, SMTP_PORT, Dns, Failed, Server, check, check_equal, encode_name, new_address, run_program, scratch, turns_red, wait_until)
from runs import SHIPPED, environment, start

lib.LENSES.update({
    "address-is-loopback": "the address that must be refused is a harmless one",
})

# ---- flows with mistakes ---------------------------------------------------------------

BROKEN = """flow: broken
title: several mistakes
hosts:
  isp2:
    domain: isp2.example
    accounts: [barney]
  fredsco:
    domian: fredsco.example
    accounts: [sales]
traffic:
  - name: letters
    from: barney@isp2.example
    to: sails@isp2.example
    rate: 10 per second
    for: 5
faults:
  - { at: 1s, host: nowhere, do: stop }
expect:
  delivered: most
"""
# line, column and length of what is pointed at, and a word of the explanation
MISTAKES = (
    (7, 3, "fredsco", "domain"), (8, 5, "domian", 'did you mean "domain"'), (13, 9, "sails@isp2.example", "no account"), (14, 11, "10 per second", "rate"),
    (15, 10, "5", "duration"), (17, 21, "nowhere", "no host"), (19, 14, "most", "all"),
)


@turns_red("output-is-silent", "server-dies-badly")
def test_every_mistake_of_a_flow_is_shown_where_it_is_and_nothing_starts():
    path = os.path.join(scratch(), "broken.flow.yaml")
    with open(path, "w") as file:
        file.write(BROKEN)
    results = os.path.join(scratch(), "none")
    for command in (["lint", path], ["run", path, "--results", results], ["run", "three-steps", path, "--results", results]):
        status, out, err = run_program([POSTRIDER, *command], env=environment(), cwd=ROOT)
        check_equal((status, out), (2, ""), "exit status and output")
        lines = err.splitlines()
        places = [line for line in lines if line.startswith(path)]
        check_equal(len(places), len(MISTAKES), "mistakes that are shown")
        for number, column, text, word in MISTAKES:
            at = next((i for i, line in enumerate(lines) if line.startswith(f"{path}:{number}:{column}: error: ")), None)
            check(at is not None, f"a mistake at {number}:{column} in {err}")
            check(word in lines[at], f"{word!r} is in {lines[at]!r}")
            source, caret = (line.partition("| ")[2] for line in lines[at + 1:at + 3])
            check_equal(source, BROKEN.splitlines()[number - 1], "the source line")
            mark = re.search(r"\^~*", caret)
            check(mark, f"a caret in {caret!r}")
            check(source[mark.start():].startswith(text), f"the caret points at {text!r}: {source!r} {caret!r}")
        check(not os.path.exists(results), "nothing was started")


@turns_red("output-is-silent", "server-dies-badly")
def test_a_misspelt_flow_gets_a_suggestion():
    results = os.path.join(scratch(), "none")
    for given, wanted in (("three-stpes", 'did you mean "three-steps"'), ("next_hop_down", 'did you mean "next-hop-down"'), ("utterly-other", "postrider list")):
        status, _, err = run_program([POSTRIDER, "run", given, "--results", results], env=environment(), cwd=ROOT)
        check_equal(status, 2, f"exit status of {given}")
        check(given in err and wanted in err, f"{wanted!r} is in {err!r}")
    check(not os.path.exists(results), "nothing was started")


@turns_red("output-is-silent", "server-dies-badly")
def test_list_names_the_shipped_flows_and_lint_finds_no_mistake_in_them():
    status, out, _ = run_program([POSTRIDER, "list"], env=environment(), cwd=ROOT)
    check_equal(status, 0, "exit status of list")
    names = [line.split("  ")[0] for line in out.splitlines()]
    check(set(SHIPPED) <= set(names), f"the shipped flows are among {names}")
    status, _, err = run_program([POSTRIDER, "lint", *names], env=environment(), cwd=ROOT)
    check_equal((status, err), (0, ""), "exit status of lint, and mistakes")


def run_three_steps(*options, env=None):
    """Stopped before it began: exit status 2, nothing on standard output; returns what it said."""
    results = os.path.join(scratch(), "none")
    status, out, err = run_program([POSTRIDER, "run", "three-steps", "--set", "time=200ms", "--results", results, *options], env=env or environment(), cwd=ROOT)
    check_equal((status, out), (2, ""), f"exit status and output, {err!r}")
    check(not glob.glob(os.path.join(results, "*")), "nothing was started")
    return err


@turns_red("output-is-silent", "server-dies-badly")
def test_a_server_program_that_is_not_there_is_named_before_anything_starts():
    nowhere = os.path.join(scratch(), "nowhere")
    check(f"{nowhere}: no such program" in run_three_steps("--program", nowhere), "a path that is not there")
    check(f"{scratch()}: is no program" in run_three_steps("--program", scratch()), "a directory")
    plain = os.path.join(scratch(), "plain")
    with open(plain, "w") as file:
        file.write("text\n")
    check(f"{plain}: is no program" in run_three_steps("--program", plain), "a file that is not executable")
    err = run_three_steps("--program", "no-such-postriderd")
    check("no-such-postriderd: no such program on PATH; build it, or say --program PATH" in err, f"a name: {err!r}")
    # Away from its companion, and none on PATH.
    alone = os.path.join(scratch(), "postrider")
    shutil.copy(POSTRIDER, alone)
    status, _, err = run_program([alone, "run", "three-steps"], env=environment(PATH="/nonexistent"), cwd=ROOT)
    check_equal(status, 2, "exit status without postriderd")
    check("postriderd: no such program beside this one or on PATH" in err, f"what is missing is named: {err!r}")


@turns_red("output-is-silent", "server-dies-badly")
def test_a_place_that_cannot_be_written_to_is_refused_before_anything_starts():
    plain = os.path.join(scratch(), "plain")
    with open(plain, "w") as file:
        file.write("text\n")
    err = run_three_steps("--results", os.path.join(plain, "results"))
    check(plain in err and "choose another place with --results DIR" in err, f"results: {err!r}")
    err = run_three_steps("--junit", os.path.join(scratch(), "nowhere/junit.xml"))
    check(os.path.join(scratch(), "nowhere") in err and "choose another place with --junit FILE" in err, f"junit: {err!r}")


@turns_red("output-is-silent")
def test_output_that_could_not_be_written_is_no_success_and_a_reader_that_left_is_no_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run([POSTRIDER, "list"], stdout=full, stderr=subprocess.PIPE, env=environment(), cwd=ROOT, text=True, check=False)
    err = "" if lib.lens == "output-is-silent" else done.stderr
    check_equal(done.returncode, 4, "exit status on a full disk")
    check("standard output: No space left on device" in err, f"the reason: {err!r}")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([POSTRIDER, "list"], stdout=write, stderr=subprocess.PIPE, env=environment(), cwd=ROOT, text=True, check=False)
    os.close(write)
    check_equal((done.returncode, done.stderr), (0, ""), "exit status when the reader has gone")


@turns_red("output-is-silent", "server-dies-badly")
def test_a_port_that_is_taken_is_named_with_a_way_out():
    process, host, port = start_service("sink", "--listen", f"{new_address()}:2525")
    status, _, err = run_program([POSTRIDER, "sink", "--listen", f"{host}:{port}"], timeout_s=10)
    check_equal(status, 2, "exit status")
    check(f"{host}:{port}: Address already in use; port 0 takes a free one" in err, f"the way out: {err!r}")
    process.kill()


# What an impatient hand types: arguments, and words of the answer.
SLIPS = (
    ([], "postrider run three-steps"), (["rnu"], 'did you mean "run"'), (["run"], "Try 'postrider run --help'"), (["run", "--quite", "three-steps"], 'did you mean --quiet'),
    (["run", "--quiet"], "FLOW is missing"), (["run", "three-steps", "--color"], "needs a value"), (["run", "three-steps", "--color", "sometimes"], "auto, always, never"),
    (["run", "three-steps", "--seed", "x"], "whole number"), (["run", "three-steps", "--set", "rat=3"], "no flow here has ${rat}"), (["run", "nosuch.flow.yaml"], "postrider list"),
    (["run", "three-steps", "--set", "rate=fast"], "expected a rate such as 80/s"), (["lint"], "Try 'postrider lint --help'"), (["report", "/nonexistent"], "/nonexistent/result.json"),
    (["send"], "see postrider send --help"), (["sink", "--reply", "rcpt=banana"], "expected STAGE=CODE TEXT"), (["sink", "--listen", "here"], "expected ADDRESS:PORT"), (["dns"], "Try 'postrider dns --help'"),
)


@turns_red("output-is-silent", "server-dies-badly")
def test_every_slip_of_the_hand_is_answered_with_status_2_and_a_way_on():
    for arguments, words in SLIPS:
        status, out, err = run_program([POSTRIDER, *arguments], env=environment(), cwd=ROOT, timeout_s=10)
        check_equal((status, out), (2, ""), f"exit status and output of {arguments}")
        check(words in err, f"{words!r} is in the answer to {arguments}: {err!r}")


# ---- the small commands --------------------------------------------------------------------


def start_service(*arguments):
    """A command that says where it listens and that it is ready; (process, host, port)."""
    process = start([POSTRIDER, *arguments], stdout=subprocess.PIPE)
    where = process.stdout.readline().split()
    check(len(where) == 2, f"{arguments[0]} says where it listens: {where}")
    check_equal(process.stdout.readline(), "ready\n", "what it says then")
    host, port = where[1].rsplit(":", 1)
    return process, host, int(port)


def end_service(process):
    process.send_signal(signal.SIGTERM)
    out = process.communicate(timeout=lib.PATIENCE_S)[0]
    check_equal(process.returncode, 0, "exit status after SIGTERM")
    return "" if lib.lens == "output-is-silent" else out


def ask(host, port, name, kind):
    """(rcode, [rdata]) by UDP; names in rdata are compressed or not, so only what follows fixed fields is looked at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(lib.PATIENCE_S)
        question = encode_name(name) + struct.pack("!HH", kind, 1)
        sock.sendto(struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + question, (host, port))
        reply = sock.recv(4096)
    number, flags, _, answers, _, _ = struct.unpack("!HHHHHH", reply[:12])
    check_equal((number, flags >> 15), (4711, 1), "the reply's number and QR")
    check_equal(reply[12:12 + len(question)], question, "the question in the reply")
    at, data = 12 + len(question), []
    for _ in range(answers):
        while reply[at] and reply[at] < 192:
            at += 1 + reply[at]
        at += 2 if reply[at] else 1
        size = struct.unpack("!H", reply[at + 8:at + 10])[0]
        data.append(reply[at + 10:at + 10 + size])
        at += 10 + size
    return flags & 15, data


@turns_red("output-is-silent")
def test_dns_serves_a_zone_file():
    zone = os.path.join(scratch(), "zone")
    with open(zone, "w") as file:
        file.write("$ORIGIN example.\nfredsco 60 IN MX 10 mx.fredsco\nfredsco 60 IN MX 20 mx2.fredsco\nmx.fredsco 60 IN A 127.0.0.9\n")
    process, host, port = start_service("dns", "--zone", zone, "--listen", f"{new_address()}:5353")
    rcode, data = ask(host, port, "fredsco.example", 15)
    check_equal((rcode, sorted(d[:2] for d in data)), (0, [b"\0\x0a", b"\0\x14"]), "MX preferences")
    check_equal(ask(host, port, "MX.Fredsco.Example", 1), (0, [bytes([127, 0, 0, 9])]), "A, in other case")
    check_equal(ask(host, port, "mx.fredsco.example", 15), (0, []), "a type that is not there")
    check_equal(ask(host, port, "nowhere.example", 1), (3, []), "a name that is not there")
    out = end_service(process)
    check("fredsco.example" in out and "MX" in out, f"queries are printed: {out!r}")
    with open(zone, "a") as file:
        file.write("this is no record\n")
    status, _, err = run_program([POSTRIDER, "dns", "--zone", zone, "--listen", f"{new_address()}:5353"], timeout_s=10)
    check_equal(status, 2, "exit status with a broken zone")
    check(zone in err, f"the file is named: {err!r}")


def send(host, port, *options, env=None):
    return run_program([POSTRIDER, "send", "--server", f"{host}:{port}", "--from", "barney@isp2.example", *options], env=env or environment())


@turns_red("output-is-silent", "server-dies-badly")
def test_send_and_sink_talk_to_each_other():
    process, host, port = start_service("sink", "--listen", f"{new_address()}:2525", "--show")
    status, out, _ = send(host, port, "--to", "sales@fredsco.example", "--to", "x@fredsco.example", "--count", "25", "--sessions", "3", "--size", "5KiB")
    check_equal(status, 0, "exit status of send")
    check("25 accepted" in out, f"send counts: {out!r}")
    out = end_service(process)
    check(out.count("<barney@isp2.example> to <sales@fredsco.example> <x@fredsco.example>") == 25, f"sink shows each: {out!r}")
    check("25 messages" in out, f"sink counts: {out!r}")


@turns_red("output-is-silent")
def test_send_and_sink_count_for_machines_and_equal_content_has_its_own_message_ids():
    process, host, port = start_service("sink", "--listen", f"{new_address()}:2525", "--json")
    status, out, err = send(host, port, "--to", "sales@fredsco.example", "--count", "12", "--sessions", "2", "--size", "5KiB", "--same-content", "--json")
    check_equal((status, err), (0, ""), "exit status of send")
    check(out, "send prints its summary")
    sent = json.loads(out)
    check_equal((sent["messages"], sent["outcomes"]["accepted"], sent["recipients_refused"]), (12, 12, 0), "what send counts")
    check(sent["accept_ms"]["p50"] > 0 and sent["accepted_per_s"] > 0 and sent["seconds"] > 0, f"times and a rate: {sent}")
    out = end_service(process)
    check(out, "sink prints its count")
    check_equal(json.loads(out), {"messages": 12, "content_bytes": sent["content_bytes"], "connections": 2}, "what sink counts")
    server = Server().start()
    host, port = server.services["smtp"]
    status, out, _ = send(host, port, "--to", "sales@fredsco.example", "--count", "5", "--same-content")
    check_equal(status, 0, "exit status of send")
    messages = server.wait_for_mail(count=5)
    ids = {re.search(rb"\r\nMessage-ID: <[^>]+>", m).group(0) for m in messages}
    check_equal(len(ids), 5, "different Message-IDs")


@turns_red("output-is-silent", "mail-is-lost")
def test_messages_in_flight_by_data_and_bdat_all_arrive_once():
    for options in (["--in-flight", "3"], ["--in-flight", "8", "--chunking"], ["--chunking", "--no-pipelining"]):
        server = Server().start()
        host, port = server.services["smtp"]
        status, out, err = send(host, port, "--to", "sales@fredsco.example", "--count", "40", "--sessions", "2", "--size", "9KiB", "--json", *options)
        check_equal((status, err), (0, ""), f"exit status of send {options}")
        check(out, "send prints its summary")
        sent = json.loads(out)
        check(sent["outcomes"]["accepted"] == 40 and sent["p99_ms"] > 0 and sent["ack_ms"]["p99"] > 0, f"what send counts: {sent}")
        messages = server.wait_for_mail(count=40)
        check_equal(len({re.search(rb"\r\nMessage-ID: <[^>]+>", m).group(0) for m in messages}), 40, f"different messages with {options}")
        server.stop()


@turns_red("output-is-silent")
def test_lmtp_has_a_final_reply_for_each_recipient():
    process, host, port = start_service("sink", "--listen", f"{new_address()}:2525", "--lmtp", "--show")
    status, out, _ = send(host, port, "--to", "sales@fredsco.example", "--to", "x@fredsco.example", "--count", "9", "--in-flight", "2", "--lmtp")
    check_equal(status, 0, "exit status of send")
    check("9 accepted" in out, f"send counts: {out!r}")
    status, _, err = send(host, port, "--to", "sales@fredsco.example")
    check(status == 1 and "refused at hello" in err, f"SMTP is not LMTP: {status} {err!r}")
    out = end_service(process)
    check(out.count("<barney@isp2.example> to <sales@fredsco.example> <x@fredsco.example>") == 9, f"sink shows each: {out!r}")


@turns_red("output-is-silent")
def test_send_says_that_a_sink_refused():
    process, host, port = start_service("sink", "--listen", f"{new_address()}:2525", "--reply", "final=554 5.6.0 not this one")
    status, out, err = send(host, port, "--to", "sales@fredsco.example", "--count", "3")
    check_equal(status, 1, "exit status of send")
    check("0 accepted" in out and "3 refused" in out and "554" in err, f"send says why: {out!r} {err!r}")
    end_service(process)


@turns_red("mail-is-lost", "server-dies-badly")
def test_send_hands_in_to_postriderd_with_login():
    server = Server().start()
    password = os.path.join(server.directory, "password-sales")
    host, port = server.services["submission"]
    status, _, _ = run_program([POSTRIDER, "send", "--server", f"{host}:{port}", "--from", "sales@fredsco.example", "--to", "sales@fredsco.example", "--count", "7",
                                "--tls", "starttls", "--user", "sales@fredsco.example", "--password-file", password])
    check_equal(status, 0, "exit status of send")
    check_equal(len(server.wait_for_mail(count=7)), 7, "messages in the mailbox")
    status, _, err = run_program([POSTRIDER, "send", "--server", f"{host}:{port}", "--from", "sales@fredsco.example", "--to", "sales@fredsco.example",
                                  "--tls", "starttls", "--user", "sales@fredsco.example"], env=environment(POSTRIDER_PASSWORD="wrong"))
    check_equal(status, 1, f"exit status of send with a wrong password: {err}")


@turns_red("output-is-silent")
def test_postriderd_relays_to_a_sink():
    dns = Dns()
    sink = new_address()
    dns.add_host("other.example", sink)
    process, _, _ = start_service("sink", "--listen", f"{sink}:{SMTP_PORT}", "--show")
    server = Server(settings={"dns": {"forwarder": dns.forwarder}}).start()
    session = server.submit_session()
    session.message("sales@fredsco.example", "pat@other.example", b"From: sales@fredsco.example\r\nSubject: hello\r\n\r\nbody\r\n")
    session.quit()
    wait_until(server.queue_is_empty, "an empty queue") if lib.lens != "output-is-silent" else None
    out = end_service(process)
    check("<sales@fredsco.example> to <pat@other.example>" in out, f"the sink has it: {out!r}")


@turns_red("output-is-silent", "address-is-loopback")
def test_addresses_of_other_machines_are_refused():
    zone = os.path.join(scratch(), "zone")
    with open(zone, "w") as file:
        file.write("a.example. 60 IN A 127.0.0.9\n")
    # Documentation addresses: nobody is there, should the refusal fail.
    there = f"{new_address()}:2525" if lib.lens == "address-is-loopback" else None
    for arguments in (
        ["send", "--from", "a@b.example", "--to", "c@d.example", "--timeout", "2s", "--server", there or "192.0.2.1:25"],
        ["send", "--from", "a@b.example", "--to", "c@d.example", "--timeout", "2s", "--server", there or "mail.example:25"],
        ["sink", "--listen", there or "0.0.0.0:2525"],
        ["dns", "--zone", zone, "--listen", there or "192.0.2.1:5353"],
        ["dns", "--zone", zone, "--listen", there or "0.0.0.0:5353"],
    ):
        try:
            status, _, err = run_program([POSTRIDER, *arguments], timeout_s=10)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{arguments} is not refused") from error
        check_equal(status, 2, f"exit status of {arguments}")
        check(arguments[-1] in err or "loopback" in err or "--allow-remote" in err, f"the refusal says why: {err!r}")
