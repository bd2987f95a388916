/* A load generator for servers of telephone audio: one thread, one epoll, so many legs at fifty frames a second.
 *
 * Legs are spread evenly over 20 ms, each at its own moment for the whole run, and what is late is sent at once and
 * told of. Phases are announced on stdout, a word a line: connecting, settling, measuring, measured. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "leg.h"
#include "marker.h"
#include "options.h"
#include "report.h"
#include "wire.h"

enum { TIMER = 0xFFFFFFFF, AGAIN_AFTER_DROP_US = 500000, MOST_EVENTS = 4096, SENDS_AT_ONCE = 64, CONNECTING_S = 30 };

typedef enum { CONNECTING_PHASE, SETTLING, MEASURING, TAIL, OVER } Phase;

typedef struct {
    Load load;
    Options options;
    Phase phase;
    uint64_t began_us, deadline_us, slot, next_drop_us;
    int timer;
    double cpu_seconds;
} Run;

static double cpu_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static uint64_t slot_due(const Run *run) {
    return run->began_us + run->slot * FRAME_US / run->load.count;
}

static bool all_settled(const Load *load) {
    for (unsigned n = 0; n < load->count; n++)
        if (!load->legs[n].settled) return false;
    return true;
}

static bool all_back(const Figures *figures) {
    return figures->marked + figures->connecting_round_trip.total >= figures->frames_sent;
}

static void enter(Run *run, Phase phase, const char *word, uint64_t lasts_us) {
    run->phase = phase;
    run->deadline_us = now_us() + lasts_us;
    if (word) {
        puts(word);
        fflush(stdout);
    }
}

static void advance(Run *run, uint64_t now) {
    Figures *figures = &run->load.figures;
    bool due = now >= run->deadline_us;
    if (run->phase == CONNECTING_PHASE && (due || (run->slot % run->load.count == 0 && all_settled(&run->load)))) {
        run->load.settle_us = marker_floor((uint64_t)(run->options.warmup * 1e6));
        enter(run, SETTLING, "settling", run->load.settle_us);
    } else if (run->phase == SETTLING && due) {
        enter(run, MEASURING, "measuring", (uint64_t)(run->options.seconds * 1e6));
        figures->from_us = marker_floor(now) + MARKER_TICK_US;
        figures->until_us = marker_floor(run->deadline_us);
        run->cpu_seconds = cpu_seconds();
    } else if (run->phase == MEASURING && due) {
        run->cpu_seconds = cpu_seconds() - run->cpu_seconds;
        enter(run, TAIL, "measured", (uint64_t)(run->options.tail * 1e6));
    } else if (run->phase == TAIL && (due || all_back(figures))) {
        enter(run, OVER, NULL, 0);
    }
}

static void churn(Run *run, uint64_t now) {
    if (run->options.churn <= 0 || run->phase == CONNECTING_PHASE || now < run->next_drop_us) return;
    run->next_drop_us = now + (uint64_t)(1e6 / run->options.churn);
    Leg *leg = &run->load.legs[(random_bits() >> 16) % run->load.count];
    if (leg->state == LIVE) leg_drop(&run->load, leg, random_bits() >> 63, AGAIN_AFTER_DROP_US);
}

static void send_due(Run *run) {
    Load *load = &run->load;
    uint64_t now = now_us();
    for (int n = 0; n < SENDS_AT_ONCE && slot_due(run) <= now; n++, run->slot++) {
        if (run->phase == MEASURING) histogram_add(&load->figures.own_lateness, now - slot_due(run));
        leg_tick(load, &load->legs[run->slot % load->count], now);
        now = now_us();
    }
    churn(run, now);
    advance(run, now);
}

static void set_timer(Run *run) {
    uint64_t at = slot_due(run);
    struct itimerspec when = {.it_value = {(time_t)(at / 1000000), (long)(at % 1000000) * 1000 + 1}};
    timerfd_settime(run->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Many legs are read together, as a network card hands packets over: a wake-up for each would cost more than all else,
 * here and in the server that causes it. */
static void rest_until(uint64_t at) {
    if (now_us() >= at) return;
    struct timespec when = {(time_t)(at / 1000000), (long)(at % 1000000) * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

static void handle(Run *run, const struct epoll_event *events, int count) {
    for (int n = 0; n < count; n++) {
        if (events[n].data.u32 == TIMER) {
            uint64_t expired;
            if (read(run->timer, &expired, sizeof expired) < 0) continue;
            continue;
        }
        Leg *leg = &run->load.legs[events[n].data.u32];
        if (leg->descriptor >= 0 && events[n].events & EPOLLOUT) leg_writable(&run->load, leg);
        if (leg->descriptor >= 0 && events[n].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) leg_readable(&run->load, leg);
        /* What is due is not kept waiting by much that has come. */
        if (n % 64 == 63 && slot_due(run) <= now_us()) send_due(run);
    }
}

static void go(Run *run) {
    static struct epoll_event events[MOST_EVENTS];
    enter(run, CONNECTING_PHASE, "connecting", (uint64_t)((CONNECTING_S + run->load.count / run->options.ramp) * 1e6));
    while (run->phase != OVER) {
        send_due(run);
        bool behind = slot_due(run) <= now_us();
        if (!behind) set_timer(run);
        int count = epoll_wait(run->load.epoll, events, MOST_EVENTS, behind ? 0 : -1);
        uint64_t woke = now_us();
        handle(run, events, count);
        if (run->phase == MEASURING) histogram_add(&run->load.figures.pass, now_us() - woke);
        if (!behind) rest_until(woke + run->options.grid_us);
    }
}

static void hang_up(Load *load) {
    for (unsigned n = 0; n < load->count; n++)
        if (load->legs[n].descriptor >= 0) leg_drop(load, &load->legs[n], load->legs[n].state != LIVE, 0);
}

int main(int count, char **given) {
    static Run run;
    run.options = options_read(count, given);
    Load *load = &run.load;
    load->legs = legs_read(&run.options, &load->count);
    audio_read(&load->speech, run.options.audio);
    audio_silence(&load->silence);
    load->host = run.options.host;
    load->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)run.options.port)};
    if (inet_pton(AF_INET, run.options.host, &load->address.sin_addr) != 1) {
        fprintf(stderr, "load: --host: expected an IPv4 address, got '%s'\n", run.options.host);
        return 2;
    }
    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1000);

    load->run_id = (uint64_t)time(NULL) << 20 | (uint64_t)(getpid() & 0xFFFFF);
    load->reconnects = run.options.churn > 0;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    run.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = TIMER};
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, run.timer, &event);
    run.began_us = now_us() + 10000;
    for (unsigned n = 0; n < load->count; n++)
        load->legs[n].connect_at_us = run.began_us + (uint64_t)(n / run.options.ramp * 1e6);
    load->figures.from_us = load->figures.until_us = UINT64_MAX;
    go(&run);

    FILE *to = run.options.json ? fopen(run.options.json, "w") : stdout;
    if (!to) {
        perror("load: --json");
        return 1;
    }
    report_write(to, load, run.options.seconds, run.cpu_seconds);
    if (to != stdout) fclose(to);
    hang_up(load);
    return 0;
}
