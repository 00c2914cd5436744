"""What watches a server: metrics, health, the system's log."""

import os
import re
import signal
import socket
import time

from lib import PATIENCE_S, NextHop, Server, check, check_equal, make_message, new_address, scratch, turns_red, wait_until

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$')


def http(address, request):
    """(status, header lines, body) of a request sent as it is."""
    with socket.create_connection(address, PATIENCE_S) as sock:
        sock.sendall(request)
        data = b""
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            data += piece
    head, _, body = data.decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    return int(lines[0].split()[1]), lines[1:], body


def get(server, path):
    return http(server.metrics, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def parse(text):
    """{sample: value} of the Prometheus text format 0.0.4, read strictly."""
    check(text.endswith("\n"), "the last line ends")
    types, helps, samples, last = {}, set(), {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            check(name not in helps and len(line.split(" ", 3)) == 4, f"one HELP with a text for {name}")
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(name not in types and kind in ("counter", "gauge"), f"one TYPE for {name}")
            types[name] = kind
            last = name
        else:
            match = SAMPLE.match(line)
            check(match, f"a sample: {line!r}")
            name = match.group(1)
            check(name == last and name in helps, f"{name} stands below its own TYPE and HELP")
            check((types[name] == "counter") == name.endswith("_total"), f"{name} is a {types[name]}")
            check(not re.search(r"_(ms|ns|kb|mib|minutes)(_|$)", name), f"{name} is in base units")
            key = line.rsplit(" ", 1)[0]
            check(key not in samples, f"{key} is there once")
            samples[key] = float(match.group(3))
    check_equal(set(types), {re.split("[ {]", s)[0] for s in samples}, "every TYPE has samples")
    return {key.removeprefix("postriderd_"): value for key, value in samples.items()}


def watched(**options):
    server = Server(**options)
    server.metrics = (server.address, 9100)
    server.config["metrics"] = f"{server.address}:9100"
    return server.start()


def numbers(server):
    status, headers, body = get(server, "/metrics")
    check_equal(status, 200, "status of /metrics")
    check("Content-Type: text/plain; version=0.0.4; charset=utf-8" in headers, f"content type: {headers}")
    return parse(body)


@turns_red("server-agrees-to-all", "next-hop-is-deaf")
def test_metrics_count_what_happens():
    hop = NextHop(lambda verb, argument, session: "451 4.3.0 later" if verb == "MAIL" and "later" in argument else None)
    server = watched(settings={"outbound": {"smart_host": f"{hop.address}:2525", "tls": "none"}, "retry": {"first": "1h", "max": "1h", "expire": "1d"}})
    before = numbers(server)
    check_equal({before[f'queue_messages{{state="{s}"}}'] for s in ("active", "waiting", "held", "deferred")}, {0.0}, "an empty queue")
    session = server.submit_session()
    content = make_message()[1]
    session.message("sales@fredsco.example", "sales@fredsco.example", content)
    session.message("sales@fredsco.example", "barney@isp2.example", content)
    session.message("later@fredsco.example", "barney@isp2.example", content)
    session.message("later@fredsco.example", "betty@isp2.example", content)
    session.quit()
    refused = server.smtp()
    refused.command("EHLO client.example", 250)
    refused.command("MAIL FROM:<barney@isp2.example>", 250)
    refused.command("RCPT TO:<nobody@fredsco.example>", 550)
    hop.wait_for(1)
    wait_until(lambda: numbers(server)["deferred_total"] == 2, "two deferred")
    held = next(iter(server.queue()))
    check_equal(server.control("queue", "hold", held)[0], 0, "exit status of queue hold")
    got = numbers(server)
    for name, value in (("messages_accepted_total", 4), ("delivered_total", 2), ("deferred_total", 2), ("failed_total", 0), ('refused_total{what="recipient"}', 1),
                        ('queue_messages{state="deferred"}', 1), ('queue_messages{state="held"}', 1), ('queue_messages{state="active"}', 0),
                        ('connections_total{service="submission"}', 1), ('connections_total{service="smtp"}', 1), ('sessions{protocol="smtp"}', 1),
                        ('tls_handshakes_total{direction="in"}', 1), ('logins_total{result="ok"}', 1), ('logins_total{result="failed"}', 0), ("store_full", 0)):
        check_equal(got[name], value, name)
    check(got["accepted_bytes_total"] >= 4 * len(content), "bytes")
    check(got["store_commits_total"] > before["store_commits_total"] and got["store_commit_seconds_total"] > 0, "commits take time")
    check(0 < got["queue_oldest_age_seconds"] < 600, "the oldest age")
    check(all(got[k] >= v for k, v in before.items() if k.split("{")[0].endswith("_total")), "counters never go down")


@turns_red("server-dies-badly")
def test_health_is_503_while_stopping_and_requests_are_bounded():
    server = watched(settings={"timeouts": {"drain": "20s"}})
    check_equal(get(server, "/healthz"), (200, get(server, "/healthz")[1], "ok\n"), "health")
    for request, status in ((b"GET / HTTP/1.1\r\n\r\n", 404), (b"POST /metrics HTTP/1.1\r\n\r\n", 405), (b"nonsense\r\n\r\n", 400), (b"x" * 9000, 431)):
        check_equal(http(server.metrics, request)[0], status, f"status of {request[:20]}")
    check_equal(http(server.metrics, b"HEAD /metrics HTTP/1.1\r\n\r\n")[2], "", "no body for HEAD")
    silent = [socket.create_connection(server.metrics, PATIENCE_S) for _ in range(40)]
    begin = time.monotonic()
    for sock in silent:  # those beyond the limit at once, the others when their time is up
        check_equal(sock.recv(1), b"", "silent connections are closed")
    check(time.monotonic() - begin < 20, "soon")
    check_equal(get(server, "/healthz")[0], 200, "health after that")
    busy = server.smtp()
    busy.command("EHLO client.example", 250)
    busy.command("MAIL FROM:<barney@isp2.example>", 250)
    busy.command("RCPT TO:<sales@fredsco.example>", 250)
    busy.command("DATA", 354)
    busy.send(b"Subject: half\r\n")
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: get(server, "/healthz")[0] == 503, "503 while it is stopping")
    busy.send(make_message()[1] + b".\r\n")
    check_equal(busy.reply().code, 250, "what was begun is finished")
    check_equal(server.wait(), 0, "exit status")


@turns_red("server-dies-badly")
def test_health_is_503_while_the_store_is_full():
    server = watched(settings={"store": {"map_size": "4MiB"}})
    session = server.smtp()
    session.command("EHLO client.example", 250)
    body = (b"x" * 76 + b"\r\n") * 1000
    for number in range(200):
        session.command("MAIL FROM:<barney@isp2.example>", 250)
        session.command("RCPT TO:<sales@fredsco.example>", 250)
        session.command("DATA", 354)
        session.send(make_message(subject=f"n{number}", body=body)[1] + b".\r\n")
        if session.reply().code == 452:
            break
    else:
        check(False, "a full store")
    check_equal(get(server, "/healthz")[0], 503, "health of a full store")
    got = numbers(server)
    check_equal((got["store_full"], got['refused_total{what="storage"}'] >= 1), (1, True), "the numbers say so")
    check_equal(server.stop(), 0, "exit status")


@turns_red("server-dies-badly", "output-is-silent")
def test_metrics_of_a_server_without_a_file_are_on_loopback():
    server = Server()
    server.start_with(["serve", "--data", server.data, "--domain", "fredsco.example", "--metrics", "0"])
    pid = server.pid()
    inodes = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    check(len(listening) == 6 and all(at.startswith("0100007F:") for at in listening), f"six sockets on 127.0.0.1: {listening}")
    check_equal(server.stop(), 0, "exit status")
    from lib import POSTRIDERD, run_program
    status, _, err = run_program([POSTRIDERD, "serve", "--data", scratch(), "--domain", "fredsco.example", "--metrics", "nonsense"])
    check(status == 2 and "nonsense" in err, f"a mistake in the address: {status} {err}")


@turns_red("server-dies-badly")
def test_the_log_goes_to_syslog_and_a_daemon_that_does_not_read_stops_nothing():
    path = os.path.join(scratch(), f"syslog-{new_address()}")
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    daemon.bind(path)
    daemon.settimeout(PATIENCE_S)
    server = watched(settings={"log": {"to": "syslog", "socket": path}})
    pattern = rf"<22>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d postriderd\[{server.pid()}\]: started hostname=mx\.fredsco\.example data="
    first = daemon.recv(9000).decode()
    check(re.match(pattern, first), f"the first line: {first}")
    check_equal(server.log(), "", "standard error")
    for _ in range(300):  # far more lines than the socket takes, and nobody reads
        session = server.smtp()
        session.command("EHLO client.example", 250)
        session.command("MAIL FROM:<barney@isp2.example>", 250)
        session.command("RCPT TO:<nobody@fredsco.example>", 550)
        session.command("RCPT TO:<nobody@fredsco.example>", 550)
        session.close()
    dropped = numbers(server)["log_dropped_total"]
    check(dropped > 0, "lines were dropped, and counted")
    daemon.setblocking(False)
    lines = []
    try:
        while True:
            lines.append(daemon.recv(9000).decode())
    except BlockingIOError:
        pass
    daemon.settimeout(PATIENCE_S)
    check_equal(server.stop(), 0, "exit status")
    while not lines[-1].endswith("stopped"):
        lines.append(daemon.recv(9000).decode())
    check(any(re.search(r"log-dropped lines=\d+$", line) for line in lines), "a line says how many were dropped")
