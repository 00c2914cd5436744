/*
 * Arbitrary bytes as a POP3 client, whole and in steps of the first byte's
 * choice.  Both must give the same output; messages go only through UPDATE,
 * only when QUIT was the last thing said, and counts match the marks.
 */
#include "reference-server/core/pop3_server.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGES = 3 };

struct play {
	struct pop3_server s;
	struct buf out;
	struct pop3_message messages[MESSAGES];
	bool updated;
};

static const struct pop3_server_config config = {
	.host = { "mx.example", 10 },
	.offer_stls = true,
	.login_without_tls = true,
	.mechanisms_clear = { "SCRAM-SHA-256", 13 },
	.mechanisms_tls = { "SCRAM-SHA-256 PLAIN", 19 },
};

static void check_counts(const struct play *p)
{
	uint32_t deleted = 0;

	for (uint32_t i = 0; i < p->s.message_count; i++)
		deleted += p->messages[i].deleted;
	if (deleted != p->s.deleted_count || p->s.deleted_octets > p->s.total_octets)
		abort();
}

static void open_mailbox(struct play *p)
{
	for (uint32_t i = 0; i < MESSAGES; i++)
		p->messages[i] = (struct pop3_message){ .octets = 20 + i, .uidl = SPAN_LIT("uid") };
	pop3_server_opened(&p->s, p->messages, MESSAGES);
}

static void stream(struct play *p)
{
	if (p->s.wanted_index >= MESSAGES || p->messages[p->s.wanted_index].deleted)
		abort();
	if (p->s.wanted_index == 2)
		pop3_server_content_failed(&p->s);
	else if (pop3_server_look(&p->s, SPAN_LIT("A: \xc3\xa9\r\n\r\n"), true) == POP3_LOOK_REFUSED)
		return;
	else if (pop3_server_content(&p->s, SPAN_LIT("A: b\r\n\r\n.\r\n..c"), false))
		(void)pop3_server_content(&p->s, SPAN_LIT("\r\nend"), true);
}

static void authenticate(struct play *p)
{
	if (p->s.auth_mechanism.n == 0 && p->s.wish == POP3_WISH_AUTH)
		abort();
	buf_add(&p->out, p->s.auth_response);
	if (!p->s.auth_response_given || p->s.auth_response.n % 8 == 0)
		pop3_server_auth_challenge(&p->s, SPAN_LIT("Y2g="));
	else if (p->s.auth_response.n > 8)
		pop3_server_auth_fail(&p->s, POP3_AUTH_BAD_CREDENTIALS);
	else
		pop3_server_auth_succeed(&p->s);
}

/* True: closed. */
static bool serve(struct play *p, enum pop3_wish wish)
{
	size_t used;

	for (;;) {
		check_counts(p);
		buf_addf(&p->out, "{%s}", wish == POP3_WISH_INPUT ? "" : pop3_wish_name(wish));
		switch (wish) {
		case POP3_WISH_INPUT:
			buf_truncate(&p->out, buf_bytes(&p->out) - 2);
			return false;
		case POP3_WISH_LOGIN:
			if (p->s.user.n == 0)
				abort();
			if (p->s.password.n % 3 == 0)
				pop3_server_auth_fail(&p->s, POP3_AUTH_TEMPORARY);
			else
				pop3_server_auth_succeed(&p->s);
			break;
		case POP3_WISH_AUTH:
		case POP3_WISH_AUTH_STEP:
			authenticate(p);
			break;
		case POP3_WISH_AUTH_CANCELLED:
			break;
		case POP3_WISH_OPEN:
			open_mailbox(p);
			break;
		case POP3_WISH_STLS:
			pop3_server_tls_started(&p->s);
			break;
		case POP3_WISH_RETRIEVE:
			stream(p);
			break;
		case POP3_WISH_UPDATE:
			if (p->updated || p->s.deleted_count == 0)
				abort();
			p->updated = true;
			pop3_server_updated(&p->s, true);
			break;
		case POP3_WISH_CLOSE:
			return true;
		case POP3_WISH_COUNT:
			abort();
		}
		wish = pop3_server_feed(&p->s, (struct span){ NULL, 0 }, &used);
	}
}

static struct play *play(struct span in, size_t step_bytes)
{
	struct play *p = calloc(1, sizeof(*p));
	size_t used = 0, have = 0;
	bool closed = false;

	if (p == NULL)
		abort();
	pop3_server_init(&p->s, &config, &p->out, false);
	pop3_server_greet(&p->s);
	while (have < in.n && !closed) {
		bool more = true;
		have = in.n - have < step_bytes ? in.n : have + step_bytes;
		while (more && !closed) {
			size_t used_now;
			struct span unread = span_sub(in, used, have - used);
			enum pop3_wish wish = pop3_server_feed(&p->s, unread, &used_now);

			if (used_now > unread.n)
				abort();
			used += used_now;
			more = wish != POP3_WISH_INPUT;
			closed = serve(p, wish);
		}
	}
	return p;
}

static void play_free(struct play *p)
{
	buf_free(&p->out);
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct span in = { (const char *)data + 1, size - 1 };
	struct play *whole = play(in, in.n);
	struct play *split = play(in, (size_t)data[0] % 16 + 1);

	if (!span_eq(buf_span(&whole->out), buf_span(&split->out)) || whole->updated != split->updated)
		abort();
	play_free(whole);
	play_free(split);
	return 0;
}
