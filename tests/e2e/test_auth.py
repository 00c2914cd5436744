"""AUTH (RFC 4954) with all mechanisms, STARTTLS (RFC 3207), and what may not happen around them."""

import base64
import hashlib
import hmac
import os
import re
import secrets
import ssl
import subprocess
import time

from lib import Server, Wire, b64, check, check_equal, run_program, scratch, scram_sha_256, slow, turns_red, wait_until

USER = "sales@fredsco.example"


def secure_session(server):
    session = server.smtp("submission")
    session.command("EHLO client.example", 250)
    session.start_tls()
    session.command("EHLO client.example", 250)
    return session


@turns_red("server-refuses-all")
def test_plain_works_with_and_without_initial_response():
    server = Server().start()
    session = secure_session(server)
    session.auth_plain(USER, "secret")
    session.command("MAIL FROM:<sales@fredsco.example>", 250)
    session = secure_session(server)
    session.command("AUTH PLAIN", 334)
    session.command(b64(f"\0{USER}\0secret"), 235, "2.7.0")


@turns_red("server-refuses-all")
def test_login_works():
    session = secure_session(Server().start())
    session.command("AUTH LOGIN " + b64(USER), 501, "5.7.0")  # here the server speaks first: RFC 4954 4
    session.command("AUTH LOGIN", 334)
    session.command(b64(USER), 334)
    session.command(b64("secret"), 235)


@turns_red("server-refuses-all")
def test_scram_sha_256_works_and_the_server_proves_itself():
    server = Server().start()
    check_equal(scram_sha_256(secure_session(server), USER, "secret").code, 235, "code after SCRAM")
    session = server.smtp("submissions")
    session.command("EHLO client.example", 250)
    check_equal(scram_sha_256(session, USER, "secret").code, 235, "code after SCRAM under implicit TLS")


