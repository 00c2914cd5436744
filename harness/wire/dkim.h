/*
 * dkim: the forms in which a message is hashed for a signature, and the tags
 * of the field that holds one (RFC 6376 sections 3.2, 3.4, 3.5, 3.7, 5.4.2).
 *
 * Canonical forms only; hashes and keys are judge/dkim_check.h's.  A message
 * has CRLF line ends here, and bytes of any value.
 *
 * Limit: the first DKIM_NAMES_MAX names of h count; a signature with more does not hold.
 */
#ifndef HARNESS_WIRE_DKIM_H
#define HARNESS_WIRE_DKIM_H

#include "harness/wire/message.h"

enum { DKIM_NAMES_MAX = 1000 };

enum dkim_form { DKIM_SIMPLE, DKIM_RELAXED };
const char *dkim_form_name(enum dkim_form f);

/* Appends a field as 3.4.1 or 3.4.2 has it, with its CRLF. */
void dkim_add_field(const struct field *f, enum dkim_form form, struct buf *out);
/* Appends the body as 3.4.3 or 3.4.4 has it. */
void dkim_add_body(struct span body, enum dkim_form form, struct buf *out);

/* The value of a tag, blanks around it left out; false: there is none of that name. */
bool dkim_tag(struct span list, const char *name, struct span *ret_value);
/* "relaxed/simple"; the body's is simple when none is said, and both are by default. */
bool dkim_forms(struct span c, enum dkim_form *ret_header, enum dkim_form *ret_body);

/*
 * Appends what step 2 of 3.7 hashes: the fields that h names, each name's last one
 * first, and then the signature itself with an empty b and without its CRLF.
 */
void dkim_add_header_data(struct span header, struct span h, const struct field *signature,
			  enum dkim_form form, struct buf *out);

#endif
