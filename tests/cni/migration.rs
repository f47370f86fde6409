//! A node goes from the reference plugins to ours and back with its pods alive.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::chain::{Chain, REFERENCE};
use super::rig::{Namespace, Node};

/// Datagrams there and back, all the time, from when it is made to when it is stopped.
struct Traffic {
    stop: std::sync::Arc<AtomicBool>,
    echo: std::thread::JoinHandle<()>,
    /// How many were sent, and how many came back.
    asking: std::thread::JoinHandle<(usize, usize)>,
}

const PAUSE: Duration = Duration::from_millis(5);

impl Traffic {
    fn between(a: (&Namespace, &str), b: (&Namespace, &str)) -> Traffic {
        let [left, right] = [a, b].map(|(pod, address)| {
            let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0);
            let socket = pod.handle.enter(|| UdpSocket::bind(address)).unwrap().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket
        });
        left.connect(right.local_addr().unwrap()).unwrap();
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let ends = [stop.clone(), stop.clone()];
        let echo = move |ended: &AtomicBool| {
            let mut buffer = [0; 8];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, from)) = right.recv_from(&mut buffer) {
                    right.send_to(&buffer[..length], from).unwrap();
                }
            }
        };
        let ask = move |ended: &AtomicBool| {
            let (mut sent, mut back, mut buffer) = (0_usize, 0, [0; 8]);
            while !ended.load(Ordering::Relaxed) {
                sent += 1;
                left.send(&sent.to_be_bytes()).unwrap();
                let answered = left.recv(&mut buffer).is_ok_and(|_| buffer == sent.to_be_bytes());
                back += usize::from(answered);
                #[allow(clippy::disallowed_methods, reason = "the pace of the stream")]
                std::thread::sleep(PAUSE);
            }
            (sent, back)
        };
        let [one, other] = ends;
        Traffic {
            stop,
            echo: std::thread::spawn(move || echo(&one)),
            asking: std::thread::spawn(move || ask(&other)),
        }
    }

    #[track_caller]
    fn must_have_flowed(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (sent, back) = self.asking.join().unwrap();
        self.echo.join().unwrap();
        assert!(sent > 10, "{sent} sent");
        assert_eq!(sent, back, "lost on the way");
    }
}

/// The two plugins with one configuration on one node.
struct Migration {
    node: Node,
    theirs: Chain,
    ours: Chain,
}

fn address(result: &Value) -> String {
    let address = result["ips"][0]["address"].as_str().unwrap();
    address.split('/').next().unwrap().to_owned()
}

impl Migration {
    fn new() -> Migration {
        let node = Node::new();
        let mut conf = node.configuration();
        conf["ipMasq"] = json!(false);
        let theirs = Chain::new("1.0.0").reference(conf.clone());
        let ours = Chain::new("1.0.0").ours(conf);
        Migration { node, theirs, ours }
    }

    /// From one to the other, with pods that stay, pods that the other removes, and new ones.
    async fn switch(&self, from: &Chain, to: &Chain) {
        let pods: [Namespace; 6] = std::array::from_fn(|_| Namespace::new());
        let [stays, goes, dies, new, newer, newest] = &pods;
        let add = |by: &Chain, name: &str, pod: &Namespace| by.add(&self.node, name, &pod.path()).unwrap();
        let check =
            |by: &Chain, name, pod: &Namespace, was| by.check(&self.node, name, &pod.path(), was).unwrap();
        let stayed = add(from, "stays", stays);
        let gone = add(from, "goes", goes);
        add(from, "dies", dies);
        let of_stays = address(&stayed);
        let old = Traffic::between((stays, &of_stays), (&self.node.namespace, "10.244.0.1"));

        let added = add(to, "new", new);
        let mixed = Traffic::between((new, &address(&added)), (stays, &of_stays));
        check(to, "new", new, &added);
        check(to, "stays", stays, &stayed);
        check(to, "goes", goes, &gone);
        to.del(&self.node, "goes", &goes.path(), Some(&gone)).unwrap();
        assert!(goes.link("eth0").await.is_none());
        // As after a pod whose sandbox has died.
        to.del(&self.node, "dies", "", None).unwrap();
        let others = [add(to, "newer", newer), add(to, "newest", newest)];
        let taken = [&stayed, &added, &others[0], &others[1]].map(address);
        let mut told = taken.to_vec();
        told.sort();
        assert_eq!(self.node.reservations(), told);
        check(to, "stays", stays, &stayed);

        // And by the first again: what the second made is nothing strange to it.
        check(from, "new", new, &added);
        from.del(&self.node, "newer", &newer.path(), Some(&others[0])).unwrap();
        assert!(newer.link("eth0").await.is_none());
        mixed.must_have_flowed();
        old.must_have_flowed();
        for (by, name, pod) in [(to, "stays", stays), (from, "new", new), (to, "newest", newest)] {
            by.del(&self.node, name, &pod.path(), None).unwrap();
            assert!(pod.link("eth0").await.is_none(), "{name}");
        }
        assert_eq!(self.node.reservations(), [""; 0]);
    }
}

#[tokio::test]
async fn from_the_reference_to_ours_and_back() {
    let migration = Migration::new();
    migration.switch(&migration.theirs, &migration.ours).await;
    migration.switch(&migration.ours, &migration.theirs).await;
}

/// GC knows whose pods are whose by the store alone, which both write.
#[tokio::test]
async fn gc_sweeps_the_dead_of_the_reference() {
    let migration = Migration::new();
    let Migration { node, theirs, .. } = &migration;
    let (alive, dead) = (Namespace::new(), Namespace::new());
    let result = theirs.add(node, "alive", &alive.path()).unwrap();
    theirs.add(node, "dead", &dead.path()).unwrap();
    drop(dead);
    let mut conf = node.configuration();
    conf["cniVersion"] = json!("1.1.0");
    conf["cni.dev/valid-attachments"] = json!([{"containerID": "alive", "ifname": "eth0"}]);
    node.call("GC", "", "", &conf).result();
    assert_eq!(node.reservations(), [address(&result)]);
    theirs.check(node, "alive", &alive.path(), &result).unwrap();
}

/// What the reference left of a pod in its store, before and after the versions that note interfaces.
#[tokio::test]
async fn reservations_of_every_age_are_respected() {
    let migration = Migration::new();
    let Migration { node, ours, .. } = &migration;
    let store = node.directory.join("networks/pod-network");
    std::fs::create_dir_all(&store).unwrap();
    std::fs::write(store.join("10.244.0.2"), "old").unwrap();
    std::fs::write(store.join("10.244.0.3"), "newer\r\neth0").unwrap();
    std::fs::write(store.join("last_reserved_ip.0"), "10.244.0.1").unwrap();
    let pod = Namespace::new();
    assert_eq!(address(&ours.add(node, "c1", &pod.path()).unwrap()), "10.244.0.4");
    for container in ["old", "newer", "c1"] {
        ours.del(node, container, "", None).unwrap();
    }
    assert_eq!(node.reservations(), [""; 0]);
    assert!(std::path::Path::new(REFERENCE).exists());
}
