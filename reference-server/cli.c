#include "reference-server/cli.h"

#include "base/file.h"
#include "base/opt.h"
#include "reference-server/cli_parts.h"
#include "reference-server/config.h"
#include "reference-server/core/mutant.h"
#include "reference-server/drive/admin.h"
#include "reference-server/drive/control.h"
#include "reference-server/drive/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum {
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	PASSWORD_BYTES_MAX = 1024,
	LOG_LEVEL_UNSET = 99,
};

int cli_usage(const char *text)
{
	(void)fprintf(stderr, "postriderd: %s\n", text);
	return EXIT_USAGE;
}

/* ---- serve ---- */

struct serve_options {
	const char *config_path;
	const char *data_dir;
	const char *hostname;
	struct opt_list domains;
	struct opt_list users;
	struct opt_list listens;
	uint32_t log_level;
	const char *metrics;
	const char *mutant; /* only where MUTANTS is built in */
};

static int set_each(struct config *c, const struct opt_list *l,
		    int (*set)(struct config *, const char *, struct err *), struct err *reterr)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (set(c, l->items[i], reterr) != 0)
			return reterr->code;
	return 0;
}

static struct config *config_from_options(const struct serve_options *o)
{
	struct config *c = config_new();
	struct err e;

	c->data_dir = strdup(o->data_dir);
	c->hostname = o->hostname != NULL ? strdup(o->hostname) : NULL;
	if (o->log_level != LOG_LEVEL_UNSET)
		c->log_level = (enum log_level)o->log_level;
	if (set_each(c, &o->domains, config_set_domain, &e) != 0 ||
	    set_each(c, &o->users, config_set_user, &e) != 0 ||
	    set_each(c, &o->listens, config_set_listen, &e) != 0 ||
	    (o->metrics != NULL && config_set_metrics(c, o->metrics, &e) != 0)) {
		(void)cli_usage(e.text);
		config_free(c);
		return NULL;
	}
	config_complete(c);
	return c;
}

#ifdef MUTANTS
int cli_mutants(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (unsigned i = 1; mutant_line(i) != NULL; i++)
		(void)puts(mutant_line(i));
	return 0;
}
#endif

int cli_serve(int argc, char **argv)
{
	static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
	struct serve_options o = { .log_level = LOG_LEVEL_UNSET };
	const struct opt options[] = {
		{ "config", OPT_STR, &o.config_path, .value = "FILE",
		  .help = "postriderd.conf(5); instead of all options below" },
		{ "data", OPT_STR, &o.data_dir, .value = "DIR",
		  .help = "where queue, mailboxes and certificate live; made if missing" },
		{ "domain", OPT_LIST, &o.domains, .value = "NAME",
		  .help = "a domain whose mail ends here; repeatable" },
		{ "user", OPT_LIST, &o.users, .value = "NAME:PASSWORD",
		  .help = "an account; without @ in the first domain; repeatable.  For trying out: others on "
			  "this machine can see it" },
		{ "listen", OPT_LIST, &o.listens, .value = "SERVICE=ADDR:PORT",
		  .help = "smtp, submission, submissions, lmtp, pop3 or pop3s; port 0 takes a free one; "
			  "repeatable.  Default: all five on 127.0.0.1" },
		{ "hostname", OPT_STR, &o.hostname, .value = "NAME",
		  .help = "our own name; default mx.DOMAIN" },
		{ "metrics", OPT_STR, &o.metrics, .value = "ADDR:PORT",
		  .help = "answer GET /metrics (Prometheus) and /healthz there; a port alone is on "
			  "127.0.0.1" },
#ifdef MUTANTS
		{ "mutant", OPT_STR, &o.mutant, .value = "NAME",
		  .help = "breaks one behaviour on purpose; 'postriderd mutants' names them" },
#endif
		{ "log-level", OPT_CHOICE, &o.log_level, .value = "LEVEL",
		  .help = "debug, info, warn or error", .choices = levels },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postriderd serve",
			.purpose = "Runs the server in the foreground.  Prints one line per service (name, "
				   "address:port), then "
				   "\"ready\"; logs to standard error.  SIGTERM finishes what is under way "
				   "and exits 0; SIGHUP "
				   "reads certificate and configuration again.",
			.options = options,
			.example = "postriderd serve --data /tmp/fredsco --domain fredsco.example --user "
				   "sales:secret\n"
				   "postriderd serve --config /etc/postriderd.conf",
			.exit_codes = "0  stopped by SIGTERM or SIGINT\n1  could not start\n2  usage or "
				      "configuration mistakes",
		},
		argc, argv);
	struct config *c = NULL;
	if (rc != OPT_GO)
		goto out;
	rc = EXIT_USAGE;
