/*
 * pop3_server: every row is a whole session: what the client sends and the
 * exact output.  Wishes leave a mark in braces in that output, so their order
 * is checked too.  Each row runs whole, by 7 and byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "reference-server/core/pop3_server.h"

enum { MESSAGES = 4 };

/* The third one cannot be read at all, the fourth only by half. */
static const char *const contents[MESSAGES] = {
	"A: b\r\n\r\n.\r\n..x\r\ny\r\n",
	"A: b\r\nC: d\r\n",
	"unreadable",
	"A: b\r\n\r\nhalf",
};

/* The dot that ends a line is none to stuff; the second has its UTF-8 in the body. */
static const char *const utf8_contents[] = { "Ab: \xe2\x82\xac.\r\n\r\ntext.\r\n",
					     "A: b\r\n\r\n\xc3\xa9\xc3\xa9\r\n\r\n" };

struct play {
	const char *const *contents;
	struct pop3_server s;
	struct buf out;
	struct pop3_message messages[MESSAGES];
	size_t step_bytes;
};

static void stream(struct play *p)
{
	uint32_t index = p->s.wanted_index;
	struct span content = span_of(p->contents[index]);

	if (index == 2) {
		pop3_server_content_failed(&p->s);
		return;
	}
	for (size_t at = 0; at < content.n; at += p->step_bytes) {
		struct span piece = span_sub(content, at, p->step_bytes);
		enum pop3_look seen = pop3_server_look(&p->s, piece, at + piece.n == content.n);
		if (seen == POP3_LOOK_REFUSED)
			return;
		if (seen == POP3_LOOK_CLEAR)
			break;
	}
	for (size_t at = 0; at < content.n; at += p->step_bytes)
		if (!pop3_server_content(&p->s, span_sub(content, at, p->step_bytes), false))
			return;
	if (index == 3)
		pop3_server_content_failed(&p->s);
	else
		assert_false(pop3_server_content(&p->s, (struct span){ NULL, 0 }, true));
}

static void log_in(struct play *p)
{
	buf_addf(&p->out, "{%.*s:%.*s}", SPAN_FMT(p->s.user), SPAN_FMT(p->s.password));
	if (span_eq(p->s.password, SPAN_LIT(" p  w ")))
		pop3_server_auth_succeed(&p->s);
	else
		pop3_server_auth_fail(&p->s, POP3_AUTH_BAD_CREDENTIALS);
}

static void authenticate(struct play *p)
{
	buf_addf(&p->out, "{%.*s%s%.*s}", SPAN_FMT(p->s.auth_mechanism), p->s.auth_response_given ? "=" : "",
		 SPAN_FMT(p->s.auth_response));
	if (!p->s.auth_response_given)
		pop3_server_auth_challenge(&p->s, (struct span){ NULL, 0 });
	else if (span_eq(p->s.auth_response, SPAN_LIT("Z29vZA==")))
		pop3_server_auth_succeed(&p->s);
	else if (span_eq(p->s.auth_response, SPAN_LIT("bW9yZQ==")))
		pop3_server_auth_challenge(&p->s, SPAN_LIT("Y2hhbGxlbmdl"));
	else
		pop3_server_auth_fail(&p->s, POP3_AUTH_MALFORMED);
}

