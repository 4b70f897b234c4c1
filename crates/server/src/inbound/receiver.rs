//! One receiver: from a delivery to what became of it.

use std::sync::Arc;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::{ClientName, ProviderName, ReceiverName};
use evergrant_core::registry::Registry;
use evergrant_core::report::{DeliveryId, Report, Subject};
use evergrant_providers::jwks::KeySets;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use tracing::{debug, error, info, warn};

use super::answer::{Answer, Style};
use super::github::GitHub;
use super::set::SecurityEvents;
use super::signature::header;
use super::slack::Slack;
use crate::config::Secret;
use crate::config::inbound::{self as config, Kind};

/// A configured receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    name: ReceiverName,
    provider: ProviderName,
    client: Option<ClientName>,
    dialect: Dialect,
}

#[derive(Debug)]
enum Dialect {
    Set(SecurityEvents),
    Slack(Slack),
    GitHub(GitHub),
}

/// What an authentic delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// That grants died.
    Died(Death),
    /// Something that kills no grant.
    Nothing,
    /// That the provider tries whether it is heard; its word for that.
    Probe(&'static str),
    /// That the receiver shall prove that it is there.
    Challenge(String),
}

/// Whose grants died, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Death {
    /// The provider's id of the delivery.
    pub id: String,
    /// The provider's name of the event.
    pub event: &'static str,
    pub reason: InvalidationReason,
    pub subjects: Vec<Subject>,
    pub happened_at: Option<Timestamp>,
}

impl Receiver {
    pub(super) fn new(
        name: &ReceiverName,
        config: &config::Receiver,
        key_sets: &Arc<KeySets>,
    ) -> Self {
        Self {
            name: name.clone(),
            provider: config.provider.clone(),
            client: config.client.clone(),
            dialect: match &config.kind {
                Kind::Set(issuer) => {
                    Dialect::Set(SecurityEvents::new(issuer.clone(), Arc::clone(key_sets)))
                }
                Kind::Slack(secrets) => Dialect::Slack(Slack::new(&exposed(secrets))),
                Kind::GitHub(secrets) => Dialect::GitHub(GitHub::new(&exposed(secrets))),
            },
        }
    }

    pub(super) fn name(&self) -> String {
        self.name.to_string()
    }

    pub(super) fn style(&self) -> Style {
        match self.dialect {
            Dialect::Set(_) => Style::Set,
            Dialect::Slack(_) | Dialect::GitHub(_) => Style::Webhook,
        }
    }

    /// Whether it takes the content type, whose parameters say nothing new.
    pub(super) fn takes(&self, headers: &HeaderMap) -> bool {
        let wanted = match self.dialect {
            Dialect::Set(_) => "application/secevent+jwt",
            Dialect::Slack(_) | Dialect::GitHub(_) => "application/json",
        };
        let given = header(headers, &CONTENT_TYPE).unwrap_or_default();
        let given = given.split(';').next().unwrap_or_default().trim();
        given.eq_ignore_ascii_case(wanted)
    }

    /// Authenticates a delivery and does what it says. Cancelled, it may have happened in part, and is not remembered: the same
    /// delivery, sent again, finishes it ([`Registry::report`]).
    pub(super) async fn deal_with(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
        registry: &Registry,
    ) -> Answer {
        let said = match &self.dialect {
            Dialect::Set(set) => set.read(body, now).await,
            Dialect::Slack(slack) => slack.read(headers, body, now),
            Dialect::GitHub(github) => github.read(headers, body),
        };
        match said {
            Ok(Said::Died(death)) => self.report(death, registry).await,
            Ok(Said::Nothing) => {
                debug!(receiver = %self.name, "received what kills no grant");
                Answer::Ignored
            }
            Ok(Said::Probe(event)) => {
                info!(receiver = %self.name, event, "the provider is heard");
                Answer::Ignored
            }
            Ok(Said::Challenge(text)) => {
                info!(receiver = %self.name, "answered a challenge");
                Answer::Challenge(text)
            }
            Err(Answer::Unavailable(why)) => {
                warn!(receiver = %self.name, error = why, "a delivery cannot be told from a forged one now");
                Answer::Unavailable(why)
            }
            // At a level that strangers cannot fill the log with.
            Err(answer) => {
                debug!(receiver = %self.name, outcome = answer.outcome(), "a delivery was not taken");
                answer
            }
        }
    }

    async fn report(&self, death: Death, registry: &Registry) -> Answer {
        let Death {
            id,
            event,
            reason,
            subjects,
            happened_at,
        } = death;
        let report = Report {
            delivery: DeliveryId::new(self.name.clone(), &id),
            provider: self.provider.clone(),
            client: self.client.clone(),
            subjects,
            reason,
            event: event.to_owned(),
            message: format!("{} reported {event}", self.provider),
            happened_at,
        };
        let receiver = &self.name;
        match registry.report(&report).await {
            Ok(None) => {
                debug!(%receiver, event, "a delivery was dealt with before");
                Answer::Replayed
            }
            Ok(Some(done)) if done.grants == 0 => {
                debug!(%receiver, event, "a report concerns no active grant");
                Answer::Unknown
            }
            Ok(Some(done)) => {
                let (grants, credentials) = (done.grants, done.credentials);
                info!(%receiver, event, grants, credentials, "a provider reported dead grants");
                Answer::Invalidated
            }
            Err(error) => {
                error!(%receiver, event, %error, "a report could not be stored");
                Answer::unavailable("the report cannot be stored now")
            }
        }
    }
}

fn exposed(secrets: &[Secret]) -> Vec<&str> {
    secrets.iter().map(Secret::expose).collect()
}
