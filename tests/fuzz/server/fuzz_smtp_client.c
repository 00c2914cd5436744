/*
 * A server that says anything at all: the first two bytes choose options and
 * the split, the rest is what it sends.  What must hold:
 *
 * - every started message comes back exactly once, in order, and every
 *   recipient has one complete result, delivered only by a 2yz to a final dot;
 * - no bare CR or LF leaves, and a delivered message means a final dot left;
 * - the split of the input changes neither output nor results.
 */
#include "reference-server/core/smtp_client.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { RCPTS = 3, MESSAGES = 4, NO_VERDICT = 99 };

struct play {
	struct smtp_client c;
	uint8_t choice;
	struct buf out, story;
	uint32_t started, done;
	bool half_sent;
	struct smtp_result results[MESSAGES][RCPTS];
};

static const struct span rcpts[RCPTS] = { { "a@y", 3 }, { "b@y", 3 }, { "c\n@y", 4 } };

static void start(struct play *p)
{
	struct smtp_result *results = p->results[p->started];
	struct smtp_client_message m = {
		.tag = results,
		.reverse_path = SPAN_LIT("s@x"),
		.rcpts = rcpts,
		.results = results,
		.rcpt_count = 1 + p->started % RCPTS,
		.content_bytes = 13, /* of what send_content gives */
		.content_8bit = p->started == 2,
	};
	memset(results, NO_VERDICT, sizeof(p->results[0]));
	p->started++;
	smtp_client_start(&p->c, &m);
}

static void check_result(struct play *p, const struct smtp_result *r)
{
	uint8_t digit = r->status.class_digit;

	if (r->class_ >= SMTP_CLASS_COUNT || r->stage >= SMTP_STAGE_COUNT)
		abort();
	if (digit != 2 && digit != 4 && digit != 5)
		abort();
	if (r->text_bytes > sizeof(r->text))
		abort();
	for (size_t i = 0; i < r->text_bytes; i++)
		if (r->text[i] < ' ' || r->text[i] > '~')
			abort();
	if (r->class_ == SMTP_CLASS_OK && (r->stage != SMTP_STAGE_FINAL_DOT || r->code / 100 != 2))
		abort();
	if (r->class_ == SMTP_CLASS_OK && memmem(p->out.p, p->out.end, "\r\nBody\r\n.\r\n", 11) == NULL &&
	    memmem(p->out.p, p->out.end, "BDAT 13 LAST\r\n.A: b\r\n\r\nBody", 27) == NULL)
		abort();
	if (r->in_doubt && r->class_ != SMTP_CLASS_TEMPORARY)
		abort();
	buf_addf(&p->story, "%d %d %u %u.%u.%u %d ", (int)r->class_, (int)r->stage, r->code, digit,
		 r->status.subject, r->status.detail, r->in_doubt);
	buf_add(&p->story, smtp_result_text(r));
}

static void take_done(struct play *p)
{
	struct smtp_client_message m = smtp_client_take_done(&p->c);

	if (m.tag != p->results[p->done])
		abort();
	p->done++;
	for (uint32_t i = 0; i < m.rcpt_count; i++)
		check_result(p, &m.results[i]);
}

/* False: waits for input. */
static bool send_content(struct play *p)
{
	if ((p->choice & 8) != 0 && p->started == 1) {
		if (!p->half_sent)
			(void)smtp_client_content(&p->c, SPAN_LIT("A: b\r"), false);
		p->half_sent = true;
		return false;
	}
	(void)smtp_client_content(&p->c, SPAN_LIT(".A: b\r\n\r\nBody"), true);
	if ((p->choice & 16) != 0 && p->started < MESSAGES && smtp_client_can_start(&p->c))
		start(p);
	return true;
}

/* True: closed. */
static bool serve(struct play *p, enum smtp_client_wish wish)
{
	size_t used;

	for (;;) {
		switch (wish) {
		case SMTP_CLIENT_WANT_INPUT:
			return false;
		case SMTP_CLIENT_START_TLS:
			buf_add_cstr(&p->out, "[TLS]");
			smtp_client_tls_done(&p->c, (p->choice & 4) == 0, SPAN_LIT("no"));
			break;
		case SMTP_CLIENT_READY:
			if (p->started == MESSAGES)
				smtp_client_quit(&p->c);
			else
				start(p);
			break;
		case SMTP_CLIENT_SEND_CONTENT:
			if (!send_content(p))
				return false;
			break;
		case SMTP_CLIENT_DONE:
			take_done(p);
			break;
		case SMTP_CLIENT_CLOSED:
			return true;
		case SMTP_CLIENT_WISH_COUNT:
			abort();
		}
		wish = smtp_client_feed(&p->c, (struct span){ NULL, 0 }, &used);
	}
}

static void check_output(struct span out)
{
	for (size_t i = 0; i < out.n; i++) {
		bool after_cr = i > 0 && out.p[i - 1] == '\r';
		if ((out.p[i] == '\n') != after_cr)
			abort();
	}
}

static struct play *play(struct span in, uint8_t choice, size_t step_bytes)
{
	struct play *p = calloc(1, sizeof(*p));
	size_t used;
	bool closed = false;

	if (p == NULL)
		abort();
	p->choice = choice;
	smtp_client_init(&p->c, &(struct smtp_client_options){
					.out = &p->out,
					.local_name = SPAN_LIT("me"),
					.lmtp = (choice & 128) != 0,
					.tls = (enum smtp_client_tls)(choice % 4 % 3),
					.auth_user = (choice & 32) != 0 ? SPAN_LIT("u") : SPAN_LIT(""),
					.auth_password = SPAN_LIT("p"),
					.auth_without_tls = true,
				});
	for (size_t at = 0; at < in.n && !closed; at += step_bytes) {
		struct span piece = span_sub(in, at, step_bytes);
		while (piece.n > 0 && !closed) {
			enum smtp_client_wish wish = smtp_client_feed(&p->c, piece, &used);
			if (used > piece.n)
				abort();
			piece = span_sub(piece, used, piece.n);
			closed = serve(p, wish);
		}
	}
	if (!closed) {
		smtp_client_lost(&p->c, (choice & 64) != 0 ? SMTP_CLIENT_LOST_TIMEOUT : SMTP_CLIENT_LOST_EOF,
				 (struct span){ NULL, 0 });
		if (!serve(p, smtp_client_feed(&p->c, (struct span){ NULL, 0 }, &used)))
			abort();
	}
	if (p->done != p->started)
		abort();
	buf_addf(&p->story, "closed %d %d %u", (int)smtp_client_closed(&p->c)->class_,
		 (int)smtp_client_closed(&p->c)->stage, smtp_client_closed(&p->c)->code);
	return p;
}

static void play_free(struct play *p)
{
	buf_free(&p->out);
	buf_free(&p->story);
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;
	struct span in = { (const char *)data + 2, size - 2 };
	struct play *whole = play(in, data[0], in.n);
	struct play *split = play(in, data[0], (size_t)data[1] % 16 + 1);

	/* Half a CR LF is left hanging on purpose when the content is cut. */
	if (!whole->half_sent)
		check_output(buf_span(&whole->out));
	if (!span_eq(buf_span(&whole->out), buf_span(&split->out)))
		abort();
	if (!span_eq(buf_span(&whole->story), buf_span(&split->story)))
		abort();
	play_free(whole);
	play_free(split);
	return 0;
}
