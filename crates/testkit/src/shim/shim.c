/*
 * Preloaded into the server under test: writes down what it does to the disk below one folder, and fails calls on demand.
 *
 * Everything goes through one file that the test maps, too: a page with rules, which the test changes while the server
 * runs, then records, one behind the other. Its layout is repeated in ../shim.rs. A record takes its place by one atomic
 * addition, so that the order of the records respects cause and effect:
 *
 * - a change of the disk is recorded after it was made, before the server knows;
 * - a flush is recorded when it begins and when it has ended: what was recorded before its beginning is safe at its end;
 * - what is sent to a peer is recorded before it is sent: what a peer heard stands in the log;
 * - what came from a peer is recorded before the server sees it.
 *
 * So a power cut may be placed behind any record, and everything recorded after that has not happened.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* ---- The file that is shared with the test ---- */

#define PAGE_BYTES 4096
#define RULES 16
#define PART_BYTES 64
#define SPOKEN_BYTES 160

struct rule {
    _Atomic uint32_t calls; /* which calls, as bits; 0: the rule is switched off */
    uint32_t action;
    uint32_t error;
    uint32_t delay_ms;
    uint64_t skip;  /* so many calls that fit pass */
    uint64_t count; /* then so many meet the rule */
    _Atomic uint64_t seen;
    _Atomic uint64_t met;
    char part[PART_BYTES];    /* only paths that contain this */
    char without[PART_BYTES]; /* and do not contain this, unless it is empty */
};

struct page {
    uint64_t bytes;                /* of the whole file */
    _Atomic uint64_t next;         /* where the next record goes */
    _Atomic uint32_t is_overflown; /* a record found no room */
    uint32_t data_bytes_max;       /* of each write, so much is recorded */
    uint64_t reserved[29];
    struct rule rules[RULES];
};
_Static_assert(sizeof(struct page) <= PAGE_BYTES, "the rules fit into one page");
_Static_assert(sizeof(struct rule) == 176, "as shim.rs has it");

struct record {
    _Atomic uint32_t kind; /* written last; 0: not complete */
    uint32_t bytes;
    int32_t fd;
    int32_t error;
    uint64_t a;
    uint64_t b;
    uint32_t first_bytes;
    uint32_t second_bytes;
};

enum kind {
    OPENED = 1, WRITTEN, FLUSH_BEGAN, FLUSH_ENDED, CUT, RENAMED, REMOVED, FOLDER_MADE, FOLDER_REMOVED, SENT, RECEIVED,
    STARTED
};
enum call {
    CREATE = 1, OPEN = 2, WRITE = 4, FLUSH = 8, TRUNCATE = 16, RENAME = 32, REMOVE = 64, MAKE_FOLDER = 128, READ = 256,
    ACCEPT = 512
};
enum action { FAIL = 1, SHORT, DELAY, KILL, TEAR };

static struct page *page;
static char root[PATH_MAX];
static size_t root_bytes;

/* ---- The calls behind ours ---- */

#define REAL(name) ((__typeof__(&name))real(&real_##name, #name))
#define DECLARE(name) static _Atomic(void *) real_##name;

static void *real(_Atomic(void *) *known, const char *name)
{
    void *found = atomic_load_explicit(known, memory_order_relaxed);
    if (!found) {
        found = dlsym(RTLD_NEXT, name);
        if (!found)
            abort();
        atomic_store_explicit(known, found, memory_order_relaxed);
    }
    return found;
}

DECLARE(openat) DECLARE(write) DECLARE(pwrite) DECLARE(writev) DECLARE(pwritev) DECLARE(pwritev2) DECLARE(fsync)
DECLARE(fdatasync) DECLARE(sync_file_range) DECLARE(ftruncate) DECLARE(renameat) DECLARE(renameat2) DECLARE(unlinkat)
DECLARE(mkdirat) DECLARE(close) DECLARE(read) DECLARE(pread) DECLARE(preadv) DECLARE(readv) DECLARE(send)
DECLARE(sendmsg) DECLARE(recv) DECLARE(socket) DECLARE(accept4) DECLARE(fallocate) DECLARE(copy_file_range)
DECLARE(sendfile)

/* ---- What is known of file descriptors ---- */

#define FDS 65536
#define IS_SOCKET ((char *)1)
static _Atomic(char *) known[FDS]; /* the path of a file below the root; IS_SOCKET; or nothing */

