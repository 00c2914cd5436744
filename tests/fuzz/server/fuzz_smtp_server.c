/*
 * Any bytes as a whole session.  The first byte picks the configuration, the
 * second the step.  Checked: the split changes neither replies nor wishes nor
 * content; replies are well formed and there is one for each wish that ends
 * in one; content that is taken is within its limit, and has bare CR or LF
 * only when BODY=BINARYMIME declared it, which goes with BDAT; what DATA
 * brought ends with CRLF; ENVID and ORCPT hold nothing that would end a
 * parameter; what is not ASCII is UTF-8, and in paths only with SMTPUTF8; times are
 * within their limits; submission takes no mail without AUTH; nothing more than the promised
 * number of bytes ever waits.
 */
#include "base/buf.h"
#include "reference-server/core/smtp_server.h"
#include "reference-server/core/utf8.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

struct session {
	struct smtp_server s;
	struct smtp_server_config config;
	struct buf log; /* replies and wishes in their order */
	struct buf content;
	bool chunked; /* it came by BDAT */
};

static void log_emit(void *ctx, struct span line)
{
	struct session *x = ctx;

	must(line.n >= 6 && line.n <= SMTP_AUTH_LINE_BYTES_MAX);
	must(span_find(line, '\r') == line.n - 2 && span_find(line, '\n') == line.n - 1);
	must(line.p[0] >= '2' && line.p[0] <= '5' && (line.p[3] == ' ' || line.p[3] == '-'));
	buf_add(&x->log, line);
}

static void log_wish(struct session *x, enum smtp_wish wish, struct span fact)
{
	buf_add_cstr(&x->log, smtp_wish_name(wish));
	buf_add(&x->log, SPAN_LIT("("));
	buf_add(&x->log, fact);
	buf_add(&x->log, SPAN_LIT(")\n"));
}

static void check_message(struct session *x)
{
	struct span content = buf_span(&x->content);
	uint64_t max_bytes = x->config.size_bytes_max;

	must(x->s.rcpt_count > 0 && x->s.rcpt_count <= x->config.rcpt_count_max);
	must(content.n == x->s.content.content_bytes);
	must(max_bytes == 0 || content.n <= max_bytes);
	if (content.n == 0)
		return;
	must(x->chunked || x->s.body != SMTP_BODY_BINARYMIME);
	must(x->chunked || x->config.accept_bare_eol || span_ends_nocase(content, SPAN_LIT("\r\n")));
	bool bare_eol_allowed = x->config.accept_bare_eol || x->s.body == SMTP_BODY_BINARYMIME;
	for (size_t i = 0; i < content.n && !bare_eol_allowed; i++) {
		if (content.p[i] == '\n')
			must(i > 0 && content.p[i - 1] == '\r');
		if (content.p[i] == '\r')
			must(i + 1 < content.n && content.p[i + 1] == '\n');
	}
}

static void check_xtext(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		must((unsigned char)text.p[i] > ' ' && text.p[i] != 127 && text.p[i] != '=');
	must(utf8_is_valid(text));
}

#define NOW_MS INT64_C(1800000000000)

static void check_wishes(const struct smtp_server *s)
{
	unsigned without = s->config->without;

	must(utf8_is_valid(s->reverse_path) && (s->utf8 || utf8_is_ascii(s->reverse_path)));
	must(!s->utf8 || (without & SMTP_OFFER_SMTPUTF8) == 0);
	must(!s->requires_tls || (s->tls && (without & SMTP_OFFER_REQUIRETLS) == 0));
	must(s->by == SMTP_BY_NONE || (without & SMTP_OFFER_DELIVERBY) == 0);
	must(s->by != SMTP_BY_RETURN || s->deliver_by_wall_ms >= NOW_MS + s->config->by_s_min * 1000);
	must((s->hold.n > 0) == (s->release_wall_ms != 0));
	must(s->hold.n == 0 || s->config->role == SMTP_ROLE_SUBMISSION);
	must(s->hold.n == 0 ||
	     (s->release_wall_ms > NOW_MS && s->release_wall_ms <= NOW_MS + s->config->hold_s_max * 1000));
	must(s->hold.n == 0 || s->by == SMTP_BY_NONE || s->release_wall_ms <= s->deliver_by_wall_ms);
}

