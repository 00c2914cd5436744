#include "reference-server/drive/admin_parts.h"

#include "reference-server/store/envelope.h"

#include <jansson.h>
#include <stdlib.h>

const char *admin_recipient_state(int state)
{
	switch ((enum recipient_state)state) {
	case RECIPIENT_PENDING:
		return "pending";
	case RECIPIENT_DELIVERED:
		return "delivered";
	case RECIPIENT_FAILED:
		return "failed";
	}
	return "?";
}

/* JSON is UTF-8; what is not becomes '?'. */
static json_t *text_of(const char *s)
{
	json_t *v = json_string(s);
	if (v != NULL)
		return v;
	char *copy = strdup(s);
	if (copy == NULL)
		abort();
	for (char *p = copy; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	v = json_string(copy);
	free(copy);
	return v;
}

static void set(json_t *o, const char *key, json_t *v)
{
	if (v == NULL || json_object_set_new(o, key, v) != 0)
		abort();
}

static json_t *recipient_of(const struct recipient *r)
{
	json_t *o = json_object();

	set(o, "address", text_of(r->address));
	if (strcmp(r->address, r->original) != 0)
		set(o, "original", text_of(r->original));
	set(o, "state", text_of(admin_recipient_state((int)r->state)));
	set(o, "attempts", json_integer(r->attempt_count));
	if (r->last_attempt_wall_ms != 0)
		set(o, "last_attempt_ms", json_integer(r->last_attempt_wall_ms));
	if (r->reply_text[0] == '\0' && r->reply_code == 0)
		return o;
	set(o, "code", json_integer(r->reply_code));
	set(o, "status", text_of(r->enhanced));
	set(o, "text", text_of(r->reply_text));
	set(o, "remote", text_of(r->remote_mta));
	return o;
}

static int add_bytes(const char *p, size_t n, void *b)
{
	buf_add(b, (struct span){ p, n });
	return 0;
}

void admin_json_message(struct buf *b, const struct envelope *e, const char *state, bool full)
{
	char id[STORE_ID_TEXT_BYTES];
	json_t *o = json_object(), *list = json_array();

	set(o, "id", text_of(store_id_text(e->id, id)));
	set(o, "state", text_of(state));
	set(o, "sender", text_of(e->reverse_path));
	set(o, "bytes", json_integer((json_int_t)(e->body_bytes + buf_bytes(&e->prefix))));
	set(o, "arrival_ms", json_integer(e->arrival_wall_ms));
	set(o, "due_ms", json_integer(e->due_wall_ms));
	set(o, "attempts", json_integer(e->attempt_count));
	for (uint32_t i = 0; i < e->recipient_count; i++)
		if ((full || e->recipients[i].state == RECIPIENT_PENDING) &&
		    json_array_append_new(list, recipient_of(&e->recipients[i])) != 0)
			abort();
	set(o, "recipients", list);
	if (json_dump_callback(o, add_bytes, b, JSON_COMPACT) != 0)
		abort();
	buf_add_cstr(b, "\n");
	json_decref(o);
}
