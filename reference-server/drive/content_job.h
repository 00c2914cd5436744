/*
 * content_job: gets at content that is not in memory, or not as a next hop
 * needs it, without blocking the loop: a helper thread reads, and converts.
 *
 * A job has copies of all it works on, so that message and connection may go
 * while it runs; whoever began it cancels it then.
 */
#ifndef SERVER_DRIVE_CONTENT_JOB_H
#define SERVER_DRIVE_CONTENT_JOB_H

#include "reference-server/core/convert.h"
#include "reference-server/drive/message.h"
#include "reference-server/drive/server.h"

struct content_job {
	/* Of the body, or of the converted whole; the owner of the job may take it. */
	struct buf bytes;
	uint64_t offset;               /* in the body; 0 for a conversion */
	int rc;                        /* 0, or a negative errno of the store */
	enum convert_result converted; /* of a conversion */

	/* Of no interest to others. */
	void (*done)(void *ctx, struct content_job *j);
	void *ctx;
	struct store *store;
	struct buf source;
	uint64_t body_id, body_bytes;
	size_t wanted_bytes;
	bool whole; /* prefix and body are read, and changed */
	bool to_7bit;
	bool without_return_path;
	bool running;
};

/* done is called from the loop, later, unless the job was freed before.  The job is its beginner's. */
struct content_job *content_job_read(struct server *server, const struct message *m, uint64_t body_offset,
				     size_t bytes_max, void (*done)(void *ctx, struct content_job *j),
				     void *ctx);
struct content_job *content_job_convert(struct server *server, const struct message *m,
					void (*done)(void *ctx, struct content_job *j), void *ctx);
/* As a mailbox is to have it: without Return-Path fields, and without binary content. */
struct content_job *content_job_for_mailbox(struct server *server, const struct message *m,
					    void (*done)(void *ctx, struct content_job *j), void *ctx);

/* Accepts NULL, and one that runs. */
void content_job_free(struct content_job *j);

#endif
