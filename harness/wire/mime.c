#include "harness/wire/mime.h"

#include "harness/wire/base64.h"
#include "harness/wire/message.h"

#include <assert.h>
#include <string.h>

/* ---- Content-Type ---- */
static bool is_token_char(char c)
{
	/* RFC 2045 section 5.1: no controls, blanks, tspecials. */
	return c > 32 && c < 127 && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* Blanks, line ends and comments; false when a comment does not end. */
static bool skip_cfws(struct span *s)
{
	uint32_t depth = 0;
	while (s->n > 0) {
		char c = s->p[0];
		size_t n = 1;
		if (depth > 0 && c == '\\' && s->n > 1)
			n = 2;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			return true;
		*s = span_sub(*s, n, s->n);
	}
	return depth == 0;
}

static struct span take_token(struct span *s)
{
	size_t n = 0;
	while (n < s->n && is_token_char(s->p[n]))
		n++;
	struct span token = { s->p, n };
	*s = span_sub(*s, n, s->n);
	return token;
}

static bool take_char(struct span *s, char c)
{
	if (!skip_cfws(s) || s->n == 0 || s->p[0] != c)
		return false;
	*s = span_sub(*s, 1, s->n);
	return skip_cfws(s);
}

static bool take_type(struct span *value, struct span *ret_type, struct span *ret_subtype)
{
	if (!skip_cfws(value))
		return false;
	struct span type = take_token(value);
	if (type.n == 0 || !take_char(value, '/'))
		return false;
	struct span subtype = take_token(value);
	if (subtype.n == 0)
		return false;
	*ret_type = type;
	*ret_subtype = subtype;
	return true;
}

/* Appends what stands between quotes, escapes undone; *s begins behind the opening one. */
static bool take_quoted(struct span *s, struct buf *ret_value)
{
	while (s->n > 0 && s->p[0] != '"') {
		if (s->p[0] == '\\' && s->n > 1)
			*s = span_sub(*s, 1, s->n);
		if (s->p[0] != '\r' && s->p[0] != '\n')
			buf_add(ret_value, span_sub(*s, 0, 1));
		*s = span_sub(*s, 1, s->n);
	}
	if (s->n == 0)
		return false;
	*s = span_sub(*s, 1, s->n);
	return true;
}

static bool take_value(struct span *s, struct buf *ret_value)
{
	if (s->n > 0 && s->p[0] == '"') {
		*s = span_sub(*s, 1, s->n);
		return take_quoted(s, ret_value);
	}
	struct span token = take_token(s);
	buf_add(ret_value, token);
	return token.n > 0;
}

bool mime_param(struct span content_type, struct span name, struct buf *ret_value)
{
	struct span rest = content_type;
	struct span type, subtype;
	if (!take_type(&rest, &type, &subtype))
		return false;
	size_t before = buf_bytes(ret_value);
	while (take_char(&rest, ';')) {
		struct span key = take_token(&rest);
		if (key.n == 0 && rest.n == 0)
			break;
		bool good = key.n > 0 && take_char(&rest, '=') && take_value(&rest, ret_value);
		if (good && span_eq_nocase(key, name))
			return true;
		buf_truncate(ret_value, before);
		if (!good)
			break;
	}
	return false;
}

/* ---- parts ---- */
struct walk {
	mime_fn *fn;
	void *ctx;
	uint32_t notes;
	uint32_t part_count;
	bool stopped;
};

static void describe(struct span entity, bool in_digest, struct mime_part *ret_part)
{
	struct field f;
	(void)message_split(entity, &ret_part->header, &ret_part->body);
	ret_part->type = in_digest ? SPAN_LIT("message") : SPAN_LIT("text");
	ret_part->subtype = in_digest ? SPAN_LIT("rfc822") : SPAN_LIT("plain");
	ret_part->encoding = SPAN_LIT("7bit");
	ret_part->content_type = (struct span){ 0 };
	if (field_find(ret_part->header, SPAN_LIT("Content-Type"), 0, &f)) {
		struct span rest = f.raw;
		if (take_type(&rest, &ret_part->type, &ret_part->subtype))
			ret_part->content_type = f.raw;
	}
	if (field_find(ret_part->header, SPAN_LIT("Content-Transfer-Encoding"), 0, &f)) {
		struct span rest = f.raw;
		struct span token = { 0 };
		if (skip_cfws(&rest))
			token = take_token(&rest);
		if (token.n > 0)
			ret_part->encoding = token;
	}
}

enum delimiter { DELIMITER_NONE, DELIMITER_OPEN, DELIMITER_CLOSE };

/* RFC 2046 section 5.1.1: "--" boundary, "--" when closing, blanks, line end. */
static enum delimiter delimiter_of(struct span line, struct span boundary)
{
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r' ||
			      line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	if (line.n < 2 + boundary.n || memcmp(line.p, "--", 2) != 0 ||
	    memcmp(line.p + 2, boundary.p, boundary.n) != 0)
		return DELIMITER_NONE;
	struct span rest = span_sub(line, 2 + boundary.n, line.n);
	if (rest.n == 0)
		return DELIMITER_OPEN;
	return span_eq(rest, SPAN_LIT("--")) ? DELIMITER_CLOSE : DELIMITER_NONE;
}

/* The line end before a delimiter belongs to the delimiter. */
static struct span without_last_line_end(struct span s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n') {
		s.n--;
		if (s.n > 0 && s.p[s.n - 1] == '\r')
			s.n--;
	}
	return s;
}

