//! Catalogue entries that describe a running sandbox.

use super::mode::RotationMode;
use super::refusal::Dialect;

/// A catalogue entry for the sandbox at `base_url`, in TOML.
pub(super) fn entry(name: &str, base_url: &str, dialect: Dialect, mode: RotationMode) -> String {
    let name = toml::Value::from(name);
    let path = match dialect {
        Dialect::Rfc6749 | Dialect::Catalogue => "/token",
        Dialect::Slack => "/slack/token",
    };
    let rotation = match mode {
        RotationMode::None => "mode = \"none\"".to_owned(),
        RotationMode::Rotates => "mode = \"rotates\"".to_owned(),
        RotationMode::SingleUse | RotationMode::Strict => "mode = \"single_use\"".to_owned(),
        RotationMode::Grace { seconds, .. } => format!("mode = \"grace\"\ngrace = \"{seconds}s\""),
    };
    let grants = match dialect {
        Dialect::Slack => String::new(),
        Dialect::Rfc6749 | Dialect::Catalogue => {
            format!("device_url = \"{base_url}/device_authorization\"\n{GRANT_TYPES}")
        }
    };
    let assertion = match dialect {
        Dialect::Slack => "",
        Dialect::Rfc6749 | Dialect::Catalogue => ASSERTION,
    };
    let (failure, errors) = match dialect {
        Dialect::Rfc6749 | Dialect::Catalogue => ("", ""),
        Dialect::Slack => (SLACK_FAILURE, SLACK_ERRORS),
    };
    format!(
        r#"name = {name}
token_url = "{base_url}{path}"
authorize_url = "{base_url}/authorize"
revoke_url = "{base_url}/revoke"
{grants}sources = ["the sandbox provider of evergrant"]

[request]
method = "POST"
body = "form"
client_auth = "body"
{assertion}
[response]
access_token = ["/access_token"]
expires_in = ["/expires_in"]
{failure}{errors}
[rotation]
{rotation}

[lifetime]
access_token = "1h"
"#
    )
}

const GRANT_TYPES: &str = r#"grant_types = ["authorization_code", "device_code", "client_credentials", "jwt_bearer", "token_exchange", "static"]
"#;

const ASSERTION: &str = r#"
[grants.jwt_bearer]
required = ["subject"]

[assertion]
subject = "{subject}"

[assertion.claims]
jti = "{jti}"
scope = "{scopes?}"
"#;

const SLACK_FAILURE: &str = "failure = { pointer = \"/ok\", equals = false }\n";

const SLACK_ERRORS: &str = r#"
[errors]
invalid_refresh_token = "grant"
token_revoked = "grant"
token_expired = "grant"
bad_client_secret = "client"
invalid_client_id = "client"
invalid_arguments = "request"
invalid_grant_type = "request"
ratelimited = "rate_limit"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [RotationMode; 5] = [
        RotationMode::None,
        RotationMode::Rotates,
        RotationMode::SingleUse,
        RotationMode::Strict,
        RotationMode::Grace {
            seconds: 30,
            max_uses: 2,
        },
    ];

    #[test]
    fn every_entry_is_toml_and_tells_its_rotation() {
        for dialect in [Dialect::Rfc6749, Dialect::Slack] {
            for mode in MODES {
                let text = entry("my \"sandbox\"", "http://127.0.0.1:1", dialect, mode);
                let entry: toml::Table = text.parse().unwrap();
                assert_eq!(entry["name"].as_str(), Some("my \"sandbox\""));
                let single_use = matches!(mode, RotationMode::SingleUse | RotationMode::Strict);
                assert_eq!(
                    entry["rotation"]["mode"].as_str() == Some("single_use"),
                    single_use
                );
                assert_eq!(entry["rotation"].get("grace").is_some(), mode == MODES[4]);
                assert_eq!(entry.contains_key("errors"), dialect == Dialect::Slack);
            }
        }
    }
}
