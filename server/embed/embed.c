/*
 * Turns files into C: embed OUT PATH=FILE... writes the array of server/assets.h, each file under
 * its path, with its media type and an ETag from its contents. Runs when the program is built.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *suffix;
    const char *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".yaml", "application/yaml"},
    {".txt", "text/plain; charset=utf-8"},
    {".woff2", "font/woff2"},
    {".gz", "application/gzip"},
};

static const char *type_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcmp(dot, types[i].suffix) == 0)
            return types[i].type;
    return "application/octet-stream";
}

/* Writes the bytes of one file; its length and FNV-1a hash come back. */
static int write_bytes(FILE *out, const char *name, int index, size_t *length, uint64_t *hash)
{
    FILE *in = fopen(name, "rb");
    if (!in) {
        perror(name);
        return -1;
    }
    *length = 0;
    *hash = UINT64_C(14695981039346656037);
    fprintf(out, "static const uint8_t file_%d[] = {", index);
    for (int c; (c = getc(in)) != EOF; (*length)++) {
        *hash = (*hash ^ (uint64_t)c) * UINT64_C(1099511628211);
        fprintf(out, "%s%d,", *length % 24 ? "" : "\n", c);
    }
    fprintf(out, "%s};\n", *length ? "\n" : "0");
    int failed = ferror(in);
    fclose(in);
    return failed ? -1 : 0;
}

enum { MAX_FILES = 256 };

int main(int argc, char **argv)
{
    static size_t lengths[MAX_FILES];
    static uint64_t hashes[MAX_FILES];
    int files = argc - 2;
    if (argc < 2 || files > MAX_FILES) {
        fprintf(stderr, "usage: embed OUT PATH=FILE...   (at most %d)\n", MAX_FILES);
        return 2;
    }
    FILE *out = fopen(argv[1], "w");
    if (!out) {
        perror(argv[1]);
        return 1;
    }
    fprintf(out, "#include \"server/assets.h\"\n");
    for (int i = 0; i < files; i++) {
        char *equals = strchr(argv[i + 2], '=');
        if (!equals || write_bytes(out, equals + 1, i, &lengths[i], &hashes[i]) != 0)
            return 1;
        *equals = 0;
    }
    fprintf(out, "const struct asset assets[] = {\n");
    for (int i = 0; i < files; i++)
        fprintf(out, "{\"%s\", \"%s\", \"\\\"%016" PRIx64 "\\\"\", file_%d, %zu},\n", argv[i + 2],
                type_of(argv[i + 2]), hashes[i], i, lengths[i]);
    fprintf(out, "{0}};\nconst size_t assets_count = %d;\n", files);
    return fclose(out) == 0 ? 0 : 1;
}
