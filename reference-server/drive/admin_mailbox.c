#include "reference-server/drive/admin_parts.h"

#include "base/must.h"
#include "reference-server/store/account.h"
#include "reference-server/store/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PIECE_BYTES = 64 * 1024 };

/* What the lines of an export are made by; survives any cut of the content. */
struct quoting {
	uint32_t marks;      /* ">" at the start of this line, not written yet */
	uint32_t from_bytes; /* how much of "From " stands behind them, not written yet either */
	bool undecided;      /* still at the start of the line */
	bool cr;             /* one is held back: a line end may follow */
};

struct admin_mailbox {
	uint32_t *ids; /* of accounts; for list */
	char (*addresses)[ACCOUNT_ADDRESS_BYTES_MAX + 1];
	uint32_t account_count;
	uint32_t account_at;

	uint32_t account_id; /* for export */
	struct mailbox_list list;
	uint32_t message_at;
	uint64_t offset;
	struct quoting quoting;
};

void admin_mailbox_free(struct admin_job *j)
{
	struct admin_mailbox *m = j->mailbox;

	if (m == NULL)
		return;
	mailbox_list_free(&m->list);
	free(m->ids);
	free(m->addresses);
	free(m);
	j->mailbox = NULL;
}

static enum admin_step failed(struct admin_job *j, int rc, const char *address)
{
	(void)err_errno(&j->error, -rc, "mailbox of %s", address);
	return ADMIN_FAILED;
}

/* ---- list ---- */

static bool note_account(void *ctx, const struct account *a)
{
	struct admin_mailbox *m = ctx;
	uint32_t n = m->account_count++;

	m->ids = must(realloc(m->ids, m->account_count * sizeof(m->ids[0])));
	m->addresses = must(realloc(m->addresses, m->account_count * sizeof(m->addresses[0])));
	m->ids[n] = a->id;
	memcpy(m->addresses[n], a->address, sizeof(m->addresses[n]));
	return true;
}

static struct tm utc(int64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	return tm;
}

/* One line for each account, an account a step: it goes through the keys of its messages. */
enum admin_step admin_mailbox_list(struct admin_job *j, struct buf *text)
{
	struct admin_mailbox *m = j->mailbox;
	struct mailbox_list list;

	if (m == NULL) {
		m = j->mailbox = must(calloc(1, sizeof(*m)));
		int rc = account_scan(j->options.store, note_account, m);
		if (rc != 0)
			return failed(j, rc, "any account");
		return ADMIN_MORE;
	}
	if (m->account_at == m->account_count)
		return ADMIN_DONE;
	const char *address = m->addresses[m->account_at];
	int rc = mailbox_list(j->options.store, m->ids[m->account_at], &list);
	m->account_at++;
	if (rc == -ENOENT)
		return ADMIN_MORE; /* removed meanwhile */
	if (rc != 0)
		return failed(j, rc, address);
	buf_addf(text, "%s %u messages %llu octets", address, list.entry_count,
		 (unsigned long long)list.octets);
	if (list.entry_count > 0) {
		struct tm tm = utc(list.entries[list.entry_count - 1].arrival_wall_ms);
		char last[64];
		last[strftime(last, sizeof(last), "%Y-%m-%dT%H:%M:%SZ", &tm)] = '\0';
		buf_addf(text, ", the last of %s", last);
	}
	buf_add_cstr(text, "\n");
	mailbox_list_free(&list);
	return ADMIN_MORE;
}

/* ---- export: mboxrd, lines ending in LF ---- */

static const struct span separator = { "From ", 5 };

static void begin_line(struct quoting *q)
{
	*q = (struct quoting){ .undecided = true };
}

/* What was held back at the start of the line; one more mark when it is a From line, quoted or not. */
static void decide(struct quoting *q, struct buf *text)
{
	bool is_separator = q->from_bytes == separator.n;

	for (uint32_t i = 0; i < q->marks + is_separator; i++)
		buf_add(text, SPAN_LIT(">"));
	buf_add(text, span_sub(separator, 0, q->from_bytes));
	q->undecided = false;
}

