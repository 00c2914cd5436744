#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
	assert(e != NULL);
	assert(code < 0);
	va_list ap;

	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return code;
}

int err_errno(struct err *e, int errno_value, const char *fmt, ...)
{
	assert(e != NULL);
	assert(errno_value > 0);
	va_list ap;

	e->code = -errno_value;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	size_t used_bytes = strlen(e->text);
	(void)snprintf(e->text + used_bytes, sizeof(e->text) - used_bytes, ": %s", strerror(errno_value));
	return e->code;
}

int err_wrap(struct err *e, const char *what)
{
	assert(e != NULL);
	assert(e->code < 0);
	char cause[sizeof(e->text)];

	memcpy(cause, e->text, sizeof(cause));
	int n = snprintf(e->text, sizeof(e->text), "%s: %s", what, cause);
	if (n < 0 || (size_t)n >= sizeof(e->text))
		memcpy(e->text, cause, sizeof(cause)); /* A prefix this long would hide the cause. */
	return e->code;
}