static void log_mail(struct session *x)
{
	const struct smtp_server *s = &x->s;

	must(s->envid.n <= SMTP_ENVID_BYTES_MAX);
	check_xtext(s->envid);
	check_wishes(s);
	log_wish(x, SMTP_WISH_MAIL, s->reverse_path);
	buf_addf(&x->log, "utf8 %d tls %d by %lld release %lld hold %.*s\n", s->utf8, s->requires_tls,
		 (long long)s->deliver_by_wall_ms, (long long)s->release_wall_ms, SPAN_FMT(s->hold));
	buf_addf(&x->log, "size %llu body %d ret %d envid %.*s\n", (unsigned long long)s->size_declared_bytes,
		 (int)s->body, (int)s->ret, SPAN_FMT(s->envid));
}

static void log_rcpt(struct session *x)
{
	const struct smtp_server *s = &x->s;

	must(s->orcpt.n <= SMTP_ORCPT_BYTES_MAX);
	must((s->notify & SMTP_NOTIFY_NEVER) == 0 || s->notify == SMTP_NOTIFY_NEVER);
	check_xtext(s->orcpt);
	must(utf8_is_valid(s->forward_path) && (s->utf8 || utf8_is_ascii(s->forward_path)));
	log_wish(x, SMTP_WISH_RCPT, s->forward_path);
	buf_addf(&x->log, "notify %u orcpt %.*s\n", s->notify, SPAN_FMT(s->orcpt));
}

static void answer_auth(struct session *x)
{
	switch (x->s.auth_response.n / 4 % 4) {
	case 0:
		smtp_server_auth_challenge(&x->s, x->s.auth_response);
		break;
	case 1:
		smtp_server_auth_succeed(&x->s, x->s.auth_mechanism);
		break;
	case 2:
		smtp_server_auth_fail(&x->s, SMTP_AUTH_BAD_CREDENTIALS);
		break;
	default:
		smtp_server_auth_fail(&x->s, SMTP_AUTH_TEMPORARY);
		break;
	}
}

/* False when more input is needed, or the end has come. */
static bool serve(struct session *x, enum smtp_wish wish)
{
	struct smtp_server *s = &x->s;

	switch (wish) {
	case SMTP_WISH_INPUT:
		return false;
	case SMTP_WISH_MAIL:
		must(s->config->role != SMTP_ROLE_SUBMISSION || s->authenticated);
		must(s->helo.n > 0);
		log_mail(x);
		smtp_server_answer_mail(s, s->reverse_path.n % 5 == 4 ? SMTP_ANSWER_TRY_LATER
								      : SMTP_ANSWER_ACCEPT);
		return true;
	case SMTP_WISH_RCPT:
		must(s->forward_path.n > 0);
		log_rcpt(x);
		smtp_server_answer_rcpt(s, s->forward_path.n % 5 == 4 ? SMTP_ANSWER_NO_SUCH_MAILBOX
								      : SMTP_ANSWER_ACCEPT);
		return true;
	case SMTP_WISH_VERIFY:
		must(s->authenticated);
		must(utf8_is_valid(s->forward_path) && s->forward_path.n > 0);
		log_wish(x, wish, s->forward_path);
		smtp_server_answer_verify(s, SMTP_VERIFY_FOUND, &s->forward_path, 1);
		return true;
	case SMTP_WISH_CONTENT:
		x->chunked = s->state == SMTP_STATE_CHUNK;
		if (s->rcpt_count == 2)
			smtp_server_refuse_content(s, SMTP_ANSWER_STORAGE_FULL);
		else
			buf_add(&x->content, s->run);
		return true;
	case SMTP_WISH_MESSAGE:
		check_message(x);
		__attribute__((fallthrough));
	case SMTP_WISH_MESSAGE_REFUSED:
		log_wish(x, wish, buf_span(&x->content));
		buf_reset(&x->content);
		return true;
	case SMTP_WISH_AUTH:
	case SMTP_WISH_AUTH_STEP:
		must(!s->authenticated);
		log_wish(x, wish, s->auth_response);
		answer_auth(x);
		return true;
	case SMTP_WISH_STARTTLS:
		/* A real driver drops what came in before the handshake; that would depend on the split. */
		log_wish(x, wish, s->helo);
		smtp_server_tls_started(s);
		return true;
	case SMTP_WISH_RESET:
		log_wish(x, wish, buf_span(&x->content));
		buf_reset(&x->content);
		return true;
	case SMTP_WISH_SYNC:
	case SMTP_WISH_AUTH_CANCELLED:
		log_wish(x, wish, s->helo);
		return true;
	case SMTP_WISH_CLOSE:
		log_wish(x, wish, s->helo);
		return false;
	}
	must(false);
	return false;
}

