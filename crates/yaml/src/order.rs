//! go-yaml's order of mapping keys.

use std::cmp::Ordering;

use crate::parse::Dialect;

/// Up to this length an insertion sort needs no memory and little time.
const SHORT: usize = 20;

/// Sorts entries by key, as go-yaml does: runs of digits compare as numbers.
///
/// The order has cycles (`0A` < `1b` < `01` < `0A`), at which the standard library's sorts may panic; go-yaml's result
/// then depends on the order it starts from, which here is that of the bytes.
pub(crate) fn sort_keys<V: Copy>(entries: &mut [(&String, V)]) {
    entries.sort_by_key(|(key, _)| *key);
    merge_sort(entries, Dialect::V2);
}

/// The same as go-yaml v3 does it: a letter behind a digit comes before what is none.
pub fn sort_keys_of_v3<V: Copy>(entries: &mut [(&String, V)]) {
    entries.sort_by_key(|(key, _)| *key);
    merge_sort(entries, Dialect::V3);
}

fn merge_sort<V: Copy>(entries: &mut [(&String, V)], dialect: Dialect) {
    let is_less = |a: &(&String, V), b: &(&String, V)| compare(a.0, b.0, dialect) == Ordering::Less;
    if entries.len() <= SHORT {
        for end in 1..entries.len() {
            let mut at = end;
            while let Some([before, moved]) = at.checked_sub(1).and_then(|from| entries.get_mut(from..=at)) {
                if !is_less(moved, before) {
                    break;
                }
                std::mem::swap(moved, before);
                at -= 1;
            }
        }
        return;
    }
    let (left, right) = entries.split_at_mut(entries.len() / 2);
    merge_sort(left, dialect);
    merge_sort(right, dialect);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if is_less(b, a) { right.next() } else { left.next() };
        merged.extend(next);
    }
    merged.extend(left.chain(right));
    entries.copy_from_slice(&merged);
}

/// go-yaml's order of keys: runs of digits compare as numbers, other characters come before letters.
fn compare(a: &str, b: &str, dialect: Dialect) -> Ordering {
    let same: usize = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(c, _)| c.len_utf8()).sum();
    let (Some((before, a)), Some((_, b))) = (a.split_at_checked(same), b.split_at_checked(same)) else {
        return Ordering::Equal;
    };
    let (x, y) = match (a.chars().next(), b.chars().next()) {
        (Some(x), Some(y)) => (x, y),
        (x, y) => return x.is_some().cmp(&y.is_some()),
    };
    let is_behind_digit =
        || dialect == Dialect::V3 && before.chars().next_back().is_some_and(char::is_numeric);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) if is_behind_digit() => return Ordering::Less,
        (true, false) => return Ordering::Greater,
        (false, true) if is_behind_digit() => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero counts as a digit inside a number, not as a leading zero, if a digit other than zero stands before it.
    let inside =
        (x == '0' || y == '0') && before.chars().rev().take_while(|c| c.is_numeric()).any(|c| c != '0');
    let run = |text: &str| {
        let digits = text.chars().take_while(|c| c.is_numeric());
        digits.fold((i64::from(inside), 0_usize), |(number, length), c| {
            let digit = i64::from(u32::from(c)) - i64::from(u32::from('0'));
            (number.wrapping_mul(10).wrapping_add(digit), length + 1)
        })
    };
    run(a).cmp(&run(b)).then(x.cmp(&y))
}
