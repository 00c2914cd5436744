/*
 * opt: command lines from tables.
 *
 * A subcommand says its options, its positional arguments and its help text
 * in one struct; parsing, --help and every usage message follow from that.
 * Long options only, plus -h: "--name value" or "--name=value"; "--" ends
 * options; options and arguments may mix.  Values are written through the
 * pointers in the table; strings are borrowed from argv.  What is absent is
 * left alone, so the caller's initial value is the default.
 *
 *   static int cmd_flush(int argc, char **argv)
 *   {
 *           const char *data = "/var/lib/x";
 *           uint32_t limit = 0;
 *           const struct opt options[] = {
 *                   { "data", OPT_STR, &data, .value = "DIR", .help = "the data directory" },
 *                   { "limit", OPT_U32, &limit, .value = "N", .help = "at most N", .min = 1, .max = 1000 },
 *                   { 0 },
 *           };
 *           int rc = opt_parse(&(struct opt_command){ .name = "x flush", .purpose = "Tries all again now.",
 *                              .options = options }, argc, argv);
 *           if (rc != OPT_GO)
 *                   return rc;  // 0 after --help, 2 after a usage error; both were printed
 */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	OPT_GO = -1,
	OPT_EXIT_USAGE = 2,
};

/* A repeatable option's values, or all positional arguments of a kind; in order. */
struct opt_list {
	const char **items; /* NULL-terminated once anything was parsed; may be NULL when count is 0 */
	uint32_t count;
};
void opt_list_free(struct opt_list *l);

enum opt_kind {
	OPT_FLAG,        /* bool *, becomes true */
	OPT_STR,         /* const char ** */
	OPT_LIST,        /* struct opt_list *, repeatable */
	OPT_U32,         /* uint32_t *, min..max */
	OPT_U64,         /* uint64_t *, min..max */
	OPT_DURATION_MS, /* int64_t *, "500ms"; min..max */
	OPT_SIZE_BYTES,  /* uint64_t *, "10MiB"; min..max */
	OPT_CHOICE,      /* uint32_t *, index in choices */
};

struct opt {
	const char *name; /* without "--"; NULL ends the table */
	enum opt_kind kind;
	void *ret;
	const char *value; /* how help names the value: "FILE" */
	const char *help;
	uint64_t min;
	uint64_t max; /* 0: no maximum */
	const char *const *choices;
};

/* A positional argument.  Exactly one of ret_one and ret_many is set; only the last may be ret_many. */
struct opt_arg {
	const char *name; /* "FILE"; NULL ends the table */
	const char **ret_one;
	struct opt_list *ret_many;
	bool optional; /* for ret_many: none is fine */
	const char *help;
};

struct opt_command {
	const char *name;           /* "postrider run" */
	const char *purpose;        /* one paragraph; wrapped by opt_help */
	const struct opt *options;  /* NULL: none */
	const struct opt_arg *args; /* NULL: none */
	const char *example;        /* "postrider run three-steps"; lines may follow; NULL: none */
	const char *exit_codes;     /* one line each, "0  all passed\n1  …"; NULL: the usual 0 and 2 */
};

/* argv[0] is the subcommand's own name and is skipped.  OPT_GO, or the exit code after printing. */
int opt_parse(const struct opt_command *c, int argc, char **argv);
void opt_help(const struct opt_command *c, FILE *out);

/* ---- a program's subcommands ---- */
struct opt_verb {
	const char *name; /* NULL ends the table */
	int (*run)(int argc, char **argv);
	const char *help; /* one line */
};
/*
 * Runs the verb named by argv[1].  No verb or --help prints the list (2 or 0),
 * --version prints "program version", an unknown one prints a suggestion and
 * returns 2.
 */
int opt_dispatch(const char *program, const char *purpose, const struct opt_verb *verbs, int argc,
		 char **argv);

#endif
