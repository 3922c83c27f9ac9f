//! What is signed: each predicate about each image, and about all artifacts together.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stella_attest::file;
use stella_attest::image::Image;
use stella_bundle::statement::{COSIGN_SIGN_V1, Statement, Subject};

use crate::artifact::Artifact;
use crate::exit::Failure;

/// Predicates larger than this are refused.
const MAX_PREDICATE: usize = 64 << 20;

/// What to say, as a URI and a value.
pub(in crate::cli) struct Predicate {
    uri: String,
    value: Value,
}

/// A statement, and the image that it is to be attached to.
pub(in crate::cli) struct Said {
    pub(in crate::cli) statement: Statement,
    pub(in crate::cli) image: Option<Image>,
}

/// Reads the predicates; without one the statement says that something was signed.
pub(in crate::cli) fn read(paths: &[PathBuf], types: &[String]) -> Result<Vec<Predicate>, Failure> {
    if paths.len() != types.len() {
        return Err(Failure::usage(format!(
            "{} predicates and {} types: each --predicate has its --type",
            paths.len(),
            types.len()
        )));
    }
    if paths.is_empty() {
        let (uri, value) = (COSIGN_SIGN_V1.to_owned(), json!({}));
        return Ok(vec![Predicate { uri, value }]);
    }
    let read = |(path, typed): (&PathBuf, &String)| {
        let predicate_type = super::predicate_type(typed)?;
        let value = predicate_type
            .parse_predicate(&read_predicate(path)?)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        let uri = predicate_type.uri().to_owned();
        Ok(Predicate { uri, value })
    };
    paths.iter().zip(types).map(read).collect()
}

/// Makes the statements: each predicate about all artifacts together, and about each image.
pub(in crate::cli) fn make(
    artifacts: &[Artifact],
    images: &[Image],
    predicates: &[Predicate],
) -> Result<Vec<Said>, Failure> {
    let subject = |artifact: &Artifact| Ok(Subject::new(artifact.name.clone(), artifact.digest()?));
    let subjects = artifacts.iter().map(subject);
    let subjects = subjects.collect::<Result<Vec<_>, Failure>>()?;
    let mut said = Vec::new();
    for predicate in predicates {
        let statement = |subjects| Statement::new(subjects, &predicate.uri, &predicate.value);
        if !subjects.is_empty() {
            said.push(Said {
                statement: statement(subjects.clone()),
                image: None,
            });
        }
        for image in images {
            let subject = Subject::new(Some(image.reference.name()), &image.descriptor.digest);
            said.push(Said {
                statement: statement(vec![subject]),
                image: Some(image.clone()),
            });
        }
    }
    Ok(said)
}

fn read_predicate(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        Failure::usage(format!(
            "cannot read the predicate {}: {error}",
            path.display()
        ))
    };
    if path.as_os_str() == "-" {
        return file::read_from(io::stdin(), MAX_PREDICATE).map_err(failed);
    }
    file::read(path, MAX_PREDICATE).map_err(failed)
}
