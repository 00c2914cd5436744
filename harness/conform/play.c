#include "harness/conform/play.h"

#include "harness/conform/derive.h"
#include "harness/conform/play_parts.h"
#include "harness/wire/base64.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void advance(void *ctx);
static void on_timer(void *ctx);
static void on_overall(void *ctx);

int64_t play_now(void)
{
	return clock_mono_ns();
}

const struct case_step *play_step(const struct play *p)
{
	uint32_t last = p->file->step_count - 1;

	return &p->file->steps[p->at < last ? p->at : last];
}

/* ---- variables that are given ---- */

static void set(struct play *p, const char *name, const char *value)
{
	values_set(&p->values, span_of(name), span_of(value), false);
}

static void set_secret(struct play *p, const char *name, struct span value)
{
	values_set(&p->values, span_of(name), value, true);
	transcript_add_secret(&p->outcome.transcript, value);
}

/* user, password, and what AUTH PLAIN takes (RFC 4616), of one mailbox. */
static void set_account(struct play *p, uint32_t account, const char *suffix)
{
	const struct sut *s = p->o.sut;
	char name[16];
	struct buf plain = { 0 }, encoded = { 0 };

	if (account >= s->account_count)
		return;
	(void)snprintf(name, sizeof(name), "rcpt%s", suffix);
	set(p, name, s->addresses[account]);
	(void)snprintf(name, sizeof(name), "rcpt%s.local", suffix);
	values_set(
		&p->values, span_of(name),
		span_sub(span_of(s->addresses[account]), 0, span_find(span_of(s->addresses[account]), '@')),
		false);
	(void)snprintf(name, sizeof(name), "user%s", suffix);
	set(p, name, s->addresses[account]);
	(void)snprintf(name, sizeof(name), "password%s", suffix);
	set_secret(p, name, span_of(s->passwords[account]));
	buf_add_u8(&plain, 0);
	buf_add_cstr(&plain, s->addresses[account]);
	buf_add_u8(&plain, 0);
	buf_add_cstr(&plain, s->passwords[account]);
	base64_encode(buf_span(&plain), &encoded);
	(void)snprintf(name, sizeof(name), "plain%s", suffix);
	set_secret(p, name, buf_span(&encoded));
	explicit_bzero(plain.p, plain.room);
	buf_free(&plain);
	buf_free(&encoded);
}

/* Of the address that C: speaks to (RFC 5321 4.1.3). */
static void set_literal(struct play *p)
{
	char text[56], literal[72];
	const char *ip = addr_format_ip(&p->o.sut->services[p->file->service].at, text);

	(void)snprintf(literal, sizeof(literal), "[%s%s]", strchr(ip, ':') != NULL ? "IPv6:" : "", ip);
	set(p, "literal", literal);
}

static void set_given(struct play *p)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "c%" PRIx64, p->o.token);
	set(p, "case.id", text);
	(void)snprintf(text, sizeof(text), "s%" PRIx64 "@probe.example", p->o.token);
	set(p, "case.sender", text);
	set(p, "host", p->o.sut->host);
	set(p, "domain", p->o.sut->domain);
	struct span domain = span_of(p->o.sut->domain);
	values_set(&p->values, SPAN_LIT("domain.label"), span_sub(domain, 0, span_find(domain, '.')), false);
	set_literal(p);
	set(p, "elsewhere", "nobody@elsewhere.example");
	if (p->file->role == CASE_ROLE_CLIENT && p->o.first_account + 1 < p->o.sut->account_count) {
		set(p, "sender", p->o.sut->addresses[p->o.first_account]);
		set(p, "sender2", p->o.sut->addresses[p->o.first_account + 1]);
		char ip[56];
		set(p, "host.ip", addr_format_ip(&p->o.sut->services[p->file->service].at, ip));
	}
	if (p->o.sut->lists != NULL && p->o.first_account + 1 < p->o.sut->account_count)
		set(p, "list", p->o.sut->lists[p->o.first_account / 2]);
	set_account(p, p->o.first_account, "");
	set_account(p, p->o.first_account + 1, "2");
}

