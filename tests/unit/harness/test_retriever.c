/*
 * retriever: against a POP3 server of the test whose mailbox, manners and
 * outages the test decides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/load/retriever.h"
#include "tests/unit/harness/exact.h"
#include "tests/unit/harness/line_peer.h"

#include <errno.h>
#include <stdio.h>

/* ---- the server ---- */
enum manner {
	MANNER_GOOD,
	MANNER_LOCKED,   /* refuses logins as in use */
	MANNER_DENYING,  /* refuses them otherwise */
	MANNER_CLOSING,  /* closes at once */
	MANNER_CUTTING,  /* breaks off in the second RETR */
	MANNER_SILENT,   /* never answers UIDL */
	MANNER_NONSENSE, /* a UIDL line that is none */
	MANNER_NO_LIST,  /* refuses LIST */
	MANNER_QUIT_CUT, /* deletes, and closes without a reply to QUIT */
};

struct mailbox {
	const char *messages[8]; /* stuffed, as on the wire, without the end; NULL: deleted */
	const char *uids[8];     /* NULL: one of its own */
	uint32_t message_count;
	enum manner manner;
	const char *sasl; /* NULL: no CAPA */
	uint32_t retrs;
	struct buf log; /* commands */
};

static void list(const struct mailbox *m, bool uids, struct buf *out)
{
	buf_add_cstr(out, "+OK\r\n");
	for (uint32_t i = 0; i < m->message_count; i++) {
		if (m->messages[i] == NULL)
			continue;
		if (uids && m->manner == MANNER_NONSENSE)
			buf_add_cstr(out, "one\r\n");
		else if (uids && m->uids[i] != NULL)
			buf_addf(out, "%u %s\r\n", i + 1, m->uids[i]);
		else if (uids)
			buf_addf(out, "%u uid-%u\r\n", i + 1, i + 1);
		else
			buf_addf(out, "%u %u extra\r\n", i + 1, (i + 1) * 100);
	}
	buf_add_cstr(out, ".\r\n");
}

static enum peer_act login(const struct mailbox *m, struct buf *out)
{
	if (m->manner == MANNER_LOCKED)
		buf_add_cstr(out, "-ERR [IN-USE] Do you have another POP session running?\r\n");
	else if (m->manner == MANNER_DENYING)
		buf_add_cstr(out, "-ERR [AUTH] no\r\n");
	else
		buf_add_cstr(out, "+OK in\r\n");
	return PEER_GO;
}

static enum peer_act retrieve(struct mailbox *m, struct span line, struct buf *out)
{
	uint64_t number;
	assert_true(span_to_u64(span_sub(line, 5, line.n), &number));
	assert_true(number >= 1 && number <= m->message_count && m->messages[number - 1] != NULL);
	bool cut = m->manner == MANNER_CUTTING && ++m->retrs == 2;
	buf_addf(out, "+OK\r\n%s%s", m->messages[number - 1], cut ? "" : ".\r\n");
	return cut ? PEER_CLOSE : PEER_GO;
}

