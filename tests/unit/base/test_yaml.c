#include "base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Exactly sized, so that the address sanitizer sees a read past the end. */
static struct yaml *load_sets(const char *text, const char *const *sets)
{
	size_t n = strlen(text);
	char *p = malloc(n > 0 ? n : 1);

	assert_non_null(p);
	memcpy(p, text, n);
	struct yaml *y =
		yaml_load(&(struct yaml_options){ .path = "t.yaml", .text = { p, n }, .sets = sets });
	free(p);
	return y;
}

static struct yaml *load(const char *text)
{
	return load_sets(text, NULL);
}

static void values_of_each_type_are_read(void **state)
{
	(void)state;
	struct yaml *y = load("text: \"a b\"\nflag: yes\nn: 25\nbig: 18446744073709551615\nrate: 2.5\n"
			      "wait: 500ms\nlong: 5d\nsize: 10MiB\nmode: poisson\n"
			      "inner:\n  list: [1, 2,3]\n  empty:\n");
	static const char *const MODES[] = { "constant", "poisson", NULL };
	const struct yaml_node *root = yaml_root(y), *inner;
	const char *text = NULL;
	bool flag = false;
	uint32_t n = 0, mode = 9, sum = 0;
	uint64_t big = 0, size = 0;
	int64_t wait_ms = 0, long_ms = 0;
	double rate = 0;

	assert_true(yaml_get_str(root, "text", &text));
	assert_string_equal(text, "a b");
	assert_true(yaml_get_bool(root, "flag", &flag));
	assert_true(flag);
	assert_true(yaml_get_u32(root, "n", 1, 65535, &n));
	assert_int_equal(n, 25);
	assert_true(yaml_get_u64(root, "big", 0, UINT64_MAX, &big));
	assert_true(big == UINT64_MAX);
	assert_true(yaml_get_number(root, "rate", 0, 10, &rate));
	assert_true(rate > 2.49 && rate < 2.51);
	assert_true(yaml_get_duration_ms(root, "wait", 0, 1000, &wait_ms));
	assert_int_equal(wait_ms, 500);
	assert_true(yaml_get_duration_ms(root, "long", 0, INT64_MAX, &long_ms));
	assert_int_equal(long_ms, 5LL * 86400 * 1000);
	assert_true(yaml_get_size_bytes(root, "size", 0, UINT64_MAX, &size));
	assert_int_equal(size, 10 << 20);
	assert_true(yaml_get_choice(root, "mode", MODES, &mode));
	assert_int_equal(mode, 1);
	inner = yaml_get_map(root, "inner");
	assert_non_null(inner);
	for (const struct yaml_node *i = yaml_first(yaml_get_list(inner, "list")); i != NULL;
	     i = yaml_next(i)) {
		uint32_t one = 0;
		assert_true(yaml_as_u32(i, 0, 9, &one));
		sum += one;
	}
	assert_int_equal(sum, 6);
	assert_int_equal(yaml_child_count(yaml_get_list(inner, "empty")), 0);
	yaml_finish(y);
	assert_string_equal(yaml_messages(y), "");
	assert_int_equal(yaml_error_count(y), 0);
	yaml_free(y);
}

static void an_absent_key_leaves_the_default_and_is_no_mistake(void **state)
{
	(void)state;
	struct yaml *y = load("a: 1\n");
	uint32_t n = 7;
	const char *text = "still";

	assert_false(yaml_get_u32(yaml_root(y), "b", 0, 9, &n));
	assert_false(yaml_get_str(yaml_get_map(yaml_root(y), "none"), "x", &text));
	assert_int_equal(n, 7);
	assert_string_equal(text, "still");
	assert_int_equal(yaml_error_count(y), 0);
	yaml_free(y);
}

