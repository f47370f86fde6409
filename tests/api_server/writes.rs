//! What the test server does with writes: those who test writers rely on it.

use kube::api::{Api, Patch, PatchParams, PostParams};
use routelet::cluster::api_server;
use routelet::cluster::objects::BgpPeer;
use serde_json::json;

use crate::rig::{PEERS, Rig, peer};

#[tokio::test]
async fn writes_are_merged_recorded_and_refused_where_they_conflict() {
    let rig = Rig::new();
    let kubeconfig = rig.server.kubeconfig(&rig.directory.0);
    let client = api_server::connect(Some(&kubeconfig), None).await.unwrap().client().unwrap();
    let peers: Api<BgpPeer> = Api::all(client);
    let object = serde_json::from_value(peer("tor-a", "192.168.1.1", None)).unwrap();
    peers.create(&PostParams::default(), &object).await.unwrap();
    let again = peers.create(&PostParams::default(), &object).await.unwrap_err();
    assert!(matches!(&again, kube::Error::Api(status) if status.code == 409), "{again}");

    let patch = json!({"status": {"established": 3}});
    let applied = PatchParams::apply("test").force();
    peers.patch_status("tor-a", &applied, &Patch::Apply(&patch)).await.unwrap();
    peers
        .patch("tor-a", &PatchParams::default(), &Patch::Merge(json!({"spec": {"multihop": 3}})))
        .await
        .unwrap();
    let stored = rig.server.object(&format!("{PEERS}/tor-a")).unwrap();
    assert_eq!((&stored["status"]["established"], &stored["spec"]["multihop"]), (&json!(3), &json!(3)));
    assert_eq!(stored["spec"]["address"], "192.168.1.1");

    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"multihop": 4}});
    let refused = peers.patch("tor-a", &PatchParams::default(), &Patch::Merge(stale)).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 409), "{refused}");
    let written: Vec<_> = rig.server.requests().into_iter().filter(|r| r.method == "PATCH").collect();
    assert_eq!(
        (written[0].path.as_str(), &written[0].body),
        (format!("{PEERS}/tor-a/status").as_str(), &patch)
    );
    assert!(written[0].content_type.starts_with("application/apply-patch"), "{written:?}");
}
