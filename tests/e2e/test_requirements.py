"""The requirement catalogue as `postrider list --requirements` shows it."""

import os
import shutil

from lib import POSTRIDER, ROOT, check, check_equal, run_program, scratch, turns_red

LEADING_DOT = "RFC5321-4.5.2-leading-dot-deleted"


def list_requirements(*options, cwd=ROOT):
    return run_program([POSTRIDER, "list", "--requirements", *options], env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, cwd=cwd)


def own_catalogue(case):
    """A directory with the shipped catalogue of RFC 5321 and one case."""
    where = scratch()
    os.makedirs(os.path.join(where, "scenarios/requirements"))
    os.makedirs(os.path.join(where, "scenarios/cases/smtp"))
    shutil.copy(os.path.join(ROOT, "scenarios/requirements/rfc5321.yaml"), os.path.join(where, "scenarios/requirements"))
    with open(os.path.join(where, "scenarios/cases/smtp/dot.case"), "w") as file:
        file.write(case)
    return where


@turns_red("output-is-silent", "server-dies-badly")
def test_the_shipped_catalogue_and_cases_have_no_mistakes_and_filters_choose():
    status, out, err = list_requirements()
    check_equal((status, err), (0, ""), "exit status and mistakes of the whole catalogue")
    check(len(out.splitlines()) > 4000, "all of it is shown")
    status, out, _ = list_requirements("--rfc", "5321", "--section", "4.5", "--level", "IMPLIED", "--binds", "server")
    check_equal(status, 0, "exit status")
    entries = [line for line in out.splitlines() if line.startswith("RFC")]
    check(any(line.startswith(f"{LEADING_DOT}  IMPLIED  server  corruption") for line in entries), f"{LEADING_DOT} is among {entries}")
    check(all(line.startswith("RFC5321-4.5.") and "  IMPLIED  " in line and " server" in line for line in entries), f"nothing else is among {entries}")


@turns_red("output-is-silent", "server-dies-badly")
def test_cases_are_shown_and_what_no_case_judges_is_a_gap():
    where = own_catalogue(f"case: smtp/dot\nreq: {LEADING_DOT} IMPLIED\n\n== verdict\n")
    status, out, err = list_requirements("--section", "4.5.2", cwd=where)
    check_equal((status, err), (0, ""), "exit status and mistakes")
    check("case smtp/dot" in out and "1 of them judged by a case" in out, f"the case is shown: {out}")
    status, gaps, _ = list_requirements("--section", "4.5.2", "--gaps", cwd=where)
    check_equal(status, 0, "exit status of gaps")
    check(LEADING_DOT not in gaps and "RFC5321-4.5.2-all-characters-delivered" in gaps, f"the gaps: {gaps}")


@turns_red("output-is-silent", "server-dies-badly")
def test_a_case_that_names_no_requirement_is_a_mistake_with_its_place():
    where = own_catalogue("case: smtp/dot\nreq: RFC5321-4.5.2-no-such-thing MUST\n== verdict\n")
    status, _, err = list_requirements(cwd=where)
    check_equal(status, 2, "exit status")
    check('scenarios/cases/smtp/dot.case:2: error: no requirement is called "RFC5321-4.5.2-no-such-thing"' in err, f"the mistake: {err}")
    status, _, err = run_program([POSTRIDER, "list", "--gaps"], env={"PATH": os.environ["PATH"]}, cwd=ROOT)
    check_equal(status, 2, "exit status of --gaps alone")
    check("--requirements" in err, f"what is missing: {err}")