static void open_mailbox(struct play *p)
{
	if (span_eq(p->s.user, SPAN_LIT("busy"))) {
		pop3_server_open_failed(&p->s, POP3_OPEN_IN_USE);
		return;
	}
	if (span_eq(p->s.user, SPAN_LIT("often"))) {
		pop3_server_open_failed(&p->s, POP3_OPEN_TOO_SOON);
		return;
	}
	if (span_eq(p->s.user, SPAN_LIT("utf8"))) {
		p->contents = utf8_contents;
		p->messages[0] =
			(struct pop3_message){ .octets = strlen(utf8_contents[0]), .uidl = SPAN_LIT("u1") };
		p->messages[1] =
			(struct pop3_message){ .octets = strlen(utf8_contents[1]), .uidl = SPAN_LIT("u2") };
		pop3_server_opened(&p->s, p->messages, 2);
		return;
	}
	if (span_eq(p->s.user, SPAN_LIT("empty"))) {
		pop3_server_opened(&p->s, NULL, 0);
		return;
	}
	for (uint32_t i = 0; i < MESSAGES; i++) {
		static const char *const uidls[MESSAGES] = { "u1", "u2", "u3", "u4" };
		p->messages[i] =
			(struct pop3_message){ .octets = strlen(contents[i]), .uidl = span_of(uidls[i]) };
	}
	pop3_server_opened(&p->s, p->messages, MESSAGES);
}

static void update(struct play *p)
{
	buf_add_cstr(&p->out, "{remove");
	for (uint32_t i = 0; i < MESSAGES; i++)
		if (p->messages[i].deleted)
			buf_addf(&p->out, " %u", i + 1);
	buf_add_cstr(&p->out, "}");
	pop3_server_updated(&p->s, !p->messages[3].deleted);
}

/* Answers what can be answered; true: closed. */
static bool serve(struct play *p, enum pop3_wish wish)
{
	size_t used;

	for (;;) {
		switch (wish) {
		case POP3_WISH_INPUT:
			return false;
		case POP3_WISH_LOGIN:
			log_in(p);
			break;
		case POP3_WISH_AUTH:
		case POP3_WISH_AUTH_STEP:
			authenticate(p);
			break;
		case POP3_WISH_AUTH_CANCELLED:
			buf_add_cstr(&p->out, "{cancelled}");
			break;
		case POP3_WISH_OPEN:
			open_mailbox(p);
			break;
		case POP3_WISH_STLS:
			buf_add_cstr(&p->out, "{tls}");
			pop3_server_tls_started(&p->s);
			break;
		case POP3_WISH_RETRIEVE:
			stream(p);
			break;
		case POP3_WISH_UPDATE:
			update(p);
			break;
		case POP3_WISH_CLOSE:
			buf_add_cstr(&p->out, "{close}");
			return true;
		case POP3_WISH_COUNT:
			fail();
		}
		wish = pop3_server_feed(&p->s, (struct span){ NULL, 0 }, &used);
	}
}

/* Shows the session all that is unread in an exactly sized block, and more as it comes. */
static void play(struct play *p, struct span client)
{
	size_t used = 0, have = 0;
	bool closed = false;

	pop3_server_greet(&p->s);
	while (have < client.n && !closed) {
		have = client.n - have < p->step_bytes ? client.n : have + p->step_bytes;
		bool more = true;
		while (more && !closed) {
			size_t n = have - used, used_now;
			char *block = malloc(n + (n == 0));
			assert_non_null(block);
			memcpy(block, client.p + used, n);
			enum pop3_wish wish = pop3_server_feed(&p->s, (struct span){ block, n }, &used_now);
			assert_true(used_now <= n);
			more = wish != POP3_WISH_INPUT;
			closed = serve(p, wish);
			used += used_now;
			free(block);
		}
	}
}

#define HELLO "+OK mx.example POP3 ready\r\n"
#define LOGIN "USER joe\r\nPASS  p  w \r\n"
#define LOGGED_IN HELLO "+OK\r\n{joe: p  w }+OK 4 messages (53 octets)\r\n"
#define CAPA_FRONT                                                                                         \
	"+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUTF8 USER\r\nLANG\r\nEXPIRE " \
	"NEVER\r\n"
#define CAPA_END "IMPLEMENTATION postriderd\r\n.\r\n"

