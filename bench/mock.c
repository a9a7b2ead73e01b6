// The mock model host of the benchmark: one thread, one epoll, no allocation per token.
//
//   mock [PORT]      listens on 127.0.0.1 (0 or absent: any free port) and prints the port
//
// POST /api/chat is answered in Ollama's format, any other POST in OpenAI's. A body with "stream":true gets a stream,
// any other a 1.3 KiB JSON answer. The text "@mock r=R n=N" anywhere in the body requests N tokens at R per second; it
// is in the user's message, so it survives a proxy that rewrites the request.
// Each token is one write() of one chunk. Its text is "SSSSSS MMMMMMMMMMMMMMMM": its number in the stream and the
// microsecond (CLOCK_MONOTONIC) at which it was sent, so that the load generator can check the order and measure delays.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WHEEL 16384  // slots of one millisecond; the slowest possible stream sends one token in 16 s
#define ANSWER_BYTES 1331

struct conn {
    int fd;
    char *in;
    size_t length, capacity;
    bool streaming, ollama, usage;
    int sent, total;
    uint64_t due, period;  // microseconds
    struct conn *next, **link;  // the slot's list; link points to the pointer that points to this entry
};

static struct conn *wheel[WHEEL];
static int streams;
static char openai_whole[4096], ollama_whole[4096];

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void unlink_timer(struct conn *c)
{
    if (!c->link) return;
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    c->link = NULL;
    c->next = NULL;
}

static void link_timer(struct conn *c)
{
    struct conn **slot = &wheel[c->due / 1000 % WHEEL];
    c->next = *slot;
    if (c->next) c->next->link = &c->next;
    c->link = slot;
    *slot = c;
}

static void drop(struct conn *c)
{
    if (c->streaming) streams--;
    unlink_timer(c);
    close(c->fd);
    free(c->in);
    free(c);
}

// False if the peer has disconnected or has accepted no bytes for ten seconds.
static bool send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd wait = { .fd = fd, .events = POLLOUT };
            if (poll(&wait, 1, 10000) != 1) return false;
            continue;
        }
        if (n < 0) return false;
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

static size_t chunk(char *out, const char *text, size_t length)
{
    size_t n = (size_t)sprintf(out, "%zx\r\n", length);
    memcpy(out + n, text, length);
    memcpy(out + n + length, "\r\n", 2);
    return n + length + 2;
}

#define CHUNK_HEAD "data: {\"id\":\"chatcmpl-5f2c9a7e41d84b06\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"mock\","

static bool send_token(struct conn *c)
{
    char text[512], wire[640];
    const char *form = c->ollama
        ? "{\"model\":\"mock\",\"created_at\":\"2026-09-21T13:33:20.000000Z\",\"message\":{\"role\":\"assistant\",\"content\":\"%06d %016llu\"},\"done\":false}\n"
        : CHUNK_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%06d %016llu\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
    size_t length = (size_t)sprintf(text, form, c->sent, (unsigned long long)now_us());
    return send_all(c->fd, wire, chunk(wire, text, length));
}

