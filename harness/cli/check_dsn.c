#include "harness/cli/check_dsn.h"

#include "base/file.h"
#include "base/opt.h"
#include "harness/judge/dsn_check.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES_MAX = 256 * 1024 * 1024, EXIT_BREACH = 1, EXIT_NOT_JUDGED = 3 };

/* As a mailbox file has it, perhaps: LF alone ends lines.  The judge wants the lines of the wire. */
static void with_crlf(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r'))
			buf_add(out, SPAN_LIT("\r"));
		buf_add(out, span_sub(s, i, 1));
	}
}

static bool has_crlf(struct span s)
{
	return s.n > 0 && memmem(s.p, s.n, "\r\n", 2) != NULL;
}

static void say(const char *path, const struct dsn_report *r)
{
	for (uint32_t i = 0; i < r->finding_count; i++) {
		const struct dsn_finding *f = &r->findings[i];
		(void)printf("%s:%u: %s: %s (%s)\n", path, f->line,
			     f->level == DSN_BREACH ? "error" : "remark", f->text, f->section);
	}
	for (uint32_t i = 0; i < r->recipient_count; i++) {
		const struct dsn_recipient *d = &r->recipients[i];
		(void)printf("%s: %s %s, status %s\n", path, d->final != NULL ? d->final : "(nobody)",
			     dsn_check_action_name(d->action), d->status != NULL ? d->status : "(none)");
	}
}

/* The exit code. */
static int check(const char *path, const char *sender)
{
	struct buf file = { 0 }, message = { 0 };
	struct err e;

	if (file_read(path, MESSAGE_BYTES_MAX, &file, &e) != 0) {
		(void)fprintf(stderr, "postrider check-dsn: %s\n", e.text);
		buf_free(&file);
		return OPT_EXIT_USAGE;
	}
	if (has_crlf(buf_span(&file)))
		buf_add(&message, buf_span(&file));
	else
		with_crlf(buf_span(&file), &message);
	struct dsn_report *r =
		dsn_check(buf_span(&message), sender != NULL ? span_of(sender) : (struct span){ 0 });
	say(path, r);
	uint32_t breaches = r->breaches;
	bool nothing = buf_bytes(&message) == 0;
	dsn_report_free(r);
	buf_free(&file);
	buf_free(&message);
	return nothing ? EXIT_NOT_JUDGED : breaches > 0 ? EXIT_BREACH : 0;
}

int cli_check_dsn(int argc, char **argv)
{
	struct opt_list files = { 0 };
	const char *sender = NULL;
	const struct opt options[] = {
		{ "sender", OPT_STR, &sender, .value = "ADDRESS",
		  .help = "whom it must be addressed to: who sent the message that it speaks of" },
		{ 0 },
	};
	const struct opt_arg args[] = {
		{ "FILE", .ret_many = &files, .help = "a message, as it was retrieved" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postrider check-dsn",
			.purpose =
				"Checks whether a message is a delivery status notification as RFC 3464 and "
				"RFC 6522 have it, and says line and clause of what is not.",
			.options = options,
			.args = args,
			.example = "postrider check-dsn bounce.eml\n"
				   "postrider check-dsn --sender barney@isp2.example bounce.eml",
			.exit_codes =
				"0  it is\n1  it breaks a clause\n2  usage error, or a file that cannot be "
				"read\n3  a file is empty" },
		argc, argv);

	if (rc == OPT_GO) {
		static const int WORSE[] = {
			[0] = 0, [EXIT_NOT_JUDGED] = 1, [EXIT_BREACH] = 2, [OPT_EXIT_USAGE] = 3
		};
		rc = 0;
		for (uint32_t i = 0; i < files.count; i++) {
			int one = check(files.items[i], sender);
			rc = WORSE[one] > WORSE[rc] ? one : rc;
		}
	}
	opt_list_free(&files);
	return rc;
}
