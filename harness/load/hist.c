#include "harness/load/hist.h"

#include "base/must.h"
#include "harness/wire/base64.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/*
 * The layout is HdrHistogram's: bucket 0 has SUB_BUCKETS equal steps of one
 * unit, each further bucket spans twice the range of the one before with half
 * as many steps, for its lower half is covered already.
 */
enum {
	UNIT_MAGNITUDE = 9, /* one unit is 512 ns */
	HALF_MAGNITUDE = 10,
	SUB_BUCKETS = 2 << HALF_MAGNITUDE, /* 2048: three significant digits */
	HALF_BUCKETS = SUB_BUCKETS / 2,
	SIGNIFICANT_DIGITS = 3,
};
#define UNIT_NS (INT64_C(1) << UNIT_MAGNITUDE)
#define SUB_BUCKET_MASK ((int64_t)(SUB_BUCKETS - 1) << UNIT_MAGNITUDE)

struct counts {
	uint64_t *at;
	uint32_t room;
	uint64_t total;
};

struct hist {
	struct counts known;
	struct counts censored;
	uint64_t out_of_range;
	int64_t min_ns;
	int64_t max_ns;
	double sum_ns;
	double sum_squares; /* of units, to keep precision */
};

struct hist *hist_new(void)
{
	return must(calloc(1, sizeof(struct hist)));
}

void hist_free(struct hist *h)
{
	if (h == NULL)
		return;
	free(h->known.at);
	free(h->censored.at);
	free(h);
}

/* ---- index and value ---- */
static uint32_t index_of(int64_t value_ns)
{
	unsigned high_bit = 63u - (unsigned)__builtin_clzll((uint64_t)(value_ns | SUB_BUCKET_MASK));
	unsigned bucket = high_bit - (HALF_MAGNITUDE + UNIT_MAGNITUDE);
	uint32_t step = (uint32_t)(value_ns >> (bucket + UNIT_MAGNITUDE));
	return ((bucket + 1) << HALF_MAGNITUDE) + step - HALF_BUCKETS;
}

static int64_t lowest_at(uint32_t index)
{
	uint32_t bucket = index >> HALF_MAGNITUDE;
	uint32_t step = (index & (HALF_BUCKETS - 1)) + HALF_BUCKETS;
	if (bucket == 0)
		step -= HALF_BUCKETS;
	else
		bucket--;
	return (int64_t)step << (bucket + UNIT_MAGNITUDE);
}

static int64_t highest_at(uint32_t index)
{
	return lowest_at(index + 1) - 1;
}

static void add(struct counts *c, uint32_t index, uint64_t n)
{
	if (index >= c->room) {
		uint32_t room = (index / HALF_BUCKETS + 1) * HALF_BUCKETS;
		c->at = must(realloc(c->at, room * sizeof(c->at[0])));
		memset(c->at + c->room, 0, (room - c->room) * sizeof(c->at[0]));
		c->room = room;
	}
	c->at[index] += n;
	c->total += n;
}

static uint64_t count_at(const struct counts *c, uint32_t index)
{
	return index < c->room ? c->at[index] : 0;
}

/* ---- recording ---- */
static bool in_range(struct hist *h, int64_t value_ns)
{
	if (value_ns >= 0 && value_ns <= HIST_NS_MAX)
		return true;
	h->out_of_range++;
	return false;
}

void hist_record(struct hist *h, int64_t value_ns)
{
	if (!in_range(h, value_ns))
		return;
	if (h->known.total == 0 || value_ns < h->min_ns)
		h->min_ns = value_ns;
	if (value_ns > h->max_ns)
		h->max_ns = value_ns;
	add(&h->known, index_of(value_ns), 1);
	double units = (double)value_ns / (double)UNIT_NS;
	h->sum_ns += (double)value_ns;
	h->sum_squares += units * units;
}

void hist_record_censored(struct hist *h, int64_t at_least_ns)
{
	if (in_range(h, at_least_ns))
		add(&h->censored, index_of(at_least_ns), 1);
}