static void add_quoted(struct quoting *q, struct buf *text, char c)
{
	if (q->cr && c != '\n') {
		if (q->undecided)
			decide(q, text);
		buf_add(text, SPAN_LIT("\r"));
	}
	q->cr = c == '\r';
	if (q->cr)
		return;
	if (q->undecided && q->from_bytes == 0 && c == '>') {
		q->marks++;
		return;
	}
	if (q->undecided && c == separator.p[q->from_bytes]) {
		q->from_bytes++;
		if (q->from_bytes == separator.n)
			decide(q, text);
		return;
	}
	if (q->undecided)
		decide(q, text);
	buf_add(text, (struct span){ &c, 1 });
	if (c == '\n')
		begin_line(q);
}

/* Of the Return-Path that final delivery put in front (RFC 5321 4.4). */
static struct span sender_of(struct span content)
{
	struct span rest = content, path;

	if (!span_take_prefix_nocase(&rest, SPAN_LIT("Return-Path: <")))
		return SPAN_LIT("MAILER-DAEMON");
	path = span_sub(rest, 0, span_find(rest, '>'));
	bool plain = path.n > 0 && path.n < rest.n;
	for (size_t i = 0; i < path.n; i++)
		plain &= path.p[i] > ' ' && path.p[i] != 0x7f;
	return plain ? path : SPAN_LIT("MAILER-DAEMON");
}

static void add_from_line(const struct mailbox_entry *e, struct span content, struct buf *text)
{
	struct tm tm = utc(e->arrival_wall_ms);
	char date[64];

	date[strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm)] = '\0';
	buf_add(text, separator);
	buf_add(text, sender_of(content));
	buf_addf(text, " %s\n", date);
}

static void end_message(struct admin_mailbox *m, struct buf *text)
{
	struct quoting *q = &m->quoting;

	if (q->cr || !q->undecided || q->marks > 0 || q->from_bytes > 0)
		add_quoted(q, text, '\n'); /* the last line had no end */
	buf_add_cstr(text, "\n");
	m->message_at++;
	m->offset = 0;
}

static enum admin_step export_piece(struct admin_job *j, struct buf *text)
{
	struct admin_mailbox *m = j->mailbox;
	const struct mailbox_entry *e = &m->list.entries[m->message_at];
	static char piece[PIECE_BYTES]; /* used within this call only */

	ssize_t got = mailbox_read(j->options.store, m->account_id, e->uid, m->offset, piece, sizeof(piece));
	if (got == -ENOENT && m->offset == 0) { /* retrieved and removed meanwhile */
		m->message_at++;
		return ADMIN_MORE;
	}
	if (got < 0 || (got == 0 && m->offset < e->octets))
		return failed(j, got < 0 ? (int)got : -EBADMSG, "this account: read a message");
	struct span content = { piece, (size_t)got };
	if (m->offset == 0) {
		add_from_line(e, content, text);
		begin_line(&m->quoting);
	}
	for (size_t i = 0; i < content.n; i++)
		add_quoted(&m->quoting, text, content.p[i]);
	m->offset += content.n;
	if (m->offset >= e->octets)
		end_message(m, text);
	return ADMIN_MORE;
}

enum admin_step admin_mailbox_export(struct admin_job *j, struct buf *text)
{
	struct account account;

	if (j->mailbox == NULL) {
		if (j->word_count != 3 || !account_address_ok(j->words[2]))
			return admin_fail(j, "mailbox export wants an address: local-part@domain");
		j->mailbox = must(calloc(1, sizeof(*j->mailbox)));
		int rc = account_find(j->options.store, j->words[2], &account);
		if (rc == 0)
			rc = mailbox_list(j->options.store, account.id, &j->mailbox->list);
		if (rc != 0) {
			(void)err_set(&j->error, rc, "%.*s: %s", SPAN_FMT(j->words[2]),
				      rc == -ENOENT ? "no such account" : strerror(-rc));
			return ADMIN_FAILED;
		}
		j->mailbox->account_id = account.id;
	}
	if (j->mailbox->message_at == j->mailbox->list.entry_count)
		return ADMIN_DONE;
	return export_piece(j, text);
}
