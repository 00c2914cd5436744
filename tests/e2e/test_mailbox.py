"""postriderd mailbox: what was received, listed and copied out, with and without a server."""

import mailbox
import os

from lib import POSTRIDERD, Server, Skip, check, check_equal, run_program, scratch, turns_red, wait_until

USER = "sales@fredsco.example"
NOBODY = 65534
BODIES = (b"plain\r\n", b"From here\r\n>From there\r\n>>From far\r\nFrom\r\n>Fro\r\n>>\r\n From\r\nFrom \r\n", b"", b"\r\n\r\n",
          b"x" * 990 + b"\r\n", b"From the start\r\n" * 20000, "K\u00e4se\r\n".encode(), b"done\r\nfailed no\r\n")


def with_mail():
    server = Server(users={"sales": "secret", "info": "secret"}).start()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    for number, body in enumerate(BODIES):
        session.message("" if number == 2 else "barney@isp2.example", USER, f"Subject: {number}\r\n\r\n".encode() + body)
    session.quit()
    wait_until(server.queue_is_empty, "delivery")
    return server


def command(server, *words):
    return run_program([POSTRIDERD, "mailbox", *words, "--data", server.data])


def exported(server, format, name):
    """The messages as Python's own mailbox reads them."""
    path = os.path.join(scratch(), name)
    status, _, err = command(server, "export", USER, "--format", format, path)
    check_equal(status, 0, f"exit status ({err})")
    if format == "mbox":
        with open(path, "rb") as file:
            return path, from_mboxrd(file.read())
    new = os.path.join(path, "new")
    check_equal(len(mailbox.Maildir(path)), len(BODIES), "messages that Python finds")
    found = []
    for entry in os.listdir(new):
        with open(os.path.join(new, entry), "rb") as file:
            found.append(file.read())
    check(not os.listdir(os.path.join(path, "tmp")), "nothing is left in tmp")
    return path, found


def from_mboxrd(raw):
    found = []
    for line in raw.splitlines(keepends=True):
        if line.startswith(b"From "):
            check(not found or found[-1].endswith(b"\n\n"), "a blank line before a From line")
            words = line.split()
            check(len(words) == 7 and words[1] in (b"barney@isp2.example", b"MAILER-DAEMON"), f"the From line {line!r}")
            if found:
                found[-1] = found[-1][:-1]
            found.append(b"")
            continue
        if line.lstrip(b">").startswith(b"From "):
            line = line[1:]
        found[-1] += line
    found[-1] = found[-1][:-1]
    return found


@turns_red("mail-is-altered", "mail-is-lost", "output-is-silent")
def test_export_is_what_pop3_gives():
    server = with_mail()
    wanted = sorted(raw.replace(b"\r\n", b"\n") for raw in server.mailbox())
    check_equal(len(wanted), len(BODIES), "messages by POP3")
    check(b"sales@fredsco.example 8 messages" in listed(server).encode(), "the list")
    for round in ("running", "down"):
        for format in ("mbox", "maildir"):
            path, found = exported(server, format, f"{round}.{format}")
            check_equal(sorted(found), wanted, f"messages in {format}, server {round}")
            check_equal(os.stat(path).st_mode & 0o077, 0, "rights of others")
        if round == "running":
            check_equal(server.stop(), 0, "exit status")
            check("info@fredsco.example 0 messages 0 octets" in listed(server), "the list of a server that is down")


def listed(server):
    status, out, err = command(server, "list")
    check_equal(status, 0, f"exit status ({err})")
    return out


@turns_red("output-is-silent")
def test_export_overwrites_nothing_and_leaves_no_halves():
    server = with_mail()
    for format in ("mbox", "maildir"):
        path = os.path.join(scratch(), f"there.{format}")
        with open(path, "w") as file:
            file.write("mine")
        status, _, err = command(server, "export", USER, "--format", format, path)
        check(status == 1 and "exists" in err, f"{format}: {status} {err}")
        with open(path) as file:
            check_equal(file.read(), "mine", "what was there")
        path = os.path.join(scratch(), f"nobody.{format}")
        status, _, err = command(server, "export", "nobody@fredsco.example", "--format", format, path)
        check(status == 1 and "no such account" in err, f"{format}: {status} {err}")
        check(not os.path.exists(path), "nothing is left of a failed export")
    for words in (("export", USER), ("export", USER, "--format", "mbox"), ("list", USER), ("burn",), ("export", USER, "/tmp/x")):
        check_equal(command(server, *words)[0], 2, f"exit status of {words}")


@turns_red("output-is-silent")
def test_root_leaves_nothing_of_its_own_in_the_data_directory():
    """account add on the directory of a server that runs as another user."""
    if os.geteuid() != 0:
        raise Skip("only root can act for others")
    os.chmod(scratch(), 0o711)
    data = os.path.join(scratch(), "of-nobody")
    os.mkdir(data, 0o700)
    os.chown(data, NOBODY, NOBODY)
    environment = {**os.environ, "POSTRIDERD_PASSWORD": "secret"}
    status, _, err = run_program([POSTRIDERD, "account", "add", USER, "--data", data], env=environment)
    check_equal(status, 0, f"exit status ({err})")
    found = [os.path.join(directory, name) for directory, below, names in os.walk(data) for name in below + names]
    check(found, "there is a store")
    for path in found:
        check_equal(os.lstat(path).st_uid, NOBODY, f"owner of {path}")
    status, out, _ = run_program([POSTRIDERD, "account", "list", "--data", data], as_nobody=True)
    check(status == 0 and USER in out, f"its owner can read it: {status} {out}")
