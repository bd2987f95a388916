#include "report.h"

static void histogram(FILE *to, const char *name, const Histogram *of) {
    if (!of->total) {
        fprintf(to, "  \"%s\": null,\n", name);
        return;
    }
    fprintf(to, "  \"%s\": {\"count\": %llu, \"p50\": %.3f, \"p95\": %.3f, \"p99\": %.3f, \"p999\": %.3f, \"max\": %.3f},\n",
            name, (unsigned long long)of->total, (double)histogram_quantile(of, 0.5) / 1000,
            (double)histogram_quantile(of, 0.95) / 1000, (double)histogram_quantile(of, 0.99) / 1000,
            (double)histogram_quantile(of, 0.999) / 1000, (double)of->max_us / 1000);
}

static void counts(FILE *to, const char *name, const uint64_t *of, unsigned length) {
    fprintf(to, "\"%s\": {", name);
    const char *comma = "";
    for (unsigned n = 0; n < length; n++) {
        if (!of[n]) continue;
        fprintf(to, "%s\"%u\": %llu", comma, n, (unsigned long long)of[n]);
        comma = ", ";
    }
    fprintf(to, "}");
}

#define COUNT(name, value) fprintf(to, "\"%s\": %llu, ", name, (unsigned long long)(value))
#define LAST(name, value) fprintf(to, "\"%s\": %llu},\n", name, (unsigned long long)(value))

void report_write(FILE *to, const Load *load, double seconds, double cpu_seconds) {
    const Figures *figures = &load->figures;
    unsigned silent = 0, garbage = 0, live = 0;
    for (unsigned n = 0; n < load->count; n++) {
        silent += !load->legs[n].received;
        garbage += load->legs[n].garbage;
        live += load->legs[n].state == LIVE;
    }
    fprintf(to, "{\n  \"seconds\": %.3f,\n  \"legs\": {", seconds);
    COUNT("asked", load->count);
    COUNT("connected", figures->connected);
    COUNT("live_at_end", live);
    COUNT("reconnected", figures->reconnected);
    COUNT("dropped_abruptly", figures->drops_abrupt);
    COUNT("dropped_closed", figures->drops_closed);
    COUNT("lost", figures->lost);
    COUNT("got_nothing", silent);
    COUNT("garbage", garbage);
    COUNT("protocol_errors", figures->wrong);
    fprintf(to, "\"refused\": {");
    COUNT("network", figures->refused_network);
    COUNT("timeout", figures->refused_timeout);
    COUNT("accept", figures->refused_accept);
    counts(to, "http", figures->refused_status, MOST_STATUS);
    fprintf(to, "}, ");
    counts(to, "close_codes", figures->close_codes, 5000);
    fprintf(to, "},\n  \"frames\": {");
    COUNT("sent", figures->frames_sent);
    COUNT("unsent", figures->frames_unsent);
    COUNT("came_back", figures->marked);
    COUNT("own", figures->own);
    COUNT("across", figures->across);
    COUNT("messages", figures->messages_received);
    COUNT("received", figures->frames_received);
    COUNT("without_marker", figures->unmarked);
    COUNT("marks_answered", figures->marks_answered);
    COUNT("clears", figures->clears);
    COUNT("garbage", figures->garbage_sent);
    LAST("errors_told", figures->errors);
    histogram(to, "round_trip_ms", &figures->round_trip);
    histogram(to, "round_trip_connecting_ms", &figures->connecting_round_trip);
    histogram(to, "arrival_late_ms", &figures->lateness);
    histogram(to, "generator_late_ms", &figures->own_lateness);
    histogram(to, "generator_pass_ms", &figures->pass);
    fprintf(to, "  \"generator_cpu_cores\": %.4f\n}\n", cpu_seconds / seconds);
}