#ifdef MUTANTS
	if (o.mutant != NULL && !mutant_set(o.mutant)) {
		(void)cli_usage("there is no mutant of that name; 'postriderd mutants' names them");
		goto out;
	}
#endif
	if (o.config_path != NULL) {
		if (o.data_dir != NULL || o.hostname != NULL || o.domains.count > 0 || o.users.count > 0 ||
		    o.listens.count > 0 || o.log_level != LOG_LEVEL_UNSET || o.metrics != NULL)
			(void)cli_usage("--config stands alone: the file says everything else");
		else
			c = config_load(o.config_path);
	} else if (o.data_dir == NULL || o.domains.count == 0) {
		(void)cli_usage("serve wants --config FILE, or --data DIR and --domain NAME; see postriderd "
				"serve --help");
	} else {
		c = config_from_options(&o);
	}
	if (c != NULL)
		rc = server_run(c, o.config_path);
out:
	opt_list_free(&o.domains);
	opt_list_free(&o.users);
	opt_list_free(&o.listens);
	return rc;
}

/* ---- requests, to the server or to its store ---- */

/*
 * Opening makes files, and root must not own any the server is to write: root
 * is the directory's owner for that long.  Nothing is handed over afterwards,
 * for the owner could have put something else in its place.
 */
static int open_as_owner(const char *data_dir, struct store **ret_store, struct err *reterr)
{
	struct stat st;
	bool other = geteuid() == 0 && stat(data_dir, &st) == 0 && st.st_uid != 0;

	if (other && (setegid(st.st_gid) != 0 || seteuid(st.st_uid) != 0))
		return err_errno(reterr, errno, "%s: become its owner", data_dir);
	int rc = store_open(&(struct store_options){ .data_dir = data_dir }, ret_store, reterr);
	if (other && (seteuid(0) != 0 || setegid(0) != 0))
		abort();
	return rc;
}

/* Steps the job to its end on a store that no server has open. */
static int run_offline(const char *data_dir, uint32_t iterations, struct span request, FILE *out,
		       struct err *reterr)
{
	struct store *store = NULL;
	struct buf text = { 0 };
	int rc = open_as_owner(data_dir, &store, reterr);
	if (rc != 0)
		return rc;
	struct admin_job *job =
		admin_start(&(struct admin_options){ .store = store, .iterations = iterations }, request);
	enum admin_step step;

	while ((step = admin_step(job, &text)) == ADMIN_MORE || step == ADMIN_WAIT) {
		if (step == ADMIN_WAIT)
			store_drain(store);
		if (buf_bytes(&text) > 0)
			(void)fwrite(buf_span(&text).p, 1, buf_bytes(&text), out);
		buf_reset(&text);
	}
	if (buf_bytes(&text) > 0)
		(void)fwrite(buf_span(&text).p, 1, buf_bytes(&text), out);
	if (step == ADMIN_FAILED) {
		*reterr = *admin_error(job);
		rc = reterr->code;
	}
	admin_free(job);
	store_close(store);
	buf_free(&text);
	return rc;
}

/* Opening a store makes one; only the first account may want that. */
static int check_store_is_there(const char *data_dir, struct span request, struct err *reterr)
{
	struct buf path = { 0 };
	int rc = 0;
	bool makes = span_starts_nocase(request, SPAN_LIT("account add "));

	buf_addf(&path, "%s%s", data_dir, makes ? "" : "/store");
	if (access(buf_cstr(&path), F_OK) != 0)
		rc = err_errno(reterr, errno, "%s: no server keeps its data here", buf_cstr(&path));
	buf_free(&path);
	return rc;
}

int cli_request(const struct cli_target *t, struct span request, FILE *out)
{
	struct config *c = t->config_path != NULL ? config_load(t->config_path) : NULL;
	struct err e = { .code = -EINVAL };

	if (t->config_path != NULL && c == NULL)
		return EXIT_USAGE;
	const char *data_dir = c != NULL ? c->data_dir : t->data_dir;
	if (data_dir == NULL) {
		config_free(c);
		return cli_usage("which server?  Say --data DIR or --config FILE");
	}
	int rc = control_request(data_dir, request, out, &e);
	if (rc == -ENOENT) {
		rc = check_store_is_there(data_dir, request, &e);
		if (rc == 0)
			rc = run_offline(data_dir, c != NULL ? c->auth_iterations : 0, request, out, &e);
	}
	config_free(c);
	if (rc != 0) {
		(void)fflush(out);
		(void)fprintf(stderr, "postriderd: %s\n", e.text);
	}
	return rc == 0 ? 0 : EXIT_FAILED;
}

