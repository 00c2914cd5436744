"""What end-to-end tests stand on: servers in scratch directories, clients that
show every byte, scripted next hops and a small name server.

Nothing here shares code with postriderd or postrider: it is a third reading of
the protocols.  Each test runs in a process of its own (run.py), has loopback
addresses of its own, and everything it starts dies with it.

A control is a test run again with something deliberately broken between it and
the server (see `lens`), and expected to fail.  So every check is known to be
able to fail.
"""

import base64
import contextlib
import ctypes
import hashlib
import hmac
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

OUT = os.environ.get("E2E_OUT", "build/release")
POSTRIDERD = os.path.abspath(os.path.join(OUT, "bin/postriderd"))
POSTRIDER = os.path.abspath(os.path.join(OUT, "bin/postrider"))
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
# How long to wait for what must happen.  Long, for sanitizers on a busy machine; no test waits for time
# itself.  In a control what is waited for never comes, so run.py makes it CONTROL_PATIENCE_S there.
PATIENCE_S = 30.0
CONTROL_PATIENCE_S = 12.0 if os.path.basename(OUT) == "tsan" else 4.0


class Failed(Exception):
    """A check did not hold."""


class Skip(Exception):
    """This test cannot be run here; the text says why."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def check_equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def wait_until(condition, what, timeout_s=None):
    """Asks again and again until the condition holds, less often as time goes by; returns its value."""
    timeout_s = timeout_s or PATIENCE_S
    begin = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited_s = time.monotonic() - begin
        check(waited_s < timeout_s, f"waited {timeout_s:g} s in vain for: {what}")
        time.sleep(min(0.3, 0.02 + waited_s / 10))


def check_no_sanitizer_spoke():
    """In any log of this test: a server that is killed, or goes on, has no exit status to tell by."""
    for directory, _, names in os.walk(_directory or ""):
        for name in names if os.path.basename(directory) == "logs" else {"log"} & set(names):
            with open(os.path.join(directory, name), "rb") as file:
                text = file.read()
            at = max(text.find(b"Sanitizer: "), text.find(b": runtime error: "))
            check(at < 0, f"{directory}/{name}: {text[max(0, at - 200):at + 3000].decode(errors='replace')}")


def need_tool(name):
    if shutil.which(name) is None:
        raise Skip(f"{name} is not installed")


# ---- controls ---------------------------------------------------------------

# What is broken in this process: a name from LENSES, or None.
lens = os.environ.get("E2E_LENS") or None

LENSES = {
    "server-agrees-to-all": "every refusal of the server reads as success",
    "server-refuses-all": "every acceptance of a command reads as a refusal",
    "mail-is-lost": "the first message of each mailbox is missing",
    "mail-is-doubled": "the first message of each mailbox is there twice",
    "mail-is-altered": "one byte of each fetched message is changed",
    "store-is-forgotten": "the data directory is emptied while the server is down",
    "server-dies-badly": "every exit status reads as 1",
    "next-hop-is-deaf": "the next hop accepts and records nothing",
    "reload-is-ignored": "SIGHUP is not delivered",
    "output-is-silent": "what a program prints is not seen",
    "next-hop-is-an-impostor": "every certificate of a scripted next hop is from a CA that nobody knows",
    "signatures-are-stripped": "no answer of a signed zone has a signature",
    "limits-are-off": "a server under a flood has no limits on its memory",
    "ack-is-invented": "one message counts as acknowledged that was never sent",
}


def turns_red(*names):
    """The control runs of a test: each of these must make it fail."""

    def mark(function):
        for name in names:
            assert name in LENSES, name
        function.controls = names
        return function

    return mark


def slow(function):
    """Run early, so that the whole ends sooner."""
    function.is_slow = True
    return function


def alone(function):
    """Run when no other test runs: for what is judged by the clock."""
    function.is_alone = True
    return function


# ---- the place a test runs in -------------------------------------------------

cleanups = []


def at_end(function, *args):
    cleanups.append((function, args))


def clean_up():
    while cleanups:
        function, args = cleanups.pop()
        with contextlib.suppress(Exception):
            function(*args)


_directory = None


def scratch():
    """This test's own directory."""
    global _directory
    if _directory is None:
        _directory = tempfile.mkdtemp(prefix="postrider-e2e-")
        os.chmod(_directory, 0o755)
        if not os.environ.get("E2E_KEEP"):
            at_end(shutil.rmtree, _directory, True)
    return _directory


