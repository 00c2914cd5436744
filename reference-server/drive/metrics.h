/*
 * metrics: what watches a server: GET /metrics (Prometheus text format 0.0.4)
 * and GET /healthz (200, or 503 while the server is stopping or its store
 * takes no new mail).  Off unless the configuration says where.
 *
 * Whoever can connect can read it: it listens on loopback unless told
 * otherwise, and tells numbers only, no addresses and no names.
 */
#ifndef SERVER_DRIVE_METRICS_H
#define SERVER_DRIVE_METRICS_H

#include "base/buf.h"
#include "reference-server/drive/server.h"

/* Appends all of it, as of now. */
void metrics_add(struct server *s, struct buf *text);
/* An http_fn; ctx is the struct server. */
unsigned metrics_answer(void *ctx, struct span path, struct buf *text, const char **ret_content_type);

#endif
