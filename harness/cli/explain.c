#include "harness/cli/explain.h"

#include "base/opt.h"
#include "base/suggest.h"
#include "harness/scenario/requirement.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_bound(const struct requirement *r)
{
	bool any = false;

	for (unsigned i = 0; REQUIREMENT_BOUND[i] != NULL; i++) {
		if ((r->bound & (1u << i)) == 0)
			continue;
		(void)printf("%s%s", any ? ", " : "", REQUIREMENT_BOUND[i]);
		any = true;
	}
}

static void print_requirement(const struct requirement *r)
{
	(void)printf("%s\n  %s\n\n", r->id, r->says);
	(void)printf("  level    %s%s\n", REQUIREMENT_LEVELS[r->level],
		     r->level == REQUIREMENT_IMPLIED ? ", the text states it as a fact"
		     : r->lower_case                 ? ", not in capitals"
						     : "");
	(void)printf("  clause   RFC %u, section %.*s\n  binds    ", r->rfc, SPAN_FMT(r->section));
	print_bound(r);
	(void)printf("\n  a breach means  %s\n", REQUIREMENT_EFFECTS[r->effect]);
	if (r->same_as != NULL)
		(void)printf("  says again  %s\n", r->same_as);
	if (r->updated_by != NULL)
		(void)printf("  updated by  %s\n", r->updated_by);
	if (r->untestable != NULL)
		(void)printf("  no case can see it: %s\n", r->untestable);
	for (uint32_t i = 0; i < r->case_count; i++)
		(void)printf("%s%s\n", i == 0 ? "  cases    " : "           ", r->cases[i]);
	if (r->case_count > 0)
		(void)printf("\nnext: postrider conform %s\n", r->id);
	else if (r->untestable == NULL)
		(void)puts("  no case judges it yet");
}

/* "RFC5321-4.5.2": all below it, one line each.  False when there is none. */
static bool print_all_of(const struct requirements *rs, const char *prefix)
{
	size_t n = strlen(prefix);
	bool any = false;

	for (uint32_t i = 0; i < rs->count; i++) {
		const struct requirement *r = rs->by_id[i];
		if (strncmp(r->id, prefix, n) != 0 || (r->id[n] != '-' && r->id[n] != '.'))
			continue;
		(void)printf("%-10s %s\n           %s\n", REQUIREMENT_LEVELS[r->level], r->id, r->says);
		any = true;
	}
	return any;
}

static int print_unknown(const struct requirements *rs, const char *id)
{
	const char **ids = calloc(rs->count + 1, sizeof(*ids));

	if (ids == NULL)
		abort();
	for (uint32_t i = 0; i < rs->count; i++)
		ids[i] = rs->by_id[i]->id;
	const char *near = suggest_name(id, ids, rs->count);
	(void)fprintf(stderr, "postrider explain: %s: no such requirement", id);
	if (near != NULL)
		(void)fprintf(stderr, "; did you mean \"%s\"?\n", near);
	else
		(void)fputs("; 'postrider list --requirements' names them\n", stderr);
	free(ids);
	return OPT_EXIT_USAGE;
}

static int explain(const char *id)
{
	char dir[PATH_MAX];
	struct buf messages = { 0 };
	int rc = 0;

	if (!requirements_dir("requirements", dir)) {
		(void)fputs(
			"postrider explain: the catalogue is not here nor where the program was installed\n",
			stderr);
		return OPT_EXIT_USAGE;
	}
	struct requirements *rs = requirements_read(dir, &messages);
	if (requirements_dir("cases", dir))
		requirements_find_cases(rs, dir, &messages);
	(void)fputs(buf_cstr(&messages), stderr);
	buf_free(&messages);
	const struct requirement *r = requirements_find(rs, id);
	if (r != NULL)
		print_requirement(r);
	else if (!print_all_of(rs, id))
		rc = print_unknown(rs, id);
	requirements_free(rs);
	return rc;
}

int cli_explain(int argc, char **argv)
{
	const char *id = NULL;
	const struct opt_arg args[] = {
		{ "REQUIREMENT", .ret_one = &id,
		  .help = "RFC5321-4.5.2-leading-dot-deleted, or RFC5321-4.5.2 for all of a section" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){ .name = "postrider explain",
				       .purpose = "Says what a requirement demands, in words of our own: how "
						  "strongly, where it stands, who is bound, and which cases "
						  "judge it.",
				       .args = args,
				       .example = "postrider explain RFC5321-4.5.2-leading-dot-deleted",
				       .exit_codes = "0  done\n2  no such requirement, or usage error" },
		argc, argv);

	return rc == OPT_GO ? explain(id) : rc;
}
