/*
 * ledger: every row of the table is one message to one recipient, told as a
 * list of facts in short words, and the outcome they must come to.  Each
 * outcome that turns a run red has its own deliberately broken facts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/judge/ledger.h"

#include <string.h>

#define SENDER "barney@isp2.example"
#define RCPT "sales@fredsco.example"

static uint32_t plan_one(struct ledger *l)
{
	const struct ledger_recipient to = { .address = RCPT };

	return ledger_plan(
		l, &(struct ledger_plan){
			   .intended_ns = 1000, .sender = SENDER, .recipients = &to, .recipient_count = 1 });
}

static void copy(struct ledger *l, uint32_t id, const char *mailbox, enum content_state state)
{
	ledger_copy(l, id,
		    &(struct ledger_copy){ .mailbox = mailbox,
					   .state = state,
					   .difference = state == CONTENT_INTACT ? SPAN_LIT("")
										 : SPAN_LIT("byte 7 differs"),
					   .seen_ns = 9000,
					   .not_before_ns = 8000 });
}

static void dsn(struct ledger *l, uint32_t id, const char *mailbox, const char *rcpt,
		enum ledger_action action, const char *malformed)
{
	ledger_dsn(l, id,
		   &(struct ledger_dsn){ .mailbox = mailbox,
					 .recipient = span_of(rcpt),
					 .action = action,
					 .status = SPAN_LIT("5.1.1"),
					 .malformed = span_of(malformed),
					 .seen_ns = 9500 });
}

/* One letter, one fact. */
static void tell(struct ledger *l, uint32_t id, char fact)
{
	switch (fact) {
	case 'd':
		ledger_final_dot(l, id, 2000);
		break;
	case 'a':
		ledger_final_reply(l, id, 3000, 250, SPAN_LIT("2.0.0 queued"));
		break;
	case 'r':
		ledger_final_reply(l, id, 3000, 554, SPAN_LIT("5.7.1 no"));
		break;
	case 't':
		ledger_final_reply(l, id, 3000, 452, SPAN_LIT("4.3.1 full"));
		break;
	case 'n':
		ledger_rcpt_reply(l, id, 0, 550, SPAN_LIT("5.1.1 unknown"));
		break;
	case 'x':
		ledger_broken(l, id, 3000, SPAN_LIT("connection reset"));
		break;
	case 'c':
		copy(l, id, RCPT, CONTENT_INTACT);
		break;
	case 'e':
		copy(l, id, RCPT, CONTENT_TRANSFORMED);
		break;
	case 'k':
		copy(l, id, RCPT, CONTENT_CORRUPTED);
		break;
	case 'w':
		copy(l, id, "other@fredsco.example", CONTENT_INTACT);
		break;
	case 'b':
		dsn(l, id, SENDER, RCPT, LEDGER_ACTION_FAILED, "");
		break;
	case 'm':
		dsn(l, id, SENDER, RCPT, LEDGER_ACTION_FAILED, "Status is missing");
		break;
	case 'M':
		dsn(l, id, SENDER, "", LEDGER_ACTION_FAILED, "not a report");
		break;
	case 'y':
		dsn(l, id, SENDER, RCPT, LEDGER_ACTION_DELAYED, "");
		break;
	case 's':
		dsn(l, id, "postmaster@isp2.example", RCPT, LEDGER_ACTION_FAILED, "");
		break;
	case 'o':
		dsn(l, id, SENDER, "nobody@fredsco.example", LEDGER_ACTION_FAILED, "");
		break;
	default:
		fail_msg("no such fact: %c", fact);
	}
}

