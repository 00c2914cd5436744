"""Power cuts, by what was recorded of one server; see power.py."""

import errno
import os
import random

import power
from lib import Failed, Skip, check, slow

CUTS, MESSAGES = 12, 120


def need_recorder():
    if not os.path.exists(power.RECORDER):
        raise Skip("no tests/power/*.so: make e2e builds them, but not for programs with sanitizers")


@slow
def test_a_power_cut_loses_and_doubles_nothing_that_was_acknowledged():
    need_recorder()
    outcome = power.cuts(CUTS, 7, MESSAGES)
    check(outcome.acknowledged > CUTS * MESSAGES // 8, f"only {outcome.acknowledged} messages were acknowledged before {CUTS} cuts: too few")
    check(not outcome.bad, f"{len(outcome.bad)} of {CUTS} cuts: {outcome.bad[:3]}")
    check(not outcome.names_lost, f"a directory was not synced: {outcome.names_lost[:3]}")


@slow
def test_a_disk_that_ignores_syncs_loses_mail():
    """The control of the test before: its check can fail."""
    need_recorder()
    bad = power.cuts(4, 7, MESSAGES, ignore="all").bad
    check(len(bad) == 4, f"only {len(bad)} of 4 cuts did harm, though no sync counted: the cuts are too kind")


@slow
def test_a_promise_before_the_sync_is_seen():
    """The finer control: only the last commit's syncs have done nothing."""
    need_recorder()
    bad = []
    for seed in range(7, 11):  # some cuts leave a store that does not read at all, which shows less
        bad += power.cuts(8, seed, MESSAGES, ignore="last").bad
        if any("0 copies" in line for line in bad):
            return
    raise Failed(f"no message was missing, though promises came before the sync: {bad}")


@slow
def test_a_power_cut_on_a_disk_whose_syncs_fail_loses_nothing_that_was_acknowledged():
    """And no 250 comes behind a sync that failed."""
    need_recorder()
    outcome = power.cuts(CUTS * 2, 7, MESSAGES, sync_errno=errno.EIO, every=5)
    check(not outcome.bad, f"{len(outcome.bad)} of {CUTS * 2} cuts: {outcome.bad[:3]}")


def test_what_the_recorder_did_not_see_is_not_judged():
    """Controls of what is looked at first: the messages' own bytes, and the names on the way to them."""
    need_recorder()
    recording, known = power.record(power.SENDERS * 4, "seen")
    contents = {token: power.make_message(token, random.Random(1)) for token, _ in known.values()}
    try:
        recording.must_have_seen(known, contents)
    except Failed as error:
        # Sizes are chosen anew here, so that bytes are asked for that never were.
        check("not tested: the recorder has not seen" in str(error), str(error))
    else:
        check(False, "bytes that were never sent count as seen")
    end = len(recording.records)
    check(not recording.names_lost(end), "names are synced")
    recording.records = [r for r in recording.records if r[0] != power.NAMES]
    lost = recording.names_lost(end)
    check(any(path.endswith("/data.mdb") for path in lost) and any(path.endswith("/store") for path in lost),
          f"without syncs of directories names are lost: {lost}")
