#include "harness/judge/content.h"

#include "base/random.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	CRLF_BYTES = 2,
	RANDOM_LINE_CHARS_MAX = 76,
	LONG_LINE_ONE_IN = 40,
	ODD_LINE_ONE_IN = 6,
};

/* Mixes the seed with the id, so that neighbours share nothing (splitmix64's finish). */
static uint64_t mix(uint64_t seed, uint32_t id)
{
	uint64_t z = seed + UINT64_C(0x9e3779b97f4a7c15) * ((uint64_t)id + 1);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void content_marker(uint64_t seed, uint32_t id, char out[static CONTENT_MARKER_CHARS + 1])
{
	int n = snprintf(out, CONTENT_MARKER_CHARS + 1, "pr-%08" PRIx32 "-%016" PRIx64, id, mix(seed, id));
	assert(n == CONTENT_MARKER_CHARS);
}

static bool take_hex(struct span s, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		uint64_t digit;
		if (c >= '0' && c <= '9')
			digit = (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint64_t)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F') /* local-parts are folded to one case by some */
			digit = (uint64_t)(c - 'A') + 10;
		else
			return false;
		value = value << 4 | digit;
	}
	*ret_value = value;
	return true;
}

static bool marker_at(struct span s, uint64_t seed, uint32_t *ret_id)
{
	uint64_t id;
	uint64_t check;

	if (s.n < CONTENT_MARKER_CHARS || !span_starts_nocase(s, SPAN_LIT("pr-")) || s.p[11] != '-')
		return false;
	if (!take_hex(span_sub(s, 3, 8), &id) || !take_hex(span_sub(s, 12, 16), &check))
		return false;
	if (mix(seed, (uint32_t)id) != check)
		return false;
	*ret_id = (uint32_t)id;
	return true;
}

bool content_find_marker(struct span text, uint64_t seed, uint32_t *ret_id)
{
	/* The first '-' of a marker is its third byte: memchr goes from one to the next. */
	for (size_t at = 0; at < text.n;) {
		at += span_find(span_sub(text, at, text.n), '-');
		if (at >= 2 && marker_at(span_sub(text, at - 2, text.n), seed, ret_id))
			return true;
		at++;
	}
	return false;
}

/* ---- making ---- */

/* A struct buf with an exact size to reach. */
struct body {
	struct buf *out;
	size_t left_bytes;
	bool eight_bit;
	struct rng rng;
};

/*
 * Adds one line and its CRLF, or as much of it as leaves either nothing or
 * room for another CRLF, so that the body ends exactly where it should.
 */
static void add_line(struct body *b, struct span line)
{
	assert(b->left_bytes >= CRLF_BYTES);
	size_t n = line.n;

	if (n + CRLF_BYTES > b->left_bytes)
		n = b->left_bytes - CRLF_BYTES;
	if (b->left_bytes - n - CRLF_BYTES == 1) {
		if (n == 0) {
			line = SPAN_LIT("x");
			n = 1;
		} else {
			n--;
		}
	}
	buf_add(b->out, span_sub(line, 0, n));
	buf_add(b->out, SPAN_LIT("\r\n"));
	b->left_bytes -= n + CRLF_BYTES;
}

/* Never cuts a UTF-8 sequence: a line that would not fit whole is replaced. */
static void add_eight_bit_line(struct body *b)
{
	static const char *const lines[] = {
		"Gr\303\274\303\237e aus K\303\266ln, 5 \342\202\254", /* octal: \x9fe would be one byte */
		"\xd0\xbf\xd0\xbe\xd1\x87\xd1\x82\xd0\xb0",
		"\xe9\x83\xb5\xe4\xbe\xbf \xf0\x9f\x93\xac",
	};
	struct span line = span_of(lines[rng_below(&b->rng, sizeof(lines) / sizeof(lines[0]))]);

	if (line.n + 2 * CRLF_BYTES > b->left_bytes)
		line = SPAN_LIT("plain");
	add_line(b, line);
}

static void add_random_line(struct body *b, size_t chars)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,=-+/\t&<>\"'";
	char line[CONTENT_LINE_CHARS_MAX];

	assert(chars <= sizeof(line));
	for (size_t i = 0; i < chars;) {
		uint64_t bits = rng_u64(&b->rng);
		for (size_t k = 0; k < 8 && i < chars; k++, bits >>= 8)
			line[i++] = letters[(bits & 0xff) % (sizeof(letters) - 1)];
	}
	add_line(b, (struct span){ line, chars });
}

