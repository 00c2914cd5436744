"""postrider: other people's servers as targets, private networks, and what must not leave the machine or get known."""

import json
import os
import re

import lib
from lib import POSTRIDER, POSTRIDERD, ROOT, Server, Skip, check, check_equal, run_program, scratch, slow, turns_red
from runs import FAKE, NO_HURRY, Run, environment, shipped_flow

lib.LENSES.update({
    "next-hop-loses-mail": "the next hop loses one message",
    "password-is-left": "a password stands in a log that was kept",
    "leave-is-given": "what is refused is asked for with leave",
    "mail-is-refused-there": "the server elsewhere is not there, or what should stop mail to it does not",
    "interface-is-left": "there is one network interface more after the run",
})


def need_target(name, private=True):
    """Skips with the reason that postrider doctor gives."""
    _, out, _ = run_program([POSTRIDER, "doctor"], cwd=ROOT, env=environment())
    wanted = [f"target {name}"] + (["private networks"] if private else [])
    for what in wanted:
        line = re.search(rf"^(yes|no) +{what} +(.*)$", out, re.M)
        check(line, f"doctor says of {what}: {out!r}")
        if line[1] == "no":
            raise Skip(f"{what}: {line[2]}")


def run_flow(flow, target, *options):
    """With isp2 of that target; fredsco is the reference server, or one that breaks its promise."""
    fault = "lose" if lib.lens == "next-hop-loses-mail" else ""
    program = ["--program", FAKE] if fault else []
    return Run(flow, "--target", f"isp2={target}", *options, *program, env=environment(FAKE_FAULT=fault, FAKE_REAL=POSTRIDERD))


def check_clean(run, at_least):
    check_equal(run.status, 0, f"exit status, {run.out}{run.err}")
    result = run.result()
    bad = {k: v for k, v in result["ledger"].items() if v and k != "delivered"}
    check_equal(bad, {}, "what went wrong, in the ledger")
    check(result["ledger"]["delivered"] >= at_least, f"{result['ledger']} has {at_least} delivered")


def carries_three_steps(target):
    def test():
        need_target(target)
        check_clean(run_flow(shipped_flow("three-steps"), target, "--set", "rate=5/s", "--set", "time=2s"), 3)

    return turns_red("next-hop-loses-mail")(test)


def carries_next_hop_down(target):
    def test():
        need_target(target)
        flow = shipped_flow("next-hop-down", ("{ at: 5s, for: 10s,", "{ at: 1s, for: 3s,"), ("  drain: 30s\n", ""))
        run = run_flow(flow, target, "--set", "rate=5/s", "--set", "time=5s")
        check_clean(run, 10)
        check(run.result()["drain"]["waiting"] > 0, f"mail waited while the next hop was down: {run.result()['drain']}")

    return slow(turns_red("next-hop-loses-mail")(test))


def keeps_mailboxes(target):
    def test():
        need_target(target)
        flow = shipped_flow("three-steps")
        run = Run(flow, "--target", target, "--set", "rate=5/s", "--set", "time=2s")
        check_clean(run, 3)
        check_equal({h["target"] for h in run.result()["hosts"]}, {target}, "targets of all hosts")

    return test


for mta in ("postfix", "exim", "opensmtpd", "haraka"):
    globals()[f"test_{mta}_carries_three_steps"] = carries_three_steps(mta)
    globals()[f"test_{mta}_carries_next_hop_down"] = carries_next_hop_down(mta)
    globals()[f"test_{mta}_with_dovecot_is_next_hop_and_mailbox"] = keeps_mailboxes(mta)
for key, made in list(globals().items()):
    if key.startswith("test_"):
        made.__name__ = key


def interfaces():
    with open("/proc/net/dev") as file:
        names = sorted(line.split(":")[0].strip() for line in file if ":" in line)
    return names + (["h99"] if lib.lens == "interface-is-left" and interfaces.asked else [])


@turns_red("interface-is-left")
def test_a_private_network_has_the_ports_of_life_and_leaves_nothing_behind():
    need_target("reference")
    interfaces.asked = False
    before = interfaces()
    interfaces.asked = True
    run = Run(shipped_flow("three-steps"), "--network", "private", "--set", "rate=5/s", "--set", "time=1s", "--keep-world")
    check_clean(run, 1)
    with open(os.path.join(run.directory, "world/hosts/isp2/postriderd.conf")) as file:
        config = json.load(file)
    check_equal(config["listen"]["smtp"].rsplit(":", 1)[1], "25", "SMTP port")
    check_equal(config["dns"]["forwarder"].rsplit("@", 1)[1], "53", "DNS port")
    check_equal(interfaces(), before, "network interfaces of the machine")


