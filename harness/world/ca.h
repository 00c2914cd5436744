/*
 * ca: the certificate authority of one run, and a certificate for each host.
 *
 * Everything lies in one directory: ca.pem, ca.key, NAME.pem, NAME.key.
 * Certificates are valid from a year back to ten years on, so that clock
 * faults judge the server and not the authority.
 */
#ifndef HARNESS_WORLD_CA_H
#define HARNESS_WORLD_CA_H

#include "base/err.h"

#include <stdbool.h>

struct ca;

/* Makes dir and the authority in it.  NULL and *reterr on failure. */
struct ca *ca_new(const char *dir, struct err *reterr);
void ca_free(struct ca *ca); /* accepts NULL; files stay */

/* PEM file that clients trust. */
const char *ca_cert_path(const struct ca *ca);
/* For certificates that are not as ca_issue makes them. */
const char *ca_key_path(const struct ca *ca);

/* names: DNS names and addresses, NULL-terminated.  The paths hold PATH_MAX bytes. */
int ca_issue(struct ca *ca, const char *file_name, const char *const *names, bool rsa, char *ret_cert_path,
	     char *ret_key_path, struct err *reterr);

#endif
