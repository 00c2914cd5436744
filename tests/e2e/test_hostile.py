"""Peers that mean harm, or are merely broken: whoever they are, the server stays up, bounded, and keeps its promise to everybody else."""

import os
import signal
import socket
import threading
import time

from lib import (Dns, NextHop, Server, check, check_equal, make_message, new_address, turns_red, wait_until)
from test_relay import BARNEY, sender, submit


def fill_mailbox(server, megabytes, user="sales"):
    _, content = make_message(body=(b"x" * 76 + b"\r\n") * (megabytes * 1024 * 1024 // 78))
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message(BARNEY, server.login(user), content)
    session.quit()
    server.wait_for_mail(user)


@turns_red("next-hop-is-deaf")
def test_a_destination_without_connections_left_for_it_gets_one_when_another_is_done():
    one, two = NextHop(), NextHop()
    server, _ = sender(
        outbound={"connections": 1, "idle": "1h", "tls": "none",
                  "routes": {"one.example": f"{one.address}:2525", "two.example": f"{two.address}:2525"}},
        retry={"first": "1h", "max": "1h", "expire": "1d"})
    session = server.submit_session("barney")
    for domain in ("one.example", "two.example"):
        session.message(BARNEY, f"fred@{domain}", make_message()[1])
    one.wait_for(1)
    two.wait_for(1)
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("mail-is-lost")
def test_all_that_waits_for_a_domain_comes_back_when_the_domain_is_gone():
    server, dns = sender(retry={"first": "300ms", "max": "300ms", "expire": "1h"})
    dns.failing.add("gone.example")
    for _ in range(4):
        submit(server, "fred@gone.example")
    wait_until(lambda: server.log().count("destination-down") >= 2, "a destination that is down")
    dns.failing.clear()
    check_equal(len(server.wait_for_mail("barney", 4)), 4, "notifications")
    wait_until(server.queue_is_empty, "an empty queue")


def may_open(server):
    pop = server.pop()
    pop.command("USER sales@fredsco.example")
    pop.send("PASS secret\r\n")
    opened = pop.answer()[0]
    pop.command("QUIT")
    pop.close()
    return opened


def test_a_client_that_resets_in_mid_retrieval_leaves_the_mailbox_at_once():
    server = Server().start()
    fill_mailbox(server, 20)
    for service in ("pop3s", "pop3s", "pop3"):
        pop = server.pop(service)
        if service == "pop3":
            pop.start_tls()
        pop.login("sales@fredsco.example", "secret")
        pop.send("RETR 1\r\n")
        pop.ok()
        time.sleep(0.3)  # until the server can write no more
        pop.reset()
        wait_until(lambda: may_open(server), "a mailbox that is free", 5)


@turns_red("server-agrees-to-all")
def test_pipelined_pop3_commands_behind_a_slow_retrieval_are_all_answered():
    server = Server(settings={"auth": {"plain_without_tls": True}}).start()
    fill_mailbox(server, 4)
    for service in ("pop3", "pop3s"):
        pop = server.pop(service)
        pop.login("sales@fredsco.example", "secret")
        # One write in a thread of its own, for it ends only when the server has read on.
        writer = threading.Thread(target=pop.send, args=(b"RETR 1\r\n" * 3 + b"NOOP\r\n" * 14000 + b"NONSENSE\r\nSTAT\r\n",), daemon=True)
        writer.start()
        time.sleep(0.5)  # until nothing moves any more
        for _ in range(3):
            pop.ok()
            pop.lines()
        for _ in range(14000):
            pop.ok()
        check(not pop.answer()[0], "the answer to nonsense comes in its turn")
        check(pop.ok().startswith("+OK 1 "), "STAT is answered")
        pop.command("QUIT")