# ---- targets that are not there ------------------------------------------------------


def own_targets(**texts):
    """A directory whose ./scenarios/targets has these beside the shipped ones."""
    directory = os.path.join(scratch(), "scenarios/targets")
    os.makedirs(directory, exist_ok=True)
    for name, text in texts.items():
        with open(os.path.join(directory, f"{name}.yaml"), "w") as file:
            file.write(text)
    return scratch()


ABSENT = """target: absent
title: a server that nobody has
packages: [no-such-package]
programs: [/nonexistent/server]
services: [smtp, submission, pop3, pop3s]
settings: [retry]
servers: [{ run: [/nonexistent/server] }]
ready: { ports: [smtp] }
"""


@turns_red("output-is-silent", "server-dies-badly")
def test_a_target_whose_package_is_missing_is_named_and_judges_nothing():
    here = own_targets(absent=ABSENT)
    status, out, _ = run_program([POSTRIDER, "targets"], cwd=here, env=environment())
    check_equal(status, 0, "exit status of targets")
    check("missing package no-such-package" in out, f"targets says so: {out!r}")
    status, out, err = run_program([POSTRIDER, "run", shipped_flow("three-steps"), "--target", "isp2=absent"], cwd=here, env=environment())
    check_equal(status, 3, f"exit status of run, {out}{err}")
    check("host isp2: target absent: missing package no-such-package" in err, f"run says so: {err!r}")


@turns_red("server-dies-badly")
def test_a_mistake_in_a_target_is_told_with_its_place_and_starts_nothing():
    here = own_targets(absent=ABSENT + "retyr: 1s\n")
    path = os.path.join(here, "scenarios/targets/absent.yaml")
    for command in (["lint", path], ["run", shipped_flow("three-steps"), "--target", "isp2=absent"]):
        status, _, err = run_program([POSTRIDER, *command], cwd=here, env=environment())
        check_equal(status, 2, f"exit status of {command}")
        check("absent.yaml:9:1: error: unknown key" in err, f"{command} says where: {err!r}")


# ---- what must not leave the machine -------------------------------------------------

ELSEWHERE = """target: elsewhere
title: a server elsewhere
remote:
  host: localhost
  ports: { smtp: %(smtp)d, pop3s: %(pop3s)d }
  recipient-domains: [%(domain)s]
  rate-max: 5
  ca-file: %(ca)s
  password-file: %(passwords)s
"""
FLOW = """flow: there
title: mail to a server elsewhere
hosts:
  home: { domain: home.example, accounts: [me] }
  fredsco: { domain: fredsco.example, accounts: [sales], target: elsewhere }
traffic:
  - { name: letters, from: me@home.example, to: sales@fredsco.example, via: fredsco, service: smtp, tls: none, rate: %(rate)s, count: 5 }
retrieve:
  - { account: sales@fredsco.example, protocol: pop3s, every: 100ms }
drain: 10s
%(more)sexpect: { delivered: all }
""" + NO_HURRY


def run_there(*options, rate="5/s", domain="fredsco.example", more="", server=None, mode=0o600):
    passwords = os.path.join(scratch(), "passwords")
    with open(passwords, "w") as file:
        file.write("sales: a-secret-of-sales\n")
    os.chmod(passwords, mode)
    ports = {name: server.services[name][1] if server else 9 for name in ("smtp", "pop3s")}
    ca = os.path.join(server.data, "certificate.pem") if server else "/nonexistent"
    here = own_targets(elsewhere=ELSEWHERE % {**ports, "domain": domain, "ca": ca, "passwords": passwords})
    flow = os.path.join(scratch(), "there.flow.yaml")
    with open(flow, "w") as file:
        file.write(FLOW % {"rate": rate, "more": more})
    return run_program([POSTRIDER, "run", flow, "--results", os.path.join(scratch(), "results"), *options], cwd=here, env=environment(), timeout_s=60)


def check_refused(text, *options, **how):
    if lib.lens == "leave-is-given":
        options, how = ("--allow-remote",), {}
    status, out, err = run_there(*options, **how)
    check_equal(status, 2, f"exit status, {out}{err}")
    check(text in err, f"{text!r} is in {err!r}")
    check(not os.path.exists(os.path.join(scratch(), "results")), "nothing was begun")


