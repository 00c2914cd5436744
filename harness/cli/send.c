#include "harness/cli/send.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/opt.h"
#include "harness/judge/content.h"
#include "harness/load/hist.h"
#include "harness/load/schedule.h"
#include "harness/load/sender.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EXIT_SOME_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_INTERRUPTED = 130,
	PASSWORD_BYTES_MAX = 4096,
	PROBLEMS_SHOWN_MAX = 5,
	COUNT_MAX = 10000000,
	ID_DIGITS = 9,
	ID_MAX = 1000000000,
	AHEAD = 256, /* messages that are submitted before there is room for them */
};

struct settings {
	struct opt_list to;
	const char *from;
	const char *server;
	uint32_t count;
	uint32_t rate_per_s;
	bool poisson;
	uint64_t bytes;
	uint32_t sessions;
	uint32_t in_flight;
	bool chunking;
	bool lmtp;
	uint32_t tls; /* enum access_tls */
	const char *ca;
	const char *server_name;
	const char *user;
	const char *password_file;
	uint32_t mechanism; /* enum access_mechanism */
	bool no_pipelining;
	bool new_connections;
	uint64_t seed;
	int64_t timeout_ms;
	int64_t retry_for_ms;
	bool allow_remote;
	const char *hlog;
	bool same_content;
	bool json;
	bool quiet;
};

struct work {
	const struct settings *s;
	struct loop *loop;
	struct sender *sender;
	struct buf to_field;
	struct buf content; /* with --same-content, what all messages are copies of */
	size_t content_id;  /* where the digits of their Message-ID are in it */
	uint64_t content_bytes;
	int64_t date_wall_ms;
	struct schedule schedule;
	uint32_t submitted_count;
	int64_t start_ns;
	struct span *recipients;
	struct hist *accept;
	struct hist *ack; /* from the end of the content to its reply */
	struct hist *send_lag;
	uint32_t outcomes[SENDER_INDETERMINATE + 1];
	uint32_t recipients_refused;
	uint32_t problems_shown;
	bool interrupted;
};

static const char *const TLS_CHOICES[] = {
	[ACCESS_PLAIN] = "none", [ACCESS_STARTTLS] = "starttls", [ACCESS_TLS] = "tls", NULL
};
static const char *const MECHANISM_CHOICES[] = { [ACCESS_BEST] = "best",
						 [ACCESS_AUTH_PLAIN] = "plain",
						 [ACCESS_AUTH_LOGIN] = "login",
						 [ACCESS_SCRAM_SHA_256] = "scram-sha-256",
						 NULL };

/* ---- reports ---- */
static void show_problem(struct work *w, const struct sender_report *r)
{
	if (w->s->quiet || w->problems_shown == PROBLEMS_SHOWN_MAX)
		return;
	w->problems_shown++;
	(void)fprintf(stderr, "message %llu: %s at %s", (unsigned long long)r->id,
		      sender_outcome_name(r->outcome), sender_stage_name(r->stage));
	if (r->problem[0] != '\0')
		(void)fprintf(stderr, ": %s\n", r->problem);
	else
		(void)fprintf(stderr, ": %u %.*s\n", r->reply.code,
			      SPAN_FMT(span_sub(r->reply.text, 0, span_find(r->reply.text, '\n'))));
	if (w->problems_shown == PROBLEMS_SHOWN_MAX)
		(void)fprintf(stderr, "(further ones are counted only)\n");
}

static void submit_some(struct work *w);

static void on_report(void *ctx, const struct sender_report *r)
{
	struct work *w = ctx;
	w->outcomes[r->outcome]++;
	if (r->started_ns > 0)
		hist_record(w->send_lag, r->started_ns - r->intended_ns);
	submit_some(w);
	if (r->outcome != SENDER_ACCEPTED) {
		show_problem(w, r);
		return;
	}
	w->content_bytes += r->content_bytes;
	hist_record(w->accept, r->final_reply_ns - r->intended_ns);
	hist_record(w->ack, r->final_reply_ns - r->final_dot_ns);
	for (uint32_t i = 0; i < r->recipient_count; i++)
		w->recipients_refused += r->recipients[i].code / 100 != 2 ? 1 : 0;
}

static void on_idle(void *ctx)
{
	struct work *w = ctx;
	loop_stop(w->loop);
}

