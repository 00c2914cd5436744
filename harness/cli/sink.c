#include "harness/cli/sink.h"

#include "base/loop.h"
#include "base/opt.h"
#include "base/unit.h"
#include "harness/peer/sink.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EXIT_USAGE = 2,
	GOODBYE_MS = 2000, /* how long clients have to say QUIT once --count was reached */
	RULES_MAX = 64,
	REPLY_CHARS_MAX = 400,
};

struct work {
	struct loop *loop;
	struct timer *stop;
	uint32_t count; /* 0: for ever */
	bool json;
	bool show;
	struct sink_rule rules[RULES_MAX];
	char replies[RULES_MAX][REPLY_CHARS_MAX];
	uint32_t rule_count;
};

/* Those at which something can be said: in a handshake nothing can. */
static const char *const STAGES[SINK_STAGE_COUNT] = {
	[SINK_GREETING] = "greeting", [SINK_HELLO] = "hello", [SINK_STARTTLS] = "starttls",
	[SINK_MAIL] = "mail",         [SINK_RCPT] = "rcpt",   [SINK_DATA] = "data",
	[SINK_CHUNK] = "chunk",       [SINK_FINAL] = "final", [SINK_RSET] = "rset",
	[SINK_QUIT] = "quit",
};

static void on_message(void *ctx, const struct sink_message *m)
{
	struct work *w = ctx;
	if (w->show) {
		(void)printf("message %u: <%.*s> to", m->nth, SPAN_FMT(m->reverse_path));
		for (uint32_t i = 0; i < m->recipient_count; i++)
			(void)printf(" <%.*s>", SPAN_FMT(m->recipients[i]));
		(void)printf(", %llu bytes\n", (unsigned long long)m->content_bytes);
		(void)fflush(stdout);
	}
	if (w->count > 0 && m->nth == w->count)
		timer_set_ms(w->stop, GOODBYE_MS);
}

static void on_quiet(void *ctx)
{
	struct work *w = ctx;
	if (timer_is_set(w->stop))
		timer_set_ms(w->stop, 0); /* the next round; this one writes the last reply */
}

static void on_stop(void *ctx)
{
	loop_stop(ctx);
}

static void on_signal(void *ctx, int signo)
{
	(void)signo;
	loop_stop(ctx);
}

/* ---- rules: "rcpt=450 4.2.1 busy", "final=20ms" ---- */
static struct sink_rule *new_rule(struct work *w, const char *text, struct span *ret_rest)
{
	struct span rest = span_of(text), name;
	if (w->rule_count == RULES_MAX || !span_take_until(&rest, '=', &name))
		return NULL;
	for (unsigned i = 0; i < SINK_STAGE_COUNT; i++) {
		if (STAGES[i] == NULL || !span_eq(name, span_of(STAGES[i])))
			continue;
		*ret_rest = rest;
		/* A delay and a reply for one stage belong together. */
		for (uint32_t k = 0; k < w->rule_count; k++)
			if (w->rules[k].stage == (enum sink_stage)i)
				return &w->rules[k];
		struct sink_rule *r = &w->rules[w->rule_count++];
		r->stage = (enum sink_stage)i;
		return r;
	}
	return NULL;
}

static bool add_reply(struct work *w, const char *text)
{
	struct span rest;
	uint64_t code;
	struct sink_rule *r = new_rule(w, text, &rest);
	if (r == NULL)
		return false;
	if (span_eq(rest, SPAN_LIT("close")) || span_eq(rest, SPAN_LIT("reset")) ||
	    span_eq(rest, SPAN_LIT("silent"))) {
		r->action = rest.p[0] == 'c' ? SINK_CLOSE : rest.p[0] == 'r' ? SINK_RESET : SINK_SILENT;
		return true;
	}
	char *reply = w->replies[r - w->rules];
	r->reply = reply;
	return rest.n >= 3 && span_to_u64(span_sub(rest, 0, 3), &code) &&
	       span_copy(rest, reply, REPLY_CHARS_MAX);
}

static bool add_delay(struct work *w, const char *text)
{
	struct span rest;
	struct sink_rule *r = new_rule(w, text, &rest);
	return r != NULL && unit_parse_duration_ms(rest, &r->delay_ms);
}

static bool add_rules(struct work *w, const struct opt_list *replies, const struct opt_list *delays)
{
	for (uint32_t i = 0; i < replies->count; i++) {
		if (!add_reply(w, replies->items[i])) {
			(void)fprintf(stderr, "postrider sink: --reply %s: expected STAGE=CODE TEXT\n",
				      replies->items[i]);
			return false;
		}
	}
	for (uint32_t i = 0; i < delays->count; i++) {
		if (!add_delay(w, delays->items[i])) {
			(void)fprintf(stderr, "postrider sink: --delay %s: expected STAGE=TIME\n",
				      delays->items[i]);
			return false;
		}
	}
	return true;
}