static enum peer_act serve(void *ctx, uint32_t *state, struct span line, struct buf *out)
{
	struct mailbox *m = ctx;
	(void)state;
	if (line.p == NULL) {
		if (m->manner != MANNER_CLOSING)
			buf_add_cstr(out, "+OK pop3\r\n");
		return m->manner == MANNER_CLOSING ? PEER_CLOSE : PEER_GO;
	}
	buf_addf(&m->log, "%.*s\n", SPAN_FMT(line));
	if (span_eq(line, SPAN_LIT("CAPA"))) {
		if (m->sasl == NULL)
			buf_add_cstr(out, "-ERR what\r\n");
		else
			buf_addf(out, "+OK\r\nUIDL\r\nSASL %s\r\n.\r\n", m->sasl);
		return PEER_GO;
	}
	if (span_starts_nocase(line, SPAN_LIT("USER")))
		buf_add_cstr(out, "+OK\r\n");
	else if (span_starts_nocase(line, SPAN_LIT("PASS")) ||
		 span_starts_nocase(line, SPAN_LIT("AUTH PLAIN")))
		return login(m, out);
	else if (span_starts_nocase(line, SPAN_LIT("STLS"))) {
		buf_add_cstr(out, "+OK\r\n");
		return PEER_TLS;
	} else if (span_eq(line, SPAN_LIT("LIST")) && m->manner == MANNER_NO_LIST)
		buf_add_cstr(out, "-ERR\r\n");
	else if (span_eq(line, SPAN_LIT("UIDL")) && m->manner == MANNER_SILENT)
		return PEER_GO;
	else if (span_eq(line, SPAN_LIT("UIDL")) || span_eq(line, SPAN_LIT("LIST")))
		list(m, line.p[0] == 'U', out);
	else if (span_starts_nocase(line, SPAN_LIT("RETR")))
		return retrieve(m, line, out);
	else if (span_starts_nocase(line, SPAN_LIT("DELE"))) {
		m->messages[line.p[5] - '1'] = NULL;
		buf_add_cstr(out, "+OK\r\n");
	} else if (span_eq(line, SPAN_LIT("QUIT"))) {
		if (m->manner == MANNER_QUIT_CUT)
			return PEER_CLOSE;
		buf_add_cstr(out, "+OK bye\r\n");
		return PEER_CLOSE;
	} else
		buf_add_cstr(out, "-ERR\r\n");
	return PEER_GO;
}

/* ---- the world ---- */
struct world {
	struct loop *loop;
	struct timer *deadline;
	struct line_peer peer;
	struct mailbox box;
	struct retriever *retriever;
	struct buf got; /* one line per message */
	struct buf polls;
	struct retrieved last;
	uint32_t poll_count;
	uint32_t doubtful_count;
	uint32_t stop_after_polls;
	bool done;
};

static void too_late(void *ctx)
{
	(void)ctx;
	fail_msg("the test hangs");
}

static void on_message(void *ctx, const struct retrieved *m)
{
	struct world *w = ctx;
	w->last = *m;
	buf_addf(&w->got, "%u %.*s %lld [%.*s]\n", m->nth, SPAN_FMT(m->uid), (long long)m->listed_octets,
		 SPAN_FMT(m->message));
}

static void on_poll(void *ctx, const struct retriever_poll *p)
{
	struct world *w = ctx;
	buf_addf(&w->polls, "%s %u/%u%s\n", retriever_outcome_name(p->outcome), p->new_count, p->listed_count,
		 p->problem[0] != '\0' ? " problem" : "");
	assert_true(p->end_ns >= p->start_ns);
	w->doubtful_count = p->doubtful_count;
	if (++w->poll_count == w->stop_after_polls)
		loop_stop(w->loop);
}

static void on_done(void *ctx)
{
	struct world *w = ctx;
	w->done = true;
	loop_stop(w->loop);
}

static void world_open(struct world *w, struct retriever_options o)
{
	struct err err;
	*w = (struct world){ .loop = loop_new() };
	w->deadline = timer_new(w->loop, too_late, NULL);
	timer_set_ms(w->deadline, 20000);
	w->peer = (struct line_peer){ .loop = w->loop, .fn = serve, .ctx = &w->box };
	peer_open(&w->peer);
	o.loop = w->loop;
	o.access.server = *listener_addr(w->peer.listener);
	o.access.user = "sales";
	o.access.password = "secret";
	if (o.interval_ms == 0)
		o.interval_ms = 5;
	o.on_message = on_message;
	o.on_poll = on_poll;
	o.ctx = w;
	w->retriever = retriever_new(&o, &err);
	if (w->retriever == NULL)
		fail_msg("%s", err.text);
}

static void put(struct world *w, const char *stuffed)
{
	w->box.messages[w->box.message_count++] = stuffed;
}

static void poll_times(struct world *w, uint32_t n)
{
	w->stop_after_polls = w->poll_count + n;
	for (uint32_t i = 0; i < n; i++)
		retriever_poll_now(w->retriever);
	loop_run(w->loop);
}

static void world_close(struct world *w)
{
	retriever_free(w->retriever);
	peer_close(&w->peer);
	timer_free(w->deadline);
	loop_free(w->loop);
	buf_free(&w->got);
	buf_free(&w->polls);
	buf_free(&w->box.log);
}

