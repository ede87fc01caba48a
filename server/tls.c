#include "server/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/file.h"

enum {
    LARGEST_PEM = 256 * 1024, /* bytes of a certificate or key file */
    LONGEST_CHAIN = 16,       /* certificates */
};

struct pair {
    gnutls_datum_t certificate, key; /* PEM */
};

struct tls {
    const char *certificate, *key; /* paths */
    pthread_mutex_t lock;          /* of what follows */
    struct pair pair;
};

/* What the callback looks at. Written while no handshake can be under way. */
static struct tls *current;

static void free_pair(struct pair *pair)
{
    if (pair->key.data)
        explicit_bzero(pair->key.data, pair->key.size);
    free(pair->key.data);
    free(pair->certificate.data);
    *pair = (struct pair){.key = {NULL, 0}};
}

static int read_pem(gnutls_datum_t *out, const char *flag, const char *path, bool again,
                    struct error *err)
{
    uint8_t *bytes;
    size_t length;
    if ((again && file_check_again(path, err) != 0) ||
        file_read(&bytes, &length, path, LARGEST_PEM, err) != 0)
        return error_prefix(err, "%s", flag);
    *out = (gnutls_datum_t){bytes, (unsigned)length};
    return 0;
}

static void free_chain(gnutls_pcert_st *chain, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        gnutls_pcert_deinit(&chain[i]);
    gnutls_free(chain);
}

/*
 * Makes what a handshake needs of the pair; it is the library's own then. A code of the library,
 * below 0 where nothing was made.
 */
static int unpack(gnutls_pcert_st **chain, unsigned *count, gnutls_privkey_t *key,
                  const struct pair *pair)
{
    *count = LONGEST_CHAIN;
    *chain = gnutls_calloc(LONGEST_CHAIN, sizeof **chain);
    if (!*chain)
        return GNUTLS_E_MEMORY_ERROR;
    int code =
        gnutls_pcert_list_import_x509_raw(*chain, count, &pair->certificate, GNUTLS_X509_FMT_PEM,
                                          GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    if (code < 0) {
        gnutls_free(*chain);
        return code;
    }
    code = gnutls_privkey_init(key);
    if (code >= 0) {
        code = gnutls_privkey_import_x509_raw(*key, &pair->key, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (code >= 0)
            return 0;
        gnutls_privkey_deinit(*key);
    }
    free_chain(*chain, *count);
    return code;
}

/*
 * That the pair can be read as a handshake will, and that the key is the certificate's. In this
 * order: of what cannot be read, the second of the library's functions loses memory.
 */
static int check_pair(const struct tls *tls, const struct pair *pair, struct error *err)
{
    gnutls_certificate_credentials_t trial;
    gnutls_pcert_st *chain;
    gnutls_privkey_t key;
    unsigned count;
    int code = unpack(&chain, &count, &key, pair);
    if (code >= 0) {
        free_chain(chain, count);
        gnutls_privkey_deinit(key);
        code = gnutls_certificate_allocate_credentials(&trial);
    }
    if (code >= 0) {
        code = gnutls_certificate_set_x509_key_mem(trial, &pair->certificate, &pair->key,
                                                   GNUTLS_X509_FMT_PEM);
        gnutls_certificate_free_credentials(trial);
    }
    if (code >= 0)
        return 0;
    return error_set(
        err, code == GNUTLS_E_MEMORY_ERROR ? ERR_MEMORY : ERR_BAD_CONFIG,
        "--tls-cert %.100s and --tls-key %.100s must be a certificate, with a chain of "
        "at most %d, and its private key in PEM: %s",
        tls->certificate, tls->key, LONGEST_CHAIN, gnutls_strerror(code));
}

static int read_pair(struct pair *out, const struct tls *tls, bool again, struct error *err)
{
    struct pair pair = {.key = {NULL, 0}};
    int rc = 0;
    TRY(read_pem(&pair.certificate, "--tls-cert", tls->certificate, again, err));
    TRY(read_pem(&pair.key, "--tls-key", tls->key, again, err));
    TRY(check_pair(tls, &pair, err));
    *out = pair;
    pair = (struct pair){.key = {NULL, 0}};
done:
    free_pair(&pair);
    return rc;
}

int tls_open(struct tls **out, const char *certificate, const char *key, struct error *err)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls || pthread_mutex_init(&tls->lock, NULL) != 0) {
        free(tls);
        return error_set(err, ERR_MEMORY, "no memory for a certificate");
    }
    tls->certificate = certificate;
    tls->key = key;
    if (read_pair(&tls->pair, tls, false, err) != 0) {
        pthread_mutex_destroy(&tls->lock);
        free(tls);
        return -1;
    }
    *out = current = tls;
    return 0;
}

int tls_reload(struct tls *tls, struct error *err)
{
    struct pair fresh, old;
    if (read_pair(&fresh, tls, true, err) != 0)
        return -1;
    pthread_mutex_lock(&tls->lock);
    old = tls->pair;
    tls->pair = fresh;
    pthread_mutex_unlock(&tls->lock);
    free_pair(&old);
    return 0;
}

void tls_close(struct tls *tls)
{
    if (!tls)
        return;
    current = NULL;
    free_pair(&tls->pair);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

/*
 * Each handshake gets copies, so that nobody has to know when the last connection with an old
 * certificate is gone. Reading a key costs a tenth of what signing with it does.
 */
static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **chain, unsigned *count, gnutls_ocsp_data_st **ocsp,
                    unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
    (void)session;
    (void)info;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    pthread_mutex_lock(&current->lock);
    int rc = unpack(chain, count, key, &current->pair);
    pthread_mutex_unlock(&current->lock);
    return rc;
}

void *tls_callback(void)
{
    return (void *)(uintptr_t)&retrieve;
}
