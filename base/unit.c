#include "base/unit.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
	const char *name;
	uint64_t scale;
};

static const struct unit DURATIONS[] = {
	{ "us", 1 },
	{ "ms", 1000 },
	{ "s", 1000 * 1000 },
	{ "m", 60ULL * 1000 * 1000 },
	{ "h", 3600ULL * 1000 * 1000 },
	{ "d", 86400ULL * 1000 * 1000 },
	{ NULL, 0 },
};

static const struct unit SIZES[] = {
	{ "B", 1 },  { "KiB", 1024 }, { "MiB", 1ULL << 20 }, { "GiB", 1ULL << 30 }, { "TiB", 1ULL << 40 },
	{ NULL, 0 },
};

static const struct unit *find_unit(const struct unit *units, struct span name)
{
	for (; units->name != NULL; units++)
		if (span_eq(name, span_of(units->name)))
			return units;
	return NULL;
}

/* whole.fraction × scale; false when that overflows or is no whole number. */
static bool scaled(struct span whole, struct span fraction, uint64_t scale, uint64_t *ret_value)
{
	uint64_t value, tenths;

	if (!span_to_u64(whole, &value) || __builtin_mul_overflow(value, scale, &value))
		return false;
	for (size_t i = 0; i < fraction.n; i++) {
		char c = fraction.p[i];
		if (c < '0' || c > '9' || scale % 10 != 0)
			return false;
		scale /= 10;
		tenths = (uint64_t)(c - '0') * scale;
		if (__builtin_add_overflow(value, tenths, &value))
			return false;
	}
	*ret_value = value;
	return true;
}

/* Splits "1.5m" into 1, 5 and the unit. */
static bool parse(struct span s, const struct unit *units, const struct unit *bare, uint64_t *ret_value)
{
	size_t digits = 0, point;
	struct span fraction = { 0 };

	while (digits < s.n && ((s.p[digits] >= '0' && s.p[digits] <= '9') || s.p[digits] == '.'))
		digits++;
	struct span number = span_sub(s, 0, digits);
	struct span name = span_sub(s, digits, s.n);
	point = span_find(number, '.');
	if (point < number.n) {
		fraction = span_sub(number, point + 1, number.n);
		number = span_sub(number, 0, point);
		if (fraction.n == 0)
			return false;
	}
	const struct unit *unit = name.n == 0 ? bare : find_unit(units, name);
	return unit != NULL && scaled(number, fraction, unit->scale, ret_value);
}

bool unit_parse_duration_ms(struct span s, int64_t *ret_ms)
{
	uint64_t us;

	if (span_eq(s, SPAN_LIT("0"))) {
		*ret_ms = 0;
		return true;
	}
	if (!parse(s, DURATIONS, NULL, &us) || us % 1000 != 0 || us / 1000 > INT64_MAX)
		return false;
	*ret_ms = (int64_t)(us / 1000);
	return true;
}

bool unit_parse_size_bytes(struct span s, uint64_t *ret_bytes)
{
	return parse(s, SIZES, &SIZES[0], ret_bytes);
}

const char *unit_format_duration_ms(int64_t ms, char out[static 24])
{
	static const struct unit WHOLE[] = {
		{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }
	};
	size_t i = 0;

	while (ms == 0 ? i < 3 : ms % (int64_t)WHOLE[i].scale != 0)
		i++;
	(void)snprintf(out, 24, "%" PRId64 "%s", ms / (int64_t)WHOLE[i].scale, WHOLE[i].name);
	return out;
}

const char *unit_format_size_bytes(uint64_t bytes, char out[static 24])
{
	size_t i = 4;

	while (i > 0 && (bytes == 0 || bytes % SIZES[i].scale != 0))
		i--;
	(void)snprintf(out, 24, "%" PRIu64 "%s", bytes / SIZES[i].scale, i == 0 ? "B" : SIZES[i].name);
	return out;
}
