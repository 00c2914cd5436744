#!/usr/bin/env python3
"""fake_server.py serve|status --config FILE: a mail server that breaks its promise.

Takes the place of postriderd in the harness's worlds (postrider run --program).
It speaks just enough SMTP and POP3, keeps mail in memory, relays nothing, and
does to one message what $FAKE_FAULT says; without it, it is honest.  $FAKE_HOSTS,
when set, names the hosts it plays; on others it becomes $FAKE_REAL.
"""

import base64
import email.utils
import json
import os
import signal
import socketserver
import ssl
import sys
import threading

FAULTS = {
    "": "none",
    "lose": "one accepted message goes nowhere",
    "double": "one message is in the mailbox twice",
    "double-same-uid": "one message is in the mailbox twice, both with the same UID, as RFC 1939 section 7 allows",
    "double-later-same-uid": "a second copy with the same UID comes when the first has been retrieved and deleted",
    "cut-at-dot": "it forgets every message at its final dot, and ends the connection without a reply",
    "stops-badly": "it ends with status 3 when it is asked to end",
    "hangs-at-last-look": "it stands still (SIGSTOP) when all mail was retrieved and its queue is asked",
    "open-end": "the second copy has the same UID, and QUIT is never answered when there was something to delete",
    "alter": "one byte of one body is changed",
    "alter-field": "the Subject of one message is changed",
    "stray": "a message that nobody sent is in a mailbox",
    "no-notification": "one sender is not told of a failure",
    "two-notifications": "one sender is told twice",
    "bad-notification": "one notification does not say what became of the message",
}
fault = os.environ.get("FAKE_FAULT", "")
assert fault in FAULTS, fault

lock = threading.Lock()
struck = False
next_uid = 0


def strikes(kind):
    """True once, when kind is what shall go wrong."""
    global struck
    with lock:
        if fault != kind or struck:
            return False
        struck = True
        return True


class Host:
    def __init__(self, config):
        self.name = config["hostname"]
        self.domains = [d.lower() for d in config["domains"]]
        self.passwords = {}
        for account in config["accounts"]:
            with open(account["password_file"]) as file:
                self.passwords[account["address"].lower()] = file.read().rstrip("\n")
        self.boxes = {address: [] for address in self.passwords}
        self.later = {}
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(config["tls"]["certificate"], config["tls"]["key"])

    def put(self, address, content, uid=None):
        global next_uid
        with lock:
            next_uid += 1
            self.boxes[address].append((uid or f"u{next_uid}", content))
            return self.boxes[address][-1][0]

    def accept(self, sender, recipients, content):
        for recipient in recipients:
            if recipient.lower() in self.boxes:
                self.deliver(sender, recipient.lower(), content)
            else:
                self.tell(sender.lower(), recipient, content)

    def deliver(self, sender, address, content):
        if strikes("lose"):
            return
        if strikes("alter"):
            at = len(content) - 10
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1:]
        if strikes("alter-field"):
            content = content.replace(b"\r\nSubject: ", b"\r\nSubject: [list] ", 1)
        content = f"Return-Path: <{sender}>\r\n".encode() + content
        uid = self.put(address, content)
        if strikes("double"):
            self.put(address, content)
        if strikes("double-same-uid") or strikes("open-end"):
            self.put(address, content, uid)
        if strikes("double-later-same-uid"):
            self.later[address] = (uid, content)
        if strikes("stray"):
            self.put(address, b"From: a@b.example\r\nSubject: buy this\r\n\r\nnow\r\n")

    def tell(self, sender, recipient, content):
        if strikes("no-notification"):
            return
        action = "" if strikes("bad-notification") else "Action: failed\r\n"
        header = content.split(b"\r\n\r\n")[0] + b"\r\n"
        date = email.utils.formatdate()
        text = (
            f"Return-Path: <>\r\nDate: {date}\r\nFrom: MAILER-DAEMON@{self.name}\r\nTo: {sender}\r\nSubject: not delivered\r\n"
            f"Message-ID: {email.utils.make_msgid(domain=self.name)}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=\"=_part\"\r\n\r\n"
            f"--=_part\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nNo way to {recipient}.\r\n\r\n"
            f"--=_part\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; {self.name}\r\nArrival-Date: {date}\r\n\r\n"
            f"Final-Recipient: rfc822; {recipient}\r\n{action}Status: 5.1.2\r\n\r\n"
            "--=_part\r\nContent-Type: text/rfc822-headers\r\n\r\n").encode() + header + b"\r\n--=_part--\r\n"
        if sender in self.boxes:
            self.put(sender, text)
            if strikes("two-notifications"):
                self.put(sender, text)


class Session(socketserver.StreamRequestHandler):
    """What both protocols need; self.server.host is the Host, self.server.implicit says TLS at once."""

    def handle(self):
        try:
            if self.server.implicit:
                self.wrap()
            self.talk()
        except OSError:
            pass

    def wrap(self):
        self.connection = self.server.host.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")

    def say(self, text):
        self.connection.sendall((text if isinstance(text, bytes) else text.encode()) + b"\r\n")

    def line(self):
        return self.rfile.readline().decode("utf-8", "surrogateescape").rstrip("\r\n") if self.rfile else ""

    def commands(self):
        for raw in iter(self.rfile.readline, b""):
            verb, _, argument = raw.decode("utf-8", "surrogateescape").rstrip("\r\n").partition(" ")
            yield verb.upper(), argument

    def plain(self, initial):
        """The user that AUTH PLAIN proves, or None."""
        _, user, password = base64.b64decode(initial).decode().split("\0")
        user = user.lower()
        return user if self.server.host.passwords.get(user) == password else None


