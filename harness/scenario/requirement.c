#include "harness/scenario/requirement.h"

#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>

const char *const REQUIREMENT_LEVELS[] = {
	"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "IMPLIED", NULL
};
const char *const REQUIREMENT_BOUND[] = {
	"server", "client",        "relay",    "delivery", "gateway",   "submission", "submission-client",
	"author", "administrator", "reporter", "reader",   "responder", "extension",  NULL,
};
const char *const REQUIREMENT_EFFECTS[] = { "loss",     "duplicate",        "corruption",
					    "security", "interoperability", "cosmetic",
					    NULL };
static const char *const KEYWORDS[] = { "lower-case", NULL };
static const char *const SCOPES[] = { "upper-case", NULL };
static const char *const EXCUSES[] = { "boilerplate", "definition", "descriptive", "example",  "grammar",
				       "informative", "obsolete",   "registry",    "restates", NULL };
static const char HEX[] = "0123456789abcdef";
enum { SHA256_CHARS = 64 };

static bool is_digest(const char *s)
{
	return strlen(s) == SHA256_CHARS && strspn(s, HEX) == SHA256_CHARS;
}

/* ---- ids ---- */

static bool is_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9')))
			return false;
	return s.n > 0;
}

/* "4.5.2" or "A.1" or "2". */
static bool is_section(struct span s)
{
	bool first = true;
	struct span part;

	for (bool more = true; more; first = false) {
		more = span_take_until(&s, '.', &part);
		if (!more)
			part = s;
		if (part.n == 0)
			return false;
		for (size_t i = 0; i < part.n; i++)
			if (!(part.p[i] >= '0' && part.p[i] <= '9') &&
			    !(first && part.n == 1 && part.p[i] >= 'A' && part.p[i] <= 'Z'))
				return false;
	}
	return true;
}

/* RFC, number, section and words, joined by hyphens. */
static bool read_id(struct requirement *r, const char *id)
{
	struct span rest = span_of(id), part;
	uint64_t rfc;

	r->id = id;
	if (strncmp(id, "RFC", 3) != 0 || !span_take_until(&rest, '-', &part) ||
	    !span_to_u64(span_sub(part, 3, part.n - 3), &rfc) || rfc == 0 || rfc > UINT16_MAX)
		return false;
	r->rfc = (uint32_t)rfc;
	if (!span_take_until(&rest, '-', &r->section) || !is_section(r->section))
		return false;
	while (span_take_until(&rest, '-', &part))
		if (!is_word(part))
			return false;
	return is_word(rest);
}

/* ---- one entry ---- */

/* A key whose value is a text with something in it. */
static void read_text(struct yaml *y, const struct yaml_node *n, const char *key, const char **ret_text)
{
	const char *text;

	if (!yaml_get_str(n, key, &text))
		return;
	if (text[0] == '\0')
		yaml_error(y, yaml_get(n, key), "\"%s\" is empty", key);
	*ret_text = text;
}

static void read_bound(struct yaml *y, const struct yaml_node *n, uint32_t *ret_bound)
{
	uint32_t index;

	if (yaml_kind(n) == YAML_LIST) {
		for (const struct yaml_node *i = yaml_first(n); i != NULL; i = yaml_next(i))
			if (yaml_as_choice(i, REQUIREMENT_BOUND, &index))
				*ret_bound |= 1U << index;
		if (yaml_first(n) == NULL)
			yaml_error(y, n, "an empty list binds nobody");
	} else if (n != NULL && yaml_as_choice(n, REQUIREMENT_BOUND, &index)) {
		*ret_bound |= 1U << index;
	}
}

