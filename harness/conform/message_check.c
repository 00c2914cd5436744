#include "harness/conform/message_check.h"

#include "harness/conform/shown.h"
#include "harness/judge/dsn_check.h"
#include "harness/wire/mail_form.h"
#include "harness/wire/message.h"
#include "harness/wire/mime.h"
#include "harness/wire/received.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_BYTES = 200 };

bool message_is_fence(struct span message)
{
	struct span header, body;
	struct buf value = { 0 };

	if (!message_split(message, &header, &body))
		header = message;
	bool is = field_value(header, SPAN_LIT(MESSAGE_FENCE_FIELD), &value);
	buf_free(&value);
	return is;
}

static void add_shown(struct buf *out, struct span s)
{
	shown_add(out, span_sub(s, 0, SHOWN_BYTES), "");
	if (s.n > SHOWN_BYTES)
		buf_addf(out, "… (%zu bytes)", s.n);
}

static bool text_passes(struct span got, struct span want, enum case_op op)
{
	switch (op) {
	case CASE_EQ:
		return span_eq(got, want);
	case CASE_HAS:
		return span_contains(got, want);
	case CASE_LACKS:
		return !span_contains(got, want);
	case CASE_AT_LEAST:
	case CASE_AT_MOST:
		break;
	}
	return false;
}

static bool check_text(const char *what, struct span got, struct span want, enum case_op op, struct buf *why)
{
	static const char *const WORDS[] = {
		[CASE_EQ] = "is not \"", [CASE_HAS] = "has no \"", [CASE_LACKS] = "has \""
	};

	if (text_passes(got, want, op))
		return true;
	buf_addf(why, "%s %s", what, WORDS[op]);
	add_shown(why, want);
	buf_add_cstr(why, "\"; it is \"");
	add_shown(why, got);
	buf_add_cstr(why, "\"");
	return false;
}

/* Any field of that name passes; of `lacks`, all must. */
static bool check_field(struct span header, const struct case_check *c, struct span want, struct buf *why)
{
	struct field f;
	struct span rest = header;
	uint32_t count = 0, good = 0;

	while (field_next(&rest, &f)) {
		if (!span_eq_nocase(f.name, span_of(c->name)))
			continue;
		struct buf value = { 0 };
		field_unfold(f.raw, &value);
		count++;
		good += text_passes(buf_span(&value), want, c->op);
		buf_free(&value);
	}
	if (c->kind == CASE_CHECK_HEADER_COUNT) {
		if (case_compare(count, c->op, c->n))
			return true;
		buf_addf(why, "the message has %u fields \"%s\"", count, c->name);
		return false;
	}
	if (c->op == CASE_LACKS ? good == count : good > 0)
		return true;
	buf_addf(why, count == 0 ? "the message has no field \"%s\"" : "no field \"%s\" is as it should: ",
		 c->name);
	if (count > 0) {
		buf_add_cstr(why, "\"");
		add_shown(why, want);
		buf_add_cstr(why, "\"");
	}
	return false;
}

/* The last Received field, which is the oldest: behind the server may be others on the way to the mailbox. */
static bool oldest_received(struct span header, struct buf *ret_value)
{
	struct field f;
	bool there = false;

	while (field_next(&header, &f)) {
		if (!span_eq_nocase(f.name, SPAN_LIT("Received")))
			continue;
		buf_reset(ret_value);
		field_unfold(f.raw, ret_value);
		there = true;
	}
	return there;
}

static bool check_received(struct span header, const struct case_check *c, struct buf *why)
{
	const struct received_aspect *want = &RECEIVED_ASPECTS[c->n];
	struct buf value = { 0 };
	struct received got = { 0 };
	bool there = oldest_received(header, &value);

	if (there)
		got = received_read(buf_span(&value));
	bool fine = there && (got.notes & want->notes) == 0 && (got.date & want->date) == 0;
	if (!there) {
		buf_add_cstr(why, "the message has no field \"Received\"");
	} else if (!fine) {
		buf_addf(why, "the oldest Received field lacks %s: \"", want->wanted);
		add_shown(why, buf_span(&value));
		buf_add_cstr(why, "\"");
	}
	buf_free(&value);
	return fine;
}

struct part_search {
	uint64_t index;
	bool found, decoded;
	struct buf bytes;
};

static bool on_part(void *ctx, const struct mime_part *part)
{
	struct part_search *s = ctx;

	if (part->index != s->index)
		return true;
	s->found = true;
	s->decoded = mime_decode(part, &s->bytes);
	return false;
}

