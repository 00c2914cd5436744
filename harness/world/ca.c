#include "harness/world/ca.h"

#include "base/file.h"
#include "base/span.h"
#include "base/tls.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ca {
	char dir[PATH_MAX - 64]; /* room for a file name */
	char cert_path[PATH_MAX];
	char key_path[PATH_MAX];
};

struct ca *ca_new(const char *dir, struct err *reterr)
{
	struct ca *ca = calloc(1, sizeof(*ca));

	if (ca == NULL)
		abort();
	if (!span_copy(span_of(dir), ca->dir, sizeof(ca->dir))) {
		(void)err_set(reterr, -ENAMETOOLONG, "CA directory %s", dir);
		free(ca);
		return NULL;
	}
	(void)snprintf(ca->cert_path, sizeof(ca->cert_path), "%s/ca.pem", ca->dir);
	(void)snprintf(ca->key_path, sizeof(ca->key_path), "%s/ca.key", ca->dir);
	const struct cert_options o = { .common_name = "postrider run CA",
					.ret_cert_path = ca->cert_path,
					.ret_key_path = ca->key_path };
	if (dir_make(dir, 0700, reterr) != 0 || cert_make(&o, reterr) != 0) {
		free(ca);
		return NULL;
	}
	return ca;
}

void ca_free(struct ca *ca)
{
	free(ca);
}

const char *ca_cert_path(const struct ca *ca)
{
	return ca->cert_path;
}

const char *ca_key_path(const struct ca *ca)
{
	return ca->key_path;
}

int ca_issue(struct ca *ca, const char *file_name, const char *const *names, bool rsa, char *ret_cert_path,
	     char *ret_key_path, struct err *reterr)
{
	if (strlen(file_name) > 48 || strchr(file_name, '/') != NULL)
		return err_set(reterr, -EINVAL, "certificate file name \"%s\"", file_name);
	(void)snprintf(ret_cert_path, PATH_MAX, "%s/%s.pem", ca->dir, file_name);
	(void)snprintf(ret_key_path, PATH_MAX, "%s/%s.key", ca->dir, file_name);
	const struct cert_options o = { .common_name = names[0],
					.names = names,
					.rsa = rsa,
					.issuer_cert_path = ca->cert_path,
					.issuer_key_path = ca->key_path,
					.ret_cert_path = ret_cert_path,
					.ret_key_path = ret_key_path };
	return cert_make(&o, reterr);
}