static char *path_of(int fd)
{
    char *path = fd >= 0 && fd < FDS ? atomic_load(&known[fd]) : NULL;
    return path == IS_SOCKET ? NULL : path;
}

static int is_socket(int fd)
{
    return fd >= 0 && fd < FDS && atomic_load(&known[fd]) == IS_SOCKET;
}

static void know(int fd, char *what)
{
    if (fd < 0)
        return;
    if (fd >= FDS)
        abort();
    char *before = atomic_exchange(&known[fd], what);
    if (before && before != IS_SOCKET)
        free(before);
}

/* Whether a path is below the folder that is watched. */
static int is_ours(const char *path)
{
    return page && path && strncmp(path, root, root_bytes) == 0 && (path[root_bytes] == '/' || path[root_bytes] == 0);
}

/* ---- Records ---- */

/* Returns where the record stands, which names it. Keeps errno. */
static uint64_t record(enum kind kind, int fd, int error, uint64_t a, uint64_t b, const struct iovec *first, int count,
                       size_t first_bytes, const char *second)
{
    size_t second_bytes = second ? strlen(second) : 0;
    size_t bytes = (sizeof(struct record) + first_bytes + second_bytes + 7) & ~(size_t)7;
    uint64_t at = atomic_fetch_add(&page->next, bytes);
    if (at + bytes > page->bytes) {
        atomic_store(&page->is_overflown, 1);
        return 0;
    }
    struct record *record = (struct record *)((char *)page + at);
    char *to = (char *)(record + 1);
    size_t left = first_bytes;
    for (int i = 0; i < count && left > 0; i++) {
        size_t some = first[i].iov_len < left ? first[i].iov_len : left;
        memcpy(to, first[i].iov_base, some);
        to += some;
        left -= some;
    }
    if (second)
        memcpy(to, second, second_bytes);
    record->bytes = (uint32_t)bytes;
    record->fd = fd;
    record->error = error;
    record->a = a;
    record->b = b;
    record->first_bytes = (uint32_t)first_bytes;
    record->second_bytes = (uint32_t)second_bytes;
    atomic_store_explicit(&record->kind, kind, memory_order_release);
    return at;
}

static uint64_t record_path(enum kind kind, int fd, int error, uint64_t a, const char *path, const char *second)
{
    struct iovec first = {(void *)path, strlen(path)};
    return record(kind, fd, error, a, 0, &first, 1, first.iov_len, second);
}

