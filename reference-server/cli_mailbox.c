#include "reference-server/cli.h"

#include "base/buf.h"
#include "base/file.h"
#include "reference-server/cli_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FORMAT_MBOX, FORMAT_MAILDIR, FORMAT_UNSET };

static int complain(const char *what, int error)
{
	(void)fprintf(stderr, "postriderd: %s: %s\n", what, strerror(error));
	return 1;
}

/* ---- Maildir: the mboxrd that the server sends, taken apart ---- */

struct maildir {
	const char *path;
	struct buf line; /* the one that is not whole yet */
	FILE *message;   /* NULL: between two */
	uint32_t number;
	char name[64];
};

static bool is_from(struct span line)
{
	return span_eq(span_sub(line, 0, 5), SPAN_LIT("From "));
}

static void name_file(const struct maildir *m, const char *folder, struct buf *ret_path)
{
	buf_reset(ret_path);
	buf_addf(ret_path, "%s/%s/%s", m->path, folder, m->name);
}

static int end_message(struct maildir *m)
{
	struct buf from = { 0 }, to = { 0 };
	int rc = 0;

	if (m->message == NULL)
		return 0;
	if (fclose(m->message) != 0)
		rc = -errno;
	m->message = NULL;
	name_file(m, "tmp", &from);
	name_file(m, "new", &to);
	if (rc == 0 && rename(buf_cstr(&from), buf_cstr(&to)) != 0)
		rc = -errno;
	buf_free(&from);
	buf_free(&to);
	return rc;
}

static int begin_message(struct maildir *m)
{
	struct buf path = { 0 };

	int rc = end_message(m);
	if (rc != 0)
		return rc;
	(void)snprintf(m->name, sizeof(m->name), "%lld.M%uP%d.postriderd", (long long)time(NULL), ++m->number,
		       (int)getpid());
	name_file(m, "tmp", &path);
	m->message = fopen(buf_cstr(&path), "wxe");
	if (m->message == NULL)
		rc = -errno;
	buf_free(&path);
	return rc;
}

/* One line with its LF. */
static int take_line(struct maildir *m, struct span line)
{
	size_t marks = 0;

	if (is_from(line))
		return begin_message(m);
	while (marks < line.n && line.p[marks] == '>')
		marks++;
	if (marks > 0 && is_from(span_sub(line, marks, line.n)))
		line = span_sub(line, 1, line.n);
	if (m->message == NULL || fwrite(line.p, 1, line.n, m->message) != line.n)
		return -EIO;
	return 0;
}

/*
 * A blank line is held back until the next line shows whether it was the one
 * that ends a message.
 */
static int take_lines(struct maildir *m, bool last)
{
	struct span rest = buf_span(&m->line);
	size_t used = 0;
	int rc = 0;

	while (rc == 0) {
		size_t lf = span_find(rest, '\n');
		if (lf == rest.n)
			break;
		struct span line = span_sub(rest, 0, lf + 1);
		struct span behind = span_sub(rest, lf + 1, rest.n);
		if (line.n == 1 && behind.n < 5 && !last)
			break;
		bool ends = line.n == 1 && (behind.n == 0 || is_from(behind));
		rc = ends ? end_message(m) : take_line(m, line);
		rest = behind;
		used += line.n;
	}
	buf_consume(&m->line, used);
	return rc;
}

static ssize_t on_write(void *cookie, const char *bytes, size_t n)
{
	struct maildir *m = cookie;

	buf_add(&m->line, (struct span){ bytes, n });
	int rc = take_lines(m, false);
	if (rc == 0)
		return (ssize_t)n;
	errno = -rc;
	return 0;
}

static int on_close(void *cookie)
{
	struct maildir *m = cookie;
	int rc = take_lines(m, true), ended = end_message(m);

	rc = rc != 0 ? rc : ended;
	buf_free(&m->line);
	errno = -rc;
	return rc == 0 ? 0 : EOF;
}

