#include "harness/world/redact.h"

#include "base/file.h"
#include "harness/wire/base64.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BASE64_MIN = 8 }; /* shorter ones are words of their own too often */

struct secret {
	char *text;
	size_t bytes;
};

struct redact {
	struct secret *all;
	size_t count;
	bool starts[256]; /* first bytes of all of them */
};

struct redact *redact_new(void)
{
	struct redact *r = calloc(1, sizeof(*r));

	if (r == NULL)
		abort();
	return r;
}

void redact_free(struct redact *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->count; i++)
		free(r->all[i].text);
	free(r->all);
	free(r);
}

static void add(struct redact *r, struct span s)
{
	char *text = malloc(s.n + 1);

	r->all = realloc(r->all, (r->count + 1) * sizeof(*r->all));
	if (text == NULL || r->all == NULL)
		abort();
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	r->all[r->count++] = (struct secret){ text, s.n };
	r->starts[(unsigned char)s.p[0]] = true;
}

/* Without the padding, which may or may not be there. */
static void add_base64(struct redact *r, struct span s)
{
	struct buf b = { 0 };

	base64_encode(s, &b);
	struct span text = buf_span(&b);
	while (text.n > 0 && text.p[text.n - 1] == '=')
		text.n--;
	if (text.n >= BASE64_MIN)
		add(r, text);
	buf_free(&b);
}

static void add_plain(struct redact *r, const char *authzid, const char *user, const char *password)
{
	struct buf b = { 0 };

	buf_add_cstr(&b, authzid);
	buf_add(&b, (struct span){ "", 1 });
	buf_add_cstr(&b, user);
	buf_add(&b, (struct span){ "", 1 });
	buf_add_cstr(&b, password);
	add_base64(r, buf_span(&b));
	buf_free(&b);
}

void redact_add(struct redact *r, const char *user, const char *password)
{
	if (password[0] == '\0')
		return;
	add_plain(r, "", user, password);
	add_plain(r, user, user, password);
	add_base64(r, span_of(password));
	add(r, span_of(password));
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* How long the secret at the place is; 0: none. */
static size_t secret_at(const struct redact *r, struct span text, size_t at)
{
	if (at > 0 && is_word(text.p[at - 1]) && is_word(text.p[at]))
		return 0;
	for (size_t i = 0; i < r->count; i++) {
		size_t n = r->all[i].bytes;
		if (n > text.n - at || memcmp(text.p + at, r->all[i].text, n) != 0)
			continue;
		if (at + n == text.n || !is_word(text.p[at + n]) || !is_word(text.p[at + n - 1]))
			return n;
	}
	return 0;
}

void redact_text(const struct redact *r, struct span text, struct buf *out)
{
	size_t kept = 0;

	for (size_t at = 0; r != NULL && at < text.n; at++) {
		size_t n = r->starts[(unsigned char)text.p[at]] ? secret_at(r, text, at) : 0;
		if (n == 0)
			continue;
		buf_add(out, span_sub(text, kept, at - kept));
		buf_add_cstr(out, "[redacted]");
		kept = at + n;
		at = kept - 1;
	}
	buf_add(out, span_sub(text, kept, text.n));
}

void redact_buf(const struct redact *r, struct buf *b)
{
	struct buf out = { 0 };

	redact_text(r, buf_span(b), &out);
	buf_free(b);
	*b = out;
}

int redact_file(const struct redact *r, const char *path, size_t bytes_max, struct err *reterr)
{
	struct buf content = { 0 }, out = { 0 };
	struct stat st;
	int rc = 0;

	if (stat(path, &st) != 0)
		return 0;
	rc = file_read(path, bytes_max, &content, reterr);
	if (rc == 0) {
		redact_text(r, buf_span(&content), &out);
		if (buf_bytes(&out) != buf_bytes(&content) || !span_eq(buf_span(&out), buf_span(&content)))
			rc = file_write(path, buf_span(&out), st.st_mode & 0777, reterr);
	}
	buf_free(&content);
	buf_free(&out);
	return rc;
}
