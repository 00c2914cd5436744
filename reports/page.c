#include "reports/page.h"

#include "base/file.h"
#include "reports/assets.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { ASSET_BYTES_MAX = 1024 * 1024 };

void page_begin(struct buf *html, const char *verdict, const char *of_what)
{
	char path[PATH_MAX];
	struct err e;

	buf_add_cstr(html,
		     "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
	page_text(html, verdict);
	buf_add_cstr(html, ": ");
	page_text(html, of_what);
	buf_add_cstr(html, "</title>\n<style>\n");
	/* Without its style the page still reads from top to bottom. */
	if (assets_find("report.css", path, sizeof(path), &e) == 0)
		(void)file_read(path, ASSET_BYTES_MAX, html, &e);
	buf_add_cstr(html, "</style>\n</head>\n<body>\n<main>\n");
}

void page_figure(struct buf *html, const char *name, json_int_t n, bool bad, const char *note)
{
	buf_addf(html, "<div><dt>%s</dt><dd%s>", name, bad ? " class=\"bad\"" : "");
	page_count(html, n);
	buf_addf(html, "<small>%s</small></dd></div>\n", note);
}

void page_text(struct buf *html, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&':
			buf_add_cstr(html, "&amp;");
			break;
		case '<':
			buf_add_cstr(html, "&lt;");
			break;
		case '>':
			buf_add_cstr(html, "&gt;");
			break;
		case '"':
			buf_add_cstr(html, "&quot;");
			break;
		default:
			buf_add(html, (struct span){ text, 1 });
			break;
		}
	}
}

/* Three significant digits, no exponent. */
static void add_value(struct buf *html, double value, const char *unit)
{
	int decimals = value >= 99.95 || value == 0 ? 0 : value >= 9.995 ? 1 : 2;

	buf_addf(html, "%.*f\xc2\xa0%s", decimals, value, unit);
}

void page_duration(struct buf *html, double ms)
{
	if (ms > 0 && ms < 0.001) /* less than the histogram tells apart */
		buf_add_cstr(html, "&lt;\xc2\xa0"
				   "1\xc2\xa0µs");
	else if (ms < 0.9995)
		add_value(html, ms * 1000, "µs");
	else if (ms < 999.5)
		add_value(html, ms, "ms");
	else if (ms < 119950)
		add_value(html, ms / 1000, "s");
	else
		buf_addf(html, "%.0f\xc2\xa0min %.0f\xc2\xa0s", floor(ms / 60000),
			 floor(fmod(ms, 60000) / 1000));
}

void page_count(struct buf *html, json_int_t n)
{
	struct buf digits = { 0 };

	buf_addf(&digits, "%" JSON_INTEGER_FORMAT, n);
	struct span s = buf_span(&digits);
	for (size_t i = 0; i < s.n; i++) {
		if (i > 0 && (s.n - i) % 3 == 0 && s.p[i - 1] != '-')
			buf_add_cstr(html, "\xe2\x80\xaf"); /* narrow no-break space */
		buf_add(html, (struct span){ s.p + i, 1 });
	}
	buf_free(&digits);
}

json_int_t get_int(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

double get_number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

const char *get_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

bool get_bool(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}
