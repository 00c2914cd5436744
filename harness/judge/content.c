#include "harness/judge/content.h"

#include "harness/wire/message.h"
#include "harness/wire/mime.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

enum {
	SHOWN_BYTES = 20, /* of either side of a difference */
};

/* Protected fields; those that a legal change of encoding touches come last. */
static const char *const protected_fields[] = {
	"From",         "To",           "Subject",
	"Date",         "Message-ID",   "X-Postrider-Token",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
};
enum {
	PROTECTED_COUNT = sizeof(protected_fields) / sizeof(protected_fields[0]),
	PROTECTED_UNLESS_TRANSFORMED_COUNT = PROTECTED_COUNT - 1,
};

/* ---- digests ---- */

static void split(struct span message, struct span *ret_header, struct span *ret_body)
{
	*ret_header = message;
	*ret_body = (struct span){ NULL, 0 };
	(void)message_split(message, ret_header, ret_body);
}

static void sha256(struct span s, unsigned char *ret_digest)
{
	(void)SHA256((const unsigned char *)(s.n > 0 ? s.p : ""), s.n, ret_digest);
}

/* Every occurrence counts, so that a second Subject is seen too. */
static void gather_field(struct span header, struct span name, struct buf *ret_text)
{
	struct field f;

	for (uint32_t nth = 0; field_find(header, name, nth, &f); nth++) {
		buf_add(ret_text, name);
		buf_add(ret_text, SPAN_LIT(":"));
		buf_add(ret_text, f.raw);
		buf_add(ret_text, SPAN_LIT("\r\n"));
	}
}

void content_digest(struct span message, struct content_digest *ret_digest)
{
	struct span header;
	struct span body;
	struct buf fields = { 0 };

	split(message, &header, &body);
	sha256(body, ret_digest->body);
	for (size_t i = 0; i < PROTECTED_COUNT; i++)
		gather_field(header, span_of(protected_fields[i]), &fields);
	sha256(buf_span(&fields), ret_digest->header);
	buf_free(&fields);
}

/* ---- recognising ---- */

enum content_kind content_recognise(struct span message, uint64_t seed, uint32_t *ret_id)
{
	struct span header;
	struct span body;
	struct field token;
	struct span first_line;

	split(message, &header, &body);
	if (content_find_marker(field_message_id(header), seed, ret_id))
		return CONTENT_COPY;
	if (field_find(header, SPAN_LIT("X-Postrider-Token"), 0, &token) &&
	    content_find_marker(token.raw, seed, ret_id))
		return CONTENT_COPY;
	first_line = span_sub(body, 0, CONTENT_MARKER_CHARS);
	if (content_find_marker(first_line, seed, ret_id))
		return CONTENT_COPY;
	return content_find_marker(message, seed, ret_id) ? CONTENT_ABOUT : CONTENT_FOREIGN;
}

/* ---- comparing ---- */

/* Printable ASCII, short, and never more than the room. */
static void show(struct span s, char *out, size_t out_bytes)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < s.n && used + 5 < out_bytes; i++) {
		unsigned char c = (unsigned char)s.p[i];
		int n;
		if (c == '\r' || c == '\n')
			n = snprintf(out + used, out_bytes - used, "\\%c", c == '\r' ? 'r' : 'n');
		else if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			n = snprintf(out + used, out_bytes - used, "\\x%02x", c);
		else
			n = snprintf(out + used, out_bytes - used, "%c", c);
		used += (size_t)n;
	}
}

static void set_difference(struct content_verdict *v, const char *what, struct span want, struct span got)
{
	char want_text[SHOWN_BYTES * 4 + 1];
	char got_text[SHOWN_BYTES * 4 + 1];
	size_t at = 0;

	while (at < want.n && at < got.n && want.p[at] == got.p[at])
		at++;
	show(span_sub(want, at, SHOWN_BYTES), want_text, sizeof(want_text));
	show(span_sub(got, at, SHOWN_BYTES), got_text, sizeof(got_text));
	if (at == want.n)
		(void)snprintf(v->text, sizeof(v->text), "%s: %zu bytes too many after byte %zu: \"%s\"",
			       what, got.n - want.n, at, got_text);
	else if (at == got.n)
		(void)snprintf(v->text, sizeof(v->text), "%s: ends after byte %zu, %zu are missing: \"%s\"",
			       what, at, want.n - got.n, want_text);
	else
		(void)snprintf(v->text, sizeof(v->text),
			       "%s: first difference at byte %zu: expected \"%s\", got \"%s\"", what, at,
			       want_text, got_text);
}