static bool is_one_of(const char *verb, const char *const *verbs)
{
	for (; *verbs != NULL; verbs++)
		if (strcmp(verb, *verbs) == 0)
			return true;
	return false;
}

enum { IDS_PER_REQUEST = 200 };

struct queue_words {
	const char *verb;
	struct opt_list words;
	bool json;
	bool all;
	const char *domain;
	const char *sender;
};

/* What is wrong with the words, or NULL. */
static const char *queue_mistake(const struct queue_words *q)
{
	static const char *const orders[] = { "hold", "release", "requeue", "remove", NULL };
	static const char *const reads[] = { "list", "show", "destinations", NULL };
	bool is_order = is_one_of(q->verb, orders);
	bool is_read = is_one_of(q->verb, reads);
	int ways = (q->words.count > 0) + q->all + (q->domain != NULL) + (q->sender != NULL);

	if (!is_order && !is_read && strcmp(q->verb, "flush") != 0)
		return "queue wants list, show ID, flush [DOMAIN], destinations, or hold, release, requeue "
		       "or "
		       "remove with ID..., --all, --domain DOMAIN or --sender ADDRESS";
	if (q->json && !is_read)
		return "--json goes with list, show and destinations";
	if (!is_order && (q->all || q->domain != NULL || q->sender != NULL))
		return "--all, --domain and --sender go with hold, release, requeue and remove";
	if (is_order && ways != 1)
		return "which messages?  Ids, as postriderd queue list shows them, or one of --all, --domain "
		       "DOMAIN and --sender ADDRESS";
	if (strcmp(q->verb, "show") == 0 && q->words.count != 1)
		return "which message?  postriderd queue list shows the ids";
	if (strcmp(q->verb, "flush") == 0 && q->words.count > 1)
		return "flush takes one domain, or none";
	if ((strcmp(q->verb, "list") == 0 || strcmp(q->verb, "destinations") == 0) && q->words.count > 0)
		return "list and destinations take no further word";
	return NULL;
}

/* Ids that do not fit one request go into several; the first that fails ends it. */
static int run_queue(const struct cli_target *t, const struct queue_words *q)
{
	struct buf request = { 0 };
	uint32_t at = 0;
	int rc;

	do {
		buf_reset(&request);
		buf_addf(&request, "queue %s", q->verb);
		for (uint32_t i = 0; i < IDS_PER_REQUEST && at < q->words.count; i++)
			buf_addf(&request, " %s", q->words.items[at++]);
		if (q->all)
			buf_add_cstr(&request, " --all");
		if (q->domain != NULL)
			buf_addf(&request, " --domain %s", q->domain);
		if (q->sender != NULL)
			buf_addf(&request, " --sender %s", q->sender[0] != '\0' ? q->sender : "<>");
		buf_add_cstr(&request, q->json ? " --json\n" : "\n");
		rc = cli_request(t, buf_span(&request), stdout);
	} while (rc == 0 && at < q->words.count);
	buf_free(&request);
	return rc;
}

int cli_queue(int argc, char **argv)
{
	struct cli_target t = { 0 };
	struct queue_words q = { 0 };
	const struct opt options[] = {
		CLI_TARGET_OPTIONS(t),
		{ "json", OPT_FLAG, &q.json,
		  .help = "list, show, destinations: one JSON object a line, see postriderd(8)" },
		{ "all", OPT_FLAG, &q.all, .help = "hold, release, requeue, remove: every message" },
		{ "domain", OPT_STR, &q.domain, .value = "DOMAIN",
		  .help = "the same: messages with a recipient there who still waits" },
		{ "sender", OPT_STR, &q.sender, .value = "ADDRESS",
		  .help = "the same: messages from there; <> for notifications" },
		{ 0 },
	};
	const struct opt_arg args[] = {
		{ "list|show|flush|hold|release|requeue|remove|destinations", .ret_one = &q.verb,
		  .help = "what to do" },
		{ "ID|DOMAIN", .ret_many = &q.words, .optional = true,
		  .help = "queue ids (show, hold, release, requeue, remove), or a domain (flush)" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postriderd queue",
			.purpose = "Looks at the messages that wait to be delivered (list, show), or at "
				   "where they go to (destinations); tries them again at once (flush), sets "
				   "them aside (hold) and takes them back (release), tries them anew as if "
				   "they had just come (requeue), or drops them without telling their "
				   "senders (remove).  Works on a running server, and, but for flush, on the "
				   "data directory of one that is down.",
			.options = options,
			.args = args,
			.example = "postriderd queue list --data /tmp/fredsco\npostriderd queue flush "
				   "isp2.example --data /tmp/fredsco\npostriderd queue hold --sender "
				   "sales@fredsco.example --data /tmp/fredsco",
			.exit_codes = "0  done\n1  no such message, or the server refused\n2  usage mistakes",
		},
		argc, argv);
	if (rc == OPT_GO) {
		const char *mistake = queue_mistake(&q);
		rc = mistake != NULL ? cli_usage(mistake) : run_queue(&t, &q);
	}
	opt_list_free(&q.words);
	return rc;
}

