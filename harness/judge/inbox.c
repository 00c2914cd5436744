#include "harness/judge/inbox.h"

#include "harness/judge/dsn_check.h"
#include "harness/wire/message.h"

#include <stdio.h>

static void take_copy(const struct inbox *in, uint32_t id, const struct inbox_message *m)
{
	struct content_spec spec;
	struct content_verdict v;

	in->original(in->ctx, id, &spec);
	content_compare(&spec, &ledger_message(in->ledger, id)->digest, m->message, &v);
	ledger_copy(in->ledger, id,
		    &(struct ledger_copy){ .mailbox = m->mailbox,
					   .state = v.state,
					   .difference = span_of(v.text),
					   .seen_ns = m->seen_ns,
					   .not_before_ns = m->not_before_ns });
}

static bool was_recipient(const struct ledger *l, uint32_t id, const char *address)
{
	const struct ledger_message *m = ledger_message(l, id);

	for (uint32_t i = 0; i < m->row_count; i++)
		if (span_eq_nocase(span_of(ledger_row(l, m->row_first + i)->recipient), span_of(address)))
			return true;
	return false;
}

/* The address the sender used, where the notification repeats it, tells best whom it means (RFC 3464
 * section 2.3.1). */
static struct span recipient_meant(const struct ledger *l, uint32_t id, const struct dsn_recipient *r)
{
	if (r->original != NULL && (r->final == NULL || was_recipient(l, id, r->original)))
		return span_of(r->original);
	return r->final != NULL ? span_of(r->final) : (struct span){ NULL, 0 };
}

static enum ledger_action action_of(const struct dsn_recipient *r)
{
	switch (r->action) {
	case DSN_ACTION_FAILED:
	case DSN_ACTION_UNREADABLE: /* somebody was told something; that it was broken is in the findings */
		return LEDGER_ACTION_FAILED;
	case DSN_ACTION_DELAYED:
		return LEDGER_ACTION_DELAYED;
	case DSN_ACTION_DELIVERED:
	case DSN_ACTION_RELAYED:
	case DSN_ACTION_EXPANDED:
		break;
	}
	return LEDGER_ACTION_OTHER;
}

static void take_notification(const struct inbox *in, uint32_t id, const struct inbox_message *m)
{
	const char *sender = ledger_message(in->ledger, id)->sender;
	struct dsn_report *r = dsn_check(m->message, span_of(sender));
	const struct dsn_finding *breach = dsn_first_breach(r);
	char malformed[sizeof(breach->text) + 64] = "";

	if (breach != NULL)
		(void)snprintf(malformed, sizeof(malformed), "notification: %s: %s", breach->section,
			       breach->text);
	struct ledger_dsn fact = {
		.mailbox = m->mailbox,
		.action = LEDGER_ACTION_FAILED,
		.malformed = span_of(malformed),
		.seen_ns = m->seen_ns,
	};
	if (r->recipient_count == 0) /* a breach: it speaks of nobody */
		ledger_dsn(in->ledger, id, &fact);
	for (uint32_t i = 0; i < r->recipient_count; i++) {
		const struct dsn_recipient *to = &r->recipients[i];
		fact.recipient = recipient_meant(in->ledger, id, to);
		fact.action = action_of(to);
		fact.status = to->status != NULL ? span_of(to->status) : SPAN_LIT("");
		ledger_dsn(in->ledger, id, &fact);
	}
	dsn_report_free(r);
}

static void take_stranger(const struct inbox *in, const struct inbox_message *m)
{
	struct span header = m->message;
	struct span body;
	char text[160];

	(void)message_split(m->message, &header, &body);
	struct span message_id = span_sub(field_message_id(header), 0, 80);
	(void)snprintf(text, sizeof(text),
		       "a message of %zu bytes that is not of this run, Message-ID <%.*s>", m->message.n,
		       SPAN_FMT(message_id));
	ledger_stray(in->ledger, m->mailbox, span_of(text), m->seen_ns);
}

void inbox_take_in(const struct inbox *in, const struct inbox_message *m)
{
	uint32_t id = 0;
	enum content_kind kind = content_recognise(m->message, in->seed, &id);

	if (kind != CONTENT_FOREIGN && id >= ledger_message_count(in->ledger))
		kind = CONTENT_FOREIGN; /* made by the same seed, but not by this run */
	switch (kind) {
	case CONTENT_COPY:
		take_copy(in, id, m);
		break;
	case CONTENT_ABOUT:
		take_notification(in, id, m);
		break;
	case CONTENT_FOREIGN:
		take_stranger(in, m);
		break;
	}
}
