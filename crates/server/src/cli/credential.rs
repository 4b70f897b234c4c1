//! `evergrant credential`.

mod deleted;

use clap::{Args, Subcommand};
use evergrant_core::clock::Clock;
use evergrant_proto::v1::credential_service_client::CredentialServiceClient;
use evergrant_proto::v1::{
    CreateCredentialRequest, Credential as Wire, CredentialState, DeleteCredentialRequest,
    GetCredentialRequest, GrantType, InvalidateCredentialRequest, ListCredentialsRequest,
    ReconnectCredentialRequest, ReconnectCredentialResponse,
};
use jiff::Timestamp;
use serde::Serialize;

use self::deleted::DeletedView;
use super::connection::{Connection, Service};
use super::credential_view::{CredentialList, CredentialView};
use super::exit::Failure;
use super::integration_view::IntegrationView;
use super::material::MaterialFile;
use super::means::MeansFiles;
use super::output::{Out, Output, Printable, Table};
use super::wire::{full, parse_limit, parse_pair};

const PAGE_SIZE: usize = 1_000;

/// Arguments of `evergrant credential`.
#[derive(Debug, Args)]
pub struct Credential {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Store a new credential with its tokens, or with the means to mint them
    #[command(after_help = "\
Examples:
  evergrant credential create slack-7 --provider slack --token-response answer.json
  evergrant credential create shop-3 --provider shopify --placeholder shop=acme.myshopify.com --material tokens.json
  vault read -format=json … | evergrant credential create github-1 --provider github --grant-type static --material -
  evergrant credential create google-1 --provider google --grant-type jwt-bearer --signing-key service-account.json")]
    Create(Create),
    /// Show a credential
    Get {
        /// The credential
        credential: String,
    },
    /// List credentials by id
    List(List),
    /// Replace the grant of a credential after its user connected again
    Reconnect(Reconnect),
    /// Mark a credential dead, e.g. after an uninstall
    Invalidate(Invalidate),
    /// Forget a credential, and its grant when no other credential uses it
    Delete(Delete),
}

#[derive(Debug, Args)]
struct Create {
    /// The credential; the server chooses a name if there is none
    #[arg(default_value = "", hide_default_value = true)]
    credential: String,
    /// Provider in the catalogue
    #[arg(long)]
    provider: String,
    /// OAuth client in the server's configuration; not needed if the provider has only one
    #[arg(long, default_value = "", hide_default_value = true)]
    client: String,
    /// authorization-code, static, or one that is minted: client-credentials, jwt-bearer, token-exchange
    #[arg(long, default_value = "authorization-code", value_parser = grant_type, value_name = "TYPE")]
    grant_type: GrantType,
    /// Account at the provider; credentials with the same account share a grant if none loses a scope by it
    #[arg(long, default_value = "", hide_default_value = true)]
    account: String,
    /// A note of your own; may be given several times
    #[arg(long = "label", value_parser = parse_pair, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    material: MaterialFile,
    #[command(flatten)]
    means: MeansFiles,
}