enum { CLEAR, TLS, OPEN, LIMITED };
/* clang-format off */
static const struct row {
	const char *name;
	int protection; /* OPEN: no TLS, and none needed */
	const char *client;
	const char *out;
} rows[] = {
	{ "log in, look, leave", TLS, LOGIN "STAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nUIDL 2\r\nNOOP\r\nQUIT\r\n",
	  LOGGED_IN "+OK 4 53\r\n+OK 4 messages (53 octets)\r\n1 19\r\n2 12\r\n3 10\r\n4 12\r\n.\r\n+OK 2 12\r\n"
	  "+OK 4 messages (53 octets)\r\n1 u1\r\n2 u2\r\n3 u3\r\n4 u4\r\n.\r\n+OK 2 u2\r\n+OK\r\n+OK bye\r\n{close}" },
	{ "verbs in any case, blanks behind", TLS, "user joe \r\npass  p  w \r\nstat \r\nQuit\r\n",
	  LOGGED_IN "+OK 4 53\r\n+OK bye\r\n{close}" },
	{ "empty mailbox", TLS, "USER empty\r\nPASS  p  w \r\nSTAT\r\nLIST\r\nUIDL\r\nLIST 1\r\nQUIT\r\n",
	  HELLO "+OK\r\n{empty: p  w }+OK 0 messages (0 octets)\r\n+OK 0 0\r\n+OK 0 messages (0 octets)\r\n.\r\n"
	  "+OK 0 messages (0 octets)\r\n.\r\n-ERR no such message\r\n+OK bye\r\n{close}" },
	{ "RETR stuffs dots", TLS, LOGIN "RETR 1\r\nNOOP\r\n",
	  LOGGED_IN "+OK 19 octets\r\nA: b\r\n\r\n..\r\n...x\r\ny\r\n.\r\n+OK\r\n" },
	{ "TOP 0 is header and blank line", TLS, LOGIN "TOP 1 0\r\nNOOP\r\n", LOGGED_IN "+OK\r\nA: b\r\n\r\n.\r\n+OK\r\n" },
	{ "TOP counts body lines", TLS, LOGIN "TOP 1 2\r\nNOOP\r\n",
	  LOGGED_IN "+OK\r\nA: b\r\n\r\n..\r\n...x\r\n.\r\n+OK\r\n" },
	{ "TOP of more than there is", TLS, LOGIN "TOP 1 99999999999\r\nNOOP\r\n",
	  LOGGED_IN "+OK\r\nA: b\r\n\r\n..\r\n...x\r\ny\r\n.\r\n+OK\r\n" },
	{ "TOP of a header alone", TLS, LOGIN "TOP 2 0\r\nNOOP\r\n", LOGGED_IN "+OK\r\nA: b\r\nC: d\r\n.\r\n+OK\r\n" },
	{ "TOP without its numbers", TLS, LOGIN "TOP\r\nTOP 1\r\nTOP 1 x\r\nTOP 1 -1\r\nTOP x 1\r\nTOP 9 1\r\n",
	  LOGGED_IN "-ERR this command needs an argument\r\n-ERR TOP needs a message number and a number of lines\r\n"
	  "-ERR TOP needs a message number and a number of lines\r\n-ERR TOP needs a message number and a number of lines\r\n"
	  "-ERR not a message number\r\n-ERR no such message\r\n" },
	{ "a message that cannot be read", TLS, LOGIN "RETR 3\r\nNOOP\r\n",
	  LOGGED_IN "-ERR [SYS/TEMP] the message cannot be read now\r\n+OK\r\n" },
	{ "a message that breaks off must not look complete", TLS, LOGIN "DELE 1\r\nRETR 4\r\nQUIT\r\n",
	  LOGGED_IN "+OK\r\n+OK 12 octets\r\nA: b\r\n\r\nhalf{close}" },
	{ "DELE hides, QUIT removes", TLS, LOGIN "DELE 1\r\nDELE 1\r\nSTAT\r\nLIST\r\nUIDL 1\r\nRETR 1\r\nTOP 1 0\r\nDELE 3\r\nQUIT\r\n",
	  LOGGED_IN "+OK\r\n-ERR no such message\r\n+OK 3 34\r\n+OK 3 messages (34 octets)\r\n2 12\r\n3 10\r\n4 12\r\n.\r\n"
	  "-ERR no such message\r\n-ERR no such message\r\n-ERR no such message\r\n+OK\r\n{remove 1 3}+OK bye\r\n{close}" },
	{ "RSET brings them back", TLS, LOGIN "DELE 1\r\nDELE 2\r\nRSET\r\nSTAT\r\nQUIT\r\n",
	  LOGGED_IN "+OK\r\n+OK\r\n+OK\r\n+OK 4 53\r\n+OK bye\r\n{close}" },
	{ "removal fails", TLS, LOGIN "DELE 4\r\nQUIT\r\n",
	  LOGGED_IN "+OK\r\n{remove 4}-ERR [SYS/TEMP] some deleted messages not removed\r\n{close}" },
	{ "no QUIT, no removal", TLS, LOGIN "DELE 1\r\n", LOGGED_IN "+OK\r\n" },
	{ "QUIT at once", TLS, "QUIT\r\nSTAT\r\n", HELLO "+OK bye\r\n{close}" },
	{ "numbers that are none", TLS, LOGIN "LIST 0\r\nLIST 5\r\nLIST x\r\nLIST -1\r\nDELE 1 2\r\nRETR 4294967297\r\nRETR\r\n",
	  LOGGED_IN "-ERR no such message\r\n-ERR no such message\r\n-ERR not a message number\r\n-ERR not a message number\r\n"
	  "-ERR not a message number\r\n-ERR no such message\r\n-ERR this command needs an argument\r\n" },
	{ "empty lines, colons, nonsense", TLS, "\r\n:\r\n \r\nFOO\r\nUSERjoe\r\n\xff\xfe\r\nUSER\r\n",
	  HELLO "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n"
	  "-ERR unknown command\r\n-ERR unknown command\r\n-ERR this command needs an argument\r\n" },
	{ "commands of the other state", TLS, "STAT\r\nRETR 1\r\nNOOP\r\n" LOGIN "USER x\r\nPASS y\r\nAUTH PLAIN\r\nSTLS\r\n",
	  HELLO "-ERR not in this state\r\n-ERR not in this state\r\n-ERR not in this state\r\n"
	  "+OK\r\n{joe: p  w }+OK 4 messages (53 octets)\r\n-ERR not in this state\r\n-ERR not in this state\r\n"
	  "-ERR not in this state\r\n-ERR not in this state\r\n" },
	{ "wrong password, then right", TLS, "USER joe\r\nPASS x\r\n" LOGIN,
	  HELLO "+OK\r\n{joe:x}-ERR [AUTH] wrong name or password\r\n+OK\r\n{joe: p  w }+OK 4 messages (53 octets)\r\n" },
	{ "PASS needs USER right before it", TLS, "PASS x\r\nUSER joe\r\nCAPAX\r\nPASS x\r\nUSER joe\r\nPASS\r\nPASS x\r\n",
	  HELLO "-ERR USER comes first\r\n+OK\r\n-ERR unknown command\r\n-ERR USER comes first\r\n+OK\r\n"
	  "-ERR this command needs an argument\r\n-ERR USER comes first\r\n" },
	{ "mailbox in use", TLS, "USER busy\r\nPASS  p  w \r\nPASS  p  w \r\nSTAT\r\n",
	  HELLO "+OK\r\n{busy: p  w }-ERR [IN-USE] another session has the mailbox\r\n-ERR USER comes first\r\n-ERR not in this state\r\n" },
	{ "no plaintext login in clear", CLEAR, "USER joe\r\nPASS  p  w \r\nAUTH PLAIN Z29vZA==\r\n",
	  HELLO "-ERR plaintext logins need TLS\r\n-ERR USER comes first\r\n-ERR no such mechanism here\r\n" },
	{ "unless allowed", OPEN, LOGIN, LOGGED_IN },
	{ "STLS forgets the user", OPEN, "USER joe\r\nSTLS\r\nPASS  p  w \r\nSTLS\r\n",
	  HELLO "+OK\r\n+OK begin TLS\r\n{tls}-ERR USER comes first\r\n-ERR TLS is active already\r\n" },
	{ "CAPA in clear, under TLS, logged in", CLEAR, "CAPA\r\nSTLS\r\nCAPA\r\n" LOGIN "CAPA\r\n",
	  HELLO CAPA_FRONT "SASL SCRAM-SHA-256\r\nSTLS\r\n" CAPA_END "+OK begin TLS\r\n{tls}"
	  CAPA_FRONT "USER\r\nSASL SCRAM-SHA-256 PLAIN\r\n" CAPA_END
	  "+OK\r\n{joe: p  w }+OK 4 messages (53 octets)\r\n" CAPA_FRONT "USER\r\nSASL SCRAM-SHA-256 PLAIN\r\n" CAPA_END },
	{ "AUTH with initial response", TLS, "AUTH plain Z29vZA==\r\nSTAT\r\n",
	  HELLO "{plain=Z29vZA==}+OK 4 messages (53 octets)\r\n+OK 4 53\r\n" },
	{ "AUTH without", TLS, "AUTH PLAIN\r\nZ29vZA==\r\n",
	  HELLO "{PLAIN}+ \r\n{=Z29vZA==}+OK 4 messages (53 octets)\r\n" },
	{ "AUTH in several steps", CLEAR, "AUTH SCRAM-SHA-256 bW9yZQ==\r\nbW9yZQ==\r\n\r\nAUTH SCRAM-SHA-256\r\n*\r\n",
	  HELLO "{SCRAM-SHA-256=bW9yZQ==}+ Y2hhbGxlbmdl\r\n{=bW9yZQ==}+ Y2hhbGxlbmdl\r\n{=}"
	  "-ERR not a message of this mechanism\r\n{SCRAM-SHA-256}+ \r\n-ERR cancelled\r\n{cancelled}" },
	{ "AUTH with an empty initial response", TLS, "AUTH PLAIN =\r\n", HELLO "{PLAIN=}-ERR not a message of this mechanism\r\n" },
	{ "AUTH with bad base64", TLS, "AUTH PLAIN =AAA\r\nAUTH PLAIN \r\nA=BC\r\nSTAT\r\nAUTH PLAIN Z29vZA== x\r\n",
	  HELLO "-ERR the initial response is not base64\r\n{PLAIN}+ \r\n-ERR the response is not base64\r\n{cancelled}"
	  "-ERR not in this state\r\n-ERR the initial response is not base64\r\n" },
	{ "AUTH of unknown or no mechanism", TLS, "AUTH\r\nAUTH X\r\nAUTH SCRAM\r\n",
	  HELLO "-ERR this command needs an argument\r\n-ERR no such mechanism here\r\n-ERR no such mechanism here\r\n" },
	{ "bare LF is never a line end", TLS, "USER joe\nPASS  p  w \r\nQUIT\r\n",
	  HELLO "-ERR lines end with CRLF\r\n+OK bye\r\n{close}" },
	{ "bare CR neither", TLS, "QUIT\rQUIT\r\nQUIT\r\n", HELLO "-ERR lines end with CRLF\r\n+OK bye\r\n{close}" },
	{ "bare LF within AUTH", TLS, "AUTH PLAIN\r\nZ29v\nZA==\r\nQUIT\r\n",
	  HELLO "{PLAIN}+ \r\n-ERR lines end with CRLF\r\n{cancelled}+OK bye\r\n{close}" },
	{ "the error limit ends it", TLS, "A\r\nB\r\nC\r\nD\r\nE\r\nF\r\nG\r\nH\r\nI\r\nNOOP\r\n",
	  HELLO "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n"
	  "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n{close}" },
	{ "UTF8 is for AUTHORIZATION", TLS, "UTF8 x\r\nutf8\r\n" LOGIN "UTF8\r\n",
	  HELLO "-ERR this command has no argument\r\n+OK UTF-8 it is\r\n"
	  "+OK\r\n{joe: p  w }+OK 4 messages (53 octets)\r\n-ERR not in this state\r\n" },
	{ "no STLS behind UTF8", CLEAR, "UTF8\r\nSTLS\r\n", HELLO "+OK UTF-8 it is\r\n-ERR STLS comes before UTF8\r\n" },
	{ "LANG lists, chooses, refuses, in both states", TLS, "LANG\r\nLANG EN\r\nLANG *\r\nLANG i-default\r\nLANG de\r\n" LOGIN "LANG en-GB\r\nLANG en\r\n",
	  HELLO "+OK languages\r\nen English\r\ni-default English\r\n.\r\n+OK en English it is\r\n+OK en English it is\r\n"
	  "+OK i-default English it is\r\n-ERR that language is not spoken here\r\n"
	  "+OK\r\n{joe: p  w }+OK 4 messages (53 octets)\r\n-ERR that language is not spoken here\r\n+OK en English it is\r\n" },
	{ "UTF-8 in a header needs UTF8", TLS, "USER utf8\r\nPASS  p  w \r\nRETR 1\r\nTOP 1 0\r\nRETR 2\r\nNOOP\r\nQUIT\r\n",
	  HELLO "+OK\r\n{utf8: p  w }+OK 2 messages (35 octets)\r\n"
	  "-ERR [UTF8] this message is for sessions that began with UTF8\r\n"
	  "-ERR [UTF8] this message is for sessions that began with UTF8\r\n"
	  "+OK 16 octets\r\nA: b\r\n\r\n\xc3\xa9\xc3\xa9\r\n\r\n.\r\n+OK\r\n+OK bye\r\n{close}" },
	{ "and goes as it is behind it", TLS, "UTF8\r\nUSER utf8\r\nPASS  p  w \r\nRETR 1\r\n",
	  HELLO "+OK UTF-8 it is\r\n+OK\r\n{utf8: p  w }+OK 2 messages (35 octets)\r\n+OK 19 octets\r\nAb: \xe2\x82\xac.\r\n\r\ntext.\r\n.\r\n" },
	{ "too soon after the last login", TLS, "USER often\r\nPASS  p  w \r\nSTAT\r\n",
	  HELLO "+OK\r\n{often: p  w }-ERR [LOGIN-DELAY] too soon after the last login\r\n-ERR not in this state\r\n" },
	{ "CAPA says what was configured", LIMITED, "CAPA\r\n",
	  HELLO "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUTF8 USER\r\nLANG\r\nEXPIRE 30\r\nLOGIN-DELAY 120\r\nUSER\r\n" CAPA_END },
	{ "so many failed logins end it", LIMITED, "USER joe\r\nPASS x\r\nUSER joe\r\nPASS x\r\nNOOP\r\n",
	  HELLO "+OK\r\n{joe:x}-ERR [AUTH] wrong name or password\r\n+OK\r\n{joe:x}-ERR [AUTH] wrong name or password\r\n{close}" },
	{ "no input", TLS, "", HELLO },
};
/* clang-format on */

