/*
 * admin_parts: what the files behind admin.h share; for them only.
 */
#ifndef SERVER_DRIVE_ADMIN_PARTS_H
#define SERVER_DRIVE_ADMIN_PARTS_H

#include "reference-server/drive/admin.h"

enum {
	ADMIN_PAGE = 200, /* messages one step looks at */
	ADMIN_WORDS_MAX = 256,
	ADMIN_TEXT_BYTES = 64 * 1024, /* about as much as one step says */
};

typedef enum admin_step admin_step_fn(struct admin_job *j, struct buf *text);

struct admin_errand;
struct admin_orders;
struct admin_mailbox;
struct admin_shape;

struct admin_job {
	struct admin_options options;
	struct buf request;
	struct span words[ADMIN_WORDS_MAX];
	uint32_t word_count;
	struct span secret;
	admin_step_fn *step;
	struct err error;

	/* One change of an account. */
	struct admin_errand *errand;
	bool reported; /* its result is there */
	int result;

	/* Going through the queue. */
	uint64_t next_id;
	uint64_t listed_count;
	uint64_t page[ADMIN_PAGE];
	uint32_t page_count;
	struct admin_orders *orders; /* NULL, or what is under way */
	struct admin_shape *shape;   /* NULL, or what was counted */

	struct admin_mailbox *mailbox; /* NULL, or how far it is */
};

/* The text becomes the job's error. */
enum admin_step admin_fail(struct admin_job *j, const char *text);

/* ---- admin_queue.c ---- */
admin_step_fn admin_queue_list, admin_queue_show, admin_queue_flush, admin_queue_order;
/* Fills j->page from j->next_id on.  False: it could not be read, and the error is set. */
bool admin_next_page(struct admin_job *j);
/* Behind the message that was looked at; true when the page, and so maybe the queue, is not at its end. */
bool admin_page_done(struct admin_job *j, uint32_t looked_at);
void admin_orders_free(struct admin_job *j);
void admin_add_age(struct buf *b, int64_t ms);

/* ---- admin_shape.c ---- */
admin_step_fn admin_queue_destinations;
void admin_shape_free(struct admin_job *j);

/* ---- admin_mailbox.c ---- */
admin_step_fn admin_mailbox_list, admin_mailbox_export;
void admin_mailbox_free(struct admin_job *j);

/* ---- admin_json.c ---- */
/* One line, as postriderd(8) documents it; full: every recipient, not only the pending ones. */
struct envelope;
void admin_json_message(struct buf *b, const struct envelope *e, const char *state, bool full);
const char *admin_recipient_state(int state);

#endif
