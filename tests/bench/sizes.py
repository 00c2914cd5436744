"""What the server costs in memory, and how it behaves with a million messages
in its queue.  Anonymous memory only: the store's file map is the page cache's.
"""

import os
import shutil
import smtplib
import socket
import ssl
import threading
import time

import servers

IDLE = {"listen": {"smtp": "127.0.0.1:0", "submissions": "127.0.0.1:0"},
        "limits": {"connections": 20000, "connections_per_address": 20000},
        "timeouts": {"command": "1h"}}


def _server(directory, settings=None, next_hop=None):
    return servers.Postriderd(os.path.join(directory, "server"), next_hop, settings)


def _greeted(connection):
    """Reads the greeting, says EHLO, reads the reply: a session as it stands between two messages."""
    connection.recv(4096)
    connection.sendall(b"EHLO idle.example\r\n")
    reply = b""
    while b"250 " not in reply:
        reply += connection.recv(4096)
    return connection


def idle_bytes(directory, tls, count):
    """Anonymous memory for each idle connection."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _server(directory, IDLE) as server:
        port = server.services["submissions" if tls else "smtp"]
        before = server.anonymous_bytes()
        held = []
        try:
            for _ in range(count):
                connection = socket.create_connection(("127.0.0.1", port), 30)
                if tls:
                    connection = context.wrap_socket(connection)
                held.append(_greeted(connection))
            return (server.anonymous_bytes() - before) / count
        finally:
            for connection in held:
                connection.close()


def big_message_bytes(directory, size=50 * 1024 * 1024):
    """How much more anonymous memory is in use at its peak while a message of 50 MiB comes in and goes out."""
    with servers.SmtpSink(os.path.join(directory, "sink"), 2) as sink, \
            _server(directory, {"limits": {"message_size": "64MiB"}}, sink.port) as server:
        body = (b"x" * 76 + b"\r\n") * (size // 78)

        def send(content):
            with smtplib.SMTP("127.0.0.1", server.smtp, "big.example") as session:
                session.sendmail("a@source.example", ["b@next.example"], b"Subject: size\r\n\r\n" + content)

        send(body[:78000])  # what the first message of any size costs is not this one's
        before, peak, done = server.anonymous_bytes(), 0, threading.Event()

        def watch():
            nonlocal peak
            while not done.wait(0.005):
                peak = max(peak, server.anonymous_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        send(body)
        sink.process.wait(servers.PATIENCE_S)
        done.set()
        watcher.join()
        return max(0, peak - before)


class Million:
    """A server with so many messages waiting for a next hop that is down."""

    def __init__(self, directory, count):
        self.count = count
        settings = {"retry": {"first": "1d", "max": "1d"}, "store": {"map_size": "64GiB"}}
        self.server = _server(directory, settings, servers.free_port())  # nobody listens there

    def fill(self):
        """Bytes of anonymous memory for each queued message."""
        before = self.server.anonymous_bytes()
        servers.smtp_source(self.server.smtp, self.count, 100, 512)
        return (self.server.anonymous_bytes() - before) / self.count

    def accept(self, count):
        begin = self.server.cpu_s()
        took = servers.smtp_source(self.server.smtp, count, 50, 4096)
        return {"rate": count / took, "cpu_us": (self.server.cpu_s() - begin) * 1e6 / count}

    def empty(self):
        self.server.stop()
        shutil.rmtree(self.server.config["data"])
        self.server.start()

    def restart_s(self):
        """From the start of the program to the first greeting."""
        self.server.stop()
        begin = time.monotonic()
        self.server.start()
        with socket.create_connection(("127.0.0.1", self.server.smtp), 60) as connection:
            if not connection.recv(512).startswith(b"220"):
                raise servers.BenchError("no greeting after the restart")
        return time.monotonic() - begin
