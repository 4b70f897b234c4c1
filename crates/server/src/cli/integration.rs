//! `evergrant integration`.

use clap::{Args, Subcommand};
use evergrant_proto::v1::integration_service_client::IntegrationServiceClient;
use evergrant_proto::v1::{
    CreateIntegrationRequest, DeleteIntegrationRequest, GetIntegrationRequest, Integration as Wire,
    IntegrationStatus, ListIntegrationsRequest, UpdateIntegrationRequest,
};
use prost_types::FieldMask;
use serde::Serialize;

use super::connection::{Connection, Service};
use super::exit::Failure;
use super::integration_view::{IntegrationList, IntegrationView};
use super::output::{Out, Output, Printable, Table};
use super::wire::{full, parse_pair};

const PAGE_SIZE: i32 = 1_000;

/// Arguments of `evergrant integration`.
#[derive(Debug, Args)]
pub struct Integration {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Register an integration and the credentials that it needs
    #[command(after_help = "\
Example:
  evergrant integration create crm-sync --credential salesforce-1 --credential slack-7")]
    Create(Create),
    /// Show an integration
    Get {
        /// The integration
        integration: String,
    },
    /// List integrations by id
    List(List),
    /// Change what is given and nothing else
    #[command(after_help = "\
Examples:
  evergrant integration update crm-sync --paused true
  evergrant integration update crm-sync --credential slack-8 --etag 3")]
    Update(Update),
    /// Forget an integration
    Delete {
        /// The integration
        integration: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// The integration; the server chooses a name if there is none
    #[arg(default_value = "", hide_default_value = true)]
    integration: String,
    /// A credential that it needs; may be given several times
    #[arg(long = "credential", value_name = "CREDENTIAL")]
    credentials: Vec<String>,
    /// A note of your own; may be given several times
    #[arg(long = "label", value_parser = parse_pair, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    /// Begin switched off
    #[arg(long)]
    paused: bool,
    /// Begin without required configuration
    #[arg(long)]
    needs_config: bool,
}

#[derive(Debug, Args)]
struct List {
    /// Only in this status: enabled, disabled, error, processing or needs-config
    #[arg(long, value_parser = status)]
    status: Option<IntegrationStatus>,
    /// Only those that need this credential
    #[arg(long, default_value = "", hide_default_value = true)]
    credential: String,
}

#[derive(Debug, Args)]
struct Update {
    /// The integration
    integration: String,
    /// Switch it off or on
    #[arg(long, value_name = "true|false")]
    paused: Option<bool>,
    /// Whether required configuration is missing
    #[arg(long, value_name = "true|false")]
    needs_config: Option<bool>,
    /// Whether a run is in progress
    #[arg(long, value_name = "true|false")]
    processing: Option<bool>,
    /// A credential that it needs, in place of all before; may be given several times
    #[arg(long = "credential", value_name = "CREDENTIAL")]
    credentials: Option<Vec<String>>,
    /// A note of your own, in place of all before; may be given several times
    #[arg(long = "label", value_parser = parse_pair, value_name = "KEY=VALUE")]
    labels: Option<Vec<(String, String)>>,
    /// Only if it was not changed since it was read with this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Integration {
    /// Does what was asked.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        let Self {
            connection,
            output,
            verb,
        } = self;
        let tenant_id = connection.tenant.clone();
        match verb {
            Verb::Create(create) => {
                let mut client = connect(&connection).await?;
                let request = create.request(tenant_id);
                let answer = client.create_integration(request).await?.into_inner();
                output.print(out, &view(answer.integration)?)?;
            }
            Verb::Get { integration } => {
                let mut client = connect(&connection).await?;
                let request = GetIntegrationRequest {
                    tenant_id,
                    integration_id: integration,
                };
                let answer = client.get_integration(request).await?.into_inner();
                output.print(out, &view(answer.integration)?)?;
            }
            Verb::List(list) => {
                let integrations = list.run(connect(&connection).await?, tenant_id).await?;
                output.print(out, &IntegrationList { integrations })?;
            }
            Verb::Update(update) => {
                let request = update.request(tenant_id)?;
                let mut client = connect(&connection).await?;
                let answer = client.update_integration(request).await?.into_inner();
                output.print(out, &view(answer.integration)?)?;
            }
            Verb::Delete { integration } => {
                let mut client = connect(&connection).await?;
                let request = DeleteIntegrationRequest {
                    tenant_id,
                    integration_id: integration.clone(),
                };
                client.delete_integration(request).await?;
                let deleted = DeletedView {
                    integration_id: integration,
                };
                output.print(out, &deleted)?;
            }
        }
        Ok(())
    }
}