int64_t play_limit_ms(const struct play *p)
{
	return sut_limit_ms(p->o.sut, p->file, play_step(p));
}

/* ---- life ---- */

struct play *play_new(const struct play_options *o)
{
	struct play *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	p->o = *o;
	p->file = o->file;
	p->o.trusted = o->trusted || o->file->role == CASE_ROLE_CLIENT;
	p->timer = timer_new(o->loop, on_timer, p);
	p->overall = timer_new(o->loop, on_overall, p);
	p->task = task_new(o->loop, advance, p);
	for (uint32_t i = 0; i < CASE_CONNECTIONS_MAX; i++)
		p->conns[i] = (struct play_conn){ .play = p, .index = i };
	set_given(p);
	play_world_begin(p);
	return p;
}

void play_start(struct play *p)
{
	p->start_ns = play_now();
	timer_set_ms(p->overall, PLAY_MAX_MS);
	play_poke(p);
}

struct play_outcome *play_outcome(struct play *p)
{
	return &p->outcome;
}

const struct answer *play_last_answer(const struct play *p)
{
	return &p->conns[0].reader.answer;
}

void play_outcome_free(struct play_outcome *o)
{
	buf_free(&o->irregularities);
	transcript_free(&o->transcript);
}

static void drop_all(struct play *p)
{
	for (uint32_t i = 0; i < CASE_CONNECTIONS_MAX; i++)
		play_conn_drop(&p->conns[i]);
	play_mailbox_end(p);
	play_world_end(p);
}

void play_free(struct play *p)
{
	if (p == NULL)
		return;
	drop_all(p);
	play_server_forget(p);
	for (uint32_t i = 0; i < CASE_CONNECTIONS_MAX; i++) {
		buf_free(&p->conns[i].in);
		answer_reader_free(&p->conns[i].reader);
	}
	timer_free(p->timer);
	timer_free(p->overall);
	task_free(p->task);
	values_free(&p->values);
	play_outcome_free(&p->outcome);
	free(p);
}

void play_poke(struct play *p)
{
	if (p->wait != PLAY_IS_OVER)
		task_schedule(p->task);
}

void play_await(struct play *p, enum play_wait wait, int64_t within_ms)
{
	p->wait = wait;
	timer_set_ms(p->timer, within_ms);
}

void play_next(struct play *p)
{
	timer_clear(p->timer);
	p->wait = PLAY_RUNS;
	p->at++;
	p->segment = 0;
	p->segment_paused = false;
	play_poke(p);
}

/* ---- outcomes ---- */

static void end(struct play *p)
{
	p->wait = PLAY_IS_OVER;
	timer_clear(p->timer);
	timer_clear(p->overall);
	drop_all(p);
	p->outcome.elapsed_ms = (play_now() - p->start_ns) / 1000000;
	task_schedule(p->task); /* done is told from there */
}

void play_finish(struct play *p, enum conform_verdict v, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	if (p->wait == PLAY_IS_OVER)
		return;
	p->outcome.verdict = v;
	p->outcome.line = line;
	va_start(ap, fmt);
	(void)vsnprintf(p->outcome.why, sizeof(p->outcome.why), fmt, ap);
	va_end(ap);
	end(p);
}

static void judge_against(struct play *p, uint32_t line, const char *text, const char *why)
{
	const struct case_section *section = &p->file->sections[play_step(p)->section];

	p->outcome.req = section->req;
	const char *colon = *text != '\0' && *why != '\0' ? ": " : "";
	play_finish(p, conform_failure(p->file->reqs[section->req].level), line, "%s%s%s", text, colon, why);
}

/* No alternative of a step means this: a relay in a frenzy passes nothing. */
static bool floods(struct play *p)
{
	if (!play_hops_are_flooded(p))
		return false;
	const struct case_step *s = play_step(p);
	if (p->file->sections[s->section].judges)
		judge_against(p, s->line, "", "the relay floods a host of this case");
	else
		play_finish(p, CONFORM_INCONCLUSIVE, s->line,
			    "before the question: the relay floods a host of this case");
	return true;
}

/* Whether what every case asks of a relay holds besides its steps; else the play is over. */
static bool holds_besides(struct play *p)
{
	return p->file->role != CASE_ROLE_CLIENT || (!floods(p) && play_hops_doubles(p));
}

