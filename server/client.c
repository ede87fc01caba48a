#include "server/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct client {
    CURL *curl;
    char why[CURL_ERROR_SIZE];
};

int client_open(struct client **out, struct error *err)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 ||
        !(client->curl = curl_easy_init())) {
        free(client);
        return error_set(err, ERR_INTERNAL, "the HTTP client does not start");
    }
    *out = client;
    return 0;
}

void client_close(struct client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    curl_global_cleanup();
    free(client);
}

/* One exchange under way. */
struct exchange_state {
    CURL *curl;
    const struct client_request *request;
    struct client_answer *answer;
    bool stopped; /* by request->received */
};

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange_state *state = context;
    size_t length = size * count;
    long status = 0;
    curl_easy_getinfo(state->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 || !state->request->received)
        return buffer_append(&state->answer->body, bytes, length, NULL) == 0 ? length : 0;
    state->stopped = state->request->received(state->request->context, bytes, length) != 0;
    return state->stopped ? 0 : length;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct client_answer *answer = context;
    size_t length = size * count;
    char text[160];
    snprintf(text, sizeof text, "%.*s", (int)(length < 159 ? length : 159), line);
    text[strcspn(text, "\r\n")] = 0;
    if (strncasecmp(text, "Retry-After:", 12) == 0)
        answer->retry_after = (int)strtol(text + 12, NULL, 10);
    else if (strncasecmp(text, "Content-Type:", 13) == 0)
        snprintf(answer->type, sizeof answer->type, "%.127s", text + 13 + strspn(text + 13, " "));
    return length;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    const struct client_request *request = context;
    (void)down_total;
    (void)down;
    (void)up_total;
    request->sent(request->context, up);
    return 0;
}

static void set_peer(CURL *curl, const struct client_peer *peer)
{
    if (peer->unix_socket && *peer->unix_socket)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, peer->unix_socket);
    if (peer->ca_file && *peer->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, peer->ca_file);
    if (peer->insecure) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (peer->key) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, peer->key);
    }
}

static void set_time(CURL *curl, const struct client_request *request)
{
    if (request->received) {
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)request->timeout_ms);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)(request->timeout_ms + 999) / 1000);
    } else {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    }
}

static void set_body(CURL *curl, const struct client_request *request)
{
    if (request->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->length);
    }
    if (request->sent) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, request);
    }
}

/* What the caller has to mend; another try would end the same. */
static bool hopeless(CURLcode code)
{
    return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
           code == CURLE_SSL_CACERT_BADFILE || code == CURLE_PEER_FAILED_VERIFICATION;
}

int client_exchange(struct client_answer *answer, struct client *client,
                    const struct client_request *request, struct error *err)
{
    CURL *curl = client->curl;
    struct exchange_state state = {curl, request, answer, false};
    char accept[160];
    answer->status = 0;
    answer->retry_after = 0;
    answer->type[0] = 0;
    client->why[0] = 0;
    curl_easy_reset(curl);
    snprintf(accept, sizeof accept, "Accept: %.140s", request->accept ? request->accept : "*/*");
    struct curl_slist *headers = curl_slist_append(NULL, accept);
    if (request->body)
        headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
    set_peer(curl, &request->peer);
    set_time(curl, request);
    set_body(curl, request);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "oneshot/" ONESHOT_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &state);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    answer->status = (int)status;
    if (state.stopped)
        return error_set(err, ERR_CANCELLED, "the answer could not be written");
    if (code != CURLE_OK)
        return error_set(err, hopeless(code) ? ERR_ARGUMENT : ERR_IO, "%.200s%s%.108s: %s",
                         request->url, *request->peer.unix_socket ? " on " : "",
                         request->peer.unix_socket,
                         client->why[0] ? client->why : curl_easy_strerror(code));
    return 0;
}
