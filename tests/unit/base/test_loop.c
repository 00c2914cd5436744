/*
 * loop, addr, file, log: timers, tasks, helper threads, and what touches the
 * system.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/unix_socket.h"

struct trace {
	struct loop *loop;
	struct task *task;
	struct task *end;
	char text[64];
};

static void note(struct trace *t, char c)
{
	size_t n = strlen(t->text);
	assert_true(n + 1 < sizeof(t->text));
	t->text[n] = c;
	t->text[n + 1] = '\0';
}

static void on_a(void *ctx)
{
	struct trace *t = ctx;
	note(t, 'a');
	task_schedule(t->task);
	task_schedule(t->task);
}

static void on_b(void *ctx)
{
	struct trace *t = ctx;
	note(t, 'b');
	task_schedule(t->end);
}

static void on_end(void *ctx)
{
	loop_stop(((struct trace *)ctx)->loop);
}

static void on_task(void *ctx)
{
	note(ctx, 't');
}

static void timers_fire_in_order_and_a_task_once(void **state)
{
	(void)state;
	struct trace t = { .loop = loop_new() };
	struct timer *a = timer_new(t.loop, on_a, &t);
	struct timer *b = timer_new(t.loop, on_b, &t);
	struct timer *never = timer_new(t.loop, on_b, &t);

	t.task = task_new(t.loop, on_task, &t);
	t.end = task_new(t.loop, on_end, &t);
	timer_set_ms(b, 20);
	timer_set_ms(a, 1);
	timer_set_ms(never, 0);
	timer_clear(never);
	int64_t begin_ns = clock_mono_ns();
	loop_run(t.loop);
	/* On a busy machine both timers may be due in the same round; tasks come after both. */
	if (strcmp(t.text, "abt") != 0)
		assert_string_equal(t.text, "atb");
	assert_true(clock_mono_ns() - begin_ns >= 20 * 1000000);
	assert_false(timer_is_set(a));
	timer_free(a);
	timer_free(b);
	timer_free(never);
	task_free(t.task);
	task_free(t.end);
	loop_free(t.loop);
}

struct square {
	uint64_t value;
	struct loop *loop;
	uint32_t *open_count;
};

static void square_work(void *job)
{
	struct square *s = job;
	s->value *= s->value;
}

static void square_done(void *job)
{
	struct square *s = job;
	if (--*s->open_count == 0)
		loop_stop(s->loop);
}

static void pool_brings_every_job_back(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct pool *p = pool_new(l, 3);
	struct square jobs[500];
	uint32_t open_count = 500;

	for (uint32_t i = 0; i < 500; i++) {
		jobs[i] = (struct square){ .value = i, .loop = l, .open_count = &open_count };
		pool_submit(p, square_work, square_done, &jobs[i]);
	}
	loop_run(l);
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(jobs[i].value, (uint64_t)i * i);
	pool_free(p);
	loop_free(l);
}

static void on_usr1(void *ctx, int signo)
{
	assert_int_equal(signo, SIGUSR1);
	loop_stop(ctx);
}

static void signals_arrive_on_the_loop(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct signal_watch *s = signal_watch_new(l, SIGUSR1, on_usr1, l);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	loop_run(l);
	signal_watch_free(s);
	loop_free(l);
}

static void addresses_are_read_and_written(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *back; /* NULL: refused */
	} rows[] = {
		{ "127.0.0.1:25", "127.0.0.1:25" },
		{ "[::1]:25", "[::1]:25" },
		{ "2525", "127.0.0.1:2525" },
		{ "127.0.0.1", NULL },
		{ "127.0.0.1:65536", NULL },
		{ "localhost:25", NULL },
		{ "127.0.0.1:", NULL },
		{ ":25", NULL },
		{ "", NULL },
	};
	char text[56];
	struct addr a, b;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool ok = addr_parse_port(rows[i].text, &a);
		if (ok != (rows[i].back != NULL))
			fail_msg("%s", rows[i].text);
		if (ok)
			assert_string_equal(addr_format(&a, text), rows[i].back);
	}
	assert_true(addr_parse("127.9.9.9", 1, &a) && addr_parse("127.9.9.9", 2, &b));
	assert_true(addr_is_loopback(&a));
	assert_false(addr_eq(&a, &b));
	addr_set_port(&b, 1);
	assert_true(addr_eq(&a, &b));
	assert_true(addr_parse("128.0.0.1", 1, &a));
	assert_false(addr_is_loopback(&a));
	assert_true(addr_parse("::1", 1, &a));
	assert_true(addr_is_loopback(&a));
}