/* Unfolded, with each run of blanks as one: what a reader of the field would see. */
static void readable_value(struct span raw, struct buf *ret_value)
{
	struct buf unfolded = { 0 };
	bool blank = false;

	field_unfold(raw, &unfolded);
	struct span u = buf_span(&unfolded);
	for (size_t i = 0; i < u.n; i++) {
		bool is_blank = u.p[i] == ' ' || u.p[i] == '\t';
		if (!is_blank)
			buf_add(ret_value, (struct span){ u.p + i, 1 });
		else if (!blank)
			buf_add(ret_value, SPAN_LIT(" "));
		blank = is_blank;
	}
	buf_free(&unfolded);
}

static bool same_field(struct span want_header, struct span got_header, const char *name,
		       struct content_verdict *ret_verdict)
{
	struct field want;
	struct field got;
	struct buf want_value = { 0 };
	struct buf got_value = { 0 };
	bool same = false;

	if (!field_find(want_header, span_of(name), 0, &want)) {
		same = true; /* nothing to protect: a text original without such a field */
	} else if (!field_find(got_header, span_of(name), 0, &got)) {
		(void)snprintf(ret_verdict->text, sizeof(ret_verdict->text), "field %s is missing", name);
	} else if (field_count(got_header, span_of(name)) > 1) {
		(void)snprintf(ret_verdict->text, sizeof(ret_verdict->text), "field %s is there %u times",
			       name, field_count(got_header, span_of(name)));
	} else {
		readable_value(want.raw, &want_value);
		readable_value(got.raw, &got_value);
		same = span_eq(buf_span(&want_value), buf_span(&got_value));
		if (!same)
			set_difference(ret_verdict, name, buf_span(&want_value), buf_span(&got_value));
	}
	buf_free(&want_value);
	buf_free(&got_value);
	return same;
}

static bool keep_first(void *ctx, const struct mime_part *part)
{
	*(struct mime_part *)ctx = *part;
	return false;
}

static void decoded_body(struct span message, struct buf *ret_body)
{
	struct mime_part whole = { 0 };

	(void)mime_walk(message, keep_first, &whole);
	(void)mime_decode(&whole, ret_body);
}

/* The digests differ: is it still the same to a reader, and if not, where does it begin to differ? */
static void compare_closely(struct span want, struct span got, struct content_verdict *v)
{
	struct span want_header;
	struct span want_body;
	struct span got_header;
	struct span got_body;
	struct buf want_decoded = { 0 };
	struct buf got_decoded = { 0 };

	split(want, &want_header, &want_body);
	split(got, &got_header, &got_body);
	v->state = CONTENT_CORRUPTED;
	for (size_t i = 0; i < PROTECTED_UNLESS_TRANSFORMED_COUNT; i++)
		if (!same_field(want_header, got_header, protected_fields[i], v))
			return;
	decoded_body(want, &want_decoded);
	decoded_body(got, &got_decoded);
	if (!span_eq(buf_span(&want_decoded), buf_span(&got_decoded))) {
		set_difference(v, "body", want_body, got_body);
	} else {
		v->state = CONTENT_TRANSFORMED;
		if (span_eq(want_body, got_body))
			(void)snprintf(v->text, sizeof(v->text), "header fields were folded or encoded anew");
		else
			(void)snprintf(v->text, sizeof(v->text),
				       "body was encoded anew; it decodes to the same");
	}
	buf_free(&want_decoded);
	buf_free(&got_decoded);
}

void content_compare(const struct content_spec *original, const struct content_digest *digest,
		     struct span retrieved, struct content_verdict *ret_verdict)
{
	struct content_digest got;
	struct buf want = { 0 };

	*ret_verdict = (struct content_verdict){ .state = CONTENT_INTACT };
	content_digest(retrieved, &got);
	if (memcmp(&got, digest, sizeof(got)) == 0)
		return;
	content_make(original, &want);
	compare_closely(buf_span(&want), retrieved, ret_verdict);
	buf_free(&want);
}
