#include "harness/peer/sink_parts.h"
#include "harness/wire/command.h"

enum {
	LINE_BYTES_MAX = 32 * 1024,    /* a longer command line ends the connection */
	OUTPUT_BYTES_MAX = 256 * 1024, /* a client that reads no replies is not read either */
	RECIPIENTS_MAX = 10000,
};

/* ---- commands ---- */
static void add_keywords(const struct sink_client *c, struct buf *out)
{
	const struct sink_options *o = &c->sink->o;
	struct span rest = span_of(o->keywords != NULL ? o->keywords : ""), word;
	if (o->tls_ctx != NULL && !o->no_starttls && !conn_is_tls(c->conn))
		buf_add_cstr(out, "\r\n250-STARTTLS");
	if (o->login != NULL)
		buf_addf(out, "\r\n250-AUTH %s", o->login->mechanisms);
	while (o->keywords != NULL && span_take_until(&rest, '\n', &word))
		buf_addf(out, "\r\n250-%.*s", SPAN_FMT(word));
	if (o->keywords == NULL)
		buf_addf(out, "%s%s%s\r\n250-SIZE %llu\r\n250-ENHANCEDSTATUSCODES",
			 o->no_pipelining ? "" : "\r\n250-PIPELINING",
			 o->no_8bitmime ? "" : "\r\n250-8BITMIME", o->no_chunking ? "" : "\r\n250-CHUNKING",
			 (unsigned long long)o->content_bytes_max);
}

static bool hello(struct sink_client *c, bool extended)
{
	const struct sink_options *o = &c->sink->o;
	if (!extended)
		return sink_answer(c, SINK_HELLO, "250 sink");
	if (o->no_ehlo)
		return sink_answer(c, SINK_HELLO, "500 5.5.1 not known");
	buf_reset(&c->text);
	buf_addf(&c->text, "250-%s", o->name);
	add_keywords(c, &c->text);
	/* The last line has a blank behind its code. */
	size_t n = buf_bytes(&c->text);
	struct span all = buf_span(&c->text);
	while (n > 0 && all.p[n - 1] != '\n')
		n--;
	c->text.p[c->text.begin + n + 3] = ' ';
	return sink_answer(c, SINK_HELLO, buf_cstr(&c->text));
}

static bool chunk(struct sink_client *c, struct span args)
{
	struct span size = command_word(&args);
	c->chunk_last = span_eq_nocase(args, SPAN_LIT("LAST"));
	if (c->sink->o.no_chunking || !span_to_u64(size, &c->chunk_bytes_left)) {
		sink_reply(c, "501 5.5.4 BDAT needs a size");
		return true;
	}
	/* The chunk comes in any case (RFC 3030 section 2). */
	c->chunk_refused = c->recipient_count == 0 || c->chunk_failed;
	c->mode = MODE_CHUNK;
	return true;
}

static bool data(struct sink_client *c)
{
	if (c->recipient_count > 0)
		return sink_answer(c, SINK_DATA, "354 go ahead");
	return sink_answer(c, SINK_DATA,
			   c->has_mail ? "554 5.5.1 no valid recipients" : "503 5.5.1 MAIL first");
}

static bool rcpt(struct sink_client *c)
{
	if (!c->has_mail)
		return sink_answer(c, SINK_RCPT, "503 5.5.1 MAIL first");
	return sink_answer(c, SINK_RCPT,
			   c->recipient_count < RECIPIENTS_MAX ? "250 2.1.5 ok" : "452 4.5.3 too many");
}

static bool starttls(struct sink_client *c)
{
	bool can = c->sink->o.tls_ctx != NULL && !c->sink->o.no_starttls && !conn_is_tls(c->conn);
	return sink_answer(c, SINK_STARTTLS, can ? "220 2.0.0 go ahead" : "502 5.5.1 not here");
}

static bool verb_is(struct span verb, const char *name)
{
	return span_eq_nocase(verb, span_of(name));
}

