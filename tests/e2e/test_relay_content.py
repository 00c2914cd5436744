"""What becomes of content that the next hop does not take as it is (RFC 6152 3, RFC 3030)."""

import email

import lib
from lib import Dns, NextHop, Server, check, check_equal, turns_red, wait_until

BARNEY = "barney@isp2.example"


def sender(**settings):
    dns = Dns()
    server = Server("isp2.example", {"barney": "rubble"}, {"dns": {"forwarder": dns.forwarder}, **settings}, "isp2").start()
    return server, dns


def submit(server, recipients, content):
    session = server.submit_session("barney")
    session.command(f"MAIL FROM:<{BARNEY}> BODY=8BITMIME", 250)
    for recipient in recipients:
        session.command(f"RCPT TO:<{recipient}>", 250)
    session.command("DATA", 354)
    session.send(b"".join((b"." if line.startswith(b".") else b"") + line for line in content.splitlines(True)) + b".\r\n")
    check_equal(session.reply().code, 250, "reply to the final dot")
    session.quit()


HEADER = f"From: {BARNEY}\r\nTo: fred@far.example\r\nDate: Tue, 1 Jul 2003 10:52:37 +0000\r\nMessage-ID: <1@isp2.example>\r\n".encode()
NESTED = (HEADER + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_1"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
          b'--=_1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nviele Gr\xc3\xbc\xc3\x9fe \r\n.\r\nFrom here\r\n\r\n'
          b'--=_1\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: 8bit\r\n\r\n' + bytes(range(128, 256)) + b'\r\n'
          b'--=_1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\nna\xefve text here\r\n'
          b'--=_1\r\nContent-Type: text/plain\r\n\r\nplain\r\n--=_1--\r\n')


def leaves(raw):
    return [(p.get_content_type(), p.get_payload(decode=True)) for p in email.message_from_bytes(raw).walk() if not p.is_multipart()]


@turns_red("next-hop-is-deaf")
def test_8bit_content_is_encoded_for_a_host_that_does_not_take_it():
    old, new = NextHop(extensions=("PIPELINING",)), NextHop()
    server, dns = sender()
    dns.add_host("old.example", old.address)
    dns.add_host("new.example", new.address)
    submit(server, ["fred@old.example", "fred@new.example"], NESTED)
    got = old.wait_for(1)[0]["content"]
    check(got.isascii(), "nothing but ASCII goes to the host without 8BITMIME")
    check_equal(leaves(got), leaves(NESTED), "decoded parts")
    check(new.wait_for(1)[0]["content"].endswith(NESTED), "the other host gets it as it is")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("mail-is-lost")
def test_a_signed_part_is_returned_and_not_altered():
    hop = NextHop(extensions=("PIPELINING",))
    server, dns = sender()
    dns.add_host("old.example", hop.address)
    submit(server, ["fred@old.example"], NESTED.replace(b"multipart/mixed", b"multipart/signed"))
    parsed = email.message_from_bytes(server.wait_for_mail("barney")[0])
    check_equal(parsed.get_payload()[1].get_payload()[1]["Status"], "5.6.3", "Status")
    check_equal(hop.messages, [], "messages at the next hop")


class ChunkHop(NextHop):
    """Takes BDAT too, and nothing that is pipelined behind a failed one without RSET."""

    extensions_announced = ("PIPELINING", "8BITMIME", "CHUNKING")

    def __init__(self, refuse=()):
        super().__init__(extensions=self.extensions_announced)
        self.refuse = list(refuse)

    def session(self, sock, number):
        stream, sender_, to, failed = sock.makefile("rb"), None, [], False
        sock.sendall(b"220 chunks\r\n")
        for line in stream:
            verb, _, argument = line.decode().strip().partition(" ")
            self.dialogue.append((verb, argument))
            reply = "250 ok"
            if verb == "EHLO":
                reply = "\r\n".join(["250-chunks"] + ["250-" + e for e in self.extensions] + ["250 HELP"])
            elif verb == "QUIT":
                sock.sendall(b"221 bye\r\n")
                return
            elif verb == "RSET":
                sender_, to, failed = None, [], False
            elif failed or (verb == "MAIL" and sender_):
                reply = "503 5.5.1 RSET first"
            elif verb == "MAIL":
                sender_, to = argument, []
            elif verb == "RCPT":
                to.append(argument)
            elif verb == "BDAT":
                size, last = argument.split()
                content = stream.read(int(size))
                check_equal(last, "LAST", "BDAT")
                if self.refuse:
                    reply, failed = self.refuse.pop(0), True
                else:
                    if lib.lens != "next-hop-is-deaf":
                        self.messages.append({"to": to, "content": content})
                    sender_ = None
            else:
                reply = "500 5.5.1 what?"
            sock.sendall(reply.encode() + b"\r\n")


@turns_red("next-hop-is-deaf")
def test_chunks_go_where_they_are_taken_and_a_failed_one_disturbs_no_other():
    hop = ChunkHop(refuse=["452 4.3.1 full", "452 4.3.1 full"])
    server, dns = sender(outbound={"connections_per_destination": 1, "port": 2525})
    dns.add_host("far.example", hop.address)
    contents = [HEADER + b"Subject: %d\r\n\r\n.dots and \xe9\r\n..\r\n" % n + b"x" * 70 * n + b"\r\n" for n in range(12)]
    for content in contents:
        submit(server, ["fred@far.example"], content)
    wait_until(lambda: len(hop.messages) >= len(contents), "all messages")
    wait_until(server.queue_is_empty, "an empty queue")
    got = [m["content"] for m in hop.messages]
    check_equal(len(got), len(contents), "messages")
    for content in contents:
        check_equal(sum(g.endswith(content) for g in got), 1, "copies of one message")
    check("DATA" not in [verb for verb, _ in hop.dialogue], "no DATA")
