//! The runtime's end that a kubelet holds: CRI over containerd's Unix socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::messages::{
    ContainerId, CreateContainerRequest, ExecSyncRequest, ExecSyncResponse, Image, ImageSpec,
    ImageStatusRequest, ImageStatusResponse, ListPodSandboxResponse, Nothing, PodSandboxConfig, PodSandboxId,
    PodSandboxStatusRequest, PodSandboxStatusResponse, RunPodSandboxRequest, RuntimeCondition, StatusRequest,
    StatusResponse,
};

/// A kubelet gives up after two minutes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A conversation with one containerd. It does not outlive it.
#[derive(Clone)]
pub struct Cri(Grpc<Channel>);

impl Cri {
    /// Connects to whoever listens on the socket.
    pub async fn connect(socket: &Path) -> anyhow::Result<Cri> {
        let socket = socket.to_owned();
        let connector = service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://containerd").connect_with_connector(connector).await?;
        Ok(Cri(Grpc::new(channel)))
    }

    async fn call<Q, A>(&self, method: &'static str, question: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.0.clone();
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let called = grpc.unary(Request::new(question), PathAndQuery::from_static(method), codec);
        match tokio::time::timeout(PATIENCE, called).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Status::deadline_exceeded(format!("{method}: no answer"))),
        }
    }

    /// `RuntimeReady` and `NetworkReady`.
    pub async fn conditions(&self) -> Result<Vec<RuntimeCondition>, Status> {
        Ok(self.status().await?.status.unwrap_or_default().conditions)
    }

    /// The network configuration that the runtime goes by, as it shows it.
    pub async fn network(&self) -> Result<String, Status> {
        Ok(self.status().await?.info.remove("cniconfig").unwrap_or_default())
    }

    async fn status(&self) -> Result<StatusResponse, Status> {
        self.call("/runtime.v1.RuntimeService/Status", StatusRequest { verbose: true }).await
    }

    /// An image, if the runtime has it.
    pub async fn image(&self, name: &str) -> Result<Option<Image>, Status> {
        let question = ImageStatusRequest { image: Some(ImageSpec { image: name.to_owned() }) };
        let answer: ImageStatusResponse = self.call("/runtime.v1.ImageService/ImageStatus", question).await?;
        Ok(answer.image)
    }

    /// Makes a pod, attached to the network. Its id.
    pub async fn run_pod(&self, config: PodSandboxConfig) -> Result<String, Status> {
        let question = RunPodSandboxRequest { config: Some(config) };
        let answer: PodSandboxId = self.call("/runtime.v1.RuntimeService/RunPodSandbox", question).await?;
        Ok(answer.pod_sandbox_id)
    }

    pub async fn pod_status(&self, id: &str) -> Result<PodSandboxStatusResponse, Status> {
        let question = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        self.call("/runtime.v1.RuntimeService/PodSandboxStatus", question).await
    }

    /// The ids of all pods that the runtime knows, dead ones included.
    pub async fn pods(&self) -> Result<Vec<String>, Status> {
        let answer: ListPodSandboxResponse =
            self.call("/runtime.v1.RuntimeService/ListPodSandbox", Nothing {}).await?;
        Ok(answer.items.into_iter().map(|pod| pod.id).collect())
    }

    /// Ends a pod: its containers, then its network.
    pub async fn stop_pod(&self, id: &str) -> Result<(), Status> {
        let question = PodSandboxId { pod_sandbox_id: id.to_owned() };
        self.call("/runtime.v1.RuntimeService/StopPodSandbox", question).await.map(|Nothing {}| ())
    }

    /// Forgets a pod that has been stopped.
    pub async fn remove_pod(&self, id: &str) -> Result<(), Status> {
        let question = PodSandboxId { pod_sandbox_id: id.to_owned() };
        self.call("/runtime.v1.RuntimeService/RemovePodSandbox", question).await.map(|Nothing {}| ())
    }

    /// Makes a container in a pod and starts it. Its id.
    pub async fn run_container(&self, question: CreateContainerRequest) -> Result<String, Status> {
        let made: ContainerId = self.call("/runtime.v1.RuntimeService/CreateContainer", question).await?;
        let id = made.container_id.clone();
        self.call("/runtime.v1.RuntimeService/StartContainer", made).await.map(|Nothing {}| id)
    }

    /// What a command prints that runs to its end in a container, and succeeds.
    pub async fn exec(&self, container: &str, words: &[&str]) -> anyhow::Result<String> {
        let cmd: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let question = ExecSyncRequest { container_id: container.to_owned(), cmd, timeout: 20 };
        let answer: Result<ExecSyncResponse, Status> =
            self.call("/runtime.v1.RuntimeService/ExecSync", question).await;
        let answer = answer.with_context(|| words.join(" "))?;
        let (said, complaint) =
            (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        ensure!(
            answer.exit_code == 0,
            "`{}` ends with {}: {said}{complaint}",
            words.join(" "),
            answer.exit_code
        );
        Ok(said.into_owned())
    }
}
