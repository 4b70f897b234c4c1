//! Providers and their OAuth clients as a server sees them.

use evergrant_proto::v1::provider_service_client::ProviderServiceClient;
use evergrant_proto::v1::{
    Brake, BreakerState, Budget, GrantType, ListProvidersRequest, Provider, ProviderClient,
};
use serde::Serialize;

use super::connection::Server;
use super::exit::Failure;
use super::output::{Printable, Table};
use super::wire::{name_of, rfc3339, short};

/// All providers of a server, named as in `provider_service.proto`.
#[derive(Debug, Serialize)]
pub struct StandingList {
    providers: Vec<ProviderView>,
}

#[derive(Debug, Serialize)]
struct ProviderView {
    name: String,
    grant_types: Vec<String>,
    browser_consent: bool,
    device_consent: bool,
    clients: Vec<ClientView>,
}

#[derive(Debug, Serialize)]
struct ClientView {
    name: String,
    breaker: String,
    last_rejected_at: Option<String>,
    last_rejection_code: String,
    brake: Option<BrakeView>,
    budget: Option<BudgetView>,
}

#[derive(Debug, Serialize)]
struct BrakeView {
    engaged_at: Option<String>,
    refused: u64,
    refreshed: u64,
    provider_error: String,
    held: u64,
}

#[derive(Debug, Serialize)]
struct BudgetView {
    concurrent: u32,
    in_use: u32,
    waiting: u32,
    per_minute: u32,
    used_last_minute: u32,
    throttled_until: Option<String>,
}

impl StandingList {
    /// Asks the server.
    pub async fn ask(server: &Server) -> Result<Self, Failure> {
        let mut service = ProviderServiceClient::new(server.connect().await?);
        let response = service
            .list_providers(ListProvidersRequest::default())
            .await?;
        let providers = response.into_inner().providers.into_iter();
        Ok(Self {
            providers: providers.map(ProviderView::from).collect(),
        })
    }
}

impl From<Provider> for ProviderView {
    fn from(wire: Provider) -> Self {
        let Provider {
            name,
            grant_types,
            clients,
            browser_consent,
            device_consent,
        } = wire;
        let grant_types = grant_types.into_iter();
        Self {
            name,
            grant_types: grant_types
                .map(|number| name_of(number, GrantType::as_str_name))
                .collect(),
            browser_consent,
            device_consent,
            clients: clients.into_iter().map(ClientView::from).collect(),
        }
    }
}

impl From<ProviderClient> for ClientView {
    fn from(wire: ProviderClient) -> Self {
        let ProviderClient {
            name,
            breaker,
            last_rejected_at,
            last_rejection_code,
            brake,
            budget,
        } = wire;
        Self {
            name,
            breaker: name_of(breaker, BreakerState::as_str_name),
            last_rejected_at: rfc3339(last_rejected_at),
            last_rejection_code,
            brake: brake.map(BrakeView::from),
            budget: budget.map(BudgetView::from),
        }
    }
}

impl From<Brake> for BrakeView {
    fn from(wire: Brake) -> Self {
        let Brake {
            engaged_at,
            refused,
            refreshed,
            provider_error,
            held,
        } = wire;
        Self {
            engaged_at: rfc3339(engaged_at),
            refused,
            refreshed,
            provider_error,
            held,
        }
    }
}

impl From<Budget> for BudgetView {
    fn from(wire: Budget) -> Self {
        let Budget {
            concurrent,
            in_use,
            waiting,
            per_minute,
            used_last_minute,
            throttled_until,
        } = wire;
        Self {
            concurrent,
            in_use,
            waiting,
            per_minute,
            used_last_minute,
            throttled_until: rfc3339(throttled_until),
        }
    }
}

impl Printable for StandingList {
    fn table(&self) -> Table {
        let mut table = Table::with_header(&[
            "PROVIDER",
            "GRANT TYPES",
            "CONSENT",
            "CLIENT",
            "BREAKER",
            "BRAKE",
            "REFRESHES",
            "LAST MINUTE",
            "LAST REJECTION",
        ]);
        for provider in &self.providers {
            let grant_types = provider.grant_types.iter();
            let grant_types: Vec<_> = grant_types.map(|name| short(name, "GRANT_TYPE_")).collect();
            let about = [
                provider.name.clone(),
                grant_types.join(","),
                provider.consent().to_owned(),
            ];
            if provider.clients.is_empty() {
                table.row(about.clone());
            }
            for client in &provider.clients {
                table.row(about.iter().cloned().chain(client.cells()));
            }
        }
        table
    }
}

impl ProviderView {
    fn consent(&self) -> &'static str {
        match (self.browser_consent, self.device_consent) {
            (true, true) => "browser,device",
            (true, false) => "browser",
            (false, true) => "device",
            (false, false) => "-",
        }
    }
}

impl ClientView {
    fn cells(&self) -> [String; 6] {
        let brake = match &self.brake {
            Some(brake) => format!("engaged, {} held", brake.held),
            None => "-".to_owned(),
        };
        let [refreshes, last_minute] = match &self.budget {
            Some(budget) => budget.cells(),
            None => Default::default(),
        };
        let rejection = [
            self.last_rejection_code.as_str(),
            self.last_rejected_at.as_deref().unwrap_or_default(),
        ];
        [
            self.name.clone(),
            short(&self.breaker, "BREAKER_STATE_"),
            brake,
            refreshes,
            last_minute,
            rejection.join(" ").trim().to_owned(),
        ]
    }
}

impl BudgetView {
    fn cells(&self) -> [String; 2] {
        let mut refreshes = format!("{}/{}", self.in_use, self.concurrent);
        if self.waiting > 0 {
            refreshes.push_str(&format!(" +{}", self.waiting));
        }
        let mut last_minute = match self.per_minute {
            0 => "-".to_owned(),
            most => format!("{}/{most}", self.used_last_minute),
        };
        if let Some(until) = &self.throttled_until {
            last_minute.push_str(&format!(", throttled until {until}"));
        }
        [refreshes, last_minute]
    }
}