_address_count = 0


@contextlib.contextmanager
def addresses_given_back():
    """For a loop: what listens within has ended when it is left.  A test has 254 addresses."""
    global _address_count
    before = _address_count
    yield
    _address_count = before


def new_address():
    """A loopback address that no other running test uses."""
    global _address_count
    _address_count += 1
    number = os.getpid()
    return f"127.{10 + (number >> 8) % 200}.{number & 255}.{_address_count}"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def run_program(arguments, stdin=None, timeout_s=60, env=None, cwd=None, as_nobody=False):
    """Runs to its end; returns (status, stdout, stderr) as text.  as_nobody: not as root, for programs that refuse."""
    nobody = pwd.getpwnam("nobody") if as_nobody and os.getuid() == 0 else None
    identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if nobody else {}
    done = subprocess.run(
        arguments, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=timeout_s, env=env, cwd=cwd, preexec_fn=die_with_parent, check=False,
        text=True, errors="replace", **identity)
    print(f"$ {' '.join(arguments)}\n{done.stdout}{done.stderr}-> {done.returncode}")
    if lens == "output-is-silent":
        return done.returncode, "", ""
    if lens == "server-dies-badly":
        return 1, done.stdout, done.stderr
    return done.returncode, done.stdout, done.stderr


# ---- postriderd ----------------------------------------------------------------

SERVICES = ("smtp", "submission", "submissions", "pop3", "pop3s")
PORTS = dict(zip(SERVICES, (2525, 2587, 2465, 2110, 2995)))
SMTP_PORT = PORTS["smtp"]


