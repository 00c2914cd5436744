#include "reference-server/drive/metrics.h"

#include "base/log.h"
#include "reference-server/drive/load.h"
#include "reference-server/drive/pop3_session.h"
#include "reference-server/drive/relay.h"
#include "reference-server/drive/smtp_session.h"
#include "reference-server/store/queue.h"

#include <inttypes.h>
#include <sys/resource.h>

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_addf(b, "# HELP postriderd_%s %s\n# TYPE postriderd_%s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, uint64_t value)
{
	head(b, name, type, help);
	buf_addf(b, "postriderd_%s %" PRIu64 "\n", name, value);
}

static void labelled(struct buf *b, const char *name, const char *label, const char *value_of_label,
		     uint64_t value)
{
	buf_addf(b, "postriderd_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value_of_label, value);
}

static void add_mail(struct buf *b, const struct counters *c)
{
	one(b, "messages_accepted_total", "counter", "Messages that are durable and were answered with 250.",
	    c->messages_accepted);
	one(b, "accepted_bytes_total", "counter", "Bytes of these.", c->accepted_bytes);
	head(b, "refused_total", "counter", "Recipients and messages that were refused.");
	labelled(b, "refused_total", "what", "recipient", c->recipients_refused);
	labelled(b, "refused_total", "what", "content", c->content_refused);
	labelled(b, "refused_total", "what", "storage", c->not_stored);
	one(b, "delivered_total", "counter", "Recipients delivered to, here or at a next hop.", c->delivered);
	one(b, "deferred_total", "counter", "Attempts for a recipient that will be made again.", c->deferred);
	one(b, "failed_total", "counter", "Recipients that cannot have it.", c->failed);
	one(b, "expired_total", "counter", "Recipients given up after too long a time.", c->expired);
	one(b, "bounced_total", "counter", "Notifications made for senders.", c->bounced);
}

static bool note_first(void *ctx, uint64_t id, const struct envelope_glance *g)
{
	(void)id;
	*(int64_t *)ctx = g->arrival_wall_ms;
	return false;
}

static void add_queue(struct buf *b, struct server *s)
{
	struct relay_counts n = relay_counts(s->relay);
	uint64_t total = queue_count(s->store), others = n.active + n.waiting + n.held;
	int64_t arrival_wall_ms = 0, age_ms = 0;

	head(b, "queue_messages", "gauge", "Messages in the queue, by state.");
	labelled(b, "queue_messages", "state", "active", n.active);
	labelled(b, "queue_messages", "state", "waiting", n.waiting);
	labelled(b, "queue_messages", "state", "held", n.held);
	labelled(b, "queue_messages", "state", "deferred", total > others ? total - others : 0);
	if (queue_scan(s->store, 0, note_first, &arrival_wall_ms) == 0 && arrival_wall_ms > 0)
		age_ms = clock_wall_ms() - arrival_wall_ms;
	head(b, "queue_oldest_age_seconds", "gauge", "Age of the message that has been here longest.");
	buf_addf(b, "postriderd_queue_oldest_age_seconds %.3f\n", age_ms > 0 ? (double)age_ms / 1000 : 0.0);
}

static void add_connections(struct buf *b, const struct server *s)
{
	const struct counters *c = &s->counters;

	head(b, "connections_total", "counter", "Connections that came in, by service.");
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		labelled(b, "connections_total", "service", service_name((enum service)i), c->connections[i]);
	one(b, "connections_refused_total", "counter", "Connections refused because there were too many.",
	    c->connections_refused);
	one(b, "connections_refused_address_total", "counter",
	    "Connections refused because their address had too many.", c->connections_refused_address);
	one(b, "early_talkers_total", "counter", "Sessions that spoke before the greeting.",
	    c->early_talkers);
	one(b, "pipelined_early_total", "counter", "Groups of commands that went on where they had to end.",
	    c->pipelined_early);
	one(b, "sessions_ended_for_memory_total", "counter", "Sessions ended because all held too much.",
	    c->sessions_ended_for_memory);
	one(b, "client_buffer_bytes", "gauge", "What sessions hold of input, replies and content.",
	    load_held_bytes(s->load));
	head(b, "sessions", "gauge", "Sessions open now.");
	labelled(b, "sessions", "protocol", "smtp", smtp_session_count());
	labelled(b, "sessions", "protocol", "pop3", pop3_session_count());
	one(b, "outbound_connections", "gauge", "Connections to next hops open now.",
	    relay_counts(s->relay).connections);
	head(b, "tls_handshakes_total", "counter", "TLS handshakes that succeeded.");
	labelled(b, "tls_handshakes_total", "direction", "in", c->tls_in);
	labelled(b, "tls_handshakes_total", "direction", "out", c->tls_out);
	head(b, "logins_total", "counter", "Logins, by result.");
	labelled(b, "logins_total", "result", "ok", c->auth_ok);
	labelled(b, "logins_total", "result", "failed", c->auth_failed);
}

static void add_store(struct buf *b, const struct server *s)
{
	struct store_stats st = store_stats(s->store);

	one(b, "store_commits_total", "counter", "Transactions committed and synced.", st.commit_count);
	head(b, "store_commit_seconds_total", "counter", "Time they took, syncs included.");
	buf_addf(b, "postriderd_store_commit_seconds_total %.9f\n", (double)st.commit_ns / 1e9);
	one(b, "store_operations_total", "counter", "Changes that were made durable.", st.op_count);
	one(b, "store_failures_total", "counter", "Changes that were reported as failed.", st.failed_count);
	one(b, "store_used_bytes", "gauge", "Live pages of the store.", st.used_bytes);
	one(b, "store_map_bytes", "gauge", "The most the store may grow to.", st.map_bytes);
	one(b, "store_full", "gauge", "Whether new mail is refused for want of space.", st.full);
	one(b, "store_retrying", "gauge", "Changes that wait for the disk to work again.", st.retrying_count);
	one(b, "unacknowledged_messages", "gauge", "Messages received whose 250 is not out yet.",
	    s->unacknowledged_count);
}

static double seconds_of(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void add_process(struct buf *b)
{
	struct rusage u = { 0 };

	(void)getrusage(RUSAGE_SELF, &u);
	head(b, "cpu_seconds_total", "counter", "Processor time of this process.");
	buf_addf(b, "postriderd_cpu_seconds_total %.6f\n", seconds_of(u.ru_utime) + seconds_of(u.ru_stime));
	one(b, "log_dropped_total", "counter", "Log lines that could not be written.", log_dropped_count());
	head(b, "build_info", "gauge", "Always 1; the version is in the label.");
	labelled(b, "build_info", "version", POSTRIDER_VERSION, 1);
}

void metrics_add(struct server *s, struct buf *text)
{
	add_mail(text, &s->counters);
	add_queue(text, s);
	add_connections(text, s);
	add_store(text, s);
	add_process(text);
}

unsigned metrics_answer(void *ctx, struct span path, struct buf *text, const char **ret_content_type)
{
	struct server *s = ctx;

	if (span_eq(path, SPAN_LIT("/metrics"))) {
		*ret_content_type = "text/plain; version=0.0.4; charset=utf-8";
		metrics_add(s, text);
		return 200;
	}
	if (!span_eq(path, SPAN_LIT("/healthz")))
		return 404;
	if (s->stopping) {
		buf_add_cstr(text, "stopping\n");
		return 503;
	}
	if (store_stats(s->store).full) {
		buf_add_cstr(text, "the store takes no new mail\n");
		return 503;
	}
	buf_add_cstr(text, "ok\n");
	return 200;
}
