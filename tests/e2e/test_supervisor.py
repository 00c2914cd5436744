"""A service manager: sockets that are handed over, the notify socket, the unit files."""

import os
import re
import shutil
import signal
import socket

import lib
from lib import PATIENCE_S, POSTRIDERD, ROOT, Failed, Server, check, check_equal, make_message, need_tool, new_address, run_program, scratch, turns_red, wait_until

LAUNCHER = """#!/usr/bin/env python3
import os, socket, sys
sockets = []
for text in os.environ["E2E_SOCKETS"].split():
    host, port = text.split(":")
    s = socket.create_server((host, int(port)))
    sockets.append(os.dup(s.fileno()))
spare = [os.dup(fd) for fd in sockets for _ in range(9)]  # so that none lies where another goes
for i, fd in enumerate([spare[9 * n + 8] for n in range(len(sockets))]):
    os.dup2(fd, 3 + i)
    os.set_inheritable(3 + i, True)
os.environ.update(LISTEN_PID=os.environ.get("E2E_PID") or str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=os.environ["E2E_NAMES"])
os.execv(os.environ["E2E_PROGRAM"], sys.argv)
"""


def launched(server, sockets, names, pid=""):
    """Starts the server with these sockets from descriptor 3 on."""
    path = os.path.join(scratch(), "launcher.py")
    with open(path, "w") as file:
        file.write(LAUNCHER)
    os.chmod(path, 0o755)
    os.environ.update(E2E_SOCKETS=" ".join(sockets), E2E_NAMES=names, E2E_PID=pid, E2E_PROGRAM=POSTRIDERD)
    lib.POSTRIDERD = path
    try:
        return server.start()
    finally:
        lib.POSTRIDERD = POSTRIDERD


@turns_red("mail-is-lost")
def test_sockets_that_are_handed_over_are_used_by_name_and_by_port():
    server = Server()
    del server.config["listen"]["pop3"]
    given = new_address()
    launched(server, (f"{given}:7777", f"{given}:995", f"{given}:7778"), "smtp:whatever.socket:submission")
    check_equal({s: a for s, a in server.services.items() if a[0] == given}, {"smtp": (given, 7777), "pop3s": (given, 995), "submission": (given, 7778)}, "handed over")
    check_equal(server.services["submissions"], (server.address, 2465), "the others are as configured")
    check("pop3" not in server.services, "and no more")
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", make_message()[1])
    check_equal(len(server.wait_for_mail()), 1, "messages")


@turns_red("server-dies-badly")
def test_sockets_for_another_process_are_not_taken_and_nonsense_does_not_start():
    server = Server()
    launched(server, (f"{new_address()}:7777",), "smtp", pid="1")
    check_equal(server.services["smtp"], (server.address, 2525), "smtp is as configured")
    check_equal(server.stop(), 0, "exit status")
    try:
        launched(server, (f"{new_address()}:7777",), "nonsense")
    except Failed:
        check('"nonsense", port 7777' in server.log(), f"it says which: {server.log()}")
    else:
        raise Failed("a socket without a purpose")


@turns_red("server-dies-badly")
def test_the_service_manager_is_told_when_it_is_ready_and_when_it_stops():
    for path in (os.path.join(scratch(), "notify"), f"@postrider-e2e-{os.getpid()}"):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.settimeout(PATIENCE_S)
        manager.bind(path if path[0] == "/" else "\0" + path[1:])
        os.environ["NOTIFY_SOCKET"] = path
        server = Server().start()
        check_equal(manager.recv(100), b"READY=1", "when it is ready")
        server.reload()
        check(re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(100)), "a reload begins")
        check_equal(manager.recv(100), b"READY=1", "and ends")
        server.process.send_signal(signal.SIGTERM)
        check_equal(manager.recv(100), b"STOPPING=1", "when it stops")
        check_equal(server.wait(), 0, "exit status")
        manager.close()


@turns_red("reload-is-ignored")
def test_a_reload_names_what_it_cannot_change_and_keeps_no_old_settings():
    server = Server(settings={"timeouts": {"command": "60s"}}).start()
    early = server.smtp()
    early.command("EHLO client.example", 250)

    def reloads():
        return re.findall(r"\breloaded .*settings=(\d+)$", server.log(), re.M)

    for number in range(1, 11):
        server.reload()
        wait_until(lambda count=number: len(reloads()) == count, "a reload")
    check_equal(reloads(), ["2"] * 10, "settings in memory: the new ones and those of the session that is open")
    check("reload-ignored" not in server.log(), "nothing changed")
    check("mx.fredsco.example" in early.command("EHLO client.example", 250).text, "the session goes on with its own")
    early.command("QUIT", 221)
    check(early.at_end(), "it has ended")
    server.config["listen"]["smtp"] = f"{server.address}:2526"
    server.config["store"] = {"map_size": "1GiB"}
    server.config["hostname"] = "new.fredsco.example"
    server.write_config()
    for _ in range(2):  # it says so each time
        seen = len(reloads())
        server.reload()
        wait_until(lambda count=seen: len(reloads()) == count + 1, "a reload")
    check_equal(reloads()[-1], "1", "settings in memory when nobody borrows from old ones")
    check_equal(re.findall(r"reload-ignored key=(\S+)", server.log()), ["listen", "store"] * 2, "what was not changed, by name")
    check("new.fredsco.example" in server.smtp().command("EHLO client.example", 250).text, "what can be changed was")


@turns_red("server-dies-badly")
def test_what_is_installed_is_whole_and_the_units_are_good():
    need_tool("make")
    destination = os.path.join(scratch(), "root")
    for path in ("usr/bin", "usr/lib/systemd/system"):
        os.makedirs(os.path.join(destination, path))
    unit = os.path.join(destination, "usr/lib/systemd/system/postriderd.service")
    with open(os.path.join(ROOT, "packaging/postriderd.service")) as file:
        text = file.read().replace("@PREFIX@", os.path.join(destination, "usr"))
    with open(unit, "w") as file:
        file.write(text.replace("man:", "https://man.example/"))
    shutil.copy(os.path.join(ROOT, "packaging/postriderd.socket"), os.path.dirname(unit))
    shutil.copy(POSTRIDERD, os.path.join(destination, "usr/bin"))
    need_tool("systemd-analyze")
    status, out, err = run_program(["systemd-analyze", "verify", "--man=no", unit])
    check_equal((status, [line for line in (out + err).splitlines() if "postriderd" in line]), (0, []), "what systemd-analyze finds")
    status, out, err = run_program(["systemd-analyze", "security", "--offline=true", "--threshold=25", unit])
    check_equal(status, 0, f"exposure: {(out + err)[-300:]}")
