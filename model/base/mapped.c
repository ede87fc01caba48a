#include "model/base/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int mapped_open(struct mapped *out, const char *path, struct error *err)
{
    int rc = 0;
    *out = (struct mapped){0};
    /* non-blocking, so that a pipe is refused below instead of waited for */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0) {
        rc = error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = error_set(err, ERR_IO, "%s: not a regular file", path);
        goto done;
    }
    if (st.st_size == 0)
        goto done;
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        rc = error_set(err, ERR_IO, "%s: cannot map the file: %s", path, strerror(errno));
        goto done;
    }
    *out = (struct mapped){.bytes = bytes, .length = (size_t)st.st_size};
done:
    close(fd);
    return rc;
}

void mapped_release_pages(const struct mapped *file)
{
    if (file->bytes)
        madvise((void *)file->bytes, file->length, MADV_DONTNEED);
}

void mapped_close(struct mapped *file)
{
    if (file->bytes)
        munmap((void *)file->bytes, file->length);
    *file = (struct mapped){0};
}
