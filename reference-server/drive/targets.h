/*
 * targets: the addresses that mail for one domain goes to, in order, and what
 * is known of their hosts.  Made by routing, constant afterwards, shared by
 * all who connect: the last release frees it.
 */
#ifndef SERVER_DRIVE_TARGETS_H
#define SERVER_DRIVE_TARGETS_H

#include "base/addr.h"
#include "base/tls_check.h"
#include "reference-server/policy/tls_policy.h"

#include <stdbool.h>
#include <stdint.h>

enum { TARGET_NAME_BYTES_MAX = 256 }; /* with its end */

struct target_host {
	char name[TARGET_NAME_BYTES_MAX]; /* or an address, as text */
	bool from_mx;                     /* named by an MX record */
	enum tls_dane dane;
	char dane_name[TARGET_NAME_BYTES_MAX]; /* the TLSA base domain (RFC 7672 2.2.3) */
	struct tls_record *records;            /* with their data in one block */
	uint32_t record_count;
};

struct target {
	struct addr at;
	uint32_t host_index;
};

struct targets {
	uint32_t use_count;
	char domain[TARGET_NAME_BYTES_MAX];
	char domain_expanded[TARGET_NAME_BYTES_MAX]; /* behind its CNAMEs, if there are any; or empty */
	bool lmtp;                                   /* RFC 2033 */
	bool mx_is_secure;
	struct target_host *hosts;
	uint32_t host_count;
	struct target *list;
	uint32_t count;
};

/* Zeroed, with one use.  Both counts > 0. */
struct targets *targets_new(uint32_t host_count, uint32_t count);
struct targets *targets_use(struct targets *t);
void targets_release(struct targets *t); /* accepts NULL */

#endif
