//! The provider, as far as a consent needs it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::failure::FailureReason;
use evergrant_core::ids::ClientKey;
use evergrant_core::provider::{CallError, Delivery, Issued, Renewal, UnknownClient, Verdict};
use secrecy::SecretString;
use url::Url;

use super::pending::Pending;

/// Knows where users consent, and redeems what they come back with. It never sends a code again by itself, since a code
/// is single-use.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// What is known of a client before any call. Fails if it is not configured.
    fn facts(&self, client: &ClientKey) -> Result<Facts, UnknownClient>;

    /// Whether the code of a consent could be redeemed, or the consent of a device asked for.
    fn check(&self, pending: &Pending, way: Way) -> Result<(), Unfit>;

    /// Where to send the user's browser.
    fn url(
        &self,
        pending: &Pending,
        state: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Url, Unfit>;

    /// Redeems a code with one request, or two where the provider's catalogue entry says so, and verifies the id_token where the provider gives one. Ends within `timeout`
    /// and the fetch of a key set. Cancelling it may leave the code spent.
    async fn redeem(
        &self,
        pending: &Pending,
        state: &str,
        code: &str,
        timeout: Duration,
    ) -> Result<Granted, Denied>;

    /// Asks for codes with which the user can consent elsewhere. Ends within `timeout`.
    async fn begin_device(
        &self,
        pending: &Pending,
        timeout: Duration,
    ) -> Result<DeviceCodes, Denied>;

    /// Asks once whether the user has consented. Ends within `timeout` and the fetch of a key set. Cancelling it may
    /// lose the tokens.
    async fn poll_device(
        &self,
        pending: &Pending,
        device_code: &str,
        timeout: Duration,
    ) -> Result<DeviceAnswer, Denied>;
}

/// Why a consent cannot be asked for. Nothing has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The placeholder that has no value, or one that does not fit; `None` if it is something else.
    pub placeholder: Option<String>,
    /// The entry, its key and what is wrong, in words.
    pub why: String,
}

/// How a user consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In a browser that comes back with a code.
    Browser,
    /// On another device.
    Device,
}

/// Codes with which a user can consent elsewhere (RFC 8628 section 3.2).
#[derive(Debug, Clone)]
pub struct DeviceCodes {
    /// What is asked with.
    pub device_code: SecretString,
    /// What the user enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// How long they are good for.
    pub expires_in: Duration,
    /// The least time between two questions.
    pub interval: Duration,
}

/// Whether a user has consented elsewhere.
#[derive(Debug, Clone)]
pub enum DeviceAnswer {
    /// Not yet.
    Pending,
    /// Not yet, and the interval has to grow by five seconds (RFC 8628 section 3.5).
    SlowDown,
    /// Yes.
    Granted(Box<Granted>),
    /// Yes, and what the provider says of it cannot be believed, as told: the code is spent, and there are no tokens.
    Spent(Denied),
}

/// What is known of a client and its provider.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Where users may come back to; the first is the default.
    pub redirect_uris: Vec<String>,
    /// Whether the provider takes a code challenge (RFC 7636).
    pub pkce: bool,
    /// Whether it is an OpenID provider, whose id_token repeats a nonce.
    pub openid: bool,
    /// Whether something besides an id_token says who has consented.
    pub names_account: bool,
    /// Its issuer, if that is known and the same for everyone (RFC 9207).
    pub issuer: Option<String>,
    /// The provider's name of the parameter `scope`.
    pub scope_parameter: String,
    /// When and how its grants are renewed.
    pub renewal: Renewal,
    /// Facts that the provider needs of each grant: the placeholders of its catalogue entry without a value.
    pub placeholders: Vec<String>,
    /// Those of them that are part of an address.
    pub address_placeholders: Vec<String>,
    /// Every placeholder that the catalogue entry has anywhere.
    pub known_placeholders: Vec<String>,
}

/// What a provider gave for a code.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The tokens.
    pub issued: Issued,
    /// The account that consented, if the provider says so in a way that can be believed.
    pub account: Option<String>,
}

/// Why a code brought no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Why, as a refresh would fail; `None` if the code itself was refused.
    pub reason: Option<FailureReason>,
    /// The provider's own error code; empty if none.
    pub code: String,
    /// For people; holds no secret.
    pub message: String,
}

impl From<CallError> for Denied {
    fn from(error: CallError) -> Self {
        let reason = match error.verdict {
            Verdict::Request if error.delivery == Delivery::NotSent => {
                Some(FailureReason::GrantUnusable)
            }
            Verdict::Grant(_) => None,
            Verdict::Client => Some(FailureReason::ClientRejected),
            Verdict::Transient => Some(FailureReason::ProviderUnavailable),
            Verdict::RateLimit => Some(FailureReason::ProviderRateLimited),
            Verdict::Request | Verdict::Protocol => Some(FailureReason::ProviderProtocolError),
        };
        Self {
            reason,
            code: error.code,
            message: error.message,
        }
    }
}
