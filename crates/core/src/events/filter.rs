//! Which events a watcher wants.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{EventBody, EventKind};
use crate::ids::{CredentialId, ProviderName, TenantId};

/// Admits events by tenant, credential, provider and kind; an empty set admits all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The tenant to watch; `None` watches all.
    pub tenant: Option<TenantId>,
    /// Only these credentials.
    pub credentials: BTreeSet<CredentialId>,
    /// Only these providers.
    pub providers: BTreeSet<ProviderName>,
    /// Only these kinds.
    pub kinds: BTreeSet<EventKind>,
}

impl Filter {
    /// Whether the event is wanted.
    ///
    /// An event that names no tenant (a client's) is wanted whatever the tenant; one that names no
    /// credential or provider is not wanted by who asks for particular ones.
    pub fn admits(&self, body: &EventBody) -> bool {
        let tenant = match (&self.tenant, body.tenant()) {
            (Some(wanted), Some(tenant)) => wanted == tenant,
            _ => true,
        };
        tenant
            && (self.kinds.is_empty() || self.kinds.contains(&body.kind()))
            && (self.credentials.is_empty()
                || body
                    .credential()
                    .is_some_and(|id| self.credentials.contains(id)))
            && (self.providers.is_empty()
                || body
                    .provider()
                    .is_some_and(|name| self.providers.contains(name)))
    }

    /// What a cursor remembers of the filter.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            tenant: self.tenant.as_ref().map(|tenant| hash([tenant.as_str()])),
            credentials: hash_set(self.credentials.iter().map(CredentialId::as_str)),
            providers: hash_set(self.providers.iter().map(ProviderName::as_str)),
            kinds: self.kinds.iter().map(|kind| kind_bit(*kind)).sum(),
        }
    }
}

/// What a cursor remembers of the filter that it was issued under: a hash of each part, `None` or 0 where the part
/// admits all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Hash of the tenant.
    pub tenant: Option<u32>,
    /// Hash of the credentials.
    pub credentials: Option<u32>,
    /// Hash of the providers.
    pub providers: Option<u32>,
    /// A bit per kind.
    pub kinds: u16,
}

impl Fingerprint {
    /// Whether a filter of this fingerprint certainly admits nothing that one of `earlier` hid, so that a stream
    /// may go on after a cursor of `earlier`. Each part must be the same as before, or have admitted all before.
    pub fn narrows(&self, earlier: &Self) -> bool {
        let kinds = earlier.kinds == 0 || (self.kinds != 0 && self.kinds & !earlier.kinds == 0);
        let part = |now: Option<u32>, before: Option<u32>| before.is_none() || now == before;
        kinds
            && part(self.tenant, earlier.tenant)
            && part(self.credentials, earlier.credentials)
            && part(self.providers, earlier.providers)
    }
}

fn kind_bit(kind: EventKind) -> u16 {
    match kind {
        EventKind::CredentialInvalidated => 1,
        EventKind::CredentialRestored => 2,
        EventKind::CredentialDeleted => 4,
        EventKind::IntegrationStatusChanged => 8,
        EventKind::ReauthorizationDue => 16,
        EventKind::ClientRejected => 32,
        EventKind::ClientRecovered => 64,
        EventKind::ClientBraked => 128,
        EventKind::ClientReleased => 256,
    }
}

fn hash_set<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<u32> {
    let first = parts.next()?;
    Some(hash(std::iter::once(first).chain(parts)))
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> u32 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{ClientRecovered, CredentialDeleted, EventBody};
    use crate::ids::{ClientKey, ClientName, CredentialKey};

    fn deleted(tenant: &str, id: &str, provider: &str) -> EventBody {
        EventBody::CredentialDeleted(CredentialDeleted {
            credential: CredentialKey {
                tenant: TenantId::parse(tenant).unwrap(),
                id: CredentialId::parse(id).unwrap(),
            },
            provider: ProviderName::parse(provider).unwrap(),
            integrations: vec![],
            labels: [].into(),
        })
    }

    fn filter(tenant: Option<&str>, credentials: &[&str], kinds: &[EventKind]) -> Filter {
        Filter {
            tenant: tenant.map(|tenant| TenantId::parse(tenant).unwrap()),
            credentials: credentials
                .iter()
                .map(|id| CredentialId::parse(id).unwrap())
                .collect(),
            providers: BTreeSet::new(),
            kinds: kinds.iter().copied().collect(),
        }
    }

    // E7
    #[test]
    fn an_event_of_another_tenant_is_never_admitted() {
        let acme = filter(Some("acme"), &[], &[]);
        assert!(acme.admits(&deleted("acme", "a", "slack")));
        assert!(!acme.admits(&deleted("other", "a", "slack")));
        assert!(filter(None, &[], &[]).admits(&deleted("other", "a", "slack")));
    }

    #[test]
    fn parts_are_combined_and_an_empty_part_admits_all() {
        let some = filter(Some("acme"), &["a"], &[EventKind::CredentialDeleted]);
        assert!(some.admits(&deleted("acme", "a", "slack")));
        assert!(!some.admits(&deleted("acme", "b", "slack")));
        let invalidated = filter(Some("acme"), &[], &[EventKind::CredentialInvalidated]);
        assert!(!invalidated.admits(&deleted("acme", "a", "slack")));
    }

    #[test]
    fn a_clients_event_reaches_every_tenant_but_not_who_asks_for_a_credential() {
        let event = EventBody::ClientRecovered(ClientRecovered {
            client: ClientKey {
                provider: ProviderName::parse("slack").unwrap(),
                client: ClientName::parse("main").unwrap(),
            },
        });
        assert!(filter(Some("acme"), &[], &[]).admits(&event));
        assert!(!filter(Some("acme"), &["a"], &[]).admits(&event));
    }

    #[test]
    fn a_narrower_filter_may_resume_and_a_wider_one_may_not() {
        let all = filter(None, &[], &[]).fingerprint();
        let acme = filter(Some("acme"), &[], &[]).fingerprint();
        let one = filter(Some("acme"), &["a"], &[]).fingerprint();
        let other = filter(Some("acme"), &["b"], &[]).fingerprint();
        for (now, before, may) in [
            (&all, &all, true),
            (&acme, &all, true),
            (&one, &acme, true),
            (&one, &one, true),
            (&all, &acme, false),
            (&acme, &one, false),
            (&other, &one, false),
        ] {
            assert_eq!(now.narrows(before), may, "{now:?} after {before:?}");
        }
        let two = [EventKind::ClientRejected, EventKind::ClientRecovered];
        let both = filter(None, &[], &two).fingerprint();
        let first = filter(None, &[], &two[..1]).fingerprint();
        assert!(first.narrows(&both) && !both.narrows(&first) && !all.narrows(&first));
    }
}
