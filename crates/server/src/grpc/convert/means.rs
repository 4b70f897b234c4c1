//! What a caller brings to have tokens minted, and the scopes that it asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use evergrant_core::grant::{GrantType, Means, TokenSet};
use evergrant_core::ids::CredentialId;
use evergrant_core::scopes::ScopeSet;
use evergrant_core::secret::{Parameter, SigningKey};
use evergrant_proto::v1;
use evergrant_providers::catalogue::{Entry, TokenGrant};
use evergrant_providers::engine::{Lack, Unusable};

use crate::grpc::status::ApiError;

const MAX_SCOPES: usize = 100;
const MAX_SCOPE_BYTES: usize = 512;
const MAX_PARAMETERS: usize = 64;
const MAX_PARAMETER_NAME: usize = 64;
/// Of a signing key, and of all parameters together.
const MAX_SECRET_BYTES: usize = 64 * 1024;

/// The parameter that names the credential whose token is exchanged.
const SUBJECT_CREDENTIAL: &str = "subject_credential";
/// The parameter that names on whose behalf an assertion is made.
const SUBJECT: &str = "subject";

/// The means that `material` brings for a minted grant, which has no token yet.
pub(super) fn to_mint(
    grant_type: GrantType,
    material: v1::TokenMaterial,
) -> Result<TokenSet, ApiError> {
    let v1::TokenMaterial {
        access_token,
        refresh_token,
        token_type,
        expires_at,
        refresh_expires_at,
        scopes,
        metadata,
        signing_key,
        parameters,
        token_response,
    } = material;
    let given = [
        ("access_token", !access_token.is_empty()),
        ("refresh_token", !refresh_token.is_empty()),
        ("token_type", !token_type.is_empty()),
        ("expires_at", expires_at.is_some()),
        ("refresh_expires_at", refresh_expires_at.is_some()),
        ("metadata", !metadata.is_empty()),
        ("token_response", !token_response.is_empty()),
        (
            "signing_key",
            !signing_key.is_empty() && grant_type == GrantType::TokenExchange,
        ),
    ];
    if let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        return Err(unfit(&format!("material.{field}")));
    }
    Ok(TokenSet::to_mint(Means {
        parameters: to_parameters(grant_type, parameters)?,
        signing_key: to_signing_key(signing_key)?,
        scopes: scope_set("material.scopes", scopes)?,
        subject_token: None,
    }))
}

/// Parameters that every entry's grants may have, besides those that its requests speak of.
const OF_ALL: [&str; 7] = [
    "client_id",
    "client_secret",
    "key_id",
    "private_key_id",
    "subject_token",
    "subject_token_type",
    SUBJECT_CREDENTIAL,
];

/// Refuses means that lack what the provider's catalogue entry requires of such a grant, and parameters that the entry
/// does not speak of: they would be a mistake in a name, and a token of another account than the one that is meant.
pub fn refuse_unfit(entry: &Entry, grant_type: GrantType, means: &Means) -> Result<(), ApiError> {
    let grant = match grant_type {
        GrantType::ClientCredentials => TokenGrant::ClientCredentials,
        GrantType::JwtBearer => TokenGrant::JwtBearer,
        GrantType::TokenExchange => TokenGrant::TokenExchange,
        GrantType::AuthorizationCode | GrantType::Static => return Ok(()),
    };
    let mut required = entry.grants.get(grant).required.iter();
    if let Some(lacking) = required.find(|name| !means.parameters.contains_key(*name)) {
        let why = format!("must be set: provider {} requires it", entry.name);
        return Err(ApiError::invalid(in_parameters(lacking), why));
    }
    let mut known = entry.placeholder_names();
    known.extend(entry.grants.get(grant).required.iter().map(String::as_str));
    let mut given = means.parameters.keys().map(String::as_str);
    match given.find(|name| !OF_ALL.contains(name) && !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(ApiError::invalid(
            in_parameters(name),
            unknown("parameter", entry, &known),
        )),
    }
}

/// Refuses metadata that is neither for a placeholder of the provider's entry nor what the entry keeps of answers: it would
/// be a mistake in a name.
pub(super) fn refuse_unknown_placeholders(
    entry: &Entry,
    metadata: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    let mut known = entry.placeholder_names();
    let responses = entry.grants.iter().map(|grant| &grant.response);
    known.extend(responses.flat_map(|response| response.metadata.keys().map(String::as_str)));
    match metadata.keys().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(ApiError::invalid(
            format!("material.metadata.{name}"),
            unknown("placeholder", entry, &known),
        )),
    }
}

