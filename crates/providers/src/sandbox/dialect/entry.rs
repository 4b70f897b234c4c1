//! The entry of a provider that the sandbox plays: the built-in one, with URLs that lead here.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::catalogue::{Entry, GrantKind, TokenGrant, UrlTemplate};
use crate::sandbox::token_call::GRANTS;

/// An entry in TOML that is called `name` and speaks as `entry`, whose text is `text`, at the sandbox at `base_url`.
///
/// It is laid over the built-in one, or, where that builds on another one, over the same.
pub(in crate::sandbox) fn entry(entry: &Entry, text: &str, name: &str, base_url: &str) -> String {
    let mut own: Table = text.parse().expect("every built-in entry is sound");
    if !own.contains_key("base") {
        own = Table::new();
        own.insert("base".to_owned(), entry.name.as_str().into());
    }
    own.insert("name".to_owned(), name.into());
    let sources = vec![Value::from("the sandbox provider of evergrant")];
    own.insert("sources".to_owned(), sources.into());
    let here = |url: &UrlTemplate, segment: &str| -> Value {
        let names: BTreeSet<&str> = url.template().placeholders().collect();
        let places: String = names.iter().map(|name| format!("{{{name}}}/")).collect();
        format!("{base_url}/as/{}/{places}{segment}", entry.name).into()
    };
    own.insert("token_url".to_owned(), here(&entry.token_url, "token"));
    for (key, url, segment) in [
        ("refresh_url", &entry.refresh_url, "refresh_token"),
        ("authorize_url", &entry.authorize_url, "authorize"),
        ("revoke_url", &entry.revoke_url, "revoke"),
        ("introspect_url", &entry.introspect_url, "introspect"),
        ("userinfo_url", &entry.userinfo_url, "userinfo"),
        ("device_url", &entry.device_url, "device"),
    ] {
        // What no grant type needs may only be inherited.
        let is_for = match key {
            "authorize_url" => Some(GrantKind::AuthorizationCode),
            "device_url" => Some(GrantKind::DeviceCode),
            _ => None,
        };
        if let Some(url) = url
            && is_for.is_none_or(|kind| entry.grant_types.contains(&kind))
        {
            own.insert(key.to_owned(), here(url, segment));
        }
    }
    for grant in GRANTS {
        let facts = entry.grants.get(grant);
        if facts.url.field == format!("grants.{}.url", grant.name()) {
            let url = here(&facts.url.value, grant.name());
            let grants = table(&mut own, "grants");
            table(grants, grant.name()).insert("url".to_owned(), url);
        }
        if let Some(then) = &facts.then {
            let url = here(&then.url.value, "then");
            let code = table(
                table(&mut own, "grants"),
                TokenGrant::AuthorizationCode.name(),
            );
            table(code, "then").insert("url".to_owned(), url);
        }
    }
    toml::to_string(&own).expect("what was read as TOML can be written as TOML")
}

fn table<'t>(own: &'t mut Table, key: &str) -> &'t mut Table {
    let value = own.entry(key).or_insert_with(|| Table::new().into());
    value.as_table_mut().expect("these keys are tables")
}
