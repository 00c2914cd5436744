#include "reference-server/drive/relay_parts.h"

#include "base/log.h"
#include "reference-server/core/address.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/trace.h"
#include "reference-server/drive/content_job.h"
#include "reference-server/drive/directory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void fail_local(struct message *m, struct recipient *rcpt)
{
	struct smtp_result result;
	smtp_result_set(&result, SMTP_CLASS_PERMANENT, SMTP_STAGE_RCPT, 0,
			(struct smtp_status){ .class_digit = 5, .subject = 1, .detail = 1 },
			SPAN_LIT("no such mailbox here"));
	relay_log_result(m, rcpt, "failed", &result, "mailbox");
	relay_record(m, rcpt, &result, RECIPIENT_FAILED, "");
}

/*
 * 0 and the account for a pending recipient of ours; -ENOENT when it is not
 * ours, or has just failed.  Other errors: the store cannot say.
 */
static int local_account(struct relay *r, struct message *m, struct recipient *rcpt, uint32_t *ret_account)
{
	const struct directory *d = r->server->directory;
	struct address a;

	if (address_parse_text(span_of(rcpt->address), &a) != ADDRESS_OK) {
		fail_local(m, rcpt);
		return -ENOENT;
	}
	if (a.domain.n > 0 && !directory_is_local_domain(d, a.domain))
		return -ENOENT;
	int rc = directory_account(d, a, ret_account);
	if (rc == -ENOENT)
		fail_local(m, rcpt);
	return rc;
}

/* accounts holds, for each recipient, where it goes, or 0.  An error means that it has to wait for the store. */
static int find_accounts(struct relay *r, struct message *m, uint32_t *accounts)
{
	struct envelope *e = m->envelope;

	for (uint32_t i = 0; i < e->recipient_count; i++) {
		struct recipient *rcpt = &e->recipients[i];
		int rc = rcpt->state == RECIPIENT_PENDING ? local_account(r, m, rcpt, &accounts[i]) : -ENOENT;
		if (rc != 0 && rc != -ENOENT)
			return rc;
	}
	return 0;
}

/* False when nobody is local. */
static bool deliver_local(struct relay *r, struct message *m, const uint32_t *accounts)
{
	struct envelope *e = m->envelope;
	struct delivery *copies = calloc(e->recipient_count + 1, sizeof(*copies));
	uint32_t *local = calloc(e->recipient_count + 1, sizeof(*local));
	struct buf prefix = { 0 };
	uint32_t count = 0;
	if (copies == NULL || local == NULL)
		abort();

	trace_add_return_path(&prefix, span_of(e->reverse_path));
	buf_add(&prefix, buf_span(&e->prefix));
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		struct recipient *rcpt = &e->recipients[i];
		if (accounts[i] == 0)
			continue;
		copies[count] = (struct delivery){ .account_id = accounts[i],
						   .arrival_wall_ms = clock_wall_ms(),
						   .prefix = buf_span(&prefix) };
		local[count++] = i;
		relay_report(m, rcpt, REPORT(DSN_DELIVERED));
		rcpt->state = RECIPIENT_DELIVERED;
		rcpt->attempt_count++;
		rcpt->last_attempt_wall_ms = clock_wall_ms();
	}
	if (count > 0) {
		struct storing *s = relay_storing_new(r, m);
		s->local = local;
		s->local_count = count;
		s->goes_on = !s->removes;
		relay_store_step(s, copies);
	} else {
		free(local);
	}
	free(copies);
	buf_free(&prefix);
	return count > 0;
}

struct span relay_destination_key(struct span domain, char text[IDNA_NAME_BYTES_MAX + 1])
{
	struct span name = domain;

	return idna_to_ascii(domain, text, &name) && !MUTANT(RELAY_NO_IDNA) ? name : domain;
}

struct destination *relay_destination_of(struct relay *r, const struct envelope *e,
					 const struct recipient *rcpt)
{
	const char *at = strrchr(rcpt->address, '@');
	char text[IDNA_NAME_BYTES_MAX + 1];

	return destinations_find(r->destinations,
				 at != NULL ? relay_destination_key(span_of(at + 1), text)
					    : SPAN_LIT("localhost"),
				 MUTANT(RELAY_ALIAS_UNTAGGED) && strcmp(rcpt->address, rcpt->original) != 0
					 ? TLS_WISH_NONE
					 : envelope_tls_wish(e));
}

