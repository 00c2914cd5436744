#include "harness/conform/doubles.h"

#include "harness/wire/message.h"

static const int64_t KEPT_NS = 1000 * 1000000LL;

static struct span identity(const struct hop_content *c)
{
	struct span header, body;

	if (!message_split(buf_span(&c->content), &header, &body))
		header = buf_span(&c->content);
	struct span id = field_message_id(header);
	return id.n > 0 ? id : buf_span(&c->content);
}

static bool share_a_recipient(const struct hop_content *a, const struct hop_content *b)
{
	struct span rest = buf_span(&a->recipients), mine;

	while (span_take_until(&rest, '\n', &mine)) {
		struct span others = buf_span(&b->recipients), theirs;
		while (span_take_until(&others, '\n', &theirs))
			if (span_eq_nocase(mine, theirs))
				return true;
	}
	return false;
}

static bool is_same(const struct hop_content *a, const struct hop_content *b)
{
	return a != b && a->taken && b->taken && a->at_ns <= b->at_ns && share_a_recipient(a, b) &&
	       span_eq(identity(a), identity(b));
}

static bool is_excused(const struct hop_content *first, const struct hop_content *again, int64_t killed_ns)
{
	bool killed_between = killed_ns != 0 && first->at_ns <= killed_ns && again->at_ns > killed_ns;

	return first->in_doubt || (killed_between && killed_ns - first->at_ns <= KEPT_NS);
}

/* What was taken before `again` and is the same; one that excuses nothing is preferred. */
static const struct hop_content *find_earlier(struct hop *const *hops, uint32_t count,
					      const struct hop_content *again, int64_t killed_ns)
{
	const struct hop_content *found = NULL;

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; hops[i] != NULL && k < hops[i]->content_count; k++) {
			const struct hop_content *c = &hops[i]->contents[k];
			if (!is_same(c, again) || (c->at_ns == again->at_ns && c > again))
				continue;
			found = c;
			if (!is_excused(c, again, killed_ns))
				return c;
		}
	}
	return found;
}

struct doubles doubles_of(struct hop *const *hops, uint32_t count, int64_t killed_ns)
{
	struct doubles d = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; hops[i] != NULL && k < hops[i]->content_count; k++) {
			const struct hop_content *again = &hops[i]->contents[k];
			const struct hop_content *first = find_earlier(hops, count, again, killed_ns);
			if (first == NULL)
				continue;
			if (is_excused(first, again, killed_ns)) {
				d.allowed++;
			} else if (d.hop == NULL) {
				d.hop = hops[i];
				d.first = first;
				d.again = again;
			}
		}
	}
	return d;
}
