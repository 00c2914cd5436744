#include "base/conn_parts.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>

void conn_tls_fail(struct conn *c, const char *what)
{
	char peer[56];
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
	long verify = SSL_get_verify_result(c->ssl);

	ERR_clear_error();
	if (c->proof != NULL && !c->proof->check->only_told && c->proof->fault[0] != '\0') {
		(void)err_set(&c->error, -EPROTO, "%s", c->proof->fault);
		conn_fail(c);
		return;
	}
	if (verify != X509_V_OK && SSL_get_verify_mode(c->ssl) != SSL_VERIFY_NONE)
		reason = X509_verify_cert_error_string(verify);
	(void)err_set(&c->error, -EPROTO, "%s with %s: %s", what, addr_format(&c->peer, peer),
		      reason != NULL ? reason : "connection closed");
	conn_fail(c);
}

/* ---- beginning ---- */

void conn_tls_handshake(struct conn *c)
{
	ERR_clear_error(); /* of others, which SSL_get_error would take for ours */
	int rc = SSL_do_handshake(c->ssl);
	if (rc == 1 && c->proof != NULL && !tls_proof_end(c->proof, c->ssl)) {
		conn_tls_fail(c, "TLS");
		return;
	}
	if (rc == 1) {
		c->phase = PHASE_OPEN;
		conn_update_writing(c, false);
		conn_update_reading(c);
		conn_tell(c, CONN_SECURED);
		if (!c->dead && c->phase == PHASE_OPEN) {
			c->show_input = true; /* the first records may be here already, unseen by the kernel's
						 readiness */
			task_schedule(c->task);
		}
		return;
	}
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		conn_update_writing(c, false);
		conn_update_reading(c);
		break;
	case SSL_ERROR_WANT_WRITE:
		conn_update_writing(c, true);
		conn_update_reading(c);
		break;
	default:
		conn_tls_fail(c, "TLS handshake");
	}
}

/* Returns how many bytes of input were dropped. */
static size_t prepare_tls(struct conn *c, struct tls_ctx *ctx, enum conn_tls_side side)
{
	assert(c->ssl == NULL);
	assert(c->phase == PHASE_OPEN || c->phase == PHASE_CONNECTING);
	size_t dropped_bytes = buf_bytes(&c->in) + c->scratch.n;

	buf_free(&c->in);
	c->scratch = (struct span){ NULL, 0 };
	c->ssl = SSL_new(tls_ssl_ctx(ctx));
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		abort();
	c->tls_side = side;
	if (side == CONN_TLS_SERVER)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	return dropped_bytes;
}

static void await_tls(struct conn *c)
{
	if (c->phase == PHASE_OPEN)
		c->phase = PHASE_TLS_WAITS;
	conn_update_reading(c);
	task_schedule(c->task);
}

size_t conn_start_tls(struct conn *c, struct tls_ctx *ctx, enum conn_tls_side side, const char *server_name)
{
	struct addr unused;
	size_t dropped_bytes = prepare_tls(c, ctx, side);

	if (side == CONN_TLS_CLIENT && server_name != NULL && !addr_parse(server_name, 0, &unused)) {
		char sni[256]; /* OpenSSL's macro wants it writable */
		if (span_copy(span_of(server_name), sni, sizeof(sni)))
			(void)SSL_set_tlsext_host_name(c->ssl, sni);
		(void)SSL_set1_host(c->ssl, server_name);
	} else if (side == CONN_TLS_CLIENT && server_name != NULL) {
		(void)X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), server_name);
	}
	await_tls(c);
	return dropped_bytes;
}

size_t conn_start_tls_checked(struct conn *c, struct tls_ctx *ctx, const struct tls_check *check)
{
	size_t dropped_bytes = prepare_tls(c, ctx, CONN_TLS_CLIENT);

	c->proof = calloc(1, sizeof(*c->proof));
	if (c->proof == NULL)
		abort();
	tls_proof_begin(c->proof, c->ssl, check);
	await_tls(c);
	return dropped_bytes;
}

