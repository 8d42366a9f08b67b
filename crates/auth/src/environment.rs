//! What the platform tells a pod: environment variables, and the files that they name.

use std::collections::BTreeMap;

/// Environment variables as they were when it was made.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// A file named by a variable cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("unable to read the file of {variable}: {source}")]
pub struct FileError {
    variable: String,
    #[source]
    source: std::io::Error,
}

impl FileError {
    pub(crate) fn new(variable: &str, source: std::io::Error) -> FileError {
        FileError { variable: variable.to_owned(), source }
    }
}

impl Environment {
    /// Those of the process.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect()
    }

    /// A variable that is set to something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The content of the file that a variable names, without space around it. Such files change, so it is read each time.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn file(&self, variable: &str) -> Result<Option<String>, FileError> {
        let Some(path) = self.get(variable) else { return Ok(None) };
        let text = tokio::fs::read_to_string(path).await;
        let text = text.map_err(|source| FileError::new(variable, source))?;
        Ok(Some(text.trim().to_owned()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Environment(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        f.debug_set().entries(self.0.keys()).finish()
    }
}
