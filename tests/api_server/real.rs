//! The same against a real API server, where `KUBECONFIG` names one. It only reads.

use std::io::Write;
use std::time::Duration;

use routelet::cluster::api_server;
use tokio::time::timeout;

use crate::rig::Scratch;

#[tokio::test]
async fn a_real_server_tells_its_nodes() {
    if std::env::var_os("KUBECONFIG").is_none_or(|value| value.is_empty()) {
        // Written past the capture of the test runner: nobody is to believe that it was tried.
        let said = writeln!(
            std::io::stderr(),
            "SKIPPED a_real_server_tells_its_nodes: KUBECONFIG names no API server"
        );
        return said.unwrap();
    }
    let directory = Scratch::new();
    let server = api_server::connect(None, None).await.unwrap();
    let mut watch = server.watch("no-such-node", &directory.0).unwrap();
    let reading = timeout(Duration::from_secs(60), watch.next()).await.expect("no list").unwrap();
    assert!(!reading.objects.nodes.is_empty());
    assert_eq!(reading.faults, []);
}
