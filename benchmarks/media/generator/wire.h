/* What WebSocket clients need on the wire (RFC 6455): base64, the handshake's hash, frames. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum { WS_MOST_HEADER = 14 };

/* Returns the number of characters written, with padding; no terminating zero. */
size_t base64_encode(char *out, const uint8_t *in, size_t length);
/* Returns the number of bytes written, at most `room`; stops at the first character that is no base64. */
size_t base64_decode(uint8_t *out, size_t room, const char *in, size_t length);

/* The Sec-WebSocket-Accept that belongs to a key; 28 characters and a zero. */
void ws_accept(char out[29], const char *key);

/* Appends one masked client frame to `out`, which has room for it; returns its length. */
size_t ws_frame(uint8_t *out, unsigned opcode, bool fin, const void *payload, size_t length);

typedef struct {
    bool fin;
    unsigned opcode;
    size_t header;
    uint64_t length;
} WsHeader;

typedef enum { WS_PARTIAL, WS_WHOLE, WS_WRONG } WsFound;

/* Reads a server's frame header; WS_WHOLE where header and payload are there. */
WsFound ws_header(const uint8_t *in, size_t available, WsHeader *header);

uint64_t random_bits(void);
