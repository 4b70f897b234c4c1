//! A call as it arrives: its parameters and what proves its client, read and not yet judged.

use std::collections::BTreeMap;

use axum::body::to_bytes;
use axum::extract::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method};

use super::client::Presented;
use super::dialect::Played;
use super::ledger::Endpoint;
use super::mode::GrantSpec;
use super::proof::Wanted;
use super::refusal::Dialect;

/// The parameter of a consent's state.
pub(super) const STATE: &str = "state";

pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// A call to one of the provider's endpoints. It holds secrets and so has no `Debug`.
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) dialect: Dialect,
    pub(super) client: Presented,
    /// Whether the client proved itself in the `Authorization` header.
    pub(super) basic: bool,
    pub(super) bearer: Option<String>,
    pub(super) parameters: BTreeMap<String, String>,
    /// What is wrong with its form.
    pub(super) malformed: Option<&'static str>,
    /// What the assertion of a grant must say.
    pub(super) assertion: Wanted,
    /// What the assertion of a client must say.
    pub(super) client_assertion: Wanted,
    /// The entry of the catalogue that is spoken, below `/as/`.
    pub(super) played: Option<Played>,
}

impl Call {
    /// Reads a request to the sandbox at `base_url`. One that breaks the form is a call too, so that the ledger has it.
    pub(super) async fn read(
        base_url: &str,
        endpoint: Endpoint,
        dialect: Dialect,
        request: Request,
    ) -> Self {
        let (head, body) = request.into_parts();
        let mut malformed = None;
        let mut parameters = BTreeMap::new();
        if head.method == Method::POST {
            let read = match to_bytes(body, MAX_BODY_BYTES).await {
                Ok(body) => read_parameters(&head.headers, &body),
                Err(_) => Err("the body is too large or broke off"),
            };
            match read {
                Ok(read) => parameters = read,
                Err(reason) => malformed = Some(reason),
            }
        }
        let authorization = text_header(&head.headers, AUTHORIZATION.as_str());
        let (scheme, credentials) = authorization
            .map(|value| value.split_once(' ').unwrap_or((value, "")))
            .unwrap_or_default();
        let bearer = scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| credentials.to_owned());
        let client = if scheme.eq_ignore_ascii_case("basic") {
            Presented::from_basic(credentials).unwrap_or_else(|| {
                malformed = Some("the basic credentials are not sound");
                Presented::Nothing
            })
        } else {
            client_in_body(&parameters, &mut malformed)
        };
        let basic = matches!(client, Presented::Basic { .. });
        let proofs = [
            basic,
            parameters.contains_key("client_secret"),
            parameters.contains_key("client_assertion"),
        ];
        if proofs.into_iter().filter(|proof| *proof).count() > 1 {
            malformed = Some("the client must prove itself in one way, not in two");
        }
        Self {
            endpoint,
            dialect,
            client,
            basic,
            bearer,
            parameters,
            malformed,
            assertion: Wanted {
                audiences: vec![base_url.to_owned(), format!("{base_url}/token")],
                claims: vec!["sub".to_owned()],
            },
            client_assertion: Wanted {
                audiences: vec![base_url.to_owned(), format!("{base_url}/token")],
                claims: vec!["sub".to_owned()],
            },
            played: None,
        }
    }

    /// The terms of what is granted to `client` for this call, by the scopes that it asks for.
    pub(super) fn terms(&self, client: &str) -> GrantSpec {
        let usual = self.played.as_ref().map(Played::terms).unwrap_or_default();
        let scopes = self.parameter("scope");
        let scopes = scopes.map(|scopes| scopes.split_whitespace().map(str::to_owned).collect());
        GrantSpec {
            client_id: client.to_owned(),
            scopes: scopes.unwrap_or_else(|| usual.scopes.clone()),
            ..usual
        }
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The refresh token that a call to the token endpoint presents.
    pub(super) fn refresh_token(&self) -> Option<&str> {
        match self.endpoint {
            Endpoint::Token => self.parameter("refresh_token"),
            _ => None,
        }
    }
}

pub(super) fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The value of `client_assertion_type` (RFC 7523 section 2.2).
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn client_in_body(
    parameters: &BTreeMap<String, String>,
    malformed: &mut Option<&'static str>,
) -> Presented {
    if let Some(token) = parameters.get("client_assertion") {
        if parameters.get("client_assertion_type").map(String::as_str) != Some(ASSERTION_TYPE) {
            *malformed = Some("the client_assertion_type must be that of RFC 7523");
        }
        return Presented::Assertion {
            token: token.clone(),
            id: parameters.get("client_id").cloned(),
        };
    }
    match parameters.get("client_id") {
        Some(id) => Presented::Body {
            id: id.clone(),
            secret: parameters.get("client_secret").cloned(),
        },
        None => Presented::Nothing,
    }
}

fn read_parameters(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<BTreeMap<String, String>, &'static str> {
    let content_type = text_header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/x-www-form-urlencoded" => read_form(body),
        "application/json" => {
            serde_json::from_slice(body).map_err(|_| "the body must be a JSON object of strings")
        }
        _ => Err("the content type must be application/x-www-form-urlencoded or application/json"),
    }
}

/// RFC 6749 section 3.2: no parameter twice, and one without a value counts as left out.
pub(super) fn read_form(body: &[u8]) -> Result<BTreeMap<String, String>, &'static str> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(body).map_err(|_| "the body is no form")?;
    let mut parameters = BTreeMap::new();
    for (name, value) in pairs {
        if !value.is_empty() && parameters.insert(name, value).is_some() {
            return Err("a parameter came twice");
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_each_parameter_once_and_empty_ones_are_left_out() {
        let read = read_form(b"a=1&b=&c=x%20y").unwrap();
        assert_eq!(
            read.into_iter().collect::<Vec<_>>(),
            [("a".into(), "1".into()), ("c".into(), "x y".into())]
        );
        assert!(read_form(b"a=1&a=2").is_err());
    }
}
