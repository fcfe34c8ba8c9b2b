// Calls servers by Java's HttpsURLConnection: an order on a line, an answer on a line.
//
// An order is URL, CA file, PKCS #12 file or nothing, nothing, TLS version, milliseconds to wait;
// between tabs. The answer is `ok` and the page, or `error` and the exception.

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    public static void main(String[] arguments) throws Exception {
        var orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String order; (order = orders.readLine()) != null; ) {
            String answer;
            try {
                answer = "ok\t" + get(order.split("\t", -1));
            } catch (Exception error) {
                answer = "error\t" + error;
            }
            System.out.println(answer.strip().replace('\n', ' '));
        }
    }

    private static String get(String[] order) throws Exception {
        var connection = (HttpURLConnection) new URL(order[0]).openConnection();
        connection.setConnectTimeout(Integer.parseInt(order[5]));
        connection.setReadTimeout(Integer.parseInt(order[5]));
        if (connection instanceof HttpsURLConnection https) {
            https.setSSLSocketFactory(context(order).getSocketFactory());
        }
        try (var body = connection.getInputStream()) {
            return new String(body.readAllBytes(), StandardCharsets.UTF_8);
        } finally {
            connection.disconnect();
        }
    }

    private static SSLContext context(String[] order) throws Exception {
        String ca = order[1], pkcs12 = order[2];
        var roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (var file = new FileInputStream(ca)) {
            roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);

        KeyManagerFactory keys = null;
        if (!pkcs12.isEmpty()) {
            var password = "changeit".toCharArray();
            keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            keys.init(KeyStore.getInstance(new java.io.File(pkcs12), password), password);
        }
        // The newest version that it speaks.
        var context = SSLContext.getInstance("TLSv" + order[4]);
        context.init(keys == null ? null : keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }
}
