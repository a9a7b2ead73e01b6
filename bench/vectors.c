// The load generator of the inference benchmark. It sends prepared requests over keep-alive connections. One thread, one
// epoll. It counts the vectors in an answer and does not parse the rest. Prints "name value" lines.
//
//   vectors port             a free port on 127.0.0.1
//   vectors all    OPTIONS   sends every request of the file, repeated --times; tokens/s until the last answer
//   vectors ask    OPTIONS   sends the requests in turn for --secs seconds, on each connection one every --every seconds
//                            (0: immediately after an answer); the time that an answer takes
//   OPTIONS  --to PORT  --path PATH  --file REQUESTS  --conns N  --secs SECONDS  --every SECONDS  --times N  --mark TEXT
//            --pid P
//            --bulk REQUESTS  --bulk-conns N     further connections that send their requests without pauses, counted separately
//
// A file of requests: before each body a line "TOKENS TEXTS BYTES", after it a line feed. --mark is a string that occurs once per
// text in an answer. CPU is utime+stime of the process --pid and of this one. Exit code 1: an answer was an error or incomplete.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TIMES 2000000

struct request {
    char *bytes;
    size_t length;
    int tokens, texts;
};

struct group {
    struct request *requests;
    int count, next, open;
};

struct conn {
    int fd;
    struct group *group;
    struct request *asked;
    size_t sent, got, head, whole;
    double since, due;
    bool busy;
    char *answer;
};

static const char *path = "/v1/embeddings", *mark = "\"embedding\":", *file, *bulk_file;
static int port, conns = 1, passes = 1, bulk_conns = 1, pid, poller, broken;
static double secs = 5, every;
static double *times;
static size_t taken, answer_room = 1 << 16;
static uint64_t tokens, texts, answers, bulk_tokens;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "vectors: %s%s\n", what, which);
    exit(2);
}

