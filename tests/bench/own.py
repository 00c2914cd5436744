"""postrider's own sender and sink: as tools to load a server with, and against
Postfix's.
"""

import json
import os
import subprocess
import time

import servers

SESSIONS = 64
# Messages that are alike but for their Message-ID, as smtp-source's are: making
# each anew costs the sender more than sending it.
PIPELINED = ["--same-content", "--sessions", "16", "--in-flight", "16", "--chunking"]
PLAIN = ["--same-content", "--sessions", "256", "--no-pipelining"]
RECONNECT = ["--same-content", "--sessions", "256", "--new-connections"]
TLS = ["--same-content", "--sessions", "256", "--tls", "starttls"]
# Against smtp-source, which is told -d for the first.
KEPT = ["--same-content", "--sessions", str(SESSIONS), "--in-flight", "4"]
NEW = ["--same-content", "--sessions", str(SESSIONS), "--new-connections"]
BIG = ["--same-content", "--sessions", "4", "--chunking"]  # smtp-sink does not offer it


class Sink(servers.Process):
    def __init__(self, directory, options=()):
        super().__init__(directory)
        self.port = servers.free_port()
        self.options = list(options)

    def start(self):
        self.spawn([servers.POSTRIDER, "sink", "--listen", f"127.0.0.1:{self.port}", *self.options])
        servers.await_port(self.port, self.process, "postrider sink")


def send(port, count, options, size="4KiB"):
    """Runs postrider send to its end; its summary, with the CPU time it took."""
    before = os.times()
    done = subprocess.run(
        [servers.POSTRIDER, "send", "--server", f"127.0.0.1:{port}", "--from", "a@source.example", "--to",
         "b@next.example", "--count", str(count), "--size", size, "--json", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    after = os.times()
    if done.returncode != 0:
        raise servers.BenchError(f"postrider send: {done.stdout.strip()[-300:]} {done.stderr.strip()[-300:]}")
    summary = json.loads(done.stdout)
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {**summary, "cpu_us": cpu_s * 1e6 / count}


def through(directory, options, count):
    """Own sender -> postriderd -> own sink; the rate is that of final replies."""
    with Sink(os.path.join(directory, "sink")) as sink, \
            servers.Postriderd(os.path.join(directory, "server"), sink.port) as server:
        cpu_s = server.cpu_s()
        sent = send(server.smtp, count, options)
        return {"rate": count / sent["seconds"], "p99_ms": sent["ack_ms"]["p99"],
                "cpu_us": (server.cpu_s() - cpu_s) * 1e6 / count}


def ours_direct(directory, count, reconnect):
    with Sink(os.path.join(directory, "sink")) as sink:
        cpu_s = sink.cpu_s()
        sent = send(sink.port, count, NEW if reconnect else KEPT)
        return {"sender": sent["cpu_us"], "sink": (sink.cpu_s() - cpu_s) * 1e6 / count}


def theirs_direct(directory, count, reconnect):
    with servers.SmtpSink(os.path.join(directory, "sink")) as sink:
        cpu_s, before = sink.cpu_s(), os.times()
        servers.smtp_source(sink.port, count, SESSIONS, 4096, () if reconnect else ("-d",))
        after = os.times()
        mine = after.children_user + after.children_system - before.children_user - before.children_system
        return {"sender": mine * 1e6 / count, "sink": (sink.cpu_s() - cpu_s) * 1e6 / count}


def _big(sink, count):
    begin = time.monotonic()
    send(sink.port, count, BIG, "1MiB")
    return count * 1.048576 / (time.monotonic() - begin)


def ours_big(directory):
    with Sink(os.path.join(directory, "sink")) as sink:
        return _big(sink, 2000)


def theirs_big(directory):
    with servers.SmtpSink(os.path.join(directory, "sink")) as sink:
        return _big(sink, 400)
