#include "reference-server/core/mutant.h"
#include "reference-server/core/smtp_server_parts.h"

#include "reference-server/core/mutant.h"

#include <assert.h>

void smtps_begin_content(struct smtp_server *s)
{
	content_init(&s->content);
	header_scan_init(&s->header);
	s->header.reads_addresses = s->config->strict_submission;
	s->refusal = SMTP_ANSWER_ACCEPT;
}

void smtps_on_data(struct smtp_server *s, struct span arg)
{
	(void)arg;
	if (s->body == SMTP_BODY_BINARYMIME) {
		smtps_error(s, MUTANT(SMTP_ORDER_554)
				       ? SPAN_LIT("554 5.5.1 no\r\n")
				       : SPAN_LIT("503 5.5.1 BINARYMIME goes with BDAT only\r\n"));
		return;
	}
	if (s->rcpt_count == 0 && smtps_is_lmtp(s)) {
		smtps_reply(s, SPAN_LIT("503 5.5.1 no valid recipients\r\n")); /* RFC 2033 4.2 */
		return;
	}
	if (s->rcpt_count == 0) {
		/* Every RCPT refused, or none given (RFC 5321 3.3, RFC 2920 3.1). */
		smtps_reply(s, SPAN_LIT("554 5.5.1 no valid recipients\r\n"));
		return;
	}
	smtps_begin_content(s);
	smtps_enter(s, SMTP_STATE_DATA);
	if (MUTANT(SMTP_STATUS_IN_354)) {
		smtps_reply(s, SPAN_LIT("354 2.0.0 send the message\r\n"));
		return;
	}
	smtps_reply(s, SPAN_LIT("354 send the message, end with a line of one dot\r\n"));
}

void smtp_server_refuse_content(struct smtp_server *s, enum smtp_answer answer)
{
	assert(s->state == SMTP_STATE_DATA || s->state == SMTP_STATE_CHUNK);
	assert(answer != SMTP_ANSWER_ACCEPT && answer < SMTP_ANSWER_COUNT);
	if (s->refusal == SMTP_ANSWER_ACCEPT)
		s->refusal = answer;
}

static bool is_too_big(const struct smtp_server *s)
{
	return s->config->size_bytes_max > 0 && s->content.content_bytes > s->config->size_bytes_max;
}

/* RFC 6409 6.3 has 554 for what is wrong with a submitted message; else it is a matter of RFC 5321 2.3.8. */
static struct span bare_eol(const struct smtp_server *s)
{
	return s->config->strict_submission && !MUTANT(SUBMIT_ODD_CODES)
		       ? SPAN_LIT("554 5.6.0 bare CR or LF in the message, lines end with CRLF\r\n")
		       : SPAN_LIT("550 5.5.2 bare CR or LF in the message, lines end with CRLF\r\n");
}

/* What speaks against the content so far, be there more or not; empty when nothing does. */
struct span smtps_judge_content(const struct smtp_server *s)
{
	const struct smtp_server_config *config = s->config;

	if (s->refusal != SMTP_ANSWER_ACCEPT)
		return smtp_answer_line(s->refusal);
	if (is_too_big(s) || (MUTANT(SIZE_IS_EXACT) && s->size_declared_bytes > 0 &&
			      s->content.content_bytes != s->size_declared_bytes))
		return smtp_answer_line(SMTP_ANSWER_TOO_BIG);
	if ((MUTANT(BINARY_LABEL_REFUSED) && s->body == SMTP_BODY_UNDECLARED &&
	     header_has(&s->header, HEADER_CONTENT_TRANSFER_ENCODING)) ||
	    (MUTANT(SMTP_JUDGES_HEADER) && s->header.header_bytes > 3000) ||
	    (MUTANT(SMTP_WANTS_DATE) && !header_has(&s->header, HEADER_DATE)) ||
	    (MUTANT(SMTP_RESENT_ONCE) && s->header.count[HEADER_RESENT_TO] > 1) ||
	    (MUTANT(SMTP_FEW_HOPS) && s->header.count[HEADER_RECEIVED] >= 50))
		return smtp_answer_line(SMTP_ANSWER_BAD_CONTENT);
	if (!config->accept_bare_eol && !MUTANT(RELAY_BARE_LINE_ENDS) &&
	    !MUTANT(RELAY_MENDS_LINE_ENDS_LATE) && s->body != SMTP_BODY_BINARYMIME &&
	    (s->content.facts & (CONTENT_BARE_CR | CONTENT_BARE_LF)) != 0)
		return bare_eol(s);
	if (config->refuse_8bit_header && !s->utf8 && s->header.has_8bit)
		return SPAN_LIT("554 5.6.9 the header is not ASCII, which goes with SMTPUTF8 only\r\n");
	if (config->header_bytes_max > 0 && s->header.header_bytes > config->header_bytes_max)
		return SPAN_LIT("552 5.3.4 header section is too big\r\n");
	if (s->header.count[HEADER_RECEIVED] > config->received_count_max)
		return smtp_answer_line(MUTANT(SMTP_DELIVERS_DEFERRED) ? SMTP_ANSWER_TRY_LATER
								       : SMTP_ANSWER_TOO_MANY_HOPS);
	return (struct span){ NULL, 0 };
}