def scram(session, flag, binding=b"", mechanism="SCRAM-SHA-256-PLUS", user=USER, password="secret"):
    """RFC 5802 with a GS2 header and channel binding of one's own choice; the final reply."""
    nonce = secrets.token_urlsafe(18)
    bare = f"n={user},r={nonce}"
    reply = session.command(f"AUTH {mechanism} " + b64(f"{flag},,{bare}"))
    if reply.code != 334:
        return reply
    first = base64.b64decode(reply.text).decode()
    values = dict(part.split("=", 1) for part in first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(values["s"]), int(values["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c={b64(f'{flag},,'.encode() + binding)},r={values['r']}"
    signature = hmac.digest(hashlib.sha256(client_key).digest(), f"{bare},{first},{final}".encode(), "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    reply = session.command(b64(f"{final},p={b64(proof)}"))
    return session.command("") if reply.code == 334 else reply


@turns_red("server-agrees-to-all")
def test_scram_is_bound_to_the_tls_connection():
    server = Server(settings={"auth": {"failure_delay": 0}}).start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def session():
        result = server.smtp("submission")
        clear = result.extensions()["AUTH"]
        check("SCRAM-SHA-256-PLUS" not in clear, f"offered in clear: {clear}")
        result.start_tls(context)
        check("SCRAM-SHA-256-PLUS" in result.extensions()["AUTH"], "PLUS is offered under TLS")
        return result

    first = session()
    unique = first.sock.get_channel_binding("tls-unique")
    check_equal(scram(first, "p=tls-unique", unique).code, 235, "code with the right binding")
    check(scram(session(), "p=tls-unique", unique).code in (501, 535), "the binding of another connection")
    check(scram(session(), "p=tls-unique").code in (501, 535), "no binding")
    check(scram(session(), "p=tls-exporter", unique).code in (501, 535), "another kind")
    check(scram(session(), "n").code in (501, 535), "PLUS without binding")
    check_equal(scram(session(), "n", mechanism="SCRAM-SHA-256").code, 235, "a client that knows no binding")
    # RFC 5802 6: it would have used PLUS, so somebody took PLUS out of what we offered.
    check(scram(session(), "y", mechanism="SCRAM-SHA-256").code in (501, 535), "a downgrade")


@turns_red("server-agrees-to-all")
@slow
def test_refusals_slow_down_and_end_the_connection():
    server = Server(settings={"auth": {"failure_delay": "150ms", "failures": 3}}).start()
    session = secure_session(server)
    times = []
    for _ in range(3):
        began = time.monotonic()
        session.auth_plain(USER, "wrong", 535)
        times.append(time.monotonic() - began)
    check(times[0] >= 0.15 and times[1] >= 0.3 and times[2] >= 0.6, f"seconds for each refusal: {times}")
    session.expect(421)
    check(session.at_end(), "closed after the third")
    session = secure_session(server)
    began = time.monotonic()
    session.auth_plain(USER, "secret")
    check(time.monotonic() - began < 1, "a right one does not wait")


@turns_red("server-agrees-to-all")
def test_names_and_passwords_are_prepared():
    server = Server(users={"sales": "IX\u00e9"}, settings={"auth": {"failure_delay": 0}}).start()
    secure_session(server).auth_plain(USER, "I\u00adX\u00e9")
    secure_session(server).auth_plain(USER.replace("s", "\u017f"), "\u2168e\u0301")
    session = secure_session(server)
    check(session.command("AUTH PLAIN " + b64(f"\0{USER}\0".encode() + b"IX\xe9")).code in (501, 535), "not UTF-8")


@turns_red("server-agrees-to-all")
def test_wrong_passwords_and_unknown_users_get_the_same_535():
    server = Server(settings={"auth": {"failure_delay": 0}}).start()
    texts = set()
    for user, password in ((USER, "wrong"), ("nobody@fredsco.example", "secret"), (USER, "")):
        session = secure_session(server)
        reply = session.auth_plain(user, password, None)
        check(reply.code in (535, 501) and (password == "" or reply.code == 535), f"{user} {password!r}: {reply}")
        if password:
            texts.add(reply.text)
        session.command("MAIL FROM:<sales@fredsco.example>", 530)
    check_equal(len(texts), 1, f"kinds of refusals {texts}")
    reply = scram_sha_256(secure_session(server), USER, "wrong")
    check_equal(reply.code, 535, "SCRAM with a wrong password")
    reply = scram_sha_256(secure_session(server), "nobody@fredsco.example", "secret")
    check_equal(reply.code, 535, "SCRAM as nobody")


@turns_red("server-agrees-to-all")
def test_no_password_travels_without_tls():
    server = Server().start()
    session = server.smtp("submission")
    offered = session.extensions()
    check(not {"PLAIN", "LOGIN"} & set(offered.get("AUTH", [])), f"offered in clear: {offered}")
    reply = session.command("AUTH PLAIN " + b64(f"\0{USER}\0secret"))
    check(reply.code in (504, 530, 534, 538), f"PLAIN in clear: {reply}")


@turns_red("server-agrees-to-all")
def test_auth_out_of_order_and_malformed():
    server = Server().start()
    session = secure_session(server)
    session.command("AUTH NONSENSE", 504)
    session.command("AUTH", 501)
    session.command("AUTH PLAIN not*base64", 501)
    session.command("AUTH PLAIN", 334)
    session.command("*", 501)
    session.command("AUTH PLAIN", 334)
    session.command("x" * 13000, (500, 501))
    session.command("AUTH PLAIN " + b64("no separators"), (501, 535))
    session.auth_plain(USER, "secret")
    session.command("AUTH PLAIN " + b64(f"\0{USER}\0secret"), 503)
    session = secure_session(server)
    session.auth_plain(USER, "secret")
    session.command("MAIL FROM:<sales@fredsco.example>", 250)
    session.command("AUTH PLAIN", 503)


@turns_red("server-agrees-to-all")
def test_bytes_pipelined_behind_starttls_are_thrown_away():
    server = Server().start()
    session = server.smtp("submission")
    session.command("EHLO client.example", 250)
    session.send(b"STARTTLS\r\nMAIL FROM:<evil@isp2.example>\r\nRCPT TO:<sales@fredsco.example>\r\n")
    session.expect(220)
    check_equal(session.unread, b"", "replies in clear behind 220")
    session.wrap()
    check(session.silent_for(0.3), "no reply to what came before the handshake")
    # All that was said before is forgotten (RFC 3207 4.2).
    session.command("MAIL FROM:<sales@fredsco.example>", (503, 530))
    session.command("EHLO client.example", 250)
    session.command("STARTTLS", (502, 503, 554))


@turns_red("server-agrees-to-all")
def test_a_broken_handshake_ends_only_its_own_connection():
    server = Server().start()
    for service in ("submission", "submissions", "pop3s"):
        wire = Wire(server.services[service])
        if service == "submission":
            wire.line()
            wire.send(b"EHLO x\r\n")
            while not wire.line().startswith(b"250 "):
                pass
            wire.send(b"STARTTLS\r\n")
            check(wire.line().startswith(b"220"), "STARTTLS is accepted")
        wire.send(b"this is no TLS at all\r\n" * 20)
        end = b"?"
        try:
            while end:
                end = wire.sock.recv(4096)
        except ConnectionResetError:
            pass
        wire.close()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("FOO", (500, 502))


def make_certificate(name):
    key, certificate = (os.path.join(scratch(), f"{name}.{suffix}") for suffix in ("key", "pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},DNS:*.sub.{name}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return key, certificate


def s_client(server, service, *options):
    """What openssl's own client tells of a TLS connection."""
    host, port = server.services[service]
    _, out, err = run_program(["openssl", "s_client", "-connect", f"{host}:{port}", *options])
    return out + err


@turns_red("output-is-silent", "reload-is-ignored")
def test_the_certificate_is_chosen_by_server_name():
    pairs = [make_certificate(f"{name}.example") for name in ("main", "second", "third")]
    tls = {"key": pairs[0][0], "certificate": pairs[0][1],
           "certificates": [{"key": key, "certificate": certificate} for key, certificate in pairs[1:]]}
    server = Server(settings={"tls": tls}).start()

    def served(name):
        out = s_client(server, "submissions", *(["-servername", name] if name else ["-noservername"]))
        found = re.search(r"subject=CN *= *(\S+)", out)
        check(found, f"a certificate in {out!r}")
        return found.group(1)

    for name, wanted in (("second.example", "second.example"), ("a.sub.third.example", "third.example"), ("THIRD.example", "third.example"),
                         ("main.example", "main.example"), ("unknown.example", "main.example"), (None, "main.example")):
        check_equal(served(name), wanted, f"certificate for {name}")
    # A reload takes the list anew, and a mistake in it changes nothing.
    del server.config["tls"]["certificates"][0]
    server.write_config()
    server.reload()
    wait_until(lambda: served("second.example") == "main.example", "the shorter list", 10)
    check_equal(served("third.example"), "third.example", "what stays in it")
    with open(pairs[2][1], "w") as file:
        file.write("no certificate\n")
    before = len(server.log().splitlines())
    server.reload()
    wait_until(lambda: len(server.log().splitlines()) > before, "a log line about the bad certificate")
    check_equal(served("third.example"), "third.example", "after a mistake")


@turns_red("output-is-silent")
def test_what_tls_takes_and_what_not():
    server = Server().start()
    for service in ("submissions", "pop3s"):
        for option, wanted in (("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False)):
            out = s_client(server, service, option, "-cipher", "ALL:@SECLEVEL=0")
            check(("Cipher is (NONE)" not in out) == wanted, f"{service} {option}: {out[-300:]}")
        path = os.path.join(scratch(), "session")
        for option in ("-tls1_3", "-tls1_2"):
            # With input that stays open for a while, the ticket of TLS 1.3 comes before the end.
            s_client_talking(server, service, option, "-sess_out", path)
            check("Reused, " in s_client(server, service, option, "-sess_in", path), f"{service} {option}: a session is resumed")
        out = s_client_talking(server, service, "-tls1_2", text=b"R\nQUIT\n")
        check("RENEGOTIATING" in out and "no renegotiation" in out, f"{service}: renegotiation is refused: {out[-400:]}")


def s_client_talking(server, service, *options, text=b""):
    host, port = server.services[service]
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"{host}:{port}", *options], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = b""
    while b"ready" not in out and b"220 " not in out and b"+OK" not in out:  # the greeting
        piece = client.stdout.read1(65536)
        check(piece, f"the greeting; got {out[-300:]}")
        out += piece
    rest, _ = client.communicate(text or b"Q\n", timeout=30)
    return (out + rest).decode("utf-8", "replace")


@turns_red("server-agrees-to-all")
def test_nothing_is_said_in_the_clear_at_the_end():
    """SIGTERM while clients of implicit TLS have not begun, or are in the middle of, their handshake."""
    server = Server().start()
    waiting = [Wire(server.services[service]) for service in ("submissions", "pop3s")]
    for service, command in (("submission", b"STARTTLS\r\n"), ("pop3", b"STLS\r\n")):
        wire = Wire(server.services[service])
        wire.line()
        if service == "submission":
            wire.send(b"EHLO x\r\n")
            while not wire.line().startswith(b"250 "):
                pass
        wire.send(command)
        check(wire.line()[:3] in (b"220", b"+OK"), "TLS may begin")
        waiting.append(wire)
    plain = server.smtp()
    control = server.pop("pop3")
    server.process.terminate()
    plain.expect(421)
    check(not control.answer()[0], "others are told")
    for wire in waiting:
        said = b"?"
        try:
            said = wire.unread + wire.sock.recv(4096)
        except ConnectionResetError:
            said = b""
        check(said == b"", f"said in the clear: {said}")
    check_equal(server.stop(), 0, "exit status")


@turns_red("reload-is-ignored")
@slow
def test_hangup_reloads_certificates_and_keeps_connections():
    key, certificate = make_certificate("first.example")
    new_key, new_certificate = make_certificate("second.example")
    server = Server(settings={"tls": {"certificate": certificate, "key": key}}).start()

    def served():
        session = server.smtp("submissions")
        der = session.sock.getpeercert(True)
        session.close()
        return b"second.example" in der

    check(not served(), "the first certificate is served")
    old = server.smtp("submissions")
    old.command("EHLO client.example", 250)
    os.replace(new_key, key)
    os.replace(new_certificate, certificate)
    server.reload()
    wait_until(served, "the new certificate", 10)
    old.command("NOOP", 250)
    # A broken certificate is refused, and the server goes on with the old one.
    with open(certificate, "w") as file:
        file.write("no certificate\n")
    before = len(server.log().splitlines())
    server.reload()
    wait_until(lambda: len(server.log().splitlines()) > before, "a log line about the bad certificate")
    check(served(), "the old certificate is still served")
    check(server.alive(), "the server lives")


@turns_red("server-dies-badly")
def test_no_password_is_written_anywhere():
    server = Server(users={"sales": "correct-horse-battery"}).start()
    session = secure_session(server)
    session.auth_plain(USER, "correct-horse-battery")
    pop = server.pop()
    pop.login(USER, "correct-horse-battery")
    session.close()
    pop.close()
    check_equal(server.stop(), 0, "exit status")
    for directory, _, names in os.walk(server.data):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                check(b"correct-horse-battery" not in file.read(), f"the password is in {name}")
    check("correct-horse-battery" not in server.log(), "the password is in the log")
    check(b64("\0" + USER + "\0correct-horse-battery") not in server.log(), "the exchange is in the log")


# From, with what reply, when sales has logged in.
SENDERS = (
    ("sales@fredsco.example", 250), ("Sales@FREDSCO.example", 250), ("info@fredsco.example", 250), ("staff@fredsco.example", 250), ("sales+list@fredsco.example", 250), ("", 250),
    ("boss@fredsco.example", 550), ("nobody@fredsco.example", 550), ("sales@isp2.example", 550),
)


@turns_red("server-agrees-to-all", "server-refuses-all")
def test_with_sender_own_a_user_sends_as_himself_and_his_aliases_only():
    aliases = {"info@fredsco.example": "sales@fredsco.example", "staff@fredsco.example": ["boss@fredsco.example", "info@fredsco.example"]}
    server = Server(users={"sales": "secret", "boss": "other"}, settings={"submission": {"sender": "own"}, "aliases": aliases}).start()
    session = server.submit_session()
    for sender, code in SENDERS:
        session.command(f"MAIL FROM:<{sender}>", code)
        if code == 250:
            session.command("RCPT TO:<sales@fredsco.example>", 250)
        session.command("RSET", 250)
    # Who logs in nowhere is asked for nothing: it is about users, not about other servers' mail.
    relay = server.smtp()
    relay.command("EHLO client.example", 250)
    relay.command("MAIL FROM:<boss@fredsco.example>", 250)
    relay.command("RCPT TO:<sales@fredsco.example>", 250)


@turns_red("server-refuses-all")
def test_without_it_a_user_may_send_as_anybody():
    session = Server().start().submit_session()
    session.command("MAIL FROM:<pat@other.example>", 250)
    session.command("RCPT TO:<sales@fredsco.example>", 250)
