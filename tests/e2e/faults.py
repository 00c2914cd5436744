"""A disk that fails or is slow, for one server: tests/power/faults.c, preloaded.

    python3 tests/e2e/faults.py        rates when each sync takes 10 ms
"""

import os
import struct
import sys
import threading
import time

import lib
from lib import OUT, Server, Skip, check, make_message, scratch

LIBRARY = os.path.abspath(os.path.join(OUT, "tests/power/faults.so"))
RECORDER = os.path.abspath(os.path.join(OUT, "tests/power/recorder.so"))


class Faults:
    """What is set holds from the server's next write or sync on."""

    FIELDS = ("write_errno", "sync_errno", "sync_ms", "every", "after")

    def __init__(self):
        if not os.path.exists(LIBRARY):
            raise Skip("no tests/power/*.so: make e2e builds them, but not for programs with sanitizers")
        self.path = os.path.join(scratch(), f"faults-{id(self)}")
        with open(self.path, "wb") as file:
            file.write(bytes(32))

    def set(self, **values):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("<5I", *(values.get(name, 0) for name in self.FIELDS)))

    def counts(self):
        """(writes, syncs, failed)"""
        with open(self.path, "rb") as file:
            return struct.unpack("<8I", file.read())[5:8]

    def start(self, server, log=None):
        """With a log everything is recorded as well, see power.py."""
        os.environ["LD_PRELOAD"] = f"{RECORDER} {LIBRARY}" if log else LIBRARY
        os.environ["FAULTS"] = self.path
        if log:
            os.environ["POWER_LOG"] = log
        try:
            return server.start()
        finally:
            for name in ("LD_PRELOAD", "FAULTS", "POWER_LOG"):
                os.environ.pop(name, None)


# ---- a slow disk ---------------------------------------------------------------------


def rate(server, sessions, seconds):
    """Messages a second that so many sessions get accepted, each waiting for its replies; (rate, [waits in s])."""
    waits, lock, end = [], threading.Lock(), time.monotonic() + seconds

    def sender():
        session = server.smtp()
        session.command("EHLO client.example", 250)
        content = make_message()[1] + b"x" * 76 + b"\r\n" + b".\r\n"
        mine = []
        while time.monotonic() < end:
            session.command("MAIL FROM:<barney@isp2.example>", 250)
            session.command("RCPT TO:<sales@fredsco.example>", 250)
            session.command("DATA", 354)
            begin = time.monotonic()
            session.send(content)
            session.expect(250)
            mine.append(time.monotonic() - begin)
        session.close()
        with lock:
            waits.extend(mine)

    threads = [threading.Thread(target=sender) for _ in range(sessions)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(waits) / (time.monotonic() - begin), sorted(waits)


def slow_server(sync_ms):
    faults = Faults()
    server = Server(settings={"limits": {"connections_per_address": 1000, "commands_per_second": 0}})
    faults.start(server)
    faults.set(sync_ms=sync_ms)
    return faults, server


def main():
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    try:
        print("| each sync takes | sessions | messages/s | syncs/s | messages per sync | wait for 250: median ms | p99 ms |\n"
              "|--:|--:|--:|--:|--:|--:|--:|", file=out)
        for sync_ms in (0, 10):
            for sessions in (1, 8, 32, 64):
                faults, server = slow_server(sync_ms)
                syncs = faults.counts()[1]
                per_s, waits = rate(server, sessions, 5)
                syncs = (faults.counts()[1] - syncs) / (len(waits) / per_s)
                server.kill()
                print(f"| {sync_ms} ms | {sessions} | {per_s:.0f} | {syncs:.0f} | {per_s / syncs:.1f} | {waits[len(waits) // 2] * 1000:.0f} | "
                      f"{waits[len(waits) * 99 // 100] * 1000:.0f} |", file=out, flush=True)
    finally:
        lib.clean_up()


if __name__ == "__main__":
    main()
