#include "harness/peer/sink.h"

#include "base/buf.h"
#include "base/conn.h"
#include "base/listener.h"
#include "harness/wire/command.h"
#include "harness/wire/dots.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
	LINE_BYTES_MAX = 32 * 1024,    /* a longer command line ends the connection */
	OUTPUT_BYTES_MAX = 256 * 1024, /* a client that reads no replies is not read either */
	RECIPIENTS_MAX = 10000,
	CONTENT_BYTES_MAX = 256 * 1024 * 1024,
};

enum mode { MODE_COMMAND, MODE_CONTENT, MODE_CHUNK };

/* What is to be done once a rule's delay is over. */
struct deed {
	enum sink_stage stage;
	const struct sink_rule *rule; /* NULL: the usual reply */
	const char *usual;            /* a constant, or the client's text */
};

struct client {
	LIST_ENTRY(client) link;
	struct sink *sink;
	struct conn *conn;
	uint64_t number;
	enum mode mode;
	bool held; /* nothing is read until the deed is done */
	struct timer *delay;
	struct deed deed;
	uint32_t piece; /* of the deed's rule, the next */
	size_t shown;   /* bytes of the input that were recorded, and are not consumed yet */
	struct buf text;
	/* the transaction */
	bool has_mail;
	struct buf path; /* of the command that is being answered */
	struct buf reverse_path;
	struct buf recipients; /* each with a LF behind it */
	uint32_t recipient_count;
	struct dots_reader dots;
	struct buf content;
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
LIST_HEAD(client_list, client);

struct sink {
	struct sink_options o;
	struct listener *listener;
	struct client_list clients;
	uint32_t *rule_hits;
	uint32_t client_count;
	uint64_t clients_total;
	uint32_t message_count;
	uint64_t content_bytes;
	struct buf line; /* the command that is being read */
	bool more;       /* something has come behind it */
};

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- the record ---- */
static void tell(const struct client *c, enum sink_event_kind kind, struct span bytes, const char *text)
{
	const struct sink *s = c->sink;
	if (s->o.on_event != NULL)
		s->o.on_event(s->o.ctx, &(struct sink_event){ kind, c->number, bytes, text });
}

/* What came is told in the pieces in which it came. */
static void tell_input(struct client *c)
{
	struct span in = conn_input(c->conn);
	if (in.n > c->shown)
		tell(c, SINK_HEARD, span_sub(in, c->shown, in.n), NULL);
	c->shown = in.n;
}

static void consume(struct client *c, size_t n)
{
	conn_consume(c->conn, n);
	c->shown -= n;
}

static void say(struct client *c, struct span bytes)
{
	conn_write(c->conn, bytes);
	tell(c, SINK_SAID, bytes, NULL);
}

/* ---- a client's end ---- */
/* How: conn_free, conn_finish or conn_reset. */
static void client_end(struct client *c, void (*how)(struct conn *))
{
	struct conn *conn = c->conn;
	struct sink *s = c->sink;
	LIST_REMOVE(c, link);
	s->client_count--;
	timer_free(c->delay);
	buf_free(&c->text);
	buf_free(&c->path);
	buf_free(&c->reverse_path);
	buf_free(&c->recipients);
	buf_free(&c->content);
	buf_free(&c->unanswered);
	buf_free(&c->taken);
	free(c);
	how(conn);
	if (s->client_count == 0 && s->o.on_quiet != NULL)
		s->o.on_quiet(s->o.ctx);
}

static void end_transaction(struct client *c)
{
	c->has_mail = false;
	c->recipient_count = 0;
	c->ending = false;
	c->chunk_failed = false;
	c->taken_count = 0;
	c->content_bytes = 0;
	c->dots = (struct dots_reader){ 0 };
	buf_reset(&c->reverse_path);
	buf_reset(&c->recipients);
	buf_reset(&c->taken);
	buf_free(&c->content);
}

/* ---- what a reply brings about ---- */
static void tell_message(const struct client *c, sink_message_fn *fn)
{
	const struct sink *s = c->sink;
	if (fn == NULL)
		return;
	struct span *recipients =
		must(calloc(c->recipient_count > 0 ? c->recipient_count : 1, sizeof(*recipients)));
	struct span rest = buf_span(&c->recipients);
	for (uint32_t i = 0; i < c->recipient_count; i++)
		(void)span_take_until(&rest, '\n', &recipients[i]);
	struct sink_message m = {
		.connection = c->number,
		.nth = s->message_count,
		.final_dot_ns = c->final_dot_ns,
		.reverse_path = buf_span(&c->reverse_path),
		.recipients = recipients,
		.recipient_count = c->recipient_count,
		.content = buf_span(&c->content),
		.content_bytes = c->content_bytes,
		.dots_notes = c->dots.notes,
		.over_tls = conn_is_tls(c->conn),
	};
	fn(s->o.ctx, &m);
	free(recipients);
}

static void hand_over(struct client *c)
{
	c->sink->message_count++;
	c->sink->content_bytes += c->content_bytes;
	tell_message(c, c->sink->o.on_message);
}

static void accepted(struct client *c, enum sink_stage stage)
{
	switch (stage) {
	case SINK_HELLO:
	case SINK_RSET:
		end_transaction(c);
		break;
	case SINK_STARTTLS:
		if (c->sink->o.tls_ctx == NULL)
			break;
		(void)conn_start_tls(c->conn, c->sink->o.tls_ctx, CONN_TLS_SERVER, NULL);
		c->shown = 0; /* what had come is dropped */
		end_transaction(c);
		break;
	case SINK_MAIL:
		end_transaction(c);
		c->has_mail = true;
		buf_add(&c->reverse_path, buf_span(&c->path));
		break;
	case SINK_RCPT:
		buf_add(&c->recipients, buf_span(&c->path));
		buf_add(&c->recipients, SPAN_LIT("\n"));
		c->recipient_count++;
		break;
	case SINK_DATA:
		c->mode = MODE_CONTENT;
		break;
	case SINK_FINAL:
		if (c->ending) {
			buf_add(&c->taken, buf_span(&c->path));
			buf_add(&c->taken, SPAN_LIT("\n"));
			c->taken_count++;
		} else {
			hand_over(c);
		}
		break;
	case SINK_GREETING:
	case SINK_CHUNK:
	case SINK_QUIT:
	case SINK_STAGE_COUNT:
		break;
	}
}

static void reply(struct client *c, const char *text)
{
	struct buf line = { 0 };
	buf_add_cstr(&line, text);
	buf_add_cstr(&line, "\r\n");
	say(c, buf_span(&line));
	buf_free(&line);
}

/* Says the next pieces of a reply; false: a pause comes first. */
static bool say_pieces(struct client *c)
{
	const struct sink_rule *r = c->deed.rule;
	while (c->piece < r->piece_count) {
		const struct sink_piece *next = &r->pieces[c->piece++];
		say(c, next->bytes);
		if (c->piece == r->piece_count)
			break;
		/* Even without a pause, what follows is a segment of its own. */
		timer_set_ms(c->delay, r->pieces[c->piece].pause_ms > 0 ? r->pieces[c->piece].pause_ms : 1);
		return false;
	}
	c->piece = 0;
	return true;
}

/* The first character of what is answered. */
static char answer_class(const struct deed *d)
{
	if (d->rule != NULL && d->rule->piece_count > 0)
		return d->rule->pieces[0].bytes.n > 0 ? d->rule->pieces[0].bytes.p[0] : '\0';
	return d->rule != NULL && d->rule->reply != NULL ? d->rule->reply[0] : d->usual[0];
}

static void end_by_us(struct client *c, void (*how)(struct conn *))
{
	tell(c, SINK_ENDED, (struct span){ 0 }, how == conn_reset ? "reset" : NULL);
	client_end(c, how);
}

/* The reply has been said: what it brings about.  Returns false when the client is gone. */
static bool answered(struct client *c)
{
	const struct deed *d = &c->deed;
	char class = answer_class(d);
	c->held = false;
	if (d->rule != NULL && d->rule->action == SINK_CLOSE) {
		end_by_us(c, conn_finish);
		return false;
	}
	if (class == (d->stage == SINK_DATA ? '3' : '2'))
		accepted(c, d->stage);
	else if (d->stage == SINK_CHUNK)
		c->chunk_failed = true;
	if (d->stage == SINK_FINAL && !c->ending)
		end_transaction(c);
	if (d->stage == SINK_QUIT) {
		end_by_us(c, conn_finish);
		return false;
	}
	return true;
}

/* Returns false when the client is gone. */
static bool act(struct client *c)
{
	const struct deed *d = &c->deed;
	enum sink_action action = d->rule != NULL ? d->rule->action : SINK_REPLY;
	bool pieces = d->rule != NULL && d->rule->piece_count > 0;
	if (action == SINK_SILENT) {
		c->held = true;
		return true;
	}
	if (action == SINK_RESET) {
		end_by_us(c, conn_reset);
		return false;
	}
	c->held = true;
	if (pieces && !say_pieces(c))
		return true;
	if (!pieces && (action == SINK_REPLY || d->rule->reply != NULL))
		reply(c, d->rule != NULL && d->rule->reply != NULL ? d->rule->reply : d->usual);
	return answered(c);
}

/* ---- rules ---- */
static bool fits(const struct sink_rule *r, enum sink_stage stage, struct span path)
{
	if (r->stage != stage)
		return false;
	if (r->path == NULL ||
	    (stage != SINK_MAIL && stage != SINK_RCPT && stage != SINK_FINAL && stage != SINK_HELLO))
		return true;
	return memmem(path.p, path.n, r->path, strlen(r->path)) != NULL;
}

/* Every rule counts what fits it, whether or not one before it wins. */
static const struct sink_rule *find_rule(struct sink *s, enum sink_stage stage, struct span path)
{
	const struct sink_rule *found = NULL;
	for (uint32_t i = 0; i < s->o.rule_count; i++) {
		const struct sink_rule *r = &s->o.rules[i];
		if (!fits(r, stage, path))
			continue;
		uint32_t nth = ++s->rule_hits[i];
		uint32_t from = r->from_nth > 0 ? r->from_nth : 1;
		bool in_time = nth >= from && (r->count == 0 || nth - from < r->count);
		if (found == NULL && in_time)
			found = r;
	}
	return found;
}

/* Returns false when the client is gone. */
static bool answer(struct client *c, enum sink_stage stage, const char *usual)
{
	c->deed.stage = stage;
	c->deed.rule = find_rule(c->sink, stage, buf_span(&c->path));
	c->deed.usual = usual;
	if (c->deed.rule == NULL || c->deed.rule->delay_ms <= 0)
		return act(c);
	c->held = true;
	timer_set_ms(c->delay, c->deed.rule->delay_ms);
	return true;
}

/* ---- commands ---- */
static void add_keywords(const struct client *c, struct buf *out)
{
	const struct sink_options *o = &c->sink->o;
	struct span rest = span_of(o->keywords != NULL ? o->keywords : ""), word;
	if (o->tls_ctx != NULL && !o->no_starttls && !conn_is_tls(c->conn))
		buf_add_cstr(out, "\r\n250-STARTTLS");
	while (o->keywords != NULL && span_take_until(&rest, '\n', &word))
		buf_addf(out, "\r\n250-%.*s", SPAN_FMT(word));
	if (o->keywords == NULL)
		buf_addf(out, "%s%s%s\r\n250-SIZE %llu\r\n250-ENHANCEDSTATUSCODES",
			 o->no_pipelining ? "" : "\r\n250-PIPELINING",
			 o->no_8bitmime ? "" : "\r\n250-8BITMIME", o->no_chunking ? "" : "\r\n250-CHUNKING",
			 (unsigned long long)o->content_bytes_max);
}

static bool hello(struct client *c, bool extended)
{
	const struct sink_options *o = &c->sink->o;
	if (!extended)
		return answer(c, SINK_HELLO, "250 sink");
	if (o->no_ehlo)
		return answer(c, SINK_HELLO, "500 5.5.1 not known");
	buf_reset(&c->text);
	buf_addf(&c->text, "250-%s", o->name);
	add_keywords(c, &c->text);
	/* The last line has a blank behind its code. */
	size_t n = buf_bytes(&c->text);
	struct span all = buf_span(&c->text);
	while (n > 0 && all.p[n - 1] != '\n')
		n--;
	c->text.p[c->text.begin + n + 3] = ' ';
	return answer(c, SINK_HELLO, buf_cstr(&c->text));
}

static bool chunk(struct client *c, struct span args)
{
	struct span size = command_word(&args);
	c->chunk_last = span_eq_nocase(args, SPAN_LIT("LAST"));
	if (c->sink->o.no_chunking || !span_to_u64(size, &c->chunk_bytes_left)) {
		reply(c, "501 5.5.4 BDAT needs a size");
		return true;
	}
	/* The chunk comes in any case (RFC 3030 section 2). */
	c->chunk_refused = c->recipient_count == 0 || c->chunk_failed;
	c->mode = MODE_CHUNK;
	return true;
}

static bool data(struct client *c)
{
	if (c->recipient_count > 0)
		return answer(c, SINK_DATA, "354 go ahead");
	return answer(c, SINK_DATA, c->has_mail ? "554 5.5.1 no valid recipients" : "503 5.5.1 MAIL first");
}

static bool rcpt(struct client *c)
{
	if (!c->has_mail)
		return answer(c, SINK_RCPT, "503 5.5.1 MAIL first");
	return answer(c, SINK_RCPT,
		      c->recipient_count < RECIPIENTS_MAX ? "250 2.1.5 ok" : "452 4.5.3 too many");
}

static bool starttls(struct client *c)
{
	bool can = c->sink->o.tls_ctx != NULL && !c->sink->o.no_starttls && !conn_is_tls(c->conn);
	return answer(c, SINK_STARTTLS, can ? "220 2.0.0 go ahead" : "502 5.5.1 not here");
}

static bool verb_is(struct span verb, const char *name)
{
	return span_eq_nocase(verb, span_of(name));
}

/* RFC 5321 section 4.2.4: what is known but not done here is told from what nobody knows. */
static bool is_known(struct span verb)
{
	return verb_is(verb, "AUTH") || verb_is(verb, "VRFY") || verb_is(verb, "EXPN") ||
	       verb_is(verb, "HELP");
}

/* RFC 2033 section 4.1: LHLO and no other, and nowhere else. */
static bool hello_verb(const struct client *c, struct span verb, bool *ret_extended)
{
	*ret_extended = !verb_is(verb, "HELO");
	if (c->sink->o.lmtp)
		return verb_is(verb, "LHLO");
	return verb_is(verb, "EHLO") || verb_is(verb, "HELO");
}

static bool command(struct client *c, struct span line)
{
	struct span args = line;
	struct span verb = command_word(&args);
	bool auth = verb_is(verb, "AUTH"), extended;
	if (c->sink->o.on_command != NULL)
		c->sink->o.on_command(c->sink->o.ctx, c->number, auth ? verb : line);
	buf_reset(&c->path);
	if (verb_is(verb, "MAIL") || verb_is(verb, "RCPT"))
		buf_add(&c->path, command_path(&args));
	if (hello_verb(c, verb, &extended)) {
		buf_add_cstr(&c->path, extended ? "EHLO" : "HELO");
		return hello(c, extended);
	}
	if (verb_is(verb, "MAIL"))
		return answer(c, SINK_MAIL, c->has_mail ? "503 5.5.1 once only" : "250 2.1.0 ok");
	if (verb_is(verb, "RCPT"))
		return rcpt(c);
	if (verb_is(verb, "DATA"))
		return data(c);
	if (verb_is(verb, "BDAT"))
		return chunk(c, args);
	if (verb_is(verb, "RSET"))
		return answer(c, SINK_RSET, "250 2.0.0 ok");
	if (verb_is(verb, "STARTTLS"))
		return starttls(c);
	if (verb_is(verb, "QUIT"))
		return answer(c, SINK_QUIT, "221 2.0.0 bye");
	reply(c, verb_is(verb, "NOOP") ? "250 2.0.0 ok"
		 : is_known(verb)      ? "502 5.5.1 not implemented"
				       : "500 5.5.1 unrecognized");
	return true;
}

/* ---- content ---- */
static void keep(struct client *c, struct span bytes)
{
	c->content_bytes += bytes.n;
	if (c->sink->o.keep_content && c->content_bytes <= c->sink->o.content_bytes_max)
		buf_add(&c->content, bytes);
}

/* LMTP: answers one recipient after the other (RFC 2033 section 4.2).  False when the client is gone. */
static bool answer_recipients(struct client *c)
{
	bool big = c->content_bytes > c->sink->o.content_bytes_max;
	struct span rest = buf_span(&c->unanswered), path;
	while (span_take_until(&rest, '\n', &path)) {
		buf_reset(&c->path);
		buf_add(&c->path, path);
		buf_consume(&c->unanswered, path.n + 1);
		if (!answer(c, SINK_FINAL, big ? "552 5.3.4 too big" : "250 2.0.0 ok"))
			return false;
		if (c->held)
			return true;
		rest = buf_span(&c->unanswered);
	}
	struct buf all = c->recipients;
	c->recipients = c->taken;
	c->recipient_count = c->taken_count;
	c->taken = all;
	if (c->recipient_count > 0)
		hand_over(c);
	end_transaction(c);
	return true;
}

static bool content_ended(struct client *c)
{
	c->mode = MODE_COMMAND;
	c->final_dot_ns = clock_mono_ns();
	tell_message(c, c->sink->o.on_content);
	if (c->sink->o.lmtp) {
		c->ending = true;
		buf_reset(&c->unanswered);
		buf_add(&c->unanswered, buf_span(&c->recipients));
		return answer_recipients(c);
	}
	if (c->content_bytes > c->sink->o.content_bytes_max)
		return answer(c, SINK_FINAL, "552 5.3.4 too big");
	buf_reset(&c->text);
	buf_addf(&c->text, "250 2.0.0 ok, taken as %llu-%u", (unsigned long long)c->number,
		 c->sink->message_count + 1);
	return answer(c, SINK_FINAL, buf_cstr(&c->text));
}

static bool chunk_ended(struct client *c)
{
	if (c->chunk_last && !c->chunk_refused)
		return content_ended(c);
	c->mode = MODE_COMMAND;
	if (c->chunk_refused) {
		reply(c, "503 5.5.1 no transaction to add this to");
		return true;
	}
	buf_reset(&c->text);
	buf_addf(&c->text, "250 2.0.0 %llu octets so far", (unsigned long long)c->content_bytes);
	return answer(c, SINK_CHUNK, buf_cstr(&c->text));
}

/* ---- reading ---- */
/* Each reads from the front of the input; false when the client is gone or waits for more. */
static bool read_command(struct client *c, struct span in)
{
	size_t n = span_find(in, '\n');
	if (n == in.n) {
		if (n <= LINE_BYTES_MAX)
			return false;
		reply(c, "500 5.5.2 line too long");
		end_by_us(c, conn_finish);
		return false;
	}
	/* Copied, for the answer may start TLS, which drops the input. */
	struct buf *line = &c->sink->line;
	buf_reset(line);
	buf_add(line, (struct span){ in.p, n > 0 && in.p[n - 1] == '\r' ? n - 1 : n });
	consume(c, n + 1);
	c->sink->more = conn_input(c->conn).n > 0;
	return command(c, buf_span(line));
}

static bool read_content(struct client *c, struct span in)
{
	struct span data;
	bool end;
	size_t n = dots_read(&c->dots, in, &data, &end);
	keep(c, data);
	consume(c, n);
	return end ? content_ended(c) : true;
}

static bool read_chunk(struct client *c, struct span in)
{
	size_t n = c->chunk_bytes_left < in.n ? (size_t)c->chunk_bytes_left : in.n;
	keep(c, span_sub(in, 0, n));
	c->chunk_bytes_left -= n;
	consume(c, n);
	return c->chunk_bytes_left == 0 ? chunk_ended(c) : true;
}

static void read_all(struct client *c)
{
	bool more = true;
	while (more && !c->held && conn_output_bytes(c->conn) < OUTPUT_BYTES_MAX) {
		struct span in = conn_input(c->conn);
		bool empty_chunk = c->mode == MODE_CHUNK && c->chunk_bytes_left == 0;
		if (in.n == 0 && !empty_chunk)
			return;
		if (c->mode == MODE_COMMAND)
			more = read_command(c, in);
		else
			more = c->mode == MODE_CONTENT ? read_content(c, in) : read_chunk(c, in);
	}
}

static void on_delay(void *ctx)
{
	struct client *c = ctx;
	if (c->piece > 0) { /* a reply is under way */
		if (!say_pieces(c) || !answered(c))
			return;
	} else if (!act(c)) {
		return;
	}
	if (c->held)
		return;
	if (c->ending && (!answer_recipients(c) || c->held))
		return;
	read_all(c);
}

static void greet(struct client *c)
{
	buf_reset(&c->text);
	buf_addf(&c->text, "220 %s %s", c->sink->o.name, c->sink->o.lmtp ? "LMTP" : "ESMTP");
	buf_reset(&c->path);
	(void)answer(c, SINK_GREETING, buf_cstr(&c->text));
}

static void on_secured(struct client *c)
{
	char text[120];
	(void)snprintf(text, sizeof(text), "%s, %s", conn_tls_version(c->conn), conn_tls_cipher(c->conn));
	tell(c, SINK_SECURED, (struct span){ 0 }, text);
	if (c->sink->o.implicit_tls)
		greet(c);
}

static void on_event(void *ctx, enum conn_event event)
{
	struct client *c = ctx;
	switch (event) {
	case CONN_INPUT:
		tell_input(c);
		read_all(c);
		break;
	case CONN_DRAINED:
		read_all(c);
		break;
	case CONN_SECURED:
		on_secured(c);
		break;
	case CONN_EOF:
		tell(c, SINK_LEFT, (struct span){ 0 }, NULL);
		client_end(c, conn_free);
		break;
	case CONN_FAILED:
		tell(c, SINK_LEFT, (struct span){ 0 }, conn_error(c->conn)->text);
		client_end(c, conn_free);
		break;
	case CONN_CONNECTED:
	case CONN_TIMEOUT:
		break;
	}
}

static void on_accept(void *ctx, int fd, const struct addr *peer)
{
	struct sink *s = ctx;
	struct client *c = must(calloc(1, sizeof(*c)));
	(void)peer;
	c->sink = s;
	c->number = ++s->clients_total;
	c->delay = timer_new(s->o.loop, on_delay, c);
	c->conn = conn_take(&(struct conn_options){ .loop = s->o.loop, .on_event = on_event, .ctx = c }, fd);
	LIST_INSERT_HEAD(&s->clients, c, link);
	s->client_count++;
	tell(c, SINK_OPENED, (struct span){ 0 }, NULL);
	if (s->o.implicit_tls)
		(void)conn_start_tls(c->conn, s->o.tls_ctx, CONN_TLS_SERVER, NULL);
	else
		greet(c);
}

/* ---- public ---- */
struct sink *sink_new(const struct sink_options *o, struct err *reterr)
{
	char text[56];
	assert(o->loop != NULL);
	if (!o->in_private_network && !addr_is_loopback(&o->at)) {
		(void)err_set(reterr, -EPERM, "%s is not a loopback address", addr_format(&o->at, text));
		return NULL;
	}
	if (o->implicit_tls && o->tls_ctx == NULL) {
		(void)err_set(reterr, -EINVAL, "sink: TLS without a certificate");
		return NULL;
	}
	struct sink *s = must(calloc(1, sizeof(*s)));
	s->o = *o;
	s->o.name = o->name != NULL ? o->name : "sink.example";
	if (s->o.content_bytes_max == 0)
		s->o.content_bytes_max = CONTENT_BYTES_MAX;
	s->rule_hits = must(calloc(o->rule_count + 1, sizeof(s->rule_hits[0])));
	LIST_INIT(&s->clients);
	s->listener = listener_new(o->loop, &o->at, on_accept, s, reterr);
	if (s->listener == NULL) {
		sink_free(s);
		return NULL;
	}
	return s;
}

const struct addr *sink_addr(const struct sink *s)
{
	return listener_addr(s->listener);
}

bool sink_heard_more(const struct sink *s)
{
	return s->more;
}

uint32_t sink_message_count(const struct sink *s)
{
	return s->message_count;
}

uint64_t sink_content_bytes(const struct sink *s)
{
	return s->content_bytes;
}

uint32_t sink_connection_count(const struct sink *s)
{
	return s->client_count;
}

uint64_t sink_connections_total(const struct sink *s)
{
	return s->clients_total;
}

void sink_free(struct sink *s)
{
	if (s == NULL)
		return;
	s->o.on_quiet = NULL;
	listener_free(s->listener);
	struct client *c;
	while ((c = LIST_FIRST(&s->clients)) != NULL)
		client_end(c, conn_free);
	free(s->rule_hits);
	buf_free(&s->line);
	free(s);
}
