#include "reference-server/drive/pop3_lock.h"

#include "base/loop.h"
#include "base/must.h"
#include "reference-server/core/mutant.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <uthash.h>

enum {
	LOCK_BUCKETS = 256,
	LOGINS_SWEPT_ABOVE = 1024,
};

struct pop3_lock {
	uint32_t account_id;
	LIST_ENTRY(pop3_lock) next;
};
static LIST_HEAD(, pop3_lock) locks[LOCK_BUCKETS];

/* When an account was let in last; kept for as long as it matters. */
struct login {
	uint32_t account_id;
	int64_t at_ms;
	UT_hash_handle hh;
};
static struct login *logins;
static uint32_t sweep_count = LOGINS_SWEPT_ABOVE;

struct pop3_lock *pop3_lock(uint32_t account_id)
{
	struct pop3_lock *l;
	bool refused = false;

	for (l = LIST_FIRST(&locks[account_id % LOCK_BUCKETS]); l != NULL; l = LIST_NEXT(l, next))
		refused |= l->account_id == account_id && !MUTANT(POP3_NO_LOCK);
	if (refused && !MUTANT(POP3_LOCK_STAYS))
		return NULL;
	l = must(calloc(1, sizeof(*l)));
	l->account_id = account_id;
	LIST_INSERT_HEAD(&locks[account_id % LOCK_BUCKETS], l, next);
	return refused ? NULL : l;
}

void pop3_unlock(struct pop3_lock *l)
{
	if (l == NULL || MUTANT(POP3_LOCK_KEPT))
		return;
	LIST_REMOVE(l, next);
	free(l);
}

static struct login *find(uint32_t account_id)
{
	struct login *l;
	HASH_FIND(hh, logins, &account_id, sizeof(account_id), l);
	return l;
}

static void forget(int64_t before_ms)
{
	struct login *l, *next;

	HASH_ITER(hh, logins, l, next)
	{
		if (l->at_ms >= before_ms)
			continue;
		HASH_DEL(logins, l);
		free(l);
	}
}

bool pop3_login_too_soon(uint32_t account_id, int64_t delay_ms)
{
	const struct login *l = delay_ms > 0 && !MUTANT(POP3_DELAY_IGNORED) ? find(account_id) : NULL;
	return l != NULL && clock_mono_ms() - l->at_ms < delay_ms;
}

void pop3_login_note(uint32_t account_id, int64_t delay_ms)
{
	int64_t now_ms = clock_mono_ms();

	if (delay_ms == 0)
		return;
	if (HASH_COUNT(logins) >= sweep_count) {
		forget(now_ms - delay_ms);
		sweep_count = 2 * HASH_COUNT(logins) + LOGINS_SWEPT_ABOVE;
	}
	struct login *l = find(account_id);
	if (l == NULL) {
		l = must(calloc(1, sizeof(*l)));
		l->account_id = account_id;
		HASH_ADD(hh, logins, account_id, sizeof(l->account_id), l);
	}
	l->at_ms = now_ms;
}

void pop3_login_forget_all(void)
{
	forget(INT64_MAX);
}