const char *conn_tls_fault(const struct conn *c)
{
	return c->proof != NULL && c->proof->fault[0] != '\0' ? c->proof->fault : NULL;
}

bool conn_is_tls(const struct conn *c)
{
	return c->ssl != NULL && SSL_is_init_finished(c->ssl);
}

const char *conn_tls_version(const struct conn *c)
{
	assert(conn_is_tls(c));
	return SSL_get_version(c->ssl);
}

const char *conn_tls_cipher(const struct conn *c)
{
	assert(conn_is_tls(c));
	return SSL_get_cipher_name(c->ssl);
}

const char *conn_tls_server_name(const struct conn *c)
{
	assert(conn_is_tls(c));
	return SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
}

const char *conn_tls_suite(const struct conn *c)
{
	assert(conn_is_tls(c));
	return SSL_CIPHER_standard_name(SSL_get_current_cipher(c->ssl));
}

/* The first Finished of the handshake is the client's, but the server's when a session is resumed. */
static size_t finished(const struct conn *c, uint8_t ret_bytes[CONN_BINDING_BYTES_MAX])
{
	bool server_first = SSL_session_reused(c->ssl) == 1;
	bool own = server_first == (c->tls_side == CONN_TLS_SERVER);
	size_t n = own ? SSL_get_finished(c->ssl, ret_bytes, CONN_BINDING_BYTES_MAX)
		       : SSL_get_peer_finished(c->ssl, ret_bytes, CONN_BINDING_BYTES_MAX);
	return n <= CONN_BINDING_BYTES_MAX ? n : 0;
}

size_t conn_tls_binding(const struct conn *c, enum conn_binding kind,
			uint8_t ret_bytes[CONN_BINDING_BYTES_MAX])
{
	enum { EXPORTED_BYTES = 32 };
	static const char label[] = "EXPORTER-Channel-Binding";

	if (!conn_is_tls(c))
		return 0;
	bool newest = SSL_version(c->ssl) >= TLS1_3_VERSION;
	if (!newest && SSL_get_extms_support(c->ssl) != 1)
		return 0;
	if (kind == CONN_BINDING_UNIQUE)
		return newest ? 0 : finished(c, ret_bytes);
	return SSL_export_keying_material(c->ssl, ret_bytes, EXPORTED_BYTES, label, sizeof(label) - 1, NULL,
					  0, 0) == 1
		       ? EXPORTED_BYTES
		       : 0;
}

/* ---- bytes ---- */

ssize_t conn_tls_read(struct conn *c, char *p, size_t n)
{
	ERR_clear_error();
	int got = SSL_read(c->ssl, p, (int)n);
	if (got > 0)
		return got;
	switch (SSL_get_error(c->ssl, got)) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		c->read_on_write = true;
		conn_update_writing(c, true);
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return errno != 0 ? -errno : 0;
	default:
		return -EPROTO;
	}
}

ssize_t conn_tls_write(struct conn *c, struct span s)
{
	ERR_clear_error();
	int put = SSL_write(c->ssl, s.p, s.n > INT32_MAX ? INT32_MAX : (int)s.n);
	if (put > 0)
		return put;
	switch (SSL_get_error(c->ssl, put)) {
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_WANT_READ:
		c->write_on_read = true;
		return -EAGAIN;
	default:
		ERR_clear_error();
		return -EPIPE;
	}
}

bool conn_tls_has_pending(const struct conn *c)
{
	return c->ssl != NULL && SSL_has_pending(c->ssl);
}

/* ---- the end ---- */

void conn_tls_end(struct conn *c)
{
	if (SSL_is_init_finished(c->ssl))
		(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
}

void conn_tls_free(struct conn *c)
{
	SSL_free(c->ssl);
	free(c->proof);
}