static void on_interrupt(void *ctx, int signo)
{
	struct work *w = ctx;
	(void)signo;
	if (w->interrupted)
		loop_stop(w->loop); /* asked twice: what is under way is abandoned */
	w->interrupted = true;
	sender_stop(w->sender);
	submit_some(w); /* to be reported as not sent */
}

/*
 * Making fresh content costs many times what sending it does, and so hides what
 * a server can do: with --same-content only the Message-ID differs.
 */
static void copy_content(struct work *w, uint64_t id, struct buf *ret_message)
{
	char digits[ID_DIGITS + 1];
	buf_add(ret_message, buf_span(&w->content));
	(void)snprintf(digits, sizeof(digits), "%0*llu", ID_DIGITS, (unsigned long long)(id % ID_MAX));
	memcpy(ret_message->p + w->content_id, digits, ID_DIGITS);
}

static void make_content(void *ctx, uint64_t id, struct buf *ret_message)
{
	struct work *w = ctx;
	if (buf_bytes(&w->content) > 0) {
		copy_content(w, id, ret_message);
		return;
	}
	content_make(&(struct content_spec){ .seed = w->s->seed,
					     .id = (uint32_t)id,
					     .from = span_of(w->s->from),
					     .to = buf_span(&w->to_field),
					     .body_bytes = (uint32_t)w->s->bytes,
					     .date_wall_ms = w->date_wall_ms },
		     ret_message);
}

static void keep_content(struct work *w)
{
	static const char FIELD[] = "\r\nMessage-ID: <";
	make_content(w, 0, &w->content);
	buf_add(&w->content, (struct span){ "", 1 }); /* a NUL for strstr, and gone again */
	const char *at = strstr(w->content.p, FIELD);
	buf_truncate(&w->content, buf_bytes(&w->content) - 1);
	/* In front of what stands there, which is the same for all. */
	size_t here = at != NULL ? (size_t)(at - w->content.p) + sizeof(FIELD) - 1 : 0;
	if (here == 0)
		return;
	struct buf whole = { 0 };
	buf_add(&whole, span_sub(buf_span(&w->content), 0, here));
	buf_addf(&whole, "%0*d", ID_DIGITS, 0);
	buf_add(&whole, span_sub(buf_span(&w->content), here, SIZE_MAX));
	buf_free(&w->content);
	w->content = whole;
	w->content_id = here;
}

/* ---- summary ---- */
static json_t *metric_json(const struct hist *h)
{
	if (hist_count(h) == 0)
		return json_null();
	return json_pack("{s:f, s:f, s:f, s:f}", "p50", (double)hist_percentile(h, 50).ns / 1e6, "p90",
			 (double)hist_percentile(h, 90).ns / 1e6, "p99",
			 (double)hist_percentile(h, 99).ns / 1e6, "max",
			 (double)hist_percentile(h, 100).ns / 1e6);
}

static void print_json(const struct work *w, int64_t elapsed_ns)
{
	double seconds = (double)elapsed_ns / 1e9;
	uint32_t total = 0;
	json_t *root = json_object();
	json_t *outcomes = json_object();
	for (unsigned i = 0; i <= SENDER_INDETERMINATE; i++) {
		total += w->outcomes[i];
		(void)json_object_set_new(outcomes, sender_outcome_name((enum sender_outcome)i),
					  json_integer(w->outcomes[i]));
	}
	(void)json_object_set_new(root, "messages", json_integer(total));
	(void)json_object_set_new(root, "outcomes", outcomes);
	(void)json_object_set_new(root, "recipients_refused", json_integer(w->recipients_refused));
	(void)json_object_set_new(root, "content_bytes", json_integer((json_int_t)w->content_bytes));
	(void)json_object_set_new(root, "seconds", json_real(seconds));
	(void)json_object_set_new(root, "accepted_per_s",
				  json_real(seconds > 0 ? w->outcomes[SENDER_ACCEPTED] / seconds : 0));
	(void)json_object_set_new(root, "p99_ms",
				  hist_count(w->accept) > 0
					  ? json_real((double)hist_percentile(w->accept, 99).ns / 1e6)
					  : json_null());
	(void)json_object_set_new(root, "accept_ms", metric_json(w->accept));
	(void)json_object_set_new(root, "ack_ms", metric_json(w->ack));
	(void)json_object_set_new(root, "send_lag_ms", metric_json(w->send_lag));
	(void)json_dumpf(root, stdout, JSON_COMPACT);
	(void)printf("\n");
	json_decref(root);
}

