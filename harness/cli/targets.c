#include "harness/cli/targets.h"

#include "base/buf.h"
#include "base/opt.h"
#include "harness/scenario/target.h"

#include <stdio.h>
#include <string.h>

/* "postfix  installed  Postfix, with …". */
static void print_state(const struct target *t)
{
	struct buf missing = { 0 };
	bool installed = t->remote.is || target_is_installed(t, &missing);

	(void)printf("%-16s  %s\n%18s%s\n", t->name, t->title, "",
		     t->remote.is ? "a server elsewhere; needs --allow-remote"
		     : installed  ? "installed"
				  : buf_cstr(&missing));
	buf_free(&missing);
}

/* "postfix deb dovecot-core", one a line, for packaging/setup-targets.sh. */
static void print_packages(const struct target *t)
{
	if (strcmp(t->tree, t->name) != 0)
		return; /* it runs those of another target */
	for (uint32_t i = 0; i < t->packages.count; i++)
		(void)printf("%s deb %s\n", t->name, t->packages.items[i]);
	for (uint32_t i = 0; i < t->npm.count; i++)
		(void)printf("%s npm %s\n", t->name, t->npm.items[i]);
}

static bool print_target(const char *name, bool packages)
{
	struct buf messages = { 0 };
	struct target *t = target_load(name, &messages);

	if (t == NULL)
		(void)fputs(buf_cstr(&messages), stderr);
	else if (packages)
		print_packages(t);
	else
		print_state(t);
	bool fine = t != NULL;
	target_free(t);
	buf_free(&messages);
	return fine;
}

static int print_all(bool packages)
{
	char **names = target_all();
	bool fine = names[0] != NULL;

	if (!fine)
		(void)fputs("postrider targets: no targets in ./scenarios/targets nor where the program was "
			    "installed\n",
			    stderr);
	for (char **n = names; *n != NULL; n++)
		fine = print_target(*n, packages) && fine;
	target_all_free(names);
	return fine ? 0 : OPT_EXIT_USAGE;
}

int cli_targets(int argc, char **argv)
{
	bool packages = false;
	const struct opt options[] = {
		{ "packages", OPT_FLAG, &packages,
		  .help = "prints target, kind and name of every package instead, one a line" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postrider targets",
			.purpose = "Names the kinds of servers that 'run --target' takes, and says "
				   "which of them are installed.  'make setup-targets' in the source "
				   "tree fetches what is missing, beside the system's own packages.",
			.options = options,
			.example = "postrider targets",
			.exit_codes = "0  done\n2  no targets, or one with mistakes" },
		argc, argv);

	return rc == OPT_GO ? print_all(packages) : rc;
}
