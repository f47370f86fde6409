//! How the API server is spoken to: applied objects, time limits, what a failure means.

use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Field manager of everything that is applied.
pub const MANAGER: &str = "routelet";
/// How long one request may take. Less than [`super::lease::DURATION`] lacks of [`super::lease::HELD`].
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused it, or could not be reached.
    #[error("{0}")]
    Server(#[from] Box<kube::Error>),
    /// No answer in time.
    #[error("the API server has given no answer for {} s", PATIENCE.as_secs())]
    Silent,
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        Error::Server(Box::new(error))
    }
}

impl Error {
    /// The HTTP status, where there was an answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Error::Server(error) => match &**error {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Error::Silent => None,
        }
    }

    /// The object does not exist.
    pub fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    /// The object is another than was thought, or exists already.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// How long the server asks to be left alone (429, 503).
    pub fn retry_after(&self) -> Option<Duration> {
        let Error::Server(error) = self else { return None };
        let kube::Error::Api(status) = &**error else { return None };
        let seconds = status.details.as_ref()?.retry_after_seconds;
        Some(Duration::from_secs(seconds.into())).filter(|time| !time.is_zero())
    }
}

/// Waits for an answer, but not for ever.
///
/// # Errors
/// The server's, or none has come in time.
pub async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Silent),
    }
}

/// Applies the status of an object, which has to exist.
///
/// # Errors
/// As [`within`].
pub async fn apply_status<K>(api: &Api<K>, name: &str, status: &impl Serialize) -> Result<K, Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let object = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": name },
        "status": status,
    });
    within(api.patch_status(name, &applied(), &Patch::<Value>::Apply(object))).await
}

/// Applies all of an object but its status, and makes it where it does not exist.
///
/// # Errors
/// As [`within`].
pub async fn apply<K>(api: &Api<K>, name: &str, mut object: Value) -> Result<K, Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    object["apiVersion"] = json!(K::api_version(&()));
    object["kind"] = json!(K::kind(&()));
    within(api.patch(name, &applied(), &Patch::<Value>::Apply(object))).await
}

fn applied() -> PatchParams {
    // What somebody has edited by hand in a status is no reason to leave it wrong.
    PatchParams::apply(MANAGER).force()
}
