//! `[[callers]]`: who may call, and what.

use std::collections::BTreeSet;

use evergrant_core::ids::TenantId;

use super::error::ConfigError;
use super::print::{Printer, quoted_list};
use super::section::{Key, Section};
use crate::audit::record::RESERVED;
use crate::grpc::caller::{CallerRule, Permission};

/// Reads `[[callers]]`; no two may bear one name or one token.
pub(super) fn read_all(sections: Vec<Section<'_>>) -> Result<Vec<CallerRule>, ConfigError> {
    let mut callers: Vec<CallerRule> = Vec::with_capacity(sections.len());
    for section in sections {
        let (name, token) = (section.key_of("name"), section.key_of("token_sha256"));
        let caller = read(section)?;
        for earlier in &callers {
            if earlier.name == caller.name {
                return Err(name.refuse(format!("{:?} is taken by another caller", caller.name)));
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

fn read(mut section: Section<'_>) -> Result<CallerRule, ConfigError> {
    let (name_key, name) = section.required("name")?;
    if RESERVED.contains(&name.as_str()) {
        let why = format!("{name:?} means something else in the audit trail; choose another");
        return Err(name_key.refuse(why));
    }
    let token_sha256 = identity(&mut section)?;
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
    section.finish()?;
    Ok(CallerRule {
        name,
        token_sha256,
        tenants,
        allow,
    })
}

/// Writes one of `[[callers]]`.
pub(super) fn print(caller: &CallerRule, out: &mut Printer) {
    let CallerRule {
        name,
        token_sha256,
        tenants,
        allow,
    } = caller;
    out.section("[[callers]]");
    out.text("name", name);
    let digits = token_sha256.map(|byte| format!("{byte:02x}")).concat();
    out.text("token_sha256", digits);
    out.raw(
        "tenants",
        match tenants {
            None => quoted_list(["*"]),
            Some(tenants) => quoted_list(tenants.iter().map(TenantId::as_str)),
        },
    );
    let allow = allow.iter().map(|permission| permission.as_str());
    out.raw("allow", quoted_list(allow));
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
