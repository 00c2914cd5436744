"""Starting, stopping, configuration, restart, control socket."""

import os
import pwd
import re
import signal
import subprocess

import faults
from lib import (
    POSTRIDERD, SERVICES, Failed, NextHop, Server, Skip, check, check_equal, make_message, new_address, run_program, scratch, slow, turns_red, wait_until)


@turns_red("mail-is-lost")
def test_serve_without_a_file_prints_its_services_and_then_ready():
    server = Server()
    server.start_with(["serve", "--data", server.data, "--domain", "fredsco.example", "--user", "sales:secret"])
    check_equal(sorted(server.services), sorted(SERVICES), "services that were printed")
    for host, port in server.services.values():
        check(host == "127.0.0.1" and port > 1023, f"loopback and unprivileged: {host}:{port}")
    session = server.submit_session()
    session.message("sales@fredsco.example", "sales@fredsco.example", make_message()[1])
    check_equal(len(server.wait_for_mail()), 1, "messages")


@turns_red("store-is-forgotten", "server-dies-badly")
def test_a_restart_keeps_queue_mailboxes_and_accounts():
    hop = NextHop(lambda verb, argument, session: "451 4.3.0 later" if verb == "MAIL" else None)
    server = Server(settings={"outbound": {"smart_host": f"{hop.address}:2525", "tls": "none"}}).start()
    session = server.submit_session()
    session.message("sales@fredsco.example", "barney@isp2.example", make_message(subject="queued")[1])
    session.message("sales@fredsco.example", "sales@fredsco.example", make_message(subject="local")[1])
    server.wait_for_mail()
    wait_until(lambda: any(verb == "MAIL" for verb, _ in hop.dialogue), "a first attempt")
    check_equal(server.stop(), 0, "exit status")
    hop.script = lambda verb, argument, session: None
    server.start()
    check(b"queued" in hop.wait_for(1)[0]["content"], "the queued message goes out")
    check_equal(len(server.wait_for_mail()), 1, "messages in the mailbox")
    wait_until(server.queue_is_empty, "an empty queue")


@turns_red("server-dies-badly")
def test_term_finishes_what_is_going_on_and_exits_0():
    server = Server().start()
    idle = server.smtp()
    busy = server.smtp()
    busy.command("EHLO client.example", 250)
    busy.command("MAIL FROM:<barney@isp2.example>", 250)
    busy.command("RCPT TO:<sales@fredsco.example>", 250)
    busy.command("DATA", 354)
    _, content = make_message()
    busy.send(content[:40])
    server.process.send_signal(signal.SIGTERM)
    idle.expect(421)
    check(idle.at_end(), "idle connections are closed")
    busy.send(content[40:] + b".\r\n")
    acknowledged = busy.reply().code == 250
    check_equal(server.wait(), 0, "exit status")
    server.start()
    if acknowledged:
        check_equal(len(server.wait_for_mail()), 1, "an acknowledged message is there")


@turns_red("server-dies-badly")
def test_term_waits_until_the_last_replies_are_out():
    server = Server(settings={"limits": {"idle_commands": 1000000, "commands_per_second": 0}}).start()
    session = server.smtp(narrow=True)
    fill_count = 500  # answered with some 200 KB: more than the kernels take, less than the server holds
    session.send(b"EHLO client.example\r\n" * fill_count + b"MAIL FROM:<barney@isp2.example>\r\nRCPT TO:<sales@fredsco.example>\r\nDATA\r\n" +
                 make_message()[1] + b".\r\n")
    wait_until(lambda: " queued " in server.log(), "the message to be stored")
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(0.5)
    except subprocess.TimeoutExpired:
        pass
    check(server.alive(), "the server waits for its client")
    for code in [250] * fill_count + [250, 250, 354]:
        session.expect(code)
    check("queued as" in str(session.expect(250)), "the reply to the message")
    session.expect(421)
    session.close()
    check_equal(server.wait(), 0, "exit status")


