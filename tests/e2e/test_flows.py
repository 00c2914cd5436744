"""postrider from outside: the shipped flows pass; their results are what they claim to be, read by readers that are not ours."""

import glob
import json
import os
import re
import shutil
import xml.etree.ElementTree

from lib import POSTRIDER, ROOT, Skip, alone, check, check_equal, need_tool, run_program, scratch, slow, turns_red

FLOWS = os.path.join(ROOT, "scenarios/flows")
SCHEMA = os.path.join(ROOT, "reports/result.schema.json")
# Programs in another build directory do not find what lies beside the sources by themselves.
os.environ["POSTRIDER_SHARE"] = ROOT
METRICS = ["send_lag", "accept", "queue", "transfer", "visibility", "end_to_end"]


def node(script, *arguments):
    need_tool("node")
    modules = os.path.join(ROOT, "build/npm/node_modules")
    if not os.path.isdir(modules):
        raise Skip("the npm packages of tests are not installed; make setup does it")
    return run_program(["node", os.path.join(ROOT, "tests/e2e/node", script), *arguments], env={**os.environ, "NODE_PATH": modules})


def run_flow(name, *options):
    """(exit status, stdout, result directory).  A run that was too slow to judge says nothing: it is tried again."""
    for attempt in range(3):
        results = os.path.join(scratch(), f"results-{name}-{attempt}")
        status, out, _ = run_program([POSTRIDER, "run", name, "--results", results, *options], cwd=ROOT, timeout_s=140)
        if status != 3:
            break
    return status, out, os.path.join(results, "latest")


def load(directory):
    with open(os.path.join(directory, "result.json")) as file:
        return json.load(file)


def check_run(name, *options):
    """Runs a flow that must pass and checks all that it leaves."""
    status, out, directory = run_flow(name, *options)
    check_equal(status, 0, f"exit status of {name}")
    check(re.search(r"(?i)\bpass", out), f"the verdict is printed: {out!r}")
    check("report.html" in out, f"the path of the report is printed: {out!r}")
    result = load(directory)
    check_equal(result["verdict"], "pass", "verdict")
    check_ledger(directory, result)
    check_schema(directory)
    check_percentiles(directory, result)
    check_report(directory)
    check_no_secret(directory)
    return result


def check_ledger(directory, result):
    """The rows add up to the counts, and no message of the plan is missing among them."""
    with open(os.path.join(directory, "ledger")) as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if "outcome" in row]
    counts = {outcome: sum(row["outcome"] == outcome for row in rows) for outcome in result["ledger"]}
    check_equal(counts, result["ledger"], "outcomes in the ledger and in result.json")
    check_equal(len(rows), result["totals"]["recipients"], "rows in the ledger")
    check(len(rows) > 20, f"a flow of {len(rows)} messages")
    for bad in ("lost", "duplicated", "corrupted", "unexpected", "still_queued", "indeterminate"):
        check_equal(counts[bad], 0, bad)


def check_schema(directory):
    path = os.path.join(directory, "result.json")
    status, out, _ = node("validate.js", SCHEMA, path)
    check_equal((status, out), (0, ""), "errors against the schema")
    # The checker sees what does not belong, what is missing and what has another type.
    for change in (lambda r: r.update(surprise=1), lambda r: r.pop("verdict"), lambda r: r["ledger"].update(lost="none"),
                   lambda r: r["metrics"].pop("accept"), lambda r: r.update(verdict="perhaps")):
        result = load(directory)
        change(result)
        altered = os.path.join(scratch(), "altered.json")
        with open(altered, "w") as file:
            json.dump(result, file)
        status, out, _ = node("validate.js", SCHEMA, altered)
        check(status == 1 and out, "an altered result does not match the schema")


