#include "reference-server/core/smtp_parameter.h"

#include "reference-server/core/address.h"
#include "reference-server/core/date.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/utf8.h"

#include <assert.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_keyword(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && (s.p[i] != '-' || i == 0))
			return false;
	return s.n > 0;
}

/* RFC 5321 4.1.2 esmtp-value, with what RFC 6531 3.3 adds: of where that belongs each parameter judges. */
static bool is_value(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 127 || s.p[i] == '=')
			return false;
	return s.n > 0 && utf8_is_valid(s);
}

struct parameter {
	struct span keyword;
	struct span value; /* empty when there is no '=' */
};

/* Cuts " keyword[=value]" off *rest, which is not empty. */
static bool take_parameter(struct span *rest, struct parameter *ret_parameter)
{
	struct span keyword;

	if (rest->p[0] != ' ')
		return false;
	while (rest->n > 0 && rest->p[0] == ' ')
		*rest = span_sub(*rest, 1, rest->n);
	size_t n = span_find(*rest, ' ');
	struct span value = span_sub(*rest, 0, n);
	*rest = span_sub(*rest, n, rest->n);
	if (!span_take_until(&value, '=', &keyword)) {
		*ret_parameter = (struct parameter){ .keyword = value };
		return is_keyword(value);
	}
	*ret_parameter = (struct parameter){ keyword, value };
	return is_keyword(keyword) && is_value(value);
}