/* ---- running ---- */
static int serve(struct work *w, struct sink_options *o)
{
	struct err err;
	char text[56];
	w->loop = loop_new();
	w->stop = timer_new(w->loop, on_stop, w->loop);
	o->loop = w->loop;
	struct sink *s = sink_new(o, &err);
	if (s == NULL) {
		(void)fprintf(stderr, "postrider sink: %s%s\n", err.text,
			      err.code == -EADDRINUSE ? "; port 0 takes a free one" : "");
		timer_free(w->stop);
		loop_free(w->loop);
		return EXIT_USAGE;
	}
	struct signal_watch *interrupt = signal_watch_new(w->loop, SIGINT, on_signal, w->loop);
	struct signal_watch *terminate = signal_watch_new(w->loop, SIGTERM, on_signal, w->loop);
	(void)printf("smtp %s\nready\n", addr_format(sink_addr(s), text));
	(void)fflush(stdout);
	loop_run(w->loop);
	signal_watch_free(interrupt);
	signal_watch_free(terminate);
	(void)printf(w->json ? "{\"messages\":%u,\"content_bytes\":%llu,\"connections\":%llu}\n"
			     : "%u messages, %llu bytes, %llu connections\n",
		     sink_message_count(s), (unsigned long long)sink_content_bytes(s),
		     (unsigned long long)sink_connections_total(s));
	sink_free(s);
	timer_free(w->stop);
	loop_free(w->loop);
	return 0;
}

int cli_sink(int argc, char **argv)
{
	const char *listen = "127.0.0.1:2525", *cert = NULL, *key = NULL;
	struct opt_list replies = { 0 }, delays = { 0 };
	struct work w = { 0 };
	struct sink_options o = { .on_message = on_message, .on_quiet = on_quiet, .ctx = &w };
	struct err err;
	const struct opt options[] = {
		{ "listen", OPT_STR, &listen, .value = "ADDRESS:PORT",
		  .help = "a loopback address, default 127.0.0.1:2525; port 0 picks a free one" },
		{ "count", OPT_U32, &w.count, .value = "N", .help = "end after N messages" },
		{ "show", OPT_FLAG, &w.show, .help = "print a line for every message" },
		{ "json", OPT_FLAG, &w.json, .help = "print the count at the end as JSON, in one line" },
		{ "reply", OPT_LIST, &replies, .value = "STAGE=REPLY",
		  .help = "answer so instead; STAGE is greeting, hello, starttls, mail, rcpt, data, chunk, "
			  "final, rset or quit; REPLY a code with text, or close, reset, silent; "
			  "repeatable" },
		{ "delay", OPT_LIST, &delays, .value = "STAGE=TIME",
		  .help = "answer so much later; repeatable" },
		{ "cert", OPT_STR, &cert, .value = "FILE",
		  .help = "certificate chain (PEM): offers STARTTLS" },
		{ "key", OPT_STR, &key, .value = "FILE", .help = "its private key" },
		{ "implicit-tls", OPT_FLAG, &o.implicit_tls, .help = "TLS from the first byte" },
		{ "lmtp", OPT_FLAG, &o.lmtp,
		  .help = "speak LMTP: each recipient has a final reply of its own" },
		{ "no-pipelining", OPT_FLAG, &o.no_pipelining, .help = "do not offer PIPELINING" },
		{ "no-chunking", OPT_FLAG, &o.no_chunking, .help = "do not offer CHUNKING" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postrider sink",
			.purpose = "Receives messages by SMTP or LMTP and throws them away: a next hop for "
				   "tests by hand, and a measure of how fast a sender can be.",
			.options = options,
			.example = "postrider sink --listen 127.0.0.1:2525 --show\n"
				   "postrider sink --reply 'rcpt=450 4.2.1 busy' --delay final=200ms",
			.exit_codes = "0  ended by --count or a signal\n2  usage or input error, or "
				      "cannot listen there" },
		argc, argv);
	if (rc == OPT_GO) {
		rc = EXIT_USAGE;
		if (!addr_parse_port(listen, &o.at))
			(void)fprintf(stderr, "postrider sink: --listen %s: expected ADDRESS:PORT\n", listen);
		else if ((cert == NULL) != (key == NULL) || (o.implicit_tls && cert == NULL))
			(void)fprintf(stderr, "postrider sink: TLS needs both --cert and --key\n");
		else if (cert != NULL && (o.tls_ctx = tls_server_new(cert, key, &err)) == NULL)
			(void)fprintf(stderr, "postrider sink: %s\n", err.text);
		else if (add_rules(&w, &replies, &delays)) {
			o.rules = w.rules;
			o.rule_count = w.rule_count;
			rc = serve(&w, &o);
		}
		if (o.tls_ctx != NULL)
			tls_free(o.tls_ctx);
	}
	opt_list_free(&replies);
	opt_list_free(&delays);
	return rc;
}