static const struct pop3_server_config configs[] = {
	[CLEAR] = { .host = { "mx.example", 10 },
		    .error_count_max = 8,
		    .offer_stls = true,
		    .mechanisms_clear = { "SCRAM-SHA-256", 13 },
		    .mechanisms_tls = { "SCRAM-SHA-256 PLAIN", 19 } },
	[TLS] = { .host = { "mx.example", 10 },
		  .error_count_max = 8,
		  .offer_stls = true,
		  .mechanisms_tls = { "SCRAM-SHA-256 PLAIN", 19 } },
	[LIMITED] = { .host = { "mx.example", 10 },
		      .login_without_tls = true,
		      .auth_failure_count_max = 2,
		      .expire_days = 30,
		      .login_delay_s = 120 },
	[OPEN] = { .host = { "mx.example", 10 }, .offer_stls = true, .login_without_tls = true },
};

static struct play *play_new(int protection, size_t step_bytes)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->contents = contents;
	p->step_bytes = step_bytes;
	pop3_server_init(&p->s, &configs[protection], &p->out, protection == TLS);
	return p;
}

static void play_free(struct play *p)
{
	buf_free(&p->out);
	free(p);
}

static void sessions_answer_as_written(void **state)
{
	static const size_t steps[] = { 100000, 7, 1 };
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t k = 0; k < 3; k++) {
			struct play *p = play_new(rows[i].protection, steps[k]);

			play(p, span_of(rows[i].client));
			if (strcmp(buf_cstr(&p->out), rows[i].out) != 0)
				fail_msg("%s (step %zu): got\n%s\nwanted\n%s", rows[i].name, steps[k],
					 buf_cstr(&p->out), rows[i].out);
			play_free(p);
		}
}

