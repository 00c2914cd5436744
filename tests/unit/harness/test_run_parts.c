/*
 * plan and residue: the parts of a run that need no world.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/loop.h"
#include "harness/cli/plan.h"
#include "harness/cli/residue.h"
#include "harness/world/launch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static struct flow_address to[2] = { { .text = "a@x.example" }, { .text = "b@x.example" } };
static struct flow_traffic traffic[2] = {
	{ .name = "steady",
	  .from = { .text = "s@y.example" },
	  .to = to,
	  .to_count = 2,
	  .arrival = FLOW_ARRIVAL_CONSTANT,
	  .rate_per_s = 100,
	  .start_ms = 500,
	  .message_count = 50,
	  .size_bytes_min = 2000,
	  .size_bytes_max = 8000 },
	{ .name = "random",
	  .from = { .text = "s@y.example" },
	  .to = to,
	  .to_count = 1,
	  .arrival = FLOW_ARRIVAL_POISSON,
	  .rate_per_s = 100,
	  .duration_ms = 1000,
	  .size_bytes_min = 10,
	  .size_bytes_max = 10 },
};
static const struct flow flow = { .traffic = traffic, .traffic_count = 2 };

static struct plan *make_plan(struct ledger *l, uint64_t seed)
{
	struct err e;
	struct plan *p = plan_new(&(struct plan_options){ .flow = &flow,
							  .seed = seed,
							  .ledger = l,
							  .zero_ns = 1000 * MS,
							  .zero_wall_ms = 773673707000 },
				  &e);

	assert_non_null(p);
	return p;
}

static void messages_lie_in_order_of_traffic_and_time(void **state)
{
	(void)state;
	struct ledger *l = ledger_new();
	struct plan *p = make_plan(l, 3);
	uint32_t first;
	uint32_t end;

	plan_ids(p, 0, &first, &end);
	assert_int_equal(first, 0);
	assert_int_equal(end, 50);
	assert_int_equal(ledger_message(l, 0)->intended_ns, 1500 * MS);
	assert_int_equal(ledger_message(l, 49)->intended_ns, 1990 * MS);
	assert_int_equal(ledger_message(l, 7)->row_count, 2);
	plan_ids(p, 1, &first, &end);
	assert_int_equal(first, 50);
	assert_int_equal(end, ledger_message_count(l));
	assert_in_range(end - first, 60, 140); /* 100 are expected */
	for (uint32_t id = 51; id < end; id++)
		assert_true(ledger_message(l, id)->intended_ns >= ledger_message(l, id - 1)->intended_ns);
	assert_true(plan_last_ns(p) >= 1990 * MS && plan_last_ns(p) < 2000 * MS);
	plan_free(p);
	ledger_free(l);
}

static void whole_messages_have_the_sizes_of_the_flow(void **state)
{
	(void)state;
	struct ledger *l = ledger_new();
	struct plan *p = make_plan(l, 3);
	struct buf m = { 0 };
	size_t smallest = SIZE_MAX;
	size_t largest = 0;

	for (uint32_t id = 0; id < 50; id++) {
		struct content_spec spec;
		plan_spec(p, id, &spec);
		buf_reset(&m);
		content_make(&spec, &m);
		smallest = buf_bytes(&m) < smallest ? buf_bytes(&m) : smallest;
		largest = buf_bytes(&m) > largest ? buf_bytes(&m) : largest;
	}
	assert_true(smallest >= 2000 && smallest < 3000);
	assert_true(largest > 7000 && largest <= 8000);
	/* Smaller than a header: as small as can be. */
	assert_int_equal(ledger_message(l, 50)->body_bytes, CONTENT_BODY_BYTES_MIN);
	buf_free(&m);
	plan_free(p);
	ledger_free(l);
}

