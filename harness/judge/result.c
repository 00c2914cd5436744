#include "harness/judge/result.h"

#include "base/file.h"
#include "harness/judge/xml.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
	FILE_MODE = 0644,
	INVERSE_MAX = 1000000, /* where the percentile axis ends: 99.9999 */
};

/* ---- words ---- */

void result_fault_text(const struct flow *f, const struct flow_fault *fault, struct buf *ret_text)
{
	switch (fault->kind) {
	case FLOW_HOST_STOP:
		buf_addf(ret_text, "%s stopped", f->hosts[fault->host].name);
		break;
	case FLOW_HOST_KILL:
		buf_addf(ret_text, "%s killed", f->hosts[fault->host].name);
		break;
	case FLOW_HOST_RESTART:
		buf_addf(ret_text, "%s restarted", f->hosts[fault->host].name);
		break;
	case FLOW_LINK_REFUSE:
	case FLOW_LINK_BLACKHOLE:
	case FLOW_LINK_RESET:
	case FLOW_LINK_DELAY:
		buf_addf(ret_text, "%s from %s to %s", flow_fault_name(fault->kind),
			 f->hosts[fault->link_from].name, f->hosts[fault->link_to].name);
		if (fault->kind == FLOW_LINK_DELAY)
			buf_addf(ret_text, ", %" PRId64 " ms each way", fault->delay_ms);
		if (fault->moment == FLOW_MOMENT_AFTER_FINAL_DOT_BEFORE_250)
			buf_add_cstr(ret_text, " after the final dot, before the 250");
		break;
	case FLOW_DNS_SERVFAIL:
	case FLOW_DNS_NXDOMAIN:
	case FLOW_DNS_TIMEOUT:
		buf_addf(ret_text, "%s for %s", flow_fault_name(fault->kind), fault->domain);
		break;
	}
}

/* "3 were lost": with a separator in front unless it is the first. */
static void add_clause(struct buf *text, uint32_t count, const char *one, const char *many)
{
	if (count > 0)
		buf_addf(text, "; %" PRIu32 " %s", count, count == 1 ? one : many);
}