/* "USER xxx...": n bytes with CRLF. */
static void send_long(struct play *p, const char *front, size_t line_bytes, const char *end)
{
	struct buf in = { 0 };

	buf_add_cstr(&in, front);
	size_t head = strrchr(front, '\n') != NULL ? (size_t)(strrchr(front, '\n') - front) + 1 : 0;
	while (buf_bytes(&in) - head < line_bytes - 2)
		buf_add_cstr(&in, "A");
	buf_add_cstr(&in, "\r\n");
	buf_add_cstr(&in, end);
	play(p, buf_span(&in));
	buf_free(&in);
}

/* What is UTF-8 (RFC 3629 3 and 4), whole and cut anywhere; what is not was never right and stops nothing. */
static void only_well_formed_utf8_in_the_header_needs_the_mode(void **state)
{
	static const struct {
		const char *content;
		enum pop3_look seen;
	} looks[] = {
		{ "A: b\r\n\r\n\xc3\xa9", POP3_LOOK_CLEAR },
		{ "A: b\r\n", POP3_LOOK_CLEAR },
		{ "\r\n\xc3\xa9\r\n", POP3_LOOK_CLEAR },
		{ "A: \xc3\xa9\r\n\r\n", POP3_LOOK_REFUSED },
		{ "A: \xe2\x82\xac", POP3_LOOK_REFUSED },
		{ "A: \xf0\x9f\x98\x80\r\n", POP3_LOOK_REFUSED },
		{ "A: \xc3\xc3\xa9\r\n\r\n", POP3_LOOK_REFUSED },
		{ "A: \xe9t\xe9 \xc3\r\n\r\n", POP3_LOOK_CLEAR },        /* ISO 8859-1 */
		{ "A: \xc0\xaf \xe0\x80\xaf\r\n\r\n", POP3_LOOK_CLEAR }, /* overlong */
		{ "A: \xed\xa0\x80\r\n\r\n", POP3_LOOK_CLEAR },          /* a surrogate */
		{ "A: \xf4\x90\x80\x80\r\n\r\n", POP3_LOOK_CLEAR },      /* beyond 10FFFF */
	};
	(void)state;

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		for (size_t step = 1; step <= 32; step += 31) {
			struct play *p = play_new(TLS, 1000);
			struct span content = span_of(looks[i].content);
			enum pop3_look seen = POP3_LOOK_MORE;
			size_t used;

			play(p, SPAN_LIT(LOGIN));
			assert_int_equal(pop3_server_feed(&p->s, SPAN_LIT("RETR 1\r\n"), &used),
					 POP3_WISH_RETRIEVE);
			for (size_t at = 0; at < content.n && seen == POP3_LOOK_MORE; at += step)
				seen = pop3_server_look(&p->s, span_sub(content, at, step),
							at + step >= content.n);
			if (seen != looks[i].seen)
				fail_msg("row %zu, step %zu: %d", i, step, seen);
			play_free(p);
		}
}

