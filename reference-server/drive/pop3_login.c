#include "reference-server/drive/pop3_session_parts.h"

#include "base/log.h"
#include "base/must.h"
#include "reference-server/core/mutant.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_MS = 24 * 3600 * 1000 };

static void on_opened(struct pop3_job *j);

/* ---- opening the mailbox ---- */

static void find_mailbox(void *job)
{
	struct pop3_job *j = job;
	struct account account;

	j->result = account_find(j->store, span_of(j->identity), &account);
	if (j->result != 0)
		return;
	j->account_id = account.id;
}

static void read_list(void *job)
{
	struct pop3_job *j = job;
	j->result = mailbox_list(j->store, j->account_id, &j->list);
}

static void open_failed(struct pop3_session *s, enum pop3_open_failure why, const char *text)
{
	log_event(LOG_INFO, "mailbox-not-opened", LOG_I("session", s->id), LOG_C("user", s->identity),
		  LOG_C("error", text));
	pop3_unlock(s->lock);
	s->lock = NULL;
	s->answer_due = false;
	pop3_server_open_failed(&s->core, why);
	pop3_session_pump(s);
}

static void on_found(struct pop3_job *j)
{
	struct pop3_session *s = j->session;

	if (j->result != 0) {
		/* -ENOENT: the account went between login and now. */
		open_failed(s, j->result == -ENOENT ? POP3_OPEN_PERMANENT : POP3_OPEN_TEMPORARY,
			    strerror((int)-j->result));
		return;
	}
	s->account_id = j->account_id;
	if (pop3_login_too_soon(s->account_id, (int64_t)s->config.login_delay_s * 1000)) {
		open_failed(s, POP3_OPEN_TOO_SOON, "too soon after the last login");
		return;
	}
	s->lock = pop3_lock(s->account_id);
	if (s->lock == NULL) {
		open_failed(s, POP3_OPEN_IN_USE, "in use");
		return;
	}
	/* After locking: nothing can be removed from under this list. */
	pop3_job_submit(pop3_job_new(s, on_opened), read_list);
}

void pop3_login_open(struct pop3_session *s)
{
	struct pop3_job *j = pop3_job_new(s, on_found);

	s->answer_due = true;
	memcpy(j->identity, s->identity, sizeof(j->identity));
	pop3_job_submit(j, find_mailbox);
}

/*
 * EXPIRE n (RFC 2449 6.7): messages older than n days go when the mailbox is
 * opened.  What the list holds afterwards is what the session sees, whether
 * the removal has become durable or not.
 */
static void expire(struct pop3_session *s)
{
	int64_t before_ms = clock_wall_ms() - (int64_t)s->config.expire_days * DAY_MS;
	struct mailbox_list *l = &s->list;
	uint32_t *uids = must(calloc((size_t)l->entry_count + 1, sizeof(*uids)));
	uint32_t gone = 0, kept = 0;

	for (uint32_t i = 0; i < l->entry_count; i++) {
		if (l->entries[i].arrival_wall_ms < before_ms) {
			uids[gone++] = l->entries[i].uid;
			l->octets -= l->entries[i].octets;
		} else {
			l->entries[kept++] = l->entries[i];
		}
	}
	l->entry_count = kept;
	if (gone > 0) {
		log_event(LOG_INFO, "expired", LOG_I("session", s->id), LOG_C("user", s->identity),
			  LOG_I("messages", gone));
		mailbox_delete(s->server->store, s->account_id, uids, gone, NULL, NULL);
	}
	free(uids);
}

/*
 * Everything a session takes ends in CRLF: content does (RFC 5321 4.1.1.4), and
 * so does what is put before it.  So what the store counts is what RETR sends.
 */