class Server:
    """One postriderd: configuration, process, log.

    settings are merged over a small default configuration.  users maps a local
    part (of the first domain) or an address to its password.
    """

    def __init__(self, domain="fredsco.example", users=None, settings=None, name="server", data=None):
        self.name = name
        self.domain = domain
        self.address = new_address()
        self.directory = os.path.join(scratch(), f"{name}-{self.address}")
        os.makedirs(self.directory)
        self.data = data or os.path.join(self.directory, "data")
        self.users = {"sales": "secret"} if users is None else users
        self.log_path = os.path.join(self.directory, "log")
        self.process = None
        self.services = {}
        self.config_path = os.path.join(self.directory, "postriderd.yaml")
        self.config = {
            "data": self.data,
            "hostname": f"mx.{domain}",
            "domains": [domain],
            "listen": {s: f"{self.address}:{PORTS[s]}" for s in SERVICES},
            "auth": {"iterations": 4096},
            "accounts": [self._account(u, p) for u, p in self.users.items()],
            "outbound": {"port": SMTP_PORT},
            "retry": {"first": "200ms", "max": "1s", "expire": "60s"},
        }
        for key, value in (settings or {}).items():
            if isinstance(value, dict) and isinstance(self.config.get(key), dict):
                self.config[key].update(value)
            else:
                self.config[key] = value
        at_end(self.dump_log)
        at_end(self.kill)

    def _account(self, user, password):
        path = os.path.join(self.directory, f"password-{user}")
        with open(path, "w") as file:
            file.write(password + "\n")
        os.chmod(path, 0o600)
        return {"address": user if "@" in user else f"{user}@{self.domain}", "password_file": path}

    def write_config(self):
        with open(self.config_path, "w") as file:
            json.dump(self.config, file, indent=1)  # JSON is YAML

    def start(self):
        self.write_config()
        return self.start_with(["serve", "--config", self.config_path])

    def start_with(self, arguments):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [POSTRIDERD, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            preexec_fn=die_with_parent, text=True)
        log.close()
        self.services = {}
        end = threading.Timer(PATIENCE_S, self.process.kill)
        end.start()
        for line in self.process.stdout:
            words = line.split()
            if words == ["ready"]:
                break
            if len(words) == 2 and words[0] in (*SERVICES, "lmtp"):
                host, port = words[1].rsplit(":", 1)
                self.services.setdefault(words[0], (host.strip("[]"), int(port)))
        else:
            end.cancel()
            raise Failed(f"{self.name} ended with status {self.process.wait()} before it was ready")
        end.cancel()
        return self

    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{self.name} did not end") from error
        self.process.stdout.close()
        if lens == "store-is-forgotten":
            shutil.rmtree(self.data)
        return 1 if lens == "server-dies-badly" else status

    def kill(self):
        if self.alive():
            self.process.kill()
            self.wait()

    def reload(self):
        if lens != "reload-is-ignored":
            self.process.send_signal(signal.SIGHUP)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def dump_log(self):
        text = self.log()
        print(f"---- log of {self.name} ({self.address}), last 60 lines")
        print("\n".join(text.splitlines()[-60:]))

    def control(self, *arguments):
        """postriderd queue … and account …; returns (status, stdout, stderr)."""
        return run_program([POSTRIDERD, *arguments[:2], "--data", self.data, *arguments[2:]])

    def queue_is_empty(self):
        status, out, _ = self.control("queue", "list")
        return status == 0 and out == "queue is empty\n"

    def queue(self):
        """{id: all that `queue list` prints about it}."""
        status, out, _ = self.control("queue", "list")
        check_equal(status, 0, "exit status of queue list")
        messages = {}
        for line in out.splitlines()[1:]:
            if re.match(r"\s", line):
                messages[last] += line
            elif "->" in line:
                last = line.split()[0]
                messages[last] = line
        return messages

    def smtp(self, service="smtp", **options):
        return Smtp(self.services[service], tls=service == "submissions", **options)

    def submit_session(self, user="sales"):
        """A session on the submission service, TLS on, logged in."""
        session = self.smtp("submission")
        session.command("EHLO client.example", 250)
        session.start_tls()
        session.command("EHLO client.example", 250)
        session.auth_plain(self.login(user), self.users[user])
        return session

    def login(self, user):
        return user if "@" in user else f"{user}@{self.domain}"

    def pop(self, service="pop3s"):
        return Pop(self.services[service], tls=service == "pop3s")

    def mailbox(self, user="sales", utf8=False):
        """All messages of a mailbox, as bytes with CRLF; they stay there.  utf8: those with UTF-8 headers too (RFC 6856)."""
        pop = self.pop()
        if utf8:
            pop.command("UTF8")
        pop.login(self.login(user), self.users[user])
        count = pop.stat()[0]
        messages = [pop.retrieve(number + 1) for number in range(count)]
        pop.command("QUIT")
        pop.close()
        return through_lens(messages)

    def wait_for_mail(self, user="sales", count=1, timeout_s=None, utf8=False):
        """Waits until at least count messages are in a mailbox; returns all."""
        seen = [None]

        def enough():
            seen[0] = self.mailbox(user, utf8)
            return len(seen[0]) >= count

        wait_until(enough, f"{count} messages for {user}; log:\n{self.log()[-3000:]}", timeout_s)
        return seen[0]


def through_lens(messages):
    if lens == "mail-is-lost":
        return messages[1:]
    if lens == "mail-is-doubled":
        return messages[:1] + messages
    if lens == "mail-is-altered":
        return [m[:-3] + b"?\r\n" for m in messages]
    return messages


# ---- clients ---------------------------------------------------------------------


class Reply:
    def __init__(self, code, lines):
        self.code = code
        self.lines = lines
        self.text = "\n".join(lines)

    def __repr__(self):
        return f"{self.code} {self.text!r}"

    @property
    def status(self):
        """The enhanced status code, RFC 2034."""
        match = re.match(r"([245]\.\d{1,3}\.\d{1,3}) ", self.lines[0] + " ")
        return match.group(1) if match else None


