/*
 * Inside of peer/sink: what its files share.
 *
 *   sink.c         the server and its connections
 *   sink_read.c    what a client says: commands and content
 *   sink_login.c   AUTH
 *   sink_answer.c  what it is answered: rules, replies, and what they bring about
 *
 * A function that returns bool says whether the client is still there; with
 * false its memory is gone.
 */
#ifndef HARNESS_PEER_SINK_PARTS_H
#define HARNESS_PEER_SINK_PARTS_H

#include "base/buf.h"
#include "base/conn.h"
#include "base/listener.h"
#include "harness/peer/sink.h"
#include "harness/wire/dots.h"

#include <sys/queue.h>

enum mode { MODE_COMMAND, MODE_CONTENT, MODE_CHUNK, MODE_HANDSHAKE, MODE_RESPONSE };

/* What is to be done once a rule's delay is over. */
struct deed {
	enum sink_stage stage;
	const struct sink_rule *rule; /* NULL: the usual reply */
	const char *usual;            /* a constant, or the client's text */
};

struct sink_client {
	LIST_ENTRY(sink_client) link;
	struct sink *sink;
	struct conn *conn;
	uint64_t number;
	enum mode mode;
	bool held;     /* nothing is read until the deed is done */
	bool said_all; /* the client has ended its side, and may wait for answers still */
	struct timer *delay;
	struct deed deed;
	uint32_t piece; /* of the deed's rule, the next */
	bool floods;
	int64_t flood_end_ns;
	uint64_t flood_bytes; /* said so far */
	size_t shown;         /* bytes of the input that were recorded, and are not consumed yet */
	struct buf text;
	void *exchange; /* AUTH that is under way; NULL: none */
	bool logged_in;
	/* the transaction */
	bool has_mail;
	struct buf path; /* of the command that is being answered */
	struct buf reverse_path;
	struct buf recipients; /* each with a LF behind it */
	uint32_t recipient_count;
	struct dots_reader dots;
	struct buf content;
	struct buf wire; /* of DATA */
	uint64_t content_bytes;
	int64_t final_dot_ns;
	bool ending;           /* LMTP: the recipients are being answered one by one ... */
	uint32_t final_count;  /* ... so many were */
	struct buf unanswered; /* those who were not, each with a LF behind it */
	struct buf taken;      /* those for whom the reply was good */
	uint32_t taken_count;
	uint64_t chunk_bytes_left;
	bool chunk_last;
	bool chunk_refused;
	bool chunk_failed; /* one was refused: the rest of the transaction is too (RFC 3030 section 2) */
};
LIST_HEAD(sink_client_list, sink_client);

struct sink {
	struct sink_options o;
	struct listener *listener;
	struct sink_client_list clients;
	uint32_t *rule_hits;
	uint32_t client_count;
	uint64_t clients_total;
	uint32_t message_count;
	uint64_t content_bytes;
	struct buf line; /* the command that is being read */
	bool crlf;       /* so it ended, and not in LF alone */
	bool more;       /* something has come behind it */
};

/* ---- sink.c ---- */
void sink_tell(const struct sink_client *c, enum sink_event_kind kind, struct span bytes, const char *text);
void sink_say(struct sink_client *c, struct span bytes);
/* We end the connection.  How: conn_free, conn_finish or conn_reset. */
void sink_end(struct sink_client *c, void (*how)(struct conn *));

/* ---- sink_read.c ---- */
void sink_read(struct sink_client *c);
/* LMTP: answers one recipient after the other (RFC 2033 section 4.2). */
bool sink_answer_recipients(struct sink_client *c);
/* LMTP: the message goes to those who were told so, whatever becomes of the others (RFC 2033 section 5). */
void sink_hand_over_taken(struct sink_client *c);

/* ---- sink_login.c ---- */
bool sink_login(struct sink_client *c, struct span args); /* AUTH */
bool sink_login_response(struct sink_client *c, struct span line);
void sink_login_end(struct sink_client *c); /* forgets an exchange */

/* ---- sink_answer.c ---- */
void sink_greet(struct sink_client *c);
/* As the rules say, or as usual.  Usual: a constant, or c->text. */
bool sink_answer(struct sink_client *c, enum sink_stage stage, const char *usual);
/* Its deed, once the delay of the rule is over. */
bool sink_act_in_time(struct sink_client *c);
void sink_reply(struct sink_client *c, const char *text); /* whatever the rules say */
void sink_hand_over(struct sink_client *c);
void sink_tell_message(const struct sink_client *c, sink_message_fn *fn);
void sink_end_transaction(struct sink_client *c);
void sink_delay_over(void *ctx); /* of a struct sink_client */
/* More of a reply that never ends, when it floods as fast as it is read; false: it does not. */
bool sink_flood_on(struct sink_client *c);

#endif
