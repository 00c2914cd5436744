/*
 * ledger: what became of every message for every recipient.
 *
 * Facts go in as they happen: what was planned, what the submission said, what
 * attempts a watched link saw, which copies and which delivery status
 * notifications were retrieved.  ledger_settle turns them into one outcome for
 * each row (one row is one message for one recipient).  The ledger asks nobody
 * and does no I/O; the same facts in any order that keeps time give the same
 * outcomes.
 *
 * A message that was answered 2yz at its final dot carries a promise: it is
 * delivered once, intact, or its sender is told (RFC 5321 sections 2.1, 4.2.5
 * and 6.1).  Neither of both is OUTCOME_LOST, unless a queue still holds it.
 *
 * Ids are handed out from 0 upward.  Times are CLOCK_MONOTONIC nanoseconds;
 * LEDGER_NEVER means that it did not happen.  Texts given in are copied.
 */
#ifndef HARNESS_JUDGE_LEDGER_H
#define HARNESS_JUDGE_LEDGER_H

#include "base/span.h"
#include "harness/judge/content.h"

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_NEVER INT64_MIN

struct ledger;

enum outcome {
	OUTCOME_REJECTED,      /* refused at submission: nothing was promised */
	OUTCOME_DELIVERED,     /* one intact copy */
	OUTCOME_TRANSFORMED,   /* one copy, same decoded content, other bytes */
	OUTCOME_BOUNCED,       /* no copy; the sender was told */
	OUTCOME_STILL_QUEUED,  /* no copy, not told, and a queue still holds messages */
	OUTCOME_LOST,          /* accepted, and then neither delivered nor told */
	OUTCOME_DUPLICATED,    /* more than one copy */
	OUTCOME_CORRUPTED,     /* a copy that is not what was sent */
	OUTCOME_UNEXPECTED,    /* a copy or notification that should not exist */
	OUTCOME_INDETERMINATE, /* no reply to the final dot and not resolved, or the run was cut short */
	OUTCOME_RECOVERED,     /* no reply to the final dot, but it arrived once, intact */
	OUTCOME_ABSENT,        /* no reply that decides, and it never arrived: nothing was promised */
	OUTCOME_COUNT,
};
/* "still_queued": the names of result.json and of flow expectations. */
const char *outcome_name(enum outcome o);
bool outcome_parse(struct span name, enum outcome *ret_outcome);

/* ---- reading: plain values, valid until the ledger changes ---- */

enum ledger_submission {
	LEDGER_PLANNED,  /* nothing is known yet */
	LEDGER_UNSENT,   /* no connection, or it broke off before the final dot: no reply decided */
	LEDGER_REFUSED,  /* by a reply */
	LEDGER_ACCEPTED, /* 2yz to the final dot */
	LEDGER_NO_REPLY, /* the final dot went out and nothing came back */
};

struct ledger_message {
	enum ledger_submission submission;
	uint32_t row_first;
	uint32_t row_count;
	uint32_t group; /* as planned */
	uint32_t body_bytes;
	uint32_t reply_code; /* to the final dot, or the one that ended the transaction before; 0: none */
	const char *sender;
	const char *reply_text; /* without the code; or how the connection ended; may be NULL */
	int64_t intended_ns;
	int64_t connected_ns;
	int64_t started_ns; /* MAIL was sent: what send_lag measures */
	int64_t final_dot_ns;
	int64_t final_reply_ns;
	int64_t ended_ns; /* the transaction was over, one way or another */
	struct content_digest digest;
};

struct ledger_row {
	uint32_t id; /* of the message */
	uint32_t rcpt_code;
	const char *recipient; /* address as in RCPT */
	const char *mailbox;   /* address whose mailbox must receive it */
	uint32_t copies;
	uint32_t copies_transformed;
	uint32_t copies_corrupted;
	uint32_t attempts;    /* on watched links */
	uint32_t dsns_failed; /* well-formed or not */
	uint32_t dsns_malformed;
	uint32_t dsns_delayed;
	enum outcome outcome;       /* after ledger_settle */
	const char *reason;         /* what was wrong, or NULL */
	const char *dsn_status;     /* "5.1.1" of the first failed notification, or NULL */
	int64_t attempt_started_ns; /* of the first attempt that succeeded: the hop behind the submission */
	int64_t attempt_replied_ns;
	int64_t stored_ns;     /* of the last attempt that succeeded: the hop before the mailbox */
	int64_t seen_ns;       /* first copy: at the latest visible then */
	int64_t not_before_ns; /* first copy: not yet visible then; equals seen_ns when known exactly */
	int64_t told_ns;       /* first failed notification */
};

/* Something retrieved that belongs to no row. */
struct ledger_stray {
	const char *mailbox;
	const char *reason;
	int64_t seen_ns;
};

