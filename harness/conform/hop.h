/*
 * hop: a next hop that the harness plays for one case, and the record of all
 * that was said to it.
 *
 * A well-behaved server (harness/peer/sink) that departs from what is usual
 * where the case says so.  Lines, contents and connections are kept in the
 * order in which they came; the transcript of the case gets every byte.
 * Callbacks only tell that there is something new.
 *
 * Limits: HOP_CONNECTIONS_MAX connections, HOP_LINES_MAX lines and
 * HOP_CONTENT_BYTES_MAX bytes of content are kept, and HOP_HEARD_BYTES_MAX are
 * heard in all, for lines and contents that do not end take room, too; `flooded`
 * says that there were more, and from then on nobody listens there.
 */
#ifndef HARNESS_CONFORM_HOP_H
#define HARNESS_CONFORM_HOP_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/tls.h"
#include "harness/conform/transcript.h"
#include "harness/conform/values.h"
#include "harness/scenario/case.h"

enum {
	HOP_CONNECTIONS_MAX = 1000,
	HOP_LINES_MAX = 20000,
	HOP_CONTENT_BYTES_MAX = 64 * 1024 * 1024,
	HOP_HEARD_BYTES_MAX = 96 * 1024 * 1024,
};

struct hop_line {
	uint64_t connection; /* from 1 */
	int64_t at_ns;
	bool alone; /* nothing had come behind it when it was answered */
	bool followed; /* something came in a segment of its own, and there is no answer yet to tell if too soon */
	bool answered;   /* and the relay was there */
	bool crlf;       /* it ended so, and not in LF alone */
	struct buf text; /* without its end */
};

struct hop_content {
	uint64_t connection;
	int64_t at_ns;
	bool taken; /* the final reply was good */
	/* The relay may not have had that reply in time, or not have understood it. */
	bool in_doubt;
	bool tls;
	/* That were accepted, each with a LF behind it; of LMTP, once taken, those it was taken for. */
	struct buf recipients;
	struct buf content; /* unstuffed */
	struct buf wire;    /* as it came behind DATA, its end included; empty after BDAT */
};

/* A TLS handshake that came to its end. */
struct hop_handshake {
	uint64_t connection;
	int64_t at_ns;
	struct buf server_name; /* that was asked for; empty: none */
};

struct hop {
	const char *name;
	struct addr at;
	struct hop_line *lines;
	uint32_t line_count, line_room;
	struct hop_content *contents;
	uint32_t content_count, content_room;
	size_t content_bytes;
	size_t heard_bytes;
	struct hop_handshake *handshakes;
	uint32_t handshake_count, handshake_room;
	int64_t *connected_ns; /* of each connection */
	uint32_t connection_count, connection_room;
	uint32_t early_count; /* connections on which something came before the greeting */
	bool flooded;
	struct hop_inside *inside;
};

typedef void hop_news_fn(void *ctx);
/* The relay is to be killed, at once. */
typedef void hop_kill_fn(void *ctx);

struct hop_options {
	struct loop *loop;
	const struct case_hop *what;
	const struct values *values;             /* for the texts of its departures */
	const char *host_name;                   /* for its greeting */
	const char *login_name, *login_password; /* with what->login; borrowed, and outlive it */
	struct tls_ctx *tls;                     /* NULL: no STARTTLS; taken */
	bool private_network;
	const struct addr *places; /* the first that is free is taken; absent: nobody listens there */
	uint32_t place_count;
	struct transcript *transcript; /* NULL: nothing is noted */
	hop_news_fn *on_news;
	hop_kill_fn *on_kill;
	void *ctx;
};
/* NULL with the reason. */
struct hop *hop_new(const struct hop_options *o, struct err *reterr);
void hop_free(struct hop *h); /* accepts NULL; closes everything */

uint32_t hop_taken_count(const struct hop *h);
uint32_t hop_open_count(const struct hop *h); /* connections */

#endif
