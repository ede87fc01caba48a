#include "server/watch.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/slice.h"

static const double linger_ms = 3000;

static void wake(struct watch *watch)
{
    uint64_t one = 1;
    ssize_t written = write(watch->event, &one, sizeof one);
    (void)written; /* a full counter wakes too */
}

/* ---- one round ---- */

/* Reads and forgets what a lingering client still sends. True when it is done. */
static bool drained(int socket)
{
    static const int reads = 64;
    char waste[16384];
    for (int i = 0; i < reads; i++) {
        ssize_t n = recv(socket, waste, sizeof waste, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return true;
        if (n < 0)
            return false;
    }
    return false;
}

static void end_lingering(struct watch *watch, int index)
{
    close(watch->lingering[index].socket);
    watch->lingering[index] = watch->lingering[--watch->lingering_count];
}

static void call_off(struct watch *watch, struct peer *peer, enum expiry why)
{
    void *request = peer->context;
    peer->phase = PEER_UNWATCHED;
    peer->context = NULL;
    double later = watch->expired(request, why);
    if (later > 0 && why != EXPIRED_GONE) {
        peer->phase = PEER_WAITING;
        peer->context = request;
        peer->deadline_ms = later;
    }
}

/* Fills the poll set; entries of waiting peers first, then of lingering sockets. */
static int collect(struct watch *watch, struct pollfd *set, struct peer **peers, double *next)
{
    int n = 0;
    *next = INFINITY;
    for (struct peer *p = watch->peers; p; p = p->next) {
        if (p->phase == PEER_UNWATCHED)
            continue;
        *next = fmin(*next, p->deadline_ms);
        if (p->phase == PEER_WAITING) {
            peers[n] = p;
            set[n++] = (struct pollfd){p->socket, POLLRDHUP, 0};
        }
    }
    return n;
}

static void check_deadlines(struct watch *watch, double now)
{
    for (struct peer *p = watch->peers; p; p = p->next) {
        if (p->phase == PEER_UNWATCHED || p->deadline_ms > now)
            continue;
        if (p->phase == PEER_WAITING) {
            call_off(watch, p, EXPIRED_DEADLINE);
        } else {
            /* The library sees the end of the stream and closes. */
            p->phase = PEER_UNWATCHED;
            shutdown(p->socket, SHUT_RDWR);
        }
    }
    for (int i = watch->lingering_count - 1; i >= 0; i--)
        if (watch->lingering[i].until_ms <= now || drained(watch->lingering[i].socket))
            end_lingering(watch, i);
}

/*
 * Waiting sockets are polled twice: for real without the lock, and, since peers may have come and
 * gone meanwhile, again under it without waiting, over peers that are certainly there.
 */
static void check_gone(struct watch *watch, struct pollfd *set, struct peer **peers)
{
    double next;
    int n = collect(watch, set, peers, &next);
    if (poll(set, (nfds_t)n, 0) <= 0)
        return;
    for (int i = 0; i < n; i++)
        if (set[i].revents && peers[i]->phase == PEER_WAITING)
            call_off(watch, peers[i], EXPIRED_GONE);
}

struct room {
    struct pollfd *set;
    struct peer **peers;
    int size;
};

static bool make_room(struct room *room, int needed)
{
    if (room->set && room->peers && needed <= room->size)
        return true;
    struct pollfd *set = realloc(room->set, (size_t)needed * 2 * sizeof *set);
    if (set)
        room->set = set;
    struct peer **peers = realloc(room->peers, (size_t)needed * 2 * sizeof(struct peer *));
    if (peers)
        room->peers = peers;
    if (set && peers)
        room->size = needed * 2;
    return set && peers;
}

static void *run(void *argument)
{
    struct watch *watch = argument;
    struct room room = {0};
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping) {
        double next = INFINITY, now = clock_ms();
        int n = 0;
        check_deadlines(watch, now);
        if (make_room(&room, watch->peers_count + WATCH_LINGERING + 1)) {
            check_gone(watch, room.set, room.peers);
            n = collect(watch, room.set, room.peers, &next);
            for (int i = 0; i < watch->lingering_count; i++) {
                room.set[n++] = (struct pollfd){watch->lingering[i].socket, POLLIN, 0};
                next = fmin(next, watch->lingering[i].until_ms);
            }
            room.set[n++] = (struct pollfd){watch->event, POLLIN, 0};
        }
        pthread_mutex_unlock(&watch->lock);
        double wait = fmin(fmax(next - now, 0), 1000);
        poll(room.set, (nfds_t)n, (int)ceil(wait));
        uint64_t count;
        ssize_t got = read(watch->event, &count, sizeof count);
        (void)got; /* empty where something else woke the thread */
        pthread_mutex_lock(&watch->lock);
    }
    while (watch->lingering_count > 0)
        end_lingering(watch, 0);
    pthread_mutex_unlock(&watch->lock);
    free(room.set);
    free(room.peers);
    return NULL;
}

