/*
 * conn_parts: what the files of a connection share; for nobody else.
 *
 *	conn.c      the stream: connecting, reading, writing, waiting, the end
 *	conn_tls.c  what TLS does differently, and all that OpenSSL is asked
 */
#ifndef BASE_CONN_PARTS_H
#define BASE_CONN_PARTS_H

#include "base/conn.h"

#include <sys/types.h>

enum phase {
	PHASE_CONNECTING,
	PHASE_OPEN,      /* plain, or TLS after the handshake */
	PHASE_TLS_WAITS, /* handshake starts when the output has been written */
	PHASE_HANDSHAKE,
	PHASE_LINGER, /* finishing: our side is shut down, the peer's rest is thrown away */
	PHASE_FAILED,
};

struct conn {
	struct loop *loop;
	conn_fn *on_event;
	void *ctx;
	int fd;
	enum phase phase;
	bool paused;     /* by the owner */
	bool finishing;  /* conn_finish was called: no events any more */
	bool peer_ended; /* EOF was seen */
	bool write_broken;
	bool dead;      /* conn_free inside a callback */
	uint32_t depth; /* callbacks running */
	size_t input_bytes_max;
	struct span scratch; /* while reading: input that lies in the loop's input scratch, not in `in` */
	struct buf in;
	struct buf out;
	uint64_t written_bytes;
	uint64_t read_bytes;
	struct ssl_st *ssl; /* OpenSSL's SSL; NULL: plain */
	enum conn_tls_side tls_side;
	struct tls_proof *proof; /* a client's with a check of its own */
	struct event *readable;
	struct event *writable;
	bool write_wanted; /* writable is added */
	struct task *task; /* flush, and show input again after resume */
	bool show_input;
	bool write_on_read; /* TLS wants to read before it can write */
	bool read_on_write;
	struct timer *idle;
	int64_t idle_ms;
	int64_t active_at_ms;
	bool deadline; /* activity does not count */
	void (*on_closed)(void *ctx);
	void *closed_ctx;
	struct addr peer;
	struct addr local;
	struct err error;
	struct loop_member finishing_on; /* while finishing */
};

/* ---- conn.c ---- */

/* To the owner, unless it has let go. */
void conn_tell(struct conn *c, enum conn_event event);
/* With c->error set: the end, as far as the owner is concerned. */
void conn_fail(struct conn *c);
/* What the loop waits for follows from the state; writing, from what is wanted. */
void conn_update_reading(struct conn *c);
void conn_update_writing(struct conn *c, bool wanted);

/* ---- conn_tls.c: only where c->ssl is set, but for the last two ---- */

void conn_tls_handshake(struct conn *c); /* goes on with it */
/* As read_some and write_some in conn.c; -EPROTO: conn_tls_fail knows more. */
ssize_t conn_tls_read(struct conn *c, char *p, size_t n);
ssize_t conn_tls_write(struct conn *c, struct span s);
void conn_tls_fail(struct conn *c, const char *what);
void conn_tls_end(struct conn *c); /* says close_notify */
/* Records that OpenSSL has read ahead, of which the kernel will not tell. */
bool conn_tls_has_pending(const struct conn *c);
void conn_tls_free(struct conn *c);

#endif
