//! Any provider of the catalogue, played: its entry read the other way round than the engine reads it.
//!
//! Below `/as/NAME/` a request is taken apart exactly as the entry of that name has it put together, and its answer is
//! put together as the entry has it taken apart. Between the two it is a call like any other. Nothing here knows a provider.
//!
//! The last segment of a path says what is asked: `authorize`, `device`, `revoke`, `introspect`, `userinfo`, `then`, the
//! name of a grant type, or `token` for the grant types that share the entry's `token_url`. The segments before it are the
//! values of the placeholders that the entry's URL has.

mod answer;
mod entry;
mod given;
mod object;
mod refusal;
mod request;
mod sent;
mod word;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::ids::ProviderName;
use evergrant_core::provider::Rotation;

use super::mode::{GrantSpec, RotationMode};
use super::token_call::GRANTS;
use crate::catalogue::{Catalogue, Entry, GrantKind, Parameter, ResponseFacts, TokenGrant};

pub(super) use self::answer::{device, introspected, issued, named, revoked};
pub(super) use self::entry::entry;
pub(super) use self::refusal::refused;
pub(super) use self::request::read;

/// What of a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Token(TokenGrant),
    /// The second request of a code's exchange.
    Then,
    Device,
    Revoke,
    Introspect,
    Userinfo,
}

/// An entry that is played, and what of it is asked.
pub(super) struct Played {
    pub(super) entry: Arc<Entry>,
    pub(super) part: Part,
}

/// The built-in entry of that name.
pub(super) fn find(catalogue: &Catalogue, name: &str) -> Option<Arc<Entry>> {
    let name = ProviderName::parse(name).ok()?;
    catalogue.get(&name).cloned()
}

impl Part {
    /// What the last segment of a path says; `None` if the entry has no such thing. `token` says nothing yet.
    fn named(entry: &Entry, segment: &str) -> Option<Self> {
        let code = entry.grants.get(TokenGrant::AuthorizationCode);
        match segment {
            "device" => entry.device_url.as_ref().map(|_| Self::Device),
            "revoke" => entry.revoke_url.as_ref().map(|_| Self::Revoke),
            "introspect" => entry.introspect_url.as_ref().map(|_| Self::Introspect),
            "userinfo" => entry.userinfo_url.as_ref().map(|_| Self::Userinfo),
            "then" => code.then.as_ref().map(|_| Self::Then),
            name => {
                let mut grants = GRANTS.into_iter();
                let grant = grants.find(|grant| grant.name() == name)?;
                offers(entry, grant).then_some(Self::Token(grant))
            }
        }
    }
}

/// Whether the provider takes requests of this type.
fn offers(entry: &Entry, grant: TokenGrant) -> bool {
    let has = |kind| entry.grant_types.contains(&kind);
    match grant {
        TokenGrant::RefreshToken => {
            let consent = has(GrantKind::AuthorizationCode) || has(GrantKind::DeviceCode);
            entry.renewable && consent
        }
        TokenGrant::AuthorizationCode => has(GrantKind::AuthorizationCode),
        TokenGrant::ClientCredentials => has(GrantKind::ClientCredentials),
        TokenGrant::JwtBearer => has(GrantKind::JwtBearer),
        TokenGrant::TokenExchange => has(GrantKind::TokenExchange),
        TokenGrant::DeviceCode => has(GrantKind::DeviceCode),
    }
}

impl Played {
    /// Where things stand in its answers.
    fn response(&self) -> &ResponseFacts {
        let code = self.entry.grants.get(TokenGrant::AuthorizationCode);
        match self.part {
            Part::Token(grant) => &self.entry.grants.get(grant).response,
            Part::Then => code.then.as_ref().map_or(&code.response, |it| &it.response),
            Part::Device => &self.entry.grants.get(TokenGrant::DeviceCode).response,
            Part::Revoke => &self.entry.revoke.response,
            Part::Introspect => &self.entry.introspect.call.response,
            Part::Userinfo => &self.entry.userinfo.response,
        }
    }

    /// The terms of its grants.
    pub(super) fn terms(&self) -> GrantSpec {
        let of_grant_type = self.response().access_token_lifetime;
        let usual = terms(&self.entry);
        let seconds = of_grant_type.as_ref().map(Duration::as_secs);
        GrantSpec {
            access_token_ttl_seconds: seconds.unwrap_or(usual.access_token_ttl_seconds),
            ..usual
        }
    }
}

/// The terms of a grant that the provider gives.
pub(super) fn terms(entry: &Entry) -> GrantSpec {
    let self_renewing = entry.renewal.self_renewing;
    let mode = match entry.rotation {
        Rotation::None if self_renewing => RotationMode::Rotates,
        Rotation::None => RotationMode::None,
        Rotation::Rotates => RotationMode::Rotates,
        Rotation::SingleUse => RotationMode::Strict,
        Rotation::Grace(grace) => RotationMode::Grace {
            seconds: grace.as_secs(),
            max_uses: u32::MAX,
        },
    };
    let usual = GrantSpec::default();
    let lifetime = entry.lifetime.access_token.as_ref().map(Duration::as_secs);
    GrantSpec {
        mode,
        access_token_ttl_seconds: lifetime.unwrap_or(usual.access_token_ttl_seconds),
        refresh_token_ttl_seconds: entry.lifetime.refresh_token.as_ref().map(Duration::as_secs),
        previous_access_token_dies: entry.single_active_token,
        omit_refresh_token: mode == RotationMode::None,
        self_renewing,
        ..usual
    }
}

/// Values for the placeholders that the entry leaves open, as metadata of a grant.
pub(super) fn metadata(entry: &Entry) -> BTreeMap<String, String> {
    let open = entry.placeholder_names().into_iter();
    let open = open.filter(|name| !entry.placeholders.contains_key(*name));
    open.map(|name| (name.to_owned(), "sandbox".to_owned()))
        .collect()
}

/// Whether a code's exchange says the redirect URI of its consent again.
pub(super) fn repeats_redirect_uri(entry: &Entry) -> bool {
    let code = entry.grants.get(TokenGrant::AuthorizationCode);
    !code.request.omit.contains(&Parameter::RedirectUri)
}
