#include "harness/judge/dkim_check.h"

#include "harness/wire/base64.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

enum {
	KEY_BITS = 2048, /* RFC 6376 section 3.3.3 */
	LINE_BYTES_MAX = 72,
};

#define SELECTOR "case" /* of the key; nobody else's has it */

/* One for the whole process, made when it is first needed: making one takes a tenth of a second. */
static EVP_PKEY *key(void)
{
	static EVP_PKEY *made;

	if (made == NULL)
		made = EVP_RSA_gen((size_t)KEY_BITS);
	if (made == NULL)
		abort();
	return made;
}

static void body_hash(struct span body, enum dkim_form form, struct buf *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	struct buf canonical = { 0 };

	dkim_add_body(body, form, &canonical);
	if (EVP_Digest(buf_cstr(&canonical), buf_bytes(&canonical), digest, &n, EVP_sha256(), NULL) != 1)
		abort();
	base64_encode((struct span){ (const char *)digest, n }, out);
	buf_free(&canonical);
}

static void split(struct span message, struct span *ret_header, struct span *ret_body)
{
	if (message_split(message, ret_header, ret_body))
		return;
	*ret_header = message;
	*ret_body = (struct span){ 0 };
}

/* ---- signing ---- */

static void add_names(struct span header, struct buf *out)
{
	struct field f;
	size_t line = 0;

	while (field_next(&header, &f)) {
		if (line + f.name.n + 1 > LINE_BYTES_MAX) {
			buf_add_cstr(out, "\r\n\t ");
			line = 0;
		}
		buf_addf(out, "%.*s:", SPAN_FMT(f.name));
		line += f.name.n + 1;
	}
	buf_add_cstr(out, "From");
}

static void add_signature(struct span data, struct buf *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char signature[KEY_BITS / 8];
	size_t n = sizeof(signature);
	struct buf text = { 0 };

	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key()) != 1 ||
	    EVP_DigestSign(ctx, signature, &n, (const unsigned char *)data.p, data.n) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	base64_encode((struct span){ (const char *)signature, n }, &text);
	struct span all = buf_span(&text);
	for (size_t at = 0; at < all.n; at += LINE_BYTES_MAX) {
		buf_add_cstr(out, "\r\n\t");
		buf_add(out, span_sub(all, at, LINE_BYTES_MAX));
	}
	buf_free(&text);
}

void dkim_sign(struct span message, struct span domain, enum dkim_form header_form, enum dkim_form body_form,
	       struct buf *out)
{
	struct span header, body, h, rest;
	struct buf field = { 0 }, data = { 0 };
	struct field f;

	split(message, &header, &body);
	buf_addf(&field, "DKIM-Signature: v=1; a=rsa-sha256; c=%s/%s; d=%.*s; s=" SELECTOR ";\r\n\tbh=",
		 dkim_form_name(header_form), dkim_form_name(body_form), SPAN_FMT(domain));
	body_hash(body, body_form, &field);
	buf_add_cstr(&field, ";\r\n\th=");
	add_names(header, &field);
	buf_add_cstr(&field, ";\r\n\tb=");
	size_t end = buf_bytes(&field);
	buf_add_cstr(&field, "\r\n");
	rest = buf_span(&field);
	if (!field_next(&rest, &f) || !dkim_tag(f.raw, "h", &h))
		abort();
	dkim_add_header_data(header, h, &f, header_form, &data);
	buf_add(out, span_sub(buf_span(&field), 0, end));
	add_signature(buf_span(&data), out);
	buf_add_cstr(out, "\r\n");
	buf_free(&field);
	buf_free(&data);
}

/* ---- verifying ---- */

static bool is_signed(struct span data, struct span b)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct buf signature = { 0 };

	if (ctx == NULL || EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key()) != 1)
		abort();
	bool is = base64_decode_mime(b, &signature) &&
		  EVP_DigestVerify(ctx, (const unsigned char *)buf_cstr(&signature), buf_bytes(&signature),
				   (const unsigned char *)data.p, data.n) == 1;
	EVP_MD_CTX_free(ctx);
	buf_free(&signature);
	return is;
}

/* The first that is ours: a relay may put its own in front (RFC 6376 section 4.1). */
static bool find_own(struct span header, struct field *ret)
{
	struct span selector;

	for (uint32_t i = 0; field_find(header, SPAN_LIT("DKIM-Signature"), i, ret); i++)
		if (dkim_tag(ret->raw, "s", &selector) && span_eq(selector, SPAN_LIT(SELECTOR)))
			return true;
	return false;
}

bool dkim_holds(struct span message, struct buf *why)
{
	struct span header, body, c = { 0 }, h, bh, b;
	enum dkim_form header_form, body_form;
	struct buf hash = { 0 }, data = { 0 };
	struct field f;
	bool fine = false;

	split(message, &header, &body);
	if (!find_own(header, &f)) {
		buf_add_cstr(why, "the message has no DKIM-Signature with s=" SELECTOR);
		return false;
	}
	(void)dkim_tag(f.raw, "c", &c);
	if (!dkim_forms(c, &header_form, &body_form) || !dkim_tag(f.raw, "h", &h) ||
	    !dkim_tag(f.raw, "bh", &bh) || !dkim_tag(f.raw, "b", &b)) {
		buf_add_cstr(why, "the DKIM-Signature lacks a tag");
		return false;
	}
	body_hash(body, body_form, &hash);
	dkim_add_header_data(header, h, &f, header_form, &data);
	if (!span_eq(buf_span(&hash), bh))
		buf_addf(why, "the body is not the one that was signed (%s)", dkim_form_name(body_form));
	else if (!is_signed(buf_span(&data), b))
		buf_addf(why, "the header is not the one that was signed (%s)", dkim_form_name(header_form));
	else
		fine = true;
	buf_free(&hash);
	buf_free(&data);
	return fine;
}
