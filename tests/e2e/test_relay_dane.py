"""DANE towards next hops (RFC 7672): what TLSA records demand, and what happens when they, or the answers around them, cannot be trusted."""

import hashlib
import os

import lib
from certs import Ca
from dnssec import PORT, SignedDns, Zone
from lib import POSTRIDERD, NextHop, Server, check, check_equal, new_address, run_program, scratch, slow, turns_red, wait_until
from test_relay import submit
from test_relay_tls import commands, refused_with

ZONE = "signed.example"


def tlsa(usage, selector, data, name, matching=1):
    return f"_{PORT}._tcp.{name} TLSA {usage} {selector} {matching} {hashlib.sha256(data).hexdigest()}"


class Far:
    """A domain in the signed zone with one mail exchanger and its certificate."""

    def __init__(self, name, ca, names=None, tls=True, mx=None):
        self.name = name
        self.domain = f"{name}.{ZONE}"
        self.mx = mx or f"mx.{name}"
        self.ca = ca
        self.certificate = ca.certificate(names or [f"{self.mx}.{ZONE}"])
        context = Ca("Impostor CA").certificate(names or [f"{self.mx}.{ZONE}"]).context() if lib.lens == "next-hop-is-an-impostor" else self.certificate.context()
        self.hop = NextHop(tls=context if tls else None)
        self.lines = [f"{name} MX 10 {self.mx}", f"{self.mx} A {self.hop.address}"]

    def key(self):
        return self.certificate.public_key()

    def add(self, *lines):
        self.lines += lines
        return self


def sender(dns, anchor, **outbound):
    settings = {"dns": {"forwarder": dns.forwarder, "trust_anchor": anchor}, "outbound": {"dane": True, **outbound}}
    return Server("isp2.example", {"barney": "rubble"}, settings, "isp2").start()


def world(*fars, extra=()):
    zone = Zone(ZONE, [line for far in fars for line in far.lines] + list(extra))
    dns = SignedDns(zone)
    return dns, zone


def sni(far):
    return [argument for verb, argument in far.hop.dialogue if verb == "TLS"]


@slow
@turns_red("next-hop-is-deaf", "next-hop-is-an-impostor", "signatures-are-stripped")
def test_a_host_that_matches_its_tlsa_records_gets_its_mail():
    ca = Ca()
    key = Far("key", ca, ["whatever.example"])  # 3 1 1: names and CA do not matter
    key.add(tlsa(3, 1, key.key(), key.mx))
    issuer = Far("issuer", ca)
    issuer.add(tlsa(2, 0, ca.der(), issuer.mx))
    by_domain = Far("domain", ca, [f"domain.{ZONE}"])  # RFC 7672 3.2.2: the next-hop domain is as good
    by_domain.add(tlsa(2, 0, ca.der(), by_domain.mx))
    several = Far("several", ca)
    several.add(tlsa(3, 1, b"another", several.mx), tlsa(3, 1, several.key(), several.mx))
    aliased = Far("aliased", ca)  # the records of an alias
    aliased.add(f"_{PORT}._tcp.{aliased.mx} CNAME shared", f"shared TLSA 3 1 1 {hashlib.sha256(aliased.key()).hexdigest()}")
    fars = (key, issuer, by_domain, several, aliased)
    dns, zone = world(*fars)
    server = sender(dns, zone.anchor)
    for far in fars:
        submit(server, f"fred@{far.domain}")
    for far in fars:
        far.hop.wait_for(1)
        check(far.hop.messages[0]["tls"], f"TLS for {far.name}")
        check_equal(sni(far)[0], f"{far.mx}.{ZONE}", "the TLSA base domain is the server name asked for")


