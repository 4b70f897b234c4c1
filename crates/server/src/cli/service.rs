//! `evergrant serve`, `migrate`, `demo` and `sandbox`: what runs in this process.

use std::net::SocketAddr;

use clap::Args;

use super::exit::Failure;
use super::output::Out;
use super::settings::ConfigFile;
use crate::app::{self, Ready};
use crate::config::Override;
use crate::{Build, telemetry};

/// Arguments of `evergrant serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evergrant serve                                  # SQLite in the working directory, loopback only
  evergrant serve --config /etc/evergrant.toml
  EVERGRANT__STORE__URL=postgres://… evergrant serve

Once it serves, it prints one line to standard output; logs go to standard error:
  evergrant ready grpc=127.0.0.1:7070 admin=127.0.0.1:7071")]
pub struct Serve {
    #[command(flatten)]
    config: ConfigFile,
    /// Address of the gRPC listener; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of the HTTP listener for metrics and probes; an empty one turns it off
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
}

impl Serve {
    /// Serves until it is told to stop.
    pub async fn run(self, build: Build, out: Out<'_>) -> Result<(), Failure> {
        let overrides = [
            ("server.listen", "--listen", self.listen),
            ("server.admin_listen", "--admin-listen", self.admin_listen),
        ];
        let overrides = overrides.into_iter().filter_map(|(key, argument, value)| {
            Some(Override {
                key,
                value: value?,
                argument,
            })
        });
        let config = self.config.load_with(overrides.collect())?;
        let rust_log = std::env::var("RUST_LOG").ok();
        let traces = telemetry::init(&config.telemetry, build, rust_log.as_deref());
        tracing::info!(
            version = build.version,
            revision = build.revision,
            profile = build.profile,
            "evergrant starts"
        );
        let mut told = Ok(());
        let served = app::serve(config, build, |ready| told = tell(ready, out)).await;
        traces.finish().await;
        served?;
        Ok(told?)
    }
}

fn tell(ready: Ready, out: Out<'_>) -> std::io::Result<()> {
    write!(out, "evergrant ready grpc={}", ready.grpc)?;
    if let Some(admin) = ready.admin {
        write!(out, " admin={admin}")?;
    }
    if let Some(callback) = ready.callback {
        write!(out, " callback={callback}")?;
    }
    if let Some(inbound) = ready.inbound {
        write!(out, " inbound={inbound}")?;
    }
    writeln!(out)?;
    out.flush()
}

/// Arguments of `evergrant migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    #[command(flatten)]
    config: ConfigFile,
}

impl Migrate {
    /// Brings the store's schema up to date.
    pub async fn run(self, build: Build, out: Out<'_>) -> Result<(), Failure> {
        let config = self.config.load()?;
        let rust_log = std::env::var("RUST_LOG").ok();
        let traces = telemetry::init(&config.telemetry, build, rust_log.as_deref());
        let migrated = app::migrate(config).await;
        traces.finish().await;
        migrated?;
        writeln!(out, "ok")?;
        Ok(())
    }
}

/// Arguments of `evergrant demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Stay up afterwards, to be tried by hand
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Shows the main job.
    pub async fn run(self, build: Build) -> Result<(), Failure> {
        Ok(app::demo(build, self.keep).await?)
    }
}

/// Arguments of `evergrant sandbox`.
#[derive(Debug, Args)]
#[command(after_help = "\
Its client has the id sandbox and the secret sandbox-secret.

The provider:
  GET  /authorize    a page to approve or deny on; PKCE with S256
  GET  /device       a page to enter a device's code on; POST /device_authorization begins one
  POST /token        codes, refreshes, device codes, client credentials, assertions, exchanges;
                     /slack/token in Slack's dialect
  POST /revoke, POST /introspect, GET /resource
  /as/NAME/…         the same as the built-in provider NAME is spoken to, e.g. /as/github/token

What rules it:
  GET  /control/catalogue              its catalogue entry, for providers.d; ?mode=grace&grace_seconds=30,
                                       or ?as=NAME to have it play a built-in provider
  POST /control/grants                 a grant as if a user had consented; {} for a strict one; ?as=NAME
  POST /control/grants/FAMILY/revoke   its user withdraws consent; GET /control/grants/FAMILY shows it
  POST /control/clients                {\"client_id\":\"…\",\"secrets\":[\"…\"],\"public_key\":\"PEM\"}
  POST /control/faults                 {\"faults\":[{\"kind\":\"delay\",\"milliseconds\":500}],\"count\":3}; DELETE ends them
  POST /control/gates                  {\"where\":\"after_processing\"} holds calls; …/ID/open lets them go
  GET  /control/ledger                 every call that arrived; /control/violations what must never be

Examples:
  curl -s 127.0.0.1:7072/control/catalogue > providers.d/sandbox.toml
  curl -s --json '{}' 127.0.0.1:7072/control/grants | evergrant credential create demo --provider sandbox --material -
  curl -s '127.0.0.1:7072/control/catalogue?as=github' > providers.d/github.toml
  evergrant connect sandbox --device   # the user enters the code at /device
  evergrant connect sandbox            # with the page; the client needs http://127.0.0.1/callback in redirect_uris")]
pub struct Sandbox {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:7072", value_name = "ADDRESS")]
    listen: SocketAddr,
}

impl Sandbox {
    /// Serves the sandbox provider until it is told to stop.
    pub async fn run(self, out: Out<'_>) -> Result<(), Failure> {
        let mut told = Ok(());
        app::sandbox(self.listen, |address| {
            told =
                writeln!(out, "evergrant sandbox ready http={address}").and_then(|()| out.flush());
        })
        .await?;
        Ok(told?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_all_listeners_and_leaves_out_those_that_are_off() {
        let line = |admin: Option<&str>, callback: Option<&str>, inbound: Option<&str>| {
            let mut out = Vec::new();
            let ready = Ready {
                grpc: "127.0.0.1:7070".parse().unwrap(),
                admin: admin.map(|address| address.parse().unwrap()),
                callback: callback.map(|address| address.parse().unwrap()),
                inbound: inbound.map(|address| address.parse().unwrap()),
            };
            tell(ready, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            line(Some("127.0.0.1:7071"), None, None),
            "evergrant ready grpc=127.0.0.1:7070 admin=127.0.0.1:7071\n"
        );
        assert_eq!(
            line(None, None, None),
            "evergrant ready grpc=127.0.0.1:7070\n"
        );
        assert_eq!(
            line(None, Some("127.0.0.1:7073"), Some("127.0.0.1:7072")),
            "evergrant ready grpc=127.0.0.1:7070 callback=127.0.0.1:7073 inbound=127.0.0.1:7072\n"
        );
    }
}