class Wire:
    """A connection read by lines; TLS on demand."""

    def __init__(self, address, tls=False, timeout_s=None, source=None, narrow=False):
        """narrow: the kernels hold little, so that what is not read waits in the server."""
        self.address = address
        self.tls = False
        self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if narrow:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.sock.settimeout(timeout_s or PATIENCE_S)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""
        at_end(self.close)
        if tls:
            self.wrap()

    def wrap(self, context=None):
        if context is None:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock, server_hostname="mx.fredsco.example")
        self.tls = True

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        """The next line without its CRLF, or None at the end of the connection."""
        while b"\r\n" not in self.unread:
            try:
                more = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                more = b""
            except (socket.timeout, TimeoutError) as error:
                raise Failed(f"no answer; so far {self.unread!r}") from error
            if not more:
                return None
            self.unread += more
        line, self.unread = self.unread.split(b"\r\n", 1)
        check(b"\n" not in line and b"\r" not in line, f"bare line end in {line!r}")
        return line

    def silent_for(self, seconds):
        """True when nothing arrives meanwhile."""
        if self.unread:
            return False
        self.sock.settimeout(seconds)
        try:
            self.unread = self.sock.recv(65536)
            return False
        except (socket.timeout, TimeoutError):
            return True
        finally:
            self.sock.settimeout(PATIENCE_S)

    def at_end(self):
        """Reads on until the peer closes."""
        return self.line() is None

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Smtp(Wire):
    def __init__(self, address, tls=False, greeting=True, **options):
        super().__init__(address, tls, **options)
        self.history = []
        if greeting:
            self.expect(220)

    def reply(self):
        lines = []
        while True:
            line = self.line()
            if line is None:
                raise Failed(f"connection closed; dialogue: {self.history[-6:]}")
            text = line.decode("utf-8", "replace")
            match = re.fullmatch(r"([2-5][0-5][0-9])([ -])(.*)", text)
            check(match, f"malformed reply line {text!r}")
            check(len(line) <= 510, f"reply line too long: {text!r}")
            lines.append(match.group(3))
            if match.group(2) == " ":
                break
        reply = Reply(int(match.group(1)), lines)
        self.history.append(f"S {reply}")
        if lens == "server-agrees-to-all" and reply.code >= 400:
            reply = Reply(250, ["2.0.0 ok"])
        if lens == "server-refuses-all" and 230 <= reply.code < 300 and "EHLO" not in self.history[-2]:
            reply = Reply(451, ["4.3.0 no"])
        return reply

    def expect(self, code, status=None):
        reply = self.reply()
        wanted = code if isinstance(code, tuple) else (code,)
        check(reply.code in wanted, f"wanted {code}; dialogue: {self.history[-6:]}")
        if status is not None:
            check_equal(reply.status, status, f"enhanced status in {self.history[-4:]}")
        return reply

    def command(self, text, code=None, status=None):
        self.history.append(f"C {text[:200]}")
        self.send(text.encode("utf-8", "surrogateescape") + b"\r\n")
        return self.reply() if code is None else self.expect(code, status)

    def start_tls(self, context=None):
        self.command("STARTTLS", 220)
        check_equal(self.unread, b"", "bytes behind the reply to STARTTLS")
        self.wrap(context)

    def extensions(self, name="client.example"):
        """EHLO; {keyword: parameters}."""
        reply = self.command(f"EHLO {name}", 250)
        return {line.split(" ")[0].upper(): line.split(" ")[1:] for line in reply.lines[1:]}

    def auth_plain(self, user, password, code=235):
        return self.command("AUTH PLAIN " + b64(f"\0{user}\0{password}"), code)

    def message(self, sender, recipients, content, code=250):
        """A whole transaction; content is bytes with CRLF, not dot-stuffed."""
        self.command(f"MAIL FROM:<{sender}>", 250)
        for recipient in [recipients] if isinstance(recipients, str) else recipients:
            self.command(f"RCPT TO:<{recipient}>", 250)
        self.command("DATA", 354)
        self.history.append("C content")
        self.send(stuff(content) + b".\r\n")
        return self.expect(code)

    def quit(self):
        self.command("QUIT", 221)
        check(self.at_end(), "the server closes after QUIT")
        self.close()


