/*
 * yaml_tree: the inside of base/yaml, shared by its reader (yaml_parse.c),
 * its error list (yaml_error.c) and its getters (yaml.c).  Nobody else
 * includes this.
 */
#ifndef BASE_YAML_TREE_H
#define BASE_YAML_TREE_H

#include "base/buf.h"
#include "base/yaml.h"

enum {
	YAML_TEXT_BYTES_MAX = 1024 * 1024,
	YAML_LEVELS_MAX = 50,
	YAML_KEYS_MAX = 4096,
	YAML_ERRORS_KEPT = 100,
};

/* Lines and columns count from 1; line 0: no place. */
struct yaml_place {
	uint32_t line;
	uint32_t column;
	uint32_t width; /* characters to underline, ≥ 1 */
};

/* What readers did with a node: the one part of a tree that changes after loading. */
struct yaml_notes {
	bool asked;              /* by its key, or by walking */
	const char **asked_keys; /* of a mapping */
	uint32_t asked_key_count;
	uint32_t asked_key_room;
};

struct yaml_node {
	struct yaml *yaml;
	enum yaml_kind kind;
	struct yaml_place at;
	const char *text; /* YAML_SCALAR */
	const char *key;  /* child of a mapping */
	struct yaml_place key_at;
	struct yaml_node *parent;
	struct yaml_node *first;
	struct yaml_node *last;
	struct yaml_node *next;
	uint32_t child_count;
	struct yaml_notes *notes;
};

struct yaml_message {
	struct yaml_place at;
	char *text;
};

struct yaml_block; /* one piece of memory */

struct yaml {
	char *path;
	struct buf text;
	struct yaml_node *root;
	struct yaml_block *blocks;
	const char **names; /* every ${name} seen */
	uint32_t name_count;
	uint32_t name_room;
	struct yaml_message errors[YAML_ERRORS_KEPT];
	uint32_t error_count; /* may exceed what is kept */
	struct buf messages;
};

/* Parses y->text into y->root; sets is as in yaml_options. */
void yaml_parse(struct yaml *y, const char *const *sets);

void yaml_error_at(struct yaml *y, struct yaml_place at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void yaml_verror_at(struct yaml *y, struct yaml_place at, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

char *yaml_keep_text(struct yaml *y, struct span s);
/* Appends to an array of names that grows in y's memory. */
void yaml_keep_name(struct yaml *y, const char ***names, uint32_t *count, uint32_t *room, const char *name);

#endif
