//! Each proxy with client certificates on its side, and with a certificate of its own on ours.

use std::path::PathBuf;

use countersign::testing::Issued;
use serde_json::{Value, json};
use support::forwarded::Format;
use support::interop::{Files, Pki};
use support::programs::{command, has_curl, run};
use support::proxies::{Listens, Proxy, Running, together};
use support::running::{Server, with};

pub(crate) const PROXIES: [Proxy; 4] = [Proxy::Envoy, Proxy::Nginx, Proxy::Haproxy, Proxy::Caddy];

/// The name of the proxies' own certificate.
pub(crate) const EDGE: &str = "edge.example";

/// The option of the tool, and the header, of a proxy.
pub(crate) const fn format_of(proxy: Proxy) -> (&'static str, Format) {
    match proxy {
        Proxy::Envoy => ("xfcc", Format::Xfcc),
        Proxy::Nginx => ("nginx", Format::Nginx),
        Proxy::Haproxy => ("haproxy", Format::Haproxy),
        Proxy::Caddy => ("client-cert", Format::ClientCert),
    }
}

/// A client or a proxy with this DNS name, in files.
pub(crate) fn files(pki: &Pki, name: &str) -> Files {
    pki.files(name, &issued(pki, name))
}

pub(crate) fn issued(pki: &Pki, name: &str) -> Issued {
    pki.ca.leaf().dns(name).common_name(name).issue()
}

/// `countersign serve`, which believes this header of the proxies.
pub(crate) async fn server(pki: &Pki, header: &str, more: &[PathBuf]) -> Server {
    let identity = format!("{EDGE}={header}");
    let mut arguments: Vec<PathBuf> = [
        "--identity",
        "dns",
        "--allow",
        "client.example",
        "other.example",
        "--identity-from-proxy",
        &identity,
    ]
    .map(PathBuf::from)
    .into();
    arguments.extend(with("--trust", &pki.ca_file));
    arguments.extend_from_slice(more);
    Server::start(&pki.files("server", &pki.server()), arguments).await
}

/// A proxy in front of the server at this port.
pub(crate) struct Front {
    pub(crate) running: Running,
    ca: PathBuf,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        let json = serde_json::from_str(&self.body);
        json.unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Whether the proxy and the client are there.
pub(crate) fn is_there(proxy: Proxy) -> bool {
    proxy.is_installed() && has_curl()
}

impl Front {
    pub(crate) async fn start(proxy: Proxy, pki: &Pki, to: u16) -> Self {
        let own = pki.files("front", &pki.server());
        let edge = files(pki, EDGE);
        let ca = pki.ca_file.display();
        let running = match proxy {
            Proxy::Nginx => {
                let site = format!(
                    "ssl_certificate {};\nssl_certificate_key {};\nssl_client_certificate {ca};\n\
                     ssl_verify_client on;\nlarge_client_header_buffers 8 128k;\n\
                     location / {{\nproxy_pass https://127.0.0.1:{to};\nproxy_http_version 1.1;\n\
                     proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;\n\
                     proxy_ssl_certificate {};\nproxy_ssl_certificate_key {};\n\
                     proxy_ssl_trusted_certificate {ca};\nproxy_ssl_verify on;\n\
                     proxy_ssl_name localhost;\nproxy_ssl_server_name on;\nproxy_ssl_protocols TLSv1.3;\n}}\n",
                    own.cert.display(),
                    own.key.display(),
                    edge.cert.display(),
                    edge.key.display(),
                );
                Running::as_server(proxy, "ssl", &site).await
            }
            Proxy::Haproxy => {
                let listen = format!(
                    "ssl crt {} verify required ca-file {ca}",
                    together(&own).display()
                );
                let site = format!(
                    " http-request set-header X-SSL-Client-Cert %[ssl_c_der,base64]\n \
                     http-request set-header X-SSL-Client-Chain %[ssl_c_chain_der,base64]\n \
                     default_backend app\nbackend app\n \
                     server app 127.0.0.1:{to} ssl crt {} verify required ca-file {ca} \
                     sni str(localhost) verifyhost localhost\n",
                    together(&edge).display()
                );
                Running::as_server(proxy, &listen, &site).await
            }
            Proxy::Envoy => {
                let configuration =
                    |port: u16, _: &std::path::Path| envoy(pki, &own, &edge, port, to).to_string();
                Running::on_a_free_port(proxy, configuration).await
            }
            Proxy::Caddy => {
                let configuration = |port: u16, _: &std::path::Path| {
                    format!(
                        "{{\n\tadmin off\n\tauto_https off\n}}\n\
                         https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {} {} {{\n\
                         \t\tclient_auth {{\n\t\t\tmode require_and_verify\n\t\t\ttrust_pool file {ca}\n\t\t}}\n\t}}\n\
                         \treverse_proxy https://127.0.0.1:{to} {{\n\
                         \t\theader_up Client-Cert \":{{http.request.tls.client.certificate_der_base64}}:\"\n\
                         \t\ttransport http {{\n\t\t\ttls_client_auth {} {}\n\t\t\ttls_trust_pool file {ca}\n\
                         \t\t\ttls_server_name localhost\n\t\t}}\n\t}}\n}}\n",
                        own.cert.display(),
                        own.key.display(),
                        edge.cert.display(),
                        edge.key.display(),
                    )
                };
                Running::on_a_free_port(proxy, configuration).await
            }
        };
        Self {
            running,
            ca: pki.ca_file.clone(),
        }
    }

