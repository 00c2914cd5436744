#include "harness/conform/hop_login.h"

#include "base/must.h"
#include "base/random.h"
#include "harness/load/sasl.h"
#include "harness/wire/base64.h"

#include <stdlib.h>
#include <string.h>

enum { ITERATIONS = 4096, NONCE_BYTES = 18 };
static const char SALT[] = "salt of a hop"; /* the password is no secret either */

typedef enum sink_login_step step_fn(struct hop_login *l, struct span response, struct buf *out);

struct hop_login {
	struct hop_login_options o;
	step_fn *next;     /* what reads the next response */
	bool server_first; /* LOGIN: its first challenge needs no response */
	bool begun;
	struct buf header, first_bare, nonce, server_first_message; /* SCRAM */
};

static enum sink_login_step refuse(struct buf *out, const char *why)
{
	buf_reset(out);
	buf_add_cstr(out, why);
	return SINK_LOGIN_BAD;
}

/* ---- PLAIN ---- */

static enum sink_login_step read_plain(struct hop_login *l, struct span message, struct buf *out)
{
	struct span rest = message, authzid, name;

	if (!span_take_until(&rest, '\0', &authzid) || authzid.n == message.n)
		return refuse(out, "a PLAIN message without NUL");
	if (span_find(rest, '\0') == rest.n)
		return refuse(out, "a PLAIN message with one NUL only");
	(void)span_take_until(&rest, '\0', &name);
	if (span_find(rest, '\0') < rest.n)
		return refuse(out, "a PLAIN message with more than two NULs");
	if (authzid.n > 0 && !span_eq(authzid, span_of(l->o.name)))
		return refuse(out, "the authorization identity is another one");
	if (!span_eq(name, span_of(l->o.name)))
		return refuse(out, "nobody has this name");
	return span_eq(rest, span_of(l->o.password)) ? SINK_LOGIN_GOOD : refuse(out, "the password is wrong");
}

/* ---- LOGIN ---- */

static enum sink_login_step read_password(struct hop_login *l, struct span message, struct buf *out)
{
	return span_eq(message, span_of(l->o.password)) ? SINK_LOGIN_GOOD
							: refuse(out, "the password is wrong");
}

static enum sink_login_step read_name(struct hop_login *l, struct span message, struct buf *out)
{
	if (!span_eq(message, span_of(l->o.name)))
		return refuse(out, "nobody has this name");
	buf_add_cstr(out, "Password:");
	l->next = read_password;
	return SINK_LOGIN_MORE;
}

/* ---- SCRAM-SHA-256 ---- */

/* "x=value" at the front of *s, up to the next comma or the end. */
static bool take_attribute(struct span *s, char name, struct span *ret_value)
{
	if (s->n < 2 || s->p[0] != name || s->p[1] != '=')
		return false;
	size_t n = span_find(*s, ',');
	*ret_value = span_sub(*s, 2, n - 2);
	*s = span_sub(*s, n + 1, s->n);
	return true;
}

/* RFC 5802 section 7: printable, once or more. */
static bool is_printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '!' || s.p[i] > '~' || s.p[i] == ',')
			return false;
	return s.n > 0;
}

/* What stands behind an attribute: each a comma and an attr-val (RFC 5802 section 7), or nothing. */
static bool are_extensions(struct span s)
{
	while (s.n > 0) {
		struct span rest = span_sub(s, 1, s.n), one = span_sub(rest, 0, span_find(rest, ','));
		char letter = one.n > 2 ? (char)(one.p[0] | ' ') : ' ';
		if (s.p[0] != ',' || letter < 'a' || letter > 'z' || one.p[1] != '=' ||
		    span_find(one, '\0') < one.n)
			return false;
		s = span_sub(rest, one.n, rest.n);
	}
	return true;
}

/* From where `part`, which is in it, ends. */
static struct span behind(struct span message, struct span part)
{
	return span_sub(message, (size_t)(part.p + part.n - message.p), message.n);
}

static enum sink_login_step read_end(struct hop_login *l, struct span message, struct buf *out)
{
	(void)l;
	return message.n == 0 ? SINK_LOGIN_GOOD
			      : refuse(out, "nothing is to be said to the server's final message");
}

/* AuthMessage (RFC 5802 section 3); without_proof: the client's final message up to ",p=". */
static void prove(const struct hop_login *l, struct span without_proof,
		  unsigned char ret_proof[SASL_HASH_BYTES_MAX],
		  unsigned char ret_signature[SASL_HASH_BYTES_MAX], size_t *ret_n)
{
	struct buf all = { 0 };

	buf_addf(&all, "%.*s,%.*s,%.*s", SPAN_FMT(buf_span(&l->first_bare)),
		 SPAN_FMT(buf_span(&l->server_first_message)), SPAN_FMT(without_proof));
	*ret_n = sasl_scram_prove(&(struct sasl_scram){ .hash = "SHA-256",
							.password = span_of(l->o.password),
							.salt = span_of(SALT),
							.iterations = ITERATIONS,
							.auth_message = buf_span(&all) },
				  ret_proof, ret_signature);
	buf_free(&all);
}

/* c=biws,r=...,p=... */
static enum sink_login_step read_final(struct hop_login *l, struct span message, struct buf *out)
{
	unsigned char proof[SASL_HASH_BYTES_MAX], signature[SASL_HASH_BYTES_MAX];
	struct span rest = message, binding, nonce, got = { 0 };
	struct buf wanted = { 0 }, bytes = { 0 };
	enum sink_login_step step = SINK_LOGIN_MORE;
	size_t n = 0;

