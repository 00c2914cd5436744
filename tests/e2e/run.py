"""run.py OUT [WORD…]: runs the end-to-end tests on the programs in OUT/bin.

A test is a function test_* in a file test_*.py; its name is its sentence.  Each
runs in a process of its own with a time limit; a few run side by side.  After
the test come its controls (lib.turns_red): the same test with something broken,
which must fail by a check.  Sanitizers change nothing about what a test notices,
so controls are left out under them, unless E2E_CONTROLS=1.  Results go to the file $RESULTS, see
tests/results.sh; what a failing test printed is shown.  A word that no name holds is a mistake (exit
status 2), and nothing is run.
"""

import importlib
import os
import signal
import sys
import tempfile
import time
import traceback

TIME_LIMIT_S = 150
PASSED, FAILED, SKIPPED, BROKEN = 0, 1, 2, 3


class Job:
    def __init__(self, module, function, control):
        self.module = module
        self.function = function
        self.control = control
        sentence = f"{module.removeprefix('test_')}: {function.__name__.removeprefix('test_').replace('_', ' ')}"
        self.name = f"control: {sentence} turns red when {control}" if control else sentence
        self.is_slow = getattr(function, "is_slow", False)
        self.is_alone = getattr(function, "is_alone", False)


def in_child(job, log):
    """Runs in the forked child; never returns."""
    import lib

    os.setsid()
    lib.die_with_parent()
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, errors="replace")
    if job.control:
        lib.lens = job.control
        lib.PATIENCE_S = lib.CONTROL_PATIENCE_S
    status, last_line = PASSED, ""
    try:
        job.function()
        lib.check_no_sanitizer_spoke()
    except lib.Skip as reason:
        status, last_line = SKIPPED, f"\n{reason}"
    except lib.Failed as error:
        traceback.print_exc()
        print(f"failed: {error}")
        status = FAILED
    except BaseException:  # everything ends here: the child must not return
        traceback.print_exc()
        status = BROKEN
    lib.clean_up()
    print(last_line)
    sys.stdout.flush()
    os._exit(status)


class Run:
    """One job in its process."""

    def __init__(self, job):
        self.job = job
        self.log = tempfile.TemporaryFile()
        self.begin = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            in_child(job, self.log)

    def end_if_late(self):
        if time.monotonic() - self.begin > TIME_LIMIT_S:
            os.killpg(self.pid, signal.SIGKILL)

    def result(self, status):
        """(pass, fail or skip, what it printed)"""
        self.log.seek(0)
        text = self.log.read().decode("utf-8", "replace")
        self.log.close()
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            text += f"\nended by signal {-code}" + (f", it ran longer than {TIME_LIMIT_S} s" if code == -signal.SIGKILL else "")
        if code == SKIPPED:
            return "skip", text
        if self.job.control:
            if code == FAILED:
                return "pass", text
            return "fail", text + ("\nthe test passed although it must not" if code == PASSED else "\nit failed, but not by a check")
        return ("pass" if code == PASSED else "fail"), text


def find_jobs(words, with_controls):
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    jobs = []
    for name in sorted(os.listdir(here)):
        if name.startswith("test_") and name.endswith(".py"):
            module = importlib.import_module(name[:-3])
            for key, function in vars(module).items():
                if key.startswith("test_") and callable(function):
                    jobs.append(Job(name[:-3], function, None))
                    if with_controls:
                        jobs += [Job(name[:-3], function, control) for control in getattr(function, "controls", ())]
    strange = [word for word in words if not any(word in job.name for job in jobs)]
    if strange:
        print("\n".join(f"no test has {word!r} in its name" for word in strange), file=sys.stderr)
        sys.exit(2)
    jobs = [job for job in jobs if not words or any(word in job.name for word in words)]
    return sorted(jobs, key=lambda job: (job.is_alone, job.control is not None, not job.is_slow))


def at_once(job):
    """How many may run when this one begins."""
    if job.is_alone:
        return 1
    # Tests wait more than they compute, and controls for what never comes.
    many = 2 * (os.cpu_count() or 2)
    return int(os.environ.get("E2E_JOBS", many if job.control is None else 2 * many))


def report(run, result, text, label, cpu_s):
    reason = text.strip().splitlines()[-1].replace("\t", " ") if result == "skip" else ""
    with open(os.environ["RESULTS"], "a") as results:
        results.write(f"{result}\t{label} {run.job.name}" + (f"\t{reason}" if reason else "") + "\n")
    if result == "fail":
        print(f"FAILED {run.job.name}\n" + "\n".join("    | " + line for line in text.splitlines()[-120:]), flush=True)
    elif os.environ.get("VERBOSE"):
        print(f"ok {time.monotonic() - run.begin:5.1f} s, CPU {cpu_s:5.2f} s: {run.job.name}", flush=True)


def main():
    out = sys.argv[1]
    os.environ["E2E_OUT"] = out
    label = f"e2e {os.path.basename(out)}"
    sanitized = os.path.basename(out) in ("asan", "tsan")
    waiting = find_jobs(sys.argv[2:], not sanitized or os.environ.get("E2E_CONTROLS") == "1")
    running = {}
    any_failed = False
    # One thread only: a child forked from several may inherit a lock that nobody will open.
    while waiting or running:
        while waiting and len(running) < at_once(waiting[0]):
            run = Run(waiting.pop(0))
            running[run.pid] = run
        pid, status, used = os.wait4(-1, os.WNOHANG)
        if pid in running:
            run = running.pop(pid)
            result, text = run.result(status)
            any_failed = any_failed or result == "fail"
            report(run, result, text, label, used.ru_utime + used.ru_stime)
        elif pid == 0:
            for run in running.values():
                run.end_if_late()
            time.sleep(0.01)
    sys.exit(1 if any_failed else 0)


main()
