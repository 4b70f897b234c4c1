//! What came about, by name.

use super::record::{RECORDS_LOST, TRAIL_ALTERED};

/// A stream of events ended.
pub const WATCH_ENDED: &str = "WatchEnded";

/// Actions that are no RPC: what came about, whoever or whatever caused it.
pub const CAME_ABOUT: [&str; 18] = [
    RECORDS_LOST,
    TRAIL_ALTERED,
    "ClientBraked",
    "ClientRecovered",
    "ClientRejected",
    "ClientReleased",
    "CredentialCreated",
    "CredentialDeleted",
    "CredentialInvalidated",
    "CredentialReconnected",
    "CredentialRestored",
    "GrantHeld",
    "IntegrationStatusChanged",
    "ReauthorizationDue",
    "RefreshFailed",
    "TokensKeptAside",
    "TokensRefreshed",
    WATCH_ENDED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_that_is_no_rpc_is_documented() {
        let page = include_str!("../../../../docs/audit.md");
        for action in CAME_ABOUT {
            assert!(page.contains(&format!("`{action}`")), "{action}");
        }
    }
}