#[derive(Debug, Args)]
struct List {
    /// Only in this state: active or invalidated
    #[arg(long, value_parser = state)]
    state: Option<CredentialState>,
    /// Only of this provider
    #[arg(long, default_value = "", hide_default_value = true)]
    provider: String,
    /// Only with this label; may be given several times
    #[arg(long = "label", value_parser = parse_pair, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    /// At most this many
    #[arg(long, value_parser = parse_limit, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
struct Reconnect {
    /// The credential
    credential: String,
    #[command(flatten)]
    material: MaterialFile,
    #[command(flatten)]
    means: MeansFiles,
    /// Account at the provider that was connected now
    #[arg(long, default_value = "", hide_default_value = true)]
    account: String,
    /// Accept another account than before
    #[arg(long)]
    allow_account_change: bool,
    /// Also resume integrations that their owner paused
    #[arg(long)]
    resume_paused: bool,
}

#[derive(Debug, Args)]
struct Invalidate {
    /// The credential
    credential: String,
    /// Why, for people
    #[arg(long, default_value = "", hide_default_value = true)]
    message: String,
    /// Only if the grant is still of this generation
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    generation: u64,
}

#[derive(Debug, Args)]
struct Delete {
    /// The credential
    credential: String,
    /// Have the provider revoke the grant first; if it fails, nothing is deleted.
    ///
    /// A grant that other credentials use is not revoked, and neither is one whose provider has no way to. The
    /// credential is deleted all the same, and the last line says what became of the grant, why, and what is left to do.
    #[arg(long)]
    revoke: bool,
}

impl Credential {
    /// Does what was asked.
    pub async fn run(self, clock: &dyn Clock, out: Out<'_>) -> Result<(), Failure> {
        let Self {
            connection,
            output,
            verb,
        } = self;
        let tenant_id = connection.tenant.clone();
        match verb {
            Verb::Create(create) => {
                let request = create.request(tenant_id, now(clock)?)?;
                let mut client = connect(&connection).await?;
                let answer = client.create_credential(request).await?.into_inner();
                output.print(out, &view(answer.credential)?)?;
            }
            Verb::Get { credential } => {
                let request = GetCredentialRequest {
                    tenant_id,
                    credential_id: credential,
                };
                let mut client = connect(&connection).await?;
                let answer = client.get_credential(request).await?.into_inner();
                output.print(out, &view(answer.credential)?)?;
            }
            Verb::List(list) => {
                let credentials = list.run(connect(&connection).await?, tenant_id).await?;
                output.print(out, &CredentialList { credentials })?;
            }
            Verb::Reconnect(reconnect) => {
                let request = reconnect.request(tenant_id, now(clock)?)?;
                let mut client = connect(&connection).await?;
                let answer = client.reconnect_credential(request).await?.into_inner();
                output.print(out, &ReconnectView::new(answer)?)?;
            }
            Verb::Invalidate(invalidate) => {
                let request = InvalidateCredentialRequest {
                    tenant_id,
                    credential_id: invalidate.credential,
                    message: invalidate.message,
                    generation: invalidate.generation,
                };
                let mut client = connect(&connection).await?;
                let answer = client.invalidate_credential(request).await?.into_inner();
                output.print(out, &view(answer.credential)?)?;
            }
            Verb::Delete(delete) => {
                let request = DeleteCredentialRequest {
                    tenant_id,
                    credential_id: delete.credential.clone(),
                    revoke_at_provider: delete.revoke,
                };
                let mut client = connect(&connection).await?;
                let answer = client.delete_credential(request).await?.into_inner();
                let deleted = DeletedView::new(delete.credential, delete.revoke, answer);
                output.print(out, &deleted)?;
            }
        }
        Ok(())
    }
}

type Client = CredentialServiceClient<Service>;

async fn connect(connection: &Connection) -> Result<Client, Failure> {
    Ok(CredentialServiceClient::new(connection.connect().await?))
}

fn view(credential: Option<Wire>) -> Result<CredentialView, Failure> {
    let none = || Failure::Other("the server's answer holds no credential".into());
    credential.map(Into::into).ok_or_else(none)
}

fn now(clock: &dyn Clock) -> Result<Timestamp, Failure> {
    let millis = clock.now().as_millis();
    Timestamp::from_millisecond(millis)
        .map_err(|error| Failure::Other(format!("the clock of this machine is wrong: {error}")))
}

impl Create {
    fn request(
        self,
        tenant_id: String,
        now: Timestamp,
    ) -> Result<CreateCredentialRequest, Failure> {
        let file = &self.material;
        let mut material = self.means.add_to(file, || file.read(now))?;
        if is_minted(self.grant_type) {
            // The configured client may be all that is needed.
            material.get_or_insert_default();
        }
        Ok(CreateCredentialRequest {
            material,
            credential: Some(Wire {
                tenant_id,
                credential_id: self.credential,
                provider: self.provider,
                client: self.client,
                grant_type: self.grant_type.into(),
                provider_account: self.account,
                labels: self.labels.into_iter().collect(),
                ..Default::default()
            }),
        })
    }
}

impl Reconnect {
    fn request(
        self,
        tenant_id: String,
        now: Timestamp,
    ) -> Result<ReconnectCredentialRequest, Failure> {
        let file = &self.material;
        Ok(ReconnectCredentialRequest {
            tenant_id,
            material: self.means.add_to(file, || file.read(now))?,
            credential_id: self.credential,
            provider_account: self.account,
            allow_account_change: self.allow_account_change,
            resume_paused: self.resume_paused,
        })
    }
}

impl List {
    async fn run(
        self,
        mut client: Client,
        tenant_id: String,
    ) -> Result<Vec<CredentialView>, Failure> {
        let limit = self.limit.unwrap_or(usize::MAX);
        let mut request = ListCredentialsRequest {
            tenant_id,
            page_size: i32::try_from(limit.clamp(1, PAGE_SIZE)).expect("a page is at most 1,000"),
            page_token: String::new(),
            state: self.state.unwrap_or_default().into(),
            provider: self.provider,
            labels: self.labels.into_iter().collect(),
        };
        let mut credentials = Vec::new();
        loop {
            let page = client.list_credentials(request.clone()).await?.into_inner();
            credentials.extend(page.credentials.into_iter().map(CredentialView::from));
            if page.next_page_token.is_empty() || credentials.len() >= limit {
                credentials.truncate(limit);
                return Ok(credentials);
            }
            request.page_token = page.next_page_token;
        }
    }
}

#[derive(Serialize)]
struct ReconnectView {
    credential: CredentialView,
    integrations: Vec<IntegrationView>,
}

impl ReconnectView {
    fn new(answer: ReconnectCredentialResponse) -> Result<Self, Failure> {
        let ReconnectCredentialResponse {
            credential,
            integrations,
        } = answer;
        Ok(Self {
            credential: view(credential)?,
            integrations: integrations.into_iter().map(Into::into).collect(),
        })
    }
}

impl Printable for ReconnectView {
    fn table(&self) -> Table {
        let mut table = self.credential.table();
        for integration in &self.integrations {
            let (id, status) = (&integration.integration_id, integration.short_status());
            table.field("integration", format!("{id} is {status} now"));
        }
        table
    }
}

fn grant_type(text: &str) -> Result<GrantType, String> {
    GrantType::from_str_name(&full(text, "GRANT_TYPE_"))
        .filter(|found| *found != GrantType::Unspecified)
        .ok_or_else(|| {
            "write authorization-code, static, client-credentials, jwt-bearer or token-exchange"
                .into()
        })
}

fn is_minted(grant_type: GrantType) -> bool {
    match grant_type {
        GrantType::ClientCredentials | GrantType::JwtBearer | GrantType::TokenExchange => true,
        GrantType::Unspecified | GrantType::AuthorizationCode | GrantType::Static => false,
    }
}

fn state(text: &str) -> Result<CredentialState, String> {
    CredentialState::from_str_name(&full(text, "CREDENTIAL_STATE_"))
        .filter(|found| *found != CredentialState::Unspecified)
        .ok_or_else(|| "write active or invalidated".into())
}