static void add_odd_line(struct body *b, size_t which)
{
	static const char *const lines[] = {
		".",
		"..",
		".leading dot",
		"",
		"From the start of a line",
		"two trailing blanks  ",
		"=3D looks encoded =",
		"...",
		"QUIT",
		"--not a boundary",
		". ",
		"\t",
	};
	add_line(b, span_of(lines[which % (sizeof(lines) / sizeof(lines[0]))]));
}

/* The first lines are the same kinds in every message, so that even short ones have them. */
static void add_body(struct body *b, const char *marker)
{
	add_line(b, span_of(marker));
	for (size_t i = 0; i < 5 && b->left_bytes > 0; i++)
		add_odd_line(b, i);
	if (b->eight_bit && b->left_bytes > 0)
		add_eight_bit_line(b);
	if (b->left_bytes > CONTENT_LINE_CHARS_MAX + CRLF_BYTES)
		add_random_line(b, CONTENT_LINE_CHARS_MAX);
	while (b->left_bytes > 0) {
		if (rng_below(&b->rng, ODD_LINE_ONE_IN) == 0)
			add_odd_line(b, rng_below(&b->rng, UINT32_MAX));
		else if (b->eight_bit && rng_below(&b->rng, ODD_LINE_ONE_IN) == 0)
			add_eight_bit_line(b);
		else if (rng_below(&b->rng, LONG_LINE_ONE_IN) == 0)
			add_random_line(b, RANDOM_LINE_CHARS_MAX +
						   rng_below(&b->rng, CONTENT_LINE_CHARS_MAX -
									      RANDOM_LINE_CHARS_MAX + 1));
		else
			add_random_line(b, 1 + rng_below(&b->rng, RANDOM_LINE_CHARS_MAX));
	}
}

static void add_date(struct buf *out, int64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[64];

	(void)gmtime_r(&t, &tm);
	if (strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", &tm) == 0)
		text[0] = '\0';
	buf_addf(out, "Date: %s\r\n", text);
}

static struct span domain_of(struct span address)
{
	size_t at = span_find(address, '@');
	return at < address.n ? span_sub(address, at + 1, address.n) : SPAN_LIT("postrider.invalid");
}

/* One address to a line: a line must not pass 998 characters however many there are. */
static void add_to_field(struct buf *out, struct span to)
{
	struct span one;

	buf_add(out, SPAN_LIT("To: "));
	while (span_take_until(&to, ',', &one)) {
		one = span_trim(one);
		buf_addf(out, "%.*s,\r\n ", SPAN_FMT(one));
	}
	to = span_trim(to);
	buf_addf(out, "%.*s\r\n", SPAN_FMT(to));
}

static void add_header(const struct content_spec *s, const char *marker, struct buf *out)
{
	struct span domain = domain_of(s->from);

	buf_addf(out, "From: %.*s\r\n", SPAN_FMT(s->from));
	add_to_field(out, s->to);
	buf_addf(out, "Subject: postrider message %" PRIu32 "\r\n", s->id);
	add_date(out, s->date_wall_ms);
	buf_addf(out, "Message-ID: <%s@%.*s>\r\n", marker, SPAN_FMT(domain));
	buf_addf(out, "X-Postrider-Token: %s\r\n", marker);
	buf_addf(out,
		 "MIME-Version: 1.0\r\n"
		 "Content-Type: text/plain; charset=%s\r\n"
		 "Content-Transfer-Encoding: %s\r\n"
		 "\r\n",
		 s->eight_bit ? "utf-8" : "us-ascii", s->eight_bit ? "8bit" : "7bit");
}

uint32_t content_header_bytes(const struct content_spec *s)
{
	char marker[CONTENT_MARKER_CHARS + 1];
	struct buf header = { 0 };

	content_marker(s->seed, s->id, marker);
	add_header(s, marker, &header);
	size_t n = buf_bytes(&header);
	buf_free(&header);
	return (uint32_t)n;
}

void content_make(const struct content_spec *s, struct buf *ret_message)
{
	char marker[CONTENT_MARKER_CHARS + 1];

	content_marker(s->seed, s->id, marker);
	add_header(s, marker, ret_message);
	struct body body = {
		.out = ret_message,
		.left_bytes = s->body_bytes < CONTENT_BODY_BYTES_MIN ? CONTENT_BODY_BYTES_MIN : s->body_bytes,
		.eight_bit = s->eight_bit,
		.rng = rng_seed(mix(s->seed, s->id)),
	};
	add_body(&body, marker);
}
