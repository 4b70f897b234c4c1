//! A catalogue entry, as it is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::provider::Rotation;
use evergrant_providers::catalogue::{Entry, GrantKind, TokenGrant, UrlTemplate};
use serde::Serialize;

use crate::cli::output::{Printable, Table};
use crate::config::duration;

/// The essentials of a catalogue entry, named as in the entry.
#[derive(Debug, Serialize)]
pub struct EntryView {
    name: String,
    token_url: String,
    refresh_url: Option<String>,
    authorize_url: Option<String>,
    /// Of `[grants.authorization_code.then]`.
    then_url: Option<String>,
    device_url: Option<String>,
    revoke_url: Option<String>,
    introspect_url: Option<String>,
    client_auth: &'static str,
    grant_types: Vec<&'static str>,
    renewable: bool,
    single_active_token: bool,
    pkce: bool,
    /// Parameters without which a grant cannot be created, by grant type.
    required: BTreeMap<&'static str, Vec<String>>,
    rotation: RotationView,
    lifetime: LifetimeView,
    renewal: RenewalView,
    openid_issuer: Option<String>,
    limits: LimitsView,
    sources: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RotationView {
    mode: &'static str,
    grace: Option<String>,
}

#[derive(Debug, Serialize)]
struct LifetimeView {
    access_token: Option<String>,
    refresh_token: Option<String>,
    refresh_token_idle: Option<String>,
    grant: Option<String>,
}

#[derive(Debug, Serialize)]
struct RenewalView {
    self_renewing: bool,
    min_age: Option<String>,
    refresh_only_while_valid: bool,
    refresh_token_margin: Option<String>,
}

#[derive(Debug, Serialize)]
struct LimitsView {
    concurrent: Option<u32>,
    per_minute: Option<u32>,
}

/// All entries, in few words each.
#[derive(Debug, Serialize)]
pub struct EntryList {
    /// By name.
    pub providers: Vec<EntryView>,
}

impl EntryView {
    /// What is worth showing of `entry`.
    pub fn new(entry: &Entry) -> Self {
        let url = |url: &Option<UrlTemplate>| url.as_ref().map(ToString::to_string);
        let shown = |time: Option<Duration>| time.map(duration::display);
        let code = entry.grants.get(TokenGrant::AuthorizationCode);
        let then = code.then.as_ref();
        Self {
            name: entry.name.to_string(),
            token_url: entry.token_url.to_string(),
            refresh_url: url(&entry.refresh_url),
            authorize_url: url(&entry.authorize_url),
            then_url: then.map(|then| then.url.value.to_string()),
            device_url: url(&entry.device_url),
            revoke_url: url(&entry.revoke_url),
            introspect_url: url(&entry.introspect_url),
            client_auth: entry.request.client_auth.name(),
            grant_types: entry.grant_types.iter().map(|kind| kind.name()).collect(),
            renewable: entry.renewable,
            single_active_token: entry.single_active_token,
            pkce: entry.authorize.pkce,
            required: required(entry),
            rotation: rotation(entry.rotation),
            lifetime: LifetimeView {
                access_token: shown(entry.lifetime.access_token),
                refresh_token: shown(entry.lifetime.refresh_token),
                refresh_token_idle: shown(entry.lifetime.refresh_token_idle),
                grant: shown(entry.lifetime.grant),
            },
            renewal: RenewalView {
                self_renewing: entry.renewal.self_renewing,
                min_age: shown(entry.renewal.min_age),
                refresh_only_while_valid: entry.renewal.only_while_valid,
                refresh_token_margin: shown(entry.renewal.refresh_token_margin),
            },
            openid_issuer: entry
                .openid
                .as_ref()
                .map(|openid| openid.issuer.to_string()),
            limits: LimitsView {
                concurrent: entry.limits.concurrent,
                per_minute: entry.limits.per_minute,
            },
            sources: entry.sources.clone(),
        }
    }

    fn rotation_in_words(&self) -> String {
        match &self.rotation {
            RotationView { mode, grace: None } => (*mode).to_owned(),
            RotationView {
                mode,
                grace: Some(grace),
            } => format!("{mode} {grace}"),
        }
    }
}

fn required(entry: &Entry) -> BTreeMap<&'static str, Vec<String>> {
    let minted = [
        (GrantKind::ClientCredentials, TokenGrant::ClientCredentials),
        (GrantKind::JwtBearer, TokenGrant::JwtBearer),
        (GrantKind::TokenExchange, TokenGrant::TokenExchange),
    ];
    minted
        .into_iter()
        .filter(|(kind, _)| entry.grant_types.contains(kind))
        .map(|(_, grant)| (grant.name(), entry.grants.get(grant).required.clone()))
        .filter(|(_, required)| !required.is_empty())
        .collect()
}

