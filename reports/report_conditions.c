#include "reports/report_parts.h"

#include "reports/page.h"

#include <math.h>
#include <stdio.h>

/* ---- conditions ---- */

static void add_condition(struct buf *html, const char *name, const char *text)
{
	if (*text == '\0')
		return;
	buf_addf(html, "<tr><th>%s</th><td>", name);
	page_text(html, text);
	buf_add_cstr(html, "</td></tr>\n");
}

static void add_hosts_condition(struct buf *html, const json_t *result)
{
	size_t i;
	json_t *h;

	buf_add_cstr(html, "<tr><th>servers</th><td>");
	json_array_foreach(json_object_get(result, "hosts"), i, h)
	{
		buf_add_cstr(html, i > 0 ? "; " : "");
		page_text(html, get_text(h, "name"));
		buf_add_cstr(html, ": ");
		page_text(html, get_text(h, "target"));
		if (get_int(h, "cpu_ms") > 0) {
			buf_add_cstr(html, ", ");
			page_duration(html, (double)get_int(h, "cpu_ms"));
			buf_add_cstr(html, " of CPU");
		}
		if (get_int(h, "starts") > 1)
			buf_addf(html, ", started %d times", (int)get_int(h, "starts"));
	}
	buf_add_cstr(html, "</td></tr>\n");
}

/* "loop lag 99 % within 4.0 ms (limit 100 ms)" */
static void add_lag(struct buf *html, const char *what, const json_t *lag, double limit_ms)
{
	size_t i;
	json_t *p;

	buf_addf(html, "%s 99 %% within ", what);
	json_array_foreach(json_object_get(lag, "percentiles"), i,
			   p) if (fabs(get_number(p, "percentile") - 99) < 1e-9) page_percentile(html, p);
	buf_add_cstr(html, " (limit ");
	page_duration(html, limit_ms);
	buf_add_cstr(html, "); ");
}

static void add_harness_condition(struct buf *html, const json_t *result)
{
	const json_t *h = json_object_get(result, "harness");

	buf_add_cstr(html, "<tr><th>harness</th><td>");
	add_lag(html, "own send lag", json_object_get(h, "own_send_lag"),
		get_number(h, "send_lag_p99_limit_ms"));
	add_lag(html, "loop lag", json_object_get(h, "loop_lag"), get_number(h, "loop_lag_p99_limit_ms"));
	page_duration(html, (double)get_int(h, "cpu_ms"));
	buf_add_cstr(html, " of CPU</td></tr>\n");
}

void report_conditions(struct buf *html, const json_t *result)
{
	const json_t *c = json_object_get(result, "conditions");
	char text[200];
	size_t i;
	json_t *set;
	struct buf sets = { 0 };

	buf_add_cstr(html,
		     "<h2>Conditions</h2>\n<div class=\"scroll\"><table class=\"conditions\"><tbody>\n");
	add_condition(html, "flow", get_text(json_object_get(result, "flow"), "path"));
	json_array_foreach(json_object_get(c, "sets"), i, set)
		buf_addf(&sets, "%s%s", i > 0 ? ", " : "", json_string_value(set));
	add_condition(html, "settings", buf_cstr(&sets));
	buf_free(&sets);
	add_condition(html, "seed", get_text(c, "seed"));
	(void)snprintf(text, sizeof(text), "%s to %s", get_text(c, "started"), get_text(c, "ended"));
	add_condition(html, "time", text);
	add_condition(html, "system", get_text(c, "system"));
	(void)snprintf(text, sizeof(text), "%d × %s, load average %.2f at the end", (int)get_int(c, "cores"),
		       get_text(c, "cpu"), get_number(c, "load_average"));
	add_condition(html, "processor", text);
	add_hosts_condition(html, result);
	add_harness_condition(html, result);
	add_condition(html, "postrider", get_text(c, "version"));
	buf_add_cstr(html, "</tbody></table></div>\n");
}
