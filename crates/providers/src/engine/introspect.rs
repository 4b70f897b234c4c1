//! When an access token ends: introspection (RFC 7662), where nothing else tells.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use tokio::time::Instant;

use super::HttpProviders;
use super::ask::Ask;
use super::client::Client;
use crate::catalogue::{Parameter, TokenKind};
use crate::placeholders::Placeholders;
use crate::response::{self, Granted};

/// An introspection takes no longer than this: the tokens that it is about wait for it, and are nowhere stored yet.
const LONGEST_INTROSPECTION: Duration = Duration::from_secs(2);

impl HttpProviders {
    /// The same with the best that is known of when the access token ends: the answer's or the token's own word, else
    /// the provider's when it is asked, else what is usual there.
    pub(super) async fn dated(
        &self,
        client: &Client,
        mut granted: Granted,
        facts: &Placeholders<'_>,
        deadline: Instant,
    ) -> Granted {
        if granted.issued.expires_at.is_none() {
            let token = granted.issued.access_token.expose();
            let told = self.introspect(client, token, facts, deadline).await;
            granted.issued.expires_at = told.or(granted.usual_end);
        }
        granted
    }

    /// When an access token ends, by the provider's own word. `None` if it does not say, or does not answer in time:
    /// a token is not lost to a question about it.
    async fn introspect(
        &self,
        client: &Client,
        access_token: &str,
        facts: &Placeholders<'_>,
        deadline: Instant,
    ) -> Option<Timestamp> {
        let entry = &client.entry;
        let url = entry.introspect_url.as_ref()?;
        let call = &entry.introspect.call;
        let values = vec![
            (Parameter::Token, access_token),
            (Parameter::TokenTypeHint, TokenKind::AccessToken.name()),
        ];
        let mut ask = Ask::call("a sign of success", "introspect_url", url, call, values);
        ask.bearer = access_token;
        ask.placeholders = facts.clone();
        let deadline = deadline.min(Instant::now() + LONGEST_INTROSPECTION);
        let outcome = self.ask(client, &ask, deadline, response::introspected);
        match outcome.await {
            Ok(outcome) => outcome.value,
            Err(error) => {
                tracing::warn!(provider = %entry.name, %error, "introspection failed");
                None
            }
        }
    }
}
