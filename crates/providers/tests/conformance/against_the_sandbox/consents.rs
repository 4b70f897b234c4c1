//! Users who consent, in a browser and on a device.

use std::collections::BTreeMap;

use evergrant_providers::catalogue::{GrantKind, TokenGrant};
use evergrant_providers::{CodeExchange, Consent, DevicePoll};
use secrecy::ExposeSecret;
use url::Url;

use super::stage::{PATIENCE, fails};
use super::{Outcome, Played};

const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";
/// The pair of RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

impl Played<'_> {
    /// A user approves, and the code brings tokens, once.
    pub async fn consents(&self) -> Outcome {
        if !self.has(GrantKind::AuthorizationCode) || self.entry.authorize_url.is_none() {
            return Ok(());
        }
        let (_, placeholders) = self
            .stage
            .control()
            .terms_as(self.name())
            .map_err(fails("no terms"))?;
        let code = self.approve(&placeholders).await?;
        let exchange = CodeExchange {
            client: &self.client,
            code: &code,
            redirect_uri: REDIRECT_URI,
            code_verifier: Some(VERIFIER),
            state: "the-state",
            nonce: None,
            placeholders: &placeholders,
        };
        let consented = self
            .stage
            .providers
            .exchange_code(&exchange, PATIENCE)
            .await;
        let consented = consented.map_err(fails("the code's exchange"))?;
        let access_token = consented.issued.access_token.expose();
        if !self.stage.is_good(access_token).await {
            return Err("the token opens nothing".to_owned());
        }
        let of_code = self.entry.grants.get(TokenGrant::AuthorizationCode);
        let is_named = !of_code.response.account.0.is_empty() || self.entry.userinfo_url.is_some();
        if consented.account.is_some() != is_named {
            return Err(format!("the account is {:?}", consented.account));
        }
        let has_two = consented.issued.refresh_token.is_some();
        if has_two == self.entry.renewal.self_renewing {
            return Err(format!("a refresh token: {has_two}"));
        }
        match self
            .stage
            .providers
            .exchange_code(&exchange, PATIENCE)
            .await
        {
            Ok(_) => Err("the code is good twice".to_owned()),
            Err(_) => Ok(()),
        }
    }

    /// The code that the sandbox's page sends the user back with.
    async fn approve(&self, placeholders: &BTreeMap<String, String>) -> Result<String, String> {
        let url = self
            .stage
            .providers
            .authorization_url(&Consent {
                client: &self.client,
                redirect_uri: REDIRECT_URI,
                state: "the-state",
                code_challenge: Some(CHALLENGE),
                nonce: None,
                scopes: &["read".to_owned(), "write".to_owned()],
                parameters: &BTreeMap::new(),
                placeholders,
            })
            .map_err(fails("the address of the page"))?;
        let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        form.push(("decision".to_owned(), "approve".to_owned()));
        let mut action = url;
        action.set_query(None);
        let answer = self.stage.http.post(action).form(&form).send().await;
        let answer = answer.map_err(fails("the page"))?;
        let to = answer.headers().get("location");
        let to = to.ok_or_else(|| format!("the page answers {}", answer.status()))?;
        let to = Url::parse(to.to_str().unwrap()).unwrap();
        let mut found = to.query_pairs();
        let code = found.find(|(name, _)| name == "code");
        code.map(|(_, code)| code.into_owned())
            .ok_or_else(|| format!("no code: {to}"))
    }

    /// A user approves what a device shows.
    pub async fn consents_on_a_device(&self) -> Outcome {
        if !self.has(GrantKind::DeviceCode) {
            return Ok(());
        }
        let (providers, none) = (&self.stage.providers, BTreeMap::new());
        let scopes = ["read".to_owned()];
        let begun = providers.begin_device(&self.client, &scopes, &none, PATIENCE);
        let begun = begun.await.map_err(fails("the device's beginning"))?;
        let form = [
            ("user_code", begun.user_code.as_str()),
            ("decision", "approve"),
        ];
        let page = self.stage.http.post(&begun.verification_uri).form(&form);
        let page = page.send().await.map_err(fails("the page"))?;
        if !page.status().is_success() {
            return Err(format!("the page answers {}", page.status()));
        }
        let code = begun.device_code.expose_secret();
        let polled = providers.poll_device(&self.client, code, &none, PATIENCE);
        match polled.await.map_err(fails("the poll"))? {
            DevicePoll::Consented(consented) if consented.issued.refresh_token.is_some() => Ok(()),
            other => Err(format!("the poll: {other:?}")),
        }
    }
}
