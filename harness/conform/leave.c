#include "harness/conform/leave.h"

static bool is_listed(struct span domain, const char *const *domains, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (span_eq_nocase(domain, span_of(domains[i])))
			return true;
	return false;
}

/* Every domain of the path, that of a source route too; "%" and "!" once led elsewhere, so they do not pass. */
static bool stays(struct span path, const char *const *domains, uint32_t count)
{
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] == '%' || path.p[i] == '!')
			return false;
		if (path.p[i] != '@')
			continue;
		size_t end = i + 1;
		while (end < path.n && path.p[end] != ',' && path.p[end] != ':' && path.p[end] != '@')
			end++;
		if (!is_listed(span_sub(path, i + 1, end - i - 1), domains, count))
			return false;
	}
	return true;
}

/* Between the brackets, or to the next blank where there are none. */
static struct span path_of(struct span line)
{
	size_t begin = span_find(line, '<');

	if (begin < line.n) {
		struct span rest = span_sub(line, begin + 1, line.n);
		return span_sub(rest, 0, span_find(rest, '>'));
	}
	line = span_trim(line);
	return span_sub(line, 0, span_find(line, ' '));
}

bool leave_allows(struct span lines, const char *const *domains, uint32_t count, struct span *ret_path)
{
	const struct span VERB = SPAN_LIT("RCPT");

	for (size_t i = 0; i + VERB.n <= lines.n; i++) {
		struct span rest = span_sub(lines, i, lines.n);
		if (!span_take_prefix_nocase(&rest, VERB))
			continue;
		rest = span_sub(rest, 0, span_find(rest, '\n'));
		rest = span_sub(rest, 0, span_find(rest, '\r'));
		size_t colon = span_find(rest, ':');
		struct span path = path_of(span_sub(rest, colon < rest.n ? colon + 1 : 0, rest.n));
		if (stays(path, domains, count))
			continue;
		*ret_path = path;
		return false;
	}
	return true;
}
