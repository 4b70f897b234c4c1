//! How a caller is recognised: `token_sha256`, `san` or `jwt`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use evergrant_providers::jwks::KnownKeys;
use url::Url;

use crate::config::clients::is_loopback;
use crate::config::error::ConfigError;
use crate::config::print::{Printer, quoted};
use crate::config::section::{Key, Section, TextOrFile};
use crate::config::server::read_certificates;
use crate::grpc::caller::{Identity, JwtRule, KeyAccess, KeySource, San};

/// The one of the three that is there, and its key.
pub(super) fn read(section: &mut Section<'_>) -> Result<(Key, Identity), ConfigError> {
    const FORMS: [&str; 3] = ["token_sha256", "san", "jwt"];
    let given: Vec<_> = FORMS.into_iter().filter(|form| section.has(form)).collect();
    if section.has("token") {
        let why = "is unknown, so that no token stands here: token_sha256 takes the SHA-256 of one, \
                   as `printf %s \"$TOKEN\" | sha256sum` prints it";
        return Err(section.key_of("token").refuse(why));
    }
    let [form] = given.as_slice() else {
        let slips = FORMS.into_iter().filter(|_| given.is_empty());
        let slip = slips.filter_map(|form| section.slip_of(form)).next();
        return Err(match slip {
            Some(slip) => slip,
            None => {
                let why = "needs exactly one of token_sha256, san, jwt";
                section.key().refuse(why)
            }
        });
    };
    let key = section.key_of(form);
    let identity = match *form {
        "token_sha256" => Identity::Token(token(section)?),
        "san" => Identity::San(san(section)?),
        _ => {
            let missing = section.missing("jwt");
            Identity::Jwt(jwt(section.optional_section("jwt")?.ok_or(missing)?)?)
        }
    };
    Ok((key, identity))
}

pub(super) fn print(identity: &Identity, out: &mut Printer) {
    match identity {
        Identity::Token(digest) => {
            let digits = digest.map(|byte| format!("{byte:02x}")).concat();
            out.text("token_sha256", digits);
        }
        Identity::San(name) => out.text("san", name),
        Identity::Jwt(rule) => out.raw("jwt", as_toml(rule)),
    }
}

fn token(section: &mut Section<'_>) -> Result<[u8; 32], ConfigError> {
    let missing = section.missing("token_sha256");
    let (key, given) = section.text_or_file("token_sha256")?.ok_or(missing)?;
    let (place, text) = match given {
        TextOrFile::Text(text) => (String::new(), text),
        TextOrFile::File(path) => {
            let text = read_file(&key, &path)?;
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            (format!("file {path} "), text)
        }
    };
    hex(&text).ok_or_else(|| {
        let form = "must be a SHA-256 in 64 hexadecimal digits, as sha256sum prints it";
        key.refuse(format!("{place}{form}"))
    })
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    // `from_str_radix` takes a sign.
    text.bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then_some(bytes)
}

fn san(section: &mut Section<'_>) -> Result<San, ConfigError> {
    let (key, text) = section.required("san")?;
    San::parse(&text).ok_or_else(|| {
        let form = "must be a URI such as \"spiffe://example.org/billing\", or a host name";
        key.refuse(form)
    })
}

fn jwt(mut section: Section<'_>) -> Result<JwtRule, ConfigError> {
    let (issuer_key, issuer) = section.required("issuer")?;
    let (_, audience) = section.required("audience")?;
    let (_, subject) = section.required("subject")?;
    let keys = section.text_or_file("jwks")?;
    let keys = match keys {
        None => {
            check_url(&issuer_key, &issuer)
                .map_err(|_| issuer_key.refuse("must be an https URL, since jwks is left out"))?;
            KeySource::Discovered(access(&mut section)?)
        }
        Some((key, TextOrFile::Text(url))) if url.contains("://") => {
            check_url(&key, &url)?;
            KeySource::Url(url, access(&mut section)?)
        }
        Some((key, TextOrFile::Text(path) | TextOrFile::File(path))) => {
            let json: Arc<[u8]> = read_file(&key, &path)?.into();
            if KnownKeys::parse(&json).is_none() {
                let why = format!("{path} holds no JSON web key set with public keys");
                return Err(key.refuse(why));
            }
            KeySource::File(path.into(), json)
        }
    };
    section.finish()?;
    Ok(JwtRule {
        issuer,
        audience,
        subject,
        keys,
    })
}

fn access(section: &mut Section<'_>) -> Result<KeyAccess, ConfigError> {
    let authorities = section.text("jwks_ca")?;
    let authorities = authorities.map(|(key, path)| {
        let file = read_certificates(&key, &path)?;
        Ok((file.path, Arc::from(file.pem.as_slice())))
    });
    let bearer = section.text("jwks_token")?;
    let bearer = bearer.map(|(key, path)| {
        // It is read again for each fetch; that it can be read is seen to now.
        read_file(&key, &path).map(|_| PathBuf::from(path))
    });
    Ok(KeyAccess {
        authorities: authorities.transpose()?,
        bearer: bearer.transpose()?,
    })
}

fn check_url(key: &Key, url: &str) -> Result<(), ConfigError> {
    let url = Url::parse(url).map_err(|why| key.refuse(format!("is no URL: {why}")))?;
    match url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) {
        true => Ok(()),
        false => Err(key.refuse("must be https, except on a loopback address")),
    }
}

fn read_file(key: &Key, path: &str) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(Path::new(path))
        .map_err(|error| key.refuse(format!("file {path} cannot be read: {error}")))
}

fn as_toml(rule: &JwtRule) -> String {
    let JwtRule {
        issuer,
        audience,
        subject,
        keys,
    } = rule;
    let mut entries = vec![
        ("issuer", issuer.clone()),
        ("audience", audience.clone()),
        ("subject", subject.clone()),
    ];
    let access = match keys {
        KeySource::Discovered(access) => Some(access),
        KeySource::Url(url, access) => {
            entries.push(("jwks", url.clone()));
            Some(access)
        }
        KeySource::File(path, _) => {
            entries.push(("jwks", path.display().to_string()));
            None
        }
    };
    if let Some(KeyAccess {
        authorities,
        bearer,
    }) = access
    {
        let authorities = authorities.as_ref().map(|(path, _)| path);
        let files = [("jwks_ca", authorities), ("jwks_token", bearer.as_ref())];
        let files = files.into_iter();
        entries.extend(files.filter_map(|(name, path)| Some((name, path?.display().to_string()))));
    }
    let entries = entries.iter();
    let entries: Vec<_> = entries
        .map(|(name, value)| format!("{name} = {}", quoted(value)))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}
