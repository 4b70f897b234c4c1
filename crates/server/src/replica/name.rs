//! What a replica is called.

use std::net::SocketAddr;

use evergrant_core::ids::{MAX_NAME_CHARS, ReplicaName};

/// Where Linux says what the machine, or the container, is called.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The name of the machine and the port of the gRPC listener, e.g. `evergrant-0:7070`.
pub(super) fn of(grpc: SocketAddr) -> ReplicaName {
    let host = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string(HOSTNAME_FILE));
    named(host.as_deref().unwrap_or_default(), grpc.port())
}

fn named(host: &str, port: u16) -> ReplicaName {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let plain = host.chars().filter(is_plain);
    let host: String = plain.take(MAX_NAME_CHARS - ":65535".len()).collect();
    let host = if host.is_empty() { "replica" } else { &host };
    let name = format!("{host}:{port}");
    ReplicaName::parse(&name).expect("plain characters, no more than there may be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_host_has_a_name() {
        for (host, name) in [
            ("evergrant-0", "evergrant-0:7070"),
            ("a host/ü\n", "ahost:7070"),
            ("", "replica:7070"),
        ] {
            assert_eq!(named(host, 7070).as_str(), name);
        }
        let long = named(&"x".repeat(500), 65_535);
        assert_eq!(long.as_str().len(), MAX_NAME_CHARS);
    }
}
