/*
 * Any bytes as an SMTP or LMTP client of the sink: the first byte chooses which, and
 * the size of the pieces.  Checked: commands and messages are the same whether
 * they come whole or in pieces; a message that was taken has recipients.
 */
#include "base/conn.h"
#include "harness/peer/sink.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct play {
	struct loop *loop;
	struct timer *next;
	struct span rest;
	size_t piece;
	int fd;
	struct buf facts;
};

static void on_command(void *ctx, uint64_t connection, struct span line)
{
	struct play *p = ctx;

	(void)connection;
	buf_addf(&p->facts, "%.*s\n", SPAN_FMT(line));
}

static void on_message(void *ctx, const struct sink_message *m)
{
	struct play *p = ctx;

	must(m->recipient_count > 0 && m->content_bytes == m->content.n);
	buf_addf(&p->facts, "<%.*s> %u %x [%.*s]\n", SPAN_FMT(m->reverse_path), m->recipient_count,
		 m->dots_notes, SPAN_FMT(m->content));
}

static void on_quiet(void *ctx)
{
	struct play *p = ctx;

	loop_stop(p->loop);
}

/* Each piece has a round of the loop to itself. */
static void on_next(void *ctx)
{
	struct play *p = ctx;
	size_t n = p->rest.n < p->piece ? p->rest.n : p->piece;

	if (n == 0 || send(p->fd, p->rest.p, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n) {
		(void)shutdown(p->fd, SHUT_WR);
		return;
	}
	p->rest = span_sub(p->rest, n, p->rest.n);
	timer_set_ns(p->next, 0);
}

static void play(struct span in, uint8_t choice, size_t piece, struct play *p)
{
	struct err err;
	struct addr at;

	*p = (struct play){ .loop = loop_new(), .rest = in, .piece = piece };
	must(addr_parse("127.0.0.1", 0, &at));
	struct sink *s = sink_new(&(struct sink_options){ .loop = p->loop,
							  .at = at,
							  .lmtp = (choice & 1) != 0,
							  .keep_content = true,
							  .content_bytes_max = 64,
							  .on_command = on_command,
							  .on_message = on_message,
							  .on_quiet = on_quiet,
							  .ctx = p },
				  &err);
	must(s != NULL);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct addr *to = sink_addr(s);
	must(p->fd >= 0 && connect(p->fd, (const struct sockaddr *)&to->ss, to->n) == 0);
	/* Ends with a reset: many thousand connections must not wait in TIME-WAIT. */
	(void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	p->next = timer_new(p->loop, on_next, p);
	timer_set_ns(p->next, 0);
	loop_run(p->loop);
	(void)close(p->fd);
	timer_free(p->next);
	sink_free(s);
	loop_free(p->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play whole, pieces;

	if (size < 2)
		return 0;
	struct span in = { (const char *)data + 1, size - 1 };
	play(in, data[0], SIZE_MAX, &whole);
	play(in, data[0], (data[0] >> 1) % 64 + 1u, &pieces);
	must(span_eq(buf_span(&whole.facts), buf_span(&pieces.facts)));
	buf_free(&whole.facts);
	buf_free(&pieces.facts);
	return 0;
}
