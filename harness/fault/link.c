#include "harness/fault/link.h"

#include "base/listener.h"
#include "harness/fault/link_pair.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAIRS_MAX = 4096 };

struct link {
	struct link_options o;
	struct link_observer observer;
	struct listener *listener; /* NULL: refuses */
	LIST_HEAD(, link_pair) pairs;
	uint32_t pair_count;
	enum link_mode mode;
	int64_t delay_ms;
	bool down;
	enum flow_moment moment;
	uint64_t at_byte;
	uint32_t moment_max; /* 0: no limit */
	uint32_t moment_count;
	uint32_t reset_count;
	uint32_t touch_count;
	uint32_t caller_count;
};

static void on_accept(void *ctx, int fd, const struct addr *peer);

/* ---- listening ---- */

static int listen_as_due(struct link *l, struct err *reterr)
{
	bool open = l->mode != LINK_REFUSE && !l->down;

	if (!open) {
		listener_free(l->listener);
		l->listener = NULL;
	} else if (l->listener == NULL) {
		l->listener = listener_new(l->o.loop, &l->o.listen_at, on_accept, l, reterr);
		if (l->listener == NULL)
			return reterr->code;
	}
	return 0;
}

struct link *link_new(const struct link_options *o, struct err *reterr)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	l->o = *o;
	if (o->observer != NULL)
		l->observer = *o->observer;
	l->o.observer = &l->observer;
	LIST_INIT(&l->pairs);
	if (listen_as_due(l, reterr) != 0) {
		free(l);
		return NULL;
	}
	return l;
}

void link_free(struct link *l)
{
	if (l == NULL)
		return;
	listener_free(l->listener);
	while (!LIST_EMPTY(&l->pairs))
		link_pair_reset(LIST_FIRST(&l->pairs));
	free(l);
}

int link_set_down(struct link *l, bool down, struct err *reterr)
{
	l->down = down;
	return listen_as_due(l, reterr);
}

/* ---- pairs come and go ---- */

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct link *l = ctx;
	(void)peer;

	if (l->pair_count >= PAIRS_MAX) {
		(void)close(fd);
		return;
	}
	link_pair_new(l, fd);
}

void link_add_pair(struct link *l, struct link_pair *p)
{
	LIST_INSERT_HEAD(&l->pairs, p, entry);
	l->pair_count++;
	l->caller_count++;
}

void link_remove_pair(struct link *l, struct link_pair *p)
{
	LIST_REMOVE(p, entry);
	assert(l->pair_count > 0);
	l->pair_count--;
}

const struct link_options *link_options(const struct link *l)
{
	return &l->o;
}

int64_t link_delay_ms(const struct link *l)
{
	return l->mode == LINK_DELAY ? l->delay_ms : 0;
}

void link_count_touch(struct link *l)
{
	l->touch_count++;
}

void link_count_reset(struct link *l)
{
	l->reset_count++;
}

/* ---- modes ---- */

uint32_t link_reset_all(struct link *l)
{
	uint32_t count = 0;

	while (!LIST_EMPTY(&l->pairs)) {
		link_pair_reset(LIST_FIRST(&l->pairs));
		count++;
	}
	l->reset_count += count;
	return count;
}

int link_set_mode(struct link *l, enum link_mode mode, int64_t delay_ms, struct err *reterr)
{
	bool was_hole = l->mode == LINK_BLACKHOLE;
	struct link_pair *p, *next;

	l->mode = mode;
	l->delay_ms = delay_ms;
	l->touch_count = 0;
	LIST_FOREACH (p, &l->pairs, entry)
		p->touched = false;
	int rc = listen_as_due(l, reterr);
	if (mode == LINK_REFUSE || mode == LINK_RESET)
		(void)link_reset_all(l);
	/* A pair may end while it is held or released, but only that one. */
	for (p = LIST_FIRST(&l->pairs); p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		if (mode == LINK_BLACKHOLE && !was_hole)
			link_pair_hold(p);
		else if (mode != LINK_BLACKHOLE && was_hole)
			link_pair_release(p);
	}
	return rc;
}

enum link_mode link_mode(const struct link *l)
{
	return l->mode;
}

/* ---- moments ---- */

void link_set_moment(struct link *l, enum flow_moment moment, uint64_t at_byte, uint32_t count)
{
	l->moment = moment;
	l->at_byte = at_byte;
	l->moment_max = count;
	l->moment_count = 0;
}

void link_clear_moment(struct link *l)
{
	l->moment = FLOW_MOMENT_NONE;
}

uint32_t link_moment_count(const struct link *l)
{
	return l->moment_count;
}

bool link_strikes_at(const struct link *l, enum flow_moment moment)
{
	return l->moment == moment && (l->moment_max == 0 || l->moment_count < l->moment_max);
}

void link_count_strike(struct link *l)
{
	l->moment_count++;
}

uint64_t link_at_byte(const struct link *l)
{
	return l->at_byte;
}

/* ---- looking ---- */

uint32_t link_from(const struct link *l)
{
	return l->o.from;
}

uint32_t link_to(const struct link *l)
{
	return l->o.to;
}

uint32_t link_connection_count(const struct link *l)
{
	return l->pair_count;
}

uint32_t link_reset_count(const struct link *l)
{
	return l->reset_count;
}

uint32_t link_touch_count(const struct link *l)
{
	return l->touch_count;
}

uint32_t link_caller_count(const struct link *l)
{
	return l->caller_count;
}
