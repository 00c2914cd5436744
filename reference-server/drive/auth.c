#include "reference-server/drive/auth.h"

#include "base/buf.h"
#include "base/random.h"
#include "reference-server/core/base64.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/scram.h"
#include "reference-server/store/account.h"

#include <assert.h>
#include <errno.h>
#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
	CACHE_SLOTS = 4096, /* verified passwords remembered */
	DIGEST_BYTES = 32,
	PASSWORD_BYTES_MAX = 1024,
	BINDING_TEXT_BYTES = 4 * ((CONN_BINDING_BYTES_MAX + 2) / 3) + 1,
};

struct auth {
	struct server *server;
	Gsasl *gsasl;
	uint8_t secret[DIGEST_BYTES]; /* of this process */
	pthread_mutex_t lock;         /* of the cache, used by pool threads */
	uint8_t (*cache)[DIGEST_BYTES];
	struct auth_exchange *starting; /* within gsasl_server_start, which has no hook yet */
	struct failures *failures;      /* loop thread only */
};

/* Of one address. */
struct failures {
	uint8_t address[ADDR_HOST_KEY_BYTES];
	uint32_t count;
	int64_t last_ms;
	UT_hash_handle hh;
};

struct auth_exchange {
	struct auth *auth;
	Gsasl_session *session; /* NULL: a plain password check */
	auth_fn *fn;
	void *ctx;
	bool running;      /* on a pool thread */
	bool login;        /* LOGIN, the one mechanism in which an empty message is one */
	bool empty;        /* what the client said last */
	bool server_first; /* nothing was said yet, and the mechanism begins with a question */
	bool begun;        /* the client's first message was taken */
	bool finished;     /* the mechanism has said its last word; the client's empty answer to it is due */
	bool freed;        /* meanwhile */
	uint8_t address[ADDR_HOST_KEY_BYTES];
	struct timer *delay;             /* of a refusal */
	char unique[BINDING_TEXT_BYTES]; /* base64; empty: there is none */
	char exporter[BINDING_TEXT_BYTES];
	struct buf in;
	struct buf name;
	struct buf password;
	enum auth_result result;
	struct buf out;
	bool trouble; /* the store could not say who that is */
	char identity[ACCOUNT_ADDRESS_BYTES_MAX + 1];
};

/* ---- accounts by name ---- */

/* Appends what a name or password is compared as; negative errno when it cannot be one. */
static int prepare(struct span s, struct buf *ret_prepared)
{
	if (!MUTANT(POP3_UNPREPARED) && !MUTANT(POP3_STRIPS_ODD))
		return account_prepare_query(s, ret_prepared);
	for (size_t i = 0; i < s.n; i++)
		if (MUTANT(POP3_UNPREPARED) || (s.p[i] >= ' ' && s.p[i] <= '~'))
			buf_add(ret_prepared, span_sub(s, i, 1));
	return 0;
}

