//! The `routelet` program itself: exit codes, what goes to which stream, and what `cleanup` leaves
//! of a real routing table. Needs root, for network namespaces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use routelet::api::{Listener, RouteFilter, Source, TableFilter, Unavailable};
use routelet::bgp::PathAttributes;
use routelet::fib::{Difference, Target};
use routelet::kernel::NetNs;
use routelet::prefix::Prefix;
use routelet::speaker::peer_table::{Cursor, Portion};
use routelet::speaker::view::{FibRouteView, PathView, PeerView, RouteView, Summary};
use routelet::speaker::{DrainTerms, DrainView};

/// The program, in an environment that says nothing to it.
fn routelet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A directory of one test's own, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("routelet-cli-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// So many routes that no pipe holds their table.
struct ManyRoutes;

impl Source for ManyRoutes {
    async fn summary(&self) -> Result<Summary, Unavailable> {
        Err(Unavailable("there are only routes here".to_owned()))
    }

    async fn peers(&self) -> Result<Vec<PeerView>, Unavailable> {
        Ok(vec![])
    }

    async fn routes(&self, _: RouteFilter) -> Result<Vec<RouteView>, Unavailable> {
        let next_hop = "192.168.1.12".parse().unwrap();
        let route = |n: u32| RouteView {
            prefix: Prefix::host(std::net::Ipv4Addr::from_bits(n).into()),
            decided_by: None,
            paths: vec![PathView {
                path_id: None,
                told_as: None,
                peer: None,
                attributes: PathAttributes::originated(next_hop),
                best: false,
                multipath: false,
                changed: None,
                stale: false,
                ineligible: None,
            }],
        };
        Ok((0..20_000).map(route).collect())
    }

    async fn peer_table(&self, _: &TableFilter, _: Cursor) -> Result<Option<Portion>, Unavailable> {
        Ok(None)
    }

    async fn fib(&self) -> Result<Vec<FibRouteView>, Unavailable> {
        Ok(vec![])
    }

    async fn audit(&self) -> Result<Vec<Difference>, Unavailable> {
        let prefix = "10.9.0.0/16".parse().unwrap();
        Ok(vec![Difference { prefix, metric: 20, desired: None, held: Some(Target::Unreachable) }])
    }

    async fn drain(&self) -> Result<Option<DrainView>, Unavailable> {
        Ok(None)
    }

    async fn start_drain(&self, _: DrainTerms) -> Result<bool, Unavailable> {
        Ok(false)
    }

    async fn undrain(&self) -> Result<bool, Unavailable> {
        Ok(false)
    }
}