def check_percentiles(directory, result):
    """hdr-histogram-js decodes latency.hlog to the percentiles of result.json, to the nanosecond."""
    check_equal(sorted(result["metrics"]), sorted(METRICS), "metrics")
    wanted = [str(p["percentile"]) for p in result["metrics"]["accept"]["percentiles"]]
    check(len(wanted) >= 5, f"percentiles {wanted}")
    status, out, _ = node("decode_hlog.js", os.path.join(directory, "latency.hlog"), *wanted)
    check_equal(status, 0, "exit status of the decoder")
    decoded = json.loads(out)
    compared = 0
    for name, metric in result["metrics"].items():
        if not metric["count"]:
            continue
        check_equal(decoded[name]["count"], metric["count"] - metric["out_of_range"], f"values of {name}")
        for p in metric["percentiles"]:
            if not p["at_least"]:
                check_equal(decoded[name]["percentiles"][str(p["percentile"])], round(p["ms"] * 1e6), f"{name} p{p['percentile']}")
                compared += 1
    check(compared >= 10, f"{compared} percentiles compared")


def check_report(directory):
    with open(os.path.join(directory, "report.html")) as file:
        page = file.read()
    # The name of the SVG namespace is the only address a page may hold.
    addresses = set(re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page))
    outside = [a for a in addresses if not a.startswith(("#", "data:"))]
    check_equal([a for a in outside if "://" in a and "w3.org" not in a], [], "things a report loads from elsewhere")
    check(page.count("<svg") >= 3, f"{page.count('<svg')} plots in the report")
    check(page.index("PASS") < page.index("<svg") if "PASS" in page else "pass" in page.lower(), "the verdict comes first")
    junit = xml.etree.ElementTree.parse(os.path.join(directory, "junit.xml")).getroot()
    check(list(junit.iter("testcase")) and not list(junit.iter("failure")), "JUnit has tests and no failure")
    check(glob.glob(os.path.join(directory, "logs", "**", "*"), recursive=True), "logs of the servers are kept")


def check_no_secret(directory):
    for path in glob.glob(os.path.join(directory, "**", "*"), recursive=True):
        check(not re.search(r"\.key$|password", os.path.basename(path)), f"{path} is left behind")


@alone
@slow
@turns_red("server-dies-badly", "output-is-silent")
def test_three_steps_passes():
    result = check_run("three-steps")
    check_equal(result["ledger"]["delivered"], result["totals"]["recipients"], "delivered")


@alone
@slow
def test_next_hop_down_passes_and_says_how_long_the_backlog_took():
    result = check_run("next-hop-down")
    check_equal(result["ledger"]["delivered"], result["totals"]["recipients"], "delivered")
    fault = result["faults"][0]
    check(9 < fault["ended_s"] - fault["began_s"] < 15, f"the outage lasted about 10 s: {fault}")
    check(result["drain"]["complete"] and 0 < result["drain"]["drain_ms"] < 30000, f"the drain is reported: {result['drain']}")
    check(result["metrics"]["queue"]["max_ms"] > 9000, "some messages waited as long as the outage")


@alone
@slow
def test_enterprise_local_passes():
    check_run("enterprise-local")


@alone
@slow
def test_sender_told_passes_with_one_notification_each():
    result = check_run("sender-told")
    check_equal((result["ledger"]["delivered"], result["ledger"]["bounced"]), (30, 90), "delivered and bounced")
    told = result["sender_told"]
    check_equal((told["failed"], told["once"], told["missing"], told["repeated"], told["malformed"]), (90, 90, 0, 0, 0), "who was told")


@alone
@slow
def test_an_expectation_that_does_not_hold_fails_the_run():
    with open(os.path.join(FLOWS, "three-steps.flow.yaml")) as file:
        text = file.read()
    path = os.path.join(scratch(), "strict.flow.yaml")
    with open(path, "w") as file:
        file.write(text.replace("flow: three-steps", "flow: strict").replace("  delivered: all\n", "  delivered: 3\n").replace("for: ${time:-8s}", "for: 1s"))
    status, out, directory = run_flow(path)
    check_equal(status, 1, "exit status")
    check_equal(load(directory)["verdict"], "fail", "verdict")
    check(re.search(r"(?i)fail", out), f"the verdict is printed: {out!r}")
    junit = xml.etree.ElementTree.parse(os.path.join(directory, "junit.xml")).getroot()
    check(list(junit.iter("failure")), "JUnit has a failure")


