/*
 * requirement: the catalogue of what RFCs demand, scenarios/requirements/rfcNNNN.yaml
 * (docs/requirements.md has every key), and which cases judge each demand.
 *
 * A struct requirement_file is one file, read and checked; plain data that the
 * file owns.  A file with mistakes is not returned: each mistake is one message
 * with its place (base/yaml.h).  What only the RFC texts can show is left to
 * tests/requirements/check.py.
 *
 * A struct requirements is the whole folder.  Its arrays and strings live until
 * requirements_free.  Reading touches files and nothing else.
 *
 * Limits: those of base/yaml.h for a file; 256 files; 16 parties bound by one requirement.
 */
#ifndef HARNESS_SCENARIO_REQUIREMENT_H
#define HARNESS_SCENARIO_REQUIREMENT_H

#include "base/buf.h"
#include "base/span.h"

#include <limits.h>

enum requirement_level {
	REQUIREMENT_MUST,
	REQUIREMENT_MUST_NOT,
	REQUIREMENT_SHOULD,
	REQUIREMENT_SHOULD_NOT,
	REQUIREMENT_MAY,
	REQUIREMENT_IMPLIED, /* the text states a fact and means a rule: never print it as MUST */
	REQUIREMENT_LEVEL_COUNT,
};
/* "MUST NOT"; NULL-terminated, in the order of the enum. */
extern const char *const REQUIREMENT_LEVELS[];
/* Who can be bound: "server" "client" …; a requirement's bound has bit 1 << index. */
extern const char *const REQUIREMENT_BOUND[];
/* What a breach does to mail: "loss" "duplicate" …  */
extern const char *const REQUIREMENT_EFFECTS[];

struct requirement {
	const char *id;      /* "RFC5321-4.5.2-leading-dot-deleted" */
	uint32_t rfc;        /* 5321 */
	struct span section; /* "4.5.2"; lies in id */
	const char *says;    /* our own words */
	enum requirement_level level;
	bool lower_case; /* the keyword is not in capitals */
	uint32_t bound;
	uint32_t effect;        /* index in REQUIREMENT_EFFECTS */
	const char *untestable; /* why no test can see it; NULL: one can */
	const char *same_as;    /* the id of what this one says again; NULL */
	const char *updated_by; /* NULL */
	const char *sha256;     /* of the sentence */
	uint32_t case_count;    /* that name it, or the one it says again */
	const char **cases;     /* "smtp/rfc5321/4.5.2/…", by name */
};

struct requirement_file {
	uint32_t rfc;
	const char *title;
	uint32_t tier;
	struct requirement *items; /* in the order of the text */
	uint32_t count;
	void *memory;
};

/* text.p NULL: path is read.  NULL after a mistake, with messages appended. */
struct requirement_file *requirement_file_read(const char *path, struct span text, struct buf *messages);
void requirement_file_free(struct requirement_file *f); /* accepts NULL */

struct requirements {
	struct requirement_file **files; /* by number of the RFC */
	uint32_t file_count;
	struct requirement **by_id; /* all, by id */
	uint32_t count;
	char **case_names; /* each once */
	uint32_t case_name_count;
};

/*
 * Every rfc*.yaml in dir.  Files with mistakes are left out, and messages tell
 * of each; so do same-as keys that name nothing.
 */
struct requirements *requirements_read(const char *dir, struct buf *messages);
void requirements_free(struct requirements *rs); /* accepts NULL */
/* NULL when there is none. */
const struct requirement *requirements_find(const struct requirements *rs, const char *id);

/*
 * Notes in each requirement the cases below dir, PATH.case, that name it in
 * their header: "req: ID LEVEL".  A missing dir holds no case.  A line that names no
 * requirement, or another level than the catalogue's, is a message.
 */
void requirements_find_cases(struct requirements *rs, const char *dir, struct buf *messages);

/* Testable, and neither a case of its own nor of the one it says again. */
bool requirement_is_gap(const struct requirement *r);

/*
 * "requirements" or "cases" below scenarios/ here, else of the installed program, else beside
 * the built one; false when there is none.
 */
bool requirements_dir(const char *name, char ret_path[static PATH_MAX]);

#endif
