/* Twelve mu-law bytes that say when, and on which leg, a frame was sent.
 *
 * Only the quietest codes are used, below -48 dBFS, so that a marker in silence is no speech; all of them survive
 * mu-law -> 16-bit PCM -> mu-law. The first two bytes occur nowhere else: audio is rid of them before it is sent. So a
 * marker is found wherever in a frame a server's own framing has moved it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MARKER_BYTES = 12, MARKER_BASE = 28, MARKER_TICK_US = 20, MARKER_TIME_DIGITS = 6, MARKER_LEG_DIGITS = 3 };
enum { MARKER_MOST_LEGS = MARKER_BASE * MARKER_BASE * MARKER_BASE };
#define MARKER_WRAP ((uint64_t)MARKER_MOST_LEGS * MARKER_MOST_LEGS)

/* As a marker has it. Moments that are compared with what markers say are such, too. */
static inline uint64_t marker_floor(uint64_t us) {
    return us - us % MARKER_TICK_US;
}

static inline uint8_t marker_code(unsigned digit) {
    return (uint8_t)(digit < 14 ? 0xF1 + digit : 0x71 + digit - 14);
}

static inline int marker_digit(uint8_t code) {
    unsigned low = (unsigned)(code & 0x7F) - 0x71;
    return low >= 14 ? -1 : (int)(code & 0x80 ? low : low + 14);
}

static inline void marker_write(uint8_t *out, uint64_t now_us, unsigned leg) {
    uint64_t ticks = now_us / MARKER_TICK_US % MARKER_WRAP;
    unsigned check = 7;
    out[0] = 0xF0;
    out[1] = 0x70;
    for (unsigned n = 0; n < MARKER_TIME_DIGITS + MARKER_LEG_DIGITS; n++) {
        unsigned digit;
        if (n < MARKER_TIME_DIGITS) {
            digit = (unsigned)(ticks % MARKER_BASE);
            ticks /= MARKER_BASE;
        } else {
            digit = leg % MARKER_BASE;
            leg /= MARKER_BASE;
        }
        out[2 + n] = marker_code(digit);
        check += digit * (2 * n + 1);
    }
    out[MARKER_BYTES - 1] = marker_code(check % MARKER_BASE);
}

/* Whether a marker stands here; how long ago it was written, and for which leg. */
static inline bool marker_read(const uint8_t *in, uint64_t now_us, uint64_t *age_us, unsigned *leg) {
    if (in[0] != 0xF0 || in[1] != 0x70) return false;
    uint64_t ticks = 0, place = 1;
    unsigned check = 7, leg_place = 1;
    *leg = 0;
    for (unsigned n = 0; n < MARKER_TIME_DIGITS + MARKER_LEG_DIGITS; n++) {
        int digit = marker_digit(in[2 + n]);
        if (digit < 0) return false;
        if (n < MARKER_TIME_DIGITS) {
            ticks += place * (unsigned)digit;
            place *= MARKER_BASE;
        } else {
            *leg += leg_place * (unsigned)digit;
            leg_place *= MARKER_BASE;
        }
        check += (unsigned)digit * (2 * n + 1);
    }
    if (marker_digit(in[MARKER_BYTES - 1]) != (int)(check % MARKER_BASE)) return false;
    uint64_t now_ticks = now_us / MARKER_TICK_US % MARKER_WRAP;
    *age_us = (now_ticks + MARKER_WRAP - ticks) % MARKER_WRAP * MARKER_TICK_US;
    return true;
}

/* Rids audio of the codes that begin a marker, and of the second zero, which does not survive being decoded. */
static inline void marker_clean(uint8_t *audio, size_t length) {
    for (size_t n = 0; n < length; n++) {
        if (audio[n] == 0xF0 || audio[n] == 0x70) audio[n]++;
        if (audio[n] == 0x7F) audio[n] = 0xFF;
    }
}
