/* The time of day of one process, ahead of the machine's by the seconds that the file $CLOCK_AHEAD holds: a 64-bit
 * integer, looked at anew at each call. Other clocks go on as they do. (Debian's libfaketime, whatever it is told,
 * makes Python's time.sleep fail with EINVAL.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static int (*machines)(clockid_t, struct timespec *);
static const volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("CLOCK_AHEAD");
    int file = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    machines = dlsym(RTLD_NEXT, "clock_gettime");
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, file, 0);
    ahead = found != MAP_FAILED ? found : NULL;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = machines(clock, now);
    if (failed == 0 && clock == CLOCK_REALTIME && ahead != NULL)
        now->tv_sec += *ahead;
    return failed;
}
