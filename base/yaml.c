#include "base/yaml.h"

#include "base/file.h"
#include "base/suggest.h"
#include "base/unit.h"
#include "base/yaml_tree.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct yaml_block {
	struct yaml_block *next;
	max_align_t memory[];
};

/* ---- the file ---- */

void *yaml_alloc(struct yaml *y, size_t bytes)
{
	struct yaml_block *b = calloc(1, sizeof(*b) + bytes);

	if (b == NULL) {
		(void)fprintf(stderr, "out of memory: %zu bytes for %s\n", bytes, y->path);
		abort();
	}
	b->next = y->blocks;
	y->blocks = b;
	return b->memory;
}

char *yaml_keep_text(struct yaml *y, struct span s)
{
	char *text = yaml_alloc(y, s.n + 1);

	if (s.n > 0)
		memcpy(text, s.p, s.n);
	return text;
}

void yaml_keep_name(struct yaml *y, const char ***names, uint32_t *count, uint32_t *room, const char *name)
{
	if (*count == *room) {
		*room = *room == 0 ? 8 : *room * 2;
		const char **more = yaml_alloc(y, *room * sizeof(*more));
		if (*count > 0)
			memcpy(more, *names, *count * sizeof(*more));
		*names = more;
	}
	(*names)[(*count)++] = name;
}

/* The parser wants valid UTF-8 and says little about the place when it is not. */
static bool check_utf8(struct yaml *y)
{
	struct span s = buf_span(&y->text);
	struct yaml_place at = { 1, 1, 1 };

	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
		bool good = c < 0x80 || (c >= 0xc2 && c <= 0xf4);
		good = good && c != 0 && more < s.n - i;
		for (size_t k = 1; good && k <= more; k++)
			good = ((unsigned char)s.p[i + k] & 0xc0) == 0x80;
		if (!good) {
			yaml_error_at(y, at, "byte 0x%02x is not UTF-8 text", c);
			return false;
		}
		at.column++;
		if (c == '\n')
			at = (struct yaml_place){ at.line + 1, 1, 1 };
		i += more + 1;
	}
	return true;
}

struct yaml *yaml_load(const struct yaml_options *o)
{
	struct yaml *y = calloc(1, sizeof(*y));
	struct err err;

	assert(o->path != NULL);
	if (y == NULL || (y->path = strdup(o->path)) == NULL)
		abort();
	if (o->text.p != NULL && o->text.n > YAML_TEXT_BYTES_MAX) {
		yaml_error(y, NULL, "more than %d bytes", YAML_TEXT_BYTES_MAX);
		return y;
	}
	if (o->text.p != NULL) {
		buf_add(&y->text, o->text);
	} else if (file_read(o->path, YAML_TEXT_BYTES_MAX, &y->text, &err) != 0) {
		yaml_error(y, NULL, "%s", strerror(-err.code));
		return y;
	}
	if (!check_utf8(y))
		return y;
	yaml_parse(y, o->sets);
	if (y->root == NULL) {
		if (y->error_count == 0)
			yaml_error(y, NULL, "the file says nothing");
	} else if (y->root->kind != YAML_MAP) {
		yaml_error(y, y->root, "expected \"key: value\" lines at the top");
		y->root = NULL;
	}
	return y;
}

void yaml_free(struct yaml *y)
{
	if (y == NULL)
		return;
	while (y->blocks != NULL) {
		struct yaml_block *b = y->blocks;
		y->blocks = b->next;
		free(b);
	}
	buf_free(&y->text);
	buf_free(&y->messages);
	free(y->path);
	free(y);
}

const struct yaml_node *yaml_root(const struct yaml *y)
{
	return y->root;
}

const char *yaml_path(const struct yaml *y)
{
	return y->path;
}

bool yaml_uses(const struct yaml *y, const char *name)
{
	for (uint32_t i = 0; i < y->name_count; i++)
		if (strcmp(y->names[i], name) == 0)
			return true;
	return false;
}

/* ---- keys nobody asked for ---- */

static void check_keys(struct yaml *y, const struct yaml_node *map)
{
	const struct yaml_notes *notes = map->notes;

	for (const struct yaml_node *n = map->first; n != NULL; n = n->next) {
		if (n->notes->asked)
			continue;
		const char *near = suggest_name(n->key, notes->asked_keys, notes->asked_key_count);
		if (near != NULL)
			yaml_error_at(y, n->key_at, "unknown key \"%s\"; did you mean \"%s\"?", n->key, near);
		else
			yaml_error_at(y, n->key_at, "unknown key \"%s\"", n->key);
	}
}

void yaml_finish(struct yaml *y)
{
	const struct yaml_node *n = y->root;

	/* Depth first without recursion: down, else right, else up until there is a right. */
	while (n != NULL) {
		if (n->kind == YAML_MAP && n->notes->asked_key_count > 0)
			check_keys(y, n);
		if (n->first != NULL) {
			n = n->first;
			continue;
		}
		while (n != NULL && n->next == NULL)
			n = n->parent;
		if (n != NULL)
			n = n->next;
	}
}