static void walk_entity(struct walk *w, struct span entity, uint32_t depth, uint32_t parent, bool in_digest);

static void walk_children(struct walk *w, const struct mime_part *part, struct span boundary)
{
	bool digest = span_eq_nocase(part->subtype, SPAN_LIT("digest"));
	struct span rest = part->body;
	size_t begin = 0; /* of the current part, in the body */
	bool inside = false, closed = false, opened = false;
	while (rest.n > 0 && !closed && !w->stopped) {
		size_t at = part->body.n - rest.n;
		size_t n = span_find(rest, '\n');
		struct span line = span_sub(rest, 0, n < rest.n ? n + 1 : n);
		rest = span_sub(rest, line.n, rest.n);
		enum delimiter d = delimiter_of(line, boundary);
		if (d == DELIMITER_NONE)
			continue;
		if (inside)
			walk_entity(w, without_last_line_end(span_sub(part->body, begin, at - begin)),
				    part->depth + 1, part->index, digest);
		opened = true;
		inside = true;
		closed = d == DELIMITER_CLOSE;
		begin = at + line.n;
	}
	if (w->stopped)
		return;
	if (!opened)
		w->notes |= MIME_NO_OPENING;
	else if (!closed)
		w->notes |= MIME_UNCLOSED;
	if (inside && !closed)
		walk_entity(w, span_sub(part->body, begin, part->body.n), part->depth + 1, part->index,
			    digest);
}

static bool encoding_is(const struct mime_part *part, const char *name)
{
	return span_eq_nocase(part->encoding, span_of(name));
}

static bool is_identity(const struct mime_part *part)
{
	return encoding_is(part, "7bit") || encoding_is(part, "8bit") || encoding_is(part, "binary");
}

static void walk_multipart(struct walk *w, const struct mime_part *part)
{
	struct buf boundary = { 0 };
	bool good = mime_param(part->content_type, SPAN_LIT("boundary"), &boundary) &&
		    buf_bytes(&boundary) > 0 && buf_bytes(&boundary) <= MIME_BOUNDARY_CHARS_MAX;
	if (good)
		walk_children(w, part, buf_span(&boundary));
	else
		w->notes |= MIME_NO_BOUNDARY;
	buf_free(&boundary);
}

static void walk_entity(struct walk *w, struct span entity, uint32_t depth, uint32_t parent, bool in_digest)
{
	if (w->stopped)
		return;
	if (depth > MIME_DEPTH_MAX || w->part_count == MIME_PARTS_MAX) {
		w->notes |= depth > MIME_DEPTH_MAX ? MIME_TOO_DEEP : MIME_TOO_MANY;
		w->stopped = true;
		return;
	}
	struct mime_part part = { .depth = depth, .parent = parent, .index = w->part_count++ };
	describe(entity, in_digest, &part);
	bool multipart = span_eq_nocase(part.type, SPAN_LIT("multipart"));
	if (multipart && !is_identity(&part))
		w->notes |= MIME_ENCODED_MULTIPART;
	if (!w->fn(w->ctx, &part)) {
		w->stopped = true;
		return;
	}
	if (multipart)
		walk_multipart(w, &part);
	else if (span_eq_nocase(part.type, SPAN_LIT("message")) &&
		 span_eq_nocase(part.subtype, SPAN_LIT("rfc822")) && is_identity(&part))
		walk_entity(w, part.body, depth + 1, part.index, false);
}

uint32_t mime_walk(struct span message, mime_fn *fn, void *ctx)
{
	struct walk w = { .fn = fn, .ctx = ctx };
	walk_entity(&w, message, 0, 0, false);
	return w.notes;
}

struct search {
	struct span type;
	struct span subtype;
	struct mime_part *ret_part;
	bool found;
};

static bool search_fn(void *ctx, const struct mime_part *part)
{
	struct search *s = ctx;
	if (part->depth == 0 || !span_eq_nocase(part->type, s->type) ||
	    !span_eq_nocase(part->subtype, s->subtype))
		return true;
	*s->ret_part = *part;
	s->found = true;
	return false;
}

bool mime_find(struct span message, struct span type, struct span subtype, struct mime_part *ret_part)
{
	struct search s = { .type = type, .subtype = subtype, .ret_part = ret_part };
	(void)mime_walk(message, search_fn, &s);
	return s.found;
}

bool mime_decode(const struct mime_part *part, struct buf *ret_bytes)
{
	if (encoding_is(part, "base64"))
		return base64_decode_mime(part->body, ret_bytes);
	if (encoding_is(part, "quoted-printable"))
		return quoted_printable_decode(part->body, ret_bytes);
	buf_add(ret_bytes, part->body);
	return is_identity(part);
}

/* ---- message/delivery-status ---- */
bool status_group_next(struct span *body, struct span *ret_group)
{
	while (body->n > 0) {
		struct span group, rest;
		(void)message_split(*body, &group, &rest);
		*body = rest;
		if (group.n > 0) {
			*ret_group = group;
			return true;
		}
	}
	return false;
}

bool status_typed_value(struct span value, struct span *ret_type, struct span *ret_value)
{
	struct span rest = value;
	struct span type;
	if (!span_take_until(&rest, ';', &type))
		return false;
	*ret_type = span_trim(type);
	*ret_value = span_trim(rest);
	return true;
}
