#include "harness/conform/play_parts.h"

#include "harness/conform/leave.h"

#include "harness/load/reach.h"

#include <stdio.h>
#include <string.h>

static struct play_conn *connection(struct play *p)
{
	return &p->conns[play_step(p)->connection];
}

static void note(struct play_conn *c, const char *text)
{
	c->play->wrote_on = 0;
	transcript_note(&c->play->outcome.transcript, play_now(), c->index, "%s", text);
}

/* ---- what happens on a connection ---- */

static void on_connected(struct play_conn *c)
{
	char text[56], line[160];

	(void)snprintf(line, sizeof(line), "connected to %s (%s)", addr_format(conn_peer(c->conn), text),
		       case_service_name(c->service));
	note(c, line);
	c->open = !case_service_has_tls(c->service);
}

static void on_secured(struct play_conn *c)
{
	char line[160];

	(void)snprintf(line, sizeof(line), "TLS: %s, %s", conn_tls_version(c->conn),
		       conn_tls_cipher(c->conn));
	note(c, line);
	c->open = c->secured = true;
}

/* Everything at once, so that the transcript has the pieces as they came. */
static void on_input(struct play_conn *c)
{
	struct span in = conn_input(c->conn);

	if (in.n == 0)
		return;
	if (buf_bytes(&c->in) + in.n > PLAY_INPUT_BYTES_MAX) {
		conn_pause(c->conn); /* nobody waits for it; a reply that is read makes room */
		c->paused = true;
		return;
	}
	transcript_add(&c->play->outcome.transcript, play_now(), TRANSCRIPT_SERVER, c->index, in);
	buf_add(&c->in, in);
	conn_consume(c->conn, in.n);
}

static void on_ended(struct play_conn *c, const char *how)
{
	c->ended = true;
	(void)snprintf(c->failure, sizeof(c->failure), "%s", how);
	note(c, how);
}

static void on_conn(void *ctx, enum conn_event event)
{
	struct play_conn *c = ctx;
	char text[256];

	switch (event) {
	case CONN_CONNECTED:
		on_connected(c);
		break;
	case CONN_SECURED:
		on_secured(c);
		break;
	case CONN_INPUT:
		on_input(c);
		break;
	case CONN_EOF:
		on_ended(c, "closed by the server");
		break;
	case CONN_FAILED:
		(void)snprintf(text, sizeof(text), "connection lost: %.200s", conn_error(c->conn)->text);
		if (!c->ended)
			on_ended(c, text);
		break;
	case CONN_DRAINED:
	case CONN_TIMEOUT:
		break;
	}
	play_poke(c->play);
}

void play_conn_drop(struct play_conn *c)
{
	conn_free(c->conn);
	c->conn = NULL;
	c->open = c->secured = false;
}

/* ---- opening ---- */

static struct tls_ctx *tls_of(const struct play_conn *c)
{
	const struct sut *s = c->play->o.sut;
	return c->tls_1_2 ? s->tls_1_2 : s->tls;
}

/*
 * Each case is a client with an address of its own, where there are addresses to spare: what a server counts by
 * address, such as refused logins, which it answers ever later, is then the case's own doing.
 */
