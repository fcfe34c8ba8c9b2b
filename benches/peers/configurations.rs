//! The configurations of the other servers. Each has up to three ports, all with mutual TLS: one that
//! answers without an upstream, one that passes bytes to the upstream, and one that forwards requests to it.
//!
//! Only the third writes a line for each request, and adds the client's name to it, as the gateway of this
//! repository does.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::CLIENT_NAME;
use crate::subjects::Setting;

pub struct Ports {
    pub answer: SocketAddr,
    pub stream: SocketAddr,
    pub proxy: SocketAddr,
    pub upstream: SocketAddr,
}

fn file(setting: &Setting<'_>, name: &str) -> String {
    setting.folder().join(name).display().to_string()
}

/// The groups of servers that use OpenSSL.
const fn groups(hybrid: bool) -> &'static str {
    if hybrid {
        "X25519MLKEM768:X25519"
    } else {
        "X25519"
    }
}

pub fn nginx(setting: &Setting<'_>, ports: &Ports, hybrid: bool, stream: Option<&Path>) -> String {
    let tls = format!(
        "ssl_certificate {0}; ssl_certificate_key {1}; ssl_client_certificate {2};\n\
         ssl_verify_client on; ssl_verify_depth 3; ssl_protocols TLSv1.3; ssl_ecdh_curve {3};\n",
        file(setting, "server.crt"),
        file(setting, "server.key"),
        file(setting, "ca.crt"),
        groups(hybrid),
    );
    let (load, streams) = match stream {
        Some(module) => (
            format!("load_module {};\n", module.display()),
            format!(
                "stream {{ server {{ listen {} ssl;\n{tls}tcp_nodelay on;\nproxy_timeout 1h; proxy_pass {}; }} }}\n",
                ports.stream, ports.upstream
            ),
        ),
        None => Default::default(),
    };
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {};\n", file(setting, name)))
        .concat();
    // Started by root, its workers would not be allowed to use the folder.
    let user = match std::env::var("USER").as_deref() == Ok("root") || is_root() {
        true => "user root;\n",
        false => "",
    };
    format!(
        "{load}{user}daemon off;\nworker_processes {workers};\npid {pid};\nerror_log stderr crit;\n\
         worker_rlimit_nofile {files};\nevents {{ worker_connections {files}; }}\n\
         http {{\naccess_log off;\n{folders}{tls}\
         keepalive_timeout 1h; keepalive_requests 1000000000;\n\
         upstream plain {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}\n\
         server {{ listen {answer} ssl; location / {{ return 200 \"ok\\n\"; }} }}\n\
         server {{ listen {proxy} ssl; access_log {log};\nlocation / {{ proxy_pass http://plain;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header X-Client $ssl_client_s_dn; }} }}\n}}\n{streams}",
        workers = setting.workers,
        pid = file(setting, "nginx.pid"),
        files = setting.connections * 2 + 1000,
        upstream = ports.upstream,
        answer = ports.answer,
        proxy = ports.proxy,
        log = file(setting, "nginx-access.log"),
    )
}

/// Whether this process belongs to root.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

pub fn haproxy(setting: &Setting<'_>, ports: &Ports, hybrid: bool) -> String {
    let tls = format!(
        "ssl crt {} ca-file {} verify required ssl-min-ver TLSv1.3 curves {}",
        file(setting, "server.pem"),
        file(setting, "ca.crt"),
        groups(hybrid),
    );
    format!(
        "global\n maxconn {connections}\n nbthread {workers}\n log stderr format raw local0\n\
         defaults\n mode http\n timeout connect 30s\n timeout client 1h\n timeout server 1h\n\
         timeout http-keep-alive 1h\n timeout http-request 1h\n option http-no-delay\n\
         frontend answer\n bind {answer} {tls}\n\
         http-request return status 200 content-type text/plain string \"ok\\n\"\n\
         frontend stream\n mode tcp\n bind {stream} {tls}\n default_backend bytes\n\
         backend bytes\n mode tcp\n server upstream {upstream}\n\
         frontend proxy\n bind {proxy} {tls}\n log global\n option httplog\n\
         http-request set-header X-Client %{{+Q}}[ssl_c_s_dn]\n default_backend plain\n\
         backend plain\n http-reuse always\n server upstream {upstream}\n",
        connections = setting.connections + 200,
        workers = setting.workers,
        answer = ports.answer,
        stream = ports.stream,
        proxy = ports.proxy,
        upstream = ports.upstream,
    )
}