class Smtp(Session):
    def talk(self):
        host = self.server.host
        self.say(f"220 {host.name} ESMTP")
        sender, recipients = None, []
        while True:
            verb, argument = next(self.commands(), ("QUIT", ""))
            if verb in ("EHLO", "HELO", "RSET"):
                sender, recipients = None, []
            if verb == "EHLO":
                tls = [] if isinstance(self.connection, ssl.SSLSocket) else ["250-STARTTLS"]
                self.say("\r\n".join([f"250-{host.name}", "250-8BITMIME", *tls, "250 AUTH PLAIN"]))
            elif verb == "STARTTLS":
                self.say("220 go ahead")
                self.wrap()
            elif verb == "AUTH":
                initial = argument.partition(" ")[2]
                if not initial:
                    self.say("334 ")
                    initial = self.line()
                self.say("235 2.7.0 welcome" if self.plain(initial) else "535 5.7.8 no")
            elif verb == "MAIL":
                sender = argument[argument.index("<") + 1:argument.index(">")]
                self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                recipients.append(argument[argument.index("<") + 1:argument.index(">")])
                self.say("250 2.1.5 ok")
            elif verb == "DATA":
                self.say("354 go ahead")
                lines = []
                for line in iter(self.rfile.readline, b".\r\n"):
                    if not line:
                        return
                    lines.append(line[1:] if line.startswith(b".") else line)
                if fault == "cut-at-dot":
                    return
                host.accept(sender, recipients, b"".join(lines))
                sender, recipients = None, []
                self.say("250 2.0.0 taken")
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 ok" if verb in ("HELO", "RSET", "NOOP") else "502 5.5.1 no such command")


class Pop(Session):
    def talk(self):
        host, user, box = self.server.host, None, None
        deleted = []
        self.say("+OK ready")
        while True:
            verb, argument = next(self.commands(), ("QUIT", ""))
            if verb == "CAPA":
                self.say("+OK\r\nUSER\r\nSTLS\r\nUIDL\r\nSASL PLAIN\r\n.")
            elif verb == "STLS":
                self.say("+OK")
                self.wrap()
            elif verb == "USER":
                user = argument.lower()
                self.say("+OK")
            elif verb == "PASS" or verb == "AUTH":
                if verb == "PASS":
                    user = user if host.passwords.get(user) == argument else None
                else:
                    initial = argument.partition(" ")[2]
                    if not initial:
                        self.say("+ ")
                        initial = self.line()
                    user = self.plain(initial)
                box = list(host.boxes[user]) if user else None
                self.say("+OK" if user else "-ERR no")
            elif verb == "QUIT":
                with lock:
                    if deleted and fault == "open-end":
                        host.boxes[user] = [m for m in host.boxes[user] if not any(m is d for d in deleted[1:])]
                        return
                    if user in host.later and any(d[0] == host.later[user][0] for d in deleted):
                        host.boxes[user].append(host.later.pop(user))
                    if deleted:
                        host.boxes[user] = [m for m in host.boxes[user] if not any(m is d for d in deleted)]
                self.say("+OK bye")
                return
            elif box is None:
                self.say("-ERR log in first")
            elif verb == "UIDL":
                self.say("\r\n".join(["+OK", *(f"{n} {uid}" for n, (uid, _) in enumerate(box, 1)), "."]))
            elif verb == "LIST":
                self.say("\r\n".join(["+OK", *(f"{n} {len(content)}" for n, (_, content) in enumerate(box, 1)), "."]))
            elif verb == "RETR":
                lines = box[int(argument) - 1][1].split(b"\r\n")
                self.say(b"+OK\r\n" + b"\r\n".join(b"." + x if x.startswith(b".") else x for x in lines) + b".")
            elif verb == "DELE":
                deleted.append(box[int(argument) - 1])
                self.say("+OK")
            else:
                self.say("+OK" if verb == "NOOP" else "-ERR no such command")


class Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(config, config_path):
    host = Host(config)
    for service, where in config["listen"].items():
        address, port = where.rsplit(":", 1)
        listener = Listener((address, int(port)), Pop if service.startswith("pop3") else Smtp)
        listener.host = host
        listener.implicit = service in ("submissions", "pop3s")
        threading.Thread(target=listener.serve_forever, daemon=True).start()
    with open(config_path + ".pid", "w") as file:
        file.write(str(os.getpid()))
    print("ready", flush=True)
    signal.sigwait([signal.SIGTERM])
    if fault == "stops-badly":
        sys.exit(3)


def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    verb, path = sys.argv[1], sys.argv[3]
    with open(path) as file:
        config = json.load(file)
    hosts = os.environ.get("FAKE_HOSTS")
    if hosts and config["hostname"] not in hosts.split():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.execv(os.environ["FAKE_REAL"], [os.environ["FAKE_REAL"], *sys.argv[1:]])
    if verb == "status":
        if fault == "hangs-at-last-look":
            with open(path + ".pid") as file:
                os.kill(int(file.read()), signal.SIGSTOP)
        print("queue: 0")
    else:
        serve(config, path)


main()
