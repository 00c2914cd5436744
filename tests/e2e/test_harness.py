"""postrider: flows from start to report, servers that break their promise, and the small commands."""

import glob
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

import lib
from lib import (
    POSTRIDER, POSTRIDERD, ROOT, SMTP_PORT, Dns, Failed, Server, Skip, at_end, check, check_equal, die_with_parent, encode_name,
    need_tool, new_address, run_program, scratch, slow, turns_red, wait_until)

lib.LENSES.update({
    "server-is-honest": "the server that should misbehave does not",
    "result-is-altered": "result.json lacks a key",
    "drain-is-invented": "result.json tells of a drain",
    "histogram-is-altered": "two metrics of latency.hlog have changed places",
    "page-loads-from-elsewhere": "report.html wants an image of another host",
    "page-has-no-figures": "report.html has lost its figures",
    "page-is-not-drawn": "what postrider report wrote is deleted",
    "process-is-left": "a process of the run lives on",
    "address-is-loopback": "the address that must be refused is a harmless one",
})

FLOWS = os.path.join(ROOT, "scenarios/flows")
OWN_FLOWS = os.path.join(ROOT, "tests/e2e/flows")
FAKE = os.path.join(ROOT, "tests/e2e/fake_server.py")
MODULES = os.path.join(ROOT, "build/npm/node_modules")
SHIPPED = ("enterprise-local", "next-hop-down", "sender-told", "three-steps")
# Runs that are about what becomes of mail may be slow: tests run side by side, and with sanitizers.
NO_HURRY = "\nlimits:\n  send_lag: { p99: 60s }\n  loop_lag: { p99: 60s }\n"


def environment(**more):
    return {**os.environ, "POSTRIDER_SHARE": ROOT, "NO_COLOR": "1", **more}


def shipped_flow(name, *changes):
    """A copy of a shipped flow, without limits for the harness's own speed; changes are (old, new) texts."""
    with open(os.path.join(FLOWS, f"{name}.flow.yaml")) as file:
        text = file.read()
    check("\nlimits:" not in text, "the flow has no limits of its own")
    for old, new in changes:
        check(old in text, f"{name} has {old!r}")
        text = text.replace(old, new)
    path = os.path.join(scratch(), f"{name}.flow.yaml")
    with open(path, "w") as file:
        file.write(text + NO_HURRY)
    return path


class Run:
    """One `postrider run` to its end."""

    def __init__(self, flow, *options, env=None):
        # Short: a server's control socket lies below it, and its name has 107 characters at most.
        self.results = tempfile.mkdtemp(prefix="r", dir=scratch())
        self.junit = os.path.join(scratch(), "junit.xml")
        self.status, self.out, self.err = run_program(
            [POSTRIDER, "run", flow, "--results", self.results, "--junit", self.junit, *options], env=env or environment(), cwd=ROOT, timeout_s=120)
        self.directory = os.path.join(self.results, "latest")
        at_end(self.dump_logs)

    def dump_logs(self):
        """Shown when the test fails: what sanitizers and servers had to say at their end."""
        for path in sorted(glob.glob(os.path.join(self.directory, "logs", "*.stderr.log"))):
            with open(path, errors="replace") as file:
                lines = file.read().splitlines()
            begin = next((i for i, line in enumerate(lines) if line.startswith("==") and "ERROR" in line), len(lines) - 10)
            print(f"---- {path}\n" + "\n".join(lines[max(begin, 0):][:60]))

    def read(self, name):
        with open(os.path.join(self.directory, name)) as file:
            return file.read()

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as file:
            file.write(text)

    def result(self):
        return json.loads(self.read("result.json"))


# ---- what a run leaves behind ------------------------------------------------------


def look_through_lens(run):
    """The control's damage to what the run wrote."""
    if lib.lens == "result-is-altered":
        result = run.result()
        del result["sender_told"]
        run.write("result.json", json.dumps(result))
    if lib.lens == "drain-is-invented":
        run.write("result.json", json.dumps({**run.result(), "drain": {"waiting": 5}}))
    if lib.lens == "histogram-is-altered":
        swap = {"Tag=accept,": "Tag=end_to_end,", "Tag=end_to_end,": "Tag=accept,"}
        run.write("latency.hlog", re.sub("|".join(swap), lambda m: swap[m.group(0)], run.read("latency.hlog")))
    if lib.lens == "page-loads-from-elsewhere":
        run.write("report.html", run.read("report.html").replace("</body>", '<img src="https://example.com/a.png"></body>'))
    if lib.lens == "page-has-no-figures":
        run.write("report.html", run.read("report.html").replace("<svg", "<div"))


