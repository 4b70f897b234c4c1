//! ForecastCredentials: what ends when.

use evergrant_core::ageing::EndOf;
use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{CredentialKey, ProviderName};
use evergrant_core::provider::UnknownClient;
use evergrant_core::store::{Forecast, ForecastPlace, ForecastQuery};
use evergrant_proto::v1::{self, CredentialEndKind, ErrorReason};

use super::Credentials;
use crate::grpc::call::Call;
use crate::grpc::caller::{Caller, Permission};
use crate::grpc::convert::{credential_key, duration, page_size, tenant, to_timestamp};
use crate::grpc::paging::{after_token, bad_page_token, cut};
use crate::grpc::status::{ApiError, store_error};

/// In a request: all tenants that the caller may read.
const ALL_TENANTS: &str = "*";

impl Credentials {
    pub(super) async fn forecast(
        &self,
        call: &Call,
        request: v1::ForecastCredentialsRequest,
    ) -> Result<v1::ForecastCredentialsResponse, ApiError> {
        let (mut query, limit) = query(call.caller(), request, self.clock.now())?;
        query.limit = limit + 1;
        let found = self.store.forecast(&query).await;
        let mut ends = found.map_err(|error| store_error(&error))?;
        if ends.is_empty() {
            self.refuse_unknown(&query.providers)?;
        }
        let next_page_token = cut(&mut ends, limit, |end| page_token(&end.place));
        Ok(v1::ForecastCredentialsResponse {
            ends: ends.into_iter().map(to_end).collect(),
            next_page_token,
        })
    }
}

impl Credentials {
    /// A provider of which there is nothing is a mistake in its name, unless the catalogue has it.
    fn refuse_unknown(&self, providers: &[ProviderName]) -> Result<(), ApiError> {
        let mut providers = providers.iter();
        match providers.find(|name| self.providers.entry(name).is_none()) {
            None => Ok(()),
            Some(name) => {
                let why = UnknownClient::Provider(name.to_string()).to_string();
                Err(ApiError::new(ErrorReason::UnknownProvider, why).about("provider"))
            }
        }
    }
}

/// What a request asks for, and how many ends a page has.
fn query(
    caller: &Caller,
    request: v1::ForecastCredentialsRequest,
    now: Timestamp,
) -> Result<(ForecastQuery, u32), ApiError> {
    let v1::ForecastCredentialsRequest {
        tenant_id,
        within,
        provider,
        page_size: size,
        page_token,
    } = request;
    let permission = Permission::CredentialRead;
    let tenants = match tenant_id.as_str() {
        ALL_TENANTS => caller.tenants(permission)?,
        one => {
            let one = tenant(one)?;
            caller.require(permission, Some(&one))?;
            Some(vec![one])
        }
    };
    let providers = match provider.as_str() {
        "" => Vec::new(),
        name => vec![
            ProviderName::parse(name)
                .map_err(|why| ApiError::invalid("provider", why.to_string()))?,
        ],
    };
    let within = within
        .map(|within| duration("within", within))
        .transpose()?;
    let limit = page_size(size)?;
    let query = ForecastQuery {
        tenants,
        providers,
        before: within.map(|within| now.plus(within)),
        after: after_token(&page_token)?
            .map(|text| place(&text).ok_or_else(bad_page_token))
            .transpose()?,
        limit,
    };
    Ok((query, limit))
}

/// What stands between two pages: neither tenants nor credentials have a slash in their names.
fn page_token(place: &ForecastPlace) -> String {
    let ForecastPlace { at, key, moves } = place;
    let (at, moves) = (at.as_millis(), u8::from(*moves));
    format!("{at}/{moves}/{}/{}", key.tenant, key.id)
}

fn place(text: &str) -> Option<ForecastPlace> {
    let mut parts = text.splitn(4, '/');
    let mut next = || parts.next();
    let (at, moves) = (next()?.parse().ok()?, next()? == "1");
    let key: CredentialKey = credential_key(next()?, next()?).ok()?;
    Some(ForecastPlace {
        at: Timestamp::from_millis(at),
        key,
        moves,
    })
}

fn to_end(end: Forecast) -> v1::CredentialEnd {
    let Forecast {
        place: ForecastPlace { at, key, moves },
        provider,
        generation,
        of,
        due_at,
        labels,
    } = end;
    let kind = match of {
        Some(EndOf::AccessToken) => CredentialEndKind::AccessToken,
        Some(EndOf::RefreshToken) => CredentialEndKind::RefreshToken,
        Some(EndOf::Grant) => CredentialEndKind::Grant,
        None => CredentialEndKind::UnusedRefreshToken,
    };
    v1::CredentialEnd {
        tenant_id: key.tenant.to_string(),
        credential_id: key.id.to_string(),
        provider: provider.to_string(),
        generation: generation.0,
        kind: kind.into(),
        ends_at: Some(to_timestamp(at)),
        renews_at: due_at.filter(|_| moves).map(to_timestamp),
        labels: labels.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
