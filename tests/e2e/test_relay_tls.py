"""TLS towards next hops: policies by destination, what a certificate must prove (RFC 3207, 8461, 9525), what the postmaster reads."""

import email
import re

from certs import Ca
import lib
from lib import (Dns, NextHop, Server, check, check_equal, make_message, slow, turns_red, wait_until)
from test_relay import BARNEY, submit, the_dsn

TEXT = {
    "no": "TLS is required, but the host does not offer it",
    "refuses": "not now",
    "breaks": "TLS handshake with",
    "foreign": "issued by \"Foreign CA\"",
    "misnamed": "hostname mismatch: the server of mx.{domain} showed certificate \"other.example\" for other.example, issued by \"Test CA\"",
    "expired": "certificate has expired: the server of mx.{domain} showed certificate \"mx.{domain}\" for mx.{domain}, issued by \"Test CA\", valid until ",
}
# policy: {kind of next hop: "tls", "clear", or "wait"}
POLICIES = {
    "none": {"good": "clear", "no": "clear"},
    "may": {"good": "tls", "no": "clear", "refuses": "clear", "breaks": "clear", "foreign": "tls"},
    "require": {"good": "tls", "no": "wait", "refuses": "wait", "breaks": "wait", "foreign": "tls"},
    "verify": {"good": "tls", "no": "wait", "refuses": "wait", "breaks": "wait", "foreign": "wait", "misnamed": "wait", "expired": "wait"},
}


class NoTls:
    """In place of a context: agrees to STARTTLS and goes on in the clear."""

    @staticmethod
    def wrap_socket(sock, server_side):
        sock.recv(4096)
        sock.sendall(b"500 5.5.1 what?\r\n")
        raise OSError("no TLS")


def hop_of(kind, domain, ca, foreign):
    script = (lambda verb, argument, session: "454 4.7.0 not now" if verb == "STARTTLS" else None) if kind == "refuses" else None
    context = {
        "no": lambda: None,
        "breaks": NoTls,
        "foreign": lambda: foreign.context(f"mx.{domain}"),
        "misnamed": lambda: ca.context("other.example"),
        "expired": lambda: ca.context(f"mx.{domain}", days=-1),
    }.get(kind, lambda: ca.context(f"mx.{domain}"))()
    return NextHop(script, tls=context)


def sender(dns, outbound, **settings):
    server = Server("isp2.example", {"barney": "rubble"}, {"dns": {"forwarder": dns.forwarder}, "outbound": outbound, **settings}, "isp2")
    return server.start()


def commands(hop):
    return [verb for verb, _ in hop.dialogue]


@slow
@turns_red("next-hop-is-deaf", "next-hop-is-an-impostor", "output-is-silent")
def test_each_policy_meets_each_kind_of_next_hop():
    ca, foreign, dns, hops, rules = Ca(), Ca("Foreign CA"), Dns(), {}, {}
    for policy, kinds in POLICIES.items():
        for kind in kinds:
            domain = f"{kind}.{policy}.example"
            hops[domain] = hop_of(kind, domain, ca, foreign)
            dns.add_host(domain, hops[domain].address)
        rules[f".{policy}.example"] = policy
    server = sender(dns, {"tls_ca": ca.path, "tls_policies": rules})
    for domain in hops:
        submit(server, f"fred@{domain}")
    for policy, kinds in POLICIES.items():
        for kind, wanted in kinds.items():
            domain = f"{kind}.{policy}.example"
            hop = hops[domain]
            if wanted == "wait":
                text = TEXT[kind].format(domain=domain)
                wait_until(lambda d=domain, t=text: any(d in line and t in line for line in server.queue().values()), f"{policy} meets {kind}: {text}")
                check("MAIL" not in commands(hop), f"{policy} meets {kind}: nothing is sent: {hop.dialogue}")
            else:
                hop.wait_for(1)
                check_equal(hop.messages[0]["tls"], wanted == "tls", f"TLS when {policy} meets {kind}")
    names = [argument for verb, argument in hops["good.verify.example"].dialogue if verb == "TLS"]
    check_equal(names[0], "mx.good.verify.example", "server name asked for")


def far_away(policy, certificate, ca, mx="mx.far.example", **settings):
    """A domain with one next hop, and a server with this policy for it."""
    dns, hop = Dns(), NextHop(tls=certificate)
    dns.records[("far.example", "MX")] = [(10, mx)]
    dns.records[(mx, "A")] = [hop.address]
    outbound = {"tls_ca": ca.path, "tls_policies": {"far.example": policy}}
    return sender(dns, outbound, **settings), hop, dns


def refused_with(server, text):
    wait_until(lambda: any(text in line for line in server.queue().values()), f"a deferral because of: {text}; {server.log()[-1500:]}")


