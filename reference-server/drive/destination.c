#include "reference-server/drive/destination.h"

#include "base/log.h"
#include "base/random.h"
#include "reference-server/core/mutant.h"
#include "reference-server/drive/routing.h"
#include "reference-server/drive/smtp_out.h"
#include "reference-server/policy/retry.h"
#include "reference-server/policy/route.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINE_MAX = 1000,  /* deliveries in memory for one destination */
	LINE_SURE = 10,   /* so many always have a place */
	LINES_MAX = 3500, /* for all: the relay has places for more, and so for mail that goes elsewhere */
	TARGETS_FRESH_MS = 1000,     /* the resolver's cache knows the real lifetimes */
	SWEEP_MS = 60000,            /* idle destinations are forgotten */
	WANTED_PATIENCE_MS = 100,    /* the relay knows, and takes when it has room */
	CONNECTIONS_OPENING_MAX = 4, /* while none has answered yet */
};

enum state { STATE_UP, STATE_DOWN, STATE_PROBING };

struct waiting {
	uint64_t id;
	int64_t wake_wall_ms;
};

struct out_entry {
	struct smtp_out *out;
	TAILQ_ENTRY(out_entry) next;
};

struct destination {
	struct destinations *all;
	char key[1 + 256]; /* one letter for the wish, and the domain */
	const char *name;  /* the domain */
	enum tls_wish wish;
	enum state state;
	struct handover_list line;
	uint32_t line_count;
	TAILQ_HEAD(, out_entry) outs;
	uint32_t out_count;
	uint32_t ready_count;
	uint32_t failure_count; /* in a row */
	int64_t down_until_ms;
	struct smtp_result trouble;
	bool has_trouble;
	struct timer *timer;
	struct routing *routing;
	struct targets *targets;
	int64_t targets_at_ms;
	struct waiting *waiting; /* oldest first */
	uint32_t waiting_begin, waiting_end, waiting_room;
	bool wanted;  /* the relay has been told */
	bool starved; /* among all->starving */
	TAILQ_ENTRY(destination) next_starving;
	UT_hash_handle hh;
};

struct destinations {
	struct server *server;
	struct destinations_owner owner;
	struct destination *by_name;
	struct timer *sweep;
	uint32_t out_count;
	uint32_t line_count;
	TAILQ_HEAD(, destination) starving; /* have deliveries, and all connections are others' */
	struct task *feed;
	bool stopping;
};

static void run(struct destination *d);
static void pull_waiting(struct destination *d);

static uint32_t waiting_count(const struct destination *d)
{
	return d->waiting_end - d->waiting_begin;
}

/* ---- up and down ---- */

/* The timer serves the next probe and the first message to expire. */
static void set_timer(struct destination *d)
{
	int64_t delay_ms = d->down_until_ms - clock_mono_ms();

	if (waiting_count(d) > 0) {
		int64_t wakes_in_ms = d->waiting[d->waiting_begin].wake_wall_ms - clock_wall_ms();
		if (d->state != STATE_DOWN || wakes_in_ms < delay_ms)
			delay_ms = wakes_in_ms;
	} else if (d->state != STATE_DOWN) {
		timer_clear(d->timer);
		return;
	}
	if (d->wanted && delay_ms < WANTED_PATIENCE_MS)
		delay_ms = WANTED_PATIENCE_MS;
	timer_set_ms(d->timer, delay_ms);
}

static void log_state(const struct destination *d, const char *event)
{
	log_event(LOG_INFO, event, LOG_C("destination", d->name), LOG_I("failures", d->failure_count),
		  LOG_I("waiting", waiting_count(d)),
		  LOG_I("retry_in_ms", d->down_until_ms - clock_mono_ms()), LOG_I("code", d->trouble.code),
		  LOG_S("text", smtp_result_text(&d->trouble)));
}

static struct handover *pop_line(struct destination *d)
{
	struct handover *first = TAILQ_FIRST(&d->line);
	if (first == NULL)
		return NULL;
	TAILQ_REMOVE(&d->line, first, next);
	d->line_count--;
	d->all->line_count--;
	return first;
}

static void end_line(struct destination *d, const struct smtp_result *result)
{
	struct handover *delivery;
	while ((delivery = pop_line(d)) != NULL) {
		handover_set_all(delivery, result);
		d->all->owner.on_ended(d->all->owner.ctx, delivery, false);
	}
}

