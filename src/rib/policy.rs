//! Import and export policy: prefix lists that deny by default (RFC 8212).

use crate::prefix::Prefix;

/// A prefix list: what matches none of its rules is rejected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Prefixes that pass.
    pub accept: Vec<PrefixRule>,
}

/// Matches prefixes inside `prefix` whose length lies in `ge..=le`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixRule {
    /// Covering prefix.
    pub prefix: Prefix,
    /// Least length; at least that of `prefix`.
    pub ge: u8,
    /// Greatest length.
    pub le: u8,
}

impl PrefixRule {
    /// Matches this prefix alone.
    pub fn exactly(prefix: Prefix) -> PrefixRule {
        PrefixRule { prefix, ge: prefix.length(), le: prefix.length() }
    }

    /// Whether the rule matches.
    pub fn matches(&self, prefix: Prefix) -> bool {
        self.prefix.contains(prefix) && (self.ge..=self.le).contains(&prefix.length())
    }
}

impl Policy {
    /// Whether any rule lets `prefix` pass.
    pub fn accepts(&self, prefix: Prefix) -> bool {
        self.accept.iter().any(|rule| rule.matches(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_by_cover_and_length() {
        let rule = PrefixRule { prefix: "10.244.0.0/16".parse().unwrap(), ge: 24, le: 26 };
        let matches = |text: &str| rule.matches(text.parse().unwrap());
        assert!(matches("10.244.1.0/24") && matches("10.244.1.64/26"));
        assert!(!matches("10.244.0.0/16") && !matches("10.244.1.0/27") && !matches("10.0.0.0/24"));
        assert!(!matches("fd00::/24"));
    }

    #[test]
    fn an_empty_policy_denies_everything() {
        assert!(!Policy::default().accepts("10.0.0.0/8".parse().unwrap()));
    }
}