/* ---- walking ---- */

enum yaml_kind yaml_kind(const struct yaml_node *n)
{
	return n != NULL ? n->kind : YAML_NULL;
}

const struct yaml_node *yaml_first(const struct yaml_node *n)
{
	if (n == NULL)
		return NULL;
	for (const struct yaml_node *child = n->first; child != NULL; child = child->next)
		child->notes->asked = true;
	return n->first;
}

const struct yaml_node *yaml_next(const struct yaml_node *n)
{
	return n->next;
}

uint32_t yaml_child_count(const struct yaml_node *n)
{
	return n != NULL ? n->child_count : 0;
}

const char *yaml_key(const struct yaml_node *n)
{
	return n->key;
}

uint32_t yaml_line(const struct yaml_node *n)
{
	return n->at.line;
}

uint32_t yaml_column(const struct yaml_node *n)
{
	return n->at.column;
}

static void remember_key(const struct yaml_node *map, const char *key)
{
	struct yaml_notes *notes = map->notes;

	for (uint32_t i = 0; i < notes->asked_key_count; i++)
		if (strcmp(notes->asked_keys[i], key) == 0)
			return;
	yaml_keep_name(map->yaml, &notes->asked_keys, &notes->asked_key_count, &notes->asked_key_room, key);
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
	if (map == NULL || map->kind != YAML_MAP)
		return NULL;
	const struct yaml_node *found = NULL;
	remember_key(map, key);
	for (const struct yaml_node *n = map->first; n != NULL; n = n->next)
		if (strcmp(n->key, key) == 0) {
			n->notes->asked =
				true; /* A second one was reported as such when the file was parsed. */
			found = found != NULL ? found : n;
		}
	return found;
}

static const char *kind_name(const struct yaml_node *n)
{
	static const char *const NAMES[] = { "nothing", "a single value", "a list", "a mapping" };

	return NAMES[n->kind];
}

static const struct yaml_node *get_collection(const struct yaml_node *map, const char *key,
					      enum yaml_kind kind)
{
	const struct yaml_node *n = yaml_get(map, key);

	if (n == NULL || n->kind == kind || n->kind == YAML_NULL)
		return n;
	yaml_error(n->yaml, n, "\"%s\" wants %s, found %s", key,
		   kind == YAML_MAP ? "\"key: value\" lines" : "a list", kind_name(n));
	return NULL;
}

const struct yaml_node *yaml_get_map(const struct yaml_node *map, const char *key)
{
	return get_collection(map, key, YAML_MAP);
}

const struct yaml_node *yaml_get_list(const struct yaml_node *map, const char *key)
{
	return get_collection(map, key, YAML_LIST);
}

bool yaml_require(const struct yaml_node *map, const char *key)
{
	if (map == NULL || yaml_get(map, key) != NULL)
		return map != NULL;
	yaml_error_at_key(map->yaml, map, "key \"%s\" is missing here", key);
	return false;
}

/* ---- scalars ---- */

/* The text of a scalar, or NULL after an error that says what was wanted. */
static const char *scalar(const struct yaml_node *n, const char *wanted)
{
	if (n == NULL)
		return NULL;
	if (n->kind == YAML_SCALAR)
		return n->text;
	yaml_error(n->yaml, n, "expected %s, found %s", wanted, kind_name(n));
	return NULL;
}

bool yaml_as_str(const struct yaml_node *n, const char **ret_str)
{
	const char *text = scalar(n, "a text");

	if (text != NULL)
		*ret_str = text;
	return text != NULL;
}

bool yaml_as_bool(const struct yaml_node *n, bool *ret_bool)
{
	static const char *const NAMES[] = { "false", "no", "true", "yes", NULL };
	uint32_t index;

	if (!yaml_as_choice(n, NAMES, &index))
		return false;
	*ret_bool = index >= 2;
	return true;
}

bool yaml_as_u64(const struct yaml_node *n, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	const char *text = scalar(n, "a whole number");
	uint64_t value;

	if (text == NULL)
		return false;
	if (!span_to_u64(span_of(text), &value)) {
		yaml_error(n->yaml, n, "expected a whole number, found \"%s\"", text);
		return false;
	}
	if (value < min || value > max) {
		yaml_error(n->yaml, n, "%s is outside %" PRIu64 " to %" PRIu64, text, min, max);
		return false;
	}
	*ret_value = value;
	return true;
}

bool yaml_as_u32(const struct yaml_node *n, uint32_t min, uint32_t max, uint32_t *ret_value)
{
	uint64_t value;

	if (!yaml_as_u64(n, min, max, &value))
		return false;
	*ret_value = (uint32_t)value;
	return true;
}