static void run(struct session *x, unsigned choices, struct span in, size_t step)
{
	size_t used = 0;
	size_t have = 0;

	*x = (struct session){
		.config = {
			.host = SPAN_LIT("mx.example"),
			.role = (choices & 1) != 0     ? SMTP_ROLE_SUBMISSION
				: (choices & 128) != 0 ? SMTP_ROLE_LMTP
						       : SMTP_ROLE_RELAY,
			.size_bytes_max = (choices & 2) != 0 ? 40 : 0,
			.header_bytes_max = (choices & 4) != 0 ? 30 : 0,
			.rcpt_count_max = 3,
			.received_count_max = 2,
			.error_count_max = (choices & 8) != 0 ? 4 : 0,
			.idle_count_max = (choices & 8) != 0 ? 5 : 0,
			.refused_rcpt_count_max = (choices & 8) != 0 ? 2 : 0,
			.offer_starttls = true,
			.require_tls = (choices & 16) != 0,
			.accept_bare_eol = (choices & 32) != 0,
			.strict_submission = (choices & 33) == 1,
			.without = (choices & 12) == 12 ? SMTP_OFFER_ALL : 0,
			.by_s_min = 60,
			.hold_s_max = 1000,
			.mail_count_max = 40,
			.refuse_8bit_header = (choices & 4) != 0,
			.vrfy = true,
			.expn = true,
			.mechanisms_clear = SPAN_LIT("X"),
			.mechanisms_tls = SPAN_LIT("X PLAIN"),
		},
	};
	smtp_server_init(&x->s, &x->config, (struct smtp_output){ .emit = log_emit, .ctx = x },
			 (choices & 64) != 0);
	smtp_server_set_time(&x->s, NOW_MS);
	for (;;) {
		size_t used_now;
		enum smtp_wish wish =
			smtp_server_feed(&x->s, (struct span){ in.p + used, have - used }, &used_now);

		must(used_now <= have - used);
		used += used_now;
		must(wish != SMTP_WISH_INPUT || have - used < SMTP_INPUT_BYTES_MAX);
		if (serve(x, wish))
			continue;
		if (wish == SMTP_WISH_CLOSE || have == in.n)
			return;
		have = step < in.n - have ? have + step : in.n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct session whole;
	static struct session split;

	if (size < 2)
		return 0;
	struct span in = { (const char *)data + 2, size - 2 };
	run(&whole, data[0], in, SIZE_MAX);
	run(&split, data[0], in, data[1] % 32 + 1);
	must(span_eq(buf_span(&whole.log), buf_span(&split.log)));
	must(whole.s.state == split.s.state);
	must(whole.s.error_count == split.s.error_count);
	must(whole.s.command_count == split.s.command_count);
	must(span_eq(buf_span(&whole.content), buf_span(&split.content)));
	buf_free(&whole.log);
	buf_free(&whole.content);
	buf_free(&split.log);
	buf_free(&split.content);
	return 0;
}
