/*
 * stuffing: makes content transparent for SMTP's DATA (RFC 5321 4.5.2) and
 * POP3's multi-line responses (RFC 1939 3), which share the rule: a line that
 * begins with a period gets one more, and CRLF "." CRLF ends it all.
 *
 * Streaming, any cut.  A line begins at the very start and behind CRLF, behind
 * nothing else (RFC 5321 2.3.8), so a bare LF or CR passes through as it is,
 * and is noted: SMTP clients must not send one.
 *
 * Speed: plain blocks are passed over as a whole, other lines cost two memchr();
 * one copy per run of lines without a dot.
 */
#ifndef SERVER_CORE_STUFFING_H
#define SERVER_CORE_STUFFING_H

#include "base/buf.h"
#include "base/span.h"

/* A value. */
struct stuffing {
	bool at_line_start;
	bool after_cr;
	bool bare_eol; /* a bare CR or LF was met */
};

void stuffing_init(struct stuffing *s);
void stuffing_add(struct stuffing *s, struct buf *out, struct span bytes);

/* As it is, without stuffing; bare ends of line are noted all the same.  For BDAT (RFC 3030). */
void stuffing_pass(struct stuffing *s, struct buf *out, struct span bytes);

/* Adds a missing final CRLF, then "." CRLF.  Content of no bytes becomes the dot alone.  Once, at the end. */
void stuffing_end(struct stuffing *s, struct buf *out);

#endif
