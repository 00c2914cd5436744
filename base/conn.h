/*
 * conn: one stream connection, plain or TLS, on the loop.
 *
 * Bytes that arrived are seen with conn_input and dropped with conn_consume;
 * what is not consumed stays and is shown again together with what arrives
 * later.  Output is gathered and written once per loop round.  Both sides are
 * bounded: reading pauses while input_bytes_max are unconsumed, and the
 * writer is told through conn_output_bytes and CONN_DRAINED.
 *
 * Events come through one callback.  conn_free may be called inside it; no
 * event follows.  After CONN_FAILED only conn_error and conn_free are useful.
 * A conn owns its descriptor.  Spans from conn_input die at the next consume
 * or when the callback returns.
 */
#ifndef BASE_CONN_H
#define BASE_CONN_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "base/tls.h"
#include "base/tls_check.h"

struct conn;

enum conn_event {
	CONN_CONNECTED, /* outgoing connection is up */
	CONN_SECURED,   /* TLS handshake done */
	CONN_INPUT,     /* there is more in conn_input than before */
	CONN_DRAINED,   /* all output has been handed to the kernel */
	CONN_EOF,       /* the peer ended its sending side; what came before has been shown */
	CONN_TIMEOUT,   /* conn_set_timeout_ms ran out; the conn stays usable */
	CONN_FAILED,    /* see conn_error: refused, reset, TLS failure, time-out of the kernel */
};

typedef void conn_fn(void *ctx, enum conn_event event);

struct conn_options {
	struct loop *loop;
	conn_fn *on_event;
	void *ctx;
	uint32_t input_bytes_max; /* 0: 64 KiB */
	/* Once, when the descriptor has been closed, however that came about: also long after conn_finish, and
	 * inside loop_free.  For counting connections.  May be NULL. */
	void (*on_closed)(void *ctx);
	void *closed_ctx;
};

/* Takes fd (accepted, any blocking mode). */
struct conn *conn_take(const struct conn_options *o, int fd);

/* Starts connecting; the outcome is CONN_CONNECTED or CONN_FAILED, never before this returns.  bind_to may be
 * NULL. */
struct conn *conn_connect(const struct conn_options *o, const struct addr *to, const struct addr *bind_to);

struct span conn_input(const struct conn *c);
void conn_consume(struct conn *c, size_t n);

void conn_write(struct conn *c, struct span s);
void conn_write_buf(struct conn *c, struct buf *b); /* all of b, without copying if that can be; empties b */
size_t conn_output_bytes(const struct conn *c);     /* not yet handed to the kernel */
/* Handed to it, and had from it, since the beginning; without encryption. */
uint64_t conn_written_bytes(const struct conn *c);
uint64_t conn_read_bytes(const struct conn *c);
/* Memory of input and output that wait now. */
size_t conn_held_bytes(const struct conn *c);

/* Stops and restarts reading; unconsumed input is shown again by a CONN_INPUT after resuming. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/*
 * Starts TLS after pending output is written.  Input that was received before
 * the handshake is dropped, for it came unprotected; returns how many bytes
 * that were.  What is written before CONN_SECURED goes out in the clear, before
 * the handshake.  On a connection that is still connecting, the handshake
 * follows CONN_CONNECTED.  server_name: SNI and the name to verify; NULL on
 * the server side.
 */
enum conn_tls_side { CONN_TLS_SERVER, CONN_TLS_CLIENT };
size_t conn_start_tls(struct conn *c, struct tls_ctx *ctx, enum conn_tls_side side, const char *server_name);

/* The same as a client that wants more, or less, proven than ctx says; see tls_check.h for what is borrowed. */
size_t conn_start_tls_checked(struct conn *c, struct tls_ctx *ctx, const struct tls_check *check);
/* After CONN_SECURED: what a check with only_told found wrong; NULL: nothing. */
const char *conn_tls_fault(const struct conn *c);

bool conn_is_tls(const struct conn *c);
/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; only when conn_is_tls. */
const char *conn_tls_version(const struct conn *c);
const char *conn_tls_cipher(const struct conn *c);
/* As a server: the name that the client asked for (SNI, RFC 6066 3); NULL: none. */
const char *conn_tls_server_name(const struct conn *c);
/* The same as IANA has it, also before TLS 1.3: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"; NULL when it has none. */
const char *conn_tls_suite(const struct conn *c);

/*
 * What both ends of this TLS connection, and nobody else, know (RFC 5056), for
 * an authentication inside to name: the first Finished message (tls-unique,
 * RFC 5929 3; up to TLS 1.2) or keying material (tls-exporter, RFC 9266).
 * Returns its length; 0 when there is none of that kind: no TLS, another
 * version, or a TLS 1.2 without extended master secret (RFC 7627), where it
 * would prove nothing.
 */
enum conn_binding { CONN_BINDING_UNIQUE, CONN_BINDING_EXPORTER };
enum { CONN_BINDING_BYTES_MAX = 64 };
size_t conn_tls_binding(const struct conn *c, enum conn_binding kind,
			uint8_t ret_bytes[CONN_BINDING_BYTES_MAX]);

/* CONN_TIMEOUT, once, when nothing is read or written for so long; 0 switches off.  Setting starts anew. */
void conn_set_timeout_ms(struct conn *c, int64_t timeout_ms);
/* The same, but whatever is read or written meanwhile: for a peer that must get something done in time.  One of the
 * two holds, the last one set. */
void conn_set_deadline_ms(struct conn *c, int64_t deadline_ms);

/*
 * Writes what is left, then closes; no event follows.  Gives up after
 * CONN_FINISH_MS and another second for each CONN_FINISH_BYTES_PER_S that were
 * left, whatever the peer's pace.  Takes the conn.
 */
enum { CONN_FINISH_MS = 10000, CONN_FINISH_BYTES_PER_S = 1024 };
void conn_finish(struct conn *c);
/* Closes now.  With reset, the peer sees RST.  Accepts NULL. */
void conn_free(struct conn *c);
void conn_reset(struct conn *c);

const struct err *conn_error(const struct conn *c);
const struct addr *conn_peer(const struct conn *c);
const struct addr *conn_local(const struct conn *c);
int conn_fd(const struct conn *c);

#endif
