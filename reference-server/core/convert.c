#include "reference-server/core/convert.h"

#include "reference-server/core/base64.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/quoted_printable.h"

#include <string.h>

enum {
	LINE_BYTES_MAX = 998,   /* RFC 5322 2.1.1 */
	BASE64_LINE_BYTES = 57, /* plain bytes for 76 characters */
	BOUNDARY_BYTES_MAX = 256,
	TYPE_BYTES_MAX = 128,
};

/* How a part's bytes are written already (RFC 2045 6.1). */
enum encoding { ENCODING_NONE, ENCODING_DONE, ENCODING_UNKNOWN };

/* A header section and what matters of it. */
struct entity {
	struct span header; /* its fields, without the empty line */
	struct span gap;    /* the empty line */
	struct span body;
	struct span encoding_field; /* whole, or empty */
	bool has_type, has_version;
	enum encoding encoding;
	char type
		[TYPE_BYTES_MAX]; /* "text/plain" in lower case; "" when it has none, or none that can be read */
	char boundary[BOUNDARY_BYTES_MAX];
};

enum place { PLACE_MESSAGE, PLACE_PART, PLACE_DIGEST_PART };

static enum convert_result convert_entity(struct buf *out, struct span s, enum place place, unsigned depth);

bool convert_is_7bit(struct span s)
{
	size_t line_bytes = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
			line_bytes = 0;
			i++;
		} else if (c == 0 || c >= 0x80 || c == '\r' || c == '\n' || ++line_bytes > LINE_BYTES_MAX) {
			return false;
		}
	}
	return true;
}

static bool is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* ---- header fields ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Behind the CRLF that ends the line at `at`, or the end. */
static size_t next_line(struct span s, size_t at)
{
	while (at < s.n) {
		at += span_find(span_sub(s, at, s.n), '\n') + 1;
		if (at >= 2 && at <= s.n && s.p[at - 2] == '\r')
			return at;
	}
	return s.n;
}

/* The field at `at`, its continuation lines included. */
static struct span field_at(struct span s, size_t at)
{
	size_t end = next_line(s, at);

	while (end < s.n && is_blank(s.p[end]))
		end = next_line(s, end);
	return span_sub(s, at, end - at);
}

static bool is_field(struct span f)
{
	size_t colon = span_find(f, ':');

	for (size_t i = 0; i < colon; i++)
		if ((unsigned char)f.p[i] <= ' ' && !(is_blank(f.p[i]) && i > 0))
			return false;
	return colon > 0 && colon < f.n;
}

/* Skips blanks, line ends and comments (RFC 5322 3.2.2). */
static void skip_cfws(struct span *s)
{
	unsigned depth = 0;

	while (s->n > 0) {
		char c = s->p[0];
		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (c == '\\' && depth > 0 && s->n > 1)
			*s = span_sub(*s, 1, s->n);
		else if (depth == 0 && !is_blank(c) && c != '\r' && c != '\n')
			return;
		*s = span_sub(*s, 1, s->n);
	}
}

static bool is_token_char(char c)
{
	return c > ' ' && c < 0x7F && memchr("()<>@,;:\\\"/[]?=", c, 15) == NULL;
}

/* RFC 2045 5.1.  Empty when there is none. */
static struct span take_token(struct span *s)
{
	size_t n = 0;

	skip_cfws(s);
	while (n < s->n && is_token_char(s->p[n]))
		n++;
	struct span token = span_sub(*s, 0, n);
	*s = span_sub(*s, n, s->n);
	return token;
}

static bool take_char(struct span *s, char c)
{
	skip_cfws(s);
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_sub(*s, 1, s->n);
	return true;
}

