/*
 * pop3_lock: what holds between the POP3 sessions of one account: that there
 * is one at a time (RFC 1939 4), and the least time between two logins
 * (LOGIN-DELAY, RFC 2449 6.5).  In this process, because only one process has
 * the store; forgotten when it ends.  Loop thread only.
 */
#ifndef SERVER_DRIVE_POP3_LOCK_H
#define SERVER_DRIVE_POP3_LOCK_H

#include <stdbool.h>
#include <stdint.h>

struct pop3_lock;

/* NULL: somebody has it. */
struct pop3_lock *pop3_lock(uint32_t account_id);
void pop3_unlock(struct pop3_lock *l); /* accepts NULL */

/* Less than delay_ms after the last login that was noted?  0: never too soon. */
bool pop3_login_too_soon(uint32_t account_id, int64_t delay_ms);
void pop3_login_note(uint32_t account_id, int64_t delay_ms);
void pop3_login_forget_all(void);

#endif
