/*
 * Feeds files to a fuzz target without a fuzzer, so that what was once found stays fixed:
 * `replay FILE|FOLDER...` calls LLVMFuzzerTestOneInput with each file given and with each regular
 * file in each folder given. A target that finds fault aborts; unreadable paths exit with 1.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static int feed(const char *path, long size)
{
    int rc = -1;
    /* exactly as many bytes as the file has, so that a sanitizer sees every read past them */
    uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
    FILE *file = fopen(path, "rb");
    if (bytes && file && fread(bytes, 1, (size_t)size, file) == (size_t)size) {
        LLVMFuzzerTestOneInput(bytes, (size_t)size);
        rc = 0;
    } else {
        fprintf(stderr, "%s: cannot be read\n", path);
    }
    if (file)
        fclose(file);
    free(bytes);
    return rc;
}

/* Counts the files fed; -1 on failure. Folders are not followed into folders. */
static long replay(const char *path, int nested)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return feed(path, (long)st.st_size) ? -1 : 1;
    if (nested)
        return 0;
    DIR *folder = opendir(path);
    if (!folder) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    long count = 0;
    struct dirent *entry;
    while (count >= 0 && (entry = readdir(folder))) {
        char name[4096];
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof name)
            continue;
        long fed = replay(name, 1);
        count = fed < 0 ? -1 : count + fed;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    long count = 0;
    for (int i = 1; i < argc; i++) {
        long fed = replay(argv[i], 0);
        if (fed < 0)
            return EXIT_FAILURE;
        count += fed;
    }
    printf("%ld inputs replayed\n", count);
    return EXIT_SUCCESS;
}
