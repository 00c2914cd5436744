#include "harness/conform/record.h"

#include <string.h>

enum { EXIT_FAIL = 1, EXIT_UNJUDGED = 3, EXIT_HARNESS = 4, EXIT_INTERRUPTED = 130 };

const struct case_req *conform_req(const struct suite_result *r)
{
	return &r->file->reqs[r->req];
}

static bool is_failure(enum conform_verdict v)
{
	return v == CONFORM_FAIL;
}

enum conform_verdict conform_verdict_of(const struct conform_record *r, uint32_t index)
{
	const struct suite_result *s = &r->results[index];
	enum conform_verdict v = s->verdict;

	if (v == CONFORM_WARN && r->strict && conform_req(s)->level != CASE_MAY)
		v = CONFORM_FAIL;
	if (r->waived != NULL && r->waived[index] != NULL && (is_failure(v) || v == CONFORM_WARN))
		v = CONFORM_WAIVED;
	return v;
}

bool conform_passed_unexpectedly(const struct conform_record *r, uint32_t index)
{
	return r->waived != NULL && r->waived[index] != NULL && r->results[index].done &&
	       r->results[index].verdict == CONFORM_PASS;
}

struct conform_totals conform_totals(const struct conform_record *r)
{
	struct conform_totals t = { 0 };

	for (uint32_t i = 0; i < r->count; i++) {
		if (!r->results[i].done) {
			t.not_played++;
			continue;
		}
		enum conform_verdict v = conform_verdict_of(r, i);
		t.by[v]++;
		t.duplicates += r->results[i].duplicates;
		t.unexpected_passes += conform_passed_unexpectedly(r, i);
		bool fails = is_failure(v) || (v == CONFORM_FLAKY && r->results[i].seen[CONFORM_FAIL] > 0);
		t.new_failures += fails && (r->known == NULL || !r->known[i]);
	}
	return t;
}

int conform_exit_code(const struct conform_record *r)
{
	struct conform_totals t = conform_totals(r);
	uint32_t judged = t.by[CONFORM_PASS] + t.by[CONFORM_FAIL] + t.by[CONFORM_WARN] + t.by[CONFORM_WAIVED];

	if (r->interrupted)
		return EXIT_INTERRUPTED;
	if (t.by[CONFORM_ERROR] > 0)
		return EXIT_HARNESS;
	if (t.new_failures > 0)
		return EXIT_FAIL;
	if (judged == 0 || t.not_played > 0 || t.by[CONFORM_INCONCLUSIVE] > 0 || t.by[CONFORM_FLAKY] > 0 ||
	    r->problem[0] != '\0')
		return EXIT_UNJUDGED;
	return 0;
}

/* In the order in which exit codes win. */
int conform_exit_code_of_all(const struct conform_records *all)
{
	static const int ORDER[] = { EXIT_INTERRUPTED, EXIT_HARNESS, EXIT_FAIL, EXIT_UNJUDGED };

	for (size_t k = 0; k < sizeof(ORDER) / sizeof(ORDER[0]); k++)
		for (uint32_t i = 0; i < all->count; i++)
			if (conform_exit_code(&all->items[i]) == ORDER[k])
				return ORDER[k];
	return 0;
}

bool conform_is_disputed(const struct conform_records *all, uint32_t index)
{
	bool kept = false, broken = false;

	for (uint32_t i = 0; i < all->count; i++) {
		const struct suite_result *s = &all->items[i].results[index];
		kept = kept || (s->done && s->verdict == CONFORM_PASS);
		broken = broken || (s->done && (s->verdict == CONFORM_FAIL || s->verdict == CONFORM_WARN));
	}
	return kept && broken;
}

void conform_place(const struct suite_result *r, struct buf *out)
{
	buf_addf(out, "%s", r->file->path);
	if (r->line > 0)
		buf_addf(out, ":%u", r->line);
}
