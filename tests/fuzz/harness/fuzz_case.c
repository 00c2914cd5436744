/*
 * Any bytes as a case file.  Checked: a case comes out exactly when there is
 * no message, and everything that users of a case take for granted holds.
 */
#include "harness/scenario/case.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_text(const struct case_text *t, bool is_pattern)
{
	for (uint32_t i = 0; i < t->count; i++) {
		must(t->parts[i].text.p != NULL);
		must(t->parts[i].kind != CASE_PART_ANY || is_pattern);
		must(t->parts[i].kind != CASE_PART_VARIABLE || t->parts[i].text.n > 0);
	}
}

static void check_pattern(const struct case_pattern *p)
{
	must(p->code_count > 0 && p->text.count > 0);
	for (uint32_t i = 0; i < p->code_count; i++)
		must(strlen(p->codes[i].text) > 0 && strlen(p->codes[i].text) < sizeof(p->codes[i].text));
	check_text(&p->text, true);
}

static void check_details(const struct case_file *c, const struct case_step *s)
{
	bool judges = c->sections[s->section].judges;

	for (uint32_t i = 0; i < s->alternative_count; i++) {
		const struct case_alternative *a = &s->alternatives[i];
		must(a->text != NULL);
		must(judges ||
		     (a->outcome != CASE_FAIL && a->outcome != CASE_WARN && a->outcome != CASE_PASS));
		if (a->event == CASE_ON_REPLY)
			check_pattern(&a->pattern);
	}
	for (uint32_t i = 0; i < s->check_count; i++)
		check_text(&s->checks[i].text, s->kind == CASE_EXPECT ||
						       s->checks[i].kind == CASE_CHECK_THEN ||
						       s->checks[i].kind == CASE_CHECK_NEXT);
}

static void check_hop(const struct case_hop *h)
{
	for (uint32_t i = 0; i < h->offer_count; i++)
		must(h->offers[i] != NULL);
	for (uint32_t i = 0; i < h->departure_count; i++) {
		const struct case_departure *d = &h->departures[i];
		must(d->stage < CASE_STAGE_COUNT);
		must((d->act == CASE_ACT_REPLY) <= (d->segment_count > 0));
		must(d->path.count == 0 || d->stage == CASE_AT_MAIL || d->stage == CASE_AT_RCPT);
		check_text(&d->path, false);
		for (uint32_t k = 0; k < d->segment_count; k++)
			check_text(&d->segments[k].text, false);
	}
}

/* What only role client has. */
static void check_relay(const struct case_file *c, const struct case_step *s)
{
	bool about_hop =
		(s->kind >= CASE_RECEIVED && s->kind <= CASE_NOT_CONNECTED) || s->kind == CASE_NEXT_HOP;

	if (s->kind < CASE_NEXT_HOP)
		return;
	must(c->role == CASE_ROLE_CLIENT && c->needs_mailbox);
	must(!about_hop || s->hop < c->hop_count);
	must(!s->has_other_hop || s->other_hop < c->hop_count);
	must(s->kind != CASE_ZONE || s->name != NULL);
	must(s->kind != CASE_SUBMIT || s->submission->recipient_count > 0);
	must((s->kind != CASE_HEARD && s->kind != CASE_NOT_HEARD) || s->text.count > 0);
	if (s->kind == CASE_NEXT_HOP)
		check_hop(c->hops[s->hop]);
}

static void check_step(const struct case_file *c, const struct case_step *s)
{
	must(s->kind < CASE_STEP_KIND_COUNT && s->section < c->section_count);
	must(s->connection < CASE_CONNECTIONS_MAX && s->line > 0 && s->within_ms > 0);
	must(s->kind != CASE_CONNECT || c->services[s->service]);
	must(s->kind != CASE_SEND || s->segment_count > 0);
	must(s->kind != CASE_LET || (s->name != NULL && (s->let != CASE_LET_REPEAT || s->times > 0)));
	must(s->operand_count <= CASE_OPERANDS_MAX && (s->kind != CASE_LET || s->let <= CASE_LET_BINDING));
	must(s->kind != CASE_LET || s->let < CASE_LET_SCRAM_PROOF || s->which != NULL);
	for (uint32_t i = 0; i < s->operand_count; i++)
		check_text(&s->operands[i], false);
	if (s->kind == CASE_MATCH)
		check_text(&s->pattern.text, true);
	must(!case_step_is_mailbox(s->kind) || c->needs_mailbox);
	check_relay(c, s);
	for (uint32_t i = 0; i < s->segment_count; i++)
		check_text(&s->segments[i].text, false);
	if (s->kind == CASE_EXPECT)
		check_pattern(&s->pattern);
	check_text(&s->text, s->kind == CASE_HEARD || s->kind == CASE_NOT_HEARD);
	check_text(&s->content, false);
	check_details(c, s);
}

static void check(const struct case_file *c)
{
	must(c->id != NULL && c->title != NULL && c->req_count > 0 && c->step_count > 0);
	must(c->services[c->service] && c->timeout_ms > 0);
	for (uint32_t i = 0; i < c->section_count; i++)
		must(c->sections[i].req < c->req_count && c->sections[i].name != NULL);
	for (uint32_t i = 0; i < c->step_count; i++)
		check_step(c, &c->steps[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf messages = { 0 };
	uint32_t count = 0;
	char *exact = malloc(n > 0 ? n : 1);

	must(exact != NULL);
	if (n > 0)
		memcpy(exact, data, n);
	struct case_file *c = case_read(&(struct case_options){
		.path = "f", .text = { exact, n }, .ret_messages = &messages, .ret_error_count = &count });
	free(exact); /* a case borrows nothing */
	must((c != NULL) == (count == 0) && (c != NULL) == (buf_bytes(&messages) == 0));
	if (c != NULL)
		check(c);
	case_free(c);
	buf_free(&messages);
	return 0;
}