static void record_spoken(enum kind kind, int fd, const struct iovec *slices, int count, size_t limit)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += slices[i].iov_len;
    bytes = bytes < limit ? bytes : limit;
    record(kind, fd, 0, 0, 0, slices, count, bytes < SPOKEN_BYTES ? bytes : SPOKEN_BYTES, NULL);
}

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("GATEPOST_SHIM_FILE"), *folder = getenv("GATEPOST_SHIM_FOLDER");
    if (!file || !folder || strlen(folder) >= sizeof root)
        return;
    int fd = REAL(openat)(AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts) != 0) {
        fprintf(stderr, "shim: cannot open %s\n", file);
        abort();
    }
    void *at = mmap(NULL, (size_t)facts.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        abort();
    REAL(close)(fd);
    strcpy(root, folder);
    root_bytes = strlen(root);
    page = at;
    /* A server that was killed may have left its last record half made: this one is found at the next border. */
    uint64_t next = atomic_load(&page->next);
    atomic_store(&page->next, (next + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
    record(STARTED, -1, 0, 0, 0, NULL, 0, 0, NULL);
}

/* ---- Rules ---- */

struct verdict {
    uint32_t action;
    int error;
};

static struct verdict decide(enum call call, const char *path)
{
    struct verdict verdict = {0, 0};
    if (!page)
        return verdict;
    for (int i = 0; i < RULES; i++) {
        struct rule *rule = &page->rules[i];
        if (!(atomic_load_explicit(&rule->calls, memory_order_acquire) & call))
            continue;
        if (!strstr(path, rule->part) || (rule->without[0] && strstr(path, rule->without)))
            continue;
        uint64_t seen = atomic_fetch_add(&rule->seen, 1);
        if (seen < rule->skip || seen - rule->skip >= rule->count)
            continue;
        atomic_fetch_add(&rule->met, 1);
        if (rule->action == DELAY) {
            struct timespec rest = {rule->delay_ms / 1000, (long)(rule->delay_ms % 1000) * 1000000};
            nanosleep(&rest, NULL);
            continue;
        }
        if (rule->action == KILL)
            kill(getpid(), SIGKILL);
        verdict.action = rule->action;
        verdict.error = (int)rule->error;
        return verdict;
    }
    return verdict;
}

static int fails(enum call call, const char *path, int *error)
{
    struct verdict verdict = decide(call, path);
    *error = verdict.error;
    return verdict.action == FAIL;
}

/* ---- Opening and closing ---- */

static int opened(int fd, int flags, const char *path)
{
    int error = errno;
    record_path(OPENED, fd, fd < 0 ? error : 0, (uint64_t)flags, path, NULL);
    if (fd >= 0)
        know(fd, strdup(path));
    errno = error;
    return fd;
}

static int open_at(int at, const char *path, int flags, mode_t mode)
{
    int error;
    if (!is_ours(path)) {
        int fd = REAL(openat)(at, path, flags, mode);
        know(fd, NULL);
        return fd;
    }
    if (fails(flags & O_CREAT ? CREATE : OPEN, path, &error)) {
        errno = error;
        return opened(-1, flags, path);
    }
    return opened(REAL(openat)(at, path, flags, mode), flags, path);
}

#define MODE_OF(flags)                        \
    mode_t mode = 0;                          \
    if ((flags) & (O_CREAT | O_TMPFILE)) {    \
        va_list more;                         \
        va_start(more, flags);                \
        mode = (mode_t)va_arg(more, int);     \
        va_end(more);                         \
    }

EXPORT int open(const char *path, int flags, ...) { MODE_OF(flags) return open_at(AT_FDCWD, path, flags, mode); }
EXPORT int open64(const char *path, int flags, ...) { MODE_OF(flags) return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
EXPORT int openat(int at, const char *path, int flags, ...) { MODE_OF(flags) return open_at(at, path, flags, mode); }
EXPORT int openat64(int at, const char *path, int flags, ...) { MODE_OF(flags) return open_at(at, path, flags | O_LARGEFILE, mode); }
EXPORT int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
EXPORT int creat64(const char *path, mode_t mode) { return creat(path, mode); }

EXPORT int close(int fd)
{
    know(fd, NULL);
    return REAL(close)(fd);
}

EXPORT int socket(int domain, int type, int protocol)
{
    int fd = REAL(socket)(domain, type, protocol);
    know(fd, IS_SOCKET);
    return fd;
}

EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    int error;
    if (fails(ACCEPT, "", &error)) {
        errno = error;
        return -1;
    }
    int accepted = REAL(accept4)(fd, address, bytes, flags);
    know(accepted, IS_SOCKET);
    return accepted;
}

/* ---- Writing ---- */

static size_t sum(const struct iovec *slices, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += slices[i].iov_len;
    return bytes;
}

/* Writes at `offset`, or where the file stands if that is negative. */
static ssize_t write_file(int fd, const char *path, const struct iovec *slices, int count, off_t offset)
{
    struct verdict verdict = decide(WRITE, path);
    if (verdict.action == FAIL) {
        record(WRITTEN, fd, verdict.error, 0, 0, NULL, 0, 0, NULL);
        errno = verdict.error;
        return -1;
    }
    struct iovec less[1024];
    if ((verdict.action == SHORT || verdict.action == TEAR) && count <= 1024) {
        size_t left = sum(slices, count) / 2;
        int some = 0;
        for (; some < count && left > 0; some++) {
            less[some] = slices[some];
            if (less[some].iov_len > left)
                less[some].iov_len = left;
            left -= less[some].iov_len;
        }
        if (some > 0) {
            slices = less;
            count = some;
        }
    }
    ssize_t written = offset < 0 ? REAL(writev)(fd, slices, count) : REAL(pwritev)(fd, slices, count, offset);
    int error = errno;
    if (verdict.action == TEAR)
        kill(getpid(), SIGKILL);
    if (written < 0) {
        record(WRITTEN, fd, error, 0, 0, NULL, 0, 0, NULL);
    } else {
        uint64_t at = (uint64_t)(offset < 0 ? lseek(fd, 0, SEEK_CUR) - written : offset);
        size_t kept = (size_t)written < page->data_bytes_max ? (size_t)written : page->data_bytes_max;
        record(WRITTEN, fd, 0, at, (uint64_t)written, slices, count, kept, NULL);
    }
    errno = error;
    return written;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t count)
{
    char *path = path_of(fd);
    struct iovec slice = {(void *)bytes, count};
    if (path)
        return write_file(fd, path, &slice, 1, -1);
    if (page && is_socket(fd))
        record_spoken(SENT, fd, &slice, 1, count);
    return REAL(write)(fd, bytes, count);
}

EXPORT ssize_t writev(int fd, const struct iovec *slices, int count)
{
    char *path = path_of(fd);
    if (path)
        return write_file(fd, path, slices, count, -1);
    if (page && is_socket(fd))
        record_spoken(SENT, fd, slices, count, SPOKEN_BYTES);
    return REAL(writev)(fd, slices, count);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    char *path = path_of(fd);
    struct iovec slice = {(void *)bytes, count};
    return path ? write_file(fd, path, &slice, 1, offset) : REAL(pwrite)(fd, bytes, count, offset);
}
EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) { return pwrite(fd, bytes, count, offset); }

EXPORT ssize_t pwritev(int fd, const struct iovec *slices, int count, off_t offset)
{
    char *path = path_of(fd);
    return path ? write_file(fd, path, slices, count, offset) : REAL(pwritev)(fd, slices, count, offset);
}
EXPORT ssize_t pwritev64(int fd, const struct iovec *slices, int count, off_t offset) { return pwritev(fd, slices, count, offset); }

EXPORT ssize_t pwritev2(int fd, const struct iovec *slices, int count, off_t offset, int flags)
{
    char *path = path_of(fd);
    if (path && flags)
        abort(); /* what RWF_DSYNC and the like mean is not recorded: nobody asks for it yet */
    return path ? write_file(fd, path, slices, count, offset) : REAL(pwritev2)(fd, slices, count, offset, flags);
}
EXPORT ssize_t pwritev64v2(int fd, const struct iovec *slices, int count, off_t offset, int flags)
{
    return pwritev2(fd, slices, count, offset, flags);
}

EXPORT int ftruncate(int fd, off_t bytes)
{
    char *path = path_of(fd);
    int error;
    if (!path)
        return REAL(ftruncate)(fd, bytes);
    if (fails(TRUNCATE, path, &error)) {
        errno = error;
        return -1;
    }
    int result = REAL(ftruncate)(fd, bytes);
    error = errno;
    if (result == 0)
        record(CUT, fd, 0, (uint64_t)bytes, 0, NULL, 0, 0, NULL);
    errno = error;
    return result;
}
EXPORT int ftruncate64(int fd, off_t bytes) { return ftruncate(fd, bytes); }

/* Ways to change a file that nobody takes yet; whoever does has to teach them to the log first. */
EXPORT int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    if (path_of(fd))
        abort();
    return REAL(fallocate)(fd, mode, offset, bytes);
}
EXPORT int fallocate64(int fd, int mode, off_t offset, off_t bytes) { return fallocate(fd, mode, offset, bytes); }

