//! Every entry of the catalogue, asked by the real HTTP client, against the sandbox that speaks as that provider does.

mod consents;
mod grant;
mod stage;

use evergrant_core::grant::{Grant, GrantType};
use evergrant_core::ids::ClientKey;
use evergrant_core::provider::{Providers, Rotation, Verdict};
use evergrant_core::secret::RefreshToken;
use evergrant_providers::Catalogue;
use evergrant_providers::catalogue::{Entry, GrantKind, TokenGrant};
use evergrant_providers::sandbox::{Fault, FaultRule, Point};

use self::grant::{minted, stored};
use self::stage::{PATIENCE, Stage, fails, in_own_words, verdict};

/// Entries that the sandbox cannot play, and why.
const NOT_PLAYED: [(&str, &str); 0] = [];

type Outcome = Result<(), String>;

/// All that differ are told at once.
#[tokio::test]
async fn every_entry_is_played_by_the_sandbox_and_understood_by_the_real_client() {
    let mut mistakes = Vec::new();
    let stage = Stage::start().await;
    for entry in Catalogue::builtin().iter() {
        let name = entry.name.as_str();
        if NOT_PLAYED.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let played = stage.play(entry);
        for (what, outcome) in [
            ("refreshing", played.renews().await),
            (
                "client_credentials",
                played.mints(GrantKind::ClientCredentials).await,
            ),
            ("jwt_bearer", played.mints(GrantKind::JwtBearer).await),
            ("a consent", played.consents().await),
            ("a consent on a device", played.consents_on_a_device().await),
            ("revoking", played.revokes().await),
        ] {
            if let Err(why) = outcome {
                mistakes.push(format!("{name}: {what}: {why}"));
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// An entry, and a client of it that the sandbox knows.
struct Played<'s> {
    stage: &'s Stage,
    entry: &'s Entry,
    client: ClientKey,
}

impl Played<'_> {
    fn has(&self, kind: GrantKind) -> bool {
        self.entry.grant_types.contains(&kind)
    }

    fn name(&self) -> &str {
        self.entry.name.as_str()
    }

    /// Two refreshes, as the entry says that tokens rotate; then a failing server, a wrong secret, a spent token.
    async fn renews(&self) -> Outcome {
        let with_users = self.has(GrantKind::AuthorizationCode) || self.has(GrantKind::DeviceCode);
        if !with_users || !self.entry.renewable {
            return Ok(());
        }
        let control = self.stage.control();
        let (spec, metadata) = control.terms_as(self.name()).map_err(fails("no terms"))?;
        let mode = spec.mode;
        let new = control.create_grant(spec).map_err(fails("no grant"))?;
        let self_renewing = self.entry.renewal.self_renewing;
        let mut grant = stored(
            self.stage.clock,
            &self.client,
            &new,
            self_renewing,
            metadata,
        );
        for _ in 0..2 {
            self.renew(&mut grant).await?;
        }

        let fault = Fault::Status {
            status: 503,
            body: String::new(),
            content_type: "text/html".to_owned(),
            at: Point::BeforeProcessing,
        };
        let rule = FaultRule::once(fault).for_family(&new.family);
        control.add_fault(rule).map_err(fails("no fault"))?;
        let failed = self.stage.providers.refresh(&grant, PATIENCE).await;
        verdict("a failing server", failed, Verdict::Transient)?;

        let request = &self.entry.grants.get(TokenGrant::RefreshToken).request;
        if request.client_auth.needs_secret() {
            self.stage.change_secret();
            let refused = self.stage.providers.refresh(&grant, PATIENCE).await;
            self.stage.restore_secret();
            verdict("a wrong secret", refused, Verdict::Client)?;
        }
        self.renew(&mut grant)
            .await
            .map_err(|why| format!("after all that: {why}"))?;

        if mode.is_single_use() {
            grant.tokens.refresh_token =
                Some(RefreshToken::new(new.refresh_token.expose().to_owned()));
        } else {
            control.revoke_grant(&new.family).map_err(fails("no end"))?;
        }
        match self.stage.providers.refresh(&grant, PATIENCE).await {
            Err(error) if matches!(error.verdict, Verdict::Grant(_)) => {
                in_own_words(self.entry, &error)
            }
            other => Err(format!("a spent token: {other:?}")),
        }
    }

    /// One refresh, and what it brings.
    async fn renew(&self, grant: &mut Grant) -> Outcome {
        let issued = self.stage.providers.refresh(grant, PATIENCE).await;
        let issued = issued.map_err(fails("a refresh"))?;
        if issued.access_token.expose() == grant.tokens.access_token.expose() {
            return Err("the access token is the old one".to_owned());
        }
        if issued.expires_at.is_none() {
            return Err("it is not known when the access token ends".to_owned());
        }
        let rotates = self.entry.rotation != Rotation::None && !self.entry.renewal.self_renewing;
        if issued.refresh_token.is_some() != rotates {
            return Err(format!("rotates: {}", issued.refresh_token.is_some()));
        }
        grant.tokens.access_token = issued.access_token;
        grant.tokens.refresh_token = issued.refresh_token.or(grant.tokens.refresh_token.take());
        Ok(())
    }

    /// A token without a user; then a wrong secret, or a key that nobody registered.
    async fn mints(&self, kind: GrantKind) -> Outcome {
        let (grant, grant_type) = match kind {
            GrantKind::JwtBearer => (TokenGrant::JwtBearer, GrantType::JwtBearer),
            _ => (TokenGrant::ClientCredentials, GrantType::ClientCredentials),
        };
        if !self.has(kind) {
            return Ok(());
        }
        let keys = &self.stage.keys;
        let means = |key| minted(self.stage.clock, &self.client, self.entry, grant_type, key);
        let issued = self
            .stage
            .providers
            .refresh(&means(&keys.known), PATIENCE)
            .await;
        let issued = issued.map_err(fails("minting"))?;
        if issued.refresh_token.is_some() {
            return Err("there is a refresh token".to_owned());
        }
        if !self.stage.is_good(issued.access_token.expose()).await {
            return Err("the token opens nothing".to_owned());
        }
        if self
            .entry
            .grants
            .get(grant)
            .request
            .client_auth
            .needs_secret()
        {
            self.stage.change_secret();
            let refused = self
                .stage
                .providers
                .refresh(&means(&keys.known), PATIENCE)
                .await;
            self.stage.restore_secret();
            verdict("a wrong secret", refused, Verdict::Client)?;
        }
        if kind == GrantKind::JwtBearer {
            let refused = self
                .stage
                .providers
                .refresh(&means(&keys.unknown), PATIENCE)
                .await;
            if !refused
                .as_ref()
                .is_err_and(|it| matches!(it.verdict, Verdict::Grant(_)))
            {
                return Err(format!("an unknown key: {refused:?}"));
            }
        }
        Ok(())
    }

    /// What is revoked opens nothing afterwards.
    async fn revokes(&self) -> Outcome {
        if self.entry.revoke_url.is_none() {
            return Ok(());
        }
        let control = self.stage.control();
        let (spec, metadata) = control.terms_as(self.name()).map_err(fails("no terms"))?;
        let new = control.create_grant(spec).map_err(fails("no grant"))?;
        let self_renewing = self.entry.renewal.self_renewing;
        let grant = stored(
            self.stage.clock,
            &self.client,
            &new,
            self_renewing,
            metadata,
        );
        if !self.stage.is_good(new.access_token.expose()).await {
            return Err("the token opens nothing".to_owned());
        }
        let revoked = self.stage.providers.revoke(&grant, PATIENCE).await;
        revoked.map_err(fails("revoking"))?;
        match self.stage.is_good(new.access_token.expose()).await {
            true => Err("the token is good".to_owned()),
            false => Ok(()),
        }
    }
}
