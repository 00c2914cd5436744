/*
 * http: answers GET and HEAD (RFC 9110, RFC 9112), for programs that watch
 * this one.  One request a connection; every answer closes it.
 *
 * Not a web server: no bodies, no persistence, no encodings, no TLS.  Written
 * on base/conn instead of a library so that everything about it is bounded:
 * HTTP_CONNECTIONS_MAX at a time (one more is closed at once), a head of
 * HTTP_HEAD_BYTES_MAX (431), HTTP_TIME_MS from the first byte of the
 * connection to the answer, whatever the pace.
 */
#ifndef SERVER_DRIVE_HTTP_H
#define SERVER_DRIVE_HTTP_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

enum {
	HTTP_CONNECTIONS_MAX = 16,
	HTTP_HEAD_BYTES_MAX = 8192,
	HTTP_TIME_MS = 5000,
};

struct http;

/* What to say about a path: 200, 404 or 503, and a text.  content_type is set to plain text before. */
typedef unsigned http_fn(void *ctx, struct span path, struct buf *text, const char **ret_content_type);

/* NULL and *reterr when it cannot listen. */
struct http *http_new(struct loop *l, const struct addr *at, http_fn *fn, void *ctx, struct err *reterr);
const struct addr *http_addr(const struct http *h);
void http_free(struct http *h); /* accepts NULL */

/*
 * The request line and fields, up to and with the empty line, in `in`.  0 when
 * it is not whole yet; otherwise the status to refuse it with (400, 405, 431,
 * 505), or 200, *ret_path without query and *ret_head for HEAD.
 */
unsigned http_parse(struct span in, struct span *ret_path, bool *ret_head);

#endif