static bool send_tail(struct conn *c)
{
    char text[512], wire[2048];
    size_t n = 0;
    if (c->ollama) {
        n += chunk(wire, text, (size_t)sprintf(text,
            "{\"model\":\"mock\",\"created_at\":\"2026-09-21T13:33:20.000000Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\","
            "\"total_duration\":1000000,\"load_duration\":1000,\"prompt_eval_count\":200,\"prompt_eval_duration\":1000,\"eval_count\":%d,\"eval_duration\":1000}\n", c->total));
    } else {
        n += chunk(wire, text, (size_t)sprintf(text, CHUNK_HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"));
        if (c->usage)
            n += chunk(wire + n, text, (size_t)sprintf(text, CHUNK_HEAD
                "\"choices\":[],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n", c->total, 200 + c->total));
        n += chunk(wire + n, text, (size_t)sprintf(text, "data: [DONE]\n\n"));
    }
    memcpy(wire + n, "0\r\n\r\n", 5);
    return send_all(c->fd, wire, n + 5);
}

static bool begin_stream(struct conn *c, const char *body)
{
    char wire[1024], text[512];
    int rate = 50, total = 100;
    const char *wish = strstr(body, "@mock r=");
    if (wish) sscanf(wish, "@mock r=%d n=%d", &rate, &total);
    c->usage = strstr(body, "\"include_usage\":true") || strstr(body, "\"include_usage\": true");
    c->sent = 0;
    c->total = total;
    c->period = 1000000 / (uint64_t)(rate > 0 ? rate : 1);
    c->streaming = true;
    streams++;
    size_t n = (size_t)sprintf(wire, "HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n",
        c->ollama ? "application/x-ndjson" : "text/event-stream");
    if (!c->ollama)
        n += chunk(wire + n, text, (size_t)sprintf(text, CHUNK_HEAD
            "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"));
    c->due = now_us() + c->period;
    link_timer(c);
    return send_all(c->fd, wire, n);
}

static bool answer_get(struct conn *c, const char *path)
{
    static const char *const pages[][2] = {
        { "/v1/models", "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\",\"created\":1790000000,\"owned_by\":\"mock\"}]}" },
        { "/api/tags", "{\"models\":[{\"name\":\"mock\",\"model\":\"mock\",\"size\":1,\"digest\":\"0\",\"details\":{\"family\":\"mock\"}}]}" },
        { "/api/version", "{\"version\":\"0.12.0\"}" },
        { "/api/ps", "{\"models\":[]}" },
        { "/health", "{\"status\":\"ok\"}" },
    };
    const char *body = NULL;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        size_t length = strlen(pages[i][0]);
        if (strncmp(path, pages[i][0], length) == 0 && strchr(" ?", path[length])) body = pages[i][1];
    }
    char wire[1024];
    int n = sprintf(wire, "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
        body ? "200 OK" : "404 Not Found", strlen(body ? body : "{}"), body ? body : "{}");
    return send_all(c->fd, wire, (size_t)n);
}

// The value of a header; NULL if absent. `head` ends with an empty line.
static const char *header(const char *head, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') return line + 3 + length + strspn(line + 3 + length, " ");
    return NULL;
}

// Answers every complete request that has arrived, one after the other. False: close the connection.
static bool serve(struct conn *c)
{
    while (!c->streaming && c->length > 0) {
        c->in[c->length] = 0;
        char *end = strstr(c->in, "\r\n\r\n");
        if (!end) return true;
        char *body = end + 4;
        const char *coding = header(c->in, "transfer-encoding"), *sized = header(c->in, "content-length");
        char *after = body + (sized ? strtoul(sized, NULL, 10) : 0);
        if (coding && strncasecmp(coding, "chunked", 7) == 0) {
            char *last = strncmp(body, "0\r\n\r\n", 5) == 0 ? body - 2 : strstr(body, "\r\n0\r\n\r\n");
            if (!last) return true;
            after = last + 7;
        }
        if (after > c->in + c->length) return true;

        char kept = *after;
        *after = 0;
        bool said_true = strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true");
        bool said_false = strstr(body, "\"stream\":false") || strstr(body, "\"stream\": false");
        c->ollama = strncmp(c->in, "POST /api/chat", 14) == 0;
        bool alive;
        if (strncmp(c->in, "POST ", 5) != 0) alive = answer_get(c, strchr(c->in, ' ') ? strchr(c->in, ' ') + 1 : "");
        else if (said_true || (c->ollama && !said_false)) alive = begin_stream(c, body);
        else alive = c->ollama ? send_all(c->fd, ollama_whole, strlen(ollama_whole)) : send_all(c->fd, openai_whole, strlen(openai_whole));
        *after = kept;
        c->length -= (size_t)(after - c->in);
        memmove(c->in, after, c->length);
        if (!alive) return false;
    }
    return true;
}

static bool receive(struct conn *c)
{
    if (c->capacity - c->length < 4096) {
        c->capacity = c->capacity ? c->capacity * 2 : 8192;
        c->in = realloc(c->in, c->capacity + 1);
    }
    ssize_t n = recv(c->fd, c->in + c->length, c->capacity - c->length, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    c->length += (size_t)n;
    return serve(c);
}

// Sends all tokens that are due. A stream that is late gets each of its tokens in a write of its own; none is dropped.
static void tick(void)
{
    static uint64_t swept;
    uint64_t now = now_us();
    if (swept == 0) swept = now / 1000;
    for (; swept <= now / 1000; swept++) {
        struct conn *due = wheel[swept % WHEEL];
        wheel[swept % WHEEL] = NULL;
        if (due) due->link = &due;
        while (due) {
            struct conn *c = due;
            unlink_timer(c);
            bool alive = send_token(c);
            c->due += c->period;
            if (c->due / 1000 <= swept) c->due = (swept + 1) * 1000;
            if (alive && ++c->sent < c->total) {
                link_timer(c);
                continue;
            }
            if (alive) alive = send_tail(c);
            c->streaming = false;
            streams--;
            if (!alive || !serve(c)) drop(c);
        }
    }
}

static void prepare(void)
{
    static const char words[] = "The quick brown fox jumps over the lazy dog while the mock host pads its answer. ";
    static const char *const heads[] = {
        "{\"id\":\"chatcmpl-5f2c9a7e41d84b06\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"mock\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
        "{\"model\":\"mock\",\"created_at\":\"2026-09-21T13:33:20.000000Z\",\"message\":{\"role\":\"assistant\",\"content\":\"" };
    static const char *const tails[] = {
        "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":230,\"total_tokens\":430}}",
        "\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":1000000,\"load_duration\":1000,\"prompt_eval_count\":200,\"prompt_eval_duration\":1000,\"eval_count\":230,\"eval_duration\":1000}" };
    char *const outs[] = { openai_whole, ollama_whole };
    for (int i = 0; i < 2; i++) {
        char *o = outs[i] + sprintf(outs[i], "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", ANSWER_BYTES, heads[i]);
        for (size_t k = 0, pad = ANSWER_BYTES - strlen(heads[i]) - strlen(tails[i]); k < pad; k++) *o++ = words[k % (sizeof words - 1)];
        strcpy(o, tails[i]);
    }
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    prepare();
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)) };
    socklen_t size = sizeof at;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 4096) != 0) {
        perror("mock: listen");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);

    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event watch = { .events = EPOLLIN, .data.ptr = NULL }, ready[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &watch);
    for (;;) {
        int n = epoll_wait(poller, ready, 256, streams ? 1 : 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = ready[i].data.ptr;
            if (c) {
                if (!receive(c)) drop(c);
                continue;
            }
            for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = calloc(1, sizeof *c);
                c->fd = fd;
                watch.data.ptr = c;
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &watch);
            }
        }
        tick();
    }
}
