#include "harness/conform/policy_host.h"

#include "base/must.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/queue.h>

/* Also those that libevent does not know: it would answer them without telling of them. */
enum { EVERY_METHOD = 0xffff };

struct policy_inside {
	struct evhttp *http;
	struct evhttp_bound_socket *listener; /* NULL: nobody listens any more */
	struct task *shut;
	struct tls_ctx *tls;
	struct transcript *transcript;
	policy_news_fn *on_news;
	void *ctx;
	uint64_t connections;
	/* The answer. */
	bool silent;
	int status;
	struct buf fields, body;
};

/* ---- the record ---- */

static void note(struct policy_host *h, uint64_t connection, enum transcript_kind kind, struct span text)
{
	if (h->inside->transcript != NULL && connection > 0)
		transcript_add_hop(h->inside->transcript, clock_mono_ns(), kind, h->name,
				   (uint32_t)connection - 1, text);
}

static const char *method_name(enum evhttp_cmd_type type)
{
	switch (type) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_OPTIONS:
		return "OPTIONS";
	case EVHTTP_REQ_TRACE:
		return "TRACE";
	case EVHTTP_REQ_CONNECT:
		return "CONNECT";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	}
	return "?";
}

static uint64_t connection_of(const SSL *ssl)
{
	return (uint64_t)(uintptr_t)SSL_get_app_data(ssl);
}

static SSL *ssl_of(struct evhttp_request *r)
{
	return bufferevent_openssl_get_ssl(
		evhttp_connection_get_bufferevent(evhttp_request_get_connection(r)));
}

static void note_request(struct policy_host *h, const struct policy_request *q)
{
	struct buf text = { 0 };
	struct span rest = buf_span(&q->fields), line;

	buf_addf(&text, "%.*s HTTP/1.1\r\n", SPAN_FMT(buf_span(&q->line)));
	while (span_take_until(&rest, '\n', &line))
		buf_addf(&text, "%.*s\r\n", SPAN_FMT(line));
	buf_add_cstr(&text, "\r\n");
	note(h, q->connection, TRANSCRIPT_CLIENT, buf_span(&text));
	buf_free(&text);
}

static void keep_request(struct policy_host *h, struct evhttp_request *r)
{
	SSL *ssl = ssl_of(r);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct evkeyval *field;

	if (h->request_count == h->request_room) {
		h->request_room = h->request_room == 0 ? 16 : h->request_room * 2;
		h->requests = must(realloc(h->requests, h->request_room * sizeof(*h->requests)));
	}
	struct policy_request *q = &h->requests[h->request_count++];
	*q = (struct policy_request){ .connection = connection_of(ssl), .at_ns = clock_mono_ns() };
	buf_addf(&q->line, "%s %s", method_name(evhttp_request_get_command(r)), evhttp_request_get_uri(r));
	TAILQ_FOREACH (field, evhttp_request_get_input_headers(r), next)
		buf_addf(&q->fields, "%s: %s\n", field->key, field->value);
	if (name != NULL)
		buf_add_cstr(&q->server_name, name);
	note_request(h, q);
}

struct span policy_request_field(const struct policy_request *r, struct span name, uint32_t nth)
{
	struct span rest = buf_span(&r->fields), line, key;

	while (span_take_until(&rest, '\n', &line))
		if (span_take_until(&line, ':', &key) && span_eq_nocase(key, name) && nth-- == 0)
			return span_trim(line);
	return (struct span){ 0 };
}

/* ---- too much ---- */

/* Not at once, for its listener is calling. */
static void on_shut(void *ctx)
{
	struct policy_inside *in = ctx;

	if (in->listener != NULL)
		evhttp_del_accept_socket(in->http, in->listener);
	in->listener = NULL;
}

static void flooded(struct policy_host *h)
{
	h->flooded = true;
	task_schedule(h->inside->shut);
	h->inside->on_news(h->inside->ctx);
}

/* ---- answers ---- */

static void reply(struct policy_host *h, struct evhttp_request *r)
{
	struct policy_inside *in = h->inside;
	struct span rest = buf_span(&in->fields), line, key, body = buf_span(&in->body);
	struct evbuffer *out = must(evbuffer_new());
	struct buf text = { 0 };

	buf_addf(&text, "HTTP/1.1 %d\r\n", in->status);
	while (span_take_until(&rest, '\n', &line)) {
		struct buf name = { 0 }, value = { 0 };
		buf_addf(&text, "%.*s\r\n", SPAN_FMT(line));
		if (!span_take_until(&line, ':', &key))
			continue;
		buf_add(&name, key);
		buf_add(&value, span_trim(line));
		(void)evhttp_add_header(evhttp_request_get_output_headers(r), buf_cstr(&name),
					buf_cstr(&value));
		buf_free(&name);
		buf_free(&value);
	}
	buf_addf(&text, "\r\n%.*s", SPAN_FMT(body));
	note(h, connection_of(ssl_of(r)), TRANSCRIPT_SERVER, buf_span(&text));
	if (body.n > 0)
		(void)evbuffer_add(out, body.p, body.n);
	evhttp_send_reply(r, in->status, NULL, out);
	evbuffer_free(out);
	buf_free(&text);
}

