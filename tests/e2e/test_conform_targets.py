"""postrider conform: several targets at once, other people's servers, servers elsewhere, and what CI services read."""

import json
import os
import re
import shutil

import lib
from lib import POSTRIDER, ROOT, Server, at_end, check, check_equal, need_tool, run_program, scratch, slow, turns_red
from runs import MODULES
from test_conform import conform, conform_all_json, conform_json, verdicts, write_case
from test_targets import need_target

lib.LENSES.update({
    "targets-are-the-same": "the second target is the first under another name",
    "suite-is-another": "the case that tells servers apart is not played",
    "policies-are-not-asked-for": "Postfix is not told where policies come from",
    "policies-are-for-testing": "the policies that cases serve are for testing only",
})

SIZE = "C: EHLO probe.example\nS: 250 ...\n   has SIZE 1048576\n"


def second_target(name="mine"):
    """A copy of the reference with its own default limits, so that SIZE differs; the reference under test has small ones."""
    with open(os.path.join(ROOT, "scenarios/targets/reference.yaml")) as file:
        text = file.read()
    os.makedirs(os.path.join(scratch(), name), exist_ok=True)
    shutil.copy(os.path.join(ROOT, "scenarios/targets/reference/postriderd.conf"), os.path.join(scratch(), name))
    if lib.lens == "targets-are-the-same":
        with open(os.path.join(scratch(), name, "postriderd.conf"), "a") as file:
            file.write("limits: { message_size: 1MiB }\n")
    path = os.path.join(scratch(), f"{name}.yaml")
    with open(path, "w") as file:
        file.write(text.replace("target: reference", f"target: {name}"))
    return path


def two(*arguments):
    return ("--target", "reference", "--target", second_target(), *arguments)


def by_target(result):
    return {t["target"]: verdicts(t) for t in result["targets"]}


def latest(name):
    with open(os.path.join(scratch(), "results/latest", name)) as file:
        return file.read()


@turns_red("output-is-silent", "targets-are-the-same")
def test_several_targets_make_one_matrix():
    good, size = write_case("good", "C: NOOP\nS: 250 ...\n"), write_case("size", SIZE)
    status, result = conform_all_json(*two(good, size))
    check_equal(by_target(result), {"reference": {"good": "pass", "size": "pass"}, "mine": {"good": "pass", "size": "fail"}}, "verdicts")
    check_equal((status, result["exit_code"], result["verdict"]), (1, 1, "fail"), "the worst counts")
    check_equal(result["disputed"], ["size"], "where they disagree")
    check("NOOP" in result["requirements"]["RFC5321-4.1.1.9-noop-250"]["says"], "the requirement is paraphrased")
    page = latest("report.html")
    for text in ("RFC 5321", "section 4.1.1.9", '<b>reference</b>', '<b>mine</b>', "Where targets disagree", "C1 -&gt; EHLO", 'id="s5321-4.1.1.9"', 'href="#s5321-4.1.1.9"'):
        check(text in page, f"{text!r} is in the page")
    check(result["requirements"]["RFC5321-4.1.1.9-noop-250"]["says"] in page, "the clause is in the page, in our words")
    check("http" not in re.sub(r"http://www\.w3\.org/[^\"]*", "", page), "the page loads nothing")
    for name in ("reference", "mine"):
        check(os.path.exists(os.path.join(scratch(), "results/latest", name, "transcripts/size.txt")), f"transcripts of {name}")
    status, out, _ = conform(*two(good, size, "--differential"))
    check_equal(status, 1, "exit status")
    check("the targets disagree in 1 of 2 cases" in out and re.search(r"^  mine +fail  breaks RFC5321", out, re.M), "the dispute is printed")
    check(not re.search(r"^good$", out, re.M), "and nothing that they agree on")


