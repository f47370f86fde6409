//! Section 4: another plugin gives the addresses.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::scene::{REFERENCE, Scene};
use super::{Must, Reference, Row, Should};

pub const ROWS: &[Row] = &[
    Row(
        "4 procedure",
        Should,
        "the plugin is looked for in the directories of CNI_PATH, in their order",
        looked_for,
    ),
    Row("4 protocol", Must, "it gets the same variables", same_variables),
    Row("4 protocol", Must, "it gets the whole configuration, octet by octet", whole_configuration),
    Row("4 procedure", Should, "its stderr goes to ours", its_stderr),
    Row("4 procedure", Should, "if its ADD fails it is called with DEL, and its error is ours", add_fails),
    Row(
        "4 procedure",
        Must,
        "it is called for DEL, also without namespace, and its error is ours",
        forwards_del,
    ),
    Row("4 procedure", Must, "it is called for CHECK, and its error is ours", forwards_check),
    Row("4 procedure", Must, "it is called for GC with the list, and its error is ours", forwards_gc),
    Row(
        "2 STATUS",
        Must,
        "it is called for STATUS, and its error is ours: 50 stays 50, 51 stays 51",
        forwards_status,
    ),
    Row(
        "4 protocol",
        Must,
        "its addresses, routes and name service are the pod's, and in the result",
        applied,
    ),
    Row("4 protocol", Must, "a result of an older version is understood", older_result),
    Row("4 ADD", Should, "if we fail after it its address is given back", given_back),
    Row(
        "5 delegated",
        Must,
        "a plugin that is not there is an error that says where it was looked for",
        absent,
    ),
    Row("5 delegated", Must, "without CNI_PATH code 4 names it", no_path),
    Row("5 delegated", Must, "what is no result, or has no address, is an error", garbage),
    Row(
        "5 delegated",
        Must,
        "one that fails without a document is an error with its exit code",
        fails_silently,
    ),
    Row("4 procedure", Reference, "a plugin that names itself is refused", itself),
    Row("4 procedure", Reference, "without ipam the pod gets a link, and the result no ips", layer_two),
    Row(
        "4 host-local",
        Reference,
        "the reference host-local gives our bridge its addresses",
        reference_host_local,
    ),
    Row("4 static", Reference, "the reference static gives our bridge its addresses", reference_static),
    Row(
        "4 dhcp",
        Reference,
        "dhcp without its daemon: its error is ours, and nothing is left",
        reference_dhcp,
    ),
];

const RESULT: &str = r#"{"cniVersion": "1.1.0", "ips": [{"address": "10.9.0.7/24", "gateway": "10.9.0.1"}],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.0.2.0/24", "gw": "10.9.0.3"}], "dns": {"nameservers": ["10.9.0.53"]}}"#;

/// Notes each call, and answers an ADD.
const NOTES: &str =
    r#"echo "$CNI_COMMAND" >> $D/calls; cat > $D/stdin.$CNI_COMMAND; env > $D/env.$CNI_COMMAND"#;

fn ask(scene: &Scene) -> Value {
    scene.conf(json!({"ipam": {"type": "giver", "subnet": null, "routes": null}}))
}

fn giver(scene: &Scene, more: &str) -> Value {
    scene.script("giver", &format!("{NOTES}\n{more}\n[ $CNI_COMMAND != ADD ] || echo '{RESULT}'"));
    ask(scene)
}

