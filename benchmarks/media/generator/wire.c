#include "wire.h"

#include <string.h>

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(char *out, const uint8_t *in, size_t length) {
    size_t written = 0, at = 0;
    for (; at + 2 < length; at += 3) {
        unsigned bits = (unsigned)in[at] << 16 | (unsigned)in[at + 1] << 8 | in[at + 2];
        out[written++] = ALPHABET[bits >> 18];
        out[written++] = ALPHABET[bits >> 12 & 63];
        out[written++] = ALPHABET[bits >> 6 & 63];
        out[written++] = ALPHABET[bits & 63];
    }
    if (at < length) {
        bool two = at + 1 < length;
        unsigned bits = (unsigned)in[at] << 16 | (two ? (unsigned)in[at + 1] << 8 : 0);
        out[written++] = ALPHABET[bits >> 18];
        out[written++] = ALPHABET[bits >> 12 & 63];
        out[written++] = two ? ALPHABET[bits >> 6 & 63] : '=';
        out[written++] = '=';
    }
    return written;
}

static const int8_t *base64_values(void) {
    static int8_t values[256];
    static bool made;
    if (!made) {
        memset(values, -1, sizeof values);
        for (int n = 0; n < 64; n++) values[(uint8_t)ALPHABET[n]] = (int8_t)n;
        made = true;
    }
    return values;
}

size_t base64_decode(uint8_t *out, size_t room, const char *in, size_t length) {
    const int8_t *values = base64_values();
    size_t written = 0;
    unsigned bits = 0, have = 0;
    for (size_t at = 0; at < length; at++) {
        int value = values[(uint8_t)in[at]];
        if (value < 0) break;
        bits = bits << 6 | (unsigned)value;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        if (written == room) break;
        out[written++] = (uint8_t)(bits >> have);
    }
    return written;
}

/* SHA-1 (RFC 3174) of a message of at most 119 bytes. */
static void sha1(uint8_t digest[20], const uint8_t *message, size_t length) {
    uint8_t blocks[128] = {0};
    size_t size = length + 9 > 64 ? 128 : 64;
    memcpy(blocks, message, length);
    blocks[length] = 0x80;
    for (size_t n = 0; n < 8; n++) blocks[size - 1 - n] = (uint8_t)(length * 8 >> 8 * n);
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    for (size_t block = 0; block < size; block += 64) {
        uint32_t w[80];
        for (int n = 0; n < 16; n++) {
            const uint8_t *four = blocks + block + 4 * n;
            w[n] = (uint32_t)four[0] << 24 | (uint32_t)four[1] << 16 | (uint32_t)four[2] << 8 | four[3];
        }
        for (int n = 16; n < 80; n++) {
            uint32_t mixed = w[n - 3] ^ w[n - 8] ^ w[n - 14] ^ w[n - 16];
            w[n] = mixed << 1 | mixed >> 31;
        }
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int n = 0; n < 80; n++) {
            uint32_t f, k;
            if (n < 20) f = (b & c) | (~b & d), k = 0x5A827999;
            else if (n < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (n < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t next = (a << 5 | a >> 27) + f + e + k + w[n];
            e = d, d = c, c = b << 30 | b >> 2, b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int n = 0; n < 20; n++) digest[n] = (uint8_t)(h[n / 4] >> (24 - 8 * (n % 4)));
}

void ws_accept(char out[29], const char *key) {
    char message[64];
    uint8_t digest[20];
    memcpy(message, key, 24);
    memcpy(message + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1(digest, (const uint8_t *)message, 60);
    out[base64_encode(out, digest, 20)] = 0;
}

uint64_t random_bits(void) {
    /* xorshift64*: masks and choices, nothing secret. */
    static uint64_t state = 0x9E3779B97F4A7C15u;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1Du;
}

size_t ws_frame(uint8_t *out, unsigned opcode, bool fin, const void *payload, size_t length) {
    size_t at = 0;
    out[at++] = (uint8_t)((fin ? 0x80 : 0) | opcode);
    if (length < 126) {
        out[at++] = (uint8_t)(0x80 | length);
    } else if (length < 65536) {
        out[at++] = 0x80 | 126;
        out[at++] = (uint8_t)(length >> 8);
        out[at++] = (uint8_t)length;
    } else {
        out[at++] = 0x80 | 127;
        for (int n = 7; n >= 0; n--) out[at++] = (uint8_t)((uint64_t)length >> 8 * n);
    }
    uint32_t key = (uint32_t)(random_bits() >> 32);
    memcpy(out + at, &key, 4);
    at += 4;
    uint64_t mask = (uint64_t)key << 32 | key;
    const uint8_t *from = payload;
    size_t n = 0;
    for (; n + 8 <= length; n += 8) {
        uint64_t eight;
        memcpy(&eight, from + n, 8);
        eight ^= mask;
        memcpy(out + at + n, &eight, 8);
    }
    for (; n < length; n++) out[at + n] = from[n] ^ ((uint8_t *)&key)[n % 4];
    return at + length;
}

WsFound ws_header(const uint8_t *in, size_t available, WsHeader *header) {
    if (available < 2) return WS_PARTIAL;
    if (in[0] & 0x70 || in[1] & 0x80) return WS_WRONG;
    header->fin = in[0] & 0x80;
    header->opcode = in[0] & 15;
    header->length = in[1] & 127;
    header->header = 2;
    unsigned more = header->length == 126 ? 2 : header->length == 127 ? 8 : 0;
    if (more) {
        header->header += more;
        if (available < header->header) return WS_PARTIAL;
        header->length = 0;
        for (unsigned n = 0; n < more; n++) header->length = header->length << 8 | in[2 + n];
        if (header->length > 1u << 24) return WS_WRONG;
    }
    return available - header->header < header->length ? WS_PARTIAL : WS_WHOLE;
}
