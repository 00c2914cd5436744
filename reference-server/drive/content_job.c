#include "reference-server/drive/content_job.h"

#include "reference-server/core/trace.h"
#include "reference-server/store/body.h"

#include <errno.h>
#include <stdlib.h>

enum { PIECE_BYTES = 256 * 1024 };

/* Reads body bytes from j->offset + what is there until `end`, or says why not. */
static int read_until(struct content_job *j, struct buf *to, uint64_t offset, uint64_t end)
{
	while (offset < end) {
		size_t n = end - offset < PIECE_BYTES ? (size_t)(end - offset) : PIECE_BYTES;
		ssize_t got = body_read(j->store, j->body_id, offset, buf_reserve(to, n), n);
		if (got <= 0)
			return got < 0 ? (int)got : -EIO; /* shorter than its envelope says */
		buf_grow(to, (size_t)got);
		offset += (uint64_t)got;
	}
	return 0;
}

static void change(struct content_job *j)
{
	if (j->without_return_path) {
		struct buf stripped = { 0 };
		trace_add_without_return_path(&stripped, buf_span(&j->source));
		buf_free(&j->source);
		j->source = stripped;
	}
	j->converted = CONVERT_OK;
	if (j->to_7bit) {
		j->converted = convert_to_7bit(&j->bytes, buf_span(&j->source));
	} else {
		j->bytes = j->source;
		j->source = (struct buf){ 0 };
	}
}

/* On a helper thread. */
static void work(void *job)
{
	struct content_job *j = job;

	if (!j->whole) {
		j->rc = read_until(j, &j->bytes, j->offset, j->offset + j->wanted_bytes);
		return;
	}
	j->rc = read_until(j, &j->source, 0, j->body_bytes);
	if (j->rc == 0)
		change(j);
	buf_free(&j->source);
}

static void destroy(struct content_job *j)
{
	buf_free(&j->bytes);
	buf_free(&j->source);
	free(j);
}

static void on_done(void *job)
{
	struct content_job *j = job;

	j->running = false;
	if (j->done == NULL)
		destroy(j);
	else
		j->done(j->ctx, j);
}

static struct content_job *job_new(struct server *server, const struct message *m,
				   void (*done)(void *ctx, struct content_job *j), void *ctx)
{
	struct content_job *j = calloc(1, sizeof(*j));
	if (j == NULL)
		abort();
	j->store = server->store;
	j->body_id = m->envelope->body_id;
	j->done = done;
	j->ctx = ctx;
	j->running = true;
	return j;
}

struct content_job *content_job_read(struct server *server, const struct message *m, uint64_t body_offset,
				     size_t bytes_max, void (*done)(void *ctx, struct content_job *j),
				     void *ctx)
{
	struct content_job *j = job_new(server, m, done, ctx);
	uint64_t left = m->envelope->body_bytes - body_offset;

	j->offset = body_offset;
	j->wanted_bytes = left < bytes_max ? (size_t)left : bytes_max;
	pool_submit(server->pool, work, on_done, j);
	return j;
}

static struct content_job *whole_new(struct server *server, const struct message *m,
				     void (*done)(void *ctx, struct content_job *j), void *ctx)
{
	struct content_job *j = job_new(server, m, done, ctx);

	j->whole = true;
	buf_add(&j->source, buf_span(&m->envelope->prefix));
	if (m->in_memory)
		buf_add(&j->source, buf_span(&m->content));
	else
		j->body_bytes = m->envelope->body_bytes;
	return j;
}

struct content_job *content_job_convert(struct server *server, const struct message *m,
					void (*done)(void *ctx, struct content_job *j), void *ctx)
{
	struct content_job *j = whole_new(server, m, done, ctx);

	j->to_7bit = true;
	pool_submit(server->pool, work, on_done, j);
	return j;
}

struct content_job *content_job_for_mailbox(struct server *server, const struct message *m,
					    void (*done)(void *ctx, struct content_job *j), void *ctx)
{
	struct content_job *j = whole_new(server, m, done, ctx);

	j->to_7bit = (m->envelope->flags & ENVELOPE_BINARYMIME) != 0;
	j->without_return_path = (m->envelope->flags & ENVELOPE_RETURN_PATH) != 0;
	pool_submit(server->pool, work, on_done, j);
	return j;
}

void content_job_free(struct content_job *j)
{
	if (j == NULL)
		return;
	j->done = NULL;
	if (!j->running)
		destroy(j);
}
