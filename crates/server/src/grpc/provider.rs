//! ProviderService: how providers and OAuth clients stand, and what operators decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use evergrant_core::brake::Verdict;
use evergrant_core::breaker::BreakerState;
use evergrant_core::broker::Broker;
use evergrant_core::clock::Clock;
use evergrant_core::ids::{ClientKey, ClientName, ProviderName};
use evergrant_core::meant::did_you_mean;
use evergrant_core::provider::UnknownClient;
use evergrant_core::store::{ClientStanding, Store};
use evergrant_proto::v1::provider_service_server::ProviderService;
use evergrant_proto::v1::{self, ErrorReason};
use evergrant_providers::HttpProviders;
use evergrant_providers::catalogue::{Entry, GrantKind};
use tonic::{Request, Response, Status};

use super::call::Call;
use super::caller::Permission;
use super::convert::credential::to_grant_type;
use super::convert::to_timestamp;
use super::gate::Gate;
use super::status::{ApiError, store_error};

/// Serves ProviderService.
#[derive(Clone)]
pub struct Providers {
    broker: Arc<Broker>,
    store: Arc<dyn Store>,
    providers: Arc<HttpProviders>,
    gate: Gate,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Providers").finish_non_exhaustive()
    }
}

impl Providers {
    /// A service that shows `providers` as `broker` and `store` see them.
    pub fn new(
        broker: Arc<Broker>,
        store: Arc<dyn Store>,
        providers: Arc<HttpProviders>,
        gate: Gate,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            broker,
            store,
            providers,
            gate,
            clock,
        }
    }

    async fn list(
        &self,
        call: &Call,
        request: v1::ListProvidersRequest,
    ) -> Result<v1::ListProvidersResponse, ApiError> {
        call.tenants(Permission::CredentialRead)?;
        let only = match request.provider.as_str() {
            "" => None,
            name => Some(self.entry(name)?.name.clone()),
        };
        let standings = self.store.clients().await;
        let standings: BTreeMap<_, _> = standings
            .map_err(|error| store_error(&error))?
            .into_iter()
            .map(|standing| (standing.client.clone(), standing))
            .collect();
        let entries = self.providers.catalogue().iter();
        let providers = entries
            .filter(|entry| only.as_ref().is_none_or(|only| *only == entry.name))
            .map(|entry| self.show(entry, &standings))
            .collect();
        Ok(v1::ListProvidersResponse { providers })
    }

    fn show(&self, entry: &Entry, standings: &BTreeMap<ClientKey, ClientStanding>) -> v1::Provider {
        let clients = self.providers.clients();
        let clients = clients.filter(|client| client.provider == entry.name);
        let grant_types = self.providers.grant_types(entry).into_iter();
        let has = |kind| entry.grant_types.contains(&kind);
        v1::Provider {
            browser_consent: has(GrantKind::AuthorizationCode) && entry.authorize_url.is_some(),
            device_consent: has(GrantKind::DeviceCode) && entry.device_url.is_some(),
            name: entry.name.to_string(),
            grant_types: grant_types.map(|one| to_grant_type(one).into()).collect(),
            clients: clients
                .map(|client| self.show_client(client, standings.get(client)))
                .collect(),
        }
    }

    fn show_client(
        &self,
        client: &ClientKey,
        standing: Option<&ClientStanding>,
    ) -> v1::ProviderClient {
        let health = standing.and_then(|standing| standing.health.as_ref());
        let rejected_at = health.and_then(|health| health.rejected_at);
        let breaker = match self.broker.breaker_state(client) {
            BreakerState::Closed => v1::BreakerState::Closed,
            BreakerState::HalfOpen => v1::BreakerState::HalfOpen,
            BreakerState::Open => v1::BreakerState::Open,
        };
        v1::ProviderClient {
            name: client.client.to_string(),
            breaker: breaker.into(),
            last_rejected_at: rejected_at.map(to_timestamp),
            last_rejection_code: health
                .map_or_else(String::new, |health| health.provider_error.clone()),
            brake: standing.and_then(to_brake),
            budget: Some(self.budget(client)),
        }
    }

    fn budget(&self, client: &ClientKey) -> v1::Budget {
        let usage = self.broker.budget(client);
        let throttled = usage.throttled_for;
        v1::Budget {
            concurrent: small(usage.concurrent),
            in_use: small(usage.in_use),
            waiting: small(usage.waiting),
            per_minute: usage.per_minute.unwrap_or(0),
            used_last_minute: small(usage.used_last_minute),
            throttled_until: throttled.map(|left| to_timestamp(self.clock.now().plus(left))),
        }
    }

    async fn release(
        &self,
        call: &Call,
        request: v1::ReleaseBrakeRequest,
    ) -> Result<v1::ReleaseBrakeResponse, ApiError> {
        call.require(Permission::Admin, None)?;
        let v1::ReleaseBrakeRequest {
            provider,
            client,
            verdict,
        } = request;
        let provider = self.entry(&provider)?.name.clone();
        let client = self.client(provider, &client).await?;
        call.concerns(&client);
        let verdict = match v1::BrakeVerdict::try_from(verdict) {
            Ok(v1::BrakeVerdict::Retry) => Verdict::Retry,
            Ok(v1::BrakeVerdict::Invalidate) => Verdict::Invalidate,
            Ok(v1::BrakeVerdict::Unspecified) | Err(_) => {
                return Err(ApiError::invalid("verdict", "must be RETRY or INVALIDATE"));
            }
        };
        let released = self.broker.release_brake(&client, verdict).await;
        let released = released.map_err(|error| store_error(&error))?;
        Ok(v1::ReleaseBrakeResponse {
            was_engaged: released.is_some(),
            grants: released.unwrap_or(0),
        })
    }

    /// A client that is named need not be configured any more, as long as what it left behind is held.
    async fn client(&self, provider: ProviderName, client: &str) -> Result<ClientKey, ApiError> {
        if client.is_empty() {
            let only = self.providers.resolve_client(&provider, None);
            return only.map_err(|error| unknown(&error, "client"));
        }
        let client = ClientName::parse(client)
            .map_err(|why| ApiError::invalid("client", why.to_string()))?;
        let key = ClientKey { provider, client };
        if self.providers.clients().any(|known| *known == key) {
            return Ok(key);
        }
        let standings = self.store.clients().await;
        let mut standings = standings
            .map_err(|error| store_error(&error))?
            .into_iter()
            .filter(|standing| standing.brake.is_some() || standing.held > 0);
        if standings.any(|standing| standing.client == key) {
            return Ok(key);
        }
        Err(self.unknown_client(&key))
    }

    fn unknown_client(&self, key: &ClientKey) -> ApiError {
        let clients = self.providers.clients();
        let of_provider = clients.filter(|known| known.provider == key.provider);
        let known = of_provider.map(|known| known.client.to_string()).collect();
        let unknown = UnknownClient::Client {
            provider: key.provider.to_string(),
            client: key.client.to_string(),
        };
        let hint = did_you_mean(key.client.as_str(), known);
        let why = format!("{unknown}, and nothing of it is held{hint}");
        ApiError::new(ErrorReason::UnknownClient, why).about("client")
    }

    fn entry(&self, name: &str) -> Result<&Entry, ApiError> {
        let found = ProviderName::parse(name)
            .ok()
            .and_then(|name| self.providers.catalogue().get(&name));
        found.map(|entry| &**entry).ok_or_else(|| {
            let error = UnknownClient::Provider(name.to_owned());
            unknown(&error, "provider")
        })
    }
}