/* One delivery for each destination. */
void relay_submit_remote(struct relay *r, struct message *m)
{
	struct envelope *e = m->envelope;
	struct handover_list list = TAILQ_HEAD_INITIALIZER(list);
	struct handover *d;

	for (uint32_t i = 0; i < e->recipient_count; i++) {
		if (e->recipients[i].state != RECIPIENT_PENDING)
			continue;
		struct destination *to = relay_destination_of(r, e, &e->recipients[i]);
		TAILQ_FOREACH (d, &list, next)
			if (d->destination == to)
				break;
		if (d == NULL) {
			d = handover_new(m, to, e->recipient_count);
			TAILQ_INSERT_TAIL(&list, d, next);
			m->open_count++;
		}
		handover_add(d, i);
	}
	if (m->open_count == 0) {
		relay_settle(r, m);
		return;
	}
	/* The last of these calls may settle, and so free, the message. */
	while ((d = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, d, next);
		destination_submit(d->destination, d);
	}
}

/*
 * An alias that stands for several: its sender hears that it was expanded, once, and
 * of no success behind it (RFC 3461 5.2.7.3 (c)).
 */
static void report_expansions(struct message *m)
{
	struct envelope *e = m->envelope;

	for (uint32_t i = 0; i < e->recipient_count && !MUTANT(RELAY_ALIAS_UNREPORTED); i++) {
		struct recipient *first = &e->recipients[i];
		uint32_t others = 0;
		if ((first->notify & NOTIFY_SUCCESS) == 0 || strcmp(first->address, first->original) == 0)
			continue;
		for (uint32_t k = i + 1; k < e->recipient_count; k++) {
			struct recipient *other = &e->recipients[k];
			if (strcmp(other->original, first->original) != 0)
				continue;
			others++;
			if (MUTANT(RELAY_ALIAS_ASKS_ON))
				continue;
			other->notify &= (uint8_t)~NOTIFY_SUCCESS;
			if (other->notify == 0)
				other->notify = NOTIFY_NEVER;
		}
		if (others == 0 && !MUTANT(RELAY_ALIAS_REPORTS))
			continue;
		relay_report(m, first, REPORT(DSN_EXPANDED));
		if (MUTANT(RELAY_ALIAS_ASKS_ON))
			continue;
		first->notify &= (uint8_t)~NOTIFY_SUCCESS;
		if (first->notify == 0)
			first->notify = NOTIFY_NEVER;
	}
}

/*
 * What is not fit for a mailbox.  Binary content (RFC 3030 3): POP3 hands out lines (RFC 1939 3), and a bare LF, a NUL
 * or a line without an end would not come out as they went in.  A Return-Path field: at delivery there is exactly one,
 * ours (RFC 5321 4.4); on the way to others it stays.  So the recipients here get a message of their own, with the
 * content changed.  It enters the queue in the transaction that notes these recipients as done with.
 */
static bool is_for_mailbox(struct relay *r, const struct recipient *rcpt)
{
	const struct directory *d = r->server->directory;
	struct address a;
	uint32_t account;

	if (rcpt->state != RECIPIENT_PENDING || address_parse_text(span_of(rcpt->address), &a) != ADDRESS_OK)
		return false;
	int rc = directory_account(d, a, &account);
	/* Where the store cannot say, it is as if: nothing is lost by encoding. */
	return rc == 0 || (rc != -ENOENT && directory_is_local_domain(d, a.domain));
}

static struct envelope *split_for_mailboxes(struct relay *r, struct message *m, uint64_t body_bytes)
{
	struct envelope *from = m->envelope;
	struct envelope *e = envelope_new();

	e->id = store_new_id(r->server->store);
	e->body_bytes = body_bytes;
	e->arrival_wall_ms = from->arrival_wall_ms;
	e->due_wall_ms = clock_wall_ms();
	e->expires_wall_ms = from->expires_wall_ms;
	e->deliver_by_wall_ms = from->deliver_by_wall_ms;
	e->flags = from->flags & ~(uint32_t)ENVELOPE_RETURN_PATH;
	if ((from->flags & ENVELOPE_BINARYMIME) != 0)
		e->flags &= ~(uint32_t)(ENVELOPE_BINARYMIME | ENVELOPE_8BITMIME | ENVELOPE_CONTENT_8BIT);
	envelope_set_reverse_path(e, span_of(from->reverse_path));
	envelope_set_envid(e, span_of(from->envid));
	envelope_set_hold(e, from->release_wall_ms, span_of(from->hold));
	for (uint32_t i = 0; i < from->recipient_count; i++) {
		struct recipient *rcpt = &from->recipients[i];
		if (!is_for_mailbox(r, rcpt))
			continue;
		struct recipient *copy =
			envelope_add_recipient(e, span_of(rcpt->address), span_of(rcpt->original));
		assert(copy != NULL);
		recipient_set_dsn(copy, rcpt->notify, span_of(rcpt->orcpt));
		rcpt->state = RECIPIENT_DELIVERED; /* as far as this message goes */
	}
	return e;
}

