#include "model/data/gunzip.h"

#include <stdlib.h>
#include <zlib.h>

struct gunzip {
    z_stream stream;
    const uint8_t *bytes; /* not given to zlib yet */
    size_t length;
    bool ended; /* the last member is complete */
};

enum { GZIP_ONLY = 16, MOST = 1 << 30 /* zlib counts in 32 bits */ };

bool gunzip_recognises(const void *bytes, size_t length)
{
    const uint8_t *b = bytes;
    return length >= 2 && b[0] == 0x1f && b[1] == 0x8b;
}

int gunzip_open(struct gunzip **out, const void *bytes, size_t length, struct error *err)
{
    struct gunzip *zip = calloc(1, sizeof *zip);
    *out = NULL;
    if (!zip || inflateInit2(&zip->stream, GZIP_ONLY + MAX_WBITS) != Z_OK) {
        free(zip);
        return error_set(err, ERR_MEMORY, "no memory for inflating");
    }
    zip->bytes = bytes;
    zip->length = length;
    *out = zip;
    return 0;
}

void gunzip_close(struct gunzip *zip)
{
    if (zip)
        inflateEnd(&zip->stream);
    free(zip);
}

static void feed(struct gunzip *zip)
{
    z_stream *z = &zip->stream;
    if (z->avail_in > 0 || zip->length == 0)
        return;
    size_t piece = zip->length < MOST ? zip->length : MOST;
    z->next_in = (Bytef *)(uintptr_t)zip->bytes;
    z->avail_in = (uInt)piece;
    zip->bytes += piece;
    zip->length -= piece;
}

static size_t left(const struct gunzip *zip)
{
    return zip->stream.avail_in + zip->length;
}

/* After a member: another one, the end, or something that is neither. */
static int next_member(struct gunzip *zip, struct error *err)
{
    feed(zip);
    if (left(zip) == 0) {
        zip->ended = true;
        return 0;
    }
    if (!gunzip_recognises(zip->stream.next_in, zip->stream.avail_in))
        return error_set(err, ERR_BAD_NIFTI, "%zu bytes that are no gzip data follow its end",
                         left(zip));
    if (inflateReset(&zip->stream) != Z_OK)
        return error_set(err, ERR_INTERNAL, "inflating cannot start again");
    return 0;
}

int gunzip_read(void *out, size_t *got, size_t wanted, struct gunzip *zip, struct error *err)
{
    z_stream *z = &zip->stream;
    *got = 0;
    while (*got < wanted && !zip->ended) {
        size_t room = wanted - *got < MOST ? wanted - *got : MOST;
        feed(zip);
        z->next_out = (Bytef *)out + *got;
        z->avail_out = (uInt)room;
        int status = inflate(z, Z_NO_FLUSH);
        *got += room - z->avail_out;
        if (status == Z_STREAM_END) {
            if (next_member(zip, err) != 0)
                return -1;
        } else if (status == Z_MEM_ERROR) {
            return error_set(err, ERR_MEMORY, "no memory for inflating");
        } else if (status == Z_BUF_ERROR || (status == Z_OK && z->avail_out > 0 && !left(zip))) {
            return error_set(err, ERR_BAD_NIFTI, "the gzip data are cut off");
        } else if (status != Z_OK) {
            return error_set(err, ERR_BAD_NIFTI, "the gzip data are damaged (%s)",
                             z->msg ? z->msg : "no reason given");
        }
    }
    return 0;
}

int gunzip_end(struct gunzip *zip, struct error *err)
{
    uint8_t more;
    size_t got;
    if (gunzip_read(&more, &got, 1, zip, err) != 0)
        return -1;
    return got == 0 ? 0
                    : error_set(err, ERR_BAD_NIFTI,
                                "the gzip data go on after the last voxel: dim does not fit them");
}
