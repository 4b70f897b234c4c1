//! One request of a question, and what its answer shows of the provider's clock.

use std::cell::Cell;

use evergrant_core::provider::{CallError, Delivery, Verdict};
use tokio::time::Instant;
use tracing::{Instrument as _, info};
use url::Url;

use super::{Ask, express, trace};
use crate::catalogue::{Entry, Parameter};
use crate::client::{Answer, SendFault, host};
use crate::engine::client::Client;
use crate::engine::{HttpProviders, not_sent};
use crate::request::Inexpressible;
use crate::response::{Context, Refusal, Skew};

impl HttpProviders {
    /// One request with one secret; one more where a wrong clock signed the assertion of the first, since nothing that the
    /// provider said of it can be relied on then.
    pub(super) async fn attempt<T>(
        &self,
        client: &Client,
        ask: &Ask<'_>,
        client_secret: &str,
        deadline: Instant,
        read: impl Fn(Context<'_>, &Answer) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let once = || self.traced(client, ask, client_secret, deadline, &read);
        match once().await {
            Err(refusal) if refusal.sign_anew && Instant::now() < deadline => {
                let (provider, error) = (&client.entry.name, &refusal.error.message);
                info!(%provider, error, "an assertion is signed anew by the clock that its refusal showed");
                once().await
            }
            outcome => outcome,
        }
    }

    /// One request in a span of its own.
    async fn traced<T>(
        &self,
        client: &Client,
        ask: &Ask<'_>,
        client_secret: &str,
        deadline: Instant,
        read: impl Fn(Context<'_>, &Answer) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let span = trace::call(client, ask);
        let outcome = self
            .send(client, ask, client_secret, deadline, read)
            .instrument(span.clone())
            .await;
        trace::tell(&span, outcome.as_ref().err().map(|refusal| &refusal.error));
        outcome
    }

    async fn send<T>(
        &self,
        client: &Client,
        ask: &Ask<'_>,
        client_secret: &str,
        deadline: Instant,
        read: impl Fn(Context<'_>, &Answer) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let entry = &client.entry;
        let sent_at = self.clock.now();
        let signed_at = Cell::new(sent_at);
        let clock = |url: &Url| {
            signed_at.set(self.clocks.theirs(&host(url), sent_at));
            signed_at.get()
        };
        let request = express(client, ask, client_secret, clock)
            .map_err(|error| Refusal::of(cannot_ask(entry, &error)))?;
        trace::tell_request(&request);
        let host = host(&request.url);
        let answer = self
            .http
            .send(request, deadline)
            .await
            .map_err(|fault| Refusal::of(unanswered(entry, &ask.url.field, &host, fault)))?;
        trace::tell_status(answer.status);
        let now = self.clock.now();
        // What fails may not be the provider itself, but what stands before it.
        let shows_clock = answer.status < 500 && answer.date.is_some();
        let skew = shows_clock.then(|| Skew::of(entry, &answer, now));
        if let Some(skew) = skew {
            self.clocks.learn(&host, skew);
        }
        let public = [
            Parameter::GrantType,
            Parameter::TokenTypeHint,
            Parameter::SubjectTokenType,
        ];
        let values = ask.values.iter();
        let mut secrets: Vec<&str> = values
            .filter(|(parameter, _)| !public.contains(parameter))
            .map(|(_, value)| *value)
            .collect();
        secrets.extend(&ask.secrets);
        secrets.push(client_secret);
        let context = Context {
            entry,
            field: &ask.url.field,
            facts: ask.response,
            wanted: ask.wanted,
            sent_at,
            now,
            secrets: &secrets,
            oddities: &self.oddities,
        };
        read(context, &answer).map_err(|refusal| {
            let may_be_of_clock = matches!(
                refusal.error.verdict,
                Verdict::Grant(_) | Verdict::Client | Verdict::Request
            );
            let is_belied = skew.is_some_and(|skew| skew.belies(signed_at.get(), sent_at));
            Refusal {
                sign_anew: ask.is_signed() && may_be_of_clock && is_belied,
                ..refusal
            }
        })
    }
}

fn cannot_ask(entry: &Entry, error: &Inexpressible) -> CallError {
    let message = format!("catalogue entry {}: {error}", entry.name);
    not_sent(Verdict::Request, message)
}

/// `field` is the key of the URL in the entry, `host` where it leads.
fn unanswered(entry: &Entry, field: &str, host: &str, fault: SendFault) -> CallError {
    let name = &entry.name;
    match fault {
        SendFault::NotAllowed(why) => not_sent(
            Verdict::Request,
            format!("catalogue entry {name}: {field} {why}"),
        ),
        SendFault::NotSent(why) => not_sent(
            Verdict::Transient,
            format!("{name} cannot be reached at {host} ({field}): {why}"),
        ),
        SendFault::Unknown(why) => CallError {
            delivery: Delivery::Unknown,
            ..not_sent(
                Verdict::Transient,
                format!("{name} did not answer at {host} ({field}): {why}"),
            )
        },
    }
}