@alone
@slow
def test_the_same_seed_sends_the_same_mail():
    digests = []
    for seed in ("7", "7", "8"):
        status, _, directory = run_flow("enterprise-local", "--seed", seed, "--set", "time=1s")
        check_equal(status, 0, "exit status")
        with open(os.path.join(directory, "ledger")) as file:
            rows = [json.loads(line) for line in file]
        digests.append(sorted((row["message"] if "message" in row else row["id"], row.get("body_bytes", row.get("bytes"))) for row in rows if "outcome" in row))
        shutil.rmtree(os.path.dirname(os.path.realpath(directory)))
    check_equal(digests[0], digests[1], "mail of the same seed")
    check(digests[0] != digests[2], "another seed sends other mail")


BAD_FLOWS = (
    ("a key that does not exist", "hosts:", "hostess:", "hostess", "hosts"),
    ("a host that does not exist", "host: fredsco", "host: freddco", "freddco", "fredsco"),
    ("a duration without a unit", "every: 100ms", "every: 100 bananas", "bananas", None),
    ("an account that does not exist", "to: sales@", "to: snails@", "snails", None),
    ("a fault that does not exist", "do: stop", "do: explode", "explode", None),
    ("a size out of order", "2KiB..8KiB", "8KiB..2KiB", "8KiB..2KiB", None),
    ("broken YAML", "hosts:\n", "hosts: {\n", None, None),
)


@turns_red("server-dies-badly", "output-is-silent")
def test_mistakes_in_a_flow_are_shown_with_place_and_caret_and_start_nothing():
    with open(os.path.join(FLOWS, "next-hop-down.flow.yaml")) as file:
        text = file.read()
    for what, good, bad, word, suggestion in BAD_FLOWS:
        check(good in text, f"the flow has {good!r}")
        path = os.path.join(scratch(), "next-hop-down.flow.yaml")
        with open(path, "w") as file:
            file.write(text.replace(good, bad, 1))
        for command in ("lint", "run"):
            results = os.path.join(scratch(), "never-made")
            status, _, err = run_program([POSTRIDER, command, path, *(["--results", results] if command == "run" else [])], cwd=ROOT)
            check_equal(status, 2, f"{command} with {what}: exit status")
            places = re.findall(re.escape(path) + r":(\d+):(\d+): ", err)
            check(places, f"{command} with {what}: place in {err!r}")
            check("^" in err, f"{command} with {what}: caret in {err!r}")
            if word:
                lines = text.replace(good, bad, 1).splitlines()
                pointed_at = [lines[int(line) - 1][int(column) - 1:] for line, column in places]
                check(word in err and any(word in at for at in pointed_at), f"{command} with {what}: points at {pointed_at}; {err!r}")
            if suggestion:
                check(f'"{suggestion}"' in err, f"{command} with {what}: suggests {suggestion}: {err!r}")
            check(not os.path.exists(results), "nothing was made")


@turns_red("server-dies-badly", "output-is-silent")
def test_good_flows_pass_lint_and_are_listed():
    flows = sorted(glob.glob(os.path.join(FLOWS, "*.flow.yaml")))
    check(len(flows) >= 4, f"shipped flows: {flows}")
    status, _, _ = run_program([POSTRIDER, "lint", *flows], cwd=ROOT)
    check_equal(status, 0, "exit status of lint")
    status, out, _ = run_program([POSTRIDER, "list"], cwd=ROOT)
    check_equal(status, 0, "exit status of list")
    for path in flows:
        check(os.path.basename(path).removesuffix(".flow.yaml") in out, f"{path} is listed: {out!r}")


@turns_red("server-dies-badly", "output-is-silent")
def test_wrong_usage_exits_2_and_help_exits_0():
    for arguments in ([], ["nonsense"], ["run"], ["run", "no-such-flow"], ["run", "--nonsense"], ["lint"], ["send"],
                      ["run", "three-steps", "--set", "no-such-name=1"], ["dns"], ["report", "/does/not/exist"]):
        status, out, err = run_program([POSTRIDER, *arguments], cwd=ROOT)
        check_equal(status, 2, f"exit status of {arguments}")
        check(err or out, f"{arguments} says why")
    for verb in ("run", "report", "list", "lint", "send", "sink", "dns"):
        status, out, _ = run_program([POSTRIDER, verb, "--help"], cwd=ROOT)
        check_equal(status, 0, f"exit status of {verb} --help")
        check("Usage" in out or "usage" in out, f"{verb} --help prints its usage: {out!r}")