/* RFC 1870 4: 1 to 20 digits; more than 64 bits hold is more than any maximum. */
static bool parse_size(struct span value, uint64_t *ret_bytes)
{
	if (value.n == 0 || value.n > 20)
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return false;
	if (!span_to_u64(value, ret_bytes))
		*ret_bytes = UINT64_MAX;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 4954 5, 8: xtext of a mailbox, or of "<>". */
static bool is_submitter(struct span xtext)
{
	char decoded[ADDRESS_TEXT_BYTES_MAX];
	struct address ignored;
	size_t n = 0;

	if (MUTANT(AUTH_PARAMETER_SHORT) && xtext.n > 200)
		return false;
	for (size_t i = 0; i < xtext.n; i++) {
		char c = xtext.p[i];
		if (n == sizeof(decoded))
			return false;
		if (c == '+') {
			int high = i + 2 < xtext.n ? hex_digit(xtext.p[i + 1]) : -1;
			int low = i + 2 < xtext.n ? hex_digit(xtext.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		decoded[n++] = c;
	}
	struct span mailbox = { decoded, n };
	return span_eq(mailbox, SPAN_LIT("<>")) || address_parse_mailbox(mailbox, &ignored) == ADDRESS_OK;
}

/* RFC 3461 4: printable ASCII without "+" and "=", or "+" and two upper case hex digits. */
static bool is_xtext(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '=' ||
		    (MUTANT(PARAMETER_NO_PARENTHESES) && s.p[i] == '('))
			return false;
		if (s.p[i] != '+')
			continue;
		if (s.n - i < 3 || hex_digit(s.p[i + 1]) < 0 || hex_digit(s.p[i + 2]) < 0)
			return false;
		i += 2;
	}
	return s.n > 0;
}

static bool same_word(struct span a, struct span b)
{
	return (MUTANT(PARAMETER_VALUE_IN_CAPITALS) ? span_eq : span_eq_nocase)(a, b);
}

static bool parse_ret(struct span value, enum smtp_ret *ret)
{
	if (same_word(value, SPAN_LIT("FULL")))
		*ret = SMTP_RET_FULL;
	else if (same_word(value, SPAN_LIT("HDRS")))
		*ret = SMTP_RET_HDRS;
	else
		return false;
	return true;
}

static bool parse_envid(struct span value, struct span *ret_envid)
{
	*ret_envid = value;
	return value.n <= SMTP_ENVID_BYTES_MAX / (MUTANT(PARAMETER_SHORT) ? 2 : 1) && is_xtext(value);
}

/* RFC 3461 4.1: NEVER alone, or a list of the others. */
static bool parse_notify(struct span value, unsigned *ret_notify)
{
	static const struct {
		struct span name;
		unsigned bit;
	} words[] = {
		{ { "SUCCESS", 7 }, SMTP_NOTIFY_SUCCESS },
		{ { "FAILURE", 7 }, SMTP_NOTIFY_FAILURE },
		{ { "DELAY", 5 }, SMTP_NOTIFY_DELAY },
	};
	unsigned notify = 0;

	if (same_word(value, SPAN_LIT("NEVER"))) {
		*ret_notify = SMTP_NOTIFY_NEVER;
		return true;
	}
	for (bool more = true; more;) {
		size_t n = span_find(value, ',');
		unsigned bit = 0;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (same_word(words[i].name, span_sub(value, 0, n)))
				bit = words[i].bit;
		if (bit == 0)
			return false;
		notify |= bit;
		more = n < value.n;
		value = span_sub(value, n + 1, value.n);
	}
	*ret_notify = notify;
	return true;
}

/*
 * RFC 6533 3: any of the three forms of a UTF-8 address, or what is none of them, which is carried along all
 * the same.  8-bit bytes only where SMTPUTF8 is offered.
 */
static bool is_utf8_form(struct span s, bool utf8_offered)
{
	return s.n > 0 && (utf8_offered || utf8_is_ascii(s));
}

static bool parse_orcpt(struct span value, bool utf8_offered, struct span *ret_orcpt)
{
	struct span type, rest = value;

	*ret_orcpt = value;
	if (value.n > SMTP_ORCPT_BYTES_MAX / (MUTANT(PARAMETER_SHORT) ? 2 : 1) ||
	    !span_take_until(&rest, ';', &type) || !is_keyword(type))
		return false;
	if (span_eq_nocase(type, SPAN_LIT("utf-8")))
		return is_utf8_form(rest, utf8_offered);
	return is_xtext(rest);
}

static enum smtp_parameter_result ok_if(bool ok)
{
	return ok || MUTANT(PARAMETER_ANY_VALUE) ? SMTP_PARAMETER_OK : SMTP_PARAMETER_BAD;
}

/* ---- RFC 2852, RFC 4865 ---- */

/* by-time ";" by-mode [by-trace]; no time left goes with notifying only. */
static bool parse_by(struct span value, struct smtp_mail_parameters *to)
{
	struct span seconds, rest = value;
	uint64_t magnitude;

	if (!span_take_until(&rest, ';', &seconds) || seconds.n == 0)
		return false;
	bool negative = seconds.p[0] == '-';
	if (negative || seconds.p[0] == '+')
		seconds = span_sub(seconds, 1, seconds.n);
	if (seconds.n > 9 || (MUTANT(BY_POSITIVE_ONLY) && negative) || !span_to_u64(seconds, &magnitude))
		return false;
	to->by_s = negative ? -(int64_t)magnitude : (int64_t)magnitude;
	if (span_take_prefix_nocase(&rest, SPAN_LIT("N")))
		to->by = SMTP_BY_NOTIFY;
	else if ((to->by_s > 0 || MUTANT(BY_NOTHING_LEFT)) && span_take_prefix_nocase(&rest, SPAN_LIT("R")))
		to->by = SMTP_BY_RETURN;
	else
		return false;
	to->by_trace = span_take_prefix_nocase(&rest, SPAN_LIT("T"));
	return rest.n == 0;
}

static bool parse_hold_for(struct span value, struct smtp_mail_parameters *to)
{
	uint64_t seconds;

	if (value.n == 0 || value.n > 9 || value.p[0] == '0' || !span_to_u64(value, &seconds))
		return false;
	to->hold = SMTP_HOLD_FOR;
	to->hold_text = value;
	to->hold_s = (int64_t)seconds;
	return true;
}

static bool parse_hold_until(struct span value, struct smtp_mail_parameters *to)
{
	to->hold = SMTP_HOLD_UNTIL;
	to->hold_text = value;
	return value.n <= SMTP_HOLD_BYTES_MAX && date_parse(value, &to->hold_wall_ms);
}

/* ---- MAIL and RCPT ---- */

static enum smtp_parameter_result parse_body(struct span value, unsigned offered, enum smtp_body *ret_body)
{
	if (value.n == 0)
		return SMTP_PARAMETER_BAD;
	if (span_eq_nocase(value, SPAN_LIT("7BIT")))
		*ret_body = SMTP_BODY_7BIT;
	else if (span_eq_nocase(value, SPAN_LIT("8BITMIME")))
		*ret_body = SMTP_BODY_8BITMIME;
	else if (span_eq_nocase(value, SPAN_LIT("BINARYMIME")) && (offered & SMTP_OFFER_BINARYMIME) != 0)
		*ret_body = SMTP_BODY_BINARYMIME;
	else
		return SMTP_PARAMETER_UNKNOWN;
	return SMTP_PARAMETER_OK;
}

enum mail_keyword {
	KEY_SIZE,
	KEY_BODY,
	KEY_AUTH,
	KEY_RET,
	KEY_ENVID,
	KEY_SMTPUTF8,
	KEY_REQUIRETLS,
	KEY_BY,
	KEY_HOLDFOR,
	KEY_HOLDUNTIL,
	KEY_COUNT,
};

static const struct {
	struct span name;
	unsigned offer; /* 0: always */
	unsigned once;  /* those with the same bit exclude each other */
} mail_keywords[KEY_COUNT] = {
	[KEY_SIZE] = { { "SIZE", 4 }, 0, 1u << KEY_SIZE },
	[KEY_BODY] = { { "BODY", 4 }, 0, 1u << KEY_BODY },
	[KEY_AUTH] = { { "AUTH", 4 }, SMTP_OFFER_AUTH, 1u << KEY_AUTH },
	[KEY_RET] = { { "RET", 3 }, 0, 1u << KEY_RET },
	[KEY_ENVID] = { { "ENVID", 5 }, 0, 1u << KEY_ENVID },
	[KEY_SMTPUTF8] = { { "SMTPUTF8", 8 }, SMTP_OFFER_SMTPUTF8, 1u << KEY_SMTPUTF8 },
	[KEY_REQUIRETLS] = { { "REQUIRETLS", 10 }, SMTP_OFFER_REQUIRETLS, 1u << KEY_REQUIRETLS },
	[KEY_BY] = { { "BY", 2 }, SMTP_OFFER_DELIVERBY, 1u << KEY_BY },
	[KEY_HOLDFOR] = { { "HOLDFOR", 7 }, SMTP_OFFER_FUTURERELEASE, 1u << KEY_HOLDFOR },
	[KEY_HOLDUNTIL] = { { "HOLDUNTIL", 9 }, SMTP_OFFER_FUTURERELEASE, 1u << KEY_HOLDFOR },
};

/* Without mutants, nothing. */
static bool is_unlearnt(unsigned keyword)
{
	return (MUTANT(DSN_UNKNOWN) && (keyword == KEY_RET || keyword == KEY_ENVID)) ||
	       (MUTANT(AUTH_PARAMETER_UNKNOWN) && keyword == KEY_AUTH);
}

static enum mail_keyword find_mail_keyword(struct span name, unsigned offered)
{
	for (unsigned i = 0; i < KEY_COUNT; i++)
		if ((MUTANT(SMTP_KEYWORD_IN_CAPITALS) ? span_eq : span_eq_nocase)(mail_keywords[i].name,
										  name) &&
		    (mail_keywords[i].offer & ~offered) == 0 && !is_unlearnt(i))
			return (enum mail_keyword)i;
	return KEY_COUNT;
}

static enum smtp_parameter_result take_mail_value(enum mail_keyword keyword, struct span value,
						  unsigned offered, struct smtp_mail_parameters *to)
{
	switch (keyword) {
	case KEY_SIZE:
		return ok_if(parse_size(value, &to->size_bytes));
	case KEY_BODY:
		return parse_body(value, offered, &to->body);
	case KEY_AUTH:
		return ok_if(is_submitter(value));
	case KEY_RET:
		return ok_if(parse_ret(value, &to->ret));
	case KEY_ENVID:
		return ok_if(parse_envid(value, &to->envid));
	case KEY_SMTPUTF8:
		to->utf8 = true;
		return ok_if(value.n == 0 || MUTANT(UTF8_WITH_VALUE)); /* RFC 6531 3.4 */
	case KEY_REQUIRETLS:
		to->require_tls = true;
		return ok_if(value.n == 0); /* RFC 8689 2 (8) */
	case KEY_BY:
		return ok_if(parse_by(value, to));
	case KEY_HOLDFOR:
		return ok_if(parse_hold_for(value, to));
	case KEY_HOLDUNTIL:
		return ok_if(parse_hold_until(value, to));
	case KEY_COUNT:
		break;
	}
	return SMTP_PARAMETER_UNKNOWN;
}

enum smtp_parameter_result smtp_parameter_parse_mail(struct span text, unsigned offered,
						     struct smtp_mail_parameters *ret)
{
	assert(ret != NULL);
	struct smtp_mail_parameters found = { .body = SMTP_BODY_UNDECLARED };
	unsigned seen = 0;

	while (text.n > 0) {
		struct parameter p;

		if (!take_parameter(&text, &p))
			return SMTP_PARAMETER_BAD;
		enum mail_keyword keyword = find_mail_keyword(p.keyword, offered);
		if (keyword == KEY_COUNT)
			return SMTP_PARAMETER_UNKNOWN;
		if ((seen & mail_keywords[keyword].once) != 0 && !MUTANT(PARAMETER_TWICE))
			return SMTP_PARAMETER_BAD;
		seen |= mail_keywords[keyword].once;
		enum smtp_parameter_result result = take_mail_value(keyword, p.value, offered, &found);
		if (result != SMTP_PARAMETER_OK)
			return result;
	}
	*ret = found;
	return SMTP_PARAMETER_OK;
}

enum smtp_parameter_result smtp_parameter_parse_rcpt(struct span text, unsigned offered,
						     struct smtp_rcpt_parameters *ret)
{
	assert(ret != NULL);
	struct smtp_rcpt_parameters found = { .notify = 0 };
	struct parameter p;

	while (text.n > 0) {
		if (!take_parameter(&text, &p))
			return SMTP_PARAMETER_BAD;
		if (MUTANT(DSN_UNKNOWN))
			return SMTP_PARAMETER_UNKNOWN;
		if (span_eq_nocase(p.keyword, SPAN_LIT("NOTIFY"))) {
			if ((found.notify != 0 && !MUTANT(PARAMETER_TWICE)) ||
			    (!parse_notify(p.value, &found.notify) && !MUTANT(PARAMETER_ANY_VALUE)))
				return SMTP_PARAMETER_BAD;
		} else if (span_eq_nocase(p.keyword, SPAN_LIT("ORCPT"))) {
			if ((found.orcpt.n > 0 && !MUTANT(PARAMETER_TWICE)) ||
			    (!parse_orcpt(p.value, (offered & SMTP_OFFER_SMTPUTF8) != 0, &found.orcpt) &&
			     !MUTANT(PARAMETER_ANY_VALUE)))
				return SMTP_PARAMETER_BAD;
		} else {
			return SMTP_PARAMETER_UNKNOWN;
		}
	}
	*ret = found;
	return SMTP_PARAMETER_OK;
}