type Client = IntegrationServiceClient<Service>;

async fn connect(connection: &Connection) -> Result<Client, Failure> {
    Ok(IntegrationServiceClient::new(connection.connect().await?))
}

fn view(integration: Option<Wire>) -> Result<IntegrationView, Failure> {
    let none = || Failure::Other("the server's answer holds no integration".into());
    integration.map(Into::into).ok_or_else(none)
}

impl Create {
    fn request(self, tenant_id: String) -> CreateIntegrationRequest {
        CreateIntegrationRequest {
            integration: Some(Wire {
                tenant_id,
                integration_id: self.integration,
                credential_ids: self.credentials,
                paused: self.paused,
                needs_config: self.needs_config,
                labels: self.labels.into_iter().collect(),
                ..Default::default()
            }),
        }
    }
}

impl List {
    async fn run(
        self,
        mut client: Client,
        tenant_id: String,
    ) -> Result<Vec<IntegrationView>, Failure> {
        let mut request = ListIntegrationsRequest {
            tenant_id,
            page_size: PAGE_SIZE,
            page_token: String::new(),
            status: self.status.unwrap_or_default().into(),
            credential_id: self.credential,
        };
        let mut integrations = Vec::new();
        loop {
            let page = client
                .list_integrations(request.clone())
                .await?
                .into_inner();
            integrations.extend(page.integrations.into_iter().map(IntegrationView::from));
            if page.next_page_token.is_empty() {
                return Ok(integrations);
            }
            request.page_token = page.next_page_token;
        }
    }
}

impl Update {
    /// The mask names what was given, so that nothing else is touched.
    fn request(self, tenant_id: String) -> Result<UpdateIntegrationRequest, Failure> {
        let given = [
            ("paused", self.paused.is_some()),
            ("needs_config", self.needs_config.is_some()),
            ("processing", self.processing.is_some()),
            ("credential_ids", self.credentials.is_some()),
            ("labels", self.labels.is_some()),
        ];
        let paths: Vec<_> = given
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(path, _)| path.to_owned())
            .collect();
        if paths.is_empty() {
            let why = "give at least one of --paused, --needs-config, --processing, --credential, --label";
            return Err(Failure::Usage(why.into()));
        }
        Ok(UpdateIntegrationRequest {
            update_mask: Some(FieldMask { paths }),
            integration: Some(Wire {
                tenant_id,
                integration_id: self.integration,
                credential_ids: self.credentials.unwrap_or_default(),
                paused: self.paused.unwrap_or_default(),
                needs_config: self.needs_config.unwrap_or_default(),
                processing: self.processing.unwrap_or_default(),
                labels: self.labels.unwrap_or_default().into_iter().collect(),
                etag: self.etag,
                ..Default::default()
            }),
        })
    }
}

#[derive(Serialize)]
struct DeletedView {
    integration_id: String,
}

impl Printable for DeletedView {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field("deleted", &self.integration_id);
        table
    }
}

fn status(text: &str) -> Result<IntegrationStatus, String> {
    IntegrationStatus::from_str_name(&full(text, "INTEGRATION_STATUS_"))
        .filter(|found| *found != IntegrationStatus::Unspecified)
        .ok_or_else(|| "write enabled, disabled, error, processing or needs-config".into())
}