def check_other_readers_agree(run):
    """A JSON schema checker and a histogram decoder that are not ours read the same."""
    need_tool("node")
    if not os.path.exists(os.path.join(MODULES, "ajv")):
        raise Skip("npm packages are not installed; make setup does it")
    status, out, err = run_program(["node", os.path.join(ROOT, "tests/e2e/check_result.js"), MODULES, run.directory, os.path.join(ROOT, "reports/result.schema.json")])
    check_equal(status, 0, f"exit status of the readers: {err}")
    seen = json.loads(out)
    check_equal(seen["schema"], [], "what result.json has against its schema")
    metrics = run.result()["metrics"]
    check_equal(sorted(seen["metrics"]), sorted(m for m in metrics if metrics[m]["count"] > 0 or m in seen["metrics"]), "metrics in latency.hlog")
    compared = 0
    for name, metric in metrics.items():
        if metric["count"] == 0:
            continue
        decoded = seen["metrics"][name]
        check_equal(decoded["count"], metric["count"], f"how many values {name} has")
        check_equal(metric["censored"], 0, f"open values of {name} in a run where all ended")
        for told, (percentile, ns) in zip(metric["percentiles"], decoded["percentiles"], strict=True):
            check_equal(told["percentile"], percentile, "the percentile")
            wanted = told["ms"] * 1e6
            check(abs(ns - wanted) <= max(512, wanted / 1000), f"{name} p{percentile}: decoded {ns} ns, result.json {wanted} ns")
            compared += 1
    check(compared > 20, f"only {compared} percentiles were compared")


def check_page(run, marks=("PASS", "Pass", "pass")):
    page = run.read("report.html")
    check(page.count("<svg") >= 3, f"{page.count('<svg')} figures in report.html")
    # Namespaces are names; everything that is loaded is named by these.
    loads = re.findall(r"""(?:\b(?:src|href|srcset|data|action|poster)\s*=\s*["']?|url\(\s*["']?|@import\s+["']?)([^"'\s)>]+)""", page, re.I)
    foreign = [target for target in loads if not target.startswith(("#", "data:"))]
    own = [target for target in foreign if re.fullmatch(r"[A-Za-z0-9._/-]+", target) and not target.startswith("//")]
    check_equal([target for target in foreign if target not in own], [], "what report.html loads from elsewhere")
    for tag in ("<script src", "<link", "<img", "<iframe"):
        check(tag not in page, f"report.html has no {tag}")
    check(any(mark in page for mark in marks), f"report.html says one of {marks}")


def check_junit(path, name, failures):
    suite = xml.etree.ElementTree.parse(path).getroot().find("testsuite")
    check(suite is not None, "JUnit has a suite")
    check_equal((suite.get("name"), suite.get("tests"), suite.get("failures")), (name, "1", str(failures)), "JUnit suite")
    check_equal(len(suite.findall("testcase/failure")), failures, "failure elements")


def check_kept(run, name):
    """The promise was kept, and everything that the run wrote says so."""
    check_equal(run.status, 0, "exit status")
    check(re.search(rf"^PASS  {name}: ", run.out, re.M), f"the verdict is printed: {run.out!r}")
    look_through_lens(run)
    result = run.result()
    check_equal((result["verdict"], result["reasons"]), ("pass", []), "verdict")
    rows = [json.loads(line) for line in run.read("ledger").splitlines()]
    check_equal(len(rows), result["totals"]["recipients"], "rows of the ledger")
    check(len(rows) >= 10, f"the run had {len(rows)} messages")
    check_other_readers_agree(run)
    check_junit(run.junit, name, 0)
    check_page(run)
    check(not os.path.exists(os.path.join(run.directory, "world")), "keys and passwords are gone")
    check(glob.glob(os.path.join(run.directory, "logs", "*.log")), "logs are kept")
    return result


