/*
 * play_parts: the inside of harness/conform/play, shared by its parts: the
 * steps and their outcome (play.c), connections (play_conn.c), mailboxes
 * (play_mailbox.c), the server's life (play_server.c), next hops (play_hops.c)
 * and what is judged of them (play_relay.c), policy hosts (play_policy.c).  Nobody else includes this.
 */
#ifndef HARNESS_CONFORM_PLAY_PARTS_H
#define HARNESS_CONFORM_PLAY_PARTS_H

#include "base/conn.h"
#include "harness/conform/answer.h"
#include "harness/conform/hop.h"
#include "harness/conform/mailing.h"
#include "harness/conform/play.h"
#include "harness/conform/policy_host.h"
#include "harness/load/retriever.h"

enum play_wait {
	PLAY_RUNS,
	PLAY_WAITS_OPEN,
	PLAY_WAITS_DRAINED,
	PLAY_WAITS_PAUSE,
	PLAY_WAITS_ANSWER,
	PLAY_WAITS_SECURED,
	PLAY_WAITS_END,
	PLAY_WAITS_MAILBOX,
	PLAY_WAITS_SERVER, /* to be ready again */
	PLAY_WAITS_KILL,   /* for a next hop that kills it */
	PLAY_WAITS_CHILD,  /* a conversation of its own, which puts a message on its way */
	PLAY_WAITS_RELAY,  /* for what the relay does */
	PLAY_IS_OVER,
};

struct play_conn {
	struct play *play;
	uint32_t index;
	enum case_service service;
	struct conn *conn; /* NULL: never opened, or over */
	bool open;         /* connected, and under TLS when the service has it */
	bool secured;
	bool tls_1_2; /* it knows nothing newer */
	bool ended;   /* by the server, or it was never reached */
	bool paused;  /* it says more than anybody reads */
	char failure[256];
	struct buf in;
	struct answer_reader reader;
};

/* Role client: all that could happen has happened, or how far we are with finding that out. */
enum play_settle {
	PLAY_UNSETTLED,
	PLAY_SENDS_FENCE,
	PLAY_AWAITS_FENCE,
	PLAY_ASKS_QUEUE,
	PLAY_SETTLED,
};

struct play_fault {
	struct dns *dns;
	struct dns_fault *fault; /* NULL: over */
	struct timer *end;       /* NULL: it lasts */
};

/* The world of a case with role client. */
struct play_world {
	char zone[SUT_ZONE_BYTES]; /* "c12.next.example" */
	char fence[80];            /* "c12.fence.example" */
	struct hop *hops[CASE_HOPS_MAX];
	struct hop *fence_hop;
	struct policy_host *policy_hosts[CASE_POLICY_HOSTS_MAX]; /* NULL: not yet, or absent */
	bool policy_host_known[CASE_POLICY_HOSTS_MAX];           /* its address */
	struct play_fault faults[CASE_DETAILS_MAX];
	uint32_t fault_count;
	struct dns_watch *watch;
	uint32_t submitted; /* messages */
	bool submits;       /* something was, or could have been by what a case says itself */
	struct buf content; /* of the last one */
	enum play_settle settle;
	uint32_t fences;          /* sent */
	struct timer *impatience; /* then it is looked whether anything can still happen */
	bool impatient;
	int64_t killed_ns; /* when this case last killed the relay; 0: never */
	bool same_twice;   /* it submitted content of its own more than once */
};

/* A question may outlive who asked. */
struct play_queue {
	struct play *play; /* NULL: nobody waits any more */
};

/* So may a start of the server. */
struct play_start {
	struct play *play; /* NULL: nobody waits any more */
};

/* One mailbox while it is looked into. */
struct play_mailbox {
	struct retriever *retriever;
	int64_t poll_start_ns; /* of the last look that ended */
	bool polled;           /* a whole look has ended since the last question */
	struct buf *messages;
	uint32_t count;
	size_t bytes;
	char problem[256];
};

struct play {
	struct play_options o;
	const struct case_file *file;
	struct values values;
	struct play_outcome outcome;
	struct play_conn conns[CASE_CONNECTIONS_MAX];
	uint32_t at;      /* step */
	uint32_t segment; /* of a CASE_SEND, the next to be written */
	bool segment_paused;
	enum play_wait wait;
	uint32_t
		wrote_on; /* connection + 1 of the last write of this round, which goes out with the next; 0: none */
	struct timer *timer;   /* of the step */
	struct timer *overall; /* of all */
	struct task *task;
	int64_t start_ns;
	struct answer_reader *answered; /* whose answer is being judged */
	bool server_down;               /* by this case, which brings it back whatever it comes to */
	int64_t down_ns;                /* since when */
	struct play_start *start;       /* that is under way; NULL: none */
	/* mailbox steps */
	struct play_mailbox mailbox;
	uint32_t placed[2]; /* messages in each mailbox once `mail` had put its own there */
	bool counting;      /* `mail` looks how many are left of them, before it sends another */
	struct play *child;
	struct case_file *child_file;
	struct buf child_messages;
	bool child_ok;
	bool fence_sent;
	bool queue_known; /* by the last answer ... */
	uint32_t queue_count;
	uint32_t queue_empties;   /* answers in a row that said so */
	bool queue_answered;      /* ... since the last question */
	bool queue_asked;         /* before: the next question has time */
	struct play_queue *queue; /* a question that is out; NULL: none */
	int64_t queue_empty_ns;   /* when it was, after the fence had arrived; 0: not yet */
	struct timer *queue_timer;
	char fence[64];
	uint32_t fence_count;
	int64_t deadline_ns; /* of the mailbox step */
	struct play_world world;
};

