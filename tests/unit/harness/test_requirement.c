#include "harness/scenario/requirement.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char DIGEST[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char HEAD[] = "rfc: 9999\ntitle: Test Protocol\ntier: 1\nrequirements:\n";

static struct requirement_file *read_text(const char *text, struct buf *messages)
{
	size_t n = strlen(text);
	char *p = malloc(n);

	assert_non_null(p);
	memcpy(p, text, n);
	struct requirement_file *f = requirement_file_read("t.yaml", (struct span){ p, n }, messages);
	free(p);
	return f;
}

/* One entry with these lines before its sha256. */
static void add_entry(struct buf *text, const char *id, const char *lines)
{
	buf_addf(text, "  %s:\n%s    sha256: %s\n", id, lines, DIGEST);
}

static const char GREETS[] =
	"    says: It greets\n    level: MUST NOT\n    keyword: lower-case\n    binds: [client, relay]\n"
	"    effect: security\n";

static void an_entry_is_read(void **state)
{
	(void)state;
	struct buf text = { 0 }, messages = { 0 };

	buf_add_cstr(&text, HEAD);
	add_entry(&text, "RFC9999-4.5.2-greets-first", GREETS);
	add_entry(&text, "RFC9999-A.1-x",
		  "    says: \"Is: it\"\n    level: IMPLIED\n    binds: server\n    effect: loss\n"
		  "    untestable: nobody looks\n    same-as: RFC9999-4.5.2-greets-first\n"
		  "    updated-by: RFC 10000\n");
	buf_addf(&text, "excused:\n  %s: A.1 restates RFC9999-A.1-x\n", DIGEST);
	struct requirement_file *f = read_text(buf_cstr(&text), &messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(f);
	assert_int_equal(f->rfc, 9999);
	assert_string_equal(f->title, "Test Protocol");
	assert_int_equal(f->count, 2);
	const struct requirement *r = &f->items[0];
	assert_string_equal(r->id, "RFC9999-4.5.2-greets-first");
	assert_int_equal(r->rfc, 9999);
	assert_true(span_eq(r->section, SPAN_LIT("4.5.2")));
	assert_int_equal(r->level, REQUIREMENT_MUST_NOT);
	assert_true(r->lower_case);
	assert_int_equal(r->bound, 1U << 1 | 1U << 2);
	assert_string_equal(REQUIREMENT_EFFECTS[r->effect], "security");
	assert_string_equal(r->sha256, DIGEST);
	assert_null(r->untestable);
	assert_true(requirement_is_gap(r));
	r = &f->items[1];
	assert_true(span_eq(r->section, SPAN_LIT("A.1")));
	assert_string_equal(r->says, "Is: it");
	assert_int_equal(r->level, REQUIREMENT_IMPLIED);
	assert_false(r->lower_case);
	assert_int_equal(r->bound, 1);
	assert_string_equal(r->untestable, "nobody looks");
	assert_string_equal(r->same_as, "RFC9999-4.5.2-greets-first");
	assert_string_equal(r->updated_by, "RFC 10000");
	assert_false(requirement_is_gap(r));
	requirement_file_free(f);
	buf_free(&text);
	buf_free(&messages);
}

static void each_mistake_in_a_file_names_its_place(void **state)
{
	(void)state;
	static const struct {
		const char *name, *head, *id, *lines, *wanted;
	} ROWS[] = {
		{ "no rfc", "title: t\ntier: 1\nrequirements:\n", "RFC9999-1-a", GREETS,
		  "\"rfc\" is missing" },
		{ "tier", "rfc: 9999\ntitle: t\ntier: 4\nrequirements:\n", "RFC9999-1-a", GREETS,
		  "t.yaml:3:7" },
		{ "unknown key on top", "rfc: 9999\ntitle: t\ntier: 1\ncolour: x\nrequirements:\n",
		  "RFC9999-1-a", GREETS, "t.yaml:4:1: error: unknown key" },
		{ "other rfc", HEAD, "RFC9998-1-a", GREETS, "t.yaml:5:3: error: RFC9998-1-a stands in" },
		{ "no section", HEAD, "RFC9999-greets", GREETS, "is no id" },
		{ "section with a hole", HEAD, "RFC9999-4..2-a", GREETS, "is no id" },
		{ "section in lower case", HEAD, "RFC9999-a-b", GREETS, "is no id" },
		{ "no words", HEAD, "RFC9999-1-", GREETS, "is no id" },
		{ "capital word", HEAD, "RFC9999-1-Greets", GREETS, "is no id" },
		{ "two hyphens", HEAD, "RFC9999-1-a--b", GREETS, "is no id" },
		{ "no number", HEAD, "RFC-1-a", GREETS, "is no id" },
		{ "large number", HEAD, "RFC99999999-1-a", GREETS, "is no id" },
		{ "unknown level", HEAD, "RFC9999-1-a",
		  "    says: x\n    level: HAVE TO\n    binds: server\n    effect: loss\n", "t.yaml:7:12" },
		{ "unknown party", HEAD, "RFC9999-1-a",
		  "    says: x\n    level: MAY\n    binds: [server, moon]\n    effect: loss\n",
		  "t.yaml:8:21" },
		{ "nobody", HEAD, "RFC9999-1-a",
		  "    says: x\n    level: MAY\n    binds: []\n    effect: loss\n", "binds nobody" },
		{ "unknown effect", HEAD, "RFC9999-1-a",
		  "    says: x\n    level: MAY\n    binds: server\n    effect: boredom\n", "t.yaml:9:13" },
		{ "missing key", HEAD, "RFC9999-1-a", "    level: MAY\n    binds: server\n    effect: loss\n",
		  "\"says\" is missing" },
		{ "empty text", HEAD, "RFC9999-1-a",
		  "    says: \"\"\n    level: MAY\n    binds: server\n    effect: loss\n",
		  "\"says\" is empty" },
		{ "unknown key", HEAD, "RFC9999-1-a",
		  "    says: x\n    level: MAY\n    binds: server\n    effect: loss\n    effects: loss\n",
		  "did you mean \"effect\"" },
		{ "two of one id", HEAD, "RFC9999-1-a: {}\n  RFC9999-1-a", GREETS, "t.yaml:6:" },
	};

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf text = { 0 }, messages = { 0 };
		buf_add_cstr(&text, ROWS[i].head);
		add_entry(&text, ROWS[i].id, ROWS[i].lines);
		if (read_text(buf_cstr(&text), &messages) != NULL ||
		    strstr(buf_cstr(&messages), ROWS[i].wanted) == NULL)
			fail_msg("%s: wanted \"%s\" in: %s", ROWS[i].name, ROWS[i].wanted,
				 buf_cstr(&messages));
		buf_free(&text);
		buf_free(&messages);
	}
}

