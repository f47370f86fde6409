//! The same octets, read by us and by two other codecs: rustbgpd-wire and netgauze-bgp-pkt.
//!
//! Where both sides accept a message without complaint, it must mean the same to both. Where one
//! complains and the other does not, the kind of the difference must be in [`DIFFERENCES`], with who
//! is right.
//!
//! The other codecs know more families than we do and take no notice of which were negotiated; what
//! mutation makes of other families is therefore left out of the comparison.

mod reading;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use routelet::bgp::Codec;
use routelet::prefix::Family;

use self::reading::{Reading, Verdict, netgauze, ours, rustbgpd};
use self::table::{DIFFERENCES, Who};
use crate::{golden, hostile};

/// How many mutated messages are compared.
const MUTATED: usize = 1_200;

/// Differences that the table does not explain, each with a message that shows it.
#[derive(Default)]
struct Differences(BTreeMap<String, String>);

impl Differences {
    fn compare(&mut self, codec: &Codec, message: &[u8]) {
        let ours = ours(codec, message);
        for (who, theirs) in
            [(Who::Rustbgpd, rustbgpd(codec, message)), (Who::Netgauze, netgauze(codec, message))]
        {
            for kind in Self::kinds(&ours, who, &theirs) {
                let session = format!("four-octet {}, external {}", codec.four_octet_as, codec.external);
                let text =
                    || format!("{session}\n    {}\n    ours   {ours:?}\n    theirs {theirs:?}", hex(message));
                self.0.entry(format!("{who:?}: {kind}")).or_insert_with(text);
            }
        }
    }

    /// What the two do not agree on, beyond what the table explains.
    fn kinds(ours: &Reading, who: Who, theirs: &Reading) -> Vec<String> {
        let (mine, early) = Self::remaining(Who::Us, ours);
        let (other, their_early) = Self::remaining(who, theirs);
        if early || their_early {
            return vec![];
        }
        let verdict = |complaints: &[&(Verdict, String)]| {
            complaints.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Clean)
        };
        let agree = match (verdict(&mine), verdict(&other)) {
            // netgauze is strict: whatever is wrong, it refuses the message.
            (ours, theirs) if who == Who::Netgauze => (ours == Verdict::Clean) == (theirs == Verdict::Clean),
            (ours, theirs) => ours == theirs,
        };
        if !agree {
            let said = |complaints: &[&(Verdict, String)]| {
                complaints
                    .iter()
                    .map(|(v, what)| format!("{v:?} ({})", without_numbers(what)))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            return vec![format!("we say [{}], they [{}]", said(&mine), said(&other))];
        }
        if !ours.complaints.is_empty() || !theirs.complaints.is_empty() {
            return vec![];
        }
        let names: BTreeSet<&str> = ours.facts.keys().chain(theirs.facts.keys()).copied().collect();
        let differ = names.into_iter().filter(|name| ours.facts.get(name) != theirs.facts.get(name));
        let kinds: Vec<String> = differ.map(|name| format!("the meaning of {name}")).collect();
        kinds.into_iter().filter(|kind| !Self::explained(who, kind)).collect()
    }

    /// The complaints that need an answer from the other side, and whether one that does not has kept
    /// its side from reading on: at the end of a session, and at that of a path.
    fn remaining(who: Who, reading: &Reading) -> (Vec<&(Verdict, String)>, bool) {
        let (explained, remaining): (Vec<_>, Vec<_>) =
            reading.complaints.iter().partition(|(_, what)| Self::explained(who, what));
        let ends = |what: &str| what.contains("unknown AS_PATH segment type");
        (remaining, explained.iter().any(|(verdict, what)| *verdict >= Verdict::Reset || ends(what)))
    }

    fn explained(who: Who, kind: &str) -> bool {
        DIFFERENCES.iter().any(|row| row.0 == who && matches(row.1, kind))
    }

    fn check(&self) {
        let mut wrong = String::new();
        for (kind, example) in &self.0 {
            writeln!(wrong, "{kind}\n    {example}").unwrap();
        }
        assert!(wrong.is_empty(), "differences and table do not agree:\n{wrong}");
    }
}

/// Whether every part of a pattern, which are parted by `…`, is in the text in that order.
fn matches(pattern: &str, text: &str) -> bool {
    if let Some(whole) = pattern.strip_prefix('=') {
        return whole == text;
    }
    let mut rest = text;
    pattern.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn sessions() -> impl Iterator<Item = Codec> {
    [(true, true), (true, false), (false, true), (false, false)].into_iter().map(
        |(four_octet_as, external)| Codec {
            four_octet_as,
            external,
            families: Family::ALL.to_vec(),
            ..Codec::initial()
        },
    )
}

#[test]
fn other_codecs_read_the_same() {
    let mut differences = Differences::default();
    let captured: Vec<Vec<u8>> = golden::octets();
    assert!(captured.len() > 20);
    let mut runner = TestRunner::deterministic();
    let mut draw = |strategy: &dyn Fn(&mut TestRunner) -> Vec<u8>, count| {
        (0..count).map(|_| strategy(&mut runner)).collect::<Vec<_>>()
    };
    let sound = draw(&|runner| hostile::sound().new_tree(runner).unwrap().current(), MUTATED / 3);
    let mutated = draw(&|runner| hostile::mutated().new_tree(runner).unwrap().current(), MUTATED);
    for message in captured.iter().chain(&sound).chain(&mutated) {
        for codec in sessions() {
            differences.compare(&codec, message);
        }
    }
    differences.check();
}
