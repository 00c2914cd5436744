#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

static void *must(void *p, const char *what)
{
	if (p == NULL) {
		(void)fprintf(stderr, "event loop: cannot make %s: %s\n", what, strerror(errno));
		abort();
	}
	return p;
}

/* ---- clocks ---- */

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;
	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

int64_t clock_wall_ms(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000000;
}

/* ---- libevent's memory ---- */

/*
 * libevent keeps a few bytes for each descriptor that it has ever watched.
 * Between the buffers of connections each of these would hold a page of the
 * heap for good, so what is so small has a place of its own.  Whoever needs
 * more than that has gets it from malloc.
 */
enum { SMALL_BYTES = 64, SMALL_COUNT = 1 << 18 }; /* room, of which only what was used costs memory */

union small {
	union small *next; /* while it is free */
	char bytes[SMALL_BYTES];
};

static pthread_mutex_t small_lock = PTHREAD_MUTEX_INITIALIZER;
static union small small_all[SMALL_COUNT];
static size_t small_used_count;
static union small *small_free;

static bool is_small(const void *p)
{
	return (uintptr_t)p >= (uintptr_t)small_all && (uintptr_t)p < (uintptr_t)(small_all + SMALL_COUNT);
}

static void *small_malloc(size_t n)
{
	union small *s = NULL;

	if (n > SMALL_BYTES)
		return malloc(n);
	(void)pthread_mutex_lock(&small_lock);
	if (small_free != NULL) {
		s = small_free;
		small_free = s->next;
	} else if (small_used_count < SMALL_COUNT) {
		s = &small_all[small_used_count++];
	}
	(void)pthread_mutex_unlock(&small_lock);
	return s != NULL ? s : malloc(n);
}

static void small_release(void *p)
{
	union small *s = p;

	if (!is_small(p)) {
		free(p);
		return;
	}
	(void)pthread_mutex_lock(&small_lock);
	s->next = small_free;
	small_free = s;
	(void)pthread_mutex_unlock(&small_lock);
}

static void *small_realloc(void *p, size_t n)
{
	if (!is_small(p))
		return p == NULL ? small_malloc(n) : realloc(p, n);
	if (n <= SMALL_BYTES)
		return p;
	void *larger = malloc(n);
	if (larger != NULL) {
		memcpy(larger, p, SMALL_BYTES);
		small_release(p);
	}
	return larger;
}

static void set_memory(void)
{
	event_set_mem_functions(small_malloc, small_realloc, small_release);
}

/* ---- the loop ---- */

struct loop {
	struct event_base *base;
	char *scratch;
	bool stopped;
	struct loop_member *members;
};

struct loop *loop_new(void)
{
	struct loop *l = must(calloc(1, sizeof(*l)), "a loop");
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, set_memory); /* before libevent allocates anything */
	struct event_config *cfg = must(event_config_new(), "a loop configuration");

	/* Without this, timers of the kernel may be 50 us late on top of everything else. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	(void)event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	(void)event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->base = must(event_base_new_with_config(cfg), "an event base");
	event_config_free(cfg);
	l->scratch = must(malloc(2 * (size_t)LOOP_SCRATCH_BYTES), "scratch buffers");
	return l;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (l->members != NULL)
		l->members->free_fn(l->members->ctx);
	event_base_free(l->base);
	free(l->scratch);
	free(l);
}

void loop_run(struct loop *l)
{
	l->stopped = false;
	while (!l->stopped && event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) == 0)
		;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
	(void)event_base_loopbreak(l->base);
}

struct event_base *loop_event_base(struct loop *l)
{
	return l->base;
}

void loop_join(struct loop *l, struct loop_member *m)
{
	assert(m->prev == NULL && m->next == NULL && l->members != m);
	m->next = l->members;
	if (m->next != NULL)
		m->next->prev = m;
	l->members = m;
}

void loop_leave(struct loop *l, struct loop_member *m)
{
	if (m->prev != NULL)
		m->prev->next = m->next;
	else if (l->members == m)
		l->members = m->next;
	if (m->next != NULL)
		m->next->prev = m->prev;
	m->prev = m->next = NULL;
}

bool loop_is_settled(const struct loop *l)
{
	for (const struct loop_member *m = l->members; m != NULL; m = m->next)
		if (!m->settled)
			return false;
	return true;
}

char *loop_scratch(struct loop *l)
{
	return l->scratch;
}

char *loop_input_scratch(struct loop *l)
{
	return l->scratch + LOOP_SCRATCH_BYTES;
}

/* ---- timers ---- */

