//! Writes of credentials.

use evergrant_core::change::Write;
use evergrant_core::ids::CredentialKey;
use evergrant_core::store::Credential;

use super::{delete, is, json};
use crate::store::row::stored;
use crate::store::sql::{Sql, insert, update};

pub(super) fn insert_credential(new: &Credential) -> Sql {
    let Credential {
        key,
        grant,
        labels,
        created_at,
        version: _,
    } = new;
    let columns = vec![
        ("tenant", Sql::value(key.tenant.as_str())),
        ("id", Sql::value(key.id.as_str())),
        ("grant_id", Sql::value(grant.as_str())),
        ("labels", json(labels)),
        ("created_at", Sql::value(created_at.as_millis())),
        ("version", Sql::text("1")),
    ];
    insert("credentials", columns)
}

/// All updates of one credential together, at the first of them; `None` at the others.
pub(super) fn update_credential(write: &Write, all: &[&Write]) -> Option<Sql> {
    let key = updated(write)?;
    let mut of_one = all
        .iter()
        .filter(|other| updated(other) == Some(key))
        .peekable();
    if of_one
        .peek()
        .is_none_or(|first| !std::ptr::eq(**first, write))
    {
        return None;
    }
    let mut columns = vec![("version", Sql::text("version + 1"))];
    let mut conditions = its_key(key);
    for update in of_one {
        match update {
            Write::UpdateCredentialLabels {
                version, labels, ..
            } => {
                columns.push(("labels", json(labels)));
                conditions.push(Sql::new("version = ?", [stored(*version).into()]));
            }
            Write::MoveCredential { from, to, .. } => {
                columns.push(("grant_id", Sql::value(to.as_str())));
                conditions.push(is("grant_id", from.as_str()));
            }
            _ => {}
        }
    }
    Some(update("credentials", columns, conditions))
}

/// The credential that `write` updates.
fn updated(write: &Write) -> Option<&CredentialKey> {
    match write {
        Write::UpdateCredentialLabels { key, .. } | Write::MoveCredential { key, .. } => Some(key),
        _ => None,
    }
}

pub(super) fn delete_credential(key: &CredentialKey) -> Sql {
    delete("credentials", its_key(key))
}

fn its_key(key: &CredentialKey) -> Vec<Sql> {
    vec![is("tenant", key.tenant.as_str()), is("id", key.id.as_str())]
}
