#include "reports/plots.h"

#include "reports/assets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	SVG_BYTES_MAX = 8 * 1024 * 1024,
	READ_BYTES = 65536,
	COMMAND_NOT_FOUND = 127,
};

/* The colours of plot-common.gnuplot, and the variable of report.css for which each stands. */
static const struct {
	uint32_t rgb;
	const char *variable;
} plot_colours[] = {
	{ 0x1c2126, "var(--ink)" },    { 0x5d6670, "var(--soft)" },   { 0xdcdfe2, "var(--grid)" },
	{ 0x1d5fd1, "var(--line-a)" }, { 0xc2570c, "var(--line-b)" }, { 0x0f8a6d, "var(--line-c)" },
	{ 0x8b3fc0, "var(--line-d)" }, { 0x7a828c, "var(--line-e)" }, { 0xf3c4c0, "var(--outage)" },
	{ 0xb3261e, "var(--bad)" },    { 0x17794a, "var(--good)" },
};

/* ---- what gnuplot is told: one line for -e, commands end in ";" ---- */

/* A gnuplot string in single quotes; inside, a quote is doubled. */
static void add_quoted(struct buf *b, const char *text)
{
	buf_add_cstr(b, "'");
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			buf_add_cstr(b, "'");
		if (*text != '\n')
			buf_add(b, (struct span){ text, 1 });
	}
	buf_add_cstr(b, "'");
}

static void add_span(struct buf *b, const struct plot *p, uint32_t i)
{
	const struct plot_span *s = &p->spans[i];
	double end = s->end_s < s->begin_s || s->end_s > p->x_max ? p->x_max : s->end_s;
	double width_min = p->x_max / 400; /* what happens in no time must be seen too */

	if (end - s->begin_s < width_min)
		end = s->begin_s + width_min;
	buf_addf(b,
		 "set object %u rectangle from %.6f, graph 0 to %.6f, graph 1 behind fillcolor rgb '#f3c4c0' "
		 "fillstyle solid 0.55 noborder; ",
		 i + 1, s->begin_s, end);
	buf_addf(b, "set label %u ", i + 1);
	add_quoted(b, s->label);
	buf_addf(b, " at %.6f, graph 0.94 offset 0.4,0 front noenhanced textcolor rgb '#b3261e' font ',12'; ",
		 s->begin_s);
}

static void add_mark(struct buf *b, const struct plot *p)
{
	if (p->mark_s < 0)
		return;
	buf_addf(b,
		 "set arrow 1 from %.6f, graph 0 to %.6f, graph 1 nohead front linecolor rgb '#17794a' "
		 "linewidth 1.6 "
		 "dashtype 2; set label 999 ",
		 p->mark_s, p->mark_s);
	add_quoted(b, p->mark_label);
	buf_addf(b, " at %.6f, graph 0.80 offset 0.4,0 front noenhanced textcolor rgb '#17794a' font ',12'; ",
		 p->mark_s);
}

static void prologue(const struct plot *p, struct buf *b)
{
	buf_add_cstr(b, "dir = ");
	add_quoted(b, p->dir);
	buf_addf(b, "; x_max = %.6f; ", p->x_max);
	for (uint32_t i = 0; i < p->span_count; i++)
		add_span(b, p, i);
	add_mark(b, p);
}

/* ---- running it ---- */