    /// Asks by way of the proxy, with further headers.
    pub(crate) async fn get(&self, client: &Files, headers: &[(String, String)]) -> Got {
        let Listens::Tcp(port) = self.running.listens else {
            panic!("it listens on a port");
        };
        let mut curl = command("curl");
        curl.args(["--silent", "--show-error", "--http1.1", "--noproxy", "*"])
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .args(["--write-out", "\n%{http_code}", "--max-time", "30"])
            .arg("--cacert")
            .arg(&self.ca)
            .arg("--cert")
            .arg(&client.cert)
            .arg("--key")
            .arg(&client.key);
        for (name, value) in headers {
            curl.args(["--header", &format!("{name}: {value}")]);
        }
        curl.arg(format!("https://localhost:{port}/"));
        let finished = run(&mut curl, "").await;
        let (body, status) = finished.stdout.rsplit_once('\n').expect("a status");
        let status = status.parse().unwrap_or_else(|_| panic!("{finished:?}"));
        assert!(status > 0, "{finished:?}");
        Got {
            status,
            body: body.to_owned(),
        }
    }
}

fn envoy(pki: &Pki, own: &Files, edge: &Files, port: u16, to: u16) -> Value {
    const API: &str = "type.googleapis.com/envoy.extensions";

    let address =
        |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let certificate = |files: &Files| {
        json!([{
            "certificate_chain": {"filename": files.cert},
            "private_key": {"filename": files.key},
        }])
    };
    let trusted = json!({"trusted_ca": {"filename": pki.ca_file}});
    let manager = json!({
        "@type": format!("{API}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "in",
        "max_request_headers_kb": 512,
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"cert": true, "chain": true, "subject": true, "uri": true, "dns": true},
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
        }]},
        "http_filters": [{
            "name": "router",
            "typed_config": {"@type": format!("{API}.filters.http.router.v3.Router")},
        }],
    });
    json!({"static_resources": {
        "listeners": [{
            "name": "in",
            "address": address(port),
            "filter_chains": [{
                "transport_socket": {"name": "tls", "typed_config": {
                    "@type": format!("{API}.transport_sockets.tls.v3.DownstreamTlsContext"),
                    "require_client_certificate": true,
                    "common_tls_context": {
                        "tls_certificates": certificate(own),
                        "validation_context": trusted,
                    },
                }},
                "filters": [{"name": "http", "typed_config": manager}],
            }],
        }],
        "clusters": [{
            "name": "app",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "app", "endpoints": [{
                "lb_endpoints": [{"endpoint": {"address": address(to)}}],
            }]},
            "transport_socket": {"name": "tls", "typed_config": {
                "@type": format!("{API}.transport_sockets.tls.v3.UpstreamTlsContext"),
                "sni": "localhost",
                "common_tls_context": {
                    "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                    "tls_certificates": certificate(edge),
                    "validation_context": trusted,
                },
            }},
        }],
    }})
}
