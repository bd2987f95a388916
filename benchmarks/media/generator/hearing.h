/* What a leg hears: audio that is timed, marks that are to be answered, and the rest that is counted. */
#pragma once

#include "leg.h"

void hear(Load *load, Leg *leg, unsigned opcode, const char *data, size_t length, uint64_t now);
