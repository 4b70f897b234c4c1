//! That no two listeners want the same port.

use std::net::SocketAddr;

use super::error::ConfigError;
use super::section::{Key, Section};

/// The keys of all addresses that are listened on, taken before their sections are read.
pub(super) struct ListenerKeys([Key; 4]);

impl ListenerKeys {
    pub(super) fn of(root: &Section<'_>) -> Self {
        Self([
            root.key_within("server", "listen"),
            root.key_within("server", "admin_listen"),
            root.key_within("authorization", "callback_listen"),
            root.key_within("inbound", "listen"),
        ])
    }

    /// Refuses the second of two listeners that cannot both be bound. `addresses` are in the order of the keys.
    pub(super) fn refuse_shared(
        &self,
        addresses: [Option<SocketAddr>; 4],
    ) -> Result<(), ConfigError> {
        let mut bound: Vec<(&Key, SocketAddr)> = Vec::new();
        for (key, address) in self.0.iter().zip(addresses) {
            let Some(address) = address else { continue };
            if let Some((other, _)) = bound.iter().find(|(_, other)| collide(*other, address)) {
                let why = format!("{address} is taken by {}", other.path());
                return Err(key.refuse(why));
            }
            bound.push((key, address));
        }
        Ok(())
    }
}

/// Port 0 is another one each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (everywhere || one.ip() == other.ip())
}
