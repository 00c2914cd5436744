/*
 * case_choice: which cases a command is about: all, by name, by file, by
 * requirement, level or tag; a part of them for one machine of several.
 */
#ifndef HARNESS_CLI_CASE_CHOICE_H
#define HARNESS_CLI_CASE_CHOICE_H

#include "base/opt.h"
#include "harness/conform/result_files.h"
#include "harness/scenario/case.h"

struct case_choice {
	const struct opt_list
		*names;    /* "smtp", "smtp/rfc5321/4.5.2", "RFC5321-4.5.2", "my.case"; none: all */
	const char *level; /* "MUST"; NULL: all */
	const char *tag;   /* NULL: all */
	bool slow;         /* those tagged slow, too */
	const char *shard; /* "2/5"; NULL: all */
	const struct conform_earlier *failed_in; /* only what did not pass there; NULL: all */
};

struct case_set {
	struct case_file **items;
	uint32_t count;
	uint32_t broken; /* files with mistakes; told on standard error, and left out */
};

/* 0, or 2 after a mistake in the command, which was told. */
int case_choose(const char *command, const struct case_choice *choice, struct case_set *ret_set);
void case_set_free(struct case_set *s);

#endif
