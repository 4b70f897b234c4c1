//! `evergrant provider`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use evergrant_core::grant::GrantType;
use evergrant_core::ids::ProviderName;
use evergrant_core::provider::Rotation;
use evergrant_proto::v1::provider_service_client::ProviderServiceClient;
use evergrant_proto::v1::{BrakeVerdict, ReleaseBrakeRequest};
use evergrant_providers::Catalogue;
use evergrant_providers::catalogue::{ClientAuth, Entry, UrlTemplate};
use serde::Serialize;

use super::connection::Connection;
use super::exit::Failure;
use super::output::{Out, Output, Printable, Table};
use super::provider_standing::StandingList;
use super::settings::ConfigFile;
use crate::config::duration;

/// Arguments of `evergrant provider`.
#[derive(Debug, Args)]
pub struct Provider {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the providers, those in providers.dir included; of a server, also how its OAuth clients stand
    #[command(after_help = "\
Examples:
  evergrant provider list                                    # the catalogue; asks no server
  evergrant provider list --server http://127.0.0.1:7070     # the server's, with its clients")]
    List {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show what is known of a provider
    Show {
        /// The provider
        provider: String,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Decide about the grants that are held because the provider refuses too many at once
    #[command(after_help = "\
Examples:
  evergrant provider release slack --retry         # the provider was wrong: try them again
  evergrant provider release slack --invalidate    # it was right: they are dead, tell it")]
    Release {
        /// The provider
        provider: String,
        /// The OAuth client; the provider's only one if there is none
        #[arg(long, default_value = "", hide_default_value = true)]
        client: String,
        #[command(flatten)]
        verdict: Verdict,
        #[command(flatten)]
        connection: Connection,
    },
    /// Say whether a catalogue entry is sound, or every mistake in it and where
    Check {
        /// The entry, a TOML file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Verdict {
    /// Try the held grants again, within half a minute
    #[arg(long)]
    retry: bool,
    /// Invalidate the held grants, and tell it
    #[arg(long)]
    invalidate: bool,
}

impl Provider {
    /// Does what was asked.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        match self.verb {
            Verb::List {
                output, connection, ..
            } if connection.is_given() => {
                output.print(out, &StandingList::ask(&connection).await?)?;
            }
            Verb::Release {
                provider,
                client,
                verdict,
                connection,
            } => {
                let Verdict {
                    retry: _,
                    invalidate,
                } = verdict;
                let (verdict, done) = match invalidate {
                    true => (BrakeVerdict::Invalidate, "are invalidated"),
                    false => (BrakeVerdict::Retry, "are tried again"),
                };
                let request = ReleaseBrakeRequest {
                    provider,
                    client,
                    verdict: verdict.into(),
                };
                let mut service = ProviderServiceClient::new(connection.connect().await?);
                let response = service.release_brake(request).await?.into_inner();
                match response.was_engaged {
                    true => writeln!(out, "{} grants {done}", response.grants)?,
                    false => writeln!(out, "nothing is held")?,
                }
            }
            Verb::List { output, config, .. } => {
                let catalogue = config.load()?.catalogue()?;
                let providers = catalogue
                    .iter()
                    .map(|entry| EntryView::new(entry))
                    .collect();
                output.print(out, &EntryList { providers })?;
            }
            Verb::Show {
                provider,
                output,
                config,
            } => {
                let catalogue = config.load()?.catalogue()?;
                let entry = ProviderName::parse(&provider)
                    .ok()
                    .and_then(|name| catalogue.get(&name).cloned())
                    .ok_or_else(|| {
                        Failure::Other(format!("provider {provider:?} is not in the catalogue"))
                    })?;
                output.print(out, &EntryView::new(&entry))?;
            }
            Verb::Check { file } => {
                let shown = file.display();
                let text = std::fs::read_to_string(&file)
                    .map_err(|error| Failure::Usage(format!("{shown} cannot be read: {error}")))?;
                let problems = Catalogue::check(&text);
                for problem in &problems {
                    writeln!(out, "{shown}: {problem}")?;
                }
                match problems.len() {
                    0 => writeln!(out, "ok")?,
                    1 => return Err(Failure::Other(format!("{shown} has a mistake"))),
                    many => return Err(Failure::Other(format!("{shown} has {many} mistakes"))),
                }
            }
        }
        Ok(())
    }
}

/// The essentials of a catalogue entry, named as in the entry.
#[derive(Debug, Serialize)]
struct EntryView {
    name: String,
    token_url: String,
    refresh_url: Option<String>,
    authorize_url: Option<String>,
    revoke_url: Option<String>,
    client_auth: &'static str,
    grant_types: Vec<&'static str>,
    renewable: bool,
    rotation: RotationView,
    lifetime: LifetimeView,
    sources: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RotationView {
    mode: &'static str,
    grace: Option<String>,
}

#[derive(Debug, Serialize)]
struct LifetimeView {
    access_token: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Debug, Serialize)]
struct EntryList {
    providers: Vec<EntryView>,
}

impl EntryView {
    fn new(entry: &Entry) -> Self {
        let url = |url: &Option<UrlTemplate>| url.as_ref().map(ToString::to_string);
        let shown = |time: Option<Duration>| time.map(duration::display);
        Self {
            name: entry.name.to_string(),
            token_url: entry.token_url.to_string(),
            refresh_url: url(&entry.refresh_url),
            authorize_url: url(&entry.authorize_url),
            revoke_url: url(&entry.revoke_url),
            client_auth: client_auth(entry.request.client_auth),
            grant_types: entry.grant_types.iter().copied().map(grant_type).collect(),
            renewable: entry.renewable,
            rotation: rotation(entry.rotation),
            lifetime: LifetimeView {
                access_token: shown(entry.lifetime.access_token),
                refresh_token: shown(entry.lifetime.refresh_token),
            },
            sources: entry.sources.clone(),
        }
    }

