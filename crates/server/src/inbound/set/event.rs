//! What an event means for a grant.

use evergrant_core::grant::InvalidationReason::{self, AccessDenied, GrantRevoked};
use serde_json::Value;

const BASE: &str = "https://schemas.openid.net/secevent/";

/// What an event means for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It died; the event's name.
    Died(&'static str, InvalidationReason),
    /// The issuer tries whether its tokens arrive.
    Verification,
    /// Nothing.
    Nothing,
}

/// The events of RISC 1.0, CAEP 1.0, OAuth Event Types 1.0 and the Shared Signals Framework 1.0.
pub(super) fn meaning(uri: &str, payload: &Value) -> Meaning {
    let Some(name) = uri.strip_prefix(BASE) else {
        return Meaning::Nothing;
    };
    match name {
        "risc/event-type/account-disabled" => Meaning::Died("account-disabled", AccessDenied),
        "risc/event-type/account-purged" => Meaning::Died("account-purged", GrantRevoked),
        "risc/event-type/account-credential-change-required" => {
            Meaning::Died("account-credential-change-required", GrantRevoked)
        }
        "risc/event-type/sessions-revoked" => Meaning::Died("sessions-revoked", GrantRevoked),
        "oauth/event-type/token-revoked" => Meaning::Died("token-revoked", GrantRevoked),
        "oauth/event-type/tokens-revoked" => Meaning::Died("tokens-revoked", GrantRevoked),
        "caep/event-type/session-revoked" => Meaning::Died("session-revoked", GrantRevoked),
        "caep/event-type/credential-change" if is_withdrawal(payload) => {
            Meaning::Died("credential-change", GrantRevoked)
        }
        "risc/event-type/verification" | "ssf/event-type/verification" => Meaning::Verification,
        _ => Meaning::Nothing,
    }
}

/// A credential that was made or renewed leaves grants alone (CAEP 1.0 section 3.3.1).
fn is_withdrawal(payload: &Value) -> bool {
    matches!(payload["change_type"].as_str(), Some("revoke" | "delete"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_event_that_ends_a_grant_is_known_and_no_other() {
        let nothing = json!({});
        let table = [
            (
                "risc/event-type/account-disabled",
                Meaning::Died("account-disabled", AccessDenied),
            ),
            (
                "risc/event-type/account-purged",
                Meaning::Died("account-purged", GrantRevoked),
            ),
            (
                "risc/event-type/account-credential-change-required",
                Meaning::Died("account-credential-change-required", GrantRevoked),
            ),
            (
                "risc/event-type/sessions-revoked",
                Meaning::Died("sessions-revoked", GrantRevoked),
            ),
            ("risc/event-type/verification", Meaning::Verification),
            ("ssf/event-type/verification", Meaning::Verification),
            (
                "oauth/event-type/token-revoked",
                Meaning::Died("token-revoked", GrantRevoked),
            ),
            (
                "oauth/event-type/tokens-revoked",
                Meaning::Died("tokens-revoked", GrantRevoked),
            ),
            (
                "caep/event-type/session-revoked",
                Meaning::Died("session-revoked", GrantRevoked),
            ),
            ("caep/event-type/credential-change", Meaning::Nothing),
            ("risc/event-type/account-enabled", Meaning::Nothing),
            ("risc/event-type/identifier-changed", Meaning::Nothing),
            ("caep/event-type/device-compliance-change", Meaning::Nothing),
            ("", Meaning::Nothing),
        ];
        for (name, expected) in table {
            assert_eq!(
                meaning(&format!("{BASE}{name}"), &nothing),
                expected,
                "{name}"
            );
            let elsewhere = format!("https://schemas.example/secevent/{name}");
            assert_eq!(meaning(&elsewhere, &nothing), Meaning::Nothing);
        }
    }

    #[test]
    fn a_changed_credential_ends_a_grant_only_where_it_was_withdrawn() {
        let uri = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
        for (change, ends) in [
            ("revoke", true),
            ("delete", true),
            ("create", false),
            ("update", false),
        ] {
            let payload = json!({ "credential_type": "password", "change_type": change });
            let died = matches!(
                meaning(uri, &payload),
                Meaning::Died("credential-change", _)
            );
            assert_eq!(died, ends, "{change}");
        }
    }
}