static void every_mistake_is_reported_in_one_run_with_line_column_and_caret(void **state)
{
	(void)state;
	struct yaml *y = load("retyr: 3\nport: 99999\nwait: soon\nmode: poison\nport: 1\n"
			      "inner:\n\tx: 1\n");
	assert_int_equal(yaml_error_count(y),
			 2); /* the duplicate was seen before the tab stopped the parser */
	yaml_free(y);

	y = load("retyr: 3\nport: 99999\nwait: soon\nmode: poison\nport: 1\nlist: 4\nflag: maybe\n");
	static const char *const MODES[] = { "constant", "poisson", NULL };
	uint32_t port = 0, mode = 0;
	int64_t wait_ms = 0;
	bool flag = false;
	const struct yaml_node *root = yaml_root(y);
	(void)yaml_get(root, "retry");
	assert_false(yaml_get_u32(root, "port", 1, 65535, &port));
	assert_false(yaml_get_duration_ms(root, "wait", 0, 1000, &wait_ms));
	assert_false(yaml_get_choice(root, "mode", MODES, &mode));
	assert_null(yaml_get_list(root, "list"));
	assert_false(yaml_get_bool(root, "flag", &flag));
	yaml_finish(y);
	assert_string_equal(
		yaml_messages(y),
		"t.yaml:1:1: error: unknown key \"retyr\"; did you mean \"retry\"?\n"
		"     1 | retyr: 3\n"
		"       | ^~~~~\n"
		"t.yaml:2:7: error: 99999 is outside 1 to 65535\n"
		"     2 | port: 99999\n"
		"       |       ^~~~~\n"
		"t.yaml:3:7: error: expected a duration such as 500ms, 30s or 5d, found \"soon\"\n"
		"     3 | wait: soon\n"
		"       |       ^~~~\n"
		"t.yaml:4:7: error: \"poison\" is not one of constant, poisson; did you mean \"poisson\"?\n"
		"     4 | mode: poison\n"
		"       |       ^~~~~~\n"
		"t.yaml:5:1: error: key \"port\" is here a second time; the first is in line 2\n"
		"     5 | port: 1\n"
		"       | ^~~~\n"
		"t.yaml:6:7: error: \"list\" wants a list, found a single value\n"
		"     6 | list: 4\n"
		"       |       ^\n"
		"t.yaml:7:7: error: \"maybe\" is not one of false, no, true, yes\n"
		"     7 | flag: maybe\n"
		"       |       ^~~~~\n");
	assert_int_equal(yaml_error_count(y), 7);
	yaml_free(y);
}

static const struct bad_file {
	const char *name;
	const char *text;
	const char *message_begin;
} BAD_FILES[] = {
	{ "empty", "", "t.yaml: error: the file says nothing" },
	{ "comment only", "# hi\n", "t.yaml: error: the file says nothing" },
	{ "a list at the top", "- a\n", "t.yaml:1:1: error: expected \"key: value\" lines" },
	{ "a scalar at the top", "word\n", "t.yaml:1:1: error: expected \"key: value\" lines" },
	{ "bracket never closed", "a: [1, 2\nb: 3\n", "t.yaml:" },
	{ "tab as indentation", "a:\n\tb: 1\n", "t.yaml:2:1: error: not valid YAML" },
	{ "alias", "a: &x 1\nb: *x\n", "t.yaml:1:" },
	{ "tag", "a: !!int 1\n", "t.yaml:1:" },
	{ "two documents", "a: 1\n---\nb: 1\n", "t.yaml:2:1: error: a second document" },
	{ "mapping as key", "? {a: 1}\n: 2\n", "t.yaml:1:3: error: a key must be a plain word" },
	{ "not UTF-8", "a: \xff\n", "t.yaml:1:4: error: byte 0xff is not UTF-8" },
	{ "NUL by escape", "a: \"x\\0y\"\n", "t.yaml:1:5: error: a NUL character" },
	{ "value never given", "a: ${x}\n", "t.yaml:1:4: error: ${x} has no value" },
	{ "brace never closed", "a: ${x\n", "t.yaml:1:4: error: \"${\" without \"}\"" },
	{ "bad default", "a: ${x:y}\n", "t.yaml:1:4: error: \"${x:y}\" is no substitution" },
};

static void unusable_files_say_why_and_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(BAD_FILES) / sizeof(BAD_FILES[0]); i++) {
		const struct bad_file *f = &BAD_FILES[i];
		struct yaml *y = load(f->text);
		if (yaml_error_count(y) == 0 ||
		    strncmp(yaml_messages(y), f->message_begin, strlen(f->message_begin)) != 0)
			fail_msg("%s: %s", f->name, yaml_messages(y));
		yaml_free(y);
	}
}

static void a_file_that_is_not_there_is_one_mistake(void **state)
{
	(void)state;
	struct yaml *y = yaml_load(&(struct yaml_options){ .path = "/nonexistent/x.yaml" });

	assert_null(yaml_root(y));
	assert_string_equal(yaml_messages(y), "/nonexistent/x.yaml: error: No such file or directory\n");
	yaml_free(y);
}

static void nesting_is_bounded(void **state)
{
	(void)state;
	char text[600] = "a: ";

	for (int i = 0; i < 200; i++)
		text[3 + i] = '[';
	for (int i = 0; i < 200; i++)
		text[203 + i] = ']';
	struct yaml *y = load(text);
	assert_non_null(strstr(yaml_messages(y), "more than 50 levels"));
	yaml_free(y);
}

