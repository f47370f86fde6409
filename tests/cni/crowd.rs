//! A thousand containers come and go at once, with calls repeated, out of order, never made, and GC in
//! the midst of it: no address is given twice, and none is lost.
//!
//! `SEED=7 cargo test --test cni crowd` plays the same calls again; what runs beside what, the kernel
//! decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use routelet::kernel::{NetNs, Netlink};
use serde_json::{Value, json};

use super::rig::{self, Answer, Node};

const CONTAINERS: usize = 1000;

/// Calls under way at any time, GC apart.
const AT_ONCE: usize = 32;

/// What happens to one container, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// DEL before anything, and DEL again: succeeds.
    Del,
    /// DEL without a namespace.
    DelBlind,
    Add,
    /// Two ADDs at the same moment: one succeeds.
    AddTwice,
    /// ADD of what is attached: refused, and the pod stays as it is.
    AddAgain,
    Check,
    /// No DEL ever comes: GC has to find out.
    Forget,
}

/// Numbers that a seed decides (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.once_in(4) {
            steps.push(if self.once_in(2) { Step::Del } else { Step::DelBlind });
        }
        loop {
            steps.push(if self.once_in(8) { Step::AddTwice } else { Step::Add });
            if self.once_in(4) {
                steps.push(Step::AddAgain);
            }
            if self.once_in(2) {
                steps.push(Step::Check);
            }
            match self.below(8) {
                0 => steps.push(Step::Forget),
                // It stays.
                1 | 2 => {}
                end => {
                    steps.push(if end == 3 { Step::DelBlind } else { Step::Del });
                    if self.once_in(3) {
                        steps.push(if self.once_in(2) { Step::Del } else { Step::DelBlind });
                    }
                    // Once in a while it is attached anew.
                    if self.once_in(6) {
                        continue;
                    }
                }
            }
            return steps;
        }
    }
}

/// What the runtime knows.
#[derive(Default)]
struct Known {
    /// Who holds an address: from the result of ADD until before DEL is called.
    holders: BTreeMap<String, usize>,
    /// Results of the ADDs of those attached.
    results: BTreeMap<usize, Value>,
    /// Those whose DEL never comes, until GC is told.
    forgotten: BTreeSet<usize>,
}

struct Crowd {
    node: Node,
    conf: Value,
    pods: Vec<NetNs>,
    known: Mutex<Known>,
    seed: u64,
}

impl Crowd {
    fn call(&self, verb: &str, container: usize, conf: &Value) -> Answer {
        let netns = rig::path_of(&self.pods[container]);
        self.node.call(verb, &format!("c{container}"), &netns, conf)
    }

    fn added(&self, container: usize, result: Value) {
        let mut known = self.known.lock().unwrap();
        for address in addresses(&result) {
            let other = known.holders.insert(address.clone(), container);
            assert_eq!(other, None, "seed {}: {address} is given to c{container} as well", self.seed);
        }
        known.results.insert(container, result);
    }

    fn removed(&self, container: usize) {
        let mut known = self.known.lock().unwrap();
        known.holders.retain(|_, holder| *holder != container);
        known.results.remove(&container);
    }

    fn play(&self, container: usize, step: Step) {
        let context = || format!("seed {}: c{container} {step:?}", self.seed);
        let succeed = |answer: Answer| {
            assert!(answer.success, "{}: {}", context(), answer.document);
            answer.document
        };
        match step {
            Step::Del => {
                self.removed(container);
                succeed(self.call("DEL", container, &self.conf));
            }
            Step::DelBlind => {
                self.removed(container);
                succeed(self.node.call("DEL", &format!("c{container}"), "", &self.conf));
            }
            Step::Add => self.added(container, succeed(self.call("ADD", container, &self.conf))),
            Step::AddTwice => {
                let (name, netns) = (format!("c{container}"), rig::path_of(&self.pods[container]));
                let children = [(); 2].map(|()| self.node.spawn("ADD", &name, &netns, &self.conf));
                let answers = children.map(|child| rig::answer(child.wait_with_output().unwrap()));
                let [one, other] = answers;
                let (first, second) = if one.success { (one, other) } else { (other, one) };
                self.added(container, succeed(first));
                assert!(!second.success, "{}: both succeeded", context());
                assert_eq!(second.error().0, 102, "{}", context());
            }
            Step::AddAgain => assert_eq!(self.call("ADD", container, &self.conf).error().0, 102),
            Step::Check => {
                let mut conf = self.conf.clone();
                conf["prevResult"] = self.known.lock().unwrap().results[&container].clone();
                succeed(self.call("CHECK", container, &conf));
            }
            Step::Forget => drop(self.known.lock().unwrap().forgotten.insert(container)),
        }
    }