/* RFC 5321 section 4.2.4: what is known but not done here is told from what nobody knows. */
static bool is_known(struct span verb)
{
	return verb_is(verb, "VRFY") || verb_is(verb, "EXPN") || verb_is(verb, "HELP");
}

/* RFC 2033 section 4.1: LHLO and no other, and nowhere else. */
static bool hello_verb(const struct sink_client *c, struct span verb, bool *ret_extended)
{
	*ret_extended = !verb_is(verb, "HELO");
	if (c->sink->o.lmtp)
		return verb_is(verb, "LHLO");
	return verb_is(verb, "EHLO") || verb_is(verb, "HELO");
}

static bool command(struct sink_client *c, struct span line)
{
	struct span args = line;
	struct span verb = command_word(&args);
	bool auth = verb_is(verb, "AUTH"), extended;
	if (c->sink->o.on_command != NULL)
		c->sink->o.on_command(c->sink->o.ctx, c->number,
				      auth && c->sink->o.login == NULL ? verb : line);
	buf_reset(&c->path);
	if (c->mode == MODE_RESPONSE)
		return sink_login_response(c, line);
	if (auth)
		return sink_login(c, args);
	if (verb_is(verb, "MAIL") || verb_is(verb, "RCPT"))
		buf_add(&c->path, command_path(&args));
	if (hello_verb(c, verb, &extended)) {
		buf_add_cstr(&c->path, extended ? "EHLO" : "HELO");
		return hello(c, extended);
	}
	if (verb_is(verb, "MAIL") && c->sink->o.login != NULL && !c->logged_in)
		return sink_answer(c, SINK_MAIL, "530 5.7.0 log in first");
	if (verb_is(verb, "MAIL"))
		return sink_answer(c, SINK_MAIL, c->has_mail ? "503 5.5.1 once only" : "250 2.1.0 ok");
	if (verb_is(verb, "RCPT"))
		return rcpt(c);
	if (verb_is(verb, "DATA"))
		return data(c);
	if (verb_is(verb, "BDAT"))
		return chunk(c, args);
	if (verb_is(verb, "RSET"))
		return sink_answer(c, SINK_RSET, "250 2.0.0 ok");
	if (verb_is(verb, "STARTTLS"))
		return starttls(c);
	if (verb_is(verb, "QUIT"))
		return sink_answer(c, SINK_QUIT, "221 2.0.0 bye");
	sink_reply(c, verb_is(verb, "NOOP") ? "250 2.0.0 ok"
		      : is_known(verb)      ? "502 5.5.1 not implemented"
					    : "500 5.5.1 unrecognized");
	return true;
}

/* ---- content ---- */
static void keep(struct sink_client *c, struct span bytes)
{
	c->content_bytes += bytes.n;
	if (c->sink->o.keep_content && c->content_bytes <= c->sink->o.content_bytes_max)
		buf_add(&c->content, bytes);
}

void sink_hand_over_taken(struct sink_client *c)
{
	struct buf all = c->recipients;

	if (!c->ending || c->taken_count == 0)
		return;
	c->recipients = c->taken;
	c->recipient_count = c->taken_count;
	c->taken = all;
	c->taken_count = 0;
	sink_hand_over(c);
}

/* LMTP: answers one recipient after the other (RFC 2033 section 4.2).  False when the client is gone. */
bool sink_answer_recipients(struct sink_client *c)
{
	bool big = c->content_bytes > c->sink->o.content_bytes_max;
	struct span rest = buf_span(&c->unanswered), path;
	while (span_take_until(&rest, '\n', &path)) {
		buf_reset(&c->path);
		buf_add(&c->path, path);
		buf_consume(&c->unanswered, path.n + 1);
		if (!sink_answer(c, SINK_FINAL, big ? "552 5.3.4 too big" : "250 2.0.0 ok"))
			return false;
		if (c->held)
			return true;
		rest = buf_span(&c->unanswered);
	}
	sink_hand_over_taken(c);
	sink_end_transaction(c);
	return true;
}

