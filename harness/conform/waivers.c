#include "harness/conform/waivers.h"

#include "base/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAIVERS_MAX = 10000, DAY_MS = 24 * 3600 * 1000 };

struct waivers {
	struct yaml *yaml;
	struct waiver *items;
	uint32_t count;
};

/* The end of that day, UTC; -1 when it is no day. */
static int64_t day_end_ms(const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%d", &tm);

	if (end == NULL || *end != '\0')
		return -1;
	time_t at = timegm(&tm);
	return at < 0 ? -1 : (int64_t)at * 1000 + DAY_MS;
}

static void read_item(struct waivers *w, const struct yaml_node *n)
{
	struct waiver item = { .case_id = "", .reason = "", .until = "" };

	if (yaml_kind(n) != YAML_MAP) {
		yaml_error(w->yaml, n, "a waiver has \"case\", \"reason\" and \"until\"");
		return;
	}
	bool whole = yaml_require(n, "case") && yaml_require(n, "reason") && yaml_require(n, "until");
	(void)yaml_get_str(n, "case", &item.case_id);
	(void)yaml_get_str(n, "reason", &item.reason);
	(void)yaml_get_str(n, "until", &item.until);
	(void)yaml_get_str(n, "target", &item.target);
	item.until_wall_ms = day_end_ms(item.until);
	if (whole && item.until_wall_ms < 0)
		yaml_error(w->yaml, yaml_get(n, "until"), "a day belongs here, as in 2027-06-30");
	if (whole && *item.reason == '\0')
		yaml_error(w->yaml, n, "a waiver without a reason is worth nothing");
	w->items[w->count++] = item;
}

struct waivers *waivers_read(const char *path, struct buf *ret_messages)
{
	struct waivers *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	w->yaml = yaml_load(&(struct yaml_options){ .path = path });
	const struct yaml_node *list = yaml_get_list(yaml_root(w->yaml), "waivers");
	uint32_t count = yaml_child_count(list);
	if (count > WAIVERS_MAX) {
		yaml_error(w->yaml, list, "more than %d waivers", WAIVERS_MAX);
		list = NULL;
	}
	w->items = calloc(count + 1, sizeof(*w->items));
	if (w->items == NULL)
		abort();
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n))
		read_item(w, n);
	yaml_finish(w->yaml);
	if (yaml_error_count(w->yaml) == 0)
		return w;
	buf_add_cstr(ret_messages, yaml_messages(w->yaml));
	waivers_free(w);
	return NULL;
}

void waivers_free(struct waivers *w)
{
	if (w == NULL)
		return;
	yaml_free(w->yaml);
	free(w->items);
	free(w);
}

uint32_t waivers_count(const struct waivers *w)
{
	return w != NULL ? w->count : 0;
}

const struct waiver *waivers_item(const struct waivers *w, uint32_t index)
{
	return &w->items[index];
}

const struct waiver *waivers_find(const struct waivers *w, const char *target, const char *case_id,
				  int64_t now_wall_ms)
{
	for (uint32_t i = 0; i < waivers_count(w); i++) {
		const struct waiver *x = &w->items[i];
		if (strcmp(x->case_id, case_id) == 0 && now_wall_ms < x->until_wall_ms &&
		    (x->target == NULL || strcmp(x->target, target) == 0))
			return x;
	}
	return NULL;
}