static void decide(struct play *p, const struct case_alternative *a, const char *why)
{
	switch (a->outcome) {
	case CASE_CONTINUE:
		play_next(p);
		return;
	case CASE_PASS:
		if (!holds_besides(p))
			return;
		play_finish(p, CONFORM_PASS, a->line, "%s", a->text);
		return;
	case CASE_FAIL:
		judge_against(p, a->line, a->text, why);
		return;
	case CASE_WARN:
		p->outcome.req = p->file->sections[play_step(p)->section].req;
		play_finish(p, CONFORM_WARN, a->line, "%s: %s", a->text, why);
		return;
	case CASE_NOT_TESTED:
		play_finish(p, CONFORM_NOT_TESTED, a->line, "%s: %s", a->text, why);
		return;
	case CASE_INCONCLUSIVE:
		play_finish(p, CONFORM_INCONCLUSIVE, a->line, "%s: %s", a->text, why);
		return;
	}
}

static bool alternative_fits(struct play *p, const struct case_alternative *a, enum case_event event,
			     const struct answer *answer)
{
	struct buf ignored = { 0 };

	if (a->event == CASE_ON_OTHER)
		return true;
	if (a->event != event)
		return false;
	if (event != CASE_ON_REPLY)
		return true;
	bool fits = answer != NULL && answer_matches(answer, &a->pattern, &p->values, &ignored);
	buf_free(&ignored);
	return fits;
}

void play_unexpected(struct play *p, enum case_event event, const struct answer *answer, const char *why)
{
	const struct case_step *s = play_step(p);
	bool farewell = answer != NULL && strcmp(answer->code, "421") == 0;

	p->outcome.lost = event == CASE_ON_CLOSE;

	for (uint32_t i = 0; i < s->alternative_count; i++) {
		if (!alternative_fits(p, &s->alternatives[i], event, answer))
			continue;
		decide(p, &s->alternatives[i], why);
		return;
	}
	if (!p->file->sections[s->section].judges)
		play_finish(p, CONFORM_INCONCLUSIVE, s->line, "before the question: %s", why);
	else if (farewell)
		play_finish(p, CONFORM_INCONCLUSIVE, s->line, "the server said goodbye: %s", why);
	else
		judge_against(p, s->line, "", why);
}

bool play_expand(struct play *p, const struct case_text *t, struct buf *out)
{
	struct span missing;

	if (values_expand(&p->values, t, out, NULL, &missing))
		return true;
	play_finish(p, CONFORM_ERROR, play_step(p)->line, "${%.*s} has no value on this way through the case",
		    SPAN_FMT(missing));
	return false;
}

/* ---- steps ---- */

static void take_value(struct play *p, struct span value, bool secret)
{
	const struct case_step *s = play_step(p);

	values_set(&p->values, span_of(s->name), value, secret);
	if (secret)
		transcript_add_secret(&p->outcome.transcript, value);
	if (value.n > CASE_TEXT_BYTES_MAX)
		play_finish(p, CONFORM_ERROR, s->line, "${%s} is longer than 1 MiB", s->name);
	else
		play_next(p);
}

static void let(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct buf texts[CASE_OPERANDS_MAX] = { 0 }, value = { 0 };
	struct span operands[CASE_OPERANDS_MAX] = { 0 }, missing;
	bool secret = false, known = true;
	struct err e;

	for (uint32_t i = 0; i < s->operand_count && known; i++) {
		known = values_expand(&p->values, &s->operands[i], &texts[i], &secret, &missing);
		operands[i] = buf_span(&texts[i]);
	}
	if (!known)
		play_finish(p, CONFORM_ERROR, s->line, "${%.*s} has no value here", SPAN_FMT(missing));
	else if (s->let == CASE_LET_BINDING && !play_conn_binding(p, &value))
		play_unexpected(p, CASE_ON_OTHER, NULL, "this connection has no such channel binding");
	else if (s->let != CASE_LET_BINDING && derive(s, operands, &value, &e) != 0)
		play_unexpected(p, CASE_ON_OTHER, NULL, e.text);
	else
		take_value(p, buf_span(&value), secret);
	for (uint32_t i = 0; i < CASE_OPERANDS_MAX; i++)
		buf_free(&texts[i]);
	buf_free(&value);
}

