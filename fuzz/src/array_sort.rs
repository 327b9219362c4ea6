//! Where the comparator is an order, the sort equals the standard library's stable one; where it is none, nothing is lost.

use vvault_native::javascript::array_sort::sort;

pub fn check(data: &[u8]) {
    // Each byte is a run: so long, and rising from its low bits. Runs are what the algorithm is about.
    let keys: Vec<u8> = data.iter().take(64).flat_map(|run| (0..=run >> 3).map(move |step| (run & 7) + step)).collect();
    let mut expected: Vec<usize> = (0..keys.len()).collect();
    expected.sort_by_key(|at| keys[*at]);
    assert_eq!(sorted(keys.len(), |a, b| f64::from(keys[a]) - f64::from(keys[b])), expected);

    // Dates that are none compare as equal with everything.
    let no_order = sorted(keys.len(), |a, b| match (keys[a], keys[b]) {
        (0, _) | (_, 0) => 0.0,
        (left, right) => f64::from(left) - f64::from(right),
    });
    assert_permutation(no_order);
    let chaos = sorted(keys.len(), |a, b| f64::from(data[(a * 31 + b) % data.len()].cast_signed()));
    assert_permutation(chaos);
}

fn sorted(length: usize, compare: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut items: Vec<usize> = (0..length).collect();
    sort(&mut items, compare);
    items
}

fn assert_permutation(mut items: Vec<usize>) {
    items.sort_unstable();
    assert!(items.into_iter().enumerate().all(|(at, item)| at == item));
}
