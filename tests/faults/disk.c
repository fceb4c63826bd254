/* A disk that fails when it is told to, by LD_PRELOAD: the n-th call of one kind on files below one folder. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN, WRITE, PWRITE, SYNC, TRUNCATE, RENAME };
enum { ONCE, FROM_THEN_ON, HALF, HALF_THEN_FAIL };

static char folder[4096];
static int armed = -1, at, error, how, count, fired;
static unsigned char ours[65536];

void disk_arm(const char *below, int call, int number, int with, int way)
{
    strncpy(folder, below, sizeof folder - 1);
    armed = call, at = number, error = with, how = way, count = 0, fired = 0;
}

int disk_fired(void) { return fired; }
int disk_count(void) { return count; }

/* 0: go on; 1: fail; 2: write half of it. */
static int met(int call)
{
    if (call != armed)
        return 0;
    int number = count++;
    if (number != at && !(number > at && how == FROM_THEN_ON) && !(number == at + 1 && how == HALF_THEN_FAIL))
        return 0;
    fired = 1;
    if (how == HALF || (how == HALF_THEN_FAIL && number == at))
        return 2;
    errno = error;
    return 1;
}

static int below(const char *path) { return folder[0] && strncmp(path, folder, strlen(folder)) == 0; }
static int mine(int fd) { return fd >= 0 && fd < (int)sizeof ours && ours[fd]; }
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int opened(int fd, const char *path)
{
    if (fd >= 0 && fd < (int)sizeof ours)
        ours[fd] = below(path);
    return fd;
}

#define OPENS(name)                                              \
    int name(const char *path, int flags, ...)                   \
    {                                                            \
        REAL(name);                                              \
        va_list rest;                                            \
        va_start(rest, flags);                                   \
        int mode = flags & O_CREAT ? (int)va_arg(rest, int) : 0; \
        va_end(rest);                                            \
        if (below(path) && met(OPEN))                            \
            return -1;                                           \
        return opened(real(path, flags, mode), path);            \
    }
OPENS(open)
OPENS(open64)

#define PWRITES(name, offset)                                              \
    ssize_t name(int fd, const void *data, size_t size, offset where)      \
    {                                                                      \
        REAL(name);                                                        \
        int hit = mine(fd) ? met(PWRITE) : 0;                              \
        return hit == 1 ? -1 : real(fd, data, hit ? size / 2 : size, where); \
    }
PWRITES(pwrite, off_t)
PWRITES(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    int hit = mine(fd) ? met(WRITE) : 0;
    return hit == 1 ? -1 : real(fd, data, hit ? size / 2 : size);
}

#define SYNCS(name)                                   \
    int name(int fd)                                  \
    {                                                 \
        REAL(name);                                   \
        return mine(fd) && met(SYNC) ? -1 : real(fd); \
    }
SYNCS(fsync)
SYNCS(fdatasync)

#define TRUNCATES(name, offset)                                 \
    int name(int fd, offset size)                               \
    {                                                           \
        REAL(name);                                             \
        return mine(fd) && met(TRUNCATE) ? -1 : real(fd, size); \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

int rename(const char *from, const char *to)
{
    REAL(rename);
    return below(to) && met(RENAME) ? -1 : real(from, to);
}

int close(int fd)
{
    REAL(close);
    if (fd >= 0 && fd < (int)sizeof ours)
        ours[fd] = 0;
    return real(fd);
}