@turns_red("output-is-silent")
def test_result_json_keeps_to_its_schema():
    need_tool("node")
    cases = [write_case("good", "C: NOOP\nS: 250 ...\n"), write_case("size", SIZE), write_case("absent", "C: NOOP\nS: 250 ...\n", needs="smtp XNONSENSE")]
    waivers = os.path.join(scratch(), "waivers.yaml")
    with open(waivers, "w") as file:
        file.write("waivers:\n  - { case: good, reason: known, until: 2999-01-01 }\n  - { case: size, reason: known, until: 2999-01-01, target: mine }\n")
    status, result = conform_all_json(*two(*cases, "--waivers", waivers, "--repeat", "2"))
    check_equal((status, by_target(result)["mine"]["size"], by_target(result)["reference"]["size"]), (0, "waived", "pass"), "a waiver of one target")
    schema = os.path.join(ROOT, "reports/conform.schema.json")
    path = os.path.join(scratch(), "results/latest/result.json")

    def mistakes():
        return run_program(["node", os.path.join(ROOT, "tests/e2e/check_schema.js"), MODULES, schema, path])[:2]

    check_equal(mistakes(), (0, ""), "what the schema finds wrong")
    del result["targets"][0]["cases"][0]["verdict"]
    path = os.path.join(scratch(), "broken.json")
    with open(path, "w") as file:
        json.dump(result, file)
    check("required property 'verdict'" in mistakes()[1], "the schema can find something")


@turns_red("output-is-silent", "server-dies-badly")
def test_baseline_waivers_and_names_are_of_one_target():
    size = write_case("size", SIZE)
    status, first = conform_all_json(*two(size))
    baseline = os.path.join(scratch(), "baseline.json")
    with open(baseline, "w") as file:
        json.dump(first, file)
    check_equal(status, 1, "exit status")
    check_equal(conform(*two(size, "--baseline", baseline))[0], 0, "what failed in the baseline, on that target, does not count")
    for target in first["targets"]:
        target["target"] = {"reference": "mine", "mine": "reference"}[target["target"]]
    with open(baseline, "w") as file:
        json.dump(first, file)
    check_equal(conform(*two(size, "--baseline", baseline))[0], 1, "what failed on another target does")
    waivers = os.path.join(scratch(), "waivers.yaml")
    with open(waivers, "w") as file:
        file.write("waivers:\n  - { case: size, reason: known, until: 2999-01-01, target: reference }\n")
    check_equal(conform(*two(size, "--waivers", waivers))[0], 1, "a waiver of another target does not count")
    for arguments in (["--differential"], ["--target", "reference", "--target", "reference"], ["--target", "refrence"]):
        status, _, err = conform(*arguments, size)
        check_equal(status, 2, f"exit status of {arguments}")
    check('did you mean "reference"?' in err, f"a slip is noticed: {err}")


ABSENT = """target: absent
title: a server that nobody has
packages: [no-such-package]
programs: [/nonexistent/server]
services: [smtp]
servers: [{ run: [/nonexistent/server] }]
ready: { ports: [smtp] }
"""


@turns_red("output-is-silent", "server-dies-badly")
def test_a_target_that_is_not_here_is_not_judged_and_the_others_are():
    path = os.path.join(scratch(), "absent.yaml")
    with open(path, "w") as file:
        file.write(ABSENT)
    good = write_case("good", "C: NOOP\nS: 250 ...\n")
    status, result = conform_all_json("--target", path, "--target", "reference", good)
    check_equal((status, by_target(result)), (3, {"absent": {"good": "not-played"}, "reference": {"good": "pass"}}), "status and verdicts")
    check("missing package no-such-package" in result["targets"][0]["problem"], "the reason is told")
    check("missing package no-such-package" in latest("report.html"), "the page has it, too")


# ---- for CI services -----------------------------------------------------------------


