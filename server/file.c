#include "server/file.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/base/buffer.h"

int file_read(uint8_t **out, size_t *length, const char *path, size_t maximum, struct error *err)
{
    struct buffer buffer;
    int rc = 0;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
    if (!file)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    buffer_init(&buffer, maximum);
    for (;;) {
        char piece[65536];
        size_t n = fread(piece, 1, sizeof piece, file);
        if (n > 0)
            TRY(buffer_append(&buffer, piece, n, err));
        if (n < sizeof piece)
            break;
    }
    if (ferror(file)) {
        rc = error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
        goto done;
    }
    TRY(buffer_append(&buffer, "", 0, err));
    *out = buffer_take(&buffer, length);
done:
    buffer_free(&buffer);
    if (file != stdin)
        fclose(file);
    return rc;
}

int file_check_again(const char *path, struct error *err)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERR_IO, "%s: it is no file that can be read a second time", path);
    return 0;
}

int file_write(const char *path, const void *bytes, size_t length, struct error *err)
{
    FILE *file = fopen(path, "wbe");
    if (!file)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    size_t written = fwrite(bytes, 1, length, file);
    int closed = fclose(file);
    if (written != length || closed != 0)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

int file_claim(struct file_claims *claims, const char *path, struct error *err)
{
    char *name = strdup(path);
    char **kept = name ? tsearch(name, &claims->names, compare_names) : NULL;
    if (kept && *kept == name)
        return 0;
    free(name);
    return kept ? error_set(err, ERR_ARGUMENT,
                            "%s is there from another file of this name; give them folders of "
                            "their own",
                            path)
                : error_set(err, ERR_MEMORY, "no memory for the names of files");
}

void file_claims_free(struct file_claims *claims)
{
    tdestroy(claims->names, free);
    claims->names = NULL;
}