static const struct row {
	const char *name;
	const char *facts;
	enum outcome outcome;
	uint32_t strays;
	struct ledger_end end;
} rows[] = {
#define DONE                                            \
	{                                               \
		.complete = true, .residue_known = true \
	}
	{ "accepted and delivered once", "dac", OUTCOME_DELIVERED, 0, DONE },
	{ "copy seen before the reply was", "dca", OUTCOME_DELIVERED, 0, DONE },
	{ "accepted and nothing more is a loss", "da", OUTCOME_LOST, 0, DONE },
	{ "accepted, queues not asked", "da", OUTCOME_LOST, 0, { .complete = true } },
	{ "accepted and still in a queue",
	  "da",
	  OUTCOME_STILL_QUEUED,
	  0,
	  { .complete = true, .residue_known = true, .residue_rows = 1 } },
	{ "a residue that was not read does not excuse",
	  "da",
	  OUTCOME_LOST,
	  0,
	  { .complete = true, .residue_rows = 1 } },
	{ "accepted, run cut short", "da", OUTCOME_INDETERMINATE, 0, { .residue_known = true } },
	{ "two copies", "dacc", OUTCOME_DUPLICATED, 0, DONE },
	{ "three copies, one transformed", "dacec", OUTCOME_DUPLICATED, 0, DONE },
	{ "a corrupted copy", "dak", OUTCOME_CORRUPTED, 0, DONE },
	{ "a corrupted copy weighs more than a good one", "dack", OUTCOME_CORRUPTED, 0, DONE },
	{ "a transformed copy", "dae", OUTCOME_TRANSFORMED, 0, DONE },
	{ "refused at the final dot", "dr", OUTCOME_REJECTED, 0, DONE },
	{ "refused for now at the final dot", "dt", OUTCOME_REJECTED, 0, DONE },
	{ "refused at RCPT", "nr", OUTCOME_REJECTED, 0, DONE },
	{ "broken off before the final dot", "x", OUTCOME_ABSENT, 0, DONE },
	{ "250 without final dot is no acceptance", "a", OUTCOME_ABSENT, 0, DONE },
	{ "refused, and yet delivered", "drc", OUTCOME_UNEXPECTED, 0, DONE },
	{ "recipient refused, and yet delivered", "ndac", OUTCOME_UNEXPECTED, 0, DONE },
	{ "broken off, and yet delivered", "xc", OUTCOME_UNEXPECTED, 0, DONE },
	{ "refused, and a notification as well", "drb", OUTCOME_UNEXPECTED, 0, DONE },
	{ "never sent, and yet delivered", "c", OUTCOME_UNEXPECTED, 0, DONE },
	{ "never sent", "", OUTCOME_INDETERMINATE, 0, DONE },
	{ "no reply, then delivered", "dxc", OUTCOME_RECOVERED, 0, DONE },
	{ "no reply, then nothing", "dx", OUTCOME_ABSENT, 0, DONE },
	{ "no reply, then two copies", "dxcc", OUTCOME_DUPLICATED, 0, DONE },
	{ "no reply, then bounced", "dxb", OUTCOME_BOUNCED, 0, DONE },
	{ "no reply, perhaps queued",
	  "dx",
	  OUTCOME_STILL_QUEUED,
	  0,
	  { .complete = true, .residue_known = true, .residue_rows = 1 } },
	{ "no reply, run cut short", "dx", OUTCOME_INDETERMINATE, 0, { .complete = false } },
	{ "a break after the reply changes nothing", "daxc", OUTCOME_DELIVERED, 0, DONE },
	{ "bounced", "dab", OUTCOME_BOUNCED, 0, DONE },
	{ "bounced twice", "dabb", OUTCOME_BOUNCED, 0, DONE },
	{ "bounced, malformed", "dam", OUTCOME_BOUNCED, 0, DONE },
	{ "bounced, unreadable, one recipient", "daM", OUTCOME_BOUNCED, 0, DONE },
	{ "delayed is not told", "day", OUTCOME_LOST, 0, DONE },
	{ "delayed, then delivered", "dayc", OUTCOME_DELIVERED, 0, DONE },
	{ "delayed, then bounced", "dayb", OUTCOME_BOUNCED, 0, DONE },
	{ "delivered, and its sender told of failure", "dacb", OUTCOME_UNEXPECTED, 0, DONE },
	{ "copy in a stranger's mailbox", "dawc", OUTCOME_DELIVERED, 1, DONE },
	{ "only a copy in a stranger's mailbox", "daw", OUTCOME_LOST, 1, DONE },
	{ "notification at somebody who did not send", "das", OUTCOME_LOST, 1, DONE },
	{ "notification naming a stranger", "dabo", OUTCOME_BOUNCED, 1, DONE },
};

