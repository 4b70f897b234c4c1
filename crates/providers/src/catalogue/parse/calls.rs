//! The tables `[revoke]`, `[introspect]` and `[userinfo]`.

use super::account::account_or;
use super::request::{Words, request};
use super::response::{failure, pointers_or};
use crate::catalogue::entry::{
    ClientAuth, IntrospectFacts, Method, Pointers, RequestFacts, ResponseFacts, TokenCallFacts,
    TokenKind, UserinfoFacts,
};
use crate::catalogue::section::{Report, Section};

const TOKEN_CALL: Words = Words {
    methods: &[
        ("POST", Method::Post),
        ("GET", Method::Get),
        ("DELETE", Method::Delete),
    ],
    client_auths: &ClientAuth::OF_TOKEN_CALLS,
};

const USERINFO: Words = Words {
    methods: &[("GET", Method::Get), ("POST", Method::Post)],
    client_auths: &[(
        ClientAuth::BearerAccessToken.name(),
        ClientAuth::BearerAccessToken,
    )],
};

pub(super) fn revoke(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    token_request: &RequestFacts,
    response: &ResponseFacts,
) -> TokenCallFacts {
    let usual = usual(token_request, response, TokenKind::RefreshToken);
    let Some(mut table) = root.section(report, "revoke") else {
        return usual;
    };
    let tokens = [TokenKind::AccessToken, TokenKind::RefreshToken].map(|kind| (kind.name(), kind));
    let token = table.choice(report, "token", &tokens);
    table.refuse_empty(report, "success", "must have one item or more");
    let success = table
        .integers(report, "success")
        .into_iter()
        .filter_map(|status| {
            status.parse(report, |number| match u16::try_from(number) {
                Ok(408 | 429) => Err("says nothing of the token"),
                // Of a token that is gone already, some providers say so.
                Ok(status @ (200..=299 | 400..=499)) => Ok(status),
                _ => Err("is no HTTP status of 200 to 299 or 400 to 499"),
            })
        })
        .collect();
    let facts = TokenCallFacts {
        token: token.unwrap_or(usual.token),
        success,
        ..call(&mut table, report, usual)
    };
    table.finish(report);
    facts
}

/// What is asked about is the access token, and a success is any of 200 to 299 (RFC 7662 section 2.2).
pub(super) fn introspect(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    token_request: &RequestFacts,
    response: &ResponseFacts,
) -> IntrospectFacts {
    let usual = usual(token_request, response, TokenKind::AccessToken);
    let active = Pointers(vec!["/active".to_owned()]);
    let expires_at = Pointers(vec!["/exp".to_owned()]);
    let Some(mut table) = root.section(report, "introspect") else {
        return IntrospectFacts {
            call: usual,
            active,
            expires_at,
        };
    };
    let facts = IntrospectFacts {
        active: pointers_or(&mut table, report, "active", &active),
        expires_at: pointers_or(&mut table, report, "expires_at", &expires_at),
        call: call(&mut table, report, usual),
    };
    table.finish(report);
    facts
}

/// The access token proves everything, so that nothing is said of the client.
pub(super) fn userinfo(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    token_request: &RequestFacts,
    response: &ResponseFacts,
) -> UserinfoFacts {
    let mut facts = UserinfoFacts::usual(token_request, response);
    let Some(mut table) = root.section(report, "userinfo") else {
        return facts;
    };
    table.refuse_empty(report, "account", "must have one item or more");
    facts.response.account = account_or(&mut table, report, &facts.response.account);
    if let Some(rule) = failure(&mut table, report) {
        facts.response.failure = vec![rule];
    }
    facts.request = request(&mut table, report, &facts.request, &USERINFO);
    table.finish(report);
    facts
}

/// RFC 7009 section 2.1 and RFC 7662 section 2.1: a form, and the client proves itself as it does elsewhere.
fn usual(
    token_request: &RequestFacts,
    response: &ResponseFacts,
    token: TokenKind,
) -> TokenCallFacts {
    TokenCallFacts {
        request: usual_request(token_request),
        token,
        success: Vec::new(),
        response: response.clone(),
    }
}

/// What a request besides those for tokens of a grant has of `[request]`.
pub(super) fn usual_request(token_request: &RequestFacts) -> RequestFacts {
    let client_auth = match token_request.client_auth {
        ClientAuth::BearerRefreshToken => ClientAuth::None,
        other => other,
    };
    RequestFacts {
        client_auth,
        names: token_request.names.clone(),
        headers: token_request.headers.clone(),
        ..RequestFacts::usual()
    }
}

fn call(table: &mut Section<'_>, report: &mut Report<'_>, usual: TokenCallFacts) -> TokenCallFacts {
    let mut response = usual.response;
    if let Some(rule) = failure(table, report) {
        response.failure = vec![rule];
    }
    TokenCallFacts {
        request: request(table, report, &usual.request, &TOKEN_CALL),
        response,
        ..usual
    }
}
