//! What a request gives, if it is put together exactly as the facts of an entry have it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method as HttpMethod;

use super::sent::{Parameters, Sent};
use crate::catalogue::{ClientAuth, Method, Parameter, RequestFacts, Template};
use crate::sandbox::call::{ASSERTION_TYPE, text_header};
use crate::sandbox::client::{Presented, form_decoded};

/// The placeholder that the first answer of a code's exchange fills in the second request.
const FIRST_TOKEN: &str = "{access_token}";
/// The placeholder of a consent's state.
const CONSENTS_STATE: &str = "{state}";

/// What a request gives.
pub(super) struct Given {
    pub(super) client: Presented,
    /// The standard parameters, by their usual names.
    pub(super) values: BTreeMap<Parameter, String>,
    /// The token that a bearer header carries, or a parameter that is made of the first answer.
    pub(super) carried: Option<String>,
    /// The state of a consent, if a parameter is made of it.
    pub(super) state: Option<String>,
}

/// Takes a request apart. `own` are the standard parameters that it has to have, `optional` those that it may have; any
/// other but those of `facts` is a mistake.
pub(super) fn take_apart(
    facts: &RequestFacts,
    sent: &Sent,
    own: &[Parameter],
    optional: &[Parameter],
) -> Result<Given, &'static str> {
    let method = match facts.method {
        Method::Post => HttpMethod::POST,
        Method::Get => HttpMethod::GET,
        Method::Delete => HttpMethod::DELETE,
    };
    if sent.method != method {
        return Err("the method is another one");
    }
    check_headers(facts, sent)?;
    let mut parameters = sent.parameters(facts.body)?;
    let (mut carried, mut state) = (None, None);
    for (name, fact) in &facts.parameters {
        let value = parameters.remove(name);
        if !fits(&fact.value, value.as_deref()) {
            return Err("a parameter that the provider wants is missing, or has another value");
        }
        match fact.value.to_string().as_str() {
            FIRST_TOKEN => carried = value,
            CONSENTS_STATE => state = value,
            _ => {}
        }
    }
    let (client, bearer) = client(facts, sent, &mut parameters)?;
    let mut given = Given {
        client,
        values: BTreeMap::new(),
        carried: bearer.or(carried),
        state,
    };
    for parameter in own.iter().chain(optional) {
        let by_header = facts.client_auth == ClientAuth::BearerRefreshToken
            && *parameter == Parameter::RefreshToken;
        if by_header || facts.omit.contains(parameter) {
            continue;
        }
        let value = take(facts, &mut parameters, *parameter);
        match value.filter(|value| !value.is_empty()) {
            Some(value) => {
                given.values.insert(*parameter, value);
            }
            None if own.contains(parameter) => return Err("a parameter of the grant is missing"),
            None => {}
        }
    }
    // Without its proof, it is the client that is wrong, and not the form.
    if !parameters.is_empty() && !matches!(given.client, Presented::Nothing) {
        return Err("a parameter is there that the provider does not know");
    }
    Ok(given)
}

fn check_headers(facts: &RequestFacts, sent: &Sent) -> Result<(), &'static str> {
    let all = facts
        .headers
        .iter()
        .all(|(name, fact)| fits(&fact.value, text_header(&sent.headers, name.as_str())));
    all.then_some(())
        .ok_or("a header that the provider wants is missing, or has another value")
}

/// Whether a text may be what a template was filled to.
fn fits(template: &Template, value: Option<&str>) -> bool {
    let text = template.to_string();
    match value {
        Some(value) if template.placeholders().next().is_none() => value == text,
        Some(value) => !value.is_empty(),
        None => text.contains("?}"),
    }
}

fn take(facts: &RequestFacts, parameters: &mut Parameters, parameter: Parameter) -> Option<String> {
    parameters.remove(facts.name_of(parameter))
}

/// What proves the client, and what a bearer header carries.
fn client(
    facts: &RequestFacts,
    sent: &Sent,
    parameters: &mut Parameters,
) -> Result<(Presented, Option<String>), &'static str> {
    let mut id = || match facts.omit.contains(&Parameter::ClientId) {
        true => None,
        false => take(facts, parameters, Parameter::ClientId),
    };
    let named = |id: Option<String>| match id {
        _ if facts.omit.contains(&Parameter::ClientId) => Presented::Anyone,
        Some(id) => Presented::Named { id },
        None => Presented::Nothing,
    };
    let bearer = || sent.authorization("bearer").map(str::to_owned);
    Ok(match facts.client_auth {
        ClientAuth::None => (named(id()), None),
        ClientAuth::BearerRefreshToken => (named(id()), bearer()),
        ClientAuth::BearerAccessToken => (Presented::Anyone, bearer()),
        ClientAuth::Basic | ClientAuth::BasicRaw => {
            let encoded = facts.client_auth == ClientAuth::Basic;
            let credentials = sent.authorization("basic");
            (basic(credentials, encoded), None)
        }
        ClientAuth::Body => {
            let id = id();
            let secret = take(facts, parameters, Parameter::ClientSecret);
            let client = match (id, secret) {
                (Some(id), secret) => Presented::Body { id, secret },
                (None, Some(secret)) if facts.omit.contains(&Parameter::ClientId) => {
                    Presented::SecretAlone { secret }
                }
                (None, _) => Presented::Nothing,
            };
            (client, None)
        }
        ClientAuth::PrivateKeyJwt => {
            let id = id();
            let kind = take(facts, parameters, Parameter::ClientAssertionType);
            let token = take(facts, parameters, Parameter::ClientAssertion);
            if token.is_some() && kind.as_deref() != Some(ASSERTION_TYPE) {
                return Err("the client_assertion_type must be that of RFC 7523");
            }
            let client = token.map(|token| Presented::Assertion { token, id });
            (client.unwrap_or(Presented::Nothing), None)
        }
    })
}

/// Id and secret as the provider reads them, which is one way alone.
fn basic(credentials: Option<&str>, encoded: bool) -> Presented {
    let text = credentials.and_then(|text| STANDARD.decode(text).ok());
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = |text: &str| match encoded {
        true if text.is_empty() => Some(String::new()),
        true => form_decoded(text),
        false => Some(text.to_owned()),
    };
    let pair = text.as_deref().and_then(|text| text.split_once(':'));
    let client = pair.and_then(|(id, secret)| {
        Some(Presented::Body {
            id: decoded(id)?,
            secret: Some(decoded(secret)?),
        })
    });
    client.unwrap_or(Presented::Nothing)
}
