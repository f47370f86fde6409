//! What `routelet run` is told on its command line or in its environment. Everything else comes
//! from objects.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::ArgPredicate;

use super::log;
use crate::api;
use crate::cluster::objects::duration::Span;

/// Where pod addresses are kept unless said otherwise, as by `host-local`.
const DATA_DIR: &str = "/var/lib/cni/networks";

/// Options of the daemon.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Name of the Node object this daemon stands for
    #[arg(long, value_name = "NAME", env = "ROUTELET_NODE_NAME")]
    pub node_name: String,
    /// Where the objects come from.
    #[command(flatten)]
    pub objects: Objects,
    /// Unix socket to answer on, for root alone
    #[arg(long, value_name = "PATH", env = "ROUTELET_API_SOCKET", default_value = api::DEFAULT_SOCKET)]
    pub api_socket: PathBuf,
    /// Where to serve /metrics, /healthz and /readyz over HTTP: to anyone who can connect
    #[arg(long, value_name = "ADDR:PORT", env = "ROUTELET_METRICS_LISTEN", default_value = "127.0.0.1:9179")]
    pub metrics_listen: SocketAddr,
    /// Files that the daemon shares with others.
    #[command(flatten)]
    pub paths: Paths,
    /// How long the daemon takes to drain when it is told to end and its Node says that the machine goes, too:
    /// less than a kubelet gives it. Other than that it ends at once, to be started again
    #[arg(long, value_name = "TIME", env = "ROUTELET_SHUTDOWN_DRAIN_TIMEOUT", default_value = "8s")]
    pub shutdown_drain_timeout: Span,
    /// Form of the log on stderr; ROUTELET_LOG (or RUST_LOG) chooses what is in it, such as debug
    #[arg(long, value_name = "FORMAT", env = "ROUTELET_LOG_FORMAT", value_enum, default_value = "human")]
    pub log_format: log::Format,
}

/// Where the objects come from: a directory, or else the API server.
#[derive(Debug, Clone, clap::Args)]
pub struct Objects {
    /// Directory of YAML manifests to read the objects from, and to watch. Without it they come from the API
    /// server
    #[arg(long, value_name = "DIR", env = "ROUTELET_MANIFESTS", conflicts_with = "kubeconfig")]
    pub manifests: Option<PathBuf>,
    /// File that says where the API server is. Default: those of KUBECONFIG, else the service account of the
    /// pod, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the Secrets that peers name. Default: that of the pod, else routelet
    #[arg(long, value_name = "NAME", env = "ROUTELET_NAMESPACE")]
    pub namespace: Option<String>,
}

/// Files that the daemon shares with others on the machine. They are where it was started to find them, and
/// none of the objects' business: whoever may write objects could have any file written otherwise.
#[derive(Debug, Clone, clap::Args)]
pub struct Paths {
    /// Directory for what the CNI plugin reads, gone with a reboot
    #[arg(long, value_name = "DIR", env = "ROUTELET_STATE_DIR", default_value = "/run/routelet")]
    pub state_dir: PathBuf,
    /// File to write the container runtime's network configuration to, such as
    /// /etc/cni/net.d/10-routelet.conflist; none is written unless this is given
    #[arg(long, value_name = "FILE", env = "ROUTELET_CNI_CONFIG")]
    pub cni_config: Option<PathBuf>,
    /// Directory that the CNI plugin keeps addresses in: those of pods that are gone are freed there. Default
    /// with --cni-config: /var/lib/cni/networks; without: none
    #[arg(
        long,
        value_name = "DIR",
        env = "ROUTELET_CNI_DATA_DIR",
        default_value_if("cni_config", ArgPredicate::IsPresent, DATA_DIR)
    )]
    pub cni_data_dir: Option<PathBuf>,
}
