//! Grants, without their secrets.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "grants")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub tenant: String,
    pub provider: String,
    pub client: String,
    pub account: Option<String>,
    pub grant_type: String,
    pub generation: i64,
    pub version: i64,
    /// Null unless the grant is suspect.
    pub suspect_reason: Option<String>,
    /// Null unless the grant is dead. The next three are null while it is active.
    pub invalid_reason: Option<String>,
    pub invalid_error: Option<String>,
    pub invalid_message: Option<String>,
    pub invalid_at: Option<i64>,
    pub invalid_reported: bool,
    pub consented_at: i64,
    pub issued_at: i64,
    pub expires_at: Option<i64>,
    pub refresh_expires_at: Option<i64>,
    pub refreshable: bool,
    pub due_at: Option<i64>,
    pub renew_by: Option<i64>,
    pub ends_at: Option<i64>,
    /// Null where the other is.
    pub end_of: Option<String>,
    pub announce_at: Option<i64>,
    /// In days ahead of the end.
    pub announced: Option<i64>,
    /// JSON.
    pub scopes: String,
    pub failed: i64,
    pub next_attempt_at: Option<i64>,
    pub failure_reason: Option<String>,
    pub failure_message: Option<String>,
    pub epoch: i64,
    pub lease_owner: Option<String>,
    pub lease_until: Option<i64>,
    /// The latest claim may have spent the refresh token.
    pub intent: bool,
    /// One before the latest claim may have.
    pub takeover: bool,
    pub created_at: i64,
    /// Id of the grant whose means this one mints with.
    pub parent: Option<String>,
    /// JSON, ascending without duplicates.
    pub requested_scopes: String,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
