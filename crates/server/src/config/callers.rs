//! `[[callers]]`: who may call, and what.

use std::collections::BTreeSet;

use evergrant_core::ids::TenantId;

use super::error::ConfigError;
use super::limits;
use super::print::{Printer, quoted_list};
use super::section::{Key, Section};
use crate::audit::record::RESERVED;
use crate::grpc::caller::{CallerRule, Identity, Permission, Rate};

mod identity;

/// What the rest of the configuration has to do with callers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    /// Whether the listener asks for client certificates.
    pub(super) has_client_ca: bool,
    /// The rate of callers that have none of their own.
    pub(super) rate: Option<Rate>,
}

/// Reads `[[callers]]`; no two may bear one name or be recognised by the same.
pub(super) fn read_all(
    sections: Vec<Section<'_>>,
    around: Surroundings,
) -> Result<Vec<CallerRule>, ConfigError> {
    let mut callers: Vec<CallerRule> = Vec::with_capacity(sections.len());
    for section in sections {
        let name = section.key_of("name");
        let (identity, caller) = read(section, around)?;
        for earlier in &callers {
            if earlier.name == caller.name {
                return Err(name.refuse(format!("{:?} is taken by another caller", caller.name)));
            }
            if earlier.identity.is_same(&caller.identity) {
                let why = format!("is the same as that of caller {:?}", earlier.name);
                return Err(identity.refuse(why));
            }
        }
        callers.push(caller);
    }
    Ok(callers)
}

/// The caller, and the key of what it is recognised by.
fn read(mut section: Section<'_>, around: Surroundings) -> Result<(Key, CallerRule), ConfigError> {
    let (name_key, name) = section.required("name")?;
    if RESERVED.contains(&name.as_str()) {
        let why = format!("{name:?} means something else in the audit trail; choose another");
        return Err(name_key.refuse(why));
    }
    let (key, identity) = identity::read(&mut section)?;
    if matches!(identity, Identity::San(_)) && !around.has_client_ca {
        return Err(key.refuse("needs server.tls.client_ca, which says whose certificates count"));
    }
    let tenants = tenants(&mut section)?;
    let allow = section
        .texts("allow")?
        .into_iter()
        .map(|(key, text)| permission(&key, &text))
        .collect::<Result<Vec<_>, _>>()?;
    if allow.is_empty() {
        return Err(section.key_of("allow").refuse(format!(
            "of caller {name:?} must name at least one of {}",
            all_permissions()
        )));
    }
    let rate = section.optional_section("rate")?;
    let rate = rate.map(limits::read_rate).transpose()?;
    section.finish()?;
    let caller = CallerRule {
        name,
        identity,
        tenants,
        allow,
        rate: rate.or(around.rate),
    };
    Ok((key, caller))
}

/// Writes one of `[[callers]]`.
pub(super) fn print(caller: &CallerRule, out: &mut Printer) {
    let CallerRule {
        name,
        identity,
        tenants,
        allow,
        rate,
    } = caller;
    out.section("[[callers]]");
    out.text("name", name);
    identity::print(identity, out);
    out.raw(
        "tenants",
        match tenants {
            None => quoted_list(["*"]),
            Some(tenants) => quoted_list(tenants.iter().map(TenantId::as_str)),
        },
    );
    let allow = allow.iter().map(|permission| permission.as_str());
    out.raw("allow", quoted_list(allow));
    if let Some(rate) = rate {
        out.raw("rate", limits::rate_as_toml(*rate));
    }
}

fn tenants(section: &mut Section<'_>) -> Result<Option<Vec<TenantId>>, ConfigError> {
    let given = section.texts("tenants")?;
    if given.is_empty() {
        let why = "must name at least one tenant, or \"*\" for all";
        return Err(section.key_of("tenants").refuse(why));
    }
    let mut tenants = BTreeSet::new();
    for (key, text) in given {
        if text == "*" {
            return Ok(None);
        }
        tenants.insert(TenantId::parse(&text).map_err(|why| key.refuse(why.to_string()))?);
    }
    Ok(Some(tenants.into_iter().collect()))
}

fn permission(key: &Key, text: &str) -> Result<Permission, ConfigError> {
    Permission::from_name(text)
        .ok_or_else(|| key.refuse(format!("{text:?} is none of {}", all_permissions())))
}

fn all_permissions() -> String {
    Permission::ALL.map(Permission::as_str).join(", ")
}