/* Nothing can be brought there now.  One delivery pays for the attempt, the others were not tried. */
static void fail(struct destination *d, const struct smtp_result *why)
{
	if (why->class_ == SMTP_CLASS_PERMANENT) {
		end_line(d, why);
		pull_waiting(
			d); /* what waits is not going to get there either, and must not wait to hear it */
		return;
	}
	struct retry_settings s = config_retry_settings(d->all->server->config);
	d->trouble = *why;
	d->has_trouble = true;
	d->failure_count++;
	d->state = MUTANT(RELAY_DOWN_FORGOTTEN) ? STATE_UP : STATE_DOWN;
	d->down_until_ms = clock_mono_ms() + retry_delay_ms(&s, d->failure_count, (uint32_t)random_u64());
	log_state(d, "destination-down");
	struct handover *tried = pop_line(d);
	if (tried != NULL) {
		tried->message->held_for = d;
		handover_set_all(tried, why);
		d->all->owner.on_ended(d->all->owner.ctx, tried, false);
	}
	struct handover *delivery;
	while ((delivery = pop_line(d)) != NULL)
		d->all->owner.on_ended(d->all->owner.ctx, delivery, true);
	set_timer(d);
}

static void come_up(struct destination *d)
{
	if (d->state != STATE_UP || d->has_trouble)
		log_state(d, "destination-up");
	d->state = STATE_UP;
	d->failure_count = 0;
	d->has_trouble = false;
	set_timer(d);
	pull_waiting(d);
}

static void want(struct destination *d)
{
	if (d->wanted)
		return;
	d->wanted = true;
	d->all->owner.on_wanted(d->all->owner.ctx, d);
}

/*
 * Half of what is free: one busy destination gets much, many get less each, and however many are
 * slow there is a place for those that are not.
 */
static uint32_t line_max(const struct destination *d)
{
	uint32_t free_count = d->all->line_count < LINES_MAX ? LINES_MAX - d->all->line_count : 0;
	uint32_t share = (free_count + d->line_count) / 2;

	if (share < LINE_SURE)
		return LINE_SURE;
	return share < LINE_MAX ? share : LINE_MAX;
}

/* Whether destination_take_waiting would give something. */
static bool may_take(const struct destination *d)
{
	if (waiting_count(d) == 0 || d->all->stopping)
		return false;
	if (d->waiting[d->waiting_begin].wake_wall_ms <= clock_wall_ms())
		return true;
	switch (d->state) {
	case STATE_UP:
		return d->line_count < line_max(d) / 2;
	case STATE_PROBING:
		return d->line_count == 0 && d->out_count == 0 && d->routing == NULL;
	case STATE_DOWN:
		break;
	}
	return false;
}

static void pull_waiting(struct destination *d)
{
	if (may_take(d))
		want(d);
}

static void on_timer(void *ctx)
{
	struct destination *d = ctx;

	if (d->state == STATE_DOWN && clock_mono_ms() >= d->down_until_ms)
		d->state = STATE_PROBING;
	if (waiting_count(d) > 0)
		want(d);
	set_timer(d);
}

/* ---- connections ---- */

static void on_ready(void *ctx, struct smtp_out *o)
{
	struct destination *d = ctx;
	(void)o;
	d->ready_count++;
	come_up(d);
}

static struct handover *next_delivery(void *ctx, struct smtp_out *o)
{
	struct destination *d = ctx;
	(void)o;
	if (d->all->stopping)
		return NULL;
	struct handover *delivery = pop_line(d);
	if (delivery == NULL && !TAILQ_EMPTY(&d->all->starving))
		task_schedule(d->all->feed); /* it is about to be idle, and wanted elsewhere */
	pull_waiting(d);
	return delivery;
}

static void on_result(void *ctx, struct smtp_out *o, struct handover *delivery)
{
	struct destination *d = ctx;
	(void)o;
	d->all->owner.on_ended(d->all->owner.ctx, delivery, false);
}

static void forget_out(struct destination *d, struct smtp_out *o)
{
	struct out_entry *e;
	TAILQ_FOREACH (e, &d->outs, next) {
		if (e->out != o)
			continue;
		TAILQ_REMOVE(&d->outs, e, next);
		free(e);
		d->out_count--;
		d->all->out_count--;
		if (!TAILQ_EMPTY(&d->all->starving))
			task_schedule(d->all->feed);
		return;
	}
	abort();
}

