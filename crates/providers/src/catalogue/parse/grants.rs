//! The tables `[grants.X]`, and the list `grant_types`.

use super::request::{TOKEN_REQUEST, request};
use super::response::response;
use super::then::then;
use super::{strings_once, url};
use crate::catalogue::entry::{
    GrantKind, RequestFacts, ResponseFacts, TokenGrant, TokenGrantFacts, TokenGrants,
};
use crate::catalogue::section::{Located, Report, Section, pick};
use crate::catalogue::template::{Fact, HostPattern, UrlTemplate};

pub(super) fn grant_types(root: &mut Section<'_>, report: &mut Report<'_>) -> Vec<GrantKind> {
    let Some(words) = strings_once(root, report, "grant_types") else {
        return vec![GrantKind::AuthorizationCode, GrantKind::Static];
    };
    words
        .into_iter()
        .filter_map(|word| word.parse(report, |word| pick(&word, &GrantKind::BY_NAME)))
        .collect()
}

/// Where a request to the token endpoint goes unless its grant type says otherwise.
#[derive(Clone, Copy)]
pub(super) struct Urls<'a> {
    pub(super) token: Option<&'a UrlTemplate>,
    pub(super) refresh: Option<&'a UrlTemplate>,
    pub(super) allowed_hosts: &'a [HostPattern],
}

/// `None` if there is no token URL, which was told already.
pub(super) fn grants(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    urls: Urls<'_>,
    request: &RequestFacts,
    response: &ResponseFacts,
) -> Option<TokenGrants> {
    let mut table = root.section(report, "grants");
    let mut read = |grant: TokenGrant| {
        let table = table
            .as_mut()
            .and_then(|table| table.section(report, grant.name()));
        grant_facts(table, report, grant, urls, request, response)
    };
    let refresh_token = read(TokenGrant::RefreshToken);
    let authorization_code = read(TokenGrant::AuthorizationCode);
    let client_credentials = read(TokenGrant::ClientCredentials);
    let jwt_bearer = read(TokenGrant::JwtBearer);
    let token_exchange = read(TokenGrant::TokenExchange);
    let device_code = read(TokenGrant::DeviceCode);
    if let Some(table) = table {
        table.finish(report);
    }
    Some(TokenGrants {
        refresh_token: refresh_token?,
        authorization_code: authorization_code?,
        client_credentials: client_credentials?,
        jwt_bearer: jwt_bearer?,
        token_exchange: token_exchange?,
        device_code: device_code?,
    })
}

fn grant_facts(
    table: Option<Section<'_>>,
    report: &mut Report<'_>,
    grant: TokenGrant,
    urls: Urls<'_>,
    base_request: &RequestFacts,
    base_response: &ResponseFacts,
) -> Option<TokenGrantFacts> {
    let usual_url = match (grant, urls.refresh, urls.token) {
        (TokenGrant::RefreshToken, Some(url), _) => Some(("refresh_url", url)),
        (_, _, token) => token.map(|url| ("token_url", url)),
    };
    let usual_url = usual_url.map(|(field, url)| Fact {
        field: field.to_owned(),
        value: url.clone(),
    });
    let usual_grant_type = grant.usual_grant_type().to_owned();
    let Some(mut table) = table else {
        return Some(TokenGrantFacts {
            url: usual_url?,
            grant_type: usual_grant_type,
            request: base_request.clone(),
            default_scopes: Vec::new(),
            required: Vec::new(),
            response: base_response.clone(),
            then: None,
        });
    };
    let texts = |list: Option<Vec<Located<String>>>| {
        let list = list.unwrap_or_default().into_iter();
        list.map(|text| text.value).collect()
    };
    if grant == TokenGrant::RefreshToken && urls.refresh.is_some() && table.has("url") {
        table.problem_at(
            report,
            &["url"],
            "stands beside refresh_url, which says the same",
        );
    }
    let own_url = url(&mut table, report, "url", urls.allowed_hosts).map(|url| Fact {
        field: format!("grants.{}.url", grant.name()),
        value: url,
    });
    let grant_type = table.string(report, "grant_type");
    let default_scopes = texts(table.strings(report, "default_scopes"));
    let required = texts(table.strings(report, "required"));
    let request = request(&mut table, report, base_request, &TOKEN_REQUEST);
    let response = response(&mut table, report, base_response);
    let second = match grant {
        TokenGrant::AuthorizationCode => table.section(report, "then"),
        _ => None,
    };
    let second = second.and_then(|table| {
        let allowed_hosts = urls.allowed_hosts;
        then(table, report, allowed_hosts, base_request, base_response)
    });
    table.finish(report);
    Some(TokenGrantFacts {
        url: own_url.or(usual_url)?,
        grant_type: grant_type.map_or(usual_grant_type, |text| text.value),
        request,
        default_scopes,
        required,
        response,
        then: second,
    })
}
