#!/usr/bin/env python3
"""bench.py [--quick] [--rounds N] [NAME...]: what `make bench` runs.

Each benchmark measures postriderd and, where it has one, a peer, in turns
(ABAB...) in one run, and keeps every value.  Nothing is left out: a figure is
the median of all rounds, shown with its range.

Ends in a table and results/bench.json.  Exit status: 0 when everything asked
for was measured, whatever the figures are; 1 when a run failed; 2 usage; 3 when
nothing was measured.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import mailboxes
import own
import relay
import servers
import sizes

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


class Report:
    """Figures as they come in."""

    def __init__(self, rounds, quick):
        self.rounds, self.quick = rounds, quick
        self.figures, self.skipped, self.failed = [], [], []

    def add(self, name, unit, runs, *, target=None, peer=None, peer_runs=None, better="more", conditions=""):
        """target: ("ratio" or "value", ">=" or "<=", number) as the project aims for; None: no aim."""
        value = statistics.median(runs)
        figure = {"name": name, "unit": unit, "value": value, "runs": runs, "better": better, "conditions": conditions}
        if peer is not None:
            figure["peer"] = peer
            figure["peer_value"] = statistics.median(peer_runs)
            figure["peer_runs"] = peer_runs
            figure["ratio"] = value / figure["peer_value"] if figure["peer_value"] else None
        if target is not None:
            got = figure[target[0]]
            figure["target"] = f"{target[0]} {target[1]} {target[2]:g}"
            figure["reached"] = got is not None and (got >= target[2] if target[1] == ">=" else got <= target[2])
        self.figures.append(figure)
        print("  " + line_of(figure), flush=True)

    def skip(self, name, why):
        self.skipped.append({"name": name, "why": why})
        print(f"  skipped: {name}: {why}", flush=True)


def number(x):
    if x is None:
        return "-"
    if x >= 1000:
        return f"{x:,.0f}"
    return f"{x:.3g}"


def line_of(f):
    spread = f"{number(f['value'])} {f['unit']} ({number(min(f['runs']))} to {number(max(f['runs']))})"
    peer = ""
    if "peer" in f:
        peer = (f"; {f['peer']} {number(f['peer_value'])} ({number(min(f['peer_runs']))} to "
                f"{number(max(f['peer_runs']))}); ratio {number(f['ratio'])}")
    aim = ""
    if "target" in f:
        aim = f"; aim {f['target']}: {'reached' if f['reached'] else 'NOT reached'}"
    return f"{f['name']}: {spread}{peer}{aim}"


def in_turns(rounds, *runs):
    """Calls each in turn, `rounds` times; one list of results for each."""
    results = [[] for _ in runs]
    for _ in range(rounds):
        for result, run in zip(results, runs):
            result.append(run())
    return results


def best(choices, measure):
    """The choice with the highest rate in one trial each, and all trials."""
    trials = {choice: measure(choice)["rate"] for choice in choices}
    return max(trials, key=trials.get), trials


def column(results, key):
    return [r[key] for r in results]


# ---- the benchmarks -------------------------------------------------------------------


def need(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}; `make setup-bench` installs it" if missing else None


def _relay(report, directory, name, sizes_, counts, churn, target):
    why = need("smtp-source", "smtp-sink", "postfix") or (os.getuid() != 0 and "Postfix needs root")
    if why:
        report.skip(name, why)
        return
    ours_count, peer_count = (n // 4 for n in counts) if report.quick else counts

    def ours(sessions, count=ours_count):
        return relay.pass_through(directory, relay.postriderd, sessions, count, sizes_, count if churn else 0)

    def peer(choice, count=peer_count):
        setting, sessions = choice
        return relay.pass_through(directory, relay.postfix(setting), sessions, count, sizes_, count if churn else 0)

    sessions, trials = best(relay.SESSIONS, lambda s: ours(s, ours_count // 2))
    settings = ("stock", "tuned", "lean")
    choice, peer_trials = best([(w, s) for w in settings for s in relay.SESSIONS], lambda c: peer(c, peer_count // 2))
    here, there = in_turns(report.rounds, lambda: ours(sessions), lambda: peer(choice))
    texts = ", ".join(f"{s}: {number(r)}" for s, r in trials.items())
    peer_texts = ", ".join(f"{w} {s}: {number(r)}" for (w, s), r in peer_trials.items())
    conditions = (f"smtp-source -d and smtp-sink, {ours_count} and {peer_count} messages a run; postriderd with "
                  f"{sessions} sessions (trials {texts}); Postfix {choice[0]} with {choice[1]} (trials {peer_texts})")
    report.add(name, "messages/s", column(here, "rate"), target=("ratio", ">=", target),
               peer="Postfix", peer_runs=column(there, "rate"), conditions=conditions)
    report.add(f"{name}, CPU of the relay", "us/message", column(here, "cpu_us"), target=("value", "<=", 80) if not churn
               else None, better="less", peer="Postfix", peer_runs=column(there, "cpu_us"), conditions=conditions)


def relay_4k(report, directory):
    _relay(report, directory, "relay 4 KiB", (4096,), (24000, 3000), False, 14)


def relay_mixed(report, directory):
    _relay(report, directory, "relay mixed sizes, churned store", relay.MIXED, (12000, 2000), True, 14)


def own_tools(report, directory):
    count = 20000 if report.quick else 100000
    for name, options, target in (
            ("own sender, pipelined, 256 in flight", own.PIPELINED, 40000),
            ("own sender, one command at a time", own.PLAIN, 15000),
            ("own sender, one connection a message", own.RECONNECT, 6000),
            ("own sender, TLS kept", own.TLS, 12000)):
        runs = [own.through(directory, options, count if target > 10000 else count // 4) for _ in range(report.rounds)]
        report.add(name, "durable messages/s", column(runs, "rate"), target=("value", ">=", target),
                   conditions=f"postrider send {' '.join(options)} -> postriderd -> postrider sink, 4 KiB")
        report.add(f"{name}, CPU of the relay", "us/message", column(runs, "cpu_us"), better="less")
        if options is own.PIPELINED:
            report.add(f"{name}, ack p99", "ms", column(runs, "p99_ms"), target=("value", "<=", 20), better="less")


def tools(report, directory):
    why = need("smtp-source", "smtp-sink")
    if why:
        report.skip("own sender and sink against smtp-source and smtp-sink", why)
        return
    count = 10000 if report.quick else 40000
    for name, reconnect, target in (("keep-alive", False, 1 / 3), ("new connection each", True, 1 / 2)):
        here, there = in_turns(report.rounds, lambda r=reconnect: own.ours_direct(directory, count, r),
                               lambda r=reconnect: own.theirs_direct(directory, count, r))
        for side, peer in (("sender", "smtp-source"), ("sink", "smtp-sink")):
            report.add(f"{side} CPU, {name}", "us/message", column(here, side), better="less",
                       target=("ratio", "<=", target), peer=peer, peer_runs=column(there, side),
                       conditions=f"{count} messages of 4 KiB, {own.SESSIONS} sessions, no relay between")
    here, there = in_turns(report.rounds, lambda: own.ours_big(directory), lambda: own.theirs_big(directory))
    report.add("sink, messages of 1 MiB", "MB/s", here, target=("ratio", ">=", 5), peer="smtp-sink", peer_runs=there,
               conditions="each fed by postrider send, 4 sessions, 2000 and 400 messages")


def lmtp(report, directory):
    why = need("smtp-source", "dovecot") or (os.getuid() != 0 and "Dovecot needs root")
    if why:
        report.skip("LMTP into mailboxes", why)
        return
    ours_count, peer_count = (8000, 1600) if report.quick else (32000, 4000)
    here, there = in_turns(
        report.rounds, lambda: mailboxes.deliver(directory, mailboxes.postriderd, 64, ours_count),
        lambda: mailboxes.deliver(directory, mailboxes.dovecot, 64, peer_count))
    conditions = f"smtp-source -L, 64 sessions, 8 users, 4 KiB, {ours_count} and {peer_count} messages; Dovecot: Maildir"
    report.add("LMTP into mailboxes", "messages/s", column(here, "rate"), target=("ratio", ">=", 15), peer="Dovecot",
               peer_runs=column(there, "rate"), conditions=conditions)
    report.add("LMTP into mailboxes, CPU", "us/message", column(here, "cpu_us"), better="less", peer="Dovecot",
               peer_runs=column(there, "cpu_us"))


def pop3(report, directory):
    why = need("smtp-source", "dovecot") or (os.getuid() != 0 and "Dovecot needs root")
    if why:
        report.skip("POP3 retrieval", why)
        return
    seconds = 2 if report.quick else 10
    for style, clients in (("one command at a time", 1), ("pipelined", 1), ("pipelined", 4)):
        name = f"POP3 retrieval, {style}, {clients} client{'s' if clients > 1 else ''}"
        here, there = in_turns(
            report.rounds, lambda: mailboxes.retrieve(directory, mailboxes.postriderd, clients, seconds, style),
            lambda: mailboxes.retrieve(directory, mailboxes.dovecot, clients, seconds, style))
        conditions = f"mailboxes of 200 messages of 4 KiB, runs of {seconds} s, SCRAM-SHA-256 keys on both sides"
        report.add(name, "messages/s", column(here, "rate"), target=("ratio", ">=", 2), peer="Dovecot",
                   peer_runs=column(there, "rate"), conditions=conditions)
        report.add(f"{name}, CPU", "us/message", column(here, "cpu_us"), better="less", peer="Dovecot",
                   peer_runs=column(there, "cpu_us"))
    report.add("POP3 logins", "logins/s", column(here, "logins"), peer="Dovecot", peer_runs=column(there, "logins"),
               conditions="USER and PASS, one connection each")


def memory(report, directory):
    count = 1000 if report.quick else 10000
    rounds = min(report.rounds, 3)
    report.add("idle connection", "bytes", [sizes.idle_bytes(directory, False, count) for _ in range(rounds)],
               target=("value", "<=", 12 * 1024), better="less", conditions=f"{count} held, after EHLO")
    report.add("idle connection, TLS", "bytes", [sizes.idle_bytes(directory, True, count) for _ in range(rounds)],
               target=("value", "<=", 40 * 1024), better="less", conditions=f"{count} held, after EHLO")
    report.add("a message of 50 MiB", "bytes", [sizes.big_message_bytes(directory) for _ in range(rounds)],
               target=("value", "<=", 2 * 1024 * 1024), better="less", conditions="in by DATA and out to smtp-sink, peak")


def million(report, directory):
    why = need("smtp-source")
    if why:
        report.skip("a million queued messages", why)
        return
    count = 100000 if report.quick else 1000000
    accept = 10000 if report.quick else 40000
    full, empty = sizes.Million(os.path.join(directory, "full"), count), sizes.Million(
        os.path.join(directory, "empty"), 0)
    with full.server, empty.server:
        per_message = full.fill()
        # An empty queue does not stay empty: it is emptied before every round.
        here, there = [], []
        for _ in range(report.rounds):
            here.append(full.accept(accept))
            there.append(empty.accept(accept))
            empty.empty()
        report.add(f"{count} queued, memory", "bytes/message", [per_message], target=("value", "<=", 250), better="less",
                   conditions="messages of 512 bytes for a next hop that is down")
        report.add(f"{count} queued, accepting", "messages/s", column(here, "rate"), target=("ratio", ">=", 0.8),
                   peer="empty queue", peer_runs=column(there, "rate"))
        report.add(f"{count} queued, CPU to accept", "us/message", column(here, "cpu_us"), target=("ratio", "<=", 1.25),
                   peer="empty queue", peer_runs=column(there, "cpu_us"), better="less")
        restarts = [full.restart_s() for _ in range(report.rounds)]
        report.add(f"{count} queued, restart to greeting", "s", restarts, target=("value", "<=", 3), better="less")


def growth(report, directory):
    why = need("smtp-source", "smtp-sink")
    if why:
        report.skip("CPU per message by sessions", why)
        return
    steps = (10, 100) if report.quick else (10, 50, 200, 1000, 5000)
    count = 5000 if report.quick else 20000
    runs = in_turns(report.rounds, *[
        lambda s=s: relay.pass_through(directory, relay.postriderd, s, count) for s in steps])
    for sessions, run in zip(steps, runs):
        values = column(run, "cpu_us")
        report.add(f"CPU with {sessions} sessions", "us/message", values, better="less",
                   target=("ratio", "<=", 1.25) if sessions != steps[0] else None,
                   peer=f"{steps[0]} sessions" if sessions != steps[0] else None,
                   peer_runs=column(runs[0], "cpu_us") if sessions != steps[0] else None,
                   conditions=f"smtp-source -> postriderd -> smtp-sink, {count} messages of 4 KiB")


BENCHES = {"relay": relay_4k, "mixed": relay_mixed, "own": own_tools, "tools": tools, "lmtp": lmtp, "pop3": pop3,
           "memory": memory, "million": million, "growth": growth}


# ---- conditions and results -----------------------------------------------------------


def said(arguments):
    try:
        return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()
    except OSError:
        return ""


def machine():
    model = memory_kib = ""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as file:
        memory_kib = file.readline().split()[1]
    return {
        "cpu": model, "cores": os.cpu_count(), "memory_mib": int(memory_kib) // 1024, "kernel": platform.release(),
        "file_system": said(["stat", "-f", "-c", "%T", tempfile.gettempdir()]),
        "postrider": said([servers.POSTRIDER, "--version"]), "commit": said(["git", "rev-parse", "--short", "HEAD"]),
        "postfix": said(["postconf", "-h", "-d", "mail_version"]), "dovecot": said(["dovecot", "--version"]),
    }


def main():
    parser = argparse.ArgumentParser(description="Benchmarks against peers, in turns.", epilog=f"names: {' '.join(BENCHES)}")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--quick", action="store_true", help="small counts: shows that it works, proves nothing")
    parser.add_argument("--out", default="results/bench.json")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"no such benchmark: {' '.join(unknown)}; there are: {' '.join(BENCHES)}")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    report = Report(options.rounds, options.quick)
    begin = time.time()
    directory = tempfile.mkdtemp(prefix="postrider-bench-")
    os.chmod(directory, 0o755)
    try:
        for name, bench in BENCHES.items():
            if options.names and name not in options.names:
                continue
            print(f"== {name} (load {os.getloadavg()[0]:.2f})", flush=True)
            try:
                bench(report, directory)
            except servers.BenchError as error:
                report.failed.append({"name": name, "why": str(error)})
                print(f"  failed: {error}", flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

    result = {"machine": machine(), "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
              "took_s": round(time.time() - begin), "rounds": options.rounds, "quick": options.quick,
              "figures": report.figures, "skipped": report.skipped, "failed": report.failed}
    os.makedirs(os.path.dirname(options.out) or ".", exist_ok=True)
    with open(options.out, "w") as file:
        json.dump(result, file, indent=1)
    print(f"\n{'benchmark':44} {'median':>12} {'range':>21}  {'unit':18} {'peer':>12} {'ratio':>6}  aim")
    for f in report.figures:
        aim = f"{f['target']} {'yes' if f['reached'] else 'NO'}" if "target" in f else ""
        print(f"{f['name']:44} {number(f['value']):>12} {number(min(f['runs'])) + '..' + number(max(f['runs'])):>21}  "
              f"{f['unit']:18} {number(f.get('peer_value')):>12} {number(f.get('ratio')):>6}  {aim}")
    for s in report.skipped:
        print(f"skipped: {s['name']}: {s['why']}")
    for s in report.failed:
        print(f"failed: {s['name']}: {s['why']}")
    print(f"every run and its conditions: {options.out}")
    if report.failed:
        return 1
    return 0 if report.figures else 3


if __name__ == "__main__":
    sys.exit(main())