/* ---- tests ---- */
static void each_message_is_handed_over_once_as_stored(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, (struct retriever_options){ 0 });
	put(&w, "a\r\n..\r\n");
	put(&w, "");
	poll_times(&w, 1);
	assert_span_text(buf_span(&w.got), "1 uid-1 100 [a\r\n.\r\n]\n2 uid-2 200 []\n");
	assert_int_equal(w.last.absent_ns, 0);
	int64_t first_listed_ns = w.last.listed_ns;
	put(&w, "c\r\n");
	poll_times(&w, 1);
	assert_span_text(buf_span(&w.got), "1 uid-1 100 [a\r\n.\r\n]\n2 uid-2 200 []\n3 uid-3 300 [c\r\n]\n");
	assert_span_text(buf_span(&w.polls), "ok 2/2\nok 1/3\n");
	assert_int_equal(retriever_message_count(w.retriever), 3);
	assert_true(w.last.absent_ns > 0 && w.last.absent_ns <= first_listed_ns);
	assert_true(first_listed_ns <= w.last.poll_start_ns && w.last.poll_start_ns <= w.last.listed_ns);
	assert_true(w.last.listed_ns <= w.last.retrieved_ns);
	assert_span_text(buf_span(&w.box.log),
			 "CAPA\nUSER sales\nPASS secret\nUIDL\nLIST\nRETR 1\nRETR 2\nQUIT\n"
			 "CAPA\nUSER sales\nPASS secret\nUIDL\nLIST\nRETR 3\nQUIT\n");
	world_close(&w);
}

static void deleting_is_done_when_asked(void **state)
{
	(void)state;
	struct world w;
	world_open(&w,
		   (struct retriever_options){ .delete_after = true, .access.mechanism = ACCESS_USER_PASS });
	put(&w, "a\r\n");
	put(&w, "b\r\n");
	poll_times(&w, 2);
	assert_span_text(buf_span(&w.box.log),
			 "USER sales\nPASS secret\nUIDL\nLIST\nRETR 1\nDELE 1\nRETR 2\nDELE 2\nQUIT\n"
			 "USER sales\nPASS secret\nUIDL\nQUIT\n");
	assert_span_text(buf_span(&w.polls), "ok 2/2\nok 0/0\n");
	world_close(&w);
}

static void put_with_uid(struct world *w, const char *stuffed, const char *uid)
{
	w->box.uids[w->box.message_count] = uid;
	put(w, stuffed);
}

/* RFC 1939 section 7: "a situation where two identical copies of a message have the same unique-id". */
static void equal_messages_with_one_uid_are_all_handed_over(void **state)
{
	(void)state;
	for (int deleted = 0; deleted < 2; deleted++) {
		struct world w;
		world_open(&w, (struct retriever_options){ .delete_after = deleted == 1 });
		put_with_uid(&w, "a\r\n", "hash");
		put_with_uid(&w, "b\r\n", "other");
		put_with_uid(&w, "a\r\n", "hash");
		poll_times(&w, 1);
		assert_int_equal(retriever_message_count(w.retriever), 3);
		poll_times(&w, 2);
		assert_int_equal(retriever_message_count(w.retriever), 3);
		/* One more, when the others are gone, or beside them. */
		put_with_uid(&w, "a\r\n", "hash");
		poll_times(&w, 2);
		assert_int_equal(retriever_message_count(w.retriever), 4);
		assert_int_equal(w.doubtful_count, 0);
		world_close(&w);
	}
}

