/*
 * content: messages made from seed + id, and the comparison of what came back
 * with what was sent.
 *
 * The same spec always makes the same bytes, so a retrieved message is judged
 * against a fresh copy of its original and nothing has to be kept but two
 * digests.  Bodies are awkward on purpose: lines that are or begin with dots
 * (RFC 5321 section 4.5.2), lines of 998 bytes (section 4.5.3.1.6), empty
 * lines, trailing blanks, "From " at the start of a line, and UTF-8 where the
 * spec allows eight bits (RFC 6152).  Every line ends in CRLF; no bare CR or
 * LF is ever made.
 *
 * A message is known by its marker, "pr-" id "-" check, in four places:
 * Message-ID, an own header field, the first line of the body, and, where the
 * flow allows sub-addresses, the reverse-path.  The check is made from the
 * seed, so mail of another run is not taken for ours.
 *
 * Judged are the body, byte for byte, and the protected header fields (From,
 * To, Subject, Date, Message-ID, MIME-Version, Content-Type,
 * Content-Transfer-Encoding, X-Postrider-Token).  Trace fields and other
 * additions of a relay are its own business (RFC 5321 section 4.4).
 */
#ifndef HARNESS_JUDGE_CONTENT_H
#define HARNESS_JUDGE_CONTENT_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	CONTENT_MARKER_CHARS = 28,   /* pr-0000002a-0123456789abcdef */
	CONTENT_BODY_BYTES_MIN = 64, /* room for the marker line and one more */
	CONTENT_LINE_CHARS_MAX = 998,
	CONTENT_DIGEST_BYTES = 32,
};

struct content_spec {
	uint64_t seed;
	uint32_t id;
	struct span from;     /* address for the From field */
	struct span to;       /* addresses for the To field, comma separated */
	uint32_t body_bytes;  /* smaller than CONTENT_BODY_BYTES_MIN counts as that */
	bool eight_bit;       /* allow bytes above 127 in the body */
	int64_t date_wall_ms; /* for the Date field */
};

/* SHA-256 of the body and of the protected header fields. */
struct content_digest {
	unsigned char body[CONTENT_DIGEST_BYTES];
	unsigned char header[CONTENT_DIGEST_BYTES];
};

/* Appends the whole message, without dot-stuffing and without the final dot. */
void content_make(const struct content_spec *s, struct buf *ret_message);

/* How many bytes of such a message are not its body: header and the empty line. */
uint32_t content_header_bytes(const struct content_spec *s);

void content_digest(struct span message, struct content_digest *ret_digest);

/* Writes the marker and a NUL. */
void content_marker(uint64_t seed, uint32_t id, char out[static CONTENT_MARKER_CHARS + 1]);

/* Finds the first marker of this seed anywhere in text. */
bool content_find_marker(struct span text, uint64_t seed, uint32_t *ret_id);

/* How a retrieved message relates to this run's originals. */
enum content_kind {
	CONTENT_COPY,    /* one of ours: its own header or the first line of its body says so */
	CONTENT_ABOUT,   /* mentions one of ours further down, as a bounce does */
	CONTENT_FOREIGN, /* nothing known */
};
enum content_kind content_recognise(struct span message, uint64_t seed, uint32_t *ret_id);

enum content_state {
	CONTENT_INTACT,      /* body and protected fields are the same bytes */
	CONTENT_TRANSFORMED, /* same after decoding and unfolding, other bytes */
	CONTENT_CORRUPTED,
};

struct content_verdict {
	enum content_state state;
	char text[240]; /* what differs first, printable ASCII; empty when intact */
};

/* digest: that of the original, as made. */
void content_compare(const struct content_spec *original, const struct content_digest *digest,
		     struct span retrieved, struct content_verdict *ret_verdict);

#endif
