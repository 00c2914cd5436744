#include "reference-server/drive/pop3_session_parts.h"

#include "base/log.h"
#include "base/must.h"

#include <stdlib.h>
#include <string.h>

static void on_piece(struct pop3_job *j);

static void read_piece(void *job)
{
	struct pop3_job *j = job;
	j->result = mailbox_read(j->store, j->account_id, j->uid, j->offset, j->bytes, j->wanted_bytes);
}

static void read_run(void *job)
{
	struct pop3_job *j = job;
	mailbox_read_each(j->store, j->account_id, j->run->reads, j->run->count, j->run->bytes);
}

static const struct mailbox_entry *wanted(const struct pop3_session *s)
{
	return &s->list.entries[s->core.wanted_index];
}

/* When the client is slow, only once it has taken what there is. */
void pop3_retrieval_go_on(struct pop3_session *s)
{
	const struct mailbox_entry *e = wanted(s);

	s->piece_due = conn_output_bytes(s->conn) > POP3_OUTPUT_BYTES_MAX;
	if (s->piece_due)
		return;
	struct pop3_job *j = pop3_job_new(s, on_piece);
	j->uid = e->uid;
	j->offset = s->offset;
	uint64_t left = e->octets - s->offset;
	j->wanted_bytes = left < POP3_PIECE_BYTES ? (size_t)left : POP3_PIECE_BYTES;
	j->bytes = must(malloc(j->wanted_bytes + 1));
	pop3_job_submit(j, read_piece);
}

static void content_failed(struct pop3_session *s, ssize_t result)
{
	log_event(LOG_ERROR, "not-retrieved", LOG_I("session", s->id), LOG_C("user", s->identity),
		  LOG_I("uid", wanted(s)->uid),
		  LOG_C("error", result < 0 ? strerror((int)-result) : "shorter than it should be"));
	pop3_server_content_failed(&s->core);
}

void pop3_retrieval_log(struct pop3_session *s)
{
	struct pop3_sent *t = &s->sent;

	if (t->count > 0)
		log_event(LOG_INFO, t->top ? "looked-at" : "retrieved", LOG_I("session", s->id),
			  LOG_C("user", s->identity), LOG_I("messages", t->count),
			  LOG_I("first-uid", t->first_uid), LOG_I("last-uid", t->last_uid),
			  LOG_I("octets", t->octets));
	*t = (struct pop3_sent){ 0 };
}

static void content_sent(struct pop3_session *s)
{
	const struct mailbox_entry *e = wanted(s);
	struct pop3_sent *t = &s->sent;

	if (t->top != s->core.wanted_top || (t->count > 0 && t->last_uid >= e->uid))
		pop3_retrieval_log(s);
	if (t->count == 0)
		t->first_uid = e->uid;
	t->top = s->core.wanted_top;
	t->last_uid = e->uid;
	t->octets += e->octets;
	t->count++;
}

static void content_over(struct pop3_session *s)
{
	s->answer_due = false;
	pop3_session_pump(s);
}

/* The header of a message too large for a run; true: the same bytes are the first to send. */
static bool look_at_piece(struct pop3_session *s, struct span piece)
{
	bool last = s->offset + piece.n == wanted(s)->octets;
	bool first = s->offset == 0;

	switch (pop3_server_look(&s->core, piece, last)) {
	case POP3_LOOK_MORE:
		s->offset += piece.n;
		pop3_retrieval_go_on(s);
		return false;
	case POP3_LOOK_REFUSED:
		content_over(s);
		return false;
	case POP3_LOOK_CLEAR:
		break;
	case POP3_LOOK_COUNT:
		abort();
	}
	s->looking = false;
	s->offset = 0;
	if (!first)
		pop3_retrieval_go_on(s);
	return first;
}

static void on_piece(struct pop3_job *j)
{
	struct pop3_session *s = j->session;
	struct span piece = { j->bytes, j->wanted_bytes };

	if (j->result < 0 || (size_t)j->result != j->wanted_bytes) {
		content_failed(s, j->result);
		content_over(s);
		return;
	}
	if (s->looking && !look_at_piece(s, piece))
		return;
	s->offset += piece.n;
	bool more = pop3_server_content(&s->core, piece, s->offset == wanted(s)->octets);
	pop3_session_flush(s);
	load_note(s->server->load, &s->load);
	if (more) {
		pop3_retrieval_go_on(s);
		return;
	}
	content_sent(s);
	content_over(s);
}

static bool run_has(const struct pop3_session *s, uint32_t index)
{
	return s->run != NULL && index - s->run->first_index < s->run->count;
}

/* A message of the run, whole. */
static void serve_from_run(struct pop3_session *s)
{
	uint32_t index = s->core.wanted_index, at = index - s->run->first_index;
	const struct mailbox_read *r = &s->run->reads[at];
	struct span content = { s->run->bytes + r->at, (size_t)r->octets };

	s->next_index = index + 1;
	if (r->result < 0 || (uint64_t)r->result != r->octets) {
		content_failed(s, r->result);
	} else if (pop3_server_look(&s->core, content, true) == POP3_LOOK_CLEAR) {
		(void)pop3_server_content(&s->core, content, true);
		content_sent(s);
	}
	if (at + 1 < s->run->count)
		return;
	free(s->run);
	s->run = NULL;
}

static void on_run(struct pop3_job *j)
{
	struct pop3_session *s = j->session;

	free(s->run);
	s->run = j->run;
	j->run = NULL;
	serve_from_run(s);
	content_over(s);
}

/* The wanted message and, when it is the next in order, as many behind it as fit. */
static void fetch_run(struct pop3_session *s)
{
	uint32_t index = s->core.wanted_index, i = index;
	uint32_t end = index == s->next_index ? s->list.entry_count : index + 1;
	struct mailbox_read reads[POP3_RUN_MESSAGES_MAX];
	size_t bytes = 0;

	for (; i < end && i - index < POP3_RUN_MESSAGES_MAX; i++) {
		const struct mailbox_entry *e = &s->list.entries[i];
		if (bytes + e->octets > POP3_PIECE_BYTES)
			break;
		reads[i - index] = (struct mailbox_read){ .uid = e->uid, .octets = e->octets, .at = bytes };
		bytes += (size_t)e->octets;
	}
	struct pop3_job *j = pop3_job_new(s, on_run);
	j->run = must(malloc(sizeof(*j->run) + bytes));
	j->run->first_index = index;
	j->run->count = i - index;
	memcpy(j->run->reads, reads, (i - index) * sizeof(reads[0]));
	pop3_job_submit(j, read_run);
}

void pop3_retrieval_begin(struct pop3_session *s)
{
	if (run_has(s, s->core.wanted_index)) {
		serve_from_run(s);
		return;
	}
	s->answer_due = true;
	s->offset = 0;
	s->looking = !s->core.utf8;
	if (wanted(s)->octets <= POP3_PIECE_BYTES)
		fetch_run(s);
	else
		pop3_retrieval_go_on(s);
}