EXPORT ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t bytes, unsigned flags)
{
    if (path_of(to))
        abort();
    return REAL(copy_file_range)(from, from_offset, to, to_offset, bytes, flags);
}

EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t bytes)
{
    if (path_of(to))
        abort();
    return REAL(sendfile)(to, from, offset, bytes);
}
EXPORT ssize_t sendfile64(int to, int from, off_t *offset, size_t bytes) { return sendfile(to, from, offset, bytes); }

/* ---- Flushing ---- */

static int flush(int fd, const char *path, int (*really)(int))
{
    uint64_t began = record(FLUSH_BEGAN, fd, 0, 0, 0, NULL, 0, 0, NULL);
    int error;
    int result = 0;
    if (fails(FLUSH, path, &error)) {
        result = -1;
    } else {
        result = really(fd);
        error = result == 0 ? 0 : errno;
    }
    record(FLUSH_ENDED, fd, error, began, 0, NULL, 0, 0, NULL);
    errno = error;
    return result;
}

EXPORT int fsync(int fd)
{
    char *path = path_of(fd);
    return path ? flush(fd, path, REAL(fsync)) : REAL(fsync)(fd);
}

EXPORT int fdatasync(int fd)
{
    char *path = path_of(fd);
    return path ? flush(fd, path, REAL(fdatasync)) : REAL(fdatasync)(fd);
}

/* It promises nothing after a power cut, so nothing is recorded. */
EXPORT int sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags)
{
    return REAL(sync_file_range)(fd, offset, bytes, flags);
}

/* ---- Names ---- */

