//! What thousands of nodes cost one of them, and what they say to each other. By hand, as far as it takes long:
//! `cargo test --release --test sim scale -- --ignored --nocapture --test-threads 1`.

mod crowd;
mod mesh;

use std::time::Duration;

use routelet::cluster::manifests::parse;
use routelet::cluster::{ObjectSet, compile};
use routelet::speaker::Speaker;
use routelet::time::Instant;

use crate::plan::Plan;

/// Nodes `n1`, `n2`, …, of which the first three reflect.
fn cluster(count: usize, mesh: &str) -> ObjectSet {
    let mut text = format!(
        "{{apiVersion: routelet.dev/v1alpha1, kind: BgpConfiguration, metadata: {{name: default}}, spec: {{mesh: {mesh}, \
         reflectors: {{nodeSelector: {{matchLabels: {{reflects: 'true'}}}}, clusterId: 192.168.0.2}}}}}}\n"
    );
    for i in 1..=count {
        let (high, low, reflects) = (i / 250, 1 + i % 250, i <= 3);
        text += &format!(
            "---\n{{apiVersion: v1, kind: Node, metadata: {{name: n{i}, labels: {{reflects: '{reflects}'}}}}, spec: {{podCIDRs: \
             [10.{}.{}.0/24]}}, status: {{addresses: [{{type: InternalIP, address: 192.168.{high}.{low}}}]}}}}\n",
            128 + i / 256,
            i % 256
        );
    }
    parse([("cluster.yaml", text.as_str())]).unwrap().objects
}

#[test]
#[ignore = "it measures time, and is for a person to read"]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "it measures, and prints what it finds"
)]
fn what_a_change_costs() {
    let took = |what: &mut dyn FnMut()| {
        let began = std::time::Instant::now();
        what();
        began.elapsed()
    };
    println!("nodes, mesh, of: compile; first intent; an intent that changes nothing; one node more");
    for (count, mesh, name) in
        [(1000, "full", "n1"), (5000, "full", "n1"), (5000, "reflectors", "n1"), (5000, "reflectors", "n9")]
    {
        let (before, mut after) = (cluster(count, mesh), cluster(count, mesh));
        let mut more = after.nodes["n9"].clone();
        more.addresses = vec!["172.31.0.1".parse().unwrap()];
        more.pod_cidrs = vec!["10.99.0.0/24".parse().unwrap()];
        after.nodes.insert("one-more".to_owned(), more);
        let mut intent = None;
        let compiled = took(&mut || intent = Some(compile(&before, name).unwrap().intent));
        let intent = intent.unwrap();
        let now = Instant::ORIGIN + Duration::from_secs(1);
        let mut speaker = Speaker::new(1);
        speaker.handle_underlay(now, Plan::underlay());
        speaker.handle_bridge(now, true);
        let mut hand_over = |intent: &routelet::speaker::Intent| {
            took(&mut || {
                speaker.handle_intent(now, intent.clone());
                while speaker.poll_action().is_some() {}
            })
        };
        let first = hand_over(&intent);
        let same = hand_over(&compile(&before, name).unwrap().intent);
        let another = hand_over(&compile(&after, name).unwrap().intent);
        println!("{count}, {mesh}, {name}: {compiled:?}; {first:?}; {same:?}; {another:?}");
    }
}
