#!/usr/bin/env python3
"""hostile_server.py serve|status --config FILE: a server that means no good.

Takes the place of postriderd under `postrider conform --program`.  $HOSTILE says
what it does on every connection.
"""

import json
import os
import signal
import socketserver
import sys
import threading

BEHAVIOURS = {
    "silent": "takes connections and says nothing",
    "endless-line": "sends one line that never ends",
    "endless-reply": "sends a reply of ever more lines",
    "closes": "closes every connection at once",
    "greets-and-dies": "greets, and ends the process at the first command",
    "dies-at-vrfy": "serves the start of a dialogue, and ends the process at VRFY",
    "refuses": "answers 421 and closes",
    "busy": "answers 451 to every MAIL",
}
behaviour = os.environ["HOSTILE"]
assert behaviour in BEHAVIOURS, behaviour


def flood(sock, piece):
    while True:
        sock.sendall(piece)


def converse(handler, pop3):
    def say(text):
        handler.wfile.write(text.encode() + b"\r\n")
        handler.wfile.flush()

    say("+OK hello" if pop3 else "220 mx.sut.example hello")
    for line in handler.rfile:
        verb = line.decode("latin-1").split(" ")[0].strip().upper()
        if behaviour == "greets-and-dies" or (behaviour == "dies-at-vrfy" and verb == "VRFY"):
            os._exit(3)
        if pop3:
            say("-ERR no")
        elif verb == "QUIT":
            say("221 bye")
            return
        elif verb == "MAIL" and behaviour == "busy":
            say("451 4.3.0 later")
        else:
            say("250 ok")


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            if behaviour == "silent":
                self.rfile.read()
            elif behaviour == "endless-line":
                flood(self.request, b"220 " + b"x" * 65536)
            elif behaviour == "endless-reply":
                flood(self.request, b"220-more and more\r\n" * 1000)
            elif behaviour == "refuses":
                self.wfile.write(b"421 4.3.2 not now\r\n")
            elif behaviour != "closes":
                converse(self, self.server.pop3)
        except OSError:
            pass


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
    for service in ("smtp", "pop3"):
        host, port = config["listen"][service].rsplit(":", 1)
        listener = Listener((host, int(port)), Handler)
        listener.pop3 = service == "pop3"
        threading.Thread(target=listener.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("ready", flush=True)
    threading.Event().wait()


main()
