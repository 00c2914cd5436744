#include "reference-server/drive/message.h"

#include "base/idna.h"
#include "base/must.h"
#include "reference-server/core/address.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/utf8.h"
#include "reference-server/drive/content_job.h"
#include "reference-server/store/body.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct message *message_new(struct envelope *envelope, struct buf *content)
{
	struct message *m = must(calloc(1, sizeof(*m)));

	m->id = envelope->id;
	m->envelope = envelope;
	m->to_report = must(calloc(envelope->recipient_count + 1, sizeof(*m->to_report)));
	if (buf_bytes(content) > 0) {
		assert(buf_bytes(content) == envelope->body_bytes);
		m->content = *content;
		m->in_memory = true;
		*content = (struct buf){ 0 };
	}
	return m;
}

void message_free(struct message *m)
{
	if (m == NULL)
		return;
	content_job_free(m->conversion);
	envelope_free(m->envelope);
	buf_free(&m->content);
	free(m->to_report);
	free(m);
}

uint64_t message_bytes(const struct message *m)
{
	return buf_bytes(&m->envelope->prefix) + m->envelope->body_bytes;
}

int message_peek(const struct message *m, struct store *store, uint64_t offset, char *scratch,
		 size_t scratch_bytes, struct span *ret_bytes)
{
	struct span prefix = buf_span(&m->envelope->prefix);

	*ret_bytes = (struct span){ NULL, 0 };
	if (offset < prefix.n) {
		*ret_bytes = span_sub(prefix, (size_t)offset, prefix.n);
		return 0;
	}
	offset -= prefix.n;
	if (offset >= m->envelope->body_bytes)
		return 0;
	if (m->in_memory) {
		struct span body = buf_span(&m->content);
		*ret_bytes = span_sub(body, (size_t)offset, body.n);
		return 0;
	}
	ssize_t n = body_read(store, m->envelope->body_id, offset, scratch, scratch_bytes);
	if (n < 0)
		return (int)n;
	if (n == 0)
		return -EIO; /* shorter than its envelope says */
	*ret_bytes = (struct span){ scratch, (size_t)n };
	return 0;
}

struct span message_ascii_path(struct span path, char *text)
{
	char domain[IDNA_NAME_BYTES_MAX + 1];
	struct address a;

	if (utf8_is_ascii(path) || address_parse_text(path, &a) != ADDRESS_OK || !utf8_is_ascii(a.local) ||
	    !idna_to_ascii(a.domain, domain, &a.domain))
		return path;
	return address_text(a, text);
}

struct handover *handover_new(struct message *m, struct destination *to, uint32_t rcpt_count_max)
{
	struct handover *d = must(calloc(1, sizeof(*d)));

	d->message = m;
	d->destination = to;
	d->indexes = must(calloc(rcpt_count_max, sizeof(*d->indexes)));
	d->rcpts = must(calloc(rcpt_count_max, sizeof(*d->rcpts)));
	return d;
}

void handover_add(struct handover *d, uint32_t recipient_index)
{
	d->indexes[d->rcpt_count] = recipient_index;
	d->rcpts[d->rcpt_count] = span_of(d->message->envelope->recipients[recipient_index].address);
	d->rcpt_count++;
}

/* RFC 3461 5.2.1 (d): the address as it was when the message came.  Others' DSNs then name what its sender knows. */
static struct span add_orcpt(struct buf *b, const char *address)
{
	size_t before = buf_bytes(b);

	buf_add_cstr(b, "rfc822;");
	for (const char *p = address; *p != '\0'; p++) {
		if (*p > ' ' && *p < 0x7F && *p != '+' && *p != '=')
			buf_add(b, (struct span){ p, 1 });
		else
			buf_addf(b, "+%02X", (unsigned)(unsigned char)*p);
	}
	return span_sub(buf_span(b), before, buf_bytes(b));
}

static bool is_aliased(const struct recipient *r)
{
	return utf8_is_ascii(span_of(r->original)) && /* else it has no rfc822 form */
	       strcmp(r->original, r->address) != 0 &&
	       strlen(r->original) < (ENVELOPE_ORCPT_BYTES_MAX - 8) / 3;
}

static uint8_t notify_for(const struct recipient *r, bool late_unsaid)
{
	if (!late_unsaid || (r->notify & NOTIFY_NEVER) != 0)
		return r->notify;
	return r->notify == 0 ? NOTIFY_FAILURE | NOTIFY_DELAY : r->notify | NOTIFY_DELAY;
}

void handover_wish(struct handover *d, bool late_unsaid)
{
	const struct recipient *all = d->message->envelope->recipients;
	bool any = late_unsaid;

	free(d->wishes); /* for a host tried before */
	d->wishes = NULL;
	buf_reset(&d->aliased);
	for (uint32_t i = 0; i < d->rcpt_count && !any; i++) {
		const struct recipient *r = &all[d->indexes[i]];
		any = r->notify != 0 || r->orcpt[0] != '\0' || is_aliased(r);
	}
	if (!any)
		return;
	d->wishes = must(calloc(d->rcpt_count, sizeof(*d->wishes)));
	/* All the room at once, so that what is added stays where it is. */
	(void)buf_reserve(&d->aliased, (size_t)d->rcpt_count * ENVELOPE_ORCPT_BYTES_MAX);
	for (uint32_t i = 0; i < d->rcpt_count; i++) {
		const struct recipient *r = &all[d->indexes[i]];
		if (is_aliased(r) && MUTANT(RELAY_ALIAS_UNWISHED))
			continue;
		d->wishes[i].notify = notify_for(r, late_unsaid);
		d->wishes[i].orcpt = span_of(r->orcpt);
		if (r->orcpt[0] == '\0' && is_aliased(r))
			d->wishes[i].orcpt = add_orcpt(&d->aliased, r->original);
	}
}

static struct span add_ascii(struct buf *to, struct span path)
{
	char text[ADDRESS_TEXT_BYTES_MAX];
	size_t before = buf_bytes(to);

	buf_add(to, message_ascii_path(path, text));
	return span_sub(buf_span(to), before, buf_bytes(to));
}

struct span handover_use_ascii(struct handover *d)
{
	/* All the room at once, so that what is added stays where it is. */
	buf_reset(&d->ascii);
	(void)buf_reserve(&d->ascii, ((size_t)d->rcpt_count + 1) * ADDRESS_TEXT_BYTES_MAX);
	for (uint32_t i = 0; i < d->rcpt_count; i++) {
		const struct recipient *r = &d->message->envelope->recipients[d->indexes[i]];
		d->rcpts[i] = add_ascii(&d->ascii, span_of(r->address));
	}
	return add_ascii(&d->ascii, span_of(d->message->envelope->reverse_path));
}

void handover_free(struct handover *d)
{
	if (d == NULL)
		return;
	free(d->indexes);
	free(d->rcpts);
	free(d->results);
	free(d->wishes);
	buf_free(&d->aliased);
	buf_free(&d->ascii);
	buf_free(&d->converted);
	free(d);
}

void handover_set_all(struct handover *d, const struct smtp_result *result)
{
	if (d->results == NULL)
		d->results = must(calloc(d->rcpt_count, sizeof(*d->results)));
	for (uint32_t i = 0; i < d->rcpt_count; i++)
		d->results[i] = *result;
}
