"""Orders by hand about the queue, and what the queue tells about itself."""

import json
import os
import re
import signal
import socket

from lib import PATIENCE_S, NextHop, Server, check, check_equal, make_message, need_tool, run_program, scratch, turns_red, wait_until


def later(verb, argument, session):
    return "451 4.3.0 later" if verb == "MAIL" else None


def server_with_mail(names, hop):
    """A server whose next hop puts everything off; {name: id} of what waits there."""
    server = Server(settings={"outbound": {"smart_host": f"{hop.address}:2525", "tls": "none", "idle": "1ms"}, "retry": {"first": "1h", "max": "1h", "expire": "1d"}}).start()
    session = server.submit_session()
    for name in names:
        session.message("sales@fredsco.example", f"{name}@{name}.example", make_message(subject=name)[1])

    def deferred():
        messages = listed(server)
        return len(messages) == len(names) and all(m["attempts"] > 0 and m["state"] == "deferred" for m in messages.values())

    wait_until(deferred, "deferred messages")
    return server, {m["recipients"][0]["address"].split("@")[0]: number for number, m in listed(server).items()}


def listed(server):
    """{id: what `queue list --json` says about it}"""
    status, out, _ = server.control("queue", "list", "--json")
    check_equal(status, 0, "exit status of queue list --json")
    return {m["id"]: m for m in map(json.loads, out.splitlines())}


def order(server, *words):
    status, out, err = server.control("queue", *words)
    check_equal(status, 0, f"exit status of queue {words}: {err}")
    return out


@turns_red("output-is-silent")
def test_held_messages_are_not_tried_over_a_restart_until_they_are_released():
    hop = NextHop(later)
    server, ids = server_with_mail(("first", "second"), hop)
    check("held" in order(server, "hold", ids["first"]), "hold says so")
    hop.script = lambda verb, argument, session: None
    server.process.send_signal(signal.SIGKILL)
    server.wait()
    server.start()
    check_equal(listed(server)[ids["first"]]["state"], "held", "state after a crash")
    check(re.search(rf"^{ids['first']}\s.*\sheld\s", order(server, "list"), re.M), "the table shows it held")
    order(server, "flush")
    order(server, "flush", "first.example")
    wait_until(lambda: len(hop.messages) == 1 and len(listed(server)) == 1, "the other one to go out")
    check_equal(hop.messages[0]["to"], ["second@second.example"], "who got mail")
    order(server, "release", ids["first"])
    check_equal(listed(server)[ids["first"]]["state"], "deferred", "state when released: as before")
    order(server, "requeue", ids["first"])
    check_equal(hop.wait_for(2)[1]["to"], ["first@first.example"], "what was held goes out")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("output-is-silent")
def test_orders_about_many_messages_choose_by_domain_and_sender():
    hop = NextHop(later)
    server, ids = server_with_mail(("first", "second", "third"), hop)
    check_equal(order(server, "hold", "--domain", "FIRST.example"), "held 1 message\n", "hold --domain")
    check_equal(order(server, "hold", "--all"), "held 2 messages\n", "hold --all")
    check_equal(order(server, "release", "--sender", "nobody@fredsco.example"), "released 0 messages\n", "release --sender of nobody")
    check_equal(order(server, "release", "--sender", "sales@fredsco.example"), "released 3 messages\n", "release --sender")
    order(server, "remove", ids["first"], ids["second"])
    check_equal(set(listed(server)), {ids["third"]}, "what is left")
    status, out, err = server.control("queue", "remove", ids["third"], ids["first"])
    check(status == 1 and ids["first"] in err, f"one that is not there: {status} {out} {err}")
    check_equal(listed(server), {}, "the other one was removed")
    for words in (["hold"], ["hold", "--all", ids["first"]], ["list", "--all"], ["remove", "--json", "--all"]):
        check_equal(server.control("queue", *words)[0], 2, f"exit status of queue {words}")


@turns_red("output-is-silent")
def test_destinations_are_shown_with_ages_and_what_is_wrong():
    hop = NextHop(later)
    server, ids = server_with_mail(("first", "second"), hop)
    order(server, "hold", ids["second"])

    def places():
        return {p["destination"]: p for p in map(json.loads, order(server, "destinations", "--json").splitlines())}

    got = places()
    check_equal(set(got), {"first.example", "second.example"}, "destinations")
    first, second = got["first.example"], got["second.example"]
    check_equal((first["waiting"], first["held"], sum(first["waiting_by_age"]), first["waiting_by_age"][0]), (1, 0, 1, 1), "the first's counts")
    check_equal((second["waiting"], second["held"], sum(second["waiting_by_age"])), (0, 1, 0), "the second's counts")
    check_equal((first["last_code"], "later" in first["last_text"]), (451, True), "the last answer")
    check(first["next_attempt_ms"] > listed(server)[ids["first"]]["arrival_ms"] + 3000_000, "the next attempt is in an hour")
    hop.script = lambda verb, argument, session: "421 4.3.2 closed" if verb == "CONNECT" else None
    order(server, "requeue", ids["first"])
    wait_until(lambda: places()["first.example"]["state"] == "down", "a destination that is down")
    place = places()["first.example"]
    check(place["failures"] > 0 and place["last_code"] == 421 and "closed" in place["last_text"], f"it says why: {place}")
    check(re.search(r"^first\.example\s+down\s", order(server, "destinations"), re.M), "the table says so too")


SLOW_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
int fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	if (access(getenv("SLOW_SYNC_FLAG"), F_OK) == 0)
		usleep(700000);
	return real(fd);
}
"""


@turns_red("next-hop-is-deaf")
def test_a_message_that_was_reported_removed_is_never_sent():
    """Half of the queue is removed, and while a slow disk stores that, everything is tried at once."""
    need_tool("gcc")
    source, library, flag = (os.path.join(scratch(), name) for name in ("slow.c", "slow.so", "slow"))
    with open(source, "w") as file:
        file.write(SLOW_SYNC)
    check_equal(run_program(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"])[0], 0, "exit status of gcc")
    os.environ.update(LD_PRELOAD=library, SLOW_SYNC_FLAG=flag)
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    hop = NextHop(later)
    names = tuple(f"n{number}" for number in range(40))
    server, ids = server_with_mail(names, hop)
    del os.environ["LD_PRELOAD"]
    hop.script = lambda verb, argument, session: None
    removed = set(names[:20])
    with open(flag, "w"):
        pass
    server.process.send_signal(signal.SIGSTOP)  # so that it finds both requests at once
    removing = ask(server, "queue remove " + " ".join(ids[name] for name in names[:20]))
    flushing = ask(server, "queue flush")
    server.process.send_signal(signal.SIGCONT)
    check_equal((told(removing), told(flushing)), ("done", "done"), "verdicts")
    os.unlink(flag)
    wait_until(server.queue_is_empty, "an empty queue")
    arrived = [m["to"][0].split("@")[0] for m in hop.wait_for(20)]
    check_equal(sorted(arrived), sorted(set(names) - removed), "who got mail")


def ask(server, request):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE_S)
    sock.connect(os.path.join(server.data, "control"))
    sock.sendall(request.encode() + b"\n")
    return sock


def told(sock):
    """The last line of the answer."""
    with sock, sock.makefile() as stream:
        return stream.read().splitlines()[-1]
