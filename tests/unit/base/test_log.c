/* log: lines, and a syslog daemon that is slow, gone and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

static char dir[] = "/tmp/postrider-log-XXXXXX";
static char path[sizeof(dir) + 8];

static int make_dir(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/log", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	log_set_syslog(NULL, NULL, 0);
	(void)unlink(path);
	return rmdir(dir);
}

static int daemon_start(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)unlink(path);
	memcpy(un.sun_path, path, sizeof(path));
	assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void expect_line(int fd, const char *pattern)
{
	char line[LOG_SYSLOG_LINE_BYTES_MAX + 1];
	ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);

	assert_true(n > 0);
	line[n] = '\0';
	if (fnmatch(pattern, line, 0) != 0)
		fail_msg("wanted \"%s\", got \"%s\"", pattern, line);
}

static void lines_have_priority_time_name_and_process(void **state)
{
	char pattern[200];
	(void)state;

	int fd = daemon_start();
	log_set_syslog(path, "postriderd", 2);
	log_event(LOG_WARN, "auth-failed", LOG_C("peer", "a b\n"), LOG_I("session", 7));
	(void)snprintf(pattern, sizeof(pattern),
		       "<20>[A-Z][a-z][a-z] [ 0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9] postriderd[[]%ld]: "
		       "auth-failed peer=\"a b*x0a\" session=7",
		       (long)getpid());
	expect_line(fd, pattern);
	log_event(LOG_ERROR, "x", LOG_I("a", 1));
	expect_line(fd, "<19>*");
	log_event(LOG_INFO, "x", LOG_I("a", 1));
	expect_line(fd, "<22>*");
	log_event(LOG_DEBUG, "x", LOG_I("a", 1)); /* below the level */
	char c;
	assert_true(recv(fd, &c, 1, MSG_DONTWAIT) < 0);
	(void)close(fd);
}

/* The test would hang here if a full socket were waited for. */
static void a_daemon_that_does_not_read_costs_lines_and_nothing_else(void **state)
{
	(void)state;

	int fd = daemon_start();
	log_set_syslog(path, "postriderd", 2);
	uint64_t before = log_dropped_count();
	for (int i = 0; i < 5000; i++)
		log_event(LOG_INFO, "x", LOG_I("i", i));
	uint64_t dropped = log_dropped_count() - before;
	assert_true(dropped > 0 && dropped < 5000);
	for (int i = 0; i < 5000 - (int)dropped; i++)
		expect_line(fd, "*: x i=*");
	log_event(LOG_INFO, "y", LOG_I("i", 0));
	char pattern[64];
	(void)snprintf(pattern, sizeof(pattern), "<20>*: log-dropped lines=%llu",
		       (unsigned long long)dropped);
	expect_line(fd, pattern);
	expect_line(fd, "*: y i=0");
	(void)close(fd);
}

static void a_daemon_may_come_later_and_go(void **state)
{
	(void)state;

	(void)unlink(path);
	log_set_syslog(path, "postriderd", 2);
	uint64_t before = log_dropped_count();
	log_event(LOG_INFO, "x", LOG_I("i", 0));
	assert_int_equal(log_dropped_count() - before, 1);
	int fd = daemon_start();
	log_set_syslog(path, "postriderd", 2); /* looks again at once, not in a second */
	log_event(LOG_INFO, "x", LOG_I("i", 1));
	expect_line(fd, "*log-dropped lines=1");
	expect_line(fd, "*: x i=1");
	(void)close(fd);
	log_event(LOG_INFO, "x", LOG_I("i", 2));
	assert_int_equal(log_dropped_count() - before, 2);
}

static void a_long_line_is_cut(void **state)
{
	char *text = malloc(20000);
	char line[20000];
	(void)state;

	assert_non_null(text);
	memset(text, 'a', 20000);
	int fd = daemon_start();
	log_set_syslog(path, "postriderd", 2);
	log_event(LOG_INFO, "x", LOG_S("long", ((struct span){ text, 20000 })));
	(void)recv(fd, line, sizeof(line), MSG_DONTWAIT); /* what was dropped before */
	ssize_t n = recv(fd, line, sizeof(line), MSG_DONTWAIT);
	assert_int_equal(n, LOG_SYSLOG_LINE_BYTES_MAX);
	(void)close(fd);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_have_priority_time_name_and_process),
		cmocka_unit_test(a_daemon_that_does_not_read_costs_lines_and_nothing_else),
		cmocka_unit_test(a_daemon_may_come_later_and_go),
		cmocka_unit_test(a_long_line_is_cut),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
