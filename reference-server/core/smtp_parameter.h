/*
 * smtp_parameter: what may follow the path in MAIL and RCPT (RFC 5321
 * 4.1.1.11, 4.1.2): SIZE (RFC 1870), BODY (RFC 6152, 3030), AUTH (RFC 4954 5),
 * RET and ENVID (RFC 3461 4.3, 4.4), SMTPUTF8 (RFC 6531 3.4), REQUIRETLS (RFC
 * 8689 2), BY (RFC 2852 4), HOLDFOR and HOLDUNTIL (RFC 4865 3) for MAIL, NOTIFY
 * and ORCPT (RFC 3461 4.1, 4.2; RFC 6533 3) for RCPT.
 *
 * Pure and without state.  Each parameter may stand once.  AUTH is checked
 * and forgotten: no client is trusted to name another submitter, which RFC
 * 4954 5 allows.  What the values mean together, and against limits, is for the
 * caller to say.
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
	SMTP_HOLD_BYTES_MAX =
		32, /* of a HOLDFOR or HOLDUNTIL value: 34 with blank, keyword and "=" is what RFC
				       4865 3 (5) adds to the line, fractions of a second make it longer */
	SMTP_BY_S_MAX = 999999999,   /* RFC 2852 4 */
	SMTP_HOLD_S_MAX = 999999999, /* RFC 4865 3 (2) */
};

/* What belongs to an extension and is known only where that is offered. */
enum smtp_offer {
	SMTP_OFFER_AUTH = 1 << 0,
	SMTP_OFFER_BINARYMIME = 1 << 1,
	SMTP_OFFER_SMTPUTF8 = 1 << 2,
	SMTP_OFFER_REQUIRETLS = 1 << 3,
	SMTP_OFFER_DELIVERBY = 1 << 4,
	SMTP_OFFER_FUTURERELEASE = 1 << 5,
	SMTP_OFFER_ALL = (1 << 6) - 1,
};

/* RFC 2852 4 */
enum smtp_by {
	SMTP_BY_NONE,
	SMTP_BY_NOTIFY,
	SMTP_BY_RETURN,
};

/* RFC 4865 3 */
enum smtp_hold {
	SMTP_HOLD_NONE,
	SMTP_HOLD_FOR,   /* seconds */
	SMTP_HOLD_UNTIL, /* a time */
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
	bool utf8;         /* SMTPUTF8 */
	bool require_tls;
	enum smtp_by by;
	int64_t by_s;  /* within SMTP_BY_S_MAX either way; above 0 with RETURN */
	bool by_trace; /* T */
	enum smtp_hold hold;
	struct span hold_text; /* its value as given; borrows */
	int64_t hold_s;        /* FOR: above 0 */
	int64_t hold_wall_ms;  /* UNTIL: since 1970 */
};

struct smtp_rcpt_parameters {
	unsigned notify; /* enum smtp_notify bits; 0 when not given */
	struct span
		orcpt; /* addr-type ";" xtext, or "utf-8;" and any of its forms, as given; borrows from the
			      text; empty when not given */
};

/*
 * text is all that follows the path, its leading blank included, or empty.
 * The first bad or unknown parameter decides.  *ret is written on OK only.
 * offered: enum smtp_offer bits; what is not offered is not known.
 */
enum smtp_parameter_result smtp_parameter_parse_mail(struct span text, unsigned offered,
						     struct smtp_mail_parameters *ret);
enum smtp_parameter_result smtp_parameter_parse_rcpt(struct span text, unsigned offered,
						     struct smtp_rcpt_parameters *ret);

#endif
