//! How to reach the API server, and in which namespace Routelet lives there.
//!
//! Looked for in this order: a kubeconfig that is named, those that `KUBECONFIG` names, the service account
//! of the pod that this runs in, `~/.kube/config`. One that is there and not usable is an error; none is passed over in
//! silence for the next.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::request::words;
use crate::cluster::Error;

/// The namespace where nothing else names one.
pub const DEFAULT_NAMESPACE: &str = "routelet";

/// A server that says nothing for so long is not there: longer than any watch lasts, which says something as it ends.
const SILENCE: Duration = Duration::from_secs(330);

/// Environment of every pod.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// The API server of a cluster: who it is, who we are to it.
#[derive(Debug, Clone)]
pub struct ApiServer {
    config: Config,
    namespace: String,
    origin: String,
}

/// Finds the API server, without speaking to it: whether it answers shows later, and it may come and go.
///
/// `kubeconfig` is a file to use instead of looking further. `namespace` is where the Secrets of peers are, and
/// whatever else belongs to Routelet itself; by default that of the pod, and outside of one
/// [`DEFAULT_NAMESPACE`].
///
/// # Errors
/// There is no way to one, or what describes it cannot be read or makes no sense.
pub async fn connect(kubeconfig: Option<&Path>, namespace: Option<&str>) -> Result<ApiServer, Error> {
    let (mut config, origin, own) = match (kubeconfig, std::env::var_os("KUBECONFIG"), home()) {
        (Some(path), ..) => read(path).await?,
        (None, Some(paths), _) if !paths.is_empty() => {
            let origin = format!("KUBECONFIG={}", paths.to_string_lossy());
            let kubeconfig = Kubeconfig::from_env().map_err(|error| unusable(&origin, &error))?;
            let kubeconfig = kubeconfig.unwrap_or_default();
            (customized(kubeconfig, &origin).await?, origin, None)
        }
        _ if std::env::var_os(IN_CLUSTER).is_some() => {
            let origin = "the service account of this pod".to_owned();
            let config = Config::incluster().map_err(|error| unusable(&origin, &error))?;
            let own = config.default_namespace.trim().to_owned();
            (config, origin, Some(own))
        }
        (.., Some(path)) if path.exists() => read(&path).await?,
        _ => return Err(Error::NoApiServer),
    };
    // What is worth trying again, and when, is decided in one place: where the watches are.
    config.default_retry = false;
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    let namespace = match (namespace, own) {
        (Some(named), _) => named.to_owned(),
        (None, Some(own)) if !own.is_empty() => own,
        (None, _) => DEFAULT_NAMESPACE.to_owned(),
    };
    let server = ApiServer { config, namespace, origin };
    // A certificate that cannot be used is found now, not when the first request is made.
    server.client()?;
    Ok(server)
}

impl ApiServer {
    /// A client of its own. It belongs to the runtime that this is called on, and may be cloned there.
    ///
    /// It makes no attempt of its own at what has failed. A request answered by 429 or 5xx is for the caller to
    /// repeat, with pauses that grow.
    ///
    /// # Errors
    /// Certificates or credentials cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn client(&self) -> Result<Client, Error> {
        Client::try_from(self.config.clone()).map_err(|error| unusable(&self.origin, &error))
    }

    /// The namespace of Routelet's own objects, such as the Secrets that peers name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where the server is.
    pub fn url(&self) -> String {
        self.config.cluster_url.to_string()
    }

    /// What told where it is, for a person.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

type Found = (Config, String, Option<String>);

async fn read(path: &Path) -> Result<Found, Error> {
    let origin = format!("kubeconfig {}", path.display());
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unusable(&origin, &error))?;
    Ok((customized(kubeconfig, &origin).await?, origin, None))
}

async fn customized(kubeconfig: Kubeconfig, origin: &str) -> Result<Config, Error> {
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(origin, &error))
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(".kube/config"))
}

fn unusable(origin: &str, error: &dyn std::error::Error) -> Error {
    Error::ApiServer { origin: origin.to_owned(), text: words(error) }
}
