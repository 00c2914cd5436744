#include "base/yaml_tree.h"

#include <assert.h>
#include <libfyaml.h>
#include <string.h>

/* The reader's state: which collection is open and which key waits for its value. */
struct reader {
	struct yaml *y;
	const char *const *sets;
	struct fy_parser *parser;
	struct yaml_node *open; /* innermost list or mapping */
	const char *key;        /* NULL: the next scalar in a mapping is a key */
	struct yaml_place key_at;
	uint32_t levels;
	uint32_t documents;
};

static struct yaml_place place_of(const struct fy_mark *start, const struct fy_mark *end)
{
	struct yaml_place at = { 1, 1, 1 };

	if (start != NULL && start->line >= 0 && start->column >= 0) {
		at.line = (uint32_t)start->line + 1;
		at.column = (uint32_t)start->column + 1;
		if (end != NULL && end->line == start->line && end->column > start->column)
			at.width = (uint32_t)(end->column - start->column);
	}
	return at;
}

static struct yaml_place event_place(struct fy_event *e)
{
	return place_of(fy_event_start_mark(e), fy_event_end_mark(e));
}

/* ---- ${name:-default} ---- */

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-' || c == '.';
}

static const char *set_value(const char *const *sets, struct span name)
{
	for (; sets != NULL && *sets != NULL; sets++) {
		struct span head, rest = span_of(*sets);
		if (span_take_until(&rest, '=', &head) && span_eq(head, name))
			return rest.n > 0 ? rest.p : "";
	}
	return NULL;
}

/* body is what stands between the braces. */
static bool add_substituted(struct reader *r, struct buf *out, struct span body, struct yaml_place at)
{
	size_t name_bytes = 0;

	while (name_bytes < body.n && is_name_char(body.p[name_bytes]))
		name_bytes++;
	/* "a:-b": the '-' of ":-" is not reached, because ':' ends the name. */
	struct span name = span_sub(body, 0, name_bytes);
	struct span rest = span_sub(body, name_bytes, body.n);
	bool has_default = span_take_prefix_nocase(&rest, SPAN_LIT(":-"));
	if (name.n == 0 || (!has_default && rest.n > 0)) {
		yaml_error_at(r->y, at,
			      "\"${%.*s}\" is no substitution; write ${name} or ${name:-default}, or $${ for "
			      "a plain ${",
			      SPAN_FMT(body));
		return false;
	}
	yaml_keep_name(r->y, &r->y->names, &r->y->name_count, &r->y->name_room, yaml_keep_text(r->y, name));
	const char *given = set_value(r->sets, name);
	if (given == NULL && !has_default) {
		yaml_error_at(r->y, at, "${%.*s} has no value; give one with --set %.*s=…", SPAN_FMT(name),
			      SPAN_FMT(name));
		return false;
	}
	buf_add(out, given != NULL ? span_of(given) : rest);
	return true;
}

static const char *substitute(struct reader *r, struct span s, struct yaml_place at)
{
	struct buf out = { 0 };
	bool in_order = true;

	while (s.n > 0 && in_order) {
		struct span head;
		if (!span_take_until(&s, '$', &head)) {
			buf_add(&out, s);
			break;
		}
		buf_add(&out, head);
		if (span_take_prefix_nocase(&s, SPAN_LIT("${"))) {
			buf_add_cstr(&out, "${");
		} else if (span_take_prefix_nocase(&s, SPAN_LIT("{"))) {
			if (!span_take_until(&s, '}', &head)) {
				yaml_error_at(r->y, at, "\"${\" without \"}\"; write $${ for a plain ${");
				in_order = false;
			} else {
				in_order = add_substituted(r, &out, head, at);
			}
		} else {
			buf_add_cstr(&out, "$");
		}
	}
	const char *kept = in_order ? yaml_keep_text(r->y, buf_span(&out)) : NULL;
	buf_free(&out);
	return kept;
}

/* ---- the tree ---- */

static struct yaml_node *add_node(struct reader *r, enum yaml_kind kind, struct yaml_place at)
{
	struct yaml_node *n = yaml_alloc(r->y, sizeof(*n));
	struct yaml_node *parent = r->open;

	*n = (struct yaml_node){ .yaml = r->y, .kind = kind, .at = at, .parent = parent };
	n->notes = yaml_alloc(r->y, sizeof(*n->notes));
	if (parent == NULL) {
		r->y->root = n;
		return n;
	}
	if (parent->kind == YAML_MAP) {
		assert(r->key != NULL);
		n->key = r->key;
		n->key_at = r->key_at;
		r->key = NULL;
	}
	if (parent->last != NULL)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
	parent->child_count++;
	return n;
}

/* False ends the reading: what follows could not be placed. */
static bool take_key(struct reader *r, struct span text, struct yaml_place at)
{
	r->key = yaml_keep_text(r->y, text);
	r->key_at = at;
	if (r->open->child_count >= YAML_KEYS_MAX) {
		yaml_error_at(r->y, at, "more than %d keys in one mapping", YAML_KEYS_MAX);
		return false;
	}
	if (text.n == 0 || memchr(text.p, '\0', text.n) != NULL)
		yaml_error_at(r->y, at, "a key is one or more printable characters");
	for (const struct yaml_node *n = r->open->first; n != NULL; n = n->next)
		if (strcmp(n->key, r->key) == 0) {
			yaml_error_at(r->y, at, "key \"%s\" is here a second time; the first is in line %u",
				      r->key, n->key_at.line);
			break;
		}
	return true;
}