bool yaml_as_number(const struct yaml_node *n, double min, double max, double *ret_value)
{
	const char *text = scalar(n, "a number");
	char *end = NULL;

	if (text == NULL)
		return false;
	/* strtod alone would take "inf", "0x1p3" and leading blanks. */
	bool decimal = text[0] != '\0' && strspn(text, "0123456789.") == strlen(text) && text[0] != '.';
	double value = decimal ? strtod(text, &end) : 0;
	if (!decimal || *end != '\0' || !isfinite(value)) {
		yaml_error(n->yaml, n, "expected a number, found \"%s\"", text);
		return false;
	}
	if (value < min || value > max) {
		yaml_error(n->yaml, n, "%s is outside %g to %g", text, min, max);
		return false;
	}
	*ret_value = value;
	return true;
}

bool yaml_as_duration_ms(const struct yaml_node *n, int64_t min_ms, int64_t max_ms, int64_t *ret_ms)
{
	const char *text = scalar(n, "a duration such as 500ms, 30s or 5d");
	int64_t ms;
	char low[24], high[24];

	if (text == NULL)
		return false;
	if (!unit_parse_duration_ms(span_of(text), &ms)) {
		yaml_error(n->yaml, n, "expected a duration such as 500ms, 30s or 5d, found \"%s\"", text);
		return false;
	}
	if (ms < min_ms || ms > max_ms) {
		yaml_error(n->yaml, n, "%s is outside %s to %s", text, unit_format_duration_ms(min_ms, low),
			   unit_format_duration_ms(max_ms, high));
		return false;
	}
	*ret_ms = ms;
	return true;
}

bool yaml_as_size_bytes(const struct yaml_node *n, uint64_t min_bytes, uint64_t max_bytes,
			uint64_t *ret_bytes)
{
	const char *text = scalar(n, "a size such as 64KiB or 10MiB");
	uint64_t bytes;
	char low[24], high[24];

	if (text == NULL)
		return false;
	if (!unit_parse_size_bytes(span_of(text), &bytes)) {
		yaml_error(n->yaml, n, "expected a size such as 64KiB or 10MiB, found \"%s\"", text);
		return false;
	}
	if (bytes < min_bytes || bytes > max_bytes) {
		yaml_error(n->yaml, n, "%s is outside %s to %s", text, unit_format_size_bytes(min_bytes, low),
			   unit_format_size_bytes(max_bytes, high));
		return false;
	}
	*ret_bytes = bytes;
	return true;
}

bool yaml_as_choice(const struct yaml_node *n, const char *const *names, uint32_t *ret_index)
{
	const char *text = scalar(n, "a word");
	struct buf all = { 0 };
	uint32_t count = 0;

	if (text == NULL)
		return false;
	for (; names[count] != NULL; count++) {
		if (strcmp(names[count], text) == 0) {
			*ret_index = count;
			buf_free(&all);
			return true;
		}
		buf_addf(&all, "%s%s", count > 0 ? ", " : "", names[count]);
	}
	const char *near = suggest_name(text, names, count);
	if (near != NULL)
		yaml_error(n->yaml, n, "\"%s\" is not one of %s; did you mean \"%s\"?", text, buf_cstr(&all),
			   near);
	else
		yaml_error(n->yaml, n, "\"%s\" is not one of %s", text, buf_cstr(&all));
	buf_free(&all);
	return false;
}

/* ---- the same by key ---- */

bool yaml_get_str(const struct yaml_node *map, const char *key, const char **ret_str)
{
	return yaml_as_str(yaml_get(map, key), ret_str);
}

bool yaml_get_bool(const struct yaml_node *map, const char *key, bool *ret_bool)
{
	return yaml_as_bool(yaml_get(map, key), ret_bool);
}

bool yaml_get_u32(const struct yaml_node *map, const char *key, uint32_t min, uint32_t max,
		  uint32_t *ret_value)
{
	return yaml_as_u32(yaml_get(map, key), min, max, ret_value);
}

bool yaml_get_u64(const struct yaml_node *map, const char *key, uint64_t min, uint64_t max,
		  uint64_t *ret_value)
{
	return yaml_as_u64(yaml_get(map, key), min, max, ret_value);
}

bool yaml_get_number(const struct yaml_node *map, const char *key, double min, double max, double *ret_value)
{
	return yaml_as_number(yaml_get(map, key), min, max, ret_value);
}

bool yaml_get_duration_ms(const struct yaml_node *map, const char *key, int64_t min_ms, int64_t max_ms,
			  int64_t *ret_ms)
{
	return yaml_as_duration_ms(yaml_get(map, key), min_ms, max_ms, ret_ms);
}

bool yaml_get_size_bytes(const struct yaml_node *map, const char *key, uint64_t min_bytes, uint64_t max_bytes,
			 uint64_t *ret_bytes)
{
	return yaml_as_size_bytes(yaml_get(map, key), min_bytes, max_bytes, ret_bytes);
}

bool yaml_get_choice(const struct yaml_node *map, const char *key, const char *const *names,
		     uint32_t *ret_index)
{
	return yaml_as_choice(yaml_get(map, key), names, ret_index);
}
