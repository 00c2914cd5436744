#!/usr/bin/env python3
"""apop_server.py serve|status --config FILE: a POP3 server with APOP (RFC 1939, section 7), which the reference has not.

Takes the place of postriderd under `postrider conform --program`.  Its maildrops
are empty.  $APOP says what is wrong with it.
"""

import hashlib
import itertools
import json
import os
import signal
import socketserver
import sys
import threading
import unicodedata

BEHAVIOURS = {
    "right": "nothing",
    "same-timestamp": "every greeting has the same timestamp",
    "odd-timestamp": "the timestamp is no msg-id",
    "no-timestamp": "APOP takes any digest, and the greeting has no timestamp",
    "any-digest": "every digest is right",
    "no-digest": "every digest is wrong",
    "own-timestamp": "the digest of any greeting is right",
    "name-is-enough": "APOP wants no digest",
    "twice": "APOP works after a login",
    "pass-too": "USER and PASS open the mailbox, too",
    "unprepared": "names are compared as they come",
}
behaviour = os.environ["APOP"]
assert behaviour in BEHAVIOURS, behaviour
counter = itertools.count(1)
greetings = []
accounts = {}


def prepared(name):
    """As far as SASLprep (RFC 4013) matters here: soft hyphens are mapped to nothing."""
    if behaviour == "unprepared":
        return name
    return unicodedata.normalize("NFKC", name.replace("\u00ad", ""))


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        number = 1 if behaviour == "same-timestamp" else next(counter)
        self.timestamp = f"<{number}>" if behaviour == "odd-timestamp" else f"<{os.getpid()}.{number}@mx.sut.example>"
        greetings.append(self.timestamp)
        self.inside, self.name = False, None
        self.say("+OK hello" if behaviour == "no-timestamp" else f"+OK hello {self.timestamp}")
        try:
            for line in self.rfile:
                verb, _, rest = line.decode(errors="replace").rstrip("\r\n").partition(" ")
                if verb.upper() == "QUIT":
                    self.say("+OK")
                    return
                getattr(self, "on_" + verb.lower(), self.refuse)(rest)
        except OSError:
            pass

    def refuse(self, _rest=""):
        self.say("-ERR no")

    def on_capa(self, _rest):
        self.say("+OK\r\nUTF8 USER\r\nRESP-CODES\r\n.")

    def on_apop(self, rest):
        name, _, digest = rest.partition(" ")
        secret = accounts.get(prepared(name))
        if secret is None or (self.inside and behaviour != "twice") or (not digest and behaviour != "name-is-enough"):
            self.refuse()
            return
        stamps = greetings if behaviour == "own-timestamp" else [self.timestamp]
        right = digest in {hashlib.md5((stamp + secret).encode()).hexdigest() for stamp in stamps}
        right = (right or behaviour in ("any-digest", "no-timestamp", "name-is-enough")) and behaviour != "no-digest"
        self.inside = self.inside or right
        self.say("+OK" if right else "-ERR wrong")

    def on_user(self, rest):
        self.name = rest
        if behaviour == "pass-too":
            self.say("+OK")
        else:
            self.refuse()

    def on_pass(self, rest):
        self.inside = behaviour == "pass-too" and accounts.get(self.name) == rest
        self.say("+OK" if self.inside else "-ERR wrong")

    def on_stat(self, _rest):
        self.say("+OK 0 0" if self.inside else "-ERR log in first")

    def on_noop(self, _rest):
        self.say("+OK" if self.inside else "-ERR log in first")


class Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main():
    if sys.argv[1] == "status":
        print("queue: 0")
        return
    with open(sys.argv[sys.argv.index("--config") + 1]) as file:
        config = json.load(file)
    for account in config["accounts"]:
        with open(account["password_file"]) as file:
            accounts[account["address"]] = file.read().strip()
    host, port = config["listen"]["pop3"].rsplit(":", 1)
    threading.Thread(target=Listener((host, int(port)), Session).serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("ready", flush=True)
    threading.Event().wait()


main()