static int rename_at(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    int error;
    if (!is_ours(from) && !is_ours(to))
        return REAL(renameat2)(from_at, from, to_at, to, flags);
    if (fails(RENAME, to, &error)) {
        errno = error;
        return -1;
    }
    int result = flags ? REAL(renameat2)(from_at, from, to_at, to, flags) : REAL(renameat)(from_at, from, to_at, to);
    error = errno;
    if (result == 0)
        record_path(RENAMED, -1, 0, 0, from, to);
    errno = error;
    return result;
}

EXPORT int rename(const char *from, const char *to) { return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int renameat(int from_at, const char *from, int to_at, const char *to) { return rename_at(from_at, from, to_at, to, 0); }
EXPORT int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    return rename_at(from_at, from, to_at, to, flags);
}

static int remove_at(int at, const char *path, int flags)
{
    int error;
    if (!is_ours(path))
        return REAL(unlinkat)(at, path, flags);
    if (fails(REMOVE, path, &error)) {
        errno = error;
        return -1;
    }
    int result = REAL(unlinkat)(at, path, flags);
    error = errno;
    if (result == 0)
        record_path(flags & AT_REMOVEDIR ? FOLDER_REMOVED : REMOVED, -1, 0, 0, path, NULL);
    errno = error;
    return result;
}

EXPORT int unlink(const char *path) { return remove_at(AT_FDCWD, path, 0); }
EXPORT int unlinkat(int at, const char *path, int flags) { return remove_at(at, path, flags); }
EXPORT int rmdir(const char *path) { return remove_at(AT_FDCWD, path, AT_REMOVEDIR); }

EXPORT int mkdirat(int at, const char *path, mode_t mode)
{
    int error;
    if (!is_ours(path))
        return REAL(mkdirat)(at, path, mode);
    if (fails(MAKE_FOLDER, path, &error)) {
        errno = error;
        return -1;
    }
    int result = REAL(mkdirat)(at, path, mode);
    error = errno;
    if (result == 0)
        record_path(FOLDER_MADE, -1, 0, 0, path, NULL);
    errno = error;
    return result;
}
EXPORT int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---- Reading, and talking with peers ---- */

#define READ_OR_FAIL(fd, really)                     \
    char *path = path_of(fd);                        \
    int error;                                       \
    if (path && fails(READ, path, &error)) {         \
        errno = error;                               \
        return -1;                                   \
    }                                                \
    ssize_t got = (really);                          \
    if (!path && got > 0 && page && is_socket(fd)) { \
        error = errno;                               \
        RECORD_RECEIVED(got)                         \
        errno = error;                               \
    }                                                \
    return got;

#define RECORD_RECEIVED(got)                    \
    struct iovec slice = {bytes, (size_t)got};  \
    record_spoken(RECEIVED, fd, &slice, 1, (size_t)got);
EXPORT ssize_t read(int fd, void *bytes, size_t count) { READ_OR_FAIL(fd, REAL(read)(fd, bytes, count)) }
EXPORT ssize_t pread(int fd, void *bytes, size_t count, off_t offset) { READ_OR_FAIL(fd, REAL(pread)(fd, bytes, count, offset)) }
EXPORT ssize_t pread64(int fd, void *bytes, size_t count, off_t offset) { return pread(fd, bytes, count, offset); }
EXPORT ssize_t recv(int fd, void *bytes, size_t count, int flags) { READ_OR_FAIL(fd, REAL(recv)(fd, bytes, count, flags)) }
#undef RECORD_RECEIVED
#define RECORD_RECEIVED(got) record_spoken(RECEIVED, fd, slices, count, (size_t)got);
EXPORT ssize_t readv(int fd, const struct iovec *slices, int count) { READ_OR_FAIL(fd, REAL(readv)(fd, slices, count)) }
EXPORT ssize_t preadv(int fd, const struct iovec *slices, int count, off_t offset) { READ_OR_FAIL(fd, REAL(preadv)(fd, slices, count, offset)) }
EXPORT ssize_t preadv64(int fd, const struct iovec *slices, int count, off_t offset) { return preadv(fd, slices, count, offset); }

EXPORT ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
    if (page && is_socket(fd)) {
        struct iovec slice = {(void *)bytes, count};
        record_spoken(SENT, fd, &slice, 1, count);
    }
    return REAL(send)(fd, bytes, count, flags);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (page && is_socket(fd))
        record_spoken(SENT, fd, message->msg_iov, (int)message->msg_iovlen, SPOKEN_BYTES);
    return REAL(sendmsg)(fd, message, flags);
}