static int make_maildir(const char *path)
{
	static const char *const folders[] = { "cur", "new", "tmp" };
	struct buf folder = { 0 };
	int rc = mkdir(path, 0700) == 0 ? 0 : -errno;

	for (size_t i = 0; i < 3 && rc == 0; i++) {
		buf_reset(&folder);
		buf_addf(&folder, "%s/%s", path, folders[i]);
		rc = mkdir(buf_cstr(&folder), 0700) == 0 ? 0 : -errno;
	}
	buf_free(&folder);
	return rc;
}

/* ---- export ---- */

static FILE *open_mbox(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd >= 0 ? fdopen(fd, "w") : NULL;
}

/* What could not be completed is taken away again. */
static int export(const struct cli_target *t, const char *address, uint32_t format, const char *path)
{
	struct maildir m = { .path = path };
	struct buf request = { 0 };
	struct err unused;
	int rc = format == FORMAT_MAILDIR ? make_maildir(path) : 0;
	FILE *out = rc != 0 ? NULL
		    : format == FORMAT_MAILDIR
			    ? fopencookie(&m, "w",
					  (cookie_io_functions_t){ .write = on_write, .close = on_close })
			    : open_mbox(path);

	if (out == NULL)
		return complain(path, rc != 0 ? -rc : errno);
	buf_addf(&request, "mailbox export %s\n", address);
	int code = cli_request(t, buf_span(&request), out);
	buf_free(&request);
	if (fclose(out) != 0 && code == 0)
		code = complain(path, errno);
	if (code != 0 && format == FORMAT_MAILDIR)
		(void)dir_remove(path, &unused);
	else if (code != 0)
		(void)unlink(path);
	return code;
}

int cli_mailbox(int argc, char **argv)
{
	static const char *const formats[] = { "mbox", "maildir", NULL };
	struct cli_target t = { 0 };
	uint32_t format = FORMAT_UNSET;
	const char *verb = NULL, *address = NULL, *path = NULL;
	const struct opt options[] = {
		CLI_TARGET_OPTIONS(t),
		{ "format", OPT_CHOICE, &format, .value = "FORMAT",
		  .help = "for export: mbox (its mboxrd kind) or maildir", .choices = formats },
		{ 0 },
	};
	const struct opt_arg args[] = {
		{ "list|export", .ret_one = &verb, .help = "what to do" },
		{ "ADDRESS", .ret_one = &address, .optional = true, .help = "whose mailbox to export" },
		{ "FILE|DIR", .ret_one = &path, .optional = true,
		  .help = "where to; what is there already is left alone, and the export refused" },
		{ 0 },
	};
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postriderd mailbox",
			.purpose =
				"Lists mailboxes with their messages and octets, or copies one into a file "
				"or directory that other mail programs read.  Nothing is removed.  Works "
				"on a running server and on the data directory of one that is down.",
			.options = options,
			.args = args,
			.example = "postriderd mailbox list --data /tmp/fredsco\npostriderd mailbox export "
				   "sales@fredsco.example --format mbox sales.mbox --data /tmp/fredsco",
			.exit_codes = "0  done\n1  no such account, or the target exists\n2  usage mistakes",
		},
		argc, argv);
	if (rc != OPT_GO)
		return rc;
	if (strcmp(verb, "list") == 0)
		return address == NULL && format == FORMAT_UNSET
			       ? cli_request(&t, SPAN_LIT("mailbox list\n"), stdout)
			       : cli_usage("mailbox list takes no further word");
	if (strcmp(verb, "export") != 0)
		return cli_usage("mailbox wants list, or export ADDRESS --format mbox|maildir FILE|DIR");
	if (address == NULL || path == NULL || format == FORMAT_UNSET || strpbrk(address, " \n") != NULL)
		return cli_usage("export wants ADDRESS --format mbox|maildir FILE|DIR");
	return export(&t, address, format, path);
}
