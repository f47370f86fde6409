//! Values as people write them.

/// A duration in its two largest units: `12s`, `3m5s`, `2h`, `3d4h`.
pub fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];

    let Some(largest) = UNITS.iter().position(|(size, _)| seconds >= *size) else {
        return "0s".to_owned();
    };
    let (size, unit) = UNITS[largest];
    let mut text = format!("{}{unit}", seconds / size);
    if let Some((smaller, unit)) = UNITS.get(largest + 1) {
        let rest = seconds % size / smaller;
        if rest > 0 {
            text += &format!("{rest}{unit}");
        }
    }
    text
}

/// A value that may be missing; empty then, which tables show as `-`.
pub fn optional(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (12, "12s"),
            (60, "1m"),
            (185, "3m5s"),
            (7_200, "2h"),
            (7_259, "2h"),
            (86_399, "23h59m"),
            (86_400, "1d"),
            (273_659, "3d4h"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }
}
