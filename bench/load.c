// The load generator of the benchmark. It also takes the measurements, so that the counted requests and the measured
// time begin and end at the same instant. One thread, one epoll. Prints "name value" lines.
//
//   load port                              a free port on 127.0.0.1
//   load requests  OPTIONS                 closed loop of non-streaming chats: CPU of the pids per request
//   load streams   OPTIONS                 N open streams: CPU per event, memory per 1,000 streams, delay of tokens
//   load memory    --pids P[,P]            RSS and private dirty of the pids
//   load start     --to PORT --count N [--log FILE] -- COMMAND ARG...
//                                          N times: exec, poll GET /health until 200, kill; median milliseconds
//   OPTIONS  --to PORT  --key BEARER  --model NAME  --conns N  --warm SECONDS  --secs SECONDS  --rate TOKENS_PER_S  --pids P[,P]
//            --opening STREAMS_PER_S (1000)
//
// CPU time is read from each process's own clock, in nanoseconds; the kernel's share of it from /proc/PID/stat, in ticks. An
// answer must contain the requested model's name. A stream counts as complete if its tokens are numbered without a gap, have that
// name, and are followed by usage, [DONE] and the end of the chunked body. Exit code 1: some were incomplete.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEAD, SIZED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };
#define DELAYS 200000  // one bucket a microsecond

struct conn {
    int fd, state, status, seen;
    size_t need, got, head_length, event_length;
    bool usage, done, over;
    char last;
    char head[2048], event[8192];
};

static const char *key = "none", *model = "mock", *log_file = "/dev/null";
static int port, conns = 32, rate = 50, opening = 1000, count = 20, pids[64], pid_count, poller, broken, whole, tokens_each;
static double warm = 1, secs = 5;
static bool streaming;
static struct conn *all;
static char request[4096], model_mark[256];
static size_t request_length;
static uint64_t finished, events, reads;
static uint32_t delays[DELAYS + 1];
static int started;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *form, ...)
{
    va_list args;
    va_start(args, form);
    vfprintf(stderr, form, args);
    va_end(args);
    fputc('\n', stderr);
    exit(2);
}

// --- CPU time and memory of the measured processes ---

static void cpu(double *total, double *kernel)
{
    *total = *kernel = 0;
    for (int i = 0; i < pid_count; i++) {
        char path[64], text[1024];
        snprintf(path, sizeof path, "/proc/%d/stat", pids[i]);
        FILE *file = fopen(path, "r");
        clockid_t clock;
        struct timespec used;
        if (!file || clock_getcpuclockid(pids[i], &clock) != 0 || clock_gettime(clock, &used) != 0) fail("load: process %d is gone", pids[i]);
        size_t n = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[n] = 0;
        unsigned long s = 0;
        sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %lu", &s);
        *total += (double)used.tv_sec + (double)used.tv_nsec / 1e9;
        *kernel += (double)s / (double)sysconf(_SC_CLK_TCK);
    }
}

static void memory(long *rss, long *dirty)
{
    *rss = *dirty = 0;
    for (int i = 0; i < pid_count; i++) {
        char path[64], line[256];
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pids[i]);
        FILE *file = fopen(path, "r");
        if (!file) fail("load: process %d has ended or belongs to another user", pids[i]);
        while (fgets(line, sizeof line, file)) {
            long kib;
            if (sscanf(line, "Rss: %ld", &kib) == 1) *rss += kib;
            if (sscanf(line, "Private_Dirty: %ld", &kib) == 1) *dirty += kib;
        }
        fclose(file);
    }
}

// --- connections ---

static int dial(bool wait)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        if (!wait) {
            close(fd);
            return -1;
        }
        fail("load: connect to 127.0.0.1:%d: %s", port, strerror(errno));
    }
    return fd;
}

static void ask(struct conn *c)
{
    c->state = HEAD;
    c->head_length = c->event_length = c->got = 0;
    if (send(c->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) fail("load: send: %s", strerror(errno));
}

static void open_conn(struct conn *c)
{
    memset(c, 0, sizeof *c);
    c->fd = dial(true);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event watch = { .events = EPOLLIN, .data.ptr = c };
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &watch);
    ask(c);
}

static void give_up(struct conn *c, const char *why)
{
    if (broken++ < 3) fprintf(stderr, "load: %s (status %d, after %d tokens) %.*s\n", why, c->status, c->seen, (int)(c->event_length < 300 ? c->event_length : 300), c->event);
    close(c->fd);
    c->fd = -1;
    if (streaming) c->over = true;
    else if (broken > 100) fail("load: too many failures");
    else open_conn(c);
}

