#include "reference-server/core/smtp_result.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

void smtp_result_set(struct smtp_result *r, enum smtp_class class_, enum smtp_stage stage, uint16_t code,
		     struct smtp_status status, struct span text)
{
	assert(class_ < SMTP_CLASS_COUNT && stage < SMTP_STAGE_COUNT);
	if (status.class_digit == 0) {
		status = (struct smtp_status){ .class_digit = 4 };
		if (class_ == SMTP_CLASS_OK || class_ == SMTP_CLASS_PERMANENT)
			status.class_digit = class_ == SMTP_CLASS_OK ? 2 : 5;
	}
	r->class_ = class_;
	r->stage = stage;
	r->code = code;
	r->status = status;
	r->in_doubt = false;
	r->text_bytes = (uint16_t)smtp_text_escape(text, r->text, sizeof(r->text));
}

void smtp_result_copy(struct smtp_result *to, const struct smtp_result *from)
{
	if (to == from)
		return;
	memcpy(to, from, offsetof(struct smtp_result, text));
	memcpy(to->text, from->text, from->text_bytes);
}

void smtp_result_set_own(struct smtp_result *r, enum smtp_class class_, enum smtp_stage stage,
			 uint16_t subject, uint16_t detail, const char *text)
{
	struct smtp_status status = { .class_digit = class_ == SMTP_CLASS_PERMANENT ? 5 : 4,
				      .subject = subject,
				      .detail = detail };
	smtp_result_set(r, class_, stage, 0, status, span_of(text));
}

/* RFC 5321 4.5.3.2.  Where it names none: the server's own five minutes, or less where nothing is at stake.
 */
int64_t smtp_stage_timeout_ms(enum smtp_stage stage)
{
	static const int64_t timeouts_s[SMTP_STAGE_COUNT] = {
		[SMTP_STAGE_CONNECT] = 30,   [SMTP_STAGE_GREETING] = 300, [SMTP_STAGE_EHLO] = 300,
		[SMTP_STAGE_STARTTLS] = 300, [SMTP_STAGE_TLS] = 60,       [SMTP_STAGE_AUTH] = 300,
		[SMTP_STAGE_IDLE] = 60,      [SMTP_STAGE_MAIL] = 300,     [SMTP_STAGE_RCPT] = 300,
		[SMTP_STAGE_DATA] = 120,     [SMTP_STAGE_CONTENT] = 180,  [SMTP_STAGE_FINAL_DOT] = 600,
		[SMTP_STAGE_RSET] = 60,      [SMTP_STAGE_QUIT] = 10,
	};
	assert(stage < SMTP_STAGE_COUNT);
	return timeouts_s[stage] * 1000;
}

const char *smtp_stage_name(enum smtp_stage stage)
{
	static const char *const names[SMTP_STAGE_COUNT] = {
		[SMTP_STAGE_CONNECT] = "connect", [SMTP_STAGE_GREETING] = "greeting",
		[SMTP_STAGE_EHLO] = "ehlo",       [SMTP_STAGE_STARTTLS] = "starttls",
		[SMTP_STAGE_TLS] = "tls",         [SMTP_STAGE_AUTH] = "auth",
		[SMTP_STAGE_IDLE] = "idle",       [SMTP_STAGE_MAIL] = "mail",
		[SMTP_STAGE_RCPT] = "rcpt",       [SMTP_STAGE_DATA] = "data",
		[SMTP_STAGE_CONTENT] = "content", [SMTP_STAGE_FINAL_DOT] = "final-dot",
		[SMTP_STAGE_RSET] = "rset",       [SMTP_STAGE_QUIT] = "quit",
	};
	assert(stage < SMTP_STAGE_COUNT);
	return names[stage];
}

const char *smtp_class_name(enum smtp_class class_)
{
	static const char *const names[SMTP_CLASS_COUNT] = {
		[SMTP_CLASS_OK] = "ok",
		[SMTP_CLASS_TEMPORARY] = "temporary",
		[SMTP_CLASS_PERMANENT] = "permanent",
		[SMTP_CLASS_TOO_MANY] = "too-many",
		[SMTP_CLASS_NOT_TRIED] = "not-tried",
	};
	assert(class_ < SMTP_CLASS_COUNT);
	return names[class_];
}
