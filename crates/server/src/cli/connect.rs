//! `evergrant connect`: a user's consent with the browser of this machine (RFC 8252).

mod browser;
mod device;
mod landing;

use std::time::Duration;

use axum::http::StatusCode;
use clap::Args;
use evergrant_proto::v1::credential_service_client::CredentialServiceClient;
use evergrant_proto::v1::{
    BeginAuthorizationRequest, BeginAuthorizationResponse, CompleteAuthorizationRequest,
    CompleteAuthorizationResponse, Credential as Wire,
};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::landing::{Landing, Visit};
use super::connection::{Connection, Service, parse_duration};
use super::credential_view::CredentialView;
use super::exit::Failure;
use super::output::{Out, Output, Printable, Table};
use super::status_line::status_line;
use super::wire::parse_pair;
use crate::page::Page;

/// What the server is told of a consent that nobody finishes, so that its state is spent.
const ABANDONED: &str = "abandoned";
const ABANDON_WITHIN: Duration = Duration::from_secs(2);

/// Arguments of `evergrant connect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evergrant connect google --scope openid --scope https://www.googleapis.com/auth/drive
  evergrant connect slack --credential slack-7 --scope chat:write   # connects slack-7 again
  evergrant connect shopify --placeholder shop=my-shop.myshopify.com   # whose host is in the URLs
  evergrant connect github --device                                 # the user enters a code elsewhere

A consent takes no scope from another credential of the same account: with fewer scopes it gets a
grant of its own. A few providers end the older grant then, and the other credential is found dead:
there ask for all scopes each time, or use another client.

The client needs a redirect URI on this machine: http://127.0.0.1/callback among its redirect_uris
in the server's configuration and at the provider. Where the provider compares ports, register one
and give it with --port.")]
pub struct Connect {
    /// Provider in the catalogue
    provider: String,
    /// OAuth client in the server's configuration; not needed if the provider has only one
    #[arg(long, default_value = "", hide_default_value = true)]
    client: String,
    /// Name of the credential; one that is there is connected again. The server chooses a name if there is none
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    credential: String,
    /// A scope to ask for; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A note of your own on a new credential; may be given several times
    #[arg(long = "label", value_parser = parse_pair, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    /// A further parameter for the provider, e.g. login_hint; may be given several times
    #[arg(long = "parameter", value_parser = parse_pair, value_name = "KEY=VALUE")]
    parameters: Vec<(String, String)>,
    /// A value that the provider's URLs need, e.g. shop; may be given several times
    #[arg(long = "placeholder", value_parser = parse_pair, value_name = "KEY=VALUE")]
    placeholders: Vec<(String, String)>,
    /// Accept another account than before
    #[arg(long)]
    allow_account_change: bool,
    /// Print the address and open no browser
    #[arg(long)]
    no_browser: bool,
    /// Port of the redirect URI on this machine; 0 takes any free one
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Have the user enter a code on another device, where the provider can (RFC 8628)
    #[arg(long, conflicts_with_all = ["no_browser", "port", "parameters"])]
    device: bool,
    /// How long to wait for the user
    #[arg(long, default_value = "10m", value_parser = parse_duration, value_name = "DURATION")]
    wait: Duration,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

type Client = CredentialServiceClient<Service>;

impl Connect {
    /// Does what was asked. Interrupted, it leaves nothing behind.
    pub async fn run(self, out: Out<'_>, notes: Out<'_>) -> Result<(), Failure> {
        let mut client = CredentialServiceClient::new(self.connection.connect().await?);
        let completed = match self.device {
            true => self.elsewhere(&mut client, notes).await?,
            false => self.here(&mut client, notes).await?,
        };
        Ok(self.output.print(out, &ConnectView::new(completed)?)?)
    }

