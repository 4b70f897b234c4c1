//! The names that records may have, for whoever asks for one that none has.

use std::sync::LazyLock;

use evergrant_core::failure::FailureReason;
use evergrant_proto::v1::ErrorReason;

use crate::audit::action::CAME_ABOUT;
use crate::audit::record::{CANCELLED, OK};
use crate::grpc::methods;
use crate::grpc::status::reason_name;

/// Reasons of errors have numbers below this one.
const MOST: i32 = 1_000;

/// Every action, sorted.
pub fn actions() -> &'static [&'static str] {
    static ACTIONS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let methods = methods::all().map(|method| method.name.as_str());
        sorted(methods.chain(CAME_ABOUT))
    });
    &ACTIONS
}

/// Every outcome, sorted.
pub fn outcomes() -> &'static [&'static str] {
    static OUTCOMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let reasons = (1..=MOST).filter_map(|value| ErrorReason::try_from(value).ok());
        let failures = FailureReason::ALL.iter().map(|reason| reason.as_str());
        sorted(
            reasons
                .map(reason_name)
                .chain(failures)
                .chain([OK, CANCELLED]),
        )
    });
    &OUTCOMES
}

fn sorted(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What somebody may have meant by a name that is none of `known`: for an error, with `such` if nothing is like it.
pub fn meant(name: &str, known: &[&'static str], such: &str) -> String {
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let asked = plain(name);
    if let Some(same) = known.iter().find(|known| plain(known) == asked) {
        return format!("did you mean {same}?");
    }
    let like = known.iter().filter(|known| {
        let known = plain(known);
        let begins = known.get(..4).is_some_and(|first| asked.starts_with(first));
        begins || asked.len() > 2 && known.contains(&asked)
    });
    let like: Vec<_> = like.take(8).copied().collect();
    match like.as_slice() {
        [] => format!("such as {such}"),
        like => format!("did you mean {}?", like.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpcs_and_what_came_about_are_actions() {
        for action in [
            "GetToken",
            "BatchGetTokens",
            "WatchEnded",
            "AuditTrailAltered",
        ] {
            assert!(actions().contains(&action), "{action}");
        }
        for outcome in ["OK", "CANCELLED", "CREDENTIAL_NOT_FOUND", "SUBJECT_INVALID"] {
            assert!(outcomes().contains(&outcome), "{outcome}");
        }
        assert!(!outcomes().contains(&"UNSPECIFIED"));
    }

    #[test]
    fn what_was_meant_is_found_by_its_letters() {
        let meant = |name| meant(name, actions(), "GetToken");
        assert_eq!(meant("get_token"), "did you mean GetToken?");
        assert_eq!(
            meant("TokensRefresh"),
            "did you mean TokensKeptAside, TokensRefreshed?"
        );
        assert_eq!(meant("Nope"), "such as GetToken");
    }
}