struct timer {
	struct event *ev;
	timer_fn *fn;
	void *ctx;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;
	(void)fd;
	(void)what;
	t->fn(t->ctx);
}

struct timer *timer_new(struct loop *l, timer_fn *fn, void *ctx)
{
	struct timer *t = must(calloc(1, sizeof(*t)), "a timer");
	*t = (struct timer){ .fn = fn, .ctx = ctx };
	t->ev = must(event_new(l->base, -1, 0, on_timer, t), "a timer");
	return t;
}

void timer_set_ns(struct timer *t, int64_t delay_ns)
{
	if (delay_ns < 0)
		delay_ns = 0;
	struct timeval tv = { .tv_sec = delay_ns / 1000000000, .tv_usec = delay_ns % 1000000000 / 1000 };
	/* libevent counts from when this loop round began, which would make a timer set late in it fire early. */
	(void)event_base_update_cache_time(event_get_base(t->ev));
	(void)event_add(t->ev, &tv);
}

void timer_set_ms(struct timer *t, int64_t delay_ms)
{
	timer_set_ns(t, delay_ms > INT64_MAX / 1000000 ? INT64_MAX : delay_ms * 1000000);
}

void timer_clear(struct timer *t)
{
	(void)event_del(t->ev);
}

bool timer_is_set(const struct timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL) != 0;
}

void timer_free(struct timer *t)
{
	if (t == NULL)
		return;
	event_free(t->ev);
	free(t);
}

/* ---- descriptors ---- */

struct watch {
	struct event *read;
	struct event *write;
	watch_fn *fn;
	void *ctx;
};

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	(void)fd;
	w->fn(w->ctx, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
}

struct watch *watch_new(struct loop *l, int fd, watch_fn *fn, void *ctx)
{
	struct watch *w = must(calloc(1, sizeof(*w)), "a watch");
	*w = (struct watch){ .fn = fn, .ctx = ctx };
	w->read = must(event_new(l->base, fd, EV_READ | EV_PERSIST, on_watch, w), "a watch");
	w->write = must(event_new(l->base, fd, EV_WRITE | EV_PERSIST, on_watch, w), "a watch");
	return w;
}

void watch_set(struct watch *w, bool read, bool write)
{
	if (read)
		(void)event_add(w->read, NULL);
	else
		(void)event_del(w->read);
	if (write)
		(void)event_add(w->write, NULL);
	else
		(void)event_del(w->write);
}

void watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	event_free(w->read);
	event_free(w->write);
	free(w);
}

/* ---- signals ---- */

struct signal_watch {
	struct event *ev;
	signal_fn *fn;
	void *ctx;
};

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct signal_watch *s = arg;
	(void)what;
	s->fn(s->ctx, (int)signo);
}

struct signal_watch *signal_watch_new(struct loop *l, int signo, signal_fn *fn, void *ctx)
{
	struct signal_watch *s = must(calloc(1, sizeof(*s)), "a signal watch");
	*s = (struct signal_watch){ .fn = fn, .ctx = ctx };
	s->ev = must(event_new(l->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, s), "a signal watch");
	(void)event_add(s->ev, NULL);
	return s;
}

void signal_watch_free(struct signal_watch *s)
{
	if (s == NULL)
		return;
	event_free(s->ev);
	free(s);
}

/* ---- tasks ---- */

struct task {
	struct event *ev;
	task_fn *fn;
	void *ctx;
	bool scheduled;
};

static void on_task(evutil_socket_t fd, short what, void *arg)
{
	struct task *t = arg;
	(void)fd;
	(void)what;
	t->scheduled = false;
	t->fn(t->ctx);
}

struct task *task_new(struct loop *l, task_fn *fn, void *ctx)
{
	struct task *t = must(calloc(1, sizeof(*t)), "a task");
	*t = (struct task){ .fn = fn, .ctx = ctx };
	t->ev = must(event_new(l->base, -1, 0, on_task, t), "a task");
	return t;
}

void task_schedule(struct task *t)
{
	if (t->scheduled)
		return;
	t->scheduled = true;
	event_active(t->ev, EV_TIMEOUT, 1);
}

void task_free(struct task *t)
{
	if (t == NULL)
		return;
	event_free(t->ev);
	free(t);
}

