"""A disk that is full, broken or slow: never a 250 without durability, and recovery."""

import ctypes
import errno
import os
import subprocess
import threading
import time

import faults
from lib import Server, Skip, check, check_equal, make_message, scratch, slow, turns_red, wait_until

CLONE_NEWNS = 0x00020000


def small_disk(megabytes):
    """A directory on a disk of its own, seen by this test only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise Skip(f"mounting a small disk needs root: unshare: {os.strerror(ctypes.get_errno())}")
    directory = os.path.join(scratch(), "disk")
    os.makedirs(directory)
    for command in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", directory]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Skip(f"mounting a small disk needs root: {done.stderr.strip()}")
    return directory


def send_until(server, code, limit=4000, size=20000):
    """Sends until this reply comes; returns how many were accepted before."""
    session = server.smtp()
    session.command("EHLO client.example", 250)
    body = (b"x" * 76 + b"\r\n") * (size // 78)
    for accepted in range(limit):
        session.command("MAIL FROM:<barney@isp2.example>")
        reply = session.command("RCPT TO:<sales@fredsco.example>")
        if reply.code == 250:
            session.command("DATA", 354)
            session.send(make_message(subject=f"n{accepted}", body=body)[1] + b".\r\n")
            reply = session.reply()
        if reply.code == code:
            session.close()
            return accepted, reply
        check_equal(reply.code, 250, f"reply to message {accepted}")
    check(False, f"{limit} messages without a {code}")
    return None


@slow
@turns_red("server-agrees-to-all", "mail-is-lost")
def test_a_full_disk_is_answered_452_and_mail_flows_again_when_there_is_room():
    disk = small_disk(96)
    server = Server(data=os.path.join(disk, "data")).start()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", make_message(subject="before")[1])
    filler = os.path.join(disk, "filler")
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            pass
    accepted, reply = send_until(server, 452)
    check_equal(reply.status, "4.3.1", "enhanced status")
    check(server.alive(), "the server lives")
    # Still full: still honest, and what was accepted can be read.
    more, _ = send_until(server, 452)
    total = 1 + accepted + more
    os.remove(filler)

    def flows():
        probe = server.smtp()
        probe.command("EHLO client.example", 250)
        probe.command("MAIL FROM:<barney@isp2.example>")
        probe.command("RCPT TO:<sales@fredsco.example>")
        code = probe.command("DATA").code
        if code == 354:
            probe.send(make_message(subject="after")[1] + b".\r\n")
            code = probe.reply().code
        probe.close()
        return code == 250

    wait_until(flows, "mail to be taken again")
    wait_until(server.queue_is_empty, "delivery")
    check_equal(len(server.mailbox()), total + 1, "every acknowledged message, once")
    check_equal(server.stop(), 0, "exit status")
    server.start()
    check_equal(len(server.mailbox()), total + 1, "the same after a restart")


@slow
@turns_red("server-agrees-to-all", "mail-is-lost")
def test_a_full_store_is_answered_452_and_deleting_makes_room():
    server = Server(settings={"store": {"map_size": "16MiB"}}).start()
    accepted, reply = send_until(server, 452)
    check_equal(reply.status, "4.3.1", "enhanced status")
    check(accepted > 10, f"only {accepted} messages fitted")
    wait_until(server.queue_is_empty, "delivery")
    check_equal(len(server.mailbox()), accepted, "every acknowledged message, once")
    pop = server.pop()
    pop.login("sales@fredsco.example", "secret")
    for number in range(1, accepted + 1):
        pop.command(f"DELE {number}")
    pop.command("QUIT")
    pop.close()
    again, _ = send_until(server, 452)
    check(again > accepted // 2, f"{again} messages fit after deletion, {accepted} before")


def offer(server, subject):
    """The reply that decides: a refusal, or that to the content."""
    session = server.smtp()
    session.command("EHLO client.example", 250)
    for command, wanted in (("MAIL FROM:<barney@isp2.example>", 250), ("RCPT TO:<sales@fredsco.example>", 250), ("DATA", 354)):
        reply = session.command(command)
        if reply.code != wanted:
            session.close()
            return reply
    session.send(make_message(subject=subject)[1] + b".\r\n")
    reply = session.reply()
    session.close()
    return reply


def survives(**trouble):
    """Nothing is promised while the disk is so; and afterwards all is well, without anybody's help."""
    disk = faults.Faults()
    server = Server(settings={"auth": {"plain_without_tls": True}})
    disk.start(server)
    check_equal(offer(server, "before").code, 250, "a message before")
    disk.set(**trouble)
    refused = [offer(server, f"refused {n}") for n in range(15)]
    check(all(400 <= r.code < 500 for r in refused), f"every refusal is temporary: {refused}")
    check(all(r.status in ("4.3.0", "4.3.1") for r in refused), f"and says why: {refused}")
    login = server.smtp("submission")
    login.command("EHLO client.example", 250)
    login = login.command("AUTH PLAIN AHNhbGVzQGZyZWRzY28uZXhhbXBsZQBzZWNyZXQ=")
    check(login.code == 235 or 400 <= login.code < 500, f"nobody's password is called wrong: {login}")
    check(server.alive(), "the server lives")
    check(disk.counts()[2] > 0, "the disk failed")
    disk.set()
    # Only asked, nothing written: the store has to come back by itself.
    def answers():
        session = server.smtp()
        session.command("EHLO client.example", 250)
        session.command("MAIL FROM:<barney@isp2.example>", 250)
        code = session.command("RCPT TO:<sales@fredsco.example>").code
        session.close()
        return code == 250

    wait_until(answers, "recipients to be taken again")
    wait_until(lambda: offer(server, "after").code == 250, "mail to be taken again")
    wait_until(server.queue_is_empty, "delivery")
    found = server.mailbox()
    for subject in (b"Subject: before ", b"Subject: after "):
        check_equal(sum(subject in message for message in found), 1, f"copies of what was acknowledged, {subject}")
    server.kill()
    server.start()
    check_equal(len(server.mailbox()), len(found), "the same after a restart")