static void differ(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct buf a = { 0 }, b = { 0 };

	if (play_expand(p, &s->text, &a) && play_expand(p, &s->content, &b)) {
		if (span_eq(buf_span(&a), buf_span(&b)))
			play_unexpected(p, CASE_ON_OTHER, NULL, "both are the same");
		else
			play_next(p);
	}
	buf_free(&a);
	buf_free(&b);
}

/* What is compared, shown in bounds, for it is a server's. */
static void say_compared(struct play *p, const char *what, struct span a, struct span b)
{
	char why[200];

	(void)snprintf(why, sizeof(why), "%s: %.*s, %.*s", what, SPAN_FMT(span_sub(a, 0, 60)),
		       SPAN_FMT(span_sub(b, 0, 60)));
	play_unexpected(p, CASE_ON_OTHER, NULL, why);
}

static void match(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct buf text = { 0 };

	if (play_expand(p, &s->text, &text)) {
		if (values_match(&p->values, &s->pattern.text, buf_span(&text)))
			play_next(p);
		else
			say_compared(p, "it is another", buf_span(&text), (struct span){ 0 });
	}
	buf_free(&text);
}

/* number and length */
static void compare(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct buf text = { 0 }, limit = { 0 };
	uint64_t a = 0, b = 0;

	if (play_expand(p, &s->text, &text) && play_expand(p, &s->content, &limit)) {
		bool length = s->kind == CASE_LENGTH;
		bool numbers =
			span_to_u64(buf_span(&limit), &b) && (length || span_to_u64(buf_span(&text), &a));
		if (length)
			a = buf_bytes(&text);
		if (numbers && case_compare(a, s->op, b))
			play_next(p);
		else
			say_compared(p, numbers ? "the comparison does not hold" : "no numbers",
				     buf_span(&text), buf_span(&limit));
	}
	buf_free(&text);
	buf_free(&limit);
}

/* ---- what each kind of step does: it is begun, or looked at again when it waits ---- */

static void do_connect(struct play *p)
{
	const struct case_step *s = play_step(p);

	if (p->wait == PLAY_RUNS)
		play_conn_open(p, s->connection, s->service);
	if (p->wait != PLAY_IS_OVER && play_conn_ready(p))
		play_next(p);
}

static void do_send(struct play *p)
{
	/* It may be mail, so what was settled is open again. */
	p->world.settle = PLAY_UNSETTLED;
	p->world.submits = true;
	if (play_conn_ready(p))
		play_conn_send(p);
}

static void do_expect(struct play *p)
{
	if (play_conn_ready(p))
		play_conn_expect(p);
}

static void do_starttls(struct play *p)
{
	if (play_conn_ready(p))
		play_conn_starttls(p);
}

static void do_close(struct play *p)
{
	play_conn_close(p, play_step(p)->kind == CASE_RESET);
	play_next(p);
}

static void do_await_end(struct play *p)
{
	if (play_conn_ready(p))
		play_conn_await_end(p);
}

static void do_server(struct play *p)
{
	if (p->wait == PLAY_RUNS)
		play_server(p);
}