#[test]
fn usage_errors_exit_with_2_and_failures_with_1() {
    let output = routelet(&["peers", "--no-such-flag"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--no-such-flag"));

    let output = routelet(&["run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--node-name <NAME>"), "{}", stderr(&output));

    let output = routelet(&["status", "--api-socket", "/nonexistent/api.sock"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "routelet: no routelet daemon answers on /nonexistent/api.sock: No such file or directory (os error 2); \
         is it running? (--api-socket, ROUTELET_API_SOCKET)\n"
    );
}

#[test]
fn the_environment_names_the_socket_too() {
    let output = routelet(&["fib"]).env("ROUTELET_API_SOCKET", "/nonexistent/env.sock").output().unwrap();
    assert!(stderr(&output).contains("/nonexistent/env.sock"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_reader_that_leaves_early_ends_it_quietly() {
    let directory = Directory::new("pipe");
    let socket = directory.0.join("api.sock");
    let listener = Listener::bind(&socket).unwrap();
    let server = tokio::spawn(listener.serve(Arc::new(ManyRoutes), std::future::pending()));

    for form in ["table", "json"] {
        let arguments = ["routes", "-o", form, "--api-socket", socket.to_str().unwrap()];
        let mut child: Child = routelet(&arguments).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).unwrap();
            // The pipe closes here, with the reader.
            (line, child.wait_with_output().unwrap())
        });
        let (line, output) = read.await.unwrap();
        assert!(!line.is_empty());
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{form}");
    }
    server.abort();
}

#[tokio::test]
async fn a_difference_from_the_kernel_is_an_exit_code() {
    let directory = Directory::new("audit");
    let socket = directory.0.join("api.sock");
    let listener = Listener::bind(&socket).unwrap();
    let server = tokio::spawn(listener.serve(Arc::new(ManyRoutes), std::future::pending()));
    let mut command = routelet(&["fib", "--audit", "--api-socket", socket.to_str().unwrap()]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "10.9.0.0/16 metric 20: should be nothing, the kernel has unreachable\n");
    assert_eq!(stderr(&output), "routelet: the kernel differs from what is desired in 1 place\n");
    server.abort();
}

/// Runs a program in a namespace and returns what it wrote, or panics with its complaint.
fn in_namespace(namespace: &NetNs, command: &mut Command) -> Output {
    // A child is in the namespace of the thread that spawned it.
    namespace.enter(|| command.spawn()).unwrap().unwrap().wait_with_output().unwrap()
}

fn ip(namespace: &NetNs, line: &str) -> String {
    let mut command = Command::new("ip");
    command.args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = in_namespace(namespace, &mut command);
    assert!(output.status.success(), "ip {line}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn cleanup(namespace: &NetNs, state: &Path, flags: &[&str]) -> Output {
    let state_dir = state.to_str().unwrap();
    let socket = state.join("api.sock");
    let mut arguments = vec!["cleanup", "--state-dir", state_dir, "--api-socket", socket.to_str().unwrap()];
    arguments.extend(flags);
    in_namespace(namespace, &mut routelet(&arguments))
}

#[test]
fn cleanup_removes_ours_and_nothing_else() {
    let directory = Directory::new("cleanup");
    fs::write(directory.0.join("node.json"), "{}").unwrap();
    fs::write(directory.0.join("notes.txt"), "").unwrap();
    let namespace = NetNs::create().unwrap();
    ip(&namespace, "link add segment type veth peer name far");
    ip(&namespace, "link set far up");
    ip(&namespace, "address add 192.168.1.11/24 dev segment");
    ip(&namespace, "address add fd00::11/64 dev segment nodad");
    ip(&namespace, "link set segment up");
    for route in [
        "10.244.2.0/24 via 192.168.1.12 proto 114 metric 20",
        "10.244.3.0/24 proto 114 metric 20 nexthop via 192.168.1.13 nexthop via 192.168.1.14",
        "fd00:10:244:2::/64 via fd00::12 proto 114 metric 20",
        "unreachable 10.244.1.0/24 proto 114 metric 20",
        // A person's route to the same place, another daemon's, and one of ours in another table.
        "10.244.2.0/24 via 192.168.1.12 metric 30",
        "10.9.0.0/16 via 192.168.1.1 proto bird metric 20",
        "10.8.0.0/16 via 192.168.1.1 proto 114 table 200",
    ] {
        ip(&namespace, &format!("route add {route}"));
    }

    for rule in
        ["add pref 1000 lookup 254 proto 114", "add pref 1001 from 10.244.0.0/16 lookup 200 proto 114"]
    {
        ip(&namespace, &format!("rule {rule}"));
    }
    // A person's, and another daemon's.
    for rule in ["add pref 1000 lookup 254", "add pref 1001 from 10.244.0.0/16 lookup 200 proto bird"] {
        ip(&namespace, &format!("rule {rule}"));
    }

    let output = cleanup(&namespace, &directory.0, &[]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let expected = format!(
        "removed rule 1000: from all lookup main\n\
         removed rule 1001: from 10.244.0.0/16 lookup 200\n\
         removed 10.244.1.0/24 unreachable metric 20\n\
         removed 10.244.2.0/24 via 192.168.1.12 metric 20\n\
         removed 10.244.3.0/24 via 192.168.1.13, 192.168.1.14 metric 20\n\
         removed fd00:10:244:2::/64 via fd00::12 metric 20\n\
         removed {}/node.json\n",
        directory.0.display()
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    let left = ip(&namespace, "route show table all proto 114") + &ip(&namespace, "-6 route show proto 114");
    assert_eq!(left.lines().count(), 1, "{left}");
    assert!(left.contains("10.8.0.0/16"), "{left}");
    let rules = ip(&namespace, "rule show");
    assert!(!rules.contains("proto 114") && rules.contains("lookup 200 proto bird"), "{rules}");
    assert_eq!(rules.matches("1000:").count(), 1, "{rules}");
    let others = ip(&namespace, "route show");
    assert!(others.contains("10.244.2.0/24 via 192.168.1.12 dev segment metric 30"), "{others}");
    assert!(others.contains("10.9.0.0/16"), "{others}");
    assert!(directory.0.join("notes.txt").exists());

    let output = cleanup(&namespace, &directory.0, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stdout.starts_with(b"nothing to remove: no rule of protocol 114, no route of it in table 254")
    );

    let output = cleanup(&namespace, &directory.0, &["--table", "200"]);
    assert_eq!(output.stdout, b"removed 10.8.0.0/16 via 192.168.1.1 metric 0\n");
}

#[tokio::test]
async fn cleanup_leaves_a_living_daemon_alone() {
    let directory = Directory::new("alive");
    fs::write(directory.0.join("node.json"), "{}").unwrap();
    let listener = Listener::bind(&directory.0.join("api.sock")).unwrap();
    let server = tokio::spawn(listener.serve(Arc::new(ManyRoutes), std::future::pending()));
    let state = directory.0.clone();
    let namespace = NetNs::create().unwrap();
    let output = tokio::task::spawn_blocking(move || cleanup(&namespace, &state, &[])).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("stop it first"), "{}", stderr(&output));
    assert!(directory.0.join("node.json").exists());
    server.abort();
}
