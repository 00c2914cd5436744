"""A long run of every fuzzer: RUNS executions each, one fuzzer after the other, at idle priority, in slices of a
minute.  What was done is kept in OUT/long, so that a run that was stopped goes on where it was; a fuzzer that has
its executions is skipped.

    python3 tests/fuzz/long.py OUT RUNS FUZZER...

`make fuzz-long RUNS=10000000` calls it.  WRAP names a command that each slice is run under.  When a fuzzer is
through, the inputs that reach code which the corpus does not reach go into tests/corpus, as far as they are small.
The table, in OUT/long/table.md, is written after each slice.  Ends with 1 when something was found: the input
is in OUT/finds.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "corpus")
SLICE_S = 55
FILES_MAX, FILE_BYTES_MAX = 60, 2048
INPUT_BYTES_MAX = {"fuzz_smtp_server": 2048, "fuzz_flow": 2048, "fuzz_config": 2048}
INPUT_BYTES_MAX_ELSE = 1024
IDLE = ["nice", "-n", "19", "chrt", "--idle", "0"]


class Progress:
    """What one fuzzer has done so far, on disk after each slice."""

    def __init__(self, directory, program):
        self.program = program
        self.name = os.path.basename(program)
        self.path = os.path.join(directory, self.name + ".json")
        self.corpus = os.path.join(directory, "corpus", self.name)
        os.makedirs(self.corpus, exist_ok=True)
        self.seeds = os.path.normpath(os.path.join(CORPUS, self.name))
        self.did = {"executions": 0, "seconds": 0, "finds": [], "edges": 0, "edges_all": 0, "inputs": 0}
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                self.did.update(json.load(file))

    def seconds_left(self, runs):
        return max(0, runs - self.did["executions"]) * self.did["seconds"] / max(1, self.did["executions"])

    def save(self):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.did, file, indent=1)
        os.replace(self.path + ".new", self.path)


def number(pattern, text, default=0):
    found = re.findall(pattern, text, re.M)
    return int(found[-1]) if found else default


def run_slice(fuzzer, runs, finds, wrap):
    """False when it found something."""
    length = INPUT_BYTES_MAX.get(fuzzer.name, INPUT_BYTES_MAX_ELSE)
    left = runs - fuzzer.did["executions"]
    known = len(os.listdir(fuzzer.corpus)) + len(os.listdir(fuzzer.seeds))
    done = subprocess.run(
        [*wrap, *IDLE, fuzzer.program, f"-runs={left + known + 1}", f"-max_total_time={SLICE_S}", f"-max_len={length}", "-timeout=20",
         "-rss_limit_mb=1024", "-detect_leaks=0", "-print_final_stats=1", f"-artifact_prefix={finds}/{fuzzer.name}-",
         fuzzer.corpus, fuzzer.seeds],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    log = done.stderr
    # Inputs that were only read again are not counted.
    executed = number(r"number_of_executed_units: *(\d+)", log) - number(r"^#(\d+)\s+INITED", log)
    did = fuzzer.did
    did["executions"] += max(0, executed)
    did["seconds"] += number(r"^Done \d+ runs in (\d+) second", log)
    did["edges"] = max(did["edges"], number(r"cov: (\d+)", log))
    did["edges_all"] = number(r"Loaded 1 modules\s+\((\d+) inline", log, did["edges_all"])
    did["inputs"] = len(os.listdir(fuzzer.corpus))
    if done.returncode != 0:
        did["finds"].append(re.findall(r"Test unit written to (\S+)", log)[-1:] or [log[-300:]])
        with open(os.path.join(finds, fuzzer.name + ".log"), "w", encoding="utf-8") as file:
            file.write(log)
    fuzzer.save()
    return done.returncode == 0


def merge(fuzzer, wrap):
    """Takes what reaches new code into the corpus; the rest of what was kept differs in how often."""
    with tempfile.TemporaryDirectory() as merged:
        for name in os.listdir(fuzzer.seeds):
            shutil.copy(os.path.join(fuzzer.seeds, name), merged)
        before = set(os.listdir(merged))
        subprocess.run([*wrap, *IDLE, fuzzer.program, "-merge=1", "-use_counters=0", "-detect_leaks=0", "-rss_limit_mb=1024",
                        merged, fuzzer.corpus], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        new = sorted((os.path.getsize(os.path.join(merged, n)), n) for n in set(os.listdir(merged)) - before)
        room = max(0, FILES_MAX - len(before))
        for _, name in [n for n in new if n[0] <= FILE_BYTES_MAX][:room]:
            shutil.copy(os.path.join(merged, name), os.path.join(fuzzer.seeds, "found-" + name[:12]))


def write_table(fuzzers, path):
    with open(path, "w", encoding="utf-8") as file:
        file.write("| fuzzer | executions | minutes | edges reached | of | inputs kept | found |\n|---|--:|--:|--:|--:|--:|--:|\n")
        for f in fuzzers:
            d = f.did
            file.write(f"| {f.name} | {d['executions']:,} | {d['seconds'] / 60:.0f} | {d['edges']} | {d['edges_all']} | "
                       f"{d['inputs']} | {len(d['finds'])} |\n")


def main():
    out, runs = sys.argv[1], int(sys.argv[2])
    wrap = os.environ.get("WRAP", "").split()
    directory, finds = os.path.join(out, "long"), os.path.join(out, "finds")
    os.makedirs(finds, exist_ok=True)
    fuzzers = [Progress(directory, program) for program in sys.argv[3:]]
    found = []

    def step(fuzzer):
        if not run_slice(fuzzer, runs, finds, wrap):
            found.append(fuzzer)
            print(f"{fuzzer.name} FOUND {fuzzer.did['finds'][-1]}, see {finds}", flush=True)
        write_table(fuzzers, os.path.join(directory, "table.md"))

    # One slice each says how fast they are, and finds what is easily found; then the one that is soonest through.
    for fuzzer in fuzzers:
        if fuzzer.did["seconds"] == 0:
            step(fuzzer)
    for fuzzer in sorted(fuzzers, key=lambda f: f.seconds_left(runs)):
        if fuzzer.did["executions"] >= runs or fuzzer in found:
            continue
        while fuzzer.did["executions"] < runs and fuzzer not in found:
            step(fuzzer)
        print(f"{fuzzer.name}: {fuzzer.did['executions']} executions", flush=True)
        if fuzzer not in found:
            merge(fuzzer, wrap)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
