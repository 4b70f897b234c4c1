//! From a request below `/as/` to a call.

use std::sync::Arc;

use axum::extract::Request;

use super::given::{Given, take_apart};
use super::sent::Sent;
use super::{Part, Played, offers};
use crate::catalogue::{AssertionFacts, ClientAuth, Entry, Parameter, RequestFacts, TokenGrant};
use crate::sandbox::call::{Call, STATE};
use crate::sandbox::client::Presented;
use crate::sandbox::ledger::Endpoint;
use crate::sandbox::proof::Wanted;
use crate::sandbox::refusal::Dialect;
use crate::sandbox::token_call::GRANTS;

/// The call that a request to the entry's `segment` is; `None` if the provider has no such thing. `base_url` is that of
/// the sandbox.
pub(in crate::sandbox) async fn read(
    entry: Arc<Entry>,
    segment: &str,
    base_url: &str,
    request: Request,
) -> Option<Call> {
    let address = format!("{base_url}{}", request.uri().path());
    let part = Part::named(&entry, segment);
    if part.is_none() && segment != "token" {
        return None;
    }
    let sent = Sent::read(request).await;
    let part = part.unwrap_or_else(|| Part::Token(asked_for(&entry, &sent)));
    let (given, malformed) = match given(&entry, part, &sent) {
        Ok(given) => (given, None),
        Err(why) => (nothing(), Some(why)),
    };
    Some(Call {
        endpoint: match part {
            Part::Token(_) | Part::Then => Endpoint::Token,
            Part::Device => Endpoint::Device,
            Part::Revoke => Endpoint::Revoke,
            Part::Introspect => Endpoint::Introspect,
            Part::Userinfo => Endpoint::Resource,
        },
        dialect: Dialect::Catalogue,
        assertion: wanted(entry.assertion.as_ref(), &address),
        client_assertion: wanted(Some(&entry.client_assertion), &address),
        parameters: given
            .values
            .into_iter()
            .map(|(parameter, value)| (parameter.usual_name().to_owned(), value))
            .chain(given.state.map(|state| (STATE.to_owned(), state)))
            .collect(),
        client: given.client,
        basic: false,
        bearer: given.carried,
        malformed,
        played: Some(Played { entry, part }),
    })
}

fn nothing() -> Given {
    Given {
        client: Presented::Nothing,
        values: std::collections::BTreeMap::new(),
        carried: None,
        state: None,
    }
}

/// Which of the grant types that share a URL a request is of: the one that it names, else one that it has a parameter of.
fn asked_for(entry: &Entry, sent: &Sent) -> TokenGrant {
    let here = GRANTS.into_iter().filter(|grant| {
        offers(entry, *grant) && entry.grants.get(*grant).url.value == entry.token_url
    });
    let here: Vec<TokenGrant> = here.collect();
    let has = |name: &str, value: Option<&str>| {
        let mut all = sent.anywhere();
        all.any(|(found, text)| found == name && value.is_none_or(|value| text == value))
    };
    let is_named = |grant: &&TokenGrant| {
        let facts = entry.grants.get(**grant);
        let name = facts.request.name_of(Parameter::GrantType);
        !facts.request.omit.contains(&Parameter::GrantType) && has(name, Some(&facts.grant_type))
    };
    let is_shown = |grant: &&TokenGrant| {
        let facts = &entry.grants.get(**grant).request;
        let mut own = own(**grant).iter();
        facts.omit.contains(&Parameter::GrantType)
            && own.all(|own| facts.omit.contains(own) || has(facts.name_of(*own), None))
    };
    let found = here
        .iter()
        .find(is_named)
        .or_else(|| here.iter().find(is_shown));
    let any = found.or_else(|| here.first());
    any.copied().unwrap_or(TokenGrant::RefreshToken)
}

/// The parameters that make a request one of its grant type.
fn own(grant: TokenGrant) -> &'static [Parameter] {
    match grant {
        TokenGrant::RefreshToken => &[Parameter::RefreshToken],
        TokenGrant::AuthorizationCode => &[Parameter::Code],
        TokenGrant::ClientCredentials => &[],
        TokenGrant::JwtBearer => &[Parameter::Assertion],
        TokenGrant::TokenExchange => &[Parameter::SubjectToken, Parameter::SubjectTokenType],
        TokenGrant::DeviceCode => &[Parameter::DeviceCode],
    }
}

