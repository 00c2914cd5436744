"""What scanners that others wrote say of the server: nothing."""

import json
import os
import subprocess

from lib import OUT, NextHop, Server, Skip, at_end, check, die_with_parent, need_tool, new_address, run_program, scratch, slow, turns_red, wait_until


def server(**settings):
    return Server(users={"sales": "secret"}, settings=settings).start()


def what_nmap_says(at):
    need_tool("nmap")
    host, port = at.services["smtp"]
    status, out, _ = run_program(["nmap", "-n", "-Pn", "-p", str(port), "--script", "+smtp-open-relay", host])
    return out if status == 0 else ""


@turns_red("output-is-silent")
def test_nmap_finds_no_open_relay():
    out = what_nmap_says(server())
    check("Server doesn't seem to be an open relay, all tests failed" in out, f"nmap says: {out}")


def test_nmap_sees_an_open_relay_where_there_is_one():
    """The control of the test before."""
    hop = NextHop()
    out = what_nmap_says(server(relay_from=["127.0.0.0/8"], outbound={"smart_host": f"{hop.address}:2525", "tls": "none"}))
    check("Server is an open relay" in out, f"nmap says: {out}")


def findings(host, port, *options):
    """What testssl calls worse than informational: {id: finding}."""
    need_tool("testssl")
    if os.path.basename(OUT) != "release":
        raise Skip("twenty seconds of handshakes say the same under sanitizers")
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
    bad = findings(*server().services["smtp"], "--starttls", "smtp")
    check(not bad, f"testssl says: {bad}")


@slow
def test_testssl_finds_nothing_to_say_of_implicit_tls():
    bad = findings(*server().services["submissions"])
    check(not bad, f"testssl says: {bad}")


@slow
def test_testssl_has_something_to_say_of_weak_tls():
    """The control of the two before: block ciphers with SHA-1, keys that are not exchanged freshly."""
    need_tool("openssl")
    need_tool("testssl")
    host, name = new_address(), os.path.join(scratch(), "weak")
    made, _, err = run_program(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=weak.example",
                                "-keyout", name + ".key", "-out", name + ".pem"])
    check(made == 0, err)
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"{host}:2465", "-cert", name + ".pem", "-key", name + ".key", "-cipher", "AES128-SHA", "-quiet"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
    at_end(process.kill)
    wait_until(lambda: run_program(["openssl", "s_client", "-connect", f"{host}:2465", "-brief"], stdin="")[0] == 0, "a server with weak TLS")
    bad = findings(host, 2465)
    check(bad, "testssl has nothing to say")
