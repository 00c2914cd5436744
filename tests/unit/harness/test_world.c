/*
 * world, host, timeline: with a shell script in the server's place, because
 * here only processes, files and times are judged.
 */
#include "harness/world/world.h"

#include "base/file.h"
#include "harness/fault/timeline.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* serve --config FILE; what it does is in FILE's settings as "behave". */
static const char SCRIPT[] =
	"#!/bin/sh\n"
	"conf=$3\n"
	"grep -q '\"behave\": \"die\"' $conf && { echo 'broken on purpose' >&2; exit 3; }\n"
	"grep -q '\"behave\": \"slow\"' $conf && exec sleep 30\n"
	"trap 'exit 0' TERM\n"
	"grep -q '\"behave\": \"status\"' $conf && trap 'exit 5' TERM\n"
	"echo smtp 127.0.0.1:1\n"
	"printf rea; echo dy\n"
	"grep -q '\"behave\": \"crash\"' $conf && exit 7\n"
	"while :; do sleep 0.02; done\n";

struct stage {
	struct loop *loop;
	struct flow *flow;
	struct world *world;
	struct links *links;
	struct timeline *timeline;
	struct timer *patience;
	char dir[64];
	int ready, stopped, broken;
	int began, ended, done, failed;
	bool gave_up;
};

static void on_world(void *ctx, enum world_event event)
{
	struct stage *s = ctx;

	s->ready += event == WORLD_READY;
	s->stopped += event == WORLD_STOPPED;
	s->broken += event == WORLD_BROKEN;
	loop_stop(s->loop);
}

static void on_timeline(void *ctx, enum timeline_event event, const struct timeline_fault *fault)
{
	struct stage *s = ctx;
	(void)fault;

	s->began += event == TIMELINE_BEGAN;
	s->ended += event == TIMELINE_ENDED;
	s->done += event == TIMELINE_DONE;
	s->failed += event == TIMELINE_FAILED;
	if (event == TIMELINE_DONE || event == TIMELINE_FAILED)
		loop_stop(s->loop);
}

static void on_patience(void *ctx)
{
	struct stage *s = ctx;

	s->gave_up = true;
	loop_stop(s->loop);
}

static struct stage *begin(const char *settings, const char *faults)
{
	struct stage *s = calloc(1, sizeof(*s));
	struct buf text = { 0 }, messages = { 0 }, script = { 0 };
	struct err err;

	assert_non_null(s);
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/postrider-test-world-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	buf_addf(&script, "%s/server", s->dir);
	if (file_write(buf_cstr(&script), span_of(SCRIPT), 0700, &err) != 0)
		fail_msg("%s", err.text);
	buf_addf(&text,
		 "flow: f\ntitle: t\nhosts:\n"
		 "  a: { domain: a.example, accounts: { ann: given, eve: }, smart-host: b%s%s }\n"
		 "  b: { domain: b.example, accounts: [bob] }\n"
		 "  gone: { domain: gone.example, target: none }\n"
		 "traffic: [ { name: t, from: ann@a.example, to: bob@b.example, rate: 1/s, count: 1 } ]\n%s",
		 settings[0] != '\0' ? ", settings: " : "", settings, faults);
	s->loop = loop_new();
	s->patience = timer_new(s->loop, on_patience, s);
	s->flow = flow_read(
		&(struct flow_options){ .path = "t", .text = buf_span(&text), .ret_messages = &messages });
	if (s->flow == NULL)
		fail_msg("%s", buf_cstr(&messages));
	s->world = world_new(&(struct world_options){ .loop = s->loop,
						      .flow = s->flow,
						      .dir = s->dir,
						      .program = buf_cstr(&script),
						      .on_event = on_world,
						      .ctx = s },
			     &err);
	if (s->world == NULL)
		fail_msg("%s", err.text);
	s->links = links_new(s->loop, s->world, NULL, &err);
	if (s->links == NULL)
		fail_msg("%s", err.text);
	buf_free(&text);
	buf_free(&messages);
	buf_free(&script);
	return s;
}

static void run(struct stage *s, int64_t ms)
{
	s->gave_up = false;
	timer_set_ms(s->patience, ms);
	loop_run(s->loop);
	timer_clear(s->patience);
}

static void start(struct stage *s)
{
	struct err err;

	if (world_start(s->world, &err) != 0)
		fail_msg("%s", err.text);
	run(s, 10000);
}

