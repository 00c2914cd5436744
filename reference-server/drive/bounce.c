#include "reference-server/drive/bounce.h"

#include "base/log.h"
#include "base/random.h"
#include "reference-server/core/address.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/trace.h"
#include "reference-server/core/utf8.h"
#include "reference-server/drive/directory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bounce_is_wanted(const struct recipient *r, enum dsn_action action)
{
	if (MUTANT(RELAY_NEVER_IGNORED) && (r->notify & NOTIFY_NEVER) != 0)
		return true;
	switch (action) {
	case DSN_FAILED:
		return r->notify == 0 || (r->notify & NOTIFY_FAILURE) != 0 || MUTANT(DSN_ON_NEVER) ||
		       (MUTANT(RELAY_SUCCESS_IS_FAILURE) && (r->notify & NOTIFY_SUCCESS) != 0);
	case DSN_DELAYED:
		return r->notify == 0 || (r->notify & NOTIFY_DELAY) != 0;
	case DSN_DELIVERED:
		return ((r->notify & NOTIFY_SUCCESS) != 0 && !MUTANT(DSN_NO_SUCCESS)) ||
		       MUTANT(DSN_ON_SUCCESS);
	case DSN_RELAYED:
	case DSN_EXPANDED:
		return true;
	case DSN_NONE:
	case DSN_ACTION_COUNT:
		break;
	}
	return false;
}

/* ---- one recipient ---- */

static struct smtp_status status_of(const struct envelope *e, const struct recipient *r,
				    enum dsn_action action, bool expired)
{
	struct smtp_status status;
	struct span text = span_of(r->enhanced);
	uint8_t class_digit = action == DSN_FAILED ? 5 : action == DSN_DELAYED ? 4 : 2;

	/* RFC 2852 4.1.3: the sender's own time, however the last attempt ended. */
	if (expired && (action == DSN_DELAYED || envelope_is_overdue(e, clock_wall_ms())))
		return (struct smtp_status){ .class_digit = class_digit, .subject = 4, .detail = 7 };
	/* A failure may have a temporary status, when time ran out. */
	if (action == DSN_FAILED && text.n > 0 && text.p[0] == '4')
		class_digit = 4;
	if (action != DSN_DELIVERED && action != DSN_EXPANDED &&
	    smtp_status_parse(text, class_digit, &status))
		return status;
	if (expired) /* RFC 3463 3.5: delivery time expired */
		return (struct smtp_status){ .class_digit = 4, .subject = 4, .detail = 7 };
	if (action == DSN_DELIVERED &&
	    !MUTANT(DSN_OTHER_STATUS)) /* RFC 3463 3.2: of a mailbox that was valid */
		return (struct smtp_status){ .class_digit = 2, .subject = 1, .detail = 5 };
	return (struct smtp_status){ .class_digit = class_digit };
}

static struct dsn_rcpt rcpt_of(const struct server *server, const struct message *m,
			       const struct recipient *r, enum dsn_action action, bool expired)
{
	struct dsn_rcpt d = {
		.action = action,
		/* As it was when we took the message (RFC 3464 2.3.2): an alias keeps what is behind it. */
		.final_rcpt = span_of(r->original),
		.orcpt = span_of(r->orcpt),
		.status = status_of(m->envelope, r, action, expired),
		.last_attempt_ms = r->last_attempt_wall_ms,
		.expired = expired,
	};
	if (action == DSN_DELAYED)
		d.will_retry_until_ms = envelope_ready_wall_ms(m->envelope) + server->config->retry.expire_ms;
	if (action == DSN_DELIVERED || action == DSN_EXPANDED) /* here: what a host said before is past */
		return d;
	d.smtp_code = r->reply_code;
	d.text = span_of(r->reply_text);
	d.remote_mta = span_of(r->remote_mta);
	return d;
}

