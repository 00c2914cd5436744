#include "harness/conform/request_check.h"

/* got.p == NULL: there is no such text. */
static bool text_passes(const struct values *v, const struct case_check *c, struct span got)
{
	struct buf want = { 0 };
	struct span missing;

	bool fine = values_expand(v, &c->text, &want, NULL, &missing);
	if (c->op == CASE_EQ)
		fine = fine && got.p != NULL && span_eq(got, buf_span(&want));
	else
		fine = fine && (got.p != NULL && span_contains(got, buf_span(&want))) == (c->op == CASE_HAS);
	buf_free(&want);
	return fine;
}

/* What of the request the check is about, the nth such thing; p == NULL: there is none. */
static struct span part_of(const struct policy_request *q, const struct case_check *c, uint32_t nth)
{
	if (c->kind != CASE_CHECK_HEADER && nth > 0)
		return (struct span){ 0 };
	if (c->kind == CASE_CHECK_REQUEST)
		return buf_span(&q->line);
	if (c->kind == CASE_CHECK_SERVER_NAME)
		return buf_span(&q->server_name);
	return policy_request_field(q, span_of(c->name), nth);
}

/* Each is to pass: of fields that differ nobody knows which one counts. */
static bool passes(const struct policy_request *q, const struct case_check *c, const struct values *v,
		   struct span *ret_got)
{
	*ret_got = part_of(q, c, 0);
	bool fine = text_passes(v, c, *ret_got);

	for (uint32_t n = 1; fine; n++) {
		struct span got = part_of(q, c, n);
		if (got.p == NULL)
			break;
		*ret_got = got;
		fine = text_passes(v, c, got);
	}
	return fine;
}

bool request_passes(const struct policy_request *q, const struct case_step *s, const struct values *v,
		    struct buf *why)
{
	for (uint32_t i = 0; i < s->check_count; i++) {
		const struct case_check *c = &s->checks[i];
		if (c->kind != CASE_CHECK_REQUEST && c->kind != CASE_CHECK_SERVER_NAME &&
		    c->kind != CASE_CHECK_HEADER)
			continue;
		struct span got;
		if (passes(q, c, v, &got))
			continue;
		const char *what = c->kind == CASE_CHECK_REQUEST       ? "the request"
				   : c->kind == CASE_CHECK_SERVER_NAME ? "the name asked for"
								       : c->name;
		if (got.p != NULL)
			buf_addf(why, "%s is \"%.*s\"", what, SPAN_FMT(span_sub(got, 0, 200)));
		else if (c->kind == CASE_CHECK_SERVER_NAME)
			buf_add_cstr(why, "no name was asked for");
		else
			buf_addf(why, "there is no %s", what);
		return false;
	}
	return true;
}
