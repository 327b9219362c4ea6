use proptest::prelude::*;

use super::sort;

fn order(keys: &[f64]) -> Vec<usize> {
    let mut items: Vec<usize> = (0..keys.len()).collect();
    sort(&mut items, |a, b| {
        let difference = keys[b] - keys[a];
        if difference.is_nan() { 0.0 } else { difference }
    });
    items
}

/// Recorded from Node 20 with `items.sort((a, b) => b.key - a.key)`, `null` being NaN.
#[test]
fn sorts_like_v8_also_where_the_comparator_is_no_order() {
    let recorded = include_str!("../../../__test__/recorded/array-sort.json");
    let cases: Vec<(Vec<Option<f64>>, Vec<usize>)> = serde_json::from_str(recorded).expect("the recording");
    assert!(cases.len() > 400);
    for (keys, expected) in cases {
        let keys: Vec<f64> = keys.into_iter().map(|key| key.unwrap_or(f64::NAN)).collect();
        assert_eq!(order(&keys), expected, "{keys:?}");
    }
}

proptest! {
    #[test]
    fn is_a_stable_sort_where_it_is_an_order(keys in prop::collection::vec(0..50_i32, 0..600)) {
        let keys: Vec<f64> = keys.into_iter().map(f64::from).collect();
        let mut expected: Vec<usize> = (0..keys.len()).collect();
        expected.sort_by(|a, b| keys[*b].total_cmp(&keys[*a]));
        prop_assert_eq!(order(&keys), expected);
    }

    #[test]
    fn loses_nothing_whatever_the_comparator(keys in prop::collection::vec(prop_oneof![Just(f64::NAN), 0.0..9.0], 0..600)) {
        let mut order = order(&keys);
        order.sort_unstable();
        prop_assert_eq!(order, (0..keys.len()).collect::<Vec<_>>());
    }
}
