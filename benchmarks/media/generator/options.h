/* What is asked for on the command line, and the files that it names. */
#pragma once

#include <stdbool.h>

#include "leg.h"

typedef struct {
    const char *host, *audio, *json, *legs;
    int port;
    double seconds, warmup, tail, ramp, churn, garbage;
    unsigned grid_us;
} Options;

/* These end the program, with a message, where something is wrong. */
Options options_read(int count, char **given);
void audio_read(Audio *speech, const char *path);
void audio_silence(Audio *silence);
Leg *legs_read(const Options *options, unsigned *count);