static void after_an_unanswered_quit_what_cannot_be_told_is_counted(void **state)
{
	static const struct {
		const char *name;
		const char *uids[2];
		uint32_t left; /* so many of the messages are there again */
		uint32_t doubtful_count;
	} table[] = {
		{ "nothing is left", { "one", "two" }, 0, 0 },
		{ "all is left: nothing was deleted", { "one", "two" }, 2, 0 },
		{ "some is left", { "one", "two" }, 1, 1 },
		{ "all is left, of a server that gives a UID twice", { "one", "one" }, 2, 2 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w;
		world_open(&w, (struct retriever_options){ .delete_after = true });
		w.box.manner = MANNER_QUIT_CUT;
		put_with_uid(&w, "a\r\n", table[i].uids[0]);
		put_with_uid(&w, "a\r\n", table[i].uids[1]);
		poll_times(&w, 1);
		assert_string_equal(buf_cstr(&w.polls), "broken 2/2 problem\n");
		for (uint32_t k = 0; k < table[i].left; k++)
			w.box.messages[k] = "a\r\n";
		w.box.manner = MANNER_GOOD;
		poll_times(&w, 2);
		if (w.doubtful_count != table[i].doubtful_count)
			fail_msg("%s: %u in doubt", table[i].name, w.doubtful_count);
		assert_int_equal(retriever_message_count(w.retriever), 2); /* what is taken for old */
		/* What was left over has gone in the end; the next with its UID is new. */
		put_with_uid(&w, "a\r\n", "one");
		poll_times(&w, 1);
		assert_int_equal(retriever_message_count(w.retriever), 3);
		world_close(&w);
	}
}

static void sasl_is_used_where_it_is_offered(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, (struct retriever_options){ 0 });
	w.box.sasl = "GSSAPI PLAIN";
	poll_times(&w, 1);
	assert_span_text(buf_span(&w.box.log), "CAPA\nAUTH PLAIN AHNhbGVzAHNlY3JldA==\nUIDL\nQUIT\n");
	world_close(&w);
}

static void every_outage_has_its_name_and_ends(void **state)
{
	static const struct {
		enum manner manner;
		const char *poll;
		uint32_t after; /* messages handed over during the outage */
	} table[] = {
		{ MANNER_LOCKED, "locked 0/0 problem\n", 0 },
		{ MANNER_DENYING, "denied 0/0 problem\n", 0 },
		{ MANNER_CLOSING, "down 0/0 problem\n", 0 },
		{ MANNER_CUTTING, "broken 1/2 problem\n", 1 },
		{ MANNER_SILENT, "broken 0/0 problem\n", 0 },
		{ MANNER_NONSENSE, "broken 0/0 problem\n", 0 },
		{ MANNER_NO_LIST, "ok 2/2\n", 2 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct world w;
		world_open(&w, (struct retriever_options){ .timeout_ms = 100 });
		w.box.manner = table[i].manner;
		put(&w, "a\r\n");
		put(&w, "b\r\n");
		poll_times(&w, 1);
		if (strcmp(buf_cstr(&w.polls), table[i].poll) != 0)
			fail_msg("manner %d: %s", (int)table[i].manner, buf_cstr(&w.polls));
		assert_int_equal(retriever_message_count(w.retriever), table[i].after);
		w.box.manner = MANNER_GOOD;
		poll_times(&w, 1);
		assert_int_equal(retriever_message_count(w.retriever), 2);
		/* Never twice, whatever happened in between. */
		assert_null(strstr(strstr(buf_cstr(&w.got), "uid-1") + 1, "uid-1"));
		world_close(&w);
	}
}

static void a_server_that_is_down_is_polled_again(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, (struct retriever_options){ 0 });
	struct addr at = *listener_addr(w.peer.listener);
	struct err err;
	peer_close(&w.peer);
	w.stop_after_polls = 3;
	retriever_start(w.retriever);
	loop_run(w.loop);
	assert_span_text(buf_span(&w.polls), "down 0/0 problem\ndown 0/0 problem\ndown 0/0 problem\n");
	put(&w, "a\r\n");
	w.peer.listener = listener_new(w.loop, &at, peer_accept, &w.peer, &err);
	assert_non_null(w.peer.listener);
	retriever_drain(w.retriever, 1, clock_mono_ns() + INT64_C(10000000000), on_done, &w);
	loop_run(w.loop);
	assert_true(w.done);
	assert_int_equal(retriever_message_count(w.retriever), 1);
	world_close(&w);
}

