/*
 * log: one line per fact: time, event name, key=value pairs.
 *
 *   2026-03-01T12:00:00.123Z queued id=5XK2 session=17 from=<a@b> bytes=4096
 *
 * Values that hold blanks, quotes or control bytes are quoted and escaped, so
 * a line is always one line of printable ASCII.  No message content is ever
 * logged.
 *
 * Lines go to a descriptor, stderr by default, or to the datagram socket of a
 * syslog daemon, in the form of RFC 3164 without a host name, which is what
 * such sockets take.  That never waits: a line that the daemon does not take at
 * once is dropped and counted, one that is too long is cut, and when lines are
 * taken again one says how many were dropped.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level min);
void log_set_fd(int fd);
enum { LOG_SYSLOG_LINE_BYTES_MAX = 8192 };
/*
 * From now on to the socket at this path, as `ident`; facility: RFC 3164 4.1.1.
 * Both texts are borrowed for good.  The daemon need not be there yet, and may
 * go and come back.  path NULL: to the descriptor again.
 */
void log_set_syslog(const char *path, const char *ident, unsigned facility);
uint64_t log_dropped_count(void);
bool log_level_parse(const char *name, enum log_level *ret_level);

/* One key=value; the key is a literal. */
struct log_field {
	const char *key;
	enum { LOG_FIELD_TEXT, LOG_FIELD_INT } kind;
	struct span text;
	int64_t value;
};
#define LOG_S(k, s) ((struct log_field){ .key = (k), .kind = LOG_FIELD_TEXT, .text = (s) })
#define LOG_C(k, cstr) ((struct log_field){ .key = (k), .kind = LOG_FIELD_TEXT, .text = span_of(cstr) })
#define LOG_I(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_INT, .value = (int64_t)(v) })

/* log_event(LOG_INFO, "queued", LOG_S("id", id), LOG_I("bytes", n)); */
#define log_event(level, event, ...)                                           \
	log_write((level), (event), (const struct log_field[]){ __VA_ARGS__ }, \
		  sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t field_count);

#endif
