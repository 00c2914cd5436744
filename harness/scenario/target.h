/*
 * target: one file of scenarios/targets, read and checked: how to configure,
 * start, stop, ask and understand a kind of mail server.
 *
 * docs/targets.md is the reference of every key.  A struct target is plain
 * data, all of it owned by the target; strings may hold ${variables} (vars.h),
 * which the world fills in for each host.  Reading starts nothing and looks
 * at no package.  Every mistake is one message with its place; mistakes in
 * templates are among them.  What a file takes over, another program by "with"
 * or the target that it varies by "variant-of", comes first in each list.
 *
 * Limits: 16 of each list, 64 files, 16 words a command.
 */
#ifndef HARNESS_SCENARIO_TARGET_H
#define HARNESS_SCENARIO_TARGET_H

#include "base/buf.h"
#include "harness/scenario/flow.h"

#include <limits.h>
#include <sys/types.h>

enum {
	TARGET_LIST_MAX = 32,
	TARGET_FILES_MAX = 64,
	TARGET_ARGS_MAX = 16,
	TARGET_PARTS_MAX = 3, /* a variant, what it varies, and what that is with */
};

/* NULL-terminated; count 0: none. */
struct target_command {
	const char *args[TARGET_ARGS_MAX + 1];
	uint32_t count;
};

struct target_list {
	const char *items[TARGET_LIST_MAX];
	uint32_t count;
};

struct target_dir {
	const char *path;  /* below the host's directory */
	const char *owner; /* NULL: who runs the harness */
	mode_t mode;
};

/* Where its content comes from: exactly one of template, text and copy. */
struct target_file {
	const char *path;     /* below the host's directory; may have variables of its loop */
	const char *template; /* path of the template */
	const char *text;
	const char *copy;     /* a path, such as ${tls.key} */
	const char *for_each; /* "account": one file for each; NULL: one */
	const char *owner;
	mode_t mode;
	bool takes_settings; /* the flow's settings are merged into it, as YAML */
};

/* A private network host sees its own directory there. */
struct target_mount {
	const char *at; /* "/var/spool/smtpd" */
	const char *dir;
};

struct target_server {
	struct target_command run;
	int stop_signal;
	bool ends_by_signal; /* after stop_signal it ends by that signal, and that is in order */
};

enum target_count { TARGET_COUNT_LINES, TARGET_COUNT_NUMBER, TARGET_COUNT_AFTER };

/* Asking how many messages wait. */
struct target_queue {
	struct target_command run;
	struct target_command
		names; /* prints whose they are, see harness/cli/residue_names.h; count 0: cannot */
	enum target_count count;
	const char *after; /* TARGET_COUNT_AFTER: the number follows this at the start of a line */
};

/*
 * What it takes to judge it as a relay: the schedule it is given for cases
 * with next hops, in its own configuration, so that they can wait for it.
 */
struct target_relay {
	bool is;
	int64_t first_ms, max_ms;  /* between attempts, the first time and at most; 0: cannot be told */
	int64_t expire_ms;         /* until mail is given up; 0: cannot be told */
	int64_t delay_ms;          /* until the sender is told of a delay; 0: never */
	int64_t reply_timeout_ms;  /* no longer does it wait for a reply; 0: cannot be told */
	int64_t settle_ms;         /* for whatever has no wait of its own */
	struct target_list speaks; /* extensions it uses when a next hop offers them */
};

/* A server of somebody else: nothing is started; --allow-remote and these limits let mail go there. */
struct target_remote {
	bool is;
	const char *host;
	uint16_t ports[FLOW_SERVICE_COUNT]; /* 0: not offered */
	struct target_list recipient_domains;
	double rate_per_s_max;
	const char *ca_file;       /* whom to trust; NULL: whom the system trusts */
	const char *password_file; /* "name: password" lines; NULL: none */
};

