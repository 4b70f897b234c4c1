//! Who calls, and what they may do.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use evergrant_core::ids::TenantId;
use evergrant_proto::v1::ErrorReason;
use tokio::sync::Semaphore;
use tonic::metadata::MetadataMap;

use super::status::ApiError;

/// What a caller may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// `token.get`
    TokenGet,
    /// `event.watch`
    EventWatch,
    /// `credential.read`
    CredentialRead,
    /// `credential.write`
    CredentialWrite,
    /// `integration.read`
    IntegrationRead,
    /// `integration.write`
    IntegrationWrite,
    /// `admin`: everything.
    Admin,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 7] = [
        Self::TokenGet,
        Self::EventWatch,
        Self::CredentialRead,
        Self::CredentialWrite,
        Self::IntegrationRead,
        Self::IntegrationWrite,
        Self::Admin,
    ];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenGet => "token.get",
            Self::EventWatch => "event.watch",
            Self::CredentialRead => "credential.read",
            Self::CredentialWrite => "credential.write",
            Self::IntegrationRead => "integration.read",
            Self::IntegrationWrite => "integration.write",
            Self::Admin => "admin",
        }
    }

    /// The permission of that name in the configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == name)
    }
}

/// A caller as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRule {
    /// Its name, for logs and limits.
    pub name: String,
    /// SHA-256 of its bearer token.
    pub token_sha256: [u8; 32],
    /// Its tenants; `None` for all.
    pub tenants: Option<Vec<TenantId>>,
    /// What it may do.
    pub allow: Vec<Permission>,
}

/// All callers. Without any, whoever reaches the listener is trusted with everything.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    by_token: Arc<HashMap<[u8; 32], Caller>>,
}

/// A caller that was recognised.
#[derive(Debug, Clone)]
pub struct Caller {
    rule: Option<Arc<CallerRule>>,
    streams: Option<Arc<Semaphore>>,
}

impl Callers {
    /// The callers of the configuration, each of which may hold `streams` streams at a time on this replica.
    pub fn new(rules: Vec<CallerRule>, streams: usize) -> Self {
        let by_token = rules
            .into_iter()
            .map(|rule| {
                let caller = Caller {
                    streams: Some(Arc::new(Semaphore::new(streams))),
                    rule: Some(Arc::new(rule.clone())),
                };
                (rule.token_sha256, caller)
            })
            .collect();
        Self {
            by_token: Arc::new(by_token),
        }
    }

    /// Recognises the caller by the bearer token in `authorization`.
    ///
    /// The token is looked up by its SHA-256, so the time that this takes tells nothing of a valid one.
    pub fn recognise(&self, metadata: &MetadataMap) -> Result<Caller, ApiError> {
        if self.by_token.is_empty() {
            return Ok(Caller {
                rule: None,
                streams: None,
            });
        }
        let unknown = |why: &str| ApiError::new(ErrorReason::Unauthenticated, why);
        let header = metadata
            .get("authorization")
            .ok_or_else(|| unknown("send a token: authorization: Bearer …"))?
            .to_str()
            .map_err(|_| unknown("the authorization header is not text"))?;
        let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(unknown(
                "the authorization header is not of the Bearer scheme",
            ));
        }
        let digest = digest::digest(&digest::SHA256, token.trim().as_bytes());
        let key: [u8; 32] = digest.as_ref().try_into().unwrap_or_default();
        self.by_token
            .get(&key)
            .cloned()
            .ok_or_else(|| unknown("no caller has this token"))
    }
}

