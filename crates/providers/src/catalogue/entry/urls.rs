//! The URLs of an entry, and where values lead them.

use std::collections::BTreeMap;

use super::super::template::{HostPattern, TemplateError, UrlTemplate};
use super::Entry;

/// A value with which requests would go where they must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Astray {
    /// The placeholder that it is for.
    pub placeholder: String,
    /// The key of the URL, e.g. `token_url`, and what is wrong.
    pub why: String,
}

impl Entry {
    /// Every URL that a request goes to or a user is sent to, by the key that it stands under, but that of the second
    /// request of a code.
    pub(in crate::catalogue) fn urls(&self) -> impl Iterator<Item = (&str, &UrlTemplate)> {
        let plain = [
            ("authorize_url", &self.authorize_url),
            ("revoke_url", &self.revoke_url),
            ("introspect_url", &self.introspect_url),
            ("userinfo_url", &self.userinfo_url),
            ("device_url", &self.device_url),
        ];
        let plain = plain
            .into_iter()
            .filter_map(|(field, url)| Some((field, url.as_ref()?)));
        let of_grants = self.grants.iter().map(|grant| &grant.url);
        let openid = self.openid.iter();
        plain
            .chain(of_grants.map(|url| (url.field.as_str(), &url.value)))
            .chain(openid.map(|openid| ("openid.jwks_url", &openid.jwks_url)))
    }

    /// The first of these values of placeholders that leads a URL to a host outside `allowed_hosts`, or does not fit
    /// into it. The entry's own values fill what they leave open; a host that a credential is still to name is nobody's
    /// mistake yet.
    pub fn astray(&self, values: &BTreeMap<String, String>) -> Option<Astray> {
        let lookup = |name: &str| {
            let value = values.get(name).or_else(|| self.placeholders.get(name));
            value.map(String::as_str)
        };
        let then = self.grants.authorization_code.then.iter();
        let then = then.map(|then| (then.url.field.as_str(), &then.url.value));
        self.urls().chain(then).find_map(|(field, url)| {
            let (placeholder, why) = match url.strays_to(lookup, &self.allowed_hosts) {
                Ok(None) => return None,
                Ok(Some(host)) => {
                    let allowed: Vec<String> =
                        self.allowed_hosts.iter().map(HostPattern::to_string).collect();
                    let allowed = allowed.join(", ");
                    let why = format!(
                        "leads {field} to the host {host}, which is outside allowed_hosts of provider {} ({allowed})",
                        self.name
                    );
                    let mut names = url.template().placeholders();
                    (names.find(|name| values.contains_key(*name))?.to_owned(), why)
                }
                Err(TemplateError::BadValue(name)) if values.contains_key(&name) => {
                    (name, format!("does not fit into {field}, which is {url}"))
                }
                Err(_) => return None,
            };
            Some(Astray { placeholder, why })
        })
    }
}