/* to_postmaster: every failure counts, whoever wants to know. */
static uint32_t fill_recipients(const struct server *server, const struct message *m, bool to_postmaster,
				struct dsn_rcpt *rcpts)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < m->envelope->recipient_count; i++) {
		const struct recipient *r = &m->envelope->recipients[i];
		for (unsigned action = DSN_FAILED; action < DSN_ACTION_COUNT; action++) {
			bool expired = (action == DSN_FAILED || action == DSN_DELAYED) &&
				       (m->to_report[i] & REPORT_EXPIRED) != 0;
			if ((m->to_report[i] & REPORT(action)) == 0)
				continue;
			if (to_postmaster ? action != DSN_FAILED
					  : !bounce_is_wanted(r, (enum dsn_action)action))
				continue;
			rcpts[count++] = rcpt_of(server, m, r, (enum dsn_action)action, expired);
		}
	}
	return count;
}

/* ---- the original ---- */

/* At most bytes_max of it. */
static void read_original(struct server *server, const struct message *m, uint64_t bytes_max, struct buf *b)
{
	char scratch[4096];

	while (buf_bytes(b) < bytes_max) {
		struct span more;
		if (message_peek(m, server->store, buf_bytes(b), scratch, sizeof(scratch), &more) != 0 ||
		    more.n == 0)
			break;
		buf_add(b, span_sub(more, 0, (size_t)(bytes_max - buf_bytes(b))));
	}
}

/* As much of the message as the header of a notification may want. */
static void read_header(struct server *server, const struct message *m, struct buf *b)
{
	read_original(server, m, DSN_HEADER_BYTES_MAX, b);
	struct span all = buf_span(b);
	const char *end = all.n > 0 ? memmem(all.p, all.n, "\r\n\r\n", 4) : NULL;
	if (end != NULL)
		buf_truncate(b, (size_t)(end - all.p) + 2);
}

/* RFC 3461 6.2: RET=FULL is for failures, and within limits. */
static bool returns_whole(const struct server *server, const struct message *m, const struct dsn_rcpt *rcpts,
			  uint32_t count, bool to_postmaster)
{
	const struct envelope *e = m->envelope;

	if (message_bytes(m) > server->config->notifications.full_bytes_max ||
	    (e->flags & (ENVELOPE_BINARYMIME | ENVELOPE_REQUIRETLS)) != 0) /* RFC 8689 5 */
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (rcpts[i].action == DSN_FAILED)
			return to_postmaster ||
			       ((e->flags & ENVELOPE_RET_FULL) != 0 && !MUTANT(DSN_NO_CONTENT));
	return MUTANT(DSN_CONTENT_ALWAYS);
}

/* ---- the mail ---- */

static void write_content(struct server *server, const struct message *m, struct span to,
			  const struct dsn_rcpt *rcpts, uint32_t count, bool to_postmaster, struct buf *out)
{
	const struct envelope *original = m->envelope;
	struct buf text = { 0 }, message_id = { 0 };
	char queue_id[STORE_ID_TEXT_BYTES], boundary[48];
	uint64_t unique[2] = { random_u64(), random_u64() };
	struct span host = span_of(server->config->hostname);
	int64_t now_ms = clock_wall_ms();
	bool whole = returns_whole(server, m, rcpts, count, to_postmaster);

	if (whole)
		read_original(server, m, message_bytes(m), &text);
	if (buf_bytes(&text) < message_bytes(m)) { /* unreadable, or not to be returned */
		whole = false;
		buf_reset(&text);
		read_header(server, m, &text);
	}
	if (MUTANT(DSN_SAME_ID))
		unique[0] = unique[1] = 0;
	trace_add_new_message_id(&message_id, MUTANT(DSN_SAME_ID) ? 0 : now_ms,
				 (struct span){ (const char *)unique, sizeof(unique) }, host);
	(void)snprintf(boundary, sizeof(boundary), "=_%016" PRIx64 "%016" PRIx64, unique[1], unique[0]);
	dsn_add(out, &(struct dsn){
			     .host = host,
			     .to = to,
			     .message_id = buf_span(&message_id),
			     .boundary = span_of(boundary),
			     .queue_id = span_of(store_id_text(original->id, queue_id)),
			     .envid = span_of(original->envid),
			     .now_ms = now_ms,
			     .arrival_ms = original->arrival_wall_ms,
			     .deliver_by_ms = original->deliver_by_wall_ms,
			     .hold = span_of(original->hold),
			     .utf8 = (original->flags & ENVELOPE_SMTPUTF8) != 0,
			     .rcpts = rcpts,
			     .rcpt_count = count,
			     .header = whole ? (struct span){ NULL, 0 } : buf_span(&text),
			     .whole = whole ? buf_span(&text) : (struct span){ NULL, 0 },
		     });
	buf_free(&text);
	buf_free(&message_id);
}

