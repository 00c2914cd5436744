/*
 * log: one line per fact: time, event name, key=value pairs.
 *
 *   2026-03-01T12:00:00.123Z queued id=5XK2 session=17 from=<a@b> bytes=4096
 *
 * Values that hold blanks, quotes or control bytes are quoted and escaped, so
 * a line is always one line of printable ASCII.  Lines go to a descriptor,
 * stderr by default.  No message content is ever logged.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level min);
void log_set_fd(int fd);
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