/* 0, -ENOENT, or what the store says: then nobody is refused for good. */
static int find_prepared(struct auth *a, const char *name, struct account *ret_account)
{
	const struct config *c = a->server->config;
	char address[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	bool full = strchr(name, '@') != NULL;

	if (!full && c->domain_count == 0)
		return -ENOENT;
	int n = snprintf(address, sizeof(address), "%s%s%s", name, full ? "" : "@",
			 full ? "" : c->domains[0]);
	if (n < 0 || (size_t)n >= sizeof(address) || !account_address_ok(span_of(address)))
		return -ENOENT;
	return account_find(a->server->store, span_of(address), ret_account);
}

static int find(struct auth *a, const char *name, struct account *ret_account)
{
	struct buf prepared = { 0 };
	int rc = prepare(span_of(name), &prepared) == 0 ? find_prepared(a, buf_cstr(&prepared), ret_account)
							: -ENOENT;
	buf_free(&prepared);
	return rc;
}

static void mac(const struct auth *a, const struct account_keys *keys, struct span text,
		uint8_t out[DIGEST_BYTES])
{
	uint8_t key[DIGEST_BYTES + ACCOUNT_KEY_BYTES];
	unsigned n = DIGEST_BYTES;

	memcpy(key, a->secret, DIGEST_BYTES);
	memcpy(key + DIGEST_BYTES, keys->stored_key, ACCOUNT_KEY_BYTES);
	(void)HMAC(EVP_sha256(), key, sizeof(key), (const unsigned char *)(text.n > 0 ? text.p : ""), text.n,
		   out, &n);
}

/* Keys that nobody's password fits, the same ones each time a name is asked for. */
static void decoy_keys(const struct auth *a, const char *name, struct account_keys *ret_keys)
{
	struct account_keys zero = { .iterations = a->server->config->auth_iterations,
				     .salt_bytes = ACCOUNT_SALT_BYTES };
	uint8_t digest[DIGEST_BYTES];

	*ret_keys = zero;
	mac(a, &zero, span_of(name), digest);
	memcpy(ret_keys->salt, digest, ACCOUNT_SALT_BYTES);
	mac(a, &zero, (struct span){ (const char *)digest, DIGEST_BYTES }, ret_keys->stored_key);
	mac(a, &zero, (struct span){ (const char *)ret_keys->stored_key, DIGEST_BYTES },
	    ret_keys->server_key);
}

static enum auth_result check_prepared(struct auth *a, const char *name, struct span password,
				       char *ret_identity)
{
	struct account account = { 0 };
	uint8_t digest[DIGEST_BYTES];
	int rc = find(a, name, &account);

	if (rc != 0 && rc != -ENOENT)
		return AUTH_TROUBLE;
	if (rc != 0)
		decoy_keys(a, name, &account.keys);
	mac(a, &account.keys, password, digest);
	uint32_t slot = ((uint32_t)digest[0] << 8 | digest[1]) % CACHE_SLOTS;
	(void)pthread_mutex_lock(&a->lock);
	bool hit = CRYPTO_memcmp(a->cache[slot], digest, DIGEST_BYTES) == 0;
	(void)pthread_mutex_unlock(&a->lock);
	if (!hit && !account_verify(&account.keys, password))
		return AUTH_BAD;
	if (rc != 0)
		return AUTH_BAD;
	(void)pthread_mutex_lock(&a->lock);
	memcpy(a->cache[slot], digest, DIGEST_BYTES);
	(void)pthread_mutex_unlock(&a->lock);
	memcpy(ret_identity, account.address, sizeof(account.address));
	return AUTH_OK;
}

/* On a pool thread. */
static enum auth_result check_password(struct auth *a, const char *name, struct span password,
				       char *ret_identity)
{
	struct buf prepared = { 0 };

	/* What no password can be is still worth the time of a wrong one. */
	bool can_be = prepare(password, &prepared) == 0;
	enum auth_result result =
		check_prepared(a, name, can_be ? buf_span(&prepared) : (struct span){ "", 0 }, ret_identity);
	if (prepared.p != NULL)
		OPENSSL_cleanse(prepared.p, prepared.room);
	buf_free(&prepared);
	return result == AUTH_OK && !can_be ? AUTH_BAD : result;
}

/* ---- GNU SASL's questions ---- */

static int set_base64(Gsasl_session *s, Gsasl_property property, const uint8_t *bytes, size_t n)
{
	char text[4 * ((ACCOUNT_SALT_BYTES_MAX + 2) / 3) + 1];
	assert(n <= ACCOUNT_SALT_BYTES_MAX);
	(void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
	return gsasl_property_set(s, property, text);
}

/* The account of a name in SCRAM, in which GNU SASL has undone the escapes. */
static int find_said(struct auth *a, const char *name, struct account *ret_account)
{
	struct buf said = { 0 };

	if (!MUTANT(POP3_SCRAM_ODD_ESCAPES))
		return find(a, name, ret_account);
	for (const char *p = name; *p != '\0'; p++) {
		bool at = strncmp(p, "=40", 3) == 0;
		buf_add(&said, (struct span){ at ? "@" : p, 1 });
		p += at ? 2 : 0;
	}
	int rc = find(a, buf_cstr(&said), ret_account);
	buf_free(&said);
	return rc;
}

static int give_scram_keys(struct auth_exchange *x)
{
	const char *name = gsasl_property_fast(x->session, GSASL_AUTHID);
	struct account account = { 0 };
	char iterations[16];

	if (name == NULL)
		return GSASL_NO_AUTHID;
	int found = find_said(x->auth, name, &account);
	x->trouble = found != 0 && found != -ENOENT;
	if (found != 0)
		decoy_keys(x->auth, name, &account.keys);
	(void)snprintf(iterations, sizeof(iterations), "%u",
		       MUTANT(POP3_FEW_ITERATIONS) ? 1000 : account.keys.iterations);
	memcpy(x->identity, account.address, sizeof(account.address));
	int rc = gsasl_property_set(x->session, GSASL_SCRAM_ITER, iterations);
	if (rc == GSASL_OK)
		rc = set_base64(x->session, GSASL_SCRAM_SALT, account.keys.salt, account.keys.salt_bytes);
	if (rc == GSASL_OK)
		rc = set_base64(x->session, GSASL_SCRAM_STOREDKEY, account.keys.stored_key,
				ACCOUNT_KEY_BYTES);
	if (rc == GSASL_OK)
		rc = set_base64(x->session, GSASL_SCRAM_SERVERKEY, account.keys.server_key,
				ACCOUNT_KEY_BYTES);
	return rc;
}

/* Acting for somebody else (RFC 4616 2) is not offered. */
static bool acts_for_another(struct auth_exchange *x)
{
	const char *name = gsasl_property_fast(x->session, GSASL_AUTHID);
	const char *as = gsasl_property_fast(x->session, GSASL_AUTHZID);
	return !MUTANT(AUTH_FOR_ANYBODY) && as != NULL && as[0] != '\0' &&
	       (name == NULL || strcmp(as, name) != 0 || MUTANT(AUTH_NO_IDENTITY));
}

static int validate_simple(struct auth_exchange *x)
{
	const char *name = gsasl_property_fast(x->session, GSASL_AUTHID);
	const char *password = gsasl_property_fast(x->session, GSASL_PASSWORD);

	if (name == NULL || password == NULL || strlen(password) > PASSWORD_BYTES_MAX || acts_for_another(x))
		return GSASL_AUTHENTICATION_ERROR;
	enum auth_result result = check_password(x->auth, name, span_of(password), x->identity);
	x->trouble = result == AUTH_TROUBLE;
	if (result == AUTH_OK)
		return GSASL_OK;
	return GSASL_AUTHENTICATION_ERROR;
}

static int give_binding(Gsasl_session *s, Gsasl_property property, const char *base64, int none)
{
	return base64[0] != '\0' && !MUTANT(SCRAM_NO_BINDING) ? gsasl_property_set(s, property, base64)
							      : none;
}

static int on_gsasl(Gsasl *g, Gsasl_session *s, Gsasl_property property)
{
	struct auth_exchange *x = gsasl_session_hook_get(s);

	if (x == NULL)
		x = ((struct auth *)gsasl_callback_hook_get(g))->starting;
	if (property == GSASL_CB_TLS_UNIQUE)
		return give_binding(s, property, x->unique, GSASL_NO_CB_TLS_UNIQUE);
	if (property == GSASL_CB_TLS_EXPORTER)
		return give_binding(s, property, x->exporter, GSASL_NO_CB_TLS_EXPORTER);

	if (property == GSASL_VALIDATE_SIMPLE)
		return validate_simple(x);
	if (property == GSASL_SCRAM_ITER || property == GSASL_SCRAM_SALT ||
	    property == GSASL_SCRAM_STOREDKEY || property == GSASL_SCRAM_SERVERKEY)
		return give_scram_keys(x);
	return GSASL_NO_CALLBACK;
}

/* ---- steps ---- */

static bool is_scram(const struct auth_exchange *x)
{
	return strncmp(gsasl_mechanism_name(x->session), "SCRAM", 5) == 0;
}

/* Only of SCRAM, which says who it is before it proves it. */
static void break_refusal(struct auth_exchange *x)
{
	bool refused = x->result == AUTH_BAD || x->result == AUTH_MALFORMED;

	if (!refused || !is_scram(x))
		return;
	if (MUTANT(POP3_SCRAM_ANYBODY) && x->identity[0] != '\0')
		x->result = AUTH_OK;
	if (MUTANT(POP3_SCRAM_GOES_ON)) {
		x->result = AUTH_CHALLENGE;
		buf_reset(&x->out);
		buf_add_cstr(&x->out, "eA==");
	}
}

/* GNU SASL takes an "=" that begins no escape for itself. */
static bool first_message_is_malformed(struct auth_exchange *x)
{
	struct buf message = { 0 };
	bool first = !x->begun && buf_bytes(&x->in) > 0;
	bool malformed = first && is_scram(x) && base64_decode(&message, buf_span(&x->in)) &&
			 !scram_names_are_escaped(buf_span(&message)) && !MUTANT(POP3_SCRAM_ODD_ESCAPES);

	x->begun |= first;
	buf_free(&message);
	return malformed;
}

static void run_sasl(struct auth_exchange *x)
{
	if (x->finished) {
		x->result = buf_bytes(&x->in) > 0    ? AUTH_MALFORMED
			    : x->identity[0] != '\0' ? AUTH_OK
						     : AUTH_BAD;
		return;
	}
	/* Neither PLAIN nor SCRAM has an empty message. */
	if ((x->empty && !x->login && !MUTANT(AUTH_EMPTY_IS_NONE)) || first_message_is_malformed(x)) {
		x->result = AUTH_MALFORMED;
		return;
	}
	char *out = NULL;
	if (x->server_first && buf_bytes(&x->in) > 0) {
		/* LOGIN with the name given at once: the question that it answers is asked of nobody. */
		(void)gsasl_step64(x->session, "", &out);
		gsasl_free(out);
		out = NULL;
	}
	x->server_first = false;
	int rc = gsasl_step64(x->session, buf_cstr(&x->in), &out);

	if (out != NULL)
		buf_add_cstr(&x->out, out);
	gsasl_free(out);
	switch (rc) {
	case GSASL_NEEDS_MORE:
		x->result = AUTH_CHALLENGE;
		break;
	case GSASL_OK:
		/* SCRAM's last message goes out as a challenge that the client answers with nothing. */
		x->finished = true;
		x->result = buf_bytes(&x->out) > 0 ? AUTH_CHALLENGE : AUTH_OK;
		if (x->identity[0] == '\0' || acts_for_another(x))
			x->result = AUTH_BAD;
		break;
	case GSASL_AUTHENTICATION_ERROR:
	case GSASL_NO_PASSWORD:
	case GSASL_NO_AUTHID:
	case GSASL_SASLPREP_ERROR:
		x->result = AUTH_BAD;
		break;
	case GSASL_MECHANISM_PARSE_ERROR:
	case GSASL_BASE64_ERROR:
		x->result = AUTH_MALFORMED;
		break;
	default:
		x->result = AUTH_TROUBLE;
	}
	if (x->trouble) /* whatever was made of it */
		x->result = AUTH_TROUBLE;
	break_refusal(x);
}

static void on_work(void *job)
{
	struct auth_exchange *x = job;

	buf_reset(&x->out);
	if (x->session != NULL) {
		run_sasl(x);
		return;
	}
	struct span password = buf_span(&x->password);
	bool ok = password.n <= PASSWORD_BYTES_MAX &&
		  span_find(buf_span(&x->name), '\0') == buf_bytes(&x->name);
	x->result = ok ? check_password(x->auth, buf_cstr(&x->name), password, x->identity) : AUTH_BAD;
}

static void destroy(struct auth_exchange *x)
{
	timer_free(x->delay);
	if (x->session != NULL)
		gsasl_finish(x->session);
	if (x->password.p != NULL)
		OPENSSL_cleanse(x->password.p, x->password.room);
	if (x->in.p != NULL)
		OPENSSL_cleanse(x->in.p, x->in.room);
	buf_free(&x->in);
	buf_free(&x->name);
	buf_free(&x->password);
	buf_free(&x->out);
	free(x);
}

/* ---- refusals come late ---- */

/* Those whose last refusal is so old; all of them when that is in the future. */
static void forget_failures(struct auth *a, int64_t before_ms)
{
	struct failures *f, *next;

	HASH_ITER(hh, a->failures, f, next)
	{
		if (f->last_ms >= before_ms)
			continue;
		HASH_DEL(a->failures, f);
		free(f);
	}
}

static struct failures *failures_of(struct auth *a, const uint8_t key[ADDR_HOST_KEY_BYTES], int64_t now_ms)
{
	struct failures *f;

	HASH_FIND(hh, a->failures, key, ADDR_HOST_KEY_BYTES, f);
	if (f != NULL) {
		if (now_ms - f->last_ms >= AUTH_FORGET_MS)
			f->count = 0;
		return f;
	}
	if (HASH_COUNT(a->failures) >= AUTH_ADDRESSES_MAX)
		forget_failures(a, now_ms - AUTH_FORGET_MS);
	if (HASH_COUNT(a->failures) >= AUTH_ADDRESSES_MAX)
		forget_failures(a,
				INT64_MAX); /* under such an attack, from everywhere, counts tell nothing */
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		abort();
	memcpy(f->address, key, ADDR_HOST_KEY_BYTES);
	HASH_ADD(hh, a->failures, address, ADDR_HOST_KEY_BYTES, f);
	return f;
}

/* Counts one, and says how long its answer waits. */
static int64_t note_failure(struct auth *a, const uint8_t key[ADDR_HOST_KEY_BYTES])
{
	int64_t now_ms = clock_mono_ms(), delay_ms = a->server->config->auth_failure_delay_ms;
	struct failures *f = failures_of(a, key, now_ms);

	for (uint32_t i = 0; i < f->count && delay_ms > 0 && delay_ms < AUTH_DELAY_MS_MAX; i++)
		delay_ms *= 2;
	f->count++;
	f->last_ms = now_ms;
	return delay_ms < AUTH_DELAY_MS_MAX ? delay_ms : AUTH_DELAY_MS_MAX;
}

static void say_bad(void *ctx)
{
	struct auth_exchange *x = ctx;
	x->fn(x->ctx, AUTH_BAD, (struct span){ NULL, 0 });
}

static void on_done(void *job)
{
	struct auth_exchange *x = job;

	x->running = false;
	if (x->freed) {
		destroy(x);
		return;
	}
	int64_t delay_ms = x->result == AUTH_BAD ? note_failure(x->auth, x->address) : 0;
	if (delay_ms > 0) {
		x->delay = timer_new(x->auth->server->loop, say_bad, x);
		timer_set_ms(x->delay, delay_ms);
		return;
	}
	x->fn(x->ctx, x->result, x->result == AUTH_OK ? span_of(x->identity) : buf_span(&x->out));
}

static void run(struct auth_exchange *x)
{
	assert(!x->running);
	x->running = true;
	pool_submit(x->auth->server->pool, on_work, on_done, x);
}

static void take_binding(const struct conn *conn, enum conn_binding kind, char text[BINDING_TEXT_BYTES])
{
	uint8_t bytes[CONN_BINDING_BYTES_MAX];
	size_t n = conn_tls_binding(conn, kind, bytes);

	text[0] = '\0';
	if (n > 0)
		(void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
}

static struct auth_exchange *new_exchange(struct auth *a, const struct conn *conn, auth_fn *fn, void *ctx)
{
	struct auth_exchange *x = calloc(1, sizeof(*x));
	if (x == NULL)
		abort();
	*x = (struct auth_exchange){ .auth = a, .fn = fn, .ctx = ctx };
	addr_host_key(conn_peer(conn), x->address);
	take_binding(conn, CONN_BINDING_UNIQUE, x->unique);
	take_binding(conn, CONN_BINDING_EXPORTER, x->exporter);
	return x;
}

bool auth_server_begins(struct span mechanism)
{
	return span_eq_nocase(mechanism, SPAN_LIT("LOGIN"));
}

struct auth_exchange *auth_start(struct auth *a, const struct conn *conn, struct span mechanism, auth_fn *fn,
				 void *ctx)
{
	char name[32];
	struct auth_exchange *x = new_exchange(a, conn, fn, ctx);

	if (!span_copy(mechanism, name, sizeof(name))) {
		destroy(x);
		return NULL;
	}
	for (char *p = name; *p != '\0'; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	/* GNU SASL begins it all the same, and refuses the client's first message. */
	if (strcmp(name, "SCRAM-SHA-256-PLUS") == 0 && x->unique[0] == '\0' && x->exporter[0] == '\0') {
		destroy(x);
		return NULL;
	}
	a->starting = x;
	int rc = gsasl_server_start(a->gsasl, name, &x->session);
	a->starting = NULL;
	if (rc != GSASL_OK) {
		destroy(x);
		return NULL;
	}
	gsasl_session_hook_set(x->session, x);
	x->server_first = x->login = auth_server_begins(mechanism);
	return x;
}

void auth_step(struct auth_exchange *x, struct span response_base64, bool given)
{
	x->empty = given && response_base64.n == 0;
	buf_reset(&x->in);
	buf_add(&x->in, response_base64);
	run(x);
}

struct auth_exchange *auth_password(struct auth *a, const struct conn *conn, struct span name,
				    struct span password, auth_fn *fn, void *ctx)
{
	struct auth_exchange *x = new_exchange(a, conn, fn, ctx);
	buf_add(&x->name, name);
	buf_add(&x->password, password);
	run(x);
	return x;
}

void auth_exchange_free(struct auth_exchange *x)
{
	if (x == NULL)
		return;
	if (x->running)
		x->freed = true;
	else
		destroy(x);
}

struct auth *auth_new(struct server *server)
{
	struct auth *a = calloc(1, sizeof(*a));
	if (a == NULL)
		abort();
	a->server = server;
	a->cache = calloc(CACHE_SLOTS, sizeof(*a->cache));
	if (a->cache == NULL || gsasl_init(&a->gsasl) != GSASL_OK)
		abort();
	gsasl_callback_set(a->gsasl, on_gsasl);
	gsasl_callback_hook_set(a->gsasl, a);
	random_bytes(a->secret, sizeof(a->secret));
	(void)pthread_mutex_init(&a->lock, NULL);
	return a;
}

void auth_free(struct auth *a)
{
	if (a == NULL)
		return;
	forget_failures(a, INT64_MAX);
	gsasl_done(a->gsasl);
	(void)pthread_mutex_destroy(&a->lock);
	OPENSSL_cleanse(a->secret, sizeof(a->secret));
	free(a->cache);
	free(a);
}