static bool own_address(const struct play *p, struct addr *ret_own)
{
	const struct sut *s = p->o.sut;
	char ip[32];

	if (s->client_count == 0)
		return false;
	uint32_t a = s->client_first + (uint32_t)(p->o.token % s->client_count);
	(void)snprintf(ip, sizeof(ip), "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
	return addr_parse(ip, 0, ret_own);
}

void play_conn_open(struct play *p, uint32_t index, enum case_service service)
{
	struct play_conn *c = &p->conns[index];
	const struct sut *s = p->o.sut;
	const struct sut_service *at = &s->services[service];
	struct addr own;
	struct err e;

	play_conn_drop(c);
	buf_reset(&c->in);
	answer_reader_free(&c->reader);
	c->reader = (struct answer_reader){ .pop3 = case_service_is_pop3(service) };
	c->reader.answer.pop3 = c->reader.pop3;
	c->service = service;
	c->tls_1_2 = play_step(p)->kind == CASE_CONNECT && play_step(p)->tls_1_2;
	c->ended = c->paused = false;
	if (reach_check(&at->at, s->allow_remote, &e) != 0) {
		play_finish(p, CONFORM_ERROR, play_step(p)->line, "%s", e.text);
		return;
	}
	bool trusted = p->o.trusted && service == CASE_SMTP && s->trusted.n > 0;
	c->conn = conn_connect(
		&(struct conn_options){
			.loop = p->o.loop, .on_event = on_conn, .ctx = c, .input_bytes_max = 65536 },
		&at->at,
		trusted                ? &s->trusted
		: own_address(p, &own) ? &own
				       : NULL);
	if (c->conn != NULL && case_service_has_tls(service))
		(void)conn_start_tls(c->conn, tls_of(c), CONN_TLS_CLIENT, s->host);
	play_await(p, PLAY_WAITS_OPEN, play_limit_ms(p));
}

bool play_conn_ready(struct play *p)
{
	struct play_conn *c = connection(p);

	if (c->conn == NULL && !c->ended && p->wait == PLAY_RUNS)
		play_conn_open(p, play_step(p)->connection, p->file->service);
	if (p->wait == PLAY_IS_OVER)
		return false;
	if (c->open || (c->ended && p->wait != PLAY_WAITS_OPEN)) {
		if (p->wait == PLAY_WAITS_OPEN) {
			timer_clear(p->timer);
			p->wait = PLAY_RUNS;
		}
		return true;
	}
	if (c->ended)
		play_unexpected(p, CASE_ON_CLOSE, NULL, c->failure);
	return false;
}

/* ---- sending ---- */

/* What is written in one round of the loop leaves together, and is shown so. */
static bool write_segment(struct play *p, struct play_conn *c, const struct case_segment *segment)
{
	struct transcript *t = &p->outcome.transcript;
	struct buf bytes = { 0 };
	bool fine = play_expand(p, &segment->text, &bytes);

	if (fine && !c->ended) {
		if (p->wrote_on == c->index + 1)
			transcript_extend(t, buf_span(&bytes));
		else
			transcript_add(t, play_now(), TRANSCRIPT_CLIENT, c->index, buf_span(&bytes));
		p->wrote_on = c->index + 1;
		conn_write(c->conn, buf_span(&bytes));
	}
	buf_free(&bytes);
	return fine;
}

/* A segment goes out alone: what was written before it has left, and so does it before the next. */
static void send_segments(struct play *p, struct play_conn *c)
{
	const struct case_step *s = play_step(p);

	if (p->wait == PLAY_WAITS_PAUSE)
		return;
	while (!c->ended) {
		if (conn_output_bytes(c->conn) > 0) {
			if (p->wait != PLAY_WAITS_DRAINED)
				play_await(p, PLAY_WAITS_DRAINED, play_limit_ms(p));
			return;
		}
		timer_clear(p->timer);
		p->wait = PLAY_RUNS;
		if (p->segment == s->segment_count)
			break;
		const struct case_segment *segment = &s->segments[p->segment];
		if (segment->pause_ms > 0 && !p->segment_paused) {
			p->segment_paused = true;
			play_await(p, PLAY_WAITS_PAUSE, segment->pause_ms);
			return;
		}
		p->segment_paused = false;
		p->segment++;
		if (!write_segment(p, c, segment))
			return;
	}
	play_next(p);
}

/* Somebody else's server gets mail for its own domains only; all segments are looked at as one. */
static bool may_send(struct play *p)
{
	const struct case_step *s = play_step(p);
	const struct sut *sut = p->o.sut;
	struct buf bytes = { 0 };
	struct span path;
	bool fine = true;

	for (uint32_t i = 0; i < s->segment_count && fine; i++)
		fine = play_expand(p, &s->segments[i].text, &bytes);
	if (fine && !leave_allows(buf_span(&bytes), sut->mail_domains, sut->mail_domain_count, &path)) {
		fine = false;
		play_finish(p, CONFORM_NOT_TESTED, s->line,
			    "mail would go to %.*s, which the target does not list", SPAN_FMT(path));
	}
	buf_free(&bytes);
	return fine;
}

void play_conn_send(struct play *p)
{
	struct play_conn *c = connection(p);
	const struct case_step *s = play_step(p);

	if (p->o.sut->is_elsewhere && p->segment == 0 && p->wait == PLAY_RUNS && !may_send(p))
		return;
	if (c->ended)
		play_next(p); /* the next reply that is expected tells */
	else if (s->segmented)
		send_segments(p, c);
	else if (write_segment(p, c, &s->segments[0]))
		play_next(p);
}

/* ---- expecting ---- */

/* Each irregularity once. */
static void keep_irregularities(struct play *p, const struct answer *a)
{
	struct buf lines = { 0 };
	struct span rest, line;

	answer_irregularities(a, &lines);
	rest = buf_span(&lines);
	while (span_take_until(&rest, '\n', &line)) {
		struct span kept = buf_span(&p->outcome.irregularities);
		if (kept.n < line.n || memmem(kept.p, kept.n, line.p, line.n) == NULL)
			buf_addf(&p->outcome.irregularities, "%.*s\n", SPAN_FMT(line));
	}
	buf_free(&lines);
}

static void judge_answer(struct play *p, const struct answer *a)
{
	const struct case_step *s = play_step(p);
	struct buf why = { 0 };

	keep_irregularities(p, a);
	if (answer_matches(a, &s->pattern, &p->values, &why) &&
	    answer_passes(a, s->checks, s->check_count, &p->values, &why))
		play_next(p);
	else
		play_unexpected(p, CASE_ON_REPLY, a, buf_cstr(&why));
	buf_free(&why);
}

/* True when a whole reply was there. */
static bool read_answer(struct play_conn *c, bool multi)
{
	bool done;
	size_t n = answer_read(&c->reader, buf_span(&c->in), multi, &done);

	buf_consume(&c->in, n);
	if (n > 0 && c->paused && c->conn != NULL && !c->ended) {
		c->paused = false;
		conn_resume(c->conn);
	}
	return done;
}

void play_conn_expect(struct play *p)
{
	struct play_conn *c = connection(p);
	const struct case_step *s = play_step(p);

	if (read_answer(c, s->pattern.multi))
		judge_answer(p, &c->reader.answer);
	else if (c->ended)
		play_unexpected(p, CASE_ON_CLOSE, NULL, c->failure);
	else if (p->wait != PLAY_WAITS_ANSWER)
		play_await(p, PLAY_WAITS_ANSWER, play_limit_ms(p));
}

void play_conn_await_end(struct play *p)
{
	struct play_conn *c = connection(p);

	if (read_answer(c, false)) {
		struct buf why = { 0 };
		keep_irregularities(p, &c->reader.answer);
		buf_add_cstr(&why, "the server was to close, and said: ");
		answer_brief(&c->reader.answer, &why);
		play_unexpected(p, CASE_ON_REPLY, &c->reader.answer, buf_cstr(&why));
		buf_free(&why);
	} else if (c->ended) {
		play_next(p);
	} else if (p->wait != PLAY_WAITS_END) {
		play_await(p, PLAY_WAITS_END, play_limit_ms(p));
	}
}

/* ---- TLS and the end ---- */

bool play_conn_binding(struct play *p, struct buf *ret_bytes)
{
	const struct play_conn *c = connection(p);
	bool exporter = strcmp(play_step(p)->which, "tls-exporter") == 0;
	uint8_t bytes[CONN_BINDING_BYTES_MAX];
	size_t n = c->conn == NULL || !c->secured
			   ? 0
			   : conn_tls_binding(c->conn, exporter ? CONN_BINDING_EXPORTER : CONN_BINDING_UNIQUE,
					      bytes);

	buf_add(ret_bytes, (struct span){ (const char *)bytes, n });
	return n > 0;
}

void play_conn_starttls(struct play *p)
{
	struct play_conn *c = connection(p);

	if (p->wait == PLAY_RUNS && !c->ended) {
		char line[120];
		size_t dropped = conn_start_tls(c->conn, tls_of(c), CONN_TLS_CLIENT, p->o.sut->host);
		dropped += buf_bytes(&c->in);
		if (dropped > 0) {
			(void)snprintf(line, sizeof(line), "%zu bytes came in the clear before the handshake",
				       dropped);
			note(c, line);
		}
		buf_reset(&c->in);
		c->secured = false;
		play_await(p, PLAY_WAITS_SECURED, play_limit_ms(p));
	}
	if (c->secured)
		play_next(p);
	else if (c->ended)
		play_unexpected(p, CASE_ON_CLOSE, NULL, c->failure);
}

void play_conn_close(struct play *p, bool reset)
{
	struct play_conn *c = connection(p);

	if (c->conn == NULL)
		return;
	note(c, reset ? "reset by us" : "closed by us");
	if (reset || c->ended)
		(reset ? conn_reset : conn_free)(c->conn);
	else
		conn_finish(c->conn);
	c->conn = NULL;
	c->open = false;
	c->ended = true;
	(void)snprintf(c->failure, sizeof(c->failure), "the connection is closed");
}
