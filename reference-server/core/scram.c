#include "reference-server/core/scram.h"

static bool is_escaped(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		struct span escape = span_sub(name, i, 3);
		if (name.p[i] == '=' && !span_eq(escape, SPAN_LIT("=2C")) &&
		    !span_eq(escape, SPAN_LIT("=3D")))
			return false;
	}
	return true;
}

bool scram_names_are_escaped(struct span first_message)
{
	struct span rest = first_message, field;

	/* Both names, "a=" to act for and "n=", have a comma behind them (RFC 5802 7). */
	while (span_take_until(&rest, ',', &field)) {
		bool names = span_take_prefix_nocase(&field, SPAN_LIT("a=")) ||
			     span_take_prefix_nocase(&field, SPAN_LIT("n="));
		if (names && !is_escaped(field))
			return false;
	}
	return true;
}