pub fn stunnel(setting: &Setting<'_>, ports: &Ports, hybrid: bool) -> String {
    format!(
        "foreground = yes\npid =\ndebug = crit\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n\
         [mutual]\naccept = {}\nconnect = {}\ncert = {}\nkey = {}\nCAfile = {}\n\
         verifyChain = yes\nrequireCert = yes\nsslVersionMin = TLSv1.3\ncurves = {}\n",
        ports.stream,
        ports.upstream,
        file(setting, "server.crt"),
        file(setting, "server.key"),
        file(setting, "ca.crt"),
        groups(hybrid),
    )
}

pub fn gateway(upstream: SocketAddr) -> String {
    format!(
        r#"
listen = "127.0.0.1:0"
[tls]
cert = "server.crt"
key = "server.key"
trust = ["ca.crt"]
identity = "dns"
allow = ["{CLIENT_NAME}"]
[limits]
reload_seconds = 3600
[forward]
xfcc = ["hash", "dns"]
[upstreams.plain]
url = "http://{upstream}"
[[routes]]
name = "root"
who = ["{CLIENT_NAME}"]
methods = ["GET"]
path = "/"
upstream = "plain"
"#
    )
}

pub fn envoy(setting: &Setting<'_>, ports: &Ports) -> String {
    let manager =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let router = json!([{
        "name": "envoy.filters.http.router",
        "typed_config": typed("envoy.extensions.filters.http.router.v3.Router", json!({})),
    }]);
    let http = |name: &str, route: Value, more: Value| {
        let mut manager_config = json!({
            "stat_prefix": name,
            "http_filters": router,
            // By default it waits a second for the client to close first.
            "delayed_close_timeout": "0s",
            "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        });
        extend(&mut manager_config, more);
        json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": typed(manager, manager_config),
        })
    };
    let answer = http(
        "answer",
        json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}}}),
        json!({}),
    );
    let proxy = http(
        "proxy",
        json!({"match": {"prefix": "/"}, "route": {"cluster": "plain"}}),
        json!({
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"dns": true},
            "access_log": [{
                "name": "envoy.access_loggers.file",
                "typed_config": typed(
                    "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    json!({"path": file(setting, "envoy-access.log")}),
                ),
            }],
        }),
    );
    let stream = json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": typed(
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            json!({"stat_prefix": "stream", "cluster": "plain"}),
        ),
    });
    let listeners = [
        (ports.answer, answer),
        (ports.stream, stream),
        (ports.proxy, proxy),
    ]
    .map(|(address, filter)| {
        json!({
            "address": socket(address),
            "filter_chains": [{"filters": [filter], "transport_socket": envoy_tls(setting)}],
        })
    });
    let thresholds = json!([{"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}]);
    let configuration = json!({"static_resources": {
        "listeners": listeners,
        "clusters": [{
            "name": "plain",
            "type": "STATIC",
            "circuit_breakers": {"thresholds": thresholds},
            "load_assignment": {
                "cluster_name": "plain",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(ports.upstream)}}]}],
            },
        }],
    }});
    configuration.to_string()
}

fn envoy_tls(setting: &Setting<'_>) -> Value {
    let context = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    let named = |name| json!({"filename": file(setting, name)});
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(context, json!({
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_3",
                    "ecdh_curves": ["X25519MLKEM768", "X25519"],
                },
                "tls_certificates": [{
                    "certificate_chain": named("server.crt"),
                    "private_key": named("server.key"),
                }],
                "validation_context": {"trusted_ca": named("ca.crt")},
            },
        })),
    })
}

fn typed(name: &str, mut value: Value) -> Value {
    extend(
        &mut value,
        json!({"@type": format!("type.googleapis.com/{name}")}),
    );
    value
}

fn extend(value: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (value, more) {
        fields.extend(more);
    }
}

fn socket(address: SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({"socket_address": {"address": ip, "port_value": port}})
}