@turns_red("output-is-silent")
def test_sarif_markdown_and_annotations_tell_what_was_broken():
    good, bad = write_case("good", "C: NOOP\nS: 250 ...\n"), write_case("bad, 100%", "C: NOOP\nS: 251 ...\n")
    should = write_case("should", "C: NOOP\nS: 251 ...\n", level="SHOULD")
    sarif, markdown = os.path.join(scratch(), "c.sarif"), os.path.join(scratch(), "c.md")
    status, out, _ = conform(good, bad, should, "--sarif", sarif, "--markdown", markdown, "--annotations", "github")
    check_equal(status, 1, "exit status")
    errors = re.findall(r"^::error file=(.*),line=(\d+),title=(.*?)::(.*)$", out, re.M)
    check_equal([(e[0].rsplit("/", 1)[1], e[2], e[3]) for e in errors],
                [("bad%2C 100%25.case", "reference breaks RFC5321-4.1.1.9-noop-250 (MUST)", "a case of a test%0A251 was due, and came: 250 2.0.0 ok")], "annotations of errors")
    check_equal(len(re.findall(r"^::warning file=.*should\.case,", out, re.M)), 1, "and of warnings")
    with open(sarif) as file:
        log = json.load(file)
    run, = log["runs"]
    check_equal((log["version"], run["tool"]["driver"]["name"], run["automationDetails"]["id"]), ("2.1.0", "postrider", "postrider-conform/reference/"), "SARIF's head")
    rule, = run["tool"]["driver"]["rules"]
    check("NOOP" in rule["shortDescription"]["text"] and "section 4.1.1.9" in rule["help"]["text"], f"the rule is the requirement: {rule}")
    got = {r["partialFingerprints"]["targetAndCase/v1"]: (r["ruleId"], r["ruleIndex"], r["level"]) for r in run["results"]}
    check_equal(got, {"reference/bad, 100%": ("RFC5321-4.1.1.9-noop-250", 0, "error"), "reference/should": ("RFC5321-4.1.1.9-noop-250", 0, "warning")}, "SARIF's results")
    place = next(r for r in run["results"] if r["level"] == "error")["locations"][0]["physicalLocation"]
    check(place["artifactLocation"]["uri"].endswith("/bad%2C%20100%25.case") and place["region"]["startLine"] > 5, f"the place: {place}")
    with open(markdown) as file:
        text = file.read()
    for piece in ("# postrider conform: FAIL", "| **reference** | FAIL | 1 | 1 | 1 |", "`RFC5321-4.1.1.9-noop-250`<br>", "| MUST | ✗ |", "<details><summary>reference: fail:", "-&gt; NOOP"):
        check(piece in text, f"{piece!r} is in the summary: {text}")


@turns_red("output-is-silent")
def test_annotations_come_by_themselves_under_github_actions():
    bad = write_case("bad", "C: NOOP\nS: 251 ...\n")
    os.environ.pop("GITHUB_ACTIONS", None)
    check("::error" not in conform(bad)[1], "none elsewhere")
    os.environ["GITHUB_ACTIONS"] = "true"
    at_end(os.environ.pop, "GITHUB_ACTIONS", None)
    check("::error" in conform(bad)[1], "they are printed")
    check("::error" not in conform(bad, "--annotations", "none")[1], "unless they are not wanted")
    _, out, err = conform(bad, "--json")
    check("::error" not in out and "::error" in err and json.loads(out), "and not into JSON")


# ---- other people's servers ----------------------------------------------------------

SMALL_SUITE = ("smtp/rfc5321/4.1.1.9", "smtp/rfc5321/4.5.2", "smtp/rfc5321/4.1.1.4")
LF_DOT_LF = "smtp/rfc5321/4.1.1.4/lf-dot-lf-is-no-end"


def judge(target, *suite):
    need_target(target)
    if lib.lens == "suite-is-another":
        suite = ("smtp/rfc5321/4.1.1.9/noop-with-an-argument", "pop3/rfc1939/7")
    return conform_json("--target", target, *suite)


def check_judged(result, service):
    """All that was tried came to a verdict, and most of it to a good one."""
    totals = result["totals"]
    check_equal({k: totals[k] for k in ("inconclusive", "error", "flaky", "not-played")}, dict.fromkeys(("inconclusive", "error", "flaky", "not-played"), 0), f"not judged: {totals}")
    check(totals["pass"] >= 10, f"{totals['pass']} passed")
    check(any(c.startswith(service) and v == "pass" for c, v in verdicts(result).items()), f"cases of {service} pass")


