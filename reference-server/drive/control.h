/*
 * control: how commands talk to a running server: the Unix socket DATA/control.
 *
 * A client sends one request and gets one answer; the server then closes.
 *
 *   request   VERB [WORD ...] LF          words have no blanks; at most
 *             [SECRET LF]                 CONTROL_REQUEST_BYTES_MAX together
 *   answer    "ok" LF, then text lines    done
 *             "error " TEXT LF            not done
 *
 * Requests are those of admin.h, where the same words work on a store without
 * a server, and `reload`, which is SIGHUP.  Whoever may write to the socket
 * (mode 0600) may do everything.  A client that is silent for CONTROL_SILENCE_MS
 * is dropped; at most CONTROL_CONNECTIONS_MAX are served at once.
 */
#ifndef SERVER_DRIVE_CONTROL_H
#define SERVER_DRIVE_CONTROL_H

#include "base/buf.h"
#include "reference-server/drive/server.h"

#include <stdio.h>

enum {
	CONTROL_REQUEST_BYTES_MAX = 4096,
	CONTROL_CONNECTIONS_MAX = 16,
	CONTROL_SILENCE_MS = 10000,
};

struct control;

/* Listens.  The server's store, pool and relay must outlive it. */
struct control *control_new(struct server *server, struct err *reterr);
/* Accepts NULL; drops clients. */
void control_free(struct control *c);

/*
 * For commands: sends the request (with its LFs) to the server of a data
 * directory and copies the text lines to out.  0: done.  -ENOENT: no server is running
 * there.  Other negative errno values: the server's own refusal, or the
 * connection broke; the text says which.
 */
int control_request(const char *data_dir, struct span request, FILE *out, struct err *reterr);

#endif