static void every_row_of_facts_comes_to_its_outcome(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ledger *l = ledger_new();
		uint32_t id = plan_one(l);

		for (const char *f = rows[i].facts; *f != '\0'; f++)
			tell(l, id, *f);
		ledger_settle(l, &rows[i].end);
		if (ledger_row(l, 0)->outcome != rows[i].outcome)
			fail_msg("%s: %s, not %s", rows[i].name, outcome_name(ledger_row(l, 0)->outcome),
				 outcome_name(rows[i].outcome));
		if (ledger_stray_count(l) != rows[i].strays)
			fail_msg("%s: %u strays, not %u", rows[i].name, ledger_stray_count(l),
				 rows[i].strays);
		uint32_t strays = rows[i].outcome == OUTCOME_UNEXPECTED ? 1 : 0;
		assert_int_equal(ledger_outcome_count(l, OUTCOME_UNEXPECTED), rows[i].strays + strays);
		ledger_free(l);
	}
}

static void every_outcome_has_a_row_that_comes_to_it(void **state)
{
	(void)state;
	bool seen[OUTCOME_COUNT] = { false };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		seen[rows[i].outcome] = true;
	for (unsigned o = 0; o < OUTCOME_COUNT; o++)
		if (!seen[o])
			fail_msg("no row comes to %s", outcome_name((enum outcome)o));
}

static const struct told_row {
	const char *name;
	const char *facts;
	struct ledger_told told;
} told_rows[] = {
	{ "told once", "dab", { .failed = 1, .once = 1 } },
	{ "never told", "da", { .failed = 1, .missing = 1 } },
	{ "only told of a delay", "day", { .failed = 1, .missing = 1 } },
	{ "told twice", "dabb", { .failed = 1, .repeated = 1 } },
	{ "told by a broken notification", "dam", { .failed = 1, .malformed = 1 } },
	{ "told by something that is no report", "daM", { .failed = 1, .malformed = 1 } },
	{ "delivered needs no telling", "dac", { 0 } },
	{ "refused needs no telling", "dr", { 0 } },
};

static void senders_of_failed_messages_must_be_told_exactly_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(told_rows) / sizeof(told_rows[0]); i++) {
		struct ledger *l = ledger_new();
		uint32_t id = plan_one(l);

		for (const char *f = told_rows[i].facts; *f != '\0'; f++)
			tell(l, id, *f);
		ledger_settle(l, &(struct ledger_end)DONE);
		struct ledger_told got = ledger_told(l);
		if (memcmp(&got, &told_rows[i].told, sizeof(got)) != 0)
			fail_msg("%s: failed %u once %u missing %u repeated %u malformed %u",
				 told_rows[i].name, got.failed, got.once, got.missing, got.repeated,
				 got.malformed);
		ledger_free(l);
	}
}

static void recipients_of_one_message_are_judged_apart(void **state)
{
	(void)state;
	const struct ledger_recipient to[] = {
		{ .address = "a@x.example" },
		{ .address = "b@x.example" },
		{ .address = "nobody@x.example" },
		{ .address = "info@x.example", .mailbox = "boss@x.example" },
	};
	struct ledger *l = ledger_new();
	uint32_t id = ledger_plan(
		l, &(struct ledger_plan){ .sender = SENDER, .recipients = to, .recipient_count = 4 });

	ledger_rcpt_reply(l, id, 1, 450, SPAN_LIT("4.2.1 busy"));
	tell(l, id, 'd');
	tell(l, id, 'a');
	copy(l, id, "A@x.example", CONTENT_INTACT); /* addresses of mailboxes fold case here */
	copy(l, id, "boss@x.example", CONTENT_INTACT);
	dsn(l, id, SENDER, "nobody@x.example", LEDGER_ACTION_FAILED, "");
	ledger_settle(l, &(struct ledger_end)DONE);

	assert_int_equal(ledger_row(l, 0)->outcome, OUTCOME_DELIVERED);
	assert_int_equal(ledger_row(l, 1)->outcome, OUTCOME_REJECTED);
	assert_int_equal(ledger_row(l, 2)->outcome, OUTCOME_BOUNCED);
	assert_int_equal(ledger_row(l, 3)->outcome, OUTCOME_DELIVERED);
	assert_string_equal(ledger_row(l, 2)->dsn_status, "5.1.1");
	ledger_free(l);
}

