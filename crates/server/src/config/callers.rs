//! `[[callers]]`: who may call, and what.

use std::collections::BTreeSet;
use std::fmt;

use evergrant_core::ids::TenantId;

use super::error::ConfigError;
use super::print::{Printer, quoted_list};
use super::section::{Key, Section};

/// Someone who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// For logs and metrics; unique.
    pub name: String,
    /// SHA-256 of the bearer token that it shows. The token itself is not in the configuration.
    pub token_sha256: [u8; 32],
    /// Whose credentials it may use.
    pub tenants: Tenants,
    /// What it may do with them.
    pub allow: BTreeSet<Permission>,
}

/// The tenants of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// All, those that do not exist yet included.
    All,
    /// These.
    These(BTreeSet<TenantId>),
}

impl Tenants {
    /// Whether `tenant` is among them.
    pub fn contains(&self, tenant: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::These(tenants) => tenants.contains(tenant),
        }
    }
}

/// Something that a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Get tokens.
    TokenGet,
    /// Watch events.
    EventWatch,
    /// Get and list credentials.
    CredentialRead,
    /// Create, change, reconnect, invalidate and delete credentials.
    CredentialWrite,
    /// Get and list integrations.
    IntegrationRead,
    /// Create, change and delete integrations.
    IntegrationWrite,
    /// All of the above.
    Admin,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 7] = [
        Self::TokenGet,
        Self::EventWatch,
        Self::CredentialRead,
        Self::CredentialWrite,
        Self::IntegrationRead,
        Self::IntegrationWrite,
        Self::Admin,
    ];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
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
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Caller {
    pub(super) fn read_all(sections: Vec<Section<'_>>) -> Result<Vec<Self>, ConfigError> {
        let mut callers: Vec<Self> = Vec::with_capacity(sections.len());
        for section in sections {
            let (name, token) = (section.key_of("name"), section.key_of("token_sha256"));
            let caller = Self::read(section)?;
            for earlier in &callers {
                if earlier.name == caller.name {
                    return Err(
                        name.refuse(format!("{:?} is taken by another caller", caller.name))
                    );
                }
                if earlier.token_sha256 == caller.token_sha256 {
                    let why = format!("is the same as that of caller {:?}", earlier.name);
                    return Err(token.refuse(why));
                }
            }
            callers.push(caller);
        }
        Ok(callers)
    }

    fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let (_, name) = section.required("name")?;
        let token_sha256 = identity(&mut section)?;
        let tenants = tenants(&mut section)?;
        let allow = section
            .texts("allow")?
            .into_iter()
            .map(|(key, text)| permission(&key, &text))
            .collect::<Result<BTreeSet<_>, _>>()?;
        if allow.is_empty() {
            return Err(section.key_of("allow").refuse(format!(
                "of caller {name:?} must name at least one of {}",
                all_permissions()
            )));
        }
        section.finish()?;
        Ok(Self {
            name,
            token_sha256,
            tenants,
            allow,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            name,
            token_sha256,
            tenants,
            allow,
        } = self;
        out.section("[[callers]]");
        out.text("name", name);
        let digits = token_sha256.map(|byte| format!("{byte:02x}")).concat();
        out.text("token_sha256", digits);
        out.raw(
            "tenants",
            match tenants {
                Tenants::All => quoted_list(["*"]),
                Tenants::These(tenants) => quoted_list(tenants.iter().map(TenantId::as_str)),
            },
        );
        let allow = allow.iter().map(|permission| permission.as_str());
        out.raw("allow", quoted_list(allow));
    }
}

fn identity(section: &mut Section<'_>) -> Result<[u8; 32], ConfigError> {
    const FORMS: [&str; 3] = ["token_sha256", "san", "jwt"];
    let given: Vec<_> = FORMS.into_iter().filter(|form| section.has(form)).collect();
    match given.as_slice() {
        ["token_sha256"] => {
            let (key, text) = section.required("token_sha256")?;
            hex(&text).ok_or_else(|| {
                key.refuse("must be a SHA-256 in 64 hexadecimal digits, as sha256sum prints it")
            })
        }
        [other] => Err(section
            .key_of(other)
            .refuse("is not available in this version")),
        _ => Err(section
            .key()
            .refuse("needs exactly one of token_sha256, san, jwt")),
    }
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    // `from_str_radix` takes a sign.
    text.bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then_some(bytes)
}

fn tenants(section: &mut Section<'_>) -> Result<Tenants, ConfigError> {
    let given = section.texts("tenants")?;
    if given.is_empty() {
        let why = "must name at least one tenant, or \"*\" for all";
        return Err(section.key_of("tenants").refuse(why));
    }
    let mut tenants = BTreeSet::new();
    for (key, text) in given {
        if text == "*" {
            return Ok(Tenants::All);
        }
        tenants.insert(TenantId::parse(&text).map_err(|why| key.refuse(why.to_string()))?);
    }
    Ok(Tenants::These(tenants))
}

fn permission(key: &Key, text: &str) -> Result<Permission, ConfigError> {
    Permission::ALL
        .into_iter()
        .find(|permission| permission.as_str() == text)
        .ok_or_else(|| key.refuse(format!("{text:?} is none of {}", all_permissions())))
}

fn all_permissions() -> String {
    Permission::ALL.map(Permission::as_str).join(", ")
}
