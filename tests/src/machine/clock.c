/* Preloaded into a program, shifts its wall clock by the milliseconds that the file CLOCK_SHIFT holds
   (8 bytes, as the machine has them), which whoever wrote the file may change at any time. Clocks that
   measure how long something takes are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_ms;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("CLOCK_SHIFT");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *shift_ms, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) shift_ms = page;
}

int clock_gettime(clockid_t id, struct timespec *time) {
    if (!real) begin();
    int result = real(id, time);
    if (result == 0 && shift_ms && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t by = *shift_ms, ns = time->tv_nsec + by % 1000 * 1000000;
        time->tv_sec += by / 1000 + (ns >= 1000000000) - (ns < 0);
        time->tv_nsec = ns - 1000000000 * ((ns >= 1000000000) - (ns < 0));
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

/* The kernel does not know of the shift: whoever waits until a moment of the wall clock waits as long as
   it says on the clock of the program. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec wall, steady;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &steady);
    steady.tv_sec += until->tv_sec - wall.tv_sec;
    steady.tv_nsec += until->tv_nsec - wall.tv_nsec;
    int64_t over = (steady.tv_nsec >= 1000000000) - (steady.tv_nsec < 0);
    steady.tv_sec += over;
    steady.tv_nsec -= over * 1000000000;
    return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &steady);
}

/* As the C library has it, whose two kinds of conditions are one. */
int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until) {
    int result = pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until);
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}
