#include "reference-server/drive/supervisor.h"

#include "base/buf.h"
#include "base/span.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static bool number_is(const char *text, uint64_t wanted)
{
	uint64_t n;
	return text != NULL && span_to_u64(span_of(text), &n) && n == wanted;
}

/* The port of a listening TCP socket; 0: it is none. */
static uint16_t listening_port(int fd)
{
	struct addr a = { .n = sizeof(a.ss) };
	int listening = 0, type = 0;
	socklen_t n = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) != 0 || listening == 0)
		return 0;
	n = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0 || type != SOCK_STREAM ||
	    getsockname(fd, (struct sockaddr *)&a.ss, &a.n) != 0)
		return 0;
	return a.ss.ss_family == AF_INET || a.ss.ss_family == AF_INET6 ? addr_port(&a) : 0;
}

static bool find_service(struct span name, uint16_t port, enum service *ret_service)
{
	static const uint16_t ports[SERVICE_COUNT] = {
		[SERVICE_SMTP] = 25,  [SERVICE_SUBMISSION] = 587, [SERVICE_SUBMISSIONS] = 465,
		[SERVICE_POP3] = 110, [SERVICE_POP3S] = 995,
	};
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		if (span_eq(name, span_of(service_name((enum service)i)))) {
			*ret_service = (enum service)i;
			return true;
		}
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		if (ports[i] != 0 && ports[i] == port) {
			*ret_service = (enum service)i;
			return true;
		}
	return false;
}

static int take(int fd, struct span name, struct inherited *in, struct err *reterr)
{
	uint16_t port = listening_port(fd);
	enum service service;

	if (port == 0)
		return err_set(reterr, -EINVAL, "LISTEN_FDS: descriptor %d is no listening TCP socket", fd);
	if (!find_service(name, port, &service))
		return err_set(reterr, -EINVAL,
			       "LISTEN_FDS: \"%.*s\", port %u, is no service: name it smtp, submission, "
			       "submissions, pop3 or pop3s",
			       SPAN_FMT(name), port);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	in->sockets[in->count++] = (struct inherited_socket){ .fd = fd, .service = service };
	return 0;
}

int supervisor_sockets(struct inherited *ret_sockets, struct err *reterr)
{
	const char *names = getenv("LISTEN_FDNAMES"), *count_text = getenv("LISTEN_FDS");
	struct inherited in = { .count = 0 };
	struct span rest = span_of(names != NULL ? names : "");
	uint64_t count = 0;
	int rc = 0;

	if (count_text != NULL && number_is(getenv("LISTEN_PID"), (uint64_t)getpid()) &&
	    (!span_to_u64(span_of(count_text), &count) || count > INHERITED_MAX))
		rc = err_set(reterr, -EINVAL, "LISTEN_FDS: \"%s\" is not a number up to %d", count_text,
			     INHERITED_MAX);
	for (uint64_t i = 0; rc == 0 && i < count; i++) {
		struct span name;
		if (!span_take_until(&rest, ':', &name)) {
			name = rest;
			rest = (struct span){ NULL, 0 };
		}
		rc = take(FIRST_FD + (int)i, name, &in, reterr);
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (rc == 0)
		*ret_sockets = in;
	return rc;
}

void supervisor_tell(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (path == NULL || (path[0] != '/' && path[0] != '@') ||
	    !span_copy(span_of(path), un.sun_path, sizeof(un.sun_path)))
		return;
	size_t n = strlen(path);
	if (path[0] == '@')
		un.sun_path[0] = '\0'; /* an abstract address: its length counts */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&un,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	(void)close(fd);
}