static void finish(struct stage *s)
{
	struct err err;
	pid_t pids[2] = { 0 };

	for (uint32_t i = 0; i < 2; i++)
		pids[i] = host_pid(world_host(s->world, i));
	timeline_free(s->timeline);
	world_free(s->world);
	links_free(s->links);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(pids[i] == 0 || kill(pids[i], 0) != 0); /* no process is left */
	flow_free(s->flow);
	timer_free(s->patience);
	loop_free(s->loop);
	assert_int_equal(dir_remove(s->dir, &err), 0);
	free(s);
}

static char *file_text(const struct stage *s, const char *name)
{
	struct buf path = { 0 }, text = { 0 };
	struct err err;

	buf_addf(&path, "%s/%s", s->dir, name);
	if (file_read(buf_cstr(&path), 1 << 20, &text, &err) != 0)
		fail_msg("%s", err.text);
	char *copy = strdup(buf_cstr(&text));
	buf_free(&path);
	buf_free(&text);
	return copy;
}

static void a_world_starts_and_stops_all_its_servers(void **state)
{
	(void)state;
	struct stage *s = begin("", "");

	start(s);
	assert_int_equal(s->ready, 1);
	assert_null(world_host(s->world, 2));
	pid_t pid = host_pid(world_host(s->world, 0));
	assert_int_equal(kill(pid, 0), 0);
	assert_true(host_cpu_ms(world_host(s->world, 0)) >= 0);
	world_stop(s->world);
	run(s, 10000);
	assert_int_equal(s->stopped, 1);
	assert_int_not_equal(kill(pid, 0), 0);
	char *said = file_text(s, "hosts/a/stdout.log");
	assert_string_equal(said, "smtp 127.0.0.1:1\nready\n");
	free(said);
	finish(s);
}

static void nothing_is_left_when_a_running_world_is_freed(void **state)
{
	(void)state;
	struct stage *s = begin("", "");

	start(s);
	finish(s); /* looks for what is left */
}

/* Becomes a harness of its own, tells its server's pid, and waits to be killed. */
static _Noreturn void be_a_harness(int to_parent)
{
	struct stage *s = begin("", "");

	start(s);
	pid_t pid = host_pid(world_host(s->world, 0));
	(void)!write(to_parent, &pid, sizeof(pid));
	(void)!write(to_parent, s->dir, sizeof(s->dir));
	for (;;)
		(void)pause();
}

static void servers_die_with_a_harness_that_is_killed(void **state)
{
	(void)state;
	int fds[2];
	pid_t server = 0;
	char dir[sizeof(((struct stage *)0)->dir)];
	struct err err;

	assert_int_equal(pipe(fds), 0);
	pid_t harness = fork();
	if (harness == 0)
		be_a_harness(fds[1]);
	assert_int_equal(read(fds[0], &server, sizeof(server)), sizeof(server));
	assert_int_equal(read(fds[0], dir, sizeof(dir)), sizeof(dir));
	struct pollfd end = { .fd = (int)syscall(SYS_pidfd_open, server, 0U), .events = POLLIN };
	assert_true(end.fd >= 0);
	assert_int_equal(poll(&end, 1, 0), 0); /* it runs */
	assert_int_equal(kill(harness, SIGKILL), 0);
	assert_int_equal(waitpid(harness, NULL, 0), harness);
	assert_int_equal(poll(&end, 1, 10000), 1);
	(void)close(end.fd);
	(void)close(fds[0]);
	(void)close(fds[1]);
	assert_int_equal(dir_remove(dir, &err), 0);
}

static void stopping_a_world_that_never_started_is_heard_too(void **state)
{
	(void)state;
	struct stage *s = begin("", "");

	world_stop(s->world);
	run(s, 2000);
	assert_int_equal(s->stopped, 1);
	finish(s);
}

static void a_server_that_does_not_start_breaks_the_world_with_its_words(void **state)
{
	(void)state;
	struct stage *s = begin("{ behave: die }", "");

	start(s);
	assert_int_equal(s->broken, 1);
	assert_non_null(
		strstr(world_error(s->world)->text, "host a: ended before it was ready, with status 3"));
	assert_non_null(strstr(world_error(s->world)->text, "broken on purpose"));
	finish(s);
}

static void a_server_that_crashes_breaks_the_world(void **state)
{
	(void)state;
	struct stage *s = begin("{ behave: crash }", "");

	start(s);
	if (s->broken == 0)
		run(s, 5000);
	assert_int_equal(s->broken, 1);
	assert_non_null(strstr(world_error(s->world)->text, "ended with status 7 by itself"));
	finish(s);
}

static void a_bad_exit_status_after_sigterm_is_no_clean_stop(void **state)
{
	(void)state;
	struct stage *s = begin("{ behave: status }", "");

	start(s);
	world_stop(s->world);
	run(s, 10000);
	assert_int_equal(s->stopped, 0);
	assert_int_equal(s->broken, 1);
	assert_non_null(strstr(world_error(s->world)->text, "with status 5 after it was asked to end"));
	finish(s);
}