@slow
@turns_red("server-dies-badly", "output-is-silent", "result-is-altered", "histogram-is-altered", "page-loads-from-elsewhere", "page-has-no-figures")
def test_three_steps_keeps_its_promise():
    result = check_kept(Run(shipped_flow("three-steps"), "--set", "rate=40/s", "--set", "time=1s"), "three-steps")
    check_equal(result["ledger"]["delivered"], result["totals"]["recipients"], "delivered")
    check(result["metrics"]["transfer"]["count"] > 0, "the link was watched")


@slow
def test_next_hop_down_shortened_keeps_its_promise():
    flow = shipped_flow("next-hop-down", ("at: 5s, for: 10s", "at: 1s, for: 2s"))
    run = Run(flow, "--set", "rate=30/s", "--set", "time=4s")
    result = check_kept(run, "next-hop-down")
    fault = result["faults"][0]
    check_equal(fault["strikes"], 1, "strikes")
    check(fault["ended_s"] - fault["began_s"] > 1.9, f"the outage lasted: {fault}")
    check(result["drain"]["complete"] and result["drain"]["waiting"] > 0, f"mail waited for the end of the outage: {result['drain']}")
    # Longer than any poll or hiccup: what was sent at its begin waited for its end.
    check(result["metrics"]["end_to_end"]["max_ms"] > 1500, "the outage is in the latencies, from the intended time on")
    check_equal(next(h for h in result["hosts"] if h["name"] == "fredsco")["starts"], 2, "starts of fredsco")


@slow
@turns_red("server-dies-badly")
def test_enterprise_local_keeps_its_promise():
    result = check_kept(Run(shipped_flow("enterprise-local"), "--set", "rate=20/s", "--set", "time=1s"), "enterprise-local")
    check_equal(result["links"]["connections"], 0, "connections between hosts")


@slow
@turns_red("server-dies-badly")
def test_sender_told_keeps_its_promise():
    result = check_kept(Run(shipped_flow("sender-told", ("count: 30", "count: 10"), ("delivered: 30", "delivered: 10"), ("bounced: 90", "bounced: 30"))), "sender-told")
    check_equal(result["ledger"]["bounced"], 30, "bounced")
    check_equal(result["sender_told"], {"failed": 30, "once": 30, "missing": 0, "repeated": 0, "malformed": 0}, "who was told")


@turns_red("server-dies-badly")
def test_json_on_standard_output_is_the_file():
    run = Run(shipped_flow("three-steps"), "--set", "rate=20/s", "--set", "time=500ms", "--json")
    check_equal(run.status, 0, "exit status")
    check_equal(json.loads(run.out), run.result(), "what --json prints")


# ---- servers that break their promise ----------------------------------------------


def run_with(fault, flow=None, *options, **more):
    fault = "" if lib.lens == "server-is-honest" else fault
    return Run(flow or os.path.join(OWN_FLOWS, "office.flow.yaml"), *options, "--program", FAKE, env=environment(FAKE_FAULT=fault, FAKE_REAL=POSTRIDERD, **more))


def check_found_out(run, counts, reason, name="office", told=None):
    """Exit status 1, and for this reason and no other."""
    check_equal(run.status, 1, f"exit status, {run.out}")
    check(re.search(rf"^FAIL  {name}: ", run.out, re.M), f"the verdict is printed: {run.out!r}")
    result = run.result()
    check_equal(result["verdict"], "fail", "verdict")
    reasons = [r["text"] for r in result["reasons"] if r["weight"] == "fail"]
    check(any(reason in text for text in reasons), f"{reason!r} is among {reasons}")
    bad = {k: v for k, v in result["ledger"].items() if v and k not in ("delivered", "bounced")}
    check_equal(bad, counts, "what went wrong, in the ledger")
    told = {"missing": counts.get("lost", 0), "repeated": 0, "malformed": 0, **(told or {})}  # a lost message is one that nobody was told of
    check_equal({k: result["sender_told"][k] for k in told}, told, "what went wrong with notifications")
    check_junit(run.junit, name, 1)
    check_page(run, ("FAIL", "Fail"))
    rows = [json.loads(line) for line in run.read("ledger").splitlines()]
    for outcome, count in counts.items():
        if outcome != "unexpected":
            check_equal(sum(row["outcome"] == outcome for row in rows), count, f"rows of the ledger that are {outcome}")