static void add_bad_outcomes(const struct ledger *l, struct buf *text)
{
	static const struct {
		enum outcome outcome;
		const char *one;
		const char *many;
	} words[] = {
		{ OUTCOME_TRANSFORMED, "arrived transformed", "arrived transformed" },
		{ OUTCOME_LOST, "was lost", "were lost" },
		{ OUTCOME_DUPLICATED, "arrived more than once", "arrived more than once" },
		{ OUTCOME_CORRUPTED, "arrived corrupted", "arrived corrupted" },
		{ OUTCOME_UNEXPECTED, "thing arrived that should not exist",
		  "things arrived that should not exist" },
		{ OUTCOME_STILL_QUEUED, "is still queued", "are still queued" },
		{ OUTCOME_REJECTED, "was refused at submission", "were refused at submission" },
		{ OUTCOME_ABSENT, "drew no reply and never arrived", "drew no reply and never arrived" },
		{ OUTCOME_INDETERMINATE, "was not settled when the run ended",
		  "were not settled when the run ended" },
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		add_clause(text, ledger_outcome_count(l, words[i].outcome), words[i].one, words[i].many);
}

static void add_drain_sentence(const struct record *r, struct buf *text)
{
	if (!r->drain.known || r->drain.rows == 0 || r->fault_count == 0 || r->interrupted)
		return;
	if (r->drain.complete)
		buf_addf(text,
			 " The %" PRIu32 " that were waiting when the outage ended had arrived %.1f s later.",
			 r->drain.rows, (double)r->drain.drain_ns / 1e9);
	else
		buf_addf(text,
			 " Of the %" PRIu32 " that were waiting when the outage ended, not all ever arrived.",
			 r->drain.rows);
}

void result_summary(const struct record *r, struct buf *ret_text)
{
	const struct ledger *l = r->ledger;
	uint32_t accepted = ledger_progress(l).accepted;
	uint32_t recovered = ledger_outcome_count(l, OUTCOME_RECOVERED);
	uint32_t intact = ledger_outcome_count(l, OUTCOME_DELIVERED);
	uint32_t bounced = ledger_outcome_count(l, OUTCOME_BOUNCED);
	const char *noun = ledger_message_count(l) == ledger_row_count(l) ? "messages" : "deliveries";
	struct ledger_told told = ledger_told(l);

	if (ledger_progress(l).sent == 0) {
		buf_add_cstr(ret_text, "Nothing was sent, so nothing was judged.");
		return;
	}
	if (bounced > 0 && intact == 0 && recovered == 0)
		buf_addf(ret_text, "%" PRIu32 " of %" PRIu32 " accepted %s could not be delivered, %s",
			 bounced, accepted, noun,
			 told.once == bounced ? "and each sender was told exactly once"
					      : "and not every sender was told as it should");
	else
		buf_addf(ret_text, "%" PRIu32 " of %" PRIu32 " accepted %s arrived exactly once, intact",
			 intact, accepted, noun);
	if (bounced > 0 && intact + recovered > 0)
		buf_addf(ret_text, "; %" PRIu32 " could not be delivered, %s", bounced,
			 told.once == bounced ? "and each sender was told exactly once"
					      : "and not every sender was told as it should");
	add_clause(ret_text, recovered, "drew no reply but arrived intact",
		   "drew no reply but arrived intact");
	add_bad_outcomes(l, ret_text);
	buf_add_cstr(ret_text, ".");
	add_drain_sentence(r, ret_text);
}

/* ---- JUnit ---- */

static void add_junit_problem(const struct record *r, const char *element, enum reason_weight weight,
			      struct buf *xml)
{
	bool first = true;

	for (uint32_t i = 0; i < r->reasons.count; i++) {
		if (r->reasons.items[i].weight != weight)
			continue;
		if (first) {
			buf_addf(xml, "      <%s message=\"", element);
			xml_add(xml, span_of(r->reasons.items[i].text));
			buf_add_cstr(xml, "\">");
		}
		first = false;
		xml_add(xml, span_of(r->reasons.items[i].text));
		buf_add_cstr(xml, "\n");
	}
	if (!first)
		buf_addf(xml, "</%s>\n", element);
}

void result_junit_begin(struct buf *ret_xml)
{
	buf_add_cstr(ret_xml,
		     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"postrider\">\n");
}

void result_junit_end(struct buf *ret_xml)
{
	buf_add_cstr(ret_xml, "</testsuites>\n");
}

/* What was not judged is an error, not a failure; an interruption is one too. */
void result_junit_suite(const struct record *r, struct buf *ret_xml)
{
	bool failed = r->verdict == VERDICT_FAIL;
	bool error = r->verdict == VERDICT_INVALID || r->verdict == VERDICT_INTERRUPTED;
	double seconds = (double)(r->ended_ns - r->zero_ns) / 1e9;
	struct buf summary = { 0 };

	result_summary(r, &summary);
	buf_add_cstr(ret_xml, "  <testsuite name=\"");
	xml_add(ret_xml, span_of(r->flow->name));
	buf_addf(ret_xml, "\" tests=\"1\" failures=\"%d\" errors=\"%d\" skipped=\"0\" time=\"%.3f\">\n",
		 failed ? 1 : 0, error ? 1 : 0, seconds);
	buf_add_cstr(ret_xml, "    <testcase classname=\"postrider.flow\" name=\"");
	xml_add(ret_xml, span_of(r->flow->name));
	buf_addf(ret_xml, "\" time=\"%.3f\">\n", seconds);
	if (failed)
		add_junit_problem(r, "failure", REASON_FAIL, ret_xml);
	if (r->verdict == VERDICT_INVALID)
		add_junit_problem(r, "error", REASON_INVALID, ret_xml);
	if (r->verdict == VERDICT_INTERRUPTED)
		buf_add_cstr(ret_xml, "      <error message=\"interrupted\"/>\n");
	buf_add_cstr(ret_xml, "      <system-out>");
	xml_add(ret_xml, buf_span(&summary));
	buf_add_cstr(ret_xml, "</system-out>\n    </testcase>\n  </testsuite>\n");
	buf_free(&summary);
}

/* ---- curves ---- */

/* One line where the curve bends; ranks count censored values, which lie above and have no line. */
static void add_curve(const struct hist *h, const char *name, struct buf *text)
{
	double total = (double)(hist_count(h) + hist_censored_count(h));
	uint64_t below = 0;
	uint32_t pos = 0;
	int64_t ns;
	uint64_t count;

	while (hist_next(h, &pos, &ns, &count)) {
		double share_before = (double)below / total;
		below += count;
		double share = (double)below / total;
		double inverse = share < 1 ? 1 / (1 - share) : 1 / (1 - share_before);
		buf_addf(text, "%s,%.6f,%.6f,%.6f\n", name, share * 100,
			 inverse < INVERSE_MAX ? inverse : INVERSE_MAX,
			 (double)(ns < hist_max_ns(h) ? ns : hist_max_ns(h)) / 1e6);
	}
}

void result_percentiles_csv(const struct record *r, struct buf *ret_text)
{
	buf_add_cstr(ret_text, "metric,percentile,inverse,ms\n");
	for (unsigned i = 0; i < FLOW_METRIC_COUNT; i++)
		add_curve(r->metrics->of[i], flow_metric_name((enum flow_metric)i), ret_text);
}

static int add_hlog(const struct record *r, struct buf *log, struct err *reterr)
{
	char comment[160];
	int64_t length_ms = (r->ended_ns - r->zero_ns) / 1000000;

	(void)snprintf(comment, sizeof(comment), "postrider %s, flow %.80s, one interval for each metric",
		       POSTRIDER_VERSION, r->flow->name);
	hlog_begin(log, r->started_wall_ms, comment);
	for (unsigned i = 0; i < FLOW_METRIC_COUNT; i++) {
		const char *tag = flow_metric_name((enum flow_metric)i);
		int rc = hlog_add(log, r->metrics->of[i], tag, 0, length_ms, reterr);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- files ---- */

static int write_one(const char *dir, const char *name, struct buf *content, struct err *reterr)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	int rc = n > 0 && (size_t)n < sizeof(path) ? file_write(path, buf_span(content), FILE_MODE, reterr)
						   : err_set(reterr, -ENAMETOOLONG, "%s: path too long", dir);
	buf_reset(content);
	return rc;
}

int result_write(const struct record *r, const char *dir, struct err *reterr)
{
	struct buf b = { 0 };
	int rc;

	result_ledger_lines(r, &b);
	rc = write_one(dir, "ledger", &b, reterr);
	if (rc == 0) {
		result_percentiles_csv(r, &b);
		rc = write_one(dir, "percentiles.csv", &b, reterr);
	}
	if (rc == 0) {
		series_csv(r->series, &b);
		rc = write_one(dir, "series.csv", &b, reterr);
	}
	if (rc == 0 && (rc = add_hlog(r, &b, reterr)) == 0)
		rc = write_one(dir, "latency.hlog", &b, reterr);
	if (rc == 0) {
		result_junit_begin(&b);
		result_junit_suite(r, &b);
		result_junit_end(&b);
		rc = write_one(dir, "junit.xml", &b, reterr);
	}
	/* Last, so that whoever sees it sees the rest too. */
	if (rc == 0) {
		result_json(r, &b);
		rc = write_one(dir, "result.json", &b, reterr);
	}
	buf_free(&b);
	return rc;
}
