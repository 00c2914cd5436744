"""The servers a benchmark runs: each starts in a directory of its own, listens
on loopback only, and ends with the `with` block.

Ports are taken free from the kernel, so that nothing here meets anything else.
"""

import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.environ.get("BENCH_OUT", "build/release")
POSTRIDERD = os.path.abspath(os.path.join(OUT, "bin/postriderd"))
POSTRIDER = os.path.abspath(os.path.join(OUT, "bin/postrider"))
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 60


class BenchError(Exception):
    """A run that cannot be counted; the text says why."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def await_port(port, process, what):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise BenchError(f"{what} ended with status {process.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise BenchError(f"{what} does not listen on port {port}")


# ---- what a process, and all it started, has used -----------------------------------


def _stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()


def tree(root):
    """The process and its descendants."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                parents.setdefault(int(_stat(int(name))[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


def cpu_s(root):
    """User and system time of a process and its descendants, dead ones that were waited for included."""
    ticks = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            fields = _stat(pid)
            ticks += sum(int(x) for x in fields[11:15])
    return ticks / TICKS_PER_S


def anonymous_bytes(root):
    """Anonymous memory: what a file map (the store's) holds does not count."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Anonymous:"):
                    total += int(line.split()[1]) * 1024
    return total


# ---- servers ------------------------------------------------------------------------


class Process:
    """What they have in common.  A subclass sets self.process in start()."""

    def __init__(self, directory):
        self.directory = directory
        self.process = None
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        os.chmod(directory, 0o755)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def spawn(self, arguments, **options):
        log = open(os.path.join(self.directory, "log"), "ab")
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stderr=log, preexec_fn=die_with_parent,
            **{"stdout": log, **options})
        log.close()
        return self.process

    def cpu_s(self):
        return cpu_s(self.process.pid)

    def anonymous_bytes(self):
        return anonymous_bytes(self.process.pid)


class Postriderd(Process):
    """settings are merged over: relays for loopback to next_hop; bench.example is local."""

    def __init__(self, directory, next_hop=None, settings=None, users=()):
        super().__init__(directory)
        self.services = {}
        self.users = users
        self.config = {
            "data": os.path.join(directory, "data"),
            "hostname": "mx.bench.example",
            "domains": ["bench.example"],
            "relay_from": ["127.0.0.0/8"],
            "listen": {"smtp": "127.0.0.1:0", "submissions": "127.0.0.1:0", "pop3": "127.0.0.1:0"},
            "auth": {"plain_without_tls": True},
            "log": {"level": "warn"},
        }
        if next_hop is not None:
            self.config["outbound"] = {"smart_host": f"127.0.0.1:{next_hop}", "tls": "none"}
        for key, value in (settings or {}).items():
            if isinstance(value, dict) and isinstance(self.config.get(key), dict):
                self.config[key].update(value)
            else:
                self.config[key] = value

    def start(self):
        config = os.path.join(self.directory, "postriderd.yaml")
        if self.users:
            password = os.path.join(self.directory, "password")
            with open(password, "w") as file:
                file.write("secret\n")
            os.chmod(password, 0o600)
            self.config["accounts"] = [
                {"address": f"{user}@bench.example", "password_file": password} for user in self.users]
        with open(config, "w") as file:
            json.dump(self.config, file)  # JSON is YAML
        self.spawn([POSTRIDERD, "serve", "--config", config], stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            words = line.split()
            if words == ["ready"]:
                return
            if len(words) == 2:
                self.services[words[0]] = int(words[1].rsplit(":", 1)[1])
        raise BenchError(f"postriderd ended before it was ready; see {self.directory}/log")

    @property
    def smtp(self):
        return self.services["smtp"]


class Postfix(Process):
    """A Postfix of its own in one of three settings: stock, tuned, lean (peers/postfix)."""

    def __init__(self, directory, next_hop, setting):
        super().__init__(directory)
        self.smtp = free_port()
        texts = {}
        for part in ("common.cf", f"{setting}.cf", "master.cf"):
            with open(os.path.join(HERE, "peers/postfix", part)) as file:
                texts[part] = file.read().replace("@DIR@", directory).replace(
                    "@NEXT_HOP@", str(next_hop)).replace("@PORT@", str(self.smtp))
        os.makedirs(os.path.join(directory, "spool"))
        os.makedirs(os.path.join(directory, "data"))
        shutil.chown(os.path.join(directory, "data"), "postfix")
        self._write("main.cf", texts["common.cf"] + texts[f"{setting}.cf"])
        self._write("master.cf", texts["master.cf"])

    def _write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as file:
            file.write(text)

    def start(self):
        made = subprocess.run(["postfix", "-c", self.directory, "check"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise BenchError(f"postfix check: {made.stderr}")
        self.spawn(["/usr/lib/postfix/sbin/master", "-c", self.directory, "-d"])
        await_port(self.smtp, self.process, "postfix")


class Dovecot(Process):
    """LMTP in and POP3 out of Maildir (peers/dovecot)."""

    def __init__(self, directory):
        super().__init__(directory)
        self.lmtp, self.pop3 = free_port(), free_port()
        mail = os.path.join(directory, "mail")
        os.makedirs(mail)
        owner = pwd.getpwnam("nobody")
        os.chown(mail, owner.pw_uid, owner.pw_gid)
        with open(os.path.join(HERE, "peers/dovecot/dovecot.conf")) as file:
            text = file.read()
        for name, value in (("@DIR@", directory), ("@LMTP@", self.lmtp), ("@POP3@", self.pop3),
                            ("@UID@", owner.pw_uid), ("@GID@", owner.pw_gid)):
            text = text.replace(name, str(value))
        with open(os.path.join(directory, "dovecot.conf"), "w") as file:
            file.write(text)

    def start(self):
        self.spawn(["dovecot", "-F", "-c", os.path.join(self.directory, "dovecot.conf")])
        await_port(self.lmtp, self.process, "dovecot")
        await_port(self.pop3, self.process, "dovecot")


class SmtpSink(Process):
    """Postfix's smtp-sink; with `count` it ends after so many messages."""

    def __init__(self, directory, count=None, options=()):
        super().__init__(directory)
        self.port = free_port()
        self.count = count
        self.options = list(options)

    def start(self):
        until = ["-M", str(self.count)] if self.count else []
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        self.spawn(["smtp-sink", *user, *self.options, *until, f"127.0.0.1:{self.port}", "1000"])
        await_port(self.port, self.process, "smtp-sink")


def smtp_source(port, count, sessions, size, options=("-d",), to="b@next.example"):
    """Runs smtp-source to its end; returns how long it took."""
    begin = time.monotonic()
    done = subprocess.run(
        ["smtp-source", *options, "-s", str(sessions), "-m", str(count), "-l", str(size), "-f", "a@source.example",
         "-t", to, f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, preexec_fn=die_with_parent, check=False)
    if done.returncode != 0:
        raise BenchError(f"smtp-source: {done.stderr.strip()[-300:]}")
    return time.monotonic() - begin