static void a_wrong_digest_or_excuse_is_a_mistake(void **state)
{
	(void)state;
	static const struct {
		const char *name, *key, *value;
	} ROWS[] = {
		{ "short digest", "abc", "1 descriptive" },
		{ "capital digest", "ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
		  "1 example" },
		{ "no reason", DIGEST, "descriptive" },
		{ "unknown reason", DIGEST, "1 lazy" },
		{ "nothing", DIGEST, "\"\"" },
	};

	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		struct buf text = { 0 }, messages = { 0 };
		buf_addf(&text, "%sexcused:\n  %s: %s\n", HEAD, ROWS[i].key, ROWS[i].value);
		if (read_text(buf_cstr(&text), &messages) != NULL ||
		    strstr(buf_cstr(&messages), "t.yaml:6:") == NULL)
			fail_msg("%s: %s", ROWS[i].name, buf_cstr(&messages));
		buf_free(&text);
		buf_free(&messages);
	}
}

/* ---- a folder ---- */

struct folder {
	char path[64];
};

static void put(const struct folder *d, const char *name, const char *content)
{
	char path[PATH_MAX];
	struct err err = { 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", d->path, name);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(dir_make(path, 0700, &err), 0);
	*slash = '/';
	assert_int_equal(file_write(path, span_of(content), 0600, &err), 0);
}

static void put_catalogue(const struct folder *d, const char *name, const char *rfc, const char *entries)
{
	struct buf text = { 0 };

	buf_addf(&text, "rfc: %s\ntitle: t\ntier: 1\nrequirements:\n%s", rfc, entries);
	put(d, name, buf_cstr(&text));
	buf_free(&text);
}

static int make_folder(void **state)
{
	static struct folder d;

	(void)snprintf(d.path, sizeof(d.path), "/tmp/postrider-requirement-XXXXXX");
	*state = &d;
	return mkdtemp(d.path) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
	const struct folder *d = *state;
	struct err err = { 0 };

	return dir_remove(d->path, &err);
}

#define ENTRY(id, more)                                                            \
	"  " id ": {says: s, level: SHOULD, binds: server, effect: loss, sha256: " \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" more "}\n"

static struct requirements *read_folder(const struct folder *d, struct buf *messages)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/requirements", d->path);
	struct requirements *rs = requirements_read(path, messages);
	(void)snprintf(path, sizeof(path), "%s/cases", d->path);
	requirements_find_cases(rs, path, messages);
	return rs;
}

