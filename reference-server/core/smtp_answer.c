#include "reference-server/core/smtp_answer.h"

#include "reference-server/core/mutant.h"

#include <assert.h>

/* clang-format off */
#define ANSWER(text) { text "\r\n", sizeof(text "\r\n") - 1 }
/* clang-format on */

static const struct span answer_lines[SMTP_ANSWER_COUNT] = {
	[SMTP_ANSWER_NO_SUCH_MAILBOX] = ANSWER("550 5.1.1 no such mailbox"),
	[SMTP_ANSWER_NO_SUCH_DOMAIN] = ANSWER("550 5.1.2 no such domain"),
	[SMTP_ANSWER_BAD_SENDER] = ANSWER("553 5.1.8 mail from this address cannot be answered"),
	[SMTP_ANSWER_NULL_MX] = ANSWER("556 5.1.10 that domain accepts no mail"),
	[SMTP_ANSWER_MAILBOX_DISABLED] = ANSWER("550 5.2.1 mailbox is disabled"),
	[SMTP_ANSWER_MAILBOX_FULL] = ANSWER("452 4.2.2 mailbox is full"),
	[SMTP_ANSWER_RELAY_DENIED] = ANSWER("550 5.7.1 no relaying to that domain"),
	[SMTP_ANSWER_NOT_PERMITTED] = ANSWER("550 5.7.1 that sender address is not yours"),
	[SMTP_ANSWER_STORAGE_FULL] = ANSWER("452 4.3.1 out of storage, try again later"),
	[SMTP_ANSWER_TRY_LATER] = ANSWER("451 4.3.0 trouble here, try again later"),
	[SMTP_ANSWER_ALIAS_TOO_LARGE] =
		ANSWER("451 4.3.5 that alias leads to too many addresses, try again later"),
	[SMTP_ANSWER_LOOKUP_FAILED] = ANSWER("451 4.4.3 lookup failed, try again later"),
	[SMTP_ANSWER_TOO_FAST] = ANSWER("450 4.7.1 too much at a time, try again later"),
	[SMTP_ANSWER_TOO_MANY_RCPT] = ANSWER("452 4.5.3 too many recipients, send the rest separately"),
	[SMTP_ANSWER_TOO_BIG] = ANSWER("552 5.3.4 message is too big"),
	[SMTP_ANSWER_TOO_MANY_HOPS] = ANSWER("554 5.4.6 too many hops, this looks like a loop"),
	[SMTP_ANSWER_BAD_CONTENT] = ANSWER("554 5.6.0 content is refused"),
};

static const struct span auth_failure_lines[SMTP_AUTH_FAILURE_COUNT] = {
	[SMTP_AUTH_BAD_CREDENTIALS] = ANSWER("535 5.7.8 authentication failed"),
	[SMTP_AUTH_TEMPORARY] = ANSWER("454 4.7.0 cannot authenticate now, try again later"),
	[SMTP_AUTH_TOO_WEAK] = ANSWER("534 5.7.9 use a stronger mechanism"),
	[SMTP_AUTH_SERVER_FIRST] = ANSWER("501 5.7.0 this mechanism has no initial response"),
	[SMTP_AUTH_MALFORMED] = ANSWER("501 5.5.2 malformed authentication message"),
};

static const struct span close_lines[SMTP_CLOSE_COUNT] = {
	[SMTP_CLOSE_SHUTDOWN] = ANSWER("421 4.3.2 shutting down"),
	[SMTP_CLOSE_TIMEOUT] = ANSWER("421 4.4.2 timeout, closing"),
	[SMTP_CLOSE_TOO_MANY] = ANSWER("421 4.3.2 too many connections, try again later"),
	[SMTP_CLOSE_BUSY] = ANSWER("421 4.3.2 too busy, try again later"),
	[SMTP_CLOSE_TROUBLE] = ANSWER("421 4.3.0 trouble here, try again later"),
	[SMTP_CLOSE_REFUSED] = ANSWER("421 4.7.1 no service for this client"),
};

struct span smtp_answer_line(enum smtp_answer answer)
{
	assert(answer != SMTP_ANSWER_ACCEPT && answer < SMTP_ANSWER_COUNT);
	if (MUTANT(SMTP_521_FOR_SOME) && answer == SMTP_ANSWER_NO_SUCH_MAILBOX)
		return SPAN_LIT("521 5.1.1 no such mailbox\r\n");
	return answer_lines[answer];
}

struct span smtp_auth_failure_line(enum smtp_auth_failure why)
{
	assert(why < SMTP_AUTH_FAILURE_COUNT);
	return auth_failure_lines[why];
}

struct span smtp_close_line(enum smtp_close why)
{
	assert(why < SMTP_CLOSE_COUNT);
	return close_lines[why];
}
