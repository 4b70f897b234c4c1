//! `evergrant explain`: why a credential is dead, slow or not refreshed.

use clap::{ArgGroup, Args};
use evergrant_proto::v1::ExplainCredentialRequest;
use evergrant_proto::v1::credential_service_client::CredentialServiceClient;

use self::view::ExplanationView;
use super::connection::Connection;
use super::exit::Failure;
use super::output::{Out, Output};

mod view;

/// Arguments of `evergrant explain`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("named").args(["credential", "grant"]).required(true),
    after_help = "\
The first line says how the credential stands and what is to be done. It reads what is stored, and changes nothing.

Examples:
  evergrant explain slack-7
  evergrant explain --grant 0197f3e2-5a8e-7c4b-9c55-2f6d1b7a9e10    # as a line of the log names it
  evergrant explain slack-7 --tenant acme -o json"
)]
pub struct Explain {
    /// The credential
    credential: Option<String>,
    /// A grant, in place of a credential; its tenant need not be named
    #[arg(long, value_name = "GRANT")]
    grant: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Explain {
    /// Asks the server and prints what it says.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        let request = ExplainCredentialRequest {
            tenant_id: self.connection.tenant.clone(),
            credential_id: self.credential.unwrap_or_default(),
            grant_id: self.grant.unwrap_or_default(),
        };
        let mut client = CredentialServiceClient::new(self.connection.connect().await?);
        let answer = client.explain_credential(request).await?.into_inner();
        self.output.print(out, &ExplanationView::from(answer))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "explain")]
    struct Line {
        #[command(flatten)]
        explain: Explain,
    }

    #[test]
    fn its_usage_says_that_a_credential_or_a_grant_must_be_named() {
        let usage = Line::command().render_usage().to_string();
        assert_eq!(
            usage,
            "Usage: explain [OPTIONS] <CREDENTIAL|--grant <GRANT>>"
        );
        for (words, is_good) in [
            (&["explain", "slack-7"][..], true),
            (&["explain", "--grant", "g"], true),
            (&["explain"], false),
            (&["explain", "slack-7", "--grant", "g"], false),
        ] {
            let line = Line::try_parse_from(words);
            assert_eq!(line.is_ok(), is_good, "{words:?}");
        }
    }
}