/* Reads all of fd; false when it is more than SVG_BYTES_MAX. */
static bool read_all(int fd, struct buf *ret)
{
	for (;;) {
		char *room = buf_reserve(ret, READ_BYTES);
		ssize_t n = read(fd, room, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		buf_grow(ret, (size_t)n);
		if (buf_bytes(ret) > SVG_BYTES_MAX)
			return false;
	}
}

/* Its output and its complaints come through one pipe: only one of them is of interest. */
static int spawn_gnuplot(const char *const args[], pid_t *ret_pid, int *ret_fd, struct err *reterr)
{
	posix_spawn_file_actions_t actions;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return err_errno(reterr, errno, "gnuplot: pipe");
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	(void)posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
	/* posix_spawnp does not write to the strings; its type is older than const. */
	union {
		const char *const *in;
		char *const *out;
	} argv = { .in = args };
	int rc = posix_spawnp(&pid, "gnuplot", &actions, NULL, argv.out, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(fds[1]);
	if (rc != 0) {
		(void)close(fds[0]);
		return rc == ENOENT ? err_set(reterr, -ENOPKG, "gnuplot: not found")
				    : err_errno(reterr, rc, "gnuplot");
	}
	*ret_pid = pid;
	*ret_fd = fds[0];
	return 0;
}

static int run_gnuplot(const char *const args[], struct buf *ret_out, struct err *reterr)
{
	pid_t pid;
	int fd;
	int status = 0;
	int rc = spawn_gnuplot(args, &pid, &fd, reterr);

	if (rc != 0)
		return rc;
	bool fits = read_all(fd, ret_out);
	(void)close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == COMMAND_NOT_FOUND)
		return err_set(reterr, -ENOPKG, "gnuplot: not found");
	struct span out = buf_span(ret_out);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(reterr, -EIO, "gnuplot: %.*s", (int)(out.n < 300 ? out.n : 300),
			       out.n > 0 ? out.p : "");
	if (!fits)
		return err_set(reterr, -EFBIG, "gnuplot: the figure is too large");
	return 0;
}

/* ---- making it fit into a page ---- */

/* Reads "rgb(28,33,38)" or "rgb( 28,  33,  38)": gnuplot writes both. */
static bool read_rgb(struct span s, uint32_t *ret_rgb, struct span *ret_rest)
{
	uint32_t rgb = 0;

	if (!span_take_prefix_nocase(&s, SPAN_LIT("rgb(")))
		return false;
	for (int i = 0; i < 3; i++) {
		struct span number;
		uint64_t value;
		if (!span_take_until(&s, i < 2 ? ',' : ')', &number) ||
		    !span_to_u64(span_trim(number), &value) || value > 255)
			return false;
		rgb = rgb << 8 | (uint32_t)value;
	}
	*ret_rgb = rgb;
	*ret_rest = s;
	return true;
}

static bool take_colour(struct span *s, struct buf *out)
{
	struct span rest;
	uint32_t rgb;

	if (!read_rgb(*s, &rgb, &rest))
		return false;
	for (size_t i = 0; i < sizeof(plot_colours) / sizeof(plot_colours[0]); i++) {
		if (plot_colours[i].rgb == rgb) {
			buf_add_cstr(out, plot_colours[i].variable);
			*s = rest;
			return true;
		}
	}
	return false;
}

/* Several figures stand in one page: ids would clash, and nothing needs them. */
static bool take_id(struct span *s)
{
	struct span rest = *s;
	struct span id;

	if (!span_take_prefix_nocase(&rest, SPAN_LIT(" id=\"")) || !span_take_until(&rest, '"', &id))
		return false;
	*s = rest;
	return true;
}

static void add_themed(struct span s, struct buf *out)
{
	while (s.n > 0) {
		if ((s.p[0] == 'r' && take_colour(&s, out)) || (s.p[0] == ' ' && take_id(&s)))
			continue;
		buf_add(out, (struct span){ s.p, 1 });
		s = span_sub(s, 1, s.n);
	}
}

static int embed(struct span svg, struct buf *ret_svg, struct err *reterr)
{
	const char *begin = svg.n > 0 ? memmem(svg.p, svg.n, "<svg", 4) : NULL;

	if (begin == NULL)
		return err_set(reterr, -EIO, "gnuplot: drew nothing: %.*s", (int)(svg.n < 300 ? svg.n : 300),
			       svg.n > 0 ? svg.p : "");
	add_themed(span_sub(svg, (size_t)(begin - svg.p), svg.n), ret_svg);
	return 0;
}

int plot_svg(const struct plot *p, struct buf *ret_svg, struct err *reterr)
{
	char common[PATH_MAX];
	char script[PATH_MAX];
	struct buf commands = { 0 };
	struct buf out = { 0 };
	int rc = assets_find("plot-common.gnuplot", common, sizeof(common), reterr);

	if (rc == 0)
		rc = assets_find(p->script, script, sizeof(script), reterr);
	if (rc == 0) {
		prologue(p, &commands);
		const char *const args[] = {
			"gnuplot", "--default-settings", "-e", buf_cstr(&commands), common, script, NULL
		};
		rc = run_gnuplot(args, &out, reterr);
	}
	if (rc == 0)
		rc = embed(buf_span(&out), ret_svg, reterr);
	buf_free(&commands);
	buf_free(&out);
	return rc;
}
