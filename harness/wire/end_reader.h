/*
 * end_reader: where servers of other kinds would see the end of a content that
 * was sent by DATA (RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2).
 *
 * Only CRLF "." CRLF ends content.  Servers are known that take LF or CR alone
 * for a line end, or pass over NUL and stray CR.  Whoever can make a relay send
 * bytes that such a server reads as an end, and commands behind it, makes a
 * second message appear there: one that the relay seems to have sent.  What
 * merely ends too early, or has a stray CR or LF, is irregular and no more.
 *
 * A table of readers, and what each makes of the bytes between 354 and the
 * final reply.  Nothing is repaired.
 */
#ifndef HARNESS_WIRE_END_READER_H
#define HARNESS_WIRE_END_READER_H

#include "base/span.h"

enum {
	END_AT_CRLF = 1u << 0,
	END_AT_LF = 1u << 1,
	END_AT_CR = 1u << 2,
	END_PASSES_NUL = 1u << 3, /* NUL counts for nothing */
	END_PASSES_CR = 1u << 4,  /* so does CR in front of CR LF */
};

struct end_reader {
	const char *name; /* "takes LF for a line end" */
	unsigned rules;
};
extern const struct end_reader END_READERS[]; /* the last has no name */

enum end_reading {
	END_ONE_MESSAGE,
	END_CUT_SHORT,    /* it ends before its time; what follows are no commands that make a message */
	END_TWO_MESSAGES, /* MAIL, RCPT and DATA or BDAT follow its end */
};

/* wire: all that the client said, stuffed, its final dot line included. */
enum end_reading end_read(const struct end_reader *r, struct span wire);

/* A CR or LF stands without the other (RFC 5321 section 2.3.8). */
bool end_is_irregular(struct span bytes);

#endif
