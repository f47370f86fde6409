//! Addresses of Services: with what others see them, and how they share packets out among those who announce.

use std::fs;

use serde_json::Value;

use crate::joined::{await_joined, await_seen, check, ours};
use crate::rig::{Host, Lab};
use crate::speaker::{Family, Setup, Speaker, words};
use crate::table::{Row, each, except};

const NO_WEIGHTS: &str = "does not reckon with link bandwidth";

pub const ROWS: &[Row] = &[
    each("an address of a Service: communities, a change of them, withdrawal", announced),
    each("an address of a Service, internal: its local preference", preferred),
    except(
        "addresses of Services: link bandwidth that crosses the border",
        bandwidth,
        &[
            ("GoBGP", "its table was not asked for it: FRR and BIRD each show it in words of their own"),
            ("OpenBGPD", "its table was not asked for it: FRR and BIRD each show it in words of their own"),
        ],
    ),
    except(
        "two nodes with three endpoints and one: three times the packets",
        weighted,
        &[("BIRD", NO_WEIGHTS), ("GoBGP", NO_WEIGHTS), ("OpenBGPD", NO_WEIGHTS)],
    ),
];

/// The address.
fn address(family: Family) -> String {
    family.pick("198.51.100.10", "2001:db8:5::10").to_owned()
}

fn prefix(family: Family) -> String {
    family.pick("198.51.100.10/32", "2001:db8:5::10/128").to_owned()
}

/// A Service under the policy Local with so many endpoints on the node, and its advertisement.
fn objects(family: Family, endpoints: usize, advertisement: &str) -> String {
    let address_type = family.pick("IPv4", "IPv6");
    let endpoint =
        |i| format!("{{addresses: [\"{}{i}\"], nodeName: node}}", family.pick("10.0.0.", "fd10::"));
    let endpoints: Vec<String> = (1..=endpoints).map(endpoint).collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\n\
         spec: {{type: LoadBalancer, externalTrafficPolicy: Local}}\n\
         status: {{loadBalancer: {{ingress: [{{ip: \"{}\"}}]}}}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: {address_type}\nendpoints: [{}]\n\
         ---\napiVersion: routelet.dev/v1alpha1\nkind: BgpAdvertisement\nmetadata: {{name: web}}\n\
         spec: {{serviceSelector: {{}}, {advertisement}}}\n",
        address(family),
        endpoints.join(", "),
    )
}

fn configure(host: &Host, objects: &str) {
    fs::write(host.directory.join("manifests/services.yaml"), objects).unwrap();
}

/// Both run, and they have our address.
fn serving<'a>(speaker: &'a dyn Speaker, setup: Setup, endpoints: usize, advertisement: &str) -> Lab<'a> {
    let family = setup.family;
    let lab = Lab::new(speaker, setup);
    configure(&lab.us, &objects(family, endpoints, advertisement));
    lab.start_us(&[ours(family)], "");
    lab.start_them();
    await_joined(&lab);
    await_seen(&lab, &prefix(family));
    lab
}

fn announced(speaker: &dyn Speaker, family: Family) {
    let lab = serving(speaker, Setup::new(family), 1, "communities: [\"64512:200\"]");
    let seen = await_seen(&lab, &prefix(family));
    check(&lab, "AS path", &seen.as_path, &"64512".to_owned());
    check(&lab, "communities", &seen.communities, &vec!["64512:100".to_owned(), "64512:200".to_owned()]);
    check(&lab, "next hop", &seen.next_hop, &family.address(1));
    configure(&lab.us, &objects(family, 1, "communities: [\"64512:300\"]"));
    lab.eventually("the other community", || {
        let seen = speaker.seen(&lab.them, &lab.setup, &prefix(family));
        seen.is_some_and(|seen| seen.communities == ["64512:100", "64512:300"])
    });
    configure(&lab.us, &objects(family, 0, ""));
    lab.eventually("no endpoint, no address", || {
        speaker.seen(&lab.them, &lab.setup, &prefix(family)).is_none()
    });
    await_seen(&lab, &ours(family));
    check(&lab, "flaps", &lab.flaps(), &0);
}

fn preferred(speaker: &dyn Speaker, family: Family) {
    let lab = serving(speaker, Setup::internal(family), 1, "localPreference: 250");
    check(&lab, "local preference", &await_seen(&lab, &prefix(family)).local_pref, &Some(250));
    check(&lab, "that of pods", &await_seen(&lab, &ours(family)).local_pref, &Some(100));
}

/// What they say of our address, with all that they know.
fn shown(lab: &Lab<'_>, family: Family) -> String {
    let directory = lab.them.directory.to_str().unwrap();
    let (prefix, control) = (prefix(family), format!("{directory}/bird.ctl"));
    let question = format!("show bgp {} unicast {prefix}", family.name());
    lab.them.run(&words(&match lab.speaker.name() {
        "FRR" => vec!["vtysh", "--vty_socket", directory, "-c", &question],
        _ => vec!["birdc", "-s", &control, "show", "route", &prefix, "all"],
    }))
}

fn bandwidth(speaker: &dyn Speaker, family: Family) {
    let lab = serving(speaker, Setup::new(family), 3, "weightByEndpoints: true");
    // 375,000 octets per second, three megabits. BIRD does not know the kind and shows the octets of the float.
    let expected = if speaker.name() == "FRR" { "LB:64512:375000 (3.000 Mbps)" } else { "64512, 1219959552" };
    lab.eventually("three endpoints as three megabits", || shown(&lab, family).contains(expected));
}

/// The weights of the ways to a prefix in their kernel, by gateway.
fn weights(lab: &Lab<'_>, family: Family) -> Vec<(String, u64)> {
    let option = family.pick("-4", "-6");
    let text = lab.them.run(&words(&["ip", "-j", option, "route", "show", &address(family)]));
    let routes: Value = serde_json::from_str(&text).unwrap_or_default();
    let hops = routes[0]["nexthops"].as_array().cloned().unwrap_or_default();
    let hop = |hop: &Value| Some((hop["gateway"].as_str()?.to_owned(), hop["weight"].as_u64()?));
    let mut weights: Vec<(String, u64)> = hops.iter().filter_map(hop).collect();
    weights.sort();
    weights
}

fn weighted(speaker: &dyn Speaker, family: Family) {
    let setup = Setup { third_is_theirs: true, ..Setup::new(family) };
    let lab = serving(speaker, setup, 3, "weightByEndpoints: true");
    configure(&lab.third, &objects(family, 1, "weightByEndpoints: true"));
    lab.start_third_of(&[family.prefix(10, 0xfd10, 3)], 2, lab.setup.asn);
    lab.eventually("three times as much for us as for the third", || {
        let weights = weights(&lab, family);
        matches!(weights.as_slice(), [(_, us), (_, third)] if us.abs_diff(3 * third) <= 3)
    });
    configure(&lab.third, &objects(family, 3, "weightByEndpoints: true"));
    lab.eventually("as much for one as for the other", || {
        let weights = weights(&lab, family);
        matches!(weights.as_slice(), [(_, us), (_, third)] if us == third)
    });
    check(&lab, "flaps", &lab.flaps(), &0);
}
