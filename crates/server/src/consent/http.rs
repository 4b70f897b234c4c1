//! Providers as the catalogue describes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::broker::Broker;
use evergrant_core::failure::FailureReason;
use evergrant_core::ids::ClientKey;
use evergrant_core::provider::{Providers as _, UnknownClient};
use evergrant_core::refresh::Failure;
use evergrant_providers::catalogue::TokenGrant;
use evergrant_providers::engine::{DevicePoll, IdToken, IdTokenError, Lack};
use evergrant_providers::jwks::{KeySets, VerifyError};
use evergrant_providers::{CodeExchange, Consent, ConsentError, Consented, HttpProviders};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, sleep};
use url::Url;

use super::OPENID;
use super::authority::{Authority, Denied, DeviceAnswer, DeviceCodes, Facts, Granted, Unfit, Way};
use super::pending::Pending;

/// Between two looks for the keys of an issuer that cannot be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// The providers of the catalogue, and the keys with which they sign.
#[derive(Debug)]
pub struct HttpAuthority {
    providers: Arc<HttpProviders>,
    key_sets: Arc<KeySets>,
    broker: Arc<Broker>,
}

impl HttpAuthority {
    /// Asks `providers` within the budgets that `broker` keeps, and believes what keys of `key_sets` sign.
    pub fn new(providers: Arc<HttpProviders>, key_sets: Arc<KeySets>, broker: Arc<Broker>) -> Self {
        Self {
            providers,
            key_sets,
            broker,
        }
    }

    /// Whether a second request follows the one that redeems the code.
    fn follows_up(&self, pending: &Pending) -> bool {
        let entry = self.providers.entry(&pending.client.provider);
        let code = entry.map(|entry| entry.grants.get(TokenGrant::AuthorizationCode));
        code.is_some_and(|code| code.then.is_some())
    }
}

#[async_trait]
impl Authority for HttpAuthority {
    fn facts(&self, client: &ClientKey) -> Result<Facts, UnknownClient> {
        let facts = self.providers.consent_facts(client)?;
        Ok(Facts {
            redirect_uris: facts.redirect_uris,
            pkce: facts.pkce,
            openid: facts.openid,
            names_account: facts.names_account,
            issuer: facts.issuer,
            renewal: self.providers.profile(client)?.renewal,
            scope_parameter: facts.scope_parameter,
            placeholders: facts.placeholders,
            address_placeholders: facts.address_placeholders,
            known_placeholders: facts.known_placeholders,
        })
    }

    fn check(&self, pending: &Pending, way: Way) -> Result<(), Unfit> {
        let (client, placeholders) = (&pending.client, &pending.placeholders);
        let checked = match way {
            Way::Browser => {
                let redirect_uri = &pending.redirect_uri;
                self.providers
                    .check_consent(client, redirect_uri, placeholders)
            }
            Way::Device => self.providers.check_device(client, placeholders),
        };
        checked.map_err(|error| unfit(&error.lack, error.to_string()))
    }

