"""What scanners that others wrote say of the server: nothing."""

import json
import os

from lib import OUT, Server, Skip, check, need_tool, run_program, scratch, slow, turns_red


def server():
    return Server(users={"sales": "secret"}).start()


@turns_red("output-is-silent")
def test_nmap_finds_no_open_relay():
    need_tool("nmap")
    host, port = server().services["smtp"]
    status, out, _ = run_program(["nmap", "-n", "-Pn", "-p", str(port), "--script", "+smtp-open-relay", host])
    check(status == 0 and "Server doesn't seem to be an open relay, all tests failed" in out, f"nmap says: {out}")


def findings(service, *options):
    """What testssl calls worse than informational: {id: finding}."""
    need_tool("testssl")
    if os.path.basename(OUT) != "release":
        raise Skip("twenty seconds of handshakes say the same under sanitizers")
    host, port = server().services[service]
    path = os.path.join(scratch(), "testssl.json")
    status, _, _ = run_program(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip", "one", "--jsonfile", path,
                                "--protocols", "--vulnerable", *options, f"{host}:{port}"], timeout_s=120,
                               env={**os.environ, "TERM": "dumb"})
    with open(path) as file:
        entries = json.load(file)
    check(any(e["id"] == "TLS1_3" and "offered" in e["finding"] for e in entries), f"testssl saw TLS 1.3 (exit {status})")
    return {e["id"]: e["finding"] for e in entries if e["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL")}


@slow
def test_testssl_finds_nothing_to_say_of_starttls():
    bad = findings("smtp", "--starttls", "smtp")
    check(not bad, f"testssl says: {bad}")


@slow
def test_testssl_finds_nothing_to_say_of_implicit_tls():
    bad = findings("submissions")
    check(not bad, f"testssl says: {bad}")
