/*
 * leave: what may be said to a server that is somebody else's: mail goes to
 * the domains that its target file lists, and to no other.
 */
#ifndef HARNESS_CONFORM_LEAVE_H
#define HARNESS_CONFORM_LEAVE_H

#include "base/span.h"

/*
 * True when no RCPT command (RFC 5321 section 4.1.1.3) among the lines names
 * another domain; else *ret_path is the forward-path that does.  A path
 * without a domain is the server's own.
 */
bool leave_allows(struct span lines, const char *const *domains, uint32_t domain_count,
		  struct span *ret_path);

#endif