def test_an_honest_server_that_is_not_ours_passes():
    run = run_with("")
    check_equal(run.status, 0, f"exit status, {run.out}")
    check_equal((run.result()["ledger"]["delivered"], run.result()["ledger"]["bounced"]), (20, 5), "delivered and bounced")


@turns_red("server-is-honest")
def test_a_server_that_loses_one_message_is_found_out():
    check_found_out(run_with("lose"), {"lost": 1}, "1 lost, expected 0")


@turns_red("server-is-honest")
def test_a_server_that_doubles_one_message_is_found_out():
    check_found_out(run_with("double"), {"duplicated": 1}, "1 duplicated, expected 0")


@turns_red("server-is-honest")
def test_a_second_copy_with_the_same_uid_is_found_out():
    check_found_out(run_with("double-same-uid"), {"duplicated": 1}, "1 duplicated, expected 0")


@turns_red("server-is-honest")
def test_a_second_copy_with_the_uid_of_one_deleted_is_found_out():
    check_found_out(run_with("double-later-same-uid"), {"duplicated": 1}, "1 duplicated, expected 0")


@turns_red("server-is-honest")
def test_a_run_where_a_second_copy_may_have_passed_unseen_is_not_valid():
    run = run_with("open-end")
    check(run.status != 0, f"exit status {run.status}, {run.out}")
    reasons = [r["text"] for r in run.result()["reasons"] if r["weight"] == "invalid"]
    check(any("second copy with the same UID" in text for text in reasons), f"the reason is among {reasons}")


@turns_red("server-is-honest")
def test_a_server_that_alters_one_byte_is_found_out():
    check_found_out(run_with("alter"), {"corrupted": 1}, "1 corrupted, expected 0")


@turns_red("server-is-honest")
def test_a_server_that_alters_a_subject_is_found_out():
    check_found_out(run_with("alter-field"), {"corrupted": 1}, "1 corrupted, expected 0")


@turns_red("server-is-honest")
def test_a_server_that_invents_a_message_is_found_out():
    check_found_out(run_with("stray"), {"unexpected": 1}, "1 unexpected, expected 0")


@turns_red("server-is-honest")
def test_a_server_that_tells_one_sender_nothing_is_found_out():
    check_found_out(run_with("no-notification"), {"lost": 1}, "1 lost, expected 0")


@turns_red("server-is-honest")
def test_a_server_that_tells_one_sender_twice_is_found_out():
    check_found_out(run_with("two-notifications"), {}, "senders told more than once", told={"repeated": 1})


@turns_red("server-is-honest")
def test_a_server_whose_notification_is_malformed_is_found_out():
    check_found_out(run_with("bad-notification"), {}, "malformed notifications: 1", told={"malformed": 1})


@turns_red("server-is-honest")
def test_a_next_hop_that_loses_one_message_is_found_out():
    run = run_with("lose", shipped_flow("three-steps"), "--set", "rate=30/s", "--set", "time=1s", FAKE_HOSTS="mx.fredsco.example")
    check_found_out(run, {"lost": 1}, "1 lost, expected 0", "three-steps")


@turns_red("server-is-honest")
def test_a_server_that_ends_badly_at_the_end_of_the_run_fails():
    check_found_out(run_with("stops-badly"), {}, "with status 3 after it was asked to end")


@slow
@turns_red("server-is-honest")
def test_a_server_that_stands_still_in_the_last_look_ends_the_run_with_a_reason():
    began = time.monotonic()
    run = run_with("hangs-at-last-look")
    # The drain (4 s), a last look (10 s), a question to the queues (2 s), and 20 s to end.
    check(time.monotonic() - began < 60, "the run ended within its limits")
    check_equal(run.status, 3, f"exit status, {run.out}")
    reasons = [r["text"] for r in run.result()["reasons"]]
    check(any("could not be read at the end: no answer in time" in text for text in reasons), f"the last look is among {reasons}")
    check(any("did not end within 20 s of SIGTERM" in text for text in reasons), f"the end is among {reasons}")
    check_equal(processes_of(run.results), [], "processes that are left")


