/*
 * Certificate and private key of HTTPS, which may be exchanged while the service runs: connections
 * that are there keep theirs, new ones get the newest. There is one at a time in a process, since
 * the TLS library gives its callback no context.
 */
#ifndef ONESHOT_SERVER_TLS_H
#define ONESHOT_SERVER_TLS_H

#include "model/base/error.h"

struct tls;

/*
 * Reads certificate chain and key (PEM) and checks that they belong together. The paths must
 * outlive it. ERR_IO, ERR_TOO_LARGE, ERR_BAD_CONFIG, ERR_MEMORY.
 */
int tls_open(struct tls **out, const char *certificate, const char *key, struct error *err);

/* Reads the same files again; on an error everything stays as it was. Any thread. */
int tls_reload(struct tls *tls, struct error *err);

void tls_close(struct tls *tls); /* NULL is fine; no handshake may be under way */

/* For MHD_OPTION_HTTPS_CERT_CALLBACK2: a gnutls_certificate_retrieve_function3. */
void *tls_callback(void);

#endif