fn calls(scene: &Scene) -> Vec<String> {
    let text = fs::read_to_string(scene.file("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn nothing_left(scene: &Scene) {
    assert!(scene.traces().is_empty() && scene.pod_link("eth0").is_none());
}

fn looked_for(scene: &Scene) {
    let conf = giver(scene, "");
    let path = format!("/nonexistent::{}:{REFERENCE}", scene.file("bin").display());
    scene.ask("ADD", &conf).with("CNI_PATH", path).run().result();
    // A directory of that name is no plugin.
    fs::create_dir_all(scene.file("other/giver")).unwrap();
    let path = format!("{}:{}", scene.file("other").display(), scene.file("bin").display());
    scene.ask("DEL", &conf).with("CNI_PATH", path).run().silent();
    assert_eq!(calls(scene), ["ADD", "DEL"]);
}

fn same_variables(scene: &Scene) {
    let conf = giver(scene, "");
    let args = "IgnoreUnknown=1;K8S_POD_NAME=p";
    scene.ask("ADD", &conf).with("CNI_ARGS", args).with("OTHER", "kept").run().result();
    let seen = fs::read_to_string(scene.file("env.ADD")).unwrap();
    for line in [
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=c1",
        &format!("CNI_NETNS={}", scene.pod.path()),
        "CNI_IFNAME=eth0",
        &format!("CNI_ARGS={args}"),
        &format!("CNI_PATH={}:{REFERENCE}", scene.file("bin").display()),
        "OTHER=kept",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line} is not in {seen}");
    }
}

fn whole_configuration(scene: &Scene) {
    let mut conf = giver(scene, "");
    conf["unheard-of"] = json!([1, {"x": null}]);
    let text = format!("{conf:#}\n ");
    scene.ask("ADD", &conf).input(text.clone()).run().result();
    assert_eq!(fs::read_to_string(scene.file("stdin.ADD")).unwrap(), text);
}

fn its_stderr(scene: &Scene) {
    let conf = giver(scene, "echo from the giver >&2");
    let said = scene.ask("ADD", &conf).run();
    said.result();
    assert_eq!(said.stderr, "from the giver\n");
}

/// An error document for one verb.
fn refusal(verb: &str, code: u64) -> String {
    format!(
        r#"if [ $CNI_COMMAND = {verb} ]; then
        echo '{{"cniVersion": "1.1.0", "code": {code}, "msg": "no luck", "details": "at all"}}'; exit 1; fi"#
    )
}

fn add_fails(scene: &Scene) {
    let conf = giver(scene, &refusal("ADD", 123));
    scene.ask("ADD", &conf).run().fails(123, &["giver", "no luck", "at all"]);
    assert_eq!(calls(scene), ["ADD", "DEL"]);
    nothing_left(scene);
}

fn forwards_del(scene: &Scene) {
    let conf = giver(scene, "");
    scene.add(&conf);
    scene.ask("DEL", &conf).without(&["CNI_NETNS"]).run().silent();
    assert_eq!(calls(scene), ["ADD", "DEL"]);
    nothing_left(scene);
    scene.add(&conf);
    giver(scene, &refusal("DEL", 11));
    scene.ask("DEL", &conf).run().fails(11, &["no luck"]);
    // What is ours is gone all the same.
    nothing_left(scene);
}

fn forwards_check(scene: &Scene) {
    let conf = scene.added(&giver(scene, ""));
    scene.ask("CHECK", &conf).run().silent();
    assert_eq!(calls(scene), ["ADD", "CHECK"]);
    giver(scene, &refusal("CHECK", 140));
    scene.ask("CHECK", &conf).run().fails(140, &["no luck"]);
    giver(scene, "");
    let index = scene.pod_link("eth0").unwrap().index;
    scene.wait(scene.pod.netlink.remove_address(index, "10.9.0.7/24".parse().unwrap())).unwrap();
    scene.ask("CHECK", &conf).run().fails(104, &["10.9.0.7/24"]);
}

fn forwards_gc(scene: &Scene) {
    let mut conf = giver(scene, "");
    conf["cni.dev/valid-attachments"] = json!([{"containerID": "c1", "ifname": "eth0"}]);
    scene.ask("GC", &conf).run().silent();
    let seen: Value = serde_json::from_slice(&fs::read(scene.file("stdin.GC")).unwrap()).unwrap();
    assert_eq!(seen, conf);
    giver(scene, &refusal("GC", 5));
    scene.ask("GC", &conf).run().fails(5, &["no luck"]);
}

fn forwards_status(scene: &Scene) {
    let conf = giver(scene, "");
    scene.ask("STATUS", &conf).run().silent();
    assert_eq!(calls(scene), ["STATUS"]);
    for (code, ours) in [(50, 50), (51, 51), (11, 50)] {
        giver(scene, &refusal("STATUS", code));
        scene.ask("STATUS", &conf).run().fails(ours, &["no luck"]);
    }
}

fn applied(scene: &Scene) {
    let conf = giver(scene, "");
    let result = scene.add(&conf);
    assert_eq!(scene.addresses(), ["10.9.0.7/24"]);
    assert_eq!(result["ips"], json!([{"address": "10.9.0.7/24", "gateway": "10.9.0.1", "interface": 2}]));
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "192.0.2.0/24", "gw": "10.9.0.3"}]));
    assert_eq!(result["dns"], json!({"nameservers": ["10.9.0.53"]}));
    assert_eq!(scene.wait(scene.node.namespace.addresses("cni0")), ["10.9.0.1/24"]);
    let mut checked = conf.clone();
    checked["prevResult"] = result;
    scene.ask("CHECK", &checked).run().silent();
}

fn older_result(scene: &Scene) {
    let old = r#"{"ip4": {"ip": "10.9.0.8/24", "routes": [{"dst": "0.0.0.0/0"}]}, "cniVersion": "0.2.0"}"#;
    scene.script("giver", &format!("[ $CNI_COMMAND != ADD ] || echo '{old}'"));
    let result = scene.add(&ask(scene));
    // The bridge is to be the gateway, and none was named: the first address, as in the reference.
    assert_eq!(result["ips"], json!([{"address": "10.9.0.8/24", "gateway": "10.9.0.1", "interface": 2}]));
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0"}]));
}

fn given_back(scene: &Scene) {
    let mut conf = giver(scene, "");
    conf["bridge"] = json!("lo");
    scene.ask("ADD", &conf).run().error();
    assert_eq!(calls(scene), ["ADD", "DEL"]);
}

fn absent(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"type": "nowhere"}}));
    let path = scene.file("bin").display().to_string();
    scene.ask("ADD", &conf).run().fails(7, &["ipam.type", "nowhere", &path]);
    scene.ask("STATUS", &conf).run().fails(7, &["nowhere"]);
    nothing_left(scene);
}

