/* A folder for a test program's files, gone with everything in it when the program ends. */
#ifndef ONESHOT_TESTS_SCRATCH_H
#define ONESHOT_TESTS_SCRATCH_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_folder[256];

static inline void scratch_remove(void)
{
    DIR *folder = opendir(scratch_folder);
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        char path[768];
        snprintf(path, sizeof path, "%s/%s", scratch_folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove(path);
    }
    if (folder)
        closedir(folder);
    rmdir(scratch_folder);
}

/* The path of a file in the folder; each call overwrites the one before it but seven. */
static inline const char *scratch(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    if (!scratch_folder[0]) {
        const char *above = getenv("TMPDIR");
        snprintf(scratch_folder, sizeof scratch_folder, "%.200s/oneshot-test-XXXXXX",
                 above && *above ? above : "/tmp");
        if (!mkdtemp(scratch_folder)) {
            perror(scratch_folder);
            exit(EXIT_FAILURE);
        }
        atexit(scratch_remove);
    }
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder, name);
    return path;
}

/* Writes a whole file. */
static inline void scratch_write(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
}

/* Reads a whole file; the caller frees it. */
static inline unsigned char *scratch_read(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    *length = (size_t)ftell(file);
    unsigned char *bytes = malloc(*length + 1);
    rewind(file);
    if (!bytes || fread(bytes, 1, *length, file) != *length) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    return bytes;
}

#endif
