#include "reference-server/store/envelope.h"
#include "reference-server/store/row.h"
#include "reference-server/store/txn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROW_VERSION = 2,
	ROW_VERSION_WITH_RELEASE = 3,
	/* A row cannot claim more recipients than it has room for. */
	RECIPIENT_ROW_BYTES_MIN = 1 + 1 + 4 + 2 + 8 + 6 * 2,
};

/* ---- texts ---- */

static char *text_new(struct span s, size_t bytes_max)
{
	s = span_sub(s, 0, bytes_max);
	char *text = store_alloc(s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		text[i] = s.p[i] != '\0' ? s.p[i] : '?';
	return text;
}

static void set_text(char **text, struct span s, size_t bytes_max)
{
	char *fresh = text_new(s, bytes_max); /* s may point into the old one */

	free(*text);
	*text = fresh;
}

/* ---- building ---- */

struct envelope *envelope_new(void)
{
	struct envelope *e = store_alloc(sizeof(*e));

	e->reverse_path = text_new((struct span){ 0 }, 0);
	e->envid = text_new((struct span){ 0 }, 0);
	e->hold = text_new((struct span){ 0 }, 0);
	return e;
}

void envelope_keep_recipients(struct envelope *e, uint32_t count)
{
	assert(count <= e->recipient_count);
	while (e->recipient_count > count) {
		struct recipient *r = &e->recipients[--e->recipient_count];
		free(r->address);
		free(r->original);
		free(r->orcpt);
		free(r->reply_text);
		free(r->remote_mta);
	}
}

void envelope_free(struct envelope *e)
{
	if (e == NULL)
		return;
	envelope_keep_recipients(e, 0);
	free(e->recipients);
	free(e->reverse_path);
	free(e->envid);
	free(e->hold);
	buf_free(&e->prefix);
	free(e);
}

void envelope_set_reverse_path(struct envelope *e, struct span path)
{
	set_text(&e->reverse_path, path, ENVELOPE_PATH_BYTES_MAX);
}

void envelope_set_envid(struct envelope *e, struct span envid)
{
	set_text(&e->envid, envid, ENVELOPE_ENVID_BYTES_MAX);
}

void envelope_set_hold(struct envelope *e, int64_t release_wall_ms, struct span hold)
{
	e->release_wall_ms = release_wall_ms;
	set_text(&e->hold, hold, ENVELOPE_HOLD_BYTES_MAX);
}

int64_t envelope_ready_wall_ms(const struct envelope *e)
{
	return e->release_wall_ms > e->arrival_wall_ms ? e->release_wall_ms : e->arrival_wall_ms;
}

bool envelope_is_overdue(const struct envelope *e, int64_t now_wall_ms)
{
	return (e->flags & ENVELOPE_BY_RETURN) != 0 && e->deliver_by_wall_ms != 0 &&
	       e->deliver_by_wall_ms <= now_wall_ms;
}

/* Room is always the next power of two, so the count alone says when it is used up. */
static struct recipient *recipient_room(struct envelope *e)
{
	uint32_t n = e->recipient_count;

	if ((n & (n - 1)) == 0) {
		struct recipient *more = store_alloc((n > 0 ? 2 * (size_t)n : 1) * sizeof(*more));
		if (n > 0)
			memcpy(more, e->recipients, n * sizeof(*more));
		free(e->recipients);
		e->recipients = more;
	}
	return &e->recipients[e->recipient_count++];
}

struct recipient *envelope_add_recipient(struct envelope *e, struct span address, struct span original)
{
	if (e->recipient_count >= ENVELOPE_RECIPIENTS_MAX)
		return NULL;
	struct recipient *r = recipient_room(e);
	r->address = text_new(address, ENVELOPE_PATH_BYTES_MAX);
	r->original = text_new(original.n > 0 ? original : address, ENVELOPE_PATH_BYTES_MAX);
	r->orcpt = text_new((struct span){ 0 }, 0);
	r->reply_text = text_new((struct span){ 0 }, 0);
	r->remote_mta = text_new((struct span){ 0 }, 0);
	return r;
}

void recipient_set_dsn(struct recipient *r, uint8_t notify, struct span orcpt)
{
	assert(notify <= NOTIFY_ALL);
	r->notify = notify;
	set_text(&r->orcpt, orcpt, ENVELOPE_ORCPT_BYTES_MAX);
}

void recipient_set_result(struct recipient *r, enum recipient_state state, uint16_t reply_code,
			  struct span enhanced, struct span reply_text, struct span remote_mta)
{
	r->state = state;
	r->reply_code = reply_code;
	if (!span_copy(enhanced, r->enhanced, sizeof(r->enhanced)))
		r->enhanced[0] = '\0';
	set_text(&r->reply_text, reply_text, ENVELOPE_TEXT_BYTES_MAX);
	set_text(&r->remote_mta, remote_mta, ENVELOPE_TEXT_BYTES_MAX);
}

/* ---- rows ---- */

static void pack_recipient(const struct recipient *r, struct buf *row)
{
	buf_add_u8(row, (uint8_t)r->state);
	buf_add_u8(row, r->notify);
	buf_add_u32(row, r->attempt_count);
	buf_add_u16(row, r->reply_code);
	buf_add_u64(row, (uint64_t)r->last_attempt_wall_ms);
	row_add_text(row, span_of(r->address));
	row_add_text(row, span_of(r->original));
	row_add_text(row, span_of(r->orcpt));
	row_add_text(row, span_of(r->enhanced));
	row_add_text(row, span_of(r->reply_text));
	row_add_text(row, span_of(r->remote_mta));
}

void envelope_pack(const struct envelope *e, struct buf *row)
{
	assert(e->recipient_count <= ENVELOPE_RECIPIENTS_MAX);

	buf_add_u8(row, e->release_wall_ms == 0 ? ROW_VERSION : ROW_VERSION_WITH_RELEASE);
	buf_add_u8(row, 0);
	buf_add_u16(row, 0);
	buf_add_u32(row, e->recipient_count);
	buf_add_u64(row, (uint64_t)e->due_wall_ms);
	buf_add_u64(row, (uint64_t)e->arrival_wall_ms);
	buf_add_u32(row, e->attempt_count);
	buf_add_u32(row, e->flags);
	buf_add_u64(row, e->body_id);
	buf_add_u64(row, e->body_bytes);
	buf_add_u64(row, (uint64_t)e->expires_wall_ms);
	buf_add_u64(row, (uint64_t)e->deliver_by_wall_ms);
	if (e->release_wall_ms != 0) {
		buf_add_u64(row, (uint64_t)e->release_wall_ms);
		row_add_text(row, span_of(e->hold));
	}
	row_add_text(row, span_of(e->reverse_path));
	row_add_text(row, span_of(e->envid));
	buf_add_u32(row, (uint32_t)buf_bytes(&e->prefix));
	buf_add(row, buf_span(&e->prefix));
	for (uint32_t i = 0; i < e->recipient_count; i++)
		pack_recipient(&e->recipients[i], row);
}

/* Rows hold no NUL in a text and nothing longer than a setter lets through. */
static bool text_ok(struct span s, size_t bytes_max)
{
	return s.n <= bytes_max && span_find(s, '\0') == s.n;
}

static bool unpack_recipient(struct row *r, struct envelope *e)
{
	uint8_t state = row_u8(r);
	uint8_t notify = row_u8(r);
	uint32_t attempt_count = row_u32(r);
	uint16_t reply_code = row_u16(r);
	int64_t last_attempt_wall_ms = row_i64(r);
	struct span address = row_text(r);
	struct span original = row_text(r);
	struct span orcpt = row_text(r);
	struct span enhanced = row_text(r);
	struct span reply_text = row_text(r);
	struct span remote_mta = row_text(r);

	if (r->bad || state > RECIPIENT_FAILED || notify > NOTIFY_ALL ||
	    !text_ok(address, ENVELOPE_PATH_BYTES_MAX) || !text_ok(original, ENVELOPE_PATH_BYTES_MAX) ||
	    (original.n == 0 && address.n > 0) || !text_ok(orcpt, ENVELOPE_ORCPT_BYTES_MAX) ||
	    !text_ok(enhanced, ENVELOPE_ENHANCED_BYTES_MAX) ||
	    !text_ok(reply_text, ENVELOPE_TEXT_BYTES_MAX) || !text_ok(remote_mta, ENVELOPE_TEXT_BYTES_MAX))
		return false;
	struct recipient *to = envelope_add_recipient(e, address, original);
	if (to == NULL)
		return false;
	recipient_set_dsn(to, notify, orcpt);
	recipient_set_result(to, (enum recipient_state)state, reply_code, enhanced, reply_text, remote_mta);
	to->attempt_count = attempt_count;
	to->last_attempt_wall_ms = last_attempt_wall_ms;
	return true;
}

static bool is_known(uint8_t version)
{
	return version == ROW_VERSION || version == ROW_VERSION_WITH_RELEASE;
}

static bool unpack_all(struct row *r, struct envelope *e)
{
	uint8_t version = row_u8(r);
	uint8_t zero8 = row_u8(r);
	uint16_t zero16 = row_u16(r);
	uint32_t recipient_count = row_u32(r);

	if (r->bad || !is_known(version) || zero8 != 0 || zero16 != 0)
		return false;
	e->due_wall_ms = row_i64(r);
	e->arrival_wall_ms = row_i64(r);
	e->attempt_count = row_u32(r);
	e->flags = row_u32(r);
	e->body_id = row_u64(r);
	e->body_bytes = row_u64(r);
	e->expires_wall_ms = row_i64(r);
	e->deliver_by_wall_ms = row_i64(r);
	if (version == ROW_VERSION_WITH_RELEASE) {
		int64_t release_wall_ms = row_i64(r);
		struct span hold = row_text(r);
		if (r->bad || release_wall_ms == 0 || !text_ok(hold, ENVELOPE_HOLD_BYTES_MAX))
			return false;
		envelope_set_hold(e, release_wall_ms, hold);
	}
	struct span reverse_path = row_text(r);
	struct span envid = row_text(r);
	struct span prefix = row_bytes(r, row_u32(r));
	if (r->bad || prefix.n > ENVELOPE_PREFIX_BYTES_MAX ||
	    !text_ok(reverse_path, ENVELOPE_PATH_BYTES_MAX) || !text_ok(envid, ENVELOPE_ENVID_BYTES_MAX) ||
	    recipient_count > ENVELOPE_RECIPIENTS_MAX ||
	    recipient_count > r->rest.n / RECIPIENT_ROW_BYTES_MIN)
		return false;
	envelope_set_reverse_path(e, reverse_path);
	envelope_set_envid(e, envid);
	buf_add(&e->prefix, prefix);
	for (uint32_t i = 0; i < recipient_count; i++)
		if (!unpack_recipient(r, e))
			return false;
	return row_ended(r);
}

struct envelope *envelope_unpack(uint64_t id, struct span row)
{
	struct envelope *e = envelope_new();
	struct row r = row_of(row);

	e->id = id;
	if (unpack_all(&r, e))
		return e;
	envelope_free(e);
	return NULL;
}

bool envelope_peek(struct span row, struct envelope_glance *ret_glance)
{
	struct row r = row_of(row);
	uint8_t version = row_u8(&r);
	struct envelope_glance g;

	(void)row_bytes(&r, 7);
	g.due_wall_ms = row_i64(&r);
	g.arrival_wall_ms = row_i64(&r);
	(void)row_u32(&r); /* attempt_count */
	g.flags = row_u32(&r);
	if (r.bad || !is_known(version))
		return false;
	*ret_glance = g;
	return true;
}

bool envelope_peek_body(struct span row, uint64_t *ret_body_id, uint64_t *ret_body_bytes)
{
	struct row r = row_of(row);
	uint8_t version = row_u8(&r);

	(void)row_bytes(&r, 31);
	uint64_t body_id = row_u64(&r);
	uint64_t body_bytes = row_u64(&r);
	if (r.bad || !is_known(version))
		return false;
	*ret_body_id = body_id;
	*ret_body_bytes = body_bytes;
	return true;
}
