/* The figures of a run as one JSON object. */
#pragma once

#include <stdio.h>

#include "leg.h"

void report_write(FILE *to, const Load *load, double seconds, double cpu_seconds);