static void files_are_replaced_whole(void **state)
{
	(void)state;
	char dir[] = "/tmp/postrider-test-XXXXXX";
	char path[128], deep[96];
	struct buf b = { 0 };
	struct err e;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(deep, sizeof(deep), "%s/a/b/c", dir);
	(void)snprintf(path, sizeof(path), "%s/f", deep);
	assert_int_equal(dir_make(deep, 0700, &e), 0);
	assert_int_equal(dir_make(deep, 0700, &e), 0);
	assert_int_equal(file_write(path, SPAN_LIT("one"), 0600, &e), 0);
	assert_int_equal(file_write(path, SPAN_LIT("two"), 0600, &e), 0);
	assert_int_equal(file_read(path, 100, &b, &e), 0);
	assert_true(span_eq(buf_span(&b), SPAN_LIT("two")));
	assert_int_equal(file_read(path, 2, &b, &e), -EFBIG);
	assert_int_equal(file_write("/proc/nowhere/f", SPAN_LIT("x"), 0600, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/proc/nowhere/f"));
	assert_int_equal(dir_remove(dir, &e), 0);
	assert_int_equal(file_read(path, 100, &b, &e), -ENOENT);
	assert_int_equal(dir_remove(dir, &e), 0);
	buf_free(&b);
}

static void unix_sockets_have_paths_of_any_length(void **state)
{
	(void)state;
	char dir[] = "/tmp/postrider-test-XXXXXX";
	char deep[200], path[240];
	struct err e;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(deep, sizeof(deep), "%s/%0120d", dir, 0);
	(void)snprintf(path, sizeof(path), "%s/control", deep);
	assert_int_equal(dir_make(deep, 0700, &e), 0);
	assert_int_equal(unix_socket_connect(path), -ENOENT);
	int listening = unix_socket_listen(path, 1);
	assert_true(listening >= 0);
	int client = unix_socket_connect(path);
	assert_true(client >= 0);
	(void)close(client);
	(void)close(listening);
	assert_int_equal(unix_socket_connect(path), -ECONNREFUSED);
	listening = unix_socket_listen(path, 1);
	assert_true(listening >= 0);
	(void)close(listening);
	assert_int_equal(dir_remove(dir, &e), 0);
}

static void log_lines_cannot_be_broken_by_values(void **state)
{
	(void)state;
	int fds[2];
	char line[512];

	assert_int_equal(pipe(fds), 0);
	log_set_fd(fds[1]);
	log_event(LOG_DEBUG, "hidden", LOG_I("n", 1));
	log_event(LOG_INFO, "shown", LOG_C("plain", "a@b"), LOG_C("odd", "x\r\ny \"z\""), LOG_C("empty", ""),
		  LOG_I("n", -5));
	log_set_fd(STDERR_FILENO);
	ssize_t n = read(fds[0], line, sizeof(line) - 1);
	assert_true(n > 25);
	line[n] = '\0';
	assert_string_equal(line + 24, " shown plain=a@b odd=\"x\\x0d\\x0ay \\\"z\\\"\" empty=\"\" n=-5\n");
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_and_a_task_once),
		cmocka_unit_test(pool_brings_every_job_back),
		cmocka_unit_test(signals_arrive_on_the_loop),
		cmocka_unit_test(addresses_are_read_and_written),
		cmocka_unit_test(files_are_replaced_whole),
		cmocka_unit_test(unix_sockets_have_paths_of_any_length),
		cmocka_unit_test(log_lines_cannot_be_broken_by_values),
	};
	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