static void messages_are_bounded_and_the_rest_counted(void **state)
{
	(void)state;
	struct buf b = { 0 };
	uint32_t n;

	for (int i = 0; i < 150; i++)
		buf_addf(&b, "key%d: x\n", i);
	struct yaml *y = load(buf_cstr(&b));
	for (const struct yaml_node *i = yaml_first(yaml_root(y)); i != NULL; i = yaml_next(i))
		assert_false(yaml_as_u32(i, 0, 1, &n));
	assert_int_equal(yaml_error_count(y), 150);
	assert_non_null(strstr(yaml_messages(y), "50 more mistakes"));
	yaml_free(y);
	buf_free(&b);
}

static void the_same_mistake_is_kept_once(void **state)
{
	(void)state;
	struct yaml *y = load("n: x\n");
	uint32_t n;

	assert_false(yaml_get_u32(yaml_root(y), "n", 0, 1, &n));
	assert_false(yaml_get_u32(yaml_root(y), "n", 0, 1, &n));
	assert_int_equal(yaml_error_count(y), 1);
	yaml_free(y);
}

static void substitution_takes_set_values_and_defaults(void **state)
{
	(void)state;
	const char *const sets[] = { "rate=80", "empty=", NULL };
	struct yaml *y =
		load_sets("a: ${rate:-50}/s\nb: ${size:-2KiB}\nc: $${rate}\nd: \"x${empty:-y}z$\"\n", sets);
	const struct yaml_node *root = yaml_root(y);
	const char *s = NULL;

	assert_string_equal(yaml_messages(y), "");
	assert_true(yaml_get_str(root, "a", &s));
	assert_string_equal(s, "80/s");
	assert_true(yaml_get_str(root, "b", &s));
	assert_string_equal(s, "2KiB");
	assert_true(yaml_get_str(root, "c", &s));
	assert_string_equal(s, "${rate}");
	assert_true(yaml_get_str(root, "d", &s));
	assert_string_equal(s, "xz$");
	assert_true(yaml_uses(y, "rate"));
	assert_true(yaml_uses(y, "size"));
	assert_false(yaml_uses(y, "raet"));
	yaml_free(y);
}

static void a_substituted_value_cannot_change_the_structure(void **state)
{
	(void)state;
	const char *const sets[] = { "x=1\nb: 2", NULL };
	struct yaml *y = load_sets("a: ${x}\n", sets);

	assert_int_equal(yaml_child_count(yaml_root(y)), 1);
	yaml_free(y);
}

static void a_missing_key_is_reported_at_the_mapping_that_lacks_it(void **state)
{
	(void)state;
	struct yaml *y = load("top: 1\nhosts:\n  isp2:\n    x: 1\n");
	const struct yaml_node *isp2 = yaml_get_map(yaml_get_map(yaml_root(y), "hosts"), "isp2");

	assert_false(yaml_require(isp2, "domain"));
	assert_string_equal(yaml_messages(y), "t.yaml:3:3: error: key \"domain\" is missing here\n"
					      "     3 |   isp2:\n"
					      "       |   ^~~~\n");
	yaml_free(y);
}

static void carets_line_up_after_tabs_and_wide_text(void **state)
{
	(void)state;
	struct yaml *y = load("a: {\"n\u00fc\":\tx}\n");
	uint32_t n;

	assert_false(yaml_as_u32(yaml_first(yaml_get_map(yaml_root(y), "a")), 0, 1, &n));
	const char *source = strstr(yaml_messages(y), "     1 | ");
	assert_non_null(source);
	assert_string_equal(source, "     1 | a: {\"n\u00fc\":\tx}\n"
				    "       |          \t^\n");
	yaml_free(y);
}

static void control_bytes_of_a_file_do_not_reach_the_terminal(void **state)
{
	(void)state;
	struct yaml *y = load("n: \"\\e[31m\"\n");
	uint32_t n;

	assert_false(yaml_get_u32(yaml_root(y), "n", 0, 1, &n));
	assert_null(strchr(yaml_messages(y), '\033'));
	yaml_free(y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_each_type_are_read),
		cmocka_unit_test(an_absent_key_leaves_the_default_and_is_no_mistake),
		cmocka_unit_test(every_mistake_is_reported_in_one_run_with_line_column_and_caret),
		cmocka_unit_test(unusable_files_say_why_and_where),
		cmocka_unit_test(a_file_that_is_not_there_is_one_mistake),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(messages_are_bounded_and_the_rest_counted),
		cmocka_unit_test(the_same_mistake_is_kept_once),
		cmocka_unit_test(substitution_takes_set_values_and_defaults),
		cmocka_unit_test(a_substituted_value_cannot_change_the_structure),
		cmocka_unit_test(a_missing_key_is_reported_at_the_mapping_that_lacks_it),
		cmocka_unit_test(carets_line_up_after_tabs_and_wide_text),
		cmocka_unit_test(control_bytes_of_a_file_do_not_reach_the_terminal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