static void an_unreadable_notification_accuses_nobody_among_several(void **state)
{
	(void)state;
	const struct ledger_recipient to[] = { { .address = "a@x.example" }, { .address = "b@x.example" } };
	struct ledger *l = ledger_new();
	uint32_t id = ledger_plan(
		l, &(struct ledger_plan){ .sender = SENDER, .recipients = to, .recipient_count = 2 });

	tell(l, id, 'd');
	tell(l, id, 'a');
	tell(l, id, 'M');
	ledger_settle(l, &(struct ledger_end)DONE);
	assert_int_equal(ledger_stray_count(l), 1);
	assert_int_equal(ledger_outcome_count(l, OUTCOME_LOST), 2);
	ledger_free(l);
}

static void queue_residue_excuses_as_many_as_it_holds_the_latest_first(void **state)
{
	(void)state;
	struct ledger *l = ledger_new();

	for (int i = 0; i < 5; i++) {
		uint32_t id = plan_one(l);
		tell(l, id, 'd');
		tell(l, id, 'a');
	}
	ledger_settle(l, &(struct ledger_end){ .complete = true, .residue_known = true, .residue_rows = 2 });
	assert_int_equal(ledger_outcome_count(l, OUTCOME_LOST), 3);
	assert_int_equal(ledger_outcome_count(l, OUTCOME_STILL_QUEUED), 2);
	assert_int_equal(ledger_row(l, 4)->outcome, OUTCOME_STILL_QUEUED);
	assert_int_equal(ledger_row(l, 0)->outcome, OUTCOME_LOST);
	ledger_free(l);
}

/* What a queue holds, and whom of four that nothing is known of it excuses: b from eve, a and b from ann, b from ann. */
static const struct name_row {
	const char *name;
	struct ledger_waiting waiting[3];
	uint32_t count;
	const char *want; /* q: still queued, l: lost; one for each row */
} name_rows[] = {
	{ "nothing", { { 0 } }, 0, "llll" },
	{ "its own entry", { { "ann@x.example", "a@y.example" } }, 1, "lqll" },
	{ "in other letters", { { "Ann@X.example", "A@y.example" } }, 1, "lqll" },
	{ "the later of two that are alike", { { "ann@x.example", "b@y.example" } }, 1, "lllq" },
	{ "both of them",
	  { { "ann@x.example", "b@y.example" }, { "ann@x.example", "b@y.example" } },
	  2,
	  "llqq" },
	{ "a notification for the sender", { { "", "eve@x.example" } }, 1, "qlll" },
	{ "a notification for somebody else", { { "", "joe@x.example" } }, 1, "llll" },
	{ "its own entry goes first",
	  { { "", "ann@x.example" }, { "ann@x.example", "b@y.example" } },
	  2,
	  "llqq" },
	{ "where an alias led", { { "eve@x.example", "c@z.example" } }, 1, "qlll" },
	{ "an entry too many excuses nobody else",
	  { { "ann@x.example", "a@y.example" }, { "ann@x.example", "a@y.example" } },
	  2,
	  "lqll" },
	{ "a stranger's", { { "joe@x.example", "a@y.example" } }, 1, "llll" },
};

static uint32_t plan_accepted(struct ledger *l, const char *sender, const char *recipient)
{
	const struct ledger_recipient to = { .address = recipient };
	uint32_t id = ledger_plan(
		l, &(struct ledger_plan){ .sender = sender, .recipients = &to, .recipient_count = 1 });

	tell(l, id, 'd');
	tell(l, id, 'a');
	return id;
}

static void names_excuse_whom_they_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(name_rows) / sizeof(name_rows[0]); i++) {
		const struct name_row *row = &name_rows[i];
		struct ledger *l = ledger_new();
		char got[5] = "";
		(void)plan_accepted(l, "eve@x.example", "b@y.example");
		(void)plan_accepted(l, "ann@x.example", "a@y.example");
		(void)plan_accepted(l, "ann@x.example", "b@y.example");
		(void)plan_accepted(l, "ann@x.example", "b@y.example");
		ledger_settle(l, &(struct ledger_end){ .complete = true,
						       .residue_known = true,
						       .residue_rows = row->count,
						       .names_known = true,
						       .waiting = row->waiting,
						       .waiting_count = row->count });
		for (uint32_t k = 0; k < 4; k++)
			got[k] = ledger_row(l, k)->outcome == OUTCOME_STILL_QUEUED ? 'q'
				 : ledger_row(l, k)->outcome == OUTCOME_LOST       ? 'l'
										   : '?';
		if (strcmp(got, row->want) != 0)
			fail_msg("%s: %s, wanted %s", row->name, got, row->want);
		ledger_free(l);
	}
}