static bool awaits_key(const struct reader *r)
{
	return r->open != NULL && r->open->kind == YAML_MAP && r->key == NULL;
}

static bool take_scalar(struct reader *r, struct fy_event *e)
{
	struct yaml_place at = event_place(e);
	size_t bytes = 0;
	const char *p = fy_token_get_text(e->scalar.value, &bytes);
	struct span text = { p, p != NULL ? bytes : 0 };

	if (e->scalar.tag != NULL || e->scalar.anchor != NULL)
		yaml_error_at(r->y, at, "tags and anchors are not used here");
	if (awaits_key(r))
		return take_key(r, text, at);
	bool plain = e->scalar.value == NULL || fy_token_scalar_style(e->scalar.value) == FYSS_PLAIN;
	struct yaml_node *n = add_node(r, text.n == 0 && plain ? YAML_NULL : YAML_SCALAR, at);
	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL) {
		yaml_error_at(r->y, at, "a NUL character is not allowed");
		text.n = 0;
	}
	n->text = substitute(r, text, at);
	if (n->text == NULL)
		n->text = ""; /* Noted as a mistake already; getters need a text. */
	return true;
}

static bool open_collection(struct reader *r, struct fy_event *e, enum yaml_kind kind, bool decorated)
{
	struct yaml_place at = event_place(e);

	at.width = 1;
	if (awaits_key(r)) {
		yaml_error_at(r->y, at, "a key must be a plain word");
		return false;
	}
	if (decorated)
		yaml_error_at(r->y, at, "tags and anchors are not used here");
	if (++r->levels > YAML_LEVELS_MAX) {
		yaml_error_at(r->y, at, "more than %d levels", YAML_LEVELS_MAX);
		return false;
	}
	r->open = add_node(r, kind, at);
	return true;
}

static void close_collection(struct reader *r)
{
	assert(r->open != NULL && r->levels > 0);
	r->open = r->open->parent;
	r->levels--;
}

static bool take_event(struct reader *r, struct fy_event *e)
{
	switch (e->type) {
	case FYET_DOCUMENT_START:
		if (++r->documents > 1)
			yaml_error_at(r->y, event_place(e), "a second document in the same file");
		return r->documents == 1;
	case FYET_MAPPING_START:
		return open_collection(r, e, YAML_MAP,
				       e->mapping_start.tag != NULL || e->mapping_start.anchor != NULL);
	case FYET_SEQUENCE_START:
		return open_collection(r, e, YAML_LIST,
				       e->sequence_start.tag != NULL || e->sequence_start.anchor != NULL);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		close_collection(r);
		return true;
	case FYET_SCALAR:
		return take_scalar(r, e);
	case FYET_ALIAS:
		yaml_error_at(r->y, event_place(e), "aliases are not used here");
		return false;
	case FYET_NONE:
	case FYET_STREAM_START:
	case FYET_STREAM_END:
	case FYET_DOCUMENT_END:
		return true;
	}
	return true;
}

/* libfyaml stops at the first syntax error, so there is one message at most of this kind. */
static void take_syntax_errors(struct reader *r, struct fy_diag *diag)
{
	struct fy_diag_error *found;
	void *at = NULL;
	uint32_t before = r->y->error_count;

	while ((found = fy_diag_errors_iterate(diag, &at)) != NULL) {
		struct yaml_place place = { found->line > 0 ? (uint32_t)found->line : 1,
					    found->column > 0 ? (uint32_t)found->column : 1, 1 };
		yaml_error_at(r->y, place, "not valid YAML: %s", found->msg);
	}
	if (r->y->error_count == before)
		yaml_error_at(r->y, (struct yaml_place){ 0 }, "not valid YAML");
}

static void read_events(struct reader *r, struct fy_diag *diag)
{
	struct fy_event *e;
	bool in_order = true;

	while (in_order && (e = fy_parser_parse(r->parser)) != NULL) {
		bool last = e->type == FYET_STREAM_END;
		in_order = take_event(r, e);
		fy_parser_event_free(r->parser, e);
		if (last)
			return;
	}
	if (in_order)
		take_syntax_errors(r, diag);
}

void yaml_parse(struct yaml *y, const char *const *sets)
{
	struct reader r = { .y = y, .sets = sets };
	struct fy_diag_cfg diag_cfg;
	fy_diag_cfg_default(&diag_cfg);
	struct fy_diag *diag = fy_diag_create(&diag_cfg);
	/* Not one of the enumerators but a sum of them. */
	const unsigned flags =
		(unsigned)FYPCF_QUIET | (unsigned)FYPCF_COLLECT_DIAG | (unsigned)FYPCF_DEFAULT_VERSION_1_2;
	const struct fy_parse_cfg cfg = { .flags = (enum fy_parse_cfg_flags)flags, .diag = diag };

	assert(diag != NULL); /* no memory */
	fy_diag_set_collect_errors(diag, true);
	r.parser = fy_parser_create(&cfg);
	assert(r.parser != NULL);
	struct span text = buf_span(&y->text);
	if (fy_parser_set_string(r.parser, text.n > 0 ? text.p : "", text.n) != 0)
		yaml_error_at(y, (struct yaml_place){ 0 }, "cannot be read as YAML");
	else
		read_events(&r, diag);
	fy_parser_destroy(r.parser);
	fy_diag_reset_error(diag);
	fy_diag_destroy(diag);
}
