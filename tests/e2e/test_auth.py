"""AUTH (RFC 4954) with all mechanisms, STARTTLS (RFC 3207), and what may not happen around them."""

import os
import subprocess

from lib import Server, Wire, b64, check, check_equal, scratch, scram_sha_256, slow, turns_red, wait_until

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


@turns_red("server-agrees-to-all")
def test_wrong_passwords_and_unknown_users_get_the_same_535():
    server = Server().start()
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


@turns_red("reload-is-ignored")
@slow
def test_hangup_reloads_certificates_and_keeps_connections():
    def make(name):
        key, certificate = (os.path.join(scratch(), f"{name}.{suffix}") for suffix in ("key", "pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        f"/CN={name}", "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return key, certificate

    key, certificate = make("first.example")
    new_key, new_certificate = make("second.example")
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
