#include "reports/report_parts.h"

#include "base/file.h"
#include "reports/page.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
	LEDGER_BYTES_MAX = 1024 * 1024 * 1024,
	EVIDENCE_MAX = 25,
};

/* ---- ledger ---- */

static const struct ledger_words {
	const char *name;
	const char *title;
	const char *what;
	const char *tone; /* when there are any */
} ledger_words[] = {
	{ "delivered", "delivered", "one copy, every byte as sent", "good" },
	{ "recovered", "recovered", "no reply to the final dot, but it arrived once, intact", "good" },
	{ "transformed", "transformed", "one copy, encoded differently, same content", "odd" },
	{ "bounced", "bounced", "not delivered, and the sender was told", "odd" },
	{ "rejected", "rejected", "refused at submission: nothing was promised", "odd" },
	{ "absent", "absent", "no reply that decides, and it never arrived: nothing was promised", "odd" },
	{ "still_queued", "still queued", "a queue still holds it", "odd" },
	{ "indeterminate", "indeterminate", "never sent, or the run was cut short", "odd" },
	{ "lost", "lost", "accepted, then neither delivered nor told", "bad" },
	{ "duplicated", "duplicated", "more than one copy arrived", "bad" },
	{ "corrupted", "corrupted", "a copy that is not what was sent", "bad" },
	{ "unexpected", "unexpected", "arrived where nothing should have", "bad" },
};

/* A bounce is what a passing run expected of it. */
static const char *tone_of(const json_t *result, const struct ledger_words *w)
{
	bool passed = strcmp(get_text(result, "verdict"), "pass") == 0;

	return passed && strcmp(w->name, "bounced") == 0 ? "good" : w->tone;
}

static void add_ledger_row(struct buf *html, const struct ledger_words *w, const char *tone, json_int_t n,
			   json_int_t most)
{
	double share = most > 0 ? 100.0 * (double)n / (double)most : 0;

	buf_addf(html, "<tr class=\"%s\"><th>%s</th><td class=\"n\">", n > 0 ? tone : "zero", w->title);
	page_count(html, n);
	buf_addf(html, "</td><td class=\"bar\">");
	if (n > 0)
		buf_addf(html, "<i style=\"width:%.1f%%\"></i>", share);
	buf_addf(html, "</td><td class=\"what\">%s</td></tr>\n", w->what);
}

void report_ledger(struct buf *html, const json_t *result)
{
	const json_t *ledger = json_object_get(result, "ledger");
	const json_t *told = json_object_get(result, "sender_told");
	size_t count = sizeof(ledger_words) / sizeof(ledger_words[0]);
	json_int_t most = 0;

	for (size_t i = 0; i < count; i++) {
		json_int_t n = get_int(ledger, ledger_words[i].name);
		most = n > most ? n : most;
	}
	buf_add_cstr(html, "<h2>What became of every message</h2>\n<p class=\"lead\">One entry for each "
			   "message and recipient; "
			   "<code>ledger</code> beside this page has them all, with their times.</p>\n"
			   "<div class=\"scroll\"><table><tbody>\n");
	for (size_t i = 0; i < count; i++)
		add_ledger_row(html, &ledger_words[i], tone_of(result, &ledger_words[i]),
			       get_int(ledger, ledger_words[i].name), most);
	buf_add_cstr(html, "</tbody></table></div>\n");
	if (get_int(told, "failed") == 0)
		return;
	buf_add_cstr(html, "<p>Failed recipients: ");
	page_count(html, get_int(told, "failed"));
	buf_add_cstr(html, ". Their senders were told exactly once: ");
	page_count(html, get_int(told, "once"));
	buf_add_cstr(html, "; not at all: ");
	page_count(html, get_int(told, "missing"));
	buf_add_cstr(html, "; more than once: ");
	page_count(html, get_int(told, "repeated"));
	buf_add_cstr(html, "; by a malformed notification: ");
	page_count(html, get_int(told, "malformed"));
	buf_add_cstr(html, ".</p>\n");
}

/* ---- evidence: the rows that went wrong ---- */

static bool is_bad_row(const json_t *row)
{
	static const char *const bad[] = { "lost", "duplicated", "corrupted", "unexpected", "still_queued" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (strcmp(get_text(row, "outcome"), bad[i]) == 0)
			return true;
	/* Told, but not as it should be. */
	return get_int(row, "notifications") > 0 && get_text(row, "reason")[0] != '\0';
}

static void add_evidence_row(struct buf *html, const json_t *row)
{
	const char *whose = get_text(row, "to")[0] != '\0' ? get_text(row, "to") : get_text(row, "mailbox");

	buf_add_cstr(html, "<tr><th>");
	page_text(html, get_text(row, "outcome"));
	buf_add_cstr(html, "</th><td class=\"n\">");
	if (json_is_integer(json_object_get(row, "message")))
		page_count(html, get_int(row, "message"));
	buf_add_cstr(html, "</td><td>");
	page_text(html, whose);
	buf_add_cstr(html, "</td>");
	page_seconds(html, json_object_get(row, "intended_s"));
	page_seconds(html, json_object_get(row, "final_reply_s"));
	page_seconds(html, json_object_get(row, "seen_s"));
	buf_add_cstr(html, "<td>");
	page_text(html, get_text(row, "reason"));
	if (get_text(row, "reply")[0] != '\0') {
		buf_add_cstr(html, " <span class=\"lead\">Reply: ");
		page_text(html, get_text(row, "reply"));
		buf_add_cstr(html, "</span>");
	}
	buf_add_cstr(html, "</td></tr>\n");
}

/* Appends the first rows that went wrong; returns how many there were. */
static uint32_t gather_evidence(struct span ledger, struct buf *rows)
{
	uint32_t count = 0;
	struct span line;

	while (span_take_until(&ledger, '\n', &line)) {
		json_t *row = json_loadb(line.p, line.n, 0, NULL);
		if (row != NULL && is_bad_row(row) && count++ < EVIDENCE_MAX)
			add_evidence_row(rows, row);
		json_decref(row);
	}
	return count;
}

void report_evidence(struct buf *html, const char *dir)
{
	char path[PATH_MAX];
	struct buf ledger = { 0 };
	struct buf rows = { 0 };
	struct err e;

	int n = snprintf(path, sizeof(path), "%s/ledger", dir);
	/* A ledger too large to look through is named in the text above. */
	if (n > 0 && (size_t)n < sizeof(path) && file_read(path, LEDGER_BYTES_MAX, &ledger, &e) == 0) {
		uint32_t count = gather_evidence(buf_span(&ledger), &rows);
		if (count > 0) {
			buf_add_cstr(html, "<h2>What went wrong</h2>\n");
			if (count > EVIDENCE_MAX)
				buf_addf(html, "<p class=\"lead\">The first %d of %u.</p>\n",
					 (int)EVIDENCE_MAX, count);
			buf_add_cstr(
				html,
				"<div class=\"scroll\"><table class=\"times evidence\"><thead><tr><th></th>"
				"<th class=\"n\">message</th><th>for</th><th class=\"n\">meant to leave</th>"
				"<th class=\"n\">answered</th><th "
				"class=\"n\">seen</th><th></th></tr></thead><tbody>\n");
			buf_add(html, buf_span(&rows));
			buf_add_cstr(html, "</tbody></table></div>\n");
		}
	}
	buf_free(&ledger);
	buf_free(&rows);
}