class Pop(Wire):
    def __init__(self, address, tls=False, greeting=True, **options):
        super().__init__(address, tls, **options)
        self.greeting = None
        if greeting:
            self.greeting = self.ok()

    def answer(self):
        """(ok, text)"""
        line = self.line()
        check(line is not None, "POP3 connection closed")
        check(line.startswith(b"+OK") or line.startswith(b"-ERR") or line.startswith(b"+ "), f"malformed {line!r}")
        agreed = not line.startswith(b"-ERR")
        if lens == "server-agrees-to-all":
            agreed = True
        return agreed, line.decode("utf-8", "replace")

    def ok(self):
        agreed, text = self.answer()
        check(agreed, f"wanted +OK, got {text!r}")
        return text

    def command(self, text):
        self.send(text + "\r\n")
        return self.ok()

    def refused(self, text):
        """The command must be answered -ERR."""
        self.send(text + "\r\n")
        agreed, answer = self.answer()
        check(not agreed, f"{text!r} must be refused, got {answer!r}")
        return answer

    def lines(self):
        """A multi-line answer, dots removed."""
        result = []
        while True:
            line = self.line()
            check(line is not None, "POP3 connection closed inside an answer")
            if line == b".":
                return result
            result.append(line[1:] if line.startswith(b".") else line)

    def multi(self, text):
        self.command(text)
        return self.lines()

    def login(self, user, password):
        self.command(f"USER {user}")
        self.command(f"PASS {password}")

    def stat(self):
        words = self.command("STAT").split()
        return int(words[1]), int(words[2])

    def retrieve(self, number):
        return b"".join(line + b"\r\n" for line in self.multi(f"RETR {number}"))

    def start_tls(self):
        self.command("STLS")
        check_equal(self.unread, b"", "bytes behind the answer to STLS")
        self.wrap()


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def stuff(content):
    """Dot-stuffed; ends in CRLF."""
    check(content.endswith(b"\r\n"), "content ends in CRLF")
    return re.sub(rb"(?m)^\.", b"..", content)


def make_message(subject="test", body=b"Hello.\r\n", sender="barney@isp2.example", to="sales@fredsco.example"):
    """(token, content): a message that can be told from all others."""
    token = secrets.token_hex(8)
    head = (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject} {token}\r\n"
            f"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID: <{token}@client.example>\r\n\r\n")
    return token, head.encode() + body


def split_message(raw):
    """(header fields as a list of (name in lower case, unfolded value), body)."""
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = re.sub(rb"\r\n(?=[ \t])", b"", head).split(b"\r\n")
    pairs = [field.split(b":", 1) for field in fields]
    return [(n.decode().lower(), v.decode("utf-8", "replace").strip()) for n, v in pairs], body


def fields_named(raw, name):
    return [value for field, value in split_message(raw)[0] if field == name.lower()]


