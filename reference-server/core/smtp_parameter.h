/*
 * smtp_parameter: what may follow the path in MAIL and RCPT (RFC 5321
 * 4.1.1.11, 4.1.2): SIZE (RFC 1870), BODY (RFC 6152, 3030), AUTH (RFC 4954 5),
 * RET and ENVID (RFC 3461 4.3, 4.4) for MAIL, NOTIFY and ORCPT (RFC 3461 4.1,
 * 4.2) for RCPT.
 *
 * Pure and without state.  Each parameter may stand once.  AUTH is checked
 * and forgotten: no client is trusted to name another submitter, which RFC
 * 4954 5 allows.
 */
#ifndef SERVER_CORE_SMTP_PARAMETER_H
#define SERVER_CORE_SMTP_PARAMETER_H

#include "base/span.h"

enum smtp_body {
	SMTP_BODY_UNDECLARED,
	SMTP_BODY_7BIT,
	SMTP_BODY_8BITMIME,
	SMTP_BODY_BINARYMIME,
};

enum smtp_ret {
	SMTP_RET_UNSAID,
	SMTP_RET_FULL,
	SMTP_RET_HDRS,
};

enum smtp_notify {
	SMTP_NOTIFY_NEVER = 1 << 0, /* alone */
	SMTP_NOTIFY_SUCCESS = 1 << 1,
	SMTP_NOTIFY_FAILURE = 1 << 2,
	SMTP_NOTIFY_DELAY = 1 << 3,
};

enum {
	SMTP_ENVID_BYTES_MAX = 100, /* RFC 3461 4.4 */
	SMTP_ORCPT_BYTES_MAX = 500, /* RFC 3461 4.2 */
};

enum smtp_parameter_result {
	SMTP_PARAMETER_OK,
	SMTP_PARAMETER_BAD,     /* malformed or repeated: 501 */
	SMTP_PARAMETER_UNKNOWN, /* not offered, or a value that is not: 555 */
};

struct smtp_mail_parameters {
	uint64_t size_bytes; /* UINT64_MAX also for more than that; 0 when not given */
	enum smtp_body body;
	enum smtp_ret ret;
	struct span envid; /* xtext as given; borrows from the text; empty when not given */
};

struct smtp_rcpt_parameters {
	unsigned notify;   /* enum smtp_notify bits; 0 when not given */
	struct span orcpt; /* addr-type ";" xtext as given; borrows from the text; empty when not given */
};

/*
 * text is all that follows the path, its leading blank included, or empty.
 * The first bad or unknown parameter decides.  *ret is written on OK only.
 * auth_offered: whether AUTH= is known.
 */
enum smtp_parameter_result smtp_parameter_parse_mail(struct span text, bool auth_offered,
						     struct smtp_mail_parameters *ret);
enum smtp_parameter_result smtp_parameter_parse_rcpt(struct span text, struct smtp_rcpt_parameters *ret);

#endif