    /// GC as the runtime calls it: everybody may be there but those that were forgotten.
    fn collect(&self) {
        let mut known = self.known.lock().unwrap();
        let forgotten = known.forgotten.clone();
        known.holders.retain(|_, holder| !forgotten.contains(holder));
        known.results.retain(|container, _| !forgotten.contains(container));
        drop(known);
        let valid = (0..CONTAINERS).filter(|c| !forgotten.contains(c));
        let entry = |container| json!({"containerID": format!("c{container}"), "ifname": "eth0"});
        let mut conf = self.conf.clone();
        conf["cni.dev/valid-attachments"] = valid.map(entry).collect();
        let answer = self.node.call("GC", "", "", &conf);
        assert!(answer.success, "seed {}: GC: {}", self.seed, answer.document);
    }

    /// What each attached pod has, by name of the address.
    async fn in_pods(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for (container, pod) in self.pods.iter().enumerate() {
            let inside = Netlink::open_in(pod).unwrap();
            let Some(eth0) = inside.link("eth0").await.unwrap() else { continue };
            for address in inside.addresses(eth0.index).await.unwrap() {
                if !address.to_string().starts_with("fe80:") {
                    found.insert(address.to_string(), container);
                }
            }
        }
        found
    }
}

fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap();
    ips.iter().map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_thousand_containers_at_once() {
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let node = Node::new();
    let mut conf = node.dual_stack();
    let node_file = json!({"podCIDRs": ["10.244.0.0/20", "fd00:10:244::/64"], "bridge": "cni0"});
    std::fs::write(node.node_file(), node_file.to_string()).unwrap();
    conf["nodeFile"] = json!(node.node_file());
    let pods = (0..CONTAINERS).map(|_| NetNs::create().unwrap()).collect();
    let scripts: Vec<Vec<Step>> = (0..CONTAINERS).map(|_| random.steps()).collect();
    let mut order: Vec<usize> = (0..CONTAINERS).collect();
    for place in (1..CONTAINERS).rev() {
        order.swap(place, random.below(place as u64 + 1) as usize);
    }
    let crowd = Crowd { node, conf, pods, known: Mutex::default(), seed };
    let (waiting, over) = (Mutex::new(order), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let Some(container) = waiting.lock().unwrap().pop() else { return };
                scripts[container].iter().for_each(|step| crowd.play(container, *step));
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let collector = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                crowd.collect();
            }
        });
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::Relaxed);
        collector.join().unwrap();
        assert!(ends.iter().all(Result::is_ok), "seed {seed}");
    });
    crowd.collect();

    let known = crowd.known.lock().unwrap().holders.clone();
    assert!(known.len() > CONTAINERS / 4, "seed {seed}: {} addresses", known.len());
    assert_eq!(crowd.in_pods().await, known, "seed {seed}");
    let mut told: Vec<&str> = known.keys().map(|address| address.split('/').next().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(crowd.node.reservations(), told, "seed {seed}");
    // Two addresses each; a file for each, an owner's record and a veth pair.
    assert_eq!(crowd.node.traces().await.len(), known.len() * 2, "seed {seed}");

    let mut conf = crowd.conf.clone();
    conf["cni.dev/valid-attachments"] = json!([]);
    crowd.node.call("GC", "", "", &conf).result();
    assert_eq!(crowd.node.traces().await, [""; 0], "seed {seed}");
}