fn unknown(what: &str, entry: &Entry, known: &BTreeSet<&str>) -> String {
    let provider = &entry.name;
    let known: Vec<&str> = known.iter().copied().collect();
    match known.join(", ").as_str() {
        "" => format!("is no {what} of provider {provider}, which has none of its own"),
        known => format!("is no {what} of provider {provider}; it has {known}"),
    }
}

/// What no token could be had with, told by the field of the request that lacks it.
pub fn unusable(grant_type: GrantType, unusable: &Unusable) -> ApiError {
    let field = match (&unusable.lack, grant_type.is_minted()) {
        (Lack::Placeholder(name), true) => in_parameters(name),
        (Lack::Placeholder(name), false) => format!("material.metadata.{name}"),
        (Lack::SigningKey, _) => "material.signing_key".to_owned(),
        (Lack::ClientSecret, true) => in_parameters("client_secret"),
        (Lack::ClientSecret, false) => "credential.client".to_owned(),
        (Lack::Other, _) => "credential.provider".to_owned(),
    };
    ApiError::invalid(field, unusable.to_string())
}

/// The scopes that a request names, each as RFC 6749 section 3.3 has it.
pub fn scope_set(field: &str, scopes: Vec<String>) -> Result<ScopeSet, ApiError> {
    if scopes.len() > MAX_SCOPES {
        return Err(ApiError::invalid(field, "must have at most 100 scopes"));
    }
    let is_scope = |scope: &String| {
        (1..=MAX_SCOPE_BYTES).contains(&scope.len())
            && scope
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if !scopes.iter().all(is_scope) {
        let why = "a scope must be 1 to 512 characters of visible ASCII without \" and \\";
        return Err(ApiError::invalid(field, why));
    }
    Ok(scopes.into_iter().collect())
}

fn to_parameters(
    grant_type: GrantType,
    parameters: HashMap<String, String>,
) -> Result<BTreeMap<String, Parameter>, ApiError> {
    let field = "material.parameters";
    let names_subject = parameters.contains_key(SUBJECT_CREDENTIAL);
    if names_subject && grant_type != GrantType::TokenExchange {
        return Err(unfit(&in_parameters(SUBJECT_CREDENTIAL)));
    }
    if !names_subject && grant_type == GrantType::TokenExchange {
        let why = "must name the credential whose token is exchanged";
        return Err(ApiError::invalid(in_parameters(SUBJECT_CREDENTIAL), why));
    }
    let size: usize = parameters.values().map(String::len).sum();
    if parameters.len() > MAX_PARAMETERS || size > MAX_SECRET_BYTES {
        let why = "must have at most 64 pairs and 65,536 bytes";
        return Err(ApiError::invalid(field, why));
    }
    let checked = parameters.into_iter().map(|(name, value)| {
        check_parameter(&name, &value)?;
        Ok((name, Parameter::new(value)))
    });
    checked.collect()
}

/// No message repeats a value, nor a name that may be a value by mistake.
fn check_parameter(name: &str, value: &str) -> Result<(), ApiError> {
    let is_name = (1..=MAX_PARAMETER_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !is_name {
        let why = "a name must be 1 to 64 characters of a-z, A-Z, 0-9 and _ - .";
        return Err(ApiError::invalid("material.parameters", why));
    }
    if value.is_empty() || value.contains(char::is_control) {
        let why = "must not be empty and must have no control characters";
        return Err(ApiError::invalid(in_parameters(name), why));
    }
    if name == SUBJECT && value.contains(char::is_whitespace) {
        return Err(ApiError::invalid(in_parameters(name), "must have no space"));
    }
    if name == SUBJECT_CREDENTIAL {
        CredentialId::parse(value)
            .map_err(|why| ApiError::invalid(in_parameters(name), why.to_string()))?;
    }
    Ok(())
}

fn to_signing_key(text: String) -> Result<Option<SigningKey>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_pem = text.trim_start().starts_with("-----BEGIN ") && text.contains("PRIVATE KEY-----");
    if text.len() > MAX_SECRET_BYTES || !(is_pem || is_service_account(&text)) {
        let why = "must be a private key in PEM or the JSON of a service account, of at most 65,536 bytes";
        return Err(ApiError::invalid("material.signing_key", why));
    }
    Ok(Some(SigningKey::new(text)))
}

/// Whether a text is a JSON object that holds a private key.
fn is_service_account(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct ServiceAccount<'a> {
        #[serde(borrow)]
        private_key: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str::<ServiceAccount<'_>>(text).is_ok_and(|file| !file.private_key.is_empty())
}

fn in_parameters(name: &str) -> String {
    format!("material.parameters.{name}")
}

/// A field that the grant type has no use for.
pub(super) fn unfit(field: &str) -> ApiError {
    ApiError::invalid(field, "does not fit the grant type")
}

#[cfg(test)]
mod tests {
    use evergrant_core::ids::ProviderName;

    use super::*;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n";

    fn material(parameters: &[(&str, &str)]) -> v1::TokenMaterial {
        let parameters = parameters.iter();
        v1::TokenMaterial {
            parameters: parameters
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..v1::TokenMaterial::default()
        }
    }

    fn refusal(grant_type: GrantType, material: v1::TokenMaterial) -> String {
        let error = to_mint(grant_type, material).unwrap_err();
        assert!(!error.message().contains("hush"), "{}", error.message());
        error.message().to_owned()
    }

    #[test]
    fn means_are_taken_and_there_is_no_token_yet() {
        let brought = v1::TokenMaterial {
            signing_key: PEM.into(),
            scopes: vec!["b".into(), "a".into(), "b".into()],
            ..material(&[("subject", "user@example.com")])
        };
        let set = to_mint(GrantType::JwtBearer, brought).unwrap();
        assert!(!set.has_token());
        assert_eq!(set.means.scopes.as_slice(), ["a", "b"]);
        assert_eq!(set.means.signing_key.unwrap().expose(), PEM);
        assert_eq!(set.means.parameters["subject"].expose(), "user@example.com");
        let nothing = to_mint(GrantType::ClientCredentials, material(&[])).unwrap();
        assert_eq!(nothing.means, Means::default());
    }

    #[test]
    fn a_service_accounts_file_is_a_signing_key_and_other_texts_are_not() {
        let with = |key: &str| v1::TokenMaterial {
            signing_key: key.into(),
            ..material(&[])
        };
        let file = r#"{"type":"service_account","private_key":"-----BEGIN\nhush"}"#;
        to_mint(GrantType::JwtBearer, with(file)).unwrap();
        for odd in [
            "hush",
            "{}",
            r#"{"private_key":""}"#,
            "-----BEGIN CERTIFICATE-----",
            &format!("{PEM}{}", "x".repeat(MAX_SECRET_BYTES)),
        ] {
            let why = refusal(GrantType::JwtBearer, with(odd));
            assert!(why.starts_with("material.signing_key: must be"), "{why}");
        }
    }

    #[test]
    fn what_does_not_fit_a_minted_grant_is_refused_and_named() {
        let consent = GrantType::ClientCredentials;
        for (field, odd) in [
            (
                "material.access_token",
                v1::TokenMaterial {
                    access_token: "hush".into(),
                    ..material(&[])
                },
            ),
            (
                "material.refresh_token",
                v1::TokenMaterial {
                    refresh_token: "hush".into(),
                    ..material(&[])
                },
            ),
            (
                "material.expires_at",
                v1::TokenMaterial {
                    expires_at: Some(prost_types::Timestamp::default()),
                    ..material(&[])
                },
            ),
            (
                "material.parameters.subject_credential",
                material(&[("subject_credential", "a")]),
            ),
        ] {
            let why = refusal(consent, odd);
            assert_eq!(why, format!("{field}: does not fit the grant type"));
        }
    }

    #[test]
    fn a_key_signs_assertions_of_a_grant_or_proves_its_client_and_exchanges_nothing() {
        let material = || v1::TokenMaterial {
            signing_key: PEM.into(),
            ..material(&[("subject_credential", "a")])
        };
        let exchange = refusal(GrantType::TokenExchange, material());
        assert_eq!(
            exchange,
            "material.signing_key: does not fit the grant type"
        );
        for grant_type in [GrantType::JwtBearer, GrantType::ClientCredentials] {
            let brought = v1::TokenMaterial {
                parameters: [].into(),
                ..material()
            };
            let set = to_mint(grant_type, brought).unwrap();
            assert_eq!(set.means.signing_key.unwrap().expose(), PEM);
        }
    }

    // A104
    #[test]
    fn a_malformed_subject_is_refused() {
        for subject in [
            "",
            " ",
            "a b",
            "a\u{a0}b",
            "a\n",
            "a\0",
            "\u{7f}hush",
            "hush\t",
        ] {
            let why = refusal(GrantType::JwtBearer, material(&[("subject", subject)]));
            assert!(why.starts_with("material.parameters.subject: "), "{why}");
        }
        to_mint(
            GrantType::JwtBearer,
            material(&[("subject", "ü@example.com")]),
        )
        .unwrap();
    }

    #[test]
    fn an_exchange_names_the_credential_that_it_exchanges() {
        let exchange = GrantType::TokenExchange;
        for odd in [
            material(&[]),
            material(&[("subject_credential", "a/b")]),
            material(&[("subject_credential", "")]),
        ] {
            let why = refusal(exchange, odd);
            assert!(why.starts_with("material.parameters.subject_credential: "));
        }
        to_mint(exchange, material(&[("subject_credential", "slack-7")])).unwrap();
    }

    #[test]
    fn a_parameter_that_the_entry_does_not_speak_of_is_a_mistake() {
        let catalogue = evergrant_providers::Catalogue::builtin();
        let check = |provider: &str, kind, parameters: &[(&str, &str)]| {
            let name = ProviderName::parse(provider).unwrap();
            let means = to_mint(kind, material(parameters)).unwrap().means;
            refuse_unfit(catalogue.get(&name).unwrap(), kind, &means)
        };
        let google = |name| {
            check(
                "google",
                GrantType::JwtBearer,
                &[(name, "ann@corp.example")],
            )
        };
        google("subject").unwrap();
        google("client_id").unwrap();
        let refused = google("subjct").unwrap_err().message().to_owned();
        assert!(refused.starts_with(
            "material.parameters.subjct: is no parameter of provider google; it has "
        ));
        let pairs = [("corpid", "a"), ("corpsecret", "b")];
        check("wecom", GrantType::ClientCredentials, &pairs).unwrap();
    }

    #[test]
    fn what_the_provider_requires_must_be_there() {
        let mut catalogue = evergrant_providers::Catalogue::empty();
        let entry = r#"
            name = "acme"
            token_url = "https://acme.example/token"
            sources = ["https://acme.example"]
            grant_types = ["client_credentials"]
            [grants.client_credentials]
            required = ["corpid", "corpsecret"]
        "#;
        let name = catalogue.add(entry, "test").unwrap();
        let entry = catalogue.get(&name).unwrap();
        let check = |parameters| {
            let kind = GrantType::ClientCredentials;
            let set = to_mint(kind, material(parameters)).unwrap();
            refuse_unfit(entry, kind, &set.means)
        };
        check(&[("corpid", "c"), ("corpsecret", "s")]).unwrap();
        let error = check(&[("corpid", "c")]).unwrap_err();
        assert_eq!(
            error.message(),
            "material.parameters.corpsecret: must be set: provider acme requires it"
        );
    }

    #[test]
    fn odd_parameters_are_refused_without_being_repeated() {
        for odd in [
            material(&[("hush hush", "x")]),
            material(&[("", "x")]),
            material(&[("secret", "hush\r\n")]),
            material(&[("secret", &"x".repeat(MAX_SECRET_BYTES + 1))]),
        ] {
            let why = refusal(GrantType::ClientCredentials, odd);
            assert!(why.starts_with("material.parameters"), "{why}");
        }
        let spaced = material(&[("client_secret", "with spaces, and ü")]);
        to_mint(GrantType::ClientCredentials, spaced).unwrap();
    }

    #[test]
    fn scopes_have_the_characters_of_the_standard() {
        let one = |scope: &str| scope_set("scopes", vec![scope.to_owned()]);
        one("https://graph.microsoft.com/.default").unwrap();
        for odd in ["", "a b", "a\"", "a\\b", "ü", "a\n", &"x".repeat(513)] {
            assert!(one(odd).is_err(), "{odd:?}");
        }
        assert!(scope_set("scopes", vec!["a".into(); 101]).is_err());
    }
}