    /// The user enters a code on another device.
    async fn elsewhere(
        &self,
        client: &mut Client,
        notes: Out<'_>,
    ) -> Result<CompleteAuthorizationResponse, Failure> {
        let (scopes, placeholders) = (self.scopes.clone(), self.placeholders.iter().cloned());
        let request = device::request(
            self.credential(),
            scopes,
            placeholders,
            self.allow_account_change,
        );
        let begun = client
            .begin_device_authorization(request)
            .await
            .map_err(|status| self.refused(status))?
            .into_inner();
        device::explain(&begun, notes)?;
        tokio::select! {
            completed = device::complete(client, &begun) => completed,
            failure = self.nobody_came() => Err(failure),
        }
    }

    /// The user's browser comes back to this machine.
    async fn here(
        &self,
        client: &mut Client,
        notes: Out<'_>,
    ) -> Result<CompleteAuthorizationResponse, Failure> {
        let mut landing = Landing::open(self.port).await?;
        let begun = self.begin(client, landing.port()).await?;

        let url = &begun.authorization_url;
        writeln!(
            notes,
            "To connect, open this address in a browser:\n\n  {url}\n"
        )?;
        notes.flush()?;
        if !self.no_browser && browser::open(url) {
            writeln!(notes, "(it was opened in your browser)")?;
        }

        let mut waiter = client.clone();
        let completed = tokio::select! {
            completed = complete(&mut waiter, &mut landing, &begun.state) => completed,
            failure = self.nobody_came() => {
                abandon(client, &begun.state).await;
                Err(failure)
            }
        };
        landing.close().await;
        completed
    }

    /// Ends when the user has had enough time, or is interrupted.
    async fn nobody_came(&self) -> Failure {
        tokio::select! {
            () = tokio::time::sleep(self.wait) => {
                let wait = crate::config::duration::display(self.wait);
                Failure::Other(format!("nobody consented within {wait}; nothing was connected"))
            }
            _ = tokio::signal::ctrl_c() => {
                Failure::Other("interrupted; nothing was connected".to_owned())
            }
        }
    }

    /// Begins with the redirect URI that the client has of those that lead here.
    async fn begin(
        &self,
        client: &mut Client,
        port: u16,
    ) -> Result<BeginAuthorizationResponse, Failure> {
        for host in ["127.0.0.1", "localhost"] {
            let request = self.request(format!("http://{host}:{port}/callback"));
            match client.begin_authorization(request).await {
                Ok(begun) => return Ok(begun.into_inner()),
                Err(status) if is_about_redirect_uri(&status) => {}
                Err(status) => return Err(self.refused(status)),
            }
        }
        let client = match self.client.as_str() {
            "" => format!("the client of provider {}", self.provider),
            name => format!("client {name}"),
        };
        Err(Failure::Other(format!(
            "{client} has no redirect URI on this machine: add \"http://127.0.0.1/callback\" to its redirect_uris \
             in the server's configuration, and register it at the provider"
        )))
    }

    /// What the server said, and what to type then.
    fn refused(&self, status: Status) -> Failure {
        match self.advice(&status) {
            None => status.into(),
            Some(advice) => Failure::Other(format!("{}; {advice}", status_line(&status))),
        }
    }

    fn advice(&self, status: &Status) -> Option<String> {
        let request = status.get_details_bad_request()?;
        let mut fields = request
            .field_violations
            .iter()
            .map(|violation| &violation.field);
        let name = fields.find_map(|field| field.strip_prefix("placeholders."))?;
        let is_given = self.placeholders.iter().any(|(given, _)| given == name);
        (!is_given).then(|| format!("give it with --placeholder {name}=VALUE"))
    }

    fn request(&self, redirect_uri: String) -> BeginAuthorizationRequest {
        BeginAuthorizationRequest {
            credential: Some(self.credential()),
            scopes: self.scopes.clone(),
            redirect_uri,
            parameters: self.parameters.iter().cloned().collect(),
            placeholders: self.placeholders.iter().cloned().collect(),
            allow_account_change: self.allow_account_change,
            return_url: String::new(),
        }
    }

