#include "harness/conform/probe.h"

#include "harness/conform/play.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUESTION_COUNT = CASE_SERVICE_COUNT * 2 }; /* in the clear, then behind STARTTLS or STLS */

struct probe {
	struct loop *loop;
	struct sut *sut;
	probe_done_fn *done;
	void *ctx;
	uint32_t at; /* question */
	struct case_file *file;
	struct play *play;
	struct task *task;
	uint32_t answered;
	char problem[400];
};

static enum case_service service_of(const struct probe *p)
{
	return (enum case_service)(p->at / 2);
}

static bool behind_tls(const struct probe *p)
{
	return p->at % 2 == 1;
}

static void make_question(const struct probe *p, struct buf *out)
{
	enum case_service s = service_of(p);
	const char *hello = s == CASE_LMTP ? "C: LHLO probe.example\nS: 250 ...\n"
					   : "C: EHLO probe.example\nS: 250 ...\n";
	const char *start_tls = "C: STARTTLS\nS: 220 ...\nstarttls\n";

	buf_addf(out,
		 "case: probe\ntitle: what is offered\nreq: RFC5321-probe IMPLIED\nrole: server\nneeds: "
		 "%s\n== verdict\n",
		 case_service_name(s));
	if (case_service_is_pop3(s)) {
		hello = "C: CAPA\nS: +OK multi ...\n";
		start_tls = "C: STLS\nS: +OK ...\nstarttls\n";
		buf_add_cstr(out, "S: +OK ...\n");
	} else {
		buf_add_cstr(out, "S: 220 ...\n");
	}
	if (behind_tls(p))
		buf_addf(out, "%s%s", case_service_is_pop3(s) ? "" : hello, start_tls);
	buf_add_cstr(out, hello);
}

/* The first line of EHLO's reply is no keyword. */
static void keep_keywords(struct probe *p, const struct answer *a)
{
	struct buf *out = &p->sut->services[service_of(p)].keywords;
	struct span rest = buf_span(&a->text), line;

	if (a->pop3) {
		rest = buf_span(&a->data);
		while (span_take_until(&rest, '\n', &line))
			buf_addf(out, "%.*s\n", SPAN_FMT(span_sub(line, 0, line.n > 0 ? line.n - 1 : 0)));
		return;
	}
	rest = span_sub(rest, span_find(rest, '\n') + 1, rest.n);
	while (rest.n > 0) {
		size_t n = span_find(rest, '\n');
		buf_addf(out, "%.*s\n", SPAN_FMT(span_sub(rest, 0, n)));
		rest = span_sub(rest, n + 1, rest.n);
	}
}

static void on_play(void *ctx, struct play *play)
{
	struct probe *p = ctx;
	const struct play_outcome *o = play_outcome(play);

	if (o->verdict == CONFORM_PASS) {
		keep_keywords(p, play_last_answer(play));
		p->answered += !behind_tls(p);
	} else if (p->problem[0] == '\0') {
		(void)snprintf(p->problem, sizeof(p->problem), "%s: %.300s", case_service_name(service_of(p)),
			       o->why);
	}
	p->at++;
	task_schedule(p->task);
}

static void end_question(struct probe *p)
{
	play_free(p->play);
	case_free(p->file);
	p->play = NULL;
	p->file = NULL;
}

static bool is_to_ask(const struct probe *p)
{
	enum case_service s = service_of(p);
	const char *keyword = case_service_is_pop3(s) ? "STLS" : "STARTTLS";

	return p->sut->services[s].there &&
	       (!behind_tls(p) || (!case_service_has_tls(s) && sut_offers(p->sut, s, keyword)));
}

static void ask(void *ctx)
{
	struct probe *p = ctx;
	struct buf text = { 0 }, messages = { 0 };

	end_question(p);
	while (p->at < QUESTION_COUNT && !is_to_ask(p))
		p->at++;
	if (p->at == QUESTION_COUNT) {
		p->done(p->ctx, p);
		return;
	}
	make_question(p, &text);
	p->file = case_read(&(struct case_options){
		.path = "probe", .text = buf_span(&text), .ret_messages = &messages });
	if (p->file == NULL)
		abort(); /* our own text */
	p->play = play_new(&(struct play_options){ .loop = p->loop,
						   .file = p->file,
						   .sut = p->sut,
						   .first_account = p->sut->account_count,
						   .done = on_play,
						   .ctx = p });
	play_start(p->play);
	buf_free(&text);
	buf_free(&messages);
}

struct probe *probe_new(struct loop *l, struct sut *sut, probe_done_fn *done, void *ctx)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	*p = (struct probe){ .loop = l, .sut = sut, .done = done, .ctx = ctx };
	p->task = task_new(l, ask, p);
	task_schedule(p->task);
	return p;
}

uint32_t probe_answered_count(const struct probe *p)
{
	return p->answered;
}

const char *probe_problem(const struct probe *p)
{
	return p->problem;
}

void probe_free(struct probe *p)
{
	if (p == NULL)
		return;
	end_question(p);
	task_free(p->task);
	free(p);
}
