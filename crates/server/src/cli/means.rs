//! Means to mint tokens, from files or standard input: secrets are never arguments.

use std::path::{Path, PathBuf};

use clap::Args;
use evergrant_proto::v1::TokenMaterial;

use super::exit::Failure;
use super::material::{MaterialFile, read_secret};
use super::wire::parse_pair;

/// Where the means are.
#[derive(Debug, Args)]
pub struct MeansFiles {
    /// Private key that signs assertions (jwt-bearer): PEM, or a service account's JSON; or - for standard input
    #[arg(long, value_name = "FILE|-")]
    signing_key: Option<PathBuf>,
    /// A parameter that the provider's grant needs, as the file holds it (without a line break at its end) or - for
    /// standard input; may be given several times
    #[arg(long = "parameter-file", value_parser = parse_pair, value_name = "NAME=FILE|-")]
    parameter_files: Vec<(String, String)>,
    /// A parameter that the provider's grant needs and that is no secret, e.g. subject, account_id; may be given several
    /// times
    #[arg(long = "parameter", value_parser = parse_pair, value_name = "NAME=VALUE")]
    parameters: Vec<(String, String)>,
    /// The credential whose token is exchanged (token-exchange)
    #[arg(long, value_name = "CREDENTIAL")]
    subject_credential: Option<String>,
    /// A scope to ask for where a request names none (grants that are minted), or that was asked for
    /// (--token-response); may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
}

impl MeansFiles {
    /// Adds the means that were named to what `file` holds. `None` if nothing was named at all.
    pub fn add_to(
        &self,
        file: &MaterialFile,
        read: impl FnOnce() -> Result<Option<TokenMaterial>, Failure>,
    ) -> Result<Option<TokenMaterial>, Failure> {
        let parameters = self.parameter_files.iter();
        let parameters = parameters.map(|(_, path)| Path::new(path));
        let paths = self.signing_key.as_deref().into_iter().chain(parameters);
        let stdin = Path::new("-");
        let from_stdin = paths.chain(file.path()).filter(|path| *path == stdin);
        if from_stdin.count() > 1 {
            return Err(Failure::Usage("standard input can be read once".into()));
        }
        let material = read()?;
        if material.is_none() && self.is_empty() {
            return Ok(None);
        }
        let mut material = material.unwrap_or_default();
        self.add(&mut material)?;
        Ok(Some(material))
    }

    fn is_empty(&self) -> bool {
        let Self {
            signing_key,
            parameter_files,
            parameters,
            subject_credential,
            scopes,
        } = self;
        signing_key.is_none()
            && parameter_files.is_empty()
            && parameters.is_empty()
            && subject_credential.is_none()
            && scopes.is_empty()
    }

    fn add(&self, material: &mut TokenMaterial) -> Result<(), Failure> {
        if let Some(path) = &self.signing_key {
            let key = read_secret("--signing-key", path)?;
            if !material.signing_key.is_empty() {
                return Err(twice("signing_key", "--signing-key"));
            }
            material.signing_key = key.to_string();
        }
        for (name, path) in &self.parameter_files {
            let text = read_secret("--parameter-file", Path::new(path))?;
            let value = text.strip_suffix('\n').unwrap_or(&text);
            let value = value.strip_suffix('\r').unwrap_or(value).to_owned();
            if material.parameters.insert(name.clone(), value).is_some() {
                return Err(twice(name, "--parameter-file"));
            }
        }
        for (name, value) in &self.parameters {
            if is_name_of_secret(name) {
                return Err(Failure::Usage(format!(
                    "--parameter: {name} is the name of a secret, and arguments can be seen by others on this \
                     machine: give it with --parameter-file"
                )));
            }
            let value = value.clone();
            if material.parameters.insert(name.clone(), value).is_some() {
                return Err(twice(name, "--parameter"));
            }
        }
        if let Some(subject) = &self.subject_credential {
            let name = "subject_credential";
            let before = material.parameters.insert(name.into(), subject.clone());
            if before.is_some() {
                return Err(twice(name, "--subject-credential"));
            }
        }
        if !self.scopes.is_empty() && !material.scopes.is_empty() {
            return Err(twice("scopes", "--scope"));
        }
        material.scopes.extend_from_slice(&self.scopes);
        Ok(())
    }
}

/// Whether a parameter of that name may be a secret. What each provider's grant needs is not known here, so this errs on
/// the side of a file.
pub fn is_name_of_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["secret", "password", "token", "key", "assertion", "code"];
    words.iter().any(|word| name.contains(word))
}

fn twice(name: &str, argument: &str) -> Failure {
    Failure::Usage(format!("{argument}: {name} is given twice"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        file: MaterialFile,
        #[command(flatten)]
        means: MeansFiles,
    }

    fn given(arguments: &[&str], file: Option<TokenMaterial>) -> Result<TokenMaterial, String> {
        let line = Line::parse_from([&["line"], arguments].concat());
        let read = line.means.add_to(&line.file, || Ok(file));
        let read = read.map_err(|failure| failure.to_string())?;
        Ok(read.expect("something was named"))
    }

    #[test]
    fn means_come_from_files_and_lose_the_line_break_at_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let key = write("key.pem", "hush\nkey\n");
        let secret = format!("corpsecret={}", write("secret", "hush=\r\n"));
        let material = given(
            &[
                "--signing-key",
                &key,
                "--parameter-file",
                &secret,
                "--subject-credential",
                "slack-7",
                "--scope",
                "a",
                "--scope",
                "b",
            ],
            None,
        );
        let material = material.unwrap();
        assert_eq!(material.signing_key, "hush\nkey\n");
        assert_eq!(material.parameters["corpsecret"], "hush=");
        assert_eq!(material.parameters["subject_credential"], "slack-7");
        assert_eq!(material.scopes, ["a", "b"]);
    }

    #[test]
    fn what_is_named_twice_is_refused_without_the_secret() {
        let full = || {
            let mut material = TokenMaterial {
                scopes: vec!["x".into()],
                ..Default::default()
            };
            let subject = ("subject_credential".into(), "hush".into());
            material.parameters.extend([subject]);
            Some(material)
        };
        for (arguments, why) in [
            (["--scope", "a"], "--scope: scopes is given twice"),
            (
                ["--subject-credential", "b"],
                "--subject-credential: subject_credential is given twice",
            ),
        ] {
            assert_eq!(given(&arguments, full()).unwrap_err(), why);
        }
        let both = ["--signing-key", "-", "--material", "-"];
        let why = given(&both, None).unwrap_err();
        assert_eq!(why, "standard input can be read once");
    }

    #[test]
    fn a_parameter_may_be_an_argument_unless_its_name_is_that_of_a_secret() {
        let arguments = ["--parameter", "subject=a@b.example"];
        let material = given(&arguments, None).unwrap();
        assert_eq!(material.parameters["subject"], "a@b.example");
        let again = given(&arguments, Some(material)).unwrap_err();
        assert_eq!(again, "--parameter: subject is given twice");
        for name in [
            "client_secret",
            "corpsecret",
            "api_key",
            "Password",
            "subject_token",
        ] {
            let argument = format!("{name}=hush");
            let why = given(&["--parameter", &argument], None).unwrap_err();
            assert!(why.contains("give it with --parameter-file"), "{why}");
            assert!(!why.contains("hush"), "{why}");
        }
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let line = Line::parse_from(["line"]);
        let read = line.means.add_to(&line.file, || Ok(None));
        assert_eq!(read.unwrap(), None);
    }
}
