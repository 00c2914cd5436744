/*
 * trace: the header fields a server adds (RFC 5321 4.4, RFC 5322 3.3, 3.6).
 *
 * Pure: time, identifiers and names are arguments.  Every field ends with
 * CRLF and is folded so that lines stay within 78 bytes where a single token
 * is not longer than that (RFC 5322 2.1.1).
 *
 * Names that came from a client cannot inject anything: every byte that may
 * not stand in a domain, a literal or a path (controls, blanks, 8-bit, and
 * parentheses, brackets and backslashes where they would open a comment) is
 * written as '?'.
 */
#ifndef SERVER_CORE_TRACE_H
#define SERVER_CORE_TRACE_H

#include "base/buf.h"
#include "base/span.h"

/* Empty spans leave their clause out, except helo and by_host, which must be there. */
struct trace_received {
	struct span helo;        /* EHLO or HELO argument; an address literal keeps its brackets */
	struct span client_name; /* verified name of the client's address, or empty */
	struct span client_ip;   /* "192.0.2.1" or "2001:db8::1", no brackets, from the connection */
	struct span by_host;
	struct span protocol; /* "ESMTPS" and its like (RFC 3848, RFC 6531 4.3) */
	struct span id;       /* queue id */
	struct span
		rcpt; /* address text; only when the message has exactly one recipient.  Left out when it is
				 not ASCII: a message that needs no SMTPUTF8 otherwise then still passes where
				 there is none */
	struct span tls_suite; /* "TLS_AES_256_GCM_SHA384", as IANA has it (RFC 8314 4.3) */
	int64_t time_ms;       /* since 1970-01-01T00:00:00Z */
};

void trace_add_received(struct buf *out, const struct trace_received *facts);

/* address_text() form without brackets, UTF-8 as it is (RFC 6531 3.7.3); empty gives <>. */
void trace_add_return_path(struct buf *out, struct span reverse_path);

/*
 * Appends a message without the Return-Path fields of its header: final delivery adds the
 * only one (RFC 5321 4.4).  All else stays as it is, byte for byte.  What is a header and a
 * field is header.h's reading.
 */
void trace_add_without_return_path(struct buf *out, struct span message);

/* "Tue, 1 Jul 2003 10:52:37 +0000", no CRLF.  Years 1900 to 9999. */
void trace_add_date_time(struct buf *out, int64_t time_ms);

/* The whole fields. */
void trace_add_date(struct buf *out, int64_t time_ms);
void trace_add_message_id(struct buf *out, struct span message_id);

/*
 * "<time.unique@host>", no field name, no CRLF.  unique is raw bytes (8 or
 * more random ones, or a queue id's bits), written in hexadecimal.
 */
void trace_add_new_message_id(struct buf *out, int64_t time_ms, struct span unique, struct span host);

#endif
