"""postrider: flows from start to report, and servers that break their promise."""

import glob
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

import lib
from lib import POSTRIDER, POSTRIDERD, ROOT, Skip, check, check_equal, need_tool, run_program, scratch, slow, turns_red, wait_until
from runs import FAKE, MODULES, NAMELESS, OWN_FLOWS, Run, environment, shipped_flow, start

lib.LENSES.update({
    "server-is-false": "the server that should be honest loses a message",
    "server-is-honest": "the server that should misbehave does not",
    "result-is-altered": "result.json lacks a key",
    "queue-hides-its-names": "the server says how many messages wait, and not whose",
    "link-is-used": "the fault strikes a link that is in use",
    "strikes-are-invented": "result.json says that the fault struck five times",
    "drain-is-invented": "result.json tells of a drain",
    "histogram-is-altered": "two metrics of latency.hlog have changed places",
    "page-loads-from-elsewhere": "report.html wants an image of another host",
    "page-has-no-figures": "report.html has lost its figures",
    "page-is-not-drawn": "what postrider report wrote is deleted",
    "process-is-left": "a process of the run lives on",
})

# ---- what a run leaves behind ------------------------------------------------------


def look_through_lens(run):
    """The control's damage to what the run wrote."""
    if lib.lens == "result-is-altered":
        result = run.result()
        del result["sender_told"]
        run.write("result.json", json.dumps(result))
    if lib.lens == "drain-is-invented":
        run.write("result.json", json.dumps({**run.result(), "drain": {"waiting": 5}}))
    if lib.lens == "strikes-are-invented":
        result = run.result()
        result["faults"][0]["strikes"] = 5
        run.write("result.json", json.dumps(result))
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
@turns_red("drain-is-invented")
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
    check(run.status in (0, 3), f"exit status {run.status}")  # 3: too busy to judge it, which is printed likewise
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


@turns_red("server-is-false")
def test_an_honest_server_that_is_not_ours_passes():
    run = run_with("lose" if lib.lens == "server-is-false" else "")
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
def test_a_server_that_hangs_up_at_every_final_dot_is_found_out():
    run = run_with("cut-at-dot")
    check_equal(run.status, 1, f"exit status, {run.out}")
    reasons = [r["text"] for r in run.result()["reasons"] if r["weight"] == "fail"]
    check(any("absent that should have been delivered" in text for text in reasons), f"the reason is among {reasons}")
    check_equal(run.result()["totals"]["accepted"], 0, "messages that were accepted")


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


@turns_red("queue-hides-its-names")
def test_a_queued_message_counts_for_each_recipient_that_it_waits_for():
    """The queue holds one message for two: a mere number would excuse one of them and call the other lost."""
    flow = shipped_flow("next-hop-down", ("accounts: [sales]", "accounts: [sales, info]"), ("to: sales@fredsco.example", "to: [sales@fredsco.example, info@fredsco.example]"),
                        ("at: 5s, for: 10s", "at: 0"), ("drain: 60s", "drain: 1s"), ("  delivered: all\n", "  queued: all\n"), ("  drain: 30s\n", ""))
    hides = lib.lens == "queue-hides-its-names"
    run = Run(flow, "--set", "rate=20/s", "--set", "time=500ms", *(["--program", NAMELESS] if hides else []), env=environment(FAKE_REAL=POSTRIDERD))
    result = run.result()
    check_equal(result["ledger"]["lost"], 0, f"lost, of {result['ledger']}")
    check_equal(result["ledger"]["still_queued"], result["totals"]["recipients"], f"still queued, of {result['ledger']}")


LINK_FAULTS = ("do: refuse", "do: blackhole", "do: reset", "do: delay, by: 5ms")


def run_with_link_fault(link, what):
    # A reset between a final dot and its 250 may double a message (RFC 5321 section 6.1): the strikes say how many.
    doubled = ("  duplicated: 0\n", "  duplicated: <= 40\n") if what == "do: reset" else ("", "")
    flow = shipped_flow("next-hop-down", ("at: 5s, for: 10s, host: fredsco, do: stop", f"at: 300ms, for: 500ms, link: {link}, {what}"),
                        ("  delivered: all\n", ""), doubled)
    return Run(flow, "--set", "rate=40/s", "--set", "time=1s")


@slow
@turns_red("link-is-used")
def test_a_link_fault_that_met_nobody_makes_the_run_invalid():
    for what in LINK_FAULTS:
        run = run_with_link_fault("isp2 -> fredsco" if lib.lens == "link-is-used" else "fredsco -> isp2", what)
        check_equal(run.status, 3, f"exit status with {what}, {run.out}")
        reasons = [r["text"] for r in run.result()["reasons"] if r["weight"] == "invalid"]
        check(any("struck nothing" in text for text in reasons), f"the reason is among {reasons}")
        check_equal(run.result()["faults"][0]["strikes"], 0, f"strikes of {what}")
        check("Shaded" not in run.read("report.html"), "what disturbed nobody is not shaded")


@slow
@turns_red("server-dies-badly")
def test_a_link_fault_that_met_somebody_says_how_often():
    for what in LINK_FAULTS:
        run = run_with_link_fault("isp2 -> fredsco", what)
        check_equal(run.status, 0, f"exit status with {what}, {run.out}")
        strikes = run.result()["faults"][0]["strikes"]
        check(strikes > 0, f"strikes of {what}: {run.result()['faults']}")
        check(run.result()["ledger"]["duplicated"] <= strikes, f"no more than one message in doubt for each of {strikes} strikes: {run.result()['ledger']}")


@turns_red("strikes-are-invented")
def test_a_refusal_that_nobody_could_count_is_left_open():
    """A smart host is told by its address: nobody looks it up, and who is refused cannot be seen."""
    flow = shipped_flow("next-hop-down", ("domain: isp2.example", "domain: isp2.example\n    smart-host: fredsco"),
                        ("rate: ${rate:-60/s}", "rate: 20/s"), ("for: ${time:-20s}", "count: 1"),
                        ("retry: { first: 500ms, max: 2s, expire: 1h }", "outbound: { idle: 1ms }"),
                        ("at: 5s, for: 10s, host: fredsco, do: stop", "at: 2s, for: 300ms, link: isp2 -> fredsco, do: refuse"))
    run = Run(flow)
    check_equal(run.status, 0, f"exit status, {run.out}")
    look_through_lens(run)
    check_equal(run.result()["faults"][0]["strikes"], None, "strikes")


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
