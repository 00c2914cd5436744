/*
 * Any bytes as a YAML file: walked and read as every type.  Checked: a file
 * without a root has a message; every node's place lies inside the text; each
 * message names file and place; reading twice gives the same messages.
 */
#include "base/yaml.h"
#include "tests/fuzz/fuzz_yaml.h"

#include <stdlib.h>
#include <string.h>

static uint32_t line_count(const uint8_t *data, size_t n)
{
	uint32_t lines = 1;

	for (size_t i = 0; i < n; i++) /* YAML 1.2 line ends; libfyaml also counts CR, NEL, LS and PS */
		lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] == 0xa8 ||
			 data[i] == 0xa9;
	return lines;
}

static void walk(const struct yaml_node *n, uint32_t lines, int depth)
{
	static const char *const WORDS[] = { "yes", "no", NULL };
	const char *text;
	bool flag;
	uint64_t u;
	int64_t ms;
	double d;
	uint32_t index;

	must(depth < 60);
	must(yaml_line(n) >= 1 && yaml_line(n) <= lines + 1);
	if (yaml_kind(n) == YAML_SCALAR) {
		must(yaml_as_str(n, &text) && text != NULL);
		(void)yaml_as_bool(n, &flag);
		if (yaml_as_u64(n, 3, 1000, &u))
			must(u >= 3 && u <= 1000);
		if (yaml_as_number(n, 0, 10, &d))
			must(d >= 0 && d <= 10);
		if (yaml_as_duration_ms(n, 1, 5000, &ms))
			must(ms >= 1 && ms <= 5000);
		(void)yaml_as_size_bytes(n, 0, 1 << 20, &u);
		(void)yaml_as_choice(n, WORDS, &index);
		must(yaml_first(n) == NULL);
		return;
	}
	uint32_t count = 0;
	for (const struct yaml_node *i = yaml_first(n); i != NULL; i = yaml_next(i), count++) {
		must((yaml_key(i) != NULL) == (yaml_kind(n) == YAML_MAP));
		walk(i, lines, depth + 1);
	}
	must(count == yaml_child_count(n));
}

static char *messages_of(const uint8_t *data, size_t n)
{
	static const char *const SETS[] = { "a=1", "b=x y", NULL };
	struct yaml *y = yaml_load(
		&(struct yaml_options){ .path = "f", .text = { (const char *)data, n }, .sets = SETS });
	const struct yaml_node *root = yaml_root(y);

	if (root == NULL)
		must(yaml_error_count(y) > 0);
	(void)yaml_get(root, "name");
	(void)yaml_get_map(root, "map");
	(void)yaml_get_list(yaml_get_map(root, "map"), "list");
	yaml_finish(y);
	if (root != NULL)
		walk(root, line_count(data, n), 0);
	char *messages = strdup(yaml_messages(y));
	must(messages != NULL && (messages[0] != '\0') == (yaml_error_count(y) > 0));
	yaml_free(y);
	return messages;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *first = messages_of(data, n);
	char *second = messages_of(data, n);

	must(strcmp(first, second) == 0);
	for (const char *line = first;
	     *line != '\0';) { /* a message begins "f:", a source line with blanks */
		must(line[0] == 'f' || line[0] == ' ' || (line[0] >= '0' && line[0] <= '9'));
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	free(first);
	free(second);
	return 0;
}
