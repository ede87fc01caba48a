#include "model/data/dicom_syntax.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *uid, *name;
    enum { READ_IMPLICIT, READ_EXPLICIT, COMPRESSED, BIG_ENDIAN } kind;
} syntaxes[] = {
    {"1.2.840.10008.1.2", "Implicit VR Little Endian", READ_IMPLICIT},
    {"1.2.840.10008.1.2.1", "Explicit VR Little Endian", READ_EXPLICIT},
    {"1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", COMPRESSED},
    {"1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", COMPRESSED},
    {"1.2.840.10008.1.2.2", "Explicit VR Big Endian", BIG_ENDIAN},
    {"1.2.840.10008.1.2.4.50", "JPEG Baseline", COMPRESSED},
    {"1.2.840.10008.1.2.4.51", "JPEG Extended", COMPRESSED},
    {"1.2.840.10008.1.2.4.57", "JPEG Lossless, Process 14", COMPRESSED},
    {"1.2.840.10008.1.2.4.70", "JPEG Lossless, First-Order Prediction", COMPRESSED},
    {"1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", COMPRESSED},
    {"1.2.840.10008.1.2.4.81", "JPEG-LS Near-Lossless", COMPRESSED},
    {"1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless", COMPRESSED},
    {"1.2.840.10008.1.2.4.91", "JPEG 2000", COMPRESSED},
    {"1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Lossless", COMPRESSED},
    {"1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2", COMPRESSED},
    {"1.2.840.10008.1.2.4.94", "JPIP Referenced", COMPRESSED},
    {"1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", COMPRESSED},
    {"1.2.840.10008.1.2.4.100", "MPEG2 Main Profile, Main Level", COMPRESSED},
    {"1.2.840.10008.1.2.4.101", "MPEG2 Main Profile, High Level", COMPRESSED},
    {"1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264", COMPRESSED},
    {"1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264, BD-compatible", COMPRESSED},
    {"1.2.840.10008.1.2.4.107", "HEVC/H.265", COMPRESSED},
    {"1.2.840.10008.1.2.4.110", "JPEG XL Lossless", COMPRESSED},
    {"1.2.840.10008.1.2.4.112", "JPEG XL", COMPRESSED},
    {"1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Lossless", COMPRESSED},
    {"1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 Lossless, RPCL", COMPRESSED},
    {"1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000", COMPRESSED},
    {"1.2.840.10008.1.2.5", "RLE Lossless", COMPRESSED},
};

int dicom_syntax_check(bool *out, const char *uid, struct error *err)
{
    if (strspn(uid, "0123456789.") != strlen(uid))
        return error_set(err, ERR_BAD_DICOM, "Transfer Syntax UID is no UID");
    for (size_t i = 0; i < sizeof syntaxes / sizeof *syntaxes; i++) {
        if (strcmp(syntaxes[i].uid, uid) != 0)
            continue;
        *out = syntaxes[i].kind == READ_EXPLICIT;
        if (syntaxes[i].kind <= READ_EXPLICIT)
            return 0;
        return error_set(
            err, ERR_UNSUPPORTED, "its transfer syntax is %s (%s), which is %s; save it as %s (%s)",
            uid, syntaxes[i].name, syntaxes[i].kind == COMPRESSED ? "compressed" : "not read here",
            syntaxes[1].uid, syntaxes[1].name);
    }
    return error_set(err, ERR_UNSUPPORTED,
                     "its transfer syntax is %s, which is not known here; save it as %s (%s)", uid,
                     syntaxes[1].uid, syntaxes[1].name);
}