static void merge_counts(struct counts *into, const struct counts *from)
{
	for (uint32_t i = 0; i < from->room; i++)
		if (from->at[i] > 0)
			add(into, i, from->at[i]);
}

void hist_merge(struct hist *into, const struct hist *from)
{
	assert(into != from);
	if (from->known.total > 0) {
		if (into->known.total == 0 || from->min_ns < into->min_ns)
			into->min_ns = from->min_ns;
		if (from->max_ns > into->max_ns)
			into->max_ns = from->max_ns;
	}
	merge_counts(&into->known, &from->known);
	merge_counts(&into->censored, &from->censored);
	into->out_of_range += from->out_of_range;
	into->sum_ns += from->sum_ns;
	into->sum_squares += from->sum_squares;
}

/* ---- asking ---- */
uint64_t hist_count(const struct hist *h)
{
	return h->known.total;
}

uint64_t hist_censored_count(const struct hist *h)
{
	return h->censored.total;
}

uint64_t hist_out_of_range_count(const struct hist *h)
{
	return h->out_of_range;
}

int64_t hist_min_ns(const struct hist *h)
{
	return h->min_ns;
}

int64_t hist_max_ns(const struct hist *h)
{
	return h->max_ns;
}

double hist_mean_ns(const struct hist *h)
{
	return h->known.total > 0 ? h->sum_ns / (double)h->known.total : 0;
}

double hist_stddev_ns(const struct hist *h)
{
	if (h->known.total == 0)
		return 0;
	double mean_units = hist_mean_ns(h) / (double)UNIT_NS;
	double variance = h->sum_squares / (double)h->known.total - mean_units * mean_units;
	return variance > 0 ? sqrt(variance) * (double)UNIT_NS : 0;
}

/* Nearest rank, from 1.  The step back keeps 99.9 % of 1000 at 999 when the product is a hair above it. */
static uint64_t rank_of(double percentile, uint64_t total)
{
	double fraction = percentile / 100 * (double)total;
	double rank = ceil(fraction - (nextafter(fraction, HUGE_VAL) - fraction));
	return rank < 1 ? 1 : (uint64_t)rank;
}

struct hist_value hist_percentile(const struct hist *h, double percentile)
{
	assert(percentile >= 0 && percentile <= 100);
	uint64_t total = h->known.total + h->censored.total;
	if (total == 0)
		return (struct hist_value){ 0 };
	uint64_t rank = rank_of(percentile, total);
	bool among_censored = rank > h->known.total;
	uint32_t room = h->known.room > h->censored.room ? h->known.room : h->censored.room;
	uint64_t seen = 0;
	uint32_t i = 0;
	for (; i < room; i++) {
		seen += count_at(&h->known, i) + (among_censored ? count_at(&h->censored, i) : 0);
		if (seen >= rank)
			break;
	}
	assert(i < room);
	if (!among_censored)
		return (struct hist_value){ .ns = percentile > 0 ? highest_at(i) : lowest_at(i) };
	int64_t bound = lowest_at(i);
	return (struct hist_value){ .ns = bound > h->max_ns ? bound : h->max_ns, .at_least = true };
}

bool hist_next(const struct hist *h, uint32_t *pos, int64_t *ret_value_ns, uint64_t *ret_count)
{
	while (*pos < h->known.room) {
		uint32_t i = (*pos)++;
		if (h->known.at[i] == 0)
			continue;
		*ret_value_ns = highest_at(i);
		*ret_count = h->known.at[i];
		return true;
	}
	return false;
}

/* ---- HdrHistogram V2 ---- */
enum {
	V2_COOKIE = 0x1c849303 | 0x10,
	V2_COMPRESSED_COOKIE = 0x1c849304 | 0x10,
};