static void on_request(struct evhttp_request *r, void *ctx)
{
	struct policy_host *h = ctx;
	struct policy_inside *in = h->inside;

	if (h->request_count == POLICY_REQUESTS_MAX) {
		evhttp_send_error(r, HTTP_SERVUNAVAIL, NULL);
		flooded(h);
		return;
	}
	keep_request(h, r);
	if (!in->silent)
		reply(h, r);
	in->on_news(in->ctx);
}

void policy_host_says(struct policy_host *h, const struct policy_answer *a)
{
	struct policy_inside *in = h->inside;

	in->silent = a->silence;
	in->status = a->status;
	buf_reset(&in->fields);
	buf_add(&in->fields, a->fields);
	buf_reset(&in->body);
	buf_add(&in->body, a->body);
}

/* ---- TLS ---- */

/* The host is gone before the last of its connections is. */
static void on_tls(const SSL *ssl, int where, int ret)
{
	struct policy_host *h = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct buf text = { 0 };

	if (h == NULL)
		return;
	if (where == SSL_CB_READ_ALERT)
		buf_addf(&text, "alert of the client: %s", SSL_alert_desc_string_long(ret));
	else if ((where & SSL_CB_HANDSHAKE_DONE) != 0)
		buf_addf(&text, "TLS: %s%s%.255s", SSL_get_version(ssl), name != NULL ? ", for " : "",
			 name != NULL ? name : "");
	if (buf_bytes(&text) > 0)
		note(h, connection_of(ssl), TRANSCRIPT_NOTE, buf_span(&text));
	buf_free(&text);
}

static struct bufferevent *on_connection(struct event_base *base, void *ctx)
{
	struct policy_host *h = ctx;
	SSL *ssl = must(SSL_new(tls_ssl_ctx(h->inside->tls)));

	if (++h->inside->connections > POLICY_CONNECTIONS_MAX)
		flooded(h);
	(void)SSL_set_app_data(ssl, (void *)(uintptr_t)h->inside->connections);
	/* libevent does not see what OpenSSL has read ahead. */
	SSL_set_read_ahead(ssl, 0);
	note(h, h->inside->connections, TRANSCRIPT_NOTE, SPAN_LIT("connected"));
	struct bufferevent *b = must(bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
								    BEV_OPT_CLOSE_ON_FREE));
	bufferevent_openssl_set_allow_dirty_shutdown(b, 1);
	/* libevent has no limit for the line with the size of a chunk. */
	bufferevent_setwatermark(b, EV_READ, 0, POLICY_INPUT_BYTES_MAX);
	return b;
}

/* ---- life ---- */

static void set_limits(struct evhttp *http)
{
	evhttp_set_allowed_methods(http, EVERY_METHOD);
	evhttp_set_max_headers_size(http, POLICY_HEAD_BYTES_MAX);
	evhttp_set_max_body_size(http, POLICY_BODY_BYTES_MAX);
	evhttp_set_timeout(http, POLICY_IDLE_S);
}

static int listen_at(struct policy_host *h, const struct addr *at, struct err *reterr)
{
	struct policy_inside *in = h->inside;
	char ip[56];

	errno = 0;
	in->listener = evhttp_bind_socket_with_handle(in->http, addr_format_ip(at, ip), addr_port(at));
	if (in->listener == NULL)
		return err_errno(reterr, errno != 0 ? errno : EADDRNOTAVAIL, "listen at %s port %u", ip,
				 addr_port(at));
	h->at = (struct addr){ .n = sizeof(h->at.ss) };
	if (getsockname(evhttp_bound_socket_get_fd(in->listener), (struct sockaddr *)&h->at.ss, &h->at.n) !=
	    0)
		return err_errno(reterr, errno, "getsockname");
	return 0;
}

struct policy_host *policy_host_new(const struct policy_options *o, struct err *reterr)
{
	struct policy_host *h = must(calloc(1, sizeof(*h)));
	struct policy_inside *in = must(calloc(1, sizeof(*in)));

	h->inside = in;
	h->name = o->name;
	in->tls = o->tls;
	in->transcript = o->transcript;
	in->on_news = o->on_news;
	in->ctx = o->ctx;
	in->silent = true;
	in->shut = task_new(o->loop, on_shut, in);
	in->http = must(evhttp_new(loop_event_base(o->loop)));
	set_limits(in->http);
	SSL_CTX_set_app_data(tls_ssl_ctx(in->tls), h);
	SSL_CTX_set_info_callback(tls_ssl_ctx(in->tls), on_tls);
	evhttp_set_bevcb(in->http, on_connection, h);
	evhttp_set_gencb(in->http, on_request, h);
	if (listen_at(h, &o->at, reterr) == 0)
		return h;
	policy_host_free(h);
	return NULL;
}

void policy_host_free(struct policy_host *h)
{
	if (h == NULL)
		return;
	struct policy_inside *in = h->inside;
	SSL_CTX_set_app_data(tls_ssl_ctx(in->tls), NULL);
	task_free(in->shut);
	evhttp_free(in->http);
	tls_free(in->tls);
	buf_free(&in->fields);
	buf_free(&in->body);
	free(in);
	for (uint32_t i = 0; i < h->request_count; i++) {
		buf_free(&h->requests[i].line);
		buf_free(&h->requests[i].fields);
		buf_free(&h->requests[i].server_name);
	}
	free(h->requests);
	free(h);
}