def scram_sha_256(session, user, password):
    """RFC 5802 and 7677, written out; returns the final reply."""
    nonce = secrets.token_urlsafe(18)
    first_bare = f"n={user},r={nonce}"
    reply = session.command("AUTH SCRAM-SHA-256 " + b64("n,," + first_bare), 334)
    server_first = base64.b64decode(reply.text).decode()
    values = dict(part.split("=", 1) for part in server_first.split(","))
    check(values["r"].startswith(nonce) and len(values["r"]) > len(nonce), "the server adds to the nonce")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(values["s"]), int(values["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final_bare = f"c=biws,r={values['r']}"
    signed = f"{first_bare},{server_first},{final_bare}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    reply = session.command(b64(f"{final_bare},p={b64(proof)}"))
    if reply.code != 334:
        return reply
    expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    check_equal(base64.b64decode(reply.text).decode(), "v=" + b64(expected), "the server proves that it knows the key")
    return session.command("")


# ---- a scripted next hop ------------------------------------------------------------


class NextHop:
    """An SMTP server that does as told.

    script(verb, argument, session) may return a reply text, "close", or None
    for the usual reply.  verb is "CONNECT", a command's, or "MESSAGE".  tls is an
    ssl.SSLContext: then STARTTLS is offered; "TLS" with the server name asked
    for comes into the dialogue behind a handshake.
    """

    def __init__(self, script=None, address=None, port=SMTP_PORT, extensions=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"), tls=None):
        self.tls = tls
        self.address = address or new_address()
        self.script = script or (lambda verb, argument, session: None)
        self.extensions = extensions
        self.messages = []
        self.dialogue = []
        self.sessions = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server((self.address, port), backlog=64)
        at_end(self.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.sessions += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.session, args=(sock, self.sessions), daemon=True).start()

    def session(self, sock, number):
        state = {"number": number, "from": None, "to": [], "tls": False}
        stream = sock.makefile("rb")

        def answer(verb, argument, usual):
            with self.lock:
                self.dialogue.append((verb, argument))
                text = self.script(verb, argument, state) or usual
            if text == "close":
                sock.shutdown(socket.SHUT_RDWR)
                return "close"
            sock.sendall(text.encode() + b"\r\n")
            return text

        def usual(verb):
            if verb == "EHLO":
                starttls = ["250-STARTTLS"] if self.tls and not state["tls"] else []
                return "\r\n".join(["250-next-hop.example"] + ["250-" + e for e in self.extensions] + starttls + ["250 HELP"])
            if verb == "STARTTLS":
                return "220 2.0.0 go ahead" if self.tls else "502 5.5.1 no TLS here"
            return "221 2.0.0 bye" if verb == "QUIT" else "250 2.0.0 ok"

        with contextlib.suppress(OSError), sock, stream:
            if answer("CONNECT", "", "220 next-hop.example")[0] != "2":
                return
            while line := stream.readline():
                verb, _, argument = line.decode("utf-8", "replace").strip().partition(" ")
                verb = verb.upper()
                if verb == "DATA":
                    if not answer(verb, "", "354 go ahead" if state["to"] else "503 5.5.1 no recipient").startswith("354"):
                        continue
                    content = self.content(stream)
                    if content is None:
                        return
                    reply = answer("MESSAGE", content, "250 2.0.0 taken")
                    if reply.startswith("2") and lens != "next-hop-is-deaf":
                        with self.lock:
                            self.messages.append({"from": state["from"], "to": state["to"], "content": content, "tls": state["tls"]})
                    state["from"], state["to"] = None, []
                    continue
                if verb == "RCPT" and state["from"] is None:
                    sock.sendall(b"503 5.5.1 MAIL first\r\n")
                    continue
                reply = answer(verb, argument, usual(verb))
                if reply == "close":
                    return
                if verb == "STARTTLS" and reply.startswith("220"):
                    sock = self.tls.wrap_socket(sock, server_side=True)
                    stream = sock.makefile("rb")
                    state.update({"from": None, "to": [], "tls": True})
                    with self.lock:
                        self.dialogue.append(("TLS", getattr(sock, "asked_name", None)))
                    continue
                if verb in ("EHLO", "HELO", "RSET"):
                    state["from"], state["to"] = None, []
                if reply.startswith("2") and verb == "MAIL":
                    state["from"] = re.match(r"FROM:<(.*?)>", argument).group(1)
                if reply.startswith("2") and verb == "RCPT":
                    state["to"].append(re.match(r"TO:<(.*?)>", argument).group(1))
                if verb == "QUIT":
                    return

    @staticmethod
    def content(stream):
        lines = []
        for line in stream:
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)
        return None

    def wait_for(self, count):
        wait_until(lambda: len(self.messages) >= count, f"{count} messages at the next hop, dialogue {self.dialogue[-8:]}")
        return self.messages


# ---- a small name server -------------------------------------------------------------

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "AAAA": 28}


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split(".") if label) + b"\0"


