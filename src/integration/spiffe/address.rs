//! Where the agent listens (SPIFFE Workload Endpoint, section 4).

use std::net::SocketAddr;

use tonic::transport::Endpoint;

use super::WorkloadError;

/// The environment variable with the agent's address.
pub(super) const VARIABLE: &str = "SPIFFE_ENDPOINT_SOCKET";

/// The address of the environment.
pub(super) fn from_environment() -> Result<String, WorkloadError> {
    match std::env::var(VARIABLE) {
        Ok(address) if !address.is_empty() => Ok(address),
        Ok(_) | Err(std::env::VarError::NotPresent) => Err(WorkloadError::NoAddress),
        Err(std::env::VarError::NotUnicode(address)) => Err(WorkloadError::BadAddress {
            address: address.to_string_lossy().into_owned(),
            problem: "it is not UTF-8",
        }),
    }
}

/// The endpoint of an address.
pub(super) fn endpoint(address: &str) -> Result<Endpoint, WorkloadError> {
    let bad = |problem| WorkloadError::BadAddress {
        address: address.to_owned(),
        problem,
    };
    let uri = if let Some(path) = address.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') {
            return Err(bad(
                "the path of the socket must be absolute, as in unix:/run/agent.sock",
            ));
        }
        if path.contains(['?', '#']) {
            return Err(bad(
                "an address of a socket has neither a query nor a fragment",
            ));
        }
        format!("unix:{path}")
    } else if let Some(socket) = address.strip_prefix("tcp://") {
        // No name is resolved: the agent is on this host.
        let socket: SocketAddr = socket
            .strip_suffix('/')
            .unwrap_or(socket)
            .parse()
            .map_err(|_| bad("expected an IP address and a port, as in tcp://127.0.0.1:8000"))?;
        format!("http://{socket}")
    } else {
        return Err(bad("it starts neither with unix: nor with tcp://"));
    };
    Endpoint::from_shared(uri).map_err(|_| bad("it is not a URI"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_specification() {
        for address in [
            "unix:/run/agent.sock",
            "unix:///run/agent.sock",
            "tcp://127.0.0.1:8000",
            "tcp://[::1]:8000",
        ] {
            assert!(endpoint(address).is_ok(), "{address}");
        }
        for address in [
            "",
            "/run/agent.sock",
            "unix:run/agent.sock",
            "unix://run/agent.sock",
            "unix:/run/agent.sock?a",
            "unix:/run/agent.sock#a",
            "tcp://localhost:8000",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:8000/path",
            "tcp://user@127.0.0.1:8000",
            "tcp:127.0.0.1:8000",
            "http://127.0.0.1:8000",
        ] {
            let error = endpoint(address).expect_err(address);
            assert_eq!(error.reason(), "bad_workload_address", "{address}");
        }
    }
}
