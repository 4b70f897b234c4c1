//! Who has consented, asked of the provider where its answers with tokens do not say.

use std::collections::BTreeMap;

use evergrant_core::provider::{CallError, Verdict};
use tokio::time::Instant;

use super::HttpProviders;
use super::ask::Ask;
use super::client::Client;
use crate::catalogue::Entry;
use crate::placeholders::Placeholders;
use crate::response::{self, Granted};

/// The question; `None` if the entry has none. Facts that came with the tokens come before those of the consent.
pub(super) fn ask<'a>(
    entry: &'a Entry,
    access_token: &'a str,
    metadata: &'a BTreeMap<String, String>,
    consent: &'a BTreeMap<String, String>,
) -> Option<Ask<'a>> {
    let url = entry.userinfo_url.as_ref()?;
    let facts = &entry.userinfo;
    let mut placeholders = Placeholders::default();
    placeholders.add_all(metadata);
    placeholders.add_all(consent);
    Some(Ask {
        bearer: access_token,
        secrets: vec![access_token],
        placeholders,
        ..Ask::plain(
            "what names the account",
            "userinfo_url",
            url,
            &facts.request,
            &facts.response,
            Vec::new(),
        )
    })
}

impl HttpProviders {
    /// The same with the account that the tokens are of, where nothing says so yet and the provider can be asked. An
    /// identity token that can be verified does.
    pub(super) async fn named(
        &self,
        client: &Client,
        mut granted: Granted,
        consent: &BTreeMap<String, String>,
        deadline: Instant,
    ) -> Result<Granted, CallError> {
        let entry = &client.entry;
        let verified = entry.openid.is_some() && granted.id_token.is_some();
        if verified || granted.account.is_some() {
            return Ok(granted);
        }
        let access_token = granted.issued.access_token.expose();
        let Some(ask) = ask(entry, access_token, &granted.issued.metadata, consent) else {
            return Ok(granted);
        };
        let named = self.persist(client, &ask, deadline, response::named).await;
        granted.account = Some(named.map_err(unnamed)?.value);
        Ok(granted)
    }
}

/// Nothing is stored whose account is unknown although it could be known: it might be another one than before. What is
/// said there is about a token of a moment ago, and so neither about its grant nor about its client.
fn unnamed(error: CallError) -> CallError {
    let verdict = match error.verdict {
        Verdict::Grant(_) | Verdict::Client => Verdict::Protocol,
        other => other,
    };
    let message = format!(
        "there are tokens, but not whose: {}; the code is spent, so the user has to consent again",
        error.message
    );
    CallError {
        verdict,
        message,
        ..error
    }
}