static void print_metric(const char *name, const struct hist *h)
{
	static const double percentiles[] = { 50, 90, 99, 99.9 };
	if (hist_count(h) == 0)
		return;
	(void)printf("%-9s", name);
	for (unsigned i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		(void)printf(" p%g %.3f ms ", percentiles[i],
			     (double)hist_percentile(h, percentiles[i]).ns / 1e6);
	(void)printf(" max %.3f ms\n", (double)hist_percentile(h, 100).ns / 1e6);
}

static void print_summary(const struct work *w, int64_t elapsed_ns)
{
	uint32_t total = 0;
	for (unsigned i = 0; i <= SENDER_INDETERMINATE; i++)
		total += w->outcomes[i];
	(void)printf("%u message%s to %s in %.2f s:", total, total == 1 ? "" : "s", w->s->server,
		     (double)elapsed_ns / 1e9);
	for (unsigned i = 0; i <= SENDER_INDETERMINATE; i++)
		if (w->outcomes[i] > 0 || i == SENDER_ACCEPTED)
			(void)printf(" %u %s", w->outcomes[i], sender_outcome_name((enum sender_outcome)i));
	if (w->recipients_refused > 0)
		(void)printf(" (%u recipient%s of accepted messages refused)", w->recipients_refused,
			     w->recipients_refused == 1 ? "" : "s");
	(void)printf("\n");
	if (w->s->quiet)
		return;
	print_metric("accept", w->accept);
	print_metric("ack", w->ack);
	print_metric("send_lag", w->send_lag);
}

static int write_hlog(const struct work *w, int64_t elapsed_ns, struct err *reterr)
{
	struct buf log = { 0 };
	int64_t elapsed_ms = elapsed_ns / 1000000;
	hlog_begin(&log, w->date_wall_ms, "postrider send " POSTRIDER_VERSION);
	int rc = hlog_add(&log, w->accept, "accept", 0, elapsed_ms, reterr);
	if (rc == 0)
		rc = hlog_add(&log, w->send_lag, "send_lag", 0, elapsed_ms, reterr);
	if (rc == 0)
		rc = file_write(w->s->hlog, buf_span(&log), 0644, reterr);
	buf_free(&log);
	return rc;
}

/* ---- sending ---- */
static int plan(struct work *w, struct err *reterr)
{
	const struct settings *s = w->s;
	int rc = schedule_make(&(struct schedule_options){ .kind = s->rate_per_s == 0 ? SCHEDULE_AT_ONCE
								   : s->poisson       ? SCHEDULE_POISSON
										      : SCHEDULE_CONSTANT,
							   .rate_per_s = s->rate_per_s,
							   .count = s->count,
							   .seed = s->seed },
			       &w->schedule, reterr);
	if (rc < 0)
		return rc;
	w->recipients = calloc(s->to.count, sizeof(w->recipients[0]));
	if (w->recipients == NULL)
		abort();
	for (uint32_t i = 0; i < s->to.count; i++)
		w->recipients[i] = span_of(s->to.items[i]);
	w->start_ns = clock_mono_ns();
	return 0;
}

/* Not all at once: a million messages that wait would only cost memory. */
static void submit_some(struct work *w)
{
	uint32_t room = w->s->sessions * w->s->in_flight + AHEAD;
	while (w->submitted_count < w->schedule.count &&
	       (sender_pending_count(w->sender) < room || w->interrupted)) {
		uint32_t i = w->submitted_count++;
		sender_submit(w->sender,
			      &(struct outgoing){ .id = i,
						  .intended_ns = w->start_ns + w->schedule.at_ns[i],
						  .reverse_path = span_of(w->s->from),
						  .recipients = w->recipients,
						  .recipient_count = w->s->to.count,
						  .make_content = make_content,
						  .make_content_ctx = w });
	}
}

static int run(struct work *w, const struct access *access, struct err *reterr)
{
	const struct settings *s = w->s;
	if (s->same_content)
		keep_content(w);
	w->sender = sender_new(&(struct sender_options){ .loop = w->loop,
							 .access = *access,
							 .connections_max = s->sessions,
							 .in_flight_max = s->in_flight,
							 .chunking = s->chunking,
							 .lmtp = s->lmtp,
							 .no_pipelining = s->no_pipelining,
							 .connection_per_message = s->new_connections,
							 .reply_timeout_ms = s->timeout_ms,
							 .retry_for_ms = s->retry_for_ms,
							 .on_report = on_report,
							 .on_idle = on_idle,
							 .ctx = w },
			       reterr);
	if (w->sender == NULL || plan(w, reterr) < 0)
		return EXIT_USAGE;
	submit_some(w);
	struct signal_watch *interrupt = signal_watch_new(w->loop, SIGINT, on_interrupt, w);
	struct signal_watch *terminate = signal_watch_new(w->loop, SIGTERM, on_interrupt, w);
	loop_run(w->loop);
	int64_t elapsed_ns = clock_mono_ns() - w->start_ns;
	signal_watch_free(interrupt);
	signal_watch_free(terminate);
	if (s->json)
		print_json(w, elapsed_ns);
	else
		print_summary(w, elapsed_ns);
	if (s->hlog != NULL && write_hlog(w, elapsed_ns, reterr) < 0)
		return EXIT_USAGE;
	if (w->interrupted)
		return EXIT_INTERRUPTED;
	return w->outcomes[SENDER_ACCEPTED] == s->count && w->recipients_refused == 0 ? 0 : EXIT_SOME_FAILED;
}

/* ---- options ---- */
static int read_password(const struct settings *s, struct buf *ret_password, struct err *reterr)
{
	const char *from_env = getenv("POSTRIDER_PASSWORD");
	if (s->password_file == NULL && from_env == NULL)
		return err_set(reterr, -1,
			       "--user needs --password-file or POSTRIDER_PASSWORD in the environment");
	if (s->password_file == NULL) {
		buf_add_cstr(ret_password, from_env);
		return 0;
	}
	int rc = file_read(s->password_file, PASSWORD_BYTES_MAX, ret_password, reterr);
	struct span text = buf_span(ret_password);
	while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
		text.n--;
	buf_truncate(ret_password, text.n);
	return rc;
}

static int make_access(const struct settings *s, struct access *a, struct buf *password, struct err *reterr)
{
	if (s->to.count == 0 || s->from == NULL || s->server == NULL)
		return err_set(reterr, -1, "--server, --from and --to are needed; see postrider send --help");
	if (!addr_parse_port(s->server, &a->server))
		return err_set(reterr, -1, "--server %s: expected ADDRESS:PORT; names are not looked up",
			       s->server);
	a->allow_remote = s->allow_remote;
	a->tls = (enum access_tls)s->tls;
	a->mechanism = (enum access_mechanism)s->mechanism;
	a->server_name = s->server_name;
	if (s->user != NULL && read_password(s, password, reterr) < 0)
		return -1;
	if (s->user != NULL) {
		a->user = s->user;
		a->password = buf_cstr(password);
	}
	if (a->tls == ACCESS_PLAIN)
		return 0;
	a->tls_ctx = tls_client_new(s->ca, reterr);
	return a->tls_ctx != NULL ? 0 : -1;
}

static int send_with(const struct settings *s)
{
	struct work w = { .s = s, .date_wall_ms = clock_wall_ms() };
	struct access access = { 0 };
	struct buf password = { 0 };
	struct err err = { 0 };
	int rc = EXIT_USAGE;
	if (make_access(s, &access, &password, &err) == 0) {
		w.loop = loop_new();
		w.accept = hist_new();
		w.ack = hist_new();
		w.send_lag = hist_new();
		for (uint32_t i = 0; i < s->to.count; i++)
			buf_addf(&w.to_field, "%s%s", i > 0 ? ", " : "", s->to.items[i]);
		rc = run(&w, &access, &err);
		sender_free(w.sender);
		hist_free(w.accept);
		hist_free(w.ack);
		hist_free(w.send_lag);
		buf_free(&w.to_field);
		buf_free(&w.content);
		schedule_free(&w.schedule);
		free(w.recipients);
		loop_free(w.loop);
	}
	if (rc == EXIT_USAGE)
		(void)fprintf(stderr, "postrider send: %s\n", err.text);
	if (access.tls_ctx != NULL)
		tls_free(access.tls_ctx);
	if (password.p != NULL)
		OPENSSL_cleanse(password.p, password.room);
	buf_free(&password);
	return rc;
}

int cli_send(int argc, char **argv)
{
	struct settings s = {
		.count = 1, .bytes = 1024, .sessions = 1, .in_flight = 1, .seed = 1, .timeout_ms = 60000
	};
	const struct opt options[] = {
		{ "server", OPT_STR, &s.server, .value = "ADDRESS:PORT", .help = "where to send; needed" },
		{ "from", OPT_STR, &s.from, .value = "ADDRESS",
		  .help = "reverse-path and From field; needed" },
		{ "to", OPT_LIST, &s.to, .value = "ADDRESS", .help = "recipient; needed, repeatable" },
		{ "count", OPT_U32, &s.count, .value = "N", .help = "messages, default 1", .min = 1,
		  .max = COUNT_MAX },
		{ "rate", OPT_U32, &s.rate_per_s, .value = "N",
		  .help = "messages per second, on a schedule that a slow server does not change; default: "
			  "all "
			  "at once" },
		{ "poisson", OPT_FLAG, &s.poisson, .help = "random gaps with --rate, instead of equal ones" },
		{ "size", OPT_SIZE_BYTES, &s.bytes, .value = "BYTES", .help = "of the body, default 1KiB",
		  .min = 1, .max = 64 * 1024 * 1024 },
		{ "sessions", OPT_U32, &s.sessions, .value = "N",
		  .help = "connections at the same time, default 1", .min = 1,
		  .max = SENDER_CONNECTIONS_MAX },
		{ "in-flight", OPT_U32, &s.in_flight, .value = "N",
		  .help = "messages of one connection under way before their replies came, where the server "
			  "offers PIPELINING; default 1",
		  .min = 1, .max = SENDER_IN_FLIGHT_MAX },
		{ "chunking", OPT_FLAG, &s.chunking,
		  .help = "BDAT instead of DATA where the server offers it" },
		{ "lmtp", OPT_FLAG, &s.lmtp,
		  .help = "speak LMTP: each recipient has a final reply of its own" },
		{ "new-connections", OPT_FLAG, &s.new_connections, .help = "one connection per message" },
		{ "no-pipelining", OPT_FLAG, &s.no_pipelining,
		  .help = "one command at a time, even where not needed" },
		{ "tls", OPT_CHOICE, &s.tls, .value = "HOW", .choices = TLS_CHOICES,
		  .help = "none, starttls or tls (from the first byte); default none" },
		{ "ca", OPT_STR, &s.ca, .value = "FILE",
		  .help = "certificates to trust (PEM); without it any certificate will do" },
		{ "server-name", OPT_STR, &s.server_name, .value = "NAME",
		  .help = "name that the server's certificate must bear" },
		{ "user", OPT_STR, &s.user, .value = "NAME", .help = "log in as" },
		{ "password-file", OPT_STR, &s.password_file, .value = "FILE",
		  .help = "file with the password; default: the environment's POSTRIDER_PASSWORD" },
		{ "auth", OPT_CHOICE, &s.mechanism, .value = "MECHANISM", .choices = MECHANISM_CHOICES,
		  .help = "best, plain, login or scram-sha-256; default best" },
		{ "seed", OPT_U64, &s.seed, .value = "N", .help = "for content and random gaps, default 1" },
		{ "timeout", OPT_DURATION_MS, &s.timeout_ms, .value = "TIME",
		  .help = "for each reply, default 60s", .min = 1 },
		{ "retry", OPT_DURATION_MS, &s.retry_for_ms, .value = "TIME",
		  .help = "try again for so long when the server is down or says 4xx; default: do not" },
		{ "allow-remote", OPT_FLAG, &s.allow_remote,
		  .help = "send to a server that is not on this machine" },
		{ "hlog", OPT_STR, &s.hlog, .value = "FILE",
		  .help = "write the latencies as an HdrHistogram log" },
		{ "same-content", OPT_FLAG, &s.same_content,
		  .help = "all messages are alike but for their Message-ID: costs the sender much less" },
		{ "json", OPT_FLAG, &s.json, .help = "print the summary as JSON, in one line" },
		{ "quiet", OPT_FLAG, &s.quiet, .help = "the summary line only" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postrider send",
			.purpose = "Sends generated messages to an SMTP or LMTP server and says how many it "
				   "accepted "
				   "and how "
				   "long each took from its intended time to the final reply. Only servers "
				   "on this "
				   "machine are contacted unless --allow-remote is given.",
			.options = options,
			.example = "postrider send --server 127.0.0.1:2525 --from barney@isp2.example "
				   "--to sales@fredsco.example --count 1000 --rate 200 --sessions 8",
			.exit_codes =
				"0    all accepted, for every recipient\n1    some were not\n2    usage or "
				"input error\n130  interrupted" },
		argc, argv);
	if (rc == OPT_GO)
		rc = send_with(&s);
	opt_list_free(&s.to);
	return rc;
}
