"""postrider from outside, beside test_harness.py: a shipped flow exactly as it is shipped, seeds, wrong usage."""

import json
import os
import re
import shutil
import xml.etree.ElementTree

import lib
from lib import OUT, POSTRIDER, ROOT, alone, check, check_equal, run_program, scratch, slow, turns_red

lib.LENSES.update({
    "seed-is-drawn": "the second run has another seed",
    "seed-is-ignored": "the third run has the seed of the first",
    "expectation-holds": "what the flow expects is what happens",
})

FLOWS = os.path.join(ROOT, "scenarios/flows")
# Programs in another build directory do not find what lies beside the sources by themselves.
os.environ["POSTRIDER_SHARE"] = ROOT
# With sanitizers the harness cannot keep up with the shipped rate on a small machine.
SLOWER = [] if os.path.basename(OUT) == "release" else ["--set", "rate=15/s"]


def run_flow(name, *options):
    """(exit status, stdout, result directory).  A run that was too slow to judge says nothing: it is tried again."""
    for attempt in range(3 if lib.lens is None else 1):
        results = os.path.join(scratch(), f"results-{os.path.basename(name)}-{attempt}")
        status, out, _ = run_program([POSTRIDER, "run", name, "--results", results, *options], cwd=ROOT, timeout_s=140)
        if status != 3:
            break
    return status, out, os.path.join(results, "latest")


def load(directory):
    with open(os.path.join(directory, "result.json")) as file:
        return json.load(file)


@alone
@slow
@turns_red("server-dies-badly", "output-is-silent")
def test_next_hop_down_as_shipped_passes_and_says_how_long_the_backlog_took():
    status, out, directory = run_flow("next-hop-down", *SLOWER)
    check_equal(status, 0, "exit status")
    check(re.search(r"(?i)\bpass", out) and "report.html" in out, f"verdict and report are named: {out!r}")
    result = load(directory)
    check(result["ledger"]["delivered"] == result["totals"]["recipients"] > 200, f"delivered: {result['ledger']}")
    fault = result["faults"][0]
    check(9 < fault["ended_s"] - fault["began_s"] < 15, f"the outage lasted about 10 s: {fault}")
    check(result["drain"]["complete"] and 0 < result["drain"]["drain_ms"] < 30000, f"the drain is reported: {result['drain']}")
    check(result["metrics"]["queue"]["max_ms"] > 9000, "some messages waited as long as the outage")


@alone
@slow
@turns_red("expectation-holds")
def test_an_expectation_that_does_not_hold_fails_the_run():
    with open(os.path.join(FLOWS, "three-steps.flow.yaml")) as file:
        text = file.read()
    path = os.path.join(scratch(), "strict.flow.yaml")
    with open(path, "w") as file:
        wrong = "  delivered: all\n" if lib.lens == "expectation-holds" else "  delivered: 3\n"
        file.write(text.replace("flow: three-steps", "flow: strict").replace("  delivered: all\n", wrong).replace("for: ${time:-8s}", "for: 1s")
                   + "\nlimits:  # this is not about speed\n  send_lag: { p99: 60s }\n  loop_lag: { p99: 60s }\n")
    status, out, directory = run_flow(path)
    check_equal(status, 1, "exit status")
    check_equal(load(directory)["verdict"], "fail", "verdict")
    check(re.search(r"(?i)fail", out), f"the verdict is printed: {out!r}")
    junit = xml.etree.ElementTree.parse(os.path.join(directory, "junit.xml")).getroot()
    check(list(junit.iter("failure")), "JUnit has a failure")


@alone
@slow
@turns_red("seed-is-drawn", "seed-is-ignored")
def test_the_same_seed_sends_the_same_mail():
    digests = []
    for seed in {"seed-is-drawn": ("7", "9", "8"), "seed-is-ignored": ("7", "7", "7")}.get(lib.lens, ("7", "7", "8")):
        status, _, directory = run_flow("enterprise-local", "--seed", seed, "--set", "time=1s")
        check(status in (0, 3), f"exit status {status}")  # 3: too slow to judge, and yet it sent
        with open(os.path.join(directory, "ledger")) as file:
            rows = [json.loads(line) for line in file]
        digests.append(sorted((row["message"] if "message" in row else row["id"], row.get("body_bytes", row.get("bytes"))) for row in rows if "outcome" in row))
        shutil.rmtree(os.path.dirname(os.path.realpath(directory)))
    check_equal(digests[0], digests[1], "mail of the same seed")
    check(digests[0] != digests[2], "another seed sends other mail")


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