@turns_red("server-dies-badly")
def test_what_the_disk_has_not_taken_when_the_time_is_over_is_answered_when_it_has():
    disk = faults.Faults()
    server = Server(settings={"timeouts": {"drain": "50ms"}})
    disk.start(server)
    session = server.smtp()
    for command, code in (("EHLO client.example", 250), ("MAIL FROM:<barney@isp2.example>", 250), ("RCPT TO:<sales@fredsco.example>", 250), ("DATA", 354)):
        session.command(command, code)
    syncs = disk.counts()[1]
    disk.set(sync_ms=500)
    session.send(make_message()[1] + b".\r\n")
    wait_until(lambda: disk.counts()[1] > syncs, "a sync")
    server.process.send_signal(signal.SIGTERM)
    session.expect(250)
    session.expect(421)
    check_equal(server.wait(), 0, "exit status")


@turns_red("server-dies-badly")
def test_interrupt_ends_it_too():
    server = Server().start()
    server.process.send_signal(signal.SIGINT)
    check_equal(server.wait(), 0, "exit status")


BAD_CONFIGS = (
    ("an unknown key", 'data: D\ndomains: [fredsco.example]\nretyr:\n  first: 1s\n', 3, 1, "retyr"),
    ("a bad duration", 'data: D\ndomains: [fredsco.example]\nretry:\n  first: 3 parsecs\n', 4, 10, "first|parsecs"),
    ("a bad address", 'data: D\ndomains: [fredsco.example]\nlisten:\n  smtp: localhost:smtp\n', 4, 9, "localhost:smtp"),
    ("a bad domain", 'data: D\ndomains: ["not a domain"]\n', 2, 12, "not a domain"),
    ("bad YAML", 'data: D\ndomains: [fredsco.example\nlisten: {', None, None, ""),
    ("a missing key", 'domains: [fredsco.example]\n', None, None, "data"),
    ("a number out of range", 'data: D\ndomains: [fredsco.example]\nlimits:\n  recipients: 5\n', 4, 15, "recipients|100"),
    *((what, "data: D\ndomains: [fredsco.example]\noutbound:\n  tls_policies:\n" + text, 5, column, word) for what, text, column, word in (
        ("an unknown TLS policy", "    a.example: verfy\n", 16, "verify"),
        ("a TLS policy for no domain", "    \"a b\": verify\n", 6, "no domain"),
        ("a mode that is none", "    a.example: {mode: enfroce, mx: [b.example]}\n", 23, "enforce"),
        ("a policy without mode", "    a.example: {mx: [b.example]}\n", 5, "mode"),
        ("a policy without hosts", "    a.example: {mode: testing}\n", 5, "mx"),
        ("a star in the wrong place", "    a.example: {mode: enforce, mx: [\"b.*.example\"]}\n", 38, r"\*\. and a domain"),
        ("a pin that is too short", "    a.example: {mode: enforce, mx: [b.example], pins: [sha256/AAAA]}\n", 56, "32 bytes"),
    )),
)


@turns_red("server-dies-badly", "output-is-silent")
def test_a_bad_configuration_is_shown_with_place_and_caret_and_starts_nothing():
    for what, text, line, column, word in BAD_CONFIGS:
        path = os.path.join(scratch(), "bad.yaml")
        data = os.path.join(scratch(), "never-made")
        with open(path, "w") as file:
            file.write(text.replace("D\n", data + "\n", 1))
        status, out, err = run_program([POSTRIDERD, "serve", "--config", path])
        check_equal(status, 2, f"exit status for {what}")
        check_equal(out, "", f"nothing on stdout for {what}")
        place = f"{re.escape(path)}:{line or '[0-9]+'}:{column or '[0-9]+'}: "
        check(re.search(place, err), f"{what}: place {place} in {err!r}")
        check(re.search(word, err), f"{what}: {word} in {err!r}")
        check("^" in err or line is None, f"{what}: a caret in {err!r}")
        check(not os.path.exists(data), f"{what}: nothing was made")


@turns_red("output-is-silent")
def test_all_mistakes_are_shown_at_once():
    path = os.path.join(scratch(), "bad.yaml")
    with open(path, "w") as file:
        file.write("data: /nowhere\ndomains: [fredsco.example]\nretyr: 1\nlimits:\n  recipients: 5\n  hops: no\n")
    status, _, err = run_program([POSTRIDERD, "serve", "--config", path])
    check_equal(status, 2, "exit status")
    for line in (3, 5, 6):
        check(f"{path}:{line}:" in err, f"line {line} in {err!r}")


