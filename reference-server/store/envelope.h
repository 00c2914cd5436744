/*
 * envelope: everything the queue knows about one message except its content,
 * and the row it is stored as.
 *
 * An envelope owns all its texts; they are NUL-terminated and hold no other
 * NUL (one that is given becomes '?').  Texts longer than their limit are cut
 * by the setters.  Times are wall-clock milliseconds since 1970, because they
 * must mean something after a restart.
 *
 * Row, version 2, big-endian (text = u16 length + bytes):
 *
 *    0  u8   version                 56  i64   deliver_by_wall_ms
 *    1  u8, u16  zero                64  text  reverse_path, envid
 *    4  u32  recipient_count             u32   length + prefix
 *    8  i64  due_wall_ms                 then for each recipient:
 *   16  i64  arrival_wall_ms               u8   state, notify
 *   24  u32  attempt_count                 u32  attempt_count
 *   28  u32  flags                         u16  reply_code
 *   32  u64  body_id                       i64  last_attempt_wall_ms
 *   40  u64  body_bytes                    text address, original, orcpt,
 *   48  i64  expires_wall_ms                    enhanced, reply_text, remote_mta
 *
 * Version 3, of a message with a time of release, has that (i64, not 0) and the
 * text hold in front of reverse_path.
 *
 * The message id is the row's key.  due, arrival and flags stand at fixed offsets, so
 * that a restart reads a million rows without parsing them.
 */
#ifndef STORE_ENVELOPE_H
#define STORE_ENVELOPE_H

#include "base/buf.h"
#include "base/span.h"
#include "reference-server/policy/tls_policy.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	ENVELOPE_RECIPIENTS_MAX = 10000,
	ENVELOPE_PREFIX_BYTES_MAX = 65536,
	ENVELOPE_PATH_BYTES_MAX = 1024, /* RFC 5321 §4.5.3.1.3 asks for 256 */
	ENVELOPE_TEXT_BYTES_MAX = 512,  /* reply_text and remote_mta */
	ENVELOPE_ENVID_BYTES_MAX = 100, /* RFC 3461 §4.4 */
	ENVELOPE_ORCPT_BYTES_MAX = 500, /* RFC 3461 §4.2 */
	ENVELOPE_HOLD_BYTES_MAX = 64,
	ENVELOPE_ENHANCED_BYTES_MAX = 11 /* RFC 3463 §2: class "." subject "." detail, 3 digits each */
};

enum {
	ENVELOPE_CONTENT_8BIT = 1 << 0,   /* bytes above 127 were seen in the content */
	ENVELOPE_8BITMIME = 1 << 1,       /* MAIL said BODY=8BITMIME */
	ENVELOPE_BINARYMIME = 1 << 2,     /* MAIL said BODY=BINARYMIME */
	ENVELOPE_SMTPUTF8 = 1 << 3,       /* MAIL said SMTPUTF8 */
	ENVELOPE_REQUIRETLS = 1 << 4,     /* MAIL said REQUIRETLS */
	ENVELOPE_SUBMITTED = 1 << 5,      /* came in by submission */
	ENVELOPE_NOTIFICATION = 1 << 6,   /* made here: a DSN */
	ENVELOPE_DELAY_NOTIFIED = 1 << 7, /* its sender was told about the delay */
	ENVELOPE_RET_FULL = 1 << 8,       /* MAIL said RET=FULL (RFC 3461 §4.3) */
	ENVELOPE_RET_HDRS = 1 << 9,       /* MAIL said RET=HDRS */
	ENVELOPE_BY_RETURN = 1 << 10, /* BY with mode R: return it when deliver_by has passed (RFC 2852 §4) */
	ENVELOPE_BY_TRACE = 1 << 11,  /* BY with T: report each relaying */
	ENVELOPE_HELD = 1 << 12,      /* not to be tried until it is released by hand */
	ENVELOPE_TLS_OPTIONAL =
		1 << 13, /* TLS-Required: No: rather sent without TLS than not (RFC 8689 4.2.2) */
	ENVELOPE_BY_NOTIFIED = 1 << 14, /* its sender was told that the BY time has passed */
	ENVELOPE_RETURN_PATH = 1 << 15  /* the content came with a Return-Path field */
};

/* When the sender of a recipient's message wants to know (RFC 3461 §4.1); 0: not said, so failure and delay. */
enum {
	NOTIFY_NEVER = 1 << 0,
	NOTIFY_SUCCESS = 1 << 1,
	NOTIFY_FAILURE = 1 << 2,
	NOTIFY_DELAY = 1 << 3,
	NOTIFY_ALL = NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY
};

