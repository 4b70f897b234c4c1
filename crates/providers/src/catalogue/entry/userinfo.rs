//! `[userinfo]`: who has consented.

use std::collections::BTreeMap;

use super::account::{AccountName, AccountNames};
use super::request::{BodyFormat, ClientAuth, Method, RequestFacts};
use super::response::ResponseFacts;

/// `[userinfo]`: how it is asked who has consented. The new access token is sent as a bearer token, and nothing is said
/// of the client (OpenID Connect Core section 5.3.1).
#[derive(Debug, Clone)]
pub struct UserinfoFacts {
    /// `method`, `GET` unless it says otherwise, with `parameters` and `headers`; those of `[request]` hold here too.
    pub request: RequestFacts,
    /// `[response]`, in which `account` and `failure` are what is stated here. `account` is `/sub` unless it says
    /// otherwise (section 5.3.2).
    pub response: ResponseFacts,
}

impl UserinfoFacts {
    /// What an entry gets that has no such table.
    pub(in crate::catalogue) fn usual(request: &RequestFacts, response: &ResponseFacts) -> Self {
        let sub = AccountName {
            join: vec!["/sub".to_owned()],
            with: None,
        };
        Self {
            request: RequestFacts {
                method: Method::Get,
                body: BodyFormat::Query,
                client_auth: ClientAuth::BearerAccessToken,
                headers: request.headers.clone(),
                parameters: BTreeMap::new(),
                ..RequestFacts::usual()
            },
            response: ResponseFacts {
                account: AccountNames(vec![sub]),
                ..response.clone()
            },
        }
    }
}