@turns_red("server-dies-badly", "output-is-silent")
def test_wrong_usage_exits_2_and_help_exits_0():
    for arguments in ([], ["nonsense"], ["serve", "--nonsense"], ["serve", "--config", "/does/not/exist"], ["queue"], ["queue", "nonsense"]):
        status, out, err = run_program([POSTRIDERD, *arguments])
        check_equal(status, 2, f"exit status of {arguments}")
        check(err or out, f"{arguments} says why")
    for arguments in (["--help"], ["serve", "--help"], ["queue", "list", "--help"], ["account", "add", "--help"], ["--version"]):
        status, out, _ = run_program([POSTRIDERD, *arguments])
        check_equal(status, 0, f"exit status of {arguments}")
        check(out, f"{arguments} prints")


@turns_red("server-agrees-to-all")
def test_a_second_server_on_the_same_data_or_port_refuses_to_start():
    server = Server().start()
    other = Server(data=server.data)
    try:
        other.start()
    except Failed:
        check(other.log(), "it says why")
    else:
        raise Failed("two servers on one data directory")
    third = Server(settings={"listen": {"smtp": f"{server.address}:2525"}})
    third.config["listen"]["smtp"] = f"{server.address}:2525"
    try:
        third.start()
    except Failed:
        check(re.search(r"2525", third.log()), "it names the address")
    else:
        raise Failed("two servers on one port")
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("FOO", (500, 502))


@turns_red("output-is-silent")
def test_the_queue_is_listed_shown_flushed_and_removed_from():
    hop = NextHop(lambda verb, argument, session: "451 4.3.0 later" if verb == "MAIL" else None)
    server = Server(settings={"outbound": {"smart_host": f"{hop.address}:2525", "tls": "none"}, "retry": {"first": "1h", "max": "1h", "expire": "1d"}}).start()
    session = server.submit_session()
    for name in ("first", "second"):
        session.message("sales@fredsco.example", f"{name}@isp2.example", make_message(subject=name)[1])

    def deferred():
        messages = server.queue()
        return len(messages) == 2 and all("451" in text for text in messages.values()) and messages

    messages = wait_until(deferred, "two deferred messages")
    first = next(number for number, text in messages.items() if "first@isp2.example" in text)
    second = next(number for number, text in messages.items() if "second@isp2.example" in text)
    status, out, _ = server.control("queue", "show", first)
    check_equal(status, 0, "exit status of queue show")
    check("first@isp2.example" in out and "451" in out, f"show tells the last reply: {out}")
    status, _, _ = server.control("queue", "remove", second)
    check_equal(status, 0, "exit status of queue remove")
    status, _, err = server.control("queue", "remove", second)
    check(status == 1 and err, "removing what is not there fails and says so")
    hop.script = lambda verb, argument, session: None
    status, _, _ = server.control("queue", "flush")
    check_equal(status, 0, "exit status of queue flush")
    message = hop.wait_for(1)[0]
    check_equal(message["to"], ["first@isp2.example"], "the other one goes out")
    wait_until(server.queue_is_empty, "an empty queue")
    check_equal(len(hop.messages), 1, "the removed one does not go out")


@turns_red("output-is-silent")
def test_accounts_are_added_listed_and_removed_while_it_runs():
    server = Server().start()
    path = os.path.join(scratch(), "password")
    with open(path, "w") as file:
        file.write("opensesame\n")
    status, _, _ = server.control("account", "add", "new@fredsco.example", "--password-file", path)
    check_equal(status, 0, "exit status of account add")
    status, out, _ = server.control("account", "list")
    check("new@fredsco.example" in out and "sales@fredsco.example" in out, f"accounts: {out}")
    server.users["new"] = "opensesame"
    session = server.submit_session("new")
    session.message("new@fredsco.example", "new@fredsco.example", make_message()[1])
    check_equal(len(server.wait_for_mail("new")), 1, "messages")
    status, _, _ = server.control("account", "remove", "new@fredsco.example")
    check_equal(status, 0, "exit status of account remove")
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.command("MAIL FROM:<barney@isp2.example>", 250)
    session.command("RCPT TO:<new@fredsco.example>", 550)
    status, _, err = server.control("account", "remove", "new@fredsco.example")
    check(status == 1 and err, "removing twice fails and says so")


