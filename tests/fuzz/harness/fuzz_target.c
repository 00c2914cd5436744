/*
 * Any bytes as a target file, and as a template.  Checked: a target comes out
 * exactly when there is no message, its lists are within their limits and its
 * paths stay below the host's directory; a template that is found without
 * mistakes expands without any.
 */
#include "harness/scenario/target.h"

#include "harness/scenario/template.h"
#include "tests/fuzz/fuzz_yaml.h"

#include <string.h>

static void check_command(const struct target_command *c)
{
	must(c->count <= TARGET_ARGS_MAX && c->args[c->count] == NULL);
	for (uint32_t i = 0; i < c->count; i++)
		must(c->args[i] != NULL);
}

static void check(const struct target *t)
{
	must(t->name[0] != '\0' && t->title != NULL);
	must(!t->remote.is || t->server_count == 0);
	must(t->dir_count <= TARGET_FILES_MAX && t->file_count <= TARGET_FILES_MAX);
	for (uint32_t i = 0; i < t->dir_count; i++)
		must(t->dirs[i].path[0] != '/' && t->dirs[i].mode <= 0777);
	for (uint32_t i = 0; i < t->file_count; i++) {
		const struct target_file *f = &t->files[i];
		must(f->path[0] != '/' && (f->template != NULL) + (f->text != NULL) + (f->copy != NULL) == 1);
	}
	for (uint32_t i = 0; i < t->server_count; i++)
		check_command(&t->servers[i].run);
	for (uint32_t i = 0; i < t->prepare_count; i++)
		check_command(&t->prepare[i]);
	check_command(&t->queue.run);
	must(!t->remote.is || (t->remote.recipient_domains.count > 0 && t->remote.rate_per_s_max <= 10));
}

static void try_template(struct span text)
{
	struct buf out = { 0 }, messages = { 0 }, checked = { 0 };
	struct vars *v = vars_new();

	vars_set(v, "hostname", "h");
	for (uint32_t i = 0; i < 3; i++)
		vars_set_item(v, "account", i, "account.local", "a");
	uint32_t found = template_expand(
		&(struct template_options){ .path = "t", .text = text, .ret_messages = &checked });
	uint32_t count = template_expand(&(struct template_options){
		.path = "t", .text = text, .vars = v, .ret_text = &out, .ret_messages = &messages });
	must((found == 0) == (count == 0));
	must((found == 0) == (buf_bytes(&checked) == 0));
	vars_free(v);
	buf_free(&out);
	buf_free(&messages);
	buf_free(&checked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf messages = { 0 };
	uint32_t count = 0;
	struct span text = { (const char *)data, n };
	struct target *t = target_read(&(struct target_options){
		.path = "f", .text = text, .ret_messages = &messages, .ret_error_count = &count });

	must((t != NULL) == (count == 0) && (t != NULL) == (buf_bytes(&messages) == 0));
	if (t != NULL)
		check(t);
	target_free(t);
	buf_free(&messages);
	try_template(text);
	return 0;
}
