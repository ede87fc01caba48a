/*
 * stream ONESHOT [SLICES]: how a volume streams. Posts a phantom of 300 slices to a service with
 * one worker and prints when the first result came, how much longer it all took than the bare model
 * on the same slices, how long a PNG sent meanwhile had to wait, and what memory it took.
 *
 * Figures for people: nothing here fails but what does not answer.
 */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/data/phantom.h"
#include "model/data/volume.h"
#include "model/model.h"
#include "tests/soak/soak.h"

enum { PNGS = 6 };

struct bytes {
    uint8_t *data; /* owned */
    size_t length;
};

static struct bytes read_file(const char *path)
{
    struct stat info;
    struct bytes b = {0};
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &info) != 0 || !(b.data = malloc((size_t)info.st_size)) ||
        fread(b.data, 1, (size_t)info.st_size, file) != (size_t)info.st_size)
        die("%s: %s", path, strerror(errno));
    b.length = (size_t)info.st_size;
    fclose(file);
    return b;
}

static void make(const char *oneshot, const char *what, const char *path, int slices)
{
    char command[1024];
    snprintf(command, sizeof command, "'%s' phantom --kind covid --seed 3 --volume %d %s '%s'",
             oneshot, slices, what, path);
    if (system(command) != 0)
        die("no phantom: %s", command);
}

/* ---- the bare model ---- */

static char bare_sha256[65]; /* the service must have the same model, or figures say nothing */

/* Milliseconds of all slices, read and windowed as the service does, on all cores. */
static double bare_model(const struct bytes *file)
{
    struct error err;
    struct model *model;
    struct session *session;
    struct volume *volume;
    const struct volume_limits limits = {.max_bytes = (size_t)1 << 31, .max_ratio = 1000};
    struct prediction *prediction = malloc(sizeof *prediction);
    if (!prediction || model_load(&model, NULL, &(struct model_options){0}, &err) != 0 ||
        session_open(&session, model, &err) != 0 ||
        volume_open(&volume, file->data, file->length, &limits, &err) != 0)
        die("%s", prediction ? err.text : "out of memory");
    int width = volume_columns(volume), height = volume_rows(volume);
    size_t count = (size_t)width * (size_t)height;
    struct image image = {
        .width = width, .height = height, .pixels = malloc(count * sizeof(float))};
    if (!image.pixels)
        die("out of memory");
    snprintf(bare_sha256, sizeof bare_sha256, "%s", model_info(model)->sha256);
    double start = 0;
    for (int k = -2; k < volume_slices(volume); k++) { /* two to warm up */
        struct voxel_range range;
        int slice = k < 0 ? volume_slices(volume) / 2 : k;
        if (k == 0)
            start = now_ms();
        if (volume_read(image.pixels, &range, volume, slice, &err) != 0)
            die("%s", err.text);
        for (size_t i = 0; i < count; i++) {
            float v = (image.pixels[i] - PHANTOM_LEVEL) / PHANTOM_WINDOW + .5f;
            image.pixels[i] = v < 0 ? 0 : v > 1 ? 1 : v;
        }
        if (session_predict(session, &image, NULL, prediction, &err) != 0)
            die("slice %d: %s", slice, err.text);
    }
    double ms = now_ms() - start;
    free(image.pixels);
    free(prediction);
    volume_close(volume);
    session_close(session);
    model_free(model);
    return ms;
}

/* ---- requests ---- */

struct request {
    char url[128];
    const char *type, *accept;
    const struct bytes *body;
    double sent, uploaded, first, ended; /* ms; `first` is a slice's */
    int slices;
    char line[4096]; /* the beginning of the one that is coming */
    size_t held;
    long status;
};

static size_t keep_lines(char *bytes, size_t size, size_t count, void *context)
{
    struct request *r = context;
    for (size_t i = 0; i < size * count; i++) {
        if (bytes[i] != '\n') {
            if (r->held + 1 < sizeof r->line)
                r->line[r->held++] = bytes[i];
            continue;
        }
        r->line[r->held] = 0;
        if (strstr(r->line, "\"event\":\"volume\"") && !strstr(r->line, bare_sha256))
            die("the service has another model than this program");
        if (strstr(r->line, "\"event\":\"slice\"") && r->slices++ == 0)
            r->first = now_ms();
        r->held = 0;
    }
    return size * count;
}

static int note_upload(void *context, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
    struct request *r = context;
    (void)down_all;
    (void)down;
    if (!(r->uploaded > 0) && up_all > 0 && up == up_all)
        r->uploaded = now_ms();
    return 0;
}

