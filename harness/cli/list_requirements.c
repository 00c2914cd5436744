#include "harness/cli/list_requirements.h"

#include "harness/scenario/requirement.h"

#include <stdio.h>
#include <string.h>

/* "4.5" holds "4.5" and "4.5.2", not "4.50". */
static bool is_within(struct span section, struct span chapter)
{
	return section.n >= chapter.n && span_eq(span_sub(section, 0, chapter.n), chapter) &&
	       (section.n == chapter.n || section.p[chapter.n] == '.');
}

static bool fits(const struct requirement *r, const struct list_filter *f)
{
	return (f->rfc == 0 || r->rfc == f->rfc) &&
	       (f->section == NULL || is_within(r->section, span_of(f->section))) &&
	       (f->level == LIST_ANY || (uint32_t)r->level == f->level) &&
	       (f->bound == LIST_ANY || (r->bound & (1U << f->bound)) != 0) &&
	       (!f->gaps || requirement_is_gap(r));
}

static void print(const struct requirement *r)
{
	(void)printf("%s  %s%s ", r->id, REQUIREMENT_LEVELS[r->level],
		     r->lower_case ? " (in lower case)" : "");
	for (uint32_t i = 0; REQUIREMENT_BOUND[i] != NULL; i++)
		if ((r->bound & (1U << i)) != 0)
			(void)printf(" %s", REQUIREMENT_BOUND[i]);
	(void)printf("  %s\n    %s\n", REQUIREMENT_EFFECTS[r->effect], r->says);
	if (r->same_as != NULL)
		(void)printf("    says again what %s says\n", r->same_as);
	if (r->updated_by != NULL)
		(void)printf("    updated by %s\n", r->updated_by);
	for (uint32_t i = 0; i < r->case_count; i++)
		(void)printf("    case %s\n", r->cases[i]);
	if (r->untestable != NULL)
		(void)printf("    no test: %s\n", r->untestable);
	else if (requirement_is_gap(r))
		(void)printf("    no case\n");
}

static int list_all(const struct requirements *rs, const struct list_filter *f)
{
	uint32_t count = 0, testable = 0, judged = 0, gaps = 0;

	for (uint32_t i = 0; i < rs->file_count; i++) {
		for (uint32_t k = 0; k < rs->files[i]->count; k++) {
			const struct requirement *r = &rs->files[i]->items[k];
			if (!fits(r, f))
				continue;
			print(r);
			count++;
			testable += r->untestable == NULL;
			judged += r->untestable == NULL && r->case_count > 0;
			gaps += requirement_is_gap(r);
		}
	}
	(void)printf("%u requirements, %u testable, %u of them judged by a case, %u gaps\n", count, testable,
		     judged, gaps);
	return count > 0 || f->gaps ? 0 : 2;
}

int list_requirements(const struct list_filter *f)
{
	char dir[PATH_MAX], cases[PATH_MAX];
	struct buf messages = { 0 };

	if (!requirements_dir("requirements", dir)) {
		(void)fprintf(stderr,
			      "postrider list: no catalogue in ./scenarios/requirements nor where the "
			      "program was installed\n");
		return 2;
	}
	struct requirements *rs = requirements_read(dir, &messages);
	if (requirements_dir("cases", cases))
		requirements_find_cases(rs, cases, &messages);
	int rc = list_all(rs, f);
	if (buf_bytes(&messages) > 0) {
		(void)fprintf(stderr, "%s", buf_cstr(&messages));
		rc = 2;
	}
	requirements_free(rs);
	buf_free(&messages);
	return rc;
}
