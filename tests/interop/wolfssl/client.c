/* Connects to a server on this machine, presents a certificate, and prints the greeting that it reads.
 *
 * client PORT CA CERT KEY 1.2|1.3 [no-tickets]
 *
 * `no-tickets` is wolfSSL_CTX_no_dhe_psk: the client offers no resumption that a rustls server has, so
 * that the server sends no tickets. */

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *call, int code)
{
    char text[WOLFSSL_MAX_ERROR_SZ];
    printf("%s: %d: %s\n", call, code, wolfSSL_ERR_error_string(code, text));
    return 1;
}

/* Whether this build of wolfSSL takes tickets with a nonce of more than 8 octets. */
static const char *nonces(void)
{
#ifdef WOLFSSL_TICKET_NONCE_MALLOC
    return "of any length";
#else
    return "of up to 8 octets";
#endif
}

static int read_greeting(WOLFSSL *ssl)
{
    char text[256];
    int length = wolfSSL_read(ssl, text, sizeof text - 1);
    if (length <= 0) {
        WOLFSSL_ALERT_HISTORY alerts;
        memset(&alerts, 0, sizeof alerts);
        wolfSSL_get_alert_history(ssl, &alerts);
        printf("alerts: received %d, sent %d\n", alerts.last_rx.code, alerts.last_tx.code);
        return fail("wolfSSL_read", wolfSSL_get_error(ssl, length));
    }
    text[length] = 0;
    printf("read: %s\n", text);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return fail("arguments", argc);
    printf("wolfSSL %s, nonces %s\n", wolfSSL_lib_version(), nonces());
    wolfSSL_Init();
    int is_old = strcmp(argv[5], "1.2") == 0;
    WOLFSSL_CTX *ctx =
        wolfSSL_CTX_new(is_old ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
    if (argc > 6 && strcmp(argv[6], "no-tickets") == 0)
        wolfSSL_CTX_no_dhe_psk(ctx);
    if (wolfSSL_CTX_load_verify_locations(ctx, argv[2], NULL) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_certificate_chain_file(ctx, argv[3]) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(ctx, argv[4], WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        return fail("files", 0);

    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in server;
    memset(&server, 0, sizeof server);
    server.sin_family = AF_INET;
    server.sin_port = htons((unsigned short)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(tcp, (struct sockaddr *)&server, sizeof server) != 0)
        return fail("connect", 0);

    WOLFSSL *ssl = wolfSSL_new(ctx);
    wolfSSL_set_fd(ssl, tcp);
    wolfSSL_check_domain_name(ssl, "localhost");
    int code = wolfSSL_connect(ssl);
    if (code != WOLFSSL_SUCCESS)
        return fail("wolfSSL_connect", wolfSSL_get_error(ssl, code));
    int result = read_greeting(ssl);
    wolfSSL_shutdown(ssl);
    wolfSSL_free(ssl);
    wolfSSL_CTX_free(ctx);
    close(tcp);
    return result;
}