/* ZigZag, then seven bits a byte, least significant first; the ninth byte would hold eight. */
static void add_zigzag(struct buf *b, int64_t value)
{
	uint64_t bits = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
	for (unsigned i = 0; i < 8 && bits > 0x7f; i++) {
		buf_add_u8(b, (uint8_t)(bits | 0x80));
		bits >>= 7;
	}
	buf_add_u8(b, (uint8_t)bits);
}

/* A run of empty steps is its negative length. */
static void add_counts(const struct counts *c, struct buf *b)
{
	int64_t zeros = 0;
	for (uint32_t i = 0; i < c->room; i++) {
		if (c->at[i] == 0) {
			zeros++;
			continue;
		}
		if (zeros > 0)
			add_zigzag(b, zeros == 1 ? 0 : -zeros);
		zeros = 0;
		add_zigzag(b, (int64_t)c->at[i]);
	}
}

static void encode_plain(const struct hist *h, struct buf *ret_plain)
{
	static const uint64_t ratio_one = UINT64_C(0x3ff0000000000000); /* 1.0 as IEEE 754 */
	struct buf payload = { 0 };
	add_counts(&h->known, &payload);
	buf_add_u32(ret_plain, V2_COOKIE);
	buf_add_u32(ret_plain, (uint32_t)buf_bytes(&payload));
	buf_add_u32(ret_plain, 0); /* normalizing index offset */
	buf_add_u32(ret_plain, SIGNIFICANT_DIGITS);
	buf_add_u64(ret_plain, (uint64_t)UNIT_NS);
	buf_add_u64(ret_plain, (uint64_t)HIST_NS_MAX);
	buf_add_u64(ret_plain, ratio_one);
	buf_add(ret_plain, buf_span(&payload));
	buf_free(&payload);
}

int hist_encode(const struct hist *h, struct buf *ret_bytes, struct err *reterr)
{
	struct buf plain = { 0 };
	encode_plain(h, &plain);
	uLongf n = compressBound(buf_bytes(&plain));
	size_t before = buf_bytes(ret_bytes);
	buf_add_u32(ret_bytes, V2_COMPRESSED_COOKIE);
	buf_add_u32(ret_bytes, 0);
	char *at = buf_reserve(ret_bytes, n);
	int rc = compress((Bytef *)at, &n, (const Bytef *)buf_span(&plain).p, buf_bytes(&plain));
	buf_free(&plain);
	if (rc != Z_OK) {
		buf_truncate(ret_bytes, before);
		return err_set(reterr, -EIO, "histogram: zlib refused to compress: %d", rc);
	}
	buf_grow(ret_bytes, n);
	for (unsigned i = 0; i < 4; i++)
		ret_bytes->p[ret_bytes->begin + before + 4 + i] = (char)(n >> (24 - 8 * i) & 0xff);
	return 0;
}

/* ---- log ---- */
void hlog_begin(struct buf *log, int64_t start_wall_ms, const char *comment)
{
	if (comment != NULL)
		buf_addf(log, "#%s\n", comment);
	buf_add_cstr(log, "#[Histogram log format version 1.3]\n");
	buf_addf(log, "#[StartTime: %.3f (seconds since epoch)]\n", (double)start_wall_ms / 1000);
	buf_add_cstr(log, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
			  "\"Interval_Compressed_Histogram\"\n");
}

int hlog_add(struct buf *log, const struct hist *h, const char *tag, int64_t from_start_ms, int64_t length_ms,
	     struct err *reterr)
{
	assert(strpbrk(tag, ", \t\r\n") == NULL);
	struct buf bytes = { 0 };
	int rc = hist_encode(h, &bytes, reterr);
	if (rc == 0) {
		buf_addf(log, "Tag=%s,%.3f,%.3f,%.3f,", tag, (double)from_start_ms / 1000,
			 (double)length_ms / 1000, (double)hist_max_ns(h) / 1e6);
		base64_encode(buf_span(&bytes), log);
		buf_add_cstr(log, "\n");
	}
	buf_free(&bytes);
	return rc;
}
