#include "reference-server/drive/admin_parts.h"

#include "reference-server/core/smtp_result.h"
#include "reference-server/drive/destination.h"
#include "reference-server/drive/relay.h"
#include "reference-server/store/queue.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
	AGES = 11,
	PLACES_MAX = 10000, /* more are counted together */
	NAME_BYTES_MAX = 255,
	MARK_BYTES_MAX = 20,
	TEXT_BYTES_MAX = 120,
};

#define MINUTE_MS (INT64_C(60) * 1000)

/* Ages below so many minutes; the last column is everything older. */
static const int age_minutes[AGES - 1] = { 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560 };

/* What the queue holds for one domain. */
struct place {
	char name[NAME_BYTES_MAX + MARK_BYTES_MAX + 1]; /* the domain, and a mark for the wish */
	size_t domain_bytes;
	enum tls_wish wish;
	uint64_t last_id; /* counted already: a message counts once */
	uint64_t waiting, active, held;
	uint64_t waiting_ages[AGES], active_ages[AGES];
	int64_t due_wall_ms; /* the soonest; 0: none waits */
	int64_t last_attempt_wall_ms;
	uint16_t code;
	char text[TEXT_BYTES_MAX + 1];
	UT_hash_handle hh;
};

struct admin_shape {
	struct place *places;
	struct place *next; /* to be said */
	bool counted;
};

void admin_shape_free(struct admin_job *j)
{
	struct place *p, *next;

	if (j->shape == NULL)
		return;
	HASH_ITER(hh, j->shape->places, p, next)
	{
		HASH_DEL(j->shape->places, p);
		free(p);
	}
	free(j->shape);
	j->shape = NULL;
}

/* ---- counting ---- */

/* Mail with wishes about TLS goes its own ways, and is shown apart. */
static struct place *find_place(struct admin_shape *s, const struct envelope *e, const char *address)
{
	static const char *const marks[] = { [TLS_WISH_NONE] = "",
					     [TLS_WISH_REQUIRED] = " REQUIRETLS",
					     [TLS_WISH_OPTIONAL] = " TLS-Required:No" };
	const char *mark = marks[envelope_tls_wish(e)];
	const char *at = strrchr(address, '@');
	struct place *p;
	struct span domain = at != NULL ? span_of(at + 1) : SPAN_LIT("localhost");
	char name[sizeof(p->name)];

	if (HASH_COUNT(s->places) >= PLACES_MAX)
		domain = SPAN_LIT("(others)");
	domain = span_sub(domain, 0, NAME_BYTES_MAX);
	for (size_t i = 0; i < domain.n; i++)
		name[i] = domain.p[i] >= 'A' && domain.p[i] <= 'Z' ? (char)(domain.p[i] - 'A' + 'a')
								   : domain.p[i];
	(void)snprintf(name + domain.n, MARK_BYTES_MAX + 1, "%s", mark);
	HASH_FIND_STR(s->places, name, p);
	if (p != NULL)
		return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		abort();
	memcpy(p->name, name, strlen(name) + 1);
	p->domain_bytes = domain.n;
	p->wish = envelope_tls_wish(e);
	HASH_ADD_STR(s->places, name, p);
	return p;
}

static uint32_t age_column(int64_t age_ms)
{
	uint32_t i = 0;
	while (i < AGES - 1 && age_ms >= age_minutes[i] * MINUTE_MS)
		i++;
	return i;
}

static void note_error(struct place *p, const struct recipient *r)
{
	if (r->reply_text[0] == '\0' || r->last_attempt_wall_ms < p->last_attempt_wall_ms)
		return;
	p->last_attempt_wall_ms = r->last_attempt_wall_ms;
	p->code = r->reply_code;
	(void)span_copy(span_sub(span_of(r->reply_text), 0, TEXT_BYTES_MAX), p->text, sizeof(p->text));
}

static void count_message(struct admin_shape *s, const struct envelope *e, bool active, int64_t now_ms)
{
	uint32_t age = age_column(now_ms - e->arrival_wall_ms);
	bool held = (e->flags & ENVELOPE_HELD) != 0;

	for (uint32_t i = 0; i < e->recipient_count; i++) {
		if (e->recipients[i].state != RECIPIENT_PENDING)
			continue;
		struct place *p = find_place(s, e, e->recipients[i].address);
		note_error(p, &e->recipients[i]);
		if (p->last_id == e->id)
			continue;
		p->last_id = e->id;
		if (held) {
			p->held++;
			continue;
		}
		*(active ? &p->active : &p->waiting) += 1;
		(active ? p->active_ages : p->waiting_ages)[age]++;
		if (!active && (p->due_wall_ms == 0 || e->due_wall_ms < p->due_wall_ms))
			p->due_wall_ms = e->due_wall_ms;
	}
}

static struct relay *relay_of(const struct admin_job *j)
{
	return j->options.server != NULL ? j->options.server->relay : NULL;
}

/* False when it could not be read. */
static bool count_page(struct admin_job *j)
{
	if (!admin_next_page(j))
		return false;
	for (uint32_t i = 0; i < j->page_count; i++) {
		struct envelope *e = NULL;
		if (queue_load(j->options.store, j->page[i], &e) != 0)
			continue;
		bool active = relay_of(j) != NULL && relay_is_active(relay_of(j), e->id);
		count_message(j->shape, e, active, clock_wall_ms());
		envelope_free(e);
	}
	j->shape->counted = !admin_page_done(j, j->page_count);
	return true;
}