static void a_server_stopped_before_it_was_ready_has_ended_well(void **state)
{
	(void)state;
	struct stage *s = begin("{ behave: slow }", "");
	struct err err;

	assert_int_equal(world_start(s->world, &err), 0);
	run(s, 300); /* longer than a script needs to become the sleep */
	world_stop(s->world);
	run(s, 10000);
	assert_int_equal(s->broken, 0);
	assert_int_equal(s->stopped, 1);
	finish(s);
}

static void a_program_that_is_not_there_is_said(void **state)
{
	(void)state;
	struct stage *s = begin("", "");
	struct buf script = { 0 };

	buf_addf(&script, "%s/server", s->dir);
	assert_int_equal(unlink(buf_cstr(&script)), 0);
	buf_free(&script);
	start(s);
	assert_int_equal(s->broken, 1);
	assert_non_null(strstr(world_error(s->world)->text, "cannot be executed"));
	finish(s);
}

static void the_reference_gets_a_configuration_with_the_flows_settings_merged_in(void **state)
{
	(void)state;
	struct stage *s = begin("{ retry: { first: 200ms }, outbound: { connections: 7 } }", "");

	start(s);
	char *conf = file_text(s, "hosts/a/postriderd.conf");
	static const char *const PARTS[] = {
		"\"hostname\": \"mx.a.example\"", "\"first\": \"200ms\"", "\"connections\": \"7\"",
		"\"smart_host\": \"127.",         "\"tls\": \"none\"",    "\"address\": \"ann@a.example\"",
		"\"forwarder\": \"127."
	};
	for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++)
		if (strstr(conf, PARTS[i]) == NULL)
			fail_msg("no %s in %s", PARTS[i], conf);
	assert_null(strstr(conf, "given")); /* passwords are in files of their own */
	free(conf);
	conf = file_text(s, "hosts/a/password.ann");
	assert_string_equal(conf, "given");
	free(conf);
	assert_string_equal(world_password(s->world, 0, 0), "given");
	assert_int_equal(strlen(world_password(s->world, 0, 1)), 20);
	finish(s);
}

static void addresses_are_distinct_and_on_loopback(void **state)
{
	(void)state;
	struct stage *s = begin("", "");
	struct addr all[8] = { world_service_addr(s->world, 0, FLOW_SMTP),
			       world_service_addr(s->world, 1, FLOW_SMTP),
			       world_service_addr(s->world, 1, FLOW_POP3),
			       world_link_addr(s->world, 0, 1),
			       world_link_addr(s->world, 1, 0),
			       world_spare_addr(s->world, 0),
			       world_spare_addr(s->world, 31),
			       *dns_addr(world_dns(s->world), 0) };

	for (int i = 0; i < 8; i++) {
		assert_true(addr_is_loopback(&all[i]));
		for (int k = 0; k < i; k++)
			assert_false(addr_eq(&all[i], &all[k]));
	}
	/* MX has no port, so whatever a name leads to has the same one. */
	assert_int_equal(addr_port(&all[0]), world_smtp_port(s->world));
	assert_int_equal(addr_port(&all[3]), world_smtp_port(s->world));
	finish(s);
}

