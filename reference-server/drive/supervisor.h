/*
 * supervisor: what a service manager hands over and wants to hear, by the
 * protocols of systemd's sd_listen_fds(3) and sd_notify(3), in our own few
 * lines: no library is needed.
 *
 *   LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES   listening sockets from descriptor 3 on
 *   NOTIFY_SOCKET                            where READY=1 and the like go
 *
 * The first three are taken out of the environment when they are read.
 */
#ifndef SERVER_DRIVE_SUPERVISOR_H
#define SERVER_DRIVE_SUPERVISOR_H

#include "reference-server/config.h"

enum { INHERITED_MAX = 32 };

struct inherited {
	struct inherited_socket {
		int fd;
		enum service service;
	} sockets[INHERITED_MAX];
	uint32_t count;
};

/*
 * Which sockets were handed over, and what for: by name, which is a service's
 * (smtp, submission, ...), or by a service's well-known port.  None when
 * LISTEN_PID is not ours.  -EINVAL: one is neither, or not a listening TCP
 * socket; the text names it.
 */
int supervisor_sockets(struct inherited *ret_sockets, struct err *reterr);

/* "READY=1"; lines, at most a datagram.  Nothing happens when nobody listens; never waits. */
void supervisor_tell(const char *text);

#endif