/* ---- wake-ups ---- */

struct wakeup {
	int fd;
	struct event *ev;
	task_fn *fn;
	void *ctx;
};

static void on_wakeup(evutil_socket_t fd, short what, void *arg)
{
	struct wakeup *w = arg;
	uint64_t count;
	(void)what;
	ssize_t n = read((int)fd, &count, sizeof(count));
	(void)n; /* Nothing to read only means that an earlier call saw it. */
	w->fn(w->ctx);
}

struct wakeup *wakeup_new(struct loop *l, task_fn *fn, void *ctx)
{
	struct wakeup *w = must(calloc(1, sizeof(*w)), "a wake-up");
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		(void)must(NULL, "an eventfd");
	*w = (struct wakeup){ .fd = fd, .fn = fn, .ctx = ctx };
	w->ev = must(event_new(l->base, fd, EV_READ | EV_PERSIST, on_wakeup, w), "a wake-up");
	(void)event_add(w->ev, NULL);
	return w;
}

void wakeup_post(struct wakeup *w)
{
	uint64_t one = 1;
	ssize_t n = write(w->fd, &one, sizeof(one));
	(void)n; /* Full means that a wake-up is pending already. */
}

void wakeup_free(struct wakeup *w)
{
	if (w == NULL)
		return;
	event_free(w->ev);
	(void)close(w->fd);
	free(w);
}

/* ---- helper pool ---- */

struct job {
	void (*work)(void *job);
	void (*done)(void *job);
	void *job;
	STAILQ_ENTRY(job) next;
};
STAILQ_HEAD(job_list, job);

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job_list waiting;
	struct job_list finished;
	bool stopping;
	struct wakeup *wakeup;
	uint32_t thread_count;
	pthread_t threads[];
};

static void *pool_thread(void *arg)
{
	struct pool *p = arg;

	(void)pthread_mutex_lock(&p->lock);
	for (;;) {
		struct job *j = STAILQ_FIRST(&p->waiting);
		if (j == NULL) {
			if (p->stopping)
				break;
			(void)pthread_cond_wait(&p->more, &p->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&p->waiting, next);
		(void)pthread_mutex_unlock(&p->lock);
		j->work(j->job);
		(void)pthread_mutex_lock(&p->lock);
		STAILQ_INSERT_TAIL(&p->finished, j, next);
		wakeup_post(p->wakeup);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void pool_deliver(void *arg)
{
	struct pool *p = arg;
	struct job_list done = STAILQ_HEAD_INITIALIZER(done);

	(void)pthread_mutex_lock(&p->lock);
	STAILQ_CONCAT(&done, &p->finished);
	(void)pthread_mutex_unlock(&p->lock);
	while (!STAILQ_EMPTY(&done)) {
		struct job *j = STAILQ_FIRST(&done);
		STAILQ_REMOVE_HEAD(&done, next);
		j->done(j->job);
		free(j);
	}
}

struct pool *pool_new(struct loop *l, uint32_t thread_count)
{
	assert(thread_count > 0);
	struct pool *p = must(calloc(1, sizeof(*p) + thread_count * sizeof(p->threads[0])), "a helper pool");

	p->thread_count = thread_count;
	STAILQ_INIT(&p->waiting);
	STAILQ_INIT(&p->finished);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->more, NULL);
	p->wakeup = wakeup_new(l, pool_deliver, p);
	for (uint32_t i = 0; i < thread_count; i++) {
		errno = pthread_create(&p->threads[i], NULL, pool_thread, p);
		if (errno != 0)
			(void)must(NULL, "a helper thread");
	}
	return p;
}

void pool_submit(struct pool *p, void (*work)(void *job), void (*done)(void *job), void *job)
{
	struct job *j = must(calloc(1, sizeof(*j)), "a job");
	*j = (struct job){ .work = work, .done = done, .job = job };
	(void)pthread_mutex_lock(&p->lock);
	assert(!p->stopping);
	STAILQ_INSERT_TAIL(&p->waiting, j, next);
	(void)pthread_cond_signal(&p->more);
	(void)pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->stopping = true;
	(void)pthread_cond_broadcast(&p->more);
	(void)pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->thread_count; i++)
		(void)pthread_join(p->threads[i], NULL);
	pool_deliver(p);
	wakeup_free(p->wakeup);
	(void)pthread_cond_destroy(&p->more);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}
