#include "base/log.h"

#include "base/buf.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

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

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t field_count)
{
	if (level < level_min)
		return;
	struct buf b = { 0 };
	struct timespec now;
	struct tm utc;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &utc);
	buf_addf(&b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s", utc.tm_year + 1900, utc.tm_mon + 1,
		 utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(now.tv_nsec / 1000000), event);
	for (size_t i = 0; i < field_count; i++) {
		buf_addf(&b, " %s=", fields[i].key);
		if (fields[i].kind == LOG_FIELD_INT)
			buf_addf(&b, "%lld", (long long)fields[i].value);
		else
			add_text(&b, fields[i].text);
	}
	buf_add(&b, SPAN_LIT("\n"));
	struct span line = buf_span(&b);
	ssize_t n =
		write(log_fd, line.p, line.n); /* One write a line, so that lines of threads do not mix. */
	(void)n;                               /* There is nowhere left to complain. */
	buf_free(&b);
}