static void the_seed_decides_and_nothing_else(void **state)
{
	(void)state;
	struct ledger *l[3] = { ledger_new(), ledger_new(), ledger_new() };
	struct plan *p[3] = { make_plan(l[0], 3), make_plan(l[1], 3), make_plan(l[2], 4) };
	bool differs = false;

	assert_int_equal(ledger_message_count(l[0]), ledger_message_count(l[1]));
	for (uint32_t id = 0; id < ledger_message_count(l[0]); id++) {
		assert_int_equal(ledger_message(l[0], id)->intended_ns,
				 ledger_message(l[1], id)->intended_ns);
		assert_int_equal(ledger_message(l[0], id)->body_bytes, ledger_message(l[1], id)->body_bytes);
		if (id < ledger_message_count(l[2]))
			differs = differs || ledger_message(l[0], id)->body_bytes !=
						     ledger_message(l[2], id)->body_bytes;
	}
	assert_true(differs);
	for (int i = 0; i < 3; i++) {
		plan_free(p[i]);
		ledger_free(l[i]);
	}
}

static const struct answer_row {
	const char *name;
	const char *script;
	bool known;
	uint32_t count;
} answers[] = {
	{ "a number", "echo 'smtp sessions: 3'; echo 'queue: 17'", true, 17 },
	{ "none", "echo 'queue: 0'", true, 0 },
	{ "the arguments are right", "[ \"$1 $2 $3\" = 'status --config /c' ] && echo 'queue: 1'", true, 1 },
	{ "no such line", "echo 'sessions: 3'", false, 0 },
	{ "no number", "echo 'queue: many'", false, 0 },
	{ "too large a number", "echo 'queue: 99999999999'", false, 0 },
	{ "a number, and failure", "echo 'queue: 5'; exit 1", false, 0 },
	{ "nothing", "exit 0", false, 0 },
	{ "killed", "kill -9 $$", false, 0 },
	{ "silence", "exec sleep 30", false, 0 },
	{ "no end of words", "while :; do echo 'smtp sessions: 3'; done", false, 0 },
};

struct asking {
	struct loop *loop;
	struct timer *tick;
	struct residue *residue;
	uint32_t tick_count;
	uint32_t answer_count;
	bool known;
	uint32_t count;
};

static void on_tick(void *ctx)
{
	struct asking *a = ctx;

	a->tick_count++;
	timer_set_ms(a->tick, 10);
}

static void on_answer(void *ctx, struct residue *r, bool known, uint32_t count)
{
	struct asking *a = ctx;

	assert_ptr_equal(r, a->residue);
	a->answer_count++;
	a->known = known;
	a->count = count;
	loop_stop(a->loop);
}

static const struct target_queue as_line = { .count = TARGET_COUNT_AFTER, .after = "queue: " };

static pid_t start(void *ctx, int out)
{
	static const struct launch plain = { .network_fd = -1 };
	char status[] = "status", option[] = "--config", config[] = "/c";
	char *args[] = { ctx, status, option, config, NULL };
	struct err e;

	return launch_command(&plain, 0, args, out, &e);
}

static void ask(struct asking *a, char *path)
{
	*a = (struct asking){ .loop = loop_new() };
	a->tick = timer_new(a->loop, on_tick, a);
	timer_set_ms(a->tick, 10);
	a->residue =
		residue_ask(a->loop, &(struct residue_question){ start, path, &as_line, NULL }, on_answer, a);
	assert_non_null(a->residue);
	loop_run(a->loop);
	timer_free(a->tick);
	loop_free(a->loop);
}

static void queues_tell_a_number_or_nothing(void **state)
{
	(void)state;
	char path[] = "/tmp/postrider-test-XXXXXX";
	int fd = mkstemp(path);
	struct err e;

	assert_true(fd >= 0);
	(void)close(fd);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct buf script = { 0 };
		struct asking a;
		int64_t began_ms = clock_mono_ms();
		buf_addf(&script, "#!/bin/sh\n%s\n", answers[i].script);
		assert_int_equal(file_write(path, buf_span(&script), 0700, &e), 0);
		ask(&a, path);
		if (a.known != answers[i].known || a.count != answers[i].count || a.answer_count != 1)
			fail_msg("%s: %d %u", answers[i].name, a.known, a.count);
		assert_true(clock_mono_ms() - began_ms < 10000);
		buf_free(&script);
	}
	struct asking a;
	assert_int_equal(unlink(path), 0);
	ask(&a, path);
	assert_false(a.known);
}

