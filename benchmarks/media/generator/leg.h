/* One leg: a WebSocket connection that speaks as a telephone would, and its figures. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

enum { FRAME_US = 20000, FRAME_BYTES = 160 };
enum { MOST_MARKS = 32, MOST_UNSENT = 1 << 20, MOST_STATUS = 600 };

typedef enum { TWILIO, NATIVE } Dialect;
/* WAITING is for its next connection, GONE for none. A native leg is LIVE from session.ready on. */
typedef enum { WAITING, CONNECTING, UPGRADING, OPENED, LIVE, GONE } State;

typedef struct {
    unsigned frames;
    uint8_t *raw;
    /* Of each frame what stands behind the marker, in base64. */
    char *coded;
    size_t coded_length;
} Audio;

typedef struct {
    uint64_t due_us;
    char name[64];
} Mark;

typedef struct {
    unsigned number;
    const char *path;
    const char *parameters;
    Dialect dialect;
    /* Sends silence until the offset; from then on talks so many frames of each period. 0 of 1 never talks. */
    unsigned on, period;
    unsigned offset_frames;
    bool garbage;

    State state;
    int descriptor;
    unsigned life;
    bool ever_opened, settled;
    uint64_t deadline_us, connect_at_us, live_us;
    char accept[29];

    uint8_t *input;
    size_t input_length, input_room;
    uint8_t *message;
    size_t message_length;
    unsigned message_opcode;
    uint8_t *output;
    size_t output_length, output_room;
    bool watches_output, close_after_output;
    uint8_t tail[11];
    unsigned tail_length;

    uint64_t chunk, sequence, frame;
    Mark marks[MOST_MARKS];
    unsigned marks_first, marks_count;
    uint64_t heard_until_us;

    uint64_t spurt_us, spurt_samples, last_us;
    uint64_t received;
    uint64_t sent;
} Leg;

typedef struct {
    /* First tries only count what was sent between these, by legs that had settled. */
    uint64_t from_us, until_us;
    Histogram round_trip, connecting_round_trip, lateness, own_lateness, pass;
    uint64_t frames_sent, frames_unsent, messages_received, frames_received, marked, marked_all, unmarked;
    uint64_t own, across, marks_answered, clears, errors, garbage_sent, bytes_received;
    uint64_t connected, reconnected, drops_abrupt, drops_closed, lost, wrong;
    uint64_t refused_status[MOST_STATUS];
    uint64_t refused_network, refused_timeout, refused_accept;
    uint64_t close_codes[5000];
} Figures;

typedef struct {
    struct sockaddr_in address;
    const char *host;
    int epoll;
    Leg *legs;
    unsigned count;
    Audio speech, silence;
    uint64_t settle_us;
    uint64_t run_id;
    bool reconnects;
    Figures figures;
} Load;

uint64_t now_us(void);

/* Its peer is ready for audio. */
void leg_live(Leg *leg, uint64_t now);
void leg_connect(Load *load, Leg *leg);
/* What epoll told of its socket. */
void leg_readable(Load *load, Leg *leg);
void leg_writable(Load *load, Leg *leg);
/* Its next 20 ms are due. */
void leg_tick(Load *load, Leg *leg, uint64_t now);
/* Hangs up: without a word, or with Twilio's stop and a close frame. */
void leg_drop(Load *load, Leg *leg, bool abruptly, uint64_t again_us);
void leg_send(Load *load, Leg *leg, unsigned opcode, bool fin, const void *payload, size_t length);
void leg_send_raw(Load *load, Leg *leg, const void *data, size_t length);

/* Something that no carrier sends; which, is a matter of chance. */
void garbage_send(Load *load, Leg *leg, uint64_t now);

/* Builds Twilio's media message or the native binary frame; returns the length. */
size_t leg_media(const Load *load, const Leg *leg, uint64_t now, char *out);
