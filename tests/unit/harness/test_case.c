#include "harness/scenario/case.h"

#include "tests/unit/harness/exact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A whole good header, on lines 1 to 5; steps begin on line 6. */
#define HEAD                                                                                 \
	"case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: server\nneeds: smtp mailbox " \
	"PIPELINING\n"
#define RELAY "case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: client\nneeds: submission\n== verdict\n"
#define HOP RELAY "next-hop mx\n"
#define DANE \
	"case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: client\nneeds: submission dane\n== verdict\n"
#define POLICY                                                                                         \
	"case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: client\nneeds: submission mta-sts\n== " \
	"verdict\n"
#define HOST POLICY "policy-host mta-sts\n"
#define JUDGED "== verdict\nS: 250 ...\n"

static struct case_file *read_text(const char *text, struct buf *messages)
{
	struct exact e = exact_of(span_of(text));
	struct case_file *c = case_read(
		&(struct case_options){ .path = "t.case", .text = exact_span(e), .ret_messages = messages });

	exact_free(e);
	return c;
}

static void a_whole_case_is_read_as_written(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct case_file *c = read_text(
		HEAD
		"timeout: 3s\ntags: slow\n# a comment\n== greeting\nS: 220 ...  # hello\n"
		"C: EHLO x  # stays\nC2:\n== verdict\nS2: 250|25x single ${a} ... within 7s\n"
		"   has SIZE ${n}\n   else 4xx => inconclusive \"later\"\n   else close => fail \"gone\"\n"
		"C| \"a\\r\\n\\x00${rcpt}\" ~20ms~ \"$${b}\"\nstored ${rcpt} within 60s:\n   body == \"x\"\n"
		"   header Subject has \"y\"\n   count >= 2\nlet long = repeat 600 \"ab\"\nC: "
		"${long}\nclosed 2 within 1s\n",
		&messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(c);
	assert_string_equal(c->id, "a/b");
	assert_int_equal(c->service, CASE_SMTP);
	assert_true(c->needs_mailbox);
	assert_string_equal(c->keywords[0], "PIPELINING");
	assert_int_equal(c->timeout_ms, 3000);
	assert_true(case_has_tag(c, "slow"));
	assert_int_equal(c->section_count, 2);
	assert_false(c->sections[0].judges);
	assert_true(c->sections[1].judges);
	const struct case_step *s = c->steps;
	assert_int_equal(s[0].kind, CASE_EXPECT);
	assert_int_equal(s[0].within_ms, 3000);
	assert_int_equal(s[0].pattern.text.count, 1); /* the comment is none of it */
	assert_int_equal(s[1].segments[0].text.parts[0].text.n, strlen("EHLO x  # stays"));
	assert_int_equal(s[2].connection, 1);
	assert_int_equal(s[2].segments[0].text.count, 1); /* CRLF alone */
	assert_int_equal(s[3].within_ms, 7000);
	assert_true(s[3].pattern.single);
	assert_int_equal(s[3].pattern.code_count, 2);
	assert_int_equal(s[3].alternative_count, 2);
	assert_int_equal(s[3].alternatives[1].event, CASE_ON_CLOSE);
	assert_int_equal(s[3].alternatives[1].outcome, CASE_FAIL);
	assert_int_equal(s[3].checks[0].kind, CASE_CHECK_HAS);
	assert_true(s[4].segmented);
	assert_int_equal(s[4].segment_count, 2);
	assert_int_equal(s[4].segments[1].pause_ms, 20);
	assert_int_equal(s[4].segments[0].text.parts[0].text.n, 4);
	assert_int_equal(s[4].segments[0].text.parts[1].kind, CASE_PART_VARIABLE);
	assert_int_equal(s[4].segments[1].text.parts[0].kind, CASE_PART_LITERAL);
	assert_int_equal(s[5].kind, CASE_STORED);
	assert_int_equal(s[5].check_count, 3);
	assert_int_equal(s[6].times, 600);
	assert_int_equal(s[8].kind, CASE_CLOSED);
	assert_int_equal(s[8].connection, 1);
	assert_int_equal(s[8].within_ms, 1000);
	case_free(c);
	buf_free(&messages);
}

static void values_and_comparisons_are_read(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct case_file *c = read_text(
		HEAD "== a\nlet b = unbase64 \"eA==\"  # x\nlet p = scram-proof SHA-1 \"w\" \"s\" "
		     "\"${b}\" \"m\"\nlet u = binding tls-exporter 2\nmatch \"${b}\" r=${n},...\n"
		     "number \"${n}\" >= \"4096\"\n== verdict\nlength \"${u}\" <= \"70\"\n"
		     "   else other => pass \"why\"\nS: 250 ...\n   text has \"${p}\"\n   longest <= 512\n",
		&messages);

	assert_string_equal(buf_cstr(&messages), "");
	const struct case_step *s = c->steps;
	assert_int_equal(s[0].let, CASE_LET_UNBASE64);
	assert_int_equal(s[0].operand_count, 1);
	assert_int_equal(s[1].let, CASE_LET_SCRAM_PROOF);
	assert_string_equal(s[1].which, "SHA-1");
	assert_int_equal(s[1].operand_count, 4);
	assert_int_equal(s[1].operands[2].parts[0].kind, CASE_PART_VARIABLE);
	assert_int_equal(s[2].let, CASE_LET_BINDING);
	assert_string_equal(s[2].which, "tls-exporter");
	assert_int_equal(s[2].connection, 1);
	assert_int_equal(s[3].kind, CASE_MATCH);
	assert_int_equal(s[3].pattern.text.count, 4);
	assert_int_equal(s[4].kind, CASE_NUMBER);
	assert_int_equal(s[4].op, CASE_AT_LEAST);
	assert_int_equal(s[5].kind, CASE_LENGTH);
	assert_int_equal(s[5].op, CASE_AT_MOST);
	assert_int_equal(s[5].alternatives[0].outcome, CASE_PASS);
	assert_int_equal(s[6].checks[0].kind, CASE_CHECK_TEXT);
	assert_int_equal(s[6].checks[0].op, CASE_HAS);
	assert_int_equal(s[6].checks[1].kind, CASE_CHECK_LONGEST);
	case_free(c);
	buf_free(&messages);
}

static void a_case_of_a_relay_is_read_as_written(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct case_file *c = read_text(
		HOP "   at rcpt joe@ 2-4: 450 4.2.1 busy then close  # sometimes\n"
		    "   at final-dot: \"25\" ~20ms~ \"0 ok\\r\\n\"\n   at ehlo 3+: ~1s~ 250 x\n   offers "
		    "SIZE=9 DSN\n"
		    "   tls\nnext-hop far\n   absent\nzone far A ${mx.ip}\nzone www TIMEOUT 2s\nzone w "
		    "SERVFAIL 2\n"
		    "submit a@${zone} b@${zone} within 5s:\n   from <>\n   mail RET=HDRS\n   content \"x\"\n"
		    "   content \"y\"\nheard mx: RCPT TO:<${who}>... within 3s\n   then DATA\n   count == 2\n"
		    "connected mx before far\nnot queued within 2s\nbounced ${sender} within expire:\n   dsn "
		    "a@${zone} "
		    "Status == \"5.1.1\"\n"
		    "   valid\n",
		&messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(c);
	assert_int_equal(c->role, CASE_ROLE_CLIENT);
	assert_true(c->needs_mailbox);
	assert_int_equal(c->hop_count, 2);
	const struct case_hop *h = c->hops[0];
	assert_int_equal(h->departure_count, 3);
	assert_int_equal(h->departures[0].stage, CASE_AT_RCPT);
	assert_int_equal(h->departures[0].from_nth, 2);
	assert_int_equal(h->departures[0].count, 3);
	assert_int_equal(h->departures[0].act, CASE_ACT_CLOSE);
	assert_int_equal(h->departures[0].path.count, 1);
	assert_int_equal(h->departures[0].segments[0].text.parts[0].text.n, strlen("450 4.2.1 busy"));
	assert_true(h->departures[1].raw);
	assert_int_equal(h->departures[1].segments[1].pause_ms, 20);
	assert_int_equal(h->departures[2].count, 0);
	assert_int_equal(h->departures[2].pause_ms, 1000);
	assert_string_equal(h->offers[0], "SIZE 9");
	assert_int_equal(h->tls.kind, CASE_TLS_GOOD);
	assert_true(h->has_address);
	assert_true(c->hops[1]->absent);
	assert_false(c->hops[1]->has_address); /* a zone line says another */
	assert_false(c->says_mx);
	const struct case_step *s = c->steps;
	assert_int_equal(s[3].zone, CASE_ZONE_TIMEOUT);
	assert_int_equal(s[3].zone_ms, 2000);
	assert_int_equal(s[4].zone_count, 2);
	assert_int_equal(s[5].within_ms, 5000);
	assert_int_equal(s[5].submission->recipient_count, 2);
	assert_true(s[5].submission->has_from);
	assert_int_equal(s[5].submission->from.count, 0);
	assert_int_equal(s[5].submission->content.count, 2);
	assert_int_equal(s[6].within_ms, 3000);
	assert_int_equal(s[6].check_count, 2);
	assert_int_equal(s[6].checks[0].kind, CASE_CHECK_THEN);
	assert_true(s[7].has_other_hop);
	assert_int_equal(s[7].other_hop, 1);
	assert_int_equal(s[8].kind, CASE_NOT_QUEUED);
	assert_int_equal(s[8].within_ms, 2000);
	assert_int_equal(s[8].limit, CASE_LIMIT_SAID);
	assert_int_equal(s[7].limit, CASE_LIMIT_USUAL);
	assert_int_equal(s[9].limit, CASE_LIMIT_EXPIRE);
	assert_int_equal(s[9].checks[0].of.count, 2);
	assert_string_equal(s[9].checks[0].name, "Status");
	case_free(c);
	buf_free(&messages);
}

#define ALONE                                                                                            \
	"case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: client\nneeds: submission\ntags: alone\n" \
	"== verdict\n"

static void a_case_that_does_harm_is_read_as_written(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct case_file *c = read_text(
		ALONE
		"next-hop mx\n   ipv6\n   at final-dot 1: 250 2.0.0 ok then kill\n   at mail: kill\n"
		"   at rcpt: flood ~100ms~ \"250-x\\r\\n\"\nzone mx SERVFAIL AAAA\nzone mx TIMEOUT A 2s\n"
		"zone @ TRUNCATED\nzone @ FORGET\nzone many A nobody 300\nserver killed within 5s\n"
		"connected mx\n",
		&messages);

	assert_string_equal(buf_cstr(&messages), "");
	const struct case_hop *h = c->hops[0];
	assert_true(h->ipv6);
	assert_true(h->has_address);
	assert_true(h->departures[0].kills);
	assert_int_equal(h->departures[0].act, CASE_ACT_REPLY);
	assert_int_equal(h->departures[0].segments[0].text.parts[0].text.n, strlen("250 2.0.0 ok"));
	assert_true(h->departures[1].kills);
	assert_int_equal(h->departures[1].act, CASE_ACT_SILENCE);
	assert_int_equal(h->departures[2].act, CASE_ACT_FLOOD);
	assert_int_equal(h->departures[2].segments[0].pause_ms, 100);
	const struct case_step *s = c->steps;
	assert_int_equal(s[1].zone, CASE_ZONE_SERVFAIL);
	assert_string_equal(s[1].zone_type, "AAAA");
	assert_int_equal(s[2].zone, CASE_ZONE_TIMEOUT);
	assert_int_equal(s[2].zone_ms, 2000);
	assert_int_equal(s[3].zone, CASE_ZONE_TRUNCATED);
	assert_int_equal(s[4].zone, CASE_ZONE_FORGET);
	assert_int_equal(s[5].zone, CASE_ZONE_NOBODY);
	assert_int_equal(s[5].zone_count, 300);
	assert_int_equal(s[6].server, CASE_SERVER_KILLED);
	assert_int_equal(s[6].within_ms, 5000);
	case_free(c);
	buf_free(&messages);
}

static void lmtp_and_logins_of_a_next_hop_are_read_as_written(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct case_file *c =
		read_text("case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: client\nneeds: submission "
			  "lmtp-next-hop\n"
			  "== verdict\nnext-hop mx\n   lmtp\n   at final-dot ann@ 2: close\nnext-hop two\n"
			  "   login PLAIN SCRAM-SHA-256\n   scram foreign-nonce\n   at challenge 1: 334 x\n"
			  "   at auth: 535 5.7.8 no\nreceived mx\n",
			  &messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_string_equal(c->policy, "lmtp");
	assert_true(c->hops[0]->lmtp);
	assert_int_equal(c->hops[0]->departures[0].path.count, 1);
	assert_int_equal(c->hops[0]->departures[0].from_nth, 2);
	assert_null(c->hops[0]->login);
	assert_string_equal(c->hops[1]->login, "PLAIN SCRAM-SHA-256");
	assert_int_equal(c->hops[1]->scram, CASE_SCRAM_FOREIGN_NONCE);
	assert_int_equal(c->hops[1]->departures[0].stage, CASE_AT_CHALLENGE);
	assert_int_equal(c->hops[1]->departures[1].stage, CASE_AT_AUTH);
	case_free(c);
	buf_free(&messages);
}

static void tls_of_a_next_hop_is_read_as_written(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct case_file *c = read_text(
		DANE "next-hop mx\n   tls expired for *.${zone} b.example\n   tls-version 1.2\n"
		     "   at handshake 2+: \"x\" then close\n   at handshake: silence\n"
		     "next-hop plain\n   tls for a.example\n"
		     "next-hop limited\n   tls constrained-ca\n"
		     "zone _${port}._tcp.mx TLSA 3 1 1 ${mx.key.sha256}\nzone mx BOGUS 2\n"
		     "zone out UNSIGNED\nreceived mx:\n   under TLS\nreceived plain:\n   in the clear\n"
		     "secured mx within 3s:\n   count == 1\n   server-name == \"mx.${zone}\"\n",
		&messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_string_equal(c->policy, "dane");
	const struct case_hop *h = c->hops[0];
	assert_int_equal(h->tls.kind, CASE_TLS_EXPIRED);
	assert_int_equal(h->tls.name_count, 2);
	assert_string_equal(h->tls.version, "1.2");
	assert_int_equal(h->departures[0].stage, CASE_AT_HANDSHAKE);
	assert_int_equal(h->departures[0].act, CASE_ACT_CLOSE);
	assert_true(h->departures[0].raw);
	assert_int_equal(h->departures[1].act, CASE_ACT_SILENCE);
	assert_int_equal(c->hops[1]->tls.kind, CASE_TLS_GOOD);
	assert_int_equal(c->hops[2]->tls.kind, CASE_TLS_CONSTRAINED_CA);
	assert_true(h->has_address);
	const struct case_step *s = c->steps + 1;
	assert_int_equal(s[2].content.count, 3); /* the owner: "_", the port, and the rest */
	assert_int_equal(s[3].zone, CASE_ZONE_BOGUS);
	assert_int_equal(s[3].zone_count, 2);
	assert_int_equal(s[4].zone, CASE_ZONE_UNSIGNED);
	assert_int_equal(s[5].checks[0].kind, CASE_CHECK_TLS);
	assert_int_equal(s[5].checks[0].n, 1);
	assert_int_equal(s[6].checks[0].n, 0);
	assert_int_equal(s[7].kind, CASE_SECURED);
	assert_int_equal(s[7].within_ms, 3000);
	assert_int_equal(s[7].checks[1].kind, CASE_CHECK_SERVER_NAME);
	case_free(c);
	buf_free(&messages);
}

static void a_policy_host_is_read_as_written(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct case_file *c = read_text(
		HOST
		"   policy \"version: STSv1\\r\\n\"\n   policy \"mx: ${zone}\\r\\n\"\n   tls expired\n"
		"   tls-version 1.2\npolicy-host other\n   absent\nzone other A ${mta-sts.ip}\n"
		"policy-host mta-sts\n   status 302\n   type text/html; charset=utf-8\n"
		"   header Location: https://${zone}/x\n   header ETag: 1\npolicy-host mta-sts\n   silence\n"
		"asked mta-sts within 3s:\n   request == \"GET /x\"\n   header Host has \"a\"\n"
		"   server-name == \"mta-sts.${zone}\"\n   count <= 2\n   apart >= 5ms\nnot asked other\n",
		&messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(c);
	assert_string_equal(c->abilities[0], "mta-sts");
	assert_int_equal(c->policy_host_count, 2);
	assert_string_equal(c->policy_hosts[0]->name, "mta-sts");
	assert_int_equal(c->policy_hosts[0]->tls.kind, CASE_TLS_EXPIRED);
	assert_string_equal(c->policy_hosts[0]->tls.version, "1.2");
	assert_true(c->policy_hosts[0]->has_address);
	assert_false(c->policy_hosts[0]->absent);
	assert_int_equal(c->policy_hosts[1]->tls.kind, CASE_TLS_GOOD);
	assert_false(c->policy_hosts[1]->has_address);
	assert_true(c->policy_hosts[1]->absent);
	const struct case_step *s = c->steps;
	assert_int_equal(s[0].kind, CASE_POLICY_HOST);
	assert_int_equal(s[0].answer->status, 200);
	assert_string_equal(s[0].answer->media_type, "text/plain");
	assert_int_equal(s[0].answer->body.count, 4);
	assert_int_equal(s[1].policy_host, 1);
	assert_int_equal(s[3].policy_host, 0);
	assert_int_equal(s[3].answer->status, 302);
	assert_string_equal(s[3].answer->media_type, "text/html; charset=utf-8");
	assert_int_equal(s[3].answer->body.count, 0); /* nothing of what it said before */
	assert_int_equal(s[3].answer->field_count, 2);
	assert_string_equal(s[3].answer->fields[0].name, "Location");
	assert_int_equal(s[3].answer->fields[0].value.count, 3);
	assert_true(s[4].answer->silence);
	assert_int_equal(s[5].kind, CASE_ASKED);
	assert_int_equal(s[5].within_ms, 3000);
	assert_int_equal(s[5].checks[0].kind, CASE_CHECK_REQUEST);
	assert_int_equal(s[5].checks[1].kind, CASE_CHECK_HEADER);
	assert_int_equal(s[5].checks[1].op, CASE_HAS);
	assert_int_equal(s[5].checks[2].kind, CASE_CHECK_SERVER_NAME);
	assert_int_equal(s[5].checks[3].op, CASE_AT_MOST);
	assert_int_equal(s[6].kind, CASE_NOT_ASKED);
	assert_int_equal(s[6].policy_host, 1);
	case_free(c);
	buf_free(&messages);
}

static const struct wrong {
	const char *name, *text, *message;
} WRONG[] = {
	{ "key", "titel: x\n" HEAD JUDGED,
	  "t.case:1:1: error: unknown header line \"titel\"; did you mean \"title\"?" },
	{ "twice", HEAD "title: u\n" JUDGED, "6:1: error: \"title:\" stands here twice" },
	{ "no title", "case: a\nreq: RFC5321-1 MUST\nrole: server\nneeds: smtp\n" JUDGED,
	  "the header has no \"title:\"" },
	{ "level", "req: RFC5321-x MIGHT\n", "1:16: error: behind the requirement stands" },
	{ "need", "needs: smtp mailbx\n", "1:13: error: needs are services" },
	{ "no service", "needs: mailbox\n", "which service does the case speak to?" },
	{ "role", "role: relay\n", "the role is \"server\" or \"client\"" },
	{ "relay's step", HEAD "== a\nnext-hop mx\n",
	  "7:1: error: only a case with \"role: client\" has this" },
	{ "hop name", RELAY "next-hop Mx\n", "7:10: error: a next hop has a name" },
	{ "hop twice", RELAY "next-hop mx\nnext-hop mx\n", "8:10: error: there is a next hop of this name" },
	{ "no hop", RELAY "received mx\n", "7:10: error: no next hop above has this name" },
	{ "stage", HOP "   at rctp: close\n", "8:7: error: unknown stage \"rctp\"; did you mean \"rcpt\"?" },
	{ "times", HOP "   at rcpt 4-2: close\n", "8:12: error: which time? 2, 2-4 or 2+" },
	{ "place", HOP "   at data joe@: close\n", "8:12: error: it goes: at rcpt joe@ 2:" },
	{ "act", HOP "   at rcpt: cloze\n", "8:13: error: close, reset, silence, kill, flood, a reply" },
	{ "no act", HOP "   at rcpt:\n", "what happens there?" },
	{ "no colon", HOP "   at rcpt 450 busy\n", "8:7: error: it goes: at rcpt 2: 450" },
	{ "hop pause", HOP "   at rcpt: ~x~ 450 busy\n", "8:13: error: a pause is a duration" },
	{ "hop detail", HOP "   ofers SIZE\n",
	  "8:4: error: unknown way to depart \"ofers\"; did you mean \"offers\"?" },
	{ "offers twice", HOP "   offers SIZE\n   offers SIZE\n", "\"offers\" stands here twice" },
	{ "certificate", HOP "   tls bad\n", "8:8: error: unknown certificate \"bad\"" },
	{ "handshake", HOP "   at handshake: 450 busy\n", "8:18: error: close, reset, silence, or bytes" },
	{ "certificate twice", HOP "   tls\n   tls expired\n", "\"tls\" stands here twice" },
	{ "no names", HOP "   tls expired for\n", "for which names?" },
	{ "behind a certificate", HOP "   tls expired fro x\n", "8:16: error: nothing belongs here" },
	{ "version", HOP "   tls-version 1.0\n", "8:16: error: unknown version \"1.0\"" },
	{ "two policies", "needs: submission dane tls-verify\n", "a case has one" },
	{ "aliases into a login", "needs: submission lists login\n",
	  "1:1: error: aliases lead to no such domain" },
	{ "aliases by LMTP", "needs: lmtp-next-hop submission lists\n", "aliases lead to no such domain" },
	{ "a policy and a smart host", "needs: submission smart-host dane\n", "a case has one" },
	{ "bogus", RELAY "zone @ BOGUS\n", "7:8: error: only the zones of cases that need \"dane\"" },
	{ "unsigned for a time", DANE "zone @ UNSIGNED 2s\n", "7:17: error: this is for good" },
	{ "no certificate", HOP "zone x TLSA 3 1 1 ${mx.key}\n", "${mx.key} has no value here" },
	{ "under", HOP "bounced ${sender}:\n   under TLS\n", "came \"under TLS\" or \"in the clear\"" },
	{ "in what", HOP "received mx:\n   in the dark\n", "came \"under TLS\" or \"in the clear\"" },
	{ "server name", HOP "connected mx:\n   server-name == \"x\"\n",
	  "only a handshake has a server name" },
	{ "server name has", HOP "secured mx:\n   server-name has \"x\"\n", "it goes: server-name == " },
	{ "not secured", HOP "not secured mx\n", "\"not asked\" and \"not queued\"" },
	{ "policies for nobody", RELAY "policy-host mta-sts\n", "unless \"needs:\" names \"mta-sts\"" },
	{ "policy host's name", POLICY "policy-host a.b\n", "7:13: error: a policy host has a name" },
	{ "a hop's name", POLICY "next-hop mx\npolicy-host mx\n",
	  "8:13: error: there is a next hop of this name" },
	{ "a policy host's name", HOST "next-hop mta-sts\n",
	  "8:10: error: there is a policy host of this name" },
	{ "policy hosts",
	  POLICY "policy-host a\npolicy-host b\npolicy-host c\npolicy-host d\npolicy-host e\n",
	  "11:13: error: more than 4 policy hosts" },
	{ "status", HOST "   status 99\n", "8:11: error: which status? 200 to 599" },
	{ "media type", HOST "   type html\n", "8:9: error: which media type?" },
	{ "field", HOST "   header Location\n", "8:11: error: it goes: header Cache-Control" },
	{ "policy's detail", HOST "   polisy \"x\"\n",
	  "8:4: error: unknown detail of a policy host \"polisy\"; did you mean \"policy\"?" },
	{ "certificate of later", HOST "policy-host mta-sts\n   tls expired\n",
	  "9:1: error: this is said where the policy host first stands" },
	{ "gone later", HOST "policy-host mta-sts\n   absent\n", "where the policy host first stands" },
	{ "version of later", HOST "policy-host mta-sts\n   tls-version 1.2\n",
	  "where the policy host first stands" },
	{ "asked nobody", POLICY "asked mta-sts\n", "7:7: error: no policy host above has this name" },
	{ "asked with more", HOST "asked mta-sts once\n", "8:15: error: nothing belongs here" },
	{ "request of a hop", HOP "connected mx\n   request == \"x\"\n", "only a policy host has requests" },
	{ "field of a hop", HOP "heard mx: X\n   header Host == \"x\"\n", "only a policy host has requests" },
	{ "lines of a policy host", HOST "asked mta-sts\n   then DATA\n", "only of lines that are heard" },
	{ "checks of none", HOST "not asked mta-sts\n   count == 0\n", "can be checked that way" },
	{ "zone", RELAY "zone @\n", "7:6: error: it goes: zone @ MX 10 mx" },
	{ "lookups of a type", RELAY "zone @ SERVFAIL A 0\n",
	  "7:19: error: how long, as in 3s, or how many" },
	{ "times to forget", RELAY "zone @ FORGET 3\n", "7:15: error: this is for good" },
	{ "forgotten for a time", RELAY "zone @ FORGET 3s\n", "7:15: error: this is for good" },
	{ "a type forgotten", RELAY "zone @ FORGET AAAA\n",
	  "7:15: error: this is for good, and for all types" },
	{ "nobodies", RELAY "zone m A nobody 501\n", "7:16: error: how many addresses? 1 to 500" },
	{ "IPv6 in company", HOP "   ipv6\n", "8:1: error: a case with IPv6 is to be tagged alone" },
	{ "kill in company", HOP "   at rcpt: 250 x then kill\n",
	  "8:1: error: a case that does this to the server is to be tagged alone" },
	{ "flood of two", HOP "   at rcpt: flood \"a\" \"b\"\n", "8:19: error: it goes: flood" },
	{ "flood of nothing", HOP "   at rcpt: flood\n", "a \"quoted text\" is missing" },
	{ "killed by nobody",
	  "case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: server\nneeds: smtp\n"
	  "tags: alone\n== verdict\nserver killed\n",
	  "8:8: error: only a next hop kills it" },
	{ "lookups", RELAY "zone @ TIMEOUT 0\n", "7:16: error: how long, as in 3s, or how many lookups" },
	{ "nobody", RELAY "submit\n", "to whom?" },
	{ "submission", RELAY "submit a@b\n   form <>\n",
	  "8:4: error: unknown detail of a submission \"form\"" },
	{ "no line", HOP "heard mx:\n", "which line?" },
	{ "then", HOP "connected mx\n   then DATA\n", "only of lines that are heard" },
	{ "next", HOP "heard mx: DATA\n   next\n", "9:1: error: which line?" },
	{ "alone", HOP "connected mx\n   alone\n", "only a line that is heard can stand alone" },
	{ "ascii", HOP "connected mx\n   ascii\n", "only a line that is heard has characters" },
	{ "crlf", HOP "connected mx\n   crlf\n", "only a line that is heard has an end" },
	{ "awaited", HOP "connected mx\n   awaited\n", "only a line that is heard has a reply" },
	{ "greeted", HOP "heard mx: EHLO ...\n   greeted\n", "a greeting belongs to a connection" },
	{ "behind nothing", HOP "not heard mx: DATA\n   count == 2\n",
	  "only what comes behind it can be said" },
	{ "apart", HOP "heard mx: X\n   apart == 1s\n", "9:10: error: it goes: apart >= 200ms" },
	{ "dsn", HOP "received mx\n   dsn Status == \"x\"\n", "only a notification has such fields" },
	{ "unchanged", HOP "bounced ${sender}:\n   unchanged\n", "only of what a next hop received" },
	{ "unchanged from nothing", HOP "received mx\n   unchanged\n", "line 9: nothing was submitted" },
	{ "signed by nobody", HOP "submit a@b\nreceived mx\n   signed\n",
	  "line 10: no submission is signed" },
	{ "signed where", HOP "bounced ${sender}:\n   signed\n", "can still be signed" },
	{ "form of a signature", RELAY "submit a@b\n   signed nofws/simple\n",
	  "8:11: error: unknown form of header and body \"nofws/simple\"" },
	{ "read as", HOP "received mx\n   read-as one\n", "9:12: error: unknown aspect \"one\"" },
	{ "read where", HOP "bounced ${sender}:\n   read-as irregular\n", "how it came" },
	{ "count of none", HOP "not received mx\n   count == 0\n", "none is none" },
	{ "limit", RELAY "queued within expiry\n",
	  "7:15: error: a duration up to 30m belongs here, as in 30s; or \"expire\", \"delay\"" },
	{ "limit of a server", HEAD "== verdict\nS: 250 ... within expire\n",
	  "7:19: error: a duration up to 30m" },
	{ "speaks of a server", HEAD "speaks: LIMITS\n", "only a relay speaks to next hops" },
	{ "queued", RELAY "queued mx\n", "7:8: error: nothing belongs here" },
	{ "not", RELAY "not here\n", "\"not asked\" and \"not queued\"" },
	{ "zone of servers", HEAD "== a\nC: ${zone}\n", "${zone} has no value here" },
	{ "timeout", "timeout: 11m\n", "1:10: error: a duration up to 10m" },
	{ "tag", "tags: slwo\n", "did you mean \"slow\"?" },
	{ "nothing judged", HEAD "== a\nS: 220 ...\n", "nothing is judged" },
	{ "step before section", HEAD "S: 220 ...\n", "unknown header line \"S\"" },
	{ "code", HEAD "== verdict\nS: 2500 ...\n", "7:4: error: \"2500\" is no reply code" },
	{ "no text", HEAD "== verdict\nS: 250\n", "\"250 ...\" takes any text" },
	{ "blank", HEAD "== verdict\nC:x\n", "7:3: error: one blank stands" },
	{ "trailing", HEAD "== verdict\nC: x \n", "7:5: error: blanks at the end" },
	{ "CR", HEAD "== verdict\r\n", "6:11: error: a case file has LF alone" },
	{ "LMTP of who needs none", RELAY "next-hop mx\n   lmtp\n",
	  "only to cases that need \"lmtp-next-hop\"" },
	{ "recipient at the end of SMTP", RELAY "next-hop mx\n   at final-dot ann@: close\n",
	  "it goes: at rcpt joe@ 2:" },
	{ "mechanism", RELAY "next-hop mx\n   login PLAIN GSSAPI\n", "unknown mechanism \"GSSAPI\"" },
	{ "no mechanism", RELAY "next-hop mx\n   login\n", "by which mechanisms?" },
	{ "way of SCRAM", RELAY "next-hop mx\n   scram foreign-once\n", "did you mean \"foreign-nonce\"?" },
	{ "two policies",
	  "case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: client\nneeds: submission dane "
	  "lmtp-next-hop\n",
	  "a case has one" },
	{ "alias of who needs no lists", RELAY "submit ${alias}\n", "${alias} has no value here" },
	{ "alias of servers",
	  "case: a/b\ntitle: t\nreq: RFC5321-4.5.2-x MUST\nrole: server\nneeds: smtp lists\n== a\nC: "
	  "${alias2}\n",
	  "${alias2} has no value here" },
	{ "list of who needs none", HEAD "== a\nC: ${list}\n", "${list} has no value here" },
	{ "hidden by S:", HEAD "== verdict\nS: 250|5xx ...\n   else 550 => pass \"x\"\n",
	  "8:4: error: this never decides: what the S: line expects" },
	{ "hidden by another",
	  HEAD "== verdict\nS: 250 ...\n   else 5xx => pass \"x\"\n   else 55x => pass \"y\"\n",
	  "9:4: error: this never decides: an alternative above" },
	{ "hidden by other",
	  HEAD "== verdict\nS: 250 ...\n   else other => pass \"x\"\n   else timeout => pass \"y\"\n",
	  "9:4: error: this never decides: an alternative above" },
	{ "said twice", HOP "received mx\n   else timeout => pass \"x\"\n   else timeout => pass \"y\"\n",
	  "10:4: error: this never decides: an alternative above" },
	{ "unbound", HEAD "== verdict\nC: ${x}\n", "7:6: error: ${x} has no value here" },
	{ "variable", HEAD "== verdict\nC: ${x\n", "7:4: error: not a variable" },
	{ "escape", HEAD "== verdict\nC| \"\\q\"\n", "7:5: error: there are \\r" },
	{ "quote", HEAD "== verdict\nC| \"x\n", "the closing quote is missing" },
	{ "pause", HEAD "== verdict\nC| ~x~ \"a\"\n", "7:4: error: a pause is a duration" },
	{ "connection", HEAD "== verdict\nC9: x\n", "connections have numbers from 1 to 8" },
	{ "detail", HEAD "== verdict\nS: 250 ...\n   hsa SIZE\n",
	  "8:4: error: unknown detail \"hsa\"; did you mean \"has\"?" },
	{ "detail of nothing", HEAD "== verdict\n   has SIZE\n", "belongs to the step above it" },
	{ "fail early", HEAD "== a\nS: 250 ...\n   else 5xx => fail \"no\"\n",
	  "only a section \"== verdict\" can fail" },
	{ "outcome", HEAD "== verdict\nS: 250 ...\n   else 5xx => flail \"no\"\n", "did you mean \"fail\"?" },
	{ "arrow", HEAD "== verdict\nS: 250 ...\n   else 5xx fail\n", "it goes: else 4xx =>" },
	{ "mailbox", "needs: smtp\n== verdict\nstored ${rcpt}:\n", "\"needs:\" must name a mailbox" },
	{ "requirement", HEAD "== verdict RFC5321-other\n", "6:12: error: unknown requirement of this case" },
	{ "service", HEAD "== a\nconnect 2 pop3\n", "\"needs:\" does not name this service" },
	{ "let", HEAD "== a\nlet x \"y\"\n", "it goes: let name" },
	{ "repeat", HEAD "== a\nlet x = repeat 0 \"y\"\n", "how often? 1 to" },
	{ "way to make", HEAD "== a\nlet x = md6 \"y\"\n",
	  "7:9: error: unknown way to make a value \"md6\"; did you mean \"md5\"?" },
	{ "hash", HEAD "== a\nlet x = scram-proof SHA-257 \"a\" \"b\" \"c\" \"d\"\n",
	  "did you mean \"SHA-256\"?" },
	{ "too few operands", HEAD "== a\nlet x = scram-proof SHA-256 \"a\" \"b\" \"c\"\n",
	  "a \"quoted text\" belongs here" },
	{ "binding", HEAD "== a\nlet x = binding tls-uniq\n", "did you mean \"tls-unique\"?" },
	{ "binding of nothing", HEAD "== a\nlet x = binding tls-unique 9\n",
	  "connections have numbers from 1 to 8" },
	{ "no pattern", HEAD "== a\nmatch \"x\"\n", "a pattern belongs here" },
	{ "server in company", HEAD "== a\nserver kill\n", "7:1: error: a case that does this" },
	{ "server deed", HEAD "== a\nserver restart\n", "7:8: error: unknown deed \"restart\"" },
	{ "aspect", HEAD "== a\nstored x:\n   received zones\n", "unknown aspect \"zones\"" },
	{ "comparison", HEAD "== a\nnumber \"1\" > \"2\"\n", "7:12: error: == or >= or <= belongs here" },
	{ "length of nothing", HEAD "== a\nlength <= \"2\"\n", "a \"quoted text\" belongs here" },
	{ "TLS version", HEAD "== a\nconnect 2 tls1.1\n", "connections have numbers from 1 to 8" },
	{ "step", HEAD "== a\nstartls\n", "did you mean \"starttls\"?" },
	{ "UTF-8", HEAD "== a\nC: \xff\n", "the file is not UTF-8" },
};

static void every_mistake_is_told_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
		struct buf messages = { 0 };
		struct case_file *c = read_text(WRONG[i].text, &messages);
		if (c != NULL || strstr(buf_cstr(&messages), WRONG[i].message) == NULL)
			fail_msg("%s: wanted \"%s\", got \"%s\"", WRONG[i].name, WRONG[i].message,
				 buf_cstr(&messages));
		buf_free(&messages);
	}
}

static void the_place_of_a_file_is_its_name(void **state)
{
	(void)state;
	struct buf messages = { 0 };

	assert_null(case_read(&(struct case_options){
		.path = "t.case", .id = "a/c", .text = span_of(HEAD JUDGED), .ret_messages = &messages }));
	assert_non_null(strstr(buf_cstr(&messages), "the file's place makes its name \"a/c\""));
	buf_free(&messages);
}

static void a_file_beyond_the_limit_is_refused(void **state)
{
	(void)state;
	struct buf text = { 0 }, messages = { 0 };

	buf_add_cstr(&text, HEAD JUDGED);
	while (buf_bytes(&text) <= CASE_BYTES_MAX)
		buf_add_cstr(&text, "# more\n");
	assert_null(read_text(buf_cstr(&text), &messages));
	assert_non_null(strstr(buf_cstr(&messages), "more than"));
	buf_free(&text);
	buf_free(&messages);
}

static void more_steps_than_the_limit_are_refused(void **state)
{
	(void)state;
	struct buf text = { 0 }, messages = { 0 };

	buf_add_cstr(&text, HEAD JUDGED);
	for (int i = 1; i < CASE_STEPS_MAX; i++)
		buf_add_cstr(&text, "C: x\n");
	struct case_file *c = read_text(buf_cstr(&text), &messages);
	assert_non_null(c);
	case_free(c);
	buf_add_cstr(&text, "C: x\n");
	assert_null(read_text(buf_cstr(&text), &messages));
	assert_non_null(strstr(buf_cstr(&messages), "more than 1000 steps"));
	buf_free(&text);
	buf_free(&messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_case_is_read_as_written),
		cmocka_unit_test(values_and_comparisons_are_read),
		cmocka_unit_test(a_case_of_a_relay_is_read_as_written),
		cmocka_unit_test(a_case_that_does_harm_is_read_as_written),
		cmocka_unit_test(lmtp_and_logins_of_a_next_hop_are_read_as_written),
		cmocka_unit_test(tls_of_a_next_hop_is_read_as_written),
		cmocka_unit_test(a_policy_host_is_read_as_written),
		cmocka_unit_test(every_mistake_is_told_with_its_place),
		cmocka_unit_test(the_place_of_a_file_is_its_name),
		cmocka_unit_test(a_file_beyond_the_limit_is_refused),
		cmocka_unit_test(more_steps_than_the_limit_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