static bool check_part(struct span message, const struct case_check *c, struct span want, struct buf *why)
{
	struct part_search s = { .index = c->n };
	char what[40];

	(void)mime_walk(message, on_part, &s);
	(void)snprintf(what, sizeof(what), "part %u", (unsigned)c->n);
	bool fine = s.found && s.decoded && check_text(what, buf_span(&s.bytes), want, c->op, why);
	if (!s.found)
		buf_addf(why, "the message has no %s", what);
	else if (!s.decoded)
		buf_addf(why, "%s is not encoded as it says", what);
	buf_free(&s.bytes);
	return fine;
}

static bool check_form(struct span message, const struct case_check *c, struct buf *why)
{
	const struct mail_form_aspect *want = &MAIL_FORM_ASPECTS[c->n];
	struct mail_form got = mail_form_read(message);
	bool fine = (got.notes & want->without.notes) == 0 && (got.date & want->without.date) == 0 &&
		    (got.originator & want->without.originator) == 0 &&
		    (got.recipient & want->without.recipient) == 0;

	if (!fine) {
		buf_addf(why, "the message is not one of RFC 5322, which wants %s: \"", want->wanted);
		add_shown(why, message);
		buf_add_cstr(why, "\"");
	}
	return fine;
}

/* ---- notifications ---- */

/* The part with the status of the recipients, in whatever kind of multipart: "valid" asks for the right one. */
static bool find_status(struct span message, struct mime_part *ret)
{
	return mime_find(message, SPAN_LIT("message"), SPAN_LIT("delivery-status"), ret) ||
	       mime_find(message, SPAN_LIT("message"), SPAN_LIT("global-delivery-status"), ret);
}

/* Whether a group of fields speaks of that address. */
static bool group_is_of(struct span group, struct span address)
{
	static const char *const FIELDS[] = { "Final-Recipient", "Original-Recipient" };

	for (int i = 0; i < 2; i++) {
		struct buf value = { 0 };
		struct span type, what = { 0 };
		bool is = field_value(group, span_of(FIELDS[i]), &value) &&
			  status_typed_value(buf_span(&value), &type, &what) && span_eq_nocase(what, address);
		buf_free(&value);
		if (is)
			return true;
	}
	return false;
}

/* Any field of that name passes: of the recipient's group, or of any when none is said; of `lacks`, all must. */
static bool check_dsn_field(struct span message, const struct case_check *c, struct span of, struct span want,
			    struct buf *why)
{
	struct mime_part part;
	struct span body, group;
	uint32_t count = 0, good = 0;
	struct buf value = { 0 }, wrong = { 0 };

	bool is = find_status(message, &part);
	body = is ? part.body : (struct span){ 0 };
	while (status_group_next(&body, &group)) {
		if (of.n > 0 && !group_is_of(group, of))
			continue;
		for (uint32_t i = 0; i < field_count(group, span_of(c->name)); i++) {
			struct field f;
			(void)field_find(group, span_of(c->name), i, &f);
			buf_reset(&value);
			field_unfold(f.raw, &value);
			bool fits = text_passes(buf_span(&value), want, c->op);
			count++;
			good += fits;
			if (fits)
				continue;
			buf_reset(&wrong);
			buf_add(&wrong, buf_span(&value));
		}
	}
	bool fine = c->op == CASE_LACKS ? is && good == count : good > 0;
	if (!fine && count == 0)
		buf_addf(why, "the notification has no field %s%s%.*s", c->name, of.n > 0 ? " of " : "",
			 SPAN_FMT(of));
	else if (!fine)
		(void)check_text(c->name, buf_span(&wrong), want, c->op, why);
	buf_free(&value);
	buf_free(&wrong);
	return fine;
}

static bool check_valid(struct span message, struct buf *why)
{
	struct dsn_report *r = dsn_check(message, (struct span){ 0 });
	const struct dsn_finding *f = dsn_first_breach(r);

	if (f != NULL)
		buf_addf(why, "the notification is not as %s has it: %s", f->section, f->text);
	bool fine = f == NULL;
	dsn_report_free(r);
	return fine;
}

static bool passes(struct span message, const struct case_check *c, struct span of, struct span want,
		   struct buf *why)
{
	struct span header, body;