@turns_red("output-is-silent")
def test_queue_commands_work_when_the_server_is_down():
    hop = NextHop(lambda verb, argument, session: "451 4.3.0 later" if verb == "MAIL" else None)
    server = Server(settings={"outbound": {"smart_host": f"{hop.address}:2525", "tls": "none"}}).start()
    session = server.submit_session()
    session.message("sales@fredsco.example", "barney@isp2.example", make_message()[1])
    wait_until(lambda: any(verb == "MAIL" for verb, _ in hop.dialogue), "a first attempt")
    check_equal(server.stop(), 0, "exit status")
    status, out, _ = server.control("queue", "list")
    check(status == 0 and "barney@isp2.example" in out, f"the message is listed: {out}")
    status, _, _ = server.control("queue", "remove", next(iter(server.queue())))
    check_equal(status, 0, "exit status of queue remove")
    server.start()
    check(server.queue_is_empty(), "the removed message stays removed")


@turns_red("server-dies-badly")
def test_root_gives_up_its_rights_and_can_still_reload():
    if os.getuid() != 0:
        raise Skip("only root has rights to give up")
    nobody = pwd.getpwnam("nobody")
    server = Server(settings={"user": "nobody", "listen": {"smtp": "placeholder"}})
    server.config["listen"]["smtp"] = f"{server.address}:25"
    server.start()
    with open(f"/proc/{server.pid()}/status") as file:
        status = file.read()
    uids = re.search(r"^Uid:\s+(.*)$", status, re.M).group(1).split()
    groups = re.search(r"^Groups:[ \t]*(.*)$", status, re.M).group(1).split()
    check_equal(set(uids), {str(nobody.pw_uid)}, "user ids")
    check("0" not in groups, f"supplementary groups {groups}")
    check_equal(server.services["smtp"][1], 25, "a privileged port")
    server.reload()
    session = server.smtp()
    session.command("EHLO client.example", 250)
    session.message("barney@isp2.example", "sales@fredsco.example", make_message()[1])
    check_equal(len(server.wait_for_mail()), 1, "messages")
    check_equal(server.stop(), 0, "exit status")


@slow
@turns_red("reload-is-ignored")
def test_hangup_reads_the_configuration_again():
    server = Server().start()
    server.config["aliases"] = {"info@fredsco.example": ["sales@fredsco.example"]}
    server.write_config()
    server.reload()

    def accepted():
        session = server.smtp()
        session.command("EHLO client.example", 250)
        session.command("MAIL FROM:<barney@isp2.example>", 250)
        code = session.command("RCPT TO:<info@fredsco.example>").code
        session.close()
        return code == 250

    wait_until(accepted, "the new alias", 10)
    with open(server.config_path, "w") as file:
        file.write("nonsense: [\n")
    server.reload()
    wait_until(lambda: server.config_path in server.log(), "a complaint about the file")
    check(server.alive() and accepted(), "a bad file changes nothing")


@turns_red("reload-is-ignored")
def test_what_a_reload_leaves_alone_is_named_with_the_way_to_change_it():
    server = Server().start()
    server.config["listen"]["smtp"] = f"{server.address}:2526"
    server.config["accounts"] = []
    server.write_config()
    server.reload()
    wait_until(lambda: "reloaded" in server.log(), "the end of the reload")
    log = server.log()
    check("reload-ignored key=listen why=\"needs a restart\"" in log, f"listen: {log}")
    check("reload-ignored key=accounts why=\"needs a restart, or postriderd account add and remove\"" in log, f"accounts: {log}")
    check("key=store" not in log and "key=dns" not in log, f"what stayed the same: {log}")
    server.smtp().command("NOOP", 250)


@turns_red("output-is-silent")
def test_an_account_whose_password_cannot_be_read_is_named():
    path = os.path.join(scratch(), "lonely.conf")
    with open(path, "w") as file:
        file.write(f"data: {scratch()}/data\ndomains: [fredsco.example]\nlisten: {{ smtp: '{new_address()}:2525' }}\n"
                   f"accounts:\n  - {{ address: sales@fredsco.example, password_file: {scratch()}/nowhere }}\n")
    status, out, err = run_program([POSTRIDERD, "serve", "--config", path], timeout_s=20)
    check_equal((status, out), (1, ""), "exit status and output")
    check(err == f"postriderd: sales@fredsco.example: {scratch()}/nowhere: open: No such file or directory\n", f"who and what: {err!r}")
