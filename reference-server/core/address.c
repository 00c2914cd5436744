#include "reference-server/core/address.h"

#include "reference-server/core/utf8.h"

#include <assert.h>
#include <string.h>

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_let_dig(char c)
{
	return is_alpha(c) || is_digit(c);
}

static bool is_hex_digit(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static char lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
}

/* RFC 5322 3.2.3 atext. */
static bool is_atext(char c)
{
	return is_let_dig(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool peek_char(struct span s, char c)
{
	return s.n > 0 && s.p[0] == c;
}

static bool take_char(struct span *s, char c)
{
	if (!peek_char(*s, c))
		return false;
	*s = span_sub(*s, 1, s->n);
	return true;
}

/* Cuts the first n bytes off *s. */
static struct span take_bytes(struct span *s, size_t n)
{
	struct span head = span_sub(*s, 0, n);
	*s = span_sub(*s, n, s->n);
	return head;
}

/* ---- local-part ------------------------------------------------------------ */

/* Bytes of the atext at index i, a whole character (RFC 6531 3.3); 0 when there is none. */
static size_t atext_bytes(struct span s, size_t i)
{
	return is_atext(s.p[i]) ? 1 : utf8_char_bytes(s, i);
}

/* Bytes of the Dot-string at the front of s; 0 when there is none. */
static size_t dot_string_bytes(struct span s)
{
	size_t n = 0;

	while (n < s.n) {
		size_t more = atext_bytes(s, n);
		if (more == 0 && s.p[n] == '.' && n > 0 && s.p[n - 1] != '.')
			more = 1;
		if (more == 0)
			break;
		n += more;
	}
	return n > 0 && s.p[n - 1] == '.' ? 0 : n;
}

/* Bytes of the Quoted-string at the front of s, quotes included; 0 when it is none. */
static size_t quoted_string_bytes(struct span s)
{
	for (size_t i = 1; i < s.n; i++) {
		size_t wide = utf8_char_bytes(s, i);
		if (s.p[i] == '"')
			return i + 1;
		if (wide > 0) {
			i += wide - 1;
			continue;
		}
		if (s.p[i] == '\\')
			i++;
		if (i >= s.n || s.p[i] < ' ' || s.p[i] > '~')
			return 0;
	}
	return 0;
}

static enum address_result take_local(struct span *s, struct span *ret_local)
{
	size_t n = peek_char(*s, '"') ? quoted_string_bytes(*s) : dot_string_bytes(*s);

	if (n == 0)
		return ADDRESS_SYNTAX;
	if (n > ADDRESS_LOCAL_BYTES_MAX)
		return ADDRESS_LOCAL_TOO_LONG;
	*ret_local = take_bytes(s, n);
	return ADDRESS_OK;
}

/* ---- domain ---------------------------------------------------------------- */

static bool is_label(struct span s)
{
	if (s.n == 0 || s.p[s.n - 1] == '-')
		return false;
	return s.n <= ADDRESS_LABEL_BYTES_MAX || !utf8_is_ascii(s);
}

/*
 * Bytes of the Domain at the front of s; 0 when there is none.  Of a label that is not ASCII only the form is
 * looked at: whether it is a U-label, and how long its A-label is, takes tables (RFC 5890 2.3.2.1).
 */
static size_t domain_bytes(struct span s)
{
	size_t label_start = 0;

	for (size_t i = 0;;) {
		size_t wide = i < s.n ? utf8_char_bytes(s, i) : 0;
		if (i < s.n && (is_let_dig(s.p[i]) || (s.p[i] == '-' && i > label_start) || wide > 0)) {
			i += wide > 0 ? wide : 1;
			continue;
		}
		if (!is_label(span_sub(s, label_start, i - label_start)))
			return 0;
		if (i == s.n || s.p[i] != '.')
			return i;
		label_start = ++i;
	}
}

static bool is_ipv4(struct span s)
{
	for (int part = 0; part < 4; part++) {
		size_t digits = 0;
		unsigned value = 0;

		if (part > 0 && !take_char(&s, '.'))
			return false;
		for (; digits < s.n && digits < 3 && is_digit(s.p[digits]); digits++)
			value = value * 10 + (unsigned)(s.p[digits] - '0');
		if (digits == 0 || value > 255)
			return false;
		(void)take_bytes(&s, digits);
	}
	return s.n == 0;
}

/*
 * Cuts "1:2:…" groups off *s and counts them; a trailing IPv4 part counts as
 * two.  False when what is there is no group.  Stops before "::".
 */
static bool take_ipv6_groups(struct span *s, uint32_t *ret_count)
{
	*ret_count = 0;
	for (;;) {
		size_t digits = 0;

		if (is_ipv4(*s)) {
			(void)take_bytes(s, s->n);
			*ret_count += 2;
			return true;
		}
		while (digits < s->n && digits < 4 && is_hex_digit(s->p[digits]))
			digits++;
		if (digits == 0)
			return false;
		(void)take_bytes(s, digits);
		++*ret_count;
		if (!peek_char(*s, ':') || span_starts_nocase(*s, SPAN_LIT("::")))
			return true;
		(void)take_bytes(s, 1);
	}
}

/* RFC 5321 4.1.3: "::" stands for at least two groups of zeros. */
static bool is_ipv6(struct span s)
{
	uint32_t before = 0;
	uint32_t after = 0;

	if (!span_starts_nocase(s, SPAN_LIT("::")) && !take_ipv6_groups(&s, &before))
		return false;
	if (s.n == 0)
		return before == 8;
	if (!span_take_prefix_nocase(&s, SPAN_LIT("::")))
		return false;
	if (s.n > 0 && !take_ipv6_groups(&s, &after))
		return false;
	return s.n == 0 && before + after <= 6;
}

static bool is_general_literal(struct span s)
{
	struct span tag;

	if (!span_take_until(&s, ':', &tag) || tag.n == 0 || s.n == 0 || tag.p[tag.n - 1] == '-')
		return false;
	for (size_t i = 0; i < tag.n; i++)
		if (!is_let_dig(tag.p[i]) && tag.p[i] != '-')
			return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '[' || s.p[i] == '\\' || s.p[i] == ']')
			return false;
	return true;
}

/* Without its brackets. */
static bool is_literal_body(struct span s)
{
	if (span_take_prefix_nocase(&s, SPAN_LIT("IPv6:")))
		return is_ipv6(s);
	return is_ipv4(s) || is_general_literal(s);
}

static struct span literal_body(struct span literal)
{
	return span_sub(literal, 1, literal.n - 2);
}

/* Bytes of the address literal at the front of s, brackets included; 0 when there is none. */
static size_t literal_bytes(struct span s)
{
	size_t n = span_find(s, ']');

	if (n == s.n || !peek_char(s, '[') || !is_literal_body(span_sub(s, 1, n - 1)))
		return 0;
	return n + 1;
}

bool address_is_domain(struct span text)
{
	return text.n > 0 && text.n <= ADDRESS_DOMAIN_BYTES_MAX && utf8_is_ascii(text) &&
	       domain_bytes(text) == text.n;
}

bool address_is_literal(struct span text)
{
	return text.n > 0 && text.n <= ADDRESS_DOMAIN_BYTES_MAX && literal_bytes(text) == text.n;
}

bool address_literal_ip(struct span literal, struct span *ret_ip, bool *ret_is_ipv6)
{
	assert(ret_ip != NULL);
	assert(ret_is_ipv6 != NULL);
	if (!address_is_literal(literal))
		return false;
	struct span body = literal_body(literal);
	bool v6 = span_take_prefix_nocase(&body, SPAN_LIT("IPv6:"));
	if (!v6 && !is_ipv4(body))
		return false;
	*ret_ip = body;
	*ret_is_ipv6 = v6;
	return true;
}

/* ---- mailboxes and paths --------------------------------------------------- */

static enum address_result take_domain(struct span *s, struct span *ret_domain)
{
	size_t n = peek_char(*s, '[') ? literal_bytes(*s) : domain_bytes(*s);

	if (n == 0)
		return ADDRESS_SYNTAX;
	if (n > ADDRESS_DOMAIN_BYTES_MAX)
		return ADDRESS_DOMAIN_TOO_LONG;
	*ret_domain = take_bytes(s, n);
	return ADDRESS_OK;
}

static enum address_result take_mailbox(struct span *s, struct address *ret_address)
{
	enum address_result r = take_local(s, &ret_address->local);

	if (r == ADDRESS_OK && !take_char(s, '@'))
		r = ADDRESS_SYNTAX;
	return r == ADDRESS_OK ? take_domain(s, &ret_address->domain) : r;
}

/* "@a.example,@b.example:", which is checked and forgotten (RFC 5321 4.1.2, appendix C). */
static enum address_result take_source_route(struct span *s)
{
	struct span host;

	do {
		if (!take_char(s, '@') || peek_char(*s, '['))
			return ADDRESS_SYNTAX;
		enum address_result r = take_domain(s, &host);
		if (r != ADDRESS_OK)
			return r;
	} while (take_char(s, ','));
	return take_char(s, ':') ? ADDRESS_OK : ADDRESS_SYNTAX;
}

static enum address_result take_path(struct span *s, struct address *ret_address)
{
	enum address_result r = ADDRESS_OK;
	struct span rest = *s;

	if (!take_char(&rest, '<'))
		return ADDRESS_SYNTAX;
	if (peek_char(rest, '@'))
		r = take_source_route(&rest);
	if (r == ADDRESS_OK)
		r = take_mailbox(&rest, ret_address);
	if (r == ADDRESS_OK && !take_char(&rest, '>'))
		r = ADDRESS_SYNTAX;
	if (r != ADDRESS_OK)
		return r;
	if (s->n - rest.n > ADDRESS_PATH_BYTES_MAX)
		return ADDRESS_PATH_TOO_LONG;
	*s = rest;
	return ADDRESS_OK;
}

static enum address_result explain(enum address_result r, struct span text)
{
	return r == ADDRESS_SYNTAX && !utf8_is_ascii(text) ? ADDRESS_SYNTAX_8BIT : r;
}

/* The one domainless path beside <>: RFC 5321 4.1.1.3. */
static bool take_bare_postmaster(struct span *s, struct address *ret_address)
{
	struct span rest = *s;
	struct span name = span_sub(rest, 1, SPAN_LIT("postmaster").n);

	if (!span_take_prefix_nocase(&rest, SPAN_LIT("<postmaster>")))
		return false;
	*ret_address = (struct address){ .local = name };
	*s = rest;
	return true;
}

enum address_result address_take_reverse_path(struct span *text, struct address *ret_address)
{
	struct address a = { 0 };

	if (!span_take_prefix_nocase(text, SPAN_LIT("<>"))) {
		enum address_result r = take_path(text, &a);
		if (r != ADDRESS_OK)
			return explain(r, *text);
	}
	*ret_address = a;
	return ADDRESS_OK;
}

enum address_result address_take_forward_path(struct span *text, struct address *ret_address)
{
	struct address a = { 0 };

	if (!take_bare_postmaster(text, &a)) {
		enum address_result r = take_path(text, &a);
		if (r != ADDRESS_OK)
			return explain(r, *text);
	}
	*ret_address = a;
	return ADDRESS_OK;
}

enum address_result address_parse_mailbox(struct span text, struct address *ret_address)
{
	struct address a = { 0 };
	struct span rest = text;
	enum address_result r = take_mailbox(&rest, &a);

	if (r == ADDRESS_OK && rest.n > 0)
		r = ADDRESS_SYNTAX;
	if (r != ADDRESS_OK)
		return explain(r, text);
	*ret_address = a;
	return ADDRESS_OK;
}

enum address_result address_parse_text(struct span text, struct address *ret_address)
{
	if (text.n > 0 && !span_eq_nocase(text, SPAN_LIT("postmaster")))
		return address_parse_mailbox(text, ret_address);
	*ret_address = (struct address){ .local = text };
	return ADDRESS_OK;
}

/* ---- text forms and comparison --------------------------------------------- */

/* The local-part without quotes and backslashes; dst has room for local.n bytes. */
static struct span unquote(struct span local, char *dst)
{
	size_t n = 0;

	if (!peek_char(local, '"')) {
		if (local.n > 0)
			memcpy(dst, local.p, local.n);
		return (struct span){ dst, local.n };
	}
	for (size_t i = 1; i + 1 < local.n; i++) {
		if (local.p[i] == '\\')
			i++;
		dst[n++] = local.p[i];
	}
	return (struct span){ dst, n };
}

/* With as few quotes as possible; never longer than it was written. */
static size_t write_local(struct span local, char *dst)
{
	char plain_text[ADDRESS_LOCAL_BYTES_MAX];
	size_t n = 0;

	assert(local.n <= ADDRESS_LOCAL_BYTES_MAX);
	struct span plain = unquote(local, plain_text);
	if (dot_string_bytes(plain) == plain.n && (plain.n > 0 || local.n == 0)) {
		if (plain.n > 0)
			memcpy(dst, plain.p, plain.n);
		return plain.n;
	}
	dst[n++] = '"';
	for (size_t i = 0; i < plain.n; i++) {
		if (plain.p[i] == '"' || plain.p[i] == '\\')
			dst[n++] = '\\';
		dst[n++] = plain.p[i];
	}
	dst[n++] = '"';
	assert(n <= local.n);
	return n;
}

static size_t write_domain(struct span domain, char *dst)
{
	assert(domain.n <= ADDRESS_DOMAIN_BYTES_MAX);
	if (domain.n == 0)
		return 0;
	dst[0] = '@';
	memcpy(dst + 1, domain.p, domain.n);
	return domain.n + 1;
}

struct span address_text(struct address a, char dst[ADDRESS_TEXT_BYTES_MAX])
{
	size_t n = write_local(a.local, dst);
	return (struct span){ dst, n + write_domain(a.domain, dst + n) };
}

struct span address_key(struct address a, char dst[ADDRESS_TEXT_BYTES_MAX])
{
	assert(a.local.n <= ADDRESS_LOCAL_BYTES_MAX);
	size_t n = unquote(a.local, dst).n;

	n += write_domain(a.domain, dst + n);
	for (size_t i = 0; i < n; i++)
		dst[i] = lower(dst[i]);
	return (struct span){ dst, n };
}

void address_add_text(struct buf *out, struct address a)
{
	char text[ADDRESS_TEXT_BYTES_MAX];
	buf_add(out, address_text(a, text));
}

void address_add_key(struct buf *out, struct address a)
{
	char key[ADDRESS_TEXT_BYTES_MAX];
	buf_add(out, address_key(a, key));
}

/* The null path and a mailbox with an empty quoted local-part unquote alike. */
static bool same_kind(struct address a, struct address b)
{
	return (a.local.n == 0) == (b.local.n == 0) && span_eq_nocase(a.domain, b.domain);
}

bool address_eq(struct address a, struct address b)
{
	char plain_a[ADDRESS_LOCAL_BYTES_MAX];
	char plain_b[ADDRESS_LOCAL_BYTES_MAX];

	return same_kind(a, b) && span_eq(unquote(a.local, plain_a), unquote(b.local, plain_b));
}

bool address_eq_nocase(struct address a, struct address b)
{
	char plain_a[ADDRESS_LOCAL_BYTES_MAX];
	char plain_b[ADDRESS_LOCAL_BYTES_MAX];

	return same_kind(a, b) && span_eq_nocase(unquote(a.local, plain_a), unquote(b.local, plain_b));
}

bool address_is_ascii(struct address a)
{
	return utf8_is_ascii(a.local) && utf8_is_ascii(a.domain);
}

bool address_is_postmaster(struct address a)
{
	char plain[ADDRESS_LOCAL_BYTES_MAX];

	return a.local.n > 0 && span_eq_nocase(unquote(a.local, plain), SPAN_LIT("postmaster"));
}
