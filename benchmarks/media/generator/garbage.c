#include <stdlib.h>
#include <string.h>

#include "leg.h"
#include "wire.h"

enum { OVERSIZED = 700 * 1024 };

static void text(Load *load, Leg *leg, const char *message) {
    leg_send(load, leg, WS_TEXT, true, message, strlen(message));
}

static void fragmented(Load *load, Leg *leg, uint64_t now) {
    char media[1024];
    size_t length = leg_media(load, leg, now, media), third = length / 3;
    unsigned opcode = leg->dialect == NATIVE ? WS_BINARY : WS_TEXT;
    leg_send(load, leg, opcode, false, media, third);
    leg_send(load, leg, WS_PING, true, "between", 7);
    leg_send(load, leg, WS_CONTINUATION, false, media + third, third);
    leg_send(load, leg, WS_CONTINUATION, true, media + 2 * third, length - 2 * third);
}

static void oversized(Load *load, Leg *leg) {
    char *message = malloc(OVERSIZED);
    memset(message, 'x', OVERSIZED);
    memcpy(message, "{\"event\":\"media\",\"x\":\"", 22);
    memcpy(message + OVERSIZED - 2, "\"}", 2);
    leg_send(load, leg, WS_TEXT, true, message, OVERSIZED);
    free(message);
}

void garbage_send(Load *load, Leg *leg, uint64_t now) {
    load->figures.garbage_sent++;
    switch (random_bits() >> 32 & 15) {
    case 0:
        oversized(load, leg);
        break;
    case 1: case 2: case 3:
        text(load, leg, "{\"event\":\"media\",\"media\":{\"payload\":");
        break;
    case 4: case 5: case 6:
        text(load, leg, "{\"event\":\"media\",\"media\":{\"track\":\"inbound\",\"payload\":\"!no base64?\"}}");
        break;
    case 7: case 8: case 9:
        text(load, leg, "{\"event\":\"weather\",\"type\":\"weather\",\"weather\":{\"rain\":[1,2,3]}}");
        break;
    case 10: case 11: case 12:
        fragmented(load, leg, now);
        break;
    default:
        leg_send(load, leg, WS_PING, true, "are you there", 13);
    }
}
