#include "reference-server/core/mutant.h"
#include "reference-server/core/smtp_server_parts.h"

#include <assert.h>

/* "size" or "size LAST". */
static bool parse_chunk(struct span arg, uint64_t *ret_bytes, bool *ret_last)
{
	size_t n = span_find(arg, ' ');
	struct span size = span_sub(arg, 0, n);

	*ret_bytes = 0;
	*ret_last = false;
	if (MUTANT(BDAT_NO_LENGTH) && arg.n == 0)
		return true;
	for (size_t i = 0; i < size.n; i++)
		if (size.p[i] < '0' || size.p[i] > '9')
			return false;
	*ret_last = n < arg.n;
	return span_to_u64(size, ret_bytes) && (!*ret_last || MUTANT(BDAT_ANY_MARKER) ||
						(MUTANT(BDAT_MARKER_IN_CAPITALS) ? span_eq : span_eq_nocase)(
							span_sub(arg, n + 1, arg.n), SPAN_LIT("LAST")));
}

/* Begins a chunk.  With a refusal its octets are discarded before that is said. */
void smtps_take_chunk(struct smtp_server *s, struct span arg, struct span refusal, bool counts)
{
	if (!parse_chunk(arg, &s->chunk_bytes_left, &s->chunk_last)) {
		/* Nobody knows how many octets follow, and none may run as a command. */
		smtps_reply(s, SPAN_LIT("501 5.5.4 BDAT size [LAST]\r\n"));
		smtps_reply(s, SPAN_LIT("421 4.7.0 cannot tell content from commands, closing\r\n"));
		smtps_enter(s, SMTP_STATE_CLOSED);
		return;
	}
	s->chunk_refusal = refusal;
	s->chunk_refusal_counts = counts;
	s->chunk_came_from = s->state;
	if (refusal.n > 0 && MUTANT(SMTP_BDAT_RUNS))
		s->chunk_bytes_left = 0;
	smtps_enter(s, SMTP_STATE_CHUNK);
}

void smtps_on_bdat(struct smtp_server *s, struct span arg)
{
	if (s->rcpt_count == 0) {
		smtps_take_chunk(s, arg, SPAN_LIT("554 5.5.1 no valid recipients\r\n"), false);
		return;
	}
	if (s->state != SMTP_STATE_BDAT)
		smtps_begin_content(s);
	smtps_take_chunk(s, arg, (struct span){ NULL, 0 }, false);
}

static void end_refused_chunk(struct smtp_server *s)
{
	smtps_enter(s, s->chunk_came_from);
	if (smtps_is_lmtp(s) && s->chunk_last && !MUTANT(LMTP_BDAT_ANSWERS)) {
		/* As many replies as the transaction had recipients, of which a chunk before may have been refused. */
		for (uint32_t i = 0; i < s->rcpt_count && s->mail_refused; i++)
			smtps_reply(s, s->chunk_refusal);
		return;
	}
	if (s->chunk_refusal_counts)
		smtps_error(s, s->chunk_refusal);
	else
		smtps_reply(s, s->chunk_refusal);
}

static void end_chunk(struct smtp_server *s)
{
	if (s->chunk_refusal.n > 0) {
		end_refused_chunk(s);
		return;
	}
	if (s->chunk_last || (MUTANT(BDAT_EMPTY_ENDS) && s->content.content_bytes == 0)) {
		content_finish(&s->content);
		smtps_finish_content(s);
		return;
	}
	struct span refusal = smtps_judge_content(s);
	if (refusal.n > 0) {
		/* Chunks that are on their way already are discarded, and are no mistake. */
		smtps_enter(s, SMTP_STATE_READY);
		s->mail_refused = true;
		s->wish = SMTP_WISH_MESSAGE_REFUSED;
		smtps_reply(s, refusal);
		return;
	}
	smtps_enter(s, SMTP_STATE_BDAT);
	smtps_reply(s, SPAN_LIT("250 2.0.0 chunk received\r\n"));
}

bool smtps_step_chunk(struct smtp_server *s, struct span in, size_t *ret_used_bytes)
{
	size_t n = in.n < s->chunk_bytes_left ? in.n : (size_t)s->chunk_bytes_left;

	*ret_used_bytes = n;
	if (s->chunk_bytes_left == 0) {
		end_chunk(s);
		return true;
	}
	if (n == 0)
		return false;
	s->chunk_bytes_left -= n;
	if (s->chunk_refusal.n == 0) {
		content_take(&s->content, span_sub(in, 0, n));
		smtps_take_run(s, span_sub(in, 0, n));
	}
	return true;
}
