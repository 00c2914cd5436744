#include "harness/wire/smtp_tap.h"

#include "harness/wire/command.h"
#include "harness/wire/message.h"

#include <assert.h>
#include <string.h>

/* How the client's next byte is read. */
enum {
	MODE_COMMAND = 0,
	MODE_HELD,      /* the reply to DATA, STARTTLS or AUTH decides */
	MODE_AUTH_LINE, /* the answer to a challenge */
	MODE_CONTENT,
	MODE_CHUNK,
};

/* What a reply will belong to. */
enum command {
	COMMAND_GREETING,
	COMMAND_HELLO,
	COMMAND_MAIL,
	COMMAND_RCPT,
	COMMAND_DATA,
	COMMAND_FINAL,
	COMMAND_CHUNK,
	COMMAND_LAST_CHUNK,
	COMMAND_AUTH,
	COMMAND_STARTTLS,
	COMMAND_OTHER,
};

/* One command that waits for its reply; stored by bytes in smtp_tap.pending. */
struct pending {
	enum command command;
	uint32_t transaction;
	uint32_t recipient;
	uint32_t label_bytes; /* at the front of smtp_tap.labels: path or Message-ID */
	uint64_t content_bytes;
	bool content_ended;
};

const char *tap_fact_name(enum tap_fact_kind kind)
{
	static const char *const names[] = {
		[TAP_GREETING] = "greeting",
		[TAP_HELLO_REPLY] = "hello-reply",
		[TAP_MAIL] = "mail",
		[TAP_MAIL_REPLY] = "mail-reply",
		[TAP_RCPT] = "rcpt",
		[TAP_RCPT_REPLY] = "rcpt-reply",
		[TAP_DATA] = "data",
		[TAP_DATA_REPLY] = "data-reply",
		[TAP_CONTENT_BEGIN] = "content-begin",
		[TAP_HEADER] = "header",
		[TAP_CONTENT_END] = "content-end",
		[TAP_CHUNK_REPLY] = "chunk-reply",
		[TAP_FINAL_REPLY] = "final-reply",
		[TAP_RSET] = "rset",
		[TAP_QUIT] = "quit",
		[TAP_AUTH_REPLY] = "auth-reply",
		[TAP_OTHER_REPLY] = "other-reply",
		[TAP_UNASKED_REPLY] = "unasked-reply",
		[TAP_ENCRYPTED] = "encrypted",
		[TAP_LOST] = "lost",
	};
	assert((size_t)kind < sizeof(names) / sizeof(names[0]));
	return names[kind];
}

/* ---- telling ---- */
static void tell(struct smtp_tap *t, struct tap_fact fact)
{
	fact.at_ns = t->now_ns;
	fact.offset = fact.from_client ? t->client_bytes : t->server_bytes;
	if (fact.from_client)
		fact.transaction = t->transaction;
	t->fn(t->ctx, &fact);
}

static void go_blind(struct smtp_tap *t, struct tap_fact last)
{
	t->blind = true;
	buf_free(&t->held);
	tell(t, last);
}

static void lose(struct smtp_tap *t, bool from_client, const char *why)
{
	go_blind(t, (struct tap_fact){ .kind = TAP_LOST, .from_client = from_client, .text = span_of(why) });
}

/* ---- commands that wait ---- */
static void push(struct smtp_tap *t, struct pending p, struct span label)
{
	if (buf_bytes(&t->pending) / sizeof(p) >= TAP_PENDING_MAX) {
		lose(t, true, "too many commands without a reply");
		return;
	}
	p.transaction = t->transaction;
	p.label_bytes = (uint32_t)label.n;
	buf_add(&t->pending, (struct span){ (const char *)&p, sizeof(p) });
	buf_add(&t->labels, label);
}

static bool peek_last(const struct smtp_tap *t, struct pending *ret_pending)
{
	struct span all = buf_span(&t->pending);
	if (all.n == 0)
		return false;
	memcpy(ret_pending, all.p + all.n - sizeof(*ret_pending), sizeof(*ret_pending));
	return true;
}

uint32_t tap_unanswered_count(const struct smtp_tap *t)
{
	struct span all = buf_span(&t->pending);
	uint32_t count = 0;
	for (struct pending p; all.n > 0; all = span_sub(all, sizeof(p), all.n)) {
		memcpy(&p, all.p, sizeof(p));
		count += p.content_ended ? 1 : 0;
	}
	return count;
}

/* ---- content ---- */
static void begin_content(struct smtp_tap *t)
{
	t->dots = (struct dots_reader){ 0 };
	buf_reset(&t->header);
	buf_reset(&t->message_id);
	t->content_bytes = 0;
	t->header_done = false;
	t->answered_early = false;
	t->content_begun = true;
	tell(t, (struct tap_fact){ .kind = TAP_CONTENT_BEGIN, .from_client = true });
}