fn no_path(scene: &Scene) {
    let conf = giver(scene, "");
    scene.ask("ADD", &conf).without(&["CNI_PATH"]).run().fails(4, &["CNI_PATH", "giver"]);
}

fn garbage(scene: &Scene) {
    for (printed, word) in [
        ("", "EOF"),
        ("garbage", "garbage"),
        ("[]", "[]"),
        (r#"{"cniVersion": "1.1.0"}"#, "no address"),
        (r#"{"ips": [{"address": "10.9.0.7"}]}"#, "10.9.0.7"),
        (r#"{"ips": [{}]}"#, "ips[0].address"),
        (r#"{"ips": 7}"#, "ips"),
        (r#"{"ips": [{"address": "10.9.0.7/24"}], "routes": [{"gw": "10.9.0.1"}]}"#, "routes[0].dst"),
    ] {
        scene.script("giver", &format!("{NOTES}\n[ $CNI_COMMAND != ADD ] || printf '%s' '{printed}'"));
        scene.ask("ADD", &ask(scene)).run().fails(6, &["giver", word]);
        // It may have given one.
        assert_eq!(calls(scene).last().unwrap(), "DEL");
    }
    scene.script("giver", "[ $CNI_COMMAND != ADD ] || exec yes");
    scene.ask("ADD", &ask(scene)).run().fails(6, &["giver", "without end"]);
    nothing_left(scene);
}

fn fails_silently(scene: &Scene) {
    scene.script("giver", "[ $CNI_COMMAND != ADD ] || { echo oops; exit 3; }");
    scene.ask("ADD", &ask(scene)).run().fails(105, &["giver", "3", "oops"]);
    scene.script("giver", "[ $CNI_COMMAND != ADD ] || kill -9 $$");
    scene.ask("ADD", &ask(scene)).run().fails(105, &["giver", "9"]);
    nothing_left(scene);
}

fn itself(scene: &Scene) {
    let conf = scene.conf(json!({"ipam": {"type": "bridge"}}));
    scene.ask("ADD", &conf).run().fails(7, &["ipam.type", "itself"]);
}

fn layer_two(scene: &Scene) {
    for changes in [json!({"ipam": null}), json!({"ipam": {"type": null}}), json!({"ipam": {"type": ""}})] {
        let conf = scene.added(&scene.conf(changes));
        let result = &conf["prevResult"];
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
        assert!(result.get("ips").is_none_or(|ips| ips == &json!([])), "{result}");
        assert!(scene.pod_link("eth0").unwrap().up && scene.addresses().is_empty());
        scene.ask("CHECK", &conf).run().silent();
        scene.ask("STATUS", &conf).run().silent();
        scene.del(&conf);
        nothing_left(scene);
    }
}

/// Where the reference plugins are and ours of that name is not.
fn with_reference(scene: &Scene, name: &str) -> String {
    assert!(Path::new(REFERENCE).join(name).exists(), "{REFERENCE}/{name} is missing");
    let directory = scene.file("reference");
    fs::create_dir_all(&directory).unwrap();
    // By another name, for its own is built in.
    let _ = std::os::unix::fs::symlink(Path::new(REFERENCE).join(name), directory.join("theirs"));
    directory.display().to_string()
}

/// ADD, CHECK and DEL with a plugin of the reference, which knows 1.0.0 here.
fn played(scene: &Scene, name: &str, ipam: Value, address: &str) {
    let path = with_reference(scene, name);
    let mut conf = scene.conf(json!({"cniVersion": "1.0.0", "ipam": null}));
    conf["ipam"] = ipam;
    conf["ipam"]["type"] = json!("theirs");
    let call = |verb, conf: &Value| scene.ask(verb, conf).with("CNI_PATH", &path).run();
    let result = call("ADD", &conf).result();
    assert_eq!(result["ips"][0]["address"], address);
    assert_eq!(scene.addresses(), [address]);
    let mut checked = conf.clone();
    checked["prevResult"] = result;
    call("CHECK", &checked).silent();
    call("DEL", &checked).silent();
    call("DEL", &conf).silent();
    nothing_left(scene);
}

fn reference_host_local(scene: &Scene) {
    let ipam = json!({"subnet": "10.7.0.0/24", "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": scene.file("networks")});
    played(scene, "host-local", ipam, "10.7.0.2/24");
}

fn reference_static(scene: &Scene) {
    let ipam = json!({"addresses": [{"address": "10.7.0.9/24", "gateway": "10.7.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}]});
    played(scene, "static", ipam, "10.7.0.9/24");
}

fn reference_dhcp(scene: &Scene) {
    let conf = scene.conf(json!({"cniVersion": "1.0.0", "ipam": {"type": "dhcp", "subnet": null}}));
    let (code, text) = scene.ask("ADD", &conf).run().error();
    assert!(code != 0 && text.contains("IPAM plugin dhcp") && text.contains("dhcp.sock"), "{code} {text}");
    nothing_left(scene);
}
