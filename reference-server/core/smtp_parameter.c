#include "reference-server/core/smtp_parameter.h"

#include "reference-server/core/address.h"

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

static bool is_value(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '=')
			return false;
	return s.n > 0;
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
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '=')
			return false;
		if (s.p[i] != '+')
			continue;
		if (s.n - i < 3 || hex_digit(s.p[i + 1]) < 0 || hex_digit(s.p[i + 2]) < 0)
			return false;
		i += 2;
	}
	return s.n > 0;
}

static bool parse_ret(struct span value, enum smtp_ret *ret)
{
	if (span_eq_nocase(value, SPAN_LIT("FULL")))
		*ret = SMTP_RET_FULL;
	else if (span_eq_nocase(value, SPAN_LIT("HDRS")))
		*ret = SMTP_RET_HDRS;
	else
		return false;
	return true;
}

static bool parse_envid(struct span value, struct span *ret_envid)
{
	*ret_envid = value;
	return value.n <= SMTP_ENVID_BYTES_MAX && is_xtext(value);
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

	if (span_eq_nocase(value, SPAN_LIT("NEVER"))) {
		*ret_notify = SMTP_NOTIFY_NEVER;
		return true;
	}
	for (bool more = true; more;) {
		size_t n = span_find(value, ',');
		unsigned bit = 0;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (span_eq_nocase(words[i].name, span_sub(value, 0, n)))
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

static bool parse_orcpt(struct span value, struct span *ret_orcpt)
{
	struct span type, rest = value;

	*ret_orcpt = value;
	return value.n <= SMTP_ORCPT_BYTES_MAX && span_take_until(&rest, ';', &type) && is_keyword(type) &&
	       is_xtext(rest);
}

static enum smtp_parameter_result parse_body(struct span value, enum smtp_body *ret_body)
{
	if (value.n == 0)
		return SMTP_PARAMETER_BAD;
	if (span_eq_nocase(value, SPAN_LIT("7BIT")))
		*ret_body = SMTP_BODY_7BIT;
	else if (span_eq_nocase(value, SPAN_LIT("8BITMIME")))
		*ret_body = SMTP_BODY_8BITMIME;
	else if (span_eq_nocase(value, SPAN_LIT("BINARYMIME")))
		*ret_body = SMTP_BODY_BINARYMIME;
	else
		return SMTP_PARAMETER_UNKNOWN;
	return SMTP_PARAMETER_OK;
}

static enum smtp_parameter_result ok_if(bool ok)
{
	return ok ? SMTP_PARAMETER_OK : SMTP_PARAMETER_BAD;
}

enum smtp_parameter_result smtp_parameter_parse_mail(struct span text, bool auth_offered,
						     struct smtp_mail_parameters *ret)
{
	assert(ret != NULL);
	struct smtp_mail_parameters found = { .body = SMTP_BODY_UNDECLARED };
	bool size_seen = false;
	bool body_seen = false;
	bool auth_seen = false;
	bool ret_seen = false;
	bool envid_seen = false;

	while (text.n > 0) {
		enum smtp_parameter_result result;
		struct parameter p;
		bool *seen;

		if (!take_parameter(&text, &p))
			return SMTP_PARAMETER_BAD;
		if (span_eq_nocase(p.keyword, SPAN_LIT("SIZE"))) {
			seen = &size_seen;
			result = ok_if(parse_size(p.value, &found.size_bytes));
		} else if (span_eq_nocase(p.keyword, SPAN_LIT("BODY"))) {
			seen = &body_seen;
			result = parse_body(p.value, &found.body);
		} else if (span_eq_nocase(p.keyword, SPAN_LIT("AUTH")) && auth_offered) {
			seen = &auth_seen;
			result = ok_if(is_submitter(p.value));
		} else if (span_eq_nocase(p.keyword, SPAN_LIT("RET"))) {
			seen = &ret_seen;
			result = ok_if(parse_ret(p.value, &found.ret));
		} else if (span_eq_nocase(p.keyword, SPAN_LIT("ENVID"))) {
			seen = &envid_seen;
			result = ok_if(parse_envid(p.value, &found.envid));
		} else {
			return SMTP_PARAMETER_UNKNOWN;
		}
		if (*seen)
			return SMTP_PARAMETER_BAD;
		*seen = true;
		if (result != SMTP_PARAMETER_OK)
			return result;
	}
	*ret = found;
	return SMTP_PARAMETER_OK;
}

enum smtp_parameter_result smtp_parameter_parse_rcpt(struct span text, struct smtp_rcpt_parameters *ret)
{
	assert(ret != NULL);
	struct smtp_rcpt_parameters found = { .notify = 0 };
	struct parameter p;

	while (text.n > 0) {
		if (!take_parameter(&text, &p))
			return SMTP_PARAMETER_BAD;
		if (span_eq_nocase(p.keyword, SPAN_LIT("NOTIFY"))) {
			if (found.notify != 0 || !parse_notify(p.value, &found.notify))
				return SMTP_PARAMETER_BAD;
		} else if (span_eq_nocase(p.keyword, SPAN_LIT("ORCPT"))) {
			if (found.orcpt.n > 0 || !parse_orcpt(p.value, &found.orcpt))
				return SMTP_PARAMETER_BAD;
		} else {
			return SMTP_PARAMETER_UNKNOWN;
		}
	}
	*ret = found;
	return SMTP_PARAMETER_OK;
}
