/*
 * case_read: the inside of harness/scenario/case, shared by its parts: lines,
 * sections and header (case.c), texts and patterns (case_text.c), steps
 * (case_step.c), those of role client (case_relay.c), the hosts that are
 * played there (case_hop.c, case_policy.c) and their certificates
 * (case_certificate.c), what follows a step (case_detail.c), messages
 * (case_error.c).
 * Nobody else includes this.
 */
#ifndef HARNESS_SCENARIO_CASE_READ_H
#define HARNESS_SCENARIO_CASE_READ_H

#include "harness/scenario/case.h"

enum { CASE_VARIABLES_MAX = 192 };

/* Every part reads on after a mistake, so that one run reports all. */
struct case_reader {
	struct case_file *c;
	const char *path;
	const char *wanted_id;
	struct span text;
	struct span line; /* without its end */
	uint32_t line_number;
	struct buf *messages;
	uint32_t error_count;
	bool in_steps;
	bool said[16]; /* header keys that were there, by their place in the table */
	struct case_step *step;
	const char *bound[CASE_VARIABLES_MAX];
	uint32_t bound_count;
	uint32_t step_room, section_room;
	struct case_hop *hop;                 /* whose details are read */
	struct case_submission *submission;   /* likewise */
	struct case_policy_host *policy_host; /* likewise, with ... */
	struct case_policy_answer *answer;    /* ... what it says */
	bool connection_used[CASE_CONNECTIONS_MAX];
};

/* ---- case_error.c ---- */
/* at: a part of the current line; its place and length are shown. */
void case_error(struct case_reader *r, struct span at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The file as a whole. */
void case_file_error(struct case_reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- memory, case.c ---- */
void *case_alloc(struct case_file *c, size_t bytes);
const char *case_keep(struct case_file *c, struct span s); /* NUL-terminated copy */
struct span case_keep_span(struct case_file *c, struct span s);
/* The array with room for one more; *room is what it had. */
void *case_grow(struct case_file *c, void *items, uint32_t count, uint32_t *room, size_t item_bytes);

/* ---- words, case.c ---- */
/* The next word, ended by blanks; empty at the end of the line. */
struct span case_word(struct span *rest);
/* Cuts a comment, two blanks and '#', off. */
struct span case_without_comment(struct span s, bool has_quotes);
/* Nor the colon behind which indented lines follow; there are no quotes. */
struct span case_without_colon(struct span s);
/* Index in a NULL-terminated list, or -1. */
int case_index(struct span word, const char *const *names);
bool case_word_is(struct span word, const char *text);
void case_nothing_more(struct case_reader *r, struct span rest);
void case_unknown(struct case_reader *r, struct span word, const char *what, const char *const *names);

/* ---- case_text.c ---- */
/* Plain text with ${name}; patterns have "..." too and bind names that are not bound yet. */
struct case_text case_text_of(struct case_reader *r, struct span s, bool is_pattern);
/* A quoted string at the front of *rest, with escapes and ${name}. */
bool case_take_quoted(struct case_reader *r, struct span *rest, struct case_text *ret_text);
/* The same without ${name}: for explanations. */
bool case_take_words(struct case_reader *r, struct span *rest, const char **ret_text);
/* "250|251 ...": codes, then the text's pattern. */
bool case_pattern_of(struct case_reader *r, struct span s, struct case_pattern *ret_pattern);
struct case_text case_join(struct case_file *c, struct case_text a, struct case_text b);
void case_bind(struct case_reader *r, struct span name);
bool case_is_name(struct span s);

/* ---- case_step.c ---- */
/* A line that does not begin with a blank, after the header. */
void case_read_step(struct case_reader *r);
/* " within 30s" at the end of *s is cut off and read. */
void case_take_within(struct case_reader *r, struct span *text, struct case_step *s);

/* A step of that kind at this line; NULL after a mistake. */
struct case_step *case_add_step(struct case_reader *r, enum case_step_kind kind);
/* "text" ~20ms~ "more"; false after a mistake. */
bool case_take_segments(struct case_reader *r, struct span rest, struct case_segment **ret_segments,
			uint32_t *ret_count);
/* stored and its like: ADDRESS within 10s: */
void case_read_mailbox(struct case_reader *r, enum case_step_kind kind, struct span rest);

/* ---- case_relay.c ---- */
/* A step of role client; false: the word is none. */
bool case_read_relay_step(struct case_reader *r, struct span word, struct span rest);
bool case_read_relay_absence(struct case_reader *r, struct span word, struct span rest);
/* An indented line below submit. */
void case_read_submit_detail(struct case_reader *r);
/* What only the whole file shows. */
void case_check_relay(struct case_reader *r);

/* ---- case_hop.c ---- */
void case_read_next_hop(struct case_reader *r, struct span rest);
/* An indented line below it. */
void case_read_hop_detail(struct case_reader *r);
/* Index of the next hop, or -1. */
int case_find_hop(const struct case_reader *r, struct span name);
/* The name at the front of *rest, perhaps with a colon behind it, that a host of ours may have; empty after a mistake. */
struct span case_take_host_name(struct case_reader *r, struct span *rest, const char *what);
enum { CASE_HOST_NAME_BYTES_MAX = 20 };

/* ---- case_policy.c ---- */
int case_find_policy_host(const struct case_reader *r, struct span name);
void case_read_policy_host(struct case_reader *r, struct span rest);
/* An indented line below it. */
void case_read_policy_detail(struct case_reader *r);
/* asked NAME, not asked NAME */
void case_read_asked(struct case_reader *r, enum case_step_kind kind, struct span rest);

/* ---- case_certificate.c ---- */
/* tls [KIND] [for NAME ...] */
void case_read_tls(struct case_reader *r, struct case_certificate *c, struct span rest);
void case_read_tls_version(struct case_reader *r, struct case_certificate *c, struct span rest);

/* ---- case_detail.c ---- */
/* "==", ">=" or "<="; false after a mistake. */
bool case_take_op(struct case_reader *r, struct span *rest, enum case_op *ret_op);
/* An indented line: belongs to r->step. */
void case_read_detail(struct case_reader *r);

#endif
