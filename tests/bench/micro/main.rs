//! Micro-benchmarks of an UPDATE's way through a node: decode, intern, decide, export, encode.
//!
//! `cargo bench --bench micro` runs all, `cargo bench --bench micro -- decode` some. Wall time wanders on a
//! busy machine; instructions do not. Those of one call are the difference of two runs, divided:
//!
//! ```text
//! perf stat -e instructions:u target/release/deps/micro-* --bench --sample-count 100 --sample-size 1000 decode::plain
//! perf stat -e instructions:u target/release/deps/micro-* --bench --sample-count 200 --sample-size 1000 decode::plain
//! ```

mod feed;
mod pipeline;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use divan::{Bencher, black_box};
use routelet::bgp::{Codec, Message, PathAttributes, PathId};
use routelet::prefix::{Family, Prefix};
use routelet::rib::Interner;

use feed::Dress;

/// How many prefixes a message carries: most carry one, and 900 fill it.
const COUNTS: [usize; 3] = [1, 16, 900];

fn main() {
    divan::main();
}

/// The codec of a session with an external peer as there are most today.
fn codec() -> Codec {
    Codec { four_octet_as: true, families: Family::ALL.to_vec(), ..Codec::initial() }
}

fn decoded(message: &[u8]) -> (PathAttributes, Vec<Prefix>) {
    let Ok(Message::Update(mut update)) = codec().decode(message) else { panic!("{message:?}") };
    let announcement = update.announced.pop().expect("the feed announces");
    (announcement.attributes, announcement.prefixes)
}

/// Attribute sets as they come, one in eight of them with what is rare.
fn sets(count: u32) -> Vec<PathAttributes> {
    let dress = |set: u32| if set.is_multiple_of(8) { Dress::Full } else { Dress::Plain };
    (0..count).map(|set| decoded(&feed::message(dress(set), set, 1)).0).collect()
}

mod decode {
    use super::*;

    fn decode(bencher: Bencher, dress: Dress, count: usize) {
        let (codec, message) = (codec(), feed::message(dress, 7, count));
        bencher.bench_local(|| codec.decode(black_box(&message)));
    }

    #[divan::bench(args = COUNTS)]
    fn minimal(bencher: Bencher, count: usize) {
        decode(bencher, Dress::Minimal, count);
    }

    #[divan::bench(args = COUNTS)]
    fn plain(bencher: Bencher, count: usize) {
        decode(bencher, Dress::Plain, count);
    }

    #[divan::bench(args = COUNTS)]
    fn full(bencher: Bencher, count: usize) {
        decode(bencher, Dress::Full, count);
    }
}

mod intern {
    use super::*;

    const SETS: u32 = 1000;

    /// A thousand sets that are new.
    #[divan::bench]
    fn new(bencher: Bencher) {
        let sets = sets(SETS);
        bencher.with_inputs(|| (Interner::default(), sets.clone())).bench_local_values(
            |(mut interner, sets)| {
                sets.into_iter().for_each(|set| drop(interner.intern(set)));
                interner
            },
        );
    }

    /// A thousand sets that are there.
    #[divan::bench]
    fn known(bencher: Bencher) {
        let (sets, mut interner) = (sets(SETS), Interner::default());
        let _held: Vec<Arc<PathAttributes>> = sets.iter().map(|set| interner.intern(set.clone())).collect();
        bencher.with_inputs(|| sets.clone()).bench_local_values(|sets| {
            sets.into_iter().for_each(|set| drop(interner.intern(set)));
        });
    }
}

mod decide {
    use routelet::rib::decision::{Candidate, Kind, decide};

    use super::*;

    /// Paths of unlike attributes from as many peers.
    #[divan::bench(args = [1, 2, 8, 64])]
    fn paths(bencher: Bencher, count: u32) {
        let sets = sets(count);
        let candidate = |(attributes, peer): (_, u8)| Candidate {
            attributes,
            kind: Kind::External,
            interior_cost: 0,
            router_id: Ipv4Addr::new(10, 0, 0, peer),
            peer_address: Some(IpAddr::from([192, 0, 2, peer])),
            path_id: PathId::NONE,
        };
        let candidates: Vec<Candidate<'_>> = sets.iter().zip(0..).map(candidate).collect();
        bencher.bench_local(|| decide(black_box(&candidates)));
    }
}

mod export {
    use routelet::rib::anycast::{Exchange, Listener, Originations, Scopes};
    use routelet::rib::as_path_rules::AsPathRules;
    use routelet::rib::decision::Kind;
    use routelet::rib::export::{Export, NextHopRule, Presence, Provenance};
    use routelet::rib::next_hop::Underlay;
    use routelet::rib::only_to_customer::OnlyToCustomer;
    use routelet::rib::policy::{Changes, Policy, PrefixRule};

    use super::*;

    /// Sixty-four sets rewritten for a peer.
    fn export(bencher: Bencher, kind: Kind, change: impl FnOnce(&mut Export<'_>)) {
        let everything: Prefix = "0.0.0.0/0".parse().expect("a prefix");
        let policy = Policy::accepting([PrefixRule::within(everything)]);
        let (underlay, originations, scopes) = (Underlay::new([]), Originations::new(), Scopes::new());
        let mut export = Export {
            peer_address: [192, 0, 2, 2].into(),
            external: false,
            client: false,
            local_asn: 64512,
            peer_asn: 65000,
            cluster_id: Ipv4Addr::new(192, 0, 2, 1),
            own_next_hop: [Some([192, 0, 2, 1].into()), None],
            extended_next_hop: false,
            long_lived: false,
            partial_deployment: false,
            next_hop: NextHopRule::Standard,
            as_path: AsPathRules::default(),
            only_to_customer: OnlyToCustomer::NONE,
            communities: &[],
            policy: &policy,
            presence: Presence::Staying,
            underlay: &underlay,
            listener: Listener { exchange: Exchange::ByPolicy, name: None },
            originations: &originations,
            scopes: &scopes,
        };
        change(&mut export);
        let from =
            Provenance { kind, from_client: false, router_id: Ipv4Addr::new(10, 0, 0, 9), anycast: false };
        let sets = sets(64);
        bencher.bench_local(|| {
            for received in black_box(&sets) {
                let (policy, mut changes) = (export.policy.judged(received), Changes::default());
                assert!(export.permits(everything, false, &policy, &mut changes));
                black_box(export.attributes(Family::Ipv4Unicast, received, from, &changes));
            }
        });
    }

    #[divan::bench]
    fn external(bencher: Bencher) {
        export(bencher, Kind::External, |export| export.external = true);
    }

    #[divan::bench]
    fn internal(bencher: Bencher) {
        export(bencher, Kind::External, |_| ());
    }

    #[divan::bench]
    fn reflected(bencher: Bencher) {
        export(bencher, Kind::Internal, |export| export.client = true);
    }
}

mod encode {
    use super::*;

    fn encode(bencher: Bencher, dress: Dress, count: usize) {
        let codec = codec();
        let (attributes, prefixes) = decoded(&feed::message(dress, 7, count));
        let mut out = Vec::with_capacity(8192);
        bencher.bench_local(|| {
            out.clear();
            codec.encode_announcements(black_box(&attributes), black_box(&prefixes), &mut out)
        });
    }

    #[divan::bench(args = COUNTS)]
    fn plain(bencher: Bencher, count: usize) {
        encode(bencher, Dress::Plain, count);
    }

    #[divan::bench(args = COUNTS)]
    fn full(bencher: Bencher, count: usize) {
        encode(bencher, Dress::Full, count);
    }
}