# The positive control of the suite: by default Postfix 3.7 takes ends of data with bare LF, and the others do not.
@slow
@turns_red("output-is-silent", "suite-is-another")
def test_postfix_takes_an_end_of_data_with_bare_lf():
    status, result = judge("postfix", *SMALL_SUITE)
    check_equal((status, verdicts(result).get(LF_DOT_LF)), (1, "fail"), "exit status and verdict")
    check_judged(result, "smtp/")
    case, = [c for c in result["cases"] if c["case"] == LF_DOT_LF]
    check("RSET" in case["transcript"] and "a command inside the content was run" in case["why"], "and the transcript shows it")
    check(any(v.startswith("postfix 3.7.") for v in result["versions"]), f"the version is told: {result['versions']}")


@slow
@turns_red("output-is-silent", "suite-is-another")
def test_exim_does_not_take_an_end_of_data_with_bare_lf():
    _, result = judge("exim", *SMALL_SUITE)
    check_equal(verdicts(result).get(LF_DOT_LF), "pass", "verdict")
    check_judged(result, "smtp/")


@slow
@turns_red("output-is-silent", "suite-is-another")
def test_haraka_is_judged():
    _, result = judge("haraka", *SMALL_SUITE[:2])
    check_judged(result, "smtp/")


@slow
@turns_red("output-is-silent", "suite-is-another")
def test_opensmtpd_is_judged_and_its_tls_is_not():
    _, result = judge("opensmtpd", *SMALL_SUITE, "submission/rfc4954/4", "smtp/rfc3207")
    check_judged(result, "smtp/")
    why = {c["case"].split("/")[1]: c.get("why") for c in result["cases"] if c["verdict"] == "not-tested"}
    check("served by dovecot" in why["rfc4954"] and "does not offer STARTTLS" in why["rfc3207"], f"why not: {why}")


@slow
@turns_red("output-is-silent", "suite-is-another")
def test_dovecot_is_judged_by_lmtp_and_pop3():
    _, result = judge("dovecot", "pop3/rfc1939", "lmtp", "smtp/rfc5321/4.1.1.9")
    check_judged(result, "lmtp/")
    check_judged(result, "pop3/")
    why, = {c["why"] for c in result["cases"] if c["case"].startswith("smtp/")}
    check("no smtp service" in why, f"why not: {why}")


# ---- policies for TLS ---------------------------------------------------------------

ENFORCED = ["4.2/expired", "4.2/wrong-name", "5/host-not-named", "5/without-starttls"]


def edit(path, old, new):
    with open(path) as file:
        text = file.read()
    check(old in text, f"{path} has {old!r}")
    with open(path, "w") as file:
        file.write(text.replace(old, new))


def scenarios_for_policies():
    """A directory with targets and cases of its own, for one of them may be broken."""
    here = os.path.join(scratch(), "tree")
    for part in ("targets", "requirements", "cases/relay/rfc8461"):
        shutil.copytree(os.path.join(ROOT, "scenarios", part), os.path.join(here, "scenarios", part))
    if lib.lens == "policies-are-not-asked-for":
        edit(os.path.join(here, "scenarios/targets/postfix/main.cf"), ", socketmap:inet:127.0.0.1:8461:postfix", "")
    if lib.lens == "policies-are-for-testing":
        for case in ENFORCED:
            edit(os.path.join(here, f"scenarios/cases/relay/rfc8461/{case}.case"), "mode: enforce", "mode: testing")
    return here