class Dns:
    """Answers from records {(name, type): [data, …]}; a name that has none is NXDOMAIN.

    MX data are (preference, name).  failing holds names that are answered
    SERVFAIL.  UDP and TCP.
    """

    def __init__(self, records=None):
        self.address = new_address()
        self.port = 5353
        self.records = records or {}
        self.failing = set()
        self.questions = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((self.address, self.port))
        self.tcp = socket.create_server((self.address, self.port))
        at_end(self.udp.close)
        at_end(self.tcp.close)
        threading.Thread(target=self.serve_udp, daemon=True).start()
        threading.Thread(target=self.serve_tcp, daemon=True).start()

    @property
    def forwarder(self):
        return f"{self.address}@{self.port}"

    def add_host(self, domain, address, preference=10):
        """domain's MX is mx.domain at that address."""
        self.records.setdefault((domain, "MX"), []).append((preference, f"mx.{domain}"))
        self.records[(f"mx.{domain}", "A")] = [address]

    def serve_udp(self):
        while True:
            try:
                packet, peer = self.udp.recvfrom(4096)
                self.udp.sendto(self.answer(packet), peer)
            except OSError:
                return

    def serve_tcp(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
                size = struct.unpack("!H", sock.recv(2))[0]
                reply = self.answer(sock.recv(size))
                sock.sendall(struct.pack("!H", len(reply)) + reply)
                sock.close()
            except OSError:
                return

    def answer(self, packet):
        number, flags = struct.unpack("!HH", packet[:4])
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
            at += 1 + packet[at]
        at += 1
        kind = struct.unpack("!H", packet[at:at + 2])[0]
        question = packet[12:at + 4]
        name = ".".join(labels)
        type_name = next((t for t, n in TYPES.items() if n == kind), str(kind))
        self.questions.append((name, type_name))
        answers = [self.encode(type_name, data) for data in self.records.get((name, type_name), [])]
        known = any(n == name or n.endswith("." + name) for n, _ in self.records)
        rcode = 2 if name in self.failing else 0 if known or name == "" else 3
        head = struct.pack("!HHHHHH", number, 0x8580 | (flags & 0x0100) | rcode, 1, len(answers) if rcode == 0 else 0, 0 if answers and rcode == 0 else 1, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(a)) + a for a in answers) if rcode == 0 else b""
        soa = b"" if answers and rcode == 0 else b"\0" + struct.pack("!HHI", 6, 1, 0) + self.soa()
        return head + question + body + soa

    @staticmethod
    def soa():
        data = encode_name("ns.example") + encode_name("root.example") + struct.pack("!IIIII", 1, 1, 1, 1, 0)
        return struct.pack("!H", len(data)) + data

    @staticmethod
    def encode(type_name, data):
        if type_name == "A":
            return socket.inet_aton(data)
        if type_name == "AAAA":
            return socket.inet_pton(socket.AF_INET6, data)
        if type_name == "MX":
            return struct.pack("!H", data[0]) + encode_name(data[1])
        return encode_name(data)


def pair(sender_settings=None, receiver_settings=None):
    """isp2 (account barney) and fredsco (account sales), each finding the other by MX."""
    dns = Dns()
    common = {"dns": {"forwarder": dns.forwarder}}
    isp2 = Server("isp2.example", {"barney": "rubble"}, {**common, **(sender_settings or {})}, "isp2")
    fredsco = Server("fredsco.example", {"sales": "secret"}, {**common, **(receiver_settings or {})}, "fredsco")
    for server in (isp2, fredsco):
        dns.add_host(server.domain, server.address)
    return isp2, fredsco, dns


