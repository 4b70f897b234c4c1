//! `allowed_hosts`, and what the entry's own values of placeholders lead to.

use super::Told;
use crate::catalogue::template::UrlTemplate;

pub(super) fn check(told: &mut Told<'_, '_, '_>) {
    let entry = told.entry;
    if let Some(astray) = entry.astray(&entry.placeholders) {
        let path = format!("placeholders.{}", astray.placeholder);
        told.tell(&path, astray.why);
    }
    // A URL that cannot be read may be the one that a host is for.
    if !told.states("allowed_hosts") || !told.report.is_clean() {
        return;
    }
    let then = entry.grants.authorization_code.then.iter();
    let urls: Vec<&UrlTemplate> = entry
        .urls()
        .map(|(_, url)| url)
        .chain(then.map(|then| &then.url.value))
        .collect();
    if !urls.iter().any(|url| url.has_open_host()) {
        let why = "stands for nothing: no URL has a placeholder in its host";
        told.tell("allowed_hosts", why);
        return;
    }
    for (index, pattern) in entry.allowed_hosts.iter().enumerate() {
        if !urls.iter().any(|url| url.may_lead_to(pattern)) {
            let why = format!("has {pattern}, which no URL of the entry can lead to");
            let item = format!("allowed_hosts[{index}]");
            let at = if told.places.has(&item) {
                &item
            } else {
                "allowed_hosts"
            };
            told.tell_at(at, "allowed_hosts", why);
        }
    }
}