    fn url(
        &self,
        pending: &Pending,
        state: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Url, Unfit> {
        let verifier = pending.code_verifier.as_ref();
        let challenge = verifier.map(|verifier| challenge(verifier.expose_secret()));
        let consent = Consent {
            client: &pending.client,
            redirect_uri: &pending.redirect_uri,
            state,
            code_challenge: challenge.as_deref(),
            nonce: pending.nonce.as_deref(),
            scopes: &pending.scopes,
            parameters,
            placeholders: &pending.placeholders,
        };
        let url = self.providers.authorization_url(&consent);
        url.map_err(|error| match &error {
            ConsentError::Inexpressible { lack, .. } => unfit(lack, error.to_string()),
            _ => unfit(&Lack::Other, error.to_string()),
        })
    }

    async fn redeem(
        &self,
        pending: &Pending,
        state: &str,
        code: &str,
        timeout: Duration,
    ) -> Result<Granted, Denied> {
        let deadline = Instant::now() + timeout;
        // A code cannot be kept: without a place in the budget it is redeemed all the same.
        let place = self.broker.place(&pending.client).await;
        if let Ok(place) = &place
            && self.follows_up(pending)
        {
            place.call();
        }
        let verifier = pending.code_verifier.as_ref();
        let exchange = CodeExchange {
            client: &pending.client,
            code,
            redirect_uri: &pending.redirect_uri,
            code_verifier: verifier.map(|verifier| verifier.expose_secret()),
            state,
            nonce: pending.nonce.as_deref(),
            placeholders: &pending.placeholders,
        };
        let consented = self.providers.exchange_code(&exchange, timeout).await?;
        self.believed(pending, consented, deadline).await
    }

    async fn begin_device(
        &self,
        pending: &Pending,
        timeout: Duration,
    ) -> Result<DeviceCodes, Denied> {
        let (client, scopes) = (&pending.client, &pending.scopes);
        let _place = self.broker.place(client).await.map_err(no_place)?;
        let codes = self
            .providers
            .begin_device(client, scopes, &pending.placeholders, timeout)
            .await?;
        Ok(DeviceCodes {
            device_code: codes.device_code,
            user_code: codes.user_code,
            verification_uri: codes.verification_uri,
            verification_uri_complete: codes.verification_uri_complete,
            expires_in: codes.expires_in,
            interval: codes.interval,
        })
    }

    async fn poll_device(
        &self,
        pending: &Pending,
        device_code: &str,
        timeout: Duration,
    ) -> Result<DeviceAnswer, Denied> {
        let deadline = Instant::now() + timeout;
        let client = &pending.client;
        let _place = self.broker.place(client).await.map_err(no_place)?;
        let poll = self
            .providers
            .poll_device(client, device_code, &pending.placeholders, timeout);
        Ok(match poll.await? {
            DevicePoll::Pending => DeviceAnswer::Pending,
            DevicePoll::SlowDown => DeviceAnswer::SlowDown,
            DevicePoll::Consented(consented) => {
                match self.believed(pending, *consented, deadline).await {
                    Ok(granted) => DeviceAnswer::Granted(Box::new(granted)),
                    Err(denied) => DeviceAnswer::Spent(denied),
                }
            }
            DevicePoll::Lost(error) => DeviceAnswer::Spent((*error).into()),
        })
    }
}

impl HttpAuthority {
    /// What was granted, and to whom: of an OpenID provider the id_token says so once it is verified.
    async fn believed(
        &self,
        pending: &Pending,
        consented: Consented,
        deadline: Instant,
    ) -> Result<Granted, Denied> {
        let facts = self.providers.consent_facts(&pending.client);
        let openid = facts.is_ok_and(|facts| facts.openid);
        let account = match &consented.id_token {
            Some(token) if openid => {
                let id_token = IdToken {
                    token,
                    client: &pending.client,
                    nonce: pending.nonce.as_deref(),
                    placeholders: &pending.placeholders,
                };
                Some(
                    self.account_of(id_token, deadline)
                        .await
                        .map_err(not_believed)?,
                )
            }
            None if openid && asks_who(pending) => {
                return Err(protocol(
                    "the provider gave no id_token, although it was asked for one",
                ));
            }
            _ => consented.account,
        };
        Ok(Granted {
            issued: consented.issued,
            account,
        })
    }

    /// The account that an id_token names. The code is spent, so that keys which cannot be had just now are asked for
    /// again until `deadline`.
    async fn account_of(
        &self,
        id_token: IdToken<'_>,
        deadline: Instant,
    ) -> Result<String, IdTokenError> {
        loop {
            let verified = self
                .providers
                .verify_id_token(&self.key_sets, id_token)
                .await;
            match verified {
                Err(error) if is_passing(&error) && Instant::now() + PAUSE < deadline => {
                    sleep(PAUSE).await;
                }
                verified => return verified,
            }
        }
    }
}

fn is_passing(error: &IdTokenError) -> bool {
    matches!(
        error,
        IdTokenError::Verify {
            error: VerifyError::Unavailable(_),
            ..
        }
    )
}

fn unfit(lack: &Lack, why: String) -> Unfit {
    let placeholder = match lack {
        Lack::Placeholder(name) => Some(name.clone()),
        _ => None,
    };
    Unfit { placeholder, why }
}

/// A call that was not made, and may be asked for again.
fn no_place(failure: Failure) -> Denied {
    Denied {
        reason: Some(failure.reason),
        code: String::new(),
        message: failure.message,
    }
}

fn asks_who(pending: &Pending) -> bool {
    pending.scopes.iter().any(|scope| scope == OPENID)
}

fn not_believed(error: IdTokenError) -> Denied {
    let reason = match is_passing(&error) {
        true => FailureReason::ProviderUnavailable,
        false => FailureReason::ProviderProtocolError,
    };
    Denied {
        reason: Some(reason),
        ..protocol(error.to_string())
    }
}

fn protocol(message: impl Into<String>) -> Denied {
    Denied {
        reason: Some(FailureReason::ProviderProtocolError),
        code: String::new(),
        message: message.into(),
    }
}

/// The challenge of a verifier (RFC 7636 section 4.2, S256).
fn challenge(verifier: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636 appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(
            challenge(verifier),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
