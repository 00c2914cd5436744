/*
 * Any bytes as a message.  Checked: header and body lie inside and in order;
 * fields lie inside the header and do not overlap; parts lie inside their
 * parent; decoding never grows; an unfolded value has no line end; base64 that
 * decodes strictly encodes to the same text; a value read as a date, an address
 * list or a Received field is read alike when blanks surround it.
 */
#include "harness/wire/base64.h"
#include "harness/wire/date_time.h"
#include "harness/wire/mail_address.h"
#include "harness/wire/mail_form.h"
#include "harness/wire/message.h"
#include "harness/wire/mime.h"
#include "harness/wire/received.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static bool inside(struct span part, struct span whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_value(struct span value)
{
	struct buf spaced = { 0 };

	buf_add_u8(&spaced, ' ');
	buf_add(&spaced, value);
	buf_add_u8(&spaced, ' ');
	must(date_notes(buf_span(&spaced)) == date_notes(value));
	must(mail_address_is_message_id(buf_span(&spaced)) == mail_address_is_message_id(value));
	must(received_read(value).date == 0 || (received_read(value).notes & RECEIVED_NO_DATE) == 0);
	(void)mail_address_notes(value);
	buf_free(&spaced);
}

static void check_fields(struct span header)
{
	struct span rest = header;
	struct field f;
	const char *end = header.p;
	uint32_t count = 0;
	while (field_next(&rest, &f)) {
		struct buf value = { 0 }, stripped = { 0 };
		must(inside(f.whole, header) && inside(f.name, f.whole) && inside(f.raw, f.whole));
		must(f.name.n > 0 && f.whole.p >= end);
		end = f.whole.p + f.whole.n;
		field_unfold(f.raw, &value);
		must(span_find(buf_span(&value), '\n') == buf_bytes(&value));
		must(span_trim(buf_span(&value)).n == buf_bytes(&value));
		check_value(buf_span(&value));
		field_strip_comments(buf_span(&value), &stripped);
		must(buf_bytes(&stripped) <= buf_bytes(&value));
		if (count++ < 20)
			must(field_count(header, f.name) > 0);
		buf_free(&value);
		buf_free(&stripped);
	}
	must(inside(field_message_id(header), header));
}

struct walk {
	struct span message;
	struct mime_part parts[MIME_PARTS_MAX];
	uint32_t count;
};

static bool on_part(void *ctx, const struct mime_part *p)
{
	struct walk *w = ctx;
	struct buf decoded = { 0 };
	must(p->index == w->count && w->count < MIME_PARTS_MAX && p->depth <= MIME_DEPTH_MAX);
	must(inside(p->header, w->message) && inside(p->body, w->message));
	must(p->type.n > 0 && p->subtype.n > 0 && p->encoding.n > 0);
	if (p->index > 0) {
		const struct mime_part *parent = &w->parts[p->parent];
		must(p->parent < p->index && parent->depth + 1 == p->depth);
		must(inside(p->header, parent->body) && inside(p->body, parent->body));
	}
	w->parts[w->count++] = *p;
	check_fields(p->header);
	(void)mime_decode(p, &decoded);
	must(buf_bytes(&decoded) <= p->body.n);
	buf_free(&decoded);
	return true;
}

static void check_groups(struct span body)
{
	struct span rest = body, group, type, value;
	while (status_group_next(&rest, &group)) {
		struct buf text = { 0 };
		must(group.n > 0 && inside(group, body));
		if (field_value(group, SPAN_LIT("Final-Recipient"), &text) &&
		    status_typed_value(buf_span(&text), &type, &value))
			must(type.n + value.n < buf_bytes(&text));
		buf_free(&text);
	}
}

static void check_base64(struct span in)
{
	struct buf bytes = { 0 }, text = { 0 }, mime = { 0 }, back = { 0 };
	if (base64_decode(in, &bytes)) {
		base64_encode(buf_span(&bytes), &text);
		must(span_eq(buf_span(&text), in));
		must(base64_decode_mime(in, &mime) && span_eq(buf_span(&mime), buf_span(&bytes)));
	}
	buf_reset(&text);
	base64_encode(in, &text);
	must(base64_decode(buf_span(&text), &back) && span_eq(buf_span(&back), in));
	buf_free(&bytes);
	buf_free(&text);
	buf_free(&mime);
	buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct walk w;
	struct span in = { (const char *)data, n }, header, body;
	bool found = message_split(in, &header, &body);
	must(inside(header, in) && inside(body, in));
	must(found ? in.n - header.n - body.n >= 1 && in.n - header.n - body.n <= 2 : header.n == in.n);
	must(((message_notes(in) & MESSAGE_NO_BODY) != 0) == !found);
	w.message = in;
	w.count = 0;
	(void)mime_walk(in, on_part, &w);
	must(w.count > 0);
	check_groups(body);
	(void)mail_form_read(in);
	check_base64(in);
	return 0;
}
