#include "harness/cli/conform_queue.h"

#include "harness/cli/residue.h"

#include <stdlib.h>
#include <string.h>

struct question {
	struct question *next;
	struct sut_whose whose;
	struct buf domain;
	sut_queue_fn *answer;
	void *ctx;
};

struct conform_queue {
	struct loop *loop;
	struct host *host;
	struct residue *residue; /* the question that is out */
	struct residue_names names;
	bool by_name;
	struct question *waiting, *asking;
	bool ending;
};

static void begin(struct conform_queue *q);

/* ---- whose ---- */

static bool is_below(struct span domain, const char *parent)
{
	struct span p = span_of(parent);

	return span_eq_nocase(domain, p) ||
	       (domain.n > p.n && domain.p[domain.n - p.n - 1] == '.' && span_ends_nocase(domain, p));
}

static bool is_one_of(const struct sut_whose *whose, const char *address)
{
	for (uint32_t i = 0; i < whose->address_count; i++)
		if (span_eq_nocase(span_of(address), span_of(whose->addresses[i])))
			return true;
	return false;
}

/* What goes to the domain, and what its people wait for or have sent, such as to an address literal. */
static bool is_meant(const struct question *w, const struct ledger_waiting *message)
{
	const char *at = strrchr(message->recipient, '@');
	struct span domain = at != NULL ? span_of(at + 1) : (struct span){ 0 };

	if (w->whose.domain == NULL)
		return !is_below(domain, SUT_NEXT_DOMAIN);
	if (is_below(domain, w->whose.domain))
		return true;
	return is_one_of(&w->whose, message->recipient) ||
	       (is_one_of(&w->whose, message->sender) && !is_below(domain, SUT_FENCE_DOMAIN));
}

static uint32_t count_of(const struct conform_queue *q, const struct question *w)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < q->names.count; i++)
		count += is_meant(w, &q->names.items[i]);
	return count;
}

/* ---- asking ---- */

static void answer_all(const struct conform_queue *q, struct question *w, bool known, uint32_t count)
{
	while (w != NULL) {
		struct question *next = w->next;
		w->answer(w->ctx, known, known && q->by_name ? count_of(q, w) : count);
		buf_free(&w->domain);
		free(w);
		w = next;
	}
}

static void on_residue(void *ctx, struct residue *residue, bool known, uint32_t count)
{
	struct conform_queue *q = ctx;
	struct question *answered = q->asking;

	(void)residue;
	q->residue = NULL;
	q->asking = NULL;
	answer_all(q, answered, known, count);
	residue_names_free(&q->names);
	if (q->waiting != NULL && q->residue == NULL && !q->ending)
		begin(q);
}

static void begin(struct conform_queue *q)
{
	q->asking = q->waiting;
	q->waiting = NULL;
	q->residue = q->by_name ? residue_ask_host_names(q->loop, q->host, &q->names, on_residue, q)
				: residue_ask_host(q->loop, q->host, on_residue, q);
	if (q->residue != NULL)
		return;
	struct question *unanswered = q->asking;
	q->asking = NULL;
	answer_all(q, unanswered, false, 0);
}

void conform_queue_ask(void *queue_ctx, const struct sut_whose *whose, sut_queue_fn *answer, void *ctx)
{
	struct conform_queue *q = queue_ctx;
	struct question *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	*w = (struct question){ .next = q->waiting, .whose = *whose, .answer = answer, .ctx = ctx };
	if (whose->domain != NULL) {
		buf_add_cstr(&w->domain, whose->domain);
		w->whose.domain = buf_cstr(&w->domain);
	}
	q->waiting = w;
	if (q->residue == NULL)
		begin(q);
}

/* ---- life ---- */

struct conform_queue *conform_queue_new(struct loop *l, struct host *h)
{
	struct conform_queue *q = calloc(1, sizeof(*q));

	if (q == NULL)
		abort();
	*q = (struct conform_queue){ .loop = l, .host = h };
	q->by_name = host_target(h)->queue.names.count > 0;
	return q;
}

void conform_queue_free(struct conform_queue *q)
{
	if (q == NULL)
		return;
	q->ending = true;
	residue_free(q->residue);
	q->residue = NULL;
	answer_all(q, q->asking, false, 0);
	answer_all(q, q->waiting, false, 0);
	residue_names_free(&q->names);
	free(q);
}
