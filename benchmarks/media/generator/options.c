#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "marker.h"
#include "wire.h"

#define FAIL(...) (fprintf(stderr, "load: " __VA_ARGS__), fputc('\n', stderr), exit(2))

static const char USAGE[] =
    "load LEGS.tsv --port N --audio SPEECH.ulaw [--host 127.0.0.1] [--seconds 10] [--warmup 1] [--tail 0.5]\n"
    "     [--ramp 500] [--churn 0] [--garbage 0] [--grid-us N] [--json OUT]     see benchmarks/media/README.md";

static double number(const char *text, const char *name) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || value < 0) FAIL("--%s: expected a number, got '%s'", name, text);
    return value;
}

Options options_read(int count, char **given) {
    Options options = {.host = "127.0.0.1", .seconds = 10, .warmup = 1, .tail = 0.5, .ramp = 500, .grid_us = 100};
    static const struct option known[] = {
        {"host", 1, 0, 'h'},    {"port", 1, 0, 'p'},  {"audio", 1, 0, 'a'}, {"seconds", 1, 0, 's'},
        {"warmup", 1, 0, 'w'},  {"ramp", 1, 0, 'r'},  {"churn", 1, 0, 'c'}, {"garbage", 1, 0, 'g'},
        {"grid-us", 1, 0, 'u'}, {"json", 1, 0, 'j'},  {"tail", 1, 0, 't'},
        {0, 0, 0, 0},
    };
    int option;
    while ((option = getopt_long(count, given, "", known, NULL)) != -1) {
        switch (option) {
        case 'h': options.host = optarg; break;
        case 'p': options.port = (int)number(optarg, "port"); break;
        case 'a': options.audio = optarg; break;
        case 's': options.seconds = number(optarg, "seconds"); break;
        case 'w': options.warmup = number(optarg, "warmup"); break;
        case 't': options.tail = number(optarg, "tail"); break;
        case 'r': options.ramp = number(optarg, "ramp"); break;
        case 'c': options.churn = number(optarg, "churn"); break;
        case 'g': options.garbage = number(optarg, "garbage"); break;
        case 'u': options.grid_us = (unsigned)number(optarg, "grid-us"); break;
        case 'j': options.json = optarg; break;
        default: FAIL("%s", USAGE);
        }
    }
    if (optind + 1 != count || !options.port || !options.audio || options.ramp <= 0) FAIL("%s", USAGE);
    options.legs = given[optind];
    return options;
}

static char *file(const char *path, size_t *length) {
    FILE *from = fopen(path, "rb");
    if (!from) FAIL("%s cannot be read", path);
    fseek(from, 0, SEEK_END);
    *length = (size_t)ftell(from);
    rewind(from);
    char *data = malloc(*length + 1);
    if (fread(data, 1, *length, from) != *length) FAIL("%s cannot be read", path);
    data[*length] = 0;
    fclose(from);
    return data;
}

static void code(Audio *audio) {
    const size_t rest = FRAME_BYTES - MARKER_BYTES;
    audio->coded_length = (rest + 2) / 3 * 4;
    audio->coded = malloc(audio->frames * audio->coded_length);
    for (size_t n = 0; n < audio->frames; n++)
        base64_encode(audio->coded + n * audio->coded_length, audio->raw + n * FRAME_BYTES + MARKER_BYTES, rest);
}

void audio_read(Audio *speech, const char *path) {
    size_t length;
    speech->raw = (uint8_t *)file(path, &length);
    speech->frames = (unsigned)(length / FRAME_BYTES);
    if (!speech->frames) FAIL("%s holds less than 20 ms of mu-law at 8 kHz", path);
    marker_clean(speech->raw, length);
    code(speech);
}

void audio_silence(Audio *silence) {
    silence->frames = 1;
    silence->raw = malloc(FRAME_BYTES);
    memset(silence->raw, 0xFF, FRAME_BYTES);
    code(silence);
}

static void what(Leg *leg, const char *said) {
    leg->on = leg->period = 1;
    unsigned on, off;
    if (strcmp(said, "listen") == 0) leg->on = 0;
    else if (sscanf(said, "duty:%u/%u", &on, &off) == 2 && on + off > 0) leg->on = on, leg->period = on + off;
    else if (strcmp(said, "talk") != 0) FAIL("expected talk, listen or duty:ON/OFF, got '%s'", said);
}

static void read_leg(Leg *leg, char *line) {
    char *fields[5];
    for (int n = 0; n < 5; n++) {
        fields[n] = strsep(&line, "\t");
        if (!fields[n]) FAIL("leg %u: expected five fields with tabs between them", leg->number);
    }
    leg->path = fields[0];
    leg->parameters = fields[2];
    if (strcmp(fields[1], "native") == 0) leg->dialect = NATIVE;
    else if (strcmp(fields[1], "twilio") == 0) leg->dialect = TWILIO;
    else FAIL("leg %u: expected twilio or native, got '%s'", leg->number, fields[1]);
    if (strlen(leg->path) > 2048 || strlen(leg->parameters) > 2048) FAIL("leg %u: too long", leg->number);
    what(leg, fields[3]);
    leg->offset_frames = (unsigned)(number(fields[4], "start offset") * 1000 / FRAME_US);
}

Leg *legs_read(const Options *options, unsigned *count) {
    size_t length;
    char *text = file(options->legs, &length), *line;
    Leg *legs = NULL;
    *count = 0;
    while ((line = strsep(&text, "\n"))) {
        if (!*line) continue;
        if (*count == MARKER_MOST_LEGS) FAIL("at most %d legs", MARKER_MOST_LEGS);
        legs = realloc(legs, (*count + 1) * sizeof *legs);
        Leg *leg = &legs[*count];
        memset(leg, 0, sizeof *leg);
        leg->number = (*count)++;
        leg->descriptor = -1;
        leg->garbage = (leg->number * 2654435761u) % 10000 < options->garbage * 10000;
        read_leg(leg, line);
    }
    if (!*count) FAIL("%s holds no legs", options->legs);
    return legs;
}
