"""Power cuts, by what was recorded of one server; see power.py."""

import os

import power
from lib import Skip, check, slow

CUTS, MESSAGES = 12, 120


def need_recorder():
    if not os.path.exists(power.RECORDER):
        raise Skip("the recorder cannot be preloaded into a program with sanitizers")


@slow
def test_a_power_cut_loses_and_doubles_nothing_that_was_acknowledged():
    need_recorder()
    acknowledged, bad = power.cuts(CUTS, 7, MESSAGES)
    check(acknowledged > CUTS * MESSAGES // 8, f"only {acknowledged} messages were acknowledged before {CUTS} cuts: too few")
    check(not bad, f"{len(bad)} of {CUTS} cuts: {bad[:3]}")


@slow
def test_a_disk_that_ignores_syncs_loses_mail():
    """The control of the test before: its check can fail."""
    need_recorder()
    _, bad = power.cuts(4, 7, MESSAGES, ignore="all")
    check(len(bad) == 4, f"only {len(bad)} of 4 cuts did harm, though no sync counted: the cuts are too kind")


@slow
def test_a_promise_before_the_sync_is_seen():
    """The finer control: only the last commit's syncs have done nothing."""
    need_recorder()
    _, bad = power.cuts(8, 7, MESSAGES, ignore="last")
    check(any("0 copies" in line for line in bad), f"no message was missing, though promises came before the sync: {bad}")