@slow
@turns_red("next-hop-is-deaf", "output-is-silent", "signatures-are-stripped")
def test_a_host_that_does_not_match_gets_nothing_not_even_in_the_clear():
    ca = Ca()
    wrong = Far("wrong", ca).add(tlsa(3, 1, b"another key", "mx.wrong"))
    issuer = Far("issuer", Ca("Other CA")).add(tlsa(2, 0, ca.der(), "mx.issuer"))
    misnamed = Far("misnamed", ca, ["other.example"])
    misnamed.add(tlsa(2, 0, ca.der(), misnamed.mx))
    plain = Far("plain", ca, tls=False).add(tlsa(3, 1, b"any", "mx.plain"))
    unknown_plain = Far("unknownplain", ca, tls=False).add(tlsa(3, 1, b"any", "mx.unknownplain", matching=250))
    good = Far("good", ca)
    good.add(tlsa(3, 1, good.key(), good.mx))
    dns, zone = world(wrong, issuer, misnamed, plain, unknown_plain, good)
    server = sender(dns, zone.anchor)
    texts = {wrong: "No matching DANE TLSA records: the server of mx.wrong.signed.example showed certificate",
             issuer: "the server of mx.issuer.signed.example showed certificate",
             misnamed: "hostname mismatch: the server of mx.misnamed.signed.example",
             plain: "TLS is required, but the host does not offer it",
             unknown_plain: "TLS is required, but the host does not offer it"}
    for far in (*texts, good):
        submit(server, f"fred@{far.domain}")
    good.hop.wait_for(1)
    for far, text in texts.items():
        wait_until(lambda f=far, t=text: any(f.domain in line and t.lower() in line.lower() for line in server.queue().values()),
                   f"{far.name} waits because of: {text}")
        check("MAIL" not in commands(far.hop), f"nothing for {far.name}: {far.hop.dialogue}")


@turns_red("next-hop-is-deaf", "signatures-are-stripped")
def test_without_usable_or_secure_records_tls_is_as_before():
    ca = Ca()
    none = Far("none", ca, tls=False)  # a signed denial
    unknown = Far("unknown", Ca("Other CA"), ["other.example"]).add(tlsa(3, 1, b"any", "mx.unknown", matching=250))
    dns, zone = world(none, unknown)
    unsigned = NextHop()
    dns.add_host("unsigned.example", unsigned.address)
    dns.records[(f"_{PORT}._tcp.mx.unsigned.example", "TLSA")] = ["3 1 1 " + "00" * 32]
    server = sender(dns, zone.anchor)
    for domain in (none.domain, unknown.domain, "unsigned.example"):
        submit(server, f"fred@{domain}")
    none.hop.wait_for(1)
    check(not none.hop.messages[0]["tls"], "clear text where there are no records")
    unknown.hop.wait_for(1)
    check(unknown.hop.messages[0]["tls"], "records of an unknown kind still demand TLS")
    unsigned.wait_for(1)
    check(not any(kind == "TLSA" and "unsigned" in name for name, kind in dns.questions), "no question about TLSA in an unsigned zone")


@slow
@turns_red("next-hop-is-deaf", "output-is-silent")
def test_an_answer_that_does_not_validate_means_waiting():
    ca = Ca()
    fars = {name: Far(name, ca) for name in ("tlsa", "gone", "mx", "address", "servfail")}
    for name, far in fars.items():
        if name != "gone":
            far.add(tlsa(3, 1, far.key(), far.mx))
    dns, zone = world(*fars.values())
    question = f"_{PORT}._tcp.mx.%s.{ZONE}"
    dns.broken.add((question % "tlsa", "TLSA"))
    dns.stripped.update({(name, "NSEC") for name in zone.names if "gone" in name})  # a denial without signatures
    dns.stripped.add((fars["mx"].domain, "MX"))
    dns.broken.add((f"mx.address.{ZONE}", "A"))
    dns.failing.add(question % "servfail")
    server = sender(dns, zone.anchor)
    for far in fars.values():
        submit(server, f"fred@{far.domain}")
    texts = {"tlsa": question % "tlsa" + ": bogus: ", "gone": question % "gone" + ": bogus: ", "mx": fars["mx"].domain + ": bogus: ",
             "address": f"mx.address.{ZONE}: bogus: ", "servfail": question % "servfail" + ": the lookup for TLSA records failed"}
    for name, text in texts.items():
        wait_until(lambda d=fars[name].domain, t=text: any(d in line and t in line for line in server.queue().values()),
                   f"{name} waits because of: {text}; {server.log()[-2000:]}")
        check_equal(fars[name].hop.sessions, 0, f"connections to {name}")
    # Mended, it goes at once.
    dns.broken.clear()
    dns.stripped.clear()
    dns.failing.clear()
    for far in fars.values():
        far.hop.wait_for(1)