int cli_status(int argc, char **argv)
{
	struct cli_target t = { 0 };
	const struct opt options[] = { CLI_TARGET_OPTIONS(t), { 0 } };
	int rc = opt_parse(
		&(struct opt_command){ .name = "postriderd status",
				       .purpose = "Counts: sessions, queue, store.",
				       .options = options,
				       .example = "postriderd status --data /tmp/fredsco",
				       .exit_codes =
					       "0  done\n1  no such server or store\n2  usage mistakes" },
		argc, argv);
	return rc != OPT_GO ? rc : cli_request(&t, SPAN_LIT("status\n"), stdout);
}

/* ---- accounts ---- */

static bool ask_password(struct buf *ret_password)
{
	struct termios shown, hidden;
	char line[PASSWORD_BYTES_MAX];

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &shown) != 0)
		return false;
	(void)fputs("Password: ", stderr);
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	bool ok = fgets(line, sizeof(line), stdin) != NULL;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	(void)fputs("\n", stderr);
	if (ok)
		buf_add_cstr(ret_password, line);
	explicit_bzero(line, sizeof(line));
	return ok;
}

/* From the file, the environment, or the terminal; never from the command line, which others can read. */
static int find_password(const char *path, struct buf *ret_password)
{
	const char *env = getenv("POSTRIDERD_PASSWORD");
	struct err e;

	if (path != NULL) {
		if (file_read(path, PASSWORD_BYTES_MAX, ret_password, &e) != 0)
			return cli_usage(e.text);
	} else if (env != NULL) {
		buf_add_cstr(ret_password, env);
	} else if (!ask_password(ret_password)) {
		return cli_usage("no password: say --password-file FILE, or set POSTRIDERD_PASSWORD");
	}
	struct span s = buf_span(ret_password);
	while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	buf_truncate(ret_password, s.n);
	if (s.n == 0 || span_find(s, '\n') != s.n)
		return cli_usage("the password is one line that is not empty");
	return 0;
}

int cli_account(int argc, char **argv)
{
	static const char *const verbs[] = { "add", "list", "remove", NULL };
	struct cli_target t = { 0 };
	const char *verb = NULL, *address = NULL, *password_path = NULL;
	struct buf request = { 0 }, password = { 0 };
	const struct opt options[] = {
		CLI_TARGET_OPTIONS(t),
		{ "password-file", OPT_STR, &password_path, .value = "FILE",
		  .help = "for add; else POSTRIDERD_PASSWORD in the environment, else asked for on a "
			  "terminal" },
		{ 0 },
	};
	const struct opt_arg args[] = {
		{ "add|list|remove", .ret_one = &verb, .help = "what to do" },
		{ "ADDRESS", .ret_one = &address, .optional = true, .help = "local-part@domain" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postriderd account",
			.purpose = "Adds an account or gives it a new password, lists accounts, or removes "
				   "one with its "
				   "whole mailbox.  Only keys derived from the password are stored.  Works "
				   "on a running "
				   "server and on the data directory of one that is down.",
			.options = options,
			.args = args,
			.example = "postriderd account add sales@fredsco.example --password-file pw --data "
				   "/tmp/fredsco",
			.exit_codes = "0  done\n1  no such account, or the server refused\n2  usage mistakes",
		},
		argc, argv);
	if (rc != OPT_GO)
		return rc;
	if (!is_one_of(verb, verbs))
		return cli_usage("account wants add ADDRESS, list or remove ADDRESS");
	if (strcmp(verb, "list") != 0 && address == NULL)
		return cli_usage("which account?  Say its address, as in sales@fredsco.example");
	buf_addf(&request, "account %s%s%s\n", verb, address != NULL ? " " : "",
		 address != NULL ? address : "");
	rc = strcmp(verb, "add") == 0 ? find_password(password_path, &password) : 0;
	if (rc == 0) {
		buf_add(&request, buf_span(&password));
		if (buf_bytes(&password) > 0)
			buf_add(&request, SPAN_LIT("\n"));
		rc = cli_request(&t, buf_span(&request), stdout);
	}
	if (password.p != NULL)
		explicit_bzero(password.p, password.room);
	if (request.p != NULL)
		explicit_bzero(request.p, request.room);
	buf_free(&password);
	buf_free(&request);
	return rc;
}
