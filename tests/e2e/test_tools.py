"""Programs that people use: swaks, curl and msmtp in; mpop, fetchmail, getmail and curl out."""

import glob
import os
import shutil

from lib import Server, check, check_equal, make_message, need_tool, run_program, scratch, turns_red

USER, PASSWORD = "sales@fredsco.example", "secret"


def serving(count=0):
    server = Server().start()
    if count:
        session = server.submit_session()
        for number in range(count):
            session.message(USER, USER, make_message(subject=f"number{number + 1}", body=b".dot\r\nline\r\n")[1])
        session.quit()
        server.wait_for_mail(count=count)
    return server


def home():
    return {"HOME": scratch(), "PATH": os.environ["PATH"], "LC_ALL": "C", "USER": "tester"}


def check_arrived(server, text, count=1):
    messages = server.wait_for_mail(count=count)
    check(any(text in m for m in messages), f"{text!r} arrived")


@turns_red("mail-is-lost", "server-dies-badly")
def test_swaks_sends_over_starttls_and_implicit_tls():
    need_tool("swaks")
    server = serving()
    for service, tls in (("submission", "--tls"), ("submissions", "--tls-on-connect")):
        host, port = server.services[service]
        status, _, _ = run_program(["swaks", "--server", host, "--port", str(port), tls, "--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD,
                                    "--from", USER, "--to", USER, "--h-Subject", f"by swaks {service}"], env=home())
        check_equal(status, 0, f"exit status on {service}")
        check_arrived(server, f"by swaks {service}".encode(), 1)
    host, port = server.services["smtp"]
    status, out, _ = run_program(["swaks", "--server", host, "--port", str(port), "--from", "a@isp2.example", "--to", "victim@other.example"], env=home())
    check(status != 0 and "5.7.1" in out, "swaks is not relayed for")


@turns_red("mail-is-lost", "server-dies-badly")
def test_curl_sends_and_fetches():
    need_tool("curl")
    server = serving()
    path = os.path.join(scratch(), "mail")
    with open(path, "wb") as file:
        file.write(make_message(subject="by curl", sender=USER)[1])
    host, port = server.services["submission"]
    common = ["curl", "-sS", "-k", "--user", f"{USER}:{PASSWORD}"]
    for mechanism in ("PLAIN", "LOGIN"):
        status, _, _ = run_program([*common, "--ssl-reqd", "--login-options", f"AUTH={mechanism}", f"smtp://{host}:{port}/client.example", "--mail-from", USER,
                                    "--mail-rcpt", USER, "--upload-file", path], env=home())
        check_equal(status, 0, f"exit status of sending with {mechanism}")
    check_arrived(server, b"by curl", 2)
    host, port = server.services["pop3s"]
    status, out, _ = run_program([*common, f"pop3s://{host}:{port}/1"], env=home())
    check_equal(status, 0, "exit status of fetching")
    check("Subject: by curl" in out, "the message is fetched")


@turns_red("mail-is-lost", "server-dies-badly")
def test_msmtp_sends_with_every_login_method():
    need_tool("msmtp")
    server = serving()
    host, port = server.services["submission"]
    for mechanism in ("plain", "login", "scram-sha-256"):
        status, _, err = run_program(["msmtp", "-C", "/dev/null", f"--host={host}", f"--port={port}", "--tls=on", "--tls-starttls=on", "--tls-certcheck=off",
                                      f"--auth={mechanism}", f"--user={USER}", f"--passwordeval=echo {PASSWORD}", f"--from={USER}", USER],
                                     stdin=f"Subject: by msmtp {mechanism}\n\n.dot\n", env=home())
        check_equal(status, 0, f"exit status with {mechanism}: {err}")
    messages = server.wait_for_mail(count=3)
    check_equal(sum(b"\r\n\r\n.dot\r\n" in m for m in messages), 3, "messages with their dot")


def check_mbox(path, count):
    with open(path, "rb") as file:
        text = file.read()
    for number in range(1, count + 1):
        check_equal(text.count(b"Subject: number%d " % number), 1, f"copies of message {number} in {path}")
    check_equal(text.count(b"\n.dot\n") + text.count(b"\n.dot\r\n"), count, "dots")


@turns_red("server-dies-badly")
def test_mpop_fetches_and_deletes():
    need_tool("mpop")
    server = serving(3)
    host, port = server.services["pop3s"]
    box = os.path.join(scratch(), "mbox")
    status, _, err = run_program(["mpop", "-C", "/dev/null", f"--host={host}", f"--port={port}", "--tls=on", "--tls-starttls=off", "--tls-certcheck=off",
                                  f"--user={USER}", f"--passwordeval=echo {PASSWORD}", "--auth=scram-sha-256", f"--deliver=mbox,{box}", "--keep=off",
                                  f"--uidls-file={scratch()}/uidls"], env=home())
    check_equal(status, 0, f"exit status: {err}")
    check_mbox(box, 3)
    check_equal(server.mailbox(), [], "what is left")


@turns_red("server-dies-badly")
def test_fetchmail_fetches_and_deletes():
    need_tool("fetchmail")
    server = serving(3)
    host, port = server.services["pop3"]
    box = os.path.join(scratch(), "mbox")
    config = os.path.join(scratch(), "fetchmailrc")
    with open(config, "w") as file:
        file.write(f'poll {host} service {port} protocol POP3 uidl user "{USER}" password "{PASSWORD}" sslproto "TLS1.2+" no sslcertck fetchall '
                   f'mda "cat >>{box}"\n')
    os.chmod(config, 0o600)
    status, _, err = run_program(["fetchmail", "-f", config, "--nosyslog", "--pidfile", os.path.join(scratch(), "pid"), "--idfile", os.path.join(scratch(), "ids")], env=home())
    check_equal(status, 0, f"exit status: {err}")
    check_mbox(box, 3)
    check_equal(server.mailbox(), [], "what is left")


@turns_red("server-dies-badly")
def test_getmail_fetches_and_deletes():
    need_tool("getmail")
    server = serving(3)
    host, port = server.services["pop3s"]
    maildir, state = os.path.join(scratch(), "maildir"), os.path.join(scratch(), "state")
    os.makedirs(state)
    for part in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(maildir, part))
    config = os.path.join(scratch(), "getmailrc")
    with open(config, "w") as file:
        file.write(f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = {host}\nport = {port}\nusername = {USER}\npassword = {PASSWORD}\n"
                   f"[destination]\ntype = Maildir\npath = {maildir}/\n[options]\ndelete = true\n")
    os.chmod(config, 0o600)
    if os.getuid() == 0:
        for path in (maildir, *glob.glob(maildir + "/*"), config, state):
            shutil.chown(path, "nobody")
    status, _, err = run_program(["getmail", "--getmaildir", state, "--rcfile", config], env=home(), as_nobody=True)
    check_equal(status, 0, f"exit status: {err}")
    check_equal(len(glob.glob(os.path.join(maildir, "new", "*"))), 3, "files in the maildir")
    check_equal(server.mailbox(), [], "what is left")