/* Counts that are kept up to date with every fact, for progress and for knowing when to stop. */
struct ledger_progress {
	uint32_t planned;  /* rows */
	uint32_t sent;     /* rows whose final dot went out, that were refused, or that could not be sent */
	uint32_t accepted; /* rows with a 2yz to RCPT and to the final dot */
	uint32_t rejected;
	uint32_t indeterminate; /* rows whose final dot drew no reply and that have not arrived */
	uint32_t delivered;     /* rows with at least one copy */
	uint32_t told;          /* rows without copy whose sender was told */
	uint32_t backlog;       /* accepted, neither delivered nor told yet */
};

/* ---- facts ---- */

struct ledger *ledger_new(void);
void ledger_free(struct ledger *l); /* accepts NULL */

struct ledger_recipient {
	const char *address;
	const char *mailbox; /* NULL: the address */
};
struct ledger_plan {
	int64_t intended_ns;
	const char *sender;
	const struct ledger_recipient *recipients;
	uint32_t recipient_count; /* at least 1 */
	uint32_t body_bytes;
	uint32_t group; /* the caller's: which traffic entry this belongs to */
};
/* Returns the id. */
uint32_t ledger_plan(struct ledger *l, const struct ledger_plan *p);

/* Its content has been made. */
void ledger_content(struct ledger *l, uint32_t id, const struct content_digest *digest);
void ledger_connected(struct ledger *l, uint32_t id, int64_t at_ns);
void ledger_started(struct ledger *l, uint32_t id, int64_t at_ns);
/* recipient: index within the plan. */
void ledger_rcpt_reply(struct ledger *l, uint32_t id, uint32_t recipient, uint32_t code, struct span text);
void ledger_final_dot(struct ledger *l, uint32_t id, int64_t at_ns);
/* The reply that ended the transaction: to the final dot, or a refusal of MAIL, of all RCPTs or of DATA. */
void ledger_final_reply(struct ledger *l, uint32_t id, int64_t at_ns, uint32_t code, struct span text);
/* The connection ended without such a reply; before the final dot nothing was promised, after it we cannot
 * know. */
void ledger_broken(struct ledger *l, uint32_t id, int64_t at_ns, struct span text);

/* A transaction for this message seen on a watched link; code 0 when it drew no reply.  NULL: every
 * recipient. */
struct ledger_attempt {
	const char *recipient;
	uint32_t code;
	int64_t started_ns;
	int64_t replied_ns;
};
void ledger_attempt(struct ledger *l, uint32_t id, const struct ledger_attempt *a);

struct ledger_copy {
	const char *mailbox;
	enum content_state state;
	struct span difference; /* when not intact */
	int64_t seen_ns;
	int64_t not_before_ns;
};
void ledger_copy(struct ledger *l, uint32_t id, const struct ledger_copy *c);

/* One recipient's group of one notification. */
enum ledger_action { LEDGER_ACTION_FAILED, LEDGER_ACTION_DELAYED, LEDGER_ACTION_OTHER };
struct ledger_dsn {
	const char *mailbox;   /* where it was retrieved */
	struct span recipient; /* Original-Recipient or Final-Recipient; empty when unreadable */
	enum ledger_action action;
	struct span status;    /* "5.1.1" */
	struct span malformed; /* first finding; empty when well-formed */
	int64_t seen_ns;
};
void ledger_dsn(struct ledger *l, uint32_t id, const struct ledger_dsn *d);

/* Retrieved, and not recognised as anything of this run. */
void ledger_stray(struct ledger *l, const char *mailbox, struct span reason, int64_t seen_ns);

/* ---- verdict ---- */

/* A message that a queue holds for one recipient. */
struct ledger_waiting {
	const char *sender; /* "": a notification */
	const char *recipient;
};

struct ledger_end {
	int64_t ended_ns;
	bool complete;                        /* false: interrupted, so that absence proves nothing */
	bool residue_known;                   /* were the queues asked? */
	uint32_t residue_rows;                /* what they still hold, messages or recipients */
	bool names_known;                     /* did all of them say whose? */
	const struct ledger_waiting *waiting; /* read during settling only */
	uint32_t waiting_count;
};
/* Once, after the last fact. */
void ledger_settle(struct ledger *l, const struct ledger_end *end);

/* Was every failed recipient's sender told, exactly once, by a well-formed notification? */
struct ledger_told {
	uint32_t failed; /* rows that were accepted and not delivered, whatever the reason */
	uint32_t once;   /* of these: one well-formed notification */
	uint32_t missing;
	uint32_t repeated;
	uint32_t malformed; /* told once, but not well-formed; or told badly of a mere delay */
};
struct ledger_told ledger_told(const struct ledger *l);

struct ledger_progress ledger_progress(const struct ledger *l);
uint32_t ledger_outcome_count(const struct ledger *l, enum outcome o); /* strays are unexpected */

uint32_t ledger_message_count(const struct ledger *l);
const struct ledger_message *ledger_message(const struct ledger *l, uint32_t id);
uint32_t ledger_row_count(const struct ledger *l);
const struct ledger_row *ledger_row(const struct ledger *l, uint32_t i);
uint32_t ledger_stray_count(const struct ledger *l);
const struct ledger_stray *ledger_stray_at(const struct ledger *l, uint32_t i);

#endif