static double cpu_of(int process)
{
    char name[64], text[1024];
    snprintf(name, sizeof name, "/proc/%d/stat", process);
    FILE *stat = fopen(name, "r");
    if (!stat) fail("the measured process is gone", "");
    size_t n = fread(text, 1, sizeof text - 1, stat);
    fclose(stat);
    text[n] = 0;
    unsigned long user = 0, kernel = 0;
    sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static struct group load(const char *name)
{
    struct group group = { 0 };
    FILE *from = fopen(name, "r");
    if (!from) fail("cannot read ", name);
    int a, b;
    size_t length;
    while (fscanf(from, "%d %d %zu", &a, &b, &length) == 3) {
        char head[256];
        fgetc(from);
        int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", path, length);
        group.requests = realloc(group.requests, (size_t)(group.count + 1) * sizeof *group.requests);
        struct request *r = &group.requests[group.count++];
        *r = (struct request){ malloc((size_t)n + length), (size_t)n + length, a, b };
        memcpy(r->bytes, head, (size_t)n);
        if (fread(r->bytes + n, 1, length, from) != length) fail("cut off: ", name);
        if ((size_t)b * 16384 > answer_room) answer_room = (size_t)b * 16384;
    }
    fclose(from);
    if (group.count == 0) fail("no requests in ", name);
    return group;
}

static void push(struct conn *c)
{
    while (c->sent < c->asked->length) {
        ssize_t n = send(c->fd, c->asked->bytes + c->sent, c->asked->length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) fail("send: ", strerror(errno));
        c->sent += (size_t)n;
    }
}

static void ask(struct conn *c, double at)
{
    struct group *g = c->group;
    c->asked = &g->requests[g->next++ % g->count];
    c->sent = c->got = c->head = c->whole = 0;
    c->since = at;
    c->busy = true;
    g->open++;
    push(c);
}

static void take(struct conn *c, bool counted)
{
    int status = 0, vectors = 0;
    sscanf(c->answer, "HTTP/1.1 %d", &status);
    size_t step = strlen(mark);
    for (char *at = c->answer + c->head, *end = c->answer + c->got; status == 200 && (at = memmem(at, (size_t)(end - at), mark, step)); at += step) vectors++;
    if (status != 200 || vectors != c->asked->texts) {
        if (broken++ < 3) fprintf(stderr, "vectors: status %d, %d vectors for %d texts: %.200s\n", status, vectors, c->asked->texts, c->answer + c->head);
    }
    c->busy = false;
    c->group->open--;
    if (!counted) {
        bulk_tokens += (uint64_t)c->asked->tokens;
        return;
    }
    tokens += (uint64_t)c->asked->tokens;
    texts += (uint64_t)c->asked->texts;
    answers++;
    if (taken < TIMES) times[taken++] = now() - c->since;
}

// True if the answer is complete.
static bool pull(struct conn *c)
{
    while (true) {
        ssize_t n = recv(c->fd, c->answer + c->got, answer_room - c->got, 0);
        if (n < 0 && errno == EAGAIN) return false;
        if (n <= 0) fail("the connection was closed before an answer was whole", "");
        c->got += (size_t)n;
        if (c->head == 0) {
            char *end = memmem(c->answer, c->got, "\r\n\r\n", 4);
            if (!end) continue;
            c->head = (size_t)(end + 4 - c->answer);
            *end = 0;
            char *length = strcasestr(c->answer, "\r\ncontent-length:");
            if (!length) fail("an answer without a length: ", c->answer);
            c->whole = c->head + strtoull(length + 17, NULL, 10);
            if (c->whole > answer_room) fail("an answer that is too long", "");
        }
        if (c->got >= c->whole) return true;
        if (c->got == answer_room) fail("an answer that is too long", "");
    }
}

static void dial(struct conn *c, struct group *group)
{
    int one = 1;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    *c = (struct conn){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .group = group, .answer = malloc(answer_room) };
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) fail("connect: ", strerror(errno));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event watch = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &watch);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double share(double p)
{
    return taken == 0 ? NAN : times[(size_t)((double)(taken - 1) * p)] * 1e3;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "to", 1, 0, 't' }, { "path", 1, 0, 'u' }, { "file", 1, 0, 'f' }, { "conns", 1, 0, 'c' }, { "secs", 1, 0, 's' }, { "every", 1, 0, 'e' }, { "times", 1, 0, 'n' },
        { "mark", 1, 0, 'm' }, { "pid", 1, 0, 'p' }, { "bulk", 1, 0, 'b' }, { "bulk-conns", 1, 0, 'B' }, { 0, 0, 0, 0 },
    };
    if (argc < 2) fail("port, all or ask", "");
    if (strcmp(argv[1], "port") == 0) {
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof any;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(fd, (struct sockaddr *)&any, length) != 0 || getsockname(fd, (struct sockaddr *)&any, &length) != 0) fail("no free port: ", strerror(errno));
        printf("%d\n", ntohs(any.sin_port));
        return 0;
    }
    bool once = strcmp(argv[1], "all") == 0;
    if (!once && strcmp(argv[1], "ask") != 0) fail("not a verb: ", argv[1]);
    for (int o; (o = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1;) {
        switch (o) {
            case 't': port = atoi(optarg); break;
            case 'u': path = optarg; break;
            case 'f': file = optarg; break;
            case 'c': conns = atoi(optarg); break;
            case 's': secs = atof(optarg); break;
            case 'e': every = atof(optarg); break;
            case 'n': passes = atoi(optarg); break;
            case 'm': mark = optarg; break;
            case 'p': pid = atoi(optarg); break;
            case 'b': bulk_file = optarg; break;
            case 'B': bulk_conns = atoi(optarg); break;
            default: return 2;
        }
    }
    if (!file || !port) fail("--file and --to are needed", "");
    signal(SIGPIPE, SIG_IGN);
    times = malloc(TIMES * sizeof *times);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct group asked = load(file), bulk = { 0 };
    if (bulk_file) bulk = load(bulk_file);
    else bulk_conns = 0;
    struct conn *all = calloc((size_t)(conns + bulk_conns), sizeof *all);
    for (int i = 0; i < conns; i++) dial(&all[i], &asked);
    for (int i = conns; i < conns + bulk_conns; i++) dial(&all[i], &bulk);

    for (int i = conns; i < conns + bulk_conns; i++) ask(&all[i], now());
    if (bulk_conns > 0) sleep(1);
    bulk_tokens = 0;
    int last = asked.count * passes;
    double began = now(), end = began + secs, cpu = pid ? cpu_of(pid) : 0, own = own_cpu();
    for (int i = 0; i < conns; i++) {
        all[i].due = began + every * i / conns;
        if (every <= 0 && (!once || asked.next < last)) ask(&all[i], now());
    }

    while (once ? asked.open > 0 || asked.next < last : now() < end) {
        struct epoll_event ready[64];
        int n = epoll_wait(poller, ready, 64, every > 0 ? 1 : 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = ready[i].data.ptr;
            if (!c->busy) continue;
            push(c);
            if (!pull(c)) continue;
            bool counted = c->group == &asked;
            take(c, counted);
            if (!counted || (every <= 0 && (!once || asked.next < last))) ask(c, now());
        }
        // Sends a request that is due. If the previous one is still unanswered, the time counts from when this one was due.
        for (int i = 0; every > 0 && i < conns; i++) {
            if (all[i].busy || all[i].due > now()) continue;
            ask(&all[i], all[i].due);
            all[i].due += every;
        }
    }

    double took = now() - began;
    qsort(times, taken, sizeof *times, ascending);
    printf("tokens_per_s %.1f\ntexts_per_s %.2f\nanswers %llu\np50_ms %.3f\np90_ms %.3f\np99_ms %.3f\n", (double)tokens / took, (double)texts / took,
        (unsigned long long)answers, share(0.5), share(0.9), share(0.99));
    printf("client_cores %.3f\n", (own_cpu() - own) / took);
    if (bulk_file) printf("bulk_tokens_per_s %.1f\n", (double)bulk_tokens / took);
    if (pid) printf("server_cores %.3f\n", (cpu_of(pid) - cpu) / took);
    printf("broken %d\n", broken);
    return broken > 0;
}
