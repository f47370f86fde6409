//! Who may speak: passwords (RFC 2385), TTL security (RFC 5082), and peers behind a router.

use crate::joined::{await_joined, joined, ours};
use crate::rig::Lab;
use crate::speaker::{Family, Setup, Speaker};
use crate::table::{Row, each, except};

const NO_MD5: (&str, &str) =
    ("OpenBGPD", "Debian's build has no TCP MD5 (\"md5sig configured but not available\")");

pub const ROWS: &[Row] = &[
    except("MD5: a right password, a wrong one, a right one again", md5, &[NO_MD5]),
    except("MD5: another password on both sides, while running", rotated, &[NO_MD5]),
    each("TTL security", ttl_security),
    each("TTL security with a router between: no session until it is allowed", ttl_too_low),
    each("multihop, on one segment", multihop),
    each("multihop, with a router between", through_a_router),
];

fn secret(name: &str) -> String {
    format!("passwordSecretRef: {{name: {name}, key: password}}")
}

fn md5(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { password: Some("right"), ..Setup::new(family) }, &secret("right"));
    let before = lab.refused_segments("TCPMD5");
    lab.configure_us(&[ours(family)], &secret("wrong"));
    lab.eventually("no session", || !lab.established() && lab.installed() == 0);
    lab.eventually("a wrong signature", || lab.refused_segments("TCPMD5") > before);
    lab.configure_us(&[ours(family)], &secret("right"));
    await_joined(&lab);
}

fn rotated(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { password: Some("wrong"), ..Setup::new(family) }, &secret("wrong"));
    speaker.change_password(&lab.them, &lab.setup, "right");
    lab.configure_us(&[ours(family)], &secret("right"));
    lab.eventually("the old session gone", || lab.flaps() > 0);
    await_joined(&lab);
}

fn ttl_security(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup { ttl_security: true, ..Setup::new(family) }, "ttlSecurity: {hops: 1}");
}

/// From loopback to loopback, as over a router one must.
fn routed(family: Family) -> (Setup, String) {
    let setup = Setup { routed: true, ..Setup::new(family) };
    (setup, format!("sourceAddress: \"{}\"\n  ", family.address(1)))
}

fn ttl_too_low(speaker: &dyn Speaker, family: Family) {
    let (setup, source) = routed(family);
    let lab = Lab::new(speaker, Setup { ttl_security: true, ..setup });
    lab.start_us(&[ours(family)], &format!("{source}ttlSecurity: {{hops: 1}}"));
    lab.start_them();
    lab.eventually("a segment of too low a TTL refused", || lab.refused_segments("TCPMinTTLDrop") > 3);
    if lab.established() {
        lab.fail("a session over a router, where the peer has to be on the segment");
    }
    lab.configure_us(&[ours(family)], &format!("{source}ttlSecurity: {{hops: 2}}"));
    await_joined(&lab);
}

fn multihop(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup { multihop: true, ..Setup::new(family) }, "multihop: 2");
}

fn through_a_router(speaker: &dyn Speaker, family: Family) {
    let (setup, source) = routed(family);
    joined(speaker, setup, &format!("{source}multihop: 2"));
}
