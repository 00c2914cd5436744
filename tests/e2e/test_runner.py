"""The runner of these tests."""

import os
import sys

from lib import OUT, ROOT, check_equal, run_program, scratch, turns_red


@turns_red("output-is-silent", "server-dies-badly")
def test_a_word_that_no_test_has_is_told_and_nothing_is_run():
    results = os.path.join(scratch(), "results")
    status, out, err = run_program([sys.executable, "-B", os.path.join(ROOT, "tests/e2e/run.py"), OUT, "catalogue", "no-such-word", "nor-this"],
                                   env={**os.environ, "RESULTS": results})
    check_equal((status, out, err), (2, "", "no test has 'no-such-word' in its name\nno test has 'nor-this' in its name\n"), "exit status and output")
    check_equal(os.path.exists(results), False, "a test was run")