@turns_red("next-hop-is-deaf", "output-is-silent")
def test_with_the_wrong_trust_anchor_nothing_goes():
    far = Far("far", Ca())
    far.add(tlsa(3, 1, far.key(), far.mx))
    dns, zone = world(far)
    wrong = Zone(ZONE, far.lines).anchor
    server = sender(dns, wrong)
    submit(server, f"fred@{far.domain}")
    refused_with(server, f"{far.domain}: bogus: ")
    check_equal(far.hop.sessions, 0, "connections")
    server.stop()
    server.config["dns"]["trust_anchor"] = zone.anchor
    server.start()
    far.hop.wait_for(1)


@turns_red("next-hop-is-deaf", "signatures-are-stripped")
def test_a_host_whose_records_cannot_be_had_is_passed_over_for_the_next():
    ca = Ca()
    bad, good = Far("two", ca, mx="mx1.two"), Far("two", ca, mx="mx2.two")
    bad.add(tlsa(3, 1, bad.key(), bad.mx))
    good.lines[0] = f"two MX 20 {good.mx}"
    good.add(tlsa(3, 1, good.key(), good.mx))
    dns, zone = world(bad, good)
    dns.broken.add((f"_{PORT}._tcp.mx1.two.{ZONE}", "TLSA"))
    server = sender(dns, zone.anchor)
    submit(server, f"fred@two.{ZONE}")
    good.hop.wait_for(1)
    check_equal(bad.hop.sessions, 0, "connections to the other")


@slow
@turns_red("next-hop-is-deaf", "signatures-are-stripped", "next-hop-is-an-impostor")
def test_records_are_looked_for_behind_an_alias_and_then_in_front_of_it():
    """RFC 7672 2.2.2: secure aliases try both names, one into an unsigned zone only its own."""
    ca = Ca()
    behind, front, out = (Far(name, ca, [f"mx.{name}.{ZONE}"]) for name in ("behind", "front", "out"))
    for far in (behind, front):
        far.lines[1] = f"mx.{far.name} CNAME real.{far.name}"
        far.add(f"real.{far.name} A {far.hop.address}")
    out.lines[1] = "mx.out CNAME real.unsigned.example."
    wrong = tlsa(3, 1, b"wrong", "mx.behind")
    behind.add(tlsa(3, 1, behind.key(), "real.behind"), wrong)
    front.add(tlsa(3, 1, front.key(), "mx.front"))
    out.add(tlsa(3, 1, out.key(), "mx.out"))
    bad = Far("bad", ca)  # the records in front count although the address is unsigned
    bad.lines[1] = "mx.bad CNAME bad.unsigned.example."
    bad.add(tlsa(3, 1, b"wrong", "mx.bad"))
    dns, zone = world(behind, front, out, bad)
    dns.records[("real.unsigned.example", "A")] = [out.hop.address]
    dns.records[("bad.unsigned.example", "A")] = [bad.hop.address]
    server = sender(dns, zone.anchor)
    for far in (behind, front, out, bad):
        submit(server, f"fred@{far.domain}")
    for far, name in ((behind, f"real.behind.{ZONE}"), (front, f"mx.front.{ZONE}"), (out, f"mx.out.{ZONE}")):
        far.hop.wait_for(1)
        check(far.hop.messages[0]["tls"], f"TLS for {far.name}")
        check_equal(sni(far)[0], name, "the TLSA base domain")
    wait_until(lambda: "mx.bad.signed.example showed certificate" in server.log(), "the one that does not match")
    check("MAIL" not in commands(bad.hop), "nothing for it")


@turns_red("output-is-silent")
def test_a_trust_anchor_that_is_none_keeps_the_server_from_starting():
    path = os.path.join(scratch(), "anchor")
    for text, wanted in (("example. IN A 127.0.0.1\n", "no DS or DNSKEY"), ("this is no record\n", "anchor:1: "), (None, "No such file")):
        if text is None:
            os.unlink(path)
        else:
            with open(path, "w") as file:
                file.write(text)
        server = Server(settings={"dns": {"forwarder": f"{new_address()}@53"}, "outbound": {"dane": True}})
        server.config["dns"]["trust_anchor"] = path
        server.write_config()
        open(server.log_path, "w").close()
        status, _, err = run_program([POSTRIDERD, "serve", "--config", server.config_path])
        check_equal(status, 1, "exit status")
        check(path in err and wanted in err, f"{wanted} in {err!r}")
