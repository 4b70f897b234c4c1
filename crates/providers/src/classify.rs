//! Who is at fault when a token endpoint gives no token: one table, read by HTTP status, then by error code.

use std::collections::BTreeMap;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::Verdict;

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// Who or what is at fault.
    pub verdict: Verdict,
    /// Whether the client's secret was refused, so that another one may be accepted.
    pub try_next_secret: bool,
    /// Whether the grant may belong to another client of the same provider.
    pub try_alternate_client: bool,
}

impl Meaning {
    /// A verdict that neither another secret nor another client would change.
    pub const fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            try_next_secret: false,
            try_alternate_client: false,
        }
    }
}

/// A meaning that a code has only beside certain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// `described`: what the `error_description` must hold, in capitals or not.
    pub words: String,
    /// What the code means then.
    pub meaning: Meaning,
}

impl Described {
    fn is_of(&self, description: &str) -> bool {
        let words = self.words.to_ascii_lowercase();
        description.to_ascii_lowercase().contains(&words)
    }
}

/// What an answer says of its own failure.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    /// The error code.
    pub(crate) code: Option<&'a str>,
    /// The prose beside it; empty if there is none.
    pub(crate) description: &'a str,
}

/// The meaning of an answer that holds no token, by its HTTP `status` and what it says. `errors`, `described` and `uncoded`
/// are the tables of the catalogue entry.
///
/// 1. The status comes first. A server that fails (5xx) or gives up waiting (408) says nothing of the grant,
///    whatever its body holds: proxies quote the error pages of others. 429 is throttling. Redirects are not
///    followed, so they make no sense.
/// 2. The code comes second: the entry's own table, then that of RFC 6749. HTTP 200 counts like 400 here,
///    since some providers refuse with it. A code that nobody knows says that our request or the catalogue
///    is wrong; it is no proof that a user must act.
/// 3. Prose is read only where the entry binds a code to words of it, and without that code it says nothing: a code whose
///    words are not there is what RFC 6749 makes of it.
///
/// An answer of 4xx without any code never kills a grant, unless the entry says so for that status. A load
/// balancer, a firewall or a moved endpoint answers just like that, and to revive a grant that was killed by
/// mistake takes its user, while a dead grant that is tried again costs one call per back-off. So it is a
/// [`Verdict::Protocol`] failure: the grant stays, callers are told, and an operator can add a line under
/// `[uncoded]` for a provider that really refuses in this way.
pub(crate) fn classify(
    status: u16,
    said: Said<'_>,
    errors: &BTreeMap<String, Meaning>,
    described: &BTreeMap<String, Vec<Described>>,
    uncoded: &BTreeMap<u16, Meaning>,
) -> Meaning {
    match (status, said.code) {
        (500..=599 | 408, _) => Meaning::of(Verdict::Transient),
        (429, _) => Meaning::of(Verdict::RateLimit),
        (200..=299 | 400..=499, Some(code)) => described
            .get(code)
            .and_then(|bound| bound.iter().find(|one| one.is_of(said.description)))
            .map(|one| one.meaning)
            .or_else(|| errors.get(code).copied())
            .or_else(|| rfc(code))
            .unwrap_or(Meaning::of(Verdict::Request)),
        (400..=499, None) => uncoded
            .get(&status)
            .copied()
            .unwrap_or(Meaning::of(Verdict::Protocol)),
        _ => Meaning::of(Verdict::Protocol),
    }
}