struct target {
	const char *name;
	const char *title;
	const char *path;
	struct target_list packages;     /* of Debian */
	uint32_t borrowed_package_count; /* the first of them are those of another target */
	struct target_list npm;          /* names in the tree's node_modules */
	struct target_list programs;     /* paths or names that must be there */
	const char *program;             /* ${program}: beside the harness, then PATH; NULL: none */
	struct target_list users;        /* made in a private network where the system has none */
	struct target_list groups;
	struct target_list roles;        /* "server" "relay" "mailbox" */
	struct target_list capabilities; /* words a case may need */
	struct target_list settings;     /* what of a flow's settings it takes; "*": everything */
	bool services[FLOW_SERVICE_COUNT];
	bool borrowed[FLOW_SERVICE_COUNT]; /* another program serves it: used, and judged elsewhere */
	const char *with;                  /* the target that was taken over; NULL: none */
	const char *
		tree; /* whose packages it runs, for target_tree: its own name, or that of what it varies without
			     packages of its own */
	bool hardened;          /* templates have ${hardened} */
	uint32_t cases_at_once; /* of a conformance suite; 0: as many as the user says */
	bool on_loopback;       /* runs on 127.0.0.0/8 too, with ports and a name server it is told */
	bool needs_root;
	bool rsa_key;         /* it cannot use the P-256 keys that hosts have otherwise */
	int64_t retry_min_ms; /* no shorter wait between attempts can be asked for */

	struct target_dir dirs[TARGET_FILES_MAX];
	uint32_t dir_count;
	struct target_file files[TARGET_FILES_MAX];
	uint32_t file_count;
	struct target_mount mounts[TARGET_LIST_MAX];
	uint32_t mount_count;
	struct target_command prepare[TARGET_LIST_MAX];
	uint32_t prepare_count;
	struct target_server servers[TARGET_LIST_MAX];
	uint32_t server_count;
	const char *ready_line;               /* on the standard output of a server; NULL: ports decide */
	bool ready_ports[FLOW_SERVICE_COUNT]; /* ready when these greet */
	struct target_command flush;
	int64_t flush_every_ms; /* > 0: its schedule of retries cannot be told and this stands for it */
	struct target_queue queue;
	struct target_list logs; /* below the host's directory */
	struct target_remote remote;
	struct target_relay relay;
	struct yaml *yaml[TARGET_PARTS_MAX]; /* own every string: its own file, and what it takes over */
	uint32_t yaml_count;
};

struct target_options {
	const char *path;
	struct span text;          /* p != NULL: the content; then templates are not looked at */
	struct buf *ret_messages;  /* appended */
	uint32_t *ret_error_count; /* may be NULL */
};
/* NULL after mistakes. */
struct target *target_read(const struct target_options *o);
bool target_is_able(const struct target *t, const char *capability);
void target_free(struct target *t); /* accepts NULL */

/* "postfix", or a path. */
bool target_find(const char *name, char *ret_path, size_t path_bytes);
bool target_exists(const char *name);
/* The name of a target that was perhaps meant; false when none is near. */
bool target_nearest(const char *given, char *ret_name, size_t name_bytes);
/* Names of all targets, sorted, each once; the caller frees them and the array.  Ends with NULL. */
char **target_all(void);
void target_all_free(char **names);
/* Reads the target of that name. */
struct target *target_load(const char *name, struct buf *ret_messages);

/*
 * Where `make setup-targets` put its packages: a directory with usr/, etc/ and
 * the like, or node_modules.  False when it is not there, and then the
 * system's own packages are used.
 */
bool target_tree(const char *name, char ret_dir[static PATH_MAX]);
/* Appends what is missing to run it, "missing package postfix"; true when nothing is. */
bool target_is_installed(const struct target *t, struct buf *ret_missing);
/* Appends what is known of its own packages, "postfix 3.7.11-0+deb12u1", one a line. */
void target_versions(const struct target *t, struct buf *ret_versions);
/* Installed, and the user may start it; else appends why not. */
bool target_can_start(const struct target *t, struct buf *ret_why_not);

#endif