static void on_end(void *ctx, struct smtp_out *o, const struct smtp_result *failure)
{
	struct destination *d = ctx;

	forget_out(d, o);
	if (failure == NULL)
		d->ready_count--;
	else if (d->out_count == 0)
		fail(d, failure);
	/* While others are connected or trying, one failed connection only means fewer of them. */
	if (failure == NULL || d->out_count == 0)
		run(d);
	pull_waiting(d);
}

static void open_connection(struct destination *d)
{
	struct out_entry *e = calloc(1, sizeof(*e));
	if (e == NULL)
		abort();
	e->out = smtp_out_new(d->all->server,
			      &(struct smtp_out_owner){ .ctx = d,
							.on_ready = on_ready,
							.next = next_delivery,
							.on_result = on_result,
							.on_end = on_end },
			      d->targets, d->wish);
	TAILQ_INSERT_TAIL(&d->outs, e, next);
	d->out_count++;
	d->all->out_count++;
}

static void on_routed(void *ctx, struct targets *targets, const struct smtp_result *failure)
{
	struct destination *d = ctx;

	d->routing = NULL;
	if (failure != NULL) {
		fail(d, failure);
		return;
	}
	targets_release(d->targets);
	d->targets = targets;
	d->targets_at_ms = clock_mono_ms();
	run(d);
}

static uint32_t connections_allowed(const struct destination *d)
{
	uint32_t max = d->all->server->config->outbound.destination_connection_count_max;
	if (d->state != STATE_UP)
		return 1;
	return d->ready_count > 0 || max < CONNECTIONS_OPENING_MAX ? max : CONNECTIONS_OPENING_MAX;
}

static bool wants_connection(const struct destination *d)
{
	return d->line_count > d->out_count - d->ready_count && d->out_count < connections_allowed(d);
}

static bool is_room(const struct destinations *all)
{
	return all->out_count <
	       (MUTANT(RELAY_ONE_AT_A_TIME) ? 1 : all->server->config->outbound.connection_count_max);
}

static void starve(struct destination *d)
{
	if (d->starved)
		return;
	d->starved = true;
	TAILQ_INSERT_TAIL(&d->all->starving, d, next_starving);
	task_schedule(d->all->feed);
}

static void open_connections(struct destination *d)
{
	while (wants_connection(d) && is_room(d->all)) {
		if (d->targets == NULL ||
		    (clock_mono_ms() - d->targets_at_ms > TARGETS_FRESH_MS && !MUTANT(RELAY_ROUTE_KEPT))) {
			if (d->routing == NULL)
				d->routing = routing_start(d->all->server, span_of(d->name), d->wish,
							   on_routed, d);
			return;
		}
		open_connection(d);
	}
	if (wants_connection(d))
		starve(d);
}

/* Wakes idle connections, opens more while there is work for them. */
static void run(struct destination *d)
{
	struct out_entry *e, *next;

	if (d->all->stopping)
		return;
	for (e = TAILQ_FIRST(&d->outs); e != NULL && d->line_count > 0; e = next) {
		next = TAILQ_NEXT(e, next);
		if (smtp_out_is_idle(e->out))
			smtp_out_poke(e->out);
	}
	if (TAILQ_EMPTY(&d->all->starving))
		open_connections(d);
	else if (wants_connection(d))
		starve(d); /* in turn: a busy destination must not take what others wait for */
}

/* One idle connection less, whosever it is. */
static void end_an_idle_one(struct destinations *all)
{
	for (struct destination *d = all->by_name; d != NULL; d = d->hh.next) {
		struct out_entry *e;
		TAILQ_FOREACH (e, &d->outs, next) {
			if (!smtp_out_is_idle(e->out))
				continue;
			smtp_out_finish(e->out);
			return;
		}
	}
}

static void on_feed(void *ctx)
{
	struct destinations *all = ctx;
	struct destination *d;

	if (all->stopping)
		return;
	while (is_room(all) && (d = TAILQ_FIRST(&all->starving)) != NULL) {
		TAILQ_REMOVE(&all->starving, d, next_starving);
		d->starved = false;
		open_connections(d);
	}
	if (!TAILQ_EMPTY(&all->starving))
		end_an_idle_one(all);
}

