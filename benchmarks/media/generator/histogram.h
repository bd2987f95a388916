/* Counts of microseconds in buckets that are 0.8 % wide: percentiles of any number of values in fixed memory. */
#pragma once

#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 7, HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS, HISTOGRAM_BUCKETS = HISTOGRAM_SUB * 30 };

typedef struct {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max_us;
} Histogram;

static inline unsigned histogram_bucket(uint64_t us) {
    if (us < HISTOGRAM_SUB) return (unsigned)us;
    unsigned shift = 63 - HISTOGRAM_SUB_BITS - (unsigned)__builtin_clzll(us);
    unsigned bucket = (shift + 1) * HISTOGRAM_SUB + (unsigned)(us >> shift) - HISTOGRAM_SUB;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(Histogram *histogram, uint64_t us) {
    histogram->counts[histogram_bucket(us)]++;
    histogram->total++;
    if (us > histogram->max_us) histogram->max_us = us;
}

/* The upper edge of the bucket that holds the value of this rank, in microseconds. */
static inline uint64_t histogram_quantile(const Histogram *histogram, double quantile) {
    if (!histogram->total) return 0;
    uint64_t rank = (uint64_t)(quantile * (double)histogram->total);
    if (rank >= histogram->total) rank = histogram->total - 1;
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen <= rank) continue;
        if (bucket < HISTOGRAM_SUB) return bucket;
        unsigned shift = bucket / HISTOGRAM_SUB - 1;
        uint64_t edge = ((uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB + 1) << shift) - 1;
        return edge < histogram->max_us ? edge : histogram->max_us;
    }
    return histogram->max_us;
}