static void read_entry(struct yaml *y, struct requirement *r, const struct yaml_node *n, uint32_t rfc)
{
	static const char *const REQUIRED[] = { "says", "level", "binds", "effect", "sha256" };
	uint32_t index = 0;

	if (!read_id(r, yaml_key(n)))
		yaml_error_at_key(
			y, n, "\"%s\" is no id: RFC, number, section and lower-case words, joined by hyphens",
			yaml_key(n));
	else if (r->rfc != rfc)
		yaml_error_at_key(y, n, "%s stands in the file of RFC %u", r->id, rfc);
	if (yaml_kind(n) != YAML_MAP) {
		yaml_error_at_key(y, n, "a requirement wants \"key: value\" lines");
		return;
	}
	for (size_t i = 0; i < sizeof(REQUIRED) / sizeof(REQUIRED[0]); i++)
		(void)yaml_require(n, REQUIRED[i]);
	read_text(y, n, "says", &r->says);
	if (yaml_get_choice(n, "level", REQUIREMENT_LEVELS, &index))
		r->level = (enum requirement_level)index;
	r->lower_case = yaml_get_choice(n, "keyword", KEYWORDS, &index);
	read_bound(y, yaml_get(n, "binds"), &r->bound);
	(void)yaml_get_choice(n, "effect", REQUIREMENT_EFFECTS, &r->effect);
	read_text(y, n, "untestable", &r->untestable);
	read_text(y, n, "same-as", &r->same_as);
	read_text(y, n, "updated-by", &r->updated_by);
	read_text(y, n, "sha256", &r->sha256);
	if (r->sha256 != NULL && !is_digest(r->sha256))
		yaml_error(y, yaml_get(n, "sha256"), "a sha256 is %d lower-case hexadecimal digits",
			   SHA256_CHARS);
}

/* ---- the sentences that demand nothing: "DIGEST: SECTION REASON …" ---- */

static void check_excuse(struct yaml *y, const struct yaml_node *n)
{
	const char *text;

	if (!is_digest(yaml_key(n)))
		yaml_error_at_key(y, n, "a sha256 is %d lower-case hexadecimal digits", SHA256_CHARS);
	if (!yaml_as_str(n, &text))
		return;
	struct span rest = span_of(text), section, reason;
	bool has_reason = span_take_until(&rest, ' ', &section);
	if (!span_take_until(&rest, ' ', &reason)) {
		reason = rest;
		rest.n = 0;
	}
	for (size_t i = 0; has_reason && EXCUSES[i] != NULL; i++)
		if (span_eq(reason, span_of(EXCUSES[i])))
			return;
	yaml_error(y, n, "wants a section and a reason, such as \"4.2 descriptive\"");
}

/* ---- a file ---- */

static void read_file(struct yaml *y, struct requirement_file *f)
{
	const struct yaml_node *root = yaml_root(y);
	uint32_t index;

	if (yaml_require(root, "rfc"))
		(void)yaml_get_u32(root, "rfc", 1, UINT16_MAX, &f->rfc);
	if (yaml_require(root, "title"))
		read_text(y, root, "title", &f->title);
	if (yaml_require(root, "tier"))
		(void)yaml_get_u32(root, "tier", 1, 3, &f->tier);
	(void)yaml_get(root, "updated-by"); /* for readers of the file, as are the next two */
	(void)yaml_get(root, "obsoleted-by");
	(void)yaml_get_list(root, "sections");
	(void)yaml_get_choice(root, "keywords", SCOPES, &index);
	const struct yaml_node *entries = yaml_get_map(root, "requirements");
	f->items = yaml_alloc(y, (yaml_child_count(entries) + 1) * sizeof(*f->items));
	for (const struct yaml_node *n = yaml_first(entries); n != NULL; n = yaml_next(n))
		read_entry(y, &f->items[f->count++], n, f->rfc);
	const struct yaml_node *excused = yaml_get_map(root, "excused");
	for (const struct yaml_node *n = yaml_first(excused); n != NULL; n = yaml_next(n))
		check_excuse(y, n);
}

struct requirement_file *requirement_file_read(const char *path, struct span text, struct buf *messages)
{
	struct yaml *y = yaml_load(&(struct yaml_options){ .path = path, .text = text });
	struct requirement_file *f = yaml_alloc(y, sizeof(*f));

	f->memory = y;
	if (yaml_root(y) != NULL) {
		read_file(y, f);
		yaml_finish(y);
	}
	if (yaml_error_count(y) == 0)
		return f;
	buf_add_cstr(messages, yaml_messages(y));
	yaml_free(y);
	return NULL;
}

void requirement_file_free(struct requirement_file *f)
{
	if (f != NULL)
		yaml_free(f->memory); /* the file itself lies in it */
}

bool requirement_is_gap(const struct requirement *r)
{
	return r->untestable == NULL && r->same_as == NULL && r->case_count == 0;
}