static bool content_ended(struct sink_client *c)
{
	c->mode = MODE_COMMAND;
	c->final_dot_ns = clock_mono_ns();
	sink_tell_message(c, c->sink->o.on_content);
	if (c->sink->o.lmtp) {
		c->ending = true;
		buf_reset(&c->unanswered);
		buf_add(&c->unanswered, buf_span(&c->recipients));
		return sink_answer_recipients(c);
	}
	if (c->content_bytes > c->sink->o.content_bytes_max)
		return sink_answer(c, SINK_FINAL, "552 5.3.4 too big");
	buf_reset(&c->text);
	buf_addf(&c->text, "250 2.0.0 ok, taken as %llu-%u", (unsigned long long)c->number,
		 c->sink->message_count + 1);
	return sink_answer(c, SINK_FINAL, buf_cstr(&c->text));
}

static bool chunk_ended(struct sink_client *c)
{
	if (c->chunk_last && !c->chunk_refused)
		return content_ended(c);
	c->mode = MODE_COMMAND;
	if (c->chunk_refused) {
		sink_reply(c, "503 5.5.1 no transaction to add this to");
		return true;
	}
	buf_reset(&c->text);
	buf_addf(&c->text, "250 2.0.0 %llu octets so far", (unsigned long long)c->content_bytes);
	return sink_answer(c, SINK_CHUNK, buf_cstr(&c->text));
}

/* ---- reading ---- */
static void consume(struct sink_client *c, size_t n)
{
	conn_consume(c->conn, n);
	c->shown -= n;
}

/* Each reads from the front of the input; false when the client is gone or waits for more. */
static bool read_command(struct sink_client *c, struct span in)
{
	size_t n = span_find(in, '\n');
	if (n == in.n) {
		if (n <= LINE_BYTES_MAX)
			return false;
		sink_reply(c, "500 5.5.2 line too long");
		sink_end(c, conn_finish);
		return false;
	}
	/* Copied, for the answer may start TLS, which drops the input. */
	struct buf *line = &c->sink->line;
	buf_reset(line);
	c->sink->crlf = n > 0 && in.p[n - 1] == '\r';
	buf_add(line, (struct span){ in.p, c->sink->crlf ? n - 1 : n });
	consume(c, n + 1);
	c->sink->more = conn_input(c->conn).n > 0;
	return command(c, buf_span(line));
}

static bool read_content(struct sink_client *c, struct span in)
{
	struct span data;
	bool end;
	size_t n = dots_read(&c->dots, in, &data, &end);
	if (c->sink->o.keep_content && buf_bytes(&c->wire) <= c->sink->o.content_bytes_max)
		buf_add(&c->wire, span_sub(in, 0, n));
	keep(c, data);
	consume(c, n);
	return end ? content_ended(c) : true;
}

static bool read_chunk(struct sink_client *c, struct span in)
{
	size_t n = c->chunk_bytes_left < in.n ? (size_t)c->chunk_bytes_left : in.n;
	keep(c, span_sub(in, 0, n));
	c->chunk_bytes_left -= n;
	consume(c, n);
	return c->chunk_bytes_left == 0 ? chunk_ended(c) : true;
}

void sink_read(struct sink_client *c)
{
	bool more = true;
	while (more && !c->held && conn_output_bytes(c->conn) < OUTPUT_BYTES_MAX) {
		struct span in = conn_input(c->conn);
		bool empty_chunk = c->mode == MODE_CHUNK && c->chunk_bytes_left == 0;
		if (in.n == 0 && !empty_chunk && c->said_all) {
			sink_end(c, conn_free);
			return;
		}
		if (in.n == 0 && !empty_chunk)
			return;
		if (c->mode == MODE_HANDSHAKE) {
			consume(c, in.n); /* it has begun a handshake that is not to be */
			more = sink_act_in_time(c);
		} else if (c->mode == MODE_COMMAND || c->mode == MODE_RESPONSE)
			more = read_command(c, in);
		else
			more = c->mode == MODE_CONTENT ? read_content(c, in) : read_chunk(c, in);
	}
}
