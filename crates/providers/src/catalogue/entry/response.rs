//! `[response]`: where things stand in an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::account::AccountNames;

/// `[response]`: where things stand in an answer. Each is a list of JSON pointers (RFC 6901), of which the
/// first that leads to a usable value counts; a form-encoded answer is read as an object of strings.
#[derive(Debug, Clone)]
pub struct ResponseFacts {
    /// `access_token`
    pub access_token: Pointers,
    /// `refresh_token`
    pub refresh_token: Pointers,
    /// `token_type`; with an empty list, always `Bearer`.
    pub token_type: Pointers,
    /// `scope`: a text or a list of texts.
    pub scope: Pointers,
    /// `expires_in`: seconds until the access token ends.
    pub expires_in: Pointers,
    /// `expires_at`: when it ends; seconds or milliseconds since the epoch, or RFC 3339.
    pub expires_at: Pointers,
    /// `refresh_expires_in`: seconds until the refresh token ends.
    pub refresh_expires_in: Pointers,
    /// `refresh_expires_at`: when it ends.
    pub refresh_expires_at: Pointers,
    /// `account`: what names the account at the provider.
    pub account: AccountNames,
    /// `id_token`: an identity token (OpenID Connect Core section 3.1.3.3).
    pub id_token: Pointers,
    /// `access_token_lifetime`: how long an access token lives when the answer does not say, where that is another time
    /// than in `[lifetime]`.
    pub access_token_lifetime: Option<Duration>,
    /// `numbers_only`: an expiry that is a text makes the answer one that cannot be trusted.
    pub numbers_only: bool,
    /// `error`: the error code, a short text or a number other than 0.
    pub error: Pointers,
    /// `error_description`: prose about the error, for people alone.
    pub error_description: Pointers,
    /// `[response.metadata]`: facts to keep with the grant, by the name that placeholders use.
    pub metadata: BTreeMap<String, Pointers>,
    /// `failure`: what marks an answer as a failure in spite of HTTP 200.
    pub failure: Vec<FailureRule>,
}

impl ResponseFacts {
    /// Where things stand unless an entry says otherwise.
    pub(crate) fn usual() -> Self {
        let list = |pointers: &[&str]| {
            Pointers(
                pointers
                    .iter()
                    .map(|pointer| (*pointer).to_owned())
                    .collect(),
            )
        };
        Self {
            access_token: list(&["/access_token", "/accessToken"]),
            refresh_token: list(&["/refresh_token", "/refreshToken"]),
            token_type: list(&["/token_type", "/tokenType"]),
            scope: list(&["/scope", "/scopes"]),
            expires_in: list(&["/expires_in", "/expiresIn", "/expireIn", "/expire"]),
            expires_at: list(&["/expires_at", "/expires_on", "/expiresAt"]),
            refresh_expires_in: list(&[
                "/refresh_token_expires_in",
                "/x_refresh_token_expires_in",
                "/refresh_expires_in",
            ]),
            refresh_expires_at: list(&["/refresh_token_expires_at"]),
            account: AccountNames(Vec::new()),
            id_token: list(&["/id_token"]),
            access_token_lifetime: None,
            numbers_only: false,
            error: list(&[
                "/error/code",
                "/error",
                "/error/type",
                "/errcode",
                "/error_code",
                "/errorCode",
                "/code",
                "/reason",
            ]),
            error_description: list(&[
                "/error_description",
                "/error/message",
                "/message",
                "/errmsg",
                "/msg",
                "/reason",
            ]),
            metadata: BTreeMap::new(),
            failure: Vec::new(),
        }
    }
}

/// JSON pointers, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointers(pub Vec<String>);

impl Pointers {
    /// The values that are there and not null.
    pub fn find<'v>(&'v self, answer: &'v Value) -> impl Iterator<Item = &'v Value> {
        self.0
            .iter()
            .filter_map(|pointer| answer.pointer(pointer))
            .filter(|value| !value.is_null())
    }
}

/// `{ pointer, equals }`, `{ pointer, differs_from }` or `{ pointer, present }`.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureRule {
    /// Where to look.
    pub pointer: String,
    /// What is there in a failure.
    pub sign: FailureSign,
}

impl FailureRule {
    /// Whether `answer` is a failure by this rule.
    pub fn applies_to(&self, answer: &Value) -> bool {
        let found = answer.pointer(&self.pointer);
        match &self.sign {
            FailureSign::Equals(sign) => found == Some(sign),
            FailureSign::DiffersFrom(sign) => found.is_some_and(|found| found != sign),
            FailureSign::Present => found.is_some_and(|found| !found.is_null()),
        }
    }
}

/// What marks a failure.
#[derive(Debug, Clone, PartialEq)]
pub enum FailureSign {
    /// This value, e.g. `ok` is `false`.
    Equals(Value),
    /// Any value but this one, e.g. `errcode` other than 0.
    DiffersFrom(Value),
    /// Anything but null.
    Present,
}