    fn rotation_in_words(&self) -> String {
        match &self.rotation {
            RotationView { mode, grace: None } => (*mode).to_owned(),
            RotationView {
                mode,
                grace: Some(grace),
            } => format!("{mode} {grace}"),
        }
    }
}

fn client_auth(auth: ClientAuth) -> &'static str {
    match auth {
        ClientAuth::Body => "body",
        ClientAuth::Basic => "basic",
        ClientAuth::BasicRaw => "basic_raw",
        ClientAuth::None => "none",
        ClientAuth::BearerRefreshToken => "bearer_refresh_token",
    }
}

fn grant_type(grant_type: GrantType) -> &'static str {
    match grant_type {
        GrantType::AuthorizationCode => "authorization_code",
        GrantType::ClientCredentials => "client_credentials",
        GrantType::JwtBearer => "jwt_bearer",
        GrantType::Static => "static",
    }
}

fn rotation(rotation: Rotation) -> RotationView {
    let (mode, grace) = match rotation {
        Rotation::None => ("none", None),
        Rotation::Rotates => ("rotates", None),
        Rotation::SingleUse => ("single_use", None),
        Rotation::Grace(grace) => ("grace", Some(duration::display(grace))),
    };
    RotationView { mode, grace }
}

impl Printable for EntryView {
    fn table(&self) -> Table {
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut table = Table::default();
        table.field("provider", &self.name);
        table.field("token url", &self.token_url);
        table.field("refresh url", or_nothing(&self.refresh_url));
        table.field("authorize url", or_nothing(&self.authorize_url));
        table.field("revoke url", or_nothing(&self.revoke_url));
        table.field("client auth", self.client_auth);
        table.field("grant types", self.grant_types.join(", "));
        table.field("renewable", if self.renewable { "yes" } else { "no" });
        table.field("rotation", self.rotation_in_words());
        table.field("access token", or_nothing(&self.lifetime.access_token));
        table.field("refresh token", or_nothing(&self.lifetime.refresh_token));
        for source in &self.sources {
            table.field("source", source);
        }
        table
    }
}

impl Printable for EntryList {
    fn table(&self) -> Table {
        let mut table = Table::with_header(&["PROVIDER", "ROTATION", "CLIENT AUTH", "TOKEN URL"]);
        for entry in &self.providers {
            table.row([
                entry.name.clone(),
                entry.rotation_in_words(),
                entry.client_auth.to_owned(),
                entry.token_url.clone(),
            ]);
        }
        table
    }
}