static void send_request(struct request *r)
{
    char type[128], accept[128];
    CURL *curl = curl_easy_init();
    if (!curl)
        die("no libcurl");
    snprintf(type, sizeof type, "Content-Type: %s", r->type);
    snprintf(accept, sizeof accept, "Accept: %s", r->accept);
    struct curl_slist *headers = curl_slist_append(NULL, type);
    headers = curl_slist_append(headers, accept);
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_URL, r->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)r->body->data);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body->length);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_lines);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, note_upload);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, r);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    r->sent = now_ms();
    CURLcode code = curl_easy_perform(curl);
    r->ended = now_ms();
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &r->status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK || r->status != 200)
        die("%s: %s, status %ld: %.300s", r->url, curl_easy_strerror(code), r->status, r->line);
}

static struct request request_to(int port, const char *target, const char *type, const char *accept,
                                 const struct bytes *body)
{
    struct request r = {.type = type, .accept = accept, .body = body};
    snprintf(r.url, sizeof r.url, "http://127.0.0.1:%d%s", port, target);
    return r;
}

static void *send_volume(void *context)
{
    send_request(context);
    return NULL;
}

/* ---- the figures ---- */

static double png_ms(int port, const struct bytes *png)
{
    struct request r = request_to(port, "/v1/predict", "image/png", "application/json", png);
    send_request(&r);
    return r.ended - r.sent;
}

static void stream_alone(const struct subject *subject, const struct bytes *volume, int slices,
                         double bare)
{
    double slice = bare / slices;
    struct request r = request_to(subject->port, "/v1/predict", "application/octet-stream",
                                  "application/x-ndjson", volume);
    send_request(&r);
    if (r.slices != slices)
        die("%d slices came, of %d", r.slices, slices);
    double total = r.ended - r.uploaded;
    printf("upload %.0f ms; first slice %.0f ms after it (%.1f slice-times)\n", r.uploaded - r.sent,
           r.first - r.uploaded, (r.first - r.uploaded) / slice);
    printf("all %d slices %.0f ms, bare model %.0f ms: overhead %.1f %%\n", slices, total, bare,
           100 * (total / bare - 1));
}

static void png_meanwhile(const struct subject *subject, const struct bytes *volume,
                          const struct bytes *png, double slice)
{
    pthread_t thread;
    double worst = 0, alone = 1e9;
    for (int i = 0; i < PNGS; i++) {
        double ms = png_ms(subject->port, png);
        alone = ms < alone ? ms : alone;
    }
    struct request r = request_to(subject->port, "/v1/predict", "application/octet-stream",
                                  "application/x-ndjson", volume);
    if (pthread_create(&thread, NULL, send_volume, &r) != 0)
        die("no thread");
    nap_ms((int)(1500 + 5 * slice));
    for (int i = 0; i < PNGS; i++) {
        double ms = png_ms(subject->port, png);
        worst = ms > worst ? ms : worst;
        nap_ms((int)(1.3 * slice)); /* at another moment of a slice each time */
    }
    pthread_join(thread, NULL);
    printf(
        "a PNG alone %.0f ms; while the volume runs at most %.0f ms of %d: its own time and %.1f "
        "slice-times\n",
        alone, worst, PNGS, (worst - alone) / slice);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/oneshot-stream-XXXXXX", volume_path[64], png_path[64];
    int slices = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 300;
    if (argc < 2 || slices < 1 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: stream ONESHOT [SLICES]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    snprintf(volume_path, sizeof volume_path, "%s/volume.nii", folder);
    snprintf(png_path, sizeof png_path, "%s/slice.png", folder);
    make(argv[1], "--nifti", volume_path, slices);
    make(argv[1], "--png", png_path, 1);
    struct bytes volume = read_file(volume_path), png = read_file(png_path);

    double bare = bare_model(&volume);
    printf("%d slices of 512x512, %.0f MB; the bare model takes %.1f ms a slice\n", slices,
           (double)volume.length / 1e6, bare / slices);

    struct subject subject;
    char *const command[] = {argv[1], NULL};
    subject_start(&subject, command, "", 1, 60, 60000);
    png_ms(subject.port, &png);
    double before = subject_status(&subject, "VmHWM");
    stream_alone(&subject, &volume, slices, bare);
    printf("peak memory %.0f MB before, %.0f MB after: %.2f times the volume\n", before,
           subject_status(&subject, "VmHWM"),
           (subject_status(&subject, "VmHWM") - before) * 1.048576e6 / (double)volume.length);
    png_meanwhile(&subject, &volume, &png, bare / slices);
    subject_end(&subject);
    int code = subject_wait(&subject, 60000);
    free(volume.data);
    free(png.data);
    unlink(volume_path);
    unlink(png_path);
    rmdir(folder);
    return code;
}