#[tonic::async_trait]
impl ProviderService for Providers {
    async fn list_providers(
        &self,
        request: Request<v1::ListProvidersRequest>,
    ) -> Result<Response<v1::ListProvidersResponse>, Status> {
        let work = async |call: Call, message| self.list(&call, message).await;
        self.gate.serve("ListProviders", request, work).await
    }

    async fn release_brake(
        &self,
        request: Request<v1::ReleaseBrakeRequest>,
    ) -> Result<Response<v1::ReleaseBrakeResponse>, Status> {
        let work = async |call: Call, message| self.release(&call, message).await;
        self.gate.serve("ReleaseBrake", request, work).await
    }
}

fn to_brake(standing: &ClientStanding) -> Option<v1::Brake> {
    let brake = standing.brake.as_ref()?;
    Some(v1::Brake {
        engaged_at: Some(to_timestamp(brake.since)),
        refused: brake.refused,
        refreshed: brake.refreshed,
        provider_error: brake.provider_error.clone(),
        held: standing.held,
    })
}

fn unknown(error: &UnknownClient, field: &str) -> ApiError {
    let reason = match error {
        UnknownClient::Provider(_) => ErrorReason::UnknownProvider,
        UnknownClient::Client { .. } | UnknownClient::Unnamed { .. } => ErrorReason::UnknownClient,
    };
    ApiError::new(reason, error.to_string()).about(field)
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
