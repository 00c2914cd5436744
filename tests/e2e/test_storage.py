"""A full disk: 452 4.3.1, never a 250 without durability, and recovery."""

import ctypes
import os
import subprocess

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