	if (!message_split(message, &header, &body)) {
		header = message;
		body = (struct span){ 0 };
	}
	switch (c->kind) {
	case CASE_CHECK_DSN:
		return check_dsn_field(message, c, of, want, why);
	case CASE_CHECK_VALID:
		return check_valid(message, why);
	case CASE_CHECK_BODY:
		return check_text("the body", body, want, c->op, why);
	case CASE_CHECK_RAW:
		return check_text("the message", message, want, c->op, why);
	case CASE_CHECK_PART:
		return check_part(message, c, want, why);
	case CASE_CHECK_HEADER:
	case CASE_CHECK_HEADER_COUNT:
		return check_field(header, c, want, why);
	case CASE_CHECK_RECEIVED:
		return check_received(header, c, why);
	case CASE_CHECK_FORM:
		return check_form(message, c, why);
	case CASE_CHECK_COUNT:
	case CASE_CHECK_UNCHANGED: /* of the next hop's record (content_check.h) */
	case CASE_CHECK_READ_AS:
	case CASE_CHECK_SIGNED:
	case CASE_CHECK_TLS:
		return true;
	case CASE_CHECK_TEXT:
	case CASE_CHECK_LONGEST:
	case CASE_CHECK_ONLY:
	case CASE_CHECK_DOMAIN:
	case CASE_CHECK_SPACED:
	case CASE_CHECK_HAS:
	case CASE_CHECK_LACKS:
	case CASE_CHECK_BARE:
	case CASE_CHECK_EMPTY:
	case CASE_CHECK_PARAMETERS:
	case CASE_CHECK_STATUS:
	case CASE_CHECK_STRICT:
	case CASE_CHECK_LINE:
	case CASE_CHECK_LINES:
	case CASE_CHECK_DATA:
	case CASE_CHECK_OCTETS:
	case CASE_CHECK_THEN:
	case CASE_CHECK_NEXT:
	case CASE_CHECK_ASCII:
	case CASE_CHECK_AWAITED:
	case CASE_CHECK_CRLF:
	case CASE_CHECK_GREETED:
	case CASE_CHECK_ALONE:
	case CASE_CHECK_SERVER_NAME:
	case CASE_CHECK_REQUEST:
	case CASE_CHECK_APART:
		break;
	}
	return false;
}

bool message_passes(struct span message, const struct case_step *s, const struct values *v,
		    struct buf *ret_why)
{
	bool fine = true;

	for (uint32_t i = 0; i < s->check_count && fine; i++) {
		struct buf want = { 0 }, of = { 0 };
		struct span missing;
		fine = values_expand(v, &s->checks[i].text, &want, NULL, &missing) &&
		       values_expand(v, &s->checks[i].of, &of, NULL, &missing);
		if (!fine)
			buf_addf(ret_why, "${%.*s} has no value", SPAN_FMT(missing));
		else
			fine = passes(message, &s->checks[i], buf_span(&of), buf_span(&want), ret_why);
		buf_free(&want);
		buf_free(&of);
	}
	return fine;
}

bool message_count_passes(uint32_t count, const struct case_step *s, bool *ret_any, struct buf *ret_why)
{
	*ret_any = false;
	for (uint32_t i = 0; i < s->check_count; i++) {
		if (s->checks[i].kind != CASE_CHECK_COUNT)
			continue;
		*ret_any = true;
		if (!case_compare(count, s->checks[i].op, s->checks[i].n)) {
			buf_addf(ret_why, "the mailbox has %u message%s", count, count == 1 ? "" : "s");
			return false;
		}
	}
	return true;
}

bool message_is_notification(struct span message, struct buf *ret_why)
{
	struct mime_part part;
	bool is = find_status(message, &part);

	if (!is)
		buf_add_cstr(ret_why, "the message has no part message/delivery-status");
	return is;
}

static bool any_failed(struct span status)
{
	struct span group;

	while (status_group_next(&status, &group)) {
		struct buf value = { 0 };
		bool failed = field_value(group, SPAN_LIT("Action"), &value) &&
			      span_starts_nocase(span_trim(buf_span(&value)), SPAN_LIT("failed"));
		buf_free(&value);
		if (failed)
			return true;
	}
	return false;
}

bool message_is_bounce(struct span message, struct buf *ret_why)
{
	struct mime_part part;

	if (!message_is_notification(message, ret_why) || !find_status(message, &part))
		return false;
	bool failed = any_failed(part.body);
	if (!failed)
		buf_add_cstr(ret_why, "the notification names no recipient that failed");
	return failed;
}
