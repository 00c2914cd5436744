/*
 * loop: one thread's event loop on libevent: timers, signals, watched
 * descriptors and deferred work.
 *
 * Timers are precise (microseconds, not libevent's default milliseconds).
 * Everything made on a loop is used from that loop's thread only, except
 * loop_post.  All callbacks run from loop_run.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base; /* libevent's */

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);

/* Runs until loop_stop. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

struct event_base *loop_event_base(struct loop *l);

/* For objects that end by themselves: what is still there when the loop is freed is freed with it. */
struct loop_member {
	void (*free_fn)(void *ctx);
	void *ctx;
	bool settled; /* nothing is lost when it is freed now */
	struct loop_member *prev, *next;
};
void loop_join(struct loop *l, struct loop_member *m);
void loop_leave(struct loop *l, struct loop_member *m);
/* All that are still there are. */
bool loop_is_settled(const struct loop *l);

/* LOOP_SCRATCH_BYTES for use within one callback, shared by everything on the loop. */
enum { LOOP_SCRATCH_BYTES = 65536 };
char *loop_scratch(struct loop *l);
/* For base/conn only: what a connection has read lies here while its callback looks at it. */
char *loop_input_scratch(struct loop *l);

/* CLOCK_MONOTONIC now, in nanoseconds and milliseconds.  The same clock everywhere in the project. */
int64_t clock_mono_ns(void);
int64_t clock_mono_ms(void);
/* CLOCK_REALTIME in milliseconds since 1970. */
int64_t clock_wall_ms(void);

/* ---- timers ---- */
struct timer;
typedef void timer_fn(void *ctx);
struct timer *timer_new(struct loop *l, timer_fn *fn, void *ctx);
void timer_set_ms(struct timer *t, int64_t delay_ms); /* once; setting again moves it; < 0 counts as 0 */
void timer_set_ns(struct timer *t, int64_t delay_ns);
void timer_clear(struct timer *t);
bool timer_is_set(const struct timer *t);
void timer_free(struct timer *t); /* accepts NULL */

/* ---- descriptors ---- */
struct watch;
typedef void watch_fn(void *ctx, bool readable, bool writable);
/* Level-triggered. */
struct watch *watch_new(struct loop *l, int fd, watch_fn *fn, void *ctx);
void watch_set(struct watch *w, bool read, bool write);
void watch_free(struct watch *w); /* accepts NULL; does not close fd */

/* ---- signals ---- */
struct signal_watch;
typedef void signal_fn(void *ctx, int signo);
struct signal_watch *signal_watch_new(struct loop *l, int signo, signal_fn *fn, void *ctx);
void signal_watch_free(struct signal_watch *s); /* accepts NULL */

/* ---- deferred work ---- */
/*
 * A task runs once, soon, after the callbacks that are already due; scheduling
 * a scheduled task does nothing.  Lets many small changes in one loop round
 * cost one flush.
 */
struct task;
typedef void task_fn(void *ctx);
struct task *task_new(struct loop *l, task_fn *fn, void *ctx);
void task_schedule(struct task *t);
void task_free(struct task *t); /* accepts NULL */

/* A wake-up from another thread: post runs fn on the loop's thread; several posts may become one call. */
struct wakeup;
struct wakeup *wakeup_new(struct loop *l, task_fn *fn, void *ctx);
void wakeup_post(struct wakeup *w); /* any thread */
void wakeup_free(struct wakeup *w); /* accepts NULL */

/* ---- helper pool: for what would block the loop ---- */
struct pool;
struct pool *pool_new(struct loop *l, uint32_t thread_count);
/*
 * work runs on a pool thread, then done on the loop's thread; job belongs to
 * the pool in between.  Order among jobs is not kept.
 */
void pool_submit(struct pool *p, void (*work)(void *job), void (*done)(void *job), void *job);
/* Waits for running jobs, runs the done of every submitted one. */
void pool_free(struct pool *p);

#endif
