//! The second request of a code's exchange, where a provider's first answer is a means and no end.

use std::collections::BTreeMap;

use evergrant_core::provider::CallError;
use tokio::time::Instant;

use super::ask::Ask;
use super::client::Client;
use super::{CodeExchange, HttpProviders};
use crate::catalogue::{Parameter, ThenFacts};
use crate::placeholders::Placeholders;
use crate::response::{self, ACCESS_TOKEN, Granted};

/// What the first answer gave, for the placeholders of the second request.
pub(super) struct Given<'a> {
    pub(super) access_token: &'a str,
    pub(super) refresh_token: Option<&'a str>,
    pub(super) account: Option<&'a str>,
    pub(super) metadata: &'a BTreeMap<String, String>,
}

impl<'a> Given<'a> {
    fn of(first: &'a Granted) -> Self {
        let issued = &first.issued;
        Self {
            access_token: issued.access_token.expose(),
            refresh_token: issued.refresh_token.as_ref().map(|token| token.expose()),
            account: first.account.as_deref(),
            metadata: &issued.metadata,
        }
    }

    fn placeholders(&self) -> Placeholders<'a> {
        let mut placeholders = Placeholders::default();
        placeholders.add("access_token", self.access_token);
        for (name, value) in [
            ("refresh_token", self.refresh_token),
            ("account", self.account),
        ] {
            if let Some(value) = value {
                placeholders.add(name, value);
            }
        }
        placeholders.add_all(self.metadata);
        placeholders
    }
}

/// The second request. What the first answer gave comes before what the consent brought.
pub(super) fn ask<'a>(
    then: &'a ThenFacts,
    given: &Given<'a>,
    consent: &'a BTreeMap<String, String>,
) -> Ask<'a> {
    let grant_type = then.grant_type.as_deref();
    let values = grant_type.map(|value| (Parameter::GrantType, value));
    let mut ask = Ask::plain(
        ACCESS_TOKEN,
        &then.url.field,
        &then.url.value,
        &then.request,
        &then.response,
        values.into_iter().collect(),
    );
    ask.bearer = given.access_token;
    ask.secrets.push(given.access_token);
    ask.secrets.extend(given.refresh_token);
    ask.placeholders = given.placeholders();
    ask.placeholders.add_all(consent);
    ask
}

impl HttpProviders {
    /// Makes the second request, and adds to its outcome what only the first answer has.
    pub(super) async fn follow_up(
        &self,
        client: &Client,
        then: &ThenFacts,
        first: Granted,
        exchange: &CodeExchange<'_>,
        deadline: Instant,
    ) -> Result<Granted, CallError> {
        let given = Given::of(&first);
        let mut ask = ask(then, &given, exchange.placeholders);
        ask.secrets.extend([exchange.code, exchange.state]);
        ask.secrets.extend(exchange.code_verifier);
        let second = self.persist(client, &ask, deadline, response::read).await;
        Ok(joined(first, second.map_err(in_second)?.granted()))
    }
}

/// `second`, with what it lacks. When its access token ends is its own matter alone.
fn joined(first: Granted, mut second: Granted) -> Granted {
    let (old, new) = (first.issued, &mut second.issued);
    if new.refresh_token.is_none() {
        new.refresh_token = old.refresh_token;
        new.refresh_expires_at = old.refresh_expires_at;
    }
    if new.scopes.as_ref().is_none_or(Vec::is_empty) {
        new.scopes = old.scopes;
    }
    let mut metadata = old.metadata;
    metadata.append(&mut new.metadata);
    new.metadata = metadata;
    Granted {
        id_token: second.id_token.or(first.id_token),
        account: second.account.or(first.account),
        ..second
    }
}

/// Says that it was the first request that failed.
pub(super) fn in_first(error: CallError) -> CallError {
    let message = format!("in the first of two requests {}", error.message);
    CallError { message, ..error }
}

/// Says that it was the second request that failed, and what that means.
fn in_second(error: CallError) -> CallError {
    let message = format!(
        "in the second of two requests {}; the code is spent, so the user has to consent again",
        error.message
    );
    CallError { message, ..error }
}
