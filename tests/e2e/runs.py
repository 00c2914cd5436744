"""Runs of `postrider run`, for tests of the harness: flows, environment, what a run left."""

import glob
import json
import os
import subprocess
import tempfile

from lib import POSTRIDER, ROOT, at_end, check, die_with_parent, run_program, scratch

FLOWS = os.path.join(ROOT, "scenarios/flows")
OWN_FLOWS = os.path.join(ROOT, "tests/e2e/flows")
FAKE = os.path.join(ROOT, "tests/e2e/fake_server.py")
NAMELESS = os.path.join(ROOT, "tests/e2e/nameless_server.sh")
MODULES = os.path.join(ROOT, "build/npm/node_modules")
SHIPPED = ("enterprise-local", "next-hop-down", "sender-told", "three-steps")
# Runs that are about what becomes of mail may be slow: tests run side by side, and with sanitizers.
NO_HURRY = "\nlimits:\n  send_lag: { p99: 60s }\n  loop_lag: { p99: 60s }\n"


def environment(**more):
    return {**os.environ, "POSTRIDER_SHARE": ROOT, "NO_COLOR": "1", **more}


def shipped_flow(name, *changes):
    """A copy of a shipped flow, without limits for the harness's own speed; changes are (old, new) texts."""
    with open(os.path.join(FLOWS, f"{name}.flow.yaml")) as file:
        text = file.read()
    check("\nlimits:" not in text, "the flow has no limits of its own")
    for old, new in changes:
        check(old in text, f"{name} has {old!r}")
        text = text.replace(old, new)
    path = os.path.join(scratch(), f"{name}.flow.yaml")
    with open(path, "w") as file:
        file.write(text + NO_HURRY)
    return path


class Run:
    """One `postrider run` to its end."""

    def __init__(self, flow, *options, env=None):
        # Short: a server's control socket lies below it, and its name has 107 characters at most.
        self.results = tempfile.mkdtemp(prefix="r", dir=scratch())
        self.junit = os.path.join(scratch(), "junit.xml")
        self.status, self.out, self.err = run_program(
            [POSTRIDER, "run", flow, "--results", self.results, "--junit", self.junit, *options], env=env or environment(), cwd=ROOT, timeout_s=120)
        self.directory = os.path.join(self.results, "latest")
        at_end(self.dump_logs)

    def dump_logs(self):
        """Shown when the test fails: what sanitizers and servers had to say at their end."""
        for path in sorted(glob.glob(os.path.join(self.directory, "logs", "*.stderr.log"))):
            with open(path, errors="replace") as file:
                lines = file.read().splitlines()
            begin = next((i for i, line in enumerate(lines) if line.startswith("==") and "ERROR" in line), len(lines) - 10)
            print(f"---- {path}\n" + "\n".join(lines[max(begin, 0):][:60]))

    def read(self, name):
        with open(os.path.join(self.directory, name)) as file:
            return file.read()

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as file:
            file.write(text)

    def result(self):
        return json.loads(self.read("result.json"))


def start(arguments, **options):
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, text=True, env=environment(), cwd=ROOT, **options)
    at_end(process.kill)
    return process
