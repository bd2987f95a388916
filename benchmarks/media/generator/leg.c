#include "leg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hearing.h"
#include "marker.h"
#include "wire.h"

enum { CONNECT_TIMEOUT_US = 15000000, AGAIN_US = 500000, CHUNK = 1 << 16 };

uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void watch(Load *load, Leg *leg, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u32 = leg->number};
    epoll_ctl(load->epoll, operation, leg->descriptor, &event);
}

static void leave(Load *load, Leg *leg, uint64_t again_us) {
    if (leg->descriptor >= 0) close(leg->descriptor);
    leg->descriptor = -1;
    leg->input_length = leg->output_length = leg->message_length = 0;
    leg->watches_output = leg->close_after_output = false;
    leg->tail_length = 0;
    leg->marks_count = 0;
    leg->heard_until_us = leg->spurt_us = leg->last_us = 0;
    leg->settled = true;
    leg->state = again_us || load->reconnects || leg->garbage ? WAITING : GONE;
    leg->connect_at_us = now_us() + (again_us ? again_us : AGAIN_US);
}

static void lose(Load *load, Leg *leg, uint64_t *why) {
    if (leg->state == LIVE || leg->state == OPENED) load->figures.lost++;
    (*why)++;
    leave(load, leg, 0);
}

void leg_connect(Load *load, Leg *leg) {
    leg->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (leg->descriptor < 0) {
        lose(load, leg, &load->figures.refused_network);
        return;
    }
    int one = 1;
    setsockopt(leg->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    leg->state = CONNECTING;
    leg->deadline_us = now_us() + CONNECT_TIMEOUT_US;
    leg->life++;
    leg->chunk = leg->sequence = 0;
    int failed = connect(leg->descriptor, (struct sockaddr *)&load->address, sizeof load->address);
    if (failed && errno != EINPROGRESS) {
        lose(load, leg, &load->figures.refused_network);
        return;
    }
    watch(load, leg, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void upgrade(Load *load, Leg *leg) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(leg->descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        lose(load, leg, &load->figures.refused_network);
        return;
    }
    uint64_t nonce[2] = {random_bits(), random_bits()};
    char key[25], request[4096];
    key[base64_encode(key, (uint8_t *)nonce, 16)] = 0;
    ws_accept(leg->accept, key);
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "User-Agent: kallglot-load\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
                          leg->path, load->host, ntohs(load->address.sin_port), key);
    leg->state = UPGRADING;
    watch(load, leg, EPOLL_CTL_MOD, EPOLLIN);
    leg_send_raw(load, leg, request, (size_t)length);
}

void leg_send_raw(Load *load, Leg *leg, const void *data, size_t length) {
    size_t written = 0;
    if (!leg->output_length) {
        ssize_t sent = send(leg->descriptor, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return; /* reading will tell why */
        written = sent > 0 ? (size_t)sent : 0;
    }
    if (written == length) return;
    size_t rest = length - written;
    if (leg->output_length + rest > leg->output_room) {
        leg->output_room = (leg->output_length + rest) * 2;
        leg->output = realloc(leg->output, leg->output_room);
    }
    memcpy(leg->output + leg->output_length, (const uint8_t *)data + written, rest);
    leg->output_length += rest;
    if (!leg->watches_output) {
        leg->watches_output = true;
        watch(load, leg, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
}

void leg_send(Load *load, Leg *leg, unsigned opcode, bool fin, const void *payload, size_t length) {
    uint8_t small[2048], *frame = small;
    if (length + WS_MOST_HEADER > sizeof small) frame = malloc(length + WS_MOST_HEADER);
    leg_send_raw(load, leg, frame, ws_frame(frame, opcode, fin, payload, length));
    if (frame != small) free(frame);
}

void leg_writable(Load *load, Leg *leg) {
    if (leg->state == CONNECTING) {
        upgrade(load, leg);
        return;
    }
    ssize_t sent = send(leg->descriptor, leg->output, leg->output_length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
        leg->output_length -= (size_t)sent;
        memmove(leg->output, leg->output + sent, leg->output_length);
    }
    if (leg->output_length) return;
    leg->watches_output = false;
    watch(load, leg, EPOLL_CTL_MOD, EPOLLIN);
}

static void stream_id(const Load *load, const Leg *leg, char out[35]) {
    snprintf(out, 35, "MZ%016llx%08x%08x", (unsigned long long)load->run_id, leg->life, leg->number);
}

void leg_live(Leg *leg, uint64_t now) {
    leg->state = LIVE;
    leg->live_us = marker_floor(now);
    leg->settled = true;
}

static void opened(Load *load, Leg *leg) {
    load->figures.connected += !leg->ever_opened;
    load->figures.reconnected += leg->ever_opened;
    leg->ever_opened = true;
    if (leg->dialect == NATIVE) {
        leg->state = OPENED;
        return;
    }
    leg_live(leg, now_us());
    static const char connected[] = "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}";
    leg_send(load, leg, WS_TEXT, true, connected, sizeof connected - 1);
    char start[4096], stream[35], account[35], call[35];
    unsigned long long run = (unsigned long long)load->run_id;
    stream_id(load, leg, stream);
    snprintf(account, sizeof account, "AC%032llx", run);
    snprintf(call, sizeof call, "CA%016llx%016x", run, leg->number);
    leg->sequence = 1;
    int length = snprintf(start, sizeof start,
                          "{\"event\":\"start\",\"sequenceNumber\":\"1\",\"streamSid\":\"%s\",\"start\":{"
                          "\"accountSid\":\"%s\",\"streamSid\":\"%s\",\"callSid\":\"%s\",\"tracks\":[\"inbound\"],"
                          "\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\",\"sampleRate\":8000,\"channels\":1},"
                          "\"customParameters\":%s}}",
                          stream, account, stream, call, *leg->parameters ? leg->parameters : "{}");
    leg_send(load, leg, WS_TEXT, true, start, (size_t)length);
}

/* Returns how much of the input was the answer to the upgrade; 0: not all of it is there, or the leg is gone. */
static size_t read_answer(Load *load, Leg *leg, const char *input, size_t length) {
    const char *end = memmem(input, length, "\r\n\r\n", 4);
    if (!end) {
        if (length > 16384) lose(load, leg, &load->figures.wrong);
        return 0;
    }
    int status = 0;
    size_t head = (size_t)(end - input) + 4;
    if (length < 12 || sscanf(input, "HTTP/1.%*c %3d", &status) != 1 || status < 100 || status >= MOST_STATUS)
        status = 0;
    if (status != 101) {
        lose(load, leg, &load->figures.refused_status[status]);
        return 0;
    }
    if (!memmem(input, head, leg->accept, 28)) {
        lose(load, leg, &load->figures.refused_accept);
        return 0;
    }
    opened(load, leg);
    return head;
}

static void closed_by_server(Load *load, Leg *leg, const uint8_t *payload, size_t length) {
    unsigned code = length >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 1005;
    leg_send(load, leg, WS_CLOSE, true, payload, length >= 2 ? 2 : 0);
    lose(load, leg, &load->figures.close_codes[code < 5000 ? code : 0]);
}

static void take_frame(Load *load, Leg *leg, const WsHeader *header, const uint8_t *payload, uint64_t now) {
    size_t length = (size_t)header->length;
    switch (header->opcode) {
    case WS_CLOSE:
        closed_by_server(load, leg, payload, length);
        return;
    case WS_PING:
        leg_send(load, leg, WS_PONG, true, payload, length);
        return;
    case WS_PONG:
        return;
    }
    if (header->fin && header->opcode != WS_CONTINUATION) {
        hear(load, leg, header->opcode, (const char *)payload, length, now);
        return;
    }
    if (header->opcode != WS_CONTINUATION) {
        leg->message_opcode = header->opcode;
        leg->message_length = 0;
    }
    leg->message = realloc(leg->message, leg->message_length + length + 1);
    memcpy(leg->message + leg->message_length, payload, length);
    leg->message_length += length;
    if (header->fin) hear(load, leg, leg->message_opcode, (const char *)leg->message, leg->message_length, now);
}

/* Returns how much of it was used. */
static size_t take(Load *load, Leg *leg, const uint8_t *input, size_t length, uint64_t now) {
    size_t used = 0;
    if (leg->state == UPGRADING) {
        used = read_answer(load, leg, (const char *)input, length);
        if (!used) return 0;
    }
    while (leg->state == LIVE || leg->state == OPENED) {
        WsHeader header;
        WsFound found = ws_header(input + used, length - used, &header);
        if (found == WS_PARTIAL) break;
        if (found == WS_WRONG) {
            lose(load, leg, &load->figures.wrong);
            break;
        }
        take_frame(load, leg, &header, input + used + header.header, now);
        used += header.header + (size_t)header.length;
    }
    return used;
}

void leg_readable(Load *load, Leg *leg) {
    static uint8_t buffer[CHUNK];
    for (;;) {
        ssize_t got = recv(leg->descriptor, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            if (leg->state == CONNECTING || leg->state == UPGRADING) lose(load, leg, &load->figures.refused_network);
            else lose(load, leg, &load->figures.close_codes[1006]);
            return;
        }
        load->figures.bytes_received += (uint64_t)got;
        uint8_t *input = buffer;
        size_t length = (size_t)got;
        if (leg->input_length) {
            if (leg->input_length + length > leg->input_room) {
                leg->input_room = (leg->input_length + length) * 2;
                leg->input = realloc(leg->input, leg->input_room);
            }
            memcpy(leg->input + leg->input_length, buffer, length);
            input = leg->input;
            length += leg->input_length;
        }
        size_t used = take(load, leg, input, length, now_us());
        if (leg->descriptor < 0) return;
        size_t rest = length - used;
        if (rest > leg->input_room) {
            leg->input_room = rest * 2;
            leg->input = realloc(leg->input, leg->input_room);
            if (leg->input_length) input = leg->input;
        }
        if (rest) memmove(leg->input, input + used, rest);
        leg->input_length = rest;
        if (got < CHUNK) return;
    }
}

size_t leg_media(const Load *load, const Leg *leg, uint64_t now, char *out) {
    bool talks = leg->frame >= leg->offset_frames && (leg->frame - leg->offset_frames) % leg->period < leg->on;
    const Audio *audio = talks ? &load->speech : &load->silence;
    size_t piece = (leg->frame + (uint64_t)leg->number * 7919) % audio->frames;
    uint8_t marker[MARKER_BYTES];
    marker_write(marker, now, leg->number);
    if (leg->dialect == NATIVE) {
        memcpy(out, marker, MARKER_BYTES);
        memcpy(out + MARKER_BYTES, audio->raw + piece * FRAME_BYTES + MARKER_BYTES, FRAME_BYTES - MARKER_BYTES);
        return FRAME_BYTES;
    }
    char stream[35];
    stream_id(load, leg, stream);
    int head = sprintf(out,
                       "{\"event\":\"media\",\"sequenceNumber\":\"%llu\",\"streamSid\":\"%s\",\"media\":{"
                       "\"track\":\"inbound\",\"chunk\":\"%llu\",\"timestamp\":\"%llu\",\"payload\":\"",
                       (unsigned long long)leg->sequence + 1, stream, (unsigned long long)leg->chunk + 1,
                       (unsigned long long)leg->chunk * 20);
    size_t length = (size_t)head;
    length += base64_encode(out + length, marker, MARKER_BYTES);
    memcpy(out + length, audio->coded + piece * audio->coded_length, audio->coded_length);
    length += audio->coded_length;
    memcpy(out + length, "\"}}", 3);
    return length + 3;
}

static void answer_marks(Load *load, Leg *leg, uint64_t now) {
    while (leg->marks_count && leg->marks[leg->marks_first].due_us <= now) {
        char answer[256], stream[35];
        stream_id(load, leg, stream);
        leg->sequence++;
        int length = snprintf(answer, sizeof answer,
                              "{\"event\":\"mark\",\"sequenceNumber\":\"%llu\",\"streamSid\":\"%s\","
                              "\"mark\":{\"name\":\"%s\"}}",
                              (unsigned long long)leg->sequence, stream, leg->marks[leg->marks_first].name);
        leg_send(load, leg, WS_TEXT, true, answer, (size_t)length);
        load->figures.marks_answered++;
        leg->marks_first = (leg->marks_first + 1) % MOST_MARKS;
        leg->marks_count--;
    }
}

void leg_tick(Load *load, Leg *leg, uint64_t now) {
    leg->frame++;
    if (leg->state == WAITING && leg->connect_at_us <= now) leg_connect(load, leg);
    if ((leg->state == CONNECTING || leg->state == UPGRADING || leg->state == OPENED) &&
        now > leg->deadline_us)
        lose(load, leg, &load->figures.refused_timeout);
    if (leg->state != LIVE) return;
    answer_marks(load, leg, now);
    bool counted = now >= load->figures.from_us && now < load->figures.until_us && !leg->garbage &&
                   now >= leg->live_us + load->settle_us;
    if (leg->output_length > MOST_UNSENT) {
        load->figures.frames_unsent += counted;
        return;
    }
    char media[1024];
    size_t length = leg_media(load, leg, now, media);
    leg->sequence++;
    leg->chunk++;
    load->figures.frames_sent += counted;
    leg_send(load, leg, leg->dialect == NATIVE ? WS_BINARY : WS_TEXT, true, media, length);
    if (leg->garbage && random_bits() % 50 == 0) garbage_send(load, leg, now);
}

void leg_drop(Load *load, Leg *leg, bool abruptly, uint64_t again_us) {
    if (abruptly) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(leg->descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        load->figures.drops_abrupt++;
    } else {
        if (leg->dialect == TWILIO && leg->state == LIVE) {
            char stop[256], stream[35];
            stream_id(load, leg, stream);
            int length = snprintf(stop, sizeof stop, "{\"event\":\"stop\",\"sequenceNumber\":\"%llu\",\"streamSid\":\"%s\"}",
                                  (unsigned long long)++leg->sequence, stream);
            leg_send(load, leg, WS_TEXT, true, stop, (size_t)length);
        }
        static const uint8_t normal[] = {1000 >> 8, 1000 & 255};
        leg_send(load, leg, WS_CLOSE, true, normal, sizeof normal);
        load->figures.drops_closed++;
    }
    leave(load, leg, again_us);
}