@turns_red("next-hop-is-deaf", "next-hop-is-an-impostor")
def test_a_listed_host_with_the_right_name_and_key_gets_its_mail():
    ca = Ca()
    certificate = ca.certificate(["mx.far.example"])
    other = ca.certificate(["mx.far.example"])
    policy = {"mode": "enforce", "mx": ["mx.elsewhere.example", "*.far.example"], "pins": [other.pin(), certificate.pin()]}
    context = ca.context("mx.far.example") if lib.lens else certificate.context()
    server, hop, _ = far_away(policy, context, ca)
    submit(server, "fred@far.example")
    hop.wait_for(1)
    check(hop.messages[0]["tls"], "TLS")


@turns_red("output-is-silent", "next-hop-is-deaf")
def test_a_host_that_is_not_listed_or_has_another_key_gets_nothing_until_the_policy_changes():
    ca = Ca()
    pin = ca.certificate(["mx.far.example"]).pin()
    policy = {"mode": "enforce", "mx": ["mx.listed.example", "*.sub.far.example"]}
    server, hop, _ = far_away(policy, ca.context("mx.far.example"), ca)
    submit(server, "fred@far.example")
    refused_with(server, "mx.far.example: the host is not among those of the domain's TLS policy")
    check_equal(hop.sessions, 0, "connections to it")
    server.config["outbound"]["tls_policies"]["far.example"] = {"mode": "enforce", "mx": ["*.far.example"], "pins": [pin]}
    server.write_config()
    server.reload()
    refused_with(server, "no public key of the chain is among the pinned ones")
    check("MAIL" not in commands(hop), "nothing was sent")
    server.config["outbound"]["tls_policies"]["far.example"]["mode"] = "none"
    server.write_config()
    server.reload()
    hop.wait_for(1)


@turns_red("next-hop-is-deaf")
def test_a_policy_of_mode_testing_only_warns():
    ca, foreign = Ca(), Ca("Foreign CA")
    policy = {"mode": "testing", "mx": ["mx.listed.example"], "pins": [ca.certificate(["x.example"]).pin()]}
    server, hop, dns = far_away(policy, foreign.context("mx.far.example"), ca)
    plain = NextHop()
    submit(server, "fred@far.example")
    hop.wait_for(1)
    check(hop.messages[0]["tls"], "TLS")
    warnings = [line for line in server.log().splitlines() if " tls-policy-testing " in line]
    for word in ("not among those", "Foreign CA"):
        check(any(word in line and "host=mx.far.example" in line for line in warnings), f"a warning about {word}: {warnings}")
    dns.records[("mx.far.example", "A")] = [plain.address]
    hop.close()
    wait_until(lambda: not server.queue(), "an empty queue")
    server.kill()
    server.start()
    submit(server, "fred@far.example")
    plain.wait_for(1)
    wait_until(lambda: "there is no TLS" in server.log(), "a warning about clear text")


@turns_red("mail-is-lost")
def test_a_sender_hears_of_the_certificate_when_time_runs_out():
    ca = Ca()
    server, hop, _ = far_away("verify", Ca("Foreign CA").context("mx.far.example"), ca, retry={"first": "200ms", "max": "300ms", "expire": "1s"})
    submit(server, "fred@far.example")
    message, groups = the_dsn(server)
    check_equal([g["Final-Recipient"] for g in groups], ["rfc822; fred@far.example"], "who failed")
    check_equal(groups[0]["Status"], "4.7.5", "Status")
    check(b"mx.far.example showed certificate" in re.sub(rb"\r\n\s*", b" ", message), f"why, in {message.decode()}")
    check("MAIL" not in commands(hop), "nothing was sent")


@turns_red("next-hop-is-deaf", "next-hop-is-an-impostor")
def test_verify_passes_over_a_host_that_fails_and_takes_the_next():
    ca, dns = Ca(), Dns()
    bad, good = NextHop(tls=ca.context("other.example")), NextHop(tls=ca.context("mx2.far.example"))
    dns.records.update({("far.example", "MX"): [(10, "mx1.far.example"), (20, "mx2.far.example")],
                        ("mx1.far.example", "A"): [bad.address], ("mx2.far.example", "A"): [good.address]})
    server = sender(dns, {"tls_ca": ca.path, "tls": "verify"})
    submit(server, "fred@far.example")
    good.wait_for(1)
    check("MAIL" not in commands(bad), "nothing for the first")


@turns_red("reload-is-ignored", "next-hop-is-deaf")
def test_a_connection_made_under_another_policy_carries_nothing_more():
    ca = Ca()
    server, hop, _ = far_away("may", None, ca)
    server.config["outbound"]["idle"] = "60s"
    server.write_config()
    server.reload()
    wait_until(lambda: " reloaded " in server.log() or lib.lens == "reload-is-ignored", "the reload")
    submit(server, "fred@far.example")
    hop.wait_for(1)
    wait_until(server.queue_is_empty, "an empty queue")
    server.config["outbound"]["tls_policies"]["far.example"] = "require"
    server.write_config()
    before = server.log().count(" reloaded ")
    server.reload()
    wait_until(lambda: server.log().count(" reloaded ") > before or lib.lens == "reload-is-ignored", "the reload")
    submit(server, "fred@far.example")
    refused_with(server, "TLS is required, but the host does not offer it")
    check_equal(len(hop.messages), 1, "messages")