static void on_opened(struct pop3_job *j)
{
	struct pop3_session *s = j->session;

	if (j->result != 0) {
		open_failed(s, POP3_OPEN_TEMPORARY, strerror((int)-j->result));
		return;
	}
	s->list = j->list;
	j->list = (struct mailbox_list){ 0 };
	if (s->config.expire_days > 0)
		expire(s);
	pop3_login_note(s->account_id, (int64_t)s->config.login_delay_s * 1000);
	uint32_t count = s->list.entry_count;
	s->messages = must(calloc((size_t)count + 1, sizeof(*s->messages)));
	s->uidls = must(malloc((size_t)count * POP3_UIDL_BYTES + 1));
	for (uint32_t i = 0; i < count; i++) {
		char *uidl = s->uidls + (size_t)i * POP3_UIDL_BYTES;
		(void)snprintf(uidl, POP3_UIDL_BYTES + 1, "%08" PRIx32 "-%08" PRIx32,
			       s->list.uidvalidity + (MUTANT(POP3_NEW_UIDS) ? (uint32_t)s->id : 0),
			       s->list.entries[i].uid);
		s->messages[i] = (struct pop3_message){ .octets = s->list.entries[i].octets,
							.uidl = { uidl, POP3_UIDL_BYTES } };
	}
	log_event(LOG_INFO, "mailbox-opened", LOG_I("session", s->id), LOG_C("user", s->identity),
		  LOG_I("messages", count), LOG_I("octets", s->list.octets));
	s->answer_due = false;
	pop3_server_opened(&s->core, s->messages, count);
	pop3_session_pump(s);
}

/* ---- proving who it is ---- */

void pop3_login_drop(struct pop3_session *s)
{
	auth_exchange_free(s->auth);
	s->auth = NULL;
}

static void auth_failed(struct pop3_session *s, enum pop3_auth_failure why)
{
	s->server->counters.auth_failed++;
	log_event(LOG_WARN, "auth-failed", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
		  LOG_S("user", s->core.user));
	pop3_server_auth_fail(&s->core, why);
}

static void on_auth_result(void *ctx, enum auth_result result, struct span text)
{
	struct pop3_session *s = ctx;

	s->answer_due = false;
	switch (result) {
	case AUTH_CHALLENGE:
		pop3_server_auth_challenge(&s->core, text);
		break;
	case AUTH_OK:
		(void)span_copy(text, s->identity, sizeof(s->identity));
		s->server->counters.auth_ok++;
		log_event(LOG_INFO, "auth-ok", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_S("user", text));
		pop3_server_auth_succeed(&s->core);
		break;
	case AUTH_BAD:
		auth_failed(s, POP3_AUTH_BAD_CREDENTIALS);
		break;
	case AUTH_MALFORMED:
		auth_failed(s, POP3_AUTH_MALFORMED);
		break;
	case AUTH_TROUBLE:
		auth_failed(s, POP3_AUTH_TEMPORARY);
		break;
	}
	if (result != AUTH_CHALLENGE)
		pop3_login_drop(s);
	pop3_session_pump(s);
}

void pop3_login_begin(struct pop3_session *s)
{
	pop3_login_drop(s);
	s->answer_due = true;
	s->auth = auth_password(s->server->auth, s->conn, s->core.user, s->core.password, on_auth_result, s);
}

void pop3_login_auth(struct pop3_session *s)
{
	pop3_login_drop(s);
	if (s->core.auth_response_given && auth_server_begins(s->core.auth_mechanism) &&
	    !MUTANT(POP3_LOGIN_WITH_NAME)) {
		pop3_server_auth_fail(&s->core, POP3_AUTH_SERVER_FIRST);
		return;
	}
	s->auth = auth_start(s->server->auth, s->conn, s->core.auth_mechanism, on_auth_result, s);
	if (s->auth == NULL) {
		auth_failed(s, POP3_AUTH_TEMPORARY);
		return;
	}
	s->answer_due = true;
	auth_step(s->auth, s->core.auth_response, s->core.auth_response_given);
}

void pop3_login_auth_step(struct pop3_session *s)
{
	assert(s->auth != NULL);
	s->answer_due = true;
	auth_step(s->auth, s->core.auth_response, s->core.auth_response_given);
}
