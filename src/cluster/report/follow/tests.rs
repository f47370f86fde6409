//! What lists and changes add up to.

use super::*;

fn node(name: &str) -> News {
    News::Node(name.to_owned(), BTreeMap::new())
}

fn names(known: &Known) -> Vec<&str> {
    known.nodes.keys().map(String::as_str).collect()
}

#[test]
fn a_list_that_is_read_again_takes_the_place_of_the_one_before() {
    let mut known = Known::default();
    for news in [News::ListBegins(List::Nodes), node("node1"), node("node2")] {
        known.take(news);
    }
    assert!(!known.is_whole());
    known.take(News::ListEnds(List::Nodes));
    assert!(!known.is_whole(), "no peers yet");
    known.take(News::ListBegins(List::Peers));
    known.take(News::ListEnds(List::Peers));
    assert!(known.is_whole());
    known.take(node("node3"));
    assert_eq!(names(&known), ["node1", "node2", "node3"]);
    // The watch was too old: while it is read again, what was known stays.
    known.take(News::ListBegins(List::Nodes));
    known.take(node("node1"));
    assert_eq!(names(&known), ["node1", "node2", "node3"]);
    known.take(News::ListEnds(List::Nodes));
    assert_eq!(names(&known), ["node1"]);
    known.take(News::NodeGone("node1".to_owned()));
    assert!(known.nodes.is_empty() && known.is_whole());
}