// --- answers ---

static bool read_event(struct conn *c, const char *text, size_t length)
{
    const char *data = length > 4 && memcmp(text, "id: ", 4) == 0 ? memchr(text, '\n', length) : NULL;  // the id line of a stream that can be resumed
    if (data) length -= (size_t)(++data - text), text = data;
    if (length < 6 || memcmp(text, "data: ", 6) != 0) return text[0] == ':';  // an SSE comment is a keep-alive
    if (memmem(text, length, "[DONE]", 6)) return c->done = true;
    if (memmem(text, length, "\"usage\":{", 9)) c->usage = true;
    const char *content = memmem(text, length, "\"content\":\"", 11);
    if (!content || !isdigit((unsigned char)content[11])) return true;
    int number = atoi(content + 11);
    uint64_t sent = strtoull(content + 18, NULL, 10), at = (uint64_t)(now() * 1e6), delay = at > sent ? at - sent : 0;
    if (number != c->seen || !memmem(text, length, model_mark, strlen(model_mark))) return false;
    if (c->seen++ == 0) started++;
    events++;
    delays[delay < DELAYS ? delay : DELAYS]++;
    return true;
}

static bool on_body(struct conn *c, const char *bytes, size_t length)
{
    if (c->got == 0 && !streaming && bytes[0] != '{') return false;
    c->got += length;
    c->last = bytes[length - 1];
    if (c->event_length + length > sizeof c->event) return false;
    memcpy(c->event + c->event_length, bytes, length);
    c->event_length += length;
    if (c->status != 200 || !streaming) return true;
    char *from = c->event, *end = c->event + c->event_length, *stop;
    while ((stop = memmem(from, (size_t)(end - from), "\n\n", 2))) {
        if (!read_event(c, from, (size_t)(stop - from))) return false;
        from = stop + 2;
    }
    c->event_length = (size_t)(end - from);
    memmove(c->event, from, c->event_length);
    return true;
}

static void on_end(struct conn *c)
{
    if (c->status != 200) give_up(c, "refused");
    else if (streaming && (c->seen != tokens_each || !c->usage || !c->done)) give_up(c, "a stream ended early");
    else if (!streaming && (c->got < 1000 || c->last != '}')) give_up(c, "an answer is cut off");
    else if (!streaming && !memmem(c->event, c->event_length, model_mark, strlen(model_mark))) give_up(c, "an answer from another model");
    else if (streaming) {
        whole++;
        c->over = true;
    } else {
        finished++;
        ask(c);
    }
}

static bool on_head(struct conn *c)
{
    c->head[c->head_length] = 0;
    c->status = atoi(c->head + 9);
    char *sized = strcasestr(c->head, "\r\ncontent-length:"), *chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked");
    if (!sized && !chunked) return false;
    c->state = chunked ? CHUNK_SIZE : SIZED;
    c->need = chunked ? 0 : strtoul(sized + 17, NULL, 10);
    return chunked || c->need > 0;
}

static bool feed(struct conn *c, const char *p, size_t n)
{
    while (n > 0) {
        size_t take = 1;
        switch (c->state) {
        case HEAD:
            if (c->head_length == sizeof c->head - 1) return false;
            c->head[c->head_length++] = *p;
            if (*p == '\n' && c->head_length > 3 && memcmp(c->head + c->head_length - 4, "\r\n\r\n", 4) == 0 && !on_head(c)) return false;
            break;
        case CHUNK_SIZE:
            if (isxdigit((unsigned char)*p)) c->need = c->need * 16 + (size_t)(isdigit((unsigned char)*p) ? *p - '0' : (*p | 32) - 'a' + 10);
            else if (*p == '\n') {
                c->state = c->need ? CHUNK_DATA : TRAILER;
                c->head_length = 0;
            }
            break;
        case TRAILER:
            if (*p != '\n') c->head_length += *p != '\r';
            else if (c->head_length > 0) c->head_length = 0;
            else {
                on_end(c);
                return true;
            }
            break;
        case CHUNK_END:
            if (*p == '\n') c->state = CHUNK_SIZE;
            break;
        default:
            take = n < c->need ? n : c->need;
            if (!on_body(c, p, take)) return false;
            if ((c->need -= take) > 0) break;
            if (c->state == SIZED) {
                on_end(c);
                return true;
            }
            c->state = CHUNK_END;
        }
        p += take;
        n -= take;
    }
    return true;
}