static void carry_out(struct play *p)
{
	static void (*const DEEDS[CASE_STEP_KIND_COUNT])(struct play *) = {
		[CASE_CONNECT] = do_connect,
		[CASE_SEND] = do_send,
		[CASE_EXPECT] = do_expect,
		[CASE_STARTTLS] = do_starttls,
		[CASE_CLOSE] = do_close,
		[CASE_RESET] = do_close,
		[CASE_CLOSED] = do_await_end,
		[CASE_LET] = let,
		[CASE_DIFFER] = differ,
		[CASE_MATCH] = match,
		[CASE_NUMBER] = compare,
		[CASE_LENGTH] = compare,
		[CASE_MAIL] = play_mailbox_mail,
		[CASE_STORED] = play_mailbox_look,
		[CASE_NOT_STORED] = play_mailbox_look,
		[CASE_BOUNCED] = play_mailbox_look,
		[CASE_NOTIFIED] = play_mailbox_look,
		[CASE_NOT_BOUNCED] = play_mailbox_look,
		[CASE_NOT_NOTIFIED] = play_mailbox_look,
		[CASE_SERVER] = do_server,
		[CASE_NEXT_HOP] = play_hops_open,
		[CASE_POLICY_HOST] = play_policy_host,
		[CASE_ZONE] = play_hops_zone,
		[CASE_SUBMIT] = play_relay_submit,
		[CASE_RECEIVED] = play_relay_judge,
		[CASE_NOT_RECEIVED] = play_relay_judge,
		[CASE_HEARD] = play_relay_judge,
		[CASE_NOT_HEARD] = play_relay_judge,
		[CASE_CONNECTED] = play_relay_judge,
		[CASE_NOT_CONNECTED] = play_relay_judge,
		[CASE_SECURED] = play_relay_judge,
		[CASE_ASKED] = play_relay_judge,
		[CASE_NOT_ASKED] = play_relay_judge,
		[CASE_QUEUED] = play_relay_judge,
		[CASE_NOT_QUEUED] = play_relay_judge,
	};
	enum case_step_kind kind = play_step(p)->kind;

	assert(kind < CASE_STEP_KIND_COUNT && DEEDS[kind] != NULL);
	DEEDS[kind](p);
}

static void advance(void *ctx)
{
	struct play *p = ctx;

	if (p->wait == PLAY_IS_OVER) {
		if (play_server_is_back(p))
			p->o.done(p->o.ctx, p);
		return;
	}
	if (p->at == p->file->step_count) {
		if (!holds_besides(p))
			return;
		play_finish(p, CONFORM_PASS, 0, "%s", "");
		return;
	}
	p->wrote_on = 0;
	if (p->wait == PLAY_WAITS_MAILBOX || p->wait == PLAY_WAITS_CHILD || p->wait == PLAY_WAITS_RELAY) {
		if (floods(p))
			return;
		(case_step_is_mailbox(play_step(p)->kind) ? play_mailbox_go_on : play_relay_go_on)(p);
		return;
	}
	/* What follows without waiting is done in this round: lines that a case sends together leave together. */
	uint32_t at;
	do {
		at = p->at;
		carry_out(p);
	} while (p->wait == PLAY_RUNS && p->at != at && p->at < p->file->step_count);
}

static void on_timer(void *ctx)
{
	struct play *p = ctx;
	const struct case_step *s = play_step(p);
	char why[120];

	if (p->wait == PLAY_WAITS_PAUSE) {
		p->wait = PLAY_RUNS;
		play_poke(p);
		return;
	}
	if (p->wait == PLAY_WAITS_MAILBOX || p->wait == PLAY_WAITS_CHILD || p->wait == PLAY_WAITS_RELAY) {
		play_poke(p); /* the deadline decides there */
		return;
	}
	const char *what = p->wait == PLAY_WAITS_OPEN      ? "no connection"
			   : p->wait == PLAY_WAITS_DRAINED ? "the server did not read what was sent"
			   : p->wait == PLAY_WAITS_SECURED ? "the TLS handshake did not end"
			   : p->wait == PLAY_WAITS_END     ? "the server did not close"
			   : p->wait == PLAY_WAITS_SERVER  ? "the server was not ready"
			   : p->wait == PLAY_WAITS_KILL    ? "no next hop came to kill the relay"
							   : "no reply";
	(void)snprintf(why, sizeof(why), "%s within %.3g s", what, (double)play_limit_ms(p) / 1000);
	transcript_note(&p->outcome.transcript, play_now(), s->connection, "%s", why);
	play_unexpected(p, CASE_ON_TIMEOUT, NULL, why);
}

static void on_overall(void *ctx)
{
	struct play *p = ctx;
	uint32_t line = p->at < p->file->step_count ? play_step(p)->line : 0;

	play_finish(p, CONFORM_INCONCLUSIVE, line, "the case took longer than %d minutes",
		    PLAY_MAX_MS / 60000);
}