@slow
@turns_red("server-agrees-to-all", "mail-is-lost")
def test_nothing_is_promised_while_syncs_fail():
    survives(sync_errno=errno.EIO)


@slow
@turns_red("server-agrees-to-all", "mail-is-lost")
def test_nothing_is_promised_when_the_last_page_of_a_commit_cannot_be_synced():
    """The store has to be opened again then, which fails too: meanwhile nothing can be read either."""
    survives(sync_errno=errno.EIO, after=1)


@slow
@turns_red("server-agrees-to-all", "mail-is-lost")
def test_nothing_is_promised_while_writes_fail():
    survives(write_errno=errno.EIO)


@slow
@turns_red("server-agrees-to-all", "mail-is-lost")
def test_nothing_is_promised_while_the_disk_has_no_room_for_writes():
    survives(write_errno=errno.ENOSPC)


@slow
@turns_red("server-refuses-all")
def test_a_slow_disk_holds_up_nobody_who_does_not_need_it():
    disk = faults.Faults()
    server = Server()
    disk.start(server)
    disk.set(sync_ms=1000)
    took = []

    def send():
        begin = time.monotonic()
        check_equal(offer(server, "slow").code, 250, "reply")
        took.append(time.monotonic() - begin)

    sender = threading.Thread(target=send)
    sender.start()
    session = server.smtp()
    waits = []
    while sender.is_alive():
        begin = time.monotonic()
        session.command("NOOP", 250)
        waits.append(time.monotonic() - begin)
        sender.join(0.05)  # until the next one
    check(took and took[0] > 1.9, f"a commit waits for two syncs of 1 s: {took}")
    check(max(waits) < 0.9, f"a session that needs no disk waited {max(waits):.2f} s")


@slow
def test_messages_that_wait_for_a_slow_disk_share_its_syncs():
    disk, server = faults.slow_server(50)
    syncs = disk.counts()[1]
    per_s, waits = faults.rate(server, 16, 3)
    syncs = disk.counts()[1] - syncs
    check(len(waits) > 2 * syncs, f"{len(waits)} messages in {syncs} syncs, {per_s:.0f}/s: nothing was shared")