static void end_header(struct smtp_tap *t)
{
	struct span header, body;
	(void)message_split(buf_span(&t->header), &header, &body);
	t->header_done = true;
	buf_add(&t->message_id, field_message_id(header));
	tell(t, (struct tap_fact){ .kind = TAP_HEADER,
				   .from_client = true,
				   .text = header,
				   .message_id = buf_span(&t->message_id) });
	buf_reset(&t->header);
}

/* While the header lasts, content comes a line at a time at most, so that its end is met exactly. */
static void content_data(struct smtp_tap *t, struct span data)
{
	t->content_bytes += data.n;
	if (t->header_done || data.n == 0)
		return;
	buf_add(&t->header, data);
	struct span h = buf_span(&t->header);
	bool empty_line = span_eq(h, SPAN_LIT("\r\n")) || span_eq(h, SPAN_LIT("\n")) ||
			  span_ends_nocase(h, SPAN_LIT("\n\r\n")) || span_ends_nocase(h, SPAN_LIT("\n\n"));
	if (empty_line || h.n >= TAP_HEADER_BYTES_MAX)
		end_header(t);
}

static size_t header_line_bytes(const struct smtp_tap *t, struct span in)
{
	if (t->header_done)
		return in.n;
	size_t room = TAP_HEADER_BYTES_MAX - buf_bytes(&t->header);
	size_t n = span_find(span_sub(in, 0, room), '\n');
	return n < in.n && n < room ? n + 1 : n;
}

static void end_content(struct smtp_tap *t)
{
	if (!t->header_done)
		end_header(t);
	t->content_begun = false;
	tell(t, (struct tap_fact){ .kind = TAP_CONTENT_END,
				   .from_client = true,
				   .message_id = buf_span(&t->message_id),
				   .content_bytes = t->content_bytes,
				   .notes = t->dots.notes });
}

static size_t client_content(struct smtp_tap *t, struct span in)
{
	if (!t->content_begun)
		begin_content(t);
	struct span data;
	bool end;
	size_t n = dots_read(&t->dots, span_sub(in, 0, header_line_bytes(t, in)), &data, &end);
	t->client_bytes += n;
	content_data(t, data);
	if (!end)
		return n;
	end_content(t);
	t->mode = MODE_COMMAND;
	if (!t->answered_early)
		push(t,
		     (struct pending){ .command = COMMAND_FINAL,
				       .content_bytes = t->content_bytes,
				       .content_ended = true },
		     buf_span(&t->message_id));
	return n;
}

/* Its reply may have come before; otherwise it is the last that waits. */
static void end_chunk(struct smtp_tap *t)
{
	t->mode = MODE_COMMAND;
	if (!t->chunk_last)
		return;
	end_content(t);
	struct pending p;
	if (!peek_last(t, &p) || p.command != COMMAND_LAST_CHUNK || p.content_ended)
		return;
	p.content_ended = true;
	p.content_bytes = t->content_bytes;
	p.label_bytes = (uint32_t)buf_bytes(&t->message_id);
	buf_truncate(&t->pending, buf_bytes(&t->pending) - sizeof(p));
	buf_add(&t->pending, (struct span){ (const char *)&p, sizeof(p) });
	buf_add(&t->labels, buf_span(&t->message_id));
}

static size_t client_chunk(struct smtp_tap *t, struct span in)
{
	in = span_sub(in, 0, t->chunk_bytes_left < in.n ? (size_t)t->chunk_bytes_left : in.n);
	size_t n = header_line_bytes(t, in);
	t->client_bytes += n;
	t->chunk_bytes_left -= n;
	content_data(t, span_sub(in, 0, n));
	if (t->chunk_bytes_left == 0)
		end_chunk(t);
	return n;
}

/* ---- commands ---- */
static void mail(struct smtp_tap *t, struct span args)
{
	struct span path = command_path(&args);
	t->transaction++;
	t->recipient_count = 0;
	t->content_begun = false;
	tell(t, (struct tap_fact){ .kind = TAP_MAIL, .from_client = true, .path = path, .args = args });
	push(t, (struct pending){ .command = COMMAND_MAIL }, path);
}

static void rcpt(struct smtp_tap *t, struct span args)
{
	struct span path = command_path(&args);
	uint32_t recipient = t->recipient_count++;
	tell(t, (struct tap_fact){ .kind = TAP_RCPT,
				   .from_client = true,
				   .path = path,
				   .args = args,
				   .recipient = recipient });
	push(t, (struct pending){ .command = COMMAND_RCPT, .recipient = recipient }, path);
}