/* RFC 5322 3.6: none of these twice. */
static bool repeats_a_field(const struct header_scan *h)
{
	static const enum header_field once[] = { HEADER_FROM,     HEADER_DATE,       HEADER_SENDER,
						  HEADER_REPLY_TO, HEADER_TO,         HEADER_CC,
						  HEADER_BCC,      HEADER_MESSAGE_ID, HEADER_SUBJECT };

	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
		if (h->count[once[i]] > 1)
			return true;
	return false;
}

/*
 * A submission server supplies fields, so it answers for the others too: addresses that are some, with full
 * domains (RFC 6409 4.2, 5.1), and a message that RFC 5322 takes for one (8).
 */
static struct span judge_submission(const struct smtp_server *s)
{
	if (!header_has(&s->header, HEADER_FROM) && !MUTANT(SUBMIT_ANY_FIELDS))
		return SPAN_LIT("554 5.6.0 the header has no From field\r\n");
	if (repeats_a_field(&s->header) && !MUTANT(SUBMIT_ANY_FIELDS))
		return SPAN_LIT("554 5.6.0 a field is in the header twice that may be there once\r\n");
	switch (MUTANT(SUBMIT_ANY_ADDRESS) ? ADDRESS_LIST_OK : header_addresses(&s->header)) {
	case ADDRESS_LIST_OK:
		break;
	case ADDRESS_LIST_PARTIAL:
		return SPAN_LIT("554 5.6.0 an address in the header has no fully qualified domain\r\n");
	case ADDRESS_LIST_MALFORMED:
		return MUTANT(SUBMIT_ODD_CODES)
			       ? SPAN_LIT("550 5.6.0 no\r\n")
			       : SPAN_LIT("554 5.6.0 an address field of the header is malformed\r\n");
	}
	return (struct span){ NULL, 0 };
}

void smtps_finish_content(struct smtp_server *s)
{
	struct span refusal = smtps_judge_content(s);

	if (refusal.n == 0 && s->config->strict_submission)
		refusal = judge_submission(s);
	if (MUTANT(SMTP_NO_LAST_REPLY)) {
		smtps_enter(s, SMTP_STATE_CLOSED);
		return;
	}
	smtps_enter(s, SMTP_STATE_READY);
	s->wish = SMTP_WISH_MESSAGE;
	if (refusal.n == 0)
		s->idle_count = s->refused_rcpt_count = 0;
	if (refusal.n > 0) {
		for (uint32_t i = 0; i < smtp_server_final_reply_count(s); i++)
			smtps_reply(s, refusal);
		if (!MUTANT(SMTP_DELIVERS_REFUSED) && !MUTANT(SMTP_DELIVERS_DEFERRED))
			s->wish = SMTP_WISH_MESSAGE_REFUSED;
	}
}

/* What is over the size limit is not handed out: the driver gets the same bytes whatever the split is. */
void smtps_take_run(struct smtp_server *s, struct span run)
{
	uint64_t size_bytes_max = s->config->size_bytes_max;
	uint64_t before_bytes = s->content.content_bytes - run.n;

	header_scan_feed(&s->header, run);
	if (s->refusal != SMTP_ANSWER_ACCEPT)
		return;
	if (is_too_big(s))
		run = span_sub(run, 0,
			       before_bytes < size_bytes_max ? (size_t)(size_bytes_max - before_bytes) : 0);
	if (run.n == 0)
		return;
	s->run = run;
	s->wish = SMTP_WISH_CONTENT;
}

/* False when more input is needed.  So are the other steps. */
bool smtps_step_content(struct smtp_server *s, struct span in, size_t *ret_used_bytes)
{
	struct span run;

	switch (content_next(&s->content, in, &run, ret_used_bytes)) {
	case CONTENT_RUN:
		smtps_take_run(s, run);
		return true;
	case CONTENT_END:
		smtps_finish_content(s);
		return true;
	case CONTENT_MORE:
		return false;
	}
	assert(false);
	return false;
}
