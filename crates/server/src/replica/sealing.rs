//! The sealing keys of a replica, and whether they open what its store holds.

use crate::config::Config;
use crate::config::keys::Keys;
use crate::seal::Sealer;
use crate::store::SqlStore;

use super::StartError;

/// The sealing keys. A key file is made for a store in which nothing is sealed yet, and for no other.
pub(super) async fn sealer(config: &Config) -> Result<Sealer, StartError> {
    if let Keys::File { path, .. } = &config.keys
        && !path.exists()
        && let Some(id) = SqlStore::sealed_by(&config.store.url).await?
        && !config.keys.lost().contains(&id)
    {
        let path = path.clone();
        return Err(StartError::MissingKeyFile { path, id });
    }
    let (active, keys) = config.sealing_keys()?;
    Ok(Sealer::new(&active, keys)?)
}

/// What an unknown key sealed would fail one caller after the other, so it stops the start.
pub(super) fn known_or_lost<'a>(
    config: &Config,
    unknown: impl IntoIterator<Item = &'a String>,
) -> Result<(), StartError> {
    let lost = config.keys.lost();
    match unknown.into_iter().find(|id| !lost.contains(id)) {
        Some(id) => Err(StartError::MissingKey(id.clone())),
        None => Ok(()),
    }
}
