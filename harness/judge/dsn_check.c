#include "harness/judge/dsn_check.h"

#include "harness/wire/date_time.h"
#include "harness/wire/message.h"
#include "harness/wire/mime.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TOP_PARTS_KEPT = 4, /* one more than is legal */
};

/* ---- findings ---- */

/* What the next findings are about: a part of the message. */
static void look_at(struct dsn_report *r, struct span at)
{
	r->at = at;
}

static uint32_t line_of(const struct dsn_report *r)
{
	struct span m = r->message;
	uint32_t line = 1;

	if (r->at.p == NULL || r->at.p < m.p || r->at.p > m.p + m.n)
		return 1;
	for (const char *p = m.p; p < r->at.p; p++)
		line += *p == '\n';
	return line;
}

__attribute__((format(printf, 4, 5))) static void find_fault(struct dsn_report *r, enum dsn_level level,
							     const char *section, const char *fmt, ...)
{
	va_list ap;

	r->breaches += level == DSN_BREACH ? 1 : 0;
	if (r->finding_count == DSN_FINDINGS_MAX)
		return;
	struct dsn_finding *f = &r->findings[r->finding_count++];
	f->level = level;
	f->section = section;
	f->line = line_of(r);
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	for (char *c = f->text; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
}

const struct dsn_finding *dsn_first_breach(const struct dsn_report *r)
{
	for (uint32_t i = 0; i < r->finding_count; i++)
		if (r->findings[i].level == DSN_BREACH)
			return &r->findings[i];
	return NULL;
}

void dsn_report_free(struct dsn_report *r)
{
	if (r == NULL)
		return;
	for (uint32_t i = 0; i < r->recipient_count; i++) {
		free(r->recipients[i].original);
		free(r->recipients[i].final);
		free(r->recipients[i].status);
	}
	free(r->recipients);
	free(r);
}

/* ---- values ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes between min and max digits off the front. */
static bool take_digits(struct span *s, size_t min, size_t max, uint32_t *ret_value)
{
	size_t n = 0;
	uint32_t value = 0;

	while (n < s->n && n < max && is_digit(s->p[n]))
		value = value * 10 + (uint32_t)(s->p[n++] - '0');
	if (n < min)
		return false;
	*s = span_sub(*s, n, s->n);
	*ret_value = value;
	return true;
}

static bool take_char(struct span *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_sub(*s, 1, s->n);
	return true;
}

bool dsn_date_is_valid(struct span value)
{
	return (date_notes(value) & (DATE_UNREADABLE | DATE_ZONE_NAME | DATE_IMPOSSIBLE)) == 0;
}

/* A sub-field of up to three digits without leading zeros. */
static bool take_status_part(struct span *s)
{
	struct span before = *s;
	uint32_t value;

	if (!take_digits(s, 1, 3, &value))
		return false;
	return before.p[0] != '0' || before.n - s->n == 1;
}

bool dsn_status_is_valid(struct span value)
{
	struct span s = value;

	if (s.n == 0 || (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5'))
		return false;
	s = span_sub(s, 1, s.n);
	return take_char(&s, '.') && take_status_part(&s) && take_char(&s, '.') && take_status_part(&s) &&
	       s.n == 0;
}

/* RFC 822 atom: any printable ASCII but blanks and specials. */
static bool is_atom(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("()<>@,;:\\\".[]", s.p[i]) != NULL)
			return false;
	return s.n > 0;
}

const char *dsn_check_action_name(enum dsn_action action)
{
	static const char *const names[] = {
		[DSN_ACTION_UNREADABLE] = "unreadable", [DSN_ACTION_FAILED] = "failed",
		[DSN_ACTION_DELAYED] = "delayed",       [DSN_ACTION_DELIVERED] = "delivered",
		[DSN_ACTION_RELAYED] = "relayed",       [DSN_ACTION_EXPANDED] = "expanded",
	};
	return names[action];
}

static enum dsn_action action_of(struct span value)
{
	for (unsigned i = DSN_ACTION_FAILED; i <= DSN_ACTION_EXPANDED; i++)
		if (span_eq_nocase(value, span_of(dsn_check_action_name((enum dsn_action)i))))
			return (enum dsn_action)i;
	return DSN_ACTION_UNREADABLE;
}

/* ---- fields of a group ---- */

enum field_syntax { SYNTAX_TEXT, SYNTAX_TYPED, SYNTAX_DATE, SYNTAX_ACTION, SYNTAX_STATUS };

struct field_rule {
	const char *name;
	enum field_syntax syntax;
	bool required;
	const char *section;
};

static const struct field_rule message_rules[] = {
	{ "Original-Envelope-Id", SYNTAX_TEXT, false, "RFC 3464 2.2.1" },
	{ "Reporting-MTA", SYNTAX_TYPED, true, "RFC 3464 2.2.2" },
	{ "DSN-Gateway", SYNTAX_TYPED, false, "RFC 3464 2.2.3" },
	{ "Received-From-MTA", SYNTAX_TYPED, false, "RFC 3464 2.2.4" },
	{ "Arrival-Date", SYNTAX_DATE, false, "RFC 3464 2.2.5" },
};

static const struct field_rule recipient_rules[] = {
	{ "Original-Recipient", SYNTAX_TYPED, false, "RFC 3464 2.3.1" },
	{ "Final-Recipient", SYNTAX_TYPED, true, "RFC 3464 2.3.2" },
	{ "Action", SYNTAX_ACTION, true, "RFC 3464 2.3.3" },
	{ "Status", SYNTAX_STATUS, true, "RFC 3464 2.3.4" },
	{ "Remote-MTA", SYNTAX_TYPED, false, "RFC 3464 2.3.5" },
	{ "Diagnostic-Code", SYNTAX_TYPED, false, "RFC 3464 2.3.6" },
	{ "Last-Attempt-Date", SYNTAX_DATE, false, "RFC 3464 2.3.7" },
	{ "Final-Log-ID", SYNTAX_TEXT, false, "RFC 3464 2.3.8" },
	{ "Will-Retry-Until", SYNTAX_DATE, false, "RFC 3464 2.3.9" },
};

static bool typed_is_valid(struct span value)
{
	struct span type;
	struct span rest;

	return status_typed_value(value, &type, &rest) && is_atom(type) && rest.n > 0;
}

/* value: unfolded, without comments, trimmed. */
static void check_value(struct dsn_report *r, const struct field_rule *rule, struct span value)
{
	bool fine = true;

	switch (rule->syntax) {
	case SYNTAX_TEXT:
		break;
	case SYNTAX_TYPED:
		fine = typed_is_valid(value);
		break;
	case SYNTAX_DATE:
		fine = dsn_date_is_valid(value);
		break;
	case SYNTAX_ACTION:
		fine = action_of(value) != DSN_ACTION_UNREADABLE;
		break;
	case SYNTAX_STATUS:
		fine = dsn_status_is_valid(value);
		break;
	}
	if (!fine)
		find_fault(r, DSN_BREACH, rule->section, "%s: cannot be \"%.*s\"", rule->name,
			   (int)(value.n < 80 ? value.n : 80), value.n > 0 ? value.p : "");
}

/* Appends the value as it counts: unfolded, without comments, without blanks around.  False when absent. */
static bool group_value(struct span group, const char *name, struct buf *ret_value)
{
	struct buf unfolded = { 0 };
	struct buf stripped = { 0 };
	bool found = field_value(group, span_of(name), &unfolded);

	if (found) {
		field_strip_comments(buf_span(&unfolded), &stripped);
		buf_add(ret_value, span_trim(buf_span(&stripped)));
	}
	buf_free(&unfolded);
	buf_free(&stripped);
	return found;
}

static void check_field(struct dsn_report *r, const struct field_rule *rule, struct span group)
{
	struct buf value = { 0 };
	uint32_t count = field_count(group, span_of(rule->name));
	struct field f;

	look_at(r, group);
	if (count > 0 && field_find(group, span_of(rule->name), count > 1 ? 1 : 0, &f))
		look_at(r, f.whole);
	if (count == 0 && rule->required)
		find_fault(r, DSN_BREACH, rule->section, "%s is missing", rule->name);
	if (count > 1)
		find_fault(r, DSN_BREACH, rule->section, "%s is there %u times", rule->name, count);
	if (count > 0 && field_find(group, span_of(rule->name), 0, &f))
		look_at(r, f.whole);
	if (group_value(group, rule->name, &value))
		check_value(r, rule, buf_span(&value));
	buf_free(&value);
}

/* Every line of a group is a field or its continuation. */
static void check_lines(struct dsn_report *r, struct span group)
{
	look_at(r, group);
	if ((message_notes(group) & MESSAGE_ODD_FIELD) != 0)
		find_fault(r, DSN_BREACH, "RFC 3464 2.1.1", "a line among the fields is no field");
}

static char *copy_of(struct span s)
{
	char *copy = malloc(s.n + 1);

	if (copy == NULL)
		abort();
	if (!span_copy(s, copy, s.n + 1)) { /* a NUL inside */
		free(copy);
		return NULL;
	}
	return copy;
}

static char *address_in(struct span group, const char *name)
{
	struct buf value = { 0 };
	struct span type;
	struct span address;
	char *copy = NULL;

	if (group_value(group, name, &value) && status_typed_value(buf_span(&value), &type, &address))
		copy = copy_of(address);
	buf_free(&value);
	return copy;
}

/* RFC 3464 sections 2.3.3 and 2.3.4 together: failure is 4 or 5, delivery is 2. */
static void check_action_against_status(struct dsn_report *r, enum dsn_action action, struct span status)
{
	if (!dsn_status_is_valid(status))
		return;
	if (action == DSN_ACTION_FAILED && status.p[0] == '2')
		find_fault(r, DSN_BREACH, "RFC 3464 2.3.4", "Action is failed, Status %.*s means success",
			   SPAN_FMT(status));
	if (action == DSN_ACTION_DELAYED && status.p[0] != '4')
		find_fault(r, DSN_BREACH, "RFC 3464 2.3.4", "Action is delayed, Status %.*s is not temporary",
			   SPAN_FMT(status));
	if (action == DSN_ACTION_DELIVERED && status.p[0] != '2')
		find_fault(r, DSN_BREACH, "RFC 3464 2.3.4", "Action is delivered, Status %.*s means failure",
			   SPAN_FMT(status));
}

static void read_recipient(struct dsn_report *r, struct span group, struct dsn_recipient *ret)
{
	struct buf action = { 0 };
	struct buf status = { 0 };

	struct field f;

	look_at(r, group);
	if (field_find(group, SPAN_LIT("Status"), 0, &f))
		look_at(r, f.whole);
	ret->original = address_in(group, "Original-Recipient");
	ret->final = address_in(group, "Final-Recipient");
	if (group_value(group, "Action", &action))
		ret->action = action_of(buf_span(&action));
	if (group_value(group, "Status", &status)) {
		ret->status = copy_of(buf_span(&status));
		check_action_against_status(r, ret->action, buf_span(&status));
	}
	if (field_find(group, SPAN_LIT("Will-Retry-Until"), 0, &f))
		look_at(r, f.whole);
	if (field_count(group, SPAN_LIT("Will-Retry-Until")) > 0 && ret->action != DSN_ACTION_DELAYED)
		find_fault(r, DSN_BREACH, "RFC 3464 2.3.9", "Will-Retry-Until, but nothing is delayed");
	buf_free(&action);
	buf_free(&status);
}

static void check_recipient_group(struct dsn_report *r, struct span group)
{
	for (size_t i = 0; i < sizeof(recipient_rules) / sizeof(recipient_rules[0]); i++)
		check_field(r, &recipient_rules[i], group);
	check_lines(r, group);
	if (r->recipient_count == DSN_RECIPIENTS_MAX)
		return;
	struct dsn_recipient *more =
		realloc(r->recipients, (r->recipient_count + 1) * sizeof(r->recipients[0]));
	if (more == NULL)
		abort();
	r->recipients = more;
	more[r->recipient_count] = (struct dsn_recipient){ .action = DSN_ACTION_UNREADABLE };
	read_recipient(r, group, &more[r->recipient_count++]);
}

/* ---- parts ---- */

static bool has_8bit(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

static void check_status_part(struct dsn_report *r, const struct mime_part *part)
{
	struct span body = part->body;
	struct span group;
	uint32_t groups = 0;

	look_at(r, part->header);
	if (!span_eq_nocase(part->encoding, SPAN_LIT("7bit")) || has_8bit(body))
		find_fault(r, DSN_BREACH, "RFC 3464 2.1", "message/delivery-status is not 7bit");
	for (; status_group_next(&body, &group); groups++) {
		if (groups > 0) {
			check_recipient_group(r, group);
			continue;
		}
		for (size_t i = 0; i < sizeof(message_rules) / sizeof(message_rules[0]); i++)
			check_field(r, &message_rules[i], group);
		check_lines(r, group);
	}
	look_at(r, part->body);
	if (groups < 2)
		find_fault(r, DSN_BREACH, "RFC 3464 2.1", "no group of fields speaks of a recipient");
}

static bool is_type(const struct mime_part *p, const char *type, const char *subtype)
{
	return span_eq_nocase(p->type, span_of(type)) && span_eq_nocase(p->subtype, span_of(subtype));
}

static bool may_return_content(const struct mime_part *p)
{
	return is_type(p, "message", "rfc822") || is_type(p, "text", "rfc822-headers") ||
	       is_type(p, "message", "global") || is_type(p, "message", "global-headers");
}

struct top {
	struct mime_part whole;
	struct mime_part parts[TOP_PARTS_KEPT];
	uint32_t part_count;
};

static bool gather_part(void *ctx, const struct mime_part *part)
{
	struct top *t = ctx;

	if (part->depth == 0)
		t->whole = *part;
	else if (part->depth == 1 && t->part_count < TOP_PARTS_KEPT)
		t->parts[t->part_count++] = *part;
	return true;
}

static void check_parts(struct dsn_report *r, const struct top *t)
{
	look_at(r, t->whole.header);
	if (t->part_count < 2 || t->part_count > 3)
		find_fault(r, DSN_BREACH, "RFC 6522 3", "%s%u parts where there are two or three",
			   t->part_count == TOP_PARTS_KEPT ? "at least " : "", t->part_count);
	if (t->part_count >= 1)
		look_at(r, t->parts[0].header);
	if (t->part_count >= 1 && is_type(&t->parts[0], "message", "delivery-status"))
		find_fault(r, DSN_BREACH, "RFC 3464 2", "the first part is not for people");
	if (t->part_count >= 2)
		look_at(r, t->parts[1].header);
	if (t->part_count >= 2 && !is_type(&t->parts[1], "message", "delivery-status"))
		find_fault(r, DSN_BREACH, "RFC 3464 2",
			   "the second part is %.*s/%.*s, not message/delivery-status",
			   SPAN_FMT(t->parts[1].type), SPAN_FMT(t->parts[1].subtype));
	if (t->part_count >= 3)
		look_at(r, t->parts[2].header);
	if (t->part_count >= 3 && !may_return_content(&t->parts[2]))
		find_fault(r, DSN_BREACH, "RFC 3464 2",
			   "the third part is %.*s/%.*s, not the original message",
			   SPAN_FMT(t->parts[2].type), SPAN_FMT(t->parts[2].subtype));
	look_at(r, t->whole.header);
	if (t->part_count == 2)
		find_fault(r, DSN_REMARK, "RFC 6522 3", "nothing of the original message is returned");
	/* Wherever it stands, what it says about recipients is wanted. */
	for (uint32_t i = 0; i < t->part_count; i++) {
		if (is_type(&t->parts[i], "message", "delivery-status")) {
			check_status_part(r, &t->parts[i]);
			break;
		}
	}
}

static void check_notes(struct dsn_report *r, uint32_t notes)
{
	if ((notes & MIME_NO_BOUNDARY) != 0)
		find_fault(r, DSN_BREACH, "RFC 2046 5.1.1", "a multipart has no usable boundary parameter");
	if ((notes & MIME_NO_OPENING) != 0)
		find_fault(r, DSN_BREACH, "RFC 2046 5.1.1", "a multipart's boundary never occurs");
	if ((notes & MIME_UNCLOSED) != 0)
		find_fault(r, DSN_BREACH, "RFC 2046 5.1.1", "a multipart is not closed");
	if ((notes & MIME_ENCODED_MULTIPART) != 0)
		find_fault(r, DSN_BREACH, "RFC 2045 6.4", "a multipart has a transfer encoding");
}

static void check_report_type(struct dsn_report *r, const struct mime_part *whole)
{
	struct buf value = { 0 };

	if (!mime_param(whole->content_type, SPAN_LIT("report-type"), &value))
		find_fault(r, DSN_BREACH, "RFC 6522 3", "multipart/report without report-type");
	else if (!span_eq_nocase(buf_span(&value), SPAN_LIT("delivery-status")))
		find_fault(r, DSN_BREACH, "RFC 3464 2", "report-type is \"%.*s\", not delivery-status",
			   SPAN_FMT(buf_span(&value)));
	buf_free(&value);
}

/* ---- header ---- */

static void check_return_path(struct dsn_report *r, struct span header)
{
	struct buf value = { 0 };

	struct field f;

	look_at(r, header);
	if (field_find(header, SPAN_LIT("Return-Path"), 0, &f))
		look_at(r, f.whole);
	if (!field_value(header, SPAN_LIT("Return-Path"), &value))
		find_fault(r, DSN_REMARK, "RFC 5321 4.4",
			   "no Return-Path: whether it was null cannot be seen");
	else if (!span_eq(buf_span(&value), SPAN_LIT("<>")))
		find_fault(r, DSN_BREACH, "RFC 3464 2", "the return path is %.*s, not null",
			   SPAN_FMT(buf_span(&value)));
	buf_free(&value);
}

static bool contains_nocase(struct span haystack, struct span needle)
{
	for (size_t i = 0; i + needle.n <= haystack.n; i++)
		if (span_eq_nocase(span_sub(haystack, i, needle.n), needle))
			return true;
	return false;
}

static void check_header(struct dsn_report *r, struct span header, struct span sender)
{
	static const char *const required[] = { "From", "Date" };
	struct buf to = { 0 };
	struct buf version = { 0 };

	check_return_path(r, header);
	look_at(r, header);
	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (field_count(header, span_of(required[i])) != 1)
			find_fault(r, DSN_BREACH, "RFC 5322 3.6", "%s is there %u times, not once",
				   required[i], field_count(header, span_of(required[i])));
	if (field_count(header, SPAN_LIT("Message-ID")) == 0)
		find_fault(r, DSN_REMARK, "RFC 5322 3.6.4", "no Message-ID");
	(void)field_value(header, SPAN_LIT("To"), &to);
	if (sender.n > 0 && !contains_nocase(buf_span(&to), sender))
		find_fault(r, DSN_BREACH, "RFC 3464 2", "To does not name %.*s, who sent the original",
			   SPAN_FMT(sender));
	if (!group_value(header, "MIME-Version", &version) || !span_eq(buf_span(&version), SPAN_LIT("1.0")))
		find_fault(r, DSN_BREACH, "RFC 2045 4", "MIME-Version: 1.0 is missing");
	buf_free(&to);
	buf_free(&version);
}

struct dsn_report *dsn_check(struct span message, struct span sender)
{
	struct dsn_report *r = calloc(1, sizeof(*r));
	struct top top = { 0 };

	if (r == NULL)
		abort();
	r->message = message;
	uint32_t notes = mime_walk(message, gather_part, &top);
	check_header(r, top.whole.header, sender);
	look_at(r, top.whole.content_type);
	r->is_report = is_type(&top.whole, "multipart", "report");
	if (!r->is_report) {
		find_fault(r, DSN_BREACH, "RFC 3464 2", "%.*s/%.*s, not multipart/report",
			   SPAN_FMT(top.whole.type), SPAN_FMT(top.whole.subtype));
		return r;
	}
	look_at(r, top.whole.content_type);
	check_report_type(r, &top.whole);
	check_notes(r, notes);
	check_parts(r, &top);
	return r;
}