static int most_first(const struct place *a, const struct place *b)
{
	uint64_t of_a = a->waiting + a->active + a->held, of_b = b->waiting + b->active + b->held;
	return of_a < of_b ? 1 : of_a > of_b ? -1 : strcmp(a->name, b->name);
}

/* ---- saying ---- */

/* What the relay knows goes before what the last message said. */
static void merge(const struct admin_job *j, struct place *p, struct destination_view *v)
{
	*v = (struct destination_view){ .state = "idle" };
	struct span domain = { p->name, p->domain_bytes };
	if (relay_of(j) == NULL || !relay_look(relay_of(j), domain, p->wish, v))
		return;
	if (v->trouble != NULL) {
		p->code = v->trouble->code;
		(void)span_copy(span_sub(smtp_result_text(v->trouble), 0, TEXT_BYTES_MAX), p->text,
				sizeof(p->text));
	}
	if (v->retry_wall_ms != 0)
		p->due_wall_ms = v->retry_wall_ms;
}

static void add_head(struct buf *text)
{
	buf_addf(text, "%-28s %-7s %5s %7s %6s %6s ", "destination", "state", "conns", "waiting", "active",
		 "held");
	for (int i = 0; i < AGES - 1; i++)
		buf_addf(text, " <%dm", age_minutes[i]);
	buf_add_cstr(text, " older\n");
}

static void add_place(const struct admin_job *j, struct place *p, struct buf *text)
{
	struct destination_view v;

	merge(j, p, &v);
	buf_addf(text, "%-28s %-7s %5u %7llu %6llu %6llu ", p->name, v.state, v.connection_count,
		 (unsigned long long)p->waiting, (unsigned long long)p->active, (unsigned long long)p->held);
	for (int i = 0; i < AGES; i++)
		buf_addf(text, " %*llu", i < AGES - 1 ? snprintf(NULL, 0, "<%dm", age_minutes[i]) : 5,
			 (unsigned long long)(p->waiting_ages[i] + p->active_ages[i]));
	buf_add_cstr(text, "\n");
	if (p->waiting > 0) {
		buf_add_cstr(text, "  next attempt in: ");
		admin_add_age(text, p->due_wall_ms - clock_wall_ms());
		buf_add_cstr(text, "\n");
	}
	if (p->text[0] != '\0')
		buf_addf(text, "  last: %u %s\n", p->code, p->text);
}

static json_t *numbers(const uint64_t *n)
{
	json_t *a = json_array();
	for (int i = 0; i < AGES; i++)
		(void)json_array_append_new(a, json_integer((json_int_t)n[i]));
	return a;
}

/* Names and texts come from elsewhere and need not be UTF-8. */
static json_t *text_of(const char *s)
{
	json_t *v = json_string(s);
	return v != NULL ? v : json_string("?");
}

static void add_place_json(const struct admin_job *j, struct place *p, struct buf *text)
{
	struct destination_view v;
	json_t *o = json_object();

	merge(j, p, &v);
	(void)json_object_set_new(o, "destination", text_of(p->name));
	(void)json_object_set_new(o, "state", json_string(v.state));
	(void)json_object_set_new(o, "connections", json_integer(v.connection_count));
	(void)json_object_set_new(o, "failures", json_integer(v.failure_count));
	(void)json_object_set_new(o, "waiting", json_integer((json_int_t)p->waiting));
	(void)json_object_set_new(o, "active", json_integer((json_int_t)p->active));
	(void)json_object_set_new(o, "held", json_integer((json_int_t)p->held));
	(void)json_object_set_new(o, "waiting_by_age", numbers(p->waiting_ages));
	(void)json_object_set_new(o, "active_by_age", numbers(p->active_ages));
	if (p->waiting > 0)
		(void)json_object_set_new(o, "next_attempt_ms", json_integer(p->due_wall_ms));
	if (p->text[0] != '\0') {
		(void)json_object_set_new(o, "last_code", json_integer(p->code));
		(void)json_object_set_new(o, "last_text", text_of(p->text));
	}
	char *line = json_dumps(o, JSON_COMPACT);
	if (line == NULL)
		abort();
	buf_addf(text, "%s\n", line);
	free(line);
	json_decref(o);
}

static enum admin_step say(struct admin_job *j, struct buf *text)
{
	struct admin_shape *s = j->shape;
	bool json = j->word_count > 2 && span_eq(j->words[2], SPAN_LIT("--json"));

	if (!json && s->next != NULL && s->next == s->places)
		add_head(text);
	for (; s->next != NULL && buf_bytes(text) < ADMIN_TEXT_BYTES; s->next = s->next->hh.next)
		(json ? add_place_json : add_place)(j, s->next, text);
	if (s->next != NULL)
		return ADMIN_MORE;
	if (!json && s->places == NULL)
		buf_add_cstr(text, "queue is empty\n");
	return ADMIN_DONE;
}

enum admin_step admin_queue_destinations(struct admin_job *j, struct buf *text)
{
	if (j->shape == NULL) {
		j->shape = calloc(1, sizeof(*j->shape));
		if (j->shape == NULL)
			abort();
	}
	if (j->shape->counted)
		return say(j, text);
	if (!count_page(j))
		return ADMIN_FAILED;
	if (j->shape->counted) {
		HASH_SORT(j->shape->places, most_first);
		j->shape->next = j->shape->places;
	}
	return ADMIN_MORE;
}