@slow
@turns_red("policies-are-not-asked-for", "policies-are-for-testing")
def test_postfix_sends_nothing_that_an_mta_sts_policy_forbids():
    need_target("postfix-mta-sts")
    cases = [f"relay/rfc8461/{case}" for case in ENFORCED]
    status, out, err = run_program([POSTRIDER, "conform", "--json", "--results", os.path.join(scratch(), "results"), "--target", "postfix-mta-sts", *cases],
                                   cwd=scenarios_for_policies(), timeout_s=140)
    check(out.startswith("{"), f"JSON is printed, got {out[:200]!r} and {err[:200]!r}")
    only, = json.loads(out)["targets"]
    check_equal((status, verdicts(only)), (0, {case: "pass" for case in cases}), "exit status and verdicts")


# ---- servers elsewhere ---------------------------------------------------------------

ELSEWHERE = """target: elsewhere
title: a server elsewhere
remote:
  host: localhost
  ports: {{ smtp: {smtp}, pop3s: {pop3s} }}
  recipient-domains: [fredsco.example]
  rate-max: 10
  ca-file: {ca}
  password-file: {passwords}
"""


def target_elsewhere():
    everywhere = {service: "127.0.0.1:0" for service in lib.SERVICES}
    users = {f"u{i}": f"secret-{i}" for i in range(4)}
    server = Server(users=users, settings={"listen": everywhere}).start()
    passwords = os.path.join(scratch(), "passwords")
    with open(passwords, "w") as file:
        file.write("".join(f"{user}: {password}\n" for user, password in users.items()))
    os.chmod(passwords, 0o600)
    path = os.path.join(scratch(), "elsewhere.yaml")
    with open(path, "w") as file:
        file.write(ELSEWHERE.format(smtp=server.services["smtp"][1], pop3s=server.services["pop3s"][1], ca=os.path.join(server.data, "certificate.pem"), passwords=passwords))
    return path, server


@turns_red("output-is-silent", "server-dies-badly")
def test_a_server_elsewhere_is_judged_within_its_limits():
    target, _ = target_elsewhere()
    stored = 'mail ${rcpt} "Subject: x\\r\\n\\r\\ny\\r\\n"\nstored ${rcpt}:\n   body == "y\\r\\n"\n'
    cases = [write_case("noop", "C: NOOP\nS: 250 ...\n"), *(write_case(f"stored{i}", stored, needs="smtp mailbox") for i in range(3)),
             write_case("trick", "C: NOOP\nS: 250 ...\n", more="tags: intrusive\n"), write_case("relay", "C: MAIL FROM:<>\nS: 250 ...\nC: RCPT TO:<${elsewhere}>\nS: 5xx ...\n")]
    status, _, err = conform("--target", target, *cases)
    check(status == 2 and "reached with --allow-remote only" in err, f"nothing goes there without leave: {err}")
    status, result = conform_json("--target", target, "--allow-remote", "--in-order", *cases)
    got = verdicts(result)
    check_equal((status, got), (0, {"noop": "pass", "stored0": "pass", "stored1": "pass", "stored2": "not-tested", "trick": "not-tested", "relay": "not-tested"}), "verdicts")
    why = {c["case"]: c.get("why", "") for c in result["cases"]}
    check("no mailbox is left" in why["stored2"] and "somebody else's" in why["trick"] and "nobody@elsewhere.example" in why["relay"], f"why not: {why}")
    # Ten messages a second: noop counts as one, each of stored as two, relay as one.
    check(result["elapsed_ms"] >= 500, f"its pace is kept: {result['elapsed_ms']} ms")


@turns_red("output-is-silent", "server-dies-badly")
def test_a_server_that_cannot_be_reached_is_not_judged():
    target, server = target_elsewhere()
    noop = write_case("noop", "C: NOOP\nS: 250 ...\n")
    status, result = conform_json("--target", target, "--allow-remote", noop)
    check_equal((status, verdicts(result)), (0, {"noop": "pass"}), "while it is there")
    server.stop()
    status, result = conform_json("--target", target, "--allow-remote", noop)
    check_equal(status, 3, "exit status when it is not")
    check("pass" not in verdicts(result).values() and result.get("problem"), f"why: {result}")
