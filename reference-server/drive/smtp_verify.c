#include "reference-server/drive/smtp_session_parts.h"

#include "reference-server/drive/directory.h"

#include <errno.h>
#include <stdlib.h>

/* Texts one behind the other; spans are made when all are there. */
struct members {
	struct buf text;
	struct span *spans;
	uint32_t count;
};

static void add_member(void *ctx, struct span address)
{
	struct members *m = ctx;

	m->spans = realloc(m->spans, (m->count + 1) * sizeof(*m->spans));
	if (m->spans == NULL)
		abort();
	m->spans[m->count++] = (struct span){ NULL, address.n };
	buf_add(&m->text, address);
}

static void answer_members(struct smtp_session *s, struct members *m)
{
	size_t at = 0;

	for (uint32_t i = 0; i < m->count; i++) {
		m->spans[i] = span_sub(buf_span(&m->text), at, m->spans[i].n);
		at += m->spans[i].n;
	}
	smtp_server_answer_verify(&s->core, SMTP_VERIFY_FOUND, m->spans, m->count);
	free(m->spans);
	buf_free(&m->text);
}

void smtp_verify(struct smtp_session *s)
{
	const struct directory *d = s->server->directory;
	struct address a = { .local = s->core.forward_path };
	struct members members = { .count = 0 };
	char text[ADDRESS_TEXT_BYTES_MAX];

	if (!s->core.verify_bare && address_parse_text(s->core.forward_path, &a) != ADDRESS_OK)
		a.local.n = 0;
	bool local = a.domain.n == 0 || directory_is_local_domain(d, a.domain);
	int rc = local && a.local.n > 0 ? directory_expand(d, a, NULL, NULL) : -ENOENT;

	if (!local || rc == -E2BIG) {
		smtp_server_answer_verify(&s->core, SMTP_VERIFY_ELSEWHERE, NULL, 0);
	} else if (rc != 0 && rc != -ENOENT) {
		smtp_server_answer_verify(&s->core, SMTP_VERIFY_TRY_LATER, NULL, 0);
	} else if (rc != 0) {
		smtp_server_answer_verify(&s->core, SMTP_VERIFY_NONE, NULL, 0);
	} else if (!s->core.verify_expands) {
		add_member(&members, address_text(directory_full(d, a), text));
		answer_members(s, &members);
	} else if (!directory_is_alias(d, a)) {
		smtp_server_answer_verify(&s->core, SMTP_VERIFY_NOT_A_LIST, NULL, 0);
	} else {
		(void)directory_expand(d, a, add_member, &members);
		answer_members(s, &members);
	}
}