static void bdat(struct smtp_tap *t, struct span args)
{
	struct span size = command_word(&args);
	uint64_t bytes;
	t->chunk_last = span_eq_nocase(args, SPAN_LIT("LAST"));
	if (!span_to_u64(size, &bytes) || (args.n > 0 && !t->chunk_last)) {
		push(t, (struct pending){ .command = COMMAND_OTHER }, (struct span){ 0 });
		return;
	}
	push(t, (struct pending){ .command = t->chunk_last ? COMMAND_LAST_CHUNK : COMMAND_CHUNK },
	     (struct span){ 0 });
	if (t->blind)
		return;
	if (!t->content_begun)
		begin_content(t);
	t->chunk_bytes_left = bytes;
	t->mode = MODE_CHUNK;
	if (bytes == 0)
		end_chunk(t);
}

static void wait_with(struct smtp_tap *t, enum command command)
{
	push(t, (struct pending){ .command = command }, (struct span){ 0 });
	t->mode = MODE_HELD;
}

static void plain_command(struct smtp_tap *t, struct span verb)
{
	enum command command = COMMAND_OTHER;
	if (span_eq_nocase(verb, SPAN_LIT("EHLO")) || span_eq_nocase(verb, SPAN_LIT("HELO"))) {
		command = COMMAND_HELLO;
		t->content_begun = false;
	} else if (span_eq_nocase(verb, SPAN_LIT("RSET"))) {
		t->content_begun = false;
		tell(t, (struct tap_fact){ .kind = TAP_RSET, .from_client = true });
	} else if (span_eq_nocase(verb, SPAN_LIT("QUIT"))) {
		tell(t, (struct tap_fact){ .kind = TAP_QUIT, .from_client = true });
	}
	push(t, (struct pending){ .command = command }, (struct span){ 0 });
}

static void client_line(struct smtp_tap *t, struct span line)
{
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	struct span args = line;
	struct span verb = command_word(&args);
	if (t->mode == MODE_AUTH_LINE) {
		wait_with(t, COMMAND_AUTH);
	} else if (span_eq_nocase(verb, SPAN_LIT("MAIL"))) {
		mail(t, args);
	} else if (span_eq_nocase(verb, SPAN_LIT("RCPT"))) {
		rcpt(t, args);
	} else if (span_eq_nocase(verb, SPAN_LIT("DATA"))) {
		tell(t, (struct tap_fact){ .kind = TAP_DATA, .from_client = true });
		wait_with(t, COMMAND_DATA);
	} else if (span_eq_nocase(verb, SPAN_LIT("BDAT"))) {
		bdat(t, args);
	} else if (span_eq_nocase(verb, SPAN_LIT("AUTH"))) {
		wait_with(t, COMMAND_AUTH);
	} else if (span_eq_nocase(verb, SPAN_LIT("STARTTLS"))) {
		wait_with(t, COMMAND_STARTTLS);
	} else {
		plain_command(t, verb);
	}
}

static size_t client_command(struct smtp_tap *t, struct span in)
{
	size_t n = span_find(in, '\n');
	bool whole = n < in.n;
	n += whole ? 1 : 0;
	size_t room = TAP_LINE_BYTES_MAX - buf_bytes(&t->line);
	buf_add(&t->line, span_sub(in, 0, n < room ? n : room));
	t->client_bytes += n;
	if (whole) {
		client_line(t, buf_span(&t->line));
		buf_reset(&t->line);
	}
	return n;
}

static size_t hold(struct smtp_tap *t, struct span in)
{
	if (buf_bytes(&t->held) + in.n > TAP_HELD_BYTES_MAX)
		lose(t, true, "the client sent too much ahead of a reply it should await");
	else
		buf_add(&t->held, in);
	return in.n;
}

static void client_bytes(struct smtp_tap *t, struct span in)
{
	while (in.n > 0 && !t->blind) {
		size_t n = 0;
		switch (t->mode) {
		case MODE_COMMAND:
		case MODE_AUTH_LINE:
			n = client_command(t, in);
			break;
		case MODE_HELD:
			n = hold(t, in);
			break;
		case MODE_CONTENT:
			n = client_content(t, in);
			break;
		default:
			assert(t->mode == MODE_CHUNK);
			n = client_chunk(t, in);
			break;
		}
		in = span_sub(in, n, in.n);
	}
}

/* ---- replies ---- */
static void decide(struct smtp_tap *t, enum command command, unsigned reply_digit)
{
	t->mode = MODE_COMMAND;
	if (command == COMMAND_DATA && reply_digit == 3) {
		t->mode = MODE_CONTENT;
		t->content_begun = false;
	} else if (command == COMMAND_AUTH && reply_digit == 3) {
		t->mode = MODE_AUTH_LINE;
	}
	struct buf held = t->held;
	t->held = (struct buf){ 0 };
	client_bytes(t, buf_span(&held));
	buf_free(&held);
}