impl Caller {
    /// Refuses what the caller may not do with this tenant. `None` means all tenants.
    pub fn require(
        &self,
        permission: Permission,
        tenant: Option<&TenantId>,
    ) -> Result<(), ApiError> {
        let Some(rule) = &self.rule else {
            return Ok(());
        };
        let may = rule.allow.contains(&permission) || rule.allow.contains(&Permission::Admin);
        let here = match (&rule.tenants, tenant) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(tenant)) => own.contains(tenant),
        };
        if may && here {
            return Ok(());
        }
        let what = permission.as_str();
        let message = match (may, tenant) {
            (false, _) => format!("caller {} may not {what}", rule.name),
            (true, Some(tenant)) => {
                format!("caller {} may not {what} in tenant {tenant}", rule.name)
            }
            (true, None) => format!("caller {} may not {what} in all tenants", rule.name),
        };
        Err(ApiError::new(ErrorReason::PermissionDenied, message))
    }

    /// The tenants in which the caller may do something; `None` for all. An error if it may do it in none.
    pub fn tenants(&self, permission: Permission) -> Result<Option<Vec<TenantId>>, ApiError> {
        let own = self.rule.as_ref().and_then(|rule| rule.tenants.clone());
        // Whoever may do it in its first tenant may in all of its own.
        self.require(permission, own.as_deref().and_then(<[_]>::first))?;
        Ok(own)
    }

    /// How many streams this caller may still open here; `None` if nobody counts.
    pub fn streams(&self) -> Option<&Arc<Semaphore>> {
        self.streams.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(text: &str) -> [u8; 32] {
        digest::digest(&digest::SHA256, text.as_bytes())
            .as_ref()
            .try_into()
            .unwrap()
    }

    fn callers() -> Callers {
        Callers::new(
            vec![CallerRule {
                name: "billing".into(),
                token_sha256: sha256("s3cret"),
                tenants: Some(vec![TenantId::parse("acme").unwrap()]),
                allow: vec![Permission::TokenGet],
            }],
            32,
        )
    }

    #[test]
    fn the_tenants_of_a_caller_are_its_own() {
        let caller = callers().recognise(&with("Bearer s3cret")).unwrap();
        let own = TenantId::parse("acme").unwrap();
        assert_eq!(
            caller.tenants(Permission::TokenGet).unwrap(),
            Some(vec![own])
        );
        assert!(caller.tenants(Permission::CredentialRead).is_err());
        let anybody = Callers::default().recognise(&MetadataMap::new()).unwrap();
        assert_eq!(anybody.tenants(Permission::CredentialRead).unwrap(), None);
    }

    fn with(header: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", header.parse().unwrap());
        metadata
    }

    #[test]
    fn a_caller_is_recognised_by_its_token_alone() {
        assert!(callers().recognise(&with("Bearer s3cret")).is_ok());
        assert!(callers().recognise(&with("bearer s3cret")).is_ok());
        for bad in ["Bearer wrong", "Basic s3cret", "Bearer", "s3cret"] {
            let error = callers().recognise(&with(bad)).unwrap_err();
            assert_eq!(error.reason(), ErrorReason::Unauthenticated, "{bad}");
            assert!(!error.message().contains("s3cret"));
        }
        assert!(callers().recognise(&MetadataMap::new()).is_err());
    }

    #[test]
    fn it_may_do_what_its_rule_says_where_its_rule_says() {
        let caller = callers().recognise(&with("Bearer s3cret")).unwrap();
        let acme = TenantId::parse("acme").unwrap();
        let other = TenantId::parse("other").unwrap();
        assert!(caller.require(Permission::TokenGet, Some(&acme)).is_ok());
        for (permission, tenant) in [
            (Permission::TokenGet, Some(&other)),
            (Permission::TokenGet, None),
            (Permission::CredentialWrite, Some(&acme)),
        ] {
            assert!(caller.require(permission, tenant).is_err());
        }
        assert!(caller.tenants(Permission::TokenGet).is_ok());
        assert!(caller.tenants(Permission::Admin).is_err());
    }

    #[test]
    fn without_callers_everyone_is_trusted() {
        let caller = Callers::default().recognise(&MetadataMap::new()).unwrap();
        assert!(caller.require(Permission::Admin, None).is_ok());
    }
}