static void fail_mailboxes(struct relay *r, struct message *m)
{
	struct smtp_result result;

	smtp_result_set_own(
		&result, SMTP_CLASS_PERMANENT, SMTP_STAGE_CONTENT, 6, 3,
		"binary content without a MIME structure in which it could be encoded for a mailbox");
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++) {
		struct recipient *rcpt = &m->envelope->recipients[i];
		if (!is_for_mailbox(r, rcpt))
			continue;
		r->server->counters.failed++;
		relay_log_result(m, rcpt, "failed", &result, "mailbox");
		relay_record(m, rcpt, &result, RECIPIENT_FAILED, "");
	}
}

static void deliver(struct relay *r, struct message *m)
{
	uint32_t *accounts = calloc(m->envelope->recipient_count + 1, sizeof(*accounts));
	if (accounts == NULL)
		abort();

	report_expansions(m);
	int rc = find_accounts(r, m, accounts);
	if (rc != 0) {
		log_event(LOG_ERROR, "accounts-unreadable", LOG_I("id", m->id),
			  LOG_C("error", strerror(-rc)));
		relay_settle(r, m);
	} else if (!deliver_local(r, m, accounts)) {
		relay_submit_remote(r, m);
	}
	free(accounts);
}

static void on_converted(void *ctx, struct content_job *j)
{
	struct message *m = ctx;
	struct relay *r = m->relay;

	m->conversion = NULL;
	if (j->rc != 0) {
		log_event(LOG_ERROR, "content-unreadable", LOG_I("id", m->id),
			  LOG_C("error", strerror(-j->rc)));
		relay_settle(r, m);
	} else if (j->converted != CONVERT_OK) {
		fail_mailboxes(r, m);
		deliver(r, m);
	} else {
		struct envelope *e = split_for_mailboxes(r, m, buf_bytes(&j->bytes));
		if (e->recipient_count == 0) { /* the accounts have gone meanwhile */
			envelope_free(e);
			deliver(r, m);
		} else {
			struct storing *s = relay_storing_new(r, m);
			s->converts = true;
			s->dsn = e;
			s->dsn_content = j->bytes;
			j->bytes = (struct buf){ 0 };
			s->goes_on = !s->removes;
			relay_store_step(s, NULL);
		}
	}
	content_job_free(j);
}

static bool convert_for_mailboxes(struct relay *r, struct message *m)
{
	bool wanted = false;

	for (uint32_t i = 0; i < m->envelope->recipient_count && !wanted; i++)
		wanted = is_for_mailbox(r, &m->envelope->recipients[i]);
	if (!wanted)
		return false;
	m->relay = r;
	m->conversion = content_job_for_mailbox(r->server, m, on_converted, m);
	return true;
}

/* RFC 2852 4.1.3: no more attempts. */
static void return_late(struct relay *r, struct message *m)
{
	for (uint32_t i = 0; i < m->envelope->recipient_count; i++)
		if (m->envelope->recipients[i].state == RECIPIENT_PENDING)
			relay_expire(r, m, &m->envelope->recipients[i]);
	relay_store_step(relay_storing_new(r, m), NULL);
}

void relay_activate(struct relay *r, struct message *m)
{
	m->held_for = NULL;
	m->attempted = false;
	if (envelope_is_overdue(m->envelope, clock_wall_ms())) {
		return_late(r, m);
		return;
	}
	uint32_t unfit = ENVELOPE_RETURN_PATH | (MUTANT(POP3_BINARY_STAYS) ? 0 : ENVELOPE_BINARYMIME);
	if ((m->envelope->flags & unfit) == 0 || !convert_for_mailboxes(r, m))
		deliver(r, m);
}