    fn credential(&self) -> Wire {
        Wire {
            tenant_id: self.connection.tenant.clone(),
            credential_id: self.credential.clone(),
            provider: self.provider.clone(),
            client: self.client.clone(),
            labels: self.labels.iter().cloned().collect(),
            ..Wire::default()
        }
    }
}

fn is_about_redirect_uri(status: &Status) -> bool {
    let request = status.get_details_bad_request();
    let mut violations = request
        .into_iter()
        .flat_map(|request| request.field_violations);
    status.code() == Code::InvalidArgument
        && violations.any(|violation| violation.field == "redirect_uri")
}

/// Waits for the browser that brings `state`, and tells it how it went. Others are sent away.
async fn complete(
    client: &mut Client,
    landing: &mut Landing,
    state: &str,
) -> Result<CompleteAuthorizationResponse, Failure> {
    loop {
        let Visit { arrival, page } = landing.visit().await;
        if arrival.state != state {
            let why = "this address is not of the consent that runs";
            page.show(Page::not_connected(StatusCode::BAD_REQUEST, why));
            continue;
        }
        let request = CompleteAuthorizationRequest {
            state: arrival.state,
            code: arrival.code,
            error: arrival.error,
            error_description: arrival.error_description,
            issuer: arrival.iss,
        };
        return match client.complete_authorization(request).await {
            Ok(answer) => {
                page.show(Page::connected("Your account"));
                Ok(answer.into_inner())
            }
            Err(status) => {
                page.show(Page::not_connected(
                    StatusCode::BAD_REQUEST,
                    status.message(),
                ));
                Err(status.into())
            }
        };
    }
}

/// Has the server forget the state, which would end by itself otherwise.
async fn abandon(client: &mut Client, state: &str) {
    let request = CompleteAuthorizationRequest {
        state: state.to_owned(),
        error: ABANDONED.to_owned(),
        ..CompleteAuthorizationRequest::default()
    };
    let told = client.complete_authorization(request);
    let _refused_or_late = tokio::time::timeout(ABANDON_WITHIN, told).await;
}

#[derive(Serialize)]
struct ConnectView {
    credential: CredentialView,
    created: bool,
}

impl ConnectView {
    fn new(answer: CompleteAuthorizationResponse) -> Result<Self, Failure> {
        let CompleteAuthorizationResponse {
            credential,
            created,
            integrations: _,
        } = answer;
        let none = || Failure::Other("the server's answer holds no credential".into());
        Ok(Self {
            credential: credential.map(Into::into).ok_or_else(none)?,
            created,
        })
    }
}

impl Printable for ConnectView {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let how = if self.created { "new" } else { "again" };
        table.field("connected", how);
        table.append(self.credential.table());
        table
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tonic_types::ErrorDetails;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        connect: Connect,
    }

    fn refused(line: &[&str], message: &str, details: ErrorDetails) -> String {
        let line = Line::try_parse_from([&["connect"], line].concat()).unwrap();
        let status = Status::with_error_details(Code::InvalidArgument, message, details);
        line.connect.refused(status).to_string()
    }

    #[test]
    fn a_refusal_says_what_to_type() {
        let unknown = ErrorDetails::with_error_info("UNKNOWN_PROVIDER", "evergrant", []);
        assert_eq!(
            refused(&["slac"], "provider slac is not in the catalogue", unknown),
            "INVALID_ARGUMENT UNKNOWN_PROVIDER: provider slac is not in the catalogue; \
             \"evergrant provider list\" shows those that are"
        );
        let why = "placeholder {shop} has no value";
        let message = format!("placeholders.shop: {why}");
        let named = format!("INVALID_ARGUMENT: --placeholder shop: {why}");
        let lacking = || ErrorDetails::with_bad_request_violation("placeholders.shop", why);
        assert_eq!(
            refused(&["shopify"], &message, lacking()),
            format!("{named}; give it with --placeholder shop=VALUE")
        );
        let given = ["shopify", "--placeholder", "shop=a/b"];
        assert_eq!(refused(&given, &message, lacking()), named);
    }

    #[test]
    fn no_line_of_the_help_is_broken_where_it_should_not_be() {
        use clap::CommandFactory as _;
        let help = Line::command().render_long_help().to_string();
        let after = help.split("Examples:").nth(1).unwrap();
        let longest = after.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{after}");
    }
}
