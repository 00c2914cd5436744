#include "harness/wire/command.h"

struct span command_word(struct span *line)
{
	size_t n = 0;
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
		n++;
	struct span word = { line->p, n };
	*line = span_trim(span_sub(*line, n, line->n));
	return word;
}

struct span command_path(struct span *args)
{
	if (!span_take_prefix_nocase(args, SPAN_LIT("FROM:")))
		(void)span_take_prefix_nocase(args, SPAN_LIT("TO:"));
	*args = span_trim(*args);
	if (args->n == 0 || args->p[0] != '<')
		return command_word(args);
	bool quoted = false;
	size_t i = 1;
	for (; i < args->n && (quoted || args->p[i] != '>'); i++) {
		if (args->p[i] == '\\')
			i++;
		else if (args->p[i] == '"')
			quoted = !quoted;
	}
	struct span path = span_sub(*args, 1, i - 1);
	*args = span_trim(span_sub(*args, i + 1, args->n));
	return path;
}
