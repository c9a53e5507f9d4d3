//! "Did you mean": the known name nearest to one that is not known.

/// The candidate that a person most likely meant, if any is near: the same but for case, `-` and `_`, or
/// with few slips of the keyboard (one in three letters).
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(name, candidates, |candidate| candidate.chars().count().max(3) / 3)
}

/// As `nearest`, but with one slip at most: for names that need not be known.
pub(crate) fn one_slip_off<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(name, candidates, |_| 1)
}

fn nearest_within<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    slips_max: fn(&str) -> usize,
) -> Option<&'a str> {
    let wanted = plain(name);
    candidates
        .into_iter()
        .map(|candidate| (slips(&wanted, &plain(candidate)), candidate))
        .filter(|&(slips, candidate)| slips <= slips_max(candidate))
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, candidate)| candidate)
}

/// The end of a message about an unknown name: the nearest one if there is one, else all.
pub(crate) fn suggestion(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => "none is known here".to_owned(),
        None => format!("allowed: {}", known.join(", ")),
    }
}

fn plain(name: &str) -> Vec<char> {
    // Names of configuration files are short; the rest of a long one cannot make it nearer.
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).take(64).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other.
fn slips(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, &a) in from.iter().enumerate() {
        let mut line = vec![row + 1];
        let mut left = row + 1;
        let mut neighbour = None;
        for (column, &b) in to.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut cost =
                (at(&last, column) + usize::from(a != b)).min(at(&last, column + 1) + 1).min(left + 1);
            if neighbour == Some(a) && previous == Some(b) && column > 0 {
                cost = cost.min(at(&before, column - 1) + 1);
            }
            line.push(cost);
            left = cost;
            neighbour = Some(b);
        }
        before = std::mem::replace(&mut last, line);
        previous = Some(a);
    }
    last.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_of_the_keyboard_are_recognised_and_other_words_are_not() {
        let known = ["heartbeat", "heartbeatTimeout", "useDict", "clientPort", "id"];
        for (name, expected) in [
            ("heartbeet", Some("heartbeat")),
            ("haertbeat", Some("heartbeat")),
            ("heartbeattimeout", Some("heartbeatTimeout")),
            ("use-dict", Some("useDict")),
            ("usedic", Some("useDict")),
            ("client_port", Some("clientPort")),
            ("clinetPrt", Some("clientPort")),
            ("di", Some("id")),
            ("port", None),
            ("name", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