static void command_lines_may_have_255_bytes(void **state)
{
	struct play *p = play_new(TLS, 100);
	(void)state;

	send_long(p, "USER ", 255, "QUIT\r\n");
	assert_string_equal(buf_cstr(&p->out), HELLO "+OK\r\n+OK bye\r\n{close}");
	play_free(p);
	p = play_new(TLS, 100);
	send_long(p, "USER ", 256, "QUIT\r\n");
	assert_string_equal(buf_cstr(&p->out), HELLO "-ERR line is too long\r\n+OK bye\r\n{close}");
	play_free(p);
}

static void auth_responses_may_be_longer(void **state)
{
	struct play *p = play_new(TLS, 1000);
	(void)state;

	send_long(p, "AUTH PLAIN\r\n", POP3_AUTH_LINE_BYTES_MAX - 2, "QUIT\r\n");
	assert_non_null(strstr(buf_cstr(&p->out), "AAA}-ERR not a message of this mechanism\r\n+OK bye"));
	play_free(p);
	p = play_new(TLS, 1000);
	send_long(p, "AUTH PLAIN\r\n", POP3_AUTH_LINE_BYTES_MAX + 1, "QUIT\r\n");
	assert_string_equal(buf_cstr(&p->out),
			    HELLO "{PLAIN}+ \r\n-ERR line is too long\r\n{cancelled}+OK bye\r\n{close}");
	play_free(p);
}