/// The codes of RFC 6749 sections 5.2 and 4.1.2.1, and of RFC 8628 section 3.5. A scope is part of the
/// client's configuration, so `invalid_scope` is for its operator.
pub(crate) fn rfc(code: &str) -> Option<Meaning> {
    let verdict = match code {
        "invalid_grant" => Verdict::Grant(InvalidationReason::GrantRevoked),
        "access_denied" => Verdict::Grant(InvalidationReason::AccessDenied),
        "invalid_client" => {
            return Some(Meaning {
                verdict: Verdict::Client,
                try_next_secret: true,
                try_alternate_client: false,
            });
        }
        "unauthorized_client" | "invalid_scope" => Verdict::Client,
        "invalid_request" | "unsupported_grant_type" => Verdict::Request,
        "temporarily_unavailable" | "server_error" | "slow_down" => Verdict::Transient,
        _ => return None,
    };
    Some(Meaning::of(verdict))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REVOKED: Verdict = Verdict::Grant(InvalidationReason::GrantRevoked);
    const DENIED: Verdict = Verdict::Grant(InvalidationReason::AccessDenied);

    fn coded(code: Option<&str>) -> Said<'_> {
        Said {
            code,
            ..Said::default()
        }
    }

    fn judge(status: u16, code: Option<&str>, errors: &BTreeMap<String, Meaning>) -> Meaning {
        classify(
            status,
            coded(code),
            errors,
            &BTreeMap::new(),
            &BTreeMap::new(),
        )
    }

    fn plain(status: u16, code: Option<&str>) -> Verdict {
        judge(status, code, &BTreeMap::new()).verdict
    }

    // A78, C118
    #[test]
    fn codes_of_the_rfc_have_one_meaning_under_every_status_that_lets_the_code_decide() {
        let table = [
            ("invalid_grant", REVOKED),
            ("access_denied", DENIED),
            ("invalid_client", Verdict::Client),
            ("unauthorized_client", Verdict::Client),
            ("invalid_scope", Verdict::Client),
            ("invalid_request", Verdict::Request),
            ("unsupported_grant_type", Verdict::Request),
            ("temporarily_unavailable", Verdict::Transient),
            ("server_error", Verdict::Transient),
            ("slow_down", Verdict::Transient),
        ];
        for (code, verdict) in table {
            for status in [200, 400, 401, 403, 404, 422] {
                assert_eq!(plain(status, Some(code)), verdict, "{status} {code}");
            }
        }
    }

    // A128, B35, B36, W60
    #[test]
    fn a_failing_or_throttling_server_harms_nothing_whatever_its_body_says() {
        let errors = BTreeMap::from([("invalid_grant".to_owned(), Meaning::of(REVOKED))]);
        for code in [None, Some("invalid_grant"), Some("invalid_client")] {
            for status in (500..600).chain([408]) {
                let meaning = judge(status, code, &errors);
                assert_eq!(meaning.verdict, Verdict::Transient, "{status} {code:?}");
            }
            let meaning = judge(429, code, &errors);
            assert_eq!(meaning.verdict, Verdict::RateLimit);
        }
    }

    // A127, B37
    #[test]
    fn a_refusal_without_a_code_never_kills_a_grant() {
        for status in (400..500).filter(|status| ![408, 429].contains(status)) {
            assert_eq!(plain(status, None), Verdict::Protocol, "{status}");
        }
    }

    // B37, B38: what is definitive without a code is a fact of one provider.
    #[test]
    fn an_entry_may_say_that_a_status_without_a_code_is_a_refusal() {
        let uncoded = BTreeMap::from([(401, Meaning::of(REVOKED))]);
        let verdict = |status, code| {
            let none = BTreeMap::new();
            classify(status, coded(code), &none, &BTreeMap::new(), &uncoded).verdict
        };
        assert_eq!(verdict(401, None), REVOKED);
        assert_eq!(verdict(400, None), Verdict::Protocol);
        assert_eq!(verdict(401, Some("invalid_client")), Verdict::Client);
        assert_eq!(verdict(503, None), Verdict::Transient);
    }

    #[test]
    fn a_code_that_nobody_knows_blames_the_request() {
        for status in [200, 400, 401, 403] {
            assert_eq!(plain(status, Some("new_thing")), Verdict::Request);
        }
    }

    #[test]
    fn the_entry_comes_before_the_rfc() {
        let errors = BTreeMap::from([("invalid_grant".to_owned(), Meaning::of(Verdict::Client))]);
        let meaning = judge(400, Some("invalid_grant"), &errors);
        assert_eq!(meaning.verdict, Verdict::Client);
    }

    #[test]
    fn words_decide_only_for_the_code_that_they_are_bound_to() {
        let bound = vec![Described {
            words: "Token is Invalid".to_owned(),
            meaning: Meaning::of(REVOKED),
        }];
        let described = BTreeMap::from([
            ("unauthorized_client".to_owned(), bound.clone()),
            ("own".to_owned(), bound),
        ]);
        let errors = BTreeMap::from([("own".to_owned(), Meaning::of(DENIED))]);
        let verdict = |code, description| {
            let said = Said {
                code: Some(code),
                description,
            };
            classify(403, said, &errors, &described, &BTreeMap::new()).verdict
        };
        let words = "the refresh_TOKEN is invalid.";
        assert_eq!(verdict("unauthorized_client", words), REVOKED);
        assert_eq!(verdict("own", words), REVOKED);
        assert_eq!(verdict("unauthorized_client", ""), Verdict::Client);
        assert_eq!(verdict("unauthorized_client", "token"), Verdict::Client);
        assert_eq!(verdict("own", "token"), DENIED);
        assert_eq!(verdict("server_error", words), Verdict::Transient);
        assert_eq!(verdict("other", words), Verdict::Request);
    }

    #[test]
    fn only_a_refused_secret_makes_another_one_worth_trying() {
        let none = BTreeMap::new();
        let next = |code| judge(401, Some(code), &none).try_next_secret;
        assert!(next("invalid_client"));
        for code in ["unauthorized_client", "invalid_scope", "invalid_grant"] {
            assert!(!next(code), "{code}");
        }
    }

    #[test]
    fn success_and_redirects_without_a_code_make_no_sense() {
        for status in [200, 201, 204, 301, 302, 307, 308] {
            assert_eq!(plain(status, None), Verdict::Protocol, "{status}");
        }
        assert_eq!(plain(302, Some("invalid_grant")), Verdict::Protocol);
    }

    proptest! {
        // R5: a code kills only if a table says so.
        #[test]
        fn no_code_outside_the_tables_kills_a_grant(status in 100u16..1000, code in "[a-z_]{0,24}") {
            prop_assume!(code != "invalid_grant" && code != "access_denied");
            prop_assert!(!matches!(plain(status, Some(&code)), Verdict::Grant(_)));
        }
    }
}
