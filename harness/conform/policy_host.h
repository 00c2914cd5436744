/*
 * policy_host: the HTTPS server at which a domain keeps its MTA-STS policy
 * (RFC 8461 section 3.3), and the record of what it was asked.
 *
 * HTTP and TLS are libevent's and OpenSSL's; here it is said what is answered,
 * every request alike, and kept what came, in the order in which it came: also
 * requests for other paths than the one of policies.  The callback only tells
 * that there is something new.  A handshake that the client gives up is in the
 * transcript, with its alert, and nowhere else.
 *
 * Limits: POLICY_REQUESTS_MAX requests are kept, POLICY_CONNECTIONS_MAX
 * connections taken; `flooded` says that there were more, and from then on nobody
 * listens there.  A head of a request has POLICY_HEAD_BYTES_MAX bytes, its body
 * POLICY_BODY_BYTES_MAX; of a line that does not end POLICY_INPUT_BYTES_MAX are
 * read; and a connection that is idle for POLICY_IDLE_S is closed.
 */
#ifndef HARNESS_CONFORM_POLICY_HOST_H
#define HARNESS_CONFORM_POLICY_HOST_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/tls.h"
#include "harness/conform/transcript.h"

enum {
	POLICY_REQUESTS_MAX = 1000,
	POLICY_CONNECTIONS_MAX = 1000,
	POLICY_HEAD_BYTES_MAX = 16 * 1024,
	POLICY_BODY_BYTES_MAX = 64 * 1024,
	POLICY_INPUT_BYTES_MAX = 128 * 1024,
	POLICY_IDLE_S = 60,
};

struct policy_request {
	uint64_t connection; /* from 1 */
	int64_t at_ns;
	struct buf line;        /* "GET /.well-known/mta-sts.txt"; a method that is not known is "?" */
	struct buf fields;      /* "Host: mta-sts.example\n" and so on */
	struct buf server_name; /* asked for in the handshake (SNI, RFC 6066 section 3); empty: none */
};

struct policy_host {
	const char *name;
	struct addr at;
	struct policy_request *requests;
	uint32_t request_count, request_room;
	bool flooded;
	struct policy_inside *inside;
};

/* What it says; copied.  Until it is told it keeps silent. */
struct policy_answer {
	bool silence; /* no answer at all */
	int status;
	struct span fields; /* "Content-Type: text/plain\n" and so on, each with its LF */
	struct span body;
};

typedef void policy_news_fn(void *ctx);

struct policy_options {
	struct loop *loop;
	const char *name;              /* in the transcript; borrowed */
	struct tls_ctx *tls;           /* taken */
	struct addr at;                /* port 0: any that is free */
	struct transcript *transcript; /* NULL: nothing is noted */
	policy_news_fn *on_news;
	void *ctx;
};
/* NULL with the reason. */
struct policy_host *policy_host_new(const struct policy_options *o, struct err *reterr);
void policy_host_free(struct policy_host *h); /* accepts NULL; closes everything */

void policy_host_says(struct policy_host *h, const struct policy_answer *a);
/* The value of the nth field of that name, in any case, from 0; p == NULL: there is none. */
struct span policy_request_field(const struct policy_request *r, struct span name, uint32_t nth);

#endif