@turns_red("drain-is-invented")
def test_a_drain_is_not_measured_while_a_fault_is_still_on():
    flow = shipped_flow("next-hop-down", ("at: 5s, for: 10s", "at: 500ms"), ("drain: 60s", "drain: 2s"), ("  drain: 30s\n", ""))
    run = Run(flow, "--set", "rate=20/s", "--set", "time=1s")
    check_equal(run.status, 1, f"exit status, {run.out}")
    check(run.result()["ledger"]["still_queued"] > 0, f"mail waits: {run.result()['ledger']}")
    look_through_lens(run)
    check_equal(run.result()["drain"], None, "what is said of the drain")


# ---- runs that judge nothing, or are cut short ---------------------------------------


@turns_red("server-dies-badly")
def test_a_run_that_sent_nothing_exits_3():
    run = Run(shipped_flow("three-steps"), "--set", "rate=0.1/s", "--set", "time=1ms")
    check_equal(run.status, 3, "exit status")
    check_equal(run.result()["verdict"], "invalid", "verdict")
    check("nothing was sent" in run.out, f"the reason is printed: {run.out!r}")


@turns_red("server-dies-badly")
def test_a_run_whose_server_does_not_start_exits_3():
    run = Run(shipped_flow("three-steps"), "--program", "/bin/false")
    check_equal(run.status, 3, "exit status")
    check("INVALID" in run.out, f"the verdict is printed: {run.out!r}")


def processes_of(directory):
    """Command lines of all processes that name the directory."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                line = file.read()
        except OSError:
            continue
        if directory.encode() in line:
            found.append(line.replace(b"\0", b" ").decode())
    return found


def start(arguments, **options):
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, text=True, env=environment(), cwd=ROOT, **options)
    at_end(process.kill)
    return process


@slow
@turns_red("process-is-left", "page-has-no-figures")
def test_an_interrupted_run_exits_130_says_so_and_leaves_no_process():
    results = os.path.join(scratch(), "interrupted")
    process = start([POSTRIDER, "run", shipped_flow("three-steps"), "--set", "time=100s", "--set", "rate=30/s", "--results", results],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    directory = os.path.join(results, "latest")

    def mail_flows():
        with open(os.path.join(directory, "world/hosts/fredsco/stderr.log")) as file:
            return len(file.read()) > 4000

    wait_until(lambda: os.path.exists(os.path.join(directory, "world/hosts/fredsco/stderr.log")) and mail_flows(), "mail at fredsco", 30)
    check_equal(len([line for line in processes_of(results) if "postriderd" in line]), 2, "servers while it runs")
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=30)[0]
    check_equal(process.returncode, 130, f"exit status, {out}")
    if lib.lens == "process-is-left":
        start([sys.executable, "-c", "import time; time.sleep(100)", results])
    check_equal(processes_of(results), [], "processes that are left")
    check("INTERRUPTED" in out, f"the verdict is printed: {out!r}")
    run = Run.__new__(Run)
    run.directory = directory
    look_through_lens(run)
    check_equal(run.result()["verdict"], "interrupted", "verdict")
    check(run.result()["totals"]["accepted"] > 0, "it was in mid run")
    check_page(run, ("INTERRUPTED", "Interrupted"))
    check(not os.path.exists(os.path.join(directory, "world")), "keys and passwords are gone")


@turns_red("page-is-not-drawn", "server-dies-badly")
def test_report_is_drawn_again():
    run = Run(shipped_flow("three-steps"), "--set", "rate=20/s", "--set", "time=500ms")
    page = run.read("report.html")
    os.remove(os.path.join(run.directory, "report.html"))
    status, out, _ = run_program([POSTRIDER, "report", run.directory], env=environment())
    check_equal((status, out), (0, f"{run.directory}/report.html\n"), "exit status and output")
    if lib.lens == "page-is-not-drawn":
        os.remove(os.path.join(run.directory, "report.html"))
    check(os.path.exists(os.path.join(run.directory, "report.html")), "the page is there")
    check(run.read("report.html") == page, "the page is the same as before")
    status, _, err = run_program([POSTRIDER, "report", scratch()], env=environment())
    check_equal(status, 2, "exit status where no result is")
    check("result.json" in err, f"what is missing is named: {err!r}")


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
