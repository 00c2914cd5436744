/*
 * answer: one reply of a server, SMTP, LMTP or POP3, read from any split of
 * the stream, and held against what a case expects.
 *
 * Two readings stand side by side (harness/wire): the lenient one finds the
 * reply, the strict one notes what is irregular in it.  A case goes on with
 * the first; the second is reported with the clause it breaks.
 *
 * Limits: REPLY_BYTES_MAX for a reply, ANSWER_DATA_BYTES_MAX for POP3's
 * multi-line data; what goes beyond has code "" and matches nothing.
 */
#ifndef HARNESS_CONFORM_ANSWER_H
#define HARNESS_CONFORM_ANSWER_H

#include "base/buf.h"
#include "base/span.h"
#include "harness/conform/values.h"
#include "harness/scenario/case.h"
#include "harness/wire/pop3_reply.h"
#include "harness/wire/reply.h"

enum { ANSWER_DATA_BYTES_MAX = 16 * 1024 * 1024 };

struct answer {
	bool pop3;
	char code[5];    /* "250", "+OK", "-ERR", "+"; "" when it has none */
	struct buf text; /* the lines' texts, joined by LF */
	uint32_t lines;  /* POP3: of the data */
	bool has_data;   /* POP3: multi-line data came, in `data`, unstuffed */
	struct buf data; /* line ends included */
	uint32_t notes;  /* enum reply_note or pop3_note */
	uint32_t dots;   /* enum dots_note */
};

/* Zeroed, but for pop3, is ready. */
struct answer_reader {
	bool pop3;
	struct answer answer;
	struct reply_reader smtp;
	struct pop3_reader pop;
	bool busy;
};

/*
 * Reads from the front of in, at most to the end of one reply, and returns how
 * many bytes that were.  multi: the reply has POP3 data behind it when it is
 * positive; asked only at the reply's beginning.
 */
size_t answer_read(struct answer_reader *r, struct span in, bool multi, bool *ret_done);
void answer_reader_free(struct answer_reader *r);

/* Whether it is as the pattern says.  On false *ret_why has a sentence for a person. */
bool answer_matches(const struct answer *a, const struct case_pattern *p, struct values *v,
		    struct buf *ret_why);
/* Whether all checks hold. */
bool answer_passes(const struct answer *a, const struct case_check *checks, uint32_t count, struct values *v,
		   struct buf *ret_why);

/* Appends "a line ends in LF alone (RFC 5321 2.3.8)" for each irregularity, one a line. */
void answer_irregularities(const struct answer *a, struct buf *ret_lines);
/* "250 2.1.0 ok", cut to something that fits a line. */
void answer_brief(const struct answer *a, struct buf *out);

#endif