static void turn(double until)
{
    static char bytes[65536];
    struct epoll_event ready[256];
    double left = until - now();
    int n = epoll_wait(poller, ready, 256, left > 0 ? (int)(left * 1000) + 1 : 0);
    for (int i = 0; i < n; i++) {
        struct conn *c = ready[i].data.ptr;
        ssize_t got = recv(c->fd, bytes, sizeof bytes, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        reads++;
        if (c->over) {  // this connection is done, and the peer closes it or sends more
            epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
            continue;
        }
        if (got <= 0) give_up(c, "the connection was closed");
        else if (!feed(c, bytes, (size_t)got)) give_up(c, "not what was asked for");
    }
}

static void run(double until)
{
    while (now() < until) turn(until);
}

static void write_request(void)
{
    char body[2048], text[512];
    int padding = 480;
    tokens_each = (int)(rate * ((double)conns / opening + warm + secs + 1));
    snprintf(model_mark, sizeof model_mark, "\"model\":\"%s\"", model);
    snprintf(text, sizeof text, "@mock r=%d n=%d", rate, tokens_each);
    char filler[1024];
    for (int i = 0; i < padding; i++) filler[i] = "You are a careful assistant who answers in one short paragraph. "[i % 64];
    int n = snprintf(body, sizeof body,
        "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"%.*s\"},{\"role\":\"user\",\"content\":\"%s. %.*s\"}],"
        "\"temperature\":0.7,\"top_p\":1.0,\"max_tokens\":512,%s}",
        model, padding, filler, text, 361, filler,
        streaming ? "\"stream\":true,\"stream_options\":{\"include_usage\":true}" : "\"stream\":false,\"user\":\"bench\"");
    request_length = (size_t)snprintf(request, sizeof request,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %s\r\ncontent-type: application/json\r\naccept: application/json\r\n"
        "user-agent: bench-load/1\r\ncontent-length: %d\r\n\r\n%s", port, key, n, body);
}

// --- the commands ---

static int measure_requests(void)
{
    double total0, kernel0, total1, kernel1, begun;
    for (int i = 0; i < conns; i++) open_conn(&all[i]);
    run(now() + warm);
    cpu(&total0, &kernel0);
    finished = 0;
    begun = now();
    run(begun + secs);
    cpu(&total1, &kernel1);
    double used = total1 - total0;
    printf("request_us %.2f\nrequests %llu\nrequests_per_s %.0f\nrequest_kernel_share %.2f\nrequests_broken %d\n", used * 1e6 / (double)(finished ? finished : 1),
        (unsigned long long)finished, (double)finished / (now() - begun), used > 0 ? (kernel1 - kernel0) / used : 0, broken);
    return broken > 0 || finished == 0;
}

static double delay_at(double share)
{
    uint64_t total = 0, so_far = 0;
    for (int i = 0; i <= DELAYS; i++) total += delays[i];
    for (int i = 0; i <= DELAYS; i++)
        if ((so_far += delays[i]) >= (uint64_t)((double)total * share)) return i / 1000.0;
    return 0;
}

static int measure_streams(void)
{
    double total0, kernel0, total1, kernel1, begun = now();
    long rss0, dirty0, rss1, dirty1;
    memory(&rss0, &dirty0);
    for (int i = 0; i < conns; i++) {  // opened one by one, so that their tokens are spread over the period
        run(begun + (double)i / opening);
        open_conn(&all[i]);
    }
    for (double patience = now() + 30; started + broken < conns && now() < patience;) run(now() + 0.01);
    run(now() + warm);
    cpu(&total0, &kernel0);
    events = reads = 0;
    memset(delays, 0, sizeof delays);
    begun = now();
    run(begun + secs);
    cpu(&total1, &kernel1);
    double used = total1 - total0, took = now() - begun;
    uint64_t counted = events;
    memory(&rss1, &dirty1);
    int ended = whole;
    printf("event_us %.2f\nevents %llu\nevents_per_s %.0f\nevents_per_read %.2f\nevent_kernel_share %.2f\n", used * 1e6 / (double)(counted ? counted : 1),
        (unsigned long long)counted, (double)counted / took, (double)counted / (double)(reads ? reads : 1), used > 0 ? (kernel1 - kernel0) / used : 0);
    printf("delay_p50_ms %.3f\ndelay_p99_ms %.3f\nstream_rss_mib_per_1000 %.2f\nstream_dirty_mib_per_1000 %.2f\nrss_before_mib %.1f\nrss_during_mib %.1f\n",
        delay_at(0.5), delay_at(0.99), (double)(rss1 - rss0) / 1.024 / conns, (double)(dirty1 - dirty0) / 1.024 / conns, (double)rss0 / 1024, (double)rss1 / 1024);
    for (double patience = now() + 30; whole + broken < conns && now() < patience;) run(now() + 0.01);
    printf("streams_whole %d\nstreams_broken %d\nstreams_ended_inside_window %d\n", whole, conns - whole, ended);
    return whole < conns || ended > 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure_start(char **command)
{
    static const char get[] = "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    double took[200];
    for (int i = 0; i < count && i < 200; i++) {
        double begun = now();
        pid_t child = fork();
        if (child == 0) {
            int to = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);
            dup2(to, 1);
            dup2(to, 2);
            execvp(command[0], command);
            _exit(127);
        }
        char text[64];
        for (bool up = false; !up;) {
            int fd = dial(false);
            if (fd >= 0) {
                struct timeval patience = { .tv_sec = 5 };
                setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
                up = send(fd, get, sizeof get - 1, MSG_NOSIGNAL) > 0 && recv(fd, text, sizeof text, 0) > 12 && memcmp(text + 9, "200", 3) == 0;
                close(fd);
            }
            if (up) took[i] = (now() - begun) * 1000;
            else if (now() - begun > 30 || waitpid(child, NULL, WNOHANG) == child) fail("load: %s does not answer /health", command[0]);
            else usleep(500);
        }
        kill(child, SIGTERM);
        for (double patience = now() + 10; waitpid(child, NULL, WNOHANG) == 0; usleep(1000))
            if (now() > patience) kill(child, SIGKILL);
    }
    qsort(took, (size_t)count, sizeof *took, by_size);
    printf("start_ms %.1f\nstart_min_ms %.1f\nstart_max_ms %.1f\n", took[count / 2], took[0], took[count - 1]);
    return 0;
}

static int free_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || getsockname(fd, (struct sockaddr *)&at, &size) != 0) fail("load: no free port");
    printf("%d\n", ntohs(at.sin_port));
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "to", 1, NULL, 't' }, { "key", 1, NULL, 'k' }, { "model", 1, NULL, 'm' }, { "conns", 1, NULL, 'c' }, { "warm", 1, NULL, 'w' }, { "secs", 1, NULL, 's' },
        { "rate", 1, NULL, 'r' }, { "opening", 1, NULL, 'o' }, { "pids", 1, NULL, 'p' }, { "count", 1, NULL, 'n' }, { "log", 1, NULL, 'l' }, { 0 } };
    if (argc < 2) fail("load: port, requests, streams, memory or start; see the top of load.c");
    const char *verb = argv[1];
    for (int o; (o = getopt_long(argc - 1, argv + 1, "+", options, NULL)) != -1;) {
        if (o == 't') port = atoi(optarg);
        else if (o == 'k') key = optarg;
        else if (o == 'm') model = optarg;
        else if (o == 'c') conns = atoi(optarg);
        else if (o == 'w') warm = atof(optarg);
        else if (o == 's') secs = atof(optarg);
        else if (o == 'r') rate = atoi(optarg);
        else if (o == 'o') opening = atoi(optarg);
        else if (o == 'n') count = atoi(optarg);
        else if (o == 'l') log_file = optarg;
        else if (o == 'p') for (char *p = strtok(optarg, ","); p && pid_count < 64; p = strtok(NULL, ",")) pids[pid_count++] = atoi(p);
        else return 2;
    }
    if (strcmp(verb, "port") == 0) return free_port();
    if (strcmp(verb, "start") == 0) return measure_start(argv + 1 + optind);
    if (strcmp(verb, "memory") == 0) {
        long rss, dirty;
        memory(&rss, &dirty);
        printf("idle_rss_mib %.1f\nidle_dirty_mib %.1f\n", (double)rss / 1024, (double)dirty / 1024);
        return 0;
    }
    streaming = strcmp(verb, "streams") == 0;
    if (!streaming && strcmp(verb, "requests") != 0) fail("load: what is '%s'?", verb);
    write_request();
    poller = epoll_create1(EPOLL_CLOEXEC);
    all = calloc((size_t)conns, sizeof *all);
    return streaming ? measure_streams() : measure_requests();
}
