#include "harness/load/mailbox.h"

#include <stdlib.h>
#include <string.h>

static struct known *know(struct mailbox *m, struct span uid, int64_t now_ns)
{
	struct known *k;
	HASH_FIND(hh, m->all, uid.p, uid.n, k);
	if (k != NULL)
		return k;
	k = calloc(1, sizeof(*k) + uid.n);
	if (k == NULL)
		abort();
	memcpy(k->uid, uid.p, uid.n);
	k->uid_bytes = uid.n;
	k->absent_ns = m->absent_ns;
	k->listed_ns = now_ns;
	HASH_ADD_KEYPTR(hh, m->all, k->uid, k->uid_bytes, k);
	return k;
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

bool mailbox_read_uids(struct mailbox *m, struct span lines, uint32_t messages_max, int64_t login_sent_ns,
		       int64_t now_ns)
{
	struct span uid;
	uint64_t number;
	bool good;
	mailbox_forget_listing(m);
	while (next_line(&lines, &number, &uid, &good)) {
		if (!good || m->listed_count == messages_max)
			return false;
		add_listed(m, number, know(m, uid, now_ns));
	}
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

void mailbox_forget_listing(struct mailbox *m)
{
	m->listed_count = 0;
}

void mailbox_free(struct mailbox *m)
{
	struct known *k, *next;
	HASH_ITER(hh, m->all, k, next)
	{
		HASH_DEL(m->all, k);
		free(k);
	}
	free(m->listing);
	*m = (struct mailbox){ 0 };
}