/* A token or a quoted string.  False when it is neither, or too long. */
static bool take_value(struct span *s, char *ret_value, size_t value_bytes)
{
	size_t n = 0;

	if (!take_char(s, '"')) {
		struct span token = take_token(s);
		return token.n > 0 && span_copy(token, ret_value, value_bytes);
	}
	for (; s->n > 0 && s->p[0] != '"'; *s = span_sub(*s, 1, s->n)) {
		if (s->p[0] == '\\' && s->n > 1)
			*s = span_sub(*s, 1, s->n);
		if (s->p[0] == '\r' || s->p[0] == '\n')
			continue; /* folding */
		if (n + 1 >= value_bytes || s->p[0] == '\0')
			return false;
		ret_value[n++] = s->p[0];
	}
	ret_value[n] = '\0';
	return take_char(s, '"');
}

static void lower(char *s)
{
	for (; *s != '\0'; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

/* False when the boundary, if there is one, cannot be read. */
static bool read_type(struct entity *e, struct span value)
{
	char unused[BOUNDARY_BYTES_MAX * 4];
	struct span type = take_token(&value);
	struct span subtype = take_char(&value, '/') ? take_token(&value) : (struct span){ NULL, 0 };

	e->has_type = true;
	if (type.n == 0 || subtype.n == 0 || type.n + subtype.n + 2 > sizeof(e->type))
		return true; /* RFC 2045 5.2: as if it were not there */
	memcpy(e->type, type.p, type.n);
	e->type[type.n] = '/';
	memcpy(e->type + type.n + 1, subtype.p, subtype.n);
	lower(e->type);
	while (take_char(&value, ';')) {
		struct span name = take_token(&value);
		bool is_boundary = span_eq_nocase(name, SPAN_LIT("boundary"));
		if (name.n == 0)
			continue;
		if (!take_char(&value, '='))
			return false;
		if (is_boundary && e->boundary[0] != '\0')
			return false; /* which of the two? */
		if (!take_value(&value, is_boundary ? e->boundary : unused,
				is_boundary ? sizeof(e->boundary) : sizeof(unused)))
			return !is_boundary && strncmp(e->type, "multipart/", 10) != 0;
	}
	return true;
}

static void read_encoding(struct entity *e, struct span value)
{
	struct span token = take_token(&value);

	e->encoding = ENCODING_UNKNOWN;
	skip_cfws(&value);
	if (value.n > 0)
		return;
	if (span_eq_nocase(token, SPAN_LIT("7bit")) || span_eq_nocase(token, SPAN_LIT("8bit")) ||
	    span_eq_nocase(token, SPAN_LIT("binary")))
		e->encoding = ENCODING_NONE;
	else if (span_eq_nocase(token, SPAN_LIT("quoted-printable")) ||
		 span_eq_nocase(token, SPAN_LIT("base64")))
		e->encoding = ENCODING_DONE;
}

/* False when what it says is not clear. */
static bool read_field(struct entity *e, struct span field)
{
	size_t colon = span_find(field, ':');
	struct span name = span_trim(span_sub(field, 0, colon));
	struct span value = span_sub(field, colon + 1, field.n);

	if (span_eq_nocase(name, SPAN_LIT("MIME-Version"))) {
		e->has_version = true;
	} else if (span_eq_nocase(name, SPAN_LIT("Content-Type"))) {
		return !e->has_type && read_type(e, value);
	} else if (span_eq_nocase(name, SPAN_LIT("Content-Transfer-Encoding"))) {
		if (e->encoding_field.n > 0)
			return false;
		e->encoding_field = field;
		read_encoding(e, value);
	}
	return true;
}

/* A part may have no header at all: then it begins with the empty line. */
static bool read_entity(struct entity *e, struct span s)
{
	size_t at = 0;

	*e = (struct entity){ .encoding = ENCODING_NONE };
	while (at < s.n && !(s.n - at >= 2 && s.p[at] == '\r' && s.p[at + 1] == '\n')) {
		struct span field = field_at(s, at);
		if (!is_field(field) || !read_field(e, field))
			return false;
		at += field.n;
	}
	e->header = span_sub(s, 0, at);
	e->gap = span_sub(s, at, 2);
	e->body = span_sub(s, at + e->gap.n, s.n);
	return true;
}

/* ---- writing ---- */

/* The header with another encoding in the place of the one it has, or behind the other fields. */
static void add_header(struct buf *out, const struct entity *e, const char *encoding, bool is_message)
{
	size_t before = e->encoding_field.n > 0 ? (size_t)(e->encoding_field.p - e->header.p) : e->header.n;
	struct span first = span_sub(e->header, 0, before);

	buf_add(out, first);
	if (first.n > 0 && first.p[first.n - 1] != '\n')
		buf_add_cstr(out, "\r\n");
	if (encoding != NULL)
		buf_addf(out, "Content-Transfer-Encoding: %s\r\n", encoding);
	buf_add(out, span_sub(e->header, before + e->encoding_field.n, e->header.n));
	if (is_message && !e->has_version) {
		buf_add_cstr(out, "MIME-Version: 1.0\r\n");
		if (!e->has_type)
			buf_add_cstr(out, "Content-Type: text/plain; charset=unknown-8bit\r\n");
	}
	buf_add_cstr(out, "\r\n");
}

static void add_base64_lines(struct buf *out, struct span bytes, bool is_message)
{
	for (size_t at = 0; at < bytes.n; at += BASE64_LINE_BYTES) {
		if (at > 0)
			buf_add_cstr(out, "\r\n");
		base64_encode(out, span_sub(bytes, at, BASE64_LINE_BYTES));
	}
	if (is_message) /* a part's last line end belongs to the delimiter behind it */
		buf_add_cstr(out, "\r\n");
}

/* Quoted-printable where most can be read so; it keeps the lines of text. */
static void add_leaf(struct buf *out, const struct entity *e, bool is_message)
{
	bool is_text = e->type[0] == '\0' || strncmp(e->type, "text/", 5) == 0 ||
		       strncmp(e->type, "message/", 8) == 0;
	size_t high_count = 0;

	for (size_t i = 0; i < e->body.n; i++)
		high_count += (unsigned char)e->body.p[i] >= 0x80;
	if (!is_text || high_count > e->body.n / 3) {
		add_header(out, e, "base64", is_message);
		add_base64_lines(out, e->body, is_message);
		return;
	}
	add_header(out, e, "quoted-printable", is_message);
	quoted_printable_encode(out, e->body, false);
	bool ended = e->body.n >= 2 && memcmp(e->body.p + e->body.n - 2, "\r\n", 2) == 0;
	if (is_message && !ended)
		buf_add_cstr(out, "=\r\n");
}

/* ---- multiparts (RFC 2046 5.1) ---- */

enum delimiter { NO_DELIMITER, DELIMITER, LAST_DELIMITER };

/* Whether the line is one; blanks may follow. */
static enum delimiter delimiter_of(struct span line, const char *boundary)
{
	size_t n = strlen(boundary);
	bool last = false;

	if (line.n < n + 2 || line.p[0] != '-' || line.p[1] != '-' || memcmp(line.p + 2, boundary, n) != 0)
		return NO_DELIMITER;
	line = span_sub(line, n + 2, line.n);
	if (line.n >= 2 && line.p[0] == '-' && line.p[1] == '-') {
		last = true;
		line = span_sub(line, 2, line.n);
	}
	while (line.n > 0 && (is_blank(line.p[0]) || line.p[0] == '\r' || line.p[0] == '\n'))
		line = span_sub(line, 1, line.n);
	if (line.n > 0)
		return NO_DELIMITER;
	return last ? LAST_DELIMITER : DELIMITER;
}

/* From `at` to the next delimiter, or the end.  The line end in front of a delimiter is its own. */
static struct span piece_at(struct span body, size_t at, const char *boundary, struct span *ret_delimiter,
			    enum delimiter *ret_kind)
{
	for (size_t line = at; line < body.n;) {
		size_t next = next_line(body, line);
		*ret_kind = delimiter_of(span_sub(body, line, next - line), boundary);
		if (*ret_kind != NO_DELIMITER) {
			size_t begin = line >= at + 2 ? line - 2 : at;
			*ret_delimiter = span_sub(body, begin, next - begin);
			return span_sub(body, at, begin - at);
		}
		line = next;
	}
	*ret_kind = NO_DELIMITER;
	*ret_delimiter = (struct span){ NULL, 0 };
	return span_sub(body, at, body.n);
}

static enum convert_result convert_multipart(struct buf *out, const struct entity *e, bool is_message,
					     unsigned depth)
{
	struct span piece, delimiter;
	enum delimiter kind = DELIMITER;
	enum place place = strcmp(e->type, "multipart/digest") == 0 ? PLACE_DIGEST_PART : PLACE_PART;
	size_t at = 0;

	if (e->boundary[0] == '\0' || e->encoding != ENCODING_NONE)
		return CONVERT_MALFORMED;
	add_header(out, e, MUTANT(RELAY_ENCODED_MULTIPART) ? "base64" : "7bit", is_message);
	for (bool in_part = false; kind != NO_DELIMITER; in_part = kind == DELIMITER) {
		piece = piece_at(e->body, at, e->boundary, &delimiter, &kind);
		at += piece.n + delimiter.n;
		if (in_part) {
			enum convert_result result = convert_entity(out, piece, place, depth + 1);
			if (result != CONVERT_OK)
				return result;
		} else if (convert_is_7bit(piece)) { /* what is in front, or behind, is not for reading */
			buf_add(out, piece);
		} else {
			return CONVERT_MALFORMED;
		}
		if (!convert_is_7bit(
			    delimiter)) /* a CR too many: whether it is one would have to be guessed */
			return CONVERT_MALFORMED;
		buf_add(out, delimiter);
		if (kind == LAST_DELIMITER) {
			struct span rest = span_sub(e->body, at, e->body.n);
			buf_add(out, rest);
			return convert_is_7bit(rest) ? CONVERT_OK : CONVERT_MALFORMED;
		}
	}
	return CONVERT_OK;
}

static enum convert_result convert_entity(struct buf *out, struct span s, enum place place, unsigned depth)
{
	struct entity e;
	bool is_message = place == PLACE_MESSAGE;

	if (convert_is_7bit(s)) {
		buf_add(out, s);
		return CONVERT_OK;
	}
	if (depth > CONVERT_DEPTH_MAX || !read_entity(&e, s))
		return CONVERT_MALFORMED;
	if (place == PLACE_DIGEST_PART && !e.has_type) /* RFC 2046 5.1.5 */
		memcpy(e.type, "message/rfc822", sizeof("message/rfc822"));
	if (!is_ascii(e.header))
		return CONVERT_HEADER;
	if (!convert_is_7bit(e.header) || e.encoding == ENCODING_UNKNOWN)
		return CONVERT_MALFORMED;
	if (strcmp(e.type, "multipart/signed") == 0)
		return CONVERT_SIGNED;
	if (strncmp(e.type, "multipart/", 10) == 0)
		return convert_multipart(out, &e, is_message, depth);
	if (e.encoding != ENCODING_NONE)
		return CONVERT_MALFORMED; /* 8 bits where it promises none */
	if (strcmp(e.type, "message/rfc822") == 0 || strcmp(e.type, "message/news") == 0) {
		add_header(out, &e, "7bit", is_message);
		return convert_entity(out, e.body, PLACE_MESSAGE, depth + 1);
	}
	/* RFC 2046 5.2: 7bit only; RFC 6532 3.7 and 6533 4: those of mail in UTF-8 may be encoded. */
	if (strncmp(e.type, "message/", 8) == 0 && strncmp(e.type, "message/global", 14) != 0)
		return CONVERT_MALFORMED;
	add_leaf(out, &e, is_message);
	return CONVERT_OK;
}

enum convert_result convert_to_7bit(struct buf *out, struct span message)
{
	return convert_entity(out, message, PLACE_MESSAGE, 0);
}
