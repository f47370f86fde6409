//! The fewest prefixes that hold the same addresses.

use super::Prefix;

/// The same addresses in as few prefixes as can be, in order: what lies in another goes, and halves that fill
/// a whole become the whole.
///
/// A cluster's pod CIDRs are mostly handed out in sequence, so that a thousand of them become a few.
pub fn aggregate(prefixes: impl IntoIterator<Item = Prefix>) -> Vec<Prefix> {
    let mut sorted: Vec<Prefix> = prefixes.into_iter().collect();
    // By address, and then the shorter first: what covers a prefix is right before it in what is kept.
    sorted.sort_unstable();
    let mut kept: Vec<Prefix> = vec![];
    for prefix in sorted {
        if kept.last().is_some_and(|last| last.contains(prefix)) {
            continue;
        }
        let mut next = prefix;
        while let Some(whole) = kept.last().and_then(|last| joined(*last, next)) {
            kept.pop();
            next = whole;
        }
        kept.push(next);
    }
    kept
}

/// The prefix that two are the halves of.
fn joined(low: Prefix, high: Prefix) -> Option<Prefix> {
    let common = low.common(high)?;
    (low.length() == high.length() && common.length() + 1 == low.length()).then_some(common)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aggregated(prefixes: &[&str]) -> Vec<String> {
        aggregate(prefixes.iter().map(|p| p.parse().unwrap())).iter().map(Prefix::to_string).collect()
    }

    #[test]
    fn halves_become_the_whole_and_parts_go() {
        let three = ["10.244.2.0/24", "10.244.1.0/24", "10.244.0.0/24", "10.244.1.128/25"];
        assert_eq!(aggregated(&three), ["10.244.0.0/23", "10.244.2.0/24"]);
        assert_eq!(aggregated(&["10.244.1.0/24", "10.244.2.0/24"]).len(), 2);
        assert_eq!(aggregated(&["128.0.0.0/1", "0.0.0.0/1", "::/1"]), ["0.0.0.0/0", "::/1"]);
        assert_eq!(aggregated(&["fd00::1/128", "fd00::/128", "fd00::2/127"]), ["fd00::/126"]);
        assert_eq!(aggregated(&[]), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_address_comes_or_goes(
            drawn in proptest::collection::vec((any::<u8>(), 24u8..=32), 0..40), at in any::<u8>(),
        ) {
            let prefixes: Vec<Prefix> = drawn
                .iter()
                .filter_map(|(host, length)| Prefix::new([10, 0, 0, *host].into(), *length))
                .collect();
            let fewer = aggregate(prefixes.clone());
            let held = |list: &[Prefix]| list.iter().filter(|p| p.contains_address([10, 0, 0, at].into())).count();
            prop_assert_eq!(held(&prefixes).min(1), held(&fewer));
            prop_assert!(fewer.is_sorted() && fewer.len() <= prefixes.len());
            prop_assert_eq!(aggregate(fewer.clone()), fewer);
        }
    }
}