static void the_server_may_end_the_session_at_any_time(void **state)
{
	struct play *p = play_new(TLS, 1000);
	size_t used;
	(void)state;

	pop3_server_greet(&p->s);
	pop3_server_close(&p->s, POP3_CLOSE_TIMEOUT);
	pop3_server_close(&p->s, POP3_CLOSE_SHUTDOWN);
	assert_int_equal(pop3_server_feed(&p->s, SPAN_LIT("NOOP\r\n"), &used), POP3_WISH_CLOSE);
	assert_int_equal(used, 0);
	assert_string_equal(buf_cstr(&p->out), HELLO);
	play_free(p);

	p = play_new(TLS, 1000);
	play(p, SPAN_LIT(LOGIN));
	assert_int_equal(pop3_server_feed(&p->s, SPAN_LIT("RETR 1\r\n"), &used), POP3_WISH_RETRIEVE);
	assert_true(pop3_server_content(&p->s, SPAN_LIT("A: b\r\n"), false));
	pop3_server_close(&p->s, POP3_CLOSE_SHUTDOWN);
	assert_string_equal(buf_cstr(&p->out), LOGGED_IN "+OK 19 octets\r\nA: b\r\n");
	play_free(p);

	p = play_new(TLS, 1000);
	play(p, SPAN_LIT(LOGIN));
	pop3_server_close(&p->s, POP3_CLOSE_SHUTDOWN);
	assert_string_equal(buf_cstr(&p->out), LOGGED_IN "-ERR [SYS/TEMP] shutting down\r\n");
	play_free(p);
}

static void a_wish_stays_until_answered(void **state)
{
	struct play *p = play_new(TLS, 1000);
	size_t used;
	(void)state;

	assert_int_equal(pop3_server_feed(&p->s, SPAN_LIT("USER a\r\nPASS b\r\nSTAT\r\n"), &used),
			 POP3_WISH_LOGIN);
	assert_int_equal(used, 16);
	assert_int_equal(pop3_server_feed(&p->s, SPAN_LIT("STAT\r\n"), &used), POP3_WISH_LOGIN);
	assert_int_equal(used, 0);
	play_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_answer_as_written),
		cmocka_unit_test(only_well_formed_utf8_in_the_header_needs_the_mode),
		cmocka_unit_test(command_lines_may_have_255_bytes),
		cmocka_unit_test(auth_responses_may_be_longer),
		cmocka_unit_test(the_server_may_end_the_session_at_any_time),
		cmocka_unit_test(a_wish_stays_until_answered),
	};
	return cmocka_run_group_tests_name("pop3_server", tests, NULL, NULL);
}
