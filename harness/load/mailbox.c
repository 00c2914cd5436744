#include "harness/load/mailbox.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

/* What tells two messages apart: "nth uid". */
static struct span make_key(struct span uid, uint32_t nth, struct buf *key)
{
	buf_reset(key);
	buf_addf(key, "%u ", nth);
	buf_add(key, uid);
	return buf_span(key);
}

static struct known *find(const struct mailbox *m, struct span key)
{
	struct known *k;
	HASH_FIND(hh, m->all, key.p, key.n, k);
	return k;
}

static struct known *know(struct mailbox *m, struct span key, int64_t now_ns)
{
	struct known *k = calloc(1, sizeof(*k) + key.n);
	if (k == NULL)
		abort();
	memcpy(k->key, key.p, key.n);
	k->key_bytes = key.n;
	k->uid_bytes = key.n - span_find(key, ' ') - 1;
	k->absent_ns = m->absent_ns;
	k->listed_ns = now_ns;
	HASH_ADD_KEYPTR(hh, m->all, k->key, k->key_bytes, k);
	return k;
}

/* The first, second, ... of this UID in this listing: each was seen before, or is new. */
static struct known *take_listed(struct mailbox *m, struct span uid, struct buf *key, int64_t now_ns)
{
	struct known *first = find(m, make_key(uid, 0, key));
	if (first == NULL)
		first = know(m, buf_span(key), now_ns);
	if (first->listing != m->listing_nth) {
		first->listing = m->listing_nth;
		first->same_count = 1;
		return first;
	}
	m->uids_repeat = true;
	struct known *k = find(m, make_key(uid, first->same_count++, key));
	if (k == NULL)
		k = know(m, buf_span(key), now_ns);
	k->listing = m->listing_nth;
	return k;
}

struct span known_uid(const struct known *k)
{
	return (struct span){ k->key + k->key_bytes - k->uid_bytes, k->uid_bytes };
}

static void forget(struct mailbox *m, struct known *k)
{
	HASH_DEL(m->all, k);
	free(k);
}

static void add_listed(struct mailbox *m, uint64_t number, struct known *known)
{
	if (m->listed_count == m->listing_room) {
		m->listing_room = m->listing_room > 0 ? m->listing_room * 2 : 64;
		m->listing = reallocarray(m->listing, m->listing_room, sizeof(m->listing[0]));
		if (m->listing == NULL)
			abort();
	}
	m->listing[m->listed_count++] = (struct listed){ .number = number, .octets = -1, .known = known };
}

/* "number rest" of the next line of a listing.  False at the end; *ret_good is false for another form. */
static bool next_line(struct span *lines, uint64_t *ret_number, struct span *ret_rest, bool *ret_good)
{
	struct span line, number;
	if (!span_take_until(lines, '\n', &line))
		return false;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	*ret_good = span_take_until(&line, ' ', &number) && span_to_u64(number, ret_number);
	*ret_rest = span_trim(line);
	*ret_good = *ret_good && ret_rest->n > 0;
	return true;
}

/*
 * A QUIT without a reply left it open whether its deletions were done.  All
 * gone: done.  All still there: not done.  Some of each: what is there again
 * may be an old message or a second copy, and so it may in any case where the
 * server has been seen to give UIDs twice.
 */
static void judge_open_end(struct mailbox *m)
{
	struct known *k, *next;
	uint32_t back = 0, gone = 0;
	if (!m->end_is_open)
		return;
	m->end_is_open = false;
	HASH_ITER(hh, m->all, k, next)
	{
		if (!k->deleted)
			continue;
		k->deleted = false;
		back += k->listing == m->listing_nth ? 1 : 0;
		gone += k->listing == m->listing_nth ? 0 : 1;
		if (k->listing != m->listing_nth)
			forget(m, k);
	}
	if (gone > 0 || m->uids_repeat)
		m->doubtful_count += back;
}

bool mailbox_read_uids(struct mailbox *m, struct span lines, uint32_t messages_max, int64_t login_sent_ns,
		       int64_t now_ns)
{
	struct span uid;
	uint64_t number;
	bool fine = true, good;
	struct buf key = { 0 };
	mailbox_forget_listing(m);
	m->listing_nth++;
	while (fine && next_line(&lines, &number, &uid, &good)) {
		fine = good && m->listed_count < messages_max;
		if (fine)
			add_listed(m, number, take_listed(m, uid, &key, now_ns));
	}
	buf_free(&key);
	if (!fine)
		return false;
	judge_open_end(m);
	m->absent_ns = login_sent_ns;
	return true;
}

void mailbox_read_sizes(struct mailbox *m, struct span lines)
{
	struct span size;
	uint64_t number, octets;
	bool good;
	uint32_t i = 0;
	/* Both listings go upwards in every server; a number that comes out of order keeps octets -1. */
	while (next_line(&lines, &number, &size, &good)) {
		while (good && i < m->listed_count && m->listing[i].number < number)
			i++;
		size = span_sub(size, 0, span_find(size, ' '));
		if (good && i < m->listed_count && m->listing[i].number == number &&
		    span_to_u64(size, &octets) && octets <= INT64_MAX)
			m->listing[i].octets = (int64_t)octets;
	}
}

bool mailbox_has_new(const struct mailbox *m)
{
	for (uint32_t i = 0; i < m->listed_count; i++)
		if (!m->listing[i].known->retrieved)
			return true;
	return false;
}

void mailbox_end_session(struct mailbox *m, enum mailbox_end end)
{
	struct known *k, *next;
	m->end_is_open = m->end_is_open || end == MAILBOX_QUIT_UNANSWERED;
	if (m->end_is_open)
		return;
	HASH_ITER(hh, m->all, k, next)
	{
		if (k->deleted && end == MAILBOX_QUIT_DONE)
			forget(m, k);
		else
			k->deleted = false;
	}
	mailbox_forget_listing(m);
}

void mailbox_forget_listing(struct mailbox *m)
{
	m->listed_count = 0;
}

void mailbox_free(struct mailbox *m)
{
	struct known *k, *next;
	HASH_ITER(hh, m->all, k, next)
	{
		forget(m, k);
	}
	free(m->listing);
	*m = (struct mailbox){ 0 };
}
