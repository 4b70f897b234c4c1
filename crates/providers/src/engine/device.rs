//! Consents on another device (RFC 8628).

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::ClientKey;
use evergrant_core::provider::{CallError, Verdict};
use secrecy::SecretString;

use super::ask::{Ask, deadline};
use super::consent::{Consented, consented};
use super::{HttpProviders, not_sent};
use crate::catalogue::{Parameter, TokenGrant};
use crate::response;

/// What an entry lacks whose users can consent in a browser alone.
pub(super) const NO_DEVICE_URL: &str =
    "device_url is missing, so users cannot consent on another device";

/// How long a device waits between two polls unless the provider says otherwise (RFC 8628 section 3.2).
const USUAL_INTERVAL: Duration = Duration::from_secs(5);
/// No provider means a device that polls without a pause.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long a device code is good for where the provider breaks the rule to say so.
const USUAL_LIFETIME: Duration = Duration::from_secs(600);

/// What a user enters elsewhere, and what the device polls with (RFC 8628 section 3.2).
#[derive(Debug, Clone)]
pub struct DeviceAuthorization {
    /// What the device polls with.
    pub device_code: SecretString,
    /// What the user enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, where the provider has such a thing.
    pub verification_uri_complete: Option<String>,
    /// How long the codes are good for.
    pub expires_in: Duration,
    /// The least time between two polls.
    pub interval: Duration,
}

/// What a poll came to.
#[derive(Debug, Clone)]
pub enum DevicePoll {
    /// The user has not decided yet.
    Pending,
    /// As [`Pending`](Self::Pending), and the interval has to grow by 5 seconds (RFC 8628 section 3.5).
    SlowDown,
    /// The user consented.
    Consented(Box<Consented>),
    /// The user consented, and it cannot be learnt whose the tokens are. The code is spent.
    Lost(Box<CallError>),
}

impl HttpProviders {
    /// Asks for a device code and a user code. It ends within `timeout`, body included, and may be cancelled.
    pub async fn begin_device(
        &self,
        client: &ClientKey,
        scopes: &[String],
        placeholders: &BTreeMap<String, String>,
        timeout: Duration,
    ) -> Result<DeviceAuthorization, CallError> {
        let deadline = deadline(timeout);
        let client = self.known_client(client)?;
        let entry = &client.entry;
        let Some(url) = &entry.device_url else {
            let message = format!("catalogue entry {}: {NO_DEVICE_URL}", entry.name);
            return Err(not_sent(Verdict::Request, message));
        };
        let facts = entry.grants.get(TokenGrant::DeviceCode);
        let mut request = facts.request.clone();
        request.parameters.clear();
        let mut ask = Ask::plain(
            "a device code",
            "device_url",
            url,
            &request,
            &facts.response,
            Vec::new(),
        );
        ask.scopes = scopes;
        ask.sends_scopes = true;
        ask.placeholders.add_all(placeholders);
        let outcome = self.ask(client, &ask, deadline, response::device).await?;
        let answer = outcome.value;
        let expires_in = answer.expires_in.unwrap_or(USUAL_LIFETIME);
        let interval = answer.interval.unwrap_or(USUAL_INTERVAL);
        Ok(DeviceAuthorization {
            device_code: answer.device_code,
            user_code: answer.user_code,
            verification_uri: answer.verification_uri,
            verification_uri_complete: answer.verification_uri_complete,
            expires_in,
            // Codes that end before the next poll are polled for once.
            interval: interval.min(expires_in).max(SHORTEST_INTERVAL),
        })
    }

    /// Asks whether the user has consented. A code that has expired and a user who said no are failures with the
    /// verdict [`Verdict::Grant`]: the device has to begin anew.
    ///
    /// It ends within `timeout`, body included. Tokens come once, so it is awaited only by tasks that nobody cancels.
    pub async fn poll_device(
        &self,
        client: &ClientKey,
        device_code: &str,
        placeholders: &BTreeMap<String, String>,
        timeout: Duration,
    ) -> Result<DevicePoll, CallError> {
        let deadline = deadline(timeout);
        let client = self.known_client(client)?;
        let values = vec![(Parameter::DeviceCode, device_code)];
        let mut ask = Ask::token(&client.entry, TokenGrant::DeviceCode, values);
        ask.placeholders.add_all(placeholders);
        match self.ask(client, &ask, deadline, response::read).await {
            Ok(outcome) => {
                let facts = &ask.placeholders;
                let granted = self.dated(client, outcome.granted(), facts, deadline).await;
                let named = self.named(client, granted, placeholders, deadline).await;
                Ok(match named {
                    Ok(granted) => {
                        DevicePoll::Consented(Box::new(consented(granted, placeholders)))
                    }
                    Err(error) => DevicePoll::Lost(Box::new(error)),
                })
            }
            Err(error) => match error.code.as_str() {
                "authorization_pending" => Ok(DevicePoll::Pending),
                "slow_down" => Ok(DevicePoll::SlowDown),
                "expired_token" => Err(CallError {
                    verdict: Verdict::Grant(InvalidationReason::GrantRevoked),
                    ..error
                }),
                _ => Err(error),
            },
        }
    }
}