def submit_wishing(server, recipient, parameters="", header=b""):
    _, content = make_message(sender=BARNEY)
    session = server.submit_session("barney")
    session.command("EHLO client.example", 250)
    session.command(f"MAIL FROM:<{BARNEY}>{parameters}", 250)
    session.command(f"RCPT TO:<{recipient}>", 250)
    session.command("DATA", 354)
    session.send(header + content + b".\r\n")
    check_equal(session.reply().code, 250, "reply to the final dot")
    session.quit()


KEEPS = ("PIPELINING", "ENHANCEDSTATUSCODES", "REQUIRETLS")


@slow
@turns_red("next-hop-is-deaf", "next-hop-is-an-impostor")
def test_requiretls_goes_by_a_host_that_is_known_and_keeps_it():
    """RFC 8689 4.2.1; other mail goes by the first host."""
    ca, dns = Ca(), Dns()
    first = NextHop(tls=ca.context("mx1.far.example"))
    second = NextHop(tls=ca.context("mx2.far.example"), extensions=KEEPS)
    dns.records.update({("far.example", "MX"): [(10, "mx1.far.example"), (20, "mx2.far.example")],
                        ("mx1.far.example", "A"): [first.address], ("mx2.far.example", "A"): [second.address]})
    server = sender(dns, {"tls_ca": ca.path, "tls_policies": {"far.example": {"mode": "enforce", "mx": ["*.far.example"]}}})
    submit_wishing(server, "fred@far.example", " REQUIRETLS")
    second.wait_for(1)
    check(any(verb == "MAIL" and argument.endswith(" REQUIRETLS") for verb, argument in second.dialogue), f"REQUIRETLS goes along: {second.dialogue}")
    check("MAIL" not in commands(first), "nothing for the first host")
    submit(server, "fred@far.example")
    first.wait_for(1)
    check_equal(len(second.messages), 1, "messages by the second host")


@slow
@turns_red("mail-is-lost")
def test_requiretls_that_no_host_keeps_is_returned_at_once():
    ca, dns = Ca(), Dns()
    hops = {"plain.example": NextHop(extensions=KEEPS), "forgets.example": NextHop(tls=ca.context("mx.forgets.example")),
            "unknown.example": NextHop(tls=ca.context("mx.unknown.example"), extensions=KEEPS),
            "foreign.example": NextHop(tls=Ca("Foreign CA").context("mx.foreign.example"), extensions=KEEPS)}
    for domain, hop in hops.items():
        dns.add_host(domain, hop.address)
    listed = {domain: {"mode": "testing", "mx": [f"mx.{domain}"]} for domain in hops if domain != "unknown.example"}
    server = sender(dns, {"tls_ca": ca.path, "tls_policies": listed})
    for domain in hops:
        submit_wishing(server, f"fred@{domain}", " REQUIRETLS")
    statuses = {}
    for message in server.wait_for_mail("barney", len(hops)):
        parsed = email.message_from_bytes(message)
        group = parsed.get_payload()[1].get_payload()[1]
        statuses[group["Final-Recipient"].split("@")[1]] = group["Status"]
        check_equal(parsed.get_payload()[2].get_content_type(), "text/rfc822-headers", "only the header comes back (RFC 8689 5)")
    check_equal(statuses, {"plain.example": "5.7.10", "forgets.example": "5.7.30", "unknown.example": "5.7.10", "foreign.example": "5.7.10"}, "why")
    wait_until(server.queue_is_empty, "an empty queue")
    for domain, hop in hops.items():
        check("MAIL" not in commands(hop), f"nothing for {domain}")


@turns_red("next-hop-is-deaf", "output-is-silent")
def test_tls_required_no_overrides_what_the_domain_demands():
    ca = Ca()
    server, hop, _ = far_away({"mode": "enforce", "mx": ["mx.far.example"]}, None, ca)
    submit(server, "fred@far.example")
    refused_with(server, "TLS is required, but the host does not offer it")
    submit_wishing(server, "fred@far.example", header=b"TLS-Required: No\r\n")
    hop.wait_for(1)
    check_equal(len(hop.messages), 1, "messages")
    check(b"TLS-Required: No" in hop.messages[0]["content"], "the one with the field")


@turns_red("next-hop-is-deaf", "output-is-silent")
def test_a_policy_for_an_internationalised_domain_counts_however_it_is_written():
    ca, dns, hop = Ca(), Dns(), NextHop(extensions=("PIPELINING", "8BITMIME", "SMTPUTF8"))
    dns.add_host("xn--bcher-kva.example", hop.address)
    server = sender(dns, {"tls_ca": ca.path, "tls_policies": {"Bücher.example": "require"}})
    submit_wishing(server, "fred@bücher.example", " SMTPUTF8")
    refused_with(server, "TLS is required, but the host does not offer it")
    submit_wishing(server, "fred@xn--bcher-kva.example")
    check("MAIL" not in commands(hop), "nothing was sent")
    server.config["outbound"]["tls_policies"] = {}
    server.write_config()
    server.reload()
    hop.wait_for(2)