enum recipient_state {
	RECIPIENT_PENDING = 0, /* to be tried when the message is due */
	RECIPIENT_DELIVERED = 1,
	RECIPIENT_FAILED = 2 /* for good; reported or about to be */
};

struct recipient {
	char *address;  /* where it goes, without <> */
	char *original; /* as the client gave it, before aliases; equal to address when there were none */
	char *orcpt;    /* ORCPT as the client gave it, "rfc822;xtext"; "" when it did not */
	uint8_t notify; /* NOTIFY_… */
	enum recipient_state state;
	uint32_t attempt_count;
	int64_t last_attempt_wall_ms; /* 0: never */
	/* The last attempt's answer; reply_code 0: none was received, reply_text then says what went wrong.
	 */
	uint16_t reply_code;
	char enhanced[ENVELOPE_ENHANCED_BYTES_MAX + 1]; /* "4.4.1" or "" */
	char *reply_text;                               /* "" when nothing is known */
	char *remote_mta;                               /* "" or who answered */
};

struct envelope {
	uint64_t id;
	uint64_t body_id;
	uint64_t body_bytes; /* without prefix */
	int64_t arrival_wall_ms;
	int64_t due_wall_ms;
	int64_t expires_wall_ms;    /* 0: as the policy says */
	int64_t deliver_by_wall_ms; /* RFC 2852; 0: no such wish */
	int64_t release_wall_ms;    /* RFC 4865: not sent on before; 0: no such wish */
	char *hold;                 /* the wish, as a DSN says it: "for;3600"; "" when there was none */
	uint32_t attempt_count;
	uint32_t flags;     /* ENVELOPE_… */
	char *reverse_path; /* without <>; "" is the null reverse-path */
	char *envid;        /* ENVID as the client gave it, xtext; "" when it did not (RFC 3461 §4.4) */
	struct buf prefix;  /* header fields to send before the body, each ending in CRLF */
	struct recipient *recipients;
	uint32_t recipient_count;
};

/* Empty: no recipients, null reverse-path.  Never NULL. */
struct envelope *envelope_new(void);
void envelope_free(struct envelope *e); /* accepts NULL */

void envelope_set_reverse_path(struct envelope *e, struct span path);
void envelope_set_envid(struct envelope *e, struct span envid);
void envelope_set_hold(struct envelope *e, int64_t release_wall_ms, struct span hold);
/* Since when it could be sent: its arrival, or its release. */
int64_t envelope_ready_wall_ms(const struct envelope *e);
/* Its sender wanted it back by then (RFC 2852 4.1.3). */
bool envelope_is_overdue(const struct envelope *e, int64_t now_wall_ms);
/* original: empty when it is the same as address.  NULL when the envelope is full.  The pointer lives until
 * the next add. */
struct recipient *envelope_add_recipient(struct envelope *e, struct span address, struct span original);
/* Forgets those behind the first count. */
void envelope_keep_recipients(struct envelope *e, uint32_t count);
void recipient_set_dsn(struct recipient *r, uint8_t notify, struct span orcpt);
void recipient_set_result(struct recipient *r, enum recipient_state state, uint16_t reply_code,
			  struct span enhanced, struct span reply_text, struct span remote_mta);

/* A notification goes without, rather than not at all (RFC 8689 5). */
static inline bool envelope_requires_tls(const struct envelope *e)
{
	return (e->flags & ENVELOPE_REQUIRETLS) != 0 && e->reverse_path[0] != '\0';
}

static inline enum tls_wish envelope_tls_wish(const struct envelope *e)
{
	if (envelope_requires_tls(e))
		return TLS_WISH_REQUIRED;
	return (e->flags & ENVELOPE_TLS_OPTIONAL) != 0 ? TLS_WISH_OPTIONAL : TLS_WISH_NONE;
}

/* Appends the row. */
void envelope_pack(const struct envelope *e, struct buf *row);
/* NULL unless the row is whole, of a known version, within every limit, and has nothing behind its end. */
struct envelope *envelope_unpack(uint64_t id, struct span row);
/* What a restart needs.  False when the row is too short or of an unknown version. */
struct envelope_glance {
	int64_t due_wall_ms;
	int64_t arrival_wall_ms;
	uint32_t flags;
};
bool envelope_peek(struct span row, struct envelope_glance *ret_glance);
/* Which body it refers to. */
bool envelope_peek_body(struct span row, uint64_t *ret_body_id, uint64_t *ret_body_bytes);

#endif
