//! What a caller may ask of a consent, besides where it leads.

use std::collections::BTreeMap;

use super::ConsentError;

const MAX_PAIRS: usize = 64;
const MAX_BYTES: usize = 2048;
const MAX_SCOPES: usize = 256;
const MAX_SCOPE_BYTES: usize = 512;

/// Parameters that are decided by the protocol (RFC 6749 section 4.1.1, RFC 7636 section 4.3, OpenID Connect Core
/// section 3.1.2.1, RFC 9101 section 5) or would give away what must stay here.
const PROTOCOL: [&str; 17] = [
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
];

/// Refuses extra parameters that belong to the protocol; `scope_parameter` is the provider's own name for `scope`.
pub(super) fn check_parameters(
    parameters: &BTreeMap<String, String>,
    scope_parameter: &str,
) -> Result<(), ConsentError> {
    check_pairs("parameters", parameters)?;
    let is_protocol = |name: &&String| {
        let name = name.to_ascii_lowercase();
        PROTOCOL.contains(&name.as_str()) || name == "state" || name == scope_parameter
    };
    match parameters.keys().find(is_protocol) {
        None => Ok(()),
        Some(name) => Err(invalid(
            "parameters",
            format!("{name:?} belongs to the protocol and is set by the server"),
        )),
    }
}

/// Refuses pairs that are too many, too long, or hold what no URL should.
pub(super) fn check_pairs(
    field: &'static str,
    pairs: &BTreeMap<String, String>,
) -> Result<(), ConsentError> {
    if pairs.len() > MAX_PAIRS {
        return Err(invalid(field, "must have at most 64 pairs"));
    }
    let unfit = |text: &String| text.len() > MAX_BYTES || text.chars().any(char::is_control);
    let mut pairs = pairs.iter();
    match pairs.any(|(name, value)| name.is_empty() || unfit(name) || unfit(value)) {
        true => Err(invalid(
            field,
            "a name must not be empty, and names and values have at most 2,048 bytes and no control character",
        )),
        false => Ok(()),
    }
}

/// Refuses values for placeholders that the provider does not have: they would be a mistake in a name.
pub(super) fn check_placeholders(
    given: &BTreeMap<String, String>,
    known: &[String],
) -> Result<(), ConsentError> {
    match given.keys().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let why = match known.join(", ").as_str() {
                "" => "is no placeholder of the provider, which has none".to_owned(),
                known => format!("is no placeholder of the provider; it has {known}"),
            };
            Err(invalid(&format!("placeholders.{name}"), why))
        }
    }
}

/// Refuses scopes that would run into each other or ask for something else than they seem to.
pub(super) fn check_scopes(scopes: &[String]) -> Result<(), ConsentError> {
    if scopes.len() > MAX_SCOPES {
        return Err(invalid("scopes", "must be at most 256"));
    }
    let unfit = |scope: &&String| {
        let odd = |letter: char| letter.is_control() || letter.is_whitespace();
        scope.is_empty() || scope.len() > MAX_SCOPE_BYTES || scope.chars().any(odd)
    };
    match scopes.iter().find(unfit) {
        None => Ok(()),
        Some(_) => Err(invalid(
            "scopes",
            "each must be 1 to 512 bytes without space, and one scope",
        )),
    }
}

pub(super) fn invalid(field: &str, why: impl Into<String>) -> ConsentError {
    ConsentError::Invalid {
        field: field.to_owned(),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_parameter_of_the_protocol_is_refused_by_name() {
        for name in PROTOCOL
            .into_iter()
            .chain(["state", "STATE", "Client_ID", "user_scope"])
        {
            let refused = check_parameters(&pairs(name, "x"), "user_scope").unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
        for name in ["login_hint", "prompt", "access_type", "user_scope"] {
            assert_eq!(check_parameters(&pairs(name, "x"), "scope"), Ok(()));
        }
    }

    #[test]
    fn what_does_not_fit_into_a_url_is_refused() {
        for (name, value) in [
            ("", "x"),
            ("a", "x\ny"),
            ("a", &"x".repeat(2049)),
            ("a\0", ""),
        ] {
            assert!(check_parameters(&pairs(name, value), "scope").is_err());
        }
        let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
        assert!(check_pairs("placeholders", &many).is_err());
    }

    #[test]
    fn two_scopes_in_one_are_refused() {
        let scopes = |list: &[&str]| {
            list.iter()
                .map(|scope| (*scope).to_owned())
                .collect::<Vec<_>>()
        };
        let good = scopes(&[
            "openid",
            "https://www.googleapis.com/auth/drive",
            "chat:write",
        ]);
        assert_eq!(check_scopes(&good), Ok(()));
        for bad in ["", "a b", "a\tb", " a", "a\u{7}"] {
            assert!(check_scopes(&scopes(&["openid", bad])).is_err(), "{bad:?}");
        }
    }
}