/* ---- play.c ---- */
/* That is being carried out; behind the last there is nothing more, so it is the last. */
const struct case_step *play_step(const struct play *p);
int64_t play_now(void);
int64_t play_limit_ms(const struct play *p); /* of the step */
/* Something happened: the step is looked at again, soon.  Steps that do not wait follow at once. */
void play_poke(struct play *p);
void play_next(struct play *p);
/* What was expected did not come: an alternative, or the default for this section. */
void play_unexpected(struct play *p, enum case_event event, const struct answer *a, const char *why);
void play_finish(struct play *p, enum conform_verdict v, uint32_t line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void play_await(struct play *p, enum play_wait wait, int64_t within_ms);
/* Appends the text; false, with the play over, when a variable has no value. */
bool play_expand(struct play *p, const struct case_text *t, struct buf *out);

/* ---- play_conn.c ---- */
/* True when the step's connection is open; false: it waits, or it was found ended. */
bool play_conn_ready(struct play *p);
void play_conn_send(struct play *p);
void play_conn_expect(struct play *p);
void play_conn_starttls(struct play *p);
void play_conn_close(struct play *p, bool reset);
void play_conn_await_end(struct play *p);
/* Appends what the step wants of its connection's TLS; false when there is no such thing. */
bool play_conn_binding(struct play *p, struct buf *ret_bytes);
void play_conn_open(struct play *p, uint32_t index, enum case_service service);
/* Frees a connection, whatever its state. */
void play_conn_drop(struct play_conn *c);

/* ---- play_mailbox.c ---- */
void play_mailbox_mail(struct play *p);
void play_mailbox_look(struct play *p);
/* Called for PLAY_WAITS_MAILBOX and PLAY_WAITS_CHILD when something happened. */
void play_mailbox_go_on(struct play *p);
void play_mailbox_end(struct play *p);
void play_set_deadline(struct play *p);
/* Puts a message on its way by a conversation of its own: PLAY_WAITS_CHILD; p->child_ok when it was taken. */
void play_child_start(struct play *p, struct mailing *m);
void play_child_end(struct play *p);
/* Asks how much of this case, or of all that is for mailboxes, waits: p->queue_answered, with a poke. */
void play_queue_ask(struct play *p);
/* Nobody waits for the answer any more. */
void play_queue_forget(struct play *p);

/* ---- play_hops.c ---- */
void play_world_begin(struct play *p);
void play_world_end(struct play *p);
void play_hops_open(struct play *p); /* CASE_NEXT_HOP */
void play_hops_zone(struct play *p);
/* Also policy hosts, and where the fence goes. */
bool play_hops_are_flooded(const struct play *p);
/* Where policy host `index` of the case is; its port is to be set. */
struct addr play_hops_addr(const struct play *p, uint32_t policy_host);
/* An address record in the case's zone; false: the play is over. */
bool play_hops_add_address(struct play *p, const char *name, const struct addr *at);
/* Whether what the next hops took twice was to be so; else the play ends with a failure. */
bool play_hops_doubles(struct play *p);
bool play_hops_fence(struct play *p); /* makes the fence's next hop; false: the play is over */

/* ---- play_relay.c ---- */
void play_relay_submit(struct play *p);
void play_relay_judge(struct play *p);
/* For PLAY_WAITS_CHILD and PLAY_WAITS_RELAY when something happened. */
void play_relay_go_on(struct play *p);
/* Counts and distances of what is at these times; *ret_any: there is a count among the checks. */
bool play_counts_hold(const struct case_step *s, const int64_t *at_ns, uint32_t count, const char *what,
		      bool *ret_any, struct buf *why);

/* ---- play_policy.c ---- */
void play_policy_host(struct play *p); /* CASE_POLICY_HOST */
/* Whether the step's host was asked as the step has it, or not at all; else *why says how. */
bool play_policy_asked(const struct play *p, struct buf *why);
bool play_policy_is_unasked(const struct play *p, struct buf *why);

/* ---- play_server.c ---- */
void play_server(struct play *p);
/* At once, whatever step it is. */
void play_server_kill(struct play *p);
/* True when the server is as the case found it; else it is being started, and play_poke follows. */
bool play_server_is_back(struct play *p);
void play_server_forget(struct play *p);

#endif
