//! AuditService: reading the audit trail.

mod known;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::CredentialId;
use evergrant_proto::v1;
use evergrant_proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use self::known::{actions, meant, outcomes};
use super::call::Call;
use super::caller::Permission;
use super::convert::{free_of_nul, page_size, tenant, timestamp, to_timestamp};
use super::gate::Gate;
use super::paging::{after_token, bad_page_token, cut};
use super::status::{ApiError, store_error};
use crate::audit::record::{Content, Record};
use crate::store::{AuditLog, AuditQuery, Order, Outcomes};

/// In a request: all tenants that the caller may read.
const ALL_TENANTS: &str = "*";
/// In a request: every outcome but the good one.
const REFUSED: &str = "REFUSED";

/// Serves AuditService.
#[derive(Debug, Clone)]
pub struct AuditRecords {
    log: AuditLog,
    gate: Gate,
}

impl AuditRecords {
    /// A service that reads `log`.
    pub fn new(log: AuditLog, gate: Gate) -> Self {
        Self { log, gate }
    }

    async fn list(
        &self,
        call: &Call,
        request: v1::ListAuditRecordsRequest,
    ) -> Result<v1::ListAuditRecordsResponse, ApiError> {
        let (mut query, limit) = query(call, request)?;
        query.limit = limit + 1;
        let found = self.log.records(&query).await;
        let mut records = found.map_err(|error| store_error(&error))?;
        let next_page_token = cut(&mut records, limit, |record| record.number.to_string());
        Ok(v1::ListAuditRecordsResponse {
            records: records.into_iter().map(to_record).collect(),
            next_page_token,
        })
    }
}

#[tonic::async_trait]
impl AuditService for AuditRecords {
    async fn list_audit_records(
        &self,
        request: Request<v1::ListAuditRecordsRequest>,
    ) -> Result<Response<v1::ListAuditRecordsResponse>, Status> {
        let work = async |call: Call, message| self.list(&call, message).await;
        self.gate.serve("ListAuditRecords", request, work).await
    }
}

/// What a request asks for, and how many records a page has.
fn query(call: &Call, request: v1::ListAuditRecordsRequest) -> Result<(AuditQuery, u32), ApiError> {
    let v1::ListAuditRecordsRequest {
        tenant_id,
        credential_id,
        caller,
        action,
        outcome,
        since,
        before,
        after_number,
        order,
        page_size: size,
        page_token,
    } = request;
    let tenants = match tenant_id.as_str() {
        ALL_TENANTS => call.tenants(Permission::AuditRead)?,
        one => {
            let one = tenant(one)?;
            call.require(Permission::AuditRead, Some(&one))?;
            Some(vec![one])
        }
    };
    let credential = match credential_id.as_str() {
        "" => None,
        id => Some(
            CredentialId::parse(id)
                .map_err(|why| ApiError::invalid("credential_id", why.to_string()))?,
        ),
    };
    let order = match v1::AuditOrder::try_from(order) {
        Ok(v1::AuditOrder::Unspecified | v1::AuditOrder::NewestFirst) => Order::Descending,
        Ok(v1::AuditOrder::OldestFirst) => Order::Ascending,
        Err(_) => return Err(ApiError::invalid("order", "is no known order")),
    };
    let page = after_token(&page_token)?;
    let page = page.map(|text| text.parse::<u64>().map_err(|_| bad_page_token()));
    let page = page.transpose()?;
    let limit = page_size(size)?;
    let time = |field, time: Option<_>| time.map(|time| timestamp(field, time)).transpose();
    for (field, text) in [
        ("caller", &caller),
        ("action", &action),
        ("outcome", &outcome),
    ] {
        free_of_nul(field, text)?;
    }
    check(
        "action",
        &action,
        actions(),
        "GetToken or CredentialInvalidated",
    )?;
    if outcome != REFUSED {
        check(
            "outcome",
            &outcome,
            outcomes(),
            "OK, CREDENTIAL_NOT_FOUND or REFUSED",
        )?;
    }
    let query = AuditQuery {
        tenants,
        credential,
        caller: given(caller),
        action: given(action),
        outcomes: match outcome.as_str() {
            "" => Outcomes::Any,
            REFUSED => Outcomes::Refused,
            _ => Outcomes::Only(outcome),
        },
        since: time("since", since)?,
        before: time("before", before)?,
        above: match order {
            Order::Ascending => page.unwrap_or(0).max(after_number),
            Order::Descending => after_number,
        },
        below: page.filter(|_| order == Order::Descending),
        order,
        limit,
    };
    Ok((query, limit))
}

/// A name that no record has would be answered as if nothing of it had happened.
fn check(field: &str, name: &str, names: &[&'static str], such: &str) -> Result<(), ApiError> {
    if name.is_empty() || names.contains(&name) {
        return Ok(());
    }
    let why = format!(
        "{name:?} is none that a record may have: {}",
        meant(name, names, such)
    );
    Err(ApiError::invalid(field, why))
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn to_record(record: Record) -> v1::AuditRecord {
    let Record {
        number,
        content,
        mac,
    } = record;
    let Content {
        at,
        until,
        count,
        caller,
        peer,
        action,
        tenant,
        credential,
        integration,
        provider,
        client,
        generation,
        outcome,
        detail,
    } = content;
    let time = |millis| Some(to_timestamp(Timestamp::from_millis(millis)));
    v1::AuditRecord {
        number,
        at: time(at),
        until: time(until),
        count: whole(count),
        caller,
        peer,
        action,
        tenant_id: tenant,
        credential_id: credential,
        integration_id: integration,
        provider,
        client,
        generation: whole(generation),
        outcome,
        detail,
        mac: mac.0.to_vec().into(),
    }
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests;
