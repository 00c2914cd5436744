#include "base/log.h"

#include "base/buf.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { RECONNECT_S = 1 };

/* Under lock, but for the count. */
static struct {
	pthread_mutex_t lock;
	const char *path; /* NULL: lines go to the descriptor */
	const char *ident;
	unsigned facility;
	int fd; /* -1: not connected */
	time_t tried_at;
	uint64_t dropped_said;
	atomic_uint_fast64_t dropped_count;
} syslog_to = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static enum log_level level_min = LOG_INFO;
static int log_fd = STDERR_FILENO;

void log_set_level(enum log_level min)
{
	level_min = min;
}

void log_set_fd(int fd)
{
	log_fd = fd;
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	static const char *const names[] = {
		[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"
	};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0) {
			*ret_level = (enum log_level)i;
			return true;
		}
	return false;
}

static bool is_plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\')
			return false;
	}
	return s.n > 0;
}

static void add_text(struct buf *b, struct span s)
{
	if (is_plain(s)) {
		buf_add(b, s);
		return;
	}
	buf_add(b, SPAN_LIT("\""));
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c < ' ' || c >= 0x7f)
			buf_addf(b, "\\x%02x", c);
		else
			buf_add_u8(b, c);
	}
	buf_add(b, SPAN_LIT("\""));
}

/* ---- syslog ---- */

void log_set_syslog(const char *path, const char *ident, unsigned facility)
{
	pthread_mutex_lock(&syslog_to.lock);
	if (syslog_to.fd >= 0)
		(void)close(syslog_to.fd);
	syslog_to.fd = -1;
	syslog_to.tried_at = 0;
	syslog_to.path = path;
	syslog_to.ident = ident;
	syslog_to.facility = facility;
	pthread_mutex_unlock(&syslog_to.lock);
}

uint64_t log_dropped_count(void)
{
	return atomic_load(&syslog_to.dropped_count);
}

static void connect_syslog(time_t now)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (syslog_to.tried_at != 0 && now - syslog_to.tried_at < RECONNECT_S && now >= syslog_to.tried_at)
		return;
	syslog_to.tried_at = now;
	if (!span_copy(span_of(syslog_to.path), un.sun_path, sizeof(un.sun_path)))
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof(un)) != 0) {
		(void)close(fd);
		fd = -1;
	}
	syslog_to.fd = fd;
}

static bool send_syslog(enum log_level level, time_t now, struct span text)
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	static const unsigned severities[] = {
		[LOG_DEBUG] = 7, [LOG_INFO] = 6, [LOG_WARN] = 4, [LOG_ERROR] = 3
	};
	struct buf b = { 0 };
	struct tm local;

	if (syslog_to.fd < 0)
		connect_syslog(now);
	if (syslog_to.fd < 0)
		return false;
	(void)localtime_r(&now, &local);
	buf_addf(&b, "<%u>%s %2d %02d:%02d:%02d %s[%ld]: %.*s", syslog_to.facility * 8 + severities[level],
		 months[local.tm_mon], local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
		 syslog_to.ident, (long)getpid(), SPAN_FMT(text));
	struct span line = span_sub(buf_span(&b), 0, LOG_SYSLOG_LINE_BYTES_MAX);
	ssize_t n = send(syslog_to.fd, line.p, line.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS && errno != EINTR) {
		(void)close(syslog_to.fd); /* the daemon went; the next line looks for it again */
		syslog_to.fd = -1;
	}
	buf_free(&b);
	return n >= 0;
}

static void say_dropped(time_t now)
{
	uint64_t dropped = atomic_load(&syslog_to.dropped_count);
	struct buf b = { 0 };

	if (dropped == syslog_to.dropped_said)
		return;
	buf_addf(&b, "log-dropped lines=%llu", (unsigned long long)(dropped - syslog_to.dropped_said));
	if (send_syslog(LOG_WARN, now, buf_span(&b)))
		syslog_to.dropped_said = dropped;
	buf_free(&b);
}

/* False when lines go to the descriptor. */
static bool write_syslog(enum log_level level, time_t now, struct span text)
{
	pthread_mutex_lock(&syslog_to.lock);
	bool wanted = syslog_to.path != NULL;
	if (wanted) {
		say_dropped(now);
		if (!send_syslog(level, now, text))
			atomic_fetch_add(&syslog_to.dropped_count, 1);
	}
	pthread_mutex_unlock(&syslog_to.lock);
	return wanted;
}

/* ---- lines ---- */

static void write_fd(const struct timespec *now, struct span text)
{
	struct buf b = { 0 };
	struct tm utc;

	(void)gmtime_r(&now->tv_sec, &utc);
	buf_addf(&b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %.*s\n", utc.tm_year + 1900, utc.tm_mon + 1,
		 utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(now->tv_nsec / 1000000),
		 SPAN_FMT(text));
	struct span line = buf_span(&b);
	ssize_t n =
		write(log_fd, line.p, line.n); /* One write a line, so that lines of threads do not mix. */
	(void)n;                               /* There is nowhere left to complain. */
	buf_free(&b);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t field_count)
{
	if (level < level_min)
		return;
	struct buf b = { 0 };
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	buf_add_cstr(&b, event);
	for (size_t i = 0; i < field_count; i++) {
		buf_addf(&b, " %s=", fields[i].key);
		if (fields[i].kind == LOG_FIELD_INT)
			buf_addf(&b, "%lld", (long long)fields[i].value);
		else
			add_text(&b, fields[i].text);
	}
	if (!write_syslog(level, now.tv_sec, buf_span(&b)))
		write_fd(&now, buf_span(&b));
	buf_free(&b);
}
