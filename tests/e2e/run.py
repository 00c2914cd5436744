"""run.py OUT [WORD…]: runs the end-to-end tests on the programs in OUT/bin.

A test is a function test_* in a file test_*.py; its name is its sentence.  Each
runs in a process of its own with a time limit; a few run side by side.  After
the test come its controls (lib.turns_red): the same test with something broken,
which must fail by a check.  Results go to the file $RESULTS, see
tests/results.sh; what a failing test printed is shown.
"""

import importlib
import os
import signal
import sys
import tempfile
import threading
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


def in_child(job, log):
    """Runs in the forked child; never returns."""
    import lib

    os.setpgid(0, 0)
    lib.die_with_parent()
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, errors="replace")
    lib.lens = job.control
    status, last_line = PASSED, ""
    try:
        job.function()
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


def run(job):
    """(result, text): result is pass, fail or skip."""
    with tempfile.TemporaryFile() as log:
        pid = os.fork()
        if pid == 0:
            in_child(job, log)
        late = threading.Timer(TIME_LIMIT_S, lambda: os.killpg(pid, signal.SIGKILL))
        late.start()
        _, status = os.waitpid(pid, 0)
        late.cancel()
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        text += f"\nended by signal {-code}" + (f", it ran longer than {TIME_LIMIT_S} s" if code == -signal.SIGKILL else "")
    if code == SKIPPED:
        return "skip", text
    if job.control:
        if code == FAILED:
            return "pass", text
        return "fail", text + ("\nthe test passed although it must not" if code == PASSED else "\nit failed, but not by a check")
    return ("pass" if code == PASSED else "fail"), text


def find_jobs(words):
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    jobs = []
    for name in sorted(os.listdir(here)):
        if name.startswith("test_") and name.endswith(".py"):
            module = importlib.import_module(name[:-3])
            for key, function in vars(module).items():
                if key.startswith("test_") and callable(function):
                    jobs.append(Job(name[:-3], function, None))
                    jobs += [Job(name[:-3], function, control) for control in getattr(function, "controls", ())]
    jobs = [job for job in jobs if not words or any(word in job.name for word in words)]
    return sorted(jobs, key=lambda job: not job.is_slow)


def main():
    out = sys.argv[1]
    os.environ["E2E_OUT"] = out
    jobs = find_jobs(sys.argv[2:])
    label = f"e2e {os.path.basename(out)}"
    verbose = bool(os.environ.get("VERBOSE"))
    lock = threading.Lock()
    waiting = iter(jobs)
    any_failed = False

    def work():
        nonlocal any_failed
        while True:
            with lock:
                job = next(waiting, None)
            if job is None:
                return
            begin = time.monotonic()
            result, text = run(job)
            with lock:
                reason = ""
                if result == "skip":
                    reason = text.strip().splitlines()[-1].replace("\t", " ")
                with open(os.environ["RESULTS"], "a") as results:
                    results.write(f"{result}\t{label} {job.name}" + (f"\t{reason}" if reason else "") + "\n")
                if result == "fail":
                    any_failed = True
                    print(f"FAILED {job.name}\n" + "\n".join("    | " + line for line in text.splitlines()[-120:]), flush=True)
                elif result == "skip":
                    print(f"skipped {job.name}: {reason}", flush=True)
                elif verbose:
                    print(f"ok {time.monotonic() - begin:5.1f} s {job.name}", flush=True)

    # Tests wait more than they compute.
    crew = [threading.Thread(target=work) for _ in range(int(os.environ.get("E2E_JOBS", 2 * (os.cpu_count() or 2))))]
    for worker in crew:
        worker.start()
    for worker in crew:
        worker.join()
    sys.exit(1 if any_failed else 0)


main()
