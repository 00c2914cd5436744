/*
 * waivers: what a target is known to fail, with a reason and a day on which
 * that stops being accepted.
 *
 *   waivers:
 *     - case: smtp/rfc5321/4.1.1.4/some-case
 *       reason: the site needs bare LF from its scanners until they are replaced
 *       until: 2027-06-30
 *       target: postfix     (absent: whatever the target)
 */
#ifndef HARNESS_CONFORM_WAIVERS_H
#define HARNESS_CONFORM_WAIVERS_H

#include "base/buf.h"

#include <stdint.h>

struct waiver {
	const char *case_id;
	const char *target; /* NULL: any */
	const char *reason;
	const char *until; /* "2027-06-30", the last day */
	int64_t until_wall_ms;
};

struct waivers;
/* NULL after mistakes, which are appended to *ret_messages. */
struct waivers *waivers_read(const char *path, struct buf *ret_messages);
void waivers_free(struct waivers *w); /* accepts NULL */
uint32_t waivers_count(const struct waivers *w);
const struct waiver *waivers_item(const struct waivers *w, uint32_t index);
/* NULL when there is none for the case and the target, or its day is over.  w may be NULL. */
const struct waiver *waivers_find(const struct waivers *w, const char *target, const char *case_id,
				  int64_t now_wall_ms);

#endif
