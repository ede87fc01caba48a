/* Transfer syntaxes of DICOM (PS3.6, annex A): which can be read, what the others are called. */
#ifndef ONESHOT_DATA_DICOM_SYNTAX_H
#define ONESHOT_DATA_DICOM_SYNTAX_H

#include <stdbool.h>

#include "model/base/error.h"

/*
 * Whether elements name their representation, of a syntax that is neither compressed nor big
 * endian. ERR_UNSUPPORTED, naming any other by UID and name. Pure, any thread.
 */
int dicom_syntax_check(bool *out, const char *uid, struct error *err);

#endif