static void progress_follows_every_fact(void **state)
{
	(void)state;
	struct ledger *l = ledger_new();
	uint32_t a = plan_one(l);
	uint32_t b = plan_one(l);
	uint32_t c = plan_one(l);

	assert_int_equal(ledger_progress(l).planned, 3);
	assert_int_equal(ledger_progress(l).sent, 0);
	tell(l, a, 'd');
	tell(l, a, 'a');
	assert_int_equal(ledger_progress(l).sent, 1);
	assert_int_equal(ledger_progress(l).accepted, 1);
	assert_int_equal(ledger_progress(l).backlog, 1);
	tell(l, b, 'd');
	tell(l, b, 'x');
	assert_int_equal(ledger_progress(l).indeterminate, 1);
	tell(l, c, 'n');
	assert_int_equal(ledger_progress(l).rejected, 1);
	tell(l, a, 'c');
	tell(l, a, 'c');
	assert_int_equal(ledger_progress(l).delivered, 1);
	assert_int_equal(ledger_progress(l).backlog, 0);
	tell(l, b, 'b');
	assert_int_equal(ledger_progress(l).told, 1);
	assert_int_equal(ledger_progress(l).indeterminate, 0);
	ledger_free(l);
}

static void the_successful_attempt_is_the_one_that_counts(void **state)
{
	(void)state;
	struct ledger *l = ledger_new();
	uint32_t id = plan_one(l);

	ledger_attempt(l, id, &(struct ledger_attempt){ .code = 0, .started_ns = 10, .replied_ns = 20 });
	ledger_attempt(l, id, &(struct ledger_attempt){ .code = 450, .started_ns = 30, .replied_ns = 40 });
	ledger_attempt(l, id,
		       &(struct ledger_attempt){ .recipient = "else@fredsco.example",
						 .code = 250,
						 .started_ns = 42,
						 .replied_ns = 43 });
	assert_true(ledger_row(l, 0)->attempt_replied_ns == LEDGER_NEVER);
	ledger_attempt(l, id,
		       &(struct ledger_attempt){
			       .recipient = RCPT, .code = 250, .started_ns = 50, .replied_ns = 60 });
	ledger_attempt(l, id,
		       &(struct ledger_attempt){
			       .recipient = RCPT, .code = 250, .started_ns = 70, .replied_ns = 80 });
	assert_int_equal(ledger_row(l, 0)->attempts, 4);
	assert_int_equal(ledger_row(l, 0)->attempt_started_ns, 50);
	assert_int_equal(ledger_row(l, 0)->attempt_replied_ns, 60);
	/* The next hop's own hop: what the mailbox waited for. */
	ledger_attempt(l, id, &(struct ledger_attempt){ .code = 250, .started_ns = 90, .replied_ns = 95 });
	assert_int_equal(ledger_row(l, 0)->attempt_replied_ns, 60);
	assert_int_equal(ledger_row(l, 0)->stored_ns, 95);
	ledger_free(l);
}

static void outcome_names_read_back(void **state)
{
	(void)state;
	enum outcome o;

	for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
		assert_true(outcome_parse(span_of(outcome_name((enum outcome)i)), &o));
		assert_int_equal(o, i);
	}
	assert_false(outcome_parse(SPAN_LIT("misplaced"), &o));
	assert_false(outcome_parse(SPAN_LIT(""), &o));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_facts_comes_to_its_outcome),
		cmocka_unit_test(every_outcome_has_a_row_that_comes_to_it),
		cmocka_unit_test(senders_of_failed_messages_must_be_told_exactly_once),
		cmocka_unit_test(recipients_of_one_message_are_judged_apart),
		cmocka_unit_test(an_unreadable_notification_accuses_nobody_among_several),
		cmocka_unit_test(queue_residue_excuses_as_many_as_it_holds_the_latest_first),
		cmocka_unit_test(names_excuse_whom_they_name),
		cmocka_unit_test(progress_follows_every_fact),
		cmocka_unit_test(the_successful_attempt_is_the_one_that_counts),
		cmocka_unit_test(outcome_names_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
