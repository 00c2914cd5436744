"""Store and forward: smtp-source -> relay -> smtp-sink, every message durable
before its 250.  The clock runs from the first connection to the moment the
next hop has the last message.
"""

import os
import subprocess
import threading
import time

import servers

SESSIONS = (10, 20, 50, 100)
# 90 % of 1 to 17 KB and 10 % of up to 200 KB, as sizes of equal shares.
MIXED = (1000, 3000, 5000, 7000, 9000, 11000, 13000, 15000, 17000, 100000)


def postriderd(directory, next_hop):
    return servers.Postriderd(directory, next_hop)


def postfix(setting):
    def make(directory, next_hop):
        return servers.Postfix(directory, next_hop, setting)

    make.setting = setting
    return make


def _sources(port, count, sessions, sizes):
    """One smtp-source for each size, side by side."""
    if len(sizes) == 1:
        servers.smtp_source(port, count, sessions, sizes[0])
        return
    failed = []

    def run(size):
        try:
            servers.smtp_source(port, count // len(sizes), max(1, sessions // len(sizes)), size)
        except (servers.BenchError, subprocess.TimeoutExpired) as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def pass_through(directory, make, sessions, count, sizes=(4096,), churn=0):
    """One run: {"rate": messages/s end to end, "cpu_us": CPU of the relay for a message, "accept_rate": ...}."""
    total = count + churn
    with servers.SmtpSink(os.path.join(directory, "sink"), total) as sink:
        with make(os.path.join(directory, "relay"), sink.port) as relay:
            if churn:
                _sources(relay.smtp, churn, sessions, sizes)
            cpu_s, begin = relay.cpu_s(), time.monotonic()
            _sources(relay.smtp, count, sessions, sizes)
            accepted = time.monotonic()
            try:
                sink.process.wait(servers.PATIENCE_S)
            except subprocess.TimeoutExpired:
                raise servers.BenchError(f"not all of {total} messages reached the next hop") from None
            end = time.monotonic()
            return {
                "rate": count / (end - begin),
                "accept_rate": count / (accepted - begin),
                "cpu_us": (relay.cpu_s() - cpu_s) * 1e6 / count,
            }
