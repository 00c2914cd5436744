"""A next hop that speaks LMTP (RFC 2033): one answer for each recipient behind the final dot."""

import email
import json
import os

from lib import NextHop, POSTRIDERD, Server, check, check_equal, make_message, run_program, scratch, turns_red, wait_until

BARNEY = "barney@isp2.example"
EHLO = "250-store.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES"


class Store(NextHop):
    """verdicts: recipient -> the reply to the final dot for it."""

    def __init__(self, verdicts):
        super().__init__(self.reply)
        self.verdicts = verdicts
        self.stored = {}

    def reply(self, verb, argument, session):
        if verb in ("EHLO", "HELO"):
            return "500 5.5.1 this is LMTP"
        if verb == "LHLO":
            return EHLO
        if verb != "MESSAGE":
            return None
        replies = [self.verdicts.get(rcpt, "250 2.1.5 stored") for rcpt in session["to"]]
        for rcpt, reply in zip(session["to"], replies):
            if reply.startswith("2"):
                self.stored.setdefault(rcpt, []).append(argument)
        return "\r\n".join(replies)


def submit(server, recipients):
    _, content = make_message(sender=BARNEY)
    session = server.submit_session("barney")
    session.message(BARNEY, recipients, content)
    session.quit()
    return content


def sender(**outbound):
    return Server("isp2.example", {"barney": "rubble"}, {"outbound": outbound}, "isp2").start()


@turns_red("mail-is-lost", "mail-is-doubled")
def test_one_of_two_recipients_fails_after_the_final_dot_and_only_that_one_is_returned():
    store = Store({"full@far.example": "552 5.2.2 mailbox is full"})
    server = sender(routes={"far.example": f"lmtp:{store.address}:2525"})
    content = submit(server, ["fred@far.example", "full@far.example"])
    parsed = email.message_from_bytes(server.wait_for_mail("barney")[0])
    groups = parsed.get_payload()[1].get_payload()
    check_equal([(g["Final-Recipient"], g["Action"], g["Status"]) for g in groups[1:]], [("rfc822; full@far.example", "failed", "5.2.2")], "what is reported")
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(server.mailbox("barney")), 1, "notifications")
    check_equal(list(store.stored), ["fred@far.example"], "who got it")
    check(len(store.stored["fred@far.example"]) == 1 and store.stored["fred@far.example"][0].endswith(content), "once, and whole")
    check_equal([v for v, _ in store.dialogue if v in ("EHLO", "HELO")], [], "SMTP greetings")


@turns_red("next-hop-is-deaf")
def test_a_smart_host_may_speak_lmtp_and_a_temporary_failure_is_tried_again_for_that_one_only():
    busy = {"slow@far.example": "451 4.2.1 busy"}
    store = Store(busy)
    server = sender(smart_host=f"lmtp:{store.address}:2525")
    submit(server, ["fred@far.example", "slow@far.example"])
    store.wait_for(1)
    wait_until(lambda: " deferred " in server.log(), "the one that is put off")
    busy.clear()
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal({rcpt: len(got) for rcpt, got in store.stored.items()}, {"fred@far.example": 1, "slow@far.example": 1}, "copies")


@turns_red("output-is-silent")
def test_lmtp_without_a_port_is_a_mistake():
    path = os.path.join(scratch(), "config")
    with open(path, "w") as file:
        json.dump({"data": scratch(), "domains": ["isp2.example"], "outbound": {"routes": {"far.example": "lmtp:127.0.0.1"}}}, file)
    status, _, err = run_program([POSTRIDERD, "serve", "--config", path])
    check_equal(status, 2, "exit status")
    check('"lmtp:127.0.0.1" is not HOST:PORT' in err, err)