static void answers_are_counted_as_the_target_says(void **state)
{
	(void)state;
	static const struct target_queue lines = { .count = TARGET_COUNT_LINES };
	static const struct target_queue number = { .count = TARGET_COUNT_NUMBER };
	static const struct {
		const struct target_queue *how;
		const char *answer;
		bool known;
		uint32_t count;
	} rows[] = {
		{ &lines, "", true, 0 },
		{ &lines, "{}\n\n{}\n", true, 2 },
		{ &lines, "{}\n{", false, 0 },
		{ &number, "12\n", true, 12 },
		{ &number, "", false, 0 },
		{ &number, "no\n", false, 0 },
		{ &as_line, "a\nqueue: 3\n", true, 3 },
		{ &as_line, "queue: \n", false, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t count = 0;
		bool known = residue_count(rows[i].how, span_of(rows[i].answer), &count);
		if (known != rows[i].known || (known && count != rows[i].count))
			fail_msg("%s: %d %u", rows[i].answer, known, count);
	}
}

static const struct listing {
	const char *name;
	const char *text;
	bool fine;
	uint32_t count;
} listings[] = {
	{ "empty", "", true, 0 },
	{ "two recipients",
	  "{\"id\":\"1\",\"sender\":\"a@b\",\"recipients\":[{\"address\":\"c@d\"},{\"address\":\"e@f\"}]}\n",
	  true, 2 },
	{ "two messages, one a notification",
	  "{\"sender\":\"\",\"recipients\":[{\"address\":\"c@d\"}]}\n{\"sender\":\"a@b\",\"recipients\":[{"
	  "\"address\":\"c@d\"}]}\n",
	  true, 2 },
	{ "cut off", "{\"sender\":\"\",\"recipients\":[{\"address\":\"c@d\"}]}", false, 0 },
	{ "cut off inside", "{\"sender\":\"\",\"recip\n", false, 0 },
	{ "nobody left: perhaps a notification for its sender", "{\"sender\":\"a@b\",\"recipients\":[]}\n",
	  true, 1 },
	{ "recipients that are no list", "{\"sender\":\"a@b\",\"recipients\":1}\n", false, 0 },
	{ "no sender", "{\"recipients\":[{\"address\":\"c@d\"}]}\n", false, 0 },
	{ "a recipient without an address", "{\"sender\":\"\",\"recipients\":[{}]}\n", false, 0 },
	{ "words", "queue is empty\n", false, 0 },
};

static void a_listing_is_read_whole_or_not_believed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(listings) / sizeof(listings[0]); i++) {
		struct residue_names n = { 0 };
		bool fine = residue_read_names(span_of(listings[i].text), &n);
		if (fine != listings[i].fine || (fine && n.count != listings[i].count))
			fail_msg("%s: %d %u", listings[i].name, fine, n.count);
		residue_names_free(&n);
	}
}

static void the_loop_goes_on_while_a_queue_is_asked(void **state)
{
	(void)state;
	char path[] = "/tmp/postrider-test-XXXXXX";
	int fd = mkstemp(path);
	struct err e;
	struct asking a;

	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(file_write(path, SPAN_LIT("#!/bin/sh\nsleep 1\necho 'queue: 4'\n"), 0700, &e), 0);
	ask(&a, path);
	assert_true(a.known);
	assert_int_equal(a.count, 4);
	assert_true(a.tick_count >= 10); /* of 100; none when it waits */
	/* A question that is given up leaves no process, and nobody is told. */
	a = (struct asking){ .loop = loop_new() };
	a.residue =
		residue_ask(a.loop, &(struct residue_question){ start, path, &as_line, NULL }, on_answer, &a);
	residue_free(a.residue);
	loop_free(a.loop);
	assert_int_equal(a.answer_count, 0);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_lie_in_order_of_traffic_and_time),
		cmocka_unit_test(whole_messages_have_the_sizes_of_the_flow),
		cmocka_unit_test(the_seed_decides_and_nothing_else),
		cmocka_unit_test(queues_tell_a_number_or_nothing),
		cmocka_unit_test(a_listing_is_read_whole_or_not_believed),
		cmocka_unit_test(answers_are_counted_as_the_target_says),
		cmocka_unit_test(the_loop_goes_on_while_a_queue_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