fn given(entry: &Entry, part: Part, sent: &Sent) -> Result<Given, &'static str> {
    match part {
        Part::Token(grant) => token(entry, grant, sent),
        Part::Then => then(entry, sent),
        Part::Device => {
            let mut facts = entry.grants.get(TokenGrant::DeviceCode).request.clone();
            facts.parameters.clear();
            let given = take_apart(&facts, sent, &[], &[Parameter::Scope])?;
            Ok(spaced(given, &facts))
        }
        Part::Revoke => told_of(&entry.revoke.request, sent),
        Part::Introspect => told_of(&entry.introspect.call.request, sent),
        Part::Userinfo => take_apart(&entry.userinfo.request, sent, &[], &[]),
    }
}

fn token(entry: &Entry, grant: TokenGrant, sent: &Sent) -> Result<Given, &'static str> {
    let facts = entry.grants.get(grant);
    let wanted = own(grant).iter().copied().chain([Parameter::GrantType]);
    let wanted =
        wanted.chain((grant == TokenGrant::AuthorizationCode).then_some(Parameter::RedirectUri));
    let wanted: Vec<Parameter> = wanted.collect();
    let optional: &[Parameter] = match grant {
        TokenGrant::AuthorizationCode => &[Parameter::CodeVerifier],
        TokenGrant::ClientCredentials | TokenGrant::TokenExchange => &[Parameter::Scope],
        _ => &[],
    };
    let mut given = take_apart(&facts.request, sent, &wanted, optional)?;
    let stated = given.values.get(&Parameter::GrantType);
    let is_other = stated.is_some_and(|stated| *stated != facts.grant_type);
    if !is_other {
        let usual = grant.usual_grant_type().to_owned();
        given.values.insert(Parameter::GrantType, usual);
    }
    if facts.request.client_auth == ClientAuth::BearerRefreshToken
        && let Some(token) = given.carried.take()
    {
        given.values.insert(Parameter::RefreshToken, token);
    }
    Ok(spaced(given, &facts.request))
}

/// The second request of a code's exchange redeems the token of the first answer.
fn then(entry: &Entry, sent: &Sent) -> Result<Given, &'static str> {
    let code = entry.grants.get(TokenGrant::AuthorizationCode);
    let facts = code.then.as_ref().ok_or("there is no second request")?;
    let wanted: &[Parameter] = match facts.grant_type {
        Some(_) => &[Parameter::GrantType],
        None => &[],
    };
    let mut given = take_apart(&facts.request, sent, wanted, &[])?;
    if given.values.get(&Parameter::GrantType) != facts.grant_type.as_ref() {
        return Err("the grant type is another one");
    }
    let usual = TokenGrant::RefreshToken.usual_grant_type().to_owned();
    given.values.insert(Parameter::GrantType, usual);
    if let Some(token) = given.carried.take() {
        given.values.insert(Parameter::RefreshToken, token);
    }
    Ok(given)
}

/// A token is sent to be revoked or told of.
fn told_of(facts: &RequestFacts, sent: &Sent) -> Result<Given, &'static str> {
    let optional = &[Parameter::TokenTypeHint];
    let mut given = take_apart(facts, sent, &[Parameter::Token], optional)?;
    if let Some(token) = given.carried.take() {
        given.values.entry(Parameter::Token).or_insert(token);
    }
    Ok(given)
}

/// Scopes with spaces between them, whatever the provider has there.
fn spaced(mut given: Given, facts: &RequestFacts) -> Given {
    if let Some(scopes) = given.values.get_mut(&Parameter::Scope) {
        *scopes = scopes.replace(&facts.scope_separator, " ");
    }
    given
}

/// What an assertion must say that is sent to `address`. What only its sender knows is not looked at.
fn wanted(facts: Option<&AssertionFacts>, address: &str) -> Wanted {
    let claims = facts.into_iter().flat_map(|facts| &facts.claims);
    let mut wanted = Wanted::default();
    for (claim, fact) in claims {
        let text = fact.value.to_string();
        match claim.as_str() {
            "iss" => {}
            "aud" if text == "{token_url}" => wanted.audiences.push(address.to_owned()),
            "aud" if fact.value.placeholders().next().is_none() => wanted.audiences.push(text),
            _ if text.contains("?}") => {}
            claim => wanted.claims.push(claim.to_owned()),
        }
    }
    wanted
}