void destination_submit(struct destination *d, struct handover *delivery)
{
	bool taken = d->state == STATE_UP
			     ? d->line_count < line_max(d)
			     : d->state == STATE_PROBING && d->line_count == 0 && d->out_count == 0;
	if (!taken) {
		d->all->owner.on_ended(d->all->owner.ctx, delivery, true);
		return;
	}
	TAILQ_INSERT_TAIL(&d->line, delivery, next);
	d->line_count++;
	d->all->line_count++;
	run(d);
}

/* ---- waiting messages ---- */

static void make_room(struct destination *d)
{
	uint32_t count = waiting_count(d);

	if (d->waiting_end < d->waiting_room)
		return;
	if (d->waiting_begin <= d->waiting_room / 2) {
		d->waiting_room = d->waiting_room > 0 ? d->waiting_room * 2 : 64;
		d->waiting = realloc(d->waiting, d->waiting_room * sizeof(*d->waiting));
		if (d->waiting == NULL)
			abort();
	}
	memmove(d->waiting, d->waiting + d->waiting_begin, count * sizeof(*d->waiting));
	d->waiting_begin = 0;
	d->waiting_end = count;
}

/* The first that expires later. */
static uint32_t place_of(const struct destination *d, int64_t wake_wall_ms)
{
	uint32_t low = d->waiting_begin, high = d->waiting_end;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (d->waiting[middle].wake_wall_ms <= wake_wall_ms)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* In its place by age: one that comes back from a vain attempt is older than most, and must not expire unseen. */
void destination_hold(struct destination *d, uint64_t id, int64_t wake_wall_ms)
{
	make_room(d);
	uint32_t at = place_of(d, wake_wall_ms);
	/* Whoever comes back by another way, such as a flush, keeps the one place it has. */
	for (uint32_t i = at; i > d->waiting_begin && d->waiting[i - 1].wake_wall_ms == wake_wall_ms; i--)
		if (d->waiting[i - 1].id == id)
			return;
	uint32_t before = at - d->waiting_begin, behind = d->waiting_end - at;
	if (d->waiting_begin > 0 && before < behind) {
		struct waiting *first = d->waiting + d->waiting_begin--;
		memmove(first - 1, first, before * sizeof(*first));
		at--;
	} else {
		memmove(d->waiting + at + 1, d->waiting + at, behind * sizeof(*d->waiting));
		d->waiting_end++;
	}
	d->waiting[at] = (struct waiting){ .id = id, .wake_wall_ms = wake_wall_ms };
	pull_waiting(d);
	set_timer(d);
}

uint64_t destination_take_waiting(struct destination *d)
{
	if (!may_take(d)) {
		d->wanted = false;
		return 0;
	}
	return d->waiting[d->waiting_begin++].id;
}

const struct smtp_result *destination_trouble(const struct destination *d)
{
	return d->has_trouble ? &d->trouble : NULL;
}

const char *destination_name(const struct destination *d)
{
	return d->name;
}

void destination_retry_now(struct destination *d)
{
	if (d->state == STATE_DOWN)
		d->state = STATE_PROBING;
	d->down_until_ms = clock_mono_ms();
	pull_waiting(d);
}

/* ---- all of them ---- */

static bool is_idle(const struct destination *d)
{
	return d->state != STATE_DOWN && d->out_count == 0 && d->line_count == 0 && waiting_count(d) == 0 &&
	       d->routing == NULL && !d->wanted && !d->starved;
}

static void destination_free(struct destination *d)
{
	struct handover *delivery;
	struct out_entry *e;

	while ((delivery = pop_line(d)) != NULL)
		handover_free(delivery);
	while ((e = TAILQ_FIRST(&d->outs)) != NULL) {
		TAILQ_REMOVE(&d->outs, e, next);
		smtp_out_abort(e->out);
		free(e);
	}
	routing_cancel(d->routing);
	targets_release(d->targets);
	timer_free(d->timer);
	free(d->waiting);
	free(d);
}

static void on_sweep(void *ctx)
{
	struct destinations *all = ctx;
	struct destination *d, *next;

	HASH_ITER(hh, all->by_name, d, next)
	{
		if (!is_idle(d))
			continue;
		HASH_DEL(all->by_name, d);
		destination_free(d);
	}
	timer_set_ms(all->sweep, SWEEP_MS);
}

struct destinations *destinations_new(struct server *server, const struct destinations_owner *owner)
{
	struct destinations *all = calloc(1, sizeof(*all));
	if (all == NULL)
		abort();
	all->server = server;
	all->owner = *owner;
	TAILQ_INIT(&all->starving);
	all->feed = task_new(server->loop, on_feed, all);
	all->sweep = timer_new(server->loop, on_sweep, all);
	timer_set_ms(all->sweep, SWEEP_MS);
	return all;
}

void destinations_free(struct destinations *all)
{
	if (all == NULL)
		return;
	struct destination *d, *next;
	HASH_ITER(hh, all->by_name, d, next)
	{
		HASH_DEL(all->by_name, d);
		destination_free(d);
	}
	timer_free(all->sweep);
	task_free(all->feed);
	free(all);
}

/* The key is cut and in lower case; NULL when there is none yet. */
static struct destination *look_up(const struct destinations *all, struct span domain, enum tls_wish wish,
				   char *key, size_t *ret_key_bytes)
{
	static const char letters[] = {
		[TLS_WISH_NONE] = '-', [TLS_WISH_REQUIRED] = '+', [TLS_WISH_OPTIONAL] = '~'
	};
	struct destination *d;

	domain = span_sub(domain, 0, sizeof(d->key) - 2);
	key[0] = letters[wish];
	for (size_t i = 0; i < domain.n; i++)
		key[1 + i] = domain.p[i] >= 'A' && domain.p[i] <= 'Z' ? (char)(domain.p[i] - 'A' + 'a')
								      : domain.p[i];
	*ret_key_bytes = 1 + domain.n;
	HASH_FIND(hh, all->by_name, key, *ret_key_bytes, d);
	return d;
}

struct destination *destinations_find(struct destinations *all, struct span domain, enum tls_wish wish)
{
	char key[sizeof(((struct destination *)0)->key)];
	size_t key_bytes;
	struct destination *d = look_up(all, domain, wish, key, &key_bytes);

	if (d != NULL)
		return d;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		abort();
	d->all = all;
	d->wish = wish;
	memcpy(d->key, key, key_bytes);
	d->name = d->key + 1;
	TAILQ_INIT(&d->line);
	TAILQ_INIT(&d->outs);
	d->timer = timer_new(all->server->loop, on_timer, d);
	HASH_ADD_KEYPTR(hh, all->by_name, d->key, key_bytes, d);
	return d;
}

bool destinations_look(const struct destinations *all, struct span domain, enum tls_wish wish,
		       struct destination_view *ret_view)
{
	static const char *const states[] = {
		[STATE_UP] = "up", [STATE_DOWN] = "down", [STATE_PROBING] = "probing"
	};
	char key[sizeof(((struct destination *)0)->key)];
	size_t key_bytes;
	const struct destination *d = look_up(all, domain, wish, key, &key_bytes);

	if (d == NULL)
		return false;
	*ret_view = (struct destination_view){
		.state = states[d->state],
		.connection_count = d->out_count,
		.failure_count = d->failure_count,
		.trouble = destination_trouble(d),
	};
	if (d->state == STATE_DOWN)
		ret_view->retry_wall_ms = clock_wall_ms() + d->down_until_ms - clock_mono_ms();
	return true;
}

void destinations_retry_all(struct destinations *all)
{
	struct destination *d, *next;
	HASH_ITER(hh, all->by_name, d, next)
	destination_retry_now(d);
}

uint32_t destinations_waiting_count(const struct destinations *all)
{
	uint32_t count = 0;
	for (const struct destination *d = all->by_name; d != NULL; d = d->hh.next)
		count += waiting_count(d);
	return count;
}

void destinations_stop(struct destinations *all)
{
	struct destination *d, *next;
	struct out_entry *e, *next_out;

	all->stopping = true;
	HASH_ITER(hh, all->by_name, d, next)
	for (e = TAILQ_FIRST(&d->outs); e != NULL; e = next_out) {
		next_out = TAILQ_NEXT(e, next);
		smtp_out_finish(e->out);
	}
}

uint32_t destinations_connection_count(const struct destinations *all)
{
	return all->out_count;
}