static void faults_happen_at_their_times(void **state)
{
	(void)state;
	struct stage *s =
		begin("", "faults:\n"
			  "  - { at: 50ms, for: 200ms, host: b, do: stop }\n"
			  "  - { at: 250ms, host: b, do: restart }\n"
			  "  - { at: 50ms, for: 100ms, host: a, do: kill }\n"
			  "  - { at: 10ms, for: 100ms, link: a -> b, do: blackhole }\n"
			  "  - { at: 110ms, for: 1ms, link: a -> b, do: delay, by: 1ms }\n"
			  "  - { at: 10ms, dns: b.example, do: servfail, for: 50ms }\n"
			  "  - { at: 20ms, link: b -> a, do: reset, when: after-connect, count: 1 }\n");
	start(s);
	assert_int_equal(s->ready, 1);
	pid_t first_pid = host_pid(world_host(s->world, 1));
	s->timeline = timeline_new(&(struct timeline_options){
		.loop = s->loop, .world = s->world, .links = s->links, .on_event = on_timeline, .ctx = s });
	int64_t zero_ns = clock_mono_ns();
	timeline_start(s->timeline, zero_ns);
	run(s, 10000);
	if (s->failed > 0)
		fail_msg("%s", timeline_error(s->timeline)->text);
	assert_int_equal(s->done, 1);
	assert_int_equal(s->began, 7);
	assert_int_equal(s->ended, 6); /* the moment fault has no end */
	assert_true(timeline_is_done(s->timeline));
	assert_int_not_equal(host_pid(world_host(s->world, 1)), first_pid);
	for (uint32_t i = 0; i < timeline_fault_count(s->timeline); i++) {
		const struct timeline_fault *f = timeline_fault(s->timeline, i);
		int64_t late_ms = (f->begin_ns - zero_ns) / 1000000 - f->flow->at_ms;
		assert_true(late_ms >= 0 && late_ms < 1000);
		if (f->flow->for_ms != FLOW_FOREVER)
			assert_true(f->end_ns - zero_ns >= (f->flow->at_ms + f->flow->for_ms) * 1000000);
	}
	assert_int_equal(link_mode(links_get(s->links, 0, 1)), LINK_PASS);
	/* One that begins when another on the same switch ends comes after it. */
	assert_true(timeline_fault(s->timeline, 0)->end_ns <= timeline_fault(s->timeline, 1)->begin_ns);
	assert_true(timeline_fault(s->timeline, 3)->end_ns <= timeline_fault(s->timeline, 4)->begin_ns);
	timeline_finish(s->timeline);
	assert_int_equal(s->ended, 7);
	assert_int_equal(s->broken, 0);
	finish(s);
}

static void a_server_that_is_stopped_for_good_stays_away(void **state)
{
	(void)state;
	struct stage *s = begin("", "faults: [ { at: 10ms, host: b, do: stop } ]\n");

	start(s);
	s->timeline = timeline_new(&(struct timeline_options){
		.loop = s->loop, .world = s->world, .links = s->links, .on_event = on_timeline, .ctx = s });
	timeline_start(s->timeline, clock_mono_ns());
	run(s, 10000);
	assert_int_equal(s->done, 1);
	world_stop(s->world);
	run(s, 10000);
	assert_int_equal(s->stopped, 1);
	timeline_finish(s->timeline);
	assert_true(timeline_fault(s->timeline, 0)->end_ns > 0);
	finish(s);
}

static void a_server_that_does_not_come_back_fails_the_timeline(void **state)
{
	(void)state;
	struct stage *s = begin("", "faults: [ { at: 50ms, for: 50ms, host: b, do: kill } ]\n");
	struct buf path = { 0 };

	start(s);
	buf_addf(&path, "%s/server", s->dir);
	assert_int_equal(unlink(buf_cstr(&path)), 0);
	buf_free(&path);
	s->timeline = timeline_new(&(struct timeline_options){
		.loop = s->loop, .world = s->world, .links = s->links, .on_event = on_timeline, .ctx = s });
	timeline_start(s->timeline, clock_mono_ns());
	run(s, 10000);
	assert_int_equal(s->failed, 1);
	assert_non_null(strstr(timeline_error(s->timeline)->text, "host b"));
	finish(s);
}

static void a_timeline_without_faults_is_done_at_once(void **state)
{
	(void)state;
	struct stage *s = begin("", "");

	s->timeline = timeline_new(&(struct timeline_options){
		.loop = s->loop, .world = s->world, .links = s->links, .on_event = on_timeline, .ctx = s });
	assert_false(timeline_is_done(s->timeline));
	timeline_start(s->timeline, clock_mono_ns());
	run(s, 2000);
	assert_int_equal(s->done, 1);
	finish(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_world_starts_and_stops_all_its_servers),
		cmocka_unit_test(nothing_is_left_when_a_running_world_is_freed),
		cmocka_unit_test(servers_die_with_a_harness_that_is_killed),
		cmocka_unit_test(stopping_a_world_that_never_started_is_heard_too),
		cmocka_unit_test(a_server_that_does_not_start_breaks_the_world_with_its_words),
		cmocka_unit_test(a_server_that_crashes_breaks_the_world),
		cmocka_unit_test(a_bad_exit_status_after_sigterm_is_no_clean_stop),
		cmocka_unit_test(a_server_stopped_before_it_was_ready_has_ended_well),
		cmocka_unit_test(a_program_that_is_not_there_is_said),
		cmocka_unit_test(the_reference_gets_a_configuration_with_the_flows_settings_merged_in),
		cmocka_unit_test(addresses_are_distinct_and_on_loopback),
		cmocka_unit_test(faults_happen_at_their_times),
		cmocka_unit_test(a_server_that_is_stopped_for_good_stays_away),
		cmocka_unit_test(a_server_that_does_not_come_back_fails_the_timeline),
		cmocka_unit_test(a_timeline_without_faults_is_done_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