	base64_encode(buf_span(&l->header), &wanted);
	if (!take_attribute(&rest, 'c', &binding) || !span_eq(binding, buf_span(&wanted)))
		step = refuse(out, "c= is not the GS2 header in base64, and nothing more");
	else if (!take_attribute(&rest, 'r', &nonce) || !span_eq(nonce, buf_span(&l->nonce)))
		step = refuse(out, "r= is not the nonce of the server's first message");
	size_t end = rest.n > 0 ? (size_t)(rest.p - message.p) - 1 : 0;
	if (step == SINK_LOGIN_MORE && (!take_attribute(&rest, 'p', &got) || !base64_decode(got, &bytes)))
		step = refuse(out, "there is no proof, or it is not base64");
	if (step == SINK_LOGIN_MORE && behind(message, got).n > 0)
		step = refuse(out, "something stands behind the proof");
	if (step == SINK_LOGIN_MORE) {
		prove(l, span_sub(message, 0, end), proof, signature, &n);
		if (!span_eq(buf_span(&bytes), (struct span){ (const char *)proof, n }))
			step = refuse(out, "the proof is wrong");
	}
	if (step == SINK_LOGIN_MORE) {
		signature[0] ^= l->o.scram == CASE_SCRAM_WRONG_SIGNATURE ? 1 : 0;
		buf_add_cstr(out, "v=");
		base64_encode((struct span){ (const char *)signature, n }, out);
		l->next = read_end;
	}
	buf_free(&wanted);
	buf_free(&bytes);
	return step;
}

static void make_server_first(struct hop_login *l, struct span client_nonce)
{
	unsigned char random[NONCE_BYTES];
	struct span rest = client_nonce;

	random_bytes(random, sizeof(random));
	if (l->o.scram == CASE_SCRAM_FOREIGN_NONCE) {
		buf_add_u8(&l->nonce, rest.p[0] == 'x' ? 'y' : 'x');
		rest = span_sub(rest, 1, rest.n);
	}
	buf_add(&l->nonce, rest);
	base64_encode((struct span){ (const char *)random, sizeof(random) }, &l->nonce);
	buf_addf(&l->server_first_message, "r=%.*s,s=", SPAN_FMT(buf_span(&l->nonce)));
	base64_encode(span_of(SALT), &l->server_first_message);
	buf_addf(&l->server_first_message, ",i=%d", ITERATIONS);
}

/* n,,n=relay,r=fyko...: the GS2 header ends with the second comma. */
static enum sink_login_step read_first(struct hop_login *l, struct span message, struct buf *out)
{
	size_t flag = span_find(message, ',');
	struct span rest = span_sub(message, flag + 1, message.n), authzid, name, nonce;

	if (message.n == 0 || (message.p[0] != 'n' && message.p[0] != 'y') || flag != 1)
		return refuse(
			out,
			"the GS2 header begins with neither n nor y, and channel binding is not offered");
	if (!span_take_until(&rest, ',', &authzid) || rest.n == 0)
		return refuse(out, "the GS2 header does not end");
	if (authzid.n > 0 && (!take_attribute(&authzid, 'a', &name) || !span_eq(name, span_of(l->o.name))))
		return refuse(out, "the authorization identity is another one");
	buf_add(&l->header, span_sub(message, 0, (size_t)(rest.p - message.p)));
	buf_add(&l->first_bare, rest);
	if (!take_attribute(&rest, 'n', &name))
		return refuse(out, "n= does not come first");
	if (!span_eq(name, span_of(l->o.name)))
		return refuse(out, "nobody has this name");
	if (!take_attribute(&rest, 'r', &nonce) || nonce.n == 0)
		return refuse(out, "r= does not come second");
	if (!is_printable(nonce))
		return refuse(out, "r= is not of printable characters");
	if (!are_extensions(behind(message, nonce)))
		return refuse(out, "behind the nonce stands something else than extensions");
	make_server_first(l, nonce);
	buf_add(out, buf_span(&l->server_first_message));
	l->next = read_final;
	return SINK_LOGIN_MORE;
}

/* ---- any ---- */

struct hop_login *hop_login_new(const struct hop_login_options *o, struct span mechanism)
{
	static const struct {
		const char *name;
		step_fn *first;
		bool server_first;
	} KNOWN[] = { { "PLAIN", read_plain, false },
		      { "LOGIN", read_name, true },
		      { "SCRAM-SHA-256", read_first, false } };

	for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
		if (!span_eq_nocase(mechanism, span_of(KNOWN[i].name)))
			continue;
		struct hop_login *l = must(calloc(1, sizeof(*l)));
		*l = (struct hop_login){ .o = *o,
					 .next = KNOWN[i].first,
					 .server_first = KNOWN[i].server_first };
		return l;
	}
	return NULL;
}

enum sink_login_step hop_login_step(struct hop_login *l, const struct span *response, struct buf *ret_text)
{
	bool first = !l->begun;

	l->begun = true;
	if (response == NULL) { /* an empty challenge (RFC 4422 section 5.1), or the server's turn */
		if (l->server_first)
			buf_add_cstr(ret_text, "Username:");
		return SINK_LOGIN_MORE;
	}
	if (first && l->server_first)
		return refuse(ret_text, "with LOGIN the server begins");
	return l->next(l, *response, ret_text);
}

void hop_login_free(struct hop_login *l)
{
	if (l == NULL)
		return;
	buf_free(&l->header);
	buf_free(&l->first_bare);
	buf_free(&l->nonce);
	buf_free(&l->server_first_message);
	free(l);
}
