/*
 * dsn_check on arbitrary messages.  Held: findings are printable and are
 * counted right; a report without breach is one whose every recipient has an
 * address, an action and a valid status; what is no report is a breach.
 */
#include "harness/judge/dsn_check.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_findings(const struct dsn_report *r)
{
	uint32_t breaches = 0;

	must(r->finding_count <= DSN_FINDINGS_MAX);
	for (uint32_t i = 0; i < r->finding_count; i++) {
		const struct dsn_finding *f = &r->findings[i];
		breaches += f->level == DSN_BREACH ? 1 : 0;
		must(f->text[0] != '\0' && strncmp(f->section, "RFC ", 4) == 0);
		for (const char *c = f->text; *c != '\0'; c++)
			must(*c >= 0x20 && *c < 0x7f);
	}
	must(r->breaches >= breaches);
	must(r->breaches == breaches || r->finding_count == DSN_FINDINGS_MAX);
	must((dsn_first_breach(r) != NULL) == (breaches > 0));
}

static void check_recipients(const struct dsn_report *r)
{
	must(r->recipient_count <= DSN_RECIPIENTS_MAX);
	if (r->breaches > 0)
		return;
	must(r->is_report && r->recipient_count > 0);
	for (uint32_t i = 0; i < r->recipient_count; i++) {
		const struct dsn_recipient *to = &r->recipients[i];
		must(to->action != DSN_ACTION_UNREADABLE);
		must(to->status != NULL && dsn_status_is_valid(span_of(to->status)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span message = { (const char *)data, size };
	struct dsn_report *r = dsn_check(message, SPAN_LIT("barney@isp2.example"));

	must(r->is_report || r->breaches > 0);
	check_findings(r);
	check_recipients(r);
	dsn_report_free(r);
	(void)dsn_date_is_valid(message);
	return 0;
}
