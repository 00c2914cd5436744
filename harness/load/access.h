/*
 * access: how a client reaches a server and proves who it is; plain values
 * shared by sender and retriever.  Strings are borrowed and outlive the user.
 */
#ifndef HARNESS_LOAD_ACCESS_H
#define HARNESS_LOAD_ACCESS_H

#include "base/addr.h"
#include "base/tls.h"

enum access_tls {
	ACCESS_PLAIN,
	ACCESS_STARTTLS, /* STARTTLS in SMTP, STLS in POP3; fails when it is not offered */
	ACCESS_TLS,      /* from the first byte */
};

enum access_mechanism {
	ACCESS_BEST,       /* SCRAM-SHA-256, PLAIN, LOGIN, in this order, as far as offered */
	ACCESS_AUTH_PLAIN, /* RFC 4616 */
	ACCESS_AUTH_LOGIN,
	ACCESS_SCRAM_SHA_256, /* RFC 7677 */
	ACCESS_USER_PASS,     /* POP3 only */
};

struct access {
	struct addr server;
	const struct addr *bind_to; /* NULL: any */
	bool allow_remote;          /* see reach.h */
	enum access_tls tls;
	struct tls_ctx *tls_ctx; /* client side; needed unless ACCESS_PLAIN */
	const char *server_name; /* SNI and certificate name; NULL: none */
	enum access_mechanism mechanism;
	const char *user; /* NULL: no login */
	const char *password;
};

#endif
