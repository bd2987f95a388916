#include "hearing.h"

#include <string.h>

#include "marker.h"
#include "wire.h"

enum { GAP_US = 300000, MOST_AUDIO = 1 << 16, BYTES_PER_MS = 8, OLDEST_US = 120000000 };

/* The string that a key of a JSON object has, wherever in it; null where there is none. No escapes. */
static const char *json_string(const char *data, size_t length, const char *quoted_key, size_t *found_length) {
    const char *end = data + length;
    size_t key_length = strlen(quoted_key);
    for (const char *at = data; (at = memmem(at, (size_t)(end - at), quoted_key, key_length)); at++) {
        const char *value = at + key_length;
        while (value < end && (*value == ' ' || *value == ':')) value++;
        if (value >= end || *value != '"') continue;
        value++;
        const char *closing = memchr(value, '"', (size_t)(end - value));
        if (!closing) return NULL;
        *found_length = (size_t)(closing - value);
        return value;
    }
    return NULL;
}

static bool is(const char *found, size_t length, const char *expected) {
    return found && length == strlen(expected) && memcmp(found, expected, length) == 0;
}

/* As a telephone plays: from the first that comes on without a stop; what comes later than it had to is late. */
static void time_arrival(Load *load, Leg *leg, size_t samples, uint64_t now) {
    Figures *figures = &load->figures;
    uint64_t due = leg->spurt_us + leg->spurt_samples * 1000 / BYTES_PER_MS;
    bool goes_on = leg->spurt_us && (now - leg->last_us <= GAP_US || now <= due);
    if (!goes_on) {
        leg->spurt_us = due = now;
        leg->spurt_samples = 0;
    }
    if (now >= figures->from_us && now < figures->until_us && !leg->garbage)
        histogram_add(&figures->lateness, now > due ? now - due : 0);
    leg->spurt_samples += samples;
    leg->last_us = now;
    uint64_t from = leg->heard_until_us > now ? leg->heard_until_us : now;
    leg->heard_until_us = from + samples * 1000 / BYTES_PER_MS;
}

static bool found_marker(Load *load, Leg *leg, const uint8_t *at, uint64_t now) {
    uint64_t age;
    unsigned sender;
    if (!marker_read(at, now, &age, &sender) || sender >= load->count || age > OLDEST_US) return false;
    Figures *figures = &load->figures;
    const Leg *from = &load->legs[sender];
    uint64_t sent_us = marker_floor(now) - age;
    figures->marked_all++;
    if (leg->garbage || from->garbage || sent_us < figures->from_us || sent_us >= figures->until_us) return true;
    uint64_t settled_us = (from->live_us > leg->live_us ? from->live_us : leg->live_us) + load->settle_us;
    if (sent_us < settled_us) {
        histogram_add(&figures->connecting_round_trip, age);
        return true;
    }
    figures->marked++;
    if (sender == leg->number) figures->own++;
    else figures->across++;
    histogram_add(&figures->round_trip, age);
    return true;
}

/* `audio` has eleven bytes of room in front of it. */
static void hear_audio(Load *load, Leg *leg, uint8_t *audio, size_t length, uint64_t now) {
    if (!length) return;
    Figures *figures = &load->figures;
    bool counted = now >= figures->from_us && now < figures->until_us;
    leg->received += counted;
    figures->frames_received += counted;
    time_arrival(load, leg, length, now);
    bool any = false;
    size_t before = leg->tail_length;
    uint8_t *from = audio - before;
    memcpy(from, leg->tail, before);
    size_t whole = before + length;
    for (size_t at = 0; at + MARKER_BYTES <= whole;) {
        uint8_t *next = memchr(from + at, 0xF0, whole - at - MARKER_BYTES + 1);
        if (!next) break;
        at = (size_t)(next - from);
        if (found_marker(load, leg, next, now)) {
            any = true;
            at += MARKER_BYTES;
        } else {
            at++;
        }
    }
    figures->unmarked += counted && !any;
    size_t keep = whole < MARKER_BYTES - 1 ? whole : MARKER_BYTES - 1;
    /* One byte less than a marker: none is read twice. */
    memcpy(leg->tail, from + whole - keep, keep);
    leg->tail_length = (unsigned)keep;
}

static void hear_payload(Load *load, Leg *leg, const char *data, size_t length, uint64_t now) {
    static uint8_t audio[MARKER_BYTES + MOST_AUDIO];
    size_t coded_length;
    const char *coded = json_string(data, length, "\"payload\"", &coded_length);
    if (!coded) return;
    size_t decoded = base64_decode(audio + MARKER_BYTES, MOST_AUDIO, coded, coded_length);
    hear_audio(load, leg, audio + MARKER_BYTES, decoded, now);
}

static void hear_twilio(Load *load, Leg *leg, const char *data, size_t length, uint64_t now) {
    size_t event_length, name_length;
    const char *event = json_string(data, length, "\"event\"", &event_length);
    if (is(event, event_length, "media")) {
        hear_payload(load, leg, data, length, now);
    } else if (is(event, event_length, "mark")) {
        const char *name = json_string(data, length, "\"name\"", &name_length);
        if (!name || leg->marks_count == MOST_MARKS) return;
        Mark *mark = &leg->marks[(leg->marks_first + leg->marks_count++) % MOST_MARKS];
        mark->due_us = leg->heard_until_us;
        if (name_length >= sizeof mark->name) name_length = sizeof mark->name - 1;
        memcpy(mark->name, name, name_length);
        mark->name[name_length] = 0;
    } else if (is(event, event_length, "clear")) {
        load->figures.clears++;
        leg->heard_until_us = now;
        for (unsigned n = 0; n < leg->marks_count; n++) leg->marks[(leg->marks_first + n) % MOST_MARKS].due_us = 0;
    }
}

static void hear_native(Load *load, Leg *leg, const char *data, size_t length, uint64_t now) {
    size_t type_length;
    const char *type = json_string(data, length, "\"type\"", &type_length);
    if (is(type, type_length, "audio.output")) {
        hear_payload(load, leg, data, length, now);
    } else if (is(type, type_length, "session.ready") && leg->state == OPENED) {
        static const char format[] =
            "{\"type\":\"audio.format\",\"encoding\":\"mulaw\",\"sample_rate_hz\":8000,\"output\":\"binary\"}";
        leg_send(load, leg, WS_TEXT, true, format, sizeof format - 1);
        leg_live(leg, now);
    } else if (is(type, type_length, "error")) {
        load->figures.errors++;
    }
}

void hear(Load *load, Leg *leg, unsigned opcode, const char *data, size_t length, uint64_t now) {
    if (now >= load->figures.from_us && now < load->figures.until_us) load->figures.messages_received++;
    if (leg->dialect == TWILIO) {
        hear_twilio(load, leg, data, length, now);
    } else if (opcode == WS_TEXT) {
        hear_native(load, leg, data, length, now);
    } else {
        static uint8_t audio[MARKER_BYTES + MOST_AUDIO];
        if (length > MOST_AUDIO) length = MOST_AUDIO;
        memcpy(audio + MARKER_BYTES, data, length);
        hear_audio(load, leg, audio + MARKER_BYTES, length, now);
    }
}