static void a_folder_is_ordered_by_rfc_and_found_by_id(void **state)
{
	const struct folder *d = *state;
	struct buf messages = { 0 };

	put_catalogue(d, "requirements/rfc10000.yaml", "10000", ENTRY("RFC10000-1-a", ""));
	put_catalogue(d, "requirements/rfc999.yaml", "999", ENTRY("RFC999-1-b", "") ENTRY("RFC999-1-a", ""));
	put(d, "requirements/README", "no catalogue");
	struct requirements *rs = read_folder(d, &messages);
	assert_string_equal(buf_cstr(&messages), "");
	assert_int_equal(rs->file_count, 2);
	assert_int_equal(rs->files[0]->rfc, 999);
	assert_int_equal(rs->count, 3);
	assert_ptr_equal(requirements_find(rs, "RFC999-1-b"), &rs->files[0]->items[0]);
	assert_ptr_equal(requirements_find(rs, "RFC10000-1-a"), &rs->files[1]->items[0]);
	assert_null(requirements_find(rs, "RFC999-1-c"));
	requirements_free(rs);
	buf_free(&messages);
}

static void cases_are_found_by_their_header(void **state)
{
	const struct folder *d = *state;
	struct buf messages = { 0 };

	put_catalogue(d, "requirements/rfc999.yaml", "999",
		      ENTRY("RFC999-1-a", "") ENTRY("RFC999-1-again", ", same-as: RFC999-1-a")
			      ENTRY("RFC999-1-c", ""));
	put(d, "cases/smtp/one.case",
	    "case: smtp/one\nreq:   RFC999-1-a SHOULD   # why\nreq: RFC999-1-a\n== x\n");
	put(d, "cases/pop3/two.case", "req: RFC999-1-a SHOULD\n== verdict\nreq: RFC999-1-c\n");
	put(d, "cases/pop3/notes.txt", "req: RFC999-1-c\n");
	struct requirements *rs = read_folder(d, &messages);
	assert_string_equal(buf_cstr(&messages), "");
	const struct requirement *a = requirements_find(rs, "RFC999-1-a");
	assert_int_equal(a->case_count, 2);
	assert_string_equal(a->cases[0], "pop3/two");
	assert_string_equal(a->cases[1], "smtp/one");
	assert_false(requirement_is_gap(a));
	assert_int_equal(requirements_find(rs, "RFC999-1-again")->case_count, 2);
	assert_true(requirement_is_gap(requirements_find(rs, "RFC999-1-c")));
	requirements_free(rs);
	buf_free(&messages);
}

static void mistakes_over_files_are_told(void **state)
{
	const struct folder *d = *state;
	struct buf messages = { 0 };

	put_catalogue(d, "requirements/rfc999.yaml", "999",
		      ENTRY("RFC999-1-a", ", same-as: RFC999-1-x")
			      ENTRY("RFC999-1-b", ", same-as: RFC999-1-b")
				      ENTRY("RFC999-1-c", ", same-as: RFC999-1-a"));
	put_catalogue(d, "requirements/rfc999-too.yaml", "999", ENTRY("RFC999-1-a", ""));
	put_catalogue(d, "requirements/rfc9.yaml", "9", ENTRY("RFC9-1", ""));
	put(d, "cases/one.case", "req: RFC999-1-d SHOULD\nreq: RFC999-1-b MUST\n");
	struct requirements *rs = read_folder(d, &messages);
	static const char *const WANTED[] = {
		"rfc9.yaml:5:3: error: \"RFC9-1\" is no id",
		"RFC999-1-a is in the catalogue twice",
		"RFC999-1-a: same-as names no other requirement: \"RFC999-1-x\"",
		"RFC999-1-b: same-as names no other requirement: \"RFC999-1-b\"",
		"one.case:1: error: no requirement is called \"RFC999-1-d\"",
		"one.case:2: error: RFC999-1-b is SHOULD, not \"MUST\"",
	};
	for (size_t i = 0; i < sizeof(WANTED) / sizeof(WANTED[0]); i++)
		if (strstr(buf_cstr(&messages), WANTED[i]) == NULL)
			fail_msg("wanted \"%s\" in: %s", WANTED[i], buf_cstr(&messages));
	requirements_free(rs);
	buf_free(&messages);
}

static void an_empty_or_missing_folder_is_an_empty_catalogue(void **state)
{
	const struct folder *d = *state;
	struct buf messages = { 0 };
	struct requirements *rs = read_folder(d, &messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_int_equal(rs->count, 0);
	assert_null(requirements_find(rs, "RFC999-1-a"));
	requirements_free(rs);
	requirements_free(NULL);
	requirement_file_free(NULL);
	buf_free(&messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_read),
		cmocka_unit_test(each_mistake_in_a_file_names_its_place),
		cmocka_unit_test(a_wrong_digest_or_excuse_is_a_mistake),
		cmocka_unit_test_setup_teardown(a_folder_is_ordered_by_rfc_and_found_by_id, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(cases_are_found_by_their_header, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(mistakes_over_files_are_told, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(an_empty_or_missing_folder_is_an_empty_catalogue, make_folder,
						remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
