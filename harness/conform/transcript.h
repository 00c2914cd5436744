/*
 * transcript: everything that went over the wire while a case was played, with
 * times and the borders of what was written and read in one piece.
 *
 * Secrets are taken out when bytes come in, so that none is ever kept.  A
 * server that says too much is cut: EVENT_BYTES of a piece are kept and
 * TRANSCRIPT_BYTES in all, and the text says how much there was.
 */
#ifndef HARNESS_CONFORM_TRANSCRIPT_H
#define HARNESS_CONFORM_TRANSCRIPT_H

#include "base/buf.h"
#include "base/span.h"

enum {
	TRANSCRIPT_EVENT_BYTES_MAX = 16384,
	TRANSCRIPT_BYTES_MAX = 1024 * 1024,
	TRANSCRIPT_EVENTS_MAX = 20000,
	TRANSCRIPT_SECRETS_MAX = 32,
};

enum transcript_kind { TRANSCRIPT_NOTE, TRANSCRIPT_CLIENT, TRANSCRIPT_SERVER };

struct transcript_event {
	int64_t at_ns;
	enum transcript_kind kind;
	uint32_t connection; /* from 0 */
	const char *who; /* a next hop that we play, for the relay is the client; NULL: we are the client */
	size_t begin, bytes; /* what is kept of it */
	size_t bytes_in_all;
};

/* Zeroed is ready. */
struct transcript {
	int64_t zero_ns; /* set by the first event */
	struct transcript_event *events;
	uint32_t count, room;
	struct buf bytes;
	uint64_t left_out; /* events that no longer fitted */
	struct buf secrets[TRANSCRIPT_SECRETS_MAX];
	uint32_t secret_count;
};

/* Four bytes or more, or it would blot out what is no secret. */
void transcript_add_secret(struct transcript *t, struct span secret);
void transcript_add(struct transcript *t, int64_t at_ns, enum transcript_kind kind, uint32_t connection,
		    struct span bytes);
/* The same on a connection to a next hop that we play: "server" is we, "client" the relay.  who is borrowed. */
void transcript_add_hop(struct transcript *t, int64_t at_ns, enum transcript_kind kind, const char *who,
			uint32_t connection, struct span bytes);
/* The last event had more bytes: one write of both. */
void transcript_extend(struct transcript *t, struct span bytes);
void transcript_note(struct transcript *t, int64_t at_ns, uint32_t connection, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Appends it as text, one line of the wire a line, CR and LF shown:
 *
 *     0.000 C1 -- connected to 127.80.3.1:12000
 *     0.001 S1 <- 220 mx.sut.example ESMTP\r\n
 *     0.001 C1 -> MAIL FROM:<a@probe.example>\r\n
 *            | -> RCPT TO:<b@sut.example>\r\n          the same segment
 *     0.014 mx.1 <- EHLO mx.sut.example\r\n            the relay to a next hop, on its first connection
 *     0.014 mx.1 -> 250-mx\r\n
 *
 * Of lines that repeat one is shown, and how often it stands there again.
 */
void transcript_print(const struct transcript *t, const char *indent, struct buf *out);
void transcript_free(struct transcript *t);

#endif