static void a_drain_ends_when_all_is_there(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, (struct retriever_options){ 0 });
	put(&w, "a\r\n");
	retriever_drain(w.retriever, 1, clock_mono_ns() + INT64_C(10000000000), on_done, &w);
	loop_run(w.loop);
	assert_true(w.done);
	assert_false(retriever_is_polling(w.retriever));
	assert_int_equal(w.poll_count, 1);
	w.done = false; /* nothing more is wanted: done at once, without a poll */
	retriever_drain(w.retriever, 1, clock_mono_ns() + INT64_C(10000000000), on_done, &w);
	assert_false(w.done);
	loop_run(w.loop);
	assert_true(w.done);
	assert_int_equal(w.poll_count, 1);
	world_close(&w);
}

static void a_drain_ends_at_its_deadline(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, (struct retriever_options){ 0 });
	put(&w, "a\r\n");
	int64_t deadline_ns = clock_mono_ns() + 50000000;
	retriever_drain(w.retriever, 2, deadline_ns, on_done, &w);
	loop_run(w.loop);
	assert_true(w.done);
	assert_true(clock_mono_ns() >= deadline_ns);
	assert_int_equal(retriever_message_count(w.retriever), 1);
	assert_true(w.poll_count >= 2);
	world_close(&w);
}

static void stls_comes_before_the_login(void **state)
{
	static const char *const names[] = { "pop.example", NULL };
	(void)state;
	char dir[] = "/tmp/test_retriever.XXXXXX", cert[64], key[64];
	struct err err;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(cert, sizeof(cert), "%s/cert", dir);
	(void)snprintf(key, sizeof(key), "%s/key", dir);
	assert_int_equal(cert_make(&(struct cert_options){ .common_name = "pop.example",
							   .names = names,
							   .ret_cert_path = cert,
							   .ret_key_path = key },
				   &err),
			 0);
	struct tls_ctx *client = tls_client_new(cert, &err), *server = tls_server_new(cert, key, &err);
	assert_true(client != NULL && server != NULL);
	for (int right = 0; right <= 1; right++) {
		struct world w;
		world_open(&w, (struct retriever_options){
				       .access = { .tls = ACCESS_STARTTLS,
						   .tls_ctx = client,
						   .server_name = right ? "pop.example" : "x.example",
						   .mechanism = ACCESS_USER_PASS } });
		w.peer.tls = server;
		put(&w, "a\r\n");
		poll_times(&w, 1);
		assert_span_text(buf_span(&w.polls), right ? "ok 1/1\n" : "down 0/0 problem\n");
		assert_span_text(buf_span(&w.box.log),
				 right ? "STLS\nUSER sales\nPASS secret\nUIDL\nLIST\nRETR 1\nQUIT\n"
				       : "STLS\n");
		world_close(&w);
	}
	tls_free(client);
	tls_free(server);
	assert_int_equal(remove(cert) | remove(key) | remove(dir), 0);
}

static void odd_options_are_refused(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct addr here = { 0 }, away = { 0 };
	assert_true(addr_parse("127.0.0.1", 110, &here));
	assert_true(addr_parse("192.0.2.1", 110, &away));
	const struct access table[] = {
		{ .server = away, .user = "a", .password = "b" },
		{ .server = here, .user = "a" },
		{ .server = here, .user = "a", .password = "b", .tls = ACCESS_TLS },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct err err = { 0 };
		assert_null(retriever_new(&(struct retriever_options){ .loop = l,
								       .access = table[i],
								       .on_message = on_message },
					  &err));
		assert_true(err.text[0] != '\0');
	}
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_is_handed_over_once_as_stored),
		cmocka_unit_test(deleting_is_done_when_asked),
		cmocka_unit_test(equal_messages_with_one_uid_are_all_handed_over),
		cmocka_unit_test(after_an_unanswered_quit_what_cannot_be_told_is_counted),
		cmocka_unit_test(sasl_is_used_where_it_is_offered),
		cmocka_unit_test(every_outage_has_its_name_and_ends),
		cmocka_unit_test(a_server_that_is_down_is_polled_again),
		cmocka_unit_test(a_drain_ends_when_all_is_there),
		cmocka_unit_test(a_drain_ends_at_its_deadline),
		cmocka_unit_test(stls_comes_before_the_login),
		cmocka_unit_test(odd_options_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