fn rotation(rotation: Rotation) -> RotationView {
    let (mode, grace) = match rotation {
        Rotation::None => ("none", None),
        Rotation::Rotates => ("rotates", None),
        Rotation::SingleUse => ("single_use", None),
        Rotation::Grace(grace) => ("grace", Some(duration::display(grace))),
    };
    RotationView { mode, grace }
}

impl Printable for EntryView {
    fn table(&self) -> Table {
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
        let truth = |truth: bool| if truth { "yes" } else { "no" };
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let mut table = Table::default();
        table.field("provider", &self.name);
        table.field("token url", &self.token_url);
        table.field("refresh url", or_nothing(&self.refresh_url));
        table.field("authorize url", or_nothing(&self.authorize_url));
        table.field("then url", or_nothing(&self.then_url));
        table.field("device url", or_nothing(&self.device_url));
        table.field("revoke url", or_nothing(&self.revoke_url));
        table.field("introspect url", or_nothing(&self.introspect_url));
        table.field("client auth", self.client_auth);
        table.field("grant types", self.grant_types.join(", "));
        for (grant, required) in &self.required {
            table.field("required", format!("{grant}: {}", required.join(", ")));
        }
        table.field("pkce", truth(self.pkce));
        table.field("renewable", truth(self.renewable));
        table.field("rotation", self.rotation_in_words());
        table.field("access token", or_nothing(&self.lifetime.access_token));
        table.field("refresh token", or_nothing(&self.lifetime.refresh_token));
        table.field("idle", or_nothing(&self.lifetime.refresh_token_idle));
        table.field("grant", or_nothing(&self.lifetime.grant));
        table.field("renews itself", truth(self.renewal.self_renewing));
        table.field("minimum age", or_nothing(&self.renewal.min_age));
        let while_valid = self.renewal.refresh_only_while_valid;
        table.field("only while valid", truth(while_valid));
        table.field("margin", or_nothing(&self.renewal.refresh_token_margin));
        table.field("one active token", truth(self.single_active_token));
        table.field("openid issuer", or_nothing(&self.openid_issuer));
        table.field("concurrent", or_nothing(&number(self.limits.concurrent)));
        table.field("per minute", or_nothing(&number(self.limits.per_minute)));
        for source in &self.sources {
            table.field("source", source);
        }
        table
    }
}

impl Printable for EntryList {
    fn table(&self) -> Table {
        let mut table = Table::with_header(&["PROVIDER", "ROTATION", "CLIENT AUTH", "TOKEN URL"]);
        for entry in &self.providers {
            table.row([
                entry.name.clone(),
                entry.rotation_in_words(),
                entry.client_auth.to_owned(),
                entry.token_url.clone(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use evergrant_core::ids::ProviderName;
    use evergrant_providers::Catalogue;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_shown_under_the_names_of_its_keys() {
        let mut catalogue = Catalogue::empty();
        let text = r#"
            name = "acme"
            token_url = "https://acme.example/token"
            introspect_url = "https://acme.example/introspect"
            grant_types = ["client_credentials", "static"]
            single_active_token = true
            [grants.authorization_code.then]
            url = "https://acme.example/exchange"
            parameters = { token = "{access_token}" }
            [grants.client_credentials]
            required = ["account_id"]
            [grants.jwt_bearer]
            required = ["subject"]
            [lifetime]
            refresh_token_idle = "30d"
            [renewal]
            min_age = "24h"
            [openid]
            issuer = "https://acme.example/{tid}"
            jwks_url = "https://acme.example/keys"
            [limits]
            per_minute = 60
        "#;
        catalogue.add(text, "test").unwrap();
        let name = ProviderName::parse("acme").unwrap();
        let view = EntryView::new(catalogue.get(&name).unwrap());
        let shown = serde_json::to_value(&view).unwrap();
        for (key, value) in [
            ("introspect_url", json!("https://acme.example/introspect")),
            ("then_url", json!("https://acme.example/exchange")),
            ("grant_types", json!(["client_credentials", "static"])),
            ("single_active_token", json!(true)),
            ("required", json!({ "client_credentials": ["account_id"] })),
            ("openid_issuer", json!("https://acme.example/{tid}")),
            ("limits", json!({ "concurrent": null, "per_minute": 60 })),
        ] {
            assert_eq!(shown[key], value, "{key}");
        }
        assert_eq!(shown["lifetime"]["refresh_token_idle"], "30d");
        assert_eq!(shown["renewal"]["min_age"], "1d");
        assert_eq!(shown["renewal"]["self_renewing"], false);
    }
}
