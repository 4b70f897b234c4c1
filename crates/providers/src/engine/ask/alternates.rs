//! One question for a grant that may belong to one of several clients.

use evergrant_core::provider::{CallError, Verdict};
use tokio::time::Instant;
use tracing::warn;

use super::{Ask, OAUTH_CLIENT, Outcome};
use crate::client::Answer;
use crate::engine::HttpProviders;
use crate::engine::client::Client;
use crate::response::{Context, Refusal};

impl HttpProviders {
    /// Asks as `client`; as each of its alternates after a refusal that the catalogue marks so. The one that the
    /// grant's metadata names is the first to ask.
    ///
    /// For a renewal, an alternate that is rejected itself is passed over. From then on nothing kills the grant: a client
    /// that it was not issued to is told that it is dead (RFC 6749 section 5.2). Such a client's revocation is confirmed
    /// for nothing (RFC 7009 section 2.2), so there a rejection is the end.
    ///
    /// That is safe, like trying another secret: a provider checks the client before the grant (RFC 6749 section
    /// 5.2), so a refused client has spent nothing.
    pub(in crate::engine) async fn ask<'c, T>(
        &'c self,
        client: &'c Client,
        ask: &Ask<'_>,
        deadline: Instant,
        read: impl Fn(Context<'_>, &Answer) -> Result<T, Refusal>,
    ) -> Result<Outcome<'c, T>, CallError> {
        let clients = self.candidates(client, ask);
        let several = clients.len() > 1;
        let mut refused = Vec::new();
        let mut is_rejected = false;
        for candidate in clients {
            if !refused.is_empty() && Instant::now() >= deadline {
                break;
            }
            let refusal = match self.ask_as(candidate, ask, deadline, &read).await {
                Ok((value, secret)) => {
                    return Ok(Outcome {
                        value,
                        secret,
                        alternate_of: several.then_some(candidate),
                    });
                }
                Err(refusal) => refusal,
            };
            let is_alternate = !std::ptr::eq(candidate, client);
            let error = refusal.error;
            if is_alternate && error.verdict == Verdict::Client {
                let (name, code) = (&candidate.config.name, &error.code);
                warn!(client = %client.config.name, alternate = %name, code, "an alternate client was refused");
            }
            if !refusal.try_alternate_client {
                let passes_over = is_alternate && error.verdict == Verdict::Client && ask.renews;
                let says_nothing = is_rejected && matches!(error.verdict, Verdict::Grant(_));
                let asks_on = passes_over || says_nothing;
                if !asks_on {
                    return Err(told(ask, error));
                }
                is_rejected = true;
            }
            refused.push((is_alternate, error));
        }
        Err(refused_by_all(ask, refused))
    }

    /// The clients that may ask, the one that was accepted last time first.
    fn candidates<'c>(&'c self, client: &'c Client, ask: &Ask<'_>) -> Vec<&'c Client> {
        let mut clients = vec![client];
        if !ask.alternates || ask.own.client_id.is_some() {
            return clients;
        }
        let alternates = client.config.alternates.iter();
        clients.extend(alternates.filter_map(|name| self.client_named(name)));
        let last = ask.placeholders.get(OAUTH_CLIENT);
        // A stable sort: the others stay in the order of the configuration.
        clients.sort_by_key(|client| Some(client.config.name.as_str()) != last);
        clients
    }
}

/// What each said, under the rejection of the client itself if it was rejected. None of them is known to be the grant's.
fn refused_by_all(ask: &Ask<'_>, refused: Vec<(bool, CallError)>) -> CallError {
    let several = refused.len() > 1;
    let messages: Vec<String> = refused
        .iter()
        .map(|(_, error)| error.message.clone())
        .collect();
    let (is_alternate, error) = refused
        .into_iter()
        .min_by_key(|(is_alternate, error)| (error.verdict != Verdict::Client, *is_alternate))
        .expect("the first client is always asked");
    let error = told(ask, error);
    CallError {
        grant_specific: error.grant_specific || several || is_alternate,
        message: messages.join("; "),
        ..error
    }
}

/// The error, and whether it may be about what the grant brings: its own endpoint, or (for a client that was recognized,
/// RFC 6749 section 5.2) what it has tokens minted for, or a refresh token of another client or of other scopes.
fn told(ask: &Ask<'_>, error: CallError) -> CallError {
    let is_of_grant = match error.code.as_str() {
        "unauthorized_client" => ask.mints || ask.renews,
        // Of what is minted, the scopes may be those of the client's configuration.
        "invalid_scope" => ask.renews,
        _ => false,
    };
    CallError {
        grant_specific: ask.has_own_endpoint() || is_of_grant,
        ..error
    }
}
