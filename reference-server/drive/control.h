/*
 * control: how commands talk to a running server: the Unix socket DATA/control.
 *
 * A client sends one request and gets one answer; the server then closes.
 *
 *   request   VERB [WORD ...] LF          words have no blanks; at most
 *             [SECRET LF]                 CONTROL_REQUEST_BYTES_MAX together
 *   answer    text lines, then
 *             "done" LF                   done, or
 *             "failed " TEXT LF           not done, or not all of it
 *
 * The answer is made while it is read, a step each loop round: its length costs
 * neither side memory.  One that does not end with such a line was cut short.
 *
 * Requests are those of admin.h, where the same words work on a store without
 * a server, and `reload`, which is SIGHUP.  Whoever may write to the socket
 * (mode 0600) may do everything.  A client is dropped when its request takes
 * longer than CONTROL_SILENCE_MS, or when it has not read anything of the
 * answer for CONTROL_STALL_MS; at most CONTROL_CONNECTIONS_MAX are served at once.
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
	CONTROL_STALL_MS = 60000,
};

struct control;

/* Listens.  The server's store, pool and relay must outlive it. */
struct control *control_new(struct server *server, struct err *reterr);
/* Accepts NULL; drops clients. */
void control_free(struct control *c);

/*
 * For commands: sends the request (with its LFs) to the server of a data
 * directory and copies the text lines to out as they come.  0: done.  -ENOENT: no server is running
 * there.  Other negative errno values: the server's own refusal, or the
 * connection broke; the text says which.
 */
int control_request(const char *data_dir, struct span request, FILE *out, struct err *reterr);

#endif
