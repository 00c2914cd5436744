#include "base/listener.h"

#include "base/log.h"
#include "base/unix_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BACKLOG = 4096,
	ACCEPTS_PER_ROUND_MAX = 512, /* so that a flood of connections cannot starve the rest of the loop */
	OUT_OF_DESCRIPTORS_PAUSE_MS = 100,
};

struct listener {
	int fd;
	struct watch *watch;
	struct timer *retry; /* after running out of descriptors */
	struct addr at;
	accept_fn *fn;
	void *ctx;
	bool paused;
	bool accepting; /* a free meanwhile waits until the callback is back */
	bool dead;
	char *unix_path; /* NULL: TCP */
};

static void on_readable(void *ctx, bool readable, bool writable)
{
	struct listener *li = ctx;
	(void)readable;
	(void)writable;

	li->accepting = true;
	for (int i = 0; i < ACCEPTS_PER_ROUND_MAX && !li->dead && !li->paused; i++) {
		struct addr peer = { .n = sizeof(peer.ss) };
		int fd = accept4(li->fd, (struct sockaddr *)&peer.ss, &peer.n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (li->unix_path != NULL)
				peer.n = 0;
			li->fn(li->ctx, fd, &peer);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_event(LOG_WARN, "accept-paused", LOG_C("error", strerror(errno)),
				  LOG_I("for_ms", OUT_OF_DESCRIPTORS_PAUSE_MS));
			watch_set(li->watch, false, false);
			timer_set_ms(li->retry, OUT_OF_DESCRIPTORS_PAUSE_MS);
		}
		break;
	}
	li->accepting = false;
	if (li->dead)
		free(li);
}

static void on_retry(void *ctx)
{
	struct listener *li = ctx;
	if (!li->paused)
		watch_set(li->watch, true, false);
}

static struct listener *start(struct loop *l, int fd, accept_fn *fn, void *ctx)
{
	struct listener *li = calloc(1, sizeof(*li));
	if (li == NULL)
		abort();
	*li = (struct listener){ .fd = fd, .fn = fn, .ctx = ctx };
	li->watch = watch_new(l, fd, on_readable, li);
	li->retry = timer_new(l, on_retry, li);
	watch_set(li->watch, true, false);
	return li;
}

struct listener *listener_take(struct loop *l, int fd, accept_fn *fn, void *ctx)
{
	struct listener *li = start(l, fd, fn, ctx);
	li->at.n = sizeof(li->at.ss);
	(void)getsockname(fd, (struct sockaddr *)&li->at.ss, &li->at.n);
	return li;
}

struct listener *listener_new(struct loop *l, const struct addr *at, accept_fn *fn, void *ctx,
			      struct err *reterr)
{
	char text[56];
	int one = 1;
	int fd = socket(at->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		(void)err_errno(reterr, errno, "listen on %s", addr_format(at, text));
		return NULL;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (at->ss.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&at->ss, at->n) != 0 || listen(fd, BACKLOG) != 0) {
		(void)err_errno(reterr, errno, "listen on %s", addr_format(at, text));
		(void)close(fd);
		return NULL;
	}
	return listener_take(l, fd, fn, ctx);
}

struct listener *listener_new_unix(struct loop *l, const char *path, accept_fn *fn, void *ctx,
				   struct err *reterr)
{
	int fd = unix_socket_listen(path, 16);
	if (fd < 0) {
		(void)err_errno(reterr, -fd, "listen on %s", path);
		return NULL;
	}
	struct listener *li = start(l, fd, fn, ctx);
	li->unix_path = strdup(path);
	if (li->unix_path == NULL)
		abort();
	return li;
}

const struct addr *listener_addr(const struct listener *li)
{
	return &li->at;
}

void listener_pause(struct listener *li)
{
	li->paused = true;
	watch_set(li->watch, false, false);
}

void listener_resume(struct listener *li)
{
	li->paused = false;
	watch_set(li->watch, true, false);
}

void listener_free(struct listener *li)
{
	if (li == NULL)
		return;
	watch_free(li->watch);
	timer_free(li->retry);
	(void)close(li->fd);
	if (li->unix_path != NULL)
		(void)unlink(li->unix_path);
	free(li->unix_path);
	li->dead = true;
	if (!li->accepting)
		free(li);
}
