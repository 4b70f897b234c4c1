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
    /// Every placeholder that somebody may fill, with the entry's own value; null if it has none.
    placeholders: BTreeMap<String, Option<String>>,
    allowed_hosts: Vec<String>,
    /// Null where there is nothing to rotate.
    rotation: Option<RotationView>,
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
            placeholders: placeholders(entry),
            allowed_hosts: entry
                .allowed_hosts
                .iter()
                .map(ToString::to_string)
                .collect(),
            rotation: entry.refreshes().then(|| rotation(entry.rotation)),
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
            None => "-".to_owned(),
            Some(RotationView { mode, grace: None }) => (*mode).to_owned(),
            Some(RotationView {
                mode,
                grace: Some(grace),
            }) => format!("{mode} {grace}"),
        }
    }

    /// When a refresh token ends, as far as that is known without an answer.
    fn refresh_token_in_words(&self) -> String {
        if self.rotation.is_none() {
            return "none".to_owned();
        }
        if self.renewal.self_renewing {
            return "none; the access token renews itself".to_owned();
        }
        let lifetime = &self.lifetime;
        let ends = [
            (&lifetime.refresh_token, "after its issue"),
            (&lifetime.refresh_token_idle, "after its last use"),
            (&lifetime.grant, "after the consent"),
        ];
        let ends = ends.into_iter();
        let known: Vec<String> = ends
            .filter_map(|(time, of)| Some(format!("{} {of}", time.as_ref()?)))
            .collect();
        match known.as_slice() {
            [] => "not known to end".to_owned(),
            known => format!("ends {}", known.join(", ")),
        }
    }
}

fn placeholders(entry: &Entry) -> BTreeMap<String, Option<String>> {
    let names = entry.placeholder_names().into_iter();
    names
        .map(|name| (name.to_owned(), entry.placeholders.get(name).cloned()))
        .collect()
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
        for (name, value) in &self.placeholders {
            let value = value.as_ref();
            let value = value.map_or("no value of its own".to_owned(), ToString::to_string);
            table.field("placeholder", format!("{name}: {value}"));
        }
        for host in &self.allowed_hosts {
            table.field("allowed host", host);
        }
        table.field("pkce", truth(self.pkce));
        table.field("renewable", truth(self.renewable));
        table.field("rotation", self.rotation_in_words());
        table.field("access token", or_nothing(&self.lifetime.access_token));
        table.field("refresh token", self.refresh_token_in_words());
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
        let view = view(
            r#"
            name = "acme"
            token_url = "https://{region}.acme.example/token"
            introspect_url = "https://{shop}.acme.example/introspect"
            allowed_hosts = ["*.acme.example"]
            sources = ["https://acme.example/docs"]
            grant_types = ["device_code", "client_credentials", "static"]
            single_active_token = true
            device_url = "https://acme.example/device"
            [placeholders]
            region = "eu"
            [grants.client_credentials]
            required = ["account_id"]
            [lifetime]
            refresh_token_idle = "30d"
            grant = "365d"
            [renewal]
            min_age = "24h"
            [openid]
            issuer = "https://acme.example/{tid}"
            jwks_url = "https://acme.example/keys"
            [limits]
            per_minute = 60
        "#,
        );
        let shown = serde_json::to_value(&view).unwrap();
        for (key, value) in [
            (
                "introspect_url",
                json!("https://{shop}.acme.example/introspect"),
            ),
            ("device_url", json!("https://acme.example/device")),
            (
                "grant_types",
                json!(["device_code", "client_credentials", "static"]),
            ),
            ("allowed_hosts", json!(["*.acme.example"])),
            (
                "placeholders",
                json!({ "region": "eu", "shop": null, "tid": null }),
            ),
            ("rotation", json!({ "mode": "single_use", "grace": null })),
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
        let table = view.table().to_string();
        for (field, value) in [
            ("placeholder", "region: eu"),
            ("placeholder", "shop: no value of its own"),
            ("allowed host", "*.acme.example"),
            (
                "refresh token",
                "ends 30d after its last use, 365d after the consent",
            ),
        ] {
            let has = |line: &str| line.starts_with(field) && line.ends_with(value);
            assert!(table.lines().any(has), "{field}: {value} in {table}");
        }
    }

    #[test]
    fn what_has_no_refresh_tokens_has_nothing_to_rotate() {
        let minimal =
            "name = \"acme\"\ntoken_url = \"https://acme.example/t\"\nsources = [\"a test\"]\n";
        let then = "authorize_url = \"https://acme.example/a\"\n[grants.authorization_code.then]\n\
                    url = \"https://acme.example/x\"\nclient_auth = \"bearer_access_token\"";
        for (rest, rotation, refresh_token) in [
            ("grant_types = [\"client_credentials\"]", "-", "none"),
            ("renewable = false", "-", "none"),
            ("", "single_use", "not known to end"),
            (
                "[renewal]\nself_renewing = true",
                "single_use",
                "none; the access token renews itself",
            ),
        ] {
            let view = view(&format!("{minimal}{rest}"));
            assert_eq!(view.rotation_in_words(), rotation, "{rest}");
            assert_eq!(view.refresh_token_in_words(), refresh_token, "{rest}");
            let shown = serde_json::to_value(&view).unwrap();
            assert_eq!(shown["rotation"].is_null(), rotation == "-", "{rest}");
        }
        let then = serde_json::to_value(view(&format!("{minimal}{then}"))).unwrap();
        assert_eq!(then["then_url"], "https://acme.example/x");
    }

    fn view(text: &str) -> EntryView {
        let mut catalogue = Catalogue::empty();
        let name: ProviderName = catalogue.add(text, "test").unwrap();
        EntryView::new(catalogue.get(&name).unwrap())
    }
}