static void add_recipient(void *ctx, struct span address_text)
{
	(void)envelope_add_recipient(ctx, address_text, (struct span){ NULL, 0 });
}

static bool was_for_postmaster(const struct server *server, const struct message *m)
{
	const char *postmaster = server->config->notifications.postmaster;

	for (uint32_t i = 0; i < m->envelope->recipient_count; i++)
		if (span_eq_nocase(span_of(m->envelope->recipients[i].original), span_of(postmaster)))
			return true;
	return false;
}

static void log_lost(const struct message *m)
{
	char id[STORE_ID_TEXT_BYTES];

	for (uint32_t i = 0; i < m->envelope->recipient_count; i++)
		if ((m->to_report[i] & REPORT(DSN_FAILED)) != 0)
			log_event(LOG_WARN, "double-bounce", LOG_C("id", store_id_text(m->id, id)),
				  LOG_C("rcpt", m->envelope->recipients[i].original),
				  LOG_C("text", m->envelope->recipients[i].reply_text));
}

static struct envelope *new_envelope(struct server *server, struct span to, bool to_postmaster,
				     uint32_t flags_of_original, const struct buf *content)
{
	struct envelope *e = envelope_new();
	struct address a;

	e->id = store_new_id(server->store);
	e->arrival_wall_ms = e->due_wall_ms = clock_wall_ms();
	if (MUTANT(DSN_WITH_SENDER))
		envelope_set_reverse_path(e, to);
	e->flags = ENVELOPE_NOTIFICATION | (flags_of_original & ENVELOPE_REQUIRETLS);
	if (!utf8_is_ascii(buf_span(content)))
		e->flags |= ENVELOPE_CONTENT_8BIT | ENVELOPE_8BITMIME;
	if (!utf8_is_ascii(to))
		e->flags |= flags_of_original & ENVELOPE_SMTPUTF8;
	if (MUTANT(RELAY_DSN_FROM_SOMEBODY))
		envelope_set_reverse_path(e, to);
	e->body_bytes = buf_bytes(content);
	/* The postmaster is one of ours, most likely, and may be an alias; a reverse-path never is looked up so. */
	if (!to_postmaster || address_parse_mailbox(to, &a) != ADDRESS_OK ||
	    directory_expand(server->directory, a, add_recipient, e) != 0)
		add_recipient(e, to);
	if (to_postmaster)
		for (uint32_t i = 0; i < e->recipient_count; i++) {
			free(e->recipients[i].original);
			e->recipients[i].original = strndup(to.p, to.n);
			if (e->recipients[i].original == NULL)
				abort();
		}
	return e;
}

struct envelope *bounce_make(struct server *server, const struct message *m, struct buf *ret_content)
{
	const struct envelope *original = m->envelope;
	char text[ADDRESS_TEXT_BYTES_MAX];
	struct span to = message_ascii_path(span_of(original->reverse_path), text);
	bool to_postmaster = to.n == 0;

	struct dsn_rcpt *rcpts =
		calloc((size_t)original->recipient_count * DSN_ACTION_COUNT + 1, sizeof(*rcpts));
	if (rcpts == NULL)
		abort();
	uint32_t count = fill_recipients(server, m, to_postmaster, rcpts);
	if (MUTANT(DSN_NONE_SENT) || (MUTANT(DSN_FIRST_ONLY) && count > 1))
		count = MUTANT(DSN_NONE_SENT) ? 0 : 1;
	if (to_postmaster && count > 0) {
		log_lost(m);
		if (server->config->notifications.postmaster == NULL || was_for_postmaster(server, m))
			count = 0;
		else
			to = span_of(server->config->notifications.postmaster);
	}
	struct envelope *e = NULL;
	if (count > 0 && !MUTANT(RELAY_NO_BOUNCE)) {
		write_content(server, m, to, rcpts, count, to_postmaster, ret_content);
		e = new_envelope(server, to, to_postmaster, original->flags, ret_content);
	}
	free(rcpts);
	return e;
}
