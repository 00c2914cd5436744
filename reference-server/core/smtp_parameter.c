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

static enum smtp_parameter_result parse_body(struct span value, enum smtp_body *ret_body)
{
	if (value.n == 0)
		return SMTP_PARAMETER_BAD;
	if (span_eq_nocase(value, SPAN_LIT("7BIT")))
		*ret_body = SMTP_BODY_7BIT;
	else if (span_eq_nocase(value, SPAN_LIT("8BITMIME")))
		*ret_body = SMTP_BODY_8BITMIME;
	else
		return SMTP_PARAMETER_UNKNOWN; /* BINARYMIME is not offered */
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

enum smtp_parameter_result smtp_parameter_parse_rcpt(struct span text)
{
	struct parameter p;

	if (text.n == 0)
		return SMTP_PARAMETER_OK;
	return take_parameter(&text, &p) ? SMTP_PARAMETER_UNKNOWN : SMTP_PARAMETER_BAD;
}