@turns_red("leave-is-given")
def test_no_mail_goes_elsewhere_without_allow_remote():
    check_refused("mail goes there with --allow-remote only")


@turns_red("leave-is-given")
def test_no_mail_goes_to_domains_that_the_target_does_not_list():
    check_refused("does not list fredsco.example among its recipient-domains", "--allow-remote", domain="other.example")


@turns_red("leave-is-given")
def test_no_mail_goes_elsewhere_faster_than_the_target_allows():
    check_refused("6 messages a second are more than the 5", "--allow-remote", rate="6/s")


@turns_red("leave-is-given")
def test_a_server_elsewhere_is_not_disturbed():
    check_refused("not to be disturbed", "--allow-remote", more="faults:\n  - { at: 1s, for: 1s, host: fredsco, do: stop }\n")


def server_there():
    everywhere = {service: "127.0.0.1:0" for service in lib.SERVICES}
    return Server(users={"sales": "a-secret-of-sales"}, settings={"listen": everywhere}).start()


@turns_red("mail-is-refused-there")
def test_with_leave_mail_goes_elsewhere_and_is_read_there():
    server = server_there()
    if lib.lens == "mail-is-refused-there":
        server.kill()
    status, out, err = run_there("--allow-remote", server=server)
    check_equal(status, 0, f"exit status, {out}{err}")
    check(re.search("^PASS  there: 5 of 5", out, re.M), f"the verdict is printed: {out!r}")


@turns_red("mail-is-refused-there")
def test_a_password_file_that_others_may_read_is_not_used():
    mode = 0o600 if lib.lens == "mail-is-refused-there" else 0o640
    status, _, err = run_there("--allow-remote", server=server_there(), mode=mode)
    check_equal(status, 4, "exit status")
    check("can be read by others" in err, f"run says why: {err!r}")


# ---- what must not get known ---------------------------------------------------------

LEAKS = """#!/bin/sh
# A server whose log has every password, in clear and as AUTH sends it.
for file in "$(dirname "$3")"/password.*; do
	cat "$file" >&2
	echo >&2
	printf '\\0%s\\0%s' "${file##*/password.}@isp2.example" "$(cat "$file")" | base64 >&2
done
exec "$REAL" "$@"
"""
PASSWORD = "correct-horse-battery"


def files_below(directory):
    for base, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(base, name), "rb") as file:
                yield os.path.join(base, name), file.read()


@turns_red("password-is-left")
def test_no_password_is_in_what_a_run_leaves_or_prints():
    program = os.path.join(scratch(), "leaks")
    with open(program, "w") as file:
        file.write(LEAKS)
    os.chmod(program, 0o755)
    flow = shipped_flow("three-steps", ("accounts: [barney]", f"accounts: {{ barney: {PASSWORD} }}"))
    run = Run(flow, "--set", "rate=5/s", "--set", "time=500ms", "--program", program, env=environment(REAL=POSTRIDERD))
    check_equal(run.status, 0, f"exit status, {run.out}{run.err}")
    check(run.read("logs/isp2.stderr.log").count("[redacted]") >= 2, "the server's log had them")
    if lib.lens == "password-is-left":
        run.write("logs/isp2.stderr.log", f"password={PASSWORD}\n")
    for secret in (PASSWORD.encode(), b"AGJhcm5leUBpc3AyLmV4YW1wbGUAY29ycmVjdC1ob3JzZS1iYXR0ZXJ5"):
        check(secret not in (run.out + run.err).encode(), "the password is in no output")
        for path, content in files_below(os.path.realpath(run.directory)):
            check(secret not in content, f"the password is in {path}")


@turns_red("server-dies-badly")
def test_passwords_do_not_come_from_the_command_line():
    flow = shipped_flow("three-steps", ("accounts: [barney]", "accounts: { barney: '${word}' }"))
    status, _, err = run_program([POSTRIDER, "run", flow, "--set", f"word={PASSWORD}"], cwd=ROOT, env=environment())
    check_equal(status, 2, "exit status")
    check("password on the command line" in err and PASSWORD not in err, f"run says why: {err!r}")


@turns_red("server-dies-badly")
def test_secrets_are_shown_on_a_terminal_only():
    status, _, err = run_program([POSTRIDER, "run", "three-steps", "--show-secrets"], cwd=ROOT, env=environment())
    check_equal(status, 2, "exit status")
    check("--show-secrets is for a terminal" in err, f"run says why: {err!r}")
