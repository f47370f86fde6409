//! What is asked: stdin and environment, and the verbs of each version.

use super::*;

#[test]
fn stdin_that_is_no_configuration() {
    let add = |stdin: &str| failure(call("ADD", &[], stdin));
    let not_an_object = "the configuration on stdin is not a JSON object";
    for (stdin, code, text) in [
        ("", 6, format!("{not_an_object} | EOF while parsing a value at line 1 column 0")),
        ("{\"name\": \"x\",", 6, format!("{not_an_object} | EOF while parsing a value at line 1 column 13")),
        ("[1]", 6, format!("{not_an_object} | it is [1]")),
        ("{}", 7, "network configuration: name is wrong | it is absent".to_owned()),
        (
            "{\"name\": 7}",
            7,
            "network configuration: name is wrong | invalid type: integer `7`, expected a string".to_owned(),
        ),
        (
            "{\"name\": \"../etc\"}",
            7,
            "network configuration: name is wrong | \"../etc\" must be of letters, digits, '_', '.', '-' and \
             start with a letter or digit"
                .to_owned(),
        ),
        (
            "{\"cniVersion\": \"2.0.0\", \"name\": \"x\"}",
            1,
            "cniVersion \"2.0.0\" is not supported | supported are 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, \
             1.1.0"
                .to_owned(),
        ),
    ] {
        assert_eq!(add(stdin), (code, text), "{stdin}");
    }
}

#[test]
fn variables_that_are_absent_or_wrong_are_all_named() {
    let conf = configuration(json!({}));
    let fault = |command: &str, changes: &[(&str, &str)]| {
        let (code, text) = failure(call(command, changes, &conf));
        assert_eq!(code, 4);
        text.strip_prefix("environment variables are absent or wrong | ").unwrap().to_owned()
    };
    assert_eq!(
        fault("ADD", &[("CNI_CONTAINERID", ""), ("CNI_NETNS", ""), ("CNI_IFNAME", "")]),
        "CNI_CONTAINERID is absent; CNI_IFNAME is absent; CNI_NETNS is absent"
    );
    assert_eq!(
        fault("DEL", &[("CNI_CONTAINERID", ""), ("CNI_NETNS", ""), ("CNI_IFNAME", "")]),
        "CNI_CONTAINERID is absent; CNI_IFNAME is absent"
    );
    for id in ["-x", "../x", "a/b", "a:b", "a b", "é"] {
        assert!(fault("ADD", &[("CNI_CONTAINERID", id)]).starts_with("CNI_CONTAINERID"), "{id}");
    }
    for name in [".", "..", "a/b", "a:b", "a b", "sixteen-letters-"] {
        assert!(fault("DEL", &[("CNI_IFNAME", name)]).starts_with("CNI_IFNAME"), "{name}");
    }
    let long = "x".repeat(201);
    assert_eq!(
        fault("ADD", &[("CNI_CONTAINERID", long.as_str())]),
        "CNI_CONTAINERID has 201 octets, at most 200 are taken"
    );
    assert_eq!(
        fault("ADD", &[("CNI_ARGS", "IgnoreUnknown=1;nonsense")]),
        "CNI_ARGS: \"nonsense\" is not of the form KEY=VALUE"
    );
    assert_eq!(
        fault("ADD", &[("CNI_ARGS", "IP=10.0.0.1;K=V")]),
        "CNI_ARGS: \"K\" is not one of IgnoreUnknown, IP, MAC, GATEWAY, SUBNET; IgnoreUnknown=1 would let it pass"
    );
    assert_eq!(fault("add", &[]), "CNI_COMMAND is \"add\", not one of ADD, DEL, CHECK, STATUS, GC, VERSION");
    let gone = fault("ADD", &[]);
    assert!(gone.starts_with("CNI_NETNS \"/run/netns/none-of-that-name\": "), "{gone}");
    assert!(fault("ADD", &[("CNI_NETNS", "/etc/passwd")]).contains("not a namespace"));
    assert!(fault("ADD", &[("CNI_NETNS", "/proc/thread-self/ns/net")]).contains("the node's own"));
}

#[test]
fn verbs_are_answered_from_their_version_on() {
    for (command, version, code) in [
        ("CHECK", "0.3.1", 1),
        ("CHECK", "0.4.0", 7),
        ("STATUS", "1.0.0", 1),
        ("GC", "1.0.0", 1),
        ("GC", "1.1.0", 7),
    ] {
        let conf = configuration(json!({"cniVersion": version}));
        assert_eq!(failure(call(command, &[], &conf)).0, code, "{command} {version}");
    }
}

#[test]
fn version_is_answered_whatever_is_on_stdin() {
    for (stdin, version) in [
        ("{\"cniVersion\": \"0.4.0\"}", "0.4.0"),
        ("", "1.1.0"),
        ("{\"cniVersion\": \"9\"}", "9"),
        ("{\"cniVersion\": 9}", "1.1.0"),
    ] {
        let Reply { document, success } = call("VERSION", &[("CNI_CONTAINERID", "")], stdin);
        assert!(success);
        let supported = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
        assert_eq!(document.unwrap(), json!({"cniVersion": version, "supportedVersions": supported}));
    }
}

#[test]
fn an_error_speaks_the_version_of_the_configuration() {
    let reply = call("ADD", &[("CNI_IFNAME", "")], &configuration(json!({"cniVersion": "0.2.0"})));
    assert_eq!(reply.document.unwrap()["cniVersion"], "0.2.0");
}

#[test]
fn status_says_what_an_add_would_run_into() {
    let status = |changes| call("STATUS", &[], &configuration(changes));
    let scratch = Scratch::new();
    let ipam = |subnet: &str| json!({"type": "host-local", "subnet": subnet, "dataDir": scratch.0});
    let ready = status(json!({"cniVersion": "1.1.0", "ipam": ipam("10.0.0.0/30")}));
    assert_eq!(ready, Reply { document: None, success: true });
    let full = whole("10.0.0.0/30");
    let owner = Owner { container_id: "c9".to_owned(), interface: "eth0".to_owned() };
    crate::ipam::Store::new(&scratch.0, "pod-network").allocate(&owner, &[full], &[]).unwrap();
    assert_eq!(failure(status(json!({"cniVersion": "1.1.0", "ipam": ipam("10.0.0.0/30")}))).0, 50);
    assert_eq!(failure(status(json!({"cniVersion": "1.1.0", "ipam": {"type": "routelet"}}))).0, 50);
    // CNI_PATH is absent.
    assert_eq!(failure(status(json!({"cniVersion": "1.1.0", "ipam": {"type": "dhcp"}}))).0, 4);
}