static enum tap_fact_kind fact_of(enum command command)
{
	switch (command) {
	case COMMAND_GREETING:
		return TAP_GREETING;
	case COMMAND_HELLO:
		return TAP_HELLO_REPLY;
	case COMMAND_MAIL:
		return TAP_MAIL_REPLY;
	case COMMAND_RCPT:
		return TAP_RCPT_REPLY;
	case COMMAND_DATA:
		return TAP_DATA_REPLY;
	case COMMAND_CHUNK:
		return TAP_CHUNK_REPLY;
	case COMMAND_FINAL:
	case COMMAND_LAST_CHUNK:
		return TAP_FINAL_REPLY;
	case COMMAND_AUTH:
		return TAP_AUTH_REPLY;
	case COMMAND_STARTTLS:
	case COMMAND_OTHER:
		return TAP_OTHER_REPLY;
	}
	return TAP_OTHER_REPLY;
}

/* Nothing waits: a server that gives up in mid content, or speaks unasked. */
static struct tap_fact unasked(struct smtp_tap *t, struct tap_fact fact)
{
	fact.kind = TAP_UNASKED_REPLY;
	fact.transaction = t->transaction;
	if (t->mode == MODE_CONTENT && !t->answered_early) {
		fact.kind = TAP_FINAL_REPLY;
		fact.message_id = buf_span(&t->message_id);
		fact.content_bytes = t->content_begun ? t->content_bytes : 0;
		t->answered_early = true;
		if (!t->content_begun)
			fact.message_id = (struct span){ 0 };
	}
	return fact;
}

static void one_reply(struct smtp_tap *t)
{
	const struct reply *r = &t->reply.reply;
	struct tap_fact fact = { .code = r->code, .text = buf_span(&r->text), .notes = r->notes };
	struct span waiting = buf_span(&t->pending);
	if (waiting.n == 0) {
		tell(t, unasked(t, fact));
		return;
	}
	struct pending p;
	memcpy(&p, waiting.p, sizeof(p));
	buf_consume(&t->pending, sizeof(p));
	struct span label = span_sub(buf_span(&t->labels), 0, p.label_bytes);
	fact.kind = fact_of(p.command);
	fact.transaction = p.transaction;
	fact.recipient = p.recipient;
	fact.content_bytes = p.content_bytes;
	if (fact.kind == TAP_FINAL_REPLY)
		fact.message_id = label;
	else
		fact.path = label;
	bool challenge = p.command == COMMAND_AUTH && reply_class(r) == 3;
	if (!challenge)
		tell(t, fact);
	buf_consume(&t->labels, p.label_bytes);
	if (p.command == COMMAND_STARTTLS && reply_class(r) == 2)
		go_blind(t, (struct tap_fact){ .kind = TAP_ENCRYPTED });
	else if (p.command == COMMAND_DATA || p.command == COMMAND_AUTH || p.command == COMMAND_STARTTLS)
		decide(t, p.command, reply_class(r));
}

/* ---- feeding ---- */
static void start(struct smtp_tap *t)
{
	if (t->started)
		return;
	t->started = true;
	push(t, (struct pending){ .command = COMMAND_GREETING }, (struct span){ 0 });
}

void tap_client_sent(struct smtp_tap *t, struct span bytes, int64_t now_ns)
{
	/* A TLS record of type handshake: no SMTP command begins with this byte. */
	bool hello = t->client_bytes == 0 && buf_bytes(&t->held) == 0 && bytes.n > 0 && bytes.p[0] == 0x16;
	t->now_ns = now_ns;
	start(t);
	if (hello && !t->blind)
		go_blind(t, (struct tap_fact){ .kind = TAP_ENCRYPTED, .from_client = true });
	client_bytes(t, bytes);
}

void tap_server_sent(struct smtp_tap *t, struct span bytes, int64_t now_ns)
{
	t->now_ns = now_ns;
	start(t);
	while (bytes.n > 0 && !t->blind) {
		bool done;
		size_t n = reply_read(&t->reply, bytes, &done);
		t->server_bytes += n;
		bytes = span_sub(bytes, n, bytes.n);
		if (done)
			one_reply(t);
	}
}

bool tap_is_blind(const struct smtp_tap *t)
{
	return t->blind;
}

void tap_reset(struct smtp_tap *t)
{
	tap_fn *fn = t->fn;
	void *ctx = t->ctx;
	tap_free(t);
	t->fn = fn;
	t->ctx = ctx;
}

void tap_free(struct smtp_tap *t)
{
	buf_free(&t->line);
	buf_free(&t->held);
	reply_reader_free(&t->reply);
	buf_free(&t->pending);
	buf_free(&t->labels);
	buf_free(&t->header);
	buf_free(&t->message_id);
	*t = (struct smtp_tap){ 0 };
}
