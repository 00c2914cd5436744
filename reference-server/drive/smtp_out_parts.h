/*
 * smtp_out_parts: what the files of smtp_out share.  For them only.
 *
 *	smtp_out.c           connecting, one target after the other; the conversation
 *	smtp_out_tls.c       how the present target must be protected
 *	smtp_out_delivery.c  deliveries and their content
 */
#ifndef SERVER_DRIVE_SMTP_OUT_PARTS_H
#define SERVER_DRIVE_SMTP_OUT_PARTS_H

#include "base/conn.h"
#include "reference-server/core/smtp_client.h"
#include "reference-server/drive/smtp_out.h"

struct content_job;

struct smtp_out {
	struct server *server;
	struct settings *settings;   /* as of the last connecting: name and TLS policy are of these */
	const struct config *config; /* of those */
	struct smtp_out_owner owner;
	struct targets *targets;
	uint32_t target_index;
	enum tls_wish wish;   /* of all its messages */
	struct tls_plan plan; /* for the present target */
	struct tls_check check;
	struct conn *conn;
	struct smtp_client client;
	struct buf out;
	struct handover *sending; /* whose content goes out now; the oldest in the client */
	struct handover *in_flight[2];
	uint64_t sent_bytes;      /* of its content */
	uint32_t awaited_reply;   /* its number, from 1; 0: none is */
	int64_t awaited_since_ms; /* monotonic: its time runs from here, whatever comes of it */
	bool connecting;
	bool ready; /* has been at least once */
	bool idle;
	bool without_tls;        /* the handshake failed once with this target */
	bool failed_temporarily; /* one target at least */
	bool finishing;
	bool quitting;
	bool content_blocked;       /* until CONN_DRAINED, or content was read */
	struct handover *preparing; /* to be started once its content is as this server needs it */
	struct content_job *conversion;
	struct content_job *reading; /* the content that is sent next */
	struct handover *read_for;   /* whose it is */
	bool read_done;
	bool pumping;
	bool dead;
	struct loop_member ended; /* when dead: freed with the loop, should its task not run any more */
	uint32_t message_count;
	struct smtp_result failure;
	struct task *task; /* connects to the next target, or frees */
};

static inline const struct target *smtp_out_target(const struct smtp_out *o)
{
	return &o->targets->list[o->target_index];
}

static inline const struct target_host *smtp_out_host(const struct smtp_out *o)
{
	return &o->targets->hosts[smtp_out_target(o)->host_index];
}

/* Wishes of the client become deeds, until it waits for something. */
void smtp_out_pump(struct smtp_out *o);

/* ---- smtp_out_tls.c ---- */

/* For the present target, from the present settings. */
void smtp_out_make_plan(struct smtp_out *o);
/* In mode testing: what enforce would have refused. */
void smtp_out_tell_violation(const struct smtp_out *o, const char *text);

/* ---- smtp_out_delivery.c ---- */

/* It has done its part; whoever comes next gets a new one, under the policy that counts by then. */
bool smtp_out_is_done(const struct smtp_out *o);
/* Pulls the next one and starts it.  False: there is none, or it has to be prepared first. */
bool smtp_out_start_next(struct smtp_out *o);
void smtp_out_on_done(struct smtp_out *o);
/* Gives content until the output is full or there is no more. */
void smtp_out_send_content(struct smtp_out *o);
/* One that was never started: as good as untouched. */
void smtp_out_hand_back_prepared(struct smtp_out *o);

#endif