/* ---- from outside ---- */

int watch_start(struct watch *watch, double (*expired)(void *request, enum expiry why),
                struct error *err)
{
    *watch = (struct watch){.expired = expired};
    watch->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->event < 0)
        return error_set(err, ERR_IO, "eventfd: %s", strerror(errno));
    int code = pthread_mutex_init(&watch->lock, NULL);
    if (code == 0)
        code = pthread_create(&watch->thread, NULL, run, watch);
    if (code != 0) {
        close(watch->event);
        return error_set(err, ERR_INTERNAL, "the watch thread cannot be started: %s",
                         strerror(code));
    }
    watch->started = true;
    return 0;
}

void watch_stop(struct watch *watch)
{
    if (!watch->started)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_mutex_unlock(&watch->lock);
    wake(watch);
    pthread_join(watch->thread, NULL);
    pthread_mutex_destroy(&watch->lock);
    close(watch->event);
    watch->started = false;
}

struct peer *watch_add(struct watch *watch, int socket, double deadline_ms)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->socket = socket;
    peer->deadline_ms = deadline_ms;
    pthread_mutex_lock(&watch->lock);
    peer->next = watch->peers;
    if (watch->peers)
        watch->peers->previous = peer;
    watch->peers = peer;
    watch->peers_count++;
    pthread_mutex_unlock(&watch->lock);
    return peer;
}

void watch_remove(struct watch *watch, struct peer *peer)
{
    pthread_mutex_lock(&watch->lock);
    if (peer->previous)
        peer->previous->next = peer->next;
    else
        watch->peers = peer->next;
    if (peer->next)
        peer->next->previous = peer->previous;
    watch->peers_count--;
    bool lingers = peer->linger && watch->lingering_count < WATCH_LINGERING;
    /* A second descriptor keeps the connection when the library closes its own. */
    int socket = lingers ? dup(peer->socket) : -1;
    if (socket >= 0) {
        shutdown(socket, SHUT_WR);
        watch->lingering[watch->lingering_count++] =
            (struct lingering){socket, clock_ms() + linger_ms};
    }
    pthread_mutex_unlock(&watch->lock);
    if (socket >= 0)
        wake(watch);
    free(peer);
}

void watch_set(struct watch *watch, struct peer *peer, enum peer_phase phase, double deadline_ms,
               void *context)
{
    pthread_mutex_lock(&watch->lock);
    peer->phase = phase;
    peer->deadline_ms = deadline_ms;
    peer->context = context;
    if (phase == PEER_WAITING && watch->over)
        call_off(watch, peer, EXPIRED_END);
    pthread_mutex_unlock(&watch->lock);
    if (phase == PEER_WAITING)
        wake(watch);
}

void watch_expire_all(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    watch->over = true;
    for (struct peer *p = watch->peers; p; p = p->next)
        if (p->phase == PEER_WAITING)
            call_off(watch, p, EXPIRED_END);
    pthread_mutex_unlock(&watch->lock);
}
