/*
 * smtp_parameter: what may follow the path in MAIL and RCPT (RFC 5321
 * 4.1.1.11, 4.1.2): SIZE (RFC 1870), BODY (RFC 6152) and AUTH (RFC 4954 5)
 * for MAIL, nothing yet for RCPT.
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
};

enum smtp_parameter_result {
	SMTP_PARAMETER_OK,
	SMTP_PARAMETER_BAD,     /* malformed or repeated: 501 */
	SMTP_PARAMETER_UNKNOWN, /* not offered, or a value that is not: 555 */
};

struct smtp_mail_parameters {
	uint64_t size_bytes; /* UINT64_MAX also for more than that; 0 when not given */
	enum smtp_body body;
};

/*
 * text is all that follows the path, its leading blank included, or empty.
 * The first bad or unknown parameter decides.  *ret is written on OK only.
 * auth_offered: whether AUTH= is known.
 */
enum smtp_parameter_result smtp_parameter_parse_mail(struct span text, bool auth_offered,
						     struct smtp_mail_parameters *ret);
enum smtp_parameter_result smtp_parameter_parse_rcpt(struct span text);

#endif
